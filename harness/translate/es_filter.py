"""A tree over ECS fields as a filter of Elasticsearch's query DSL, for engines that take one and not EQL.

It means what the EQL of the same rule means: letters are compared without regard to case where the rule does so, on plain keyword fields.
This module must never know what runs the filter.

Source: https://www.elastic.co/docs/reference/query-languages/query-dsl/term-level-queries
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from harness.model.intent import Rule
from harness.model.tree import And, FieldName, Formula, Node, Not, Op, Or, Test
from harness.rules.eql import parse_eql
from harness.rules.sigma import LANGUAGE
from harness.translate.ascii_regex import parse_regex
from harness.translate.ecs_names import NUMBERS
from harness.translate.eql import as_cased, eql
from harness.translate.parts import ANY_RUN, one_event, pieces, reads_ecs
from harness.translate.refusal import NotExpressible
from harness.translate.regexes import cased_only, lucene

_LONGEST_REGEX = 1000
"""Characters; an index allows no more unless it is told to (`index.max_regex_length`)."""

ALSO: Mapping[str, tuple[str, ...]] = {
    "message": tuple(f"winlog.event_data.param{number}" for number in range(1, 10)),
    "powershell.file.script_block_text": ("winlog.event_data.ScriptBlockText",),
}
"""Where else the text of a field is kept that winlogbeat maps as analysed text, which no pattern over a whole text finds."""

_RANGE = {Op.LESS: "lt", Op.LESS_OR_EQUAL: "lte", Op.GREATER: "gt", Op.GREATER_OR_EQUAL: "gte"}

Filter = dict[str, Any]


def es_filter(rule: Rule) -> tuple[Filter, tuple[str, ...], frozenset[str]]:
    """The filter, what it loses, and the fields that it asks for. Raises `NotExpressible`."""
    node, notes = over_ecs(rule)
    names: set[str] = set()
    return _filter(node, names), notes, frozenset(names)


def filters(rule: Rule) -> tuple[Filter, ...]:
    """A filter for the one event that the rule is about, else for each of `Pattern.asked`. Raises `NotExpressible`."""
    if rule.not_evaluated or rule.pattern is None:
        return (es_filter(rule)[0],)
    if rule.pattern.correlation is not None:
        raise NotExpressible("the rule counts events over a span of time")
    names: set[str] = set()
    return tuple(_filter(stage.condition, names) for stage in rule.pattern.asked)


def over_ecs(rule: Rule) -> tuple[Node, tuple[str, ...]]:
    """What the rule asks of one event's ECS fields, and what that loses. Raises `NotExpressible`."""
    node = one_event(rule)
    if rule.language == LANGUAGE:
        text, notes, _ = eql(rule)
        return parse_eql(text).logic, notes
    if not reads_ecs(node):
        raise NotExpressible(f"this translation is made of Sigma's and Elastic's rules, and the rule is in {rule.language}")
    return node, ()


def _filter(node: Node, names: set[str]) -> Filter:
    match node:
        case And(items=items):
            return _all(_filter(item, names) for item in items)
        case Or(items=items):
            return _any(_filter(item, names) for item in items)
        case Not(item=item):
            return {"bool": {"must_not": [_filter(item, names)]}}
        case Formula():
            raise NotExpressible("the rule computes values of fields")
        case Test(field=None):
            raise NotExpressible("it asks for a text in whatever field")
        case Test(field=name):
            assert name is not None
            names.add(name)
            asked = (name, *ALSO.get(name, ()))
            if node.op in (Op.EXISTS, Op.IS_NULL):
                found = _any({"exists": {"field": each}} for each in asked)
                return found if node.op is Op.EXISTS and node.value is not False else {"bool": {"must_not": [found]}}
            return _any(_test(each, node) for each in asked)


def _all(filters: Iterable[Filter]) -> Filter:
    found = [part for each in filters for part in (each["bool"]["filter"] if each.get("bool", {}).keys() == {"filter"} else [each])]
    return found[0] if len(found) == 1 else {"bool": {"filter": found}}


def _any(filters: Iterable[Filter]) -> Filter:
    found = [part for each in filters for part in each.get("bool", {}).get("should", [each])]
    if not found:
        return {"match_none": {}}
    return found[0] if len(found) == 1 else {"bool": {"should": found, "minimum_should_match": 1}}


def _test(name: str, test: Test) -> Filter:
    if test.value is None or isinstance(test.value, FieldName):
        raise NotExpressible("it compares fields with each other, and Elasticsearch's filters compare none")
    if test.op in _RANGE:
        if name not in NUMBERS:
            raise NotExpressible(f"{name} is text, which Elasticsearch orders by its letters")
        return {"range": {name: {_RANGE[test.op]: test.value}}}
    if test.op is Op.CIDR:
        return {"term": {name: {"value": test.value}}}
    if test.op is Op.REGEX:
        return _regexp(name, test)
    if test.op is Op.EQUALS and not isinstance(test.value, str):
        return {"term": {name: {"value": test.value}}}
    wanted = pieces(test)
    if len(wanted) == 1 and wanted[0][1]:
        return {"term": {name: _value(wanted[0][0], test)}}
    if wanted == ((ANY_RUN, False),):
        return {"exists": {"field": name}}
    return {"wildcard": {name: _value("".join(_escaped(piece) if is_text else piece for piece, is_text in wanted), test)}}


def _value(text: str, test: Test) -> Filter:
    # Numbers and addresses take no word about case: it is said where it makes a difference alone.
    folds = not test.cased and text.lower() != text.upper()
    return {"value": text} | ({"case_insensitive": True} if folds else {})


def _escaped(text: str) -> str:
    return "".join(f"\\{character}" if character in "\\*?" else character for character in text)


def _regexp(name: str, test: Test) -> Filter:
    assert isinstance(test.value, str)
    regex = parse_regex(test.value, cased=test.cased)
    folds = not cased_only(regex)
    written = lucene(as_cased(regex) if folds else regex)
    if len(written) > _LONGEST_REGEX:
        raise NotExpressible(f"a regular expression has {len(written)} characters as Lucene writes it, and indices allow {_LONGEST_REGEX}")
    return {"regexp": {name: {"value": written} | ({"case_insensitive": True} if folds else {})}}
