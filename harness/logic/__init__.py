"""Readings of the predicate tree: does it match, what killed it, what does it need. Pure functions over values; no I/O."""
