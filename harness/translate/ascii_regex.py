"""Which characters a regular expression stands for in languages that keep to ASCII: of letters, digits, blanks and case they know ASCII's.

This module must never know the language in which the expression is said.
"""

from __future__ import annotations

import re

from harness.logic.regex_tree import LAST_CHARACTER, Chars, Ranges, Regex, Unread, complement, read_regex, union
from harness.translate.refusal import NotExpressible

_DEPTH = 50
"""Groups inside each other: far above any rule's, and within what the engines that are written for take."""

ANYTHING: Ranges = ((0, LAST_CHARACTER),)
NOT_LINE_END = complement(((10, 10),))

_DIGIT: Ranges = ((48, 57),)
_WORD: Ranges = ((48, 57), (65, 90), (95, 95), (97, 122))
_BLANK: Ranges = ((9, 13), (32, 32))
_SHORT = {"d": _DIGIT, "w": _WORD, "s": _BLANK}
_CONTROLS = {"t": 9, "n": 10, "v": 11, "f": 12, "r": 13, "a": 7, "e": 27}
_POSIX: dict[str, Ranges] = {
    "alnum": ((48, 57), (65, 90), (97, 122)),
    "alpha": ((65, 90), (97, 122)),
    "digit": _DIGIT,
    "lower": ((97, 122),),
    "upper": ((65, 90),),
    "space": _BLANK,
    "punct": ((33, 47), (58, 64), (91, 96), (123, 126)),
    "xdigit": ((48, 57), (65, 70), (97, 102)),
    "word": _WORD,
}
_NAMED = re.compile(r"\[:(\^?)(\w+):\]")
_MEMBER = re.compile(r"\\(?:[xu]\{([0-9a-fA-F]{1,6})\}|x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|0([0-7]{0,2})|(.))|[^\\]", re.DOTALL)


def parse_regex(pattern: str, *, cased: bool) -> Regex:
    """The pattern read. Raises `NotExpressible` naming what has no counterpart elsewhere."""
    try:
        read = read_regex(pattern, cased=cased, alphabet=_alphabet)
    except Unread as error:
        raise NotExpressible(f"the regular expression {pattern!r} has {error}") from error
    if read.depth > _DEPTH:
        raise NotExpressible(f"a regular expression is nested more than {_DEPTH} deep")
    return read.tree


def folded(ranges: Ranges) -> Ranges:
    """With the other case of every ASCII letter."""
    more = list(ranges)
    for low, high in ranges:
        for first, last, shift in ((65, 90, 32), (97, 122, -32)):
            if max(low, first) <= min(high, last):
                more.append((max(low, first) + shift, min(high, last) + shift))
    return union(more)


def _alphabet(part: str, flags: frozenset[str]) -> Chars:
    cased = "i" not in flags
    if part == ".":
        return Chars(ranges=ANYTHING if "s" in flags else NOT_LINE_END, cased=True)
    return Chars(ranges=_class(part, cased) if part.startswith("[") else _member(part, 0)[0], cased=cased)


def _class(part: str, cased: bool) -> Ranges:
    negative = part.startswith("[^")
    ranges: list[tuple[int, int]] = []
    at = first = 1 + negative
    while at == first or part[at] != "]":
        if (named := _NAMED.match(part, at)) is not None:
            if named[2] not in _POSIX:
                raise Unread(f"the class {named[0]}")
            ranges.extend(complement(_POSIX[named[2]]) if named[1] else _POSIX[named[2]])
            at = named.end()
            continue
        low, at = _class_member(part, at)
        if len(low) == 1 and low[0][0] == low[0][1] and part[at] == "-" and part[at + 1] != "]":
            if _NAMED.match(part, at + 1):
                raise Unread("a range without an end")
            high, at = _class_member(part, at + 1)
            if len(high) != 1 or high[0][0] != high[0][1] or high[0][0] < low[0][0]:
                raise Unread("a range without an end")
            low = ((low[0][0], high[0][0]),)
        ranges.extend(low)
    found = union(ranges) if cased else folded(union(ranges))
    return complement(found) if negative else found


def _class_member(part: str, at: int) -> tuple[Ranges, int]:
    return (((8, 8),), at + 2) if part.startswith(r"\b", at) else _member(part, at)


def _member(part: str, at: int) -> tuple[Ranges, int]:
    """What a character or an escape stands for, and where what follows it begins."""
    found = _MEMBER.match(part, at)
    assert found is not None  # the reader ends no part in a backslash
    code = next((int(each, 16) for each in found.group(1, 2, 3) if each), None)
    if found[4] is not None:
        code = int(found[4] or "0", 8)
    letter = found[5]
    if letter is None:
        code = ord(found[0]) if code is None else code
        if code > LAST_CHARACTER:
            raise Unread("a character by a code that is none")
        return ((code, code),), found.end()
    if letter.lower() in _SHORT:
        short = _SHORT[letter.lower()]
        return (short if letter in _SHORT else complement(short)), found.end()
    if letter in "xu":
        raise Unread("a character by a code that is none")
    if letter.isascii() and letter.isalnum() and letter not in _CONTROLS:
        raise Unread(f"the escape \\{letter}")
    code = _CONTROLS.get(letter, ord(letter))
    return ((code, code),), found.end()
