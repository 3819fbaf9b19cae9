"""What every SIEM adapter owes the engine, as a table of situations and the facts that each must give.

`test_siem_contract.py` plays them on the embedded SIEM and on a real Elasticsearch. Events are swept before rules run: a SIEM may not be
able to say when an event became searchable, so that an adapter knows only since when it saw it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from harness.model.facts import Facts, RuleRun, Watch
from harness.model.intent import Rule, Severity
from harness.ports import Clock, Siem
from tests.siem.siem_builders import HOSTNAME, LOOK_BACK, OTHER, WHOAMI, sigma

RULES = frozenset({WHOAMI, HOSTNAME})


def watching(bench: Bench) -> Watch:
    """What most situations watch: from two minutes before the bench was set up."""
    return Watch(host="ws1", since=bench.start - timedelta(seconds=120), rules=RULES)


class Bench(Protocol):
    """A SIEM, its clock, and what a test may let happen to it."""

    @property
    def siem(self) -> Siem: ...

    @property
    def clock(self) -> Clock: ...

    @property
    def start(self) -> datetime: ...

    def deploy(self, rules: Sequence[Rule]) -> None: ...

    def log(self, record: int, image: str, *, host: str = "ws1", age: float = 0.0) -> None: ...

    def settle(self) -> None: ...

    def run_rules(self) -> None: ...

    def stop_schedule(self) -> None: ...


Play = Callable[[Bench], Sequence[Facts]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """What happens, in sweeps of facts, and what they must come to when facts with the same id are taken as one.

    `observed` and the alerts' events are record numbers. `proved`: the watched rules that are known to have looked at every observed
    event, by a run that succeeded, started after the last of them was searchable, and covered its time.
    """

    name: str
    play: Play
    observed: frozenset[int] = frozenset()
    alerts: frozenset[tuple[str, str, int]] = frozenset()
    proved: frozenset[str] = frozenset()
    running: bool = True
    failed: frozenset[str] = field(default_factory=frozenset)


def check(situation: Situation, bench: Bench) -> None:
    """Play a situation on a bench where the rules for whoami.exe, hostname.exe and other.exe are deployed."""
    bench.deploy([sigma(WHOAMI, "whoami.exe"), sigma(HOSTNAME, "HOSTNAME.EXE", "low"), sigma(OTHER, "other.exe", "critical")])
    sweeps = situation.play(bench)
    bench.clock.wait(1)
    end = bench.clock.now()
    # As the ledger takes them: of an event and an alert the first report, of a run the last.
    observed = {fact.event.id: fact for facts in reversed(sweeps) for fact in facts.observed}
    alerts = {fact.id: fact for facts in reversed(sweeps) for fact in facts.alerts}
    runs = {fact.id: fact for facts in sweeps for fact in facts.runs}
    assert {_record(fact.event.raw) for fact in observed.values()} == situation.observed
    assert len(observed) == len(situation.observed)
    assert {(alert.rule, alert.host, _record(alert.events[0].raw)) for alert in alerts.values()} == situation.alerts
    assert len(alerts) == len(situation.alerts)
    last = max((fact.searchable_at for fact in observed.values()), default=bench.start - timedelta(seconds=120))

    def proves(run: RuleRun) -> bool:
        covers = all(run.window_start <= fact.event.time <= run.window_end for fact in observed.values())
        return run.ok and run.started_at > last and covers

    assert {run.rule for run in runs.values() if proves(run)} == situation.proved
    assert {run.rule for run in runs.values() if not run.ok} == situation.failed
    assert sweeps[-1].schedule_running is situation.running
    for alert in alerts.values():
        assert alert.severity is {WHOAMI: Severity.HIGH, HOSTNAME: Severity.LOW, OTHER: Severity.CRITICAL}[alert.rule]
        assert alert.events[0].time <= alert.raised_at <= alert.searchable_at <= end
    for fact in observed.values():
        assert fact.event.time <= fact.searchable_at <= end
    for run in runs.values():
        assert run.rule in RULES
        assert run.window_end - run.window_start == LOOK_BACK
        assert run.started_at <= run.finished_at <= end


def _record(raw: object) -> int:
    assert isinstance(raw, dict)
    number: int = raw["winlog"]["record_id"]
    return number


def sweep(bench: Bench, cursor: str = "", *watches: Watch) -> Facts:
    return bench.siem.sweep(watches or (watching(bench),), cursor)


def settled(bench: Bench, cursor: str = "", *watches: Watch) -> Facts:
    """Let what was logged become searchable, and see it."""
    bench.settle()
    return sweep(bench, cursor, *watches)


def an_alert(bench: Bench) -> Sequence[Facts]:
    bench.log(1, "whoami.exe")
    first = settled(bench)
    bench.run_rules()
    return [first, sweep(bench, first.cursor)]


def no_alert(bench: Bench) -> Sequence[Facts]:
    bench.log(1, "notepad.exe")
    first = settled(bench)
    bench.run_rules()
    return [first, sweep(bench, first.cursor)]


def not_yet_searchable(bench: Bench) -> Sequence[Facts]:
    bench.log(1, "whoami.exe")
    bench.run_rules()
    return [sweep(bench)]


def no_run_since(bench: Bench) -> Sequence[Facts]:
    bench.run_rules()
    bench.log(1, "whoami.exe")
    bench.settle()
    return [sweep(bench)]


def stopped(bench: Bench) -> Sequence[Facts]:
    bench.run_rules()
    bench.stop_schedule()
    bench.log(1, "whoami.exe")
    bench.settle()
    bench.run_rules()
    return [sweep(bench)]


def late(bench: Bench) -> Sequence[Facts]:
    bench.log(1, "hostname.exe")
    first = settled(bench)
    bench.run_rules()
    second = sweep(bench, first.cursor)
    bench.log(2, "whoami.exe", age=40)
    third = settled(bench, second.cursor)
    bench.run_rules()
    return [first, second, third, sweep(bench, third.cursor)]


def too_late(bench: Bench) -> Sequence[Facts]:
    bench.log(1, "whoami.exe", age=LOOK_BACK.total_seconds() + 10)
    first = settled(bench)
    bench.run_rules()
    return [first, sweep(bench, first.cursor)]


def ahead_of_the_siems_clock(bench: Bench) -> Sequence[Facts]:
    bench.log(1, "whoami.exe", age=-20)
    first = settled(bench)
    bench.run_rules()
    second = sweep(bench, first.cursor)
    assert first.observed
    assert not second.alerts
    bench.clock.wait(20)
    bench.run_rules()
    # The first sweep is not handed back: that event was searchable before its own time, which holds for no other.
    third = sweep(bench, second.cursor)
    assert [alert.rule for alert in third.alerts] == [WHOAMI]
    return [third]


def duplicate(bench: Bench) -> Sequence[Facts]:
    bench.log(1, "whoami.exe")
    bench.log(1, "whoami.exe")
    first = settled(bench)
    bench.run_rules()
    bench.run_rules()
    return [first, sweep(bench, first.cursor)]


def foreign(bench: Bench) -> Sequence[Facts]:
    bench.log(1, "other.exe")
    bench.log(2, "whoami.exe", host="ws2")
    bench.log(3, "other.exe", host="ws2")
    first = settled(bench)
    bench.run_rules()
    return [first, sweep(bench, first.cursor)]


def swept_twice(bench: Bench) -> Sequence[Facts]:
    bench.log(1, "whoami.exe")
    seen = settled(bench)
    bench.run_rules()
    first = sweep(bench, seen.cursor)
    bench.log(2, "hostname.exe")
    also_seen = settled(bench, first.cursor)
    bench.run_rules()
    second = sweep(bench, also_seen.cursor)
    assert {_record(fact.event.raw) for fact in also_seen.observed} == {2}
    assert not second.observed
    assert not {run.id for run in first.runs} & {run.id for run in second.runs}
    again = sweep(bench, also_seen.cursor)
    assert (again.observed, again.alerts, again.runs) == (second.observed, second.alerts, second.runs)
    return [seen, first, also_seen, second]


def watched_later_from_earlier(bench: Bench) -> Sequence[Facts]:
    elsewhere = Watch(host="ws9", since=watching(bench).since, rules=frozenset())
    bench.log(1, "whoami.exe")
    first = settled(bench, "", elsewhere)
    assert not first.observed
    second = sweep(bench, first.cursor, elsewhere, watching(bench))
    bench.run_rules()
    return [second, sweep(bench, second.cursor, elsewhere, watching(bench))]


def watched_from_an_earlier_time(bench: Bench) -> Sequence[Facts]:
    bench.log(1, "whoami.exe", age=30)
    bench.settle()
    recent = Watch(host="ws1", since=bench.clock.now(), rules=RULES)
    first = sweep(bench, "", recent)
    assert not first.observed
    assert not first.alerts
    second = sweep(bench, first.cursor, watching(bench))
    bench.run_rules()
    return [first, second, sweep(bench, second.cursor, watching(bench))]


def two_runs_at_once(bench: Bench) -> Sequence[Facts]:
    mine = Watch(host="ws1", since=watching(bench).since, rules=frozenset({WHOAMI}))
    theirs = Watch(host="ws2", since=watching(bench).since, rules=frozenset({HOSTNAME}))
    my_cursor, their_cursor = sweep(bench, "", mine).cursor, sweep(bench, "", theirs).cursor
    bench.log(1, "whoami.exe")
    bench.log(2, "hostname.exe", host="ws2")
    my_events, their_events = settled(bench, my_cursor, mine), sweep(bench, their_cursor, theirs)
    bench.run_rules()
    their_facts = sweep(bench, their_events.cursor, theirs)
    assert [_record(fact.event.raw) for fact in their_events.observed] == [2]
    assert {alert.rule for alert in their_facts.alerts} == {HOSTNAME}
    assert {run.rule for run in their_facts.runs} == {HOSTNAME}
    return [my_events, sweep(bench, my_events.cursor, mine)]


def changed_rule(bench: Bench) -> Sequence[Facts]:
    bench.log(1, "notepad.exe")
    first = settled(bench)
    bench.run_rules()
    second = sweep(bench, first.cursor)
    bench.deploy([sigma(WHOAMI, "notepad.exe")])
    bench.run_rules()
    return [first, second, sweep(bench, second.cursor)]


def nobody_watches(bench: Bench) -> Sequence[Facts]:
    bench.log(1, "whoami.exe")
    bench.settle()
    bench.run_rules()
    return [bench.siem.sweep([], "")]


BOTH = frozenset({WHOAMI, HOSTNAME})
ALERT_1 = (WHOAMI, "ws1", 1)

SITUATIONS = [
    Situation(name="alert", play=an_alert, observed=frozenset({1}), alerts=frozenset({ALERT_1}), proved=BOTH),
    Situation(name="no alert and a run", play=no_alert, observed=frozenset({1}), proved=BOTH),
    Situation(name="not yet searchable", play=not_yet_searchable, proved=BOTH),
    Situation(name="no run since", play=no_run_since, observed=frozenset({1})),
    Situation(name="schedule stopped", play=stopped, observed=frozenset({1}), running=False),
    Situation(
        name="late", play=late, observed=frozenset({1, 2}), alerts=frozenset({(HOSTNAME, "ws1", 1), (WHOAMI, "ws1", 2)}), proved=BOTH
    ),
    Situation(name="later than the look-back", play=too_late, observed=frozenset({1})),
    Situation(name="ahead of the SIEM's clock", play=ahead_of_the_siems_clock, alerts=frozenset({ALERT_1}), proved=BOTH),
    Situation(name="duplicate", play=duplicate, observed=frozenset({1}), alerts=frozenset({ALERT_1}), proved=BOTH),
    Situation(
        name="foreign alerts",
        play=foreign,
        observed=frozenset({1}),
        alerts=frozenset({(OTHER, "ws1", 1), (WHOAMI, "ws2", 2)}),
        proved=BOTH,
    ),
    Situation(
        name="swept twice",
        play=swept_twice,
        observed=frozenset({1, 2}),
        alerts=frozenset({ALERT_1, (HOSTNAME, "ws1", 2)}),
        proved=BOTH,
    ),
    Situation(
        name="a host watched later", play=watched_later_from_earlier, observed=frozenset({1}), alerts=frozenset({ALERT_1}), proved=BOTH
    ),
    Situation(
        name="a host watched from earlier",
        play=watched_from_an_earlier_time,
        observed=frozenset({1}),
        alerts=frozenset({ALERT_1}),
        proved=BOTH,
    ),
    Situation(
        name="two runs at once", play=two_runs_at_once, observed=frozenset({1}), alerts=frozenset({ALERT_1}), proved=frozenset({WHOAMI})
    ),
    Situation(name="changed rule", play=changed_rule, observed=frozenset({1}), alerts=frozenset({ALERT_1}), proved=BOTH),
    Situation(name="nobody watches", play=nobody_watches),
]
