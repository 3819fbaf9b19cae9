"""What a document says of an event beside its own values: the parts of its `System` element, in whichever shipper's form they stand.

A shipper tells some parts as numbers and some by their publisher's names for them, and leaves others out: what is not told is not here.
This file must not know what the parts are compared with.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from harness.model.facts import Event

_LEVELS = {0: "information", 1: "critical", 2: "error", 3: "warning", 4: "information", 5: "verbose"}
_NXLOG_LEVELS = {
    "INFO": "information",
    "AUDIT_SUCCESS": "information",
    "AUDIT_FAILURE": "information",
    "VERBOSE": "verbose",
    "DEBUG": "verbose",
    "WARNING": "warning",
    "ERROR": "error",
    "CRITICAL": "critical",
}


def shipper_of(event: Event) -> str:
    """In whose form the document is: "XML" (EVTX too), "NXLog", "winlogbeat", or "Elastic Agent" where an ingest pipeline was at it."""
    document = _document(event)
    if "Event" in document:
        return "XML"
    if "EventID" in document:
        return "NXLog"
    return "Elastic Agent" if {"data_stream", "process", "source"} & document.keys() else "winlogbeat"


def _document(event: Event) -> Mapping[str, object]:
    source = event.raw.get("_source")
    return source if isinstance(source, Mapping) else event.raw


def head_of(event: Event) -> dict[str, str]:
    """The parts that the event's document tells: `guid` in capitals with braces, `level` as a word, `version`, `task` and `opcode` as
    decimal numbers, `keywords` in hexadecimal, `task name`, `opcode name` and `keyword names`, `user`, `activity`, `process`, `thread`."""
    document = _document(event)
    if isinstance(xml := document.get("Event"), Mapping):
        parts = _of_xml(xml)
    elif "EventID" in document:
        parts = _of_nxlog(document)
    else:
        parts = _of_winlogbeat(document)
    return {name: value for name, value in parts if value}


def _of_xml(event: Mapping[str, object]) -> Iterable[tuple[str, str]]:
    system = _part(event, "System")
    names = _part(event, "RenderingInfo")
    keyword = _part(names, "Keywords").get("Keyword", "")
    yield "guid", _guid(_attribute(system, "Provider", "Guid"))
    yield "level", _level(_text(system.get("Level")))
    for name in ("version", "task", "opcode"):
        yield name, _text(system.get(name.capitalize()))
    yield "keywords", _hex(_text(system.get("Keywords")))
    yield "task name", _text(names.get("Task"))
    yield "opcode name", _text(names.get("Opcode"))
    yield "keyword names", _joined(keyword)
    yield "user", _attribute(system, "Security", "UserID")
    yield "activity", _guid(_attribute(system, "Correlation", "ActivityID"))
    yield "process", _attribute(system, "Execution", "ProcessID")
    yield "thread", _attribute(system, "Execution", "ThreadID")


def _of_nxlog(document: Mapping[str, object]) -> Iterable[tuple[str, str]]:
    kinds = [kind for name in ("EventType", "EventTypeOrignal") if (kind := document.get(name)) in _NXLOG_LEVELS]
    level = _NXLOG_LEVELS[str(kinds[0])] if kinds else _level(_text(document.get("Level")))
    yield "guid", _guid(_text(document.get("ProviderGuid")))
    yield "level", level
    yield "version", _text(document.get("Version"))
    yield "task", _text(document.get("Task"))
    opcode = _text(document.get("Opcode"))
    yield "opcode", _text(document.get("OpcodeValue")) or (opcode if opcode.isdecimal() else "")
    yield "keywords", _hex(_text(document.get("Keywords")))
    yield "task name", _text(document.get("Category"))
    yield "opcode name", "" if opcode.isdecimal() else opcode
    yield "user", _text(document.get("UserID"))
    yield "activity", _guid(_text(document.get("ActivityID")))
    yield "process", _text(document.get("ExecutionProcessID"))
    yield "thread", _text(document.get("ThreadID"))


def _of_winlogbeat(document: Mapping[str, object]) -> Iterable[tuple[str, str]]:
    nested = document.get("winlog")
    winlog = nested if isinstance(nested, Mapping) else document
    level = _text(_part(document, "log").get("level")) or _text(document.get("level"))
    process = _part(winlog, "process")
    yield "guid", _guid(_text(winlog.get("provider_guid")))
    yield "level", level.lower()
    yield "version", _text(winlog.get("version")) or "0"  # it leaves a nought out
    yield "task name", _text(winlog.get("task"))
    yield "opcode name", _text(winlog.get("opcode"))
    yield "keyword names", _joined(winlog.get("keywords", ""))
    yield "user", _text(_part(winlog, "user").get("identifier"))
    yield "activity", _guid(_text(winlog.get("activity_id")))
    yield "process", _text(process.get("pid"))
    yield "thread", _text(_part(process, "thread").get("id"))


def _part(document: Mapping[str, object], name: str) -> Mapping[str, object]:
    part = document.get(name)
    return part if isinstance(part, Mapping) else {}


def _attribute(part: Mapping[str, object], element: str, name: str) -> str:
    beside = _part(part, f"{element}_attributes")
    return _text((beside or _part(_part(part, element), "#attributes")).get(name))


def _text(value: object) -> str:
    if isinstance(value, Mapping):
        value = value.get("#text")
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""


def _joined(value: object) -> str:
    return ", ".join(sorted(map(str, value))) if isinstance(value, list) else _text(value)


def _guid(text: str) -> str:
    return f"{{{text.strip('{}').upper()}}}" if text else ""


def _level(text: str) -> str:
    return _LEVELS.get(int(text), text) if text.isdecimal() and len(text) < 4 else text.lower()


def _hex(text: str) -> str:
    """Keywords as an unsigned number: some shippers write them signed, some in decimal."""
    if re.fullmatch(r"0x[0-9A-Fa-f]{1,16}", text):
        return hex(int(text, 16))
    return hex(int(text) % 2**64) if re.fullmatch(r"-?[0-9]{1,20}", text) else text
