"""What a rule's own text says of it beside its logic: status, author, description. For people only; nothing is judged by it.

The text was loaded as a rule before, within that loader's bounds, so it is read here without ceremony.
"""

from __future__ import annotations

from collections.abc import Mapping

import yaml

from harness.model.intent import Rule

_KEYS = ("status", "author", "date", "modified", "description", "references", "falsepositives")


def header(rule: Rule) -> Mapping[str, str]:
    """By name, in the order of a page, what the rule's text says; nothing of a rule whose text is not YAML."""
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
