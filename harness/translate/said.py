"""What a rule's own text says beside its logic, as other formats of rules want it. The text was loaded before, within that loader's bounds.

This module must never know a target.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from typing import Any

import yaml

from harness.model.intent import Rule
from harness.rules.elastic import mend
from harness.rules.sigma import LANGUAGE

TACTICS = {
    "reconnaissance": ("TA0043", "Reconnaissance"),
    "resource-development": ("TA0042", "Resource Development"),
    "initial-access": ("TA0001", "Initial Access"),
    "execution": ("TA0002", "Execution"),
    "persistence": ("TA0003", "Persistence"),
    "privilege-escalation": ("TA0004", "Privilege Escalation"),
    "stealth": ("TA0005", "Stealth"),
    "defense-evasion": ("TA0005", "Defense Evasion"),
    "defense-impairment": ("TA0112", "Defense Impairment"),
    "credential-access": ("TA0006", "Credential Access"),
    "discovery": ("TA0007", "Discovery"),
    "lateral-movement": ("TA0008", "Lateral Movement"),
    "collection": ("TA0009", "Collection"),
    "command-and-control": ("TA0011", "Command and Control"),
    "exfiltration": ("TA0010", "Exfiltration"),
    "impact": ("TA0040", "Impact"),
}
"""ATT&CK's tactics, by the names that Sigma's tags give them."""

_BY_ID = {id: (id, name) for id, name in reversed(TACTICS.values())}


def documents(rule: Rule) -> tuple[dict[str, Any], ...]:
    """The documents of a Sigma rule's text; nothing of another's."""
    if rule.language != LANGUAGE:
        return ()
    return tuple(found for found in yaml.load_all(rule.definition, Loader=yaml.CSafeLoader) if isinstance(found, dict))


def is_correlation(rule: Rule) -> bool:
    """Whether the rule counts or orders what other rules find."""
    return any("correlation" in document for document in documents(rule))


def elastic_table(rule: Rule) -> Mapping[str, Any]:
    """The `[rule]` table of an Elastic rule's text, which is Elastic's own form of a rule but for its syntax; empty of another's."""
    if rule.elastic is None:
        return {}
    try:
        values = tomllib.loads(rule.definition)
    except tomllib.TOMLDecodeError:
        values = tomllib.loads(mend(rule.definition) or "")
    found: Mapping[str, Any] = values["rule"]
    return found


def description(rule: Rule) -> str:
    """What the rule's author says that it is about."""
    table = next(iter(documents(rule)), None) or elastic_table(rule)
    return " ".join(str(table.get("description") or "").split())


def texts(rule: Rule, key: str) -> tuple[str, ...]:
    """A value of a Sigma rule's text, as a list of texts."""
    value = next((document[key] for document in documents(rule) if document.get(key)), None)
    if value is None:
        return ()
    return tuple(str(each) for each in value) if isinstance(value, list) else (str(value),)


def tactics(rule: Rule) -> tuple[tuple[str, str], ...]:
    """Id and name of each of ATT&CK's tactics that the rule names."""
    if rule.elastic is not None:
        return tuple(_BY_ID.get(id, (id, id)) for id in rule.elastic.tactics)
    names = (tag.removeprefix("attack.").replace("_", "-") for tag in texts(rule, "tags"))
    return tuple(dict.fromkeys(TACTICS[name] for name in names if name in TACTICS))
