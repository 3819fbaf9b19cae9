"""Computed values of an event: the functions and operators of a `Formula`, with the null logic of Elasticsearch.

A field that holds several values gives the function each of them: the formula is true where it is for any. Where an argument is null the
result is, and nothing compares with null but `IS_NULL`. What cannot be computed (a number of a text that is none, a division by zero) is
null too. This module must never know a rule language's spelling or a view's fields.

Source: https://www.elastic.co/docs/reference/query-languages/eql/eql-function-ref
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import product
from math import fmod, isfinite, nan
from re import fullmatch

from harness.errors import RuleTooSlow
from harness.model.tree import Call, FieldName, Function, Term

Scalar = str | int | float | bool
Values = Callable[[str], Sequence[Scalar]]
"""The values of a field of one event, by its name; none where the event lacks it."""

TextTest = Callable[[str], bool]

COMBINATIONS = 100_000
"""The most combinations of several fields' values that one formula is asked about; an honest event has a handful."""

_LONGEST = 1_000_000
"""Characters of a text that a formula may make: it could double one at every step."""


def compile_term(term: Term, prepare: Callable[[Call], TextTest]) -> Callable[[Values], bool]:
    """A term as a condition: whether it is true of an event. Null is not.

    `prepare` makes the test of a text of a `LIKE`, `REGEX` or `CIDR_MATCH` call, whose patterns are literals; it raises where one is bad.
    The function made raises `RuleTooSlow` as those tests do, and where fields with very many values are combined.
    """
    fields: list[str] = []
    compute = _compile(term, fields, prepare)

    def holds(values: Values) -> bool:
        choices = [tuple(values(name)) or (None,) for name in fields]
        for number, choice in enumerate(product(*choices)):
            if number == COMBINATIONS:
                raise RuleTooSlow(f"a condition combines the values of {', '.join(fields)} in more than {COMBINATIONS} ways")
            if compute(choice) is True:
                return True
        return False

    return holds


_Compute = Callable[[Sequence[Scalar | None]], Scalar | None]


def _compile(term: Term, fields: list[str], prepare: Callable[[Call], TextTest]) -> _Compute:
    if isinstance(term, FieldName):
        if term.name not in fields:
            fields.append(term.name)
        place = fields.index(term.name)
        return lambda choice: choice[place]
    if not isinstance(term, Call):
        return lambda choice: term
    if term.function in (Function.LIKE, Function.REGEX, Function.CIDR_MATCH):
        tested, fits = _compile(term.arguments[0], fields, prepare), prepare(term)

        def test(choice: Sequence[Scalar | None]) -> Scalar | None:
            value = tested(choice)
            return fits(value) if isinstance(value, str) else None

        return test
    parts = [_compile(argument, fields, prepare) for argument in term.arguments]
    if term.function is Function.IS_NULL:
        return lambda choice: parts[0](choice) is None
    if term.function is Function.IN:
        return lambda choice: _is_in([part(choice) for part in parts], term.cased)
    function = _FUNCTIONS[term.function]

    def call(choice: Sequence[Scalar | None]) -> Scalar | None:
        known = list(_known(part(choice) for part in parts))
        return function(known, term.cased) if len(known) == len(parts) else None

    return call


def _known(values: Iterable[Scalar | None]) -> Iterator[Scalar]:
    for value in values:
        if value is None:
            return
        yield value


def _is_in(values: list[Scalar | None], cased: bool) -> bool | None:
    wanted, *listed = values
    if wanted is None:
        return None
    return any(value is not None and _equal([wanted, value], cased) for value in listed)


_Function = Callable[[list[Scalar], bool], Scalar | None]


def _is_number(value: Scalar) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _equal(values: list[Scalar], cased: bool) -> bool:
    one, other = values
    if isinstance(one, str) and isinstance(other, str):
        return one == other if cased else one.lower() == other.lower()
    return _is_number(one) == _is_number(other) and isinstance(one, str) == isinstance(other, str) and one == other


def _ordered(asked: Callable[[int], bool]) -> _Function:
    """A comparison by order, told -1, 0 or 1; texts by their characters, never a text with a number."""

    def compare(values: list[Scalar], cased: bool) -> bool | None:
        one, other = values
        if isinstance(one, str) and isinstance(other, str):
            return asked((one > other) - (one < other))
        if isinstance(one, str) or isinstance(other, str):
            return None
        return asked((one > other) - (one < other))

    return compare


def _arithmetic(whole: Callable[[int, int], int | None], broken: Callable[[float, float], float]) -> _Function:
    def compute(values: list[Scalar], cased: bool) -> Scalar | None:
        one, other = values
        if isinstance(one, str | bool) or isinstance(other, str | bool):
            return None
        try:
            if isinstance(one, int) and isinstance(other, int):
                # Java's long: what does not fit is an error there, and nothing here grows without bound.
                found = whole(one, other)
                return found if found is not None and abs(found) < 2**63 else None
            result = broken(float(one), float(other))
        except (ZeroDivisionError, OverflowError, ValueError):
            return None
        return result if isfinite(result) else None

    return compute


def _remainder(one: int, other: int) -> int:
    """The remainder with the dividend's sign, as Java has it."""
    rest = abs(one) % abs(other)
    return -rest if one < 0 else rest


def _quotient(one: int, other: int) -> int:
    """The quotient cut off towards zero, as Java has it."""
    whole = abs(one) // abs(other)
    return whole if (one < 0) == (other < 0) else -whole


def _on_texts(function: Callable[..., Scalar | None]) -> _Function:
    """A function of two texts or more; where case does not count they are folded first."""

    def compute(values: list[Scalar], cased: bool) -> Scalar | None:
        if not all(isinstance(value, str) for value in values[:2]):
            return None
        return function(*(value if cased or not isinstance(value, str) else value.lower() for value in values))

    return compute


def _index_of(text: str, part: str, start: int = 0) -> int | None:
    found = text.find(part, max(0, start))
    return found if found >= 0 else None


def _between(values: list[Scalar], cased: bool) -> Scalar | None:
    text, left, right, *more = values
    if not (isinstance(text, str) and isinstance(left, str) and isinstance(right, str)):
        return None
    read = text if cased else text.lower()
    left, right = (left, right) if cased else (left.lower(), right.lower())
    start = read.find(left)
    if start < 0:
        return ""
    start += len(left)
    end = read.rfind(right, start) if more and more[0] is True else read.find(right, start)
    return text[start:end] if end >= 0 else ""


def _number(values: list[Scalar], cased: bool) -> Scalar | None:
    text, *base = values
    if not isinstance(text, str) or len(text) > 64 or not all(isinstance(each, int) for each in base):
        return None
    text = text.strip()
    try:
        if base or text[:2].lower() == "0x":
            return int(text, int(base[0]) if base else 16) if fullmatch(r"[+-]?[0-9A-Za-z]+", text) else None
    except ValueError:
        return None
    if fullmatch(r"[+-]?[0-9]+", text):
        return int(text)
    number = float(text) if fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,4})?", text) else nan
    return number if isfinite(number) else None


def _substring(values: list[Scalar], cased: bool) -> Scalar | None:
    text, start, *end = values
    if not isinstance(text, str) or not isinstance(start, int) or not all(isinstance(each, int) for each in end):
        return None
    return text[slice(start, *end)] if end else text[start:]


def text_of(value: Scalar) -> str:
    """A value as text: true and false in lower case."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _concat(values: list[Scalar], cased: bool) -> Scalar | None:
    text = "".join(text_of(value) for value in values)
    return text if len(text) <= _LONGEST else None


_FUNCTIONS: dict[Function, _Function] = {
    Function.ADD: _arithmetic(lambda a, b: a + b, lambda a, b: a + b),
    Function.SUBTRACT: _arithmetic(lambda a, b: a - b, lambda a, b: a - b),
    Function.MULTIPLY: _arithmetic(lambda a, b: a * b, lambda a, b: a * b),
    Function.DIVIDE: _arithmetic(_quotient, lambda a, b: a / b),
    Function.MODULO: _arithmetic(_remainder, fmod),
    Function.BETWEEN: _between,
    Function.CONCAT: _concat,
    Function.ENDS_WITH: _on_texts(lambda text, part: text.endswith(part)),
    Function.INDEX_OF: _on_texts(_index_of),
    Function.LENGTH: lambda values, cased: len(values[0]) if isinstance(values[0], str) else None,
    Function.NUMBER: _number,
    Function.STARTS_WITH: _on_texts(lambda text, part: text.startswith(part)),
    Function.STRING: lambda values, cased: text_of(values[0]),
    Function.STRING_CONTAINS: _on_texts(lambda text, part: part != "" and part in text),
    Function.SUBSTRING: _substring,
    Function.EQUAL: _equal,
    Function.NOT_EQUAL: lambda values, cased: not _equal(values, cased),
    Function.LESS: _ordered(lambda order: order < 0),
    Function.LESS_OR_EQUAL: _ordered(lambda order: order <= 0),
    Function.GREATER: _ordered(lambda order: order > 0),
    Function.GREATER_OR_EQUAL: _ordered(lambda order: order >= 0),
    Function.NOT: lambda values, cased: not values[0] if isinstance(values[0], bool) else None,
}
