"""Why did a rule not match? On the nearest event, which of its clauses failed, the rule's value beside the event's.

A clause is what an author would take out: a field's value or list of values, or a filter. The nearest event is the one that the
fewest clauses stand between it and a match; taking exactly these out makes the rule match it. This module must never know a
verdict: it says what the tree says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from harness.logic.match import View, compile_node, key_of, text_of
from harness.logic.needs import Kind, able_kinds, endpoint_kinds, kinds, reads
from harness.model.facts import Event
from harness.model.tree import And, Call, FieldName, Formula, Function, Node, Not, Op, Or, Term, Test, ViewName

LONGEST = 100
"""Characters of an event's value that are shown; a script block or a context can be a hundred times that."""

_VALUES = 6
"""Values of a list that are shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Killed:
    """The nearest event, and the clauses that kept the rule from matching it, each as a sentence; `text` joins them."""

    event: Event
    clauses: tuple[str, ...]
    text: str


def nearest(rule_logic: Node, events: Sequence[Event]) -> Killed | None:
    """What killed the match on the event that came closest; of several equally close, the first.

    None where no event is of a kind that the rule reads, or where one matches: then nothing killed it.
    Raises `BadValue` and `RuleTooSlow` as matching does.
    """
    wanted, near = kinds(rule_logic), near_kinds(rule_logic)
    best: Killed | None = None
    for event in events:
        if not reads(wanted, event.channel, event.event_id):
            continue
        clauses = failing(rule_logic, View(event.flat, event))
        if not clauses:
            return None
        if not reads(near, event.channel, event.event_id):
            continue
        if best is None or len(clauses) < len(best.clauses):
            best = Killed(event=event, clauses=clauses, text="; ".join(clauses))
    return best


def near_kinds(logic: Node) -> frozenset[Kind]:
    """The kinds whose events may be called near: an event that never has a field which the tree asks for is not, unless all are so."""
    able = able_kinds(logic)
    return able | endpoint_kinds(logic) if able else kinds(logic)


def failing(node: Node, view: View) -> tuple[str, ...]:
    """The fewest clauses without which the node is true; none where it is true already."""
    if compile_node(node)(view):
        return ()
    match node:
        case Test():
            return (_clause((node,), view),)
        case Formula(term=term):
            return (f"{formula_text(term)} does not hold{_fields_of(node, view)}",)
        case Not(item=item):
            return (_exclusion(item, node.label, view),)
        case And(items=items):
            return tuple(clause for item in items for clause in failing(item, view))
        case Or(items=()):
            return ("nothing can satisfy it",)
        case Or(items=items):
            if tests := _value_list(items):
                return (_clause(tests, view),)
            choices = _same_kind(items, view)
            tried = [(failing(choice, view), choice) for choice in choices]
            clauses, choice = min(tried, key=lambda pair: len(pair[0]))
            # Which of several selections came nearest is news; with one alone there is nothing to tell apart.
            name = "" if len(choices) == 1 or isinstance(choice, Test | Formula) else choice.label
            return tuple(f"{name}: {clause}" if name else clause for clause in clauses)


def _same_kind(items: tuple[Node, ...], view: View) -> tuple[Node, ...]:
    """Of a rule's variants, those that are about this event: a variant for another channel is never the nearest."""
    channel, event_id = view.text("channel"), view.text("eventid")
    if channel and event_id and event_id[0].isdecimal():
        fitting = tuple(item for item in items if reads(kinds(item), channel[0], int(event_id[0])))
        return fitting or items
    return items


def _value_list(items: tuple[Node, ...]) -> tuple[Test, ...]:
    """The tests, where they are nothing but one field's list of values compared in one manner."""
    tests = tuple(item for item in items if isinstance(item, Test))
    manners = {(test.field and key_of(test.field), test.op, test.cased, test.view) for test in tests}
    return tests if len(tests) == len(items) and len(manners) == 1 else ()


def _exclusion(item: Node, label: str, view: View) -> str:
    hits = "; ".join(_matching(item, view))
    name = label or _label_of(item, view)
    return f"{name} excludes it: {hits}" if name else f"the rule excludes it: {hits}"


def _label_of(node: Node, view: View) -> str:
    """The name of the group that matched; of "1 of filter_*" the filter that did."""
    if isinstance(node, Or):
        inner = next((_label_of(item, view) for item in node.items if compile_node(item)(view)), "")
        return inner or node.label
    return "" if isinstance(node, Test | Formula) else node.label


def _matching(node: Node, view: View) -> tuple[str, ...]:
    """What makes a true node true, as sentences about the event."""
    match node:
        case Test(field=field, op=op):
            if op is Op.IS_NULL or (op is Op.EXISTS and node.value is False):
                return (f"it has no {field}",)
            return (_has(node, view),)
        case Formula(term=term):
            return (f"{formula_text(term)} holds{_fields_of(node, view)}",)
        case Not(item=item):
            return tuple(f"not ({clause})" for clause in failing(item, view))
        case And(items=items):
            return tuple(clause for item in items for clause in _matching(item, view)) or ("everything does",)
        case Or(items=items):
            return next(_matching(item, view) for item in items if compile_node(item)(view))


def span_text(span: timedelta) -> str:
    """A span for people, in the largest unit that says it exactly: "30s", "5m", "1500ms"."""
    milliseconds = span // timedelta(milliseconds=1)
    units = (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1))
    return next((f"{milliseconds // size}{unit}" for unit, size in units if milliseconds and milliseconds % size == 0), "0s")


def formula_text(term: Term) -> str:
    """A term for people: functions as they are called, operators between what they compare."""
    if isinstance(term, FieldName):
        return term.name
    if not isinstance(term, Call):
        return shown(term) if term is not None else "null"
    mark = "" if term.cased else "~"
    arguments = [formula_text(argument) for argument in term.arguments]
    match term.function:
        case Function.NOT:
            return f"not {arguments[0]}"
        case Function.IS_NULL:
            return f"{arguments[0]} is null"
        case Function.IN | Function.LIKE | Function.REGEX:
            return f"{arguments[0]} {term.function}{mark} ({', '.join(arguments[1:])})"
        case function if len(arguments) == 2 and not function.isalpha():
            return f"{arguments[0]} {function} {arguments[1]}"
        case function:
            return f"{function}{mark}({', '.join(arguments)})"


def _fields_of(formula: Formula, view: View) -> str:
    """What the event has of the fields that a formula reads."""
    read = view if formula.view is ViewName.FLAT else view.ecs
    names: list[str] = []
    todo: list[Term] = [formula.term]
    while todo:
        term = todo.pop()
        if isinstance(term, FieldName) and term.name not in names:
            names.append(term.name)
        elif isinstance(term, Call):
            todo.extend(reversed(term.arguments))
    told = [f"{name} is {', '.join(shown(value[:LONGEST]) for value in read.text(key_of(name))) or 'absent'}" for name in names]
    return f": {', '.join(told)}" if told else ""


def _clause(tests: tuple[Test, ...], view: View) -> str:
    """One sentence about a field that has none of the wanted values."""
    first = tests[0]
    wants = _wants(first.op, tuple(shown(test.value) for test in tests))
    if first.field is None:
        return f"no field has what the rule wants: {wants}"
    return f"{_has(first, view)}, the rule wants {wants}"


def _has(test: Test, view: View) -> str:
    if test.field is None:
        return f"a field contains {shown(test.value)}"
    values = (view if test.view is ViewName.FLAT else view.ecs).text(key_of(test.field))
    if not values:
        return f"{test.field} is absent"
    return f"{test.field} is {', '.join(_excerpt(value, test) for value in values)}"


def _wants(op: Op, values: tuple[str, ...]) -> str:
    more = f" or {len(values) - _VALUES} more" if len(values) > _VALUES else ""
    listed = ", ".join(values[:_VALUES]) + more
    if len(values) > 1:
        listed = f"one of {listed}"
    match op:
        case Op.EQUALS:
            return listed
        case Op.CONTAINS:
            return f"it to contain {listed}"
        case Op.STARTS_WITH:
            return f"it to start with {listed}"
        case Op.ENDS_WITH:
            return f"it to end with {listed}"
        case Op.LIKE:
            return f"it to be like {listed}"
        case Op.REGEX:
            return f"it to match {listed}"
        case Op.CIDR:
            return f"an address in {listed}"
        case Op.EXISTS:
            return "it not to exist" if values == ("false",) else "it to exist"
        case Op.IS_NULL:
            return "it to be absent"
        case _:
            return f"it to be {op} {listed}"


def shown(value: object) -> str:
    """A value for people: bare where that is unmistakable, in quotes where blanks or control characters matter."""
    if isinstance(value, FieldName):
        return f"the value of {value.name}"
    text = text_of(value) if isinstance(value, str | int | float) else ""
    return text if text and text.isprintable() and not any(character in " ,;'" for character in text) else _quoted(text)


def _quoted(text: str) -> str:
    return "'" + "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text) + "'"


def _excerpt(value: str, test: Test) -> str:
    """A value, cut where it is long. The cut shows the place that nearly fits: the wanted text without the blanks around it."""
    if len(value) <= LONGEST:
        return shown(value)
    core = test.value.strip() if isinstance(test.value, str) else ""
    at = value.lower().find(core.lower()) if core else -1
    start = max(0, at - (LONGEST - len(core)) // 2) if at >= 0 else 0
    part = value[start : start + LONGEST]
    return f"{'…' if start else ''}{_quoted(part)}{'…' if start + LONGEST < len(value) else ''}"
