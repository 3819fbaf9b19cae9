"""What an alert source is: a detection engine that leaves its alerts, and perhaps its runs, in Elasticsearch.

A source asks by searches and reads their answers; it does no I/O of its own, so that any number of sources are asked in one request.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from harness.events.fields import iso_time
from harness.model.facts import RuleRun, RuleState
from harness.model.intent import Severity
from harness.siem.elastic.wire import Answer, Hit, Reference, Search

_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)

CLAUSES = 200
"""Alternatives in one search: Elasticsearch may refuse more than 1024, and each may come to several."""


# A rule that runs late by more than this and three intervals does not run any more.
_PATIENCE = timedelta(seconds=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Raised:
    """An alert as its engine wrote it. `events` name its source events; `copies` are those that the alert itself holds.

    `severity` is None where the engine writes none. `host` is the short name of the machine that it is about, where the alert tells.
    """

    id: str
    rule: str
    severity: Severity | None
    raised_at: datetime
    events: tuple[Reference, ...]
    copies: Mapping[Reference, Hit]
    host: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a source's answers hold. `last_run` is the engine's last sign of life, of whatever rule."""

    alerts: Sequence[Raised]
    runs: Sequence[RuleRun]
    last_run: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """What a source's engine says of itself: its rules by id, and whether it is running at all."""

    rules: Mapping[str, RuleState]
    running: bool


class AlertSource(Protocol):
    """One detection engine."""

    @property
    def name(self) -> str:
        """As settings and alerts name it."""

    @property
    def indices(self) -> Sequence[str]:
        """What the engine writes to and must be read."""

    def searches(self, rules: frozenset[str], since: datetime) -> Sequence[Search]:
        """What finds every alert, and these rules' runs, from a time of the SIEM's clock on."""

    def read(self, answers: Sequence[Answer]) -> Found:
        """What the answers to `searches` hold. A document that is not of the engine's form is left out."""

    def searches_of_rules(self, now: datetime) -> Sequence[Search]:
        """What finds the rules that the engine has."""

    def engine(self, answers: Sequence[Answer], now: datetime) -> Engine:
        """Every rule that the engine has. Raises `SiemError` where it cannot ever have been here."""


def since_(field: str, time: datetime) -> dict[str, Any]:
    """A query: from that time on."""
    return {"range": {field: {"gte": time.isoformat()}}}


def any_of(clauses: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A query: at least one of these."""
    return {"bool": {"should": list(clauses), "minimum_should_match": 1}}


def all_of(*clauses: Mapping[str, Any]) -> dict[str, Any]:
    """A query: every one of these; nothing is scored."""
    return {"bool": {"filter": list(clauses)}}


def bears(field: str, rule: str) -> dict[str, Any]:
    """A query: the field's text has the rule's id in it."""
    escaped = "".join(f"\\{char}" if char in "*?\\" else char for char in rule)
    return {"wildcard": {field: {"value": f"*{escaped}*", "case_insensitive": True}}}


class Names:
    """What an engine calls the rules that it was seen to have: asking for a name is quick, for a name that has an id in it is not."""

    def __init__(self, field: str) -> None:
        self._field = field
        self._names: dict[str, set[str]] = {}

    def learn(self, name: str) -> str:
        """Take note of a rule's name; its id."""
        rule = rule_in(name)
        self._names.setdefault(rule, set()).add(name)
        return rule

    def queries(self, rules: frozenset[str]) -> list[dict[str, Any]]:
        """Queries that together find what these rules' names stand in."""
        known = sorted(name for rule in rules for name in self._names.get(rule, ()))
        unknown = sorted(rule for rule in rules if rule not in self._names)
        parts = [unknown[start : start + CLAUSES] for start in range(0, len(unknown), CLAUSES)]
        return [*([{"terms": {self._field: known}}] if known else []), *(any_of([bears(self._field, id) for id in part]) for part in parts)]


def rule_in(name: str) -> str:
    """The rule's id that a rule's name bears: a UUID anywhere in it, else the name is the id."""
    found = _UUID.search(name)
    return found.group().lower() if found else name


def time_of(document: Mapping[str, Any], field: str) -> datetime:
    """A time that the engine wrote. Raises ValueError."""
    value = document.get(field)
    if not isinstance(value, str):
        raise ValueError(f"{field} is missing")
    return iso_time(value)


def runs_still(last_run: datetime, interval: timedelta, now: datetime) -> bool:
    """Whether what ran last at that time, every `interval`, is still held to be running."""
    return now - last_run <= 3 * interval + _PATIENCE
