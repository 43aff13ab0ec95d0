r"""A struct as the kernel's own BTF has it, in pahole's form, with the types' own names."""

from rekall_layout_expert.errors import LayoutExpertError
from rekall_layout_expert.explain.layout_only import LayoutOnly
from rekall_layout_expert.explain.records import Row, Rows
from rekall_layout_expert.verification import btf

_MOST_NESTED = 64
_MOST_WRITTEN = 1 << 16  # parts of the types of one answer; the largest struct's have some thousand
_QUALIFIERS = {btf.CONST: "const ", btf.VOLATILE: "volatile ", btf.RESTRICT: "", btf.TYPE_TAG: ""}
_KEYWORDS = {btf.STRUCT: "struct", btf.UNION: "union", btf.ENUM: "enum", btf.ENUM64: "enum"}


def explain_btf(section, name):
    """The lines that show a struct, or a member of one, of a BTF section (bytes); name: as `explain`.

    Where the kernel has several types of one name, the first is shown.  Raises LayoutExpertError.
    """
    return OfBtf(section).lines(name)


class OfBtf(LayoutOnly):
    """The records of a BTF section (bytes)."""

    source = "the BTF"

    def __init__(self, section):
        self.types = btf.Btf(section)
        self.big_endian = section[:1] == b"\xeb"
        self._written = 0
        self.records = {}
        typedefs = {}
        for name, number in self.types.named():
            type_ = self.types.type(number)
            if type_.kind in btf.RECORDS:
                self.records.setdefault(name, type_)
            elif type_.kind == btf.TYPEDEF:
                typedefs.setdefault(name, type_)
        for name, type_ in typedefs.items():
            self.records.setdefault(name, type_)

    def names(self):
        return self.records

    def rows(self, name):
        self._written = 0
        record = self._record(self.records[name]) if name in self.records else None
        return None if record is None else self._rows(record, record.name or name, 0, 0)

    def embedded(self, row):
        record = self._record(self.types.type(row.placed))
        return None if record is None else self._rows(record, record.name, 0, 0)

    def _record(self, type_):
        if type_.kind in btf.TRANSPARENT:
            type_ = self.types.resolved(type_.value)
        return type_ if type_.kind in btf.RECORDS else None

    def _rows(self, record, name, base, depth):
        if depth > _MOST_NESTED:
            raise LayoutExpertError("the BTF is damaged: its records are nested without end")
        rows = []
        for member, number, offset, width in self.types.members(record):
            type_, declarator = self._declared(number, member, 0)
            inner, through_pointer = self._untagged(number)
            first = base + offset
            size = 8 * self.types.size_of(self.types.resolved(number))
            if inner is not None:
                inner = self._rows(inner, "", 0 if through_pointer else first, depth + 1)
            unit = size if width is not None else 0
            rows.append(Row(member or None, type_, declarator, first, size, width, unit, inner, placed=number))
        head = " ".join(filter(None, (_KEYWORDS[record.kind], name)))
        return Rows(head, record.kind == btf.UNION, 8 * record.value, rows, base=base)

    def _untagged(self, number):
        """(the untagged record that a member's type is made of, or None; is it only pointed to?)."""
        through_pointer = False
        for _ in range(_MOST_NESTED):
            type_ = self.types.type(number)
            if type_.kind in btf.RECORDS:
                return (None if type_.name else type_), through_pointer
            if type_.kind == btf.ARRAY:
                number = type_.entries[0]
            elif type_.kind == btf.PTR or type_.kind in _QUALIFIERS:
                through_pointer |= type_.kind == btf.PTR
                number = type_.value
            else:
                break
        return None, False

    def _declared(self, number, name, depth):
        """(type, declarator) of something called `name`, as C writes it."""
        self._written += 1
        if depth > _MOST_NESTED or self._written > _MOST_WRITTEN:
            raise LayoutExpertError("the BTF is damaged: a type in it means itself")
        type_ = self.types.type(number)
        if type_.kind == btf.ARRAY:
            return self._declared(type_.entries[0], "%s[%d]" % (name, type_.entries[2]), depth + 1)
        if type_.kind in _QUALIFIERS:
            text, declarator = self._declared(type_.value, name, depth + 1)
            return _QUALIFIERS[type_.kind] + text, declarator
        if type_.kind == btf.PTR:
            target = self.types.type(type_.value)
            if target.kind == btf.ARRAY:
                return self._declared(type_.value, "(*%s)" % name, depth + 1)
            if target.kind == btf.FUNC_PROTO:
                result, _ = self._declared(target.value, "", depth + 1)
                return result, "(*%s)(%s)" % (name, self._parameters(target, depth + 1))
            text, declarator = self._declared(type_.value, name, depth + 1)
            return (text + "*" if text[-1:] == "*" else text + " *"), declarator
        if type_.kind in _KEYWORDS:
            return "%s %s" % (_KEYWORDS[type_.kind], type_.name or "{...}"), name
        if type_.kind == btf.FWD:
            return "struct %s" % type_.name, name
        return type_.name or "void", name

    def _parameters(self, function, depth):
        entries = function.entries
        declared = [self._declared(entries[at + 1], "", depth) for at in range(0, len(entries), 2)]
        return ", ".join(" ".join(filter(None, each)) for each in declared) or "void"
