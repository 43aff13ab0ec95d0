"""The version of the Layout Expert, for the package's metadata and for the keys of what it stores."""

VERSION = "0.3.0"
