r"""What a Pre-AST is: the programs of all headers that a root reaches, and where they came from."""

from rekall_layout_expert.errors import LayoutExpertError
from rekall_layout_expert.pre_ast.program import DEFINE, ERROR, IF, INCLUDE, INCLUDE_KINDS, LINE, OTHER, PRAGMA, TEXT, UNDEF

FORMAT = 2

# The virtual files every Pre-AST holds: what to include for the types, and what bounds.h is made of.
ROOT = "<root>"
BOUNDS = "<bounds>"


class PreAst:
    """header: what it was made from, plain data:

        format       FORMAT
        version      of the kernel, "6.1.90"
        release      UTS_RELEASE of the tree, "6.1.0-21-amd64", or None
        arch         as the kernel names it, "x86_64"
        source       "headers" (a headers package) or "source" (full kernel source)
        package_version  of the Debian or Ubuntu package that the tree came in, "6.1.90-1"; absent where nothing tells it
        common       name of the tree that several flavours share, or None
        search_path  directories of #include <…>, in order, relative to the tree
        platforms    [[directory, [symbol]]] that follow on the search path by config (see `pre_ast.platforms`)
        forced       files included before any other
        options      what the tree's Makefile gives the compiler: {"standard": "gnu11", "char_unsigned": true, …}, and
                     "passed", the macros that its Makefiles may pass by -D
        generated    paths of headers that the kernel's build computes from the config
        unknown      macros that such a header defines and that are not computed here
        private      [[path, config symbols, names]]: source files, translation units of their own, the symbols without
                     which each is not compiled, and the types to take from it (see `private_types`)
        randstruct   what the tree tells of CONFIG_RANDSTRUCT (`pre_ast.randstruct`); absent where it tells nothing

    files: {path: program}; digest: SHA-256 in hex of its content.
    """

    def __init__(self, header, files, digest=""):
        self.header = header
        self.files = files
        self.digest = digest
        # For those who ask again and again, under this config or another one:
        self.found = {}  # {search path: what an #include means there}
        self.tokens = {}  # {text: its tokens}
        self.answers = {}  # to conditions (see `preprocessor.conditions`)
        self._checked = set()

    def program(self, path):
        """The program of a file.  Raises LayoutExpertError if it is damaged."""
        program = self.files[path]
        if path not in self._checked:
            _check(program, path)
            self._checked.add(path)
        return program


def _check(program, path):
    """Raises LayoutExpertError unless `program` has the form that `pre_ast.program` describes."""
    try:
        for item in program:
            kind = item[0]
            if kind == TEXT:
                _, line, text, delta, flags, names = item
                good = line.__class__ is delta.__class__ is flags.__class__ is int
                "".join(names)  # a TypeError unless all are texts, sooner than by a loop
                good = good and text.__class__ is str and names.__class__ is list and "" not in names
            elif kind == DEFINE:
                _, name, parameters, body = item
                "".join(() if parameters is None else parameters)
                good = name.__class__ is body.__class__ is str
            elif kind == IF:
                good = True
                for condition, body in item[1]:
                    good = good and condition.__class__ is str
                    _check(body, path)
            elif kind == INCLUDE:
                _, mode, spelled = item
                good = mode in INCLUDE_KINDS and spelled.__class__ is str
            elif kind == OTHER:
                good = item[1].__class__ is item[2].__class__ is str
            else:
                good = kind in (UNDEF, PRAGMA, ERROR, LINE) and item[1].__class__ is str
            if not good:
                raise ValueError
    except (ValueError, TypeError, IndexError, AttributeError, RecursionError):
        raise LayoutExpertError("the Pre-AST is damaged at %s" % path, next_step="build it again") from None
