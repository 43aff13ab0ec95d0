r"""What an architecture's Makefile (arch/ARCH/Makefile) tells the compiler by the config: the target, and macros by -D."""

from rekall_layout_expert.errors import LayoutExpertError

# The first that is set counts: what the Makefile assigns last.
_ARM_ARCHITECTURES = (
    ("CONFIG_CPU_32v3", 3), ("CONFIG_CPU_32v4", 4), ("CONFIG_CPU_32v4T", 4), ("CONFIG_CPU_32v5", 5),
    ("CONFIG_CPU_32v6", 6), ("CONFIG_CPU_32v7", 7), ("CONFIG_CPU_32v7M", 7),
)  # fmt: skip


def target_of(arch, config):
    """The target of `record_layout.abi` for a KernelConfig of an architecture.  Raises LayoutExpertError."""
    is_64_bit = "CONFIG_64BIT" in config.values
    is_big_endian = "CONFIG_CPU_BIG_ENDIAN" in config.values
    is_little_endian = "CONFIG_CPU_LITTLE_ENDIAN" in config.values
    if arch == "arm":
        if "CONFIG_AEABI" not in config.values:
            raise LayoutExpertError(
                "%s: the kernel is built for ARM's old ABI, whose record layout is not known" % config.source,
                next_step="use a profile made from debug information",
            )
        return "armbe" if is_big_endian else "arm"
    if arch == "arm64":
        return "arm64be" if is_big_endian else "arm64"
    if arch == "riscv":
        return "riscv" if is_64_bit else "riscv32"
    if arch == "powerpc":
        return "powerpc32" if "CONFIG_PPC64" not in config.values else "powerpc" if is_little_endian else "powerpc64be"
    if arch == "mips":
        return ("mips64" if is_64_bit else "mips32" if is_little_endian else "mips") + ("el" if is_little_endian else "")
    if arch == "s390" and not is_64_bit:
        raise LayoutExpertError(
            "%s: the kernel is built for 31 bits, whose record layout is not known" % config.source,
            next_step="use a profile made from debug information",
        )
    return arch


def architecture_macros(arch, config):
    """{macro: replacement} that the architecture's Makefile passes by -D, as far as headers ask for it."""
    values = config.values
    macros = {}
    if arch == "arm":
        version = next((version for symbol, version in _ARM_ARCHITECTURES if symbol in values), None)
        if version is not None:
            macros["__LINUX_ARM_ARCH__"] = str(version)
        if "CONFIG_THUMB2_KERNEL" in values:
            macros.update({"__thumb__": "1", "__thumb2__": "1"})
    elif arch == "arm64" and "CONFIG_KASAN" in values:
        macros["KASAN_SHADOW_SCALE_SHIFT"] = "4" if "CONFIG_KASAN_SW_TAGS" in values else "3"
    elif arch == "s390" and "CONFIG_FUNCTION_TRACER" in values:
        macros["CC_USING_HOTPATCH"] = "1"
    elif arch == "powerpc":
        macros["HAVE_AS_ATHIGH"] = "1"
    return macros
