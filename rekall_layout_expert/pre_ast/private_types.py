r"""Types that forensic plugins read and that no header declares: those of single source files.

Full source has them, headers packages do not.  A private header (fs/mount.h) is included by the root.  A source file is a
translation unit of its own: what it declares is nobody else's, so another file's type of the same name stays apart.  It
goes into the Pre-AST with all that it includes, and is walked when one of its types is asked for.

The names are those that Rekall's and Volatility 3's Linux plugins read; where they stood, from 2.6.32 on, the kernel's
history tells.
"""

from collections import namedtuple

# path; symbols: the config symbols without which that file is not compiled, the one that makes it a module last; names:
# tags, and variables of a type without one; public: tags in public headers that the root does not include, as few need
# them.  The first file that the tree has and that declares a name is its home.
PrivateFile = namedtuple("PrivateFile", "path symbols names public", defaults=((),))

_SECTIONS = ("module_sect_attr", "module_sect_attrs", "module_notes_attrs")
_LOG = ("printk_log", "log")
_QUEUES = ("rq", "cfs_rq", "rt_rq", "dl_rq", "root_domain", "task_group")
_TIMERS = ("timer_base", "tvec_base")

PRIVATE_FILES = (
    PrivateFile("fs/mount.h", (), ("mount", "mnt_namespace", "mountpoint")),
    PrivateFile("fs/proc/internal.h", ("CONFIG_PROC_FS",), ("proc_dir_entry", "proc_inode")),
    PrivateFile(
        "kernel/printk/printk_ringbuffer.h",
        (),
        ("printk_ringbuffer", "printk_info", "prb_desc", "prb_desc_ring", "prb_data_ring", "prb_data_blk_lpos"),
    ),
    PrivateFile("kernel/module/sysfs.c", ("CONFIG_MODULES", "CONFIG_SYSFS"), _SECTIONS),
    PrivateFile("kernel/module/main.c", ("CONFIG_MODULES",), ("mod_tree_root",)),
    PrivateFile("kernel/module.c", ("CONFIG_MODULES",), _SECTIONS + ("mod_tree_root",)),
    PrivateFile("kernel/time/timekeeping.c", (), ("tk_core", "tk_data", "timekeeper")),
    PrivateFile("kernel/printk/printk.c", (), _LOG),
    PrivateFile("kernel/printk.c", (), _LOG),
    PrivateFile("kernel/kthread.c", (), ("kthread",)),
    PrivateFile("kernel/sched/core.c", (), _QUEUES),
    PrivateFile("kernel/sched.c", (), _QUEUES),
    PrivateFile(
        "kernel/workqueue.c", (), ("workqueue_struct", "pool_workqueue", "worker_pool", "worker", "cpu_workqueue_struct")
    ),
    PrivateFile("kernel/time/timer.c", (), _TIMERS),
    PrivateFile("kernel/timer.c", (), _TIMERS),
    PrivateFile("mm/slub.c", ("CONFIG_SLUB",), ("kmem_cache", "kmem_cache_node", "kmem_cache_cpu", "slab")),
    PrivateFile("net/netlink/af_netlink.c", ("CONFIG_NET",), ("netlink_sock", "netlink_table")),
    PrivateFile("net/packet/af_packet.c", ("CONFIG_PACKET",), ("packet_sock",)),
    PrivateFile("net/vmw_vsock/af_vsock.c", ("CONFIG_VSOCKETS",), (), ("vsock_sock",)),
    PrivateFile("net/xdp/xsk.c", ("CONFIG_XDP_SOCKETS",), (), ("xdp_sock",)),
    PrivateFile("net/bluetooth/hci_sock.c", ("CONFIG_BT",), ("hci_pinfo",), ("hci_dev", "bt_sock")),
    PrivateFile("net/bluetooth/sco.c", ("CONFIG_BT",), ("sco_pinfo",)),
    PrivateFile("net/bluetooth/l2cap_sock.c", ("CONFIG_BT",), (), ("l2cap_pinfo",)),
    PrivateFile("net/bluetooth/rfcomm/sock.c", ("CONFIG_BT", "CONFIG_BT_RFCOMM"), (), ("rfcomm_pinfo",)),
    PrivateFile("drivers/video/fbdev/core/fbmem.c", ("CONFIG_FB",), (), ("fb_info",)),
    PrivateFile("mm/rmap.c", ("CONFIG_MMU",), (), ("anon_vma", "anon_vma_chain")),
)


def homes_of(name):
    """The paths of the files that are known to have held a type of that name; empty if it is no private type."""
    return [file.path for file in PRIVATE_FILES if name in file.names]
