r"""The type graph: GNU C's types as declared, before any target gives them sizes.

Expressions (array counts, bit-field widths, alignments, enumerators) stay token lists: most are never needed, and their
values depend on the target.  `attributes` are lists of (name, argument tokens | None) and hold only the attributes that
can change a layout (see `declarations.LAYOUT_ATTRIBUTES`), in the order in which they were written; of qualifiers only
those of a typedef are kept, as an attribute "qualified".
"""


class Base:
    """An arithmetic type or void, under its canonical name ("unsigned long")."""

    __slots__ = ("name",)

    def __init__(self, name):
        self.name = name

    @property
    def is_bit_int(self):
        return "_BitInt(" in self.name


class Pointer:
    __slots__ = ("target",)

    def __init__(self, target):
        self.target = target


class Array:
    """`count`: tokens of the number of elements, None for []."""

    __slots__ = ("element", "count")

    def __init__(self, element, count):
        self.element = element
        self.count = count


class Function:
    __slots__ = ("result",)

    def __init__(self, result):
        self.result = result


class Named:
    """A use of a typedef name."""

    __slots__ = ("name",)

    def __init__(self, name):
        self.name = name


class TypeOf:
    """typeof ( expression or type name ), as tokens; unqualified: without qualifiers and _Atomic (typeof_unqual)."""

    __slots__ = ("tokens", "unqualified")

    def __init__(self, tokens, unqualified=False):
        self.tokens = tokens
        self.unqualified = unqualified


class Atomic:
    """_Atomic, which may raise size and alignment."""

    __slots__ = ("target",)

    def __init__(self, target):
        self.target = target


class Attributed:
    """A type with attributes of its own, such as a typedef's alignment or a pointer's."""

    __slots__ = ("target", "attributes")

    def __init__(self, target, attributes):
        self.target = target
        self.attributes = attributes


class Modified(Attributed):
    """A type that attributes inside a declarator modify: GCC gives them to the type, not to what is declared."""

    __slots__ = ()


class Field:
    """A member.

    name: None for unnamed bit-fields and anonymous records; width: tokens of a bit-field's width, or None.
    """

    __slots__ = ("name", "type", "width", "attributes")

    def __init__(self, name, type_, width, attributes):
        self.name = name
        self.type = type_
        self.width = width
        self.attributes = attributes


class Record:
    """A struct or union.

    kind: "struct" or "union"; tag: None if it has none; fields: None while it is incomplete; pack: bytes, what
    #pragma pack had set at its end, or None; pack_before: the same at its beginning; declared: attributes of declarations
    before its definition; path, line: where its declaration begins.
    """

    __slots__ = ("kind", "tag", "fields", "attributes", "declared", "pack", "pack_before", "path", "line", "layout")

    def __init__(self, kind, tag):
        self.kind = kind
        self.tag = tag
        self.fields = None
        self.attributes = []
        self.declared = []
        self.pack = None
        self.pack_before = None
        self.path = None
        self.line = 0
        self.layout = None


class Enum:
    """An enumeration.  enumerators: [(name, value tokens | None)], None while it is incomplete; declared: see Record;
    underlying: the fixed underlying type (C23), or None; are_typed: its enumerators have its own type even where int holds them."""

    __slots__ = ("tag", "enumerators", "attributes", "declared", "underlying", "values", "are_typed")

    kind = "enum"

    def __init__(self, tag):
        self.tag = tag
        self.enumerators = None
        self.attributes = []
        self.declared = []
        self.underlying = None
        self.values = None
        self.are_typed = False
