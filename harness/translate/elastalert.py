"""A rule as a file that ElastAlert2 runs as it is. It must never know where the filter comes from.

Form: https://elastalert2.readthedocs.io/en/latest/ruletypes.html. The rule's id stands in its name, because ElastAlert2 writes no other
down; `realert` is 0, because its default silences a rule for a minute after each alert.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from harness.model.intent import Rule, Severity
from harness.translate.watch import INDICES

_PRIORITIES = {Severity.INFORMATIONAL: 1, Severity.LOW: 1, Severity.MEDIUM: 2, Severity.HIGH: 3, Severity.CRITICAL: 4}


def rule_file(rule: Rule, description: str, filter: Mapping[str, Any]) -> str:
    """The file's text, for the indices that the rule names itself, else those that winlogbeat and Elastic Agent write."""
    indices = (rule.elastic.index if rule.elastic is not None else ()) or INDICES
    content: dict[str, object] = {
        "name": f"{' '.join(rule.title.split())} [{rule.id}]",
        "description": description,
        "type": "any",
        "index": ",".join(indices),
        "timestamp_field": "@timestamp",
        "priority": _PRIORITIES[rule.severity],
        "realert": {"minutes": 0},
        "filter": [dict(filter)],
        "alert": ["debug"],
    }
    return _written({key: value for key, value in content.items() if value != ""})


def over(text: str, indices: Sequence[str]) -> str:
    """The same file for other indices."""
    content = yaml.safe_load(text) | {"index": ",".join(indices)}
    return _written(content)


def _written(content: Mapping[str, object]) -> str:
    text: str = yaml.dump(content, Dumper=_Plain, sort_keys=False, allow_unicode=True, width=120)
    return text


class _Plain(yaml.SafeDumper):
    """Without YAML's references: people read and change these files."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def file_name(rule: Rule) -> str:
    """A name for the file that no other rule's has, whatever its id is made of."""
    return f"{re.sub(r'[^A-Za-z0-9._-]', lambda found: f'%{ord(found[0]):x}', rule.id).lstrip('.')}.yaml"


NOTES = (
    "Its alert is `debug`, which sends nothing: put your own alert in its place.",
    "ElastAlert2's buffer_time must be longer than events take to be indexed; an event that comes later is not looked at.",
)
