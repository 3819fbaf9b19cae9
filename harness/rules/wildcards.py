"""Patterns of `*` and `?` as the simplest operation of the tree that says the same: it is read by people, too, and answered faster.

This module must never know how a rule language writes such patterns: it takes them as `Op.LIKE` has them.
"""

from __future__ import annotations

import re

from harness.model.tree import Op

_PARTS = re.compile(r"\\[*?\\]|.", re.DOTALL)


def parts(pattern: str) -> list[str]:
    """The pattern's wildcards, and its characters with the backslash that makes a wildcard a character."""
    return _PARTS.findall(pattern)


def literal(text: str) -> str:
    """A pattern that fits this text alone."""
    return re.sub(r"([*?\\])", r"\\\1", text)


def simplest(pattern: str) -> tuple[Op, str]:
    """The operation, and the value that it takes."""
    found = parts(pattern)
    front, back = found[:1] == ["*"], found[1:] != [] and found[-1] == "*"
    core = found[front : len(found) - back]
    if "*" in core or "?" in core or (found and not core):
        return Op.LIKE, pattern
    op = {(False, False): Op.EQUALS, (False, True): Op.STARTS_WITH, (True, False): Op.ENDS_WITH, (True, True): Op.CONTAINS}
    return op[front, back], "".join(part[-1] for part in core)
