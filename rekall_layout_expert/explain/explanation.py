r"""Answers by name: STRUCT in pahole's form, or STRUCT.MEMBER with everything that is known of the member.

What there is no answer for ends in one line: a name that nobody declares, with those that are close to it; one that this
config leaves out, with the place and the conditions that keep it away; a struct that cannot be laid out for certain,
with the reason.
"""

import difflib
import re

from rekall_layout_expert.c_integers import NotConstant
from rekall_layout_expert.collector import held_off
from rekall_layout_expert.errors import LayoutExpertError
from rekall_layout_expert.explain.listing import listing, unit_start
from rekall_layout_expert.explain.origins import macro_place, settings, spelled_conditions, where
from rekall_layout_expert.explain.records import RowsOfRecords, macros_of, names_of, spelled
from rekall_layout_expert.explain.tracing import Condition, TracedKernel, is_guard
from rekall_layout_expert.kernel_config import KernelConfig, compiler_of
from rekall_layout_expert.parser.declarations import SyntaxProblem
from rekall_layout_expert.parser.scope import NOT_DEFINED, NotKnown
from rekall_layout_expert.parser.types import Record
from rekall_layout_expert.pre_ast.private_types import homes_of
from rekall_layout_expert.pre_ast.program import IF, TEXT
from rekall_layout_expert.profile.private import record_of_object
from rekall_layout_expert.profile.symbols import Symbols, text_link_address
from rekall_layout_expert.randstruct_seed import read_seed

_PROBLEMS = (NotKnown, NotConstant, SyntaxProblem)
_LONGEST_BODY = 100  # characters of a macro's replacement that are shown


def explain(pre_ast, config, name, symbols=None, banner=None, randstruct_seed=None):
    """The lines that explain a struct, or a member of one, in a kernel.

    pre_ast: a PreAst; config: a KernelConfig or the path of one; name: "STRUCT", "STRUCT.MEMBER", or a path through
    embedded records, "STRUCT.MEMBER.MEMBER"; STRUCT may also be a union, or the typedef of one.
    symbols, banner, randstruct_seed: as `make_profile`, of whose profile this tells the same.
    Raises LayoutExpertError for a name that there is not, and for what cannot be laid out for certain.
    """
    if not isinstance(config, KernelConfig):
        config = KernelConfig.read(config)
    struct, members = split_name(name)
    if symbols is not None and not isinstance(symbols, Symbols):
        symbols = Symbols.read(symbols, link_text=text_link_address(config))
    with held_off():
        kernel = TracedKernel(
            pre_ast, config, randstruct_seed=read_seed(randstruct_seed) if randstruct_seed else None,
            compiler=compiler_of(banner) if banner else None, symbols=symbols,
        )  # fmt: skip
        return _explained(kernel, struct, members)


def _explained(kernel, struct, members):
    for path, symbols, own_names in kernel.pre_ast.header["private"]:
        if struct in own_names:
            return _OfSourceFile(kernel, path, symbols).lines(struct, members)
    kernel.read_types()
    return _Explanation(kernel, kernel.scope, kernel.layouts).lines(struct, members)


def split_name(name):
    """(struct, [members]) of what the user asked for.  Raises LayoutExpertError."""
    struct, *members = [part.strip() for part in re.sub(r"\A\s*(?:struct|union)\s+", "", name).split(".")]
    if not all(re.match(r"\w+\Z", part) for part in [struct, *members]):
        raise LayoutExpertError("'%s' names no struct and no member" % name, next_step="give STRUCT or STRUCT.MEMBER")
    return struct, members


def close_to(name, names):
    """What to do about a name that there is not."""
    close = difflib.get_close_matches(name, sorted(names), 5, 0.6)
    return "close to it: %s" % ", ".join(close) if close else "no name is close to it"


class _Explanation:
    def __init__(self, kernel, scope, layouts):
        self.kernel = kernel
        self.unit = scope.unit
        self.scope = scope
        self.layouts = layouts
        self.records = RowsOfRecords(scope, layouts)

    def lines(self, struct, members):
        record = self._record(struct)
        rows = self._rows(record, struct)
        if not members:
            return listing(rows, self.unit, self.layouts.abi.big_endian) + self._packing(record)
        return self._member(record, rows, struct, members)

    # A struct

    def _record(self, name):
        try:
            type_ = self.layouts.resolve(self.scope.find_type(name))
            if isinstance(type_, Record):
                return self.scope.complete(type_)
        except _PROBLEMS as error:
            raise self._no_struct(name, str(error)) from None
        raise LayoutExpertError("%s is no struct and no union, but %s" % (name, self.records.describe(type_)))

    def _rows(self, record, name):
        try:
            return self.records.rows(record, name)
        except _PROBLEMS as error:
            place = self.scope.places.get(record)
            raise LayoutExpertError(
                "%s %s is left out, as it cannot be known for certain: %s" % (record.kind, name, error),
                next_step=place and "it is defined at %s" % where(place),
            ) from None

    def _no_struct(self, name, reason):
        homes = homes_of(name) if self.kernel.pre_ast.header["source"] == "headers" else None
        if homes:
            return LayoutExpertError(
                "%s is private to %s, which a headers package lacks" % (name, " or ".join(homes)),
                next_step="use a Pre-AST built from full kernel source",
            )
        if not reason.endswith(NOT_DEFINED):
            return LayoutExpertError("%s is left out, as it cannot be known for certain: %s" % (name, reason))
        found = self._elsewhere(lambda item: "." + name in item[5] or name in item[5])
        if found:
            return LayoutExpertError("there is no struct %s with this config: %s" % (name, found))
        names = set(self.scope.index.tags()) | set(self.scope.typedefs)
        next_step = self._meant(name, "%s") or close_to(name, names)
        return LayoutExpertError("there is no struct %s: %s" % (name, reason), next_step=next_step)

    def _packing(self, record):
        notes = []
        if record.pack:
            notes.append("#pragma pack(%d) was in force" % record.pack)
        notes += [_attribute(name, arguments) for name, arguments in record.attributes if name != "packed"]
        place = self.scope.places.get(record)
        outer = [each for each in place.conditions if each.path != place.path] if place else []
        notes += ["reached through %s under %s" % (each.path, spelled_conditions([each])) for each in outer]
        return ["", *("// " + note for note in notes)] if notes else []

    # A member

    def _member(self, record, rows, struct, names):
        steps = []
        base = 0
        for number, name in enumerate(names):
            path = self._find(rows, name)
            if path is None:
                raise self._no_member(record, ".".join([struct, *names[:number]]), name)
            for row in path:
                steps.append((row, base))
            row = path[-1]
            if number + 1 < len(names):
                record = self._embedded(row, ".".join([struct, *names[: number + 1]]))
                base += row.bit_offset
                rows = self._rows(record, record.tag or name)
        return self._told(".".join([struct, *names]), steps)

    def _embedded(self, row, path):
        try:
            record = self.layouts.resolve(row.placed.type)
        except _PROBLEMS as error:
            raise LayoutExpertError("%s: %s" % (path, error)) from None
        if not isinstance(record, Record):
            raise LayoutExpertError(
                "%s is of type %s and has no members" % (path, self.records.describe(row.placed.type)),
                next_step="members of what a pointer points to are asked for by that struct's own name",
            )
        return self.scope.complete(record)

    def _find(self, rows, name):
        """The rows that lead to a member by name, through anonymous records; None if there is none."""
        for row in rows.rows:
            if row.name == name:
                return [row]
            if row.name is None and row.inner is not None:
                found = self._find(row.inner, name)
                if found:
                    return [row, *found]
        return None

    def _no_member(self, record, path, name):
        word = re.compile(r"\b%s\b" % re.escape(name))
        found = self._elsewhere(lambda item: word.search(item[2]), record)
        if found:
            return LayoutExpertError("%s has no member %s with this config: %s" % (path, name, found))
        next_step = self._meant(name, path + ".%s") or close_to(name, names_of(self.records.rows(record)))
        return LayoutExpertError("%s has no member %s" % (path, name), next_step=next_step)

    def _meant(self, name, form):
        """What to ask for instead of a macro that stands for a name or a path of members; None if it is none."""
        macro = self.unit.macros.lookup(name)
        if macro is None or macro.parameters is not None or not re.match(r"[^\W\d][\w.]*\Z", macro.body.strip()):
            return None
        return "it is a macro (%s): ask for %s" % (macro_place(macro, self.unit), form % macro.body.strip())

    def _told(self, name, steps):
        row, base = steps[-1]
        offset = base + row.bit_offset
        declarator = row.declarator + (":%d" % row.width if row.width is not None else "")
        lines = [name, "", "\t%s %s;" % (row.type, declarator), ""]

        def tell(what, *told):
            for each in told:
                lines.append("  %-11s %s" % (what, each))
                what = ""

        tell("offset", "%s (bit %d)" % (_amount(offset), offset))
        if row.width is None:
            tell("size", _amount(row.size))
        else:
            start = base + unit_start(row)
            tell("size", "%s, in a unit of %s at offset %d" % (_amount(row.width), _amount(row.unit), start // 8))
        tell("alignment", _amount(row.placed.alignment))
        tell("type", " -> ".join(self._chain(row.placed.type)))
        if len(steps) > 1:
            tell("path", " -> ".join(_step(each, start) for each, start in steps))
        if row.place is None:
            tell("written at", "not known")
            return lines
        tell("written at", where(row.place))
        tell("conditions", *(self._conditions(row.place) or ["none: it is there with every config"]))
        tell("macros", *map(self._macro, dict.fromkeys((*row.place.macros, *self._macros(row)))))
        tell("attributes", *self._attributes(row))
        return lines

    def _chain(self, type_):
        try:
            return self.records.chain(type_)
        except _PROBLEMS:
            return [self.records.describe(type_)]

    def _conditions(self, place):
        told = []
        for condition in place.conditions:
            text = self._with_settings(condition)
            told.append(text if condition.path == place.path else "around the #include in %s: %s" % (condition.path, text))
        return told

    def _with_settings(self, *conditions):
        text = spelled_conditions(conditions)
        values = settings(text, self.kernel.config.values, self.unit)
        return "%s  [%s]" % (text, values) if values else text

    def _macros(self, row):
        return macros_of(self.scope.written[row.field]) if row.field in self.scope.written else ()

    def _macro(self, macro):
        parameters = "" if macro.parameters is None else "(%s)" % ", ".join(macro.parameters)
        body = " ".join(macro.body.split())
        body = body if len(body) <= _LONGEST_BODY else body[:_LONGEST_BODY] + "..."
        return "%s%s  %s  (%s)" % (macro.name, parameters, body, macro_place(macro, self.unit))

    def _attributes(self, row):
        """The attributes and pragmas that a member's place may depend on."""
        told = [_attribute(*each) for each in row.field.attributes] if row.field is not None else []
        told += ["%s of the whole %s" % (_attribute(*each), row.owner.kind) for each in row.owner.attributes]
        if row.owner.pack:
            told.append("#pragma pack(%d)" % row.owner.pack)
        return told

    # What other configs have

    def _elsewhere(self, is_it, record=None):
        """Where the headers have what this config leaves out, and why it does; None if they do not.

        is_it: tells it of a TEXT item; record: the one whose members are asked for, None for all headers.
        """
        place = self.scope.places.get(record)
        if record is not None and place is None:
            return None
        lines = range(place.line, self.scope.last_lines[record] + 1) if place else None
        for path in [place.path] if place else self.kernel.pre_ast.files:
            if path not in self.kernel.pre_ast.files:
                continue
            for line, conditions in _found(self.kernel.pre_ast.program(path), path, is_it, ()):
                if (lines is not None and line not in lines) or self.unit.is_walked(path, line):
                    continue
                if path not in self.unit.paths or not conditions:
                    return "%s:%d, a header that is not included" % (path, line)
                return "%s:%d has it under %s" % (path, line, self._with_settings(*conditions))
        return None


class _OfSourceFile(_Explanation):
    """Explains types of a single source file, which is a translation unit of its own."""

    def __init__(self, kernel, path, symbols):
        try:
            super().__init__(kernel, *kernel.private_types(path, symbols))
        except NotKnown as error:
            raise LayoutExpertError(str(error)) from None

    def _record(self, name):
        if self.scope.is_tag(name):
            return super()._record(name)
        try:
            return record_of_object(self.scope, self.layouts, name)
        except _PROBLEMS as error:
            raise self._no_struct(name, str(error)) from None


def _found(program, path, is_it, conditions):
    """(line, conditions) of the pieces of text that `is_it` holds for, in all branches."""
    for item in program:
        if item[0] == TEXT and is_it(item):
            yield item[1], conditions
        elif item[0] == IF:
            for number, (condition, body) in enumerate(item[1]):
                tried = tuple(each for each, _ in item[1][:number])
                inner = conditions if is_guard(item) else conditions + (Condition(path, tried, condition),)
                yield from _found(body, path, is_it, inner)


def _attribute(name, arguments):
    return "__attribute__((__%s__%s))" % (name, "(%s)" % spelled(arguments) if arguments else "")


def _amount(bits):
    """Bits in words: "4 bytes", "3 bits", "2 bytes and 1 bit"."""
    parts = [(bits // 8, "byte"), (bits % 8, "bit")]
    told = ["%d %s%s" % (number, unit, "s"[number == 1 :]) for number, unit in parts if number]
    return " and ".join(told) or "0 bytes"


def _step(row, base):
    return "%s at %d" % (row.name or "(anonymous %s)" % row.type.split()[0], (base + row.bit_offset) // 8)
