"""A Windows event as the host's own event log holds it, before any shipper touched it.

Field names are those of the event schema (winmeta, `<System>` and `<EventData>` of the rendered XML).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum


class Level(IntEnum):
    """`System/Level`."""

    LOG_ALWAYS = 0
    ERROR = 2
    WARNING = 3
    INFORMATION = 4
    VERBOSE = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowsEvent:
    """One record of an event log.

    `data` are the named `EventData` values in schema order, each as Windows renders it (pids in 4688 are hex strings, Sysmon's are
    decimal). Classic events ("Windows PowerShell") have unnamed values instead: `strings`. `user_sid` and `process_id`/`thread_id`
    are `System/Security/@UserID` and `System/Execution`; None where the provider logs none. `created` is the host's clock,
    aware, UTC.
    """

    channel: str
    provider: str
    provider_guid: str | None
    event_id: int
    version: int
    level: Level
    task: int
    opcode: int
    keywords: int
    record_id: int
    created: datetime
    computer: str
    process_id: int | None
    thread_id: int | None
    user_sid: str | None = None
    activity_id: str | None = None
    data: Mapping[str, str] = field(default_factory=dict)
    strings: tuple[str, ...] = ()
    message: str = ""
