"""Windows events in the flat document form that NXLog's im_msvistalog writes, as OTRF's recordings have them.

Two forms come under that name: NXLog's own (`EventTime`, `EventReceivedTime`, numbers of its own as integers) and a later export of
the same shape (`TimeCreated`, no number but EventID). Every EventData value is a string in both, which is how it is told from a field
of NXLog's own that bears the same name. This file must not know where the lines come from or what a rule asks of them.

Fields: https://docs.nxlog.co/refman/current/im/msvistalog.html
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from harness.events.fields import LONGEST_NAME, iso_time, short_name, sysmon_time
from harness.events.publishers import AUDIT_FAILURE, AUDIT_SUCCESS, opcode_name, task_name
from harness.events.windows import Level, WindowsEvent
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

_SEVERITIES = {
    Level.LOG_ALWAYS: ("INFO", 2, "INFO"),
    Level.ERROR: ("ERROR", 4, "ERROR"),
    Level.WARNING: ("WARNING", 3, "WARNING"),
    Level.INFORMATION: ("INFO", 2, "INFO"),
    Level.VERBOSE: ("VERBOSE", 1, "DEBUG"),
}
"""NXLog's EventType, SeverityValue and Severity for the levels of Windows."""

_REMEMBERED = 4096

_QUARTER = timedelta(minutes=15)

_WAITING = 1_000
"""Events at the beginning of a recording that may wait to be told its clock."""


def render(event: WindowsEvent) -> dict[str, object]:
    """The document that NXLog would write for this record, with times as NXLog 5 writes them: ISO 8601 with a zone.

    As recorded: empty values and a classic event's strings are left out, numbers of the head stay numbers, keywords are signed.
    """
    kind, value, severity = _SEVERITIES[event.level]
    if event.keywords & (AUDIT_SUCCESS | AUDIT_FAILURE):
        kind = "AUDIT_FAILURE" if event.keywords & AUDIT_FAILURE else "AUDIT_SUCCESS"
    head: dict[str, object] = {
        "EventTime": event.created.astimezone(UTC).isoformat(timespec="microseconds"),
        "Hostname": event.computer,
        "Keywords": event.keywords - (1 << 64) if event.keywords >> 63 else event.keywords,
        "EventType": kind,
        "SeverityValue": value,
        "Severity": severity,
        "EventID": event.event_id,
        "SourceName": event.provider,
        "ProviderGuid": event.provider_guid,
        "Version": event.version if event.provider_guid else None,
        "Task": event.task,
        "OpcodeValue": event.opcode if event.provider_guid else None,
        "RecordNumber": event.record_id,
        "ActivityID": event.activity_id,
        "ExecutionProcessID": event.process_id or 0,
        "ThreadID": event.thread_id or 0,
        "Channel": event.channel,
        "UserID": event.user_sid,
        "Message": event.message or None,
        "Category": task_name(event.provider, event.task) or None,
        "Opcode": opcode_name(event.provider, event.opcode) or None,
    }
    own = {_written(name): value for name, value in event.data.items() if value}
    return {name: value for name, value in (head | own).items() if value is not None}


def _written(name: str) -> str:
    # NXLog has fields of its own by these names; recordings have the event's beside them under these.
    return {"ProcessID": "ProcessId", "EventType": "EventTypeOrignal"}.get(name, name)


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


def on_one_clock(events: Iterable[Event]) -> Iterator[Event]:
    """The events of one recording with the times of an export mended, in their order.

    The exports that are published bear a `TimeCreated` in the collector's local time, with a Z behind it all the same. Sysmon's own time in
    the same document is UTC: their difference, to the quarter of an hour, is what the times of all other events are wrong by. What comes
    before the first such document waits for it, as far as `_WAITING` events; without one `TimeCreated` is taken at its word.
    """
    waiting: list[Event] = []
    wrong: timedelta | None = None
    for event in events:
        if isinstance(created := event.raw.get("TimeCreated"), str) and "EventID" in event.raw:
            if (own := sysmon_time(event.provider, event.flat.get("utctime"))) is not None:
                wrong = _QUARTER * round((own - iso_time(created)) / _QUARTER)
            elif wrong is None and len(waiting) < _WAITING:
                waiting.append(event)
                continue
            elif wrong:
                event = replace(event, time=event.time + wrong)
        elif waiting and wrong is None and len(waiting) < _WAITING:
            waiting.append(event)
            continue
        yield from _mended(waiting, wrong)
        waiting.clear()
        yield event
    yield from _mended(waiting, wrong)


def _mended(events: Iterable[Event], wrong: timedelta | None) -> Iterator[Event]:
    for event in events:
        yield replace(event, time=event.time + wrong) if wrong and "TimeCreated" in event.raw else event


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
    # NXLog names whose token wrote a record in three fields; a new service's account (7045) comes without the other two.
    account = document.get("AccountName")
    if isinstance(account, str) and "AccountType" not in document:
        own["accountname"] = account
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

    `EventTime` is local to the collector and bears a zone only where NXLog was told to write one. `EventReceivedTime` is local too, but
    that moment stands in `@timestamp` as well, in UTC: their difference, to the quarter of an hour that zones are made of, is the zone.
    Without it the difference to `EventTime` serves, which holds while an event is received within seven minutes. Where there is no
    `@timestamp` either, as NXLog itself writes none, the zone cannot be known: the time is read as UTC, the same error for every event of
    a recording. `TimeCreated` is taken at its word (`on_one_clock` mends it).
    """
    created = document.get("TimeCreated")
    if isinstance(created, str):
        return iso_time(created)
    if "EventTime" not in document:
        return iso_time(_text(document, "@timestamp"))
    local = datetime.fromisoformat(_text(document, "EventTime"))
    if local.tzinfo is not None:
        return local.astimezone(UTC)
    if "@timestamp" not in document:
        return local.replace(tzinfo=UTC)
    received = iso_time(_text(document, "@timestamp"))
    received_local = document.get("EventReceivedTime")
    reference = datetime.fromisoformat(received_local) if isinstance(received_local, str) else local
    zone = _QUARTER * round((received.replace(tzinfo=None) - reference.replace(tzinfo=None)) / _QUARTER)
    return (local + zone).replace(tzinfo=UTC)


def _text(document: Mapping[str, object], name: str) -> str:
    value = document.get(name)
    if value is None or not isinstance(value, str | int):
        raise ValueError(f"{name} is missing")
    return str(value)
