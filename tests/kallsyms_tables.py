"""Tables of symbols as kernels of all versions carry them, written from what host/kallsyms.py says of their layouts."""
import struct
from collections import Counter
from typing import Dict, List, NamedTuple, Tuple

# (address, type, name)
Symbol = Tuple[int, str, str]


class Layout(NamedTuple):
    """addresses: "absolute", "relative" (to relative_base) or "own" (to its own place). seqs: which arrays precede it, if any."""

    addresses: str
    is_last: bool = False  # addresses follow the tokens
    long_counts: bool = False
    long_lengths: bool = False
    seqs: str = ""
    alignment: int = 0  # of a long, if 0


# By the first version that has it.
LAYOUTS: Dict[str, Layout] = {
    "2.6": Layout("absolute", long_counts=True),
    "4.6": Layout("relative", long_counts=True),
    "4.20": Layout("relative"),
    "4.20 absolute": Layout("absolute"),
    "6.1": Layout("relative", long_lengths=True),
    "6.2": Layout("relative", long_lengths=True, seqs="markers"),
    "6.5": Layout("relative", is_last=True, long_lengths=True, seqs="addresses"),
    "7.2": Layout("own", is_last=True, long_lengths=True, seqs="addresses", alignment=4),
}


def table_of(symbols: List[Symbol], version: str, place: int, word: int = 8, order: str = "<", per_cpu: bool = False) -> bytes:
    """The arrays, which begin at address `place` in the memory where they are to lie.

    symbols: in the order of their addresses. per_cpu: whether those of types A are offsets of per-CPU variables.
    """
    layout = LAYOUTS[version]
    tokens = _tokens(symbols)
    encoded = [_encoded(kind + name, tokens) for _, kind, name in symbols]
    alignment = layout.alignment or word
    long = struct.Struct(order + ("Q" if word == 8 else "I"))
    count = struct.Struct(order + ("Q" if layout.long_counts and word == 8 else "I"))
    data = bytearray()

    def add(array: bytes) -> None:
        data.extend(bytes(-(place + len(data)) % alignment) + array)

    def add_addresses() -> None:
        base = next(address for address, kind, _ in symbols if kind != "A")
        if layout.addresses == "absolute":
            add(b"".join(long.pack(address) for address, _, _ in symbols))
            return
        add(b"")
        here = place + len(data)
        offsets = [address - here - 4 * number if layout.addresses == "own" else address if per_cpu and kind == "A" else
                   base - 1 - address if per_cpu else address - base for number, (address, kind, _) in enumerate(symbols)]
        add(b"".join(struct.pack(order + "i", offset) for offset in offsets))
        if layout.addresses == "relative":
            add(long.pack(base))

    def add_seqs() -> None:
        by_name = sorted(range(len(symbols)), key=lambda number: symbols[number][2])
        add(b"".join(number.to_bytes(3, "big") for number in by_name))

    if not layout.is_last:
        add_addresses()
    add(count.pack(len(symbols)))
    names, markers = b"", []
    for number, symbol in enumerate(encoded):
        if number % 256 == 0:
            markers.append(len(names))
        length = len(symbol)
        assert length < (1 << 14 if layout.long_lengths else 256)
        is_long = layout.long_lengths and length > 127
        names += (bytes([length & 127 | 128, length >> 7]) if is_long else bytes([length])) + symbol
    add(names)
    add(b"".join(map(count.pack, markers)))
    if layout.seqs == "markers":
        add_seqs()
    add(b"".join(token + b"\0" for token in tokens))
    starts = [sum(len(token) + 1 for token in tokens[:number]) for number in range(256)]
    add(struct.pack(order + "256H", *starts))
    if layout.is_last:
        add_addresses()
    if layout.seqs == "addresses":
        add_seqs()
    return bytes(data)


def _tokens(symbols: List[Symbol]) -> List[bytes]:
    """What each byte stands for: a character for itself, where it occurs; the others for what occurs most, of two and three."""
    texts = [(kind + name).encode() for _, kind, name in symbols]
    used = {byte for text in texts for byte in text} | set(b"0123456789")
    pairs = Counter(text[at:at + size] for text in texts for size in (2, 3) for at in range(len(text) - size + 1))
    frequent = iter([text for text, _ in pairs.most_common(256)] + [b""] * 256)
    return [bytes([code]) if code in used else next(frequent) for code in range(256)]


def _encoded(text: str, tokens: List[bytes]) -> bytes:
    codes = {token: code for code, token in enumerate(tokens) if token}
    data, encoded, at = text.encode(), bytearray(), 0
    while at < len(data):
        size = next(size for size in (3, 2, 1) if data[at:at + size] in codes and len(data) >= at + size)
        encoded.append(codes[data[at:at + size]])
        at += size
    return bytes(encoded)
