"""The running kernel's configuration: where hosts keep it, and whether it is really this kernel's.

A wrong configuration moves members without a word, so a file that contradicts the kernel in
anything that both tell is passed over: version, architecture, local version, SMP, compiler.
"""
from __future__ import annotations

import fnmatch
import os
from typing import Iterator, Optional

from rekall_layout_expert.errors import LayoutExpertError
from rekall_layout_expert.files import Path, resolve_under
from rekall_layout_expert.host.release import Kernel, series_of
from rekall_layout_expert.kernel_config import KernelConfig

# First what cannot be another build's (the kernel carries it), then what came with the kernel's
# package, last what lies with its headers: a build tree may have been configured anew since.
_PLACES = (
    "/proc/config.gz",
    "/boot/config-{release}",
    "/lib/modules/{release}/config",
    "/usr/lib/modules/{release}/config",
    "/usr/lib/ostree-boot/config-{release}*",
    "/usr/lib/kernel/config-{release}",
    "/lib/modules/{release}/build/.config",
    "/usr/lib/modules/{release}/build/.config",
    "/usr/src/linux-headers-{release}/.config",
    "/usr/src/kernels/{release}/.config",
    "/usr/src/linux-{release}/.config",
)


def find_config(kernel: Kernel, root: Path = "/") -> KernelConfig:
    """The configuration of the kernel running on the host mounted at root.

    A LayoutExpertError names every place looked at, and for a file that was there why it was passed
    over.
    """
    looked_at = []
    for place in dict.fromkeys(_places(kernel.release, root)):
        if not os.path.exists(place):
            looked_at.append(f"{place} (absent)")
            continue
        try:
            config = KernelConfig.read(place)
        except LayoutExpertError as error:
            looked_at.append(f"{place} ({error.what})")
            continue
        misfit = misfit_of(config, kernel)
        if misfit is None:
            return config
        looked_at.append(f"{place} ({misfit})")
    raise LayoutExpertError(
        f"no configuration of the running kernel {kernel.release} was found", looked_at,
        "as root, `modprobe configs` may bring /proc/config.gz; else give the kernel's own with "
        "--config_file_path, from its package or its build machine")


def misfit_of(config: KernelConfig, kernel: Kernel) -> Optional[str]:
    """What shows that a configuration is not this kernel's; None if nothing does."""
    if kernel.architecture and config.architecture != kernel.architecture:
        return f"of architecture {config.architecture}, not {kernel.architecture}"
    if config.release:
        if series_of(config.release) != kernel.series:
            return f"of version {config.release}"
        if kernel.version and config.release.split("-")[0] != kernel.version:
            return f"of version {config.release}, not {kernel.version}"
    local_version = config.text("CONFIG_LOCALVERSION")
    if local_version not in kernel.release:
        return f"of a build with the local version {local_version}"
    if kernel.banner:
        # UTS_VERSION says SMP just when it is configured.
        if (" SMP " in kernel.banner) != ("CONFIG_SMP" in config.values):
            return "differs from the kernel in CONFIG_SMP"
        if kernel.compiler and config.compiler and kernel.compiler != config.compiler:
            return f"of a build with {config.compiler}, not {kernel.compiler}"
    return None


def _places(release: str, root: Path) -> Iterator[str]:
    for place in _PLACES:
        path = resolve_under(root, place.format(release=release))
        if not place.endswith("*"):
            yield path
            continue
        directory, pattern = os.path.split(path)
        names = os.listdir(directory) if os.path.isdir(directory) else ()
        matching = sorted(name for name in names if fnmatch.fnmatchcase(name, pattern))
        yield from (os.path.join(directory, name) for name in matching or (pattern,))
