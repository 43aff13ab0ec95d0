"""Reads every struct's layout from an object file's DWARF with pyelftools: the road of Rekall's convert_profile.

    python -m benchmarks.dwarf_road OBJECT
"""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from dwarf import read_records  # noqa: E402


def main():
    records = read_records(sys.argv[1])
    print("%d records" % len(records))


if __name__ == "__main__":
    main()
