r"""What the compiler itself brings: predefined macros and the __has_ operators.

The macros of a target are kept as ``gcc -dM -E`` of GCC 12 prints them: with the kernel's options in
``predefined/TARGET.kernel.h``, without any in ``predefined/TARGET.h``.  What differs between the versions of GCC that
built kernels, and can be seen by headers, is computed here from the version.

Those of clang are in ``predefined/clang/``, of all its versions from 9 on in one file: a line that opens with ``14-19``
or ``14-`` is of these major versions only.  ``operators.txt`` holds, in the same form, every name that its __has_
operators answer with something else than 0, and the targets where that is so if it is not everywhere.
"""

import functools
import os
import re

from rekall_layout_expert.c_integers import NotConstant
from rekall_layout_expert.errors import LayoutExpertError

_DIRECTORY = os.path.join(os.path.dirname(__file__), "predefined")
_DESCRIPTION = re.compile(r"(gcc|clang) (\d+)(?:\.(\d+))?(?:\.(\d+))?")
_DEFINE = re.compile(r"#define (\w+)(?:\(([^)]*)\))? ?(.*)")

TARGETS = ("x86_64", "i386", "arm64", "arm", "s390", "mips", "powerpc", "riscv")
# What these are by the kernel's config: the other byte order, the other width.
_VARIANTS = (
    "arm64be", "armbe", "mips32el", "mips64", "mips64el", "powerpc64be", "powerpc32", "riscv32",
)  # fmt: skip

# The version of GCC that introduced an attribute which kernels ask for by __has_attribute (GCC's release notes).
_ATTRIBUTES = {
    "access": 10, "alias": 4, "aligned": 4, "alloc_size": 4, "always_inline": 4, "assume_aligned": 4, "cleanup": 4,
    "cold": 4, "const": 4, "copy": 9, "counted_by": 15, "deprecated": 4, "designated_init": 5, "error": 4,
    "externally_visible": 4, "fallthrough": 7, "fd_arg": 13, "flatten": 4, "format": 4, "gnu_inline": 4, "hot": 4,
    "indirect_branch": 7, "leaf": 4, "malloc": 4, "mode": 4, "ms_struct": 4, "gcc_struct": 4, "naked": 8,
    "no_caller_saved_registers": 7, "no_instrument_function": 4, "no_profile_instrument_function": 7, "no_reorder": 5,
    "no_sanitize": 8, "no_sanitize_address": 5, "no_sanitize_coverage": 12, "no_sanitize_thread": 7,
    "no_sanitize_undefined": 5, "no_stack_protector": 11, "noclone": 4, "noinline": 4, "noipa": 8, "nonnull": 4,
    "nonnull_if_nonzero": 15, "nonstring": 8, "noreturn": 4, "null_terminated_string_arg": 14, "optimize": 4,
    "packed": 4, "pure": 4, "retain": 11, "returns_nonnull": 4, "scalar_storage_order": 6, "section": 4, "symver": 10,
    "target": 4, "transparent_union": 4, "unavailable": 12, "uninitialized": 12, "unused": 4, "used": 4,
    "vector_size": 4, "visibility": 4, "warn_unused_result": 4, "warning": 4, "weak": 4, "zero_call_used_regs": 11,
    "btf_type_tag": 16, "btf_decl_tag": 16, "strict_flex_array": 13, "may_alias": 4,
}  # fmt: skip
# The same for builtins that are newer than others (__has_builtin is there from GCC 10).
_BUILTINS_SINCE = {
    "__builtin_counted_by_ref": 15, "__builtin_dynamic_object_size": 12, "__builtin_bswap128": 11,
    "__builtin_clear_padding": 11, "__builtin_popcountg": 14, "__builtin_clzg": 14, "__builtin_ctzg": 14,
    "__builtin_ffsg": 14, "__builtin_parityg": 14, "__builtin_clrsbg": 14, "__builtin_stdc_rotate_left": 15,
    "__builtin_stdc_rotate_right": 15,
}  # fmt: skip

# #cpu and #machine; GCC has none for the other targets.
_MACHINES = {"x86_64": "x86_64", "i386": "i386", "arm": "arm", "armbe": "arm", "s390": "s390", "powerpc": "powerpc64"}

# Attributes without a scope, with the dates of C23 (GCC 12's c_common_has_attribute).
_STANDARD_ATTRIBUTES = {"deprecated": 201904, "fallthrough": 201904, "maybe_unused": 201904, "nodiscard": 202003}


# Operators of clang whose answers no table here has, by their first version: what they ask for is refused.
_NOT_ANSWERED = {
    "__has_warning": 9, "__has_declspec_attribute": 9, "__is_identifier": 9, "__is_target_arch": 9,
    "__is_target_vendor": 9, "__is_target_os": 9, "__is_target_environment": 9, "__has_constexpr_builtin": 19,
    "__has_embed": 19,
}  # fmt: skip
# The builtins of single targets, many thousands of them.
_TARGETS_OWN_BUILTIN = re.compile(
    r"__builtin_(ia32|arm|aarch64|neon|sve|sme|altivec|vsx|ppc|pack|unpack|darn|cfuged|divde|divwe|HEXAGON|s390|tdc|tbegin|"
    r"tabort|tend|tx|riscv|rvv|rv|sifive|mips|msa|amdgcn|r600|ptx|wasm|bpf|ve|loongarch|lasx|lsx|xtensa|spirv|hlsl|"
    r"mma|mmx|set_fpscr|get_fpscr)_|__nvvm_|__rvv_|__ppc_|_(Interlocked|Bit|Read|Write|mm|xchg)\w*|__(mulh|umulh|readfs|readgs)"
)


# The oldest clang whose macros and operators are known; kernels ask for 10.0.1 since they ask for any.
CLANG_SINCE = 9


class Compiler:
    """GCC of one version for one target; see Clang for the other.

    target: one of TARGETS or a variant of one; version: (major, minor, patch level); kernel: with the options that
    kernels are built with; char_unsigned: -funsigned-char (kernels from 6.2 on).
    """

    name = "gcc"

    def __init__(self, target="x86_64", version=(12, 2, 0), kernel=False, char_unsigned=None):
        if target not in TARGETS + _VARIANTS:
            raise LayoutExpertError(
                "no target is called %s" % target, next_step="the targets are " + ", ".join(TARGETS)
            )
        self.target = target
        self.version = version
        self.kernel = kernel
        self.char_unsigned = char_unsigned

    def __str__(self):
        return "%s %d.%d.%d" % ((self.name,) + tuple(self.version))

    def predefined(self):
        """[(name, parameters | None, body)] of the macros that are defined before the first line."""
        macros = self._macros(_DIRECTORY)
        for name, body in self._version_macros():
            macros[name] = (None, body)
        if self.char_unsigned is not None:
            macros.pop("__CHAR_UNSIGNED__", None)
            if self.char_unsigned:
                macros["__CHAR_UNSIGNED__"] = (None, "1")
        return [(name, parameters, body) for name, (parameters, body) in macros.items()]

    def _macros(self, directory):
        """{name: (parameters | None, body)} of the target's file in that directory."""
        path = os.path.join(directory, self.target + (".kernel.h" if self.kernel else ".h"))
        if not os.path.exists(path):
            path = os.path.join(directory, self.target + ".kernel.h")
        macros = {}
        with open(path, encoding="ascii") as file:
            for line in file:
                if line[0] != "#":
                    span, _, line = line.partition(" ")
                    if not _within(self.version[0], span):
                        continue
                name, parameters, body = _DEFINE.match(line).groups()
                macros[name] = (None if parameters is None else parameters.split(","), body)
        return macros

    def _version_macros(self):
        major, minor, patch = self.version
        yield "__GNUC__", str(major)
        yield "__GNUC_MINOR__", str(minor)
        yield "__GNUC_PATCHLEVEL__", str(patch)
        yield "__VERSION__", '"%d.%d.%d"' % (major, minor, patch)

    def operators(self):
        """{operator: function(operand text) -> int} of the __has_ operators this compiler knows."""
        operators = {}
        if self.version >= (5,):
            operators["__has_attribute"] = self._has_attribute
            operators["__has_cpp_attribute"] = self._has_attribute
        if self.version >= (10,):
            operators["__has_builtin"] = self._has_builtin
        if self.version >= (11,):
            operators["__has_c_attribute"] = self._has_c_attribute
        if self.version >= (14,):
            operators["__has_feature"] = operators["__has_extension"] = lambda name: 0
        return operators

    def assertions(self):
        """{predicate: its answers} of GCC's assertions for Linux."""
        assertions = {"system": {"linux", "unix", "posix"}}
        if self.target in _MACHINES:
            assertions["cpu"] = {_MACHINES[self.target]}
            assertions["machine"] = {_MACHINES[self.target]}
        return assertions

    def _has_c_attribute(self, name):
        scope, _, attribute = name.replace("__", "").rpartition("::")
        return self._has_attribute(name) if scope else _STANDARD_ATTRIBUTES.get(attribute, 0)

    def _has_attribute(self, name):
        if "::" in name and name.partition("::")[0].strip("_") != "gnu":
            return 0
        name = name.rpartition("::")[2]
        if name.startswith("__") and name.endswith("__"):
            name = name[2:-2]
        if name not in _ATTRIBUTES or _ATTRIBUTES[name] > self.version[0]:
            return 0
        return 201904 if name in ("fallthrough", "deprecated") else 1

    def _has_builtin(self, name):
        if name in _BUILTINS_SINCE:
            return int(_BUILTINS_SINCE[name] <= self.version[0])
        return int(name in _builtins())


class Clang(Compiler):
    """Clang of one version for one target.

    features: those that options turn on, for __has_feature; the other arguments are Compiler's.
    """

    name = "clang"

    def __init__(self, target="x86_64", version=(16, 0, 6), kernel=False, char_unsigned=None, features=()):
        super().__init__(target, version, kernel, char_unsigned)
        self.features = features
        if version[0] < CLANG_SINCE:
            raise LayoutExpertError(
                "%s is older than what is known of clang" % self, next_step="known is clang %d and later" % CLANG_SINCE
            )

    def _macros(self, directory):
        return super()._macros(os.path.join(directory, "clang"))

    def _version_macros(self):
        version = "%d.%d.%d" % tuple(self.version)
        yield from zip(("__clang_major__", "__clang_minor__", "__clang_patchlevel__"), version.split("."))
        yield "__clang_version__", '"%s "' % version
        yield "__VERSION__", '"Clang %s"' % version

    def operators(self):
        answers = _clang_answers()
        operators = {"__building_module": lambda name: 0}
        for operator in ("attribute", "builtin", "feature", "extension", "c_attribute"):
            operators["__has_" + operator] = functools.partial(self._answer, answers[operator], operator)
        for name, since in _NOT_ANSWERED.items():
            if self.version[0] >= since:
                operators[name] = functools.partial(_not_answered, name)
        return operators

    def _answer(self, answers, operator, name):
        if operator in ("feature", "extension") and name in self.features:
            return 1
        if operator != "builtin":
            if operator.endswith("attribute"):
                name = name.replace("__gnu__::", "gnu::").replace("_Clang::", "clang::")
            scope, _, name = name.rpartition("::")
            if name.startswith("__") and name.endswith("__") and len(name) > 4:
                name = name[2:-2]
            name = scope and scope + "::" + name or name
        elif name not in answers and _TARGETS_OWN_BUILTIN.match(name):
            _not_answered("__has_builtin(%s)" % name)
        for span, targets, value in answers.get(name, ()):
            if _within(self.version[0], span) and (targets is None or self.target in targets):
                return value
        return 0


def _within(major, span):
    """Whether a major version is in a span like 14-19, 14- or 14."""
    first, dash, last = span.partition("-")
    return int(first) <= major and (major <= int(last or first) if last or not dash else True)


def _not_answered(name, *_):
    raise NotConstant("what clang answers to %s is not known" % name)


def find_compiler(described, target="x86_64", **options):
    """The Compiler that a text like "gcc 12.2.0" or "clang 16.0.6" describes.  Raises LayoutExpertError."""
    found = _DESCRIPTION.fullmatch(described)
    if not found:
        raise LayoutExpertError("'%s' is no compiler" % described, next_step="say for example gcc 12.2.0 or clang 16.0.6")
    version = tuple(int(number or 0) for number in found.groups()[1:])
    return {"gcc": Compiler, "clang": Clang}[found.group(1)](target, version, **options)


@functools.lru_cache(maxsize=None)
def _clang_answers():
    """{operator: {name: [(span of major versions, targets | None for all, value)]}}"""
    answers = {}
    with open(os.path.join(_DIRECTORY, "clang", "operators.txt"), encoding="ascii") as file:
        for line in file:
            operator, name, span, value, *targets = line.split()
            found = answers.setdefault(operator, {}).setdefault(name, [])
            found.append((span, frozenset(targets) or None, int(value)))
    return answers


@functools.lru_cache(maxsize=None)
def _builtins():
    """The names that GCC 12 answers __has_builtin with 1 for, those of single targets left out."""
    with open(os.path.join(_DIRECTORY, "builtins.txt"), encoding="ascii") as file:
        return frozenset(file.read().split())
