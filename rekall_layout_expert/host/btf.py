"""The BTF of a running kernel: its own account of its types (verification/btf.py)."""
from __future__ import annotations

from typing import Optional

from rekall_layout_expert.errors import LayoutExpertError
from rekall_layout_expert.files import Path, read_bounded, resolve_under
from rekall_layout_expert.verification.btf import SIZE_LIMIT

# Since 5.4, with CONFIG_DEBUG_INFO_BTF; every user may read it.
_BTF = "/sys/kernel/btf/vmlinux"


def find_btf(root: Path = "/") -> Optional[bytes]:
    """The .BTF section of the kernel that runs on the host mounted at root; None if it shows none."""
    try:
        return read_bounded(resolve_under(root, _BTF), SIZE_LIMIT, unpack=False)
    except LayoutExpertError:
        return None
