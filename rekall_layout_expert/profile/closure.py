r"""What a profile of some types needs besides: what their members point to, and what those embed."""

from rekall_layout_expert.c_integers import NotConstant
from rekall_layout_expert.parser.declarations import SyntaxProblem
from rekall_layout_expert.parser.scope import NotKnown
from rekall_layout_expert.parser.types import Array, Atomic, Attributed, Named, Pointer, Record, TypeOf
from rekall_layout_expert.record_layout.layouts import LONGEST_CHAIN


def with_pointed_to(scope, layouts, names):
    """`names`, and what the members of those types, and of what they embed, point to.

    Names that are not known are kept: they are reported when they are laid out.
    """
    found = dict.fromkeys(names)
    seen = set()

    def visit(type_, through_pointer=False):
        for _ in range(LONGEST_CHAIN):
            if isinstance(type_, Named):
                type_ = scope.find_typedef(type_.name)
            elif isinstance(type_, (Attributed, Atomic)):
                type_ = type_.target
            elif isinstance(type_, Array):
                type_ = type_.element
            elif isinstance(type_, Pointer):
                type_, through_pointer = type_.target, True
            elif isinstance(type_, TypeOf):
                type_ = layouts.constants.type_of_tokens(type_.tokens)
            else:
                break
        if not isinstance(type_, Record):
            return
        if through_pointer:
            if type_.tag is not None and _is_defined(scope, type_):
                found.setdefault(type_.tag)
            return
        if type_ in seen:
            return
        seen.add(type_)
        for field in scope.complete(type_).fields:
            _quietly(visit, field.type)

    for name in names:
        _quietly(lambda name: visit(scope.find_type(name)), name)
    return list(found)


def _is_defined(scope, record):
    try:
        scope.complete(record)
    except NotKnown:
        return False
    return True


def _quietly(function, argument):
    """Calls `function`; what is not known is reported when it is laid out."""
    try:
        function(argument)
    except (NotKnown, NotConstant, SyntaxProblem, RecursionError):
        pass
