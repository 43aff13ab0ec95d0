"""Header trees small enough to be written by hand, in every shape that kernels' headers come in, and damaged Pre-ASTs."""
import hashlib
import json
import zlib
from pathlib import Path

from rekall_layout_expert.pre_ast.model import FORMAT, ROOT

RELEASE, VERSION, COMMON = "6.1.0-20-amd64", "6.1.85", "linux-headers-6.1.0-20-common"

MAKEFILE = """VERSION = 6
PATCHLEVEL = 1
SUBLEVEL = 85
EXTRAVERSION =
KBUILD_CFLAGS := -std=gnu11
"""
CONFIG = """#
# Linux/x86 6.1.85 Kernel Configuration
#
CONFIG_CC_IS_GCC=y
CONFIG_GCC_VERSION=120200
CONFIG_64BIT=y
CONFIG_X86_64=y
CONFIG_SMP=y
CONFIG_NR_CPUS=64
CONFIG_HZ=250
# CONFIG_AUDIT is not set
"""
SHARED = {
    "include/linux/kconfig.h": "#include <generated/autoconf.h>\n",
    "include/linux/types.h": "typedef unsigned int u32;\ntypedef unsigned long ulong;\n",
    "include/linux/mmzone.h": "enum zone_type { ZONE_DMA, ZONE_NORMAL,\n#ifdef CONFIG_HIGHMEM\nZONE_HIGHMEM,\n#endif\n"
                              "__MAX_NR_ZONES };\n",
    "include/linux/page-flags.h": "enum pageflags { PG_locked, PG_dirty,\n#ifdef CONFIG_MMU\nPG_mlocked,\n#endif\n"
                                  "__NR_PAGEFLAGS };\n",
    "include/linux/sched.h": "#include <linux/types.h>\n#include <generated/bounds.h>\n#include <asm/page.h>\n"
                             "struct task_struct {\n\tu32 state;\n#ifdef CONFIG_SMP\n\tint cpu;\n#endif\n"
                             "#ifdef CONFIG_AUDIT\n\tulong audit;\n#endif\n\tchar zones[MAX_NR_ZONES];\n"
                             "\tchar comm[TASK_COMM_LEN];\n};\n",
    "arch/x86/include/asm/page.h": "#define TASK_COMM_LEN 16\n",
}
GENERATED = {
    "include/generated/utsrelease.h": '#define UTS_RELEASE "%s"\n' % RELEASE,
    "include/generated/autoconf.h": "#error the flavour's own configuration\n",
    "include/generated/bounds.h": "#define NR_PAGEFLAGS 23 /* __NR_PAGEFLAGS */\n"
                                  "#define MAX_NR_ZONES 5 /* __MAX_NR_ZONES */\n",
    "include/generated/timeconst.h": "#error another CONFIG_HZ\n",
}
BOUNDS = """#define __GENERATING_BOUNDS_H
#include <linux/page-flags.h>
#include <linux/mmzone.h>
#include <linux/kbuild.h>
int main(void)
{
\tDEFINE(NR_PAGEFLAGS, __NR_PAGEFLAGS);
\tDEFINE(MAX_NR_ZONES, __MAX_NR_ZONES);
\treturn 0;
}
"""


def write(directory, files):
    """Writes {path: text} under a directory, which is returned."""
    for path, text in files.items():
        path = Path(directory) / path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return Path(directory)


def package(directory, changes=()):
    """A headers package in one folder. changes: {path: text}, None takes a file away."""
    files = {"Makefile": MAKEFILE, **SHARED, **GENERATED, **dict(changes)}
    return write(directory, {path: text for path, text in files.items() if text is not None})


def debian_packages(directory, release=RELEASE):
    """Debian's two folders, of which the flavour's is returned."""
    write(Path(directory) / "usr/src" / COMMON, {"Makefile": MAKEFILE, **SHARED})
    utsrelease = {"include/generated/utsrelease.h": '#define UTS_RELEASE "%s"\n' % release}
    makefile = "KERNELRELEASE = %s\ninclude /usr/src/%s/Makefile\n" % (release, COMMON)
    return write(Path(directory) / "usr/src" / ("linux-headers-" + release), {"Makefile": makefile, **GENERATED, **utsrelease})


def full_source(directory):
    """What full source has, nothing of it built."""
    files = {"kernel/fork.c": "", "kernel/bounds.c": BOUNDS, "include/asm-generic/Kbuild": "mandatory-y += current.h\n",
             "arch/x86/include/asm/Kbuild": "generic-y += early_ioremap.h \\\n\t     mcs_spinlock.h\n",
             "include/asm-generic/mcs_spinlock.h": "struct mcs_spinlock { int locked; };\n",
             "include/asm-generic/current.h": "struct current_info { long task; };\n",
             "include/linux/sched.h": SHARED["include/linux/sched.h"]
             + "#include <asm/mcs_spinlock.h>\n#include <asm/current.h>\n"}
    return write(directory, {"Makefile": MAKEFILE, **SHARED, **files})


def packed(content):
    """A Pre-AST file around content (bytes) of one's own, with a digest that is right."""
    body = zlib.compress(content, 9)
    return b"layout-expert pre-ast %d\n" % FORMAT + hashlib.sha256(body).hexdigest().encode() + b"\n" + body


def with_program(pre_ast, program):
    """Its file, with another program for the root."""
    return packed(json.dumps([pre_ast.header, {**pre_ast.files, ROOT: program}]).encode())
