"""The newest events of all hosts, kept for whoever wants to watch: as they happen, before any shipper and whether or not there is one.

It keeps references, which costs a host next to nothing; what an event looks like is made when somebody asks.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Final

from harness.events.fields import short_name
from harness.events.views import VIEWS
from harness.events.windows import WindowsEvent

KEPT: Final = 10_000
"""Events that are kept: a few minutes of a busy lab, some 25 MB at the most."""
_MOST: Final = 500
"""Events of one answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a watcher wants to see. Empty takes all; hosts by their short names, channels as a part of theirs, both without case."""

    hosts: frozenset[str] = frozenset()
    ids: frozenset[int] = frozenset()
    channels: tuple[str, ...] = ()
    since: datetime | None = None

    def takes(self, event: WindowsEvent) -> bool:
        """Whether it is one of these."""
        return (
            (not self.ids or event.event_id in self.ids)
            and (not self.hosts or short_name(event.computer) in self.hosts)
            and (not self.channels or any(part.lower() in event.channel.lower() for part in self.channels))
            and (self.since is None or event.created >= self.since)
        )


class Tap:
    """Safe to use from several threads."""

    def __init__(self, kept: int = KEPT) -> None:
        self._events: deque[WindowsEvent] = deque(maxlen=kept)
        self._count = 0
        self._lock = threading.Lock()

    def take(self, event: WindowsEvent) -> None:
        """One event has happened."""
        with self._lock:
            self._events.append(event)
            self._count += 1

    def ask(self, question: Mapping[str, object]) -> dict[str, object]:
        """Answer a watcher: the rendered `events` after a number, in order; the number to go on `after`; whether there is `more`.

        `lost` counts those that are not kept any more. Raises ValueError for a question that is none.
        """
        match question:
            case {"after": int(after), "form": str(form)} if form in VIEWS and after >= 0:
                pass
            case _:
                raise ValueError("no question of ours")
        wanted = _wanted(question)
        with self._lock:
            first = self._count - len(self._events)
            events = list(islice(self._events, max(0, after - first), None))
        lost = max(0, first - after)
        number = max(after, first)
        found: list[str] = []
        for event in events:
            if len(found) == _MOST:
                break
            number += 1
            if wanted.takes(event):
                found.append(VIEWS[form](event))
        return {"events": found, "after": number, "more": number < max(after, first) + len(events), "lost": lost}


def _wanted(question: Mapping[str, object]) -> Wanted:
    """Raises ValueError."""
    match question:
        case {"hosts": list(hosts), "ids": list(ids), "channels": list(channels), "since": str(since)}:
            return Wanted(
                hosts=frozenset(short_name(str(host)) for host in hosts),
                ids=frozenset(int(str(one)) for one in ids),
                channels=tuple(str(channel) for channel in channels),
                since=datetime.fromisoformat(since) if since else None,
            )
    raise ValueError("no question of ours")
