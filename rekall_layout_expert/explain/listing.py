r"""Rows in pahole's form: what every kernel developer can read.

Offsets and sizes are in bytes, of a bit-field the offset of its unit, the bit in it, and the size of its type.  Behind
each line a comment tells where the member comes from.
"""

from rekall_layout_expert.explain.origins import origin

CACHE_LINE = 64  # bytes, pahole's default
_TYPE_WIDTH = 26
_NAME_WIDTH = 23
_TAB = "\t"


def listing(rows, trace, big_endian=False):
    """The lines of a record in pahole's form.

    trace: a `tracing.TracedKernel`'s unit, which tells where macros are defined; None where origins are not known.
    """
    return _Listing(trace, big_endian).record(rows)


class _Listing:
    def __init__(self, unit, big_endian):
        self.unit = unit
        self.big_endian = big_endian
        self.cacheline = 0
        self.lines = []

    def record(self, rows):
        self._add(0, rows.head + " {", rows.place)
        holes = self._members(rows, 0)
        self._summary(rows, holes)
        self.lines.append("}%s;" % rows.tail)
        return self.lines

    def _add(self, depth, text, place=None):
        text = _TAB * depth + text
        comment = origin(place, self.unit) if place is not None else ""
        self.lines.append("%s  // %s" % (text, comment) if comment else text)

    def _members(self, rows, depth):
        """Writes the members.  Returns (bits of members, of bit-fields, [bytes of holes], [bits of holes])."""
        bits, bit_field_bits, holes, bit_holes = 0, 0, [], []
        end, unit_end, unit_size = rows.base, None, 0
        first_cacheline = self.cacheline
        is_apart = False
        for row in rows.rows:
            unit = unit_start(row)
            if not rows.is_union:
                start = row.bit_offset
                gap_bits, gap_bytes = _gap(end, unit_end, start, unit if row.width is not None else None)
                is_apart = self._holes(depth + 1, gap_bits, gap_bytes, holes, bit_holes)
                end = start + (row.size if row.width is None else row.width)
                unit_end, unit_size = _unit_end(row, unit, unit_end, unit_size)
            if is_apart:
                self.lines.append("")
            is_apart = False
            self._member(row, unit, depth + 1)
            if rows.is_union:
                self.cacheline = first_cacheline
            bits += 0 if row.width is not None else row.size
            bit_field_bits += row.width or 0
        return bits, bit_field_bits, holes, bit_holes, end, unit_end

    def _holes(self, depth, bits, size, holes, bit_holes):
        if bits or size:
            self.lines.append("")
        if bits:
            bit_holes.append(bits)
            self._add(depth, "/* XXX %d bit%s hole, try to pack */" % (bits, "s"[bits == 1 :]))
        if size > 0:
            holes.append(size)
            self._add(depth, "/* XXX %d byte%s hole, try to pack */" % (size, "s"[size == 1 :]))
        return bool(bits or size > 0)

    def _member(self, row, unit, depth):
        start = unit // 8
        if start // CACHE_LINE > self.cacheline:
            self.cacheline = start // CACHE_LINE
            past = start % CACHE_LINE
            ago = " was %d byte%s ago" % (past, "s"[past == 1 :]) if past else ""
            self._add(
                depth, "/* --- cacheline %d boundary (%d bytes)%s --- */" % (self.cacheline, start - past, ago)
            )
        if row.width is None:
            numbers = "/* %5d %5d */" % (start, row.size // 8)
        else:
            bit = row.bit_offset - unit
            if self.big_endian:
                bit = row.unit - bit - row.width
            numbers = "/* %5d:%2d %2d */" % (start, bit, row.unit // 8)
        declarator = row.declarator + (":%d" % row.width if row.width is not None else "")
        if row.inner is not None:
            self._add(depth, row.inner.head + " {")
            self._members(row.inner, depth)
            stars = row.type.partition("}")[2].strip()
            text = " ".join(filter(None, ("}" + row.inner.tail, stars, declarator)))
        else:
            text = "%-*s %s" % (max(_TYPE_WIDTH - 8 * (depth - 1), 0), row.type, declarator) if declarator else row.type
        width = _TYPE_WIDTH + _NAME_WIDTH - 8 * (depth - 1) - 1
        self._add(depth, "%-*s %s" % (width, text + ";", numbers), row.place)

    def _summary(self, rows, figures):
        bits, bit_field_bits, holes, bit_holes, end, unit_end = figures
        size = rows.size // 8
        lines = -(-size // CACHE_LINE)
        self.lines.append("")
        self._add(1, "/* size: %d, cachelines: %d, members: %d */" % (size, lines, len(rows.rows)))
        if rows.is_union:
            return
        if holes or bit_holes:
            if bits:
                told = ", holes: %d, sum holes: %d" % (len(holes), sum(holes)) if holes else ""
                self._add(1, "/* sum members: %d%s */" % (bits // 8, told))
            if bit_field_bits:
                told = ", bit holes: %d, sum bit holes: %d bits" % (len(bit_holes), sum(bit_holes))
                told = told if bit_holes else " (%d bytes)" % (bit_field_bits // 8)
                self._add(1, "/* sum bitfield members: %d bits%s */" % (bit_field_bits, told))
        bit_padding = 0
        if unit_end is not None:
            stop = min(rows.size, unit_end)
            bit_padding, end = stop - end, stop
        if size > end // 8:
            self._add(1, "/* padding: %d */" % (size - end // 8))
        if bit_padding > 0:
            self._add(1, "/* bit_padding: %d bits */" % bit_padding)
        if size % CACHE_LINE:
            self._add(1, "/* last cacheline: %d bytes */" % (size % CACHE_LINE))


def unit_start(row):
    """The first bit of a bit-field's unit, an aligned stretch of its type's size; of other members, their own."""
    return row.bit_offset if row.width is None else row.bit_offset // row.unit * row.unit


def _unit_end(row, unit, unit_end, size):
    """(end, size) of the unit that a member leaves open: of neighbouring bit-fields, the largest one's."""
    if row.width is None:
        return None, 0
    end = row.bit_offset + row.width
    if unit_end is not None and end <= unit_end and row.unit <= size:
        return unit_end, size
    return unit + row.unit * (1 if end <= unit + row.unit else 2), row.unit


def _gap(end, unit_end, start, unit):
    """(bits, bytes) between two members.

    end: of the one before; unit_end: of the unit it stands in, if it is a bit-field; start: of the one behind; unit: the
    start of the unit it stands in, if it is a bit-field.  What is left of a bit-field's unit is counted in bits.
    """
    bits = 0
    if unit_end is not None:
        stop = min(start, unit_end)
        bits, end = stop - end, stop
    if unit is None:
        return bits, start // 8 - end // 8
    size = 0
    if end < unit <= start:
        size = unit // 8 - end // 8
        end = unit
    return bits + start - end, size
