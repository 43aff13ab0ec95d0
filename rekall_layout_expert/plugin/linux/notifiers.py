"""Chains of functions that the kernel calls when something happens.

Rekall looks at two of them, and takes both for atomic ones. There are four kinds, which differ in the lock before the
first pointer. Which variable is of which kind is declared with ATOMIC_, BLOCKING_, RAW_ and SRCU_NOTIFIER_HEAD in the
source of the kernel; these are the declarations, for x86, of 4.4, 4.9, 4.13, 4.14, 4.19, 5.10, 6.1, 6.12 and 7.2. Some
changed their kind: they are walked in versions between two of these that agree. Chains of modules, and those of each
network namespace, are not among the kernel's symbols. Source: include/linux/notifier.h.
"""
from __future__ import annotations

import re
from typing import Iterator, Tuple

from rekall import obj
from rekall.plugins.linux import notifier_chains

from rekall_layout_expert.plugin.linux.checks import highlight_of, names_of
from rekall_layout_expert.plugin.linux.lists import chain
from rekall_layout_expert.plugin.linux.replacing import members_of, replaces

_MOST_CALLBACKS = 1 << 12
_KINDS = {
    "atomic": """
        atm_dev_notify_chain dcbevent_notif_chain die_chain dsa_notif_chain fips_fail_notif_chain ghes_report_chain
        idle_notifier inet6addr_chain keyboard_notifier_list lsm_notifier_chain netevent_notif_chain panic_notifier_list
        power_off_handler_list ppr_notifier random_ready_notifier rbtn_chain_head rcu_cpu_stall_notifier_list
        restart_handler_list task_free_notifier vt_notifier_list""",
    "blocking": """
        acpi_chain_head acpi_hed_notify_list acpi_lid_notifier acpi_reconfig_chain backlight_notifier
        blocking_lsm_notifier_chain cgroup_lifetime_notifier cpu_dma_lat_notifier cpufreq_policy_notifier_list crypto_chain
        dca_provider_chain dell_laptop_chain_head efivar_ops_nh failover_subscribers fb_notifier_list fc_lport_notifier_head
        gpio_unbind_notifier inetaddr_chain inetaddr_validator_chain intel_scu_notifier iosf_mbi_pmic_bus_access_notifier
        mce_injector_chain memory_bandwidth_notifier memory_chain module_notify_list mt_adistance_algorithms munmap_notifier
        network_lat_notifier network_throughput_notifier node_chain nvmem_notifier of_reconfig_chain oom_notify_list
        pm_chain_head power_off_prep_handler_list reboot_notifier_list restart_prep_handler_list rpc_pipefs_notifier_list
        task_exit_notifier thermal_genl_chain tm_chain_head tracepoint_notify_list usb_notifier_list
        vendor_record_notify_list vmap_notify_list vmfork_chain wbrf_chain_head xenstore_chain""",
    "raw": """
        ae_chain cpu_chain dpll_notifier_chain dummycon_output_nh netdev_chain pvclock_gtod_chain random_ready_chain
        xen_resume_notifier""",
    "srcu": "cpufreq_transition_notifier_list lease_notifier_chain",
}
_KIND_OF = {name: kind for kind, names in _KINDS.items() for name in names.split()}
# {name: ((kind, first version, last version), …)}
_CHANGED = {
    "fib_chain": (("blocking", (4, 9), (4, 9)), ("atomic", (4, 13), (4, 19))),
    "inet6addr_validator_chain": (("atomic", (4, 13), (4, 14)), ("blocking", (4, 19), (7, 2))),
    "netlink_chain": (("atomic", (4, 4), (4, 9)), ("blocking", (4, 13), (7, 2))),
    "power_supply_notifier": (("atomic", (4, 4), (5, 10)), ("blocking", (6, 1), (7, 2))),
    "switchdev_blocking_notif_chain": (("blocking", (5, 10), (5, 10)), ("raw", (6, 1), (7, 2))),
    "switchdev_notif_chain": (("raw", (4, 4), (4, 9)), ("atomic", (4, 14), (7, 2))),
    "x86_mce_decoder_chain": (("atomic", (4, 4), (4, 4)), ("blocking", (4, 9), (7, 2))),
}


def chains_of(profile: obj.Profile) -> Iterator[Tuple[str, str]]:
    """(variable, struct of its head) of each chain that the kernel has."""
    release = re.match(r"(\d+)\.(\d+)", str(profile.metadata("release") or ""))
    version = tuple(map(int, release.groups())) if release else ()
    for name in sorted({*_KIND_OF, *_CHANGED}):
        kind = _KIND_OF.get(name) or next((kind for kind, first, last in _CHANGED[name]
                                           if first <= version <= last), None)
        if kind and profile.get_constant(name):
            yield name, f"{kind}_notifier_head"


@replaces(notifier_chains.NotifierChainPlugin, "render")
def render(plugin, renderer):
    """Each function of each chain; marked is what is neither the kernel's nor of a module that is listed."""
    renderer.table_header([("Chain symbol", "symbol", ">32"), ("Index", "index", ">5"), ("Priority", "prio", ">11"),
                           ("Address", "address", "[addrpad]"), ("Module", "module", "20"), ("Symbol", "symbol_name", "40")])
    profile = plugin.profile
    missing = [struct for struct in ("notifier_block", *dict.fromkeys(struct for _, struct in chains_of(profile)))
               if not members_of(profile, struct)]
    if missing:
        plugin.session.logging.warning("Layout Expert: this profile was made by an older version of this program, without struct "
                                       "%s: some chains are not listed. Make it anew: rekall layout_expert", ", ".join(missing))
    for name, struct in chains_of(profile):
        if struct in missing or "notifier_block" in missing:
            continue
        head = profile.get_constant_object(name, target=struct, vm=plugin.kernel_address_space)
        for index, block in enumerate(chain(head.head, "next", _MOST_CALLBACKS)):
            function = int(block.notifier_call)
            module = plugin.session.address_resolver.GetContainingModule(function)
            renderer.table_row(name, index, block.priority, function, module.name if module else "",
                               names_of(plugin.session, function),
                               highlight=highlight_of(plugin.session, function, block.obj_offset))
