"""The machine: its name, processors and resources."""
from __future__ import annotations

import struct

from rekall.plugin import PluginError
from rekall.plugins.linux import common, cpuinfo, iomem

from rekall_layout_expert.plugin.linux.lists import depth_first
from rekall_layout_expert.plugin.linux.replacing import replaces

_MOST_PROCESSORS = 8192


@replaces(common.Hostname, "get_hostname")
def hostname(plugin):
    """The first namespace's name of the host, with its domain if there is one.

    Rekall compares the domain with CONFIG_DEFAULT_HOSTNAME, which a configuration has in quotes.
    """
    names = plugin.session.profile.get_constant_object("init_uts_ns", target="uts_namespace").name
    node, domain = (str(getattr(names, name).cast("String")) for name in ("nodename", "domainname"))
    return node if domain in ("", "(none)") else f"{node}.{domain}"


@replaces(cpuinfo.CpuInfo, "calculate")
def processors(plugin):
    """(number, struct cpuinfo_x86) of each processor that is online.

    4.5 made cpu_online_bits __cpu_online_mask (commit 4b804c85dc37). Rekall looks at eight processors, and reads without
    KASLR's slide.
    """
    profile, vm = plugin.profile, plugin.kernel_address_space
    masks = [profile.get_constant(name, is_address=True) for name in ("__cpu_online_mask", "cpu_online_bits")]
    mask = masks[0] or masks[1]
    if not mask:
        raise PluginError("the kernel's symbols have no __cpu_online_mask: give the System.map, or a kallsyms of "
                          "CONFIG_KALLSYMS_ALL")
    count = min(int(profile.get_kernel_config("CONFIG_NR_CPUS") or 1), _MOST_PROCESSORS)
    bits = int.from_bytes(vm.read(mask, -(-count // 64) * 8), "little")
    for number in range(count):
        if bits >> number & 1:
            yield number, profile.cpuinfo_x86(offset=_per_cpu(profile, vm, "cpu_info", number) or profile.get_constant(
                "boot_cpu_data", is_address=True), vm=vm)


def _per_cpu(profile, vm, name: str, number: int):
    """The address of a processor's own copy of a variable; None on a kernel for one processor, which has but one.

    Their symbols count from zero, and are addresses like others since 6.15 ("x86/percpu/64: Use relative percpu offsets").
    """
    offsets, variable = profile.get_constant("__per_cpu_offset", is_address=True), profile.get_constant(name)
    if not offsets or variable == None:  # noqa: E711: Rekall's NoneObject
        return None
    if variable >= profile.get_constant("_text"):
        variable = profile.get_constant(name, is_address=True)
    offset, = struct.unpack("<Q", vm.read(offsets + 8 * number, 8))
    return offset + variable & (1 << 48) - 1


@replaces(iomem.IOmem, "GetResources")
def resources(plugin):
    """(struct resource, depth) of each, depth first; Rekall's own recurses once for each sibling."""
    root = plugin.profile.get_constant_object("iomem_resource", target="resource", vm=plugin.kernel_address_space)
    return depth_first([(root, 0)], lambda resource, depth: (
        (resource.sibling.deref(), depth), (resource.child.deref(), depth + 1)))
