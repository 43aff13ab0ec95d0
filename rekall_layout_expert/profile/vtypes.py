r"""Layouts in Rekall's form: vtypes, ``{struct: [size, {member: [offset, [type, args]]}]}``, sizes and offsets in bytes.

Rekall finds members by name, so an anonymous member appears twice: as u1, u2, … (Rekall's overlays read
``__sk_common.u3.u1.skc_dport``), and as its own members under their own names, as C has it.  Records without a tag are
called after the typedef that names them, or ``__unnamed_OWNER_MEMBER``.
"""

from rekall_layout_expert.c_integers import NotConstant
from rekall_layout_expert.parser.declarations import SyntaxProblem
from rekall_layout_expert.parser.scope import NotKnown
from rekall_layout_expert.parser.types import (
    Array,
    Atomic,
    Attributed,
    Base,
    Enum,
    Function,
    Named,
    Pointer,
    Record,
    TypeOf,
)
from rekall_layout_expert.record_layout.layouts import LONGEST_CHAIN

# Rekall's native types where their names differ from C's.
_NATIVE = {"_Bool": "bool", "signed char": "signed byte"}
_NATIVE_NAMES = frozenset((
    "bool", "char", "unsigned char", "signed byte", "short", "unsigned short", "int", "unsigned int", "long",
    "unsigned long", "long long", "unsigned long long",
))  # fmt: skip
_UNSIGNED_BY_BITS = {8: "unsigned char", 16: "unsigned short", 32: "unsigned int", 64: "unsigned long long"}
_SIGNED_BY_BITS = {8: "signed byte", 16: "short", 32: "int", 64: "long long"}

_PROBLEMS = (NotKnown, NotConstant, SyntaxProblem)
_OTHER_ORDER = "it is stored in the other byte order (scalar_storage_order), which no vtype says"


class Vtypes:
    """Collects the vtypes of records and what they need by value.

    structs: the vtypes so far; enums: {name: {value as str: enumerator}}; left_out: {record: reason}.
    """

    def __init__(self, layouts):
        self.layouts = layouts
        self.structs = {}
        self.enums = {}
        self.left_out = {}
        self._names = {}
        self._enum_names = {}
        self._taken = set()

    def add_named(self, name):
        """Adds the struct, union or typedef of an untagged record of that name, with all it embeds.

        An untagged record goes by the typedef that is declared with it; other typedefs of it name the same vtype.
        """
        try:
            record, own_name = self._named_record(name)
        except _PROBLEMS as error:
            self.left_out.setdefault(name, str(error))
            return
        self.add(record, own_name)
        own_name = self._names[record]
        if own_name in self.structs:
            self.structs.setdefault(name, self.structs[own_name])
        elif own_name in self.left_out:
            self.left_out.setdefault(name, self.left_out[own_name])

    def _named_record(self, name):
        """(record, the name it goes by).  Raises NotKnown for a name that is no record's."""
        scope = self.layouts.scope
        type_ = scope.find_type(name)
        while isinstance(type_, (Named, Attributed)):
            if isinstance(type_, Attributed):
                if any(name == "scalar_storage_order" for name, _ in type_.attributes):
                    self.layouts.check_storage_order()
                type_ = type_.target
            else:
                name, type_ = type_.name, scope.find_typedef(type_.name)
        if not isinstance(type_, Record):
            raise NotKnown("%s is no struct or union" % name)
        return scope.complete(type_), type_.tag or name

    def add(self, record, name):
        """Adds a record under a name; what it embeds follows.  What cannot be known goes to `left_out`."""
        pending = [(record, name)]
        while pending:
            record, name = pending.pop()
            if record in self._names and (self._names[record] in self.structs or self._names[record] in self.left_out):
                continue
            name = self._name(record, name)
            try:
                members, needed = self._members(self.layouts.record(record), name)
            except NotKnown as error:
                self.left_out[name] = str(error)
                continue
            except RecursionError:
                self.left_out[name] = "its members' types are nested too deeply"
                continue
            self.structs[name] = [self.layouts.record(record).size // 8, members]
            pending += needed

    def _name(self, record, suggestion):
        name = self._names.get(record)
        if name is None:
            name = record.tag or suggestion
            if record.tag is None and (name in self._taken or self.layouts.scope.is_tag(name)):
                number = 2
                while "%s_%d" % (name, number) in self._taken:
                    number += 1
                name = "%s_%d" % (name, number)
            self._names[record] = name
            self._taken.add(name)
        return name

    def _members(self, layout, owner):
        """({member: vtype}, [(record, name)] that it needs) of a laid out record."""
        members = {}
        needed = []
        hoisted = {}
        anonymous = 0
        named = {field.name for field in layout.fields}
        for field in layout.fields:
            label = field.name
            if label is None:
                anonymous += 1
                while "u%d" % anonymous in named:
                    anonymous += 1
                label = "u%d" % anonymous
            try:
                type_ = self._vtype(field.type, owner, label, needed)
                if field.width is not None:
                    offset, type_ = self._bit_field(field, layout)
                else:
                    offset = field.bit_offset // 8
                    if layout.reversed:
                        self._check_reversed(field.type)
            except _PROBLEMS as error:
                self.left_out["%s.%s" % (owner, label)] = str(error)
                continue
            members[label] = [offset, type_]
            if field.name is None:
                inner = self.layouts.resolve(field.type)
                inner_name = self._names[inner]
                inner_members, inner_needed = self._members(self.layouts.record(inner), inner_name)
                needed += inner_needed
                for name, (inner_offset, inner_type) in inner_members.items():
                    hoisted.setdefault(name, [offset + inner_offset, inner_type])
        for name, member in hoisted.items():
            if name not in members and not self._is_label(name):
                members[name] = member
        return members, needed

    @staticmethod
    def _is_label(name):
        return name[0] == "u" and name[1:].isdigit()

    def _bit_field(self, field, layout):
        """(offset in bytes, vtype) of a bit-field, read through a unit that holds it and lies inside the record."""
        bits, unsigned = self.layouts.measure(field.type).integral
        names = _UNSIGNED_BY_BITS if unsigned else _SIGNED_BY_BITS
        first, last = field.bit_offset, field.bit_offset + field.width
        units = [bits] + [unit for unit in (8, 16, 32, 64) if unit != bits]
        candidates = [(first // unit * unit, unit) for unit in units if unit in names]
        candidates += [(first // 8 * 8, unit) for unit in (8, 16, 32, 64)]
        if layout.reversed:
            candidates = [(first // 8 * 8, 8)]
        candidates = [(start, unit) for start, unit in candidates if last <= start + unit]
        inside = [(start, unit) for start, unit in candidates if start + unit <= layout.size]
        if not candidates:
            raise NotKnown(_OTHER_ORDER if layout.reversed else "a bit-field that no native type covers")
        start, unit = (inside or candidates)[0]
        if self.layouts.abi.big_endian != layout.reversed:
            begin = start + unit - last
        else:
            begin = first - start
        return start // 8, [
            "BitField",
            {"start_bit": begin, "end_bit": begin + field.width, "native_type": names[unit]},
        ]

    def _check_reversed(self, type_):
        """Raises NotKnown for a member of more than one byte that is no record, nor an array of such."""
        inner = self.layouts.resolve(type_)
        while isinstance(inner, Array):
            type_ = inner.element
            inner = self.layouts.resolve(type_)
        if not isinstance(inner, Record) and self.layouts.measure(type_).size > 8:
            raise NotKnown(_OTHER_ORDER)

    def _vtype(self, type_, owner, label, needed, typedef=None):
        """The [type, args] of a member's type; records by value are appended to `needed`."""
        for _ in range(LONGEST_CHAIN):
            if type_.__class__ is Named:
                typedef = type_.name
                type_ = self.layouts.scope.find_typedef(typedef)
            elif isinstance(type_, (Attributed, Atomic)):
                if isinstance(type_, Attributed):
                    names = [name for name, _ in type_.attributes]
                    if "mode" in names or "vector_size" in names:
                        return self._by_size(type_)
                    if "scalar_storage_order" in names:
                        self.layouts.check_storage_order()
                type_ = type_.target
            elif isinstance(type_, TypeOf):
                type_ = self.layouts.constants.type_of_tokens(type_.tokens)
            else:
                break
        else:
            raise NotKnown("a type that means itself")
        if isinstance(type_, Pointer):
            return ["Pointer", self._target(type_.target, owner, label, needed)]
        if isinstance(type_, Base):
            name = _NATIVE.get(type_.name, type_.name)
            if name == "void":
                return ["Void"]
            return [name] if name in _NATIVE_NAMES else self._by_size(type_)
        if isinstance(type_, Array):
            count = 0 if type_.count is None else self.layouts.constants.value(type_.count)
            arguments = {"count": count}
            arguments.update(self._target(type_.element, owner, label, needed, by_value=True))
            return ["Array", arguments]
        if isinstance(type_, Record):
            name = self._name(type_, typedef or "__unnamed_%s_%s" % (_plain(owner), label))
            needed.append((type_, name))
            return [name]
        if isinstance(type_, Enum):
            return self._enumeration(type_, typedef, owner, label)
        return ["Void"]  # a function has no layout

    def _target(self, type_, owner, label, needed, by_value=False):
        inner = []
        try:
            target = self._vtype(type_, owner, label, inner)
        except _PROBLEMS:
            if by_value:
                raise
            target = ["Void"]  # what a pointer points to may be unknown; the pointer is not
        if by_value:
            needed += inner
        else:
            # An untagged record has no other name by which it could be asked for later.
            needed += [(record, name) for record, name in inner if record.tag is None]
        arguments = {"target": target[0]}
        if len(target) > 1:
            arguments["target_args"] = target[1]
        return arguments

    def _by_size(self, type_):
        """Bytes, for a type that Rekall has no name for."""
        measure = self.layouts.measure(type_)
        if measure.integral and measure.size in _UNSIGNED_BY_BITS and measure.integral[0] == measure.size:
            return [(_UNSIGNED_BY_BITS if measure.integral[1] else _SIGNED_BY_BITS)[measure.size]]
        return ["Array", {"count": measure.size // 8, "target": "unsigned char"}]

    def _enumeration(self, enum, typedef, owner, label):
        try:
            bits, unsigned, _, _, values = self.layouts.enumeration(enum)
        except _PROBLEMS:
            if enum.enumerators is not None:
                raise
            return ["unsigned int"]  # GNU C: an enum that is declared and not defined is an unsigned int
        name = self._enum_names.get(enum)
        if name is None:
            name = enum.tag or typedef or "__unnamed_%s_%s" % (_plain(owner), label)
            self._enum_names[enum] = name
            choices = {}
            for enumerator, value in values.items():
                choices.setdefault(str(value), enumerator)
            self.enums[name] = choices
        target = (_UNSIGNED_BY_BITS if unsigned else _SIGNED_BY_BITS)[bits]
        return ["Enumeration", {"target": target, "enum_name": name}]


def _plain(owner):
    return owner[len("__unnamed_") :] if owner.startswith("__unnamed_") else owner
