r"""layout_tool: the stages from the command line, named and logged as in the tool of 2016."""

import argparse
import gc
import os
import sys
import time

from rekall_layout_expert import library_command
from rekall_layout_expert.errors import LayoutExpertError, printable, printable_lines
from rekall_layout_expert.version import VERSION

_EPILOG = """examples:
  layout_tool build_pre_ast --linux_repository_path /usr/src/linux-headers-6.1.0-40-amd64 6.1.pre_ast
  layout_tool make_profile --config_file_path /boot/config-6.1.0-40-amd64 --system kallsyms 6.1.pre_ast profile.json
"""
_BTF_MAGIC = (b"\x9f\xeb", b"\xeb\x9f")
_LARGEST_SOURCE = 256 << 20  # bytes; a profile of all structs has 20 MB


def run():
    """The console script: `main` in a process of its own, which ends without taking its memory apart piece by piece."""
    gc.disable()
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def main(arguments=None):
    """Runs one command.  Returns the exit code: 0, or 1 with one line on stderr; SystemExit for wrong usage."""
    options = _parser().parse_args(arguments)
    try:
        options.function(options)
    except LayoutExpertError as error:
        print("layout_tool: %s" % error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("layout_tool: interrupted", file=sys.stderr)
        return 130
    return 0


def _parser():
    parser = argparse.ArgumentParser(
        prog="layout_tool",
        description="Predicts a Linux kernel's memory layout from its headers and its configuration.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version="layout_tool " + VERSION)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    commands.required = True

    build = commands.add_parser("build_pre_ast", help="prepare a kernel's headers, once per version and architecture")
    build.add_argument("--source_file_path", metavar="ROOT.c", help="a root of your own; its includes say what is wanted")
    build.add_argument(
        "--linux_repository_path",
        metavar="TREE",
        required=True,
        help="an unpacked headers package, an installed one (/lib/modules/RELEASE/build), or full kernel source",
    )
    build.add_argument("--arch", default="x86_64", help="as the kernel names it (default: %(default)s)")
    build.add_argument("out", metavar="OUT", help="the Pre-AST file to write")
    build.set_defaults(function=_build_pre_ast)

    make = commands.add_parser("make_profile", help="make a Rekall profile from a Pre-AST, a config and symbols")
    make.add_argument("--config_file_path", metavar="CONFIG", required=True, help="the kernel's config, plain or gzipped")
    make.add_argument("--system", metavar="SYSTEM_MAP", help="its System.map, or a copy of /proc/kallsyms made as root")
    make.add_argument(
        "--structs",
        default="rekall",
        help="rekall (what Rekall's plugins need), all, or names separated by commas (default: %(default)s)",
    )
    _add_randstruct_seed(make)
    _add_banner(make)
    make.add_argument("pre_ast", metavar="PRE_AST", help="the Pre-AST file; or the kernel's BTF, /sys/kernel/btf/vmlinux")
    make.add_argument("profile", metavar="PROFILE", help="the profile to write; compressed if it ends in .gz")
    make.set_defaults(function=_make_profile)

    preprocess = commands.add_parser("preprocess", help="write the pure C that a config leaves, to look at")
    preprocess.add_argument("--config_file_path", metavar="CONFIG", required=True, help="the kernel's config")
    _add_banner(preprocess)
    preprocess.add_argument("pre_ast", metavar="PRE_AST", help="the Pre-AST file")
    preprocess.add_argument("out", metavar="OUT.c", help="the C file to write")
    preprocess.set_defaults(function=_preprocess)

    explain = commands.add_parser("explain", help="show a struct as pahole does, and what put each member where it is")
    explain.add_argument("--config_file_path", metavar="CONFIG", help="the kernel's config; profile and BTF need none")
    explain.add_argument("--system", metavar="SYSTEM_MAP", help="its symbols, as for make_profile")
    _add_randstruct_seed(explain)
    _add_banner(explain)
    explain.add_argument(
        "pre_ast",
        metavar="PRE_AST",
        help="the Pre-AST file; or a profile or BTF (/sys/kernel/btf/vmlinux), which know no headers and conditions",
    )
    explain.add_argument("name", metavar="STRUCT[.MEMBER]", help="such as task_struct, task_struct.comm, task_struct.se.load")
    explain.set_defaults(function=_explain)

    library_command.add_parser(commands, _log)
    return parser


def _add_randstruct_seed(parser):
    parser.add_argument(
        "--randstruct_seed",
        metavar="SEED",
        help="of a kernel with CONFIG_RANDSTRUCT: 64 hexadecimal digits, or the file of its build tree that holds them, "
        "scripts/basic/randstruct.seed or scripts/gcc-plugins/randomize_layout_seed.h",
    )


def _add_banner(parser):
    parser.add_argument("--banner", help="its /proc/version: names the compiler, which configs before 4.18 do not")


def _log(text):
    print("%s %s" % (time.strftime("%H:%M:%S"), printable(text)), file=sys.stderr)


def _build_pre_ast(options):
    from rekall_layout_expert.pre_ast.builder import build_pre_ast
    from rekall_layout_expert.pre_ast.storage import write_pre_ast

    start = time.monotonic()
    pre_ast = build_pre_ast(options.linux_repository_path, options.arch, options.source_file_path, _log)
    write_pre_ast(pre_ast, options.out)
    _log("SAVED %s in %.2f s" % (options.out, time.monotonic() - start))


def _read_pre_ast(path):
    from rekall_layout_expert.pre_ast.storage import read_pre_ast

    start = time.monotonic()
    pre_ast = read_pre_ast(path)
    _log("LOADING %s: kernel %s in %.2f s" % (path, pre_ast.header["version"], time.monotonic() - start))
    return pre_ast


def _is_btf(path):
    try:
        with open(path, "rb") as file:
            return file.read(2) in _BTF_MAGIC
    except OSError:
        return False  # whoever reads it next says why


def _make_profile(options):
    import gzip

    from rekall_layout_expert.files import read_bounded, write_atomically
    from rekall_layout_expert.profile.output import profile_json

    start = time.monotonic()
    if _is_btf(options.pre_ast):
        from rekall_layout_expert.profile.of_btf import profile_of_btf

        _log("LOADING %s: the kernel's own BTF, which knows types and no headers" % options.pre_ast)
        section = read_bounded(options.pre_ast, _LARGEST_SOURCE)
        profile = profile_of_btf(section, options.config_file_path, options.system, options.structs, banner=options.banner)
    else:
        from rekall_layout_expert.profile.profile import make_profile

        profile = make_profile(
            _read_pre_ast(options.pre_ast), options.config_file_path, options.system, options.structs, _log,
            banner=options.banner, randstruct_seed=options.randstruct_seed,
        )  # fmt: skip
    data = profile_json(profile).encode("utf-8")
    if options.profile.endswith(".gz"):
        data = gzip.compress(data, 6, mtime=0)
    write_atomically(options.profile, data)
    left_out = profile["$METADATA"]["left_out"]
    for name, reason in sorted(left_out.items()):
        _log("LEFT OUT %s: %s" % (name, reason))
    _log(
        "SAVED %s: %d structs, %d left out, in %.2f s"
        % (options.profile, len(profile["$STRUCTS"]), len(left_out), time.monotonic() - start)
    )
    missing = [name for name in map(str.strip, options.structs.split(",")) if name in left_out]
    if missing:
        raise LayoutExpertError(
            "%s was written without %s, which cannot be known" % (options.profile, ", ".join(missing)),
            next_step="the reasons stand above",
        )


def _preprocess(options):
    from rekall_layout_expert.files import write_atomically
    from rekall_layout_expert.kernel_config import KernelConfig, compiler_of
    from rekall_layout_expert.preprocessor.text import PrintedUnit, unit_text
    from rekall_layout_expert.profile.kernel import Kernel

    start = time.monotonic()
    compiler = compiler_of(options.banner) if options.banner else None
    config = KernelConfig.read(options.config_file_path)
    kernel = Kernel(_read_pre_ast(options.pre_ast), config, unit=PrintedUnit, compiler=compiler)
    text = unit_text(kernel.unit)
    write_atomically(options.out, text.encode("utf-8", "surrogateescape"))
    _log("PREPROCESSED %d files in %.2f s" % (len(kernel.unit.paths), time.monotonic() - start))


def _explain(options):
    from rekall_layout_expert.explain.explanation import explain
    from rekall_layout_expert.explain.from_btf import explain_btf
    from rekall_layout_expert.explain.stored import explain_profile, profile_in
    from rekall_layout_expert.files import read_bounded

    content = read_bounded(options.pre_ast, _LARGEST_SOURCE)
    if content[:1] == b"{":
        lines = explain_profile(profile_in(content, options.pre_ast), options.name)
    elif content[:2] in _BTF_MAGIC:
        lines = explain_btf(content, options.name)
    elif options.config_file_path is None:
        raise LayoutExpertError("the config is missing", next_step="name the kernel's config with --config_file_path")
    else:
        lines = explain(
            _read_pre_ast(options.pre_ast), options.config_file_path, options.name, options.system, options.banner,
            options.randstruct_seed,
        )  # fmt: skip
    print("\n".join(printable_lines(lines)))


if __name__ == "__main__":
    run()
