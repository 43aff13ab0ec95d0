"""The kernel to be analysed: its configuration, its symbols, where it lies, and the key of its profile.

Of a running kernel the host tells all of it. Of an image the user does: with Rekall's options, or
with files beside the image, IMAGE.config, IMAGE.kallsyms or IMAGE.System.map, and IMAGE.pre_ast.
"""
from __future__ import annotations

import hashlib
import os
import re
from functools import cached_property
from typing import Callable, NamedTuple, Optional

from rekall import config as rekall_config
from rekall.plugins.addrspaces import elfcore

from rekall_layout_expert.errors import LayoutExpertError
from rekall_layout_expert.host import Host
from rekall_layout_expert.host.config import find_config, misfit_of
from rekall_layout_expert.host.release import Kernel, find_kernel
from rekall_layout_expert.kernel_config import KernelConfig
from rekall_layout_expert.plugin.kernel_location import Location, locate_in_image, locate_running_kernel
from rekall_layout_expert.profile.symbols import Symbols, text_link_address
from rekall_layout_expert.version import VERSION

_OPTIONS = (
    ("config_file_path", "The kernel's configuration, as /boot/config-RELEASE. Beside an image: IMAGE.config."),
    ("system", "The kernel's System.map or a copy of its /proc/kallsyms, read as root. "
               "Beside an image: IMAGE.kallsyms or IMAGE.System.map."),
    ("pre_ast", "The Pre-AST of the kernel's version. Beside an image: IMAGE.pre_ast."),
)
for _name, _help in _OPTIONS:
    rekall_config.DeclareOption(f"--{_name}", group="Layout Expert", help=_help)

_SIDECARS = {"config_file_path": (".config",), "system": (".kallsyms", ".System.map"), "pre_ast": (".pre_ast",)}


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
        return Named(*(named or next((path for ending in _SIDECARS[name] for path in
                                      (image + ending, image + ending + ".gz") if os.path.isfile(path)), None)
                       for (name, _), named in zip(_OPTIONS, self)))


class Subject:
    """What a profile is made from, and where the kernel lies.

    pre_ast: the Pre-AST that the user named, or None. location: None when only a profile is wanted.
    build: what tells two builds of one release apart, besides banner and configuration.
    """

    def __init__(self, kernel: Kernel, config: KernelConfig, read_symbols: Callable[[], Symbols], build: str,
                 location: Optional[Location], pre_ast: Optional[str]):
        self.kernel = kernel
        self.config = config
        self.location = location
        self.pre_ast = pre_ast
        self._read_symbols = read_symbols
        self._build = build

    @cached_property
    def symbols(self) -> Symbols:
        """Read when first asked for: a stored profile needs none."""
        return self._read_symbols()

    def profile_name(self) -> str:
        """The name of this kernel's profile in Rekall's repositories, as made by this version of ours.

        Two builds of one release have different names, and the same kernel has the same one at
        every start, whatever KASLR does.
        """
        parts = (VERSION, self.kernel.banner or "", self._build, self.config.digest)
        key = hashlib.sha256("\0".join(parts).encode("utf-8", "replace")).hexdigest()[:24]
        # The release comes from evidence, and becomes part of a path.
        release = re.sub(r"[^\w.+~-]", "_", self.kernel.release, flags=re.ASCII)
        return f"LayoutExpert/{release}/{self.config.architecture}/{key}"


def running_kernel(named: Named, with_location: bool = True) -> Subject:
    """The kernel of this host. A LayoutExpertError tells what of it was not found, and where."""
    kernel = find_kernel()
    config = KernelConfig.read(named.config_file_path) if named.config_file_path else find_config(kernel)
    _check_fit(config, kernel)
    host = Host(kernel, config)

    def read_symbols() -> Symbols:
        return Symbols.read(named.system, text_link_address(config)) if named.system else host.symbols

    build = host.build_id or read_symbols().digest
    location = locate_running_kernel(config) if with_location else None
    return Subject(kernel, config, read_symbols, build, location, named.pre_ast)


def kernel_in_image(memory, image: str, named: Named, progress: Callable[[str], None]) -> Subject:
    """The kernel in an image. memory: Rekall's physical address space of it."""
    missing = [image + ending for name in ("config_file_path", "system") if not getattr(named, name)
               for ending in _SIDECARS[name]]
    if missing:
        raise LayoutExpertError(f"{image} cannot be analysed without the kernel's configuration and symbols", missing,
                                "name them with --config_file_path and --system, or put them there")
    config = KernelConfig.read(named.config_file_path)
    if config.architecture != "x86_64":
        raise LayoutExpertError(f"{named.config_file_path} is of architecture {config.architecture}: "
                                "images are supported of x86_64 only")
    symbols = Symbols.read(named.system, text_link_address(config))
    location = locate_in_image(memory, symbols.addresses, image, named.system, progress)
    kernel = Kernel.from_banner(location.banner, config.architecture)
    _check_fit(config, kernel)
    return Subject(kernel, config, lambda: symbols, symbols.digest, location, named.pre_ast)


def is_running_kernel(address_space) -> bool:
    """Whether it is the memory of this host."""
    return isinstance(address_space, elfcore.KCoreAddressSpace)


def _check_fit(config: KernelConfig, kernel: Kernel) -> None:
    misfit = misfit_of(config, kernel)
    if misfit:
        raise LayoutExpertError(f"{config.source} is not the configuration of the kernel {kernel.release}: {misfit}",
                                next_step="name the kernel's own with --config_file_path")
