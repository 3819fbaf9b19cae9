"""Correlations: matches of rules counted, or measured, over a sliding span of time, for each group of events by itself.

The semantics, of the Sigma Correlation Rules Specification (Correlation section; Correlation Types; Field Name Aliases) where it says any:

- A *frame* is the matches of one group that lie within the span: no two of them farther apart, to the millisecond, ends included. Frames
  slide; they have no boundaries of the clock. Time is the event's.
- A group is the values of the group-by fields, without regard to case, as Sigma compares. A list of values is in a group by any of them.
  A match that lacks one of the fields is in no group. Without group-by there is one group.
- A condition that more matches can only bring nearer (`gt` and `gte` of a count or a sum, rules that must be there) holds as soon as a
  frame has what it takes. Any other condition (`lt`, `lte`, `eq`, `neq`, ranges, `not`; averages, medians and percentiles) is asked of a
  frame once nothing more can join it: of the *full* frames, which are no part of a larger one. Nothing at all is no frame: that there were
  no events is never found.
- What is found takes its frame with it: the next one begins with the next match, so that no event is evidence twice for one correlation.
- `value_count` counts distinct values without regard to case, of several fields distinct rows of them. The numbers of `value_sum` and its
  kin are decimal; what is none, or absent, is not measured. A percentile is the nearest rank (the smallest value that at least so many per
  cent do not exceed), and the median of an even number of values is the mean of the two in the middle.
- `temporal` counts the rules that match in a frame; one event may match several of them. `temporal_ordered` counts the rules on the longest
  chain of matches, each later than the one before, in the order in which the rules are listed: matches of one millisecond have no order.
  An expression of rules is true of a chain; what stands under `not` must not occur in the frame at all.
- A correlation that another one counts matches when it is found: at its last event, or at its frame's end where it had to wait for that.
  Its field of a name is its group's value, where it groups by that name, else the values that its events have.

Evidence are the events of the frame, or of the chain; of more than a thousand the latest. This module must never know a rule language, a
file or a clock.

Source: https://github.com/SigmaHQ/sigma-specification/blob/main/specification/sigma-correlation-rules-specification.md
"""

from __future__ import annotations

import re
from bisect import bisect_left, insort
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from fractions import Fraction
from heapq import heappop, heappush
from itertools import product
from math import ceil
from typing import Protocol

from harness.errors import RuleTooSlow
from harness.logic.match import View, compile_node, key_of
from harness.model.facts import Event, FlatValue
from harness.model.tree import And, Correlation, FieldName, Measure, Node, Op, Or, Pattern, Test

GROUPS = 100_000
"""The most groups that one correlation has under way. Those whose span has passed are dropped before it is reached."""

HELD = 50_000
"""The most events that one pattern holds as evidence."""

COUNTED = 1_000_000
"""The most matches that one pattern holds, with or without their events."""

EVIDENCE = 1_000
"""The most events that a frame holds as evidence, the latest of it."""

CHAINED = 10
"""The most rules whose order a condition may ask for, but for that which asks for all: every choice of them is followed."""

_COMBINATIONS = 1_000
"""The most groups, or rows of values, that one match may have, where fields hold several values."""

_HOSTS = frozenset({"computer", "computername", "host", "hostname"})
"""Names of the machine. It logs under its short and its full name: what is compared is the one name that the event bears."""

_NUMBER = re.compile(r"[+-]?[0-9]{1,30}(\.[0-9]{1,30})?")

_MILLISECOND = timedelta(milliseconds=1)

Texts = tuple[str, ...]
Lookup = Callable[[Sequence[FieldName]], Texts]
"""The values, folded, of the first of these fields that a match has."""


class Correlator:
    """One correlation over a stream of events in order of time."""

    def __init__(self, pattern: Pattern) -> None:
        """`pattern` has a correlation. Raises `harness.logic.match.BadValue` as compiling a tree does."""
        assert pattern.correlation is not None
        self._stages = [compile_node(stage.condition) for stage in pattern.stages]
        self._budget = _Budget()
        self._counters: list[_Counter] = []
        self._by_stage: list[list[tuple[_Counter, int]]] = [[] for _ in self._stages]
        self._root = self._counter(pattern.correlation)

    def push(self, time: int, together: Iterable[Event]) -> Iterator[tuple[Event, ...]]:
        """What is found by these events of one millisecond (since 1970), and by its having come. Raises `RuleTooSlow`."""
        yield from self._passed(time)
        for event in together:
            view = View(event.flat, event)
            for fits, wanted in zip(self._stages, self._by_stage, strict=True):
                if wanted and fits(view):
                    for counter, part in wanted:
                        yield from self._tell(counter, part, _Match(time, (event,), _fields_of(event, view)))

    def finish(self) -> Iterator[tuple[Event, ...]]:
        """What is found by nothing more coming."""
        yield from self._passed(None)

    def nearest(self) -> Nearest | None:
        """The frame that came nearest to the outermost condition so far; None where no match was in a group."""
        return self._root.nearest

    def _counter(self, correlation: Correlation) -> _Counter:
        """The counters below first, so that of two that are due at one time the one that tells the other is asked first."""
        inner = [(number, self._counter(part.of)) for number, part in enumerate(correlation.parts) if isinstance(part.of, Correlation)]
        made = _Counter(correlation, self._budget)
        for number, counter in inner:
            counter.told = (made, number)
        for number, part in enumerate(correlation.parts):
            if isinstance(part.of, int):
                self._by_stage[part.of].append((made, number))
        self._counters.append(made)
        return made

    def _tell(self, counter: _Counter, part: int, match: _Match) -> Iterator[tuple[Event, ...]]:
        for found in counter.see(part, match):
            yield from self._found(counter, found)

    def _found(self, counter: _Counter, found: _Match) -> Iterator[tuple[Event, ...]]:
        if counter.told is None:
            yield found.events
        else:
            yield from self._tell(*counter.told, found)

    def _passed(self, time: int | None) -> Iterator[tuple[Event, ...]]:
        """Frames that ended before this time, in order of their ends; all of them where it is None."""
        while True:
            due = min(self._counters, key=lambda counter: counter.due)
            if due.due == _NEVER or (time is not None and due.due >= time):
                return
            for found in due.close():
                yield from self._found(due, found)


_NEVER = 1 << 100


@dataclass(slots=True)
class _Match:
    """A match of a part: when, its evidence, and what its fields hold."""

    time: int
    events: tuple[Event, ...]
    values: Lookup


def _fields_of(event: Event, view: View) -> Lookup:
    def values(names: Sequence[FieldName]) -> Texts:
        for name in names:
            key = key_of(name.name)
            if key == "computer":
                return (event.host,)
            if found := view.folded(key):
                return found
            if key in _HOSTS:
                return (event.host,)
        return ()

    return values


def _fields_of_found(names: Sequence[str], group: Texts, parts: Sequence[_Match]) -> Lookup:
    own = {key_of(name): value for name, value in zip(names, group, strict=True)}

    def values(wanted: Sequence[FieldName]) -> Texts:
        for name in wanted:
            if (value := own.get(key_of(name.name))) is not None:
                return (value,)
        return tuple(dict.fromkeys(value for part in parts for value in part.values(wanted)))

    return values


@dataclass(slots=True)
class _Budget:
    """What all counters of a pattern hold together."""

    events: int = 0
    matches: int = 0

    def take(self, events: int) -> None:
        self.events += events
        self.matches += 1
        if self.events > HELD:
            raise RuleTooSlow(f"a correlation holds more than {HELD} events at once")
        if self.matches > COUNTED:
            raise RuleTooSlow(f"a correlation holds more than {COUNTED} matches at once")


@dataclass(slots=True)
class _Seen:
    """A match in a frame: its part, and its measured rows. It gives its evidence up where there is more than enough."""

    part: int
    match: _Match
    rows: tuple[Texts, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Nearest:
    """A frame that did not do: its group, its measured values by name, and its first and last event."""

    group: tuple[str, ...]
    measured: Mapping[str, FlatValue]
    first: Event
    last: Event


@dataclass(slots=True)
class _Group:
    """What one group has under way. `evident` are the latest of `seen`, which have their evidence still. `grown`: matches have joined
    since it was last asked whether it is full."""

    tally: _Tally
    seen: deque[_Seen] = field(default_factory=deque)
    evident: deque[_Seen] = field(default_factory=deque)
    grown: bool = False
    waiting: bool = False


class _Counter:
    """One correlation: its groups, and when the next of them has a frame that ends."""

    def __init__(self, correlation: Correlation, budget: _Budget) -> None:
        self.told: tuple[_Counter, int] | None = None
        self.due = _NEVER
        self.nearest: Nearest | None = None
        self._nearness: tuple[float, int] = (-1, -1)
        self._correlation = correlation
        self._budget = budget
        self._holds = compile_node(correlation.condition)
        self._at_once = at_once(correlation)
        self._span = correlation.span // _MILLISECOND
        self._groups: dict[Texts, _Group] = {}
        self._ends: list[tuple[int, Texts]] = []

    def see(self, number: int, match: _Match) -> Iterator[_Match]:
        """A match of one of the parts; what is found by it."""
        part = self._correlation.parts[number]
        rows = _rows(match.values, part.fields)
        if part.fields and not rows:
            return
        for key in _rows(match.values, part.keys):
            group = self._groups.get(key)
            if group is None:
                if len(self._groups) >= GROUPS:
                    raise RuleTooSlow(f"a correlation has more than {GROUPS} groups under way")
                group = self._groups[key] = _Group(_tally(self._correlation))
            self._join(group, _Seen(number, match, rows))
            self._wait(key, group)
            if self._at_once:
                yield from self._ask(key, group, match.time)

    def close(self) -> Iterator[_Match]:
        """The group whose frame ends next: whether it has what it takes, where that could not be said before."""
        end, key = heappop(self._ends)
        group = self._groups[key]
        group.waiting = False
        if group.seen and group.seen[0].match.time + self._span <= end:
            if group.grown and not self._at_once:
                yield from self._ask(key, group, end)
            group.grown = False
            while group.seen and group.seen[0].match.time + self._span <= end:
                self._leave(group)
        if group.seen:
            self._wait(key, group)
        else:
            del self._groups[key]
        self.due = self._ends[0][0] if self._ends else _NEVER

    def _wait(self, key: Texts, group: _Group) -> None:
        if not group.waiting and group.seen:
            group.waiting = True
            heappush(self._ends, (group.seen[0].match.time + self._span, key))
            self.due = self._ends[0][0]

    def _join(self, group: _Group, seen: _Seen) -> None:
        self._budget.take(len(seen.match.events))
        group.seen.append(seen)
        group.tally.add(seen)
        group.grown = True
        group.evident.append(seen)
        if len(group.evident) > EVIDENCE:
            bared = group.evident.popleft()
            self._budget.events -= len(bared.match.events)
            bared.match = _Match(bared.match.time, (), _nothing)

    def _leave(self, group: _Group) -> None:
        seen = group.seen.popleft()
        group.tally.remove(seen)
        if group.evident[0] is seen:
            group.evident.popleft()
        self._budget.events -= len(seen.match.events)
        self._budget.matches -= 1

    def _ask(self, key: Texts, group: _Group, time: int) -> Iterator[_Match]:
        since = group.seen[0].match.time
        chain = next((chain for chain in group.tally.chains(since) if self._holds(View(chain.measured))), None)
        if chain is None:
            self._come_near(key, group, since)
            return
        matches = [seen.match for seen in group.seen] if chain.matches is None else chain.matches
        events = tuple({event.id: event for match in matches for event in match.events}.values())
        yield _Match(time, events[-EVIDENCE:], _fields_of_found(self._correlation.keys, key, matches))
        while group.seen:
            self._leave(group)
        group.tally = _tally(self._correlation)
        group.grown = False

    def _come_near(self, key: Texts, group: _Group, since: int) -> None:
        measured = next((chain.measured for chain in group.tally.chains(since)), {})
        value = measured.get(key_of(self._correlation.measure), 0)
        nearness = (float(value) if isinstance(value, int | float) else 0.0, len(group.seen))
        if nearness <= self._nearness:
            return
        # Every match of a long frame may come nearer than the one before: what is done here must not grow with the frame.
        first = next((event for seen in group.evident for event in seen.match.events[:1]), None)
        last = next((event for seen in reversed(group.evident) for event in seen.match.events[:1]), None)
        if first is not None and last is not None:
            self._nearness = nearness
            self.nearest = Nearest(group=key, measured=measured, first=first, last=last)


def _nothing(_: Sequence[FieldName]) -> Texts:
    return ()


def _rows(values: Lookup, wanted: Sequence[Sequence[FieldName]]) -> tuple[Texts, ...]:
    """Every combination of the fields' values; none where one of them is absent."""
    columns = [tuple(dict.fromkeys(values(names))) for names in wanted]
    size = 1
    for column in columns:
        size *= len(column)
    if size > _COMBINATIONS:
        raise RuleTooSlow(f"a match is in more than {_COMBINATIONS} groups, or has as many values to be counted")
    return tuple(product(*columns))


_SETTLED_LATE = frozenset({Measure.AVERAGE, Measure.MEDIAN, Measure.PERCENTILE})
"""Measures that the next match may take back."""


def rising(node: Node) -> bool:
    """Whether a condition that holds goes on to hold whatever else joins the frame."""
    match node:
        case Test(op=Op.GREATER | Op.GREATER_OR_EQUAL):
            return True
        case Test(op=Op.EXISTS, value=value):
            return value is not False
        case And(items=items) | Or(items=items):
            return all(rising(item) for item in items)
        case _:
            return False


def at_once(correlation: Correlation) -> bool:
    """Whether it holds as soon as a frame has what it takes, by itself: else once nothing more can join the frame."""
    return correlation.measure not in _SETTLED_LATE and rising(correlation.condition)


def settles_late(correlation: Correlation) -> bool:
    """Whether it, or one that it counts, has to wait for the end of a frame."""
    return not at_once(correlation) or any(settles_late(part.of) for part in correlation.parts if isinstance(part.of, Correlation))


# --- what is measured -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Chain:
    """Measured values, and the matches that they are about: None for the whole frame."""

    measured: Mapping[str, FlatValue]
    matches: Sequence[_Match] | None = None


class _Tally(Protocol):
    """What is measured of a frame, kept up to date as matches join and leave it."""

    def add(self, seen: _Seen) -> None:
        """A match has joined."""

    def remove(self, seen: _Seen) -> None:
        """The first match has left."""

    def chains(self, since: int) -> Iterator[_Chain]:
        """What a condition is asked of: one of these must satisfy it. `since` is the time of the frame's first match."""


def _tally(correlation: Correlation) -> _Tally:
    match correlation.measure:
        case Measure.EVENTS:
            return _Events()
        case Measure.VALUES:
            return _Values()
        case Measure.RULES:
            return _Rules(correlation)
        case Measure.RULES_IN_ORDER:
            return _Ordered(correlation)
        case measure:
            return _Numbers(measure, correlation.percentile)


class _Events:
    def __init__(self) -> None:
        self._count = 0

    def add(self, seen: _Seen) -> None:
        self._count += 1

    def remove(self, seen: _Seen) -> None:
        self._count -= 1

    def chains(self, since: int) -> Iterator[_Chain]:
        yield _Chain({key_of(Measure.EVENTS): self._count})


class _Values:
    def __init__(self) -> None:
        self._rows: Counter[Texts] = Counter()

    def add(self, seen: _Seen) -> None:
        self._rows.update(seen.rows)

    def remove(self, seen: _Seen) -> None:
        for row in seen.rows:
            self._rows[row] -= 1
            if not self._rows[row]:
                del self._rows[row]

    def chains(self, since: int) -> Iterator[_Chain]:
        yield _Chain({key_of(Measure.VALUES): len(self._rows)})


class _Numbers:
    """Exact, so that what has left a sum leaves nothing behind."""

    def __init__(self, measure: Measure, percentile: int) -> None:
        self._measure = measure
        self._percentile = percentile
        self._sum = Fraction(0)
        self._sorted: list[Fraction] = []

    def add(self, seen: _Seen) -> None:
        for number in _numbers(seen.rows):
            self._sum += number
            insort(self._sorted, number)

    def remove(self, seen: _Seen) -> None:
        for number in _numbers(seen.rows):
            self._sum -= number
            del self._sorted[bisect_left(self._sorted, number)]

    def chains(self, since: int) -> Iterator[_Chain]:
        count = len(self._sorted)
        if not count:
            yield _Chain({})
            return
        match self._measure:
            case Measure.SUM:
                value = self._sum
            case Measure.AVERAGE:
                value = self._sum / count
            case Measure.MEDIAN:
                value = (self._sorted[(count - 1) // 2] + self._sorted[count // 2]) / 2
            case _:
                value = self._sorted[max(1, ceil(Fraction(self._percentile * count, 100))) - 1]
        yield _Chain({key_of(self._measure): int(value) if value.denominator == 1 else float(value)})


def _numbers(rows: Sequence[Texts]) -> Iterator[Fraction]:
    return (Fraction(text.strip()) for row in rows for text in row if _NUMBER.fullmatch(text.strip()))


class _Rules:
    def __init__(self, correlation: Correlation) -> None:
        self._names = [key_of(part.name) for part in correlation.parts]
        self._parts: Counter[int] = Counter()

    def add(self, seen: _Seen) -> None:
        self._parts[seen.part] += 1

    def remove(self, seen: _Seen) -> None:
        self._parts[seen.part] -= 1

    def chains(self, since: int) -> Iterator[_Chain]:
        there = [name for number, name in enumerate(self._names) if self._parts[number]]
        yield _Chain({key_of(Measure.RULES): len(there), **dict.fromkeys(there, True)})


@dataclass(frozen=True, slots=True)
class _Link:
    """The last match of a chain, the time of its first, and the chain before it."""

    match: _Match
    start: int
    before: _Link | None


class _Ordered:
    """Chains of matches in order. Of each choice of rules the chain that began last is kept: any other ends no later.

    Of the chains of one millisecond none continues another: they are put aside until time has gone on.
    """

    def __init__(self, correlation: Correlation) -> None:
        self._names = [key_of(part.name) for part in correlation.parts]
        self._rules = _Rules(correlation)
        self._all_or_none = len(self._names) > CHAINED
        self._kept: dict[int, _Link] = {}
        self._now: dict[int, _Link] = {}
        self._time = -1

    def add(self, seen: _Seen) -> None:
        self._rules.add(seen)
        time = seen.match.time
        if time != self._time:
            self._kept, self._now, self._time = _latest(self._kept, self._now), {}, time
        bit = 1 << seen.part
        self._put(bit, _Link(seen.match, time, None))
        for rules, link in self._kept.items():
            if rules < bit:
                self._put(rules | bit, _Link(seen.match, link.start, link))

    def remove(self, seen: _Seen) -> None:
        self._rules.remove(seen)

    def chains(self, since: int) -> Iterator[_Chain]:
        frame = next(self._rules.chains(since)).measured
        whole = [(rules, link) for rules, link in _latest(self._kept, self._now).items() if link.start >= since]
        longest = max((rules.bit_count() for rules, _ in whole), default=0)
        of_all = {key_of(Measure.RULES_IN_ORDER): longest, **{f"any{name}": True for name in self._names if name in frame}}
        for rules, link in sorted(whole, key=lambda each: (-each[0].bit_count(), each[0])):
            names = [name for number, name in enumerate(self._names) if rules >> number & 1]
            yield _Chain({**of_all, **dict.fromkeys(names, True)}, _matches(link))

    def _put(self, rules: int, link: _Link) -> None:
        if self._all_or_none and rules & (rules + 1):
            return
        known = self._now.get(rules)
        if known is None or known.start < link.start:
            self._now[rules] = link


def _latest(kept: Mapping[int, _Link], now: Mapping[int, _Link]) -> dict[int, _Link]:
    """Of each choice of rules the chain that began last."""
    found = dict(kept)
    for rules, link in now.items():
        if rules not in found or found[rules].start < link.start:
            found[rules] = link
    return found


def _matches(link: _Link | None) -> Sequence[_Match]:
    found: list[_Match] = []
    while link is not None:
        found.append(link.match)
        link = link.before
    return found[::-1]
