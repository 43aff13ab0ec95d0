"""Rekall's interactive session, where IPython is not installed or is of a version that Rekall cannot use.

Rekall has IPython call what is named, so that its users type `pslist`, or `pslist pids=1`. Python's own console would show
what the name stands for instead.
"""
from __future__ import annotations

import code
import re
from typing import Any, Mapping

from rekall import constants
from rekall.session import PluginRunner

# What begins as an operator, or a call, is Python.
_NAMED = re.compile(r"\s*(?P<name>[^\W\d]\w*)(?:\s+(?P<arguments>(?!(?:and|if|in|is|not|or)\b)[\w'\"].*))?\s*", re.DOTALL)


def interact(session) -> None:
    """In place of Rekall's NativePythonSupport."""
    try:
        import readline
        import rlcompleter  # noqa: F401: completes names
        readline.parse_and_bind("tab: complete")
    except ImportError:
        pass
    session.PrepareLocalNamespace()
    Console(locals=session.locals).interact(banner=constants.BANNER, exitmsg="")


class Console(code.InteractiveConsole):
    """Python's own, in which the name of a plugin, with or without arguments, calls the plugin."""

    def runsource(self, source, filename="<input>", symbol="single"):
        return super().runsource(called(source, self.locals), filename, symbol)


def called(line: str, names: Mapping[str, Any]) -> str:
    """The statement that a line stands for: a call, if it names a plugin first, and otherwise itself."""
    found = _NAMED.fullmatch(line)
    if not found or not isinstance(names.get(found["name"]), PluginRunner):
        return line
    # As a statement, so that the plugin's object is not shown below what the plugin listed.
    statement = f"_ = {found['name']}({found['arguments'] or ''})"
    try:
        compile(statement, "<input>", "single")
    except SyntaxError:
        return line
    return statement
