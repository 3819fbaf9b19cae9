"""The text that whatever a regular expression finds must hold: read off its plain stretches, outside of every group and class.

It understands few things and gives up on all others: what it tells is certain, what it does not tell costs time alone. It must never know
which engine searches, but for its syntax (`regex`, a superset of Python's).
"""

from __future__ import annotations

import re

_FLAGS = re.compile(r"\(\?[ims]+\)")
_COUNT = re.compile(r"\{(\d+)(?:,\d*)?\}")
_CLASSES = "dDsSwWbBAZntrfv"
"""The letters that after a backslash are one character, or a place between two."""


class _GivenUp(Exception):
    """The pattern has a part whose meaning is not known here."""


def plain_text(pattern: str) -> str:
    """The longest plain text that every match holds, letters' case as the pattern has it; empty where none is certain."""
    try:
        return max(_stretches(pattern), key=len)
    except _GivenUp:
        return ""


def _stretches(pattern: str) -> list[str]:
    """The pattern's plain texts. Raises `_GivenUp`."""
    found = [""]
    at, plain = 0, False  # plain: what stands before is a character of the last stretch, which a quantifier may take back
    while at < len(pattern):
        character = pattern[at]
        if character in "*?+{":
            count = _COUNT.match(pattern, at)
            if character == "{" and count is None:
                raise _GivenUp  # a plain brace, or the engine's own way to allow errors
            if plain and (character in "*?" or (count is not None and int(count[1]) == 0)):
                found[-1] = found[-1][:-1]
            found.append("")
            at, plain = count.end() if count is not None else at + 1, False
            continue
        literal = ""
        if character == "\\":
            literal = pattern[at + 1 : at + 2]
            if not literal or (literal.isalnum() and literal not in _CLASSES):
                raise _GivenUp  # a reference, a property, a character by its number
            literal = "" if literal.isalnum() else literal
            at += 2
        elif character == "[":
            at = _after_class(pattern, at)
        elif character == "(":
            at = _after_group(pattern, at)
        elif character in "|)":
            raise _GivenUp
        else:
            literal = "" if character in ".^$" else character
            at += 1
        plain = bool(literal)
        if plain:
            found[-1] += literal
        else:
            found.append("")
    return found


def _after_group(pattern: str, start: int) -> int:
    """Where what follows the group begins."""
    if (flags := _FLAGS.match(pattern, start)) is not None:
        return flags.end()
    if pattern.startswith("(?", start) and pattern[start + 2 : start + 3] not in tuple(":=!<>P"):
        raise _GivenUp  # other flags change how everything is read; a comment may hold anything
    at = start + 1
    while at < len(pattern) and pattern[at] != ")":
        match pattern[at]:
            case "\\":
                at += 2
            case "[":
                at = _after_class(pattern, at)
            case "(":
                at = _after_group(pattern, at)
            case _:
                at += 1
    if at >= len(pattern):
        raise _GivenUp
    return at + 1


def _after_class(pattern: str, start: int) -> int:
    at = start + 1
    if pattern.startswith("^", at):
        at += 1
    if pattern.startswith("]", at):
        at += 1
    while at < len(pattern) and pattern[at] != "]":
        if pattern[at] == "[":
            raise _GivenUp  # a class of a class's own name
        at += 2 if pattern[at] == "\\" else 1
    if at >= len(pattern):
        raise _GivenUp
    return at + 1
