"""What does a rule say? Its kinds of event, stages, exclusions and indicators, read off its tree, as a page for people.

Indicators are counted over the other rules of a catalog: what many look for is well-trodden ground, what nobody else looks for is this
rule's own. This module must never know a rule language nor how the page is printed.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from harness.events.kinds import channel_name, provider_of, title_of
from harness.logic.match import fold, key_of, text_of
from harness.logic.needs import ANY_CHANNEL, ANY_EVENT_ID, Kind, endpoint_kinds
from harness.logic.why import formula_text, near_kinds, span_text
from harness.model.intent import Rule
from harness.model.tree import And, Correlation, FieldName, Formula, Measure, Node, Not, Op, Or, Pattern, PatternKind, Test, ViewName
from harness.model.tree import Stage as PatternStage

_KIND_FIELDS = {ViewName.FLAT: {"channel", "eventid"}, ViewName.ECS: {"event.category", "event.type", "event.code", "host.os.type"}}

_WORDS: Mapping[Op, str] = {
    Op.EQUALS: "eq",
    Op.CONTAINS: "match",
    Op.STARTS_WITH: "starts_with",
    Op.ENDS_WITH: "ends_with",
    Op.LIKE: "wildcard",
    Op.REGEX: "regex",
    Op.CIDR: "cidr",
    Op.LESS: "lt",
    Op.LESS_OR_EQUAL: "lte",
    Op.GREATER: "gt",
    Op.GREATER_OR_EQUAL: "gte",
    Op.EXISTS: "exists",
    Op.IS_NULL: "is_null",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class EventKind:
    """A kind of event that may satisfy the rule. `event_id` None: every one of its log; `channel` empty: of every log."""

    provider: str
    channel: str
    event_id: int | None
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One part of a rule that must hold: its name, and the predicates in it, a line each, indented by what contains what."""

    name: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One way in which the rule can match (process creation is logged twice). `label` is empty where there is but one.

    A pattern of several events is one way, each of its events a stage.
    """

    label: str
    condition: str
    stages: tuple[Stage, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Predicate:
    """A field, what is asked of it in one word (`eq`, `match` is contains, ...), and the value as text."""

    field: str
    kind: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Indicator:
    """A predicate that the rule matches, and how many other rules of the catalog look for the same, by rule language."""

    predicate: Predicate
    others: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """A rule, explained. `catalog` names what was counted, `counted` says how many rules that are."""

    rule: Rule
    kinds: tuple[EventKind, ...]
    variants: tuple[Variant, ...]
    exclusions: tuple[Predicate, ...]
    indicators: tuple[Indicator, ...]
    catalog: str
    counted: int


def explain(rule: Rule, catalog: Sequence[Rule], name: str) -> Explanation:
    """The page of one rule; its indicators counted over the catalog's other rules (those with another id)."""
    parts = _parts(rule)
    wanted = list(dict.fromkeys(test for part in parts for test in _indicators(part)))
    others = _count({_key(test) for test in wanted}, (each for each in catalog if each.id != rule.id))
    excluded = [test for part in parts for test in _exclusions(part)]
    ways = (_variant(part, alone=len(parts) == 1) for part in parts) if rule.pattern is None else (_of_pattern(rule.pattern),)
    return Explanation(
        rule=rule,
        kinds=rule_event_kinds(rule),
        variants=() if rule.not_evaluated else tuple(ways),
        exclusions=tuple(dict.fromkeys(_predicate(test) for test in excluded)),
        indicators=tuple(Indicator(predicate=_predicate(test), others=dict(sorted(others[_key(test)].items()))) for test in wanted),
        catalog=name,
        counted=len(catalog),
    )


def _parts(rule: Rule) -> tuple[Node, ...]:
    """What the rule matches events by: its variants, or the present stages of its pattern, equal ones once."""
    if rule.pattern is None:
        return variants(rule.logic)
    return tuple(dict.fromkeys(stage.condition for stage in rule.pattern.stages if not stage.missing))


def rule_event_kinds(rule: Rule) -> tuple[EventKind, ...]:
    """The kinds of event that a rule looks at; of a pattern those of all its stages, missing ones among them."""
    if rule.pattern is None:
        return event_kinds(rule.logic)
    found = dict.fromkeys(kind for stage in rule.pattern.asked for kind in event_kinds(stage.condition))
    return tuple(sorted(found, key=lambda kind: (kind.channel, -1 if kind.event_id is None else kind.event_id)))


def event_kinds(logic: Node) -> tuple[EventKind, ...]:
    """The kinds of event that may satisfy a tree, each with who logs it and its title where these are known.

    Kinds without a field that the tree cannot do without are left out, unless no kind has them all; so are the Elastic Endpoint's beside
    those of Windows.
    """
    written = {fold(_text(test)): _text(test) for test in tests_of(logic) if test.op is Op.EQUALS and _key_field(test) == "channel"}
    near = near_kinds(logic)
    return tuple(_event_kind(kind, written) for kind in sorted(near - endpoint_kinds(logic) or near))


def kind_name(kind: EventKind) -> str:
    """A kind of event in two words: who logs it, and its number."""
    return f"{kind.provider or 'any log'} {'every event' if kind.event_id is None else kind.event_id}"


def kind_text(kind: EventKind) -> str:
    """A kind of event in one line, with its title where it is known."""
    return kind_name(kind) + (f" ({kind.title})" if kind.title else "")


def pattern_text(pattern: Pattern) -> str:
    """How a pattern's events lie to each other, in one line."""
    if pattern.kind is PatternKind.SINGLE:
        return "one event"
    if pattern.correlation is not None:
        return correlation_text(pattern.correlation)
    count = sum(not stage.missing for stage in pattern.stages)
    same = [_joined(stages) for stages in zip(*(stage.keys for stage in pattern.stages), strict=True)]
    keys = f" of the same {' and '.join(same)}" if same else ""
    order = ", one after the other" if pattern.kind is PatternKind.SEQUENCE else ", in any order"
    span = f", within {span_text(pattern.max_span)}" if pattern.max_span else ""
    return f"{count} events{keys}{order}{span}"


def correlation_text(correlation: Correlation) -> str:
    """What a correlation counts, of what, and within which span, in one line; those that it counts in brackets."""
    parts = [f"{part.name} ({correlation_text(part.of)})" if isinstance(part.of, Correlation) else part.name for part in correlation.parts]
    joined = (", then " if correlation.measure is Measure.RULES_IN_ORDER else ", ").join(parts)
    measured = f" of {', '.join(correlation.fields)}" if correlation.fields else ""
    rank = f" (the {correlation.percentile}th)" if correlation.measure is Measure.PERCENTILE else ""
    keys = f", of the same {' and '.join(correlation.keys)}" if correlation.keys else ""
    span = span_text(correlation.span)
    return f"{condition_text(correlation.condition)}{rank}{measured} among events of {joined}{keys}, within {span}"


def condition_text(condition: Node) -> str:
    """What a correlation asks of what it measured: numbers compared, or an expression of rules."""
    match condition:
        case Test(op=Op.EXISTS, field=str(name)):
            return name
        case Not(item=Test(op=Op.EQUALS) as test):
            return f"{_field(test)} is not {_text(test)}"
        case Not(item=item):
            return f"no {condition_text(item)}"
        case Test():
            return f"{_field(condition)} {'is' if condition.op is Op.EQUALS else condition.op} {_text(condition)}"
        case And(items=items) | Or(items=items):
            word = " and " if isinstance(condition, And) else " or "
            return "(" + word.join(condition_text(item) for item in items) + ")"
        case Formula(term=term):
            return formula_text(term)


def _joined(keys: Sequence[FieldName]) -> str:
    """One place of the join keys: a name, or the names in the order of the stages where these differ."""
    return " = ".join(dict.fromkeys(key.name for key in keys))


def variants(logic: Node) -> tuple[Node, ...]:
    """The ways in which a rule can match, where its loader made several of one: the labelled parts of an unlabelled `or`."""
    if isinstance(logic, Or) and not logic.label and logic.items and all(isinstance(item, And) and item.label for item in logic.items):
        return logic.items
    return (logic,)


def conjuncts(node: Node) -> Iterator[Node]:
    """What must hold for the node to hold, taken apart as far as it goes."""
    if isinstance(node, And):
        for item in node.items:
            yield from conjuncts(item)
    else:
        yield node


def _event_kind(kind: Kind, written: Mapping[str, str]) -> EventKind:
    channel, event_id = kind
    if channel == ANY_CHANNEL:
        provider = name = ""
    else:
        name = channel_name(written.get(channel, channel))
        provider = provider_of(name)
    number = None if event_id == ANY_EVENT_ID else event_id
    return EventKind(provider=provider, channel=name, event_id=number, title="" if number is None else title_of(channel, number))


# --- stages ---------------------------------------------------------------------------------------------------------------


def _variant(node: Node, *, alone: bool) -> Variant:
    """The parts of a variant but for the tests of channel and event id that its loader added, which the event coverage tells."""
    items = node.items if isinstance(node, And) else (node,)
    parts = [item for item in items if not _only_kind(item)]
    label = "" if alone or not isinstance(node, And) else node.label
    stages = tuple(Stage(name=_stage_name(part), lines=tuple(_stage_lines(part))) for part in parts)
    return Variant(label=label, condition=" and ".join(_name(part, nested=True) for part in parts), stages=stages)


def _of_pattern(pattern: Pattern) -> Variant:
    """A pattern's events, in their order, and what ends it. Several events in a row that are asked the same are one stage."""
    named: list[Stage] = []
    if pattern.correlation is not None:
        named = [Stage(name=f"an event of {_name(stage.condition)}", lines=tuple(_lines(stage.condition, 0))) for stage in pattern.stages]
        return Variant(label="", condition=pattern_text(pattern), stages=tuple(named))
    number = 0
    for stage, count in _runs(pattern.stages):
        number += 0 if stage.missing else count
        which = f"event {number}" if count == 1 else f"events {number - count + 1} to {number}"
        name = (
            f"no event between them after event {number}"
            if stage.missing and number
            else "no event before them"
            if stage.missing
            else which
        )
        named.append(Stage(name=name, lines=tuple(_lines(stage.condition, 0)) or ("any event",)))
    if pattern.until is not None:
        named.append(Stage(name="until", lines=tuple(_lines(pattern.until.condition, 0)) or ("any event",)))
    pipes = "".join(f" | {pipe.kind} {pipe.count}" for pipe in pattern.pipes)
    return Variant(label="", condition=pattern_text(pattern) + pipes, stages=tuple(named))


def _runs(stages: Sequence[PatternStage]) -> Iterator[tuple[PatternStage, int]]:
    for stage, same in groupby(stages):
        yield stage, len(tuple(same))


def _only_kind(node: Node) -> bool:
    if isinstance(node, Test):
        return _is_kind(node)
    return isinstance(node, And | Or) and not node.label and bool(node.items) and all(_only_kind(item) for item in node.items)


def _name(node: Node, *, nested: bool = False) -> str:
    """A node by the names that its author gave to groups; a test without such a name by what it asks."""
    match node:
        case Test():
            return test_text(node)
        case Formula(term=term):
            return formula_text(term)
        case Not(item=item):
            return f"not {_name(item, nested=True)}"
        case And(items=items) | Or(items=items):
            if node.label:
                return node.label
            if len(items) == 1:
                return _name(items[0], nested=nested)
            joined = (" and " if isinstance(node, And) else " or ").join(_name(item, nested=True) for item in items)
            return f"({joined})" if nested else joined


def _stage_name(node: Node) -> str:
    """As `_name`, but "not 1 of filter_*" is "not filter_*", and "not filter_one" where it is one alone."""
    if isinstance(node, Not) and isinstance(node.item, Or) and node.item.label.startswith("1 of "):
        group = node.item
        only = group.items[0] if len(group.items) == 1 else group
        return f"not {_name(only, nested=True).removeprefix('1 of ')}"
    return _name(node)


def _stage_lines(node: Node) -> Iterator[str]:
    inner = node.item if isinstance(node, Not) else node
    if isinstance(inner, Or | And) and inner.label.startswith(("1 of ", "all of ")):
        for item in inner.items:
            yield from _lines(item, 0)
    else:
        yield from _lines(inner, 0)


def _lines(node: Node, depth: int) -> Iterator[str]:
    """A node as indented lines; values of one field under one operation stand together."""
    pad = "    " * depth
    match node:
        case Test():
            yield pad + test_text(node)
        case Formula(term=term):
            yield pad + formula_text(term)
        case Not(item=item):
            yield f"{pad}not:"
            yield from _lines(item, depth + 1)
        case And(items=items) | Or(items=items):
            tests = [item for item in items if isinstance(item, Test)]
            together = len({(test.field, test.op, test.cased) for test in tests}) == 1 and len(tests) == len(items) > 1
            how = "all of" if isinstance(node, And) else "any of"
            if node.label:
                yield f"{pad}{node.label}: {how}" if len(items) > 1 else f"{pad}{node.label}:"
                pad, depth = pad + "    ", depth + 1
            if together:
                yield f"{pad}{_subject(tests[0])} {how}:"
                for test in tests:
                    yield f"{pad}    - {_value(test)}"
            else:
                if not node.label and len(items) > 1:
                    yield f"{pad}{how}:"
                    depth += 1
                for item in items:
                    yield from _lines(item, depth)


def test_text(test: Test) -> str:
    """A test as a sentence: the field, what is asked of it, and the value."""
    if test.op is Op.IS_NULL:
        return f"{_field(test)} is null"
    if test.op is Op.EXISTS:
        return f"{_field(test)} {'does not exist' if test.value is False else 'exists'}"
    return f"{_subject(test)} {_value(test)}"


def _subject(test: Test) -> str:
    return f"{_field(test)} {test.op}{' (with regard to case)' if test.cased and test.op is not Op.REGEX else ''}"


def _field(test: Test) -> str:
    return "any field" if test.field is None else test.field


def _value(test: Test) -> str:
    """The value; in quotes where a blank at an end would not be seen."""
    text = _text(test)
    return f"'{text}'" if text != text.strip() or not text else text


def _text(test: Test) -> str:
    if isinstance(test.value, FieldName):
        return f"the value of {test.value.name}"
    return "" if test.value is None else text_of(test.value)


# --- exclusions and indicators --------------------------------------------------------------------------------------------


def _exclusions(node: Node) -> Iterator[Test]:
    """The tests under a top-level NOT: what the rule suppresses. One negated once more inside it is none."""
    for part in conjuncts(node):
        if isinstance(part, Not):
            yield from _positive(part.item)


def _indicators(node: Node) -> Iterator[Test]:
    """The tests that the rule wants to hold, but for those of the kind of event, which say where to look and not for what."""
    return (test for test in _positive(node) if not _is_kind(test))


def _is_kind(test: Test) -> bool:
    return _key_field(test) in _KIND_FIELDS[test.view]


def _positive(node: Node, *, negated: bool = False) -> Iterator[Test]:
    match node:
        case Test():
            if not negated:
                yield node
        case Not(item=item):
            yield from _positive(item, negated=not negated)
        case And(items=items) | Or(items=items):
            for item in items:
                yield from _positive(item, negated=negated)


def tests_of(node: Node) -> Iterator[Test]:
    """Every test in a tree, wherever it stands."""
    match node:
        case Test():
            yield node
        case Not(item=item):
            yield from tests_of(item)
        case And(items=items) | Or(items=items):
            for item in items:
                yield from tests_of(item)


def _key_field(test: Test) -> str:
    return "" if test.field is None else key_of(test.field)


def _predicate(test: Test) -> Predicate:
    kind = _WORDS[test.op] + ("_cased" if test.cased and test.op is not Op.REGEX else "")
    return Predicate(field=_field(test), kind=kind, value=_text(test))


_Key = tuple[str, Op, bool, str]


def _key(test: Test) -> _Key:
    """What makes two predicates the same: case where it is not looked at, and 5985 beside "5985", make no difference."""
    cased = test.cased or test.op is Op.REGEX
    return _key_field(test), test.op, test.cased, _text(test) if cased else fold(_text(test))


def _count(keys: set[_Key], rules: Iterable[Rule]) -> Mapping[_Key, Counter[str]]:
    counts: defaultdict[_Key, Counter[str]] = defaultdict(Counter)
    for rule in rules:
        found = {_key(test) for part in _parts(rule) for test in _indicators(part)}
        for key in found & keys:
            counts[key][rule.language] += 1
    return counts
