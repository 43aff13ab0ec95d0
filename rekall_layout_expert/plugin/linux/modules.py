"""Kernel modules."""
from __future__ import annotations

from typing import Iterator, Tuple

from rekall import obj
from rekall.plugins.linux import check_modules, lsmod

from rekall_layout_expert.plugin.linux.lists import list_entries
from rekall_layout_expert.plugin.linux.replacing import members_of, need, replaces

# A region of a module is not larger than the space that there is for modules (MODULES_LEN).
_LARGEST = 3 << 29
_UNFORMED = 3
# An ELF file's sections are numbered with 16 bits.
_MOST_SECTIONS = 1 << 16


def regions_of(module) -> Iterator[Tuple[int, int]]:
    """(address, size in bytes) of each part of a module, the text first.

    6.4 "module: replace module_layout with module_memory": what was one region is several.
    """
    regions = module.mem if "mem" in members_of(module.obj_profile, "module") else (module,)
    for region in regions:
        if region.base and 0 < region.size <= _LARGEST:
            yield int(region.base), int(region.size)


@replaces(lsmod.Lsmod, "get_module_list")
def modules(plugin):
    """The modules that the kernel lists: not those that are just being loaded."""
    head = plugin.profile.get_constant_object("modules", target="list_head", vm=plugin.kernel_address_space)
    for module in list_entries(head, "module", "list"):
        if module.m("state") != _UNFORMED:
            yield module


@replaces(lsmod.Moddump, "dump_module")
def content_of_module(plugin, module):
    """All regions of a module, one after the other."""
    return b"".join(module.obj_vm.read(start, size) for start, size in regions_of(module))


@replaces(lsmod.LsmodSections, "collect", lambda profile: "grp" in members_of(profile, "module_sect_attrs")
          and "nsections" not in members_of(profile, "module_sect_attrs"))
def sections(plugin):
    """The sections of modules, as files of sysfs.

    6.14 "module: sysfs: Drop 'struct module_sect_attr'" keeps their addresses in attributes of sysfs, and "module: sysfs:
    Drop member 'module_sect_attrs::nsections'" ends their list with a NULL.
    """
    for module in plugin.session.plugins.lsmod().get_module_list():
        if not module.sect_attrs:
            continue
        listed = module.sect_attrs.grp.bin_attrs
        attributes = plugin.profile.Array(offset=int(listed), vm=plugin.kernel_address_space, target="Pointer",
                                          count=_MOST_SECTIONS, target_args=dict(target="bin_attribute"))
        for attribute in attributes:
            if not attribute:
                break
            yield module.name, attribute.attr.name.dereference_as("UnicodeString"), attribute.m("private")


@replaces(lsmod.LsmodSections, "collect", lambda profile: not members_of(profile, "module_sect_attrs"))
def no_sections(plugin):
    need(plugin.session.profile, "module_sect_attrs", "kernel/module/ or kernel/module.c")


@replaces(check_modules.CheckModules, "collect", lambda profile: "mod" in members_of(profile, "module_kobject"))
def modules_in_sysfs(plugin):
    """The modules that sysfs knows, and whether the list of modules has them.

    Rekall tells them from the kernel's own parts, which sysfs lists as well, by a count of references that changed more
    than once; module_kobject.mod, which only modules have, says it since 2.6.
    """
    known = {module.obj_offset for module in plugin.session.plugins.lsmod().get_module_list()}
    for module, kobject in modules_of_sysfs(plugin.session):
        yield dict(module=module, mod_name=module.name, ref_count=kobject.kref.refcount.counter,
                   known=module.obj_offset in known)


def modules_of_sysfs(session) -> Iterator[Tuple[obj.Struct, obj.Struct]]:
    """(module, its kobject) of each that sysfs knows."""
    profile, vm = session.profile, session.kernel_address_space
    modules_set = profile.get_constant_object("module_kset", target="Pointer", target_args=dict(target="kset"), vm=vm)
    for kobject in list_entries(modules_set.m("list"), "kobject", "entry") if modules_set else ():
        holder = profile.module_kobject(offset=kobject.obj_offset - profile.get_obj_offset("module_kobject", "kobj"), vm=vm)
        if holder.m("mod"):
            yield holder.mod.deref(), kobject


def apply(profile: obj.Profile) -> None:
    """Gives a module of several regions the size that lsmod(8) shows, and any no more parameters than it has room for."""
    overlay = {"kp": [None, ["Pointer", dict(target="Array", target_args=dict(target="kernel_param", count=_parameters))]]}
    if "mem" in members_of(profile, "module"):
        overlay["size"] = lambda module: sum(size for _, size in regions_of(module))
    profile.add_overlay({"module": [None, overlay]})


def _parameters(module) -> int:
    """How many parameters a module has: no more than there is room for in the region that they are in."""
    start, each = int(module.m("kp")), module.obj_profile.get_obj_size("kernel_param")
    room = next((place + size - start for place, size in regions_of(module) if place <= start < place + size), 0)
    return min(int(module.num_kp), room // each)
