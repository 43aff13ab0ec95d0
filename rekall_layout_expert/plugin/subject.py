"""The kernel to be analysed: its configuration, its symbols, where it lies, and the key of its profile.

Of a running kernel the host tells all of it; of an image, the files that the user named.
"""
from __future__ import annotations

import hashlib
import pkgutil
import re
from functools import cached_property
from typing import Callable, List, Optional, Tuple

from rekall_layout_expert.errors import LayoutExpertError
from rekall_layout_expert.host import Host
from rekall_layout_expert.host.btf import find_btf
from rekall_layout_expert.host.collection import Collection, read_collection
from rekall_layout_expert.host.config import find_config, misfit_of
from rekall_layout_expert.host.image import find_configs
from rekall_layout_expert.host.kallsyms import find_kallsyms
from rekall_layout_expert.host.release import Kernel, find_kernel
from rekall_layout_expert.kernel_config import KernelConfig
from rekall_layout_expert.plugin.kernel_location import (
    Location, locate_in_image, locate_running_kernel, physical_memory)
from rekall_layout_expert.plugin.options import SIDECARS, Named
from rekall_layout_expert.profile.symbols import Symbols, text_link_address
from rekall_layout_expert.supply.identification import completed
from rekall_layout_expert.version import VERSION

# Symbols are only held against each other until the configuration tells where the kernel was linked.
_ANYWHERE = 0xFFFFFFFF81000000


class Subject:
    """What a profile is made from, and where the kernel lies.

    pre_ast: the Pre-AST that the user named, or None. location: None when only a profile is wanted.
    build: what tells two builds of one release apart, besides banner and configuration. shown_btf: what shows the
    kernel's .BTF section, or None; memory may have it all the same. collection: what was collected of its host, or None.
    unpacked_headers: its headers package, where that was fetched for the configuration, as an UnpackedHeaders.
    """

    unpacked_headers = None

    def __init__(self, kernel: Kernel, config: KernelConfig, read_symbols: Callable[[], Symbols], build: str,
                 location: Optional[Location], pre_ast: Optional[str],
                 shown_btf: Callable[[], Optional[bytes]] = lambda: None, collection: Optional[Collection] = None):
        self.kernel = completed(kernel, config)
        self.shown_btf = shown_btf
        self.collection = collection
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
        """The name of this kernel's profile in Rekall's repositories, as made by this version of ours for its plugins.

        Two builds of one release have different names, as have profiles that hold other structs, and the same kernel has
        the same one at every start, whatever KASLR does.
        """
        wanted = pkgutil.get_data("rekall_layout_expert.profile", "used_members.json").decode("ascii")
        parts = (VERSION, wanted, self.kernel.banner or "", self._build, self.config.digest)
        key = hashlib.sha256("\0".join(parts).encode("utf-8", "replace")).hexdigest()[:24]
        # The release comes from evidence, and becomes part of a path.
        release = re.sub(r"[^\w.+~-]", "_", self.kernel.release, flags=re.ASCII)
        return f"LayoutExpert/{release}/{self.config.architecture}/{key}"


def running_kernel(named: Named, with_location: bool = True) -> Subject:
    """The kernel of this host. A LayoutExpertError tells what of it was not found, and where."""
    kernel = find_kernel()
    collection = _collection(named, kernel.banner)
    config = KernelConfig.read(named.config_file_path) if named.config_file_path else find_config(kernel)
    _check_fit(config, kernel)
    host = Host(kernel, config)

    def read_symbols() -> Symbols:
        return Symbols.read(named.system, text_link_address(config)) if named.system else host.symbols

    build = host.build_id or read_symbols().digest
    location = locate_running_kernel(config) if with_location else None
    return Subject(kernel, config, read_symbols, build, location, named.pre_ast, find_btf, collection)


def kernel_in_image(memory, image: str, named: Named, progress: Callable[[str], None],
                    find_config_of: Callable[[Kernel, List[str]], KernelConfig]) -> Subject:
    """The kernel in an image. memory: Rekall's physical address space of it.

    What is not named is in the image itself: symbols in the kernel's kallsyms, its configuration in IKCFG. find_config_of:
    the configuration of a kernel that does not carry it, given the kernel and where it was looked for. NoLinuxKernel tells why
    none was found, another LayoutExpertError what is missing of the one that was.
    """
    try:
        collection = read_collection(named.collected) if named.collected else None
        config = KernelConfig.read(named.config_file_path) if named.config_file_path else collection and collection.config
        if config and config.architecture != "x86_64":
            raise LayoutExpertError(f"{config.source} is of architecture {config.architecture}: "
                                    "images are supported of x86_64 only")
        if named.system or collection:
            symbols = Symbols.read(named.system) if named.system else collection.symbols
            location = locate_in_image(memory, symbols.addresses, image, symbols.source, progress)
        else:
            symbols, location = _by_its_own_symbols(memory, image, progress)
    except NoLinuxKernel:
        raise
    except LayoutExpertError as error:
        raise NoLinuxKernel(error.what, error.looked_at, error.next_step) from error
    kernel = Kernel.from_banner(location.banner, "x86_64")
    if collection:
        _check_banner(collection, kernel.banner)
        kernel = kernel._replace(version=kernel.version or collection.kernel.version)
    if config is None:
        places = [image + ending for ending in SIDECARS["config_file_path"]]
        config = _config_inside(memory, image, symbols, location) or find_config_of(kernel, places)
    _check_fit(config, kernel)
    location = location.from_link_address(symbols.kernel_start, config)
    linked = symbols.linked_at(text_link_address(config))
    return Subject(kernel, config, lambda: linked, linked.digest, location, named.pre_ast, *_shown_by(collection))


class NoLinuxKernel(LayoutExpertError):
    """No Linux kernel was found in an image, which may be of another system; unless rejected: then one seemed to be there."""

    rejected = False


def _by_its_own_symbols(memory, image: str, progress: Callable[[str], None]) -> Tuple[Symbols, Location]:
    """The symbols of the kernel that ran, as its table in the image has them, and where it lies."""
    rejected = []
    for table in find_kallsyms(physical_memory(memory), lambda place: progress(f"looking for the kernel's symbols at {place:#x}")):
        source = f"the kallsyms in {image} at {table.place:#x}"
        try:
            symbols = Symbols.of_columns(table.linked_at(_ANYWHERE), table.kinds, table.names, source)
            return symbols, locate_in_image(memory, symbols.addresses, image, source, progress)
        except LayoutExpertError as error:
            rejected.append(str(error))
    places = [image + ending for ending in SIDECARS["system"]]
    error = NoLinuxKernel(f"no Linux kernel that shows its symbols is in {image}, and none are given",
                          [*places, *(rejected or ["all of the image for the kernel's own (kallsyms)"])],
                          "name configuration and symbols with --config_file_path and --system, or put them there")
    error.rejected = bool(rejected)
    raise error


def _config_inside(memory, image: str, symbols: Symbols, location: Location) -> Optional[KernelConfig]:
    """The configuration that the kernel carries (CONFIG_IKCONFIG); None if it has none, or several different ones."""
    start, end = location.text, location.text + symbols.kernel_size
    found = {config.digest: config for _, config in find_configs(physical_memory(memory).part(start, end), image)}
    return next(iter(found.values())) if len(found) == 1 else None


def collected_kernel(named: Named) -> Subject:
    """The kernel of which a host's collection tells, without its memory."""
    collection = read_collection(named.collected)
    config = KernelConfig.read(named.config_file_path) if named.config_file_path else collection.config
    symbols = Symbols.read(named.system, text_link_address(config)) if named.system else collection.symbols
    _check_fit(config, collection.kernel)
    return Subject(collection.kernel, config, lambda: symbols, symbols.digest, None, named.pre_ast, *_shown_by(collection))


def _shown_by(collection: Optional[Collection]):
    """The last two of a Subject's parameters."""
    return lambda: collection and collection.btf, collection


def _collection(named: Named, banner: Optional[str]) -> Optional[Collection]:
    """What was collected of the kernel with that banner; None if nothing was named."""
    if not named.collected:
        return None
    collection = read_collection(named.collected)
    _check_banner(collection, banner)
    return collection


def _check_banner(collection: Collection, banner: Optional[str]) -> None:
    if collection.kernel.banner != banner:
        raise LayoutExpertError(f"{collection} is of another kernel: {collection.kernel.banner}, and not {banner}",
                                next_step="give what was collected while this very kernel ran")


def named_kernel(named: Named) -> Subject:
    """A kernel of which only files are known."""
    config = KernelConfig.read(named.config_file_path)

    def read_symbols() -> Symbols:
        return Symbols.read(named.system, text_link_address(config))

    return Subject(Kernel(config.release or "", architecture=config.architecture), config, read_symbols, "",
                   None, named.pre_ast)


def _check_fit(config: KernelConfig, kernel: Kernel) -> None:
    misfit = misfit_of(config, kernel)
    if misfit:
        raise LayoutExpertError(f"{config.source} is not the configuration of the kernel {kernel.release}: {misfit}",
                                next_step="name the kernel's own with --config_file_path")
