"""A rule's regular expression in the words that RE2 (DuckDB) and Java's engine (Spark) read as the matcher's own engine does.

Engines agree about concatenation, alternatives, groups and repetition, and about whether there is a match at all; they do not about which
characters a class, a dot or a letter without regard to case stands for. So each part that matches one character is asked of the matcher's
engine, over all characters, and written down as ranges: `\\w` becomes what it is. What is left over (look-arounds, back-references,
possessive and atomic groups, a word boundary or a line's end in the middle) is refused by name, because RE2 has no such thing or means
something else.

This module must never know a rule language, an engine's SQL or an event.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from re import compile as pattern_of

from harness.logic.columns import STAND_IN
from harness.logic.match import BadValue, characters_matched
from harness.logic.regex_tree import REPEATS, Ahead, Chain, Chars, Choice, Edge, Ranges, Regex, Repeat, Unread, complement, read_regex

SIZE = 100_000
"""The most ranges of characters, repetitions counted as often as they are; RE2's own limit of memory is some way above it."""


class NotPortable(ValueError):
    """The engines do not agree on this expression, or not all have what it asks for. The text says what that is."""


def portable(pattern: str, *, cased: bool) -> str:
    """An expression that both engines find in a text exactly where the matcher's finds `pattern`. Raises `NotPortable`.

    `pattern` must be one that the matcher's engine takes.
    """
    try:
        read = read_regex(pattern, cased=cased, alphabet=_alphabet)
    except Unread as error:
        raise NotPortable(str(error)) from error
    if not _HEAD.fullmatch(read.flags) or not all(map(_SWITCH.fullmatch, read.switches)):
        raise NotPortable("flags within a regular expression")
    if _size(read.tree) > SIZE:
        raise NotPortable("a regular expression that is too large for RE2")
    return _written(read.tree, first=True, last=True, repeats=1)


_HEAD = pattern_of("[aisu]*")
_SWITCH = pattern_of(r"\(\?[is]+:")


# --- which characters -----------------------------------------------------------------------------------------------------

_ASKED = pattern_of(r"\\(?:x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[pP]\{[^}]*\}|N\{[^}]*\}|[dDwWsStnrfva]|[^a-zA-Z0-9])", 16)
"""The escapes that the engine reads as one character, in all its versions alike."""


def _alphabet(part: str, flags: frozenset[str]) -> Chars:
    if part.startswith("\\") and not _ASKED.fullmatch(part):
        raise Unread("a character in octal" if part.startswith("\\0") else "an escape of the matcher's own engine")
    return Chars(ranges=_characters(part, "".join(sorted(flags))), cased=True)


@lru_cache(maxsize=1)
def _every_character() -> str:
    return "".join(map(chr, (*range(0xD800), *range(0xE000, 0x110000))))


@lru_cache(maxsize=1)
def _with_case() -> str:
    """The characters that some other may stand for where case does not count."""
    return "".join(each for each in _every_character() if each.lower() != each or each.upper() != each or each.casefold() != each)


_HALVES = f"\ud800{STAND_IN}\udbff{STAND_IN}\udfff{STAND_IN}\udc00"
"""Halves of surrogate pairs, none beside its other half, and what stands for them in a table: alike to any expression that is said."""


@lru_cache(maxsize=4096)
def _characters(part: str, flags: str) -> Ranges:
    """The characters that a part of one character matches, as the matcher's engine says. Raises `NotPortable`."""
    try:
        # A plain letter or sign matches itself and what differs in case alone: no need to ask about all others.
        searched = _with_case() + part if len(part) == 1 and part != "." else _every_character()
        whole = f"(?{flags}){part}" if flags else part
        found = sorted(map(ord, characters_matched(whole, searched)))
        halves = characters_matched(whole, _HALVES)
    except BadValue as error:
        raise NotPortable(f"a class that cannot be read by itself: {error}") from error
    if len(halves) not in (0, len(set(_HALVES))):
        raise NotPortable("a regular expression that tells halves of characters apart")
    return tuple(_ranges(found))


def _ranges(points: Sequence[int]) -> Iterator[tuple[int, int]]:
    start = last = -2
    for point in points:
        if point != last + 1 and (last, point) != (0xD7FF, 0xE000):
            if start >= 0:
                yield start, last
            start = point
        last = point
    if start >= 0:
        yield start, last


_WORD = r"\w"


def _is_word(part: Regex | None) -> bool | None:
    """Whether what a part matches is a letter of a word, or is none; None where it may be either."""
    if not isinstance(part, Chars):
        return None
    word = _word()
    inside = [any(low <= start and end <= high for low, high in word) for start, end in part.ranges]
    if all(inside):
        return True
    return None if any(not (end < low or high < start) for start, end in part.ranges for low, high in word) else False


# --- writing --------------------------------------------------------------------------------------------------------------


def _size(part: Regex) -> int:
    match part:
        case Chars(ranges=ranges):
            return min(len(ranges), len(complement(ranges))) + 1
        case Edge(kind=kind):
            return len(_word()) if kind == "b" else 1
        case Chain(items=items) | Choice(items=items):
            return 1 + sum(_size(each) for each in items)
        case Repeat(item=item, least=least, most=most):
            return _size(item) * max(1, most or least)
        case Ahead(item=item):
            return _size(item)


def _written(part: Regex, *, first: bool, last: bool, repeats: int) -> str:
    """`first` and `last`: nothing of the expression stands before or after this part."""
    match part:
        case Chars(ranges=ranges):
            return _class(ranges)
        case Edge(kind="^"):
            return r"\A"
        case Edge(kind="Z"):
            return r"\z"
        case Edge(kind="$"):
            if not last:
                raise NotPortable("a line's end in the middle of a regular expression")
            return r"\n?\z"
        case Edge():
            raise NotPortable("a word boundary in the middle of a regular expression")
        case Ahead():
            raise NotPortable("a look-around")
        case Chain(items=items):
            return "".join(_in_row(items, number, first, last, repeats) for number in range(len(items)))
        case Choice(items=items):
            return "(?:" + "|".join(_written(each, first=first, last=last, repeats=repeats) for each in items) + ")"
        case Repeat(item=item, least=least, most=most):
            inner = item.items[0] if isinstance(item, Chain) and len(item.items) == 1 else item
            if isinstance(inner, Edge):
                raise NotPortable("the repetition of a place between characters")
            once = most == 1
            repeats *= max(1, most or least)
            if repeats > REPEATS:
                raise NotPortable(f"more than {REPEATS} repetitions in a regular expression")
            text = _written(inner, first=first and once, last=last and once, repeats=repeats)
            return (text if isinstance(inner, Chars) else f"(?:{text})") + _count(least, most)


def _in_row(parts: tuple[Regex, ...], number: int, first: bool, last: bool, repeats: int) -> str:
    part = parts[number]
    first, last = first and number == 0, last and number == len(parts) - 1
    if part != Edge(kind="b"):
        return _written(part, first=first, last=last, repeats=repeats)
    before = _is_word(parts[number - 1]) if number else None
    after = _is_word(parts[number + 1]) if number + 1 < len(parts) else None
    # At either end of the whole, what stands beyond may be eaten: nothing else of the expression asks for it.
    if last and before is not None:
        return rf"(?:{_class(complement(_word()))}|\z)" if before else _class(_word())
    if first and after is not None:
        return rf"(?:{_class(complement(_word()))}|\A)" if after else _class(_word())
    if before is not None and after is not None and before != after:
        return ""
    raise NotPortable("a word boundary in the middle of a regular expression")


def _word() -> Ranges:
    return _characters(_WORD, "")


def _count(least: int, most: int | None) -> str:
    match least, most:
        case 0, None:
            return "*"
        case 1, None:
            return "+"
        case 0, 1:
            return "?"
        case _, None:
            return f"{{{least},}}"
        case _:
            return f"{{{least}}}" if least == most else f"{{{least},{most}}}"


def _class(ranges: Ranges) -> str:
    if not ranges:
        raise NotPortable("a class of no character")
    if len(ranges) == 1 and ranges[0][0] == ranges[0][1]:
        return _character(ranges[0][0])
    others = complement(ranges)
    if not others:
        return r"[\x{0}-\x{10ffff}]"
    sign, shown = ("^", others) if len(others) < len(ranges) else ("", ranges)
    return f"[{sign}{''.join(_character(low) + (f'-{_character(high)}' if high > low else '') for low, high in shown)}]"


def _character(point: int) -> str:
    """A letter or digit of ASCII as it is; of other signs of ASCII the number, which no engine takes for syntax."""
    character = chr(point)
    return character if character.isascii() and character.isalnum() else rf"\x{{{point:x}}}"
