"""What is wrong with a rule that loads? Faults that its tree alone proves: it can never match, or asks for what no event holds.

Said only where it is certain by what is known of Windows events; where a kind of event is not known, nothing is said of its fields.
This module must never know a rule language.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from math import inf

from harness.events.kinds import fields_of
from harness.logic.explain import conjuncts, event_kinds, kind_name, rule_event_kinds, test_text, tests_of, variants
from harness.logic.match import View, compile_node, fold, key_of, text_of
from harness.logic.needs import able_kinds, kinds, rule_kinds
from harness.logic.requirements import untold
from harness.logic.why import span_text
from harness.model.facts import FlatValue
from harness.model.intent import Rule
from harness.model.tree import And, FieldName, Formula, Node, Not, Op, Or, Test, ViewName


class Fault(StrEnum):
    """Kinds of finding."""

    NEVER = "never matches"
    UNKNOWN_FIELD = "unknown field"
    BLANK = "blank at an end"
    LINE_END = "line end"
    SAME_ID = "same id"
    NO_ID = "no id"
    UNTOLD = "told by no event"
    SCHEDULE = "schedule"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One fault of one rule; `value` is the text in the rule that it is about, empty where it is about the whole."""

    rule: Rule
    fault: Fault
    what: str
    fix: str = ""
    value: str = ""


# Fields whose value has several lines of the form `Name = value` (or `Name=value`), each closed with CRLF as Windows logs it: a value
# with its name ends where the line ends, and no blank follows. A blank after a word alone may stand inside a command line: nothing is
# said of it.
_LINES = frozenset({"contextinfo", "data", "message"})

# Fields that hold several values at once, of which any may satisfy a test: two different ones are no contradiction. Those of the ECS view
# are the ones that its reference lists as arrays.
_ECS_ARRAYS = """
    dll.pe.sections dns.answers dns.header_flags dns.resolved_ip event.category event.type file.attributes host.ip host.mac
    process.args process.env_vars process.parent.args registry.data.strings related.hash related.hosts related.ip related.user tags
    threat.tactic.id threat.technique.id user.roles winlog.event_data.keywords winlog.keywords
"""
_LISTS = {ViewName.FLAT: frozenset({"data", "keywords"}), ViewName.ECS: frozenset(_ECS_ARRAYS.split())}

_Place = tuple[ViewName, str]
"""A field: the view it is of, and its key there."""

# Elastic's rules quote whole command lines as they were logged, and many a program builds one that ends in a blank.
_COMMAND_LINES = frozenset({"process.command_line", "process.parent.command_line"})

# Indices of Elastic's that hold Windows' own events; others hold those of other sensors (logs-endpoint.events.* is Elastic Defend's).
_WINDOWS_INDICES = ("winlogbeat-", "logs-windows.", "logs-system.")

_CANDIDATES = 200
"""Values of one field that are tried against the rest of the rule. A longer list is an allow list or a blocklist, where each value was
somebody's find: that all of them contradict the rest does not happen, and trying them takes time that a hostile rule would use."""

_COMPARABLE = (Op.LESS, Op.LESS_OR_EQUAL, Op.GREATER, Op.GREATER_OR_EQUAL)


def lint(rules: Sequence[Rule]) -> Iterator[Finding]:
    """Every finding of every rule, in the rules' order."""
    first: dict[str, Rule] = {}
    for rule in rules:
        known = first.setdefault(rule.id, rule)
        if known is not rule:
            what = f"its id is that of {known.source} as well"
            yield Finding(rule=rule, fault=Fault.SAME_ID, what=what, fix="give one of them an id of its own", value=rule.id)
        if rule.id_made:
            what = "it has no id: the one that is made of its text changes with every letter of it"
            yield Finding(rule=rule, fault=Fault.NO_ID, what=what, fix=f"id: {rule.id}")
        yield from _never(rule)
        yield from _fields(rule)
        yield from _untold(rule)
        yield from _ends(rule)
        yield from _schedule(rule)


# --- never ----------------------------------------------------------------------------------------------------------------


def _never(rule: Rule) -> Iterator[Finding]:
    for label, part in _parts(rule):
        reason = contradiction(part)
        if reason is None and not kinds(part):
            reason = "no event is of the kinds that it asks for all at once"
        if reason is not None:
            yield Finding(rule=rule, fault=Fault.NEVER, what=f"{label}{reason}", fix="take one of the two out")


def _parts(rule: Rule) -> Iterator[tuple[str, Node]]:
    """What has to be satisfiable: a rule's variants, or each event that its pattern wants; and how to name which of them it is."""
    if rule.not_evaluated:
        return
    if rule.pattern is None:
        for variant in variants(rule.logic):
            yield (f"on {variant.label}, " if isinstance(variant, And) and variant is not rule.logic else ""), variant
        return
    present = [stage.condition for stage in rule.pattern.stages if not stage.missing]
    for condition in dict.fromkeys(present):
        yield (f"in event {present.index(condition) + 1}, " if len(present) > 1 else ""), condition


def contradiction(node: Node) -> str | None:
    """Why no event at all can satisfy the node; None where one may. Finds what is contradictory by values, not by meaning."""
    match node:
        case Test() | Formula():
            return None
        case Not(item=item):
            return "it excludes every event" if _always(item) else None
        case Or(items=items):
            reasons = [contradiction(item) for item in items]
            if not items:
                return "it has no alternative"
            return next(iter(reasons)) if all(reason is not None for reason in reasons) else None
        case And():
            parts = tuple(conjuncts(node))
            return next((reason for part in parts if (reason := contradiction(part)) is not None), None) or _clash(parts)


def _always(node: Node) -> bool:
    match node:
        case Test() | Formula():
            return False
        case Not(item=item):
            return contradiction(item) is not None
        case And(items=items):
            return all(_always(item) for item in items)
        case Or(items=items):
            return any(_always(item) for item in items)


def _clash(parts: Sequence[Node]) -> str | None:
    held = frozenset(_bare(part) for part in parts if not isinstance(part, Not))
    for part in parts:
        if isinstance(part, Not) and _implied(_bare(part.item), held):
            return f"it asks for what {_called(part.item)} excludes"
    for place, (name, values) in _candidates(parts).items():
        left = [value for value in values if not any(_holds(part, place, value) is False for part in parts)]
        if not left:
            return f"no value of {name} satisfies everything that it asks of it ({_listed(values)} each fail another part)"
    return _absent_and_present(parts) or _empty_range(parts)


def _called(node: Node) -> str:
    if isinstance(node, Test):
        return f"the exclusion of {node.field or 'a keyword'}"
    if isinstance(node, Or | And):
        only = node.items[0] if len(node.items) == 1 else node
        named = only.label if isinstance(only, And | Or | Not) else ""
        return named or node.label or "an exclusion"
    return "an exclusion"


def _implied(node: Node, held: frozenset[Node]) -> bool:
    """Whether the node must hold where all these hold, by their form alone. All of them without labels."""
    if node in held:
        return True
    if isinstance(node, And):
        return bool(node.items) and all(_implied(item, held) for item in node.items)
    return isinstance(node, Or) and any(_implied(item, held) for item in node.items)


def _bare(node: Node) -> Node:
    """The node without the names that people gave to groups: two that differ in these alone are the same."""
    match node:
        case Test() | Formula():
            return node
        case Not(item=item):
            return Not(item=_bare(item))
        case And(items=items):
            return And(items=tuple(_bare(item) for item in items))
        case Or(items=items):
            return Or(items=tuple(_bare(item) for item in items))


def _items(node: Node) -> tuple[Node, ...]:
    match node:
        case Test() | Formula():
            return ()
        case Not(item=item):
            return (item,)
        case And(items=items) | Or(items=items):
            return items


def _place(test: Test) -> _Place:
    return test.view, key_of(test.field or "")


def _takes_several(place: _Place) -> bool:
    view, key = place
    return key in _LISTS[view]


def _candidates(parts: Sequence[Node]) -> Mapping[_Place, tuple[str, tuple[str, ...]]]:
    """Fields that a part ties to some values: the name, and the values of the part that has the fewest."""
    found: dict[_Place, tuple[str, tuple[str, ...]]] = {}
    for part in parts:
        tests = part.items if isinstance(part, Or) else (part,)
        wanted = [test for test in tests if isinstance(test, Test) and test.field is not None and test.op is Op.EQUALS]
        places = {_place(test) for test in wanted}
        values = tuple(text_of(test.value) for test in wanted if isinstance(test.value, str | int | float))
        if len(places) != 1 or len(values) != len(tests) or len(values) > _CANDIDATES:
            continue
        place = places.pop()
        if not _takes_several(place) and (place not in found or len(values) < len(found[place][1])):
            found[place] = (str(wanted[0].field), values)
    return found


def _holds(node: Node, place: _Place, value: str) -> bool | None:
    """Whether the node is true of events of which this field alone is known; None where that hangs on another field."""
    match node:
        case Test(field=field, value=wanted):
            if field is None or _place(node) != place or isinstance(wanted, FieldName):
                return None
            known: dict[str, FlatValue] = {place[1]: value}
            # A pattern is not run: a rule written to be slow must not be slow here. Nor is a value's case known, where case matters.
            # The one known value is the field's in its own view, so it is read as it stands, made from nothing.
            return None if node.op is Op.REGEX or node.cased else compile_node(replace(node, view=ViewName.FLAT))(View(known))
        case Formula():
            return None
        case Not(item=item):
            inner = _holds(item, place, value)
            return None if inner is None else not inner
        case And(items=items):
            answers = [_holds(item, place, value) for item in items]
            return False if False in answers else None if None in answers else True
        case Or(items=items):
            answers = [_holds(item, place, value) for item in items]
            return True if True in answers else None if None in answers else False


def _absent_and_present(parts: Sequence[Node]) -> str | None:
    tests = [part for part in parts if isinstance(part, Test) and part.field is not None]
    absent = {_place(test) for test in tests if _wants_absence(test)}
    for test in tests:
        if _place(test) in absent and not _wants_absence(test):
            return f"it asks for {test.field} to be absent and to have a value"
    return None


def _wants_absence(test: Test) -> bool:
    return test.op is Op.IS_NULL or (test.op is Op.EXISTS and test.value is False)


def _empty_range(parts: Sequence[Node]) -> str | None:
    low: dict[_Place, tuple[float, bool]] = {}
    high: dict[_Place, tuple[float, bool]] = {}
    for part in parts:
        if isinstance(part, Test) and part.op in _COMPARABLE and part.field is not None and isinstance(part.value, int | float):
            key, limit = _place(part), float(part.value)
            if _takes_several(key):
                continue
            strict = part.op in (Op.LESS, Op.GREATER)
            if part.op in (Op.GREATER, Op.GREATER_OR_EQUAL):
                low[key] = max(low.get(key, (-inf, False)), (limit, strict))
            else:
                bound, was_strict = high.get(key, (inf, False))
                high[key] = (limit, strict or (limit == bound and was_strict)) if limit <= bound else (bound, was_strict)
            (least, open_below), (most, open_above) = low.get(key, (-inf, False)), high.get(key, (inf, False))
            if least > most or (least == most and (open_below or open_above)):
                return f"no number is what it asks {part.field} to be"
    return None


def _listed(values: Iterable[str]) -> str:
    return ", ".join(list(values)[:3])


# --- fields and values ----------------------------------------------------------------------------------------------------


def _fields(rule: Rule) -> Iterator[Finding]:
    """Fields that none of the rule's kinds of event has. A rule on two kinds may name what only one of them has."""
    wanted = rule_kinds(rule)
    schemas = [fields_of(channel, event_id) for channel, event_id in wanted]
    known = frozenset[str]().union(*(schema for schema in schemas if schema is not None))
    if not schemas or any(schema is None for schema in schemas):
        return
    asked = {key_of(test.field): test.field for test in tests_of(rule.logic) if test.field is not None and test.view is ViewName.FLAT}
    unknown = {key: field for key, field in asked.items() if key not in known}
    titles = ", ".join(kind_name(kind) for kind in rule_event_kinds(rule))
    for name in unknown.values():
        yield Finding(rule=rule, fault=Fault.UNKNOWN_FIELD, what=f"{name} is no field of its kinds of event ({titles})", value=name)


def _untold(rule: Rule) -> Iterator[Finding]:
    """Fields of the ECS view without which an event cannot satisfy the rule, and which none of its kinds of event has.

    A rule whose indices hold no Windows events was written for another sensor, and this is no fault of it.
    """
    index = rule.elastic.index if rule.elastic else ()
    others = [name for name in index if not name.startswith(_WINDOWS_INDICES)]
    if index and len(others) == len(index):
        return
    for label, part in _parts(rule):
        if able_kinds(part) or contradiction(part) is not None:
            continue
        titles = ", ".join(kind_name(kind) for kind in event_kinds(part))
        for test in untold(part):
            what = f"{label}it wants {test_text(test)}, which none of the Windows events that it reads tells ({titles})"
            fix = f"it can fire on {', '.join(others)} alone" if others else "take it out, or read the telemetry of a sensor that tells it"
            yield Finding(rule=rule, fault=Fault.UNTOLD, what=what, fix=fix, value=test.field or "")


def _schedule(rule: Rule) -> Iterator[Finding]:
    if rule.elastic is None:
        return
    back, every = rule.elastic.look_back, rule.elastic.interval
    if back < every:
        what = f"it runs every {span_text(every)} and looks back {span_text(back)}: what happens in between is never looked at"
        yield Finding(rule=rule, fault=Fault.SCHEDULE, what=what, fix="look back further than the interval", value="from")
    span = rule.pattern.max_span if rule.pattern is not None else None
    if span is not None and span > back:
        what = f"its events may lie {span_text(span)} apart, and it looks back {span_text(back)} only"
        yield Finding(rule=rule, fault=Fault.SCHEDULE, what=what, fix="look back further than maxspan", value="from")


def _ends(rule: Rule) -> Iterator[Finding]:
    seen: set[tuple[str, str]] = set()
    for test in tests_of(rule.logic):
        if not isinstance(test.value, str) or test.op in (Op.REGEX, Op.CIDR) or (test.field or "", test.value) in seen:
            continue
        seen.add((test.field or "", test.value))
        text, name = test.value, test.field or "a keyword"
        if "\n" in text.replace("\r\n", ""):
            what = f"{name} asks for {text!r}, a bare line feed: Windows logs line ends as CRLF"
            yield Finding(rule=rule, fault=Fault.LINE_END, what=what, fix="ask for each line by itself", value=text.splitlines()[0])
        elif text.endswith((" ", "\t")) and "=" in text and fold(name) in _LINES:
            what = f"{name} asks for {text!r}: its lines end in CRLF, so a value that ends its line is followed by no blank"
            yield Finding(rule=rule, fault=Fault.LINE_END, what=what, fix="take the blank at the end out", value=text)
        elif text.strip() and text != text.rstrip() and test.op in (Op.EQUALS, Op.ENDS_WITH) and key_of(name) not in _COMMAND_LINES:
            what = f"{name} {test.op} {text!r}, which ends in a blank"
            yield Finding(rule=rule, fault=Fault.BLANK, what=what, fix="take it out unless the event has it", value=text)
