"""The kernel's symbols and their link-time addresses, from System.map or a copy of /proc/kallsyms.

Both have nm's form, `ADDRESS TYPE NAME`, where an upper-case type is a global symbol. kallsyms shows
run-time addresses: KASLR has moved the kernel's image, and with it all symbols but x86_64's per-CPU
variables before 6.15, which are offsets (type A, for absolute). It also lists the modules' symbols,
`… NAME [MODULE]`. A profile wants the addresses as they were linked, so the image is slid back.
"""
from __future__ import annotations

import hashlib
import re
import struct
from functools import cached_property
from itertools import compress, repeat
from typing import Dict, Iterator, List, Optional, Sequence

from rekall_layout_expert.errors import LayoutExpertError
from rekall_layout_expert.files import Path, read_bounded
from rekall_layout_expert.kernel_config import KernelConfig

# allyesconfig's System.map has 40 MB; kallsyms with every module loaded may have twice that.
_SIZE_LIMIT = 256 << 20

_SYMBOL = re.compile(r"[0-9a-fA-F]{1,16} [A-Za-z?] \S+\s*(?:\[\S+\]\s*)?$", re.ASCII)
_MODULE_LINE = re.compile(r"^[0-9a-fA-F]+ [A-Za-z?] \S+[ \t]+\[.*\n?", re.MULTILINE)
# For each byte whether it is the type of a global symbol, and the opposite; A, for absolute, counts as a local one.
_IS_GLOBAL = bytes(ord("A") < byte <= ord("Z") for byte in range(256))
_IS_LOCAL = bytes(not each for each in _IS_GLOBAL)
_PIECE = 1 << 15  # characters of a table that are read at once
# Symbols lie in the order of their addresses: one at the start, one that the analysis cannot do
# without, and (which of them is listed changed over time) one at the end of the kernel's image.
_IMAGE_START, _FIRST_TASK = "_text", "init_task"
_IMAGE_ENDS = ("_end", "__bss_stop", "__brk_limit")
# What x86 reserves for the kernel's image, and so the end of what KASLR can slide it by.
_IMAGE_SPACE = 1 << 30
_PAGE = 1 << 12
_LARGEST_ADDRESS = (1 << 64) - 1

_ELSEWHERE = "give a copy of /proc/kallsyms, read as root, or the System.map from the kernel's debug package"


class Symbols:
    """What each name of the kernel proper stands for; the modules' symbols are left out.

    addresses: {name: link-time address}. Where a name is defined more than once, the global
    definition counts; among several the first.
    kaslr_slide: by how many bytes the kernel was moved when the addresses were read; 0 for System.map.
    source: where they were read, for messages.
    """

    def __init__(self, addresses: Dict[str, int], source: str, kaslr_slide: int = 0):
        self.addresses = addresses
        self.source = source
        self.kaslr_slide = kaslr_slide

    @classmethod
    def parse(cls, text: str, source: str, link_text: Optional[int] = None) -> Symbols:
        """Reads a symbol table's text.

        link_text: the address that _text was linked to (see `text_link_address`); where _text is
        elsewhere, it has slid. Without it the addresses are taken as link-time ones. A
        LayoutExpertError tells what is wrong with a table that does not describe a whole kernel.
        """
        if not text or text.isspace():
            raise LayoutExpertError(f"{source} is empty", next_step=_ELSEWHERE)
        has_modules = "[" in text
        definitions = _definitions(_without_modules(text) if has_modules else text)
        if definitions is None:
            raise _bad_line(text, source)
        return cls._of(definitions, source, link_text, has_modules)

    @classmethod
    def of_columns(cls, values: List[int], kinds: Sequence[str], names: List[str], source: str,
                   link_text: Optional[int] = None, has_modules: bool = False) -> Symbols:
        """Of a table that was read already; as `parse`. has_modules: whether modules' symbols followed, which are not in it."""
        definitions = _Definitions()
        definitions.add(names[::-1], values[::-1], "".join(kinds)[::-1])
        return cls._of(definitions, source, link_text, has_modules)

    @classmethod
    def _of(cls, definitions: _Definitions, source: str, link_text: Optional[int], has_modules: bool) -> Symbols:
        names, values = definitions.names + definitions.global_names, definitions.values + definitions.global_values
        _check_content(names, any(values), has_modules, source)

        start = next(value for name, value in zip(reversed(names), reversed(values)) if name == _IMAGE_START)
        slide = 0 if link_text is None else _slide(start, link_text, source)
        if slide:
            # What lies before the image is no address: per-CPU variables, as offsets.
            values = [value - slide if value >= start else value for value in values]
        return cls(dict(zip(names, values)), source, slide)

    @classmethod
    def read(cls, path: Path, link_text: Optional[int] = None) -> Symbols:
        """Reads System.map or a copy of /proc/kallsyms, plain or gzip-compressed; as `parse`."""
        return cls.parse(read_bounded(path, _SIZE_LIMIT).decode("utf-8", "replace"), str(path), link_text)

    def linked_at(self, link_text: int) -> Symbols:
        """The same symbols, of a kernel whose _text was linked to that address: for who learns it after they were read."""
        start = self.kernel_start
        slide = start - link_text
        addresses = {name: value - slide if value >= start else value for name, value in self.addresses.items()}
        return Symbols(addresses, self.source, self.kaslr_slide + slide)

    @property
    def kernel_start(self) -> int:
        """The address of _text."""
        return self.addresses[_IMAGE_START]

    @property
    def kernel_size(self) -> int:
        """How many bytes the kernel's image has at most."""
        ends = (self.addresses[end] - self.kernel_start for end in _IMAGE_ENDS if end in self.addresses)
        return min(max(ends, default=_IMAGE_SPACE), _IMAGE_SPACE)

    @cached_property
    def digest(self) -> str:
        """SHA-256 in hex of names and link-time addresses: the same at every boot of a kernel."""
        content = hashlib.sha256("\n".join(self.addresses).encode("utf-8", "replace"))
        content.update(struct.pack(f"<{len(self.addresses)}Q", *self.addresses.values()))
        return content.hexdigest()


def text_link_address(config: KernelConfig) -> Optional[int]:
    """The address that the kernel's first symbol, _text, is linked to, as x86's vmlinux.lds.S says.

    None for architectures whose configuration does not tell.
    """
    if config.architecture == "x86_64":
        mapping = 0xFFFFFFFF80000000  # __START_KERNEL_map
    elif config.architecture == "i386":
        mapping = _number(config, "CONFIG_PAGE_OFFSET", 0xC0000000)
    else:
        return None
    align = _number(config, "CONFIG_PHYSICAL_ALIGN", 0x200000)
    return mapping + -(-_number(config, "CONFIG_PHYSICAL_START", 0x1000000) // align) * align


def _number(config: KernelConfig, name: str, default: int) -> int:
    value = config.values.get(name, hex(default))
    try:
        return int(value, 0) or default
    except ValueError:
        raise LayoutExpertError(f"{config.source} is damaged: {name}={value} is no number") from None


class _Definitions:
    """What a table defines, in the order in which of one name the last one counts: the local definitions from the last to the
    first, and then the global ones.
    """

    def __init__(self) -> None:
        self.names: List[str] = []
        self.values: List[int] = []
        self.global_names: List[str] = []
        self.global_values: List[int] = []

    def add(self, names: List[str], values: List[int], kinds: str) -> None:
        """Adds lines of the table, the last one first; each has one letter of kinds."""
        is_local = kinds.encode().translate(_IS_LOCAL)
        self.names += compress(names, is_local)
        self.values += compress(values, is_local)
        is_global = kinds.encode().translate(_IS_GLOBAL)
        self.global_names += compress(names, is_global)
        self.global_values += compress(values, is_global)


def _definitions(text: str) -> Optional[_Definitions]:
    """What a table without modules defines, None where a line is no symbol: half a table would silently become half a profile.

    It is read column by column, for a Python statement per line would take several times as long, and in pieces, whose
    fields find room in the processor's cache.
    """
    found = _Definitions()
    for lines in _pieces_from_the_end(text):
        fields = lines.split()
        fields.reverse()
        kinds = "".join(fields[1::3])
        # nm writes "?" where it has no letter, as for what 4.19 does not save when it hibernates (__nosave_begin).
        letters = kinds.replace("?", "n")
        if len(fields) != 3 * len(kinds) or len(kinds) != lines.count("\n") + 1 or not (
                letters.isascii() and letters.isalpha()):
            return None
        try:
            values = list(map(int, fields[2::3], repeat(16)))
        except ValueError:
            return None
        if max(values) > _LARGEST_ADDRESS:
            return None
        found.add(fields[::3], values, kinds)
    return found


def _pieces_from_the_end(text: str) -> Iterator[str]:
    """The lines of a text, many at a time, the last ones first; without white space at its end."""
    end = len(text)
    while end and text[end - 1].isspace():
        end -= 1
    while end > 0:
        start = text.rfind("\n", 0, max(end - _PIECE, 0))
        yield text[start + 1:end]
        end = start


def _without_modules(text: str) -> str:
    # The modules' lines come last, so that the pattern need not try every other line, and mostly none at all: where every
    # line ends in a module's name.
    first = text.rfind("\n", 0, text.index("[")) + 1
    if text[-1] == "\n" and text.count("]\n", first) == text.count("\n", first):
        return text[:first]
    return text[:first] + _MODULE_LINE.sub("", text[first:])


def _bad_line(text: str, source: str) -> LayoutExpertError:
    if "The real System.map is in" in text[:1000]:
        return LayoutExpertError(
            f"{source} is the distribution's stub, not the kernel's symbols", next_step=_ELSEWHERE)
    lines = text.rstrip().split("\n")
    number = next((number for number, line in enumerate(lines, 1) if not _SYMBOL.match(line)), len(lines))
    excerpt = repr(lines[number - 1][:60])
    if number == len(lines) > 1:
        return LayoutExpertError(f"{source} is truncated: its last line is {excerpt}", next_step="copy it again")
    return LayoutExpertError(
        f"{source} is no symbol table: line {number} is {excerpt}, not ADDRESS TYPE NAME", next_step=_ELSEWHERE)


def _check_content(names: List[str], has_addresses: bool, has_modules: bool, source: str) -> None:
    """It must be the table of a whole kernel; the modules are listed after it."""
    if names and not has_addresses:
        raise LayoutExpertError(
            f"{source} shows only zeros: the kernel hides addresses from whom may not see them",
            next_step="as root, and with `sysctl kernel.kptr_restrict=1` if that is 2, read it again")
    if _IMAGE_START not in names:
        missing = _IMAGE_START
    elif not has_modules and not any(end in names for end in _IMAGE_ENDS):
        missing = _IMAGE_ENDS[0]
    elif _FIRST_TASK not in names:
        raise LayoutExpertError(
            f"{source} has no {_FIRST_TASK}: the kernel was built without CONFIG_KALLSYMS_ALL, so it "
            "lists its functions but not its data", next_step="give the System.map of this very build")
    else:
        return
    raise LayoutExpertError(f"{source} has no {missing}: it is truncated, or not of a Linux kernel",
                            next_step="copy it again")


def _slide(start: int, link_text: int, source: str) -> int:
    slide = start - link_text
    if not 0 <= slide < _IMAGE_SPACE or slide % _PAGE:
        raise LayoutExpertError(
            f"{source} and the configuration are of different kernels: {_IMAGE_START} is at {start:#x}, "
            f"and {link_text:#x}, where it is linked, cannot have slid there",
            next_step="give both from the same host")
    return slide
