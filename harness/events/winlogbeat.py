"""Windows events in the document form of winlogbeat 8: written by the embedded lab, read from its SIEM and from recordings.

Elastic Agent ships the same form; where its ingest pipelines moved Sysmon's and PowerShell's values to ECS fields, they are read from
there, under the names that the event itself gives them. This file must not know who stores the documents or what a rule asks of them.

Form: https://www.elastic.co/docs/reference/beats/winlogbeat/exported-fields-winlog, as far as Windows events without the shipper's
ingest pipelines fill it: names of channel, task, opcode and keywords where the publisher's metadata has them, empty EventData values
left out, unnamed values called param1, param2 and so on.
One thing is kept that winlogbeat folds: line ends stay CRLF, as the host's log has them, because rules are judged on what was logged.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from harness.events.fields import SYSMON, iso_time, joined, short_name, sysmon_time
from harness.events.publishers import AUDIT_FAILURE, AUDIT_SUCCESS, keyword_names, opcode_name, task_name
from harness.events.windows import Level, WindowsEvent
from harness.model.facts import Event, FlatValue

_LEVELS = {
    Level.LOG_ALWAYS: "information",
    Level.ERROR: "error",
    Level.WARNING: "warning",
    Level.INFORMATION: "information",
    Level.VERBOSE: "verbose",
}

_AUDITING = "microsoft-windows-security-auditing"

# Where the pipelines of Elastic's Windows integration keep what they take out of event_data (its exported fields say what each is).
# https://www.elastic.co/docs/reference/integrations/windows
_MOVED: Mapping[str, Mapping[str, str]] = {
    SYSMON: {
        "image": "process.executable",
        "commandline": "process.command_line",
        "currentdirectory": "process.working_directory",
        "processid": "process.pid",
        "processguid": "process.entity_id",
        "parentimage": "process.parent.executable",
        "parentcommandline": "process.parent.command_line",
        "parentprocessid": "process.parent.pid",
        "parentprocessguid": "process.parent.entity_id",
        "sourceip": "source.ip",
        "sourceport": "source.port",
        "sourcehostname": "source.domain",
        "destinationip": "destination.ip",
        "destinationport": "destination.port",
        "destinationhostname": "destination.domain",
        "protocol": "network.transport",
        "queryname": "dns.question.name",
        "targetobject": "registry.path",
    },
    "microsoft-windows-powershell": {
        "scriptblocktext": "powershell.file.script_block_text",
        "scriptblockid": "powershell.file.script_block_id",
        "path": "file.path",
        "messagenumber": "powershell.sequence",
        "messagetotal": "powershell.total",
    },
    _AUDITING: {
        "processname": "process.executable",
        "processid": "process.pid",
        "ipaddress": "source.ip",
        "ipport": "source.port",
        "workstationname": "source.domain",
    },
}

_PROCESS_CREATED: Mapping[str, str] = {
    "newprocessname": "process.executable",
    "newprocessid": "process.pid",
    "parentprocessname": "process.parent.executable",
    "processid": "process.parent.pid",
}
"""What they took out of 4688, whose process is another than that of all other events of the security log."""

_FILE_OF = {6: "imageloaded", 7: "imageloaded", 17: "pipename", 18: "pipename"}
"""What `file.path` was in a Sysmon event of this id; in every other it was TargetFilename."""


def render(event: WindowsEvent) -> dict[str, object]:
    """The document that winlogbeat would ship for this record; `event.created` takes the record as read when it was written."""
    created = _milliseconds(event.created)
    winlog: dict[str, object] = {
        "api": "wineventlog",
        "channel": event.channel,
        "computer_name": event.computer,
        "event_id": str(event.event_id),
        "provider_name": event.provider,
        "record_id": event.record_id,
    }
    ecs: dict[str, object] = {"code": str(event.event_id), "created": created, "kind": "event", "provider": event.provider}
    if event.provider_guid:
        winlog["provider_guid"] = event.provider_guid
    if event.version:
        winlog["version"] = event.version
    if task := task_name(event.provider, event.task):
        winlog["task"] = ecs["action"] = task
    if opcode := opcode_name(event.provider, event.opcode):
        winlog["opcode"] = opcode
    if keywords := keyword_names(event.provider, event.keywords):
        winlog["keywords"] = keywords
    if event.keywords & (AUDIT_FAILURE | AUDIT_SUCCESS):
        ecs["outcome"] = "failure" if event.keywords & AUDIT_FAILURE else "success"
    if event.process_id:
        winlog["process"] = {"pid": event.process_id} | ({"thread": {"id": event.thread_id}} if event.thread_id else {})
    if event.user_sid:
        winlog["user"] = {"identifier": event.user_sid}
    if event.activity_id:
        winlog["activity_id"] = event.activity_id
    data = {name: value for name, value in event.data.items() if value}
    data |= {f"param{number}": value for number, value in enumerate(event.strings, 1) if value}
    if data:
        winlog["event_data"] = data
    document: dict[str, object] = {
        "@timestamp": created,
        "event": ecs,
        "host": {"name": event.computer},
        "log": {"level": _LEVELS[event.level]},
        "winlog": winlog,
    }
    if event.message:
        document["message"] = event.message
    return document


def spelt_otherwise(document: Mapping[str, object]) -> Mapping[str, object] | None:
    """The document as `read` wants it, of one whose names are all dotted, or that winlogbeat 6 wrote; None where it is neither."""
    if "log_name" in document and "event_id" in document:
        winlog = {now: document[then] for then, now in _SIX.items() if then in document}
        if "process_id" in document:
            winlog["process"] = {"pid": document["process_id"], "thread": {"id": document.get("thread_id")}}
        return {name: value for name, value in document.items() if name not in _SIX} | {"winlog": winlog}
    if any(name.startswith("winlog.") for name in document):
        return _nested(document)
    return None


_SIX = {
    "log_name": "channel",
    "source_name": "provider_name",
    "provider_guid": "provider_guid",
    "computer_name": "computer_name",
    "event_id": "event_id",
    "record_number": "record_id",
    "event_data": "event_data",
    "user_data": "user_data",
    "activity_id": "activity_id",
    "keywords": "keywords",
    "opcode": "opcode",
    "task": "task",
    "user": "user",
    "version": "version",
}
"""Winlogbeat 6's names, and what version 7 made of them (its breaking changes list them): all went below `winlog`."""


def _nested(document: Mapping[str, object]) -> dict[str, object]:
    found: dict[str, object] = {}
    for name, value in document.items():
        *above, last = name.split(".")
        inner = found
        for part in above:
            below = inner.setdefault(part, {})
            if not isinstance(below, dict):
                raise ValueError(f"{name} lies below what is no object")
            inner = below
        if isinstance(value, dict) and isinstance(there := inner.get(last), dict):
            value = there | value
        inner[last] = value
    return found


def read(document: Mapping[str, object], id: str) -> Event:
    """The event that a winlogbeat document holds. Raises ValueError naming what the document lacks."""
    winlog = document.get("winlog")
    if not isinstance(winlog, Mapping):
        raise ValueError("winlog is missing")
    channel, computer, provider = (_text(winlog, name) for name in ("channel", "computer_name", "provider_name"))
    event_id = int(_text(winlog, "event_id"))
    data = winlog.get("event_data")
    flat: dict[str, FlatValue] = {name.lower(): _flat_value(value) for name, value in data.items()} if isinstance(data, Mapping) else {}
    flat = _moved(document, provider.lower(), event_id) | flat
    # Windows numbers unnamed values from 1 and winlogbeat leaves empty ones out: the numbers, not the places, give the order.
    unnamed = sorted((int(name[5:]), str(value)) for name, value in flat.items() if name[:5] == "param" and name[5:].isdecimal())
    if unnamed:
        flat["data"] = joined(value for _, value in unnamed)
    flat |= {"channel": channel, "eventid": event_id, "provider_name": provider, "computer": computer, "hostname": computer}
    message = document.get("message")
    if isinstance(message, str):
        flat["message"] = message
    process = winlog.get("process")
    if isinstance(process, Mapping) and process.get("pid"):
        flat["execution_process_id"] = int(_text(process, "pid"))
    return Event(
        id=id,
        channel=channel,
        event_id=event_id,
        host=short_name(computer),
        time=sysmon_time(provider, flat.get("utctime")) or iso_time(_text(document, "@timestamp")),
        provider=provider,
        flat=flat,
        raw=document,
    )


def _moved(document: Mapping[str, object], provider: str, event_id: int) -> dict[str, FlatValue]:
    """The event's own values that an ingest pipeline moved to ECS fields; none where the shipper's document came as it was sent."""
    places = dict(_PROCESS_CREATED if (provider, event_id) == (_AUDITING, 4688) else _MOVED.get(provider, {}))
    if provider == SYSMON:
        places[_FILE_OF.get(event_id, "targetfilename")] = "file.name" if event_id in (17, 18) else "file.path"
    found = {name: _flat_value(value) for name, place in places.items() if (value := _at(document, place)) is not None}
    if provider == _AUDITING:
        # The security log writes process ids in hexadecimal, and rules are written after it.
        found |= {name: hex(value) for name, value in found.items() if name.endswith("processid") and isinstance(value, int)}
    if provider == SYSMON:
        if (direction := _at(document, "network.direction")) in ("egress", "ingress"):
            found["initiated"] = "true" if direction == "egress" else "false"
        if isinstance(domain := _at(document, "user.domain"), str) and isinstance(user := _at(document, "user.name"), str):
            found["user"] = f"{domain}\\{user}"
    return found


def _at(document: Mapping[str, object], place: str) -> object:
    part: object = document
    for name in place.split("."):
        part = part.get(name) if isinstance(part, Mapping) else None
    return part


def _milliseconds(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _text(part: Mapping[str, object], name: str) -> str:
    value = part.get(name)
    if value is None or not isinstance(value, str | int):
        raise ValueError(f"{name} is missing")
    return str(value)


def _flat_value(value: object) -> FlatValue:
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, list):
        return [str(item) for item in value]
    return str(value)
