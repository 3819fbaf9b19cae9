"""A tree or pattern as EQL: what `harness.rules.eql` made of a text, as a text of which it makes the same.

Nothing of the first text is kept but what it means: operators and functions are written in one way each, lists of values of one field as
a list, runs of one event as runs. A tree that no EQL query can mean (it reads another view of events, or asks for what EQL has no word for)
is refused. This module must never know where a tree came from.

Source: https://www.elastic.co/docs/reference/query-languages/eql/eql-syntax
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from itertools import groupby

from harness.logic.match import BadValue
from harness.model.tree import (
    And,
    Call,
    FieldName,
    Formula,
    Function,
    JoinKey,
    Node,
    Not,
    Op,
    Or,
    Pattern,
    PatternKind,
    Stage,
    Term,
    Test,
    Value,
    ViewName,
)
from harness.rules.eql import CASELESS, KEYWORDS, Query
from harness.rules.lucene_regex import lucene_regex
from harness.rules.wildcards import parts, simplest


class Unprintable(ValueError):
    """EQL has no words for a part of the tree: which."""


def print_eql(query: Query) -> str:
    """The query as EQL, a line an event. Raises `Unprintable`."""
    pattern = query.pattern
    if pattern is None:
        return _event(query.logic)
    lines = [_event(pattern.stages[0].condition)] if pattern.kind is PatternKind.SINGLE else _of_several(pattern)
    return "\n".join([*lines, *(f"| {pipe.kind} {pipe.count}" for pipe in pattern.pipes)])


def _of_several(pattern: Pattern) -> Iterable[str]:
    yield f"{pattern.kind}{f' with maxspan={_span(pattern.max_span)}' if pattern.max_span is not None else ''}"
    runs = pattern.kind is PatternKind.SEQUENCE
    for stage, same in groupby(pattern.stages):
        count = len(list(same))
        if runs and count > 1 and not stage.missing:
            yield f"  {_stage(stage)} with runs={count}"
        else:
            yield from [f"  {_stage(stage)}"] * count
    if pattern.until is not None:
        yield f"until {_stage(pattern.until)}"


_UNITS = {"d": timedelta(days=1), "h": timedelta(hours=1), "m": timedelta(minutes=1), "s": timedelta(seconds=1)}


def _span(span: timedelta) -> str:
    for unit, length in _UNITS.items():
        if span % length == timedelta():
            return f"{span // length}{unit}"
    return f"{span // timedelta(milliseconds=1)}ms"


def _stage(stage: Stage) -> str:
    keys = f" by {', '.join(map(_key, stage.keys))}" if stage.keys else ""
    return f"{'!' if stage.missing else ''}[{_event(stage.condition)}]{keys}"


def _key(key: JoinKey) -> str:
    return f"{'?' if key.optional else ''}{_name(key.name)}"


def _event(node: Node) -> str:
    """A tree as one event: a test of the category that stands first in a conjunction is the event's own."""
    if isinstance(node, And) and node.items and (category := _category(node.items[0])) is not None:
        inner = node.items[1:]
        # A condition that is a conjunction by itself is one with the category: alone behind it, it would not be read as one part of it.
        if len(inner) == 1 and isinstance(inner[0], And):
            return f"any where {_condition(node)}"
        return f"{category} where {_joined('and', inner) if inner else 'true'}"
    return f"any where {_condition(node)}"


def _category(node: Node) -> str | None:
    match node:
        case Test(field="event.category", op=Op.EQUALS, value=str(value), cased=True, view=ViewName.ECS):
            return value if _IDENTIFIER.fullmatch(value) and value not in KEYWORDS else _quoted(value)
    return None


# --- conditions ---------------------------------------------------------------------------------------------------------------


def _condition(node: Node) -> str:
    match node:
        case And(items=()):
            return "true"
        case Or(items=()):
            return "false"
        case And(items=items):
            return _joined("and", items)
        case Or(items=items):
            return _listed(items) or _joined("or", items)
        case Not(item=Test() as test) if (value := _exact(test)) is not None:
            return f"{_field(test)} != {value}"
        case Not(item=item):
            return f"not {_operand(item)}"
        case Test():
            return _test(node)
        case Formula(view=ViewName.ECS, term=term):
            return _formula(term)
        case Formula():
            raise Unprintable("a computed value of the flat view")


def _joined(word: str, items: Iterable[Node]) -> str:
    """Parts of a group; a group of one part, which no text has, is that part."""
    return f" {word} ".join(map(_operand, items))


def _operand(node: Node) -> str:
    """A part of a group, or what is negated: in brackets where it would be read as more than one part, or as a part of its neighbour."""
    text = _condition(node)
    compound = isinstance(node, And | Or) and len(node.items) > 1 and not (isinstance(node, Or) and _listed(node.items))
    return f"({text})" if compound else text


_LISTS: Sequence[tuple[str, Callable[[Test], str | None]]]


def _listed(items: tuple[Node, ...]) -> str:
    """Alternatives as a list, where they are one field's values compared in one manner; empty where they are not."""
    tests = [item for item in items if isinstance(item, Test)]
    if len(tests) < 2 or len(tests) != len(items) or len({(test.field, test.view) for test in tests}) > 1:
        return ""
    for word, value_of in _LISTS:
        values = [value_of(test) for test in tests]
        if None not in values:
            return f"{_field(tests[0])} {word} ({', '.join(value for value in values if value is not None)})"
    return ""


def _exact(test: Test) -> str | None:
    return _value(test.value) if test.op is Op.EQUALS and test.cased and _is_literal(test.value) else None


def _pattern(test: Test, *, cased: bool) -> str | None:
    """A test's pattern of wildcards, where the operator of that name reads it as this test."""
    if test.cased is not cased or not isinstance(test.value, str) or test.op not in _SIDES:
        return None
    front, back = _SIDES[test.op]
    if test.op is Op.LIKE:
        text = "".join("\\" if part == "\\\\" else part for part in parts(test.value))
        if any(part in ("\\*", "\\?") for part in parts(test.value)):
            return None
    else:
        text = f"{front}{test.value}{back}"
    return _quoted(text) if simplest(text.replace("\\", "\\\\")) == (test.op, test.value) else None


_SIDES = {Op.EQUALS: ("", ""), Op.STARTS_WITH: ("", "*"), Op.ENDS_WITH: ("*", ""), Op.CONTAINS: ("*", "*"), Op.LIKE: ("", "")}


def _folded(test: Test) -> str | None:
    return _value(test.value) if test.op is Op.EQUALS and isinstance(test.value, str) and not test.cased else None


def _regex(test: Test, *, cased: bool) -> str | None:
    if test.op is not Op.REGEX or test.cased is not cased or not isinstance(test.value, str):
        return None
    return _quoted_regex(test.value)


_LISTS = (
    ("in", _exact),
    (":", lambda test: _pattern(test, cased=False)),
    ("like", lambda test: _pattern(test, cased=True)),
    ("in~", _folded),
    ("regex", lambda test: _regex(test, cased=True)),
    ("regex~", lambda test: _regex(test, cased=False)),
)
"""Operators that take a list, and what each makes of a test's value; None where it does not say what the test says."""

_ORDER = {Op.LESS: "<", Op.LESS_OR_EQUAL: "<=", Op.GREATER: ">", Op.GREATER_OR_EQUAL: ">="}


def _test(test: Test) -> str:
    name = _field(test)
    match test.op:
        case Op.IS_NULL:
            return f"{name} == null"
        case Op.EXISTS:
            return f"{name} {'==' if test.value is False else '!='} null"
        case Op.CIDR if isinstance(test.value, str):
            return f"cidrMatch({name}, {_quoted(test.value)})"
        case Op.LESS | Op.LESS_OR_EQUAL | Op.GREATER | Op.GREATER_OR_EQUAL if isinstance(test.value, int | float):
            return f"{name} {_ORDER[test.op]} {_value(test.value)}"
        case Op.EQUALS if (value := _exact(test)) is not None:
            return f"{name} == {value}"
    for word, value_of in _LISTS[1:]:
        if (value := value_of(test)) is not None:
            # The lists of `in~` stand in brackets, be they of one value.
            return f"{name} in~ ({value})" if word == "in~" else f"{name} {word} {value}"
    if test.op is Op.STARTS_WITH and isinstance(test.value, str):
        return f"startsWith{'' if test.cased else '~'}({name}, {_quoted(test.value)})"
    raise Unprintable(f"'{test.op}' with the value {test.value!r}")


def _field(test: Test) -> str:
    if test.view is not ViewName.ECS or test.field is None:
        raise Unprintable(f"a test of {test.field or 'all fields'} in the {test.view} view")
    return _name(test.field)


# --- values -------------------------------------------------------------------------------------------------------------------

_COMPARISONS = frozenset(
    [
        *(Function.EQUAL, Function.NOT_EQUAL, Function.LESS, Function.LESS_OR_EQUAL),
        *(Function.GREATER, Function.GREATER_OR_EQUAL),
    ]
)


def _formula(term: Term) -> str:
    """A computed condition."""
    if not isinstance(term, Call):
        raise Unprintable(f"the condition {term!r}")
    first, mark = term.arguments[0], "" if term.cased else "~"
    match term.function:
        case Function.NOT:
            return f"not {_formula(first)}"
        case Function.IS_NULL:
            return f"{_term(first)} == null"
        case Function.IN:
            return f"{_term(first)} in{mark} ({', '.join(map(_term, term.arguments[1:]))})"
        case Function.LIKE | Function.REGEX:
            written = _like if term.function is Function.LIKE else _quoted_regex
            patterns = [written(each) for each in term.arguments[1:] if isinstance(each, str)]
            listed = patterns[0] if len(patterns) == 1 else f"({', '.join(patterns)})"
            return f"{_term(first)} {term.function}{mark} {listed}"
        case function if function in _COMPARISONS:
            # Without regard to case a comparison is one of a field that has it so: there is no other way to say it.
            one, other = (
                f"{_name(each.name)}{mark and CASELESS}" if isinstance(each, FieldName) else _term(each) for each in term.arguments
            )
            return f"{one} {function} {other}"
    return _term(term)


def _like(pattern: str) -> str:
    return _quoted(pattern.replace("\\\\", "\\"))


def _term(term: Term) -> str:
    match term:
        case FieldName(name=name):
            return _name(name)
        case Call(function=function, arguments=arguments, cased=cased) if function.isalpha() and function not in _CONDITIONS:
            return f"{function}{'' if cased else '~'}({', '.join(map(_term, arguments))})"
        case Call(function=function):
            raise Unprintable(f"{function} as a value")
    return _value(term)


_CONDITIONS = frozenset([Function.LIKE, Function.REGEX, Function.IN, Function.NOT])


def _is_literal(value: Value) -> bool:
    return isinstance(value, str | int | float)


def _value(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, int | float):
        return repr(value)
    raise Unprintable(f"the value {value!r}")


_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def _quoted(text: str) -> str:
    """A string; what cannot be seen in it stands there by its number."""
    return '"' + "".join(_ESCAPES.get(sign) or (sign if sign.isprintable() else f"\\u{{{ord(sign):02x}}}") for sign in text) + '"'


def _quoted_regex(pattern: str) -> str:
    try:
        return _quoted(lucene_regex(pattern))
    except BadValue as error:
        raise Unprintable(str(error)) from error


_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PLAIN_NAME = re.compile(r"[@A-Za-z_][A-Za-z0-9_]*(?:\.[@A-Za-z_][A-Za-z0-9_]*)*")


def _name(name: str) -> str:
    if not name or "\n" in name:
        raise Unprintable(f"the field name {name!r}")
    if _PLAIN_NAME.fullmatch(name) and not KEYWORDS.intersection(name.split(".")):
        return name
    return "`" + name.replace("`", "``") + "`"
