"""Images of physical memory in the formats of LiME, AVML and ELF cores: what is there is read, and what is damaged is told."""
import random
import struct
import sys

import plugin_image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rekall import plugin, plugins, session  # noqa: F401: imports all plugins

from rekall_layout_expert.plugin import address_spaces, snappy_frames

pytest.importorskip("cramjam")
CHUNK = 1 << 16


@pytest.fixture
def opened(tmp_path, monkeypatch, caplog):
    """Gives the physical memory of an image of these bytes, and the lines that were said of it."""
    monkeypatch.setenv("HOME", str(tmp_path))
    path = tmp_path / "guest.image"

    def open_image(data):
        path.write_bytes(data)
        caplog.clear()
        rekall = session.Session(filename=str(path), autodetect=[], cache="memory", repository_path=[])
        memory = rekall.plugins.load_as().GetPhysicalAddressSpace()
        return memory, lambda: [record.getMessage() for record in caplog.records if "Layout Expert" in record.getMessage()]

    return open_image


def pages(count, seed=1):
    """Memory that compresses, but not to nothing, and differs from page to page."""
    chance = random.Random(seed)
    return b"".join(bytes(chance.choices(b"abcdefgh", k=512)) * 8 for _ in range(count))


def lime_range(start, content, stated=None):
    return struct.pack("<4sIQQQ", b"EMiL", 1, start, start + (stated or len(content)) - 1, 0) + content


def elf_core(segments, data=b"", kind=4, count=None, size=56):
    """segments: (physical address, virtual address, offset, bytes in the file)."""
    headers = b"".join(struct.pack("<2I6Q", 1, 4, offset, virtual, physical, length, length, 0)
                       for physical, virtual, offset, length in segments)
    return struct.pack("<16s2HI3QI6H", b"\x7fELF\x02\x01\x01", kind, 62, 1, 0, 64, 0, 0, 64, size,
                       len(segments) if count is None else count, 0, 0, 0) + headers + data


def runs(memory):
    return [(run.start, run.end) for run in memory.get_mappings()]


@pytest.mark.parametrize("one_range", [lime_range, plugin_image.avml_range], ids=["lime", "avml"])
def test_every_byte_of_each_range_is_where_it_was(opened, one_range):
    low, high, small = pages(40, 1), pages(33, 2), b"the last of a page"
    memory, said = opened(one_range(0x1000, low) + one_range(0x100000000, high) + one_range(0x40000000, small))
    assert type(memory) is address_spaces.LimeImage and said() == []
    assert runs(memory) == [(0x1000, 0x29000), (0x40000000, 0x40000000 + len(small)), (0x100000000, 0x100000000 + len(high))]
    assert memory.read(0x1000, len(low)) == low and memory.read(0x100000000, len(high)) == high
    assert memory.read(0x100000000 + CHUNK - 5, 10) == high[CHUNK - 5:CHUNK + 5]
    assert memory.read(0x28FF0, 32) == low[-16:] + bytes(16)
    assert memory.read(0x40000000, 4096) == small.ljust(4096, b"\0")


def test_an_image_may_have_plain_and_compressed_ranges(opened):
    plain, packed = pages(3, 1), pages(20, 2)
    memory, said = opened(plugin_image.avml_range(0x100000, packed) + lime_range(0, plain))
    assert memory.read(0, 0x3000) == plain and memory.read(0x100000, len(packed)) == packed and said() == []


def test_memory_that_does_not_compress_is_stored_and_read(opened):
    content = random.Random(3).randbytes(5 * CHUNK + 77)
    memory, said = opened(plugin_image.avml_range(0, content))
    assert memory.read(0, len(content)) == content and said() == []


def test_of_memory_that_is_there_twice_the_first_counts(opened):
    memory, said = opened(lime_range(0x1000, b"a" * 4096) + lime_range(0x1800, b"b" * 4096) + lime_range(0x1900, b"c" * 16))
    assert memory.read(0x1000, 0x2000) == (b"a" * 4096 + b"b" * 2048).ljust(0x2000, b"\0")
    assert runs(memory) == [(0x1000, 0x2000), (0x2000, 0x2800)] and said() == []


def test_few_chunks_are_kept(opened, monkeypatch):
    monkeypatch.setattr(snappy_frames, "_KEPT", 4)
    memory, _ = opened(plugin_image.avml_range(0, pages(16 * 30)))
    assert memory.read(0, 30 * CHUNK) == pages(16 * 30)
    frames = next(memory.get_mappings()).address_space
    assert frames._chunk.cache_info().currsize == 4


WHOLE = plugin_image.avml_range(0, pages(40, 1)) + plugin_image.avml_range(0x1000000, pages(40, 2))
DAMAGES = {
    # what is damaged: (the image, of how many pages of each range is something there, what is said)
    "LiME: cut off in a range": ((lime_range(0, pages(40, 1)) + lime_range(0x1000000, pages(40, 2)))[:-0x8000],
                                 (40, 32), "it ends after 294,976 bytes of 327,744 at least"),
    "LiME: a size beyond the file": (lime_range(0, pages(40, 1), 1 << 51), (40, 0), "it ends after 163,872 bytes of 2,25"),
    "LiME: a size beyond all memory": (lime_range(0, pages(40, 1)) + lime_range(0x1000000, pages(40, 2), 1 << 60), (40, 0),
                                       "no header of a range is at byte 163,872"),
    "LiME: no header follows": (lime_range(0, pages(40, 1)) + b"x" * 100, (40, 0), "no header of a range is at byte 163,872"),
    "LiME: the last byte before the first": (lime_range(0, pages(40, 1)) + struct.pack("<4sIQQQ", b"EMiL", 1, 9, 3, 0), (40, 0),
                                             "no header of a range"),
    "AVML: cut off in a chunk": (WHOLE[:-12000], (40, 16), "no compressed memory is at byte"),
    "AVML: cut off in a header": (plugin_image.avml_range(0, pages(40, 1)) + WHOLE[:20], (40, 0), "it ends after"),
    "AVML: no frames": (plugin_image.avml_range(0, pages(40, 1)) + WHOLE[:32] + b"x" * 5000, (40, 0), "no compressed range is at"),
    "AVML: another length": (plugin_image.avml_range(0, pages(40, 1))[:-1] + b"\1", (40, 0), "has not the length"),
    "AVML: a version that there is not": (plugin_image.avml_range(0, pages(40, 1)) + struct.pack("<4sIQQQ", b"AVML", 3, 0, 1, 0),
                                          (40, 0), "no header of a range"),
}


@pytest.mark.parametrize("kind", sorted(DAMAGES))
def test_of_a_damaged_image_what_is_there_is_read_and_one_line_tells(opened, kind):
    image, (first, second), message = DAMAGES[kind]
    memory, said = opened(image)
    line, = said()
    assert "guest.image is not whole: " in line and message in line and "reads as zeros" in line
    assert memory.read(0, first * 4096) == pages(40, 1)[:first * 4096]
    assert memory.read(0x1000000, 40 * 4096) == pages(40, 2)[:second * 4096].ljust(40 * 4096, b"\0")
    assert sum(end - start for start, end in runs(memory)) <= 80 * 4096


def test_a_damaged_chunk_reads_as_zeros_and_is_told_once(opened):
    content = pages(40, 1)
    image = bytearray(plugin_image.avml_range(0, content))
    frames = 32 + 10
    second = frames + 4 + int.from_bytes(image[frames + 1:frames + 4], "little")
    image[second + 3000] ^= 1
    memory, said = opened(bytes(image))
    assert memory.read(0, len(content)) == content[:CHUNK] + bytes(CHUNK) + content[2 * CHUNK:]
    assert memory.read(CHUNK, CHUNK) == bytes(CHUNK)
    line, = said()
    assert f"damaged: the compressed memory at byte {second}" in line


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_no_damage_of_a_compressed_image_raises_or_invents_memory(data):
    class File:
        def __init__(self, content):
            self.content = content

        def read(self, offset, length):
            return self.content[offset:offset + length].ljust(length, b"\0")

    image = bytearray(WHOLE[32:])
    for _ in range(data.draw(st.integers(1, 4))):
        image[data.draw(st.integers(0, len(image) - 1))] = data.draw(st.integers(0, 255))
    frames = snappy_frames.SnappyFrames(File(bytes(image)), FakeSession())
    frames.add(0, 40 * 4096, len(image))
    content = frames.read(0, 40 * 4096)
    for at in range(0, 40 * 4096, CHUNK):
        assert content[at:at + CHUNK] in (pages(40, 1)[at:at + CHUNK], bytes(min(CHUNK, 40 * 4096 - at)))


class FakeSession:
    class logging:
        @staticmethod
        def warning(*_):
            pass

    @staticmethod
    def GetParameter(name):
        return name


def test_without_the_library_one_line_tells_what_to_do(opened, monkeypatch):
    monkeypatch.setitem(sys.modules, "cramjam", None)
    with pytest.raises(plugin.PluginError, match=r"guest.image is compressed \(AVML\).*cramjam.*pip install cramjam"):
        opened(WHOLE)
    assert opened(lime_range(0, pages(1)))[0].read(0, 4096) == pages(1)


def test_an_elf_image_is_read_by_its_physical_addresses(opened):
    content = pages(4)
    data = elf_core([(0, 0xFFFF888000000000, 4096, 4096), (0x100000, 0xFFFF888000100000, 8192, 8192),
                     (0x101000, 0xFFFFFFFF81000000, 12288, 8192), ((1 << 64) - 1, 0xFFFFC90000000000, 4096, 4096)])
    memory, said = opened(data.ljust(4096, b"\0") + content)
    assert type(memory) is address_spaces.ElfImage and said() == []
    # The kernel's text is in the memory that is mapped directly, as /proc/vmcore has it.
    assert runs(memory) == [(0, 4096), (0x100000, 0x102000), (0x102000, 0x103000)]
    assert memory.read(0, 4096) == content[:4096] and memory.read(0x100000, 0x3000) == content[4096:]


@pytest.mark.parametrize("segments", [
    pytest.param([(0, 0, 4096, 1 << 62)], id="a size beyond the file"),
    pytest.param([(0, 0, 4096, 8192), (0x10000, 0, 1 << 60, 4096)], id="a place beyond the file"),
    pytest.param([(0, 0, 4096, 1 << 62)] * 900, id="the same many times"),
])
def test_sizes_that_an_elf_image_states_are_bounded_by_the_file(opened, segments):
    memory, said = opened(elf_core(segments, count=65000).ljust(4096, b"\0") + pages(1))
    assert sum(end - start for start, end in runs(memory)) <= 60000
    assert len(said()) == 1 and "it ends after" in said()[0]


@pytest.mark.parametrize("image", [
    pytest.param(elf_core([(0, 0, 4096, 4096)], kind=2).ljust(8192, b"x"), id="a program"),
    pytest.param(elf_core([(0, 0, 4096, 4096)], size=0).ljust(8192, b"x"), id="headers without a size"),
    pytest.param(b"\x7fELF", id="only the magic"), pytest.param(b"EMiL", id="only LiME's magic"),
    pytest.param(b"AVML\2\0\0\0", id="only AVML's magic"),
])
def test_what_is_no_image_of_a_format_is_left_to_others(opened, image):
    memory, _ = opened(image)
    assert type(memory) not in (address_spaces.ElfImage, address_spaces.KCore)
