"""Where the plugin gets a Pre-AST from, as the user and his organisation say: options, configuration file, environment."""
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import web

pytest.importorskip("urllib3", reason="urllib3 is not installed")
pytest.importorskip("rekall", reason="Rekall is not installed")

from rekall_layout_expert import read_pre_ast  # noqa: E402: after what it takes
from rekall_layout_expert.errors import LayoutExpertError  # noqa: E402
from rekall_layout_expert.host.release import Kernel  # noqa: E402
from rekall_layout_expert.plugin.options import Sources  # noqa: E402
from rekall_layout_expert.plugin.profile_maker import over_the_network  # noqa: E402
from rekall_layout_expert.supply import SOURCES, NoPreAst, find_pre_ast  # noqa: E402
from rekall_layout_expert.supply.library.signatures import Signer, make_keys  # noqa: E402
from rekall_layout_expert.supply.library.store import Store, parcel_of  # noqa: E402
from rekall_layout_expert.supply.matching import Level  # noqa: E402
from rekall_layout_expert.supply.repository import DirectoryRepository  # noqa: E402

SAMPLE = Path(__file__).resolve().parent.parent / "samples" / "guest.core"
RELEASE, PACKAGE = "6.1.0-56-cloud-amd64", "6.1.192-2"
NAME = f"pre_ast/{RELEASE}/{PACKAGE}/x86_64.past"
NOWHERE_ELSE = ("--pre_ast_skip", "headers,distribution,btf")


@pytest.fixture
def image(tmp_path):
    """The sample without its Pre-AST, on a host without headers."""
    for ending in ("", ".config", ".kallsyms.gz"):
        (tmp_path / ("guest.core" + ending)).symlink_to(str(SAMPLE) + ending)
    return tmp_path / "guest.core"


@pytest.fixture
def server(tmp_path):
    """An organisation's repository, which has the sample's Pre-AST."""
    file = tmp_path / "served" / NAME
    file.parent.mkdir(parents=True)
    shutil.copy(f"{SAMPLE}.pre_ast", file)
    with web.Server(files=tmp_path / "served") as server:
        yield server


@pytest.fixture
def rekall(tmp_path):
    """Runs rekall in a home of its own."""
    home = tmp_path / "home"
    home.mkdir()

    def run(*arguments, **variables):
        environment = {**os.environ, "HOME": str(home), "no_proxy": "*", **variables}
        return subprocess.run([str(Path(sys.executable).with_name("rekall")), *map(str, arguments)], cwd=tmp_path,
                              env=environment, capture_output=True, text=True, timeout=300)

    run.home = home
    return run


def lists_processes(done):
    return done.returncode == 0 and re.search(r"^0x\w+ \S+ +1 +0 ", done.stdout, re.M) is not None


def line_of(done):
    assert done.returncode == 1 and not done.stdout.strip() and len(done.stderr.splitlines()) == 1, done.stderr
    return done.stderr


# A start

def test_a_repository_in_the_configuration_file_is_asked_at_the_first_start_only(rekall, image, server):
    (rekall.home / ".rekallrc").write_text(f"cache_dir: .rekall_cache\npre_ast_repository: [{server.url}]\n")
    done = rekall("-f", image, "pslist")
    assert lists_processes(done), done.stderr
    assert server.asked == ["/" + NAME] and f"rekall: Pre-AST from {server.url}, {NAME}: of the same " in done.stderr
    again = rekall("-f", image, "pslist")
    assert lists_processes(again) and "Pre-AST" not in again.stderr and len(server.asked) == 1
    assert (rekall.home / ".rekall_cache/v1.0" / NAME).exists(), "kept for whoever makes another profile"


def test_several_in_the_environment_of_which_most_are_dead(rekall, image, server, tmp_path):
    places = f"{tmp_path}/absent, http://127.0.0.1:1/x,{server.url},nonsense://x"
    done = rekall("-f", image, *NOWHERE_ELSE, "pslist", LAYOUT_EXPERT_REPOSITORY=places)
    assert lists_processes(done) and server.asked == ["/" + NAME], done.stderr


def test_what_is_refused_is_told_though_another_place_has_it(rekall, image, server, tmp_path):
    with web.Server({"/" + NAME: b"layout-expert pre-ast 2\nnot its digest\n"}) as hostile:
        done = rekall("-f", image, *NOWHERE_ELSE, "--pre_ast_repository", f"{hostile.url},{server.url}", "pslist")
    assert lists_processes(done), done.stderr
    assert f"rekall: passed over: {hostile.url}, {NAME} (it is truncated or damaged" in done.stderr.splitlines()[0]


def test_where_there_is_nothing_a_line_names_every_place(rekall, image, server, tmp_path):
    server.files = None
    done = rekall("-f", image, *NOWHERE_ELSE, "layout_expert", "--pre_ast_repository", f"{tmp_path}/absent,http://127.0.0.1:1/x",
                  LAYOUT_EXPERT_REPOSITORY=server.url)
    line = line_of(done)
    assert f"{tmp_path}/absent (no {NAME}, no pre_ast/{RELEASE}/x86_64.past), http://127.0.0.1:1/x (cannot be reached: " in line
    assert "headers (skipped), distribution (skipped)" in line
    assert not server.asked, "an option comes before the environment"


@pytest.mark.parametrize("route, reason", [
    (web.answers(body=web.PAGE), "is a web page, not the file"),
    (web.answers(500), "is refused: 500"),
    (web.answers(body=b"part", Content_Length=100), "broke off"),
    (web.answers(body=b"layout-expert pre-ast 99\n"), "of format 99"),
    (web.answers(body=bytes(1000)), "it is no Pre-AST"),
    (web.redirects(f"/{NAME}"), "is redirected more than 5 times"),
], ids=["page", "500", "truncated", "format", "garbage", "loop"])
def test_a_repository_that_misbehaves_is_passed_over_and_the_line_says_how(server, tmp_path, monkeypatch, route, reason):
    monkeypatch.setenv("no_proxy", "*")
    server.routes["/" + NAME] = route
    server.files = None
    with pytest.raises(LayoutExpertError, match=reason):
        found(server.url, None, tmp_path / "kept")


def test_offline_nobody_is_asked_and_the_line_says_so(rekall, image, server):
    line = line_of(rekall("-f", image, "--offline", "--pre_ast_skip", "btf", "--pre_ast_repository", server.url, "pslist"))
    assert f"{server.url} (was not asked, as --offline says)" in line
    assert "the distribution's headers package (was not asked, as --offline says)" in line
    assert not server.asked


def test_a_level_that_there_is_not_is_told(rekall, image):
    assert "--accept knows no 'exactly'; give exact, " in line_of(rekall("-f", image, "--accept", "exactly", "pslist"))


# Signed libraries

@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with keys, `key`, and a signed library that has the sample's Pre-AST."""
    folder = tmp_path_factory.mktemp("made")
    make_keys(folder / "key")
    Store(folder / "library", Signer.read(folder / "key")).add(parcel_of(read_pre_ast(f"{SAMPLE}.pre_ast")))
    return folder


@pytest.fixture
def signed(made, tmp_path):
    """That library, a copy of one's own, and the public key."""
    return Path(shutil.copytree(made / "library", tmp_path / "library")), made / "key.pub"


def found(folder, key, kept):
    sources = Sources((str(folder),), key and str(key))
    where = over_the_network(sources, [DirectoryRepository(kept)], SimpleNamespace(report=lambda step: None))
    kernel = Kernel(RELEASE, "a banner", "x86_64", "6.1.192", PACKAGE)
    return find_pre_ast(kernel, "x86_64", header_trees=[], published=where["published"])[1]


def test_a_signed_library_is_believed_and_what_is_not_signed_is_not(signed, tmp_path):
    library, key = signed
    assert found(library, key, tmp_path / "kept").startswith(f"from {library}, pre_ast/{RELEASE}")
    other = make_keys(tmp_path / "other")
    with pytest.raises(LayoutExpertError, match="it is signed by none of the configured keys"):
        found(library, other, tmp_path / "kept")
    file = tmp_path / "plain" / f"pre_ast/{RELEASE}/x86_64.past"
    file.parent.mkdir(parents=True)
    shutil.copy(f"{SAMPLE}.pre_ast", file)
    with pytest.raises(LayoutExpertError, match="it is not signed, and keys are configured"):
        found(tmp_path / "plain", key, tmp_path / "kept")


def test_what_a_library_has_of_another_build_is_told(signed):
    library, _ = signed
    kernel = Kernel(RELEASE, "a banner", "x86_64", "6.1.192", PACKAGE + "+other")
    published = over_the_network(Sources((str(library),)), [], SimpleNamespace(report=lambda step: None))["published"]
    with pytest.raises(NoPreAst, match=rf"{re.escape(str(library))}, pre_ast/\S+ \(of package .*--accept distribution would use it\)"):
        find_pre_ast(kernel, "x86_64", header_trees=[], published=published)


def test_a_library_that_goes_back_in_time_is_refused_by_who_has_seen_more(signed, tmp_path):
    library, key = signed
    shutil.copytree(library, tmp_path / "before")
    store = Store(library, Signer.read(key.with_suffix("")))
    store.drop(list(store.entries()))
    store.add(parcel_of(read_pre_ast(f"{SAMPLE}.pre_ast")))
    found(library, key, tmp_path / "kept")
    shutil.rmtree(library)
    (tmp_path / "before").rename(library)
    assert found(library, key, tmp_path / "of somebody who has not").startswith("from ")
    with pytest.raises(LayoutExpertError, match="it was rolled back"):
        found(library, key, tmp_path / "kept")


def test_where_nothing_can_be_remembered_a_line_says_so(signed, tmp_path):
    library, key = signed
    (tmp_path / "file").write_text("where the cache should be")
    lines = []
    stages = SimpleNamespace(report=lambda step: None, say=lines.append)
    for repositories in ([], [DirectoryRepository(tmp_path / "file")]):
        over_the_network(Sources((str(library),), str(key)), repositories, stages)
    assert len(lines) == 2 and all("goes back in time" in line for line in lines)
    over_the_network(Sources((str(library),), str(key)), [DirectoryRepository(tmp_path / "kept")], stages)
    over_the_network(Sources((str(library),)), [], stages)
    assert len(lines) == 2


# Options

class Session:
    def __init__(self, **options):
        self.options = options

    def GetParameter(self, name):
        return self.options.get(name)


@pytest.mark.parametrize("given", ["a, b,,c", ["a", "b", "c"], ("a", " b ", "", "c")])
def test_repositories_are_a_list_or_a_text_with_commas(given):
    assert Sources.in_options(Session(pre_ast_repository=given)).repositories == ("a", "b", "c")


def test_the_plugins_options_come_before_rekalls_and_those_before_the_environment(monkeypatch):
    monkeypatch.setenv("LAYOUT_EXPERT_REPOSITORY", "environment")
    monkeypatch.setenv("LAYOUT_EXPERT_KEYS", "environment.pub")
    assert Sources.in_options(Session()) == Sources(("environment",), "environment.pub")
    session = Session(pre_ast_repository="rekall", pre_ast_skip="headers,local", offline=True, accept="upstream")
    assert Sources.in_options(session) == Sources(
        ("rekall",), "environment.pub", frozenset(("headers", "local")), True, "upstream")
    arguments = SimpleNamespace(pre_ast_repository="plugin", pre_ast_keys=None, pre_ast_skip=None, offline=False, accept="exact")
    assert Sources.in_options(session, arguments)[0] == ("plugin",)
    assert Sources.in_options(session, arguments).accept == "exact"


@pytest.mark.parametrize("options", [dict(pre_ast_skip="headers,distributon"), dict(accept="upstraem")])
def test_a_word_that_is_none_is_refused(options):
    with pytest.raises(LayoutExpertError, match="knows no '(distributon|upstraem)'; give "):
        Sources.in_options(Session(**options))


def test_the_words_are_those_of_the_sources_and_levels():
    assert Sources.in_options(Session(pre_ast_skip=[*SOURCES, "btf"])).skip == {*SOURCES, "btf"}
    for level in Level:
        assert Sources.in_options(Session(accept=str(level))).accept == str(level)


def test_nothing_given_is_the_usual(monkeypatch):
    for name in ("LAYOUT_EXPERT_REPOSITORY", "LAYOUT_EXPERT_KEYS"):
        monkeypatch.delenv(name, raising=False)
    assert Sources.in_options(Session()) == Sources()
