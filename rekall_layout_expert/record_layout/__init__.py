"""From the type graph to sizes, alignments and offsets, as GCC lays types out on a target."""
