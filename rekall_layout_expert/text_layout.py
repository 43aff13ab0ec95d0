r"""layout(): the vtypes of any C text, without a kernel around it."""

from rekall_layout_expert.parser.scope import Scope
from rekall_layout_expert.preprocessor.compiler import Compiler
from rekall_layout_expert.preprocessor.headers import DirectoryHeaders
from rekall_layout_expert.preprocessor.translation_unit import TranslationUnit
from rekall_layout_expert.profile.vtypes import Vtypes
from rekall_layout_expert.record_layout.abi import find_abi
from rekall_layout_expert.record_layout.layouts import Layouts
from rekall_layout_expert.trimmer.index import DeclarationIndex


def layout(source, *, defines=None, include_paths=(), target="x86_64", names=None):
    """Lays out the structs and unions of a C text as GCC does for a target.

    source: the text; defines, include_paths: see `preprocess`; names: the types wanted, default all that have a name.
    Returns Rekall vtypes: {struct: [size, {member: [offset, [type, args]]}]}, in bytes.  What cannot be laid out for
    certain is left out.
    Raises LayoutExpertError for text that cannot be preprocessed.
    """
    return shuffled_layout(None, source, defines, include_paths, target, names)


def shuffled_layout(randstruct, source, defines=None, include_paths=(), target="x86_64", names=None):
    """As `layout`, with members shuffled as `record_layout.randstruct` does."""
    abi = find_abi(target)
    headers = DirectoryHeaders(source, include_paths)
    unit = TranslationUnit(headers, Compiler(target), headers.MAIN, defines)
    scope = Scope(DeclarationIndex(unit, all_opaque=True), unit.expand)
    scope.read_all()
    vtypes = Vtypes(Layouts(scope, abi, randstruct))
    for name in names if names is not None else scope.record_names():
        vtypes.add_named(name)
    return vtypes.structs

