r"""A struct of a finished profile, or of one made from BTF or debug information, in pahole's form.

A profile holds layouts and not what they were made of: conditions, headers and alignments are not known here.
"""

import json

from rekall_layout_expert.errors import LayoutExpertError
from rekall_layout_expert.explain.layout_only import LayoutOnly
from rekall_layout_expert.explain.records import Row, Rows

_SIZES = {
    "bool": 8, "char": 8, "unsigned char": 8, "signed byte": 8, "short": 16, "unsigned short": 16, "int": 32,
    "unsigned int": 32, "long long": 64, "unsigned long long": 64, "Void": 0,
}  # fmt: skip
_NARROW = ("I386", "ARM", "MIPS")  # architectures, as Rekall calls them, whose long has 32 bits


def profile_in(data, source):
    """The profile in a file's content (bytes); source: how messages call it.  Raises LayoutExpertError."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        raise LayoutExpertError("%s is damaged: it is no JSON" % source, next_step="make the profile again") from None


def explain_profile(profile, name):
    """The lines that show a struct, or a member of one, of a profile; profile, name: as Rekall's JSON and `explain`.

    Raises LayoutExpertError.
    """
    stored = _Stored(profile)
    try:
        return stored.lines(name)
    except (AttributeError, IndexError, KeyError, RecursionError, TypeError, ValueError):
        raise LayoutExpertError("the profile's %s is damaged" % name, next_step="make the profile again") from None


class _Stored(LayoutOnly):
    source = "the profile"

    def __init__(self, profile):
        try:
            self.structs = profile["$STRUCTS"]
            metadata = profile.get("$METADATA", {})
            self.left_out = metadata.get("left_out", {})
            self.word = 32 if metadata.get("arch") in _NARROW else 64
            self.big_endian = metadata.get("architecture") == "s390" or "CONFIG_CPU_BIG_ENDIAN" in profile.get("$CONFIG", {})
        except (AttributeError, KeyError, TypeError):
            raise LayoutExpertError("the profile has no structs that can be read") from None
        if not isinstance(self.structs, dict) or not isinstance(self.left_out, dict):
            raise LayoutExpertError("the profile has no structs that can be read")

    def names(self):
        return self.structs

    def rows(self, name):
        return self._rows(name) if name in self.structs else None

    def embedded(self, row):
        return self.rows(row.placed)

    def why_not(self, name):
        if name in self.left_out:
            return LayoutExpertError("%s is left out of the profile: %s" % (name, self.left_out[name]))
        return super().why_not(name)

    def _rows(self, struct, base=0, head=None):
        size, members = self.structs[struct]
        rows = [self._row(name, *members[name], base) for name in self._own(struct)]
        rows.sort(key=lambda row: row.bit_offset)
        is_union = len(rows) > 1 and all(row.bit_offset == base for row in rows) and all(row.size for row in rows[:-1])
        kind = "union" if is_union else "struct"
        return Rows(kind if head == "" else "%s %s" % (kind, struct), is_union, 8 * size, rows, base=base)

    def _own(self, struct):
        """The members without those that a profile repeats from anonymous ones."""
        members = self.structs[struct][1]
        repeated = set()
        for name, (_, vtype) in members.items():
            if self._is_anonymous(name, vtype):
                repeated.update(self.structs[vtype[0]][1])
        return [name for name, (_, vtype) in members.items() if name not in repeated or self._is_anonymous(name, vtype)]

    def _is_anonymous(self, name, vtype):
        return name[:1] == "u" and name[1:].isdigit() and self._is_untagged(vtype[0])

    def _is_untagged(self, name):
        return name.startswith("__unnamed_") and name in self.structs

    def _row(self, name, offset, vtype, base=0):
        text, counts = self._words(vtype)
        first = base + 8 * offset
        if vtype[0] == "BitField":
            field = vtype[1]
            unit, width = self._size([field["native_type"]]), field["end_bit"] - field["start_bit"]
            start = unit - field["end_bit"] if self.big_endian else field["start_bit"]
            return Row(name, field["native_type"], name, first + start, unit, width, unit)
        if self._is_untagged(vtype[0]):
            inner = self._rows(vtype[0], first, "")
            name = None if self._is_anonymous(name, vtype) else name
            return Row(name, inner.head + " {...}", name or "", first, self._size(vtype), inner=inner, placed=vtype[0])
        return Row(name, text, name + counts, first, self._size(vtype), placed=vtype[0])

    def _words(self, vtype):
        """(type, array counts) in words of C."""
        name, arguments = vtype[0], vtype[1] if len(vtype) > 1 and vtype[1] else {}
        target = [arguments.get("target", "Void"), arguments.get("target_args")]
        if name == "Pointer":
            text, counts = self._words(target)
            return "%s%s *" % (text, " (%s)" % counts if counts else ""), ""
        if name == "Array":
            text, counts = self._words(target)
            return text, "[%s]%s" % (arguments.get("count", ""), counts)
        if name == "Enumeration":
            return "enum %s" % arguments.get("enum_name", ""), ""
        if name == "BitField":
            return arguments.get("native_type", ""), ""
        return {"Void": "void", "signed byte": "signed char"}.get(name) or (
            name if name in _SIZES or name in ("long", "unsigned long") else "struct %s" % name
        ), ""

    def _size(self, vtype):
        """In bits; 0 for what is not known."""
        name, arguments = vtype[0], vtype[1] if len(vtype) > 1 and vtype[1] else {}
        if name == "Pointer":
            return self.word
        if name == "Array":
            return arguments.get("count", 0) * self._size([arguments["target"], arguments.get("target_args")])
        if name == "Enumeration":
            return self._size([arguments["target"]])
        if name == "BitField":
            return self._size([arguments["native_type"]])
        if name in ("long", "unsigned long"):
            return self.word
        return _SIZES[name] if name in _SIZES else 8 * self.structs[name][0] if name in self.structs else 0
