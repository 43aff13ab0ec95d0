"""yarascan with yara-python as it is today, on an image."""
import linux_plugins
import pytest

yara = pytest.importorskip("yara", reason="needs yara-python")


@pytest.fixture
def scan(tmp_path):
    """Runs yarascan; its rows, and physical memory."""
    rekall, _ = linux_plugins.open_fixture(linux_plugins.FIXTURES / "6.1", tmp_path)
    memory = rekall.physical_address_space

    def run(**arguments):
        return linux_plugins.run(rekall, "yarascan", **arguments).rows, memory

    return run


@pytest.mark.parametrize("arguments", [
    {"string": "hunter2"}, {"binary_string": "68 75 6e 74 65 72 32"},
    {"yara_expression": 'rule r1 { strings: $a = "no such words" $b = /hunter[0-9]/ condition: any of them }'}])
def test_what_was_typed_is_found(scan, arguments):
    rows, memory = scan(hits=1000, **arguments)
    assert rows and {row["Rule"] for row in rows} == {"r1"}
    assert all(memory.read(row["Offset"], 7) == b"hunter2" for row in rows)
    assert len({row["Offset"] for row in rows}) == len(rows)


def test_words_that_are_not_there(scan):
    assert scan(string="no such words at all")[0] == []


def test_rule_that_is_none(scan):
    from rekall.plugin import PluginError

    with pytest.raises(PluginError, match="Failed to compile"):
        scan(string='"')
