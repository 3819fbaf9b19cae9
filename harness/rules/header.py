"""What a rule's own text says of it beside its logic: status, author, description, schedule. For people only; nothing is judged by it.

The text was loaded as a rule before, within that loader's bounds, so it is read here without ceremony.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from harness.logic.why import span_text
from harness.model.intent import ElasticMetadata, Rule
from harness.rules.elastic import mend

_KEYS = ("status", "author", "date", "modified", "description", "references", "falsepositives")
_ELASTIC_KEYS = ("author", "license", "description", "references", "false_positives", "tags")


def header(rule: Rule) -> Mapping[str, str]:
    """By name, in the order of a page, what the rule's text says; nothing of a rule whose text is of neither form."""
    return dict(_of_elastic(rule, rule.elastic) if rule.elastic is not None else _of_sigma(rule))


def _of_sigma(rule: Rule) -> Iterator[tuple[str, str]]:
    try:
        document = yaml.load(rule.definition, Loader=yaml.CSafeLoader)
    except yaml.YAMLError:
        return
    if not isinstance(document, Mapping):
        return
    yield from _texts(document, _KEYS)
    source = document.get("logsource")
    if isinstance(source, Mapping):
        yield "log source", ", ".join(f"{key} {value}" for key, value in source.items() if key in ("product", "category", "service"))


def _of_elastic(rule: Rule, elastic: ElasticMetadata) -> Iterator[tuple[str, str]]:
    document = _table(rule.definition)
    if elastic.repaired:
        yield "repaired", elastic.repaired
    yield "rule type", elastic.kind
    yield "risk score", str(elastic.risk_score)
    yield "index patterns", ", ".join(elastic.index) or "the data view of whoever runs it"
    yield "schedule", f"every {span_text(elastic.interval)}, over the last {span_text(elastic.look_back)}"
    if elastic.building_block:
        yield "building block", "its alerts feed other rules and are not shown by themselves"
    if elastic.suppressed_by:
        each = "each run" if elastic.suppressed_for is None else f"each {span_text(elastic.suppressed_for)}"
        yield "suppression", f"of alerts with the same {', '.join(elastic.suppressed_by)} one is kept in {each}"
    if elastic.exceptions:
        yield "exceptions", f"{', '.join(elastic.exceptions)}: kept in the SIEM, and not known here"
    if elastic.tactics:
        yield "tactics", ", ".join(elastic.tactics)
    if elastic.required_fields:
        yield "required fields", ", ".join(elastic.required_fields)
    yield from _texts(document, _ELASTIC_KEYS)


def _table(text: str) -> Mapping[str, Any]:
    """The rule's own table; the text of one that was repaired is so once more."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        document = tomllib.loads(mend(text) or "rule = {}")
    table: Mapping[str, Any] = document["rule"]
    return table


def _texts(document: Mapping[str, Any], keys: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    return ((key.replace("_", " "), _text(document[key])) for key in keys if document.get(key))


def _text(value: object) -> str:
    if isinstance(value, list):
        return "; ".join(_text(item) for item in value)
    return " ".join(str(value).split())
