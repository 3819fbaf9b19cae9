"""Recorded events instead of a lab: which rules match them, with the evidence, and what killed those that do not.

Events stream through; what is kept is bounded by the number of rules and hosts. It reads no file and prints nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from harness.detect import Detector, GivenUp, Hit
from harness.errors import Problem, RuleTooSlow
from harness.logic.needs import reads, rule_kinds
from harness.logic.why import Killed, nearest
from harness.logic.why_pattern import PatternSearch
from harness.model.facts import Event, FlatValue
from harness.model.intent import Rule, Severity
from harness.model.replay import LeftOut, Nearest, Replay, RuleHits, RuleName, Sample
from harness.model.tree import Pattern

FOLDED = "line ends folded: each CR LF, CR or LF in an event's values was read as one blank"
"""How the opt-in normalisation is named in every report of it."""

_SAMPLES = 3
_BROKEN = 100
_LONGEST = 200

_TELLING = (
    "commandline",
    "image",
    "newprocessname",
    "scriptblocktext",
    "targetfilename",
    "targetobject",
    "destinationip",
    "data",
    "message",
)
"""Fields that tell people what an event is about, the most telling first."""

_LINE_END = re.compile(r"\r\n|\r|\n")


class Broken:
    """Counts the places that could not be read and keeps the first of them."""

    def __init__(self) -> None:
        self.count = 0
        self.first: list[LeftOut] = []

    def __call__(self, problem: Problem) -> None:
        self.count += 1
        if len(self.first) < _BROKEN:
            self.first.append(left_out(problem))


def left_out(problem: Problem) -> LeftOut:
    """A problem as a report has it."""
    return LeftOut(path=problem.path, line=problem.line, column=problem.column, what=problem.what, fix=problem.fix)


def fold_line_ends(events: Iterable[Event]) -> Iterator[Event]:
    """The events with every line end in their values made one blank; `raw` stays as it was read.

    It changes what was logged, so that a report of it names it (`FOLDED`): rules written against a rendering without line ends match then.
    """
    for event in events:
        yield replace(event, flat={name: _folded(value) for name, value in event.flat.items()})


def _folded(value: FlatValue) -> FlatValue:
    if isinstance(value, str):
        return _LINE_END.sub(" ", value)
    return [_LINE_END.sub(" ", item) for item in value] if isinstance(value, list) else value


@dataclass(slots=True)
class _Tally:
    first: datetime
    last: datetime
    count: int = 0
    hosts: dict[str, int] = field(default_factory=dict)
    evidence: list[tuple[Sample, ...]] = field(default_factory=list)


def replay(
    events: Iterable[Event],
    rules: Sequence[Rule],
    *,
    recordings: Sequence[str],
    broken: Broken,
    not_evaluated: Sequence[Problem] = (),
    normalisations: Sequence[str] = (),
    why: Sequence[Rule] = (),
) -> Replay:
    """Ask every rule about every event, and every pattern of several about all of them. `why` are rules to be explained where they match
    nothing.

    A rule that is too slow on an event is left out from there on, and named with that event.
    """
    detector = Detector(rules, lateness=None)  # a host's logs may be in several recordings, one after the other
    tallies: dict[str, _Tally] = {}
    searches = [_search(rule) for rule in why]
    count = 0
    for event in events:
        count += 1
        for hit in detector.feed(event):
            _count(tallies, hit)
        for search in searches:
            search.see(event)
    for hit in detector.finish():
        _count(tallies, hit)
    slow = {given_up.rule.id: _too_slow(given_up) for given_up in detector.given_up}
    hits = [_hits(rule, tallies[rule.id]) for rule in rules if rule.id in tallies]
    hits.sort(key=lambda hit: -list(Severity).index(hit.rule.severity))
    return Replay(
        recordings=tuple(recordings),
        events=count,
        normalisations=tuple(normalisations),
        hits=tuple(hits),
        quiet=tuple(_name(rule) for rule in rules if rule.id not in tallies and rule.id not in slow),
        not_evaluated=tuple(left_out(problem) for problem in (*not_evaluated, *slow.values())),
        broken_count=broken.count,
        broken=tuple(broken.first),
        late=detector.late,
        why=tuple(search.result() for search in searches),
    )


def _too_slow(given_up: GivenUp) -> Problem:
    place = "at the end" if given_up.event is None else f"from {given_up.event.id} on"
    return Problem(path=given_up.rule.source, what=f"left out {place}: {given_up.why}")


def _count(tallies: dict[str, _Tally], hit: Hit) -> None:
    times = [event.time for event in hit.events]
    tally = tallies.setdefault(hit.rule.id, _Tally(first=times[0], last=times[0]))
    tally.count += 1
    tally.first, tally.last = min(tally.first, *times), max(tally.last, *times)
    for host in {event.host for event in hit.events}:
        tally.hosts[host] = tally.hosts.get(host, 0) + 1
    if len(tally.evidence) < _SAMPLES:
        tally.evidence.append(tuple(map(_sample, hit.events)))


def _hits(rule: Rule, tally: _Tally) -> RuleHits:
    return RuleHits(
        rule=_name(rule),
        count=tally.count,
        first=tally.first,
        last=tally.last,
        hosts=dict(sorted(tally.hosts.items())),
        evidence=tuple(tally.evidence),
    )


def _name(rule: Rule) -> RuleName:
    return RuleName(id=rule.id, title=rule.title, source=rule.source, severity=rule.severity, techniques=rule.techniques)


def _sample(event: Event) -> Sample:
    telling = next((str(event.flat[name]) for name in _TELLING if event.flat.get(name)), "")
    text = telling if len(telling) <= _LONGEST else telling[:_LONGEST] + "…"
    return Sample(id=event.id, time=event.time, host=event.host, channel=event.channel, event_id=event.event_id, text=text)


def _search(rule: Rule) -> _Search | _PatternSearch:
    return _Search(rule) if rule.pattern is None else _PatternSearch(rule, rule.pattern)


class _Search:
    """The event that came nearest to one rule, of a stream."""

    def __init__(self, rule: Rule) -> None:
        self._rule = rule
        self._kinds = rule_kinds(rule)
        self._best: Killed | None = None
        self._matched = self._too_slow = False

    def see(self, event: Event) -> None:
        if self._matched or self._too_slow or not reads(self._kinds, event.channel, event.event_id):
            return
        try:
            killed = nearest(self._rule.logic, (event,))
        except RuleTooSlow:
            self._too_slow = True
            return
        if killed is None:
            self._matched = True
        elif self._best is None or len(killed.clauses) < len(self._best.clauses):
            self._best = killed

    def result(self) -> Nearest:
        name = _name(self._rule)
        if self._matched or self._best is None:
            note = "it matched" if self._matched else "no event is of a kind that it reads"
            return Nearest(rule=name, event=None, clauses=(), note="it is too slow to be explained" if self._too_slow else note)
        return Nearest(rule=name, event=_sample(self._best.event), clauses=self._best.clauses, note="")


class _PatternSearch:
    """How far a stream came in one rule's pattern."""

    def __init__(self, rule: Rule, pattern: Pattern) -> None:
        self._rule = rule
        self._kinds = rule_kinds(rule)
        self._search: PatternSearch | None = PatternSearch(pattern, None)

    def see(self, event: Event) -> None:
        if self._search is not None and reads(self._kinds, event.channel, event.event_id):
            try:
                self._search.see(event)
            except RuleTooSlow:
                self._search = None

    def result(self) -> Nearest:
        name = _name(self._rule)
        try:
            stopped = self._search.result() if self._search is not None else None
        except RuleTooSlow:
            self._search = stopped = None
        if stopped is None:
            note = "it is too slow to be explained" if self._search is None else "it matched"
            return Nearest(rule=name, event=None, clauses=(), note=note)
        if stopped.lacking:
            note = "none of its frames has what it takes"
        elif not stopped.missing:
            note = "all its events are there"
        elif stopped.event is None:
            note = f"no event is of a kind that could be its event {stopped.missing}"
        else:
            note = f"no event is its event {stopped.missing}"
        reached = tuple(map(_sample, stopped.reached))
        event = None if stopped.event is None else _sample(stopped.event)
        return Nearest(rule=name, event=event, clauses=stopped.clauses, note=note, reached=reached)
