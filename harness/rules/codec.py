"""Rules as JSON and back, without a loss: the form in which they are kept once they were parsed.

It knows the words of `harness.model` alone: whatever dataclass or enum of rules is there can be said. What is read becomes such values and
nothing else; nothing of it is ever run. It must never know where the text is kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from datetime import timedelta
from enum import Enum
from itertools import groupby
from typing import Any

from harness.model import intent, tree
from harness.model.intent import Rule
from harness.model.tree import And, Node, Not, Op, Or, Test, ViewName

_TESTS, _AND, _OR, _NOT, _TUPLE, _SPAN, _ENUM = range(7)
"""What a JSON array is, by its first item; where that is a text, it is the dataclass of that name, its fields in order."""

_OPS, _VIEWS = tuple(Op), tuple(ViewName)
_NAMED: Mapping[str, type[Any]] = {
    name: found
    for module in (tree, intent)
    for name, found in vars(module).items()
    if isinstance(found, type) and (is_dataclass(found) or issubclass(found, Enum))
}
_FIELDS = {name: tuple(field.name for field in fields(found)) for name, found in _NAMED.items() if is_dataclass(found)}


def dump(rules: Iterable[Rule]) -> object:
    """The rules as values that JSON has. Raises TypeError where one holds what is no word of the model."""
    return [_said(rule) for rule in rules]


def load(said: object) -> tuple[Rule, ...]:
    """The rules of such values. Raises ValueError, TypeError or LookupError where they are none."""
    if not isinstance(said, list):
        raise TypeError("not a list of rules")
    made = tuple(_made(each) for each in said)
    if not all(isinstance(rule, Rule) for rule in made):
        raise TypeError("not a list of rules")
    return made


def _said(value: object) -> object:
    match value:
        case Enum():
            return [_ENUM, type(value).__name__, value.value]
        case None | str() | int() | float():
            return value
        case Test():
            return _said_tests([value])
        case And(items=items, label=label):
            return [_AND, label, *_said_items(items)]
        case Or(items=items, label=label):
            return [_OR, label, *_said_items(items)]
        case Not(item=item, label=label):
            return [_NOT, label, _said(item)]
        case tuple():
            return [_TUPLE, *map(_said, value)]
        case timedelta():
            return [_SPAN, value.days, value.seconds, value.microseconds]
    name = type(value).__name__
    if type(value) is not _NAMED.get(name):
        raise TypeError(f"a {name} is no word of a rule")
    return [name, *(_said(getattr(value, field)) for field in _FIELDS[name])]


def _said_items(items: tuple[Node, ...]) -> Iterator[object]:
    """Lists of values are the bulk of most rules: tests of one manner are said once, with all their values."""
    for manner, alike in groupby(items, lambda item: (item.field, item.op, item.cased, item.view) if isinstance(item, Test) else None):
        if manner is None:
            yield from map(_said, alike)
        else:
            yield _said_tests([item for item in alike if isinstance(item, Test)])


def _said_tests(tests: list[Test]) -> object:
    first = tests[0]
    return [_TESTS, first.field, _OPS.index(first.op), first.cased, _VIEWS.index(first.view), *(_said(test.value) for test in tests)]


def _made(said: Any) -> Any:
    if not isinstance(said, list):
        return said
    tag, *rest = said
    match tag:
        case 0:  # _TESTS
            (test,) = _made_tests(said)
            return test
        case 1:  # _AND
            return And(label=rest[0], items=tuple(_made_items(rest[1:])))
        case 2:  # _OR
            return Or(label=rest[0], items=tuple(_made_items(rest[1:])))
        case 3:  # _NOT
            return Not(label=rest[0], item=_made(rest[1]))
        case 4:  # _TUPLE
            return tuple(map(_made, rest))
        case 5:  # _SPAN
            days, seconds, microseconds = rest
            return timedelta(days, seconds, microseconds)
        case 6:  # _ENUM
            return _NAMED[rest[0]](rest[1])
    kind = _NAMED[tag]
    return kind(**dict(zip(_FIELDS[tag], map(_made, rest), strict=True)))


def _made_items(said: list[Any]) -> Iterator[Node]:
    for each in said:
        if isinstance(each, list) and each[0] == _TESTS:
            yield from _made_tests(each)
        else:
            yield _made(each)


def _made_tests(said: list[Any]) -> Iterator[Test]:
    _, field, op, cased, view, *values = said
    for value in values:
        yield Test(field=field, op=_OPS[op], value=_made(value) if isinstance(value, list) else value, cased=cased, view=_VIEWS[view])
