"""Runs `rekall --help`, with the Layout Expert's plugin or with an empty module in its place: the price of the plugin.

    python -m benchmarks.rekall_help with|without

Rekall itself needs the bridge on today's Pythons, so that is there both times.
"""
import sys
from types import ModuleType

PLUGIN = "rekall_layout_expert.plugin"


def main():
    if sys.argv[1] == "without":
        sys.modules[PLUGIN] = ModuleType(PLUGIN)
    from rekall import rekal

    if PLUGIN not in sys.modules:
        sys.exit("the plugin is not installed")
    sys.argv[:] = ["rekall", "--help"]
    try:
        rekal.main()
    except SystemExit:      # of whatever code: Rekall's help ends with 255
        pass


if __name__ == "__main__":
    main()
