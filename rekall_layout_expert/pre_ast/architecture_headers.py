r"""Headers that the kernel's build generates from an architecture's own tables, whatever the config says.

System call numbers come from its system call tables (the kernel's scripts/syscallhdr.sh, or older scripts like it):
lines of number, ABI and name, of which each header takes the ABIs it is for.  arm64's numbers of CPU capabilities come
from its list of them.  A headers package holds these files; a raw source tree has only the tables.
"""

from collections import namedtuple

# header: below arch/ARCH/include/generated; table: the last part of its path; abis: None for all; offset, prefix: of
# the numbers and of their names; count: the macro for the number of calls (None: no such), also without the numbers.
_Calls = namedtuple("_Calls", "header table abis offset prefix count numbers")


def _calls(header, table, abis=None, offset="", prefix="", count="__NR_syscalls", numbers=True):
    return _Calls(header, table, abis, offset, prefix, count, numbers)


_NATIVE = ("common", "64", "renameat", "rlimit", "memfd_secret", "riscv")
_SYSTEM_CALLS = {
    "x86": (
        _calls("uapi/asm/unistd_32.h", "syscall_32.tbl", ("i386",)),
        _calls("uapi/asm/unistd_64.h", "syscall_64.tbl", ("common", "64")),
        _calls("uapi/asm/unistd_x32.h", "syscall_64.tbl", ("common", "x32"), "__X32_SYSCALL_BIT"),
        _calls("asm/unistd_32_ia32.h", "syscall_32.tbl", ("i386",), "", "ia32_", "__NR_ia32_syscalls"),
        _calls("asm/unistd_64_x32.h", "syscall_64.tbl", ("x32",), "", "x32_", "__NR_x32_syscalls"),
    ),
    "arm": (
        _calls("uapi/asm/unistd-common.h", "syscall.tbl", ("common",), "__NR_SYSCALL_BASE"),
        _calls("uapi/asm/unistd-oabi.h", "syscall.tbl", ("oabi",), "__NR_SYSCALL_BASE"),
        _calls("uapi/asm/unistd-eabi.h", "syscall.tbl", ("eabi",), "__NR_SYSCALL_BASE"),
        _calls("asm/unistd-nr.h", "syscall.tbl", numbers=False),
    ),
    "s390": (
        _calls("uapi/asm/unistd_32.h", "syscall.tbl", ("common", "32")),
        _calls("uapi/asm/unistd_64.h", "syscall.tbl", ("common", "64")),
        _calls("asm/unistd_nr.h", "syscall.tbl", count="NR_syscalls", numbers=False),
    ),
    "powerpc": (
        _calls("uapi/asm/unistd_32.h", "syscall.tbl", ("common", "nospu", "32")),
        _calls("uapi/asm/unistd_64.h", "syscall.tbl", ("common", "nospu", "64")),
    ),
    "mips": tuple(
        calls
        for abi, name in (("n32", "N32"), ("n64", "64"), ("o32", "O32"))
        for calls in (
            _calls("uapi/asm/unistd_%s.h" % abi, "syscall_%s.tbl" % abi, offset="__NR_Linux", count=None),
            _calls("asm/unistd_nr_%s.h" % abi, "syscall_%s.tbl" % abi, count="__NR_%s_Linux_syscalls" % name, numbers=False),
        )
    ),
    "arm64": (
        _calls("uapi/asm/unistd_64.h", "syscall_64.tbl", _NATIVE),
        _calls("asm/unistd_32.h", "syscall_32.tbl"),
        _calls("asm/unistd_compat_32.h", "syscall_32.tbl", None, "", "compat_", "__NR_compat32_syscalls"),
    ),
    "riscv": (
        _calls("uapi/asm/unistd_32.h", "syscall.tbl", ("common", "32", "riscv", "memfd_secret")),
        _calls("uapi/asm/unistd_64.h", "syscall.tbl", _NATIVE),
    ),
}
_TABLES = (
    "arch/%s/entry/syscalls", "arch/%s/syscalls", "arch/%s/kernel/syscalls", "arch/%s/tools", "scripts",
)  # fmt: skip
# Lists of calls, one macro call a line, and register names: no type is made of them.
_WITHOUT_TYPES = {
    "x86": ("syscalls_32.h", "syscalls_64.h", "syscalls_x32.h", "xen-hypercalls.h"),
    "arm": ("mach-types.h",),
    "arm64": ("sysreg-defs.h", "kernel-hwcap.h", "syscall_table_32.h", "syscall_table_64.h"),
    "riscv": ("syscall_table_32.h", "syscall_table_64.h"),
    "s390": ("dis-defs.h", "facility-defs.h", "syscall_table.h"),
    "powerpc": ("syscall_table_32.h", "syscall_table_64.h", "syscall_table_spu.h"),
    "mips": ("syscall_table_n32.h", "syscall_table_n64.h", "syscall_table_o32.h"),
}


def architecture_headers(tree):
    """{path: text} of what a raw source tree (a KernelTree) has not got yet."""
    arch = tree.source_arch
    generated = "arch/%s/include/generated/" % arch
    headers = {generated + "asm/" + name: "\n" for name in _WITHOUT_TYPES.get(arch, ())}
    for calls in _SYSTEM_CALLS.get(arch, ()):
        table = _table(tree, calls.table)
        own = "arch/%s/include/%s" % (arch, calls.header)
        if table is not None and not tree.has(own):
            headers[generated + calls.header] = _system_calls(calls, tree.text(table), arch == "arm")
    if tree.has("arch/arm64/tools/cpucaps"):
        # Since 6.7 a header of the source's own asks for it by another name.
        name = "cpucap-defs.h" if tree.has("arch/arm64/include/asm/cpucaps.h") else "cpucaps.h"
        headers[generated + "asm/" + name] = _capabilities(tree.text("arch/arm64/tools/cpucaps"))
    return {path: text for path, text in headers.items() if not tree.has(path)}


def _table(tree, name):
    """The path of a system call table; kernels from 6.11 on share one between architectures."""
    for directory in _TABLES:
        directory = directory.replace("%s", tree.source_arch)
        for candidate in (name, "syscall.tbl"):
            if tree.has(directory + "/" + candidate):
                return directory + "/" + candidate
    return None


def _system_calls(calls, table, is_padded):
    lines = []
    last = -1
    for line in table.splitlines():
        words = line.split()
        if len(words) >= 3 and words[0].isdigit() and (calls.abis is None or words[1] in calls.abis):
            number = int(words[0])
            last = max(last, number)
            if calls.numbers:
                value = "(%s + %d)" % (calls.offset, number) if calls.offset else "%d" % number
                lines.append("#define __NR_%s%s %s" % (calls.prefix, words[2], value))
    if calls.count:
        count = _padded(last + 1) if is_padded else last + 1
        lines.append("#ifdef __KERNEL__\n#define %s %d\n#endif" % (calls.count, count))
    return "\n".join(lines) + "\n"


def _padded(count):
    """ARM's number of calls, so that it is an immediate operand (arch/arm/tools/syscallnr.sh)."""
    align = 1
    while count // (256 * align):
        align *= 4
    return (count + align - 1) & ~(align - 1)


def _capabilities(text):
    names = [line for line in text.splitlines() if line and not line.startswith("#")]
    lines = ["#define ARM64_%s %d" % (name, number) for number, name in enumerate(names)]
    return "\n".join(lines + ["#define ARM64_NCAPS %d" % len(names)]) + "\n"
