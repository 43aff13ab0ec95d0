r"""The file scope: names to types, each declaration read when a name of it is first asked for.

Tags, and ordinary names (typedefs, enumerators, objects), are C's two name spaces (C11 6.2.3).  The scope asks the
trimmer's index where a name may be declared, has exactly those declarations expanded and parsed, and answers from what
they declared.  A declaration that cannot be understood takes down the names it may declare, with the reason, and no
others.
"""

from rekall_layout_expert.errors import LayoutExpertError
from rekall_layout_expert.parser.declarations import Parser, SyntaxProblem
from rekall_layout_expert.parser.types import Atomic, Attributed, Enum, Named, Record

NOT_DEFINED = "is not defined in these headers"


class NotKnown(Exception):
    """Something about a type cannot be known for certain; the text is the reason."""


class Scope:
    """The declarations of one translation unit.

    index: a `trimmer.index.DeclarationIndex`; expand: function(declaration) -> tokens; ms_extensions: see `Parser`.
    """

    parser = Parser

    def __init__(self, index, expand, ms_extensions=False):
        self.index = index
        self.expand = expand
        self.ms_extensions = ms_extensions
        self.tags = {}
        self.typedefs = {}
        self.enumerators = {}
        self.objects = {}
        self.problems = []  # (declaration, reason)
        self.is_read_in_order = False  # every declaration, in the order of the text
        self._read = set()

    # What the parser declares:

    def tag(self, kind, tag):
        """The record or enumeration of that tag, incomplete until its definition has been read."""
        type_ = self.tags.get(tag)
        if type_ is None:
            type_ = self.tags[tag] = Enum(tag) if kind == "enum" else Record(kind, tag)
        elif type_.kind != kind:
            raise SyntaxProblem("'%s' is both %s and %s" % (tag, type_.kind, kind))
        return type_

    def declare_typedef(self, name, type_):
        target = type_
        while isinstance(target, (Named, Attributed, Atomic)):
            if isinstance(target, Named) and target.name == name:
                raise SyntaxProblem("the typedef %s means itself" % name)
            target = self.typedefs.get(target.name) if isinstance(target, Named) else target.target
        self.typedefs.setdefault(name, type_)

    def declare_object(self, name, type_):
        self.objects.setdefault(name, type_)

    def declare_enumerators(self, enum):
        for name, _ in enum.enumerators:
            self.enumerators[name] = enum

    def withdraw_enumerators(self, enum):
        for name, _ in enum.enumerators:
            if self.enumerators.get(name) is enum:
                del self.enumerators[name]

    # What the layout asks for:

    def complete(self, type_):
        """Makes a tagged record or enumeration complete.  Raises NotKnown."""
        if (type_.enumerators if type_.kind == "enum" else type_.fields) is None:
            if type_.tag is not None:
                self._look_for("." + type_.tag)
            if (type_.enumerators if type_.kind == "enum" else type_.fields) is None:
                raise NotKnown(self._why("." + (type_.tag or ""), "%s %s" % (type_.kind, type_.tag)))
        return type_

    def find_tag(self, tag):
        """The complete record or enumeration of that tag.  Raises NotKnown."""
        if tag not in self.tags:
            self._look_for("." + tag)
        if tag not in self.tags:
            raise NotKnown(self._why("." + tag, tag))
        return self.complete(self.tags[tag])

    def find_type(self, name):
        """The tagged type or typedef of that name; a tag comes before a typedef.  Raises NotKnown."""
        if name not in self.tags and not self.index.candidates("." + name) and self.is_typedef(name):
            return Named(name)
        return self.find_tag(name)

    def is_tag(self, name):
        """Whether some declaration may declare that tag."""
        return name in self.tags or bool(self.index.candidates("." + name))

    def is_typedef(self, name):
        """Whether that ordinary name is a typedef name."""
        if name not in self.typedefs and name not in self.enumerators:
            self._look_for(name)
        return name in self.typedefs

    def find_typedef(self, name):
        """The type that a typedef name stands for.  Raises NotKnown."""
        if name not in self.typedefs:
            self._look_for(name)
        if name not in self.typedefs:
            raise NotKnown(self._why(name, "the type name %s" % name))
        return self.typedefs[name]

    def find_enumerator(self, name):
        """The enumeration that has that enumerator, or None."""
        if name not in self.enumerators:
            self._look_for(name)
        return self.enumerators.get(name)

    def find_object(self, name):
        """The type of a variable or function.  Raises NotKnown."""
        if name not in self.objects:
            for declaration in self.index.mentioning(name):
                self._parse(declaration)
                if name in self.objects:
                    break
        if name not in self.objects:
            raise NotKnown("%s is not declared" % name)
        return self.objects[name]

    def read_all(self):
        """Reads every declaration that may declare a type."""
        self.is_read_in_order = not self._read
        for declaration in self.index.all():
            self._parse(declaration)

    def record_names(self):
        """The names of all complete records read so far: tags, and typedef names of records without one."""
        names = sorted(tag for tag, type_ in self.tags.items() if type_.kind != "enum" and type_.fields is not None)
        return names + sorted(name for name in self.typedefs if name not in self.tags and self._is_untagged(name))

    def _is_untagged(self, name):
        type_ = self.typedefs[name]
        while isinstance(type_, (Named, Attributed)):
            type_ = self.typedefs.get(type_.name) if isinstance(type_, Named) else type_.target
        return isinstance(type_, Record) and type_.tag is None and type_.fields is not None

    def broken_records(self):
        """{name: reason} of what stood in declarations that were not understood, and is declared nowhere else."""
        broken = {}
        for declaration, reason in self.problems:
            for name in declaration.names:
                if not self._is_declared(name):
                    broken[name.lstrip(".")] = "%s:%d: %s" % (declaration.path, declaration.line, reason)
        return broken

    def _look_for(self, name):
        for declaration in self.index.candidates(name):
            self._parse(declaration)
        if not self._is_declared(name):
            for declaration in self.index.opaque(name):
                self._parse(declaration)

    def _is_declared(self, name):
        if name[0] != ".":
            return name in self.typedefs or name in self.enumerators
        type_ = self.tags.get(name[1:])
        return type_ is not None and (type_.enumerators if type_.kind == "enum" else type_.fields) is not None

    def _parse(self, declaration):
        if declaration in self._read:
            return
        self._read.add(declaration)
        try:
            self.parser(
                self.expand(declaration), self, declaration.pack, declaration.path, declaration.line, self.ms_extensions
            ).external_declarations()
        except (SyntaxProblem, LayoutExpertError) as error:
            self.problems.append((declaration, str(error)))

    def _why(self, name, what):
        for declaration, reason in self.problems:
            if name in declaration.names or any(name.lstrip(".") in text for text, *_ in declaration.pieces):
                return "%s: %s:%d: %s" % (what, declaration.path, declaration.line, reason)
        return "%s %s" % (what, NOT_DEFINED)
