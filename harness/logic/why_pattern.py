"""Why did a pattern of several events not match? Which of its events were there, which was not, and what kept the nearest from being it.

The pattern's own machine tells how far it came (`harness.logic.sequence.Watcher`). The event that is missing there is looked for among all
events of its kinds: the nearest is the one that the fewest clauses, joins and spans keep from standing in that place. What is kept is
bounded, however long the stream. This module must never know a verdict or a rule language.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from harness.logic.explain import condition_text
from harness.logic.match import View, compile_node, key_of
from harness.logic.needs import kinds, reads
from harness.logic.sequence import Found, PatternMatcher, Reorder, milliseconds
from harness.logic.why import LONGEST, failing, near_kinds, shown, span_text
from harness.model.facts import Event
from harness.model.tree import Correlation, Pattern, PatternKind, Stage

_RECENT = 256
"""How many beginnings of a pattern, and how many events of each of its stages, are compared with what comes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped:
    """How far a pattern came: `reached` are its first events, and `missing` says which comes next, from 1 on; 0 where all are there.

    `event` came nearest to being that one, and `clauses` say what kept it; where none is missing it is the one that should not have been
    there. None where no event is of a kind that could be it.

    Of a correlation `lacking` says that there are frames, and what the nearest of them lacks; `reached` are the first and last of its
    events. Else `event` came nearest to being counted.
    """

    reached: tuple[Event, ...]
    missing: int
    event: Event | None
    clauses: tuple[str, ...]
    lacking: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Near:
    event: Event
    reached: Found
    clauses: tuple[str, ...]


def stopped(pattern: Pattern, events: Iterable[Event]) -> Stopped | None:
    """What stopped the pattern among these events, in whatever order they come; None where it matches. Raises as matching does."""
    search = PatternSearch(pattern, timedelta(0))
    for event in sorted(events, key=lambda event: (milliseconds(event), event.id)):
        search.see(event)
    return search.result()


class PatternSearch:
    """The nearest that a stream of events comes to one pattern."""

    def __init__(self, pattern: Pattern, lateness: timedelta | None) -> None:
        """Events may come late by `lateness`, as `harness.logic.sequence.Reorder` has it.

        Raises `BadValue` as compiling does; `see` and `result` raise `RuleTooSlow`.
        """
        self._pattern = pattern
        self._stages = [stage for stage in pattern.stages if not stage.missing]
        self._kinds = [kinds(stage.condition) for stage in self._stages]
        self._near_kinds = [near_kinds(stage.condition) for stage in self._stages]
        self._unwanted = [(stage, compile_node(stage.condition)) for stage in pattern.asked if stage.missing or stage is pattern.until]
        self._reorder = Reorder(lateness)
        self._matcher = PatternMatcher(pattern, self)
        self._matched = False
        self._furthest: Found = ()
        self._begun: list[deque[Found]] = [deque(maxlen=_RECENT) for _ in self._stages]
        self._fitting: list[deque[Event]] = [deque(maxlen=_RECENT) for _ in self._stages]
        self._near: list[_Near | None] = [None for _ in self._stages]
        self._unwelcome: deque[tuple[Event, Stage]] = deque(maxlen=_RECENT)
        self._ended: deque[tuple[Found, Event, str]] = deque(maxlen=_RECENT)

    def see(self, event: Event) -> None:
        """Take note of an event."""
        for ordered in self._reorder.push(event):
            self._in_order(ordered)

    def result(self) -> Stopped | None:
        """What stopped it; None where it matched. Nothing more may be seen afterwards."""
        for ordered in self._reorder.finish():
            self._in_order(ordered)
        self._matched |= any(True for _ in self._matcher.finish())
        if self._matched:
            return None
        if self._pattern.correlation is not None:
            return self._short_of(self._pattern.correlation)
        reached = self._furthest
        if len(reached) == len(self._stages):
            ended = next(((event, why) for events, event, why in self._ended if events == reached), None)
            event, clauses = (ended[0], (ended[1],)) if ended is not None else (None, ("an event that must be missing is there",))
            return Stopped(reached=reached, missing=0, event=event, clauses=clauses)
        near = self._near[len(reached)]
        if near is None:
            return Stopped(reached=reached, missing=len(reached) + 1, event=None, clauses=())
        return Stopped(reached=near.reached, missing=len(reached) + 1, event=near.event, clauses=near.clauses)

    def _short_of(self, correlation: Correlation) -> Stopped:
        frame = self._matcher.nearest()
        if frame is None:
            near = min((near for near in self._near if near is not None), key=_rank, default=None)
            event, clauses = (near.event, near.clauses) if near is not None else (None, ())
            return Stopped(reached=(), missing=1, event=event, clauses=clauses)
        measured = ", ".join(
            name if value is True else f"{correlation.measure} is {value}"
            for name, value in frame.measured.items()
            if not (name.startswith("any") and name.removeprefix("any") in frame.measured)
        )
        group = "".join(f", of {name} {shown(value)}" for name, value in zip(correlation.keys, frame.group, strict=True))
        wants = f"the rule wants {condition_text(correlation.condition)} within {span_text(correlation.span)}"
        reached = tuple({event.id: event for event in (frame.first, frame.last)}.values())
        return Stopped(
            reached=reached, missing=0, event=frame.last, clauses=(f"{measured or 'nothing measured'}{group}: {wants}",), lacking=True
        )

    # --- what the pattern's machine tells

    def reached(self, events: Found) -> None:
        """See `Watcher`."""
        if len(events) > len(self._furthest):
            self._furthest = events
        if len(events) < len(self._stages):
            self._begun[len(events)].append(events)
            for event in self._fitting[len(events)]:
                self._consider(len(events), event, events, ())

    def ended(self, events: Found) -> None:
        """See `Watcher`."""
        for event, stage in reversed(self._unwelcome):
            if not self._unjoined(stage, event, events):
                if stage is self._pattern.until:
                    why = "it ended what was under way (until)"
                else:
                    why = f"{_place(event, events)}, where the pattern wants no such event"
                self._ended.append((events, event, why))
                return

    # --- what is seen

    def _in_order(self, event: Event) -> None:
        view = View(event.flat, event)
        self._unwelcome.extend((event, stage) for stage, holds in self._unwanted if holds(view))
        for _ in self._matcher.push(event):
            self._matched = True
        for number, stage in enumerate(self._stages):
            if not reads(self._kinds[number], event.channel, event.event_id):
                continue
            clauses = failing(stage.condition, view)
            if not clauses:
                self._fitting[number].append(event)
            elif not reads(self._near_kinds[number], event.channel, event.event_id):
                continue
            if self._pattern.correlation is not None:
                self._consider(number, event, (), clauses or _ungrouped(self._pattern.correlation, number, view))
                continue
            if number == 0:
                self._consider(0, event, (), (*clauses, *_keyless(stage, view)))
                continue
            for begun in self._begun[number]:
                self._consider(number, event, begun, clauses)

    def _consider(self, number: int, event: Event, begun: Found, clauses: tuple[str, ...]) -> None:
        """Whether the event comes nearer to the place after what was begun than any before it. Nearer in time breaks a tie."""
        best = self._near[number]
        if best is not None and len(clauses) > len(best.clauses):
            return
        every = (*clauses, *(self._apart(number, event, begun) if begun else ()))
        if not every and begun:
            every = (self._why_not(begun),)
        near = _Near(event=event, reached=begun, clauses=every)
        if every and (best is None or _rank(near) < _rank(best)):
            self._near[number] = near

    def _apart(self, number: int, event: Event, begun: Found) -> tuple[str, ...]:
        """What keeps an event from being joined to those that were there."""
        found: list[str] = []
        if self._pattern.kind is PatternKind.SEQUENCE:
            before = milliseconds(begun[-1]) - milliseconds(event)
            if before > 0:
                found.append(f"it came {_text(before)} before event {number}, not after it")
            elif before == 0:
                found.append(f"it has the same millisecond as event {number}: which came first is not known")
            span = milliseconds(event) - milliseconds(begun[0])
            if self._pattern.max_span is not None and span > self._pattern.max_span // timedelta(milliseconds=1):
                found.append(f"it came {_text(span)} after event 1, the pattern allows {span_text(self._pattern.max_span)}")
        return (*found, *self._unjoined(self._stages[number], event, begun))

    def _unjoined(self, stage: Stage, event: Event, begun: Found) -> tuple[str, ...]:
        """The join keys in which an event differs from those that were there."""
        view, last = View(event.flat, event), View(begun[-1].flat, begun[-1])
        found = list(_keyless(stage, view))
        for ours, theirs in zip(stage.keys, self._stages[len(begun) - 1].keys, strict=True):
            here, there = view.ecs.values(key_of(ours.name)), last.ecs.values(key_of(theirs.name))
            if here and not set(here) & set(there):
                whose = f"that of event {len(begun)}" if ours == theirs else f"{theirs.name} of event {len(begun)}"
                found.append(f"{ours.name} is {_values(here)}, {whose} is {_values(there)}")
        return tuple(found)

    def _why_not(self, begun: Found) -> str:
        ended = next(((event, why) for events, event, why in reversed(self._ended) if events == begun), None)
        if ended is None:
            return f"a later event had taken the place of event {len(begun)}"
        event, why = ended
        return f"{event.channel} {event.event_id} ({event.id}) came first: {why}"


def _keyless(stage: Stage, view: View) -> tuple[str, ...]:
    return tuple(f"{key.name} is absent, and so joins nothing" for key in stage.keys if not view.ecs.values(key_of(key.name)))


def _ungrouped(correlation: Correlation, number: int, view: View) -> tuple[str, ...]:
    """The fields by which a correlation groups, or which it measures, that an event of this stage has under none of their names."""
    own = [part for part in correlation.parts if part.of == number]
    wanted = dict.fromkeys(names for part in own for names in (*part.keys, *part.fields))
    absent = (names for names in wanted if not any(view.values(key_of(name.name)) for name in names))
    return tuple(f"{' and '.join(name.name for name in names)} is absent, so that it is not counted" for names in absent)


def _place(event: Event, events: Found) -> str:
    """Where an event stands among those of a pattern."""
    time = milliseconds(event)
    after = sum(milliseconds(each) <= time for each in events)
    if after == 0:
        return "it stands before event 1"
    return f"it stands after event {after}" if after == len(events) else f"it stands between events {after} and {after + 1}"


def _rank(near: _Near) -> tuple[int, int]:
    apart = abs(milliseconds(near.event) - milliseconds(near.reached[-1])) if near.reached else 0
    return len(near.clauses), apart


def _text(milliseconds: int) -> str:
    return span_text(timedelta(milliseconds=milliseconds))


def _values(values: Iterable[object]) -> str:
    return ", ".join(shown(value if not isinstance(value, str) else value[:LONGEST]) for value in values) or "absent"
