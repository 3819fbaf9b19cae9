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
from dataclasses import dataclass
from functools import lru_cache
from re import compile as pattern_of
from typing import NoReturn

from harness.logic.columns import STAND_IN
from harness.logic.match import BadValue, characters_matched

REPEATS = 1000
"""The most repetitions that RE2 takes, those of nested groups multiplied."""

SIZE = 100_000
"""The most ranges of characters, repetitions counted as often as they are; RE2's own limit of memory is some way above it."""


class NotPortable(ValueError):
    """The engines do not agree on this expression, or not all have what it asks for. The text says what that is."""


def portable(pattern: str, *, cased: bool) -> str:
    """An expression that both engines find in a text exactly where the matcher's finds `pattern`. Raises `NotPortable`.

    `pattern` must be one that the matcher's engine takes.
    """
    tree = _Reader(pattern, cased).read()
    if _size(tree) > SIZE:
        raise NotPortable("a regular expression that is too large for RE2")
    return _written(tree, first=True, last=True, repeats=1)


# --- what an expression is ------------------------------------------------------------------------------------------------

Ranges = tuple[tuple[int, int], ...]
"""Code points, each range with its last, in order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _One:
    """One character out of these."""

    of: Ranges


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """A place between characters: "start", "end", "line end" (the end, or before the last line feed), "boundary"."""

    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """One after the other."""

    parts: tuple[_Part, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Choice:
    """Any of these."""

    parts: tuple[_Part, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Repeat:
    """So many times; `most` None: without bound."""

    part: _Part
    least: int
    most: int | None


_Part = _One | _Place | _Row | _Choice | _Repeat

_FLAGS = pattern_of(r"\(\?([aisu]+)\)")
_GROUP = pattern_of(r"\((?:\?(?:P?<(?![=!])\w+>|([is]*):))?(?!\?)")
_COUNT = pattern_of(r"\{([0-9]*)(,?)([0-9]*)\}")
_FUZZY = pattern_of(r"\{[0-9\s,deis+<=:]+")
_ESCAPED = pattern_of(r"\\(?:x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[pP]\{[^}]*\}|N\{[^}]*\}|[dDwWsStnrfva]|[^a-zA-Z0-9])", 16)
_NAMED_CLASS = pattern_of(r"\[:\^?\w+:\]")

_REFUSED = (
    (pattern_of(r"\(\?<?[=!]"), "a look-around"),
    (pattern_of(r"\(\?>"), "an atomic group"),
    (pattern_of(r"\(\?[-aimsuxbefprwLV01]+[:)]"), "flags within a regular expression"),
    (pattern_of(r"\(\?"), "an extended group in a regular expression"),
    (pattern_of(r"\\(?:[0-9]|g<)"), "a back-reference or a character in octal"),
    (pattern_of(r"\\[bBmMG]"), "a word boundary in the middle of a regular expression"),
    (pattern_of(r"\\"), "an escape of the matcher's own engine"),
)


class _Reader:
    """Takes an expression apart; what matches one character is left to the engine (`_characters`)."""

    def __init__(self, pattern: str, cased: bool) -> None:
        self._text = pattern
        self._at = 0
        self._flags = "" if cased else "i"

    def read(self) -> _Part:
        while (found := _FLAGS.match(self._text, self._at)) is not None:
            self._flags += found[1]
            self._at = found.end()
        tree = self._choice()
        if self._at < len(self._text):
            self._refuse("an unbalanced bracket in a regular expression")
        return tree

    def _choice(self) -> _Part:
        parts = [self._row()]
        while self._text.startswith("|", self._at):
            self._at += 1
            parts.append(self._row())
        return parts[0] if len(parts) == 1 else _Choice(parts=tuple(parts))

    def _row(self) -> _Part:
        parts: list[_Part] = []
        while self._at < len(self._text) and self._text[self._at] not in "|)":
            parts.append(self._repeated(self._part()))
        return parts[0] if len(parts) == 1 else _Row(parts=tuple(parts))

    def _part(self) -> _Part:
        text, at = self._text, self._at
        match text[at]:
            case "(":
                return self._group()
            case "^":
                self._at += 1
                return _Place(what="start")
            case "$":
                self._at += 1
                return _Place(what="line end")
            case "[":
                return self._one(self._class_end())
            case "\\":
                return self._escape()
            case "{" if _FUZZY.match(text, at):
                raise NotPortable("a bracket of repetition that repeats nothing")
        return self._one(at + 1)

    def _group(self) -> _Part:
        found = _GROUP.match(self._text, self._at)
        if found is None:
            self._refuse_here()
        outer = self._flags
        self._flags += found[1] or ""
        self._at = found.end()
        inner = self._choice()
        if not self._text.startswith(")", self._at):
            self._refuse("an unbalanced bracket in a regular expression")
        self._at += 1
        self._flags = outer
        return inner

    def _escape(self) -> _Part:
        places = {"\\A": "start", "\\Z": "end", "\\b": "boundary"}
        if (place := places.get(self._text[self._at : self._at + 2])) is not None:
            self._at += 2
            return _Place(what=place)
        found = _ESCAPED.match(self._text, self._at)
        if found is None:
            self._refuse_here()
        return self._one(found.end())

    def _class_end(self) -> int:
        text, at = self._text, self._at + 1
        at += text.startswith("^", at)
        at += text.startswith("]", at)
        while at < len(text) and text[at] != "]":
            named = _NAMED_CLASS.match(text, at)
            at = named.end() if named else at + (2 if text[at] == "\\" else 1)
        return at + 1

    def _one(self, end: int) -> _Part:
        part = self._text[self._at : end]
        self._at = end
        return _One(of=_characters(part, "".join(sorted(set(self._flags)))))

    def _repeated(self, part: _Part) -> _Part:
        text = self._text
        if self._at >= len(text):
            return part
        counted = _COUNT.match(text, self._at)
        if text[self._at] in "*+?":
            least, most = {"*": (0, None), "+": (1, None), "?": (0, 1)}[text[self._at]]
            self._at += 1
        elif counted is not None and (counted[1] or counted[3]):
            least = int(counted[1] or 0)
            most = int(counted[3]) if counted[3] else None if counted[2] else least
            self._at = counted.end()
        elif _FUZZY.match(text, self._at):
            self._refuse("a fuzzy match")
        else:
            return part
        if isinstance(part, _Place):
            self._refuse("the repetition of a place between characters")
        if text.startswith("+", self._at):
            self._refuse("a possessive repetition")
        self._at += text.startswith("?", self._at)
        return _Repeat(part=part, least=least, most=most)

    def _refuse_here(self) -> NoReturn:
        self._refuse(
            next((name for shape, name in _REFUSED if shape.match(self._text, self._at)), "an unknown part of a regular expression")
        )

    def _refuse(self, what: str) -> NoReturn:
        raise NotPortable(what)


# --- which characters -----------------------------------------------------------------------------------------------------


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


def _is_word(part: _Part | None) -> bool | None:
    """Whether what a part matches is a letter of a word, or is none; None where it may be either."""
    if not isinstance(part, _One):
        return None
    word = _characters(_WORD, "")
    inside = [any(low <= start and end <= high for low, high in word) for start, end in part.of]
    if all(inside):
        return True
    return None if any(not (end < low or high < start) for start, end in part.of for low, high in word) else False


# --- writing --------------------------------------------------------------------------------------------------------------


def _size(part: _Part) -> int:
    match part:
        case _One(of=ranges):
            return min(len(ranges), len(_inverted(ranges))) + 1
        case _Place():
            return len(_characters(_WORD, "")) if part.what == "boundary" else 1
        case _Row(parts=parts) | _Choice(parts=parts):
            return 1 + sum(_size(each) for each in parts)
        case _Repeat(part=inner):
            return _size(inner) * max(1, part.most or part.least)


def _written(part: _Part, *, first: bool, last: bool, repeats: int) -> str:
    """`first` and `last`: nothing of the expression stands before or after this part."""
    match part:
        case _One(of=ranges):
            return _class(ranges)
        case _Place(what="start"):
            return r"\A"
        case _Place(what="end"):
            return r"\z"
        case _Place(what="line end"):
            if not last:
                raise NotPortable("a line's end in the middle of a regular expression")
            return r"\n?\z"
        case _Place():
            raise NotPortable("a word boundary in the middle of a regular expression")
        case _Row(parts=parts):
            return "".join(_in_row(parts, number, first, last, repeats) for number in range(len(parts)))
        case _Choice(parts=parts):
            return "(?:" + "|".join(_written(each, first=first, last=last, repeats=repeats) for each in parts) + ")"
        case _Repeat(part=inner, least=least, most=most):
            once = most == 1
            repeats *= max(1, most or least)
            if repeats > REPEATS:
                raise NotPortable(f"more than {REPEATS} repetitions in a regular expression")
            text = _written(inner, first=first and once, last=last and once, repeats=repeats)
            return (text if isinstance(inner, _One) else f"(?:{text})") + _count(least, most)


def _in_row(parts: tuple[_Part, ...], number: int, first: bool, last: bool, repeats: int) -> str:
    part = parts[number]
    first, last = first and number == 0, last and number == len(parts) - 1
    if part != _Place(what="boundary"):
        return _written(part, first=first, last=last, repeats=repeats)
    before = _is_word(parts[number - 1]) if number else None
    after = _is_word(parts[number + 1]) if number + 1 < len(parts) else None
    # At either end of the whole, what stands beyond may be eaten: nothing else of the expression asks for it.
    if last and before is not None:
        return rf"(?:{_class(_inverted(_word()))}|\z)" if before else _class(_word())
    if first and after is not None:
        return rf"(?:{_class(_inverted(_word()))}|\A)" if after else _class(_word())
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


def _inverted(ranges: Ranges) -> Ranges:
    edges = [-1, *(edge for each in ranges for edge in each), 0x110000]
    return tuple((low + 1, high - 1) for low, high in zip(edges[::2], edges[1::2], strict=True) if low + 1 <= high - 1)


def _class(ranges: Ranges) -> str:
    if not ranges:
        raise NotPortable("a class of no character")
    if len(ranges) == 1 and ranges[0][0] == ranges[0][1]:
        return _character(ranges[0][0])
    others = _inverted(ranges)
    if not others:
        return r"[\x{0}-\x{10ffff}]"
    sign, shown = ("^", others) if len(others) < len(ranges) else ("", ranges)
    return f"[{sign}{''.join(_character(low) + (f'-{_character(high)}' if high > low else '') for low, high in shown)}]"


def _character(point: int) -> str:
    """A letter or digit of ASCII as it is; of other signs of ASCII the number, which no engine takes for syntax."""
    character = chr(point)
    return character if character.isascii() and character.isalnum() else rf"\x{{{point:x}}}"
