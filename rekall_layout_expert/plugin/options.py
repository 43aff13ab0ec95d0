"""The files of a kernel that the user names: by Rekall's options, or beside an image."""
from __future__ import annotations

import os
from typing import NamedTuple, Optional

from rekall import config

_OPTIONS = (
    ("config_file_path", "The kernel's configuration, as /boot/config-RELEASE. Beside an image: IMAGE.config."),
    ("system", "The kernel's System.map or a copy of its /proc/kallsyms, read as root. "
               "Beside an image: IMAGE.kallsyms or IMAGE.System.map."),
    ("pre_ast", "The Pre-AST of the kernel's version. Beside an image: IMAGE.pre_ast."),
)
for _name, _help in _OPTIONS:
    config.DeclareOption(f"--{_name}", group="Layout Expert", help=_help)

SIDECARS = {"config_file_path": (".config",), "system": (".kallsyms", ".System.map"), "pre_ast": (".pre_ast",)}


class Named(NamedTuple):
    """The files that the user named; None where none was."""

    config_file_path: Optional[str]
    system: Optional[str]
    pre_ast: Optional[str]

    @classmethod
    def in_options(cls, session) -> Named:
        # Rekall's answer for an option that was not given is an object of its own, and false.
        return cls(*(session.GetParameter(name) or None for name, _ in _OPTIONS))

    def or_beside(self, image: str) -> Named:
        """With the files beside an image, plain or compressed, where none was named."""
        return Named(*(named or next((path for ending in SIDECARS[name] for path in
                                      (image + ending, image + ending + ".gz") if os.path.isfile(path)), None)
                       for (name, _), named in zip(_OPTIONS, self)))
