"""The embedded SIEM's working side: events come in and become searchable, rules run on a schedule and raise alerts.

It runs in threads of the process that makes the events. It knows no rule language (parsing and matching are handed in) and nothing of
detonations, scenarios or expectations: like a real SIEM it sees events and rules alone.

A rule on single events meets each event once. A pattern of several events is run as Elastic runs one: at every cycle over the whole
look-back, in order of the events' own time, so that an event that arrives late is found by the next cycle whose window it lies in; an alert
is known by its rule and events, so that what two cycles find is raised once.

Why a recorded run is proof. An event's `searchable_at` is read and its row committed under one lock; a run's `started_at` is read and
its events selected under the same lock. So an event is either in what a run saw or was searchable only after that run had started.
A run and its alerts become visible in one transaction.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from hashlib import sha256
from heapq import heappop, heappush
from pathlib import Path
from threading import Event as Flag
from threading import Lock, Thread
from typing import Protocol
from zlib import crc32

from harness.detect import GivenUp, Hit
from harness.errors import HarnessError, LabError
from harness.events import winlogbeat
from harness.events.windows import WindowsEvent
from harness.logic.correlate import settles_late
from harness.logic.match import matcher
from harness.logic.needs import reads, rule_kinds
from harness.model.facts import Event
from harness.model.intent import Rule
from harness.model.tree import And, Op, Pattern, PatternKind, Test
from harness.ports import Clock
from harness.siem.embedded import store
from harness.siem.embedded.store import DeployedRule, RuleException, StoredAlert, StoredEvent, Writer

# Of `ingest_delay`: by how much more an event may take, so that channels overtake each other as they do behind a real shipper.
JITTER = 0.5

_RUNS_KEPT = timedelta(hours=1)


class Detector(Protocol):
    """Rules made ready to be asked of one event after another."""

    def matches(self, event: Event) -> Iterable[Rule]:
        """The rules of one event that this one satisfies."""

    def feed(self, event: Event) -> Iterable[Hit]:
        """The hits that are certain by now."""

    def finish(self) -> Iterable[Hit]:
        """The hits that are left at the end."""

    @property
    def given_up(self) -> Sequence[GivenUp]:
        """The rules that were too slow to be asked to the end."""


class EmbeddedSiem:
    """Ingest and rule engine over one store.

    `parse` gets what a deployed rule is written as, its text and a name for it, and gives the rules in the text; it raises HarnessError
    where it cannot.
    `detector_of` makes rules ready. Raises LabError where the file cannot be opened.
    """

    def __init__(
        self,
        store_path: Path,
        *,
        clock: Clock,
        detector_of: Callable[[Sequence[Rule]], Detector],
        parse: Callable[[str, str, str], Iterable[Rule]],
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


_Found = tuple[Rule, tuple[Event, ...]]


class _Engine:
    """The rule engine. It asks each version of a rule of single events once about each event, and yet covers its whole window at every
    cycle; a pattern is asked about as much of its window as what is new in it can be joined to.

    Parsing and matching are code that was handed in, and rules are whatever people wrote: whatever one of them dies of is that rule's
    failure, recorded with its runs until its text changes, and no other rule's.
    """

    def __init__(
        self,
        writer: Writer,
        *,
        clock: Clock,
        detector_of: Callable[[Sequence[Rule]], Detector],
        parse: Callable[[str, str, str], Iterable[Rule]],
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
        # The window's events that patterns read, by id, and the patterns that wait for something not to happen.
        self._window: dict[str, Event] = {}
        self._waiting: frozenset[str] = frozenset()

    def cycle(self, turn: Lock) -> None:
        """Run every deployed rule over its window and record that it was."""
        started_at, fresh = self._begin(turn)
        if not self._digests:
            return
        start, end = started_at - self._look_back, started_at
        asked_row = max([self._asked_row, *(event.row for event in fresh)])
        arrived = [_read(event) for event in fresh if start <= event.time <= end]
        found = self._ask(self._detector, arrived)
        new = [rule for rule in self._running() if self._asked.get(rule.id) != self._digests[rule.id]]
        if singles := [rule for rule in new if rule.pattern is None]:
            found += self._ask(self._detector_of(singles), map(_read, self._store.events_between(start, end, self._asked_row)))
        if new:  # another set of patterns reads other kinds of event
            arrived = [_read(event) for event in self._store.events_between(start, end, asked_row)]
            self._window.clear()
        found += self._ask_patterns(arrived, {rule.id for rule in new}, start, end)
        if (errors := {id: rule if isinstance(rule, str) else "" for id, rule in self._loaded.items()}) != self._errors:
            self._rule_set, self._errors = self._store.add_rule_set(errors), errors
        excepted = _excepting(self._store.exceptions())
        finished_at = self._clock.now()
        self._store.add_run(
            self._rule_set,
            window=(start, end),
            started_at=started_at,
            finished_at=finished_at,
            alerts=[_alert(rule, events, finished_at) for rule, events in found if not excepted(rule, events)],
            keep_from=finished_at - _RUNS_KEPT,
        )
        # A host's clock may be ahead of ours: such an event comes into the window of a later cycle.
        self._ahead = [event for event in fresh if event.time > end]
        self._asked_row = asked_row
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
        self._detector = self._detector_of(self._running_singles())

    def _load_one(self, deployed: DeployedRule) -> Rule | str:
        try:
            rules = {rule.id: rule for rule in self._parse(deployed.written_as, deployed.definition, f"deployed rule {deployed.id}")}
            if (rule := rules.get(deployed.id)) is None:
                return f"the text holds no rule {deployed.id}"
            if rule.not_evaluated:
                return rule.not_evaluated
            self._detector_of([rule])
        except HarnessError as error:
            return str(error)
        except Exception as error:  # noqa: BLE001
            return f"{type(error).__name__}: {error}"
        return rule

    def _running(self) -> list[Rule]:
        return [rule for rule in self._loaded.values() if isinstance(rule, Rule)]

    def _running_singles(self) -> list[Rule]:
        return [rule for rule in self._running() if rule.pattern is None]

    def _ask(self, detector: Detector, events: Iterable[Event]) -> list[_Found]:
        found: list[_Found] = []
        for event in events:
            try:
                found += [(rule, (event,)) for rule in detector.matches(event)]
            except Exception:  # noqa: BLE001
                # Which rule it was is not told: each is asked by itself, and those that fail are asked no more.
                found += self._ask_each(event)
                detector = self._detector = self._detector_of(self._running_singles())
        return found

    def _ask_each(self, event: Event) -> list[_Found]:
        found: list[_Found] = []
        for rule in self._running_singles():
            try:
                found += [(matched, (event,)) for matched in self._detector_of([rule]).matches(event)]
            except Exception as error:  # noqa: BLE001
                self._loaded[rule.id] = f"failed on event {event.id}: {type(error).__name__}: {error}"
        return found

    def _ask_patterns(self, arrived: Iterable[Event], new: set[str], start: datetime, end: datetime) -> list[_Found]:
        """What the patterns that could find more than at the last cycle find in the window, with what has arrived in it by now."""
        patterns = [rule for rule in self._running() if rule.pattern is not None]
        wanted = {rule.id: rule_kinds(rule) for rule in patterns}
        # By rule, the time of the earliest event that it has not been asked about.
        since = dict.fromkeys(new | self._waiting, start)
        for event in arrived:
            readers = [id for id, kinds in wanted.items() if reads(kinds, event.channel, event.event_id)]
            if readers:
                self._window[event.id] = event
                since |= {id: min(event.time, since.get(id, event.time)) for id in readers}
        for id in [id for id, event in self._window.items() if event.time < start]:
            del self._window[id]
        events = sorted(self._window.values(), key=lambda event: (event.time, event.id))
        found: list[_Found] = []
        whole = [rule for rule in patterns if rule.id in since and _reach(rule) is None]
        found += self._hits(whole, events)
        spanned = {rule.id: since[rule.id] - reach for rule in patterns if rule.id in since and (reach := _reach(rule)) is not None}
        if spanned:
            earliest = min(spanned.values())
            near = self._hits([rule for rule in patterns if rule.id in spanned], [event for event in events if event.time >= earliest])
            found += [(rule, parts) for rule, parts in near if parts[-1].time >= since[rule.id]]
        # What must not have happened may yet happen, or may have happened before the window.
        settled = [(rule, parts) for rule, parts in found if _is_settled(rule, parts, start, end)]
        self._waiting = frozenset(rule.id for rule, parts in found if _waits(rule, parts, end))
        return settled

    def _hits(self, rules: Sequence[Rule], events: Sequence[Event]) -> list[_Found]:
        if not rules:
            return []
        try:
            detector = self._detector_of(rules)
            found = [(hit.rule, hit.events) for hit in _hits_in_order(detector, events)]
            given_up = detector.given_up
        except Exception as error:  # noqa: BLE001
            if len(rules) == 1:
                self._loaded[rules[0].id] = f"failed: {type(error).__name__}: {error}"
                return []
            return [each for rule in rules for each in self._hits([rule], events)]
        for slow in given_up:
            self._loaded[slow.rule.id] = f"failed: {slow.why}"
        return found


def _excepting(exceptions: Sequence[RuleException]) -> Callable[[Rule, Sequence[Event]], bool]:
    """What says whether an exception holds an alert of these events back."""
    by_rule: dict[str, list[Callable[[Event], bool]]] = {}
    for each in exceptions:
        tests = tuple(Test(field=field, op=Op.LIKE, value=value) for field, value in each.when.items())
        by_rule.setdefault(each.rule, []).append(matcher(And(items=tests)))
    return lambda rule, events: any(matches(event) for matches in by_rule.get(rule.id, ()) for event in events)


def _hits_in_order(detector: Detector, events: Iterable[Event]) -> Iterator[Hit]:
    for event in events:
        yield from detector.feed(event)
    yield from detector.finish()


def _reach(rule: Rule) -> timedelta | None:
    """How far before an event that is new to it a rule's pattern must be looked at to find all that this event is a part of; None: as far
    as the window goes. What a sequence with a span has under way from before that cannot be completed any more."""
    pattern = rule.pattern
    if pattern is None or pattern.max_span is None or pattern.kind is not PatternKind.SEQUENCE or pattern.pipes:
        return None
    return pattern.max_span + timedelta(milliseconds=1)  # spans are counted in whole milliseconds


def _is_settled(rule: Rule, events: Sequence[Event], start: datetime, end: datetime) -> bool:
    """Whether the window shows all that the hit depends on: its missing events at either end lie within the span, and the span in it.

    So does a correlation that has to wait for the end of its frame: a larger frame, with what is not in the window, would be another.
    """
    pattern = rule.pattern
    if pattern is None or pattern.max_span is None:
        return True
    began = not (pattern.stages[0].missing or _late(pattern)) or events[-1].time - pattern.max_span >= start
    return began and not _waits(rule, events, end)


def _waits(rule: Rule, events: Sequence[Event], end: datetime) -> bool:
    """Whether an event that must not follow may still follow."""
    pattern = rule.pattern
    if pattern is None or pattern.max_span is None:
        return False
    return (pattern.stages[-1].missing or _late(pattern)) and events[0].time + pattern.max_span >= end


def _late(pattern: Pattern) -> bool:
    return pattern.correlation is not None and settles_late(pattern.correlation)


def _read(stored: StoredEvent) -> Event:
    return winlogbeat.read(json.loads(stored.document), stored.id)


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


def _alert(rule: Rule, events: Sequence[Event], raised_at: datetime) -> StoredAlert:
    """One alert for all events of a hit, as Elastic's alert of a sequence stands for those of its building blocks."""
    ids = tuple(event.id for event in events)
    return StoredAlert(
        id=sha256("/".join((rule.id, *ids)).encode()).hexdigest()[:20],
        rule=rule.id,
        host=events[-1].host,
        severity=rule.severity.value,
        time=events[-1].time,
        raised_at=raised_at,
        searchable_at=raised_at,
        events=ids,
    )
