r"""What the compiler itself brings: predefined macros and the __has_ operators.

The macros of a target are kept as ``gcc -dM -E`` of GCC 12 prints them: with the kernel's options in
``predefined/TARGET.kernel.h``, without any in ``predefined/TARGET.h``.  What differs between the versions of GCC that
built kernels, and can be seen by headers, is computed here from the version.
"""

import functools
import os
import re

from rekall_layout_expert.errors import LayoutExpertError

_DIRECTORY = os.path.join(os.path.dirname(__file__), "predefined")
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


class Compiler:
    """GCC of one version for one target.

    target: one of TARGETS or a variant of one; version: (major, minor, patch level); kernel: with the options that
    kernels are built with; char_unsigned: -funsigned-char (kernels from 6.2 on).
    """

    def __init__(self, target="x86_64", version=(12, 2, 0), kernel=False, char_unsigned=None):
        if target not in TARGETS + _VARIANTS:
            raise LayoutExpertError(
                "no target is called %s" % target, next_step="the targets are " + ", ".join(TARGETS)
            )
        self.target = target
        self.version = version
        self.kernel = kernel
        self.char_unsigned = char_unsigned

    def predefined(self):
        """[(name, parameters | None, body)] of the macros that are defined before the first line."""
        path = os.path.join(_DIRECTORY, self.target + (".kernel.h" if self.kernel else ".h"))
        if not os.path.exists(path):
            path = os.path.join(_DIRECTORY, self.target + ".kernel.h")
        with open(path, encoding="ascii") as file:
            macros = {}
            for line in file:
                name, parameters, body = _DEFINE.match(line).groups()
                macros[name] = (None if parameters is None else parameters.split(","), body)
        major, minor, patch = self.version
        macros["__GNUC__"] = (None, str(major))
        macros["__GNUC_MINOR__"] = (None, str(minor))
        macros["__GNUC_PATCHLEVEL__"] = (None, str(patch))
        macros["__VERSION__"] = (None, '"%d.%d.%d"' % (major, minor, patch))
        if self.char_unsigned is not None:
            macros.pop("__CHAR_UNSIGNED__", None)
            if self.char_unsigned:
                macros["__CHAR_UNSIGNED__"] = (None, "1")
        return [(name, parameters, body) for name, (parameters, body) in macros.items()]

    def operators(self):
        """{operator: function(operand text) -> int} of the __has_ operators this compiler knows."""
        operators = {}
        if self.version >= (5,):
            operators["__has_attribute"] = self._has_attribute
            operators["__has_cpp_attribute"] = self._has_attribute
        if self.version >= (10,):
            operators["__has_builtin"] = self._has_builtin
        if self.version >= (11,):
            operators["__has_c_attribute"] = self._has_attribute
        if self.version >= (14,):
            operators["__has_feature"] = operators["__has_extension"] = lambda name: 0
        return operators

    def _has_attribute(self, name):
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


@functools.lru_cache(maxsize=None)
def _builtins():
    """The names that GCC 12 answers __has_builtin with 1 for, those of single targets left out."""
    with open(os.path.join(_DIRECTORY, "builtins.txt"), encoding="ascii") as file:
        return frozenset(file.read().split())
