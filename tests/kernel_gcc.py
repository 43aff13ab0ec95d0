"""gcc on a kernel's headers, as the kernel's own build runs it: for the tests, and for the benchmarks to stand beside."""
from __future__ import annotations

import re
from pathlib import Path

import rekall_layout_expert
from dwarf import run_gcc

ROOT = Path(rekall_layout_expert.__file__).parent / "pre_ast" / "root.c"
X86_64 = ("-m64 -mno-sse -mno-mmx -mno-sse2 -mno-3dnow -mno-avx -fcf-protection=none -mno-80387 -mno-fp-ret-in-387 "
          "-mno-red-zone -mcmodel=kernel -std=gnu11 -fshort-wchar -fno-PIE -O2").split()


def kernel_flags(common, own, config, as_its_compiler=True):
    """What the kernel's build gives gcc, from its Makefiles (LINUXINCLUDE, KBUILD_CFLAGS), for an x86_64 tree in two parts.

    as_its_compiler: gcc gives itself out as the version that built the kernel, which the headers ask for. It cannot
    compile what it only preprocesses so.
    """
    flags = [*X86_64, "-nostdinc", "-D__KERNEL__"]
    makefile = (common / "Makefile").read_text()
    if "-funsigned-char" in makefile:
        flags.append("-funsigned-char")
    flags += config.values.get("CONFIG_CC_MS_EXTENSIONS", "").strip('"').split()
    if "-print-file-name=include" in makefile:
        flags += ["-isystem", run_gcc(["-print-file-name=include"], "").strip()]
    if as_its_compiler:
        for name, number in zip(("__GNUC__", "__GNUC_MINOR__", "__GNUC_PATCHLEVEL__"), config.compiler.version):
            flags += [f"-U{name}", f"-D{name}={number}"]
    if config.values.get("CONFIG_FUNCTION_TRACER"):
        flags.append("-DCC_USING_FENTRY")
    if config.values.get("CONFIG_X86_X32") and "-DCONFIG_X86_X32_ABI" in (common / "arch/x86/Makefile").read_text():
        flags.append("-DCONFIG_X86_X32_ABI")
    for place in ("arch/x86/include", "arch/x86/include/generated", "include", "arch/x86/include/uapi",
                  "arch/x86/include/generated/uapi", "include/uapi", "include/generated/uapi"):
        flags += [option for tree in (common, own) if (tree / place).is_dir() for option in ("-I", str(tree / place))]
    for header in ("compiler-version.h", "kconfig.h", "compiler_types.h"):
        path = common / "include/linux" / header
        flags += ["-include", str(path)] if path.exists() else []
    return flags


def where_present(root):
    """The root with each #include under a condition that its header exists."""
    return re.sub(r"^#include ([<\"].*[>\"])$", r"#if __has_include(\1)\n#include \1\n#endif", root, flags=re.M)
