"""Repositories: a directory, on the web, and through fsspec; the same names everywhere, and nothing hangs."""
import sys
import threading
import zipfile

import pytest

import web
from rekall_layout_expert.errors import LayoutExpertError
from rekall_layout_expert.supply import repository as repositories
from rekall_layout_expert.supply.repository import DirectoryRepository, StoreRepository, WebRepository, repository_at
from rekall_layout_expert.supply.transfer import Network

NAME = "pre_ast/6.1.0-40-amd64/6.1.153-1+deb12u1~x/x86_64.past"
LEADING_OUT = ["../x", "a/../../x", "/etc/x", "a//b", "a/.", ".hidden", "a\0b", "", "a/", "a\n", "a?b", "a%2fb"]


@pytest.fixture
def network(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    return Network(connect=0.5, stall=0.6, deadline=2)


@pytest.fixture(params=["directory", "file", "web", "memory", "zip"])
def filled(request, tmp_path, network):
    """A repository that holds one file, of each kind."""
    path = tmp_path / "served" / NAME
    path.parent.mkdir(parents=True)
    path.write_bytes(b"\x1f\x8b as it is")
    if request.param in ("directory", "file"):
        yield repository_at(("file://" if request.param == "file" else "") + str(tmp_path / "served"), network)
        return
    if request.param == "web":
        pytest.importorskip("urllib3", reason="urllib3 is not installed")
        with web.Server(files=tmp_path / "served", routes={
                "/" + NAME.replace("+", "%2B"): path.read_bytes()}) as server:
            yield repository_at(server.url + "/", network)
        return
    fsspec = pytest.importorskip("fsspec", reason="fsspec is not installed")
    if request.param == "memory":
        repository = repository_at("memory://pre-asts", network)
        repository.put(NAME, b"to be replaced")
        repository.put(NAME, path.read_bytes())
        yield repository
        fsspec.filesystem("memory").store.clear()
    else:
        with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
            archive.write(path, "library/" + NAME)
        yield repository_at(f"zip://library::{tmp_path}/all.zip", network)


def test_what_is_there_is_got_and_what_is_not_is_none(filled):
    assert filled.get(NAME) == b"\x1f\x8b as it is"
    assert filled.get(NAME + "x") is None and filled.get("pre_ast/absent/x.past") is None


@pytest.mark.parametrize("name", LEADING_OUT)
def test_names_that_lead_out_of_it_are_refused(filled, name):
    with pytest.raises(LayoutExpertError, match="is no name for a repository"):
        filled.get(name)


@pytest.mark.parametrize("place, kind", [
    ("/srv/pre-asts", DirectoryRepository), ("pre-asts", DirectoryRepository), ("~/pre-asts", DirectoryRepository),
    ("file:///srv/pre-asts", DirectoryRepository), ("http://host/path", WebRepository), ("https://host", WebRepository),
    ("s3://bucket/path", StoreRepository), ("gs://bucket", StoreRepository), ("zip::/all.zip", StoreRepository),
    ("a:b", DirectoryRepository)])
def test_what_users_write_tells_its_kind(place, kind, network):
    assert type(repository_at(place, network)) is kind


def test_a_home_directory_is_found(network, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    assert str(repository_at("~/pre-asts", network)) == "/home/me/pre-asts"


def test_no_password_is_shown(network):
    for place in ("https://me:secret@host/path/", "s3://me:secret@host/path"):
        assert "secret" not in str(repository_at(place, network))


# The web

@pytest.mark.parametrize("route", [web.never_answers, web.stalls, web.drips, web.answers(500), web.answers(body=web.PAGE),
                                   web.redirects(lambda handler: handler.path)])
def test_a_web_repository_that_misbehaves_costs_a_line(network, route):
    pytest.importorskip("urllib3", reason="urllib3 is not installed")
    with web.Server({"/" + NAME.replace("+", "%2B"): route}) as server:
        with pytest.raises(LayoutExpertError):
            web.within(20, repository_at(server.url, network).get, NAME)


def test_offline_neither_the_web_nor_a_store_is_asked(monkeypatch, tmp_path):
    monkeypatch.setattr("socket.socket", lambda *_, **__: pytest.fail("the network was asked"))
    offline = Network(offline=True)
    for place in ("https://host/path", "s3://bucket/path", "zip://a::https://host/all.zip", "filecache::s3://bucket"):
        with pytest.raises(LayoutExpertError, match="as --offline says"):
            repository_at(place, offline).get(NAME)
    assert repository_at(str(tmp_path), offline).get(NAME) is None


def test_offline_an_archive_on_this_machine_is_read(tmp_path):
    pytest.importorskip("fsspec", reason="fsspec is not installed")
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.writestr(NAME, b"content")
    assert repository_at(f"zip::{tmp_path}/all.zip", Network(offline=True)).get(NAME) == b"content"


# Stores

def store(monkeypatch, network, read):
    repository = StoreRepository("s3://bucket/path", network)
    asked = []

    def cat_file(path, start, end):
        asked.append(path)
        return read(start, end)

    monkeypatch.setattr(repository, "_system", lambda: (type("Store", (), {"cat_file": staticmethod(cat_file)}), "bucket"))
    return repository, asked


def test_a_store_that_does_not_answer_is_given_up_and_not_asked_again(monkeypatch, network):
    monkeypatch.setattr(repositories, "_PATIENCE", 0.3)
    over = threading.Event()
    repository, asked = store(monkeypatch, network, lambda start, end: over.wait(60))
    for _ in range(2):
        with pytest.raises(LayoutExpertError, match="s3://bucket/path has not answered within 0.3 s"):
            web.within(20, repository.get, NAME)
    over.set()
    assert len(asked) == 1


def test_a_store_that_refuses_is_told(monkeypatch, network):
    def denied(start, end):
        raise PermissionError("Access Denied")

    repository, asked = store(monkeypatch, network, denied)
    with pytest.raises(LayoutExpertError, match="s3://bucket/path cannot be used: Access Denied"):
        repository.get(NAME)


def test_a_store_gives_no_more_than_is_taken(monkeypatch, network):
    monkeypatch.setattr(repositories, "_SIZE_LIMIT", 10)
    repository, _ = store(monkeypatch, network, lambda start, end: b"x" * (end - start))
    with pytest.raises(LayoutExpertError, match="is larger than 10 bytes"):
        repository.get(NAME)


@pytest.mark.parametrize("missing", ["fsspec", "s3fs"])
def test_a_missing_library_is_one_line(monkeypatch, network, missing):
    if missing == "s3fs":
        pytest.importorskip("fsspec", reason="fsspec is not installed")
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(LayoutExpertError, match="takes a package that is missing: .*; pip install fsspec, with s3fs"):
        repository_at("s3://bucket/path", network).get(NAME)


def test_a_protocol_that_nobody_speaks_is_told(network):
    pytest.importorskip("fsspec", reason="fsspec is not installed")
    with pytest.raises(LayoutExpertError, match="nonsense://bucket cannot be used: Protocol not known: nonsense"):
        repository_at("nonsense://bucket", network).get(NAME)
