"""Windows events in the flat document form that NXLog's im_msvistalog writes, as OTRF's recordings have them.

Two forms come under that name: NXLog's own (`EventTime`, `EventReceivedTime`, numbers of its own as integers) and a later export of
the same shape (`TimeCreated`, no number but EventID). Every EventData value is a string in both, which is how it is told from a field
of NXLog's own that bears the same name. This file must not know where the lines come from or what a rule asks of them.

Fields: https://docs.nxlog.co/refman/current/im/msvistalog.html
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from harness.events.fields import LONGEST_NAME, iso_time, short_name, sysmon_time
from harness.model.facts import Event, FlatValue

# What NXLog and the collector behind it add: none of it is the event's own. Matched with regard to case: events have a `Type`.
_SHIPPER = frozenset(
    {
        "@timestamp",
        "@version",
        "host",
        "port",
        "tags",
        "type",
        "AccountName",
        "AccountType",
        "ActivityID",
        "Category",
        "Channel",
        "Domain",
        "ERROR_EVT_UNRESOLVED",
        "EventID",
        "EventReceivedTime",
        "EventTime",
        "EventTypeOrignal",
        "ExecutionProcessID",
        "Hostname",
        "Keywords",
        "Level",
        "Message",
        "Opcode",
        "OpcodeValue",
        "ProviderGuid",
        "RecordNumber",
        "RelatedActivityID",
        "Severity",
        "SeverityValue",
        "SourceModuleName",
        "SourceModuleType",
        "SourceName",
        "Task",
        "ThreadID",
        "TimeCreated",
        "UserID",
        "Version",
    }
)

# NXLog's own `EventType`. Sysmon has a field of that name too; where both are there one of them moves to `EventTypeOrignal`.
_EVENT_TYPES = frozenset(["CRITICAL", "ERROR", "WARNING", "INFO", "VERBOSE", "DEBUG", "AUDIT_SUCCESS", "AUDIT_FAILURE"])

_REMEMBERED = 4096

_QUARTER = timedelta(minutes=15)


def read(document: Mapping[str, object], id: str) -> Event:
    """The event that an NXLog document holds. Raises ValueError naming what the document lacks."""
    channel, computer, provider = (_text(document, name) for name in ("Channel", "Hostname", "SourceName"))
    event_id = int(_text(document, "EventID"))
    flat = _own_fields(document)
    flat |= {"channel": channel, "eventid": event_id, "provider_name": provider, "computer": computer, "hostname": computer}
    message = document.get("Message")
    if isinstance(message, str):
        flat["message"] = message
        # NXLog drops the unnamed strings of a classic event; its rendered message has them all. Classic providers have no GUID.
        if "ProviderGuid" not in document:
            flat["data"] = message
    process = document.get("ExecutionProcessID", document.get("ProcessID"))
    if isinstance(process, int) and process:
        flat["execution_process_id"] = process
    return Event(
        id=id,
        channel=channel,
        event_id=event_id,
        host=short_name(computer),
        time=sysmon_time(provider, flat.get("utctime")) or _time(document),
        provider=provider,
        flat=flat,
        raw=document,
    )


def _own_fields(document: Mapping[str, object]) -> dict[str, FlatValue]:
    own: dict[str, FlatValue] = {}
    for name, value in document.items():
        if isinstance(value, str):
            key = _own_keys.get(name)
            if key is None:
                key = _own_key(name)
            if key:
                own[key] = value
    for name in ("EventTypeOrignal", "EventType"):
        kind = document.get(name)
        if isinstance(kind, str) and kind not in _EVENT_TYPES:
            own["eventtype"] = kind
    return own


_own_keys: dict[str, str] = {}
"""Remembered answers of `_own_key`: Windows has some thousand names of fields, and every event a score of them."""


def _own_key(name: str) -> str:
    """The flat name of an event's own field; empty for one of the shipper's."""
    key = "" if name in _SHIPPER or name == "EventType" else name.lower()
    if len(_own_keys) < _REMEMBERED and len(name) <= LONGEST_NAME:
        _own_keys[name] = key
    return key


def _time(document: Mapping[str, object]) -> datetime:
    """The event's time in UTC where the document has no time of Sysmon's.

    `EventTime` is local to the collector and bears no zone. So is `EventReceivedTime`, but that moment stands in `@timestamp`
    as well, in UTC: their difference, to the quarter of an hour that zones are made of, is the zone. Without it the difference to
    `EventTime` serves, which holds while an event is received within seven minutes. `TimeCreated` is taken at its word.
    """
    created = document.get("TimeCreated")
    if isinstance(created, str):
        return iso_time(created)
    received = iso_time(_text(document, "@timestamp"))
    if "EventTime" not in document:
        return received
    local = datetime.fromisoformat(_text(document, "EventTime"))
    if local.tzinfo is not None:
        return local.astimezone(UTC)
    received_local = document.get("EventReceivedTime")
    reference = datetime.fromisoformat(received_local) if isinstance(received_local, str) else local
    zone = _QUARTER * round((received.replace(tzinfo=None) - reference) / _QUARTER)
    return (local + zone).replace(tzinfo=UTC)


def _text(document: Mapping[str, object], name: str) -> str:
    value = document.get(name)
    if value is None or not isinstance(value, str | int):
        raise ValueError(f"{name} is missing")
    return str(value)
