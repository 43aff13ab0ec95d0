"""What the GNU C Library keeps in a process's memory: which version it is (version), how its malloc lays out what it
knows of the heap (layouts, from the declarations in malloc.h), and the heap itself (heap).

It reads memory by a function that is given, and knows neither Rekall nor the kernel.
"""
