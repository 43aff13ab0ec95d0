r"""The headers that a kernel's build generates, made from the host's config instead.

autoconf.h is the config itself (scripts/kconfig); timeconst.h is arithmetic on CONFIG_HZ (kernel/time/timeconst.bc);
cpufeaturemasks.h follows from the CONFIG_X86_…_FEATURE_ symbols (arch/x86/tools/cpufeaturemasks.awk); utsrelease.h and
compile.h hold strings.  bounds.h needs sizes and enumerators of the kernel's own types, so its values come from a first
pass (see `profile.kernel`).  Any other generated header (asm-offsets.h, rq-offsets.h) is served empty, and its macros are
unknown by name: no type may depend on one, and what does is refused instead of taking another build's value.
"""

from math import gcd

from rekall_layout_expert.errors import LayoutExpertError
from rekall_layout_expert.pre_ast.program import DEFINE, TEXT

CPU_FEATURES = "arch/x86/include/asm/cpufeatures.h"  # whose macros are read as they stand
CALLED = ("U64_C",)  # the headers' own macros that the generated ones call
_BITS_OF_A_LONG = 32


def config_macros(values):
    """autoconf.h: {macro: replacement} for a config's {"CONFIG_X": value as written}."""
    macros = {}
    for name, value in values.items():
        if value == "y":
            macros[name] = "1"
        elif value == "m":
            macros[name + "_MODULE"] = "1"
        elif value != "n":
            macros[name] = value
    return macros


def generated_program(path, config, bounds, release, features=None):
    """The program of a generated header.

    path: where the tree would hold it; config: the values of the config; bounds: {symbol: value} of bounds.h;
    release: UTS_RELEASE or None; features: the program of asm/cpufeatures.h, for cpufeaturemasks.h.
    """
    name = path.rpartition("/")[2]
    if name == "autoconf.h":
        return _defines(config_macros(config))
    if name == "bounds.h":
        return _defines({symbol: str(value) for symbol, value in bounds.items()})
    if name == "timeconst.h":
        return _defines(timeconst(_frequency(config.get("CONFIG_HZ", "100"))))
    if name == "cpufeaturemasks.h":
        return _defines(_feature_masks(config, features or []))
    if name in ("utsrelease.h", "utsversion.h", "compile.h"):
        return _defines({"UTS_RELEASE": '"%s"' % (release or ""), "UTS_VERSION": '""', "UTS_MACHINE": '""'})
    return []


def _defines(macros):
    return [[DEFINE, name, None, body] if name[-1] != ")" else _with_parameters(name, body) for name, body in macros.items()]


def _with_parameters(name, body):
    name, _, parameters = name.partition("(")
    return [DEFINE, name, parameters.rstrip(")").split(","), body]


def _frequency(text):
    if not text.isdigit() or len(text) > 6 or not int(text):
        raise LayoutExpertError("CONFIG_HZ=%s is no timer frequency" % text, next_step="give the kernel's own config")
    return int(text)


def timeconst(hz):
    """timeconst.h for a timer frequency in Hz: {macro: replacement}."""
    macros = {}
    for unit, per_second in (("MSEC", 1000), ("USEC", 1000000), ("NSEC", 1000000000)):
        common = gcd(hz, per_second)
        if unit != "NSEC":
            for name, multiplier, divisor in (("HZ_TO_%s" % unit, per_second, hz), ("%s_TO_HZ" % unit, hz, per_second)):
                shift = _shift(multiplier, divisor)
                scaled = -(-(multiplier << shift) // divisor)
                divisor //= common
                adjust = ((1 << shift) * (divisor - 1)) // divisor if divisor else 0
                macros[name + "_MUL32"] = "U64_C(0x%X)" % scaled
                macros[name + "_ADJ32"] = "U64_C(0x%X)" % adjust
                macros[name + "_SHR32"] = str(shift)
        macros["HZ_TO_%s_NUM" % unit] = macros["%s_TO_HZ_DEN" % unit] = str(per_second // common)
        macros["HZ_TO_%s_DEN" % unit] = macros["%s_TO_HZ_NUM" % unit] = str(hz // common)
    return macros


def _shift(multiplier, divisor):
    """The shift with which multiplier / divisor takes all of 32 bits."""
    shift = 0
    while -(-(multiplier << shift) // divisor) < 1 << (_BITS_OF_A_LONG - 1):
        shift += 1
    return shift


def _feature_masks(config, features):
    """The required and disabled CPU features as masks of 32 bits, by the numbers in asm/cpufeatures.h."""
    numbers = {}
    words = 0
    for item in _all_defines(features):
        name, body = item[1], item[3]
        if name == "NCAPINTS":
            words = int(body.split()[0], 0)
        elif name.startswith("X86_FEATURE_") and "*" in body:
            word, _, bit = body.strip("() ").partition("*32+")
            if word.strip().isdigit() and bit.strip().isdigit():
                numbers[name[len("X86_FEATURE_") :]] = int(word) * 32 + int(bit)
    macros = {}
    for kind in ("REQUIRED", "DISABLED"):
        prefix = "CONFIG_X86_%s_FEATURE_" % kind
        masks = [0] * words
        for name, value in config.items():
            number = numbers.get(name[len(prefix) :]) if name.startswith(prefix) and value == "y" else None
            if number is not None and number // 32 < words:
                masks[number // 32] |= 1 << number % 32
        for word, mask in enumerate(masks):
            macros["%s_MASK%d" % (kind, word)] = "0x%08xU" % mask
        choices = ["((x) >> 5) == %d ? %s_MASK%d :" % (word, kind, word) for word, mask in enumerate(masks) if mask]
        macros["%s_MASK_BIT_SET(x)" % kind] = "((%s 0) & (1U << ((x) & 31)))" % " ".join(choices)
    return macros


def _all_defines(program):
    for item in program:
        if item[0] == DEFINE:
            yield item
        elif item[0] != TEXT and isinstance(item[1], list):
            for _, body in item[1]:
                yield from _all_defines(body)
