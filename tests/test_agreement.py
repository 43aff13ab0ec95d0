"""A config and symbols of two kernels make a wrong profile: what tells them apart, and what is only a doubt."""

import pytest

from rekall_layout_expert import LayoutExpertError
from rekall_layout_expert.kernel_config import KernelConfig
from rekall_layout_expert.profile.agreement import _FUNCTIONS, check_symbols
from rekall_layout_expert.profile.symbols import Symbols

ALL = dict(_FUNCTIONS)


def config(*without, release="6.1.90"):
    values = {"CONFIG_" + name: "y" for name in ALL if name not in without}
    return KernelConfig(values, "the config", release)


def symbols(*without):
    functions = {function for name, function in _FUNCTIONS if name not in without}
    return Symbols(dict.fromkeys(functions, 0xFFFFFFFF81000000), "the symbols")


def test_a_kernel_s_own_config_and_symbols_agree():
    assert check_symbols(config(), symbols()) == []
    assert check_symbols(config("PSI", "KSM"), symbols("PSI", "KSM")) == []


def test_a_module_is_no_part_of_the_kernel():
    modular = config("XFRM")
    modular.values["CONFIG_XFRM"] = "m"
    assert check_symbols(modular, symbols("XFRM")) == []


@pytest.mark.parametrize("config, symbols", [
    (config(), symbols("PSI", "KSM")),
    (config("PSI", "KSM"), symbols()),
    (config("PSI"), symbols("KSM")),
])
def test_two_contradictions_are_a_proof(config, symbols):
    with pytest.raises(LayoutExpertError, match="the config is not the config of the kernel whose symbols") as caught:
        check_symbols(config, symbols)
    assert "CONFIG_KSM" in str(caught.value) and "CONFIG_PSI" in str(caught.value)


def test_one_contradiction_is_a_doubt_that_the_profile_tells():
    (doubt,) = check_symbols(config("PSI"), symbols())
    assert "CONFIG_PSI is not set, and psi_task_change is there" in doubt


def test_kernels_on_which_the_pairs_were_not_tried_are_not_judged():
    assert check_symbols(config(release="4.19.1"), symbols("PSI", "KSM")) == []
    assert check_symbols(config(release=None), symbols("PSI", "KSM")) == []
