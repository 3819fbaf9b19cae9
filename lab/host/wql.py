"""WQL, as far as commands write it: `SELECT a, b FROM Class WHERE ...`, and a condition by itself [MS-WMI 2.2.1].

Pure: text to a query, a query over rows. Comparisons, LIKE with its wildcards, IS NULL, AND, OR, NOT and parentheses.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

MAX_QUERY = 4096
MAX_DEPTH = 40


class WqlFault(Exception):
    """The text is no query."""


Test = Callable[[Mapping[str, object]], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What a SELECT asks for: no names for all properties, a test for the rows."""

    names: tuple[str, ...]
    class_name: str
    holds: Test


_TOKEN = re.compile(r"""\s*(?:('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")|(<>|!=|<=|>=|=|<|>|\(|\)|,|\*)|([\w.\\-]+))""", re.DOTALL)


def query(text: str) -> Query:
    """A whole SELECT. Raises `WqlFault`."""
    reader = _Reader(text)
    if reader.take() != "select":
        raise WqlFault(text)
    names: list[str] = []
    while True:
        word = reader.take(raw=True)
        if word != "*":
            names.append(word)
        if reader.peek() != ",":
            break
        reader.take()
    if reader.take() != "from":
        raise WqlFault(text)
    class_name = reader.take(raw=True)
    holds: Test = _always
    if reader.peek():
        if reader.take() != "where":
            raise WqlFault(text)
        holds = reader.condition()
    if reader.peek():
        raise WqlFault(text)
    return Query(names=tuple(names), class_name=class_name, holds=holds)


def condition(text: str) -> Test:
    """What stands after WHERE. Raises `WqlFault`."""
    reader = _Reader(text)
    holds = reader.condition()
    if reader.peek():
        raise WqlFault(text)
    return holds


def _always(row: Mapping[str, object]) -> bool:
    return True


class _Reader:
    def __init__(self, text: str) -> None:
        if len(text) > MAX_QUERY:
            raise WqlFault(text)
        self._tokens: list[str] = []
        self._at = 0
        self._depth = 0
        end = 0
        while text[end:].strip():
            found = _TOKEN.match(text, end)
            if found is None:
                raise WqlFault(text)
            self._tokens.append(found[0].strip())
            end = found.end()

    def peek(self) -> str:
        return self._tokens[self._at].lower() if self._at < len(self._tokens) else ""

    def take(self, *, raw: bool = False) -> str:
        if self._at >= len(self._tokens):
            raise WqlFault("the end")
        self._at += 1
        token = self._tokens[self._at - 1]
        return token if raw else token.lower()

    def condition(self) -> Test:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise WqlFault("the depth")
        held = self._all()
        while self.peek() == "or":
            self.take()
            held = _either(held, self._all())
        self._depth -= 1
        return held

    def _all(self) -> Test:
        held = self._one()
        while self.peek() == "and":
            self.take()
            held = _both(held, self._one())
        return held

    def _one(self) -> Test:
        if self.peek() == "not":
            self.take()
            return _inverse(self._one())
        if self.peek() == "(":
            self.take()
            held = self.condition()
            if self.take() != ")":
                raise WqlFault(")")
            return held
        name = self.take(raw=True)
        operator = self.take()
        if operator == "is":
            negated = self.peek() == "not"
            if negated:
                self.take()
            if self.take() != "null":
                raise WqlFault("is")
            return _is_null(name, negated)
        if operator == "not":
            if self.take() != "like":
                raise WqlFault("not")
            return _inverse(_compared(name, "like", self.take(raw=True)))
        return _compared(name, operator, self.take(raw=True))


def _either(a: Test, b: Test) -> Test:
    return lambda row: a(row) or b(row)


def _both(a: Test, b: Test) -> Test:
    return lambda row: a(row) and b(row)


def _inverse(a: Test) -> Test:
    return lambda row: not a(row)


def _is_null(name: str, negated: bool) -> Test:
    return lambda row: (_cell(row, name) is None) != negated


def _cell(row: Mapping[str, object], name: str) -> object:
    low = name.lower()
    return next((value for key, value in row.items() if key.lower() == low), None)


def _compared(name: str, operator: str, token: str) -> Test:
    wanted = re.sub(r"\\(.)", r"\1", token[1:-1]) if token[:1] in "'\"" else token
    low = wanted.lower()

    def holds(row: Mapping[str, object]) -> bool:
        value = _cell(row, name)
        if value is None:
            return operator in ("=", "<>", "!=") and (low == "null") == (operator == "=")
        if operator == "like":
            return like(str(value))
        if isinstance(value, bool):
            same = value == (low in ("true", "1", "-1"))
            return same if operator == "=" else not same if operator in ("<>", "!=") else False
        left: float | str
        right: float | str
        if isinstance(value, int | float):
            try:
                left, right = float(value), float(low)
            except ValueError:
                return operator in ("<>", "!=")
        else:
            left, right = str(value).lower(), low
        return _ORDER[operator](left, right)

    if operator == "like":
        like = _like(wanted)
    elif operator not in _ORDER:
        raise WqlFault(operator)
    return holds


_ORDER: Mapping[str, Callable[[float | str, float | str], bool]] = {
    "=": lambda a, b: a == b,
    "<>": lambda a, b: a != b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,  # type: ignore[operator]
    ">": lambda a, b: a > b,  # type: ignore[operator]
    "<=": lambda a, b: a <= b,  # type: ignore[operator]
    ">=": lambda a, b: a >= b,  # type: ignore[operator]
}


def _like(text: str) -> Callable[[str], bool]:
    """A LIKE pattern as a test: % any text, _ any character, [a-z] and [^a-z] sets.

    Linear: the pieces between the % signs each match text of one length, and are taken from left to right.
    """
    pieces: list[list[str]] = [[]]
    at = 0
    while at < len(text):
        char = text[at]
        end = text.find("]", at + 1) if char == "[" else -1
        if char == "%":
            pieces.append([])
        elif char == "_":
            pieces[-1].append(".")
        elif char == "[" and end > at + 1:
            inner = text[at + 1 : end]
            negated = inner[0] in "^!"
            kept = re.sub(r"([\\\[\]^&~|])", r"\\\1", inner[1:] if negated else inner)
            pieces[-1].append(f"[{'^' if negated else ''}{kept}]")
            at = end
        else:
            pieces[-1].append(re.escape(char))
        at += 1
    try:
        compiled = [re.compile("".join(piece), re.IGNORECASE | re.DOTALL) for piece in pieces]
    except re.error:
        raise WqlFault(text) from None
    size = len(pieces[-1])

    def holds(value: str) -> bool:
        if len(compiled) == 1:
            return compiled[0].fullmatch(value) is not None
        first = compiled[0].match(value)
        place = first.end() if first is not None else -1
        for piece in compiled[1:-1]:
            found = piece.search(value, place) if place >= 0 else None
            place = found.end() if found is not None else -1
        return 0 <= place <= len(value) - size and compiled[-1].fullmatch(value, len(value) - size) is not None

    return holds
