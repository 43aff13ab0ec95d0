"""From the tokens of a declaration to a graph of types, unmeasured."""
