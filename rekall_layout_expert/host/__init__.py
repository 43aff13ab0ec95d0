"""Discovery: which kernel runs on a host, how it was configured and where its symbols lie.

Read only, from /proc, /boot and the module directories. Nothing is taken that contradicts the running
kernel, and whatever is not found ends in one line with all the places looked at.
"""
from __future__ import annotations

from functools import cached_property
from typing import List, Optional

from rekall_layout_expert.files import Path
from rekall_layout_expert.host.config import find_config
from rekall_layout_expert.host.release import Kernel, find_build_id, find_kernel
from rekall_layout_expert.host.symbols import find_symbols, kaslr_slide
from rekall_layout_expert.kernel_config import KernelConfig
from rekall_layout_expert.profile.symbols import Symbols


class Host:
    """What a profile of a live host is made from.

    notes: what the user should know of the choices made; symbols may add to it. root: where the host
    is mounted.
    """

    def __init__(self, kernel: Kernel, config: KernelConfig, root: Path = "/"):
        self.kernel = kernel
        self.config = config
        self.root = root
        self.notes: List[str] = []

    @property
    def release(self) -> str:
        return self.kernel.release

    @property
    def banner(self) -> Optional[str]:
        return self.kernel.banner

    @property
    def architecture(self) -> Optional[str]:
        """As the kernel names it: x86_64, i386 …"""
        return self.kernel.architecture

    @cached_property
    def build_id(self) -> Optional[str]:
        """The kernel's GNU build id in hex; None if it shows none."""
        return find_build_id(self.root)

    @cached_property
    def kaslr_slide(self) -> Optional[int]:
        """By how many bytes KASLR moved the running kernel; None if nothing tells it."""
        return kaslr_slide(self.config, self.root)

    @cached_property
    def symbols(self) -> Symbols:
        """The kernel's symbols, read when first asked for. Raises LayoutExpertError."""
        symbols, note = find_symbols(self.kernel, self.config, self.root)
        self.notes += [note] if note else []
        return symbols


def find_host(root: Path = "/") -> Host:
    """The live host, or one whose files are laid out under root.

    A LayoutExpertError names what was not found of release and configuration; symbols are looked for
    only when they are asked for.
    """
    kernel = find_kernel(root)
    config = find_config(kernel, root)
    if kernel.architecture is None:
        kernel = kernel._replace(architecture=config.architecture)
    return Host(kernel, config, root)
