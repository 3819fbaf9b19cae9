"""The embedded SIEM's working side: events come in and become searchable, rules run on a schedule and raise alerts.

It runs in threads of the process that makes the events. It knows no rule language (parsing and matching are handed in) and nothing of
detonations, scenarios or expectations: like a real SIEM it sees events and rules alone.

Why a recorded run is proof. An event's `searchable_at` is read and its row committed under one lock; a run's `started_at` is read and
its events selected under the same lock. So an event is either in what a run saw or was searchable only after that run had started.
A run and its alerts become visible in one transaction.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from hashlib import sha256
from heapq import heappop, heappush
from pathlib import Path
from threading import Event as Flag
from threading import Lock, Thread
from typing import Protocol
from zlib import crc32

from harness.errors import HarnessError, LabError
from harness.events import winlogbeat
from harness.events.windows import WindowsEvent
from harness.model.facts import Event
from harness.model.intent import Rule
from harness.ports import Clock
from harness.siem.embedded import store
from harness.siem.embedded.store import DeployedRule, StoredAlert, StoredEvent, Writer

# Of `ingest_delay`: by how much more an event may take, so that channels overtake each other as they do behind a real shipper.
JITTER = 0.5

_RUNS_KEPT = timedelta(hours=1)


class Detector(Protocol):
    """Rules made ready to be asked of one event after another."""

    def matches(self, event: Event) -> Iterable[Rule]:
        """The rules that the event satisfies."""


class EmbeddedSiem:
    """Ingest and rule engine over one store.

    `parse` gets a deployed rule's text and a name for it, and gives the rules in the text; it raises HarnessError where it cannot.
    `detector_of` makes rules ready. Raises LabError where the file cannot be opened.
    """

    def __init__(
        self,
        store_path: Path,
        *,
        clock: Clock,
        detector_of: Callable[[Sequence[Rule]], Detector],
        parse: Callable[[str, str], Iterable[Rule]],
        ingest_delay: timedelta,
        rule_interval: timedelta,
        look_back: timedelta,
        schedule_running: bool = True,
    ) -> None:
        self._clock = clock
        self._rule_interval = rule_interval
        promised = ingest_delay * (1 + JITTER)
        try:
            self._store = Writer(store_path, interval=rule_interval, look_back=look_back, ingest_delay=promised, running=schedule_running)
        except (OSError, sqlite3.Error, store.NotAStore) as error:
            raise LabError(f"the embedded SIEM cannot open {store_path}: {error}") from error
        self._inbox = _Inbox(ingest_delay)
        self._engine = _Engine(self._store, clock=clock, detector_of=detector_of, parse=parse, look_back=look_back)
        self._turn = Lock()
        self._stopping = Flag()
        self._wake = Flag()
        self._threads: list[Thread] = []
        self._failure: Exception | None = None

    def ingest(self, event: WindowsEvent) -> None:
        """Take a record as its host's log got it. Returns at once; it becomes searchable later. Any thread."""
        self._inbox.put(event, self._clock.now())
        self._wake.set()

    def start(self) -> None:
        """Begin to work in threads."""
        self._store.beat(self._clock.now())
        for work in (self._keep_pumping, self._keep_running_rules):
            thread = Thread(target=self._guard, args=(work,), name=f"embedded siem {work.__name__}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def stop(self) -> None:
        """End the threads, make searchable what is still queued, and close the store.

        Raises LabError where the service had broken down before: its file gone, its disk full.
        """
        self._stopping.set()
        self._wake.set()
        for thread in self._threads:
            thread.join()
        try:
            if self._failure is not None:
                raise self._failure
            self._make_searchable(self._inbox.take(None))
            self._store.beat(store.from_micros(0))
        except Exception as error:
            raise LabError(f"the embedded SIEM broke down: {error}") from error
        finally:
            self._store.close()

    def pump(self) -> None:
        """Make searchable what is due by now."""
        self._make_searchable(self._inbox.take(self._clock.now()))

    def run_rules(self) -> None:
        """One cycle of the rule engine, where its schedule is running."""
        self._store.beat(self._clock.now())
        if self._store.schedule().running:
            self._engine.cycle(self._turn)

    def _make_searchable(self, events: Sequence[WindowsEvent]) -> None:
        if not events:
            return
        documents = [_stored(event, event.created) for event in events]
        with self._turn:
            now = self._clock.now()
            self._store.add_events([replace(document, searchable_at=now) for document in documents])

    def _keep_pumping(self) -> None:
        while not self._stopping.is_set():
            self._wake.clear()
            self.pump()
            due = self._inbox.next_due()
            if not self._stopping.is_set():
                self._clock.wait((due - self._clock.now()).total_seconds() if due else 3600.0, self._wake)

    def _keep_running_rules(self) -> None:
        due = self._clock.monotonic()
        while not self._stopping.is_set():
            self.run_rules()
            # A cycle that took longer than the interval is followed by the next at once; the ones it sat out are not made up for.
            due = max(due + self._rule_interval.total_seconds(), self._clock.monotonic())
            self._clock.wait(due - self._clock.monotonic(), self._stopping)

    def _guard(self, work: Callable[[], None]) -> None:
        # The edge of a thread: what ends it is told by stop(), and until then by a heartbeat that stands still.
        try:
            work()
        except Exception as error:  # noqa: BLE001
            self._failure = error
            self._stopping.set()
            self._wake.set()


class _Inbox:
    """Records on their way, each with the moment at which it becomes searchable; in order within a host's channel."""

    def __init__(self, delay: timedelta) -> None:
        self._delay = delay
        self._lock = Lock()
        self._count = 0
        self._queue: list[tuple[datetime, int, WindowsEvent]] = []
        self._last: dict[tuple[str, str], datetime] = {}

    def put(self, event: WindowsEvent, now: datetime) -> None:
        channel = (event.computer, event.channel)
        # From the record itself, so that the same records take the same time in every run.
        share = crc32(f"{event.computer}/{event.channel}/{event.record_id}".encode()) / 2**32
        with self._lock:
            due = max(now + self._delay * (1 + JITTER * share), self._last.get(channel, now))
            self._last[channel] = due
            self._count += 1
            heappush(self._queue, (due, self._count, event))

    def take(self, until: datetime | None) -> list[WindowsEvent]:
        """What is due by then, taken out; None: everything."""
        taken = []
        with self._lock:
            while self._queue and (until is None or self._queue[0][0] <= until):
                taken.append(heappop(self._queue)[2])
        return taken

    def next_due(self) -> datetime | None:
        with self._lock:
            return self._queue[0][0] if self._queue else None


class _Engine:
    """The rule engine. It asks each version of a rule once about each event, and yet covers its whole window at every cycle.

    Parsing and matching are code that was handed in, and rules are whatever people wrote: whatever one of them dies of is that rule's
    failure, recorded with its runs until its text changes, and no other rule's.
    """

    def __init__(
        self,
        writer: Writer,
        *,
        clock: Clock,
        detector_of: Callable[[Sequence[Rule]], Detector],
        parse: Callable[[str, str], Iterable[Rule]],
        look_back: timedelta,
    ) -> None:
        self._store = writer
        self._clock = clock
        self._detector_of = detector_of
        self._parse = parse
        self._look_back = look_back
        self._digests: Mapping[str, str] = {}
        # Every deployed rule, or the reason why it does not run.
        self._loaded: dict[str, Rule | str] = {}
        self._detector = detector_of(())
        self._rule_set = 0
        self._errors: Mapping[str, str] = {}
        # What has been asked already: these versions of rules, about every event up to this row but for those ahead of our clock.
        self._asked: Mapping[str, str] = {}
        self._asked_row = 0
        self._ahead: list[StoredEvent] = []

    def cycle(self, turn: Lock) -> None:
        """Run every deployed rule over its window and record that it was."""
        started_at, fresh = self._begin(turn)
        if not self._digests:
            return
        start, end = started_at - self._look_back, started_at
        found = self._ask(self._detector, [event for event in fresh if start <= event.time <= end])
        if new := [rule for rule in self._running() if self._asked.get(rule.id) != self._digests[rule.id]]:
            found += self._ask(self._detector_of(new), self._store.events_between(start, end, self._asked_row))
        if (errors := {id: rule if isinstance(rule, str) else "" for id, rule in self._loaded.items()}) != self._errors:
            self._rule_set, self._errors = self._store.add_rule_set(errors), errors
        finished_at = self._clock.now()
        self._store.add_run(
            self._rule_set,
            window=(start, end),
            started_at=started_at,
            finished_at=finished_at,
            alerts=[_alert(rule, event, finished_at) for rule, event in found],
            keep_from=finished_at - _RUNS_KEPT,
        )
        # A host's clock may be ahead of ours: such an event comes into the window of a later cycle.
        self._ahead = [event for event in fresh if event.time > end]
        self._asked_row = max([self._asked_row, *(event.row for event in fresh)])
        self._asked = self._digests

    def _begin(self, turn: Lock) -> tuple[datetime, list[StoredEvent]]:
        """When the cycle started, and the events that it has to ask the rules about."""
        while True:
            self._load()
            with turn:
                started_at = self._clock.now()
                # A rule that was changed while we parsed must not be credited with a run of its old text.
                if self._store.rule_digests() == self._digests:
                    return started_at, self._ahead + self._store.events_after(self._asked_row)

    def _load(self) -> None:
        if self._store.rule_digests() == self._digests:
            return
        deployed = self._store.rules()
        self._loaded = {
            rule.id: self._loaded[rule.id] if self._digests.get(rule.id) == rule.digest else self._load_one(rule) for rule in deployed
        }
        self._digests = {rule.id: rule.digest for rule in deployed}
        self._detector = self._detector_of(self._running())

    def _load_one(self, deployed: DeployedRule) -> Rule | str:
        try:
            rules = {rule.id: rule for rule in self._parse(deployed.definition, f"deployed rule {deployed.id}")}
            if (rule := rules.get(deployed.id)) is None:
                return f"the text holds no rule {deployed.id}"
            self._detector_of([rule])
        except HarnessError as error:
            return str(error)
        except Exception as error:  # noqa: BLE001
            return f"{type(error).__name__}: {error}"
        return rule

    def _running(self) -> list[Rule]:
        return [rule for rule in self._loaded.values() if isinstance(rule, Rule)]

    def _ask(self, detector: Detector, events: Iterable[StoredEvent]) -> list[tuple[Rule, Event]]:
        found = []
        for stored in events:
            event = winlogbeat.read(json.loads(stored.document), stored.id)
            try:
                found += [(rule, event) for rule in detector.matches(event)]
            except Exception:  # noqa: BLE001
                # Which rule it was is not told: each is asked by itself, and those that fail are asked no more.
                found += self._ask_each(event)
                detector = self._detector = self._detector_of(self._running())
        return found

    def _ask_each(self, event: Event) -> list[tuple[Rule, Event]]:
        found = []
        for rule in self._running():
            try:
                found += [(matched, event) for matched in self._detector_of([rule]).matches(event)]
            except Exception as error:  # noqa: BLE001
                self._loaded[rule.id] = f"failed on event {event.id}: {type(error).__name__}: {error}"
        return found


def _stored(event: WindowsEvent, searchable_at: datetime) -> StoredEvent:
    document = winlogbeat.render(event)
    # A record that is shipped twice is one document; a rebuilt host that counts its records from 1 again makes new ones.
    record = f"{event.computer}/{event.channel}/{event.record_id}/{event.created.isoformat()}"
    read = winlogbeat.read(document, sha256(record.encode()).hexdigest()[:20])
    return StoredEvent(
        id=read.id,
        host=read.host,
        channel=read.channel,
        event_id=read.event_id,
        time=read.time,
        searchable_at=searchable_at,
        document=json.dumps(document),
    )


def _alert(rule: Rule, event: Event, raised_at: datetime) -> StoredAlert:
    return StoredAlert(
        id=sha256(f"{rule.id}/{event.id}".encode()).hexdigest()[:20],
        rule=rule.id,
        host=event.host,
        severity=rule.severity.value,
        time=event.time,
        raised_at=raised_at,
        searchable_at=raised_at,
        event=event.id,
    )
