"""Layout Expert for Rekall: predicts the memory layout of a Linux kernel from its headers and configuration."""
