"""Layout Expert for Rekall: predicts the memory layout of a Linux kernel from its headers and its configuration.

The public interface; each function is loaded when it is first asked for, so that importing the package costs nothing.
"""

_PUBLIC = {
    "LayoutExpertError": "errors",
    "build_pre_ast": "pre_ast.builder",
    "read_pre_ast": "pre_ast.storage",
    "write_pre_ast": "pre_ast.storage",
    "make_profile": "profile.profile",
    "preprocess": "preprocessor.text",
    "layout": "text_layout",
}
__all__ = sorted(_PUBLIC)


def __getattr__(name):
    if name not in _PUBLIC:
        raise AttributeError("module %r has no attribute %r" % (__name__, name))
    from importlib import import_module

    return getattr(import_module("%s.%s" % (__name__, _PUBLIC[name])), name)
