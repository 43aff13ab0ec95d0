r"""GCC's record layout: where every member stands.

The rules are those of GCC's stor-layout.c (layout_decl, update_alignment_for_field, place_field, finish_record_layout)
and of the C front end's finish_struct and finish_enum; comments name the GCC variable where that helps.  All sizes,
offsets and alignments here are in bits.  Nothing is guessed: whatever cannot be measured raises `NotKnown` with the
reason, and with it everything that embeds it.
"""

from rekall_layout_expert.c_integers import NotConstant, wrap
from rekall_layout_expert.parser.declarations import SyntaxProblem
from rekall_layout_expert.parser.scope import NotKnown
from rekall_layout_expert.parser.types import (
    Array,
    Atomic,
    Attributed,
    Base,
    Enum,
    Function,
    Modified,
    Named,
    Pointer,
    Record,
    TypeOf,
)
from rekall_layout_expert.record_layout.constants import Constants
from rekall_layout_expert.record_layout.randstruct import Member

_LARGEST_BITS = 1 << 63
_INT_MIN, _INT_MAX = -(1 << 31), (1 << 31) - 1
LONGEST_CHAIN = 1000  # of typedefs and typeofs; only a type that means itself has a longer one
_REGISTER_SIZES = (8, 16, 32, 64)  # of GCC's integer machine modes on 32-bit targets, the only ones where it matters
_MODES = {
    "QI": 8, "byte": 8, "HI": 16, "SI": 32, "DI": 64, "TI": 128, "word": None, "pointer": None, "unwind_word": None,
}  # fmt: skip
_FLOAT_MODES = {
    "SF": "float", "DF": "double", "XF": "long double", "TF": "_Float128", "HF": "_Float16", "SC": "_Complex float",
    "DC": "_Complex double", "XC": "_Complex long double", "TC": "_Complex _Float128",
    "SD": "_Decimal32", "DD": "_Decimal64", "TD": "_Decimal128",
}  # fmt: skip
_DOUBLES = ("double", "_Float64", "_Float32x")  # GCC's DFmode
MS_STRUCT = ("ms_struct", "gcc_struct", "pragma ms_struct")


class Measure:
    """What the layout of a record needs to know of a type.

    size: in bits, None for an array without a count; alignment: in bits; user: the alignment was asked for by an
    attribute (TYPE_USER_ALIGN); category: by machine mode, "integer" (also enumerations, pointers, and records that fit
    an integer register), "double" for double and its complex, "other"; arrays have their element's; block: the type
    fits no register (BLKmode); integral: (bits, unsigned) where a bit-field may have
    that type, else None.
    """

    __slots__ = ("size", "alignment", "user", "category", "integral", "atomic", "block")

    def __init__(self, size, alignment, user=False, category="other", integral=None, atomic=False, block=False):
        self.block = block
        self.size = size
        self.alignment = alignment
        self.user = user
        self.category = category
        self.integral = integral
        self.atomic = atomic


class PlacedField:
    """A member in its place.

    name: None for an anonymous record; type: see `parser.types`; bit_offset: from the start of the record; width: of a
    bit-field in bits, None for other members; alignment: the member's own, in bits (DECL_ALIGN).
    """

    __slots__ = ("name", "type", "bit_offset", "width", "alignment")

    def __init__(self, name, type_, bit_offset, width, alignment):
        self.alignment = alignment
        self.name = name
        self.type = type_
        self.bit_offset = bit_offset
        self.width = width


class RecordLayout:
    """size, alignment in bits; fields: every member that can be reached, in order of declaration; block: see Measure.

    reversed: its scalars are stored in the byte order that is not the target's; bits count from the other end then.
    """

    __slots__ = ("size", "alignment", "user", "fields", "block", "reversed")

    def __init__(self, size, alignment, user, fields, block):
        self.block = block
        self.size = size
        self.alignment = alignment
        self.user = user
        self.fields = fields
        self.reversed = False


class Layouts:
    """Measures the types of a scope (`parser.scope.Scope`) for one `abi.Abi`.

    randstruct: how members are shuffled (see `randstruct`), None where they are not; version: of GCC, on which the
    types of enumerators and a target's vectors depend.
    """

    def __init__(self, scope, abi, randstruct=None, version=(12, 2, 0)):
        self.randstruct = randstruct
        self.version = version
        # Whether packed counts for bit-fields of char, None if that is not known: GCC 4.1 to 4.3 ignored it.
        self.packs_chars = True if version >= (4, 4) else False if version >= (4, 1) else None
        self.scope = scope
        self.abi = abi
        self.constants = Constants(self)
        self._typedefs = {}
        self._bases = {}
        self._pointer = Measure(*abi.pointer, category="integer")
        self._in_progress = set()

    def resolve(self, type_):
        """The type without typedef names, attributes, typeof and _Atomic."""
        for _ in range(LONGEST_CHAIN):
            if type_.__class__ is Named:
                type_ = self.scope.find_typedef(type_.name)
            elif isinstance(type_, (Attributed, Atomic)):
                type_ = type_.target
            elif isinstance(type_, TypeOf):
                type_ = self.constants.type_of_tokens(type_.tokens)
            else:
                return type_
        raise NotKnown("a type that means itself")

    def measure(self, type_):
        """The Measure of a type, for reading only: others may have it, too.  Raises NotKnown."""
        if isinstance(type_, Base):
            measure = self._bases.get(type_.name)
            if measure is None:
                measure = self._bases[type_.name] = self._measure_base(type_.name)
            return measure
        if isinstance(type_, Pointer):
            return self._pointer
        if isinstance(type_, Named):
            measure = self._typedefs.get(type_.name)
            if measure is None:
                measure = self._typedefs[type_.name] = self.measure(self.scope.find_typedef(type_.name))
            return measure
        if isinstance(type_, Record):
            layout = self.record(type_)
            category = "other" if layout.block else "integer"
            return Measure(layout.size, layout.alignment, layout.user, category, block=layout.block)
        if isinstance(type_, Array):
            return self._measure_array(type_)
        if isinstance(type_, Enum):
            bits, unsigned, alignment, user = self.enumeration(type_)[:4]
            return Measure(bits, alignment, user, "integer", (bits, unsigned))
        if isinstance(type_, Attributed):
            return self._measure_attributed(type_)
        if isinstance(type_, TypeOf):
            target = self.constants.type_of_tokens(type_.tokens)
            return self.measure(self._unqualified(target) if type_.unqualified else target)
        if isinstance(type_, Atomic):
            measure = self.measure(type_.target)
            alignment = measure.alignment
            if measure.size in (8, 16, 32, 64, 128) and self._has_atomic(measure.size):
                alignment = max(alignment, measure.size)
            return Measure(measure.size, alignment, measure.user, measure.category, measure.integral, True, measure.block)
        if isinstance(type_, Function):
            return Measure(8, 8)  # GNU C: sizeof a function is 1
        raise NotKnown("a type of unknown kind")

    def _unqualified(self, type_):
        """What typeof_unqual makes of a type: its main variant, which has no alignment of a typedef's, if it was
        qualified, and itself if not.  Qualifiers are not kept, so it is known only where both are the same."""
        target = type_
        while isinstance(target, (Named, Attributed, Atomic, TypeOf)):
            if isinstance(target, Named):
                target = self.scope.find_typedef(target.name)
            elif isinstance(target, TypeOf):
                target = self.constants.type_of_tokens(target.tokens)
            elif isinstance(target, Atomic):
                type_ = target = target.target
            elif any(name != "qualified" for name, _ in target.attributes):
                raise NotKnown("typeof_unqual of a type with attributes of its own")
            else:
                target = target.target
        return type_

    def _has_atomic(self, bits):
        return bits <= 64 or "__int128" in self.abi.basic

    def _measure_base(self, name):
        part = name[9:] if name.startswith("_Complex ") else name
        figures = self.abi.basic.get(part)
        if figures is None and "_BitInt(" in name:
            return self._measure_bit_int(name)
        if figures is None:
            raise NotKnown("the type %s does not exist on %s" % (name, self.abi.name))
        size, alignment = figures
        if part is not name:
            category = "double" if part in _DOUBLES else "integer" if self._is_integer(part) else "other"
            return Measure(2 * size, alignment, category=category)
        if self._is_integer(name):
            return Measure(size, alignment, category="integer", integral=(size, self.is_unsigned(name)))
        return Measure(size, alignment, category="double" if name in _DOUBLES else "other")

    def _measure_bit_int(self, name):
        width = int(name[name.index("(") + 1 : -1])
        unsigned = name.startswith("unsigned")
        figures = self.abi.bit_int(width)
        if figures is None or name.startswith("_Complex") or width < (1 if unsigned else 2) or width > 65535:
            raise NotKnown("the type %s on %s" % (name, self.abi.name))
        size, alignment = figures
        category = "integer" if size <= 64 else "other"
        block = size > (128 if "__int128" in self.abi.basic else 64)  # of several registers there is no machine mode
        return Measure(size, alignment, False, category, (width, unsigned), block=block)

    @staticmethod
    def _is_integer(name):
        return name.startswith(("unsigned", "int", "long", "short", "char", "signed", "_Bool", "__int128")) and (
            name != "long double"
        )

    def is_unsigned(self, name):
        """Whether an integer type is unsigned on this target."""
        return name.startswith("unsigned") or name == "_Bool" or name == "char" and self.abi.arithmetic.char_unsigned

    def _measure_array(self, type_):
        element = self.measure(type_.element)
        if element.size is None:
            raise NotKnown("an array of arrays without a count")
        if self._loses_alignment(type_.element):
            raise NotKnown("an array of a qualified typedef with an alignment of its own")
        size = None
        if type_.count is not None:
            count = self.constants.value(type_.count)
            if count < 0 or count * element.size >= _LARGEST_BITS:
                raise NotKnown("an array of %d elements" % count)
            size = count * element.size
        block = element.block or size not in _REGISTER_SIZES
        return Measure(size, element.alignment, element.user, element.category, None, element.atomic, block)

    def _loses_alignment(self, element):
        """Whether GCC may build an array of that type without the alignment of a typedef: where it is qualified, too."""
        names = set()
        while isinstance(element, (Named, Attributed)):
            if isinstance(element, Named):
                element = self.scope.find_typedef(element.name)
            else:
                names.update(name for name, _ in element.attributes)
                element = element.target
        return "qualified" in names and not names.isdisjoint(("aligned", "alignas"))

    def _measure_attributed(self, type_):
        measure = self.measure(type_.target)
        for name, arguments in type_.attributes:
            if name in ("aligned", "alignas"):
                if type_.__class__ is Modified and self._is_packed_enum(type_.target):
                    continue  # GCC: "conflicts with attribute 'packed'"
                measure = Measure(
                    measure.size, self._alignment(arguments), True, measure.category, measure.integral, measure.atomic,
                    measure.block,
                )  # fmt: skip
            elif name == "vector_size":
                size = 8 * self.constants.value(arguments or [])
                if size <= 0 or size & (size - 1):
                    raise NotKnown("a vector of %d bits" % size)
                # Without vector registers a vector of integers that fits a register has an integer's machine mode.
                fits = size <= 64 and measure.category == "integer"
                alignment = self.abi.vector_alignment(size, self.version)
                measure = Measure(size, alignment, category="integer" if fits else "other", block=not fits)
            elif name == "mode":
                measure = self._measure_mode(measure, arguments)
        return measure

    def _is_packed_enum(self, type_):
        """Whether GCC's type node has the attribute packed, which it keeps for enumerations only."""
        for _ in range(LONGEST_CHAIN):
            if isinstance(type_, Named):
                type_ = self.scope.find_typedef(type_.name)
            elif isinstance(type_, TypeOf):
                type_ = self.constants.type_of_tokens(type_.tokens)
            elif isinstance(type_, Atomic):
                type_ = type_.target
            elif isinstance(type_, Attributed):
                if any(name in ("mode", "vector_size") for name, _ in type_.attributes):
                    return False  # another type
                type_ = type_.target
            else:
                return isinstance(type_, Enum) and self.packs(self.scope.complete(type_))
        return False

    def _measure_mode(self, measure, arguments):
        mode = (arguments or [""])[0]
        if mode.startswith("__") and mode.endswith("__"):
            mode = mode[2:-2]
        if mode in _FLOAT_MODES:
            return self._measure_base(_FLOAT_MODES[mode])
        if mode not in _MODES:
            raise NotKnown("the machine mode %s" % mode)
        bits = _MODES[mode] or self.abi.pointer[0]
        unsigned = bool(measure.integral and measure.integral[1])
        return Measure(bits, bits, False, "integer", (bits, unsigned))

    def _alignment(self, arguments, least=8):
        """The alignment in bits that aligned(…) or _Alignas(…) asks for, `least` where it asks for 0."""
        if not arguments:
            return self.abi.biggest
        value = self.constants.alignment_argument(arguments)
        if value < 0 or value & (value - 1) or value > 1 << 28:
            raise NotKnown("an alignment of %d" % value)
        return max(8 * value, least)

    # Enumerations

    def enumeration(self, enum):
        """(bits, unsigned, alignment, user, {enumerator: value}) of an enumeration (GCC: finish_enum)."""
        if enum.values is None:
            try:
                self.scope.complete(enum)
            except NotKnown:
                if enum.underlying is None:
                    raise
                return self._underlying(enum) + ({},)  # declared with its type, and not defined
            with self._progress(enum):
                enum.values = self._enumeration(enum)
        return enum.values

    def _enumeration(self, enum):
        if enum.underlying is not None:
            enum.are_typed = True
            type_ = self._underlying(enum)
            return type_ + (self._enumerators(enum, type_[:2]),)
        values = self._enumerators(enum)
        least = min(values.values(), default=0)
        most = max(values.values(), default=0)
        unsigned = least >= 0
        bits = most.bit_length() if unsigned else max(most, ~least).bit_length() + 1
        if bits > 64:
            raise NotKnown("enum %s: values wider than 64 bits" % (enum.tag or ""))
        enum.are_typed = self.version >= (13,) and not _INT_MIN <= least <= most <= _INT_MAX
        widths = (8, 16, 32, 64) if self.packs(enum) else (self.abi.arithmetic.int_bits, 64)
        bits = next(width for width in widths if bits <= width)
        for name, arguments in enum.attributes:
            if name == "mode":
                bits = self._measure_mode(Measure(bits, bits, integral=(bits, unsigned)), arguments).size
        alignment = self._integer_alignment(bits)
        return bits, unsigned, alignment, False, values

    def _underlying(self, enum):
        """(bits, unsigned, alignment, user) of a fixed underlying type, without what a typedef adds to it."""
        integral = self.measure(enum.underlying).integral
        resolved = self.resolve(enum.underlying)
        if integral is None or not isinstance(resolved, Base) or resolved.name == "_Bool":
            raise NotKnown("enum %s: its underlying type is no integer type" % (enum.tag or ""))
        return integral + (self._integer_alignment(integral[0]), False)

    def _enumerators(self, enum, fixed=None):
        """{enumerator: value}; fixed: (bits, unsigned) of the underlying type (GCC: build_enumerator)."""
        values = {}
        typed = {}  # what the enumeration's own expressions see: (value, bits, unsigned) of those that are no int
        following = 0
        wide = fixed
        for name, tokens in enum.enumerators:
            if tokens is not None:
                following = self.constants.value(tokens, typed)
            if fixed is None:
                if _INT_MIN <= following <= _INT_MAX:
                    wide = None
                elif tokens is not None:
                    wide = self.constants.value(tokens, typed, True)[1:]
                else:
                    wide = self._successor_type(following, wide)
            elif wrap(following, *fixed) != following:
                raise NotKnown("enum %s: %s does not fit" % (enum.tag or "", name))
            values[name] = following
            typed[name] = following if wide is None else (following,) + wide
            following += 1
        return values

    def _successor_type(self, value, type_):
        """(bits, unsigned) of one more than an enumerator of that type, None for int."""
        bits, unsigned = type_ or (self.abi.arithmetic.int_bits, False)
        if wrap(value, bits, unsigned) == value:
            return bits, unsigned
        if self.version < (13,) or bits >= 64:
            raise NotKnown("an enumerator overflows")
        return 64, unsigned

    def _integer_alignment(self, bits):
        return next(alignment for size, alignment in self.abi.basic.values() if size == bits and alignment == bits)

    # Records

    def record(self, record):
        """The RecordLayout of a struct or union.  Raises NotKnown."""
        layout = record.layout
        if layout is None:
            self.scope.complete(record)
            with self._progress(record):
                try:
                    layout = self._lay_out(record)
                except (NotKnown, NotConstant, SyntaxProblem) as error:
                    layout = error
                except RecursionError:
                    layout = NotKnown("types are nested too deeply")
            record.layout = layout
        if isinstance(layout, Exception):
            raise NotKnown(str(layout))
        return layout

    @staticmethod
    def packs(enum):
        """Whether an enumeration is packed: aligned, which has no effect of its own, excludes a packed behind it."""
        names = [name for name, _ in enum.attributes if name in ("packed", "aligned")]
        return names[:1] == ["packed"]

    @staticmethod
    def record_alignment(before, asked):
        """The alignment of a record for which several attributes ask: GCC takes the last one's."""
        return asked

    def _progress(self, type_):
        return _Progress(self._in_progress, type_)

    def _lay_out(self, record):
        packed = False
        record_alignment = 8
        user = False
        order, orders_of_types = None, []
        placement = self.placement
        for name, arguments in record.attributes:
            if name == "packed":
                packed = True
            elif name in ("aligned", "alignas"):
                record_alignment = self.record_alignment(record_alignment, self._alignment(arguments))
                user = True
            elif name in MS_STRUCT:
                from rekall_layout_expert.record_layout.ms_struct import placement_for  # it derives from what is below

                placement = placement_for(self, record.attributes)
            elif name == "scalar_storage_order":
                order = arguments or ()
            elif name == "scalar_storage_order of a type":
                orders_of_types.append(arguments)
        shuffle = self.randstruct if self.randstruct and self.randstruct.shuffles(self, record) else None
        state = placement(self, record, packed, record_alignment, user)
        take = state.declare if shuffle and not shuffle.lays_out_again else state.place
        declarations = []
        for field in record.fields:
            try:
                declarations.append(take(field))
            except (NotKnown, NotConstant, SyntaxProblem) as error:
                raise NotKnown("%s: %s" % (field.name or "an anonymous member", error)) from None
        if shuffle is None:
            layout = state.finish()
            if order is not None:
                layout.reversed = self._is_reversed(order)
                # GCC makes another type of a record for the other order, but none for the target's own.
                if layout.reversed and not all(self._is_reversed(each) for each in orders_of_types):
                    raise NotKnown("the attribute scalar_storage_order of a type, which takes back the record's")
            return layout
        if order is not None:
            raise NotKnown("the attribute scalar_storage_order of a struct whose members are shuffled")
        if shuffle.lays_out_again:
            declarations = [state.narrow(*declaration) for declaration in declarations]
            state = placement(self, record, packed, state.alignment, state.user)
        members = [Member(field.type, measure.size, width) for field, measure, width, *_ in declarations]
        return state.finish_in_order(declarations, shuffle.order(self, record, members))

    def _is_reversed(self, order):
        """Whether scalar_storage_order(order) is not the target's own, which places no member anywhere else."""
        if not self.knows_storage_order():
            return False
        if order not in (['"big-endian"'], ['"little-endian"']):
            raise NotKnown("the attribute scalar_storage_order(%s)" % " ".join(order or ()))
        return (order == ['"big-endian"']) != self.abi.big_endian

    def knows_storage_order(self):
        """Whether the compiler knows scalar_storage_order; it ignores it otherwise."""
        return self.version >= (6,)

    def check_storage_order(self):
        """Raises NotKnown where the compiler makes another type of a record's by scalar_storage_order."""
        if self.knows_storage_order():
            raise NotKnown("the attribute scalar_storage_order of a type that is defined without it")

    def least_alignment(self, type_):
        """The alignment in bits of a type inside a record, which is what _Alignof tells (GCC: min_align_of_type)."""
        measure = self.measure(type_)
        if measure.user:
            return measure.alignment
        return self.abi.field_alignment(measure.category, min(measure.alignment, self.abi.biggest))

    def find_member(self, record, name):
        """(bit offset, PlacedField) of a member by name, also inside anonymous ones.  Raises NotKnown."""
        for field in self.record(record).fields:
            if field.name == name:
                return field.bit_offset, field
            if field.name is None and field.width is None:
                inner = self.resolve(field.type)
                if isinstance(inner, Record):
                    try:
                        offset, found = self.find_member(inner, name)
                    except NotKnown:
                        continue
                    return field.bit_offset + offset, found
        raise NotKnown("%s %s has no member %s" % (record.kind, record.tag or "", name))


class _Progress:
    """Guards against a type whose size depends on itself."""

    def __init__(self, types, type_):
        self.types = types
        self.type = type_

    def __enter__(self):
        if self.type in self.types:
            raise NotKnown("%s %s contains itself" % (self.type.kind, self.type.tag or ""))
        self.types.add(self.type)

    def __exit__(self, *_):
        self.types.discard(self.type)


class Placement:
    """The layout of one record in the making (GCC: record_layout_info)."""

    zero_width_aligns = True  # a bit-field of no width has its type's alignment, packed or not

    def __init__(self, layouts, record, packed, alignment, user):
        self.layouts = layouts
        self.abi = layouts.abi
        self.is_union = record.kind == "union"
        self.packed = packed
        self.maximum = 8 * record.pack if record.pack else 0  # maximum_field_alignment
        self.alignment = alignment  # record_align
        self.user = user
        self.offset_alignment = max(alignment, self.abi.biggest)  # offset_align
        self.position = 0  # offset and bitpos in one
        self.size = 0  # of a union
        self.block = False
        self.fields = []

    def place(self, field):
        """Places one member, and returns its declaration as the layout leaves it: see `declare`."""
        return self._put(*self.declare(field))

    def declare(self, field):
        """What the layout starts from: (field, Measure of its type, width, is it packed?, the alignment in bits that is
        asked for or 1 (DECL_ALIGN), is it asked for (DECL_USER_ALIGN)?, is it a bit-field (DECL_BIT_FIELD)?)."""
        measure = self.layouts.measure(field.type)
        width = None
        if field.width is not None:
            width = self._width(field, measure)
        elif measure.size == 8 and measure.integral is None and field.name is not None:  # as a function has it
            if isinstance(self.layouts.resolve(field.type), Function):
                raise NotKnown("a member that is a function")
        packed, asked = self._attributes(field, measure, width)
        return field, measure, width, packed, asked or 1, bool(asked), width is not None

    def _put(self, field, measure, width, packed, alignment, user, is_bit_field):
        """GCC: place_field, place_union_field."""
        size = width if width is not None else measure.size
        self.block |= measure.block and size != 0
        known = 0 if self.is_union else self.position & -self.position
        if width is None and alignment == 1 and not packed and not self.maximum:
            # Nobody asks for anything, as for most: this is what _declared_alignment would come to.
            desired, field_user = measure.alignment, measure.user
            if not field_user and not measure.atomic:
                desired = self.abi.field_alignment(measure.category, desired)
        else:
            is_bit_field, desired, field_user = self._declared_alignment(
                measure, width if is_bit_field else None, packed, alignment, user, known
            )
        self._raise_record_alignment(field, measure, width, packed, desired, field_user)
        declaration = field, measure, width, packed, desired, field_user, is_bit_field
        if self.is_union:
            self._add(field, 0, width, desired)
            self.size = max(self.size, -(-(size or 0) // 8) * 8)
            return declaration
        known = known or max(self.abi.biggest, self.alignment)
        start = self.position - self.position % self.offset_alignment  # offset; bitpos counts from there
        if known < desired:
            self.position = _up(self.position, desired)
            if desired >= self.offset_alignment:
                start = self.position
        if (
            is_bit_field
            and width
            and not packed
            and not self.maximum
            and self._spans_too_much(measure, width)
        ):
            # PCC_BITFIELD_TYPE_MATTERS: a bit-field may not cross more units of its type than the type itself.
            self.position = start + _up(self.position - start, self._type_alignment(measure))
        if is_bit_field and width and not packed and not self.maximum:
            self.user |= measure.user
        self._add(field, self.position, width, desired)
        self.position += size or 0
        return declaration

    def narrow(self, field, measure, width, *rest):
        """A declaration after the layout: a bit-field has the type of the smallest integer by then (GCC: finish_struct)."""
        if width is not None and not (width == 1 and self._is_bool(field)) and width != measure.integral[0]:
            size = next(size for size in (8, 16, 32, 64, 128) if size >= width)
            measure = Measure(size, min(size, self.abi.biggest), category="integer", integral=(size, measure.integral[1]))
        return (field, measure, width, *rest)

    def finish_in_order(self, declarations, order):
        """The layout of members in another order; it lists them as they were declared all the same."""
        fields = {}
        for place in order:
            self._put(*declarations[place])
            fields[place] = self.fields
            self.fields = []
        self.fields = [field for _, placed in sorted(fields.items()) for field in placed]
        return self.finish()

    def _width(self, field, measure):
        if measure.integral is None:
            raise NotKnown("a bit-field of a type that is no integer")
        width = self.layouts.constants.value(field.width)
        limit = 1 if self._is_bool(field) else measure.integral[0]
        if not 0 <= width <= limit or not width and field.name is not None:
            raise NotKnown("a bit-field of %d bits" % width)
        return width

    def _is_bool(self, field):
        type_ = self.layouts.resolve(field.type)
        return isinstance(type_, Base) and type_.name == "_Bool"

    def _attributes(self, field, measure, width):
        """(is it packed?, the alignment that its declaration asks for or 0)."""
        if not field.attributes and not self.packed:
            return False, 0
        packed = False
        asked = 0
        for name, arguments in field.attributes:
            if name == "packed":
                packed = packed or measure.alignment > 8 or width is not None
            elif name in ("aligned", "alignas"):
                asked = max(asked, self.layouts._alignment(arguments, 0))  # _Alignas(0) asks for nothing
        if self.packed and (width is not None or measure.alignment > 8):
            packed = True
        if packed and width and measure.alignment <= 8 and not self.layouts.packs_chars:
            packed = self._packs_char(measure, width)
        return packed, asked

    def _packs_char(self, measure, width):
        if self.layouts.packs_chars is None and (measure.size > 8 or self._spans_too_much(measure, width)):
            raise NotKnown("GCC 4.4 changed where a packed bit-field of char stands, and which GCC it was is not known")
        return False

    def _type_alignment(self, measure):
        if measure.user or measure.atomic:
            return measure.alignment
        return self.abi.field_alignment(measure.category, measure.alignment)

    def _declared_alignment(self, measure, width, packed, alignment, user, known):
        """(is it still a bit-field?, DECL_ALIGN, DECL_USER_ALIGN) (GCC: layout_decl)."""
        old_user = user
        is_bit_field = width is not None
        zero_width = width == 0 and self.zero_width_aligns
        if is_bit_field:
            if zero_width:
                packed = False
                if measure.alignment > alignment:
                    alignment, user = measure.alignment, measure.user
            elif width in (8, 16, 32, 64, 128) and self._has_mode(width) and not measure.block:
                # A bit-field as wide as a machine mode and aligned for it is an ordinary member.
                mode_alignment = self._mode_alignment(width)
                if not (mode_alignment > 8 and packed) and (not known or known >= mode_alignment):
                    alignment = max(alignment, mode_alignment)
                    is_bit_field = False
        elif packed and user:
            pass
        elif measure.alignment > alignment:
            alignment, user = measure.alignment, measure.user
        if packed and not old_user:
            alignment = min(alignment, 8)
        if not packed and not user and not measure.atomic:
            alignment = self.abi.field_alignment(measure.category, alignment)
        if self.maximum and not zero_width:
            alignment = min(alignment, self.maximum)
        return is_bit_field, alignment, user

    def _has_mode(self, bits):
        return bits <= 64 or "__int128" in self.abi.basic

    def _mode_alignment(self, bits):
        return min(bits, self.abi.biggest)  # s390's __int128 needs eight bytes only

    def _raise_record_alignment(self, field, measure, width, packed, desired, field_user):
        """GCC: update_alignment_for_field."""
        if width is not None and measure.size:
            if field.name is None and not self.abi.anonymous_bit_fields_align:
                self.user |= field_user
                return
            alignment = self._type_alignment(measure)
            if not width:
                pass
            elif self.maximum:
                alignment = min(alignment, self.maximum)
            elif packed:
                alignment = min(alignment, 8)
            self.alignment = max(self.alignment, desired, alignment)
            self.user |= field_user or measure.user
        else:
            self.alignment = max(self.alignment, desired)
            self.user |= field_user

    def _spans_too_much(self, measure, width):
        """GCC: excess_unit_span."""
        alignment = self._type_alignment(measure)
        offset = self.position % alignment
        return -(-(offset + width) // alignment) > measure.size // alignment

    def _add(self, field, bit_offset, width, alignment):
        if field.name is None and width is not None:
            return  # an unnamed bit-field is padding
        self.fields.append(PlacedField(field.name, field.type, bit_offset, width, alignment))

    def finish(self):
        """GCC: finish_record_layout."""
        size = _up(self.size if self.is_union else self.position, self.alignment)
        return RecordLayout(size, self.alignment, self.user, self.fields, self.block or size not in _REGISTER_SIZES)


def _up(number, multiple):
    return -(-number // multiple) * multiple


Layouts.placement = Placement
