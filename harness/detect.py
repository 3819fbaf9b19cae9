"""Rules over a stream of events: the engine of the embedded SIEM and of replay.

It keeps nothing of an event once it is answered, but for the patterns (sequences, samples) that it may still become a part of. It must
never know where events come from or what becomes of a match.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

from harness.errors import RuleTooSlow
from harness.logic.index import kind_values, within_kind
from harness.logic.literals import Clauses, needed
from harness.logic.match import Predicate, View, check_node, compile_node, fold
from harness.logic.needs import ANY_CHANNEL, ANY_EVENT_ID, Kind, kinds, reads, rule_kinds
from harness.logic.prefilter import Prefilter, Shared
from harness.logic.sequence import PatternMatcher, Reorder
from harness.model.facts import Event
from harness.model.intent import Rule
from harness.model.tree import Pattern

LATENESS = timedelta(minutes=2)
"""How long a stream's event waits for earlier ones. Recordings show 43 s between an event and its arrival, differing by host."""

_FORESEEN = 8
"""Of rules with no more kinds of event than these it is read beforehand what each kind's events must hold; of others when one turns up."""

_KINDS = 1000
"""How many kinds of event are kept ready: Windows has some hundreds in use; a hostile recording could name one in every line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """A rule that was satisfied, and by which events, in order of time."""

    rule: Rule
    events: tuple[Event, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenUp:
    """A rule that is not asked any more from this event on, because it was too slow; `why` says in what. At the stream's end there is
    no event."""

    rule: Rule
    event: Event | None
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """The rules that may be asked about events of one kind, by their numbers; each is compiled when it first is a candidate."""

    prefilter: Prefilter
    numbers: tuple[int, ...]
    predicates: list[Predicate | None]


class _Pattern:
    """A rule with a pattern; `asked` are the conditions of everything that it asks of an event."""

    __slots__ = ("asked", "kinds", "matcher", "rule")

    def __init__(self, rule: Rule, pattern: Pattern) -> None:
        self.rule = rule
        self.kinds = rule_kinds(rule)
        self.asked = tuple(compile_node(stage.condition) for stage in pattern.asked)
        self.matcher = PatternMatcher(pattern)


class Detector:
    """Rules, indexed by the kinds of event that each can read, so that an event meets only the rules that are about it.

    For each kind that turns up, its rules' literals become a prefilter; what it leaves of the rules is compiled without what the kind has
    answered already, and asked. Rules with a pattern are answered by `feed` and `finish` alone: they need the events in order of time.
    """

    def __init__(self, rules: Sequence[Rule], lateness: timedelta | None = LATENESS) -> None:
        """`lateness`: an event that is older by more than this than the newest one seen is left out of patterns, and counted in `late`.
        With None there is no such limit: for what comes to an end, and is wholly put in order then.

        Raises `harness.logic.match.BadValue` where a rule's tree holds a value that its operation does not take.
        """
        self._rules = tuple(rules)
        self._index: dict[Kind, list[int]] = {}
        self._left_out: set[int] = set()
        self._foreseen: dict[Kind, dict[int, Clauses]] = {}
        self._asked: dict[tuple[str, int], _Asked] = {}
        self._shared = Shared()
        self._reorder = Reorder(lateness)
        self._patterns: list[_Pattern] = []
        self.given_up: list[GivenUp] = []
        for number, rule in enumerate(self._rules):
            if rule.pattern is not None:
                self._patterns.append(_Pattern(rule, rule.pattern))
                continue
            check_node(rule.logic)  # a value that cannot be asked for is found now, not at the first event of its kind
            wanted = kinds(rule.logic)
            for kind in wanted:
                self._index.setdefault(kind, []).append(number)
                if len(wanted) <= _FORESEEN:
                    self._foreseen.setdefault(kind, {})[number] = needed(rule.logic, kind_values(*kind))

    @property
    def late(self) -> int:
        """How many events came too late for patterns."""
        return self._reorder.late

    def matches(self, event: Event) -> Iterable[Rule]:
        """The rules without a pattern that this event satisfies, in the order in which the rules were given.

        Raises `RuleTooSlow`, naming the rule, when it comes to one whose regular expression does not end in its time on this event.
        """
        asked = self._asked.get((event.channel, event.event_id))
        if asked is None:
            asked = self._ask_about(event.channel, event.event_id)
        candidates = asked.prefilter.candidates(event.flat)
        return self._matching(asked, candidates, event) if candidates else ()

    def _matching(self, asked: _Asked, candidates: int, event: Event) -> Iterator[Rule]:
        view = View(event.flat, event)
        while candidates:
            lowest = candidates & -candidates
            candidates ^= lowest
            place = lowest.bit_length() - 1
            number = asked.numbers[place]
            if number in self._left_out:
                continue
            rule = self._rules[number]
            predicate = asked.predicates[place]
            if predicate is None:
                predicate = asked.predicates[place] = compile_node(within_kind(rule.logic, event.channel, event.event_id))
            try:
                satisfied = predicate(view)
            except RuleTooSlow as error:
                error.rule = rule.id
                raise
            if satisfied:
                yield rule

    def feed(self, event: Event) -> Iterator[Hit]:
        """The hits of this event by itself, and those of patterns that are certain by now.

        A rule that is too slow is left out from this event on, and said so in `given_up`: the others, and what they have under way, stay.
        """
        for rule in self._matched(event):
            yield Hit(rule=rule, events=(event,))
        if self._concerns_patterns(event):
            for ordered in self._reorder.push(event):
                yield from self._in_order(ordered)

    def finish(self) -> Iterator[Hit]:
        """The hits of patterns that are left at the stream's end; as for `feed`, one that is too slow is in `given_up`."""
        for ordered in self._reorder.finish():
            yield from self._in_order(ordered)
        for pattern in tuple(self._patterns):
            yield from self._found(pattern, pattern.matcher.finish(), None)

    def _matched(self, event: Event) -> tuple[Rule, ...]:
        while True:
            try:
                return tuple(self.matches(event))
            except RuleTooSlow as error:
                number = next(n for n, rule in enumerate(self._rules) if rule.id == error.rule and n not in self._left_out)
                self._left_out.add(number)
                self.given_up.append(GivenUp(rule=self._rules[number], event=event, why=str(error)))

    def _concerns_patterns(self, event: Event) -> bool:
        """Whether any pattern asks for it: all others need not wait for their turn, which are most."""
        view = None
        for pattern in tuple(self._patterns):
            if reads(pattern.kinds, event.channel, event.event_id):
                view = view or View(event.flat, event)
                try:
                    if any(fits(view) for fits in pattern.asked):
                        return True
                except RuleTooSlow as error:
                    self._give_up(pattern, event, error)
        return False

    def _in_order(self, event: Event) -> Iterator[Hit]:
        for pattern in tuple(self._patterns):
            if reads(pattern.kinds, event.channel, event.event_id):
                yield from self._found(pattern, pattern.matcher.push(event), event)

    def _found(self, pattern: _Pattern, found: Iterator[tuple[Event, ...]], event: Event | None) -> Iterator[Hit]:
        try:
            for events in found:  # a sample's come in the order of its stages
                yield Hit(rule=pattern.rule, events=tuple(sorted(events, key=lambda event: event.time)))
        except RuleTooSlow as error:
            self._give_up(pattern, event, error)

    def _give_up(self, pattern: _Pattern, event: Event | None, error: RuleTooSlow) -> None:
        self._patterns.remove(pattern)
        self.given_up.append(GivenUp(rule=pattern.rule, event=event, why=str(error)))

    def _ask_about(self, channel: str, event_id: int) -> _Asked:
        kind = folded, _ = fold(channel), event_id
        asked = self._asked.get(kind)
        if asked is None:
            if len(self._asked) >= _KINDS:
                self._asked.clear()
                self._shared = Shared()
            every_kind = (kind, (folded, ANY_EVENT_ID), (ANY_CHANNEL, event_id), (ANY_CHANNEL, ANY_EVENT_ID))
            numbers = sorted({number for one in every_kind for number in self._index.get(one, ())})
            values, foreseen = kind_values(*kind), self._foreseen.pop(kind, {})
            clauses = [foreseen[number] if number in foreseen else needed(self._rules[number].logic, values) for number in numbers]
            asked = _Asked(prefilter=Prefilter(clauses, self._shared), numbers=tuple(numbers), predicates=[None] * len(numbers))
        self._asked[channel, event_id] = self._asked[kind] = asked
        return asked
