r"""ms_struct: records in which bit-fields lie as Microsoft's compiler has them.

Bit-fields whose types have one size share units of that size, whatever room is left elsewhere; a unit is used up when a
bit-field does not fit, has a type of another size or none at all, and by the end of the record.  GCC's rules are those of
stor-layout.c where targetm.ms_bitfield_layout_p holds, as they are since GCC 8, which changed them (PR 52991); it knows
the attribute on x86 and powerpc and ignores it elsewhere.  Clang has rules of its own, on every target.
"""

from rekall_layout_expert.parser.scope import NotKnown
from rekall_layout_expert.parser.types import Array, Attributed, Base, Named
from rekall_layout_expert.record_layout.clang import ClangLayouts, ClangPlacement
from rekall_layout_expert.record_layout.layouts import MS_STRUCT, PlacedField, Placement

_GCCS_TARGETS = ("x86_64", "i386", "powerpc", "powerpc32", "powerpc64be")
_GCC_SINCE = (8,)
_GCC_STRUCT_OF_CLANG = (22,)
_PACKED_OF_CLANG = (23,)  # before, packed had no say in bit-fields


def placement_for(layouts, attributes):
    """The class that lays out a record with these attributes, of which one at least is among MS_STRUCT."""
    names = [name for name, _ in attributes if name in MS_STRUCT]
    if isinstance(layouts, ClangLayouts):
        if "gcc_struct" in names and layouts.clang >= _GCC_STRUCT_OF_CLANG or names == ["gcc_struct"]:
            return layouts.placement
        return ClangMsPlacement
    # The first of two that contradict each other counts; the pragma is Darwin's.
    if [name for name in names if name in ("ms_struct", "gcc_struct")][:1] != ["ms_struct"]:
        return layouts.placement
    if layouts.abi.name not in _GCCS_TARGETS:
        return layouts.placement
    if layouts.version < _GCC_SINCE:
        raise NotKnown("the attribute ms_struct as GCC before 8 has it")
    return MsPlacement


class MsPlacement(Placement):
    """The layout of one record in the making, as GCC has it.

    run: (size of the type, width) of the bit-field whose unit is open (GCC: prev_field), None if there is none;
    room: the bits that are left of the unit (remaining_in_alignment).
    """

    zero_width_aligns = False

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.run = None
        self.room = 0
        self._ends_in_a_unit = False

    def _put(self, field, measure, width, packed, alignment, user, is_bit_field):
        if self.is_union:
            return super()._put(field, measure, width, packed, alignment, user, is_bit_field)
        size = width if width is not None else measure.size
        self.block |= measure.block and size != 0
        known = self.position & -self.position
        is_bit_field, desired, field_user = self._declared_alignment(
            measure, width if is_bit_field else None, packed, alignment, user, known
        )
        self._raise_record_alignment(field, measure, width, packed, desired, field_user)
        aligned = (known or max(self.abi.biggest, self.alignment)) >= desired
        start = self._start()
        before = self.run
        is_behind_one = before is not None
        if is_behind_one:
            if width and before[1] and measure.size == before[0]:
                if self.room >= width:
                    self.room -= width
                    aligned = True
                else:
                    self.position += self.room
                    self.room = measure.size - width
                    self.run = measure.size, width
            else:
                if before[1]:
                    self.position += self.room
                else:
                    before = None
                if not width:
                    self.run = None
            start = self._start()
        if not aligned:
            self.position = _up(self.position, desired)
            if is_behind_one or desired >= self.offset_alignment:
                start = self._start()
        if width is None or (width if before is None else measure.size != before[0]):
            if size is not None and measure.size is not None:
                self.room = measure.size - size
            unit = 8 if packed else measure.alignment
            if self.maximum:
                unit = min(unit, self.maximum)
            self.position = start + _up(self.position - start, unit)
            self.run = None
        if self.run is None and width is not None:
            self.run = measure.size, width
        self._add(field, self.position, width, desired)
        self.position += size or 0
        self._ends_in_a_unit = bool(width)
        return field, measure, width, packed, desired, field_user, is_bit_field

    def _start(self):
        """Where GCC begins to count bits anew (rli->offset, normalized)."""
        return self.position - self.position % self.offset_alignment

    def _raise_record_alignment(self, field, measure, width, packed, desired, field_user):
        """GCC: update_alignment_for_field."""
        if width is None or not measure.size:
            counts = True
        elif width:
            counts = not packed
        else:
            counts = self.run is not None and self.run[1]
        if counts:
            alignment = desired if packed and width is None else max(measure.alignment, desired)
            if self.maximum:
                alignment = min(alignment, self.maximum)
            self.alignment = max(self.alignment, alignment)
        self.user |= field_user

    def finish(self):
        if self._ends_in_a_unit:
            self.position += self.room
        return super().finish()


class ClangMsPlacement(ClangPlacement):
    """The layout of one record in the making, as clang has it: `position` is behind the last byte that is used or kept.

    unit: the size of the type whose unit is open, 0 if there is none; room: the bits that are left of the unit.
    """

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.unit = 0
        self.room = 0

    def _put(self, field, measure, width, packed, asked):
        if width is not None:
            offset, alignment = self._bit_field(measure, width, packed, asked)
        else:
            self.unit = self.room = 0
            alignment = max(1 if packed else max(self.layouts._least(measure), self._natural(field)), asked, 8)
            if self.maximum:
                alignment = min(alignment, self.maximum)
            offset = 0 if self.is_union else _up(self.position, alignment)
            self.position = offset + (measure.size or 0)
        self.size = max(self.size, self.position)
        self.alignment = max(self.alignment, alignment)
        if field.name is not None or width is None:
            own = asked if packed else max(asked, measure.alignment)
            self.fields.append(PlacedField(field.name, field.type, offset, width, own))

    def _natural(self, field):
        """The size of a member's arithmetic type, arrays stripped, which aligns it whatever its alignment is; else 0."""
        type_ = field.type
        size = None
        while not isinstance(type_, Base):
            if isinstance(type_, Attributed):
                names = [name for name, _ in type_.attributes]
                if "vector_size" in names:
                    return 0
                if "mode" in names and size is None:
                    size = self.layouts.measure(type_).size
                type_ = type_.target
            elif isinstance(type_, Array):
                type_ = type_.element
            else:
                inner = self.layouts.scope.find_typedef(type_.name) if isinstance(type_, Named) else self.layouts.resolve(type_)
                if inner is type_:
                    return 0
                type_ = inner
        if type_.is_bit_int or type_.name.startswith(("_Complex", "__builtin_va_list")):
            return 0
        size = size or self.layouts.measure(type_).size
        return 0 if size & (size - 1) else size

    def _bit_field(self, measure, width, packed, asked):
        if self.is_union:
            self.position = measure.size if width else 8
            return 0, 1
        if packed and self.layouts.clang >= _PACKED_OF_CLANG:
            raise NotKnown("a packed bit-field in an ms_struct as clang since 23 has it")
        alignment = measure.size
        if self.unit != measure.size or self.room < width:
            if not self.unit and not width:
                alignment = 1  # behind what is no bit-field one of no width does nothing
            self.unit = self.room = 0
        offset = self.position - self.room
        alignment = max(alignment, asked)
        if self.maximum and width:
            alignment = min(alignment, self.maximum)
        if not width or width > self.room:
            offset = _up(offset, alignment)
            self.room = 0
        if width:
            if not self.room:
                self.position = offset + measure.size
                self.room = measure.size
            self.room -= width
            self.unit = measure.size
        else:
            self.position = _up(offset, 8)
            self.room = self.position - offset
            self.unit = 0
        return offset, alignment


def _up(number, multiple):
    return -(-number // multiple) * multiple
