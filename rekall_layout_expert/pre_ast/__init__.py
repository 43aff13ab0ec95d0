"""The Pre-AST: a kernel's headers for one architecture, prepared once, with every branch of every #if kept."""
