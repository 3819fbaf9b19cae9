"""Rules in the languages of other tools. A module a family of targets; what cannot be said is refused by name, never left out silently.

Nothing here touches a network, and no rule is judged by a translation of it: matching is `harness.logic`'s.
"""
