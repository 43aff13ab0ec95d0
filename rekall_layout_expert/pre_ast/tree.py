r"""A kernel's header tree, wherever its parts lie.

Three shapes are known: full source; a headers package in one folder; and two folders as Debian and SUSE have, one of a
flavour (linux-headers-RELEASE, linux-…-obj/ARCH/FLAVOUR: config and generated headers) whose Makefile includes the one
that flavours share (linux-headers-…-common, linux-…: all others).  They are seen as one tree of virtual paths
("include/linux/sched.h").

What the kernel's build generates is taken from the tree only where it depends on the architecture alone; what depends
on the config is named in `generated` and made from the host's config when a profile is made; wrappers that a raw source
tree has not got yet (generic-y) are made from its Kbuild files, system call numbers from its tables.
"""

import os
import re

from rekall_layout_expert.errors import LayoutExpertError
from rekall_layout_expert.files import read_bounded
from rekall_layout_expert.preprocessor.compiler import TARGETS
from rekall_layout_expert.preprocessor.headers import UnchangingHeaders
from rekall_layout_expert.pre_ast.architecture_headers import architecture_headers
from rekall_layout_expert.pre_ast.package import package_version_of
from rekall_layout_expert.pre_ast.platforms import platform_directories
from rekall_layout_expert.pre_ast.compilation import compile_program

_FILE_LIMIT = 16 << 20

# Directories under arch/ by architecture (SRCARCH of the kernel's Makefile).
_SOURCE_ARCHITECTURE = {"x86_64": "x86", "i386": "x86"}

# Computed from the config when a profile is made (see `preprocessor.generated`).
AUTOCONF = ("include/generated/autoconf.h", "include/linux/autoconf.h")
_GENERATED = re.compile(
    r"include/generated/(?!uapi/)|arch/x86/include/generated/asm/cpufeaturemasks\.h\Z"
    r"|include/(?:linux/(?:autoconf|bounds|compile|utsrelease)|asm(?:-\w+)?/asm-offsets)\.h\Z"
)
# Where they were before 2.6.33.
_OLD_PLACES = ("include/linux/", "include/asm")
_GENERATED_APART = (2, 6, 33)
_VERSION_HEADER = "include/generated/uapi/linux/version.h"
# The one header of the compiler's own that kernels include (before 5.15), as GCC's documentation describes it.
_COMPILER_HEADERS = {
    "compiler/stdarg.h": "#ifndef _STDARG_H\n#define _STDARG_H\ntypedef __builtin_va_list __gnuc_va_list;\n"
    "typedef __gnuc_va_list va_list;\n#define va_start(v, l) __builtin_va_start(v, l)\n"
    "#define va_end(v) __builtin_va_end(v)\n#define va_arg(v, l) __builtin_va_arg(v, l)\n"
    "#define va_copy(d, s) __builtin_va_copy(d, s)\n#endif\n"
}
_OFFSETS = re.compile(r"-offsets(_\d+)?\.[ch]\Z")
_FORCED = ("include/linux/compiler-version.h", "include/linux/kconfig.h", "include/linux/compiler_types.h")


class KernelTree(UnchangingHeaders):
    """The headers of a kernel for one architecture.

    path: an unpacked headers package, an installed one (/lib/modules/RELEASE/build), or full source.
    Attributes: version, release, kind ("headers" or "source"), common (name of the shared folder or None), roots (the
    folders, the flavour's first), package_version (of the Debian package it came in, or None), makefile (text of the
    kernel's Makefile), generated (paths made from the config), search_path (all directories that any config may ask for:
    those of every config, then the platforms'), platforms (see `platform_directories`).
    Raises LayoutExpertError for a folder that is no header tree, with the places looked at.
    """

    def __init__(self, path, arch="x86_64"):
        if arch not in TARGETS:
            raise LayoutExpertError(
                "no architecture is called %s" % arch, next_step="known are " + ", ".join(TARGETS)
            )
        self.arch = arch
        self._found = {}
        self._made = dict(_COMPILER_HEADERS)
        self.source_arch = _SOURCE_ARCHITECTURE.get(arch, arch)
        self.roots, self.common = _folders(os.fspath(path))
        self.package_version = package_version_of(self.roots[0])
        self.makefile = self._makefile()
        self.version = _version(self.makefile)
        self.kind = "source" if self._find("kernel/fork.c") else "headers"
        self.generated = set()
        self._is_old = _numbers(self.version) < _GENERATED_APART
        self.platforms = platform_directories(self)
        super().__init__(self._search_path() + [directory for directory, _ in self.platforms])
        if not self.exists("arch/%s/include/asm/page.h" % self.source_arch):
            raise LayoutExpertError(
                "%s holds no headers for %s" % (path, arch),
                looked_at=[os.path.join(root, "arch", self.source_arch, "include/asm") for root in self.roots],
            )
        self._made.update(_generic_wrappers(self))
        if self.kind == "source":
            self._made.update(architecture_headers(self))
            self._made[_VERSION_HEADER] = _version_header(self.makefile)
        self.release = self._release()

    def _search_path(self):
        arch = "arch/%s/include" % self.source_arch
        return [
            arch, arch + "/generated", "include", arch + "/uapi", arch + "/generated/uapi", "include/uapi",
            "include/generated/uapi", "compiler", ".",
        ]  # fmt: skip

    def forced(self):
        """The files that the kernel's build includes before any other, in order."""
        forced = [path for path in _FORCED if self.exists(path)]
        if "include/linux/kconfig.h" not in forced:
            forced[:0] = [path for path in AUTOCONF[:1] if self.exists(path)]
        return forced

    def exists(self, path):
        return self._is_generated(path) or path in self._made or self._find(path) is not None

    def candidates(self, kind, spelled, including):
        """The paths that an #include may mean: where a file stands on the search path, only the walk and a config tell."""
        if kind.startswith("next"):
            found = [self.find(kind, spelled, including, place) for place in range(len(self.search_path))]
        else:
            found = [self.find(kind, spelled, including)]
            while found[-1] is not None and found[-1][1] >= len(self.search_path) - len(self.platforms):
                found.append(self.find("next<", spelled, including, found[-1][1]))
        return [each[0] for each in found if each is not None]

    def _is_generated(self, path):
        """Whether a path is one that is made from the config, whether the tree holds a flavour's or not."""
        is_generated = _GENERATED.match(path) is not None
        if is_generated and path not in AUTOCONF and "cpufeaturemasks" not in path:
            is_in_source = self.kind == "source" and (not path.startswith(_OLD_PLACES) or self._is_old)
            is_generated = is_in_source or self._find(path) is not None
        if is_generated:
            self.generated.add(path)
        return is_generated

    def _find(self, path):
        if path not in self._found:
            places = (os.path.join(root, path) for root in self.roots)
            self._found[path] = next((place for place in places if os.path.isfile(place)), None)
        return self._found[path]

    def text(self, path):
        """The text of a file.  Raises LayoutExpertError."""
        if path in self._made:
            return self._made[path]
        full = self._find(path)
        if full is None:
            raise LayoutExpertError("the header tree has no %s" % path, looked_at=self.roots)
        return read_bounded(full, _FILE_LIMIT).decode("utf-8", "replace")

    def program(self, path):
        return compile_program(self.text(path), path, prune=True)

    def has(self, path):
        """Whether the tree itself holds that file."""
        return self._find(path) is not None

    def has_directory(self, path):
        """Whether the tree itself holds that directory."""
        return any(os.path.isdir(os.path.join(root, path)) for root in self.roots)

    def list(self, directory, suffix):
        """The virtual paths of the files in a directory that end in `suffix`."""
        names = set()
        for root in self.roots:
            full = os.path.join(root, directory)
            if os.path.isdir(full):
                names.update(name for name in os.listdir(full) if name.endswith(suffix))
        return [directory + "/" + name for name in sorted(names)]

    def architecture_makefile(self):
        """The text of the architecture's own Makefile; empty where the tree has none."""
        path = "arch/%s/Makefile" % self.source_arch
        return self.text(path) if self.has(path) else ""

    def unknown_macros(self):
        """The macros of the generated headers whose values nothing here computes: offsets in private structs.

        One that stands for the enumerator or macro of its own name means the same where it is not there.
        """
        names = set()
        for path in sorted(self.generated):
            if _OFFSETS.search(path) and self._find(path):
                names.update(re.findall(r"^#define\s+(\w+)[ \t]+\S(?!.*/\*\s*\1\s*\*/)", self.text(path), re.M))
        for path in self.list("arch/%s/kernel" % self.source_arch, ".c") + self.list("kernel/sched", ".c"):
            if _OFFSETS.search(path):
                names.update(re.findall(r"\b(?:DEFINE|OFFSET)\s*\(\s*(\w+)\s*,(?!\s*\1\s*\))", self.text(path)))
        return sorted(names)

    def _makefile(self):
        for root in reversed(self.roots):
            path = os.path.join(root, "Makefile")
            if os.path.isfile(path):
                text = read_bounded(path, _FILE_LIMIT).decode("utf-8", "replace")
                if re.search(r"^PATCHLEVEL\s*=", text, re.M):
                    return text
        raise LayoutExpertError(
            "%s is no kernel header tree: no Makefile with VERSION and PATCHLEVEL" % self.roots[0],
            looked_at=[os.path.join(root, "Makefile") for root in self.roots],
            next_step="give an unpacked headers package, /lib/modules/RELEASE/build, or kernel source",
        )

    def _release(self):
        for path in ("include/generated/utsrelease.h", "include/linux/utsrelease.h"):
            if self._find(path):
                match = re.search(r'#define\s+UTS_RELEASE\s+"([^"]*)"', self.text(path))
                if match:
                    return match.group(1)
        return None


def _folders(path):
    """([flavour's folder, shared folder] or [folder], name of the shared folder or None)."""
    if not os.path.isdir(path):
        raise LayoutExpertError(
            "there is no folder %s" % path,
            next_step="give an unpacked headers package, /lib/modules/RELEASE/build, or kernel source",
        )
    path = os.path.realpath(path)
    makefile = os.path.join(path, "Makefile")
    if os.path.isfile(makefile) and os.path.getsize(makefile) < 4096:
        text = read_bounded(makefile, 4096).decode("utf-8", "replace")
        match = re.search(r"^(?:include\s+(\S+)/Makefile|MAKEARGS := -C (\S+))\s*$", text, re.M)
        if match:
            named = match.group(1) or match.group(2)
            candidates = [os.path.join(os.path.dirname(path), os.path.basename(named))]
            if os.path.isabs(named):  # first as the system has it in which the tree lies
                candidates += [above + named for above in _folders_above(path) if os.path.isdir(above + named)]
            candidates.append(os.path.normpath(os.path.join(path, named)))
            for candidate in candidates:
                if os.path.isdir(candidate):
                    return [path, candidate], os.path.basename(candidate)
            raise LayoutExpertError(
                "%s needs the folder %s" % (path, os.path.basename(named)),
                looked_at=candidates,
                next_step="unpack the package %s beside it" % os.path.basename(named),
            )
    return [path], None


def _folders_above(path):
    while os.path.dirname(path) != path:
        path = os.path.dirname(path)
        yield path.rstrip("/")


def _version(makefile):
    """VERSION.PATCHLEVEL[.SUBLEVEL][EXTRAVERSION] of a kernel's Makefile."""
    parts = dict(re.findall(r"^(VERSION|PATCHLEVEL|SUBLEVEL|EXTRAVERSION)\s*=[ \t]*(\S*)", makefile, re.M))
    version = "%s.%s" % (parts.get("VERSION", ""), parts.get("PATCHLEVEL", ""))
    if parts.get("SUBLEVEL"):
        version += "." + parts["SUBLEVEL"]
    return version + parts.get("EXTRAVERSION", "")


def _numbers(version):
    return tuple(int(number) for number in re.findall(r"\d+", version)[:3])


def _version_header(makefile):
    """linux/version.h: LINUX_VERSION_CODE as the kernel's Makefile computes it, with a sublevel of 255 at most."""
    numbers = dict(re.findall(r"^(VERSION|PATCHLEVEL|SUBLEVEL)\s*=[ \t]*(\d+)", makefile, re.M))
    version, patch_level, sublevel = (int(numbers.get(part, 0)) for part in ("VERSION", "PATCHLEVEL", "SUBLEVEL"))
    code = (version << 16) + (patch_level << 8) + min(sublevel, 255)
    return (
        "#define LINUX_VERSION_CODE %d\n"
        "#define KERNEL_VERSION(a,b,c) (((a) << 16) + ((b) << 8) + ((c) > 255 ? 255 : (c)))\n"
        "#define LINUX_VERSION_MAJOR %d\n#define LINUX_VERSION_PATCHLEVEL %d\n#define LINUX_VERSION_SUBLEVEL %d\n"
    ) % (code, version, patch_level, sublevel)


def _generic_wrappers(tree):
    """{path: text} of the headers that only pass on to include/asm-generic (generic-y, mandatory-y)."""
    wrappers = {}
    for part in ("", "uapi/"):
        arch = "arch/%s/include/%sasm" % (tree.source_arch, part)
        names = _kbuild_lists(tree, arch + "/Kbuild").get("generic-y", [])
        for shared in ("include/%sasm-generic/Kbuild" % part, arch + "/Kbuild"):
            names += _kbuild_lists(tree, shared).get("mandatory-y", [])
        for name in names:
            target = "arch/%s/include/generated/%sasm/%s" % (tree.source_arch, part, name)
            if not tree.has(arch + "/" + name) and not tree.has(target):
                wrappers[target] = "#include <asm-generic/%s>\n" % name
    return wrappers


def _kbuild_lists(tree, path):
    """{variable: [file name]} of a Kbuild file; conditional assignments are taken as made."""
    if not tree.has(path):
        return {}
    from rekall_layout_expert.pre_ast.kbuild import assignments

    return assignments(tree.text(path))
