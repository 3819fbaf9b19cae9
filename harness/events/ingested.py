"""A winlogbeat document as Elasticsearch holds it: with the ECS fields that winlogbeat's ingest pipelines make of the event's own.

The pipelines run in Elasticsearch, and not in every one; here their fields are those of `harness.events.ecs`. What some of them take away
from `winlog.event_data` stays, because others leave it. 5156 and its like have no fields of ECS, as winlogbeat's pipelines know none for
them. This module must never know where documents go.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from harness.events import winlogbeat
from harness.events.ecs import CLASSES, fields_made, made

_DATE = {"type": "date"}
_LONG = {"type": "long"}
_IP = {"type": "ip"}
# A term has 32,766 bytes at most. What is longer is kept, and not found by its text.
_KEYWORD = {"type": "keyword", "ignore_above": 8191}

_UNMAPPED = range(5150, 5160)
_HEAD = ("channel", "computer_name", "provider_name", "event_data.DestPort", "event_data.SourcePort", "event_data.LayerRTID")


def ingested(document: Mapping[str, Any], at: datetime) -> dict[str, Any]:
    """The document as it is stored at that time. Raises ValueError where it holds no Windows event."""
    event = winlogbeat.read(document, "")
    fields: dict[str, object] = {"event.ingested": at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")}
    unmapped = event.channel.lower() == "security" and event.event_id in _UNMAPPED
    flat = {name: value for name, value in event.flat.items() if value not in ("", "-", None) and not unmapped}
    fields |= made(event.channel, event.event_id, flat)
    stored = _copied(document)
    for name, value in fields.items():
        _put(stored, name.split("."), value)
    return stored


def _copied(part: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _copied(value) if isinstance(value, Mapping) else value for name, value in part.items()}


def _put(part: dict[str, Any], path: list[str], value: object) -> None:
    for name in path[:-1]:
        below = part.setdefault(name, {})
        if not isinstance(below, dict):  # the document has a value in this place, and it stays
            return
        part = below
    part[path[-1]] = value


def mappings() -> tuple[dict[str, Any], ...]:
    """The types of these fields that Elastic's rules assume: first with types that not every server has, last with those that all have."""
    return tuple(
        _mapping(pattern, text) for pattern, text in (({"type": "wildcard"}, {"type": "match_only_text"}), (_KEYWORD, {"type": "text"}))
    )


def _mapping(pattern: Mapping[str, Any], text: Mapping[str, Any]) -> dict[str, Any]:
    searched = {**pattern, "fields": {"text": text}}
    # Named, so that an index that has seen no event yet can be asked for them.
    keywords = {name for kind in CLASSES for name in fields_made(*kind)} | {f"winlog.{name}" for name in _HEAD}
    types: dict[str, Mapping[str, Any]] = {
        **dict.fromkeys(sorted(keywords), _KEYWORD),
        "@timestamp": _DATE,
        "event.created": _DATE,
        "event.ingested": _DATE,
        "event.code": _KEYWORD,
        "message": text,
        "destination.ip": _IP,
        "destination.port": _LONG,
        "dns.resolved_ip": _IP,
        "file.code_signature.exists": {"type": "boolean"},
        "file.code_signature.valid": {"type": "boolean"},
        "powershell.file.script_block_text": {"type": "text"},
        "powershell.sequence": _LONG,
        "powershell.total": _LONG,
        "process.args_count": _LONG,
        "process.command_line": searched,
        "process.parent.args_count": _LONG,
        "process.parent.command_line": searched,
        "process.parent.pid": _LONG,
        "process.pid": _LONG,
        "registry.data.strings": pattern,
        "source.ip": _IP,
        "source.port": _LONG,
        "winlog.event_id": _KEYWORD,
        "winlog.process.pid": _LONG,
        "winlog.process.thread.id": _LONG,
        "winlog.record_id": _KEYWORD,
        # What an engine's start says of it (400, 403, 600, 800) is in unnamed strings, thousands of characters in one.
        **{f"winlog.event_data.{name}": pattern for name in ("param1", "param2", "param3", "ScriptBlockText", "ContextInfo", "Payload")},
    }
    return {
        "date_detection": False,
        "dynamic_templates": [{"strings": {"match_mapping_type": "string", "mapping": _KEYWORD}}],
        "properties": dict(_properties(types)),
    }


def _properties(types: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    groups: dict[str, dict[str, Mapping[str, Any]]] = {}
    for name, mapping in types.items():
        head, _, rest = name.partition(".")
        if rest:
            groups.setdefault(head, {})[rest] = mapping
        else:
            yield name, mapping
    for head, below in groups.items():
        yield head, {"properties": dict(_properties(below))}
