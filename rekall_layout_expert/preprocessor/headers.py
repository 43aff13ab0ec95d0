r"""Where #include looks: the search of GCC's "Search Path" over whatever holds the files.

A quoted name is first looked for beside the file that includes it, then, like one in angle brackets, along the search
path; #include_next goes on behind the place where the including file was found.  A name is never looked for anywhere
else: a header missing from a kernel's tree must not be found on the host.
"""

import posixpath

from rekall_layout_expert.errors import LayoutExpertError


class Headers:
    """Files by path, each as a program (see `pre_ast.program`).

    search_path: directories, in order; holds_pragmas: some text may hold _Pragma without being marked EAGER; answers,
    tokens: what is known of the conditions in them (see `conditions`), and of their texts.
    """

    holds_pragmas = False

    def __init__(self, search_path):
        self.search_path = tuple(search_path)
        self.answers = {}
        self.tokens = {}

    def exists(self, path):
        """Whether there is a file of that path."""
        raise NotImplementedError

    def program(self, path):
        """The program of that file."""
        raise NotImplementedError

    def find(self, kind, spelled, including, place=-1):
        """(path, place) of the file that an #include means, or None.

        kind: '"' or '<', perhaps behind "next" or "import"; including: the path of the including file; place: where on the search path
        that one was found, -1 for elsewhere.
        """
        if posixpath.isabs(spelled):
            return (spelled, -1) if self.exists(spelled) else None
        first = place + 1 if kind.startswith("next") else 0
        if kind[-1] == '"' and not kind.startswith("next"):
            path = posixpath.normpath(posixpath.join(posixpath.dirname(including), spelled))
            if self.exists(path):
                return path, -1
        for number in range(first, len(self.search_path)):
            path = posixpath.normpath(posixpath.join(self.search_path[number], spelled))
            if self.exists(path):
                return path, number
        return None


class UnchangingHeaders(Headers):
    """Headers of which none comes or goes: what an #include means is looked up once.

    meant: what was looked up before, on the same search path.
    """

    def __init__(self, search_path, meant=None):
        super().__init__(search_path)
        self._meant = {} if meant is None else meant

    def find(self, kind, spelled, including, place=-1):
        key = (kind, spelled, including.rpartition("/")[0] if kind in ('"', 'import"') else place if "next" in kind else None)
        if key not in self._meant:
            self._meant[key] = super().find(kind, spelled, including, place)
        return self._meant[key]


def missing(spelled, including, search_path):
    """The error for an #include whose file is nowhere."""
    return LayoutExpertError(
        "%s includes %s, which is not there" % (including, spelled),
        looked_at=search_path,
        next_step="use the complete headers package or source tree of the kernel",
    )
