"""Sigma correlations to patterns: which rules they count, by what they group, and the condition that the measured values must satisfy.

Format: https://sigmahq.io/sigma-specification (Correlation Rules 2.0), and what pySigma 1.5 reads beside it: sums, averages, medians and
percentiles of a field, and expressions of rules as the condition of a temporal correlation. Ranges (`gt` with `lte`) are the
specification's, although pySigma refuses them. What the pattern means is told where it is evaluated (`harness.logic.correlate`). This file
must never know how an event rule is read: it is given the rules.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from difflib import get_close_matches
from math import isfinite
from typing import Any, Generic, Protocol, TypeVar

from harness.errors import UsageError
from harness.logic.correlate import CHAINED
from harness.logic.match import key_of
from harness.model.intent import Rule
from harness.model.tree import And, Correlation, FieldName, Measure, Node, Not, Op, Or, Part, Pattern, PatternKind, Stage, Test

_NESTED = 20
"""The most brackets or negations that an expression of rules may nest."""

_PARTS = 500
"""The most rules that a correlation may count, those that its correlations count among them."""

_CHAIN = 20
"""The most correlations that may count each other."""

_LONGEST = timedelta(days=36_600)
"""The longest time span: a hundred years."""

_MEASURES = {
    "event_count": Measure.EVENTS,
    "value_count": Measure.VALUES,
    "value_sum": Measure.SUM,
    "value_avg": Measure.AVERAGE,
    "value_median": Measure.MEDIAN,
    "value_percentile": Measure.PERCENTILE,
    "temporal": Measure.RULES,
    "temporal_ordered": Measure.RULES_IN_ORDER,
}

_TEMPORAL = (Measure.RULES, Measure.RULES_IN_ORDER)

_ORDER = {"gt": Op.GREATER, "gte": Op.GREATER_OR_EQUAL, "lt": Op.LESS, "lte": Op.LESS_OR_EQUAL, "eq": Op.EQUALS, "neq": Op.EQUALS}

_SPAN = re.compile(r"([0-9]{1,12})([smhdwMy])")

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800, "M": 2_629_746, "y": 31_556_952}
"""pySigma's units; the specification has those up to days."""

_KEYS = frozenset({"type", "rules", "group-by", "timespan", "aliases", "condition", "generate"})

_ID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")

_WORD = re.compile(r"\w+")


class Document(Protocol):
    """A Sigma document, as far as it matters to who counts its matches."""

    @property
    def values(self) -> dict[str, Any]:
        """What it says."""

    @property
    def source(self) -> str:
        """The text that it stands in."""

    @property
    def title(self) -> str:
        """What people call it."""

    @property
    def is_correlation(self) -> bool:
        """Whether it counts matches itself."""

    def error(self, what: str, *keys: str, fix: str = "") -> UsageError:
        """The error that says this of what stands at these nested keys."""

    def fields(self, names: Sequence[str]) -> dict[str, tuple[FieldName, ...]]:
        """Under which names its events have these fields."""


D = TypeVar("D", bound=Document)


@dataclass(frozen=True, slots=True, kw_only=True)
class Read(Generic[D]):
    """A correlation, read. `below` are all documents that it counts, `referred` those that it names itself."""

    pattern: Pattern
    below: tuple[D, ...]
    referred: tuple[D, ...]
    generate: bool


def referred_by(values: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of the rules that a correlation counts, in its order, ids in lower case. None where it names them in no way that is one."""
    correlation = values.get("correlation")
    if not isinstance(correlation, Mapping):
        return ()
    rules, condition = correlation.get("rules"), correlation.get("condition")
    if isinstance(rules, str):
        return (_folded(rules),)
    if isinstance(rules, list) and rules:
        return tuple(_folded(rule) for rule in rules if isinstance(rule, str))
    if isinstance(condition, str):
        return tuple(dict.fromkeys(word for word in _WORD.findall(condition) if word.lower() not in ("and", "or", "not")))
    return ()


def mentioned_by(values: Mapping[str, Any]) -> frozenset[str]:
    """The names of all rules that a correlation speaks of, those in its aliases among them."""
    correlation = values.get("correlation")
    aliases = correlation.get("aliases") if isinstance(correlation, Mapping) else None
    fields = aliases.values() if isinstance(aliases, Mapping) else ()
    aliased = (reference for each in fields if isinstance(each, Mapping) for reference in each if isinstance(reference, str))
    return frozenset((*referred_by(values), *map(_folded, aliased)))


def _folded(reference: str) -> str:
    """A name as it stands, an id in lower case."""
    return reference.lower() if _ID.fullmatch(reference) else reference


def correlation_of(document: D, named: Mapping[str, Sequence[D]], rules: Mapping[D, Rule]) -> Read[D]:
    """The pattern of a correlation. `named` are the documents by their names, `rules` those of them that are event rules, read.

    Raises `UsageError`.
    """
    reader = _Reader(named, rules)
    correlation, referred = reader.read(document, ())
    stages = tuple(Stage(condition=And(items=(rules[leaf].logic,), label=leaf.title)) for leaf in reader.leaves)
    pattern = Pattern(kind=PatternKind.CORRELATION, stages=stages, max_span=correlation.span, correlation=correlation)
    below = tuple(dict.fromkeys(reader.below))
    return Read(pattern=pattern, below=below, referred=referred, generate=document.values["correlation"].get("generate") is True)


@dataclass
class _Reader(Generic[D]):
    named: Mapping[str, Sequence[D]]
    rules: Mapping[D, Rule]
    leaves: list[D] = field(default_factory=list)
    below: list[D] = field(default_factory=list)
    parts: int = 0

    def read(self, document: D, above: tuple[D, ...]) -> tuple[Correlation, tuple[D, ...]]:
        """The correlation of a document and what it names; `above` are those that count it."""
        if document in above or len(above) >= _CHAIN:
            what = "it counts itself" if document in above else f"more than {_CHAIN} correlations count each other"
            raise document.error(what, "correlation", "rules")
        values = _checked(document)
        measure = _MEASURES[values["type"]]
        references = referred_by(document.values)
        referred = tuple(self._resolved(reference, document) for reference in references)
        if measure is not Measure.RULES_IN_ORDER and len(set(referred)) < len(referred):
            raise document.error("it names a rule twice", "correlation", "rules")
        self.parts += len(referred)
        if self.parts > _PARTS:
            raise document.error(f"it counts more than {_PARTS} rules", "correlation", "rules")
        keys, fields = _names(values.get("group-by")), _measured(values)
        parts = [self._part(document, reference, each, (*above, document)) for reference, each in zip(references, referred, strict=True)]
        aliases = _Aliases(document, values.get("aliases") or {}, {each: self._resolved(each, document) for each in _aliased(values)})
        made = tuple(
            Part(
                name=name,
                of=of,
                keys=tuple(aliases.fields(key, each, of) for key in keys),
                fields=tuple(aliases.fields(name, each, of) for name in fields),
            )
            for (name, of), each in zip(parts, referred, strict=True)
        )
        correlation = Correlation(
            measure=measure,
            parts=made,
            span=_span(document, values["timespan"]),
            condition=_condition(document, measure, values.get("condition"), [part.name for part in made]),
            keys=keys,
            fields=fields,
            percentile=_percentile(document, measure, values.get("condition")),
        )
        return correlation, referred

    def _part(self, document: D, reference: str, each: D, above: tuple[D, ...]) -> tuple[str, int | Correlation]:
        self.below.append(each)
        name = each.title if _ID.fullmatch(reference) else reference
        if each.is_correlation:
            return name, self.read(each, above)[0]
        if each not in self.rules:
            raise document.error(f"it counts {each.title!r}, which is not evaluable itself", "correlation", "rules")
        if each not in self.leaves:
            self.leaves.append(each)
        return name, self.leaves.index(each)

    def _resolved(self, reference: str, document: D) -> D:
        """The document of this name: that of the same text before any other."""
        known = self.named.get(reference, ())
        own = [each for each in known if each.source == document.source]
        found = own or known
        if len(found) == 1:
            return found[0]
        if found:
            what = f"{reference!r} is the name of several rules: of {found[0].source} and of {found[1].source}"
            raise document.error(what, "correlation", "rules", fix="name one by its id")
        near = get_close_matches(reference, self.named, 1)
        fix = f"did you mean {near[0]}?" if near else "put the rule beside it: in its file, or in a file that is loaded with it"
        raise document.error(f"there is no rule {reference!r}", "correlation", "rules", fix=fix)


@dataclass
class _Aliases(Generic[D]):
    """Under which names each rule's events have a field, by the aliases of a correlation."""

    document: D
    aliases: Mapping[str, Mapping[str, str]]
    documents: Mapping[str, D]

    def fields(self, name: str, rule: D, of: int | Correlation) -> tuple[FieldName, ...]:
        """The names of a field that the correlation calls so, in the events of a rule. Raises `UsageError` where an alias leaves it out."""
        if name not in self.aliases:
            return _events_fields(rule, name, of)
        own = next((own for reference, own in self.aliases[name].items() if self.documents[_folded(reference)] is rule), None)
        if own is not None:
            return _events_fields(rule, own, of)
        if isinstance(of, Correlation) and name in of.keys:
            return (FieldName(name=name),)
        what = f"the alias {name!r} names no field of the rule {rule.title!r}"
        raise self.document.error(what, "correlation", "aliases", name)


def _events_fields(rule: Document, name: str, of: int | Correlation) -> tuple[FieldName, ...]:
    """Of a correlation the names that its own rules' events have."""
    if not isinstance(of, Correlation):
        return rule.fields([name])[name]
    below = [FieldName(name=name)]
    if name in of.keys:
        below += [known for part in of.parts for known in part.keys[of.keys.index(name)]]
    return tuple(dict.fromkeys(below))


def _aliased(values: Mapping[str, Any]) -> Iterator[str]:
    """The rules that aliases name."""
    for fields in (values.get("aliases") or {}).values():
        yield from (_folded(reference) for reference in fields)


# --- what is wrong --------------------------------------------------------------------------------------------------------


def _checked(document: Document) -> Mapping[str, Any]:
    """The correlation section, each of its parts of its kind. Raises `UsageError`."""
    values = document.values["correlation"]
    if not isinstance(values, dict):
        raise document.error("has no correlation", "correlation", fix="correlation: with type, rules, timespan and condition")
    unknown = [key for key in values if key not in _KEYS]
    if unknown:
        near = get_close_matches(str(unknown[0]), _KEYS, 1)
        fix = f"did you mean {near[0]}?" if near else f"there are {', '.join(sorted(_KEYS))}"
        raise document.error(f"the key '{unknown[0]}' is unknown", "correlation", str(unknown[0]), fix=fix)
    if not isinstance(values.get("type"), str) or values["type"] not in _MEASURES:
        raise document.error("has no correlation type that is known", "correlation", "type", fix=f"there are {', '.join(_MEASURES)}")
    names = values.get("rules")
    if not referred_by(document.values) or (isinstance(names, list) and not all(isinstance(name, str) for name in names)):
        raise document.error("names no rules", "correlation", "rules", fix="rules: a list of names or ids")
    groups = values.get("group-by")
    if not isinstance(groups, str | list | None) or not all(isinstance(name, str) and name for name in _listed(groups)):
        raise document.error("does not group by names of fields", "correlation", "group-by")
    if not isinstance(values.get("generate", False), bool):
        raise document.error("'generate' is neither true nor false", "correlation", "generate")
    aliases = values.get("aliases")
    if aliases is not None and not (
        isinstance(aliases, dict)
        and all(isinstance(fields, dict) for fields in aliases.values())
        and all(isinstance(text, str) for fields in aliases.values() for pair in fields.items() for text in pair)
    ):
        raise document.error("the aliases are not names of rules and their fields", "correlation", "aliases")
    if "timespan" not in values:
        raise document.error("has no timespan", "correlation", fix="timespan: such as 5m")
    return values


def _listed(value: object) -> list[Any]:
    return value if isinstance(value, list) else [value] if value is not None else []


def _names(value: object) -> tuple[str, ...]:
    return tuple(dict.fromkeys(_listed(value)))


def _measured(values: Mapping[str, Any]) -> tuple[str, ...]:
    condition = values.get("condition")
    return _names(condition.get("field")) if isinstance(condition, dict) else ()


def _span(document: Document, text: object) -> timedelta:
    found = _SPAN.fullmatch(text) if isinstance(text, str) else None
    seconds = int(found[1]) * _SECONDS[found[2]] if found else 0
    if not 0 < seconds <= _LONGEST.total_seconds():
        fix = f"a number and one of {', '.join(_SECONDS)}, of at most {_LONGEST.days} days in all"
        raise document.error(f"the timespan {text!r} is none", "correlation", "timespan", fix=fix)
    return timedelta(seconds=seconds)


def _percentile(document: Document, measure: Measure, condition: object) -> int:
    value = condition.get("percentile") if isinstance(condition, dict) else None
    if measure is not Measure.PERCENTILE:
        if value is not None:
            raise document.error("a percentile is given, and the type is another", "correlation", "condition", "percentile")
        return 0
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 100:
        raise document.error("has no percentile from 0 to 100", "correlation", "condition", "percentile")
    return value


# --- the condition --------------------------------------------------------------------------------------------------------


def _condition(document: Document, measure: Measure, condition: object, parts: Sequence[str]) -> Node:
    place = ("correlation", "condition")
    if measure in _TEMPORAL and condition is None:
        return Test(field=measure, op=Op.GREATER_OR_EQUAL, value=len(parts))
    if isinstance(condition, str):
        if measure not in _TEMPORAL:
            raise document.error("an expression of rules is the condition of a temporal correlation alone", *place)
        return _expression(document, measure, condition, parts)
    if not isinstance(condition, dict) or not _ORDER.keys() & condition.keys():
        raise document.error("has no condition", *place, fix=f"condition: a mapping with one of {', '.join(_ORDER)}")
    for key in condition:
        if key not in _ORDER and key not in ("field", "percentile"):
            raise document.error(
                f"the condition's key '{key}' is unknown", *place, str(key), fix=f"there are {', '.join(_ORDER)} and field"
            )
    fields = _listed(condition.get("field"))
    if not all(isinstance(name, str) and name for name in fields):
        raise document.error("the condition's field is no name of one", *place, "field")
    if (measure in _TEMPORAL or measure is Measure.EVENTS) is bool(fields) or (len(fields) > 1 and measure is not Measure.VALUES):
        what = "the condition names a field, and events or rules are counted" if fields else "the condition names no field to be measured"
        raise document.error(what if len(fields) < 2 else "the condition names several fields", *place, fix="field: one name")
    tests = tuple(_comparison(document, measure, key, value) for key, value in condition.items() if key in _ORDER)
    whole = (Test(field=measure, op=Op.GREATER_OR_EQUAL, value=len(parts)),)
    if measure is Measure.RULES_IN_ORDER and len(parts) > CHAINED and tests != whole:
        raise document.error(f"of more than {CHAINED} rules in order only all can be asked for", *place)
    return tests[0] if len(tests) == 1 else And(items=tests)


def _comparison(document: Document, measure: Measure, key: str, value: object) -> Node:
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,18}", value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value) or abs(value) > 10**18:
        raise document.error(f"'{key}' takes a number", "correlation", "condition", key)
    test = Test(field=measure, op=_ORDER[key], value=value)
    return Not(item=test) if key == "neq" else test


def _expression(document: Document, measure: Measure, text: str, parts: Sequence[str]) -> Node:
    place = ("correlation", "condition")
    tokens = re.findall(r"[()]|\w+|[^\s\w()]+", text)
    if len(tokens) > 10 * _PARTS:
        raise document.error("the condition is too long", *place)
    expression = _Expression(tokens, ordered=measure is Measure.RULES_IN_ORDER)
    try:
        node = expression.whole()
    except ValueError as error:
        fix = "names of rules with and, or, not and brackets"
        raise document.error(f"the condition cannot be read: {error}", *place, fix=fix) from error
    if wrong := sorted(expression.named ^ set(parts)):
        left_out = wrong[0] in parts
        what = f"the condition leaves out {wrong[0]!r}" if left_out else f"the condition names {wrong[0]!r}, which is not among the rules"
        raise document.error(what, *place)
    known = [key_of(name) for part in parts for name in (part, f"any {part}")] + [key_of(each) for each in _TEMPORAL]
    if len(set(known)) < len(known):
        raise document.error("the names of rules in a condition differ by case alone", *place)
    if measure is Measure.RULES_IN_ORDER and len(parts) > CHAINED:
        raise document.error(f"a condition asks for the order of more than {CHAINED} rules", *place)
    return node


class _Expression:
    """An expression over rules: `not` before `and` before `or`, in small letters or in capitals. Raises `ValueError`.

    pySigma reads the same, but small letters alone, and takes twice as long for each bracket in another.
    """

    def __init__(self, tokens: Sequence[str], *, ordered: bool) -> None:
        self._tokens = [*tokens, ""]
        self._at = 0
        self._depth = 0
        self._ordered = ordered
        self.named: set[str] = set()

    def whole(self) -> Node:
        node = self._either(negated=False)
        if self._word:
            raise ValueError(f"{self._word!r} stands where nothing more can")
        return node

    @property
    def _word(self) -> str:
        return self._tokens[self._at]

    def _either(self, *, negated: bool) -> Node:
        items = [self._both(negated=negated)]
        while self._taken("or"):
            items.append(self._both(negated=negated))
        return items[0] if len(items) == 1 else Or(items=tuple(items))

    def _both(self, *, negated: bool) -> Node:
        items = [self._one(negated=negated)]
        while self._taken("and"):
            items.append(self._one(negated=negated))
        return items[0] if len(items) == 1 else And(items=tuple(items))

    def _one(self, *, negated: bool) -> Node:
        self._depth += 1
        if self._depth > _NESTED:
            raise ValueError(f"it is nested deeper than {_NESTED} levels")
        try:
            if self._taken("not"):
                return Not(item=self._one(negated=not negated))
            if self._taken("("):
                inner = self._either(negated=negated)
                if not self._taken(")"):
                    raise ValueError("a bracket is not closed")
                return inner
            name = self._word
            if not _WORD.fullmatch(name) or name.lower() in ("and", "or"):
                raise ValueError(f"{name!r} stands where a rule's name is expected" if name else "it ends where a rule's name is expected")
            self._at += 1
            self.named.add(name)
            # In an order, what must not be there must not be anywhere in the frame, whatever its place.
            return Test(field=f"any {name}" if self._ordered and negated else name, op=Op.EXISTS, value=True)
        finally:
            self._depth -= 1

    def _taken(self, word: str) -> bool:
        if self._word.lower() != word:
            return False
        self._at += 1
        return True
