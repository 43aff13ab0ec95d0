"""Random C structs for the compilers' randstruct: marked ones, tables of functions, and what surrounds them."""
from __future__ import annotations

import random
from typing import Dict, Tuple

from randstruct_truth import Asked

PRELUDE = """\
#define MARKED __attribute__((randomize_layout))
#define UNMARKED __attribute__((no_randomize_layout))
typedef int (*call_t)(void *, int);
typedef unsigned long long u64;
typedef unsigned char bytes_t[2];
enum kind { FIRST, SECOND };
struct base { char c; int i; };
"""
_PLAIN = ("char", "short", "int", "long", "long long", "u64", "_Bool", "void *", "struct base", "double", "enum kind", "bytes_t",
          "unsigned char", "struct unknown *")
_BITS = (("int", 31), ("unsigned", 32), ("unsigned char", 8), ("unsigned short", 16), ("unsigned long long", 64),
         ("_Bool", 1), ("enum kind", 20))
_ATTRIBUTES = ("", "", "", "", " __attribute__((packed))", " __attribute__((aligned(16)))", " __attribute__((aligned(64)))",
               " __attribute__((packed, aligned(4)))")
_FUNCTIONS = ("int (*%s)(int)", "void (*%s)(void)", "call_t %s", "struct base *(*%s)(long)", "const call_t %s", "long (*const %s)(char)")


class Writer:
    """One text: `text`, and what to ask of it: `asked`. clang: without what clang treats unlike its documentation."""

    def __init__(self, seed: int, structs: int, clang: bool = False):
        self._random = random.Random(seed)
        self._clang = clang
        self._number = 0
        self.asked: Dict[str, Asked] = {}
        self._tables = []
        parts = [PRELUDE]
        for number in range(structs):
            parts.append(self._struct("r%d" % number))
        self.text = "".join(parts)

    def _chance(self, one_in):
        return not self._random.randrange(one_in)

    def _name(self):
        self._number += 1
        return "m%d" % self._number

    def _struct(self, name):
        members, bit_fields = [], []
        typedef = self._chance(6)
        is_table = self._chance(3)
        if is_table:
            body = self._functions(members)
            mark = "" if not self._chance(5) else self._random.choice((" MARKED", " UNMARKED"))
            attribute = ""
        else:
            body = self._members(members, bit_fields, self._random.randrange(1, 40 if self._chance(4) else 12), 0)
            mark = self._random.choice((" MARKED",) * 6 + ("", " UNMARKED"))
            attribute = self._random.choice(_ATTRIBUTES)
        if typedef:
            spelled = name
            text = "typedef struct {\n%s}%s%s %s;\n" % (body, mark, attribute, name)
        else:
            spelled = "struct " + name
            text = "struct %s {\n%s}%s%s;\n" % (name, body, mark, attribute)
        self.asked[name] = Asked(spelled, members, bit_fields)
        if is_table and not typedef:
            self._tables.append(name)
        return text

    def _functions(self, members):
        lines = []
        for _ in range(self._random.randrange(1, 12)):
            name = self._name()
            members.append(name)
            if self._chance(12):
                lines.append("\tint (*%s[%d])(void);\n" % (name, self._random.randrange(1, 4)))
            elif self._chance(15) and self._tables and not self._clang:
                lines.append("\tstruct %s %s;\n" % (self._random.choice(self._tables), name))
            elif self._chance(15) and not self._clang:
                lines.append("\tunion { call_t %s; void (*x_%s)(void); };\n" % (name, name))
            else:
                lines.append("\t%s;\n" % (self._random.choice(_FUNCTIONS) % name))
        return "".join(lines)

    def _members(self, members, bit_fields, count, depth):
        lines = []
        for place in range(count):
            last = place == count - 1 and not depth
            name = self._name()
            if self._chance(4):
                lines += self._bit_fields(bit_fields)
            elif self._chance(8) and depth < 2:
                kind = self._random.choice(("struct", "union", "struct"))
                mark = " MARKED" if kind == "struct" and self._chance(2) else ""
                inner = self._members(members, bit_fields, self._random.randrange(1, 8), depth + 1)
                lines.append("\t%s {\n%s\t}%s;\n" % (kind, inner, mark))
            elif self._chance(8):
                members.append(name)
                length = self._random.choice(("0", "1", "2", "3", "7", "20"))
                lines.append("\t%s %s[%s];\n" % (self._random.choice(_PLAIN), name, length))
            elif last and self._chance(4) and count > 1:
                members.append(name)
                lines.append("\t%s %s[%s];\n" % (self._random.choice(_PLAIN), name, self._random.choice(("", "0", "1", "2"))))
            else:
                members.append(name)
                aligned = self._random.choice(("",) * 12 + (" __attribute__((aligned(8)))", " __attribute__((packed))"))
                lines.append("\t%s %s%s;\n" % (self._random.choice(_PLAIN), name, aligned))
        return "".join(lines)

    def _bit_fields(self, bit_fields):
        for _ in range(self._random.randrange(1, 5)):
            type_, limit = self._random.choice(_BITS)
            if self._chance(8):
                yield "\t%s : %d;\n" % (type_, 0 if self._chance(2) else self._random.randrange(1, limit + 1))
            else:
                name = self._name()
                bit_fields.append(name)
                yield "\t%s %s : %d;\n" % (type_, name, limit if self._chance(6) else self._random.randrange(1, limit + 1))


def unit(seed: int, structs: int, clang: bool = False) -> Tuple[str, Dict[str, Asked]]:
    """C text and what to ask of it."""
    writer = Writer(seed, structs, clang)
    return writer.text, writer.asked
