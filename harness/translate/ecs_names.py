"""Where ECS keeps an event's own field, read off the ECS view itself: a value is put into the field, and looked for in what comes out.

So the names are those of `harness.events.ecs` and are written down once. A field whose value the view changes (a list of hashes, an
account with its domain) has no name here, but may have tests of its own that say the same (`same_in_ecs`). It must never know a language.
"""

from __future__ import annotations

import re
from functools import cache

from harness.events.ecs import made
from harness.logic.match import key_of, text_of
from harness.model.facts import FlatValue

_PROBES: tuple[str, ...] = ("C:\\Pr0be Dir\\pr0be.exe", "4711", "203.0.113.77", "true", "false")

_HEAD = {
    "channel": "winlog.channel",
    "eventid": "event.code",
    "provider_name": "winlog.provider_name",
    "computer": "winlog.computer_name",
    "message": "message",
    "data": "message",
}
"""The record's own head. `Data`, a classic event's unnamed strings, is in its rendered message."""

_AMBIGUOUS = re.compile(r"(?:subject|target)(?:username|domainname|usersid|sid|logonid|userid)")
"""Accounts: an event has several, of which ECS keeps one."""

NUMBERS = frozenset(
    [
        "destination.port",
        "source.port",
        "process.pid",
        "process.parent.pid",
        "powershell.sequence",
        "powershell.total",
        "process.args_count",
    ]
)
ADDRESSES = frozenset(["destination.ip", "source.ip", "dns.resolved_ip"])
BOOLEANS = frozenset(["file.code_signature.exists", "file.code_signature.valid"])
"""ECS fields that are no keywords, so that a pattern over them is no valid query."""

ANALYSED = frozenset(["message", "powershell.file.script_block_text"])
"""Fields that winlogbeat's mapping takes apart into words."""


_FILTERING = range(5150, 5160)


def is_filtering(channel: str, event_id: int) -> bool:
    """Whether an event is the Windows Filtering Platform's, which winlogbeat's pipeline leaves unmapped."""
    return channel.lower() == "security" and event_id in _FILTERING


def event_data(field: str) -> str:
    """The field under the name that every Windows event keeps it by, as its author writes it."""
    return f"winlog.event_data.{field}"


@cache
def ecs_name(channel: str, event_id: int, field: str) -> str:
    """The ECS field that holds the same value in events of this kind, else its name among `winlog.event_data`."""
    key = key_of(field)
    if key in _HEAD:
        return _HEAD[key]
    if _AMBIGUOUS.fullmatch(key):
        return event_data(field)
    candidates: dict[str, int] = {}
    for probe in _PROBES:
        for name, value in made(channel, event_id, {key: probe}).items():
            if isinstance(value, str | int | float) and text_of(value).lower() == probe.lower():
                candidates[name] = candidates.get(name, 0) + 1
    empty = made(channel, event_id, {})
    found = [name for name, count in candidates.items() if name not in empty and _is_whole(name, count)]
    return min(found, key=len) if found else event_data(field)


def _is_whole(name: str, count: int) -> bool:
    """Whether the ECS field took every probe that a field of its type can hold."""
    if name in NUMBERS or name in ADDRESSES:
        return count == 1
    return count == 2 if name in BOOLEANS else count == len(_PROBES)


def same_in_ecs(channel: str, event_id: int, field: str, value: str) -> tuple[tuple[str, FlatValue], ...]:
    """The ECS fields, with their values, that say of an event of this kind that its own field has, or contains, this value.

    For hashes and directions, whose values ECS writes in another way; nothing where it has no such.
    """
    key = key_of(field)
    if key == "hashes" and not re.fullmatch(r"(?i)(?:md5|sha1|sha256|imphash)=[0-9a-f]+", value):
        return ()
    if key not in ("hashes", "initiated", "direction"):
        return ()
    before = made(channel, event_id, {})
    return tuple((name, found) for name, found in made(channel, event_id, {key: value}).items() if name not in before)
