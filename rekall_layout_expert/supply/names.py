"""What a Pre-AST is called in a repository: predictable, so that a client needs no index (see `supply`)."""
from __future__ import annotations

import re
from typing import Optional


def name_of(release: str, architecture: str, package_version: Optional[str] = None) -> str:
    """The name of a release's Pre-AST, or of that of one of its builds.

    release: of the kernel; of a vanilla one, its version.
    """
    folder = folder_of(release)
    return f"{folder}/{_safe(package_version)}/{architecture}.past" if package_version else f"{folder}/{architecture}.past"


def folder_of(release: str) -> str:
    """The part of a release's names that its builds share."""
    return f"pre_ast/{_safe(release)}"


def _safe(text: str) -> str:
    """Releases and versions come from evidence and become parts of paths."""
    return re.sub(r"[^\w.+~-]|^\.", "_", text, flags=re.ASCII)
