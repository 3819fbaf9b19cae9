"""How large does a regular expression become, and how deep is it? Told before an engine compiles it.

An engine writes fixed repeats out and calls itself for every group: `((x{200}){200}){200}` takes its memory, and ten thousand brackets its
stack, before any time limit counts. It must never know an engine.
"""

from __future__ import annotations

import re

SIZE = 100_000
"""The most characters that an expression may stand for once its repeats are written out at their least."""

DEPTH = 100
"""The most groups that may contain each other."""

_TOKEN = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\{(\d{1,9})(?:,\d*)?\}|[()|]|.", re.DOTALL)


def too_large(pattern: str) -> str:
    """Why this expression is not compiled; empty where it may be. It need not be a correct one."""
    if len(pattern) > SIZE:
        return f"it is longer than {SIZE} characters"
    outer: list[tuple[int, int]] = []
    total = last = 0  # of the group under way, and of the item in it that a repeat would be about
    for token in _TOKEN.finditer(pattern):
        text = token[0]
        if text == "(":
            outer.append((total, last))
            total = last = 0
            if len(outer) > DEPTH:
                return f"its groups are nested deeper than {DEPTH} levels"
        elif text == ")" and outer:
            inside = total
            total, _ = outer.pop()
            total, last = total + inside, inside
        elif token[1]:
            grown = last * int(token[1])
            total, last = total - last + max(grown, last), max(grown, last)
        else:
            total, last = total + 1, 1
        if total > SIZE:
            return f"written out it has more than {SIZE} characters"
    return ""
