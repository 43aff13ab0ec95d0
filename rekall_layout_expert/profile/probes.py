r"""What old Makefiles found out about the compiler and passed to it by -D, as the config later has it.

The Pre-AST names all macros that the tree's Makefiles may pass so.  Whether they did follows from the config and from
the compiler's version; where neither is a proof, from the kernel's symbols, or else it is not known.
"""

from rekall_layout_expert.errors import LayoutExpertError

# Compilers that pass scripts/gcc-goto.sh on every architecture.  Some older GCCs do: from 4.5 on where the target has not
# GCC's bug 48637, and Red Hat's 4.4.
_ASM_GOTO_SINCE = {"gcc": (4, 8, 0), "clang": (9, 0, 0)}
# A function that all kernels have whose struct static_key is the one for asm goto, and no others.
_OF_ASM_GOTO = "jump_label_lock"
_INT128_SINCE = (5, 0, 0)
_STACK_PROTECTORS = ("CONFIG_CC_STACKPROTECTOR_AUTO", "CONFIG_CC_STACKPROTECTOR_REGULAR", "CONFIG_CC_STACKPROTECTOR_STRONG")
_S390_STACKS = (("CONFIG_PACK_STACK", "__PACK_STACK"), ("CONFIG_SMALL_STACK", "__SMALL_STACK"))


def probed_macros(passed, config, compiler, symbols):
    """{macro: replacement} of what the probes found.

    passed: the macros that the tree's Makefiles may pass; config: a KernelConfig; compiler: its Compiler, None if it is
    not known; symbols: the kernel's Symbols or None.
    Raises LayoutExpertError where structs depend on a probe whose outcome nothing tells.
    """
    values = config.values
    found = {macro for symbol, macro in _S390_STACKS if symbol in values}
    if any(symbol in values for symbol in _STACK_PROTECTORS):  # 4.16 and 4.17
        found.add("CONFIG_CC_STACKPROTECTOR")
    if compiler is not None and compiler.version >= _INT128_SINCE:
        found.add("CONFIG_ARCH_SUPPORTS_INT128")
    if "CC_HAVE_ASM_GOTO" in passed and _has_asm_goto(config, compiler, symbols):
        found.add("CC_HAVE_ASM_GOTO")
    return {macro: "1" for macro in sorted(found.intersection(passed))}


def _has_asm_goto(config, compiler, symbols):
    is_recent = compiler is not None and compiler.version >= _ASM_GOTO_SINCE[compiler.name]
    if "CONFIG_JUMP_LABEL" not in config.values or is_recent:
        return is_recent
    if symbols is None:
        raise LayoutExpertError(
            "%s: nothing tells whether %s had asm goto, on which struct static_key depends"
            % (config.source, compiler or "the kernel's compiler"),
            next_step="give the kernel's symbols, or its banner (/proc/version)",
        )
    return _OF_ASM_GOTO in symbols.addresses
