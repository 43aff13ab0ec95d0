"""From a program with every branch kept to one translation unit: macro table, expansion, #if, generated headers."""
