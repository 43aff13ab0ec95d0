"""Discovery: which kernel runs on a host, how it was configured and where its symbols lie.

Read only, from /proc, /boot and the module directories. Nothing is taken that contradicts the running
kernel, and whatever is not found ends in one line with all the places looked at.
"""
from __future__ import annotations

from dataclasses import dataclass, field
from typing import List, Optional

from rekall_layout_expert.files import Path
from rekall_layout_expert.host.config import find_config
from rekall_layout_expert.host.release import Kernel, find_kernel
from rekall_layout_expert.host.symbols import find_symbols
from rekall_layout_expert.kernel_config import KernelConfig
from rekall_layout_expert.profile.symbols import Symbols


@dataclass
class Host:
    """What a profile of a live host is made from.

    kaslr_slide: by how many bytes KASLR moved the running kernel; None if nothing tells it. notes:
    what the user should know of the choices made.
    """

    kernel: Kernel
    config: KernelConfig
    symbols: Symbols
    kaslr_slide: Optional[int]
    notes: List[str] = field(default_factory=list)

    @property
    def release(self) -> str:
        return self.kernel.release

    @property
    def banner(self) -> Optional[str]:
        return self.kernel.banner

    @property
    def architecture(self) -> Optional[str]:
        return self.kernel.architecture


def find_host(root: Path = "/") -> Host:
    """The live host, or one whose files are laid out under root. Raises LayoutExpertError."""
    kernel = find_kernel(root)
    config = find_config(kernel, root)
    if kernel.architecture is None:
        kernel = kernel._replace(architecture=config.architecture)
    symbols, kaslr_slide, notes = find_symbols(kernel, config, root)
    return Host(kernel, config, symbols, kaslr_slide, notes)
