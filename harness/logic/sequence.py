"""Patterns of several events: sequences as a state machine for each join key, samples, and the buffer that puts a live stream in order.

The machine is the one that Elasticsearch documents: each stage keeps the latest candidate of a key, an event that fits the next stage
moves the candidate there, and one event may serve several stages' candidates. Time is the event's, to the millisecond, never that of its
arrival. An event follows another only where its time is later: of events of one millisecond nobody can say which came first, so that what
is found never depends on the order in which they arrived. (Of several equal candidates of one millisecond the last by id is kept, and the
first by id moves a candidate on.)

A missing event is one with which there would have been a match: none may lie between its neighbours, or, at either end, within the span.
Where a pattern both begins and ends in missing events, it takes one at each end, no further apart than the span, to make it no match.
This module must never know a rule language, a file or a clock.

Source: https://www.elastic.co/docs/reference/query-languages/eql/eql-syntax (sequences, samples, missing events, until, pipes)
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from heapq import heappop, heappush
from itertools import count, takewhile
from typing import Protocol

from harness.errors import RuleTooSlow
from harness.logic.correlate import Correlator, Nearest
from harness.logic.match import Predicate, Scalar, View, compile_node, key_of
from harness.model.facts import Event
from harness.model.tree import Pattern, PatternKind, Pipe, PipeKind, Stage

KEYS = 100_000
"""The most join keys under way in one pattern. With a span those that can no longer complete are dropped before it is reached."""

BUFFERED = 100_000
"""The most events that wait to be put in order; beyond it the oldest go on, so that a flood cannot fill the memory."""

_KEY_COMBINATIONS = 1_000
"""The most keys that one event may have, where key fields hold several values."""

Key = tuple[Scalar | None, ...]
Found = tuple[Event, ...]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


def milliseconds(event: Event) -> int:
    """The event's time in whole milliseconds since 1970, which is how exactly Elasticsearch keeps it."""
    return (event.time - _EPOCH) // _MILLISECOND


class Reorder:
    """Puts a stream in order of time: an event waits until one that is later by `lateness` has come; without a lateness until the end, as
    far as `BUFFERED` allows.

    One that comes later still is left out and counted in `late`: the order of what has gone on cannot be mended.
    """

    def __init__(self, lateness: timedelta | None) -> None:
        self._lateness = None if lateness is None else lateness // _MILLISECOND
        self._waiting: list[tuple[int, str, int, Event]] = []
        self._arrived = 0
        self._passed: int | None = None
        self._newest: int | None = None
        self.late = 0

    def push(self, event: Event) -> Iterator[Event]:
        """Take an event in; the events whose turn has come, in order, all of one millisecond together."""
        time = milliseconds(event)
        if self._passed is not None and time <= self._passed:
            self.late += 1
            return
        self._arrived += 1
        heappush(self._waiting, (time, event.id, self._arrived, event))
        self._newest = time if self._newest is None else max(self._newest, time)
        if self._lateness is not None:
            yield from self._released(self._newest - self._lateness)
        if len(self._waiting) > BUFFERED:
            yield from self._released(self._waiting[0][0] + 1)

    def finish(self) -> Iterator[Event]:
        """The events that still wait: nothing more will come."""
        while self._waiting:
            yield from self._released(self._waiting[0][0] + 1)

    def _released(self, until: int) -> Iterator[Event]:
        while self._waiting and self._waiting[0][0] < until:
            time, _, _, event = heappop(self._waiting)
            self._passed = time
            yield event


class Watcher(Protocol):
    """Whoever wants to know how far a pattern comes that is not complete."""

    def reached(self, events: Found) -> None:
        """These are the first events of a pattern, in the order of its stages, missing ones left out; it may be complete but for those."""

    def ended(self, events: Found) -> None:
        """What had been reached by these came to nothing, because of what ends it or must be missing."""


class _Nobody:
    def reached(self, events: Found) -> None:
        pass

    def ended(self, events: Found) -> None:
        pass


class PatternMatcher:
    """One pattern over a stream of events in order of time."""

    def __init__(self, pattern: Pattern, watcher: Watcher | None = None) -> None:
        """Raises `harness.logic.match.BadValue` as compiling a tree does."""
        self._finder = _finder(pattern, watcher or _Nobody())
        self._pipes = [_Pipe(pipe) for pipe in pattern.pipes]
        self._together: list[Event] = []

    def push(self, event: Event) -> Iterator[Found]:
        """The matches that are certain now. Events come in order of time; those of one millisecond are answered with the next one."""
        if self._together and milliseconds(self._together[0]) != milliseconds(event):
            yield from self._answered()
        self._together.append(event)

    def finish(self) -> Iterator[Found]:
        """What is left: nothing more will come."""
        yield from self._answered()
        found = [*self._finder.finish()]
        for pipe in self._pipes:
            found = [*(passed for each in found for passed in pipe.push(each)), *pipe.finish()]
        yield from found

    def nearest(self) -> Nearest | None:
        """Of a correlation the frame that came nearest so far; None where there is none."""
        return self._finder.nearest() if isinstance(self._finder, _Correlated) else None

    def _answered(self) -> Iterator[Found]:
        together, self._together = sorted(self._together, key=lambda event: event.id), []
        if together:
            for found in self._finder.push(together):
                yield from self._piped(found)

    def _piped(self, found: Found) -> Iterable[Found]:
        passing: list[Found] = [found]
        for pipe in self._pipes:
            passing = [passed for each in passing for passed in pipe.push(each)]
        return passing


def _finder(pattern: Pattern, watcher: Watcher) -> _Single | _Machine | _Sample | _Correlated:
    match pattern.kind:
        case PatternKind.SINGLE:
            return _Single(pattern)
        case PatternKind.SEQUENCE:
            return _Machine(pattern, watcher)
        case PatternKind.SAMPLE:
            return _Sample(pattern, watcher)
        case PatternKind.CORRELATION:
            return _Correlated(pattern)


def find_all(pattern: Pattern, events: Iterable[Event]) -> Iterator[Found]:
    """Every match of the pattern among these events, in whatever order they come."""
    matcher = PatternMatcher(pattern)
    for event in sorted(events, key=lambda event: (milliseconds(event), event.id)):
        yield from matcher.push(event)
    yield from matcher.finish()


class _Pipe:
    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe
        self._seen = 0
        self._last: deque[Found] = deque(maxlen=pipe.count if pipe.kind is PipeKind.TAIL else 0)

    def push(self, found: Found) -> Iterator[Found]:
        self._seen += 1
        if self._pipe.kind is PipeKind.TAIL:
            self._last.append(found)
        elif self._seen <= self._pipe.count:
            yield found

    def finish(self) -> Iterator[Found]:
        yield from self._last
        self._last.clear()


class _Asked:
    """A stage, compiled: whether an event fits it and under which keys."""

    def __init__(self, stage: Stage) -> None:
        self._predicate: Predicate = compile_node(stage.condition)
        self._keys = tuple((key_of(key.name), key.optional) for key in stage.keys)

    def keys(self, view: View) -> tuple[Key, ...]:
        """The keys under which the event fits; none where it does not, or lacks a field of theirs that is not optional."""
        if not self._predicate(view):
            return ()
        found: list[Key] = [()]
        for name, optional in self._keys:
            # A set by its order: a list of values may hold one twice, and joins once.
            values: tuple[Scalar | None, ...] = tuple(dict.fromkeys(view.ecs.values(name))) or ((None,) if optional else ())
            found = [(*key, value) for key in found for value in values]
            if len(found) > _KEY_COMBINATIONS:
                raise RuleTooSlow(f"an event has more than {_KEY_COMBINATIONS} join keys")
        return tuple(found)


class _Single:
    def __init__(self, pattern: Pattern) -> None:
        self._stage = _Asked(pattern.stages[0])

    def push(self, together: Sequence[Event]) -> Iterator[Found]:
        for event in together:
            if self._stage.keys(View(event.flat, event)):
                yield (event,)

    def finish(self) -> Iterator[Found]:
        yield from ()


class _Correlated:
    def __init__(self, pattern: Pattern) -> None:
        self._correlator = Correlator(pattern)

    def push(self, together: Sequence[Event]) -> Iterator[Found]:
        return self._correlator.push(milliseconds(together[0]), together)

    def finish(self) -> Iterator[Found]:
        return self._correlator.finish()

    def nearest(self) -> Nearest | None:
        return self._correlator.nearest()


@dataclass(slots=True)
class _Candidate:
    """A sequence under way. `before` is when an event that may not precede it was last seen."""

    events: Found
    start: int
    last: int
    before: int | None


@dataclass(slots=True)
class _State:
    """What one key has under way: a candidate a stage, and complete ones that wait for what may not follow."""

    candidates: list[_Candidate | None]
    waiting: dict[int, _Candidate] = field(default_factory=dict)  # for what may not follow them, by their number
    forbidden: int | None = None
    touched: int = 0


class _Machine:
    """A sequence. `_gaps[n]` are the missing events before stage n of those that must be there; the last gap lies behind them all."""

    def __init__(self, pattern: Pattern, watcher: Watcher) -> None:
        self._watcher = watcher
        self._stages = [_Asked(stage) for stage in pattern.stages if not stage.missing]
        self._gaps: list[list[_Asked]] = [[]]
        for stage in pattern.stages:
            if stage.missing:
                self._gaps[-1].append(_Asked(stage))
            else:
                self._gaps.append([])
        self._both_ends = bool(self._gaps[0] and self._gaps[-1])
        self._until = _Asked(pattern.until) if pattern.until else None
        self._span = pattern.max_span // _MILLISECOND if pattern.max_span else None
        self._states: dict[Key, _State] = {}
        self._swept = 0
        # Of all that wait, by when they began: to look at each of them at each event would cost the square of their number.
        self._due: list[tuple[int, int, _State]] = []
        self._numbers = count()
        self._waiting = 0

    def push(self, together: Sequence[Event]) -> Iterator[Found]:
        time = milliseconds(together[0])
        if self._gaps[-1]:
            yield from self._outwaited(time)
        stages: dict[Key, dict[int, list[Event]]] = {}
        gaps: dict[Key, set[int]] = {}
        ended: set[Key] = set()
        for event in together:
            view = View(event.flat, event)
            for number, stage in enumerate(self._stages):
                for key in stage.keys(view):
                    stages.setdefault(key, {}).setdefault(number, []).append(event)
            for number, gap in enumerate(self._gaps):
                for missing in gap:
                    for key in missing.keys(view):
                        gaps.setdefault(key, set()).add(number)
            if self._until is not None:
                ended.update(self._until.keys(view))
        # In order of what came first by id, for a stable order of what is found.
        for key in dict.fromkeys([*stages, *gaps, *ended]):
            yield from self._step(key, time, stages.get(key, {}), gaps.get(key, set()), ended=key in ended)
        self._drop(time)

    def finish(self) -> Iterator[Found]:
        """Sequences that end in a missing event: it did not come."""
        waiting = [candidate for state in self._states.values() for candidate in state.waiting.values()]
        self._states.clear()
        yield from (candidate.events for candidate in sorted(waiting, key=lambda candidate: candidate.last))

    def _step(self, key: Key, time: int, fitting: dict[int, list[Event]], forbidden: set[int], *, ended: bool) -> Iterator[Found]:
        state = self._states.get(key)
        if state is None:
            if not (0 in fitting or 0 in forbidden):
                return
            if len(self._states) >= KEYS:
                raise RuleTooSlow(f"a sequence has more than {KEYS} join keys under way")
            state = self._states[key] = _State(candidates=[None] * len(self._stages))
        state.touched = time
        last = len(self._stages) - 1
        if len(self._stages) in forbidden:
            for candidate in state.waiting.values():  # those that nothing can forbid any more are out already
                self._watcher.ended(candidate.events)
            self._waiting -= len(state.waiting)
            state.waiting.clear()
        # From the last stage to the first, so that no event moves a candidate twice.
        for number in range(last, -1, -1):
            if number not in fitting:
                continue
            if number == 0:
                first = [_Candidate((event,), time, time, state.forbidden) for event in fitting[0]]
                if last > 0:
                    state.candidates[0] = first[-1]
                    self._watcher.reached(first[-1].events)
                else:  # one event alone, and what may not be around it
                    for candidate in first:
                        yield from self._complete(state, candidate)
                continue
            waited = state.candidates[number - 1]
            if waited is None:
                continue
            state.candidates[number - 1] = None
            if not self._within(waited.start, time):
                continue
            moved = _Candidate((*waited.events, fitting[number][0]), waited.start, time, waited.before)
            if number == last:
                yield from self._complete(state, moved)
            else:
                state.candidates[number] = moved
                self._watcher.reached(moved.events)
        for number, under_way in enumerate(state.candidates):
            if under_way is not None and under_way.last < time and (ended or number + 1 in forbidden):
                state.candidates[number] = None
                self._watcher.ended(under_way.events)
        if 0 in forbidden:
            state.forbidden = time

    def _within(self, start: int, time: int) -> bool:
        return self._span is None or time - start <= self._span

    def _complete(self, state: _State, candidate: _Candidate) -> Iterator[Found]:
        self._watcher.reached(candidate.events)
        if candidate.before is not None and not self._both_ends and self._within(candidate.before, candidate.last):
            self._watcher.ended(candidate.events)
            return
        since = candidate.before if self._both_ends else candidate.start  # as long as the span from here, it may be forbidden
        if not self._gaps[-1] or since is None:
            yield candidate.events
            return
        number = next(self._numbers)
        state.waiting[number] = candidate
        if self._span is not None:
            heappush(self._due, (since, number, state))
        self._waiting += 1
        if self._waiting > KEYS:
            raise RuleTooSlow(f"a sequence has more than {KEYS} matches that wait for what may not follow")

    def _outwaited(self, time: int) -> Iterator[Found]:
        """Complete sequences whose span has passed without what may not follow them."""
        over: list[_Candidate] = []
        while self._due and not self._within(self._due[0][0], time):
            _, number, state = heappop(self._due)
            if (candidate := state.waiting.pop(number, None)) is not None:  # else it was followed by what may not
                over.append(candidate)
        self._waiting -= len(over)
        yield from (candidate.events for candidate in sorted(over, key=lambda candidate: candidate.last))

    def _drop(self, time: int) -> None:
        """Forget the keys that nothing can come of any more: once a span, so that it costs little."""
        if self._span is None or time - self._swept <= self._span:
            return
        self._swept = time
        for key in [key for key, state in self._states.items() if not state.waiting and not self._within(state.touched, time)]:
            del self._states[key]


class _Sample:
    """Events of one key, one a stage, no event twice, in any order; one match a key.

    Of each stage as many candidates are kept as there are stages: with that many, some are always free of what the others take.
    """

    def __init__(self, pattern: Pattern, watcher: Watcher) -> None:
        self._watcher = watcher
        self._stages = [_Asked(stage) for stage in pattern.stages]
        self._candidates: dict[Key, list[list[Event]] | None] = {}

    def push(self, together: Sequence[Event]) -> Iterator[Found]:
        for event in together:
            view = View(event.flat, event)
            touched: dict[Key, None] = {}
            for number, stage in enumerate(self._stages):
                for key in stage.keys(view):
                    if key not in self._candidates and len(self._candidates) >= KEYS:
                        raise RuleTooSlow(f"a sample has more than {KEYS} join keys")
                    kept = self._candidates.setdefault(key, [[] for _ in self._stages])
                    if kept is not None and len(kept[number]) < len(self._stages):
                        kept[number].append(event)
                        touched[key] = None
            for key in touched:
                candidates = self._candidates[key] or []
                begun = [kept[0] for kept in takewhile(bool, candidates)]
                if begun:
                    self._watcher.reached(tuple(begun))
                found = _distinct(candidates)
                if found is not None:
                    self._candidates[key] = None
                    yield found

    def finish(self) -> Iterator[Found]:
        yield from ()


def _distinct(candidates: list[list[Event]]) -> Found | None:
    """One event a stage, none twice, by augmenting paths; None where there is no such choice."""
    taken: dict[str, int] = {}

    def place(stage: int, tried: set[str]) -> bool:
        for event in candidates[stage]:
            if event.id not in tried:
                tried.add(event.id)
                if event.id not in taken or place(taken[event.id], tried):
                    taken[event.id] = stage
                    return True
        return False

    if not all(place(stage, set()) for stage in range(len(candidates))):
        return None
    by_id = {event.id: event for kept in candidates for event in kept}
    return tuple(by_id[id] for id, _ in sorted(taken.items(), key=lambda pair: pair[1]))
