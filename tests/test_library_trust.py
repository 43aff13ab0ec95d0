"""What is not to be believed: libraries without a signature, with a wrong one, or an old one; Pre-ASTs made to do harm."""
import hashlib
import json
import resource
import zlib
from pathlib import Path

import pytest

import header_trees
import web
from rekall_layout_expert import make_profile
from rekall_layout_expert.command_line import main
from rekall_layout_expert.errors import LayoutExpertError
from rekall_layout_expert.pre_ast.builder import build_pre_ast
from rekall_layout_expert.pre_ast.storage import dumps, loads
from rekall_layout_expert.supply.library import INDEX, OBJECTS, Library, envelope
from rekall_layout_expert.supply.library.compression import pack
from rekall_layout_expert.supply.library.mirror import mirror
from rekall_layout_expert.supply.library.store import Store, parcel_of
from rekall_layout_expert.supply.repository import DirectoryRepository, repository_at
from test_library import SCHED, Counting, contents, name, pre_ast_at

NAME = name("6.1.85")


@pytest.fixture
def pre_ast(tmp_path):
    return pre_ast_at(tmp_path / "tree")


@pytest.fixture
def signer():
    return new_signer()


def new_signer():
    pytest.importorskip("Crypto")
    from Crypto.PublicKey import ECC

    from rekall_layout_expert.supply.library.signatures import Signer

    return Signer(ECC.generate(curve="Ed25519"))


@pytest.fixture
def signed(tmp_path, signer, pre_ast):
    store = Store(tmp_path / "signed", signer)
    store.add(parcel_of(pre_ast))
    return store


# Signatures

def test_what_is_signed_by_a_configured_key_is_used(signed, signer, pre_ast):
    library = Library(signed.repository, [new_signer().public, signer.public])
    assert library.pre_ast(NAME).digest == pre_ast.digest
    assert list(library.index()) == [NAME]


@pytest.mark.parametrize("is_signed", [False, True])
def test_what_is_not_signed_or_by_somebody_else_is_refused_with_keys_and_used_without(tmp_path, signer, pre_ast, is_signed):
    store = Store(tmp_path / "library", signer if is_signed else None)
    store.add(parcel_of(pre_ast))
    library = Library(store.repository, [new_signer().public])
    why = "signed by none of the configured keys" if is_signed else "not signed, and keys are configured"
    for ask in (lambda: library.pre_ast(NAME), library.index):
        with pytest.raises(LayoutExpertError, match=why):
            ask()
    assert Library(store.repository).pre_ast(NAME).digest == pre_ast.digest


def test_a_plain_pre_ast_is_not_signed(signed, signer, pre_ast):
    signed.repository.put(NAME, dumps(pre_ast))
    with pytest.raises(LayoutExpertError, match="not signed, and keys are configured"):
        Library(signed.repository, [signer.public]).pre_ast(NAME)


def test_whatever_is_changed_in_a_signed_file_is_noticed(signed, signer):
    path = Path(signed.repository.directory, NAME)
    whole = path.read_bytes()
    library = Library(signed.repository, [signer.public])
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1:])
        with pytest.raises(LayoutExpertError):
            library.pre_ast(NAME)
    for size in range(0, len(whole), 7):
        path.write_bytes(whole[:size])
        with pytest.raises(LayoutExpertError):
            library.pre_ast(NAME)


def test_a_signed_statement_with_another_payload_or_base_is_refused(signed, signer, tmp_path):
    other = pre_ast_at(tmp_path / "other", "6.2.1")
    signed.add(parcel_of(other))
    first, second = (envelope.opened(signed.repository.get(each), envelope.VERSION, "") for each in (NAME, name("6.2.1")))
    library = Library(signed.repository, [signer.public])
    signed.repository.put(NAME, first._replace(payload=pack("=0 1")).dumps())
    with pytest.raises(LayoutExpertError, match="damaged"):
        library.pre_ast(NAME)
    signed.repository.put(NAME, first.dumps())
    base = OBJECTS + first.statement["base"]
    signed.repository.put(base, signed.repository.get(OBJECTS + second.statement["base"]))
    with pytest.raises(LayoutExpertError, match="damaged"):
        library.pre_ast(NAME)


def test_a_signed_version_of_another_name_is_refused(signed, signer):
    signed.repository.put(name("6.1.86"), signed.repository.get(NAME))
    with pytest.raises(LayoutExpertError, match="published under another name"):
        Library(signed.repository, [signer.public]).pre_ast(name("6.1.86"))


def test_who_has_seen_the_newer_one_does_not_take_the_older_one_back(signed, signer, tmp_path):
    old = signed.repository.get(NAME), signed.repository.get(INDEX)
    newer = pre_ast_at(tmp_path / "newer", member="int corrected;")
    signed.add(parcel_of(newer))
    memory = tmp_path / "serials"
    assert Library(signed.repository, [signer.public], memory).pre_ast(NAME).digest == newer.digest
    signed.repository.put(NAME, old[0])
    with pytest.raises(LayoutExpertError, match="rolled back"):
        Library(signed.repository, [signer.public], memory).pre_ast(NAME)
    assert Library(signed.repository, [signer.public]).pre_ast(NAME) is not None  # who has seen nothing cannot know


def test_the_index_tells_of_newer_ones_that_were_never_fetched(signed, signer, tmp_path):
    old = signed.repository.get(NAME), signed.repository.get(INDEX)
    signed.add(parcel_of(pre_ast_at(tmp_path / "newer", member="int corrected;")))
    memory = tmp_path / "serials"
    Library(signed.repository, [signer.public], memory).index()
    for each, data in zip((NAME, INDEX), old):
        signed.repository.put(each, data)
    library = Library(signed.repository, [signer.public], memory)
    for ask in (lambda: library.pre_ast(NAME), library.index):
        with pytest.raises(LayoutExpertError, match="rolled back"):
            ask()


def test_serials_grow_even_where_the_index_was_lost(signed, signer, tmp_path):
    memory = tmp_path / "serials"
    Library(signed.repository, [signer.public], memory).index()
    Path(signed.repository.directory, INDEX).unlink()
    signed.add(parcel_of(pre_ast_at(tmp_path / "other", "6.2.1")))
    assert len(Library(signed.repository, [signer.public], memory).index()) == 2


def test_a_damaged_memory_is_told_and_one_that_cannot_be_written_does_no_harm(signed, signer, tmp_path):
    memory = tmp_path / "serials"
    memory.write_text("{")
    with pytest.raises(LayoutExpertError, match="serials.*damaged"):
        Library(signed.repository, [signer.public], memory)
    told = []
    library = Library(signed.repository, [signer.public], tmp_path / "no folder/serials", report=told.append)
    assert library.pre_ast(NAME) is not None and "could not be kept" in told[0]


def test_signing_afterwards_and_with_a_second_key_keeps_the_first_signature(tmp_path, signer, pre_ast):
    store = Store(tmp_path / "library")
    store.add(parcel_of(pre_ast))
    assert Store(tmp_path / "library", signer).sign() == 1
    second = new_signer()
    assert Store(tmp_path / "library", second).sign() == 1
    assert Store(tmp_path / "library", second).sign() == 0
    for keys in ([signer.public], [second.public]):
        assert Library(store.repository, keys).pre_ast(NAME).digest == pre_ast.digest
    assert store.verify([second.public], print) == 0 and store.verify([new_signer().public], lambda line: None) == 2


def test_keys_from_the_command_line(tmp_path, pre_ast, capsys):
    pytest.importorskip("Crypto")
    (tmp_path / "one.past").write_bytes(dumps(pre_ast))
    assert main(["library", "keygen", str(tmp_path / "key")]) == 0
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    assert main(["library", "keygen", str(tmp_path / "key")]) == 1 and "not overwritten" in capsys.readouterr().err
    library, key, public = (str(tmp_path / each) for each in ("library", "key", "key.pub"))
    assert main(["library", "add", str(tmp_path / "one.past"), "--repository", library]) == 0
    assert main(["library", "list", "--repository", library, "--keys", public]) == 1
    assert main(["library", "sign", "--repository", library, "--key", public]) == 1
    assert "no private key" in capsys.readouterr().err
    assert main(["library", "sign", "--repository", library, "--key", key]) == 0
    assert main(["library", "list", "--repository", library, "--keys", public]) == 0
    assert main(["library", "verify", "--repository", library, "--keys", public]) == 0


def test_a_signed_library_is_not_written_without_the_key(signed, signer, pre_ast, tmp_path, capsys):
    (tmp_path / "other.past").write_bytes(dumps(pre_ast_at(tmp_path / "other", "6.2.1")))
    before, library = contents(signed), signed.repository.directory
    for arguments in (["add", str(tmp_path / "other.past")], ["prune", NAME]):
        assert main(["library", *arguments, "--repository", library]) == 1
        assert "is signed" in capsys.readouterr().err and contents(signed) == before
    Path(library, INDEX).unlink()
    with pytest.raises(LayoutExpertError, match="is signed"):
        Store(library).add(parcel_of(pre_ast))
    assert Library(signed.repository, [signer.public]).pre_ast(NAME) is not None


@pytest.mark.parametrize("arguments", [["list", "--repository", "{}"], ["mirror", "{}", "--repository", "copy"]])
def test_an_index_that_is_refused_is_named(tmp_path, pre_ast, signer, arguments, capsys, monkeypatch):
    from rekall_layout_expert.supply.library.signatures import make_keys

    monkeypatch.chdir(tmp_path)
    Store("library").add(parcel_of(pre_ast))
    keys = make_keys(tmp_path / "key")
    assert main(["library", *(each.format("library") for each in arguments), "--keys", str(keys)]) == 1
    assert capsys.readouterr().err.startswith("layout_tool: library, pre_ast/index: it is not signed")


def test_keys_are_those_of_openssl_and_of_no_other_kind(tmp_path):
    pytest.importorskip("Crypto")
    from Crypto.PublicKey import ECC

    from rekall_layout_expert.supply.library.signatures import Signer, read_keys

    # The example of RFC 8410, section 10.
    (tmp_path / "key").write_text("-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n"
                                  "-----END PRIVATE KEY-----\n")
    (tmp_path / "pub").write_text("-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n"
                                  "-----END PUBLIC KEY-----\n")
    assert read_keys(tmp_path / "pub") == [Signer.read(tmp_path / "key").public]
    (tmp_path / "p256").write_text(ECC.generate(curve="p256").public_key().export_key(format="PEM"))
    with pytest.raises(LayoutExpertError, match="not Ed25519"):
        read_keys(tmp_path / "p256")


# Mirrors

def test_a_mirror_takes_what_is_new_and_is_as_good_as_the_library(signed, signer, tmp_path):
    target = DirectoryRepository(tmp_path / "mirror")
    with web.Server(files=Path(signed.repository.directory)) as server:
        pytest.importorskip("urllib3")
        from rekall_layout_expert.supply.transfer import Network

        source = Library(repository_at(server.url, Network()), [signer.public])
        assert mirror(source, target, lambda step: None)[:2] == (1, 2)
        server.asked.clear()
        assert mirror(source, target, lambda step: None)[:2] == (1, 0) and server.asked == ["/" + INDEX]
        signed.add(parcel_of(pre_ast_at(tmp_path / "next", "6.1.86")))
        server.asked.clear()
        assert mirror(source, target, lambda step: None)[:2] == (2, 1)
        assert server.asked == ["/" + INDEX, "/" + name("6.1.86")]
    copy = Store(target.directory)
    assert {each: data for each, data in contents(copy).items()} == {
        each: data for each, data in contents(signed).items() if ".lock" not in each}
    assert Library(target, [signer.public]).pre_ast(name("6.1.86")) is not None


def test_a_mirror_that_was_broken_off_goes_on_and_lists_nothing_that_is_not_there(signed, tmp_path):
    signed.add(parcel_of(pre_ast_at(tmp_path / "next", "6.2.86")))

    class Breaking(Counting):
        def get(self, name):
            if len(self.asked) == 3:
                raise LayoutExpertError("the network is gone")
            return super().get(name)

    target = DirectoryRepository(tmp_path / "mirror")
    with pytest.raises(LayoutExpertError, match="network is gone"):
        mirror(Library(Breaking(signed.repository)), target, lambda step: None)
    assert target.get(INDEX) is None
    assert mirror(Library(signed.repository), target, lambda step: None)[:2] == (2, 2)


def test_a_mirror_takes_nothing_older_unsigned_or_damaged(signed, signer, tmp_path):
    target = DirectoryRepository(tmp_path / "mirror")
    old = signed.repository.get(INDEX)
    signed.add(parcel_of(pre_ast_at(tmp_path / "next", "6.1.86")))
    with pytest.raises(LayoutExpertError, match="none of the configured keys"):
        mirror(Library(signed.repository, [new_signer().public]), target, print)
    mirror(Library(signed.repository), target, lambda step: None)
    signed.repository.put(INDEX, old)
    with pytest.raises(LayoutExpertError, match="older than its copy"):
        mirror(Library(signed.repository), target, print)
    signed.repository.put(INDEX, target.get(INDEX))
    signed.repository.put(NAME, b"damaged")
    with pytest.raises(LayoutExpertError, match="not what the index lists"):
        mirror(Library(signed.repository), DirectoryRepository(tmp_path / "another"), lambda step: None)


@pytest.mark.parametrize("bad", ["../../etc/cron.d/x.past", "pre_ast/../x/y.past", "/etc/x/y.past", "pre_ast/.x/y.past", "pre_ast/x.past",
                                 "pre_ast/objects/x.past", "pre_ast/a/b/c/d.past", "pre_ast/a/b.past\n"])
def test_an_index_leads_nowhere_but_into_the_library(signed, tmp_path, bad):
    entry = signed.entries()[NAME]
    index = envelope.sealed(envelope.INDEX, {"serial": 1 << 40}, pack(json.dumps({bad: entry})))
    signed.repository.put(INDEX, index.dumps())
    with pytest.raises(LayoutExpertError, match="damaged"):
        mirror(Library(signed.repository), DirectoryRepository(tmp_path / "mirror"), print)


@pytest.mark.parametrize("change", [{"base": "../../x"}, {"base": None}, {"file": "x"}, {"serial": "1"}, {"arch": 1}, {"version": []}])
def test_an_index_with_entries_of_another_form_is_refused(signed, change):
    entries = {NAME: {**signed.entries()[NAME], **change}}
    signed.repository.put(INDEX, envelope.sealed(envelope.INDEX, {"serial": 1 << 40}, pack(json.dumps(entries))).dumps())
    with pytest.raises(LayoutExpertError, match="damaged"):
        Library(signed.repository).index()


# Hostile Pre-ASTs, plain and in a library

MEMORY = 700 << 20  # bytes more than the process has


@pytest.fixture
def bounded():
    """A bound on memory, which turns what would take more into a failure."""
    with open("/proc/self/statm") as statm:
        used = int(statm.read().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


BOMBS = {
    "deep nesting": b"[" * 3000000,
    "many lists": b"[" + b"[]," * 10000000 + b"[]]",
    "many strings": b"[" + b'"ab",' * 6000000 + b'""]',
    "many numbers": b"[" + b"1000," * 6000000 + b"0]",
    "a long number": b"[" + b"9" * 30000000 + b"]",
    "no end of zeros": bytes(256 << 20),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_bomb_in_a_pre_ast_is_refused_in_bounded_memory(bounded, bomb):
    packer = zlib.compressobj(1)
    content = BOMBS[bomb]
    body = b"".join(packer.compress(content[start:start + (1 << 20)]) for start in range(0, len(content), 1 << 20)) + packer.flush()
    data = header_trees.packed(b"").split(b"\n")[0] + b"\n" + hashlib.sha256(body).hexdigest().encode() + b"\n" + body
    with pytest.raises(LayoutExpertError, match="damaged|unpacks to more|holds more"):
        loads(data, "it")


@pytest.mark.parametrize("payload, why", [
    ("+" + "[" * 3000000, "damaged|holds more"),
    ("=0 5\n+" + "1," * 1000000, "damaged"),
    ("\n".join(["=0 5"] + ["=-5 5"] * 900000), "makes more than"),
    ("=0 4\n" + '+[3,"c"]\n' * 300000 + "+[21]\n" * 299999 + "+[21]", "damaged"),
    ("+" + "x" * (33 << 20), "unpacks to more"),
    ("+{}\n" * 2000000, "has more than"),
])
def test_a_bomb_in_a_version_is_refused_in_bounded_memory(signed, bounded, payload, why):
    statement = envelope.opened(signed.repository.get(NAME), envelope.VERSION, "").statement
    signed.repository.put(NAME, envelope.sealed(envelope.VERSION, statement, pack(payload)).dumps())
    with pytest.raises(LayoutExpertError, match=why):
        Library(signed.repository).pre_ast(NAME)


def test_a_base_that_unpacks_to_much_more_is_refused(signed, bounded):
    bomb = pack("x" * (64 << 20))
    statement = envelope.opened(signed.repository.get(NAME), envelope.VERSION, "").statement
    digest = hashlib.sha256(bomb).hexdigest()
    signed.repository.put(OBJECTS + digest, bomb)
    signed.repository.put(NAME, envelope.sealed(envelope.VERSION, {**statement, "base": digest}, pack("=0 1")).dumps())
    with pytest.raises(LayoutExpertError, match="unpacks to more than"):
        Library(signed.repository).pre_ast(NAME)


@pytest.mark.parametrize("line", ["{", "[]", "7", '{"payload":1,"serial":1}', '{"serial":"x"}', "[" * 10000])
def test_an_envelope_that_says_nothing_is_damaged(line):
    with pytest.raises(LayoutExpertError, match="truncated or damaged"):
        envelope.opened(b"layout-expert version 1\n" + line.encode() + b"\n\n", envelope.VERSION, "it")


def profile_of(directory, changes):
    """The profile of a small tree with these changes, made as from any Pre-AST."""
    (directory / "config").write_text(header_trees.CONFIG)
    pre_ast = build_pre_ast(header_trees.package(directory / "tree", changes))
    return make_profile(pre_ast, directory / "config", None)


def test_includes_that_double_with_each_file_come_to_an_end(tmp_path, monkeypatch):
    monkeypatch.setattr("rekall_layout_expert.preprocessor.translation_unit._MOST_ITEMS", 100000)
    chain = {f"include/linux/c{number}.h": f"#include <linux/c{number + 1}.h>\n" * 2 for number in range(150)}
    with pytest.raises(LayoutExpertError, match="too many lines"):
        profile_of(tmp_path, {**chain, "include/linux/c150.h": "", "include/linux/sched.h": "#include <linux/c0.h>\n" + SCHED})


def test_large_expansions_are_bounded_in_number_too(tmp_path, monkeypatch):
    monkeypatch.setattr("rekall_layout_expert.preprocessor.macros._MOST_LARGE_CALLS", 1)
    doubling = "#define D0\n" + "".join(f"#define D{number} D{number - 1} D{number - 1}\n" for number in range(1, 14))
    conditions = "".join(f"#if D13 {number}\nstruct s{number} {{ int a; }};\n#endif\n" for number in range(1, 200))
    with pytest.raises(LayoutExpertError, match="macros expand to more than"):
        profile_of(tmp_path, {"include/linux/sched.h": doubling + conditions + SCHED})


@pytest.mark.parametrize("members, why", [
    ("struct { " * 20000 + "int a;" + " };" * 20000, "nested too deeply"), ("int " + "*" * 100000 + "a;", "nested too deeply"),
    ("int a[" + "(" * 50000 + "1" + ")" * 50000 + "];", "nested too deeply"), ("int a[1ULL << (1ULL << 60)];", "shift"),
    ("int a[" + "9" * 5000 + "];", "5000 digits"), ("int a : 99999999999;", "a"), ("int a[sizeof(\"" + "x" * 300000 + "\")];", None)])
def test_a_struct_made_to_do_harm_is_left_out_or_laid_out(tmp_path, members, why):
    profile = profile_of(tmp_path, {"include/linux/sched.h": SCHED.replace("u32 state;", members)})
    if why is None:
        assert profile["$STRUCTS"]["task_struct"][0] > 1200000
    else:
        assert why in profile["$METADATA"]["left_out"]["task_struct"]


def test_a_conditional_of_great_depth_is_refused(tmp_path, pre_ast):
    program = []
    for _ in range(100000):
        program = [[3, [["", program]]]]
    pre_ast.files["include/linux/sched.h"] = program
    (tmp_path / "config").write_text(header_trees.CONFIG)
    with pytest.raises(LayoutExpertError, match="damaged at include/linux/sched.h"):
        make_profile(pre_ast, tmp_path / "config", None)
