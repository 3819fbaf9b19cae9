"""Loaders: one rule language a file, each from text to `Rule` with its logic as the predicate tree."""
