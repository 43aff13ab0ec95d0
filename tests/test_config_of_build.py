"""The configuration of a kernel whose image does not carry it: from headers of exactly its build, or one line says where it is not."""
import os

import pytest
from header_trees import CONFIG, RELEASE, VERSION, package

from rekall_layout_expert.errors import LayoutExpertError
from rekall_layout_expert.host.release import Kernel
from rekall_layout_expert.kernel_config import KernelConfig
from rekall_layout_expert.supply import configuration
from rekall_layout_expert.supply.configuration import UnpackedHeaders, find_config_of_build
from rekall_layout_expert.supply.repository import DirectoryRepository

BANNER = f"Linux version {RELEASE} (a@b) (gcc-12 (Debian 12.2.0-14) 12.2.0) #1 SMP PREEMPT_DYNAMIC Debian {VERSION}-1 (2024-04-11)"
KERNEL = Kernel.from_banner(BANNER, "x86_64")
KEPT = f"pre_ast/{RELEASE}/{VERSION}-1/x86_64.config"
VALUES = KernelConfig.parse(CONFIG, "").values


@pytest.fixture
def tree(tmp_path):
    path = str(package(tmp_path / "headers"))
    with open(os.path.join(path, ".config"), "w") as file:
        file.write(CONFIG)
    return path


@pytest.fixture
def repository(tmp_path):
    return DirectoryRepository(tmp_path / "repository")


@pytest.fixture(autouse=True)
def no_such_kernel_runs_here(monkeypatch):
    monkeypatch.setattr(configuration, "find_kernel", lambda: Kernel("5.4.0-1-amd64", "Linux version 5.4.0-1-amd64 (x)"))


def find(**options):
    return find_config_of_build(KERNEL, "memory.lime", **{"header_trees": [], **options})


def test_installed_headers_of_the_build_have_it(tree):
    config = find(header_trees=[tree])
    assert config.values == VALUES and config.source == os.path.join(tree, ".config")


def test_the_headers_package_is_fetched_once_and_its_configuration_kept(tree, repository):
    fetched = []

    def fetch(kernel, folder, report):
        fetched.append(folder)
        assert kernel == KERNEL and os.path.isdir(folder)
        return [tree]

    headers = UnpackedHeaders(fetch)
    config = find(repositories=[repository], headers_package=headers, keep=repository)
    assert config.values == VALUES and "headers package" in config.source
    assert headers(KERNEL, None, print) == [tree] and len(fetched) == 1 and os.path.isdir(fetched[0])
    assert repository.get(KEPT) == CONFIG.encode()
    again = find(repositories=[repository], headers_package=UnpackedHeaders(lambda *_: pytest.fail("fetched again")))
    assert again.values == VALUES and again.source == f"{repository}, {KEPT}"
    folder = fetched[0]
    del headers
    assert not os.path.exists(folder)


def test_an_image_of_this_machine_has_this_machines(monkeypatch):
    monkeypatch.setattr(configuration, "find_kernel", lambda: KERNEL)
    monkeypatch.setattr(configuration, "find_config", lambda kernel: KernelConfig.parse(CONFIG, "/proc/config.gz"))
    assert find().source == "/proc/config.gz"


@pytest.mark.parametrize("change, why", [
    (("CONFIG_GCC_VERSION=120200", "CONFIG_GCC_VERSION=130200"), "of a build with gcc 13.2.0, not gcc 12.2.0"),
    (("6.1.85", "6.1.90"), "of version 6.1.90, not 6.1.85"),
    (("CONFIG_X86_64=y", "CONFIG_ARM64=y"), "of architecture arm64, not x86_64"),
    ((CONFIG, "nothing"), "is no kernel configuration"),
], ids=["compiler", "version", "architecture", "none"])
def test_what_does_not_fit_the_kernel_is_passed_over_wherever_it_is(tree, repository, change, why):
    with open(os.path.join(tree, ".config"), "w") as file:
        file.write(CONFIG.replace(*change))
    repository.put(KEPT, CONFIG.replace(*change).encode())
    with pytest.raises(LayoutExpertError, match="was not found, and memory.lime does not carry it.*--config_file_path") as error:
        find(header_trees=[tree], repositories=[repository], keep=repository, headers_package=UnpackedHeaders(lambda *_: [tree]),
             looked_at=["memory.lime.config"])
    places = error.value.looked_at
    assert places[0] == "memory.lime.config" and sum(why in place for place in places) == 3
    assert repository.get(KEPT) == CONFIG.replace(*change).encode()


def test_headers_of_another_build_are_not_asked(tmp_path):
    path = str(package(tmp_path / "headers"))
    with open(os.path.join(path, ".config"), "w") as file:
        file.write(CONFIG)
    other = Kernel.from_banner(BANNER.replace(RELEASE, "6.1.0-21-amd64"), "x86_64")
    with pytest.raises(LayoutExpertError, match=f"of the kernel 6.1.0-21-amd64 was not found.*of the kernel {RELEASE}"):
        find_config_of_build(other, "memory.lime", header_trees=[path])


def test_what_is_skipped_or_cannot_be_had_is_told(tree):
    def fetch(*_):
        raise LayoutExpertError("the network is not asked (--offline)")

    with pytest.raises(LayoutExpertError, match=r"headers \(skipped\).*headers package \(the network is not asked"):
        find(header_trees=[tree], headers_package=UnpackedHeaders(fetch), skip={"headers"})
