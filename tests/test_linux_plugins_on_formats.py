"""Rekall's plugins list the same of an image in whatever format it is, also of what imagecopy and aff4acquire make of it."""
import gzip
import json

import linux_plugins
import pytest
from image_conversion import FORMATS

from rekall_layout_expert.plugin import address_spaces

PLUGINS = ("pslist", "lsmod", "mount", "ifconfig", "check_creds")
SERIES = sorted(folder.name for folder in linux_plugins.FIXTURES.iterdir() if (folder / "image.core.gz").exists())


def session_on(image, series, home):
    """On an image with the content of a series' fixture."""
    data = json.loads(gzip.decompress((linux_plugins.FIXTURES / series / "profile.json.gz").read_bytes()))
    rekall = linux_plugins.session_on(str(image), home)
    linux_plugins.give_profile(rekall, data, **data.pop("fixture"))
    return rekall


def listed(rekall):
    return {name: linux_plugins.run(rekall, name).rows for name in PLUGINS}


@pytest.fixture(scope="module", params=SERIES)
def core(request, tmp_path_factory):
    """(an ELF image, its series, what the plugins list of it)."""
    folder = tmp_path_factory.mktemp("core")
    rekall, _ = linux_plugins.open_fixture(linux_plugins.FIXTURES / request.param, folder)
    assert type(rekall.physical_address_space) is address_spaces.ElfImage
    rows = listed(rekall)
    assert len(rows["pslist"]) > 20 and rows["mount"]
    return folder / "image.core", request.param, rows


@pytest.mark.parametrize("form", sorted(FORMATS))
def test_plugins_list_the_same_in_every_format(core, tmp_path, form):
    image, series, expected = core
    FORMATS[form](image, tmp_path / "image")
    assert listed(session_on(tmp_path / "image", series, tmp_path)) == expected


def test_plugins_list_the_same_of_what_imagecopy_wrote(core, tmp_path):
    """From the format that is the farthest from it."""
    image, series, expected = core
    FORMATS["avml"](image, tmp_path / "image.avml")
    rekall = session_on(tmp_path / "image.avml", series, tmp_path)

    class Renderer(linux_plugins.Rows):
        def open(self, directory=None, filename=None, mode="rb"):
            return open(filename, mode)

        def RenderProgress(self, *_):
            pass

    rekall.plugins.imagecopy(output_image=str(tmp_path / "image.raw")).render(Renderer())
    assert listed(session_on(tmp_path / "image.raw", series, tmp_path)) == expected
