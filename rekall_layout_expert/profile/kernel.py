r"""One kernel from its Pre-AST and config: the translation unit, and the types in it.

The kernel's build makes bounds.h first, from types whose headers must then do without it; so there are two passes over
the same Pre-AST, the first of which only reaches the few headers that kernel/bounds.c includes.
"""

import posixpath

from rekall_layout_expert.c_integers import NotConstant
from rekall_layout_expert.errors import LayoutExpertError
from rekall_layout_expert.parser.scope import NotKnown, Scope
from rekall_layout_expert.pre_ast.bounds import PREFIX, UNKNOWN_PREFIX
from rekall_layout_expert.pre_ast.model import BOUNDS, ROOT
from rekall_layout_expert.pre_ast.platforms import has
from rekall_layout_expert.preprocessor.compiler import CLANG_SINCE, Clang, Compiler
from rekall_layout_expert.preprocessor.generated import CPU_FEATURES, generated_program
from rekall_layout_expert.preprocessor.headers import UnchangingHeaders
from rekall_layout_expert.preprocessor.translation_unit import TranslationUnit
from rekall_layout_expert.profile.makefiles import architecture_macros, target_of
from rekall_layout_expert.profile.probes import probed_macros
from rekall_layout_expert.profile.randstruct import randstruct_of
from rekall_layout_expert.record_layout.abi import find_abi
from rekall_layout_expert.record_layout.clang import LAYOUTS
from rekall_layout_expert.trimmer.index import DeclarationIndex

# What a config that does not name its compiler (before 4.18) may have been built with; the first is the likeliest.
_OLD_COMPILERS = ((4, 9, 4), (4, 4, 7), (7, 3, 0))
_COMPILERS = ((12, 2, 0), (8, 3, 0))
_COMPILER_IN_CONFIG = (4, 18)
# What the config turns on of clang (scripts/Makefile.kasan and its like), as __has_feature tells it.
_FEATURES = (
    ("CONFIG_KASAN", ""), ("CONFIG_KASAN_GENERIC", "address_sanitizer"),
    ("CONFIG_KASAN_SW_TAGS", "hwaddress_sanitizer"), ("CONFIG_KCSAN", "thread_sanitizer"),
    ("CONFIG_KMSAN", "memory_sanitizer"), ("CONFIG_KCOV", "coverage_sanitizer"),
    ("CONFIG_UBSAN", "undefined_behavior_sanitizer"), ("CONFIG_SHADOW_CALL_STACK", "shadow_call_stack"),
    ("CONFIG_CFI", "kcfi"),
)  # fmt: skip


class KernelHeaders(UnchangingHeaders):
    """The headers of a Pre-AST, with the generated ones made for a config."""

    def __init__(self, pre_ast, config):
        platforms = pre_ast.header.get("platforms", ())
        search_path = (*pre_ast.header["search_path"], *[path for path, symbols in platforms if has(symbols, config.values)])
        super().__init__(search_path, pre_ast.found.setdefault(search_path, {}))
        self.answers = pre_ast.answers
        self.tokens = pre_ast.tokens
        self._pre_ast = pre_ast
        self._generated = dict.fromkeys(pre_ast.header["generated"])
        self._config = config
        self._bounds = {}

    def take_bounds(self, bounds):
        """Makes bounds.h, which was empty so far: {symbol: value}."""
        self._bounds = bounds
        for path in self._generated:
            if path.endswith("/bounds.h"):
                self._generated[path] = None

    def exists(self, path):
        return path in self._pre_ast.files or path in self._generated

    def program(self, path):
        if path not in self._generated:
            return self._pre_ast.program(path)
        if self._generated[path] is None:
            features = self._pre_ast.program(CPU_FEATURES) if CPU_FEATURES in self._pre_ast.files else None
            self._generated[path] = generated_program(
                path, self._config.values, self._bounds, self._pre_ast.header["release"], features
            )
        return self._generated[path]


class Kernel:
    """The types of one kernel.

    pre_ast: a PreAst; config: a KernelConfig; unit: the class of the walk, if not the usual; compiler: the Compiler that the
    kernel's banner names, for a config that names none; assumed: the version of GCC to assume where neither does; symbols:
    its Symbols, where they are known.  Attributes: compiler, other_compilers (versions of GCC that may be the kernel's as
    well, where nothing names it), unit (the walked TranslationUnit), scope, layouts, notes
    (sentences about what was assumed).
    Raises LayoutExpertError where the two do not fit each other.
    """

    translation_unit = TranslationUnit
    scope_of = Scope

    def __init__(self, pre_ast, config, unit=None, randstruct_seed=None, compiler=None, symbols=None, assumed=None):
        check_fit(pre_ast, config)
        self.pre_ast = pre_ast
        self.config = config
        self.notes = []
        self._options = pre_ast.header["options"]
        found = config.compiler or compiler
        self._may_be_older = found is None and _version_numbers(pre_ast.header["version"]) < _COMPILER_IN_CONFIG
        self.other_compilers = ()
        self.compiler = self._compiler(found, assumed)
        self._probed = probed_macros(self._options["passed"], config, found, symbols)
        self._randstruct, notes = randstruct_of(
            config, _version_numbers(pre_ast.header["version"]), pre_ast.header.get("randstruct", {}), randstruct_seed
        )
        self.notes += notes
        self._abi = find_abi(self.compiler.target, self.compiler.version if self.compiler.name == "clang" else None)
        self._abi.arithmetic.char_unsigned |= self._options["char_unsigned"]
        self._unknown = list(pre_ast.header["unknown"])
        self._headers = KernelHeaders(pre_ast, config)
        self._headers.take_bounds(self._bounds_values())
        self.unit = self._walk(ROOT, unit)

    def read_types(self):
        """Makes `scope` and `layouts`."""
        self.scope, self.layouts = self._types(self.unit)

    def private_types(self, path, symbols):
        """(scope, layouts) of a source file, compiled by itself; symbols: the config's that it needs, its own last.

        Raises NotKnown if this kernel has not got it.
        """
        for symbol in symbols:
            if self.config.values.get(symbol) not in ("y", "m"):
                raise NotKnown("%s is not compiled without %s" % (path, symbol))
        name = posixpath.basename(path)[: -len(".c")]
        defines = {"KBUILD_BASENAME": '"%s"' % name, "KBUILD_MODNAME": '"%s"' % name, "__KBUILD_MODNAME": "kmod_" + name}
        if symbols and self.config.values[symbols[-1]] == "m":
            defines["MODULE"] = "1"
        try:
            return self._types(self._walk(path, defines=defines))
        except LayoutExpertError as error:
            raise NotKnown(str(error)) from None

    def _types(self, unit):
        dialect = self.config.values.get("CONFIG_CC_MS_EXTENSIONS", '""').strip('"')
        scope = self.scope_of(DeclarationIndex(unit), unit.expand, bool(dialect) or self._options["ms_extensions"])
        layouts = LAYOUTS[self.compiler.name](scope, self._abi, self._randstruct, self.compiler.version)
        if self._may_be_older:
            layouts.packs_chars = None
        return scope, layouts

    def _walk(self, root, unit=None, defines=()):
        defines = dict(self._defines(), **dict(defines))
        return (unit or self.translation_unit)(
            self._headers, self.compiler, root, defines, self.pre_ast.header["forced"], self._unknown
        )

    def _compiler(self, found, assumed):
        version = _version_numbers(self.pre_ast.header["version"])
        if found is None:
            likely, *others = _OLD_COMPILERS if version < _COMPILER_IN_CONFIG else _COMPILERS
            compiler = assumed or likely
            self.other_compilers = tuple(each for each in (likely, *others) if each != compiler)
            self.notes.append("the config does not name its compiler; gcc %d.%d.%d is assumed" % compiler)
        else:
            compiler = found.version
        target = target_of(self.pre_ast.header["arch"], self.config)
        char_unsigned = self._options["char_unsigned"] or None
        if found is not None and found.name == "clang":
            if compiler < (CLANG_SINCE,):
                raise LayoutExpertError(
                    "%s: the kernel was built with %s, which is older than what is known of clang" % (self.config.source, found),
                    next_step="use a profile made from debug information",
                )
            return Clang(target, compiler, True, char_unsigned, self._features())
        return Compiler(target, compiler, True, char_unsigned)

    def _features(self):
        """Clang's features that the kernel's Makefile turns on by the config."""
        values = self.config.values
        features = {feature for symbol, feature in _FEATURES if values.get(symbol) == "y"}
        if values.get("CONFIG_CFI_CLANG") == "y":  # since 6.1 by a sanitizer of its own
            features.add("kcfi" if _version_numbers(self.pre_ast.header["version"]) >= (6, 1) else "cfi_sanitizer")
        return features

    def _defines(self):
        """What the kernel's Makefile passes by -D, and what its options define."""
        values = self.config.values
        defines = {"__KERNEL__": "1", **architecture_macros(self.pre_ast.header["arch"], self.config)}
        if self._options["standard"] == "gnu89":
            defines.update({"__STDC_VERSION__": None, "__GNUC_STDC_INLINE__": None, "__GNUC_GNU_INLINE__": "1"})
        defines.update(self._probed)
        for symbol, macro in (
            ("CONFIG_CC_OPTIMIZE_FOR_SIZE", "__OPTIMIZE_SIZE__"),
            ("CONFIG_KASAN", "__SANITIZE_ADDRESS__"),
            ("CONFIG_KCSAN", "__SANITIZE_THREAD__"),
        ):
            # The kernel's headers define the sanitizers' for clang, by its features.
            if values.get(symbol) == "y" and (self.compiler.name == "gcc" or symbol not in dict(_FEATURES)):
                defines[macro] = "1"
        if self._randstruct is not None:
            defines.update({"RANDSTRUCT_PLUGIN": "1", "RANDSTRUCT": "1"})
        if values.get("CONFIG_X86_X32") == "y":  # a probe of the linker before 5.18, which every x86-64 one passes
            defines["CONFIG_X86_X32_ABI"] = "1"
        if values.get("CONFIG_FUNCTION_TRACER") == values.get("CONFIG_HAVE_FENTRY") == "y":
            defines["CC_USING_FENTRY"] = "1"
        return defines

    def _bounds_values(self):
        """{symbol: value} of bounds.h.  Raises LayoutExpertError: a value that is missing would count as 0 in #if."""
        if not self.pre_ast.files.get(BOUNDS):
            return {}
        unit = self._walk(BOUNDS)
        scope, layouts = self._types(unit)
        bounds = {}
        for declaration in unit.declarations:
            for name in declaration.names:
                if name.startswith(UNKNOWN_PREFIX):
                    self._unknown.append(name[len(UNKNOWN_PREFIX) :])
                if name.startswith(PREFIX):
                    try:
                        bounds[name[len(PREFIX) :]] = layouts.constants.value([name])
                    except (NotKnown, NotConstant) as error:
                        raise LayoutExpertError(
                            "%s of the kernel's bounds.h cannot be computed: %s" % (name[len(PREFIX) :], error)
                        ) from None
        return bounds


def check_fit(pre_ast, config):
    """Raises LayoutExpertError for a config of another architecture or version than the Pre-AST's."""
    arch = pre_ast.header["arch"]
    if config.architecture is not None and config.architecture != arch:
        raise LayoutExpertError(
            "%s is a config for %s, the Pre-AST is for %s" % (config.source, config.architecture, arch),
            next_step="use the Pre-AST that was built with --arch %s" % config.architecture,
        )
    if config.release and _version_numbers(config.release)[:3] != _version_numbers(pre_ast.header["version"])[:3]:
        raise LayoutExpertError(
            "%s is a config of kernel %s, the Pre-AST is of kernel %s"
            % (config.source, config.release, pre_ast.header["version"]),
            next_step="use the Pre-AST of that kernel",
        )


def _version_numbers(version):
    numbers = []
    for part in version.replace("-", ".").split("."):
        digits = "".join(character for character in part if character.isdigit())
        if not digits or not part[0].isdigit():
            break
        numbers.append(int(digits))
    return tuple(numbers)
