"""Where to look in the SIEM for what a verdict is about: its time, its host and its keys, as a query that people can paste.

The query is KQL over winlogbeat's fields. This module must never decide anything about a run.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from harness.model.facts import Detonation
from harness.model.report import RuleRecord
from harness.model.verdicts import Verdict
from harness.reports.words import inert

_SLACK = timedelta(seconds=2)
"""An event's time may lie as far outside a detonation."""


def where_to_look(verdict: Verdict, record: RuleRecord | None) -> Iterator[tuple[str, str]]:
    """What each line is, and the line. `record` is the rule's; None where only the SIEM knows it."""
    detonation = verdict.detonation
    if detonation is not None:
        drift = detonation.footprint.clock_offset if detonation.footprint is not None else timedelta(0)
        start, end = detonation.started_at + drift - _SLACK, detonation.finished_at + drift + _SLACK
        target = detonation.planned.target
        name = (target.computer or target.host).partition(".")[0]
        yield "in the target's time", f"{_when(start)} to {_when(end)}"
        yield "all of its host (KQL)", f"host.name : {_prefix(name)} and {_between(start, end)}"
        if keys := list(_keys(detonation)):
            yield "its own by its keys (KQL)", f"{_between(start, end)} and ({' or '.join(keys)})"
    if record is not None and record.source:
        yield "the rule", f"{inert(record.source)}:{record.line}"


def _keys(detonation: Detonation) -> Iterator[str]:
    identity = detonation.identity
    if identity.logon_id:
        value = _quoted(identity.logon_id)
        yield from (f"winlog.event_data.{field} : {value}" for field in ("TargetLogonId", "SubjectLogonId", "LogonId"))
    if identity.process_id is not None:
        yield f"process.pid : {identity.process_id}"
        yield f"process.parent.pid : {identity.process_id}"
    if identity.host_id:
        yield f"message : {_quoted(identity.host_id)}"
    if ports := sorted({socket.port for socket in identity.sockets}):
        yield f"source.port : ({' or '.join(map(str, ports))})"


def _between(start: datetime, end: datetime) -> str:
    return f'@timestamp >= "{_when(start)}" and @timestamp <= "{_when(end)}"'


def _when(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _quoted(text: str) -> str:
    return '"' + inert(text).replace("\\", "\\\\").replace('"', '\\"') + '"'


def _prefix(text: str) -> str:
    """A name and whatever domain comes after it; KQL's wildcard stands for every character that it would read."""
    return "".join(character if character.isalnum() or character in "-_" else "*" for character in inert(text)) + "*"
