"""What winlogbeat does: events from a host's log into Elasticsearch, in bulk and in order, until each is there.

It reads on from a bookmark, and only once what it read last is stored: nothing is held but one batch, however long the server is away,
and a server that is slow is sent less. A document's id is made of the event, so that what was stored and not acknowledged is not stored
twice. It must never know where the log is.
"""

from __future__ import annotations

import json
import logging
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from threading import Event as Flag
from threading import Thread
from typing import TYPE_CHECKING

from harness.errors import SiemDenied, SiemError, SiemUnavailable
from harness.events.ingested import ingested, mappings
from harness.ports import Clock

if TYPE_CHECKING:  # the client takes long to load: whoever has a wire has loaded it
    from harness.siem.elastic.wire import Wire

_log = logging.getLogger("harness.siem.elastic")

BATCH = 500
"""Events that are read and sent together at most."""

# Proxies in front of a server may take no more than a million bytes at once.
_BATCH_BYTES = 512 * 1024
_IDLE = 0.2
_LONGEST_PAUSE = 2.0
_LAST_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Logged:
    """An event in the log: its place there, its id, and the document that a shipper makes of it."""

    place: int
    id: str
    document: str


Log = Callable[[int, int], Sequence[Logged]]
"""The events behind a place, so many at most, in order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shipped:
    """How far a shipper came: `sent` are stored; `refused` the server would never take. `trouble` is why it waits or has given up."""

    sent: int
    refused: int
    trouble: str


def make_ready(wire: Wire, index: str) -> None:
    """Make the index where it is not there, with the types that rules assume. Raises `SiemError`."""
    wire.make_index(index, mappings())


class Shipper:
    """A thread that ships what comes after `place` in a log. It gives up only where the server says that it may not."""

    def __init__(self, log: Log, place: int, wire: Wire, index: str, clock: Clock) -> None:
        self._read = log
        self._place = place
        self._wire = wire
        self._index = index
        self._clock = clock
        self._ready = False
        self._sent = self._refused = 0
        self._trouble = ""
        self._gave_up = False
        self._stopping = Flag()
        self._thread = Thread(target=self._keep_shipping, name=f"shipping to {index}", daemon=True)

    def start(self) -> None:
        """Begin to ship."""
        self._thread.start()

    def stop(self) -> None:
        """Ship what is left in the log, if the server takes it within seconds, and end."""
        self._stopping.set()
        self._thread.join()
        self._wire.close()

    @property
    def gave_up(self) -> bool:
        """Whether it ships no more."""
        return self._gave_up

    @property
    def shipped(self) -> Shipped:
        """How far it came."""
        return Shipped(sent=self._sent, refused=self._refused, trouble=self._trouble)

    def _keep_shipping(self) -> None:
        pause, until = 0.0, None
        while True:
            if self._stopping.is_set() and until is None:
                until = self._clock.monotonic() + _LAST_SECONDS
            try:
                more = self._ship()
                self._trouble, pause = "", 0.0
                if not more:
                    if until is not None:
                        return
                    self._clock.wait(_IDLE, self._stopping)
            except SiemUnavailable as error:
                self._trouble = str(error)
                pause = min(_LONGEST_PAUSE, max(0.2, 2 * pause))
                # Not all who were turned away shall come back together.
                wait = max(pause * random.uniform(1.0, 1.25), error.retry_after)  # noqa: S311
                if until is not None and self._clock.monotonic() + wait > until:
                    return
                self._clock.wait(wait, self._stopping if until is None else Flag())
            except SiemError as error:
                self._give_up(str(error))
                return
            except Exception as error:  # noqa: BLE001 - the edge of a thread
                self._give_up(f"{type(error).__name__}: {error}")
                return

    def _give_up(self, why: str) -> None:
        self._trouble = why
        self._gave_up = True
        _log.error("nothing more is shipped to %s: %s", self._index, why)

    def _ship(self) -> bool:
        """Ship one batch; whether there may be more."""
        if not self._ready:
            make_ready(self._wire, self._index)
            self._ready = True
        read = self._read(self._place, BATCH)
        if not read:
            return False
        batch = list(_first_bytes(read))
        now = self._clock.now()
        written = self._wire.write(self._index, [(event.id, ingested(json.loads(event.document), now)) for event in batch])
        wrong = [result for result in written if not result.there]
        for result in wrong:
            if result.denied:
                raise SiemDenied(f"Elasticsearch does not allow it ({result.why})")
            if result.later:  # all are sent anew: those that are there stay as they are
                raise SiemUnavailable(f"Elasticsearch cannot take every event now ({result.why})")
        if wrong:
            _log.error("Elasticsearch refused %d events for ever (%s)", len(wrong), wrong[0].why)
        self._sent += len(batch) - len(wrong)
        self._refused += len(wrong)
        self._place = batch[-1].place
        return len(batch) < len(read) or len(read) == BATCH


def _first_bytes(events: Sequence[Logged]) -> Iterator[Logged]:
    """As many of the first ones as go into one request; one at least."""
    size = 0
    for number, event in enumerate(events):
        size += len(event.document)
        if number and size > _BATCH_BYTES:
            return
        yield event
