"""The reasons that differences may have: a table of facts (`reasons.toml`) and its reading. It must never know a recording by name."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Literal

from pydantic import TypeAdapter

from harness.model.conformance import Aspect, EventKind, Reason
from lab.conformance.forms import Form

Name = Literal["environment", "other_software", "recorders_own_field"]


@dataclass(frozen=True, slots=True)
class Found:
    """A difference before it has a reason. `lab_form` is how the lab writes most values, where forms differ."""

    kind: EventKind
    field: str
    aspect: Aspect
    lab: str
    recorded: str
    count: int
    lab_form: Form | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A fact and when it is the reason. What is empty is not looked at; `fields` are regular expressions of whole names.

    `recorded` is what was seen of the recording, to the letter. `versions`: "known" where every recorded version is one that the table
    knows of, "newer" where one of them is newer than that.
    """

    reason: Name
    fact: str
    aspects: tuple[Aspect, ...] = ()
    channels: tuple[str, ...] = ()
    events: tuple[int, ...] = ()
    fields: tuple[str, ...] = ()
    shippers: tuple[str, ...] = ()
    versions: Literal["", "known", "newer"] = ""
    lab_form: Form | None = None
    recorded: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionFields:
    """The fields that came with a version of an event."""

    channel: str
    event: int
    since: int
    fields: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reasons:
    """The whole table."""

    rule: tuple[Rule, ...]
    version: tuple[VersionFields, ...] = field(default=())

    def of(self, found: Found, lab: Sequence[str], recorded: Sequence[str], shippers: Collection[str]) -> tuple[Reason | None, str]:
        """The reason for a difference, and the fact behind it; None and "" where there is none.

        `lab` and `recorded` are the versions of the event on either side, `shippers` who wrote the recording.
        """
        if found.aspect in (Aspect.MISSING, Aspect.ADDED) and (fact := self._by_version(found, _numbers(lab), _numbers(recorded))):
            return Reason.ENVIRONMENT, fact
        for rule in self.rule:
            if self._holds(rule, found, _numbers(lab), _numbers(recorded), shippers):
                return Reason[rule.reason.upper()], rule.fact
        return None, ""

    def _by_version(self, found: Found, lab: Sequence[int], recorded: Sequence[int]) -> str:
        for came in self.version:
            if (came.channel, came.event) != (found.kind.channel, found.kind.event_id) or found.field not in came.fields:
                continue
            lacking = recorded if found.aspect is Aspect.ADDED else lab
            if lacking and min(lacking) < came.since:
                return f"the field came with version {came.since} of the event"
        return ""

    def _holds(self, rule: Rule, found: Found, lab: Sequence[int], recorded: Sequence[int], shippers: Collection[str]) -> bool:
        return (
            (not rule.aspects or found.aspect in rule.aspects)
            and (not rule.channels or found.kind.channel in rule.channels)
            and (not rule.events or found.kind.event_id in rule.events)
            and (not rule.fields or any(re.fullmatch(pattern, found.field) for pattern in rule.fields))
            and (not rule.shippers or not set(rule.shippers).isdisjoint(shippers))
            and rule.recorded in ("", found.recorded)
            and (rule.lab_form is None or rule.lab_form is found.lab_form)
            and (not rule.versions or self._is_newer(found.kind, lab, recorded) == (rule.versions == "newer"))
        )

    def _is_newer(self, kind: EventKind, lab: Sequence[int], recorded: Sequence[int]) -> bool:
        table = [came.since for came in self.version if (came.channel, came.event) == (kind.channel, kind.event_id)]
        return max(recorded, default=0) > max([*table, *lab], default=0)


def _numbers(versions: Sequence[str]) -> list[int]:
    return [int(version) for version in versions if version.isdecimal() and len(version) < 4]


@cache
def load_reasons() -> Reasons:
    """The table that comes with the lab."""
    text = files("lab.conformance").joinpath("reasons.toml").read_text(encoding="utf-8")
    value: Mapping[str, object] = tomllib.loads(text)
    return TypeAdapter(Reasons).validate_python(value)
