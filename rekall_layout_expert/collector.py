r"""Python's cycle collector, held off while large structures are built.

A Pre-AST and a type graph are hundreds of thousands of containers that all live until the profile is made; the collector
walks them again and again as they grow, and finds nothing.  It costs a third of the time of a profile.
"""

import contextlib
import gc


@contextlib.contextmanager
def held_off():
    """No cycle is collected inside; a caller that has switched the collector off finds it so again."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            # Through the permanent generation into the oldest one: what was built is not walked as young, either.
            gc.freeze()
            gc.unfreeze()
            gc.enable()
