"""Holding a finished profile against what the kernel says of itself."""
