"""The text of a profile: what `json.dumps` makes of it, to the byte.

Nine tenths of it are the kernel's symbols, plain names with plain numbers.  One formatting of all of them takes half the time
of an encoder, which looks at each name for what JSON must escape.
"""

import json
from itertools import chain


def profile_json(profile):
    """The JSON (str) of a profile, as Rekall's repositories hold it: without a space."""
    sections = ["%s:%s" % (json.dumps(name), _section(content)) for name, content in profile.items()]
    return "{%s}" % ",".join(sections)


def _section(content):
    if set(map(type, content.values())) == {int}:
        names = "".join(content)
        if len(json.dumps(names)) == len(names) + len('""'):  # nothing is escaped
            template = ",".join(['"%s":%d'] * len(content))
            return "{%s}" % (template % tuple(chain.from_iterable(content.items())))
    return json.dumps(content, separators=(",", ":"))
