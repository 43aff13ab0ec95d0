"""What the user says by Rekall's options: the files of a kernel, also beside an image, and where Pre-ASTs are from.

Rekall's options are also read from its configuration file (~/.rekallrc, /etc/rekallrc). What an organisation sets up for
all of its hosts may come by the environment as well.
"""
from __future__ import annotations

import os
from typing import FrozenSet, NamedTuple, Optional, Tuple

from rekall import config

from rekall_layout_expert.errors import LayoutExpertError

_FILES = (
    ("config_file_path", "The kernel's configuration, as /boot/config-RELEASE. Beside an image: IMAGE.config."),
    ("system", "The kernel's System.map or a copy of its /proc/kallsyms, read as root. "
               "Beside an image: IMAGE.kallsyms or IMAGE.System.map."),
    ("pre_ast", "The Pre-AST of the kernel's version. Beside an image: IMAGE.pre_ast."),
    ("from", "What `layout_expert --collect` took of the host: it has all of these."),
)
# Not of Rekall's type for several texts, which takes the name of the plugin that follows for one more.
SOURCE_OPTIONS = (
    dict(name="pre_ast_repository", help="Repositories of Pre-ASTs, with commas in between: directories, http(s) URLs, and "
         "what fsspec speaks to (s3://..., gs://...). Also by the variable LAYOUT_EXPERT_REPOSITORY."),
    dict(name="pre_ast_keys", help="The file with the public keys by which those repositories have to be signed. Also by the "
         "variable LAYOUT_EXPERT_KEYS."),
    dict(name="pre_ast_skip", help="Where not to look for a Pre-AST, with commas in between: local (Rekall's own repositories), "
         "repositories, headers (installed ones), distribution (its headers package); and btf, the types of the kernel's own "
         "BTF, which are taken where there is no Pre-AST."),
    dict(name="offline", type="Boolean", default=False, help="Ask nobody over the network for a Pre-AST."),
    dict(name="accept", help="How near a Pre-AST has to be to the kernel: exact (the default), distribution (another build of "
         "the same version), upstream (the same version without the distribution's patches)."),
)
_WORDS = ("local", "repositories", "headers", "distribution", "btf")
_LEVELS = ("exact", "distribution", "upstream")
_VARIABLES = {"pre_ast_repository": "LAYOUT_EXPERT_REPOSITORY", "pre_ast_keys": "LAYOUT_EXPERT_KEYS"}
for _name, _help in _FILES:
    config.DeclareOption(f"--{_name}", group="Layout Expert", help=_help)
for _option in SOURCE_OPTIONS:
    config.DeclareOption(f"--{_option['name']}", group="Layout Expert",
                         **{key: value for key, value in _option.items() if key != "name"})

SIDECARS = {"config_file_path": (".config",), "system": (".kallsyms", ".System.map"), "pre_ast": (".pre_ast",)}


class Named(NamedTuple):
    """The files that the user named; None where none was."""

    config_file_path: Optional[str]
    system: Optional[str]
    pre_ast: Optional[str]
    collected: Optional[str] = None

    @classmethod
    def in_options(cls, session, arguments=None) -> Named:
        """As the options of a plugin say, or else Rekall's."""
        # Rekall's answer for an option that was not given is an object of its own, and false.
        return cls(*(getattr(arguments, name, None) or session.GetParameter(name) or None for name, _ in _FILES))

    def or_beside(self, image: str) -> Named:
        """With the files beside an image, plain or compressed, where none was named."""
        return Named(*(named or next((path for ending in SIDECARS.get(name, ()) for path in
                                      (image + ending, image + ending + ".gz") if os.path.isfile(path)), None)
                       for (name, _), named in zip(_FILES, self)))


class Sources(NamedTuple):
    """Where Pre-ASTs may be from. accept: the name of a matching.Level. skip: words of supply.SOURCES."""

    repositories: Tuple[str, ...] = ()
    keys: Optional[str] = None
    skip: FrozenSet[str] = frozenset()
    offline: bool = False
    accept: str = "exact"

    @classmethod
    def in_options(cls, session, arguments=None) -> Sources:
        """As the options of a plugin say, or else Rekall's, or else the environment.

        A LayoutExpertError tells of a word that is none, which would be as if it had not been given.
        """
        def given(name):
            return getattr(arguments, name, None) or session.GetParameter(name) or os.environ.get(_VARIABLES.get(name, ""))

        skip, accept = _list(given("pre_ast_skip")), given("accept") or _LEVELS[0]
        for option, words, known in (("pre_ast_skip", skip, _WORDS), ("accept", (accept,), _LEVELS)):
            for word in words:
                if word not in known:
                    raise LayoutExpertError(f"--{option} knows no {word!r}", next_step="give " + ", ".join(known))
        return cls(_list(given("pre_ast_repository")), given("pre_ast_keys") or None, frozenset(skip),
                   bool(given("offline")), accept)


def _list(value) -> Tuple[str, ...]:
    """A text with commas, or a list from the configuration file."""
    texts = value if isinstance(value, (list, tuple)) else (value or "").split(",")
    return tuple(str(text).strip() for text in texts if str(text).strip())
