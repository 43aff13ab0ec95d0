"""Telling the user, in one line, why there is no profile.

Rekall has no way for a detection method to say so: it prints a traceback when none of them found a
profile, and exits with 0 when a plugin fails. On its command line a failure of ours therefore ends
the program with the line and exit code 1; in Rekall's shell, and where Rekall is used as a library,
it is Rekall's own PluginError.
"""
from __future__ import annotations

from typing import NoReturn

from rekall import plugin

from rekall_layout_expert.errors import LayoutExpertError


def give_up(session, error: LayoutExpertError) -> NoReturn:
    """Ends the command, or raises PluginError, with the error's line."""
    if is_command_line(session):
        raise SystemExit(f"rekall: {error}")
    raise plugin.PluginError(str(error)) from error


def is_command_line(session) -> bool:
    """Whether it is one command of Rekall's own program, and neither its shell nor a library's use of it."""
    # Only Rekall's main() makes a session privileged; its shell sets the mode.
    return session.privileged and session.mode != "Interactive"
