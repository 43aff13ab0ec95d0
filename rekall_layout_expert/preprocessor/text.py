r"""preprocess(): a whole text with everything replaced, as ``gcc -E -P`` prints it."""

from rekall_layout_expert.c_tokens import Pragma, joins
from rekall_layout_expert.preprocessor.compiler import find_compiler
from rekall_layout_expert.preprocessor.headers import DirectoryHeaders
from rekall_layout_expert.preprocessor.translation_unit import TranslationUnit


def preprocess(source, *, defines=None, include_paths=(), target="x86_64", compiler="gcc 12.2.0"):
    """Preprocesses C text with the standard's semantics and GNU C's extensions.

    source: the text; defines: {name: replacement}, as -D gives them (None undefines); include_paths: directories, the
    only places where headers are looked for besides the including file's own; target: see `compiler.TARGETS`;
    compiler: "gcc VERSION" or "clang VERSION", whose predefined macros and __has_ operators there are.
    Returns text whose tokens are those of ``gcc -E -P``.
    Raises LayoutExpertError for #error, missing headers and malformed directives.
    """
    headers = DirectoryHeaders(source, include_paths)
    unit = TranslationUnit(headers, find_compiler(compiler, target), headers.MAIN, defines, spelling=True)
    return unit_text(unit)


def unit_text(unit):
    """The text of a walked translation unit whose macro table keeps white space."""
    out = []
    previous = "\n"
    for token in unit.text_tokens():
        if token.__class__ is Pragma:
            token = ("" if previous[-1] == "\n" else "\n") + "#pragma " + token + "\n"
        elif token.isspace():
            if previous[-1].isspace():
                continue
            token = "\n" if "\n" in token else " "
        elif not previous[-1].isspace() and joins(previous, token):
            out.append(" ")
        out.append(token)
        previous = token
    return "".join(out).strip() + "\n"
