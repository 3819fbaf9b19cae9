"""Short ways to write trees and events in tests of their readings."""

from __future__ import annotations

from datetime import UTC, datetime

from harness.model.facts import Event, FlatValue
from harness.model.intent import Rule, Severity
from harness.model.tree import And, Node, Op, Test, Value

SYSMON = "Microsoft-Windows-Sysmon/Operational"


def is_(field: str | None, value: Value, op: Op = Op.EQUALS, *, cased: bool = False) -> Test:
    """A test."""
    return Test(field=field, op=op, value=value, cased=cased)


def both(*items: Node, label: str = "") -> And:
    """A conjunction."""
    return And(items=items, label=label)


def of_kind(channel: str, event_id: int, *items: Node) -> And:
    """What a loader makes of a rule for one kind of event."""
    return And(items=(is_("Channel", channel), is_("EventID", event_id), *items))


def event(channel: str = "Security", event_id: int = 5156, /, **flat: FlatValue) -> Event:
    """An event with these fields beside its kind."""
    fields: dict[str, FlatValue] = {"channel": channel, "eventid": event_id, **flat}
    time = datetime(2026, 1, 1, tzinfo=UTC)
    return Event(id="1", channel=channel, event_id=event_id, host="ws1", time=time, provider="", flat=fields, raw={})


def rule(logic: Node, rule_id: str = "00000000-0000-0000-0000-000000000000") -> Rule:
    """A rule with this logic."""
    return Rule(id=rule_id, title="t", source="s", language="sigma", severity=Severity.LOW, techniques=(), logic=logic, definition="")
