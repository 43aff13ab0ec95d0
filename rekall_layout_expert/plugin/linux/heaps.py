"""What Rekall's analysis of a process's heap wants to know of its threads."""
from __future__ import annotations

from rekall.plugins.linux import heap_analysis

from rekall_layout_expert.plugin.linux.lists import list_entries
from rekall_layout_expert.plugin.linux.replacing import members_of, replaces

# Four pages since 3.15 ("x86_64: expand kernel stack to 16K"), and eight with CONFIG_KASAN.
_STACK_SIZE, _STACK_SIZE_WITH_KASAN = 1 << 14, 1 << 15
# What CONFIG_X86_FRED keeps above the registers (TOP_OF_KERNEL_STACK_PADDING).
_FRED_PADDING = 16


@replaces(heap_analysis.HeapAnalysis, "_get_saved_stack_frame_pointers",
          lambda profile: "sp0" not in members_of(profile, "thread_struct"))
def saved_stack_pointers(plugin, task):
    """The registers of each thread, the first one's first, with which it came into the kernel.

    4.15 "x86/entry/64: Remove thread_struct::sp0": they are at the top of the thread's kernel stack. 6.7 "kill
    task_struct->thread_group": a process's threads are in signal_struct.thread_head, since 3.14.
    """
    if not task.mm:
        return None
    profile = plugin.session.profile
    size = _STACK_SIZE_WITH_KASAN if profile.get_kernel_config("CONFIG_KASAN") == "y" else _STACK_SIZE
    padding = _FRED_PADDING if profile.get_kernel_config("CONFIG_X86_FRED") == "y" else 0
    found = []
    for thread in list_entries(task.signal.thread_head, "task_struct", "thread_node"):
        registers = profile.pt_regs(offset=int(thread.stack) + size - padding - profile.get_obj_size("pt_regs"),
                                    vm=plugin.process_as)
        found.append(dict(ebp=registers.bp.v(), esp=registers.sp.v(), pid=thread.pid.v()))
    return found
