r"""Whether a config and symbols are of one kernel.

The configs of two flavours of one release name the same version and the same compiler, and a profile made from the wrong
one is wrong in many structs.  But the symbols are the kernel's own word on its config: each pair below names a function
that is compiled exactly if its config symbol is y.  The pairs were found right on Debian's kernels of 5.10, 6.1, 6.12 and
7.2 in all flavours; as one of them may be renamed some day, a single contradiction is a doubt, and only two are a proof.
"""

from rekall_layout_expert.errors import LayoutExpertError

_TRIED_FROM = (5, 4)
_PROOF = 2
_FUNCTIONS = (
    ("ACPI", "acpi_evaluate_object"), ("AGP", "agp_bridge_driver"), ("AUDIT", "audit_log_start"),
    ("BLK_CGROUP", "blkcg_print_blkgs"), ("BLK_DEV_ZONED", "blk_revalidate_disk_zones"), ("BLK_WBT", "wbt_wait"),
    ("BPF_SYSCALL", "bpf_map_new_fd"), ("CGROUPS", "cgroup_attach_task"),
    ("CGROUP_BPF", "__cgroup_bpf_run_filter_skb"), ("CHECKPOINT_RESTORE", "proc_pid_get_link"), ("CMA", "cma_alloc"),
    ("COMPACTION", "compaction_suitable"), ("CPUSETS", "cpuset_init"), ("CPU_FREQ", "cpufreq_get"),
    ("CPU_IDLE", "cpuidle_register_device"), ("DCB", "dcb_setapp"), ("FAIR_GROUP_SCHED", "sched_group_set_shares"),
    ("FB", "register_framebuffer"), ("FS_DAX", "dax_iomap_rw"), ("FS_ENCRYPTION", "fscrypt_get_encryption_info"),
    ("FS_VERITY", "fsverity_ioctl_enable"), ("FUTEX_PI", "futex_lock_pi"), ("GPIOLIB", "gpiod_get"),
    ("HIBERNATION", "hibernate"), ("HUGETLB_PAGE", "hugetlb_fault"), ("HWMON", "hwmon_device_register"),
    ("IMA", "ima_file_check"), ("INTEGRITY", "integrity_audit_msg"), ("IOMMU_API", "iommu_attach_device"),
    ("IPV6_MROUTE", "ip6_mr_input"), ("IP_MROUTE", "ip_mr_input"), ("KEYS", "key_alloc"),
    ("KPROBES", "register_kprobe"), ("KSM", "ksm_madvise"), ("LEDS_TRIGGERS", "led_trigger_register"),
    ("LIVEPATCH", "klp_enable_patch"), ("LWTUNNEL", "lwtunnel_output"), ("MEMCG", "mem_cgroup_iter"),
    ("MIGRATION", "migrate_pages"), ("MMU_NOTIFIER", "mmu_notifier_register"), ("MODULES", "module_put"),
    ("NETFILTER", "nf_hook_slow"), ("NETPOLL", "netpoll_setup"), ("NET_CLS_ACT", "tcf_action_exec"),
    ("NET_NS", "copy_net_ns"), ("NET_POLL_CONTROLLER", "netpoll_poll_dev"), ("NET_RX_BUSY_POLL", "napi_busy_loop"),
    ("NET_SWITCHDEV", "switchdev_port_attr_set"), ("NUMA", "mpol_rebind_task"), ("NUMA_BALANCING", "task_numa_fault"),
    ("PCI", "pci_bus_read_config_byte"), ("PCIEAER", "pci_aer_init"), ("PCI_ATS", "pci_enable_ats"),
    ("PCI_IOV", "pci_enable_sriov"), ("PCI_P2PDMA", "pci_p2pdma_add_resource"), ("PINCTRL", "pinctrl_get"),
    ("PM_GENERIC_DOMAINS", "pm_genpd_init"), ("PM_OPP", "dev_pm_opp_get_voltage"), ("PM_SLEEP", "dpm_suspend"),
    ("PSI", "psi_task_change"), ("QUOTA", "dquot_acquire"), ("REGULATOR", "regulator_get"),
    ("RESET_CONTROLLER", "reset_control_assert"), ("RFS_ACCEL", "rps_may_expire_flow"), ("RTC_CLASS", "rtc_read_time"),
    ("SCHED_CORE", "sched_core_enqueue"), ("SECURITY", "security_init"),
    ("SECURITY_SELINUX", "selinux_complete_init"), ("STACKTRACE", "stack_trace_print"), ("SUSPEND", "pm_suspend"),
    ("SWAP", "si_swapinfo"), ("SYSFS", "sysfs_create_group"), ("TASKSTATS", "taskstats_exit"),
    ("TRANSPARENT_HUGEPAGE", "do_huge_pmd_anonymous_page"), ("UPROBES", "uprobe_mmap"),
    ("USERFAULTFD", "handle_userfault"), ("VT", "vt_console_print"), ("WATCH_QUEUE", "watch_queue_init"),
    ("WIRELESS_EXT", "wext_handle_ioctl"), ("XEN", "xen_setup_features"), ("XFRM", "xfrm_lookup"),
)  # fmt: skip


def check_symbols(config, symbols):
    """Sentences on what in the config contradicts the symbols; none if nothing does.

    Raises LayoutExpertError where they are proven to be of two kernels.
    """
    if not _is_tried(config.release):
        return []
    expected = functions_of(config)
    contradictions = [
        "CONFIG_%s is %s, and %s is %s"
        % ((name, "y", function, "missing") if expected[function] else (name, "not set", function, "there"))
        for name, function in _FUNCTIONS
        if expected[function] != (function in symbols.addresses)
    ]
    if len(contradictions) >= _PROOF:
        raise LayoutExpertError(
            "%s is not the config of the kernel whose symbols are in %s: %s%s"
            % (
                config.source,
                symbols.source,
                "; ".join(contradictions[:3]),
                " (and %d more)" % (len(contradictions) - 3) if len(contradictions) > 3 else "",
            ),
            next_step="give config and symbols of one kernel; flavours of one release differ",
        )
    return ["the config may be of another kernel: %s" % each for each in contradictions]


def functions_of(config):
    """{function: whether a kernel of that config has it}, of those that tell."""
    return {function: config.values.get("CONFIG_" + name) == "y" for name, function in _FUNCTIONS}


def _is_tried(release):
    numbers = (release or "").split(".")[:2]
    return len(numbers) == 2 and all(number.isdigit() for number in numbers) and tuple(map(int, numbers)) >= _TRIED_FROM
