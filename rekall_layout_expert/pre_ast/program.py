r"""One header as a program: what a preprocessor does with it, every branch kept.

Translation phases 1 to 3 are done once (lines joined, comments gone), directives are taken apart, and the text between
them is cut into *pieces* at the boundaries of declarations, so that a later stage can pass over a declaration that nobody
asks for without reading it (see `compilation`).  A program is a list of items, lists of plain data that go to a file as
they are; the first element says which:

    [TEXT, line, text, delta, flags, names]     a declaration, or a part of one that a directive interrupts
    [DEFINE, name, parameters | None, body]     parameters of a variadic macro end in "..." or "name..."
    [UNDEF, name]
    [IF, [[condition, program], ...]]           conditions "+NAME" (ifdef), "-NAME" (ifndef), "?expression", "" (else)
    [INCLUDE, kind, spelled]                    kind '"' or '<', behind "next" or "import"; '' for a computed one, whose
                                                text then begins with "#next " or "#import "
    [PRAGMA, text]  [ERROR, text]  [LINE, "number-of-this-line text"]
    [OTHER, keyword, text]                      what only a preprocessor for its own sake minds: ident, assert, unassert

`delta` is how many more brackets the piece opens than it closes, `flags` are ENDS (a declaration may end here), OPAQUE
(the piece may declare more than can be seen without expanding its macros) and EAGER (its macros may hold _Pragma).
`names` lists what the piece declares: tags with a leading dot, typedef names and enumerators without; it may list too
much and never decides anything but where to look first.  Whatever the cut misjudges, the pieces in their order are the
header's text.

The idea of keeping conditionals unresolved is the Pre-AST of Socala and Cohen (DFRWS 2016) and SuperC's (PLDI 2012).
"""

TEXT, DEFINE, UNDEF, IF, INCLUDE, PRAGMA, ERROR, LINE, OTHER = range(9)
ENDS, OPAQUE, EAGER = 1, 2, 4
LINES_ADDED = "\x03"  # beside a line's number in a directive: how far #line has moved the numbers
INCLUDE_KINDS = ('"', "<", 'next"', "next<", 'import"', "import<", "")
