r"""Clang's record layout, where it is not GCC's.

Clang follows the same ABIs, but by rules of its own, which part from GCC's where the ABI is silent: packed bit-fields,
`#pragma pack`, and what an attribute inside a declarator belongs to (always to what is declared, never to a type in the
middle).  The rules are those that clang's documentation and the Itanium ABI state and that its own output confirms
(tests/test_record_layout_against_clang.py).  Sizes, offsets and alignments are in bits.
"""

from rekall_layout_expert.parser.scope import NotKnown
from rekall_layout_expert.parser.types import Array, Atomic, Attributed, Function, Named, Pointer, Record
from rekall_layout_expert.record_layout.layouts import Layouts, Measure, PlacedField, Placement, RecordLayout

_ALIGNING = ("aligned", "alignas")
_NO_SMALL_ELEMENTS = (16,)  # from this version on an array of elements that are smaller than their alignment is an error
_ATOMIC_WORDS = ("powerpc32", "mips", "mips32el")  # where nothing longer than a word is accessed at once


class ClangLayouts(Layouts):
    """Measures types as clang does.  clang: its version."""

    def __init__(self, scope, abi, randstruct=None, version=(16, 0, 6)):
        super().__init__(scope, abi, randstruct)  # its enumerators are typed as those of GCC before 13
        self.clang = version

    def measure(self, type_):
        if isinstance(type_, Named):
            measure = self._typedefs.get(type_.name)
            if measure is None:
                declared = self.scope.find_typedef(type_.name)
                measure = self.measure(declared)
                asked = self.asked_alignment(declared, ())
                if asked:
                    measure = _aligned(measure, asked)
                self._typedefs[type_.name] = measure
            return measure
        if isinstance(type_, Record):
            layout = self.record(type_)
            return Measure(layout.size, layout.alignment, layout.user)
        if isinstance(type_, Atomic):
            return self._measure_atomic(self.measure(type_.target))
        return super().measure(type_)

    def _lay_out(self, record):
        """Attributes of declarations before the definition count, too, and the #pragma pack at its beginning."""
        self._inherit(record)
        record.pack = record.pack_before
        return super()._lay_out(record)

    def _inherit(self, type_):
        if type_.declared:
            if not self.scope.is_read_in_order:
                raise NotKnown("whether a declaration with attributes stands before its definition")
            type_.attributes = type_.declared + type_.attributes
            type_.declared = []

    def knows_storage_order(self):
        return False

    def asked_alignment(self, type_, attributes):
        """The alignment that a declaration asks for, 0 for none.

        type_: the declared one; attributes: those behind its declarator and among its specifiers.  Those inside the
        declarator belong to the declaration, too.
        """
        return max((self._alignment(arguments) for name, arguments in _declared(type_, attributes) if name in _ALIGNING),
                   default=0)  # fmt: skip

    def packs(self, enum):
        self._inherit(enum)
        return any(name == "packed" for name, _ in enum.attributes)

    @staticmethod
    def record_alignment(before, asked):
        return max(before, asked)

    def least_alignment(self, type_):
        return self._least(self.measure(type_))

    def _least(self, measure):
        """The alignment that counts inside a record, from that of `__alignof__`, which is the preferred one."""
        if measure.user or measure.atomic:
            return measure.alignment
        return self.abi.field_alignment(measure.category, measure.alignment)

    def _loses_alignment(self, element):
        return False

    def _measure_array(self, type_):
        measure = super()._measure_array(type_)
        alignment = self._least(measure)
        if measure.size and measure.size % alignment:
            if self.clang >= _NO_SMALL_ELEMENTS:
                raise NotKnown("an array whose elements are smaller than their alignment")
            measure.size = _up(measure.size, alignment)
        return measure

    def _measure_attributed(self, type_):
        """Of attributes inside a type only those count that make another type of it."""
        others = [each for each in type_.attributes if each[0] not in _ALIGNING]
        measure = super()._measure_attributed(Attributed(type_.target, others))
        if any(name == "vector_size" for name, _ in others):
            measure.category = "other"
        return measure

    def _measure_atomic(self, measure):
        """What an instruction can access at once is aligned for it."""
        size = measure.size or 0
        if size > 128 or size == 64 and self.abi.name in _ATOMIC_WORDS:
            alignment = self._least(measure)
        elif size in (8, 16, 32, 64):
            alignment = size
        else:
            raise NotKnown("an atomic type of %d bits" % size)
        return Measure(size, alignment, measure.user, measure.category, measure.integral, True)

    def _enumeration(self, enum):
        self._inherit(enum)
        bits, unsigned, alignment, user, values = super()._enumeration(enum)
        asked = self.asked_alignment(enum, enum.attributes)
        return bits, unsigned, asked or alignment, user or bool(asked), values


def _aligned(measure, alignment):
    return Measure(measure.size, alignment, True, measure.category, measure.integral, measure.atomic, measure.block)


def _declared(type_, attributes):
    """The attributes of a declaration: those given, and those inside its declarator."""
    attributes = list(attributes)
    while isinstance(type_, (Attributed, Pointer, Array, Function)):
        if isinstance(type_, Attributed):
            attributes += type_.attributes
            type_ = type_.target
        else:
            type_ = type_.element if isinstance(type_, Array) else type_.target if isinstance(type_, Pointer) else type_.result
    return attributes


class ClangPlacement(Placement):
    """The layout of one record in the making; `position` is behind the last bit that is used."""

    def declare(self, field):
        """What the layout starts from: (field, Measure of its type, width, is it packed?, the alignment asked for or 0)."""
        measure = self.layouts.measure(field.type)
        width = None
        if field.width is not None:
            width = self._width(field, measure)
        elif field.name is not None and isinstance(self.layouts.resolve(field.type), Function):
            raise NotKnown("a member that is a function")
        packed = self.packed or any(name == "packed" for name, _ in _declared(field.type, field.attributes))
        return field, measure, width, packed, self.layouts.asked_alignment(field.type, field.attributes)

    def _put(self, field, measure, width, packed, asked):
        if width is not None:
            offset, alignment = self._bit_field(measure, width, packed, asked)
        else:
            alignment = max(1 if packed else self.layouts._least(measure), asked, 8)
            if self.maximum:
                alignment = min(alignment, self.maximum)
            offset = 0 if self.is_union else _up(self.position, alignment)
        self.position = offset + (measure.size or 0 if width is None else width)
        self.size = max(self.size, _up(self.position, 8))
        if field.name is not None or width is None:
            own = asked if packed else max(asked, measure.alignment)
            self.fields.append(PlacedField(field.name, field.type, offset, width, own))
        elif not self.abi.anonymous_bit_fields_align:
            return
        self.alignment = max(self.alignment, alignment)

    def _bit_field(self, measure, width, packed, asked):
        """(offset, alignment) of a bit-field."""
        alignment = max(1 if packed and width else self.layouts._least(measure), asked)
        if self.maximum and width:
            alignment = min(max(self.layouts._least(measure), asked) if packed else alignment, self.maximum)
        offset = 0 if self.is_union else self.position
        if not width or not self.maximum and offset % alignment + width > measure.size:
            offset = _up(offset, alignment)
        elif asked and (not self.maximum or asked <= self.maximum):
            offset = _up(offset, asked)
        return offset, alignment

    def finish(self):
        """The RecordLayout."""
        size = _up(self.size, self.alignment)
        for field in self.fields:
            # What __alignof__ tells of a member: no more than its place in the record grants.
            granted = field.bit_offset & -field.bit_offset or self.alignment
            field.alignment = min(max(field.alignment, 8), granted, self.alignment)
        return RecordLayout(size, self.alignment, self.user, self.fields, False)


def _up(number, multiple):
    return -(-number // multiple) * multiple


ClangLayouts.placement = ClangPlacement

# The rules of each compiler.
LAYOUTS = {"gcc": Layouts, "clang": ClangLayouts}
