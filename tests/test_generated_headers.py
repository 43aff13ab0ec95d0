"""The headers that a kernel's build generates, made from its configuration, against those in Debian's packages.

A Pre-AST holds none of them. So a flavour predicted from another one's Pre-AST must come to its own values: page flags,
sizes of locks and the like differ between flavours.
"""

import re

import pytest

from kernels import kernel_or_skip, pre_ast
from rekall_layout_expert.kernel_config import KernelConfig
from rekall_layout_expert.profile.kernel import Kernel

DEFINE = re.compile(r"^#define[ \t]+(\w+)(?![\w(])[ \t]*(.*?)[ \t]*(?:/\*.*)?$", re.MULTILINE)
# What belongs to one build of a kernel, Debian strikes from the configuration that it publishes.
NOT_IN_CONFIG = {"CONFIG_BUILD_SALT", "CONFIG_MODULE_SIG_ALL", "CONFIG_MODULE_SIG_KEY", "CONFIG_SYSTEM_TRUSTED_KEYS"}
SCALED = re.compile(r"U64_C\((\w+)\)")


@pytest.mark.network
@pytest.mark.parametrize("series, flavour, headers_of", [
    ("6.1", "amd64", "amd64"),
    ("6.1", "cloud-amd64", "amd64"),
    ("6.1", "rt-amd64", "rt-amd64"),
    ("5.10", "amd64", "amd64"),
    ("7.2", "cloud-amd64", "amd64"),
])
def test_generated_headers_have_the_values_of_the_build(series, flavour, headers_of):
    kernel = kernel_or_skip(series, flavour)
    headers = kernel_or_skip(series, headers_of)
    macros = Kernel(pre_ast(headers.tree), KernelConfig.read(str(kernel.config))).unit.macros
    compared = 0
    for name in ("generated/autoconf.h", "generated/bounds.h", "generated/timeconst.h"):
        for macro, value in DEFINE.findall((kernel.tree / "include" / name).read_text()):
            if macro in NOT_IN_CONFIG or macro.startswith(("__LINUX_", "KERNEL_TIMECONST")):    # guards
                continue
            assert macros.lookup(macro) is not None, "%s of %s is not defined" % (macro, name)
            assert number(macros.lookup(macro).body) == number(value), "%s of %s" % (macro, name)
            compared += 1
    assert compared > 2000


def number(text):
    text = SCALED.sub(r"\1", text)
    return int(text, 0) if re.fullmatch(r"0[xX][0-9a-fA-F]+|[1-9]\d*|0", text) else text
