"""Profiles: layouts, symbols and configuration in the form that Rekall loads."""
