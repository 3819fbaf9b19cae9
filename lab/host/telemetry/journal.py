"""The event log service: it numbers a record in its channel, stamps it and hands it on. It knows nothing of what a record means."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random

from harness.events.windows import Level, WindowsEvent

Sink = Callable[[WindowsEvent], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """An event source and the channel that it writes to. Classic sources have no `guid`."""

    channel: str
    name: str
    guid: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A record before the service took it. `lag` is how long after the happening the provider hands it in.

    Fields as in `harness.events.windows.WindowsEvent`; `process_id` 0 is what the service notes for classic sources.
    """

    provider: Provider
    event_id: int
    version: int
    level: Level
    task: int
    opcode: int
    keywords: int
    process_id: int
    user_sid: str | None = None
    activity_id: str | None = None
    data: Mapping[str, str] = field(default_factory=dict)
    strings: tuple[str, ...] = ()
    message: str = ""
    lag: timedelta = timedelta()


class Journal:
    """Writes entries in the order in which they come. Not thread-safe: `Telemetry` serialises."""

    def __init__(self, computer: str, sink: Sink, now: Callable[[], datetime], random: Random) -> None:
        self._computer = computer
        self._sink = sink
        self._now = now
        self._random = random
        self._last_record: dict[str, int] = {}

    def write(self, entry: Entry) -> None:
        """Number the entry in its channel and hand it to the sink."""
        channel = entry.provider.channel
        # A host that has been up for a while did not begin to count today.
        record_id = self._last_record.get(channel, self._random.randrange(1_000, 1_000_000)) + 1
        self._last_record[channel] = record_id
        self._sink(
            WindowsEvent(
                channel=channel,
                provider=entry.provider.name,
                provider_guid=entry.provider.guid,
                event_id=entry.event_id,
                version=entry.version,
                level=entry.level,
                task=entry.task,
                opcode=entry.opcode,
                keywords=entry.keywords,
                record_id=record_id,
                created=self._now() + entry.lag,
                computer=self._computer,
                process_id=entry.process_id,
                thread_id=4 * self._random.randrange(50, 3_000) if entry.process_id else 0,
                user_sid=entry.user_sid,
                activity_id=entry.activity_id,
                data=entry.data,
                strings=entry.strings,
                message=entry.message,
            )
        )
