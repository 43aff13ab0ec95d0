"""Self-knowledge: a struct in pahole's form, and for each member the text, the conditions and the macros that put it there.

Nothing of this costs anything when a profile is made: `tracing` walks and parses once more, with tokens that know where
they were written; `records` turns the layout and those tokens into rows, `listing` prints rows, `explanation` answers
questions by name, and `stored` makes rows of a profile, where no headers are at hand and conditions are not known.
"""
