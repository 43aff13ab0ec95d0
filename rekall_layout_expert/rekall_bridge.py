"""Runs an unmodified Rekall 1.7.2rc1 (of 2017) on Python 3.9 to 3.13.

The idea: Rekall's modules, and no others, are executed with an ``import`` statement of their own. Python documents that
exec() runs code with the builtins it finds in the code's globals; Rekall's loader below puts a copy there in which
``__import__`` is ours. What a Rekall module imports is then, by the tables of this file,

  * today's module with the names that Rekall still knows (ADAPTED), or
  * the package itself, and if it is not installed, a placeholder that can be imported, subclassed and caught, but not
    used: the first call says which package is missing (OPTIONAL), or
  * anything else, as ever.

So nothing is patched and nothing is put into sys.modules: to the rest of the process Python stays what it is.

rekall_layout_expert.pth makes each start of Python call install(), which costs one finder on sys.meta_path; everything
else waits for the first import of Rekall.
"""
import builtins
import sys
import warnings
from importlib.machinery import PathFinder, SourceFileLoader
from types import ModuleType, SimpleNamespace

REKALL = frozenset(("rekall", "rekall_lib", "efilter"))


# -- Names that Rekall imports and that Python or a package has dropped since ------------------------------------------


def _with_names(module, **names):
    """A copy of `module` that has `names` too."""
    copy = ModuleType(module.__name__)
    copy.__dict__.update(module.__dict__, **names)
    return copy


def _array(_importer):
    import array

    class Array(array.array):
        tostring = array.array.tobytes
        fromstring = array.array.frombytes

        def __getitem__(self, index):
            found = super().__getitem__(index)
            return Array(self.typecode, found) if isinstance(index, slice) else found

    return _with_names(array, array=Array)


def _collections(_importer):
    import collections.abc

    return _with_names(collections, Iterable=collections.abc.Iterable)


def _distutils(_importer):
    import shutil

    return SimpleNamespace(spawn=SimpleNamespace(find_executable=shutil.which))


def _inspect(_importer):
    import inspect

    return _with_names(inspect, getargspec=lambda function: inspect.getfullargspec(function)[:4])


def _pkg_resources(_importer):
    from importlib import metadata

    class DistributionNotFound(Exception):
        pass

    def iter_entry_points(group, name=None):
        found = metadata.entry_points()
        in_group = found.select(group=group) if hasattr(found, "select") else found.get(group, ())
        return [entry_point for entry_point in in_group if name in (None, entry_point.name)]

    def resource_filename(requirement, name):
        raise DistributionNotFound(requirement)

    return SimpleNamespace(
        DistributionNotFound=DistributionNotFound, Requirement=SimpleNamespace(parse=str), WorkingSet=SimpleNamespace,
        iter_entry_points=iter_entry_points, resource_filename=resource_filename)


def _py3compat(_importer):
    return SimpleNamespace(itervalues=lambda mapping: iter(mapping.values()))


def _sortedcontainers(_importer):
    import sortedcontainers

    class SortedDict(sortedcontainers.SortedDict):
        def keys(self):
            return list(self.irange())

        def values(self):
            return [self[key] for key in self.irange()]

        def items(self):
            return [(key, self[key]) for key in self.irange()]

        @property
        def iloc(self):
            return sortedcontainers.SortedKeysView(self)

    return _with_names(sortedcontainers, SortedDict=SortedDict)


def _subprocess(importer):
    import subprocess

    def no_git(*_args, **_options):
        raise OSError("an installed Rekall is not in a git repository of its own")

    return _with_names(subprocess, check_output=no_git) if importer.endswith("._version") else subprocess


def _yara(_importer):
    try:
        import yara
    except Exception as error:  # It may be of another Python, or lack a library.
        return _absent("yara", reason=str(error))
    if not hasattr(yara, "StringMatch"):
        return yara

    class Rules:
        def __init__(self, rules):
            self._rules = rules

        def match(self, **arguments):
            return [SimpleNamespace(
                rule=match.rule, namespace=match.namespace, tags=match.tags, meta=match.meta,
                strings=[(instance.offset, string.identifier, instance.matched_data) for string in match.strings
                         for instance in string.instances]) for match in self._rules.match(**arguments)]

    return _with_names(yara, compile=lambda **arguments: Rules(yara.compile(**arguments)))


ADAPTED = {  # module: (what takes its place, why)
    "array": (_array, "array.tostring() and fromstring() went in 3.9; ntfs calls them while it looks at any image"),
    "collections": (_collections, "collections.Iterable went to collections.abc in 3.10"),
    "distutils": (_distutils, "went in 3.12; osquery wants its find_executable()"),
    "elftools.common.py3compat": (_py3compat, "went in pyelftools 0.30; dwarfparser wants its itervalues()"),
    "inspect": (_inspect, "getargspec() went in 3.11; obj.Curry calls it"),
    "pkg_resources": (_pkg_resources, "went in setuptools 81, and would refuse to load Rekall's plugins because of its "
                      "pins of 2017. Data files: Rekall itself falls back to sys.prefix, where pip puts them"),
    "sortedcontainers": (_sortedcontainers, "1.5.7, which Rekall pins, needs Python < 3.10; in 2.x the views iterate over "
                         "the dictionary, and Rekall's SortedCollection over the view of its values: without end"),
    "subprocess": (_subprocess, "Rekall asks git for its version at each start, three processes, and where our virtual "
                   "environment lies inside a git repository it would take that one's"),
    "yara": (_yara, "since 4.3 a match's strings are objects, and no tuples any more"),
}


# -- Packages that Rekall imports at start-up, that today's machines cannot install, and that Linux analysis never calls


OPTIONAL = {  # package: (what Rekall uses it for, what to do)
    "artifacts": ("to collect forensic artifacts", "pip install artifacts"),
    "pyaff4": ("to read and write AFF4 images", "its own requirements cannot be installed on today's Pythons: convert "
               "the image to a raw or an ELF image with another tool"),
    "pytsk3": ("to read the file systems in disk images", "pip install pytsk3"),
    "yara": ("to search with YARA rules", "pip install yara-python"),
}

# Modules that Rekall itself does without if importing them raises ImportError. Today's versions of what they use may be
# there and fail in other ways.
DISPENSABLE = frozenset((
    "rekall.ipython_support", "rekall.plugins.addrspaces.aff4", "rekall.plugins.common.efilter_plugins.ipython",
    "rekall.plugins.renderers.xls"))


class _Absent(type):
    """The type of the placeholders. They are classes, and exceptions, because Rekall subclasses and catches them."""

    def __getattr__(cls, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return _absent("%s.%s" % (cls.__name__, name), cls.reason)

    def __call__(cls, *_args, **_options):
        from rekall.plugin import PluginError  # Rekall shows it as one line, without a traceback.

        use, what_to_do = OPTIONAL[cls.package]
        raise PluginError("Rekall needs the Python package %s %s, and cannot import it (%s). What to do: %s."
                          % (cls.package, use, cls.reason, what_to_do))

    def __iter__(cls):  # Rekall takes the lists of `artifacts` and measures the names of pyaff4 while it is imported.
        return iter(())

    def __len__(cls):
        return 0


def _absent(name, reason):
    return _Absent(name, (Exception,), {"package": name.partition(".")[0], "reason": reason})


# -- The import statement of Rekall's modules --------------------------------------------------------------------------


def _import(name, globals=None, locals=None, fromlist=(), level=0):
    importer = (globals or {}).get("__name__", "")
    if level == 0 and name in ADAPTED:
        return ADAPTED[name][0](importer)
    try:
        return builtins.__import__(name, globals, locals, fromlist, level)
    except Exception as error:  # A package that is there may fail in any way on a Python it was not written for.
        package = name.partition(".")[0]
        if level != 0 or package not in OPTIONAL or importer in DISPENSABLE:
            raise
        return _absent(name if fromlist else package, reason=str(error))


# -- What is put right once a module of Rekall's has been executed -----------------------------------------------------


def _without_disk_images(tsk):
    if isinstance(tsk.pytsk3, _Absent):
        detector = tsk.TSKDetector
        del detector.classes[detector.__name__]
        detector.classes_by_name[detector.name].remove(detector)


def _with_booleans(native_types):
    native_types.obj.Bool.__str__ = lambda self: str(bool(self.v()))
    native_types.obj.Bool.__bool__ = lambda self: bool(self.v())  # which is what tables show
    for types in vars(native_types).values():
        if isinstance(types, dict) and "bool" in types:
            types["bool"] = native_types.obj.Curry(native_types.obj.Bool, type_name="bool", format_string="?")


def _with_terminals(check_tty):
    plugin = check_tty.CheckTTY

    def is_active(cls, session):
        return super(plugin, cls).is_active(session) and "ops" in session.profile.Object("tty_ldisc").members

    plugin.is_active = classmethod(is_active)


def _without_unwritable_directory(cache):
    make, told = cache.Factory, set()

    def factory(session, cache_type):
        try:
            return make(session, cache_type)
        except cache.io_manager.IOManagerError as error:
            reason = str(error)
        if reason not in told:
            told.add(reason)
            session.logging.warning("Layout Expert: %s; nothing is kept for the next start", reason)
        return cache.TimedCache(session) if cache_type == "timed" else cache.Cache(session)

    cache.Factory = factory


def _with_files(json_renderer):
    def open_(self, directory=None, filename=None, mode="rb"):
        from rekall.ui import text

        return text.TextRenderer.open(self, directory=directory, filename=filename, mode=mode)

    json_renderer.JsonRenderer.open = open_


def _with_a_console(ipython):
    def interact(session):
        from rekall_layout_expert.plugin import console

        console.interact(session)

    ipython.NativePythonSupport = interact


def _with_layout_expert(_plugins):
    import rekall_layout_expert.plugin  # noqa: F401


AFTERWARDS = {  # module: (what is done then, why)
    "rekall.cache": (_without_unwritable_directory, "a home directory that cannot be written, as on a read-only file "
                     "system, would end each start with a traceback; a cache in memory does"),
    "rekall.plugins": (_with_layout_expert, "only the command line asks for entry points; whoever writes `from rekall "
                       "import session, plugins` is to have live analysis too"),
    "rekall.plugins.overlays.native_types": (_with_booleans, "it reads a bool as a character, which since Python 3 is a "
                                             "string of bytes, and true: each bool was, and is written so"),
    "rekall.plugins.linux.check_tty": (_with_terminals, "it asks whether a member of no object is there by whether it is "
                                       "true, which since Python 3 a NULL pointer is not: check_ttys was never active"),
    "rekall.plugins.tools.ipython": (_with_a_console, "without IPython its interactive session does not run the plugin "
                                     "whose name is typed"),
    "rekall.ui.json_renderer": (_with_files, "plugins that write files, as moddump, would end with a traceback where "
                                "--format is json or data"),
    "rekall.plugins.filesystems.tsk": (_without_disk_images, "the detection of profiles asks its TSKDetector about every "
                                       "image, and without pytsk3 that would end the detection"),
}


class _Loader(SourceFileLoader):
    def source_to_code(self, data, path, **options):
        with warnings.catch_warnings():
            # Invalid escapes and `is` with literals: right in 2017, and nothing a user could mend.
            warnings.simplefilter("ignore")
            return super().source_to_code(data, path, **options)

    def exec_module(self, module):
        module.__builtins__ = {**vars(builtins), "__import__": _import}
        try:
            super().exec_module(module)
        except Exception as error:
            if module.__name__ in DISPENSABLE:
                raise ImportError(str(error)) from error
            raise
        if module.__name__ in AFTERWARDS:
            AFTERWARDS[module.__name__][0](module)


class _Finder:
    """Finds Rekall's modules where Python does, and has them loaded by _Loader."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] not in REKALL:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _Loader(spec.loader.name, spec.loader.path)
        return spec


def install():
    """Makes this process able to import Rekall. Safe to call again."""
    if _Finder not in sys.meta_path:
        sys.meta_path.insert(0, _Finder)
