r"""layout(): the vtypes of any C text, without a kernel around it."""

from rekall_layout_expert.parser.scope import Scope
from rekall_layout_expert.preprocessor.compiler import find_compiler
from rekall_layout_expert.preprocessor.directories import DirectoryHeaders
from rekall_layout_expert.preprocessor.translation_unit import TranslationUnit
from rekall_layout_expert.profile.vtypes import Vtypes
from rekall_layout_expert.record_layout.abi import find_abi
from rekall_layout_expert.record_layout.clang import LAYOUTS
from rekall_layout_expert.trimmer.index import DeclarationIndex


def layout(source, *, defines=None, include_paths=(), target="x86_64", names=None, compiler="gcc 12.2.0"):
    """Lays out the structs and unions of a C text as a compiler does for a target.

    source: the text; defines, include_paths: see `preprocess`; names: the types wanted, default all that have a name;
    compiler: "gcc VERSION" or "clang VERSION".
    Returns Rekall vtypes: {struct: [size, {member: [offset, [type, args]]}]}, in bytes.  What cannot be laid out for
    certain is left out.
    Raises LayoutExpertError for text that cannot be preprocessed.
    """
    return shuffled_layout(None, source, defines, include_paths, target, names, compiler)


def shuffled_layout(randstruct, source, defines=None, include_paths=(), target="x86_64", names=None, compiler="gcc 12.2.0"):
    """As `layout`, with members shuffled as `record_layout.randstruct` does."""
    compiler = find_compiler(compiler, target)
    abi = find_abi(target, compiler.version if compiler.name == "clang" else None)
    headers = DirectoryHeaders(source, include_paths)
    unit = TranslationUnit(headers, compiler, headers.MAIN, defines)
    scope = Scope(DeclarationIndex(unit, all_opaque=True), unit.expand)
    scope.read_all()
    vtypes = Vtypes(LAYOUTS[compiler.name](scope, abi, randstruct, compiler.version))
    for name in names if names is not None else scope.record_names():
        vtypes.add_named(name)
    return vtypes.structs

