"""From addresses to names, and back."""
from __future__ import annotations

from rekall import obj
from rekall.plugin import PluginError
from rekall.plugins.common import address_resolver as common
from rekall.plugins.common.efilter_plugins import search
from rekall.plugins.linux import address_resolver

from rekall_layout_expert.plugin.linux.memory_maps import areas_of
from rekall_layout_expert.plugin.linux.modules import modules_of_sysfs, regions_of
from rekall_layout_expert.plugin.linux.replacing import replaces


class KernelModule(common.Module):
    """A part of a kernel module."""

    def __init__(self, is_listed: bool, **kwargs):
        super().__init__(**kwargs)
        self.is_listed = is_listed


@replaces(address_resolver.LinuxAddressResolver, "_EnsureInitialized")
def ensure_initialized(resolver):
    """The kernel where KASLR put it (3.14), each region of each module (6.4), and what the chosen process has mapped.

    Rekall puts the kernel where it was linked, so that no address of it has a name.
    """
    if resolver._initialized:
        return
    # Asking for a list of modules may ask for a name.
    resolver._initialized = True
    session, profile = resolver.session, resolver.session.profile
    start, end = (profile.get_constant(name, is_address=True) for name in ("_text", "_end"))
    if start and end:
        resolver.AddModule(common.Module(name="linux", start=start, end=end, profile=profile, session=session))
    listed = list(session.plugins.lsmod().get_module_list())
    known = {module.obj_offset for module in listed}
    # What hides from the list may still be in sysfs.
    for module in listed + [module for module, _ in modules_of_sysfs(session) if module.obj_offset not in known]:
        # In reverse, so that the text is what goes by the module's name.
        for place, size in reversed(list(regions_of(module))):
            resolver.AddModule(KernelModule(name=str(module.name), start=place, end=place + size, session=session,
                                            is_listed=module.obj_offset in known))
    task = session.GetParameter("process_context")
    for area in areas_of(task) if task else ():
        resolver.AddModule(common.Module(name=f"map_{int(area.vm_start):#x}", start=area.vm_start, end=area.vm_end,
                                         session=session))


@replaces(search.Lookup, "collect")
def look_up(plugin):
    """A variable, as what the user says that it is; without that its address, as no symbol tells of which type it is.

    Rekall's own ends with a TypeError.
    """
    arguments = plugin.plugin_args
    name = str(arguments.constant)
    name = name[len("linux!"):] if name.startswith("linux!") else name
    profile = plugin.session.profile
    address = profile.get_constant(name, is_address=True)
    if not address:
        raise PluginError(f"this kernel has no symbol {name}")
    if not arguments.target:
        yield dict(field=" ".join([f"{address:#x}"] + plugin.session.address_resolver.format_address(address)))
        return
    target_args = arguments.target_args
    found = profile.Object(arguments.target, offset=address, vm=plugin.session.kernel_address_space,
                           **(target_args if isinstance(target_args, dict) else {}))
    if isinstance(found, obj.NoneObject):
        raise PluginError(f"this profile has no type {arguments.target}")
    yield dict(field=found)
