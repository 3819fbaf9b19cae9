"""Windows' own event log files (EVTX): their records, and the event that each holds.

The `evtx` wheel parses the binary form and gives each record as JSON, in the shape of the rendered XML; it does so in a process of its
own, because damaged files can keep it busy for ever (`evtx_child.py`). This file must not know where the
file came from or what a rule asks of it.

Form: https://learn.microsoft.com/en-us/windows/win32/wes/eventschema-schema; the JSON is that of the wheel's `records_json`.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from harness.events.fields import iso_time, joined, short_name, sysmon_time
from harness.model.facts import Event, FlatValue

MAGIC = b"ElfFile\x00"

_HEADER, _CHUNK, _CHUNKS_AT = 4096, 65536, 42
"""Bytes of the file header and of a chunk, and where the header says how many chunks there are."""

STALLED = 10.0
"""Seconds that the parser may take to the next record; an honest one takes less than a millisecond."""

_LONGEST = 16 * 1024 * 1024
"""Bytes of one record as JSON: its binary form lies within a chunk."""

_GUID = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")


def records(file: BinaryIO) -> Iterator[tuple[int, object | ValueError]]:
    """Each record's number and its document, or the ValueError that says why there is none; `file` must be seekable.

    Raises ValueError where the file as a whole cannot be read, its end being cut off among them, after the records before that.
    """
    size = file.seek(0, 2)
    file.seek(0)
    declared = int.from_bytes(file.read(_HEADER)[_CHUNKS_AT : _CHUNKS_AT + 2], "little")
    if size < _HEADER:
        raise ValueError("an EVTX file has a header of 4,096 bytes, this one ends before that")
    file.seek(0)
    file.flush()
    command = [sys.executable, "-P", str(Path(__file__).with_name("evtx_child.py"))]
    with subprocess.Popen(command, stdin=file, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as child, _watched(child) as progress:
        assert child.stdout is not None
        number, ended = 0, False
        while line := child.stdout.readline(_LONGEST):
            progress()
            kind, text = line[:1], line[1:]
            if kind == b"F":
                raise ValueError(f"its header cannot be read: {text.decode().strip()}")
            if ended := kind == b".":
                break
            number += 1
            try:
                if kind != b"R":
                    raise ValueError(text.decode().strip())
                document = json.loads(text)
            except (ValueError, RecursionError) as error:
                yield number, ValueError(str(error))
                continue
            yield number, document
            progress()
        if not ended:
            raise ValueError(f"its parser did not come to an end after record {number:,}: the file is damaged")
    if (whole := (size - _HEADER) // _CHUNK) < declared:
        raise ValueError(f"it is cut off: {whole:,} of its {declared:,} chunks are whole")


@contextmanager
def _watched(child: subprocess.Popen[bytes]) -> Iterator[Callable[[], None]]:
    """Kills the child where, while it is waited for, it shows no progress for `STALLED` seconds; and at the end in any case."""
    seen, done = threading.Event(), threading.Event()

    def watch() -> None:
        while not done.is_set():
            seen.clear()
            if not done.wait(STALLED) and not seen.is_set():
                child.kill()
                return

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield seen.set
    finally:
        done.set()
        child.kill()
        watcher.join()


def read(document: Mapping[str, object], id: str) -> Event:
    """The event of one record. Raises ValueError naming what the record lacks."""
    event = _part(document, "Event")
    system = _part(event, "System")
    channel, computer = _text(system, "Channel"), _text(system, "Computer")
    event_id = int(_text(system, "EventID"))
    provider = _attribute(system, "Provider", "Name")
    flat = _fields(event)
    flat |= {"channel": channel, "eventid": event_id, "provider_name": provider, "computer": computer, "hostname": computer}
    rendering = event.get("RenderingInfo")
    if isinstance(rendering, Mapping) and isinstance(message := rendering.get("Message"), str) and message:
        flat["message"] = message
    process = _attribute(system, "Execution", "ProcessID") if {"Execution", "Execution_attributes"} & system.keys() else ""
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
            elif name != "#attributes" and not name.endswith("_attributes"):
                flat[name.lower()] = _value(name, value)
    user = event.get("UserData")
    for element in user.values() if isinstance(user, Mapping) else ():
        for name, value in element.items() if isinstance(element, Mapping) else ():
            if name != "#attributes" and not name.endswith("_attributes"):
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
    """An element's attribute, which evtx_dump writes inside of the element, or, where it was told to, beside it."""
    beside = part.get(f"{element}_attributes")
    return _text(beside if isinstance(beside, Mapping) else _part(_part(part, element), "#attributes"), name)


def _text(part: Mapping[str, object], name: str) -> str:
    value = part.get(name)
    if isinstance(value, Mapping):
        value = value.get("#text")
    if value is None or not isinstance(value, str | int):
        raise ValueError(f"{name} is missing")
    return str(value)
