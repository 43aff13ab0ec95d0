"""What Rekall sees of Layout Expert. Rekall imports this package at its start, by its entry point.

Importing a module registers its classes with Rekall: address spaces, classes for structs, a
detection method, a plugin. All that makes a profile is imported only when one is made.
"""
from rekall_layout_expert.plugin import address_spaces, detection, layout_expert, profile_section  # noqa: F401
