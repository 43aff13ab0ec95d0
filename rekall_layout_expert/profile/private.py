r"""Types of single source files in a profile (see `pre_ast.private_types`).

A profile knows a type by its name alone.  Where a source file and the headers, or two source files, declare different
types of one name, the wanted type keeps it and the other goes by ``NAME@FILE``, with all that hold one of those.
"""

from rekall_layout_expert.c_integers import NotConstant
from rekall_layout_expert.parser.declarations import SyntaxProblem
from rekall_layout_expert.parser.scope import NotKnown
from rekall_layout_expert.parser.types import Attributed, Named, Record, TypeOf
from rekall_layout_expert.pre_ast.private_types import homes_of
from rekall_layout_expert.profile.closure import with_pointed_to
from rekall_layout_expert.profile.vtypes import Vtypes
from rekall_layout_expert.record_layout.layouts import LONGEST_CHAIN

_HEADERS = "headers"


def add_private_types(kernel, names, vtypes, pointed_to):
    """Adds types of source files to a profile's `Vtypes`, in place.

    names: those that are asked for, or None for all that the Pre-AST has; pointed_to: with what their members point to.
    Returns {name: path of its file}.
    """
    homes = {}
    for path, symbols, own_names in kernel.pre_ast.header["private"]:
        wanted = [name for name in own_names if names is None or name in names]
        if wanted:
            found, reasons = _types_of_file(kernel, path, symbols, wanted, pointed_to)
            _merge(vtypes, found, path, wanted)
            homes.update((name, path) for name in wanted if name in vtypes.structs and name not in reasons)
            for name, reason in reasons.items():
                if name not in vtypes.structs:
                    vtypes.left_out[name] = reason
    for name in vtypes.left_out:
        if kernel.pre_ast.header["source"] == "headers" and homes_of(name):
            vtypes.left_out[name] = "private to %s, which a headers package lacks; full source has it" % (
                " or ".join(homes_of(name))
            )
    return homes


def _types_of_file(kernel, path, symbols, wanted, pointed_to):
    """(Vtypes, {name: why it is not among them})."""
    try:
        scope, layouts = kernel.private_types(path, symbols)
    except NotKnown as error:
        return None, dict.fromkeys(wanted, str(error))
    vtypes, reasons = Vtypes(layouts), {}
    for name in wanted:
        if scope.is_tag(name):
            vtypes.add_named(name)
            continue
        try:
            vtypes.add(record_of_object(scope, layouts, name), name)
        except (NotKnown, NotConstant, SyntaxProblem) as error:
            reasons[name] = "%s: %s" % (path, error)
    if pointed_to:
        for name in with_pointed_to(scope, layouts, [name for name in wanted if name not in reasons]):
            if name not in wanted:
                vtypes.add_named(name)
    reasons.update((name, "%s: %s" % (path, vtypes.left_out[name])) for name in wanted if name in vtypes.left_out)
    return vtypes, reasons


def record_of_object(scope, layouts, name):
    """The record without a tag that a variable is declared with.  Raises NotKnown."""
    type_ = scope.find_object(name)
    for _ in range(LONGEST_CHAIN):
        if isinstance(type_, Named):
            type_ = scope.find_typedef(type_.name)
        elif isinstance(type_, Attributed):
            type_ = type_.target
        elif isinstance(type_, TypeOf):
            type_ = layouts.constants.type_of_tokens(type_.tokens)
    if not isinstance(type_, Record):
        raise NotKnown("%s is no struct or union" % name)
    return type_


def _merge(vtypes, found, path, wanted):
    """Puts what a file gave to the rest.  Of two types of one name, the file's goes by another, unless it is wanted."""
    if found is None:
        return
    ours = {"structs": vtypes.structs, "enums": vtypes.enums}
    theirs = {"structs": found.structs, "enums": found.enums}
    for kind in ("enums", "structs"):
        _rename(ours, [name for name in wanted if _differs(ours, theirs, kind, name)], kind, _HEADERS)
    for kind in ("enums", "structs"):
        names = [name for name in theirs[kind] if _differs(ours, theirs, kind, name)]
        while names:
            _rename(theirs, names, kind, path)
            # Those that hold a renamed one are no longer what they were.
            kind = "structs"
            names = [name for name in theirs[kind] if _differs(ours, theirs, kind, name)]
    for kind in ours:
        ours[kind].update(theirs[kind])
    for name, reason in found.left_out.items():
        vtypes.left_out.setdefault(name, reason)


def _differs(ours, theirs, kind, name):
    return name in ours[kind] and name in theirs[kind] and ours[kind][name] != theirs[kind][name]


def _rename(tables, names, kind, place):
    """Gives types of one side other names, wherever they stand."""
    if not names:
        return
    new_names = {name: "%s@%s" % (name, place) for name in names}
    table = tables[kind]
    for name, new_name in new_names.items():
        table[new_name] = table.pop(name)
    for _, members in tables["structs"].values():
        for member, (offset, type_) in members.items():
            members[member] = [offset, _renamed(type_, new_names, kind)]


def _renamed(type_, new_names, kind):
    """A vtype [type, arguments] with other names in it."""
    name, arguments = type_[0], type_[1] if len(type_) > 1 else None
    if kind == "structs":
        name = new_names.get(name, name)
    if arguments is None:
        return [name]
    arguments = dict(arguments)
    if kind == "enums" and arguments.get("enum_name") in new_names:
        arguments["enum_name"] = new_names[arguments["enum_name"]]
    if "target" in arguments:
        inner = [arguments["target"]]
        if arguments.get("target_args") is not None:
            inner.append(arguments["target_args"])
        target = _renamed(inner, new_names, kind)
        arguments["target"] = target[0]
        if len(target) > 1:
            arguments["target_args"] = target[1]
    return [name, arguments]
