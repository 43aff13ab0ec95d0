"""Headers as they lie in this machine's directories, for any C text."""

import os

from rekall_layout_expert.files import read_bounded
from rekall_layout_expert.pre_ast.compilation import compile_program
from rekall_layout_expert.preprocessor.headers import Headers

_SIZE_LIMIT = 64 << 20


class DirectoryHeaders(Headers):
    """Headers in directories of this machine; `main` is a text of its own, under the path "<source>"."""

    MAIN = "<source>"

    def __init__(self, main, search_path):
        super().__init__(os.fspath(path) for path in search_path)
        self._programs = {self.MAIN: compile_program(main, self.MAIN)}
        self.holds_pragmas = "_Pragma" in main

    def exists(self, path):
        return path in self._programs or os.path.isfile(path)

    def program(self, path):
        if path not in self._programs:
            text = read_bounded(path, _SIZE_LIMIT).decode("utf-8", "surrogateescape")
            self._programs[path] = compile_program(text, path)
            self.holds_pragmas |= "_Pragma" in text
        return self._programs[path]
