"""Windows' own event log files (EVTX): their records, and the event that each holds.

The `evtx` wheel parses the binary form and gives each record as JSON, in the shape of the rendered XML. This file must not know where the
file came from or what a rule asks of it.

Form: https://learn.microsoft.com/en-us/windows/win32/wes/eventschema-schema; the JSON is that of the wheel's `records_json`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import BinaryIO

from harness.events.fields import iso_time, joined, short_name, sysmon_time
from harness.model.facts import Event, FlatValue

MAGIC = b"ElfFile\x00"

_HEADER, _CHUNK, _CHUNKS_AT = 4096, 65536, 42
"""Bytes of the file header and of a chunk, and where the header says how many chunks there are."""

_GUID = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")


def records(file: BinaryIO) -> Iterator[tuple[int, object | ValueError]]:
    """Each record's number and its document, or the ValueError that says why there is none; `file` must be seekable.

    Raises ValueError where the file as a whole cannot be read, its end being cut off among them, after the records before that.
    """
    from evtx import PyEvtxParser

    size = file.seek(0, 2)
    file.seek(0)
    declared = int.from_bytes(file.read(_HEADER)[_CHUNKS_AT : _CHUNKS_AT + 2], "little")
    file.seek(0)
    if size < _HEADER:
        raise ValueError("an EVTX file has a header of 4,096 bytes, this one ends before that")
    try:
        parser = PyEvtxParser(file, 1)  # one thread: each further one would hold chunks of its own in memory
        found = parser.records_json()
    except (RuntimeError, OSError) as error:
        raise ValueError(f"its header cannot be read: {error}") from error
    number = 0
    while True:
        try:
            record = next(found, None)
        except (RuntimeError, OSError) as error:
            number += 1
            yield number, ValueError(str(error).splitlines()[0])
            continue
        if record is None:
            break
        number += 1
        try:
            yield number, json.loads(record["data"])
        except (ValueError, RecursionError) as error:
            yield number, ValueError(str(error))
    if (whole := (size - _HEADER) // _CHUNK) < declared:
        raise ValueError(f"it is cut off: {whole:,} of its {declared:,} chunks are whole")


def read(document: Mapping[str, object], id: str) -> Event:
    """The event of one record. Raises ValueError naming what the record lacks."""
    event = _part(document, "Event")
    system = _part(event, "System")
    channel, computer = _text(system, "Channel"), _text(system, "Computer")
    event_id = int(_text(system, "EventID"))
    provider = _attribute(system, "Provider", "Name")
    flat = _fields(event)
    flat |= {"channel": channel, "eventid": event_id, "provider_name": provider, "computer": computer, "hostname": computer}
    process = _attribute(system, "Execution", "ProcessID") if isinstance(system.get("Execution"), Mapping) else ""
    if process.isdecimal() and process != "0":
        flat["execution_process_id"] = int(process)
    return Event(
        id=id,
        channel=channel,
        event_id=event_id,
        host=short_name(computer),
        time=sysmon_time(provider, flat.get("utctime")) or iso_time(_attribute(system, "TimeCreated", "SystemTime")),
        provider=provider,
        flat=flat,
        raw=document,
    )


def _fields(event: Mapping[str, object]) -> dict[str, FlatValue]:
    """EventData's values under their names, the unnamed ones as `data`; of UserData, the values of its one element."""
    flat: dict[str, FlatValue] = {}
    data = event.get("EventData")
    if isinstance(data, Mapping):
        for name, value in data.items():
            if name == "Data":
                flat["data"] = joined(_unnamed(value))
            elif name != "#attributes":
                flat[name.lower()] = _value(name, value)
    user = event.get("UserData")
    for element in user.values() if isinstance(user, Mapping) else ():
        for name, value in element.items() if isinstance(element, Mapping) else ():
            if name != "#attributes":
                flat[name.lower()] = _value(name, value)
    return flat


def _unnamed(value: object) -> Iterable[str]:
    inner = value.get("#text") if isinstance(value, Mapping) else value
    for item in inner if isinstance(inner, list) else [inner]:
        if item is not None:
            yield str(item)


def _value(name: str, value: object) -> FlatValue:
    if isinstance(value, Mapping):
        value = value.get("#text")
    if isinstance(value, str) and name.lower().endswith("guid") and _GUID.fullmatch(value):
        return f"{{{value}}}"  # Windows renders a GUID in braces, the parser without: rules are written after Windows
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, list):
        return [str(item) for item in value]
    return json.dumps(value)


def _part(document: Mapping[str, object], name: str) -> Mapping[str, object]:
    part = document.get(name)
    if not isinstance(part, Mapping):
        raise ValueError(f"{name} is missing")
    return part


def _attribute(part: Mapping[str, object], element: str, name: str) -> str:
    return _text(_part(_part(part, element), "#attributes"), name)


def _text(part: Mapping[str, object], name: str) -> str:
    value = part.get(name)
    if isinstance(value, Mapping):
        value = value.get("#text")
    if value is None or not isinstance(value, str | int):
        raise ValueError(f"{name} is missing")
    return str(value)
