"""What a rule's own text says of it beside its logic: status, author, description; of Elastic's rules where and how they run.

For people only: nothing is judged by it. The text was loaded as a rule before, within that loader's bounds, so it is read here without
ceremony.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

import yaml

from harness.model.intent import ElasticMetadata, Rule

_KEYS = ("status", "author", "date", "modified", "description", "references", "falsepositives")


def header(rule: Rule) -> Mapping[str, str]:
    """By name, in the order of a page, what is said of the rule; nothing where its language has no place for it."""
    if rule.elastic is not None:
        found = _of_elastic(rule.elastic) | {"not evaluated": rule.not_evaluated}
        return {name: text for name, text in found.items() if text}
    return _of_yaml(rule) if rule.language == "sigma" else {}


def _of_elastic(elastic: ElasticMetadata) -> dict[str, str]:
    return {
        "type": elastic.kind,
        "indices": ", ".join(elastic.index),
        "runs every": _span(elastic.interval),
        "looks back": _span(elastic.look_back),
        "risk score": str(elastic.risk_score),
        "tactics": ", ".join(elastic.tactics),
        "required fields": ", ".join(elastic.required_fields),
        "building block": "its alerts feed other rules" if elastic.building_block else "",
        "alerts suppressed": _suppression(elastic),
        "exception lists": f"{', '.join(elastic.exceptions)}: kept in the SIEM, not applied here" if elastic.exceptions else "",
        "repaired": elastic.repaired,
    }


def _suppression(elastic: ElasticMetadata) -> str:
    span = f"within {_span(elastic.suppressed_for)}" if elastic.suppressed_for is not None else "within one run"
    return f"one for the same {', '.join(elastic.suppressed_by)} {span}" if elastic.suppressed_by else ""


def _span(span: timedelta) -> str:
    """In the largest unit in which it is a whole number."""
    units = {"d": timedelta(days=1), "h": timedelta(hours=1), "m": timedelta(minutes=1)}
    return next((f"{span // unit} {name}" for name, unit in units.items() if span % unit == timedelta()), f"{span.total_seconds():g} s")


def _of_yaml(rule: Rule) -> dict[str, str]:
    try:
        document = yaml.load(rule.definition, Loader=yaml.CSafeLoader)
    except yaml.YAMLError:
        return {}
    if not isinstance(document, Mapping):
        return {}
    found = {key: _text(document[key]) for key in _KEYS if document.get(key)}
    source = document.get("logsource")
    if isinstance(source, Mapping):
        found["log source"] = ", ".join(f"{key} {value}" for key, value in source.items() if key in ("product", "category", "service"))
    return found


def _text(value: object) -> str:
    if isinstance(value, list):
        return "; ".join(_text(item) for item in value)
    return " ".join(str(value).split())
