"""A query as a detection rule of Elastic Security, one line of the NDJSON that its rules page imports.

This module must never know how the query was made.

Nothing is downloaded: tactics are a table, and a technique bears its id as its name, because names of techniques are ATT&CK's own data.
A rule of Elastic's is handed on as it is.

Form: https://www.elastic.co/docs/api/doc/kibana/operation/operation-importrules.
"""

from __future__ import annotations

import json
import re
from typing import Any

from harness.model.intent import Rule, Severity
from harness.translate.refusal import NotExpressible
from harness.translate.said import description, elastic_table, tactics, texts
from harness.translate.watch import INDICES

_SEVERITIES = {Severity.INFORMATIONAL: ("low", 1), Severity.LOW: ("low", 21), Severity.MEDIUM: ("medium", 47)}
_SEVERITIES |= {Severity.HIGH: ("high", 73), Severity.CRITICAL: ("critical", 99)}
"""Elastic's own default score of each severity; it has no informational one."""


def of_query(rule: Rule, *, language: str, query: str) -> str:
    """The line of a rule whose query was translated. `language` in Elastic's words: eql, lucene."""
    severity, score = _SEVERITIES[rule.severity]
    body: dict[str, Any] = {
        "rule_id": rule.id,
        "name": rule.title,
        "description": description(rule) or rule.title,
        "type": "eql" if language == "eql" else "query",
        "language": language,
        "query": query,
        "index": list(INDICES),
        "severity": severity,
        "risk_score": score,
        "author": list(texts(rule, "author")),
        "references": list(texts(rule, "references")),
        "false_positives": list(texts(rule, "falsepositives")),
        "threat": _threats(rule),
    }
    return json.dumps(_DEFAULTS | body, ensure_ascii=False)


def of_elastic(rule: Rule) -> str:
    """The line of a rule that is Elastic's already, in all that its text says. Raises `NotExpressible` for any other."""
    table = elastic_table(rule)
    if not table:
        raise NotExpressible("the rule is none of Elastic's")
    return json.dumps(_DEFAULTS | {"description": rule.title} | dict(table), ensure_ascii=False, default=str)


_DEFAULTS: dict[str, Any] = {
    "from": "now-6m",
    "to": "now",
    "interval": "5m",
    "enabled": False,
    "author": [],
    "references": [],
    "false_positives": [],
    "tags": ["OS: Windows"],
    "max_signals": 100,
    "version": 1,
    "actions": [],
    "exceptions_list": [],
}
"""What Elastic Security takes where a rule does not say. A rule comes in switched off: whoever imports it looks at it first."""


def _threats(rule: Rule) -> list[dict[str, Any]]:
    """Every tactic with every technique: which belongs to which is ATT&CK's to say."""
    techniques: dict[str, list[str]] = {}
    for technique in rule.techniques:
        if re.fullmatch(r"T[0-9]{4}(\.[0-9]{3})?", technique):
            whole, _, part = technique.partition(".")
            techniques.setdefault(whole, [])
            if part:
                techniques[whole].append(technique)
    named = [
        _technique(whole) | ({"subtechnique": [_technique(part) for part in parts]} if parts else {}) for whole, parts in techniques.items()
    ]
    return [
        {
            "framework": "MITRE ATT&CK",
            "tactic": {"id": id, "name": name, "reference": f"https://attack.mitre.org/tactics/{id}/"},
            "technique": named,
        }
        for id, name in tactics(rule)
    ]


def _technique(id: str) -> dict[str, Any]:
    return {"id": id, "name": id, "reference": f"https://attack.mitre.org/techniques/{id.replace('.', '/')}/"}
