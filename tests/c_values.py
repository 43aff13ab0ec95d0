"""Constant expressions for the tests: their values and types, ours and gcc's."""
import subprocess
import tempfile
from pathlib import Path

from elftools.elf.elffile import ELFFile

from dwarf import COMPILERS, CompilerRefused
from rekall_layout_expert.c_tokens import tokenize
from rekall_layout_expert.parser.scope import Scope
from rekall_layout_expert.preprocessor.compiler import Compiler
from rekall_layout_expert.preprocessor.directories import DirectoryHeaders
from rekall_layout_expert.preprocessor.translation_unit import TranslationUnit
from rekall_layout_expert.record_layout.abi import find_abi
from rekall_layout_expert.record_layout.layouts import Layouts
from rekall_layout_expert.trimmer.index import DeclarationIndex


def read_types(text, target="x86_64"):
    """The Layouts of a C text: its types, and constant expressions in their scope."""
    headers = DirectoryHeaders(text, ())
    unit = TranslationUnit(headers, Compiler(target), headers.MAIN)
    return Layouts(Scope(DeclarationIndex(unit, all_opaque=True), unit.expand), find_abi(target))


def our_value(expression, target="x86_64", declarations=""):
    """(value, width in bits, is it unsigned?) of an integer constant expression. Raises NotConstant or NotKnown."""
    return value_in(read_types(declarations, target), expression)


def value_in(layouts, expression):
    """The same in the scope and for the target of a Layouts."""
    return layouts.constants.fold(layouts.constants.tree(tokenize(expression)))


def gcc_values(expressions, target="x86_64", declarations=""):
    """The same of each expression, as gcc has it. Raises CompilerRefused when it takes one of them for no constant."""
    rows = "\n".join("{ (unsigned long long)(%s), 8 * sizeof(%s), (typeof(%s))-1 > 0 },"
                     % (each, each, each) for each in expressions)
    text = "%s\nconst unsigned long long values[][3] = {\n%s\n};\n" % (declarations, rows)
    with tempfile.TemporaryDirectory(prefix="layout-expert-") as directory:
        path = Path(directory) / "values.o"
        done = subprocess.run([*COMPILERS[target], "-c", "-w", "-std=gnu11", "-x", "c", "-", "-o", str(path)],
                              input=text, text=True, stderr=subprocess.PIPE, check=False)
        if done.returncode:
            raise CompilerRefused(done.stderr)
        with open(path, "rb") as file:
            data = ELFFile(file).get_section_by_name(".rodata").data()
    words = [int.from_bytes(data[start:start + 8], "little") for start in range(0, 24 * len(expressions), 8)]
    return [_signed(*words[start:start + 3]) for start in range(0, len(words), 3)]


def _signed(value, bits, unsigned):
    value &= (1 << bits) - 1
    return value if unsigned or not value >> (bits - 1) else value - (1 << bits), bits, bool(unsigned)
