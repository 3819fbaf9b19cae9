"""Patterns of several events in the embedded SIEM: one alert for all of them, found when the last has come, and never twice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.detect import Detector, Hit
from harness.events.windows import Level, WindowsEvent
from harness.logic.sequence import find_all
from harness.model.facts import Event, Facts, Watch
from harness.model.intent import Rule
from harness.rules.languages import parse_rules
from tests.siem.siem_builders import LOOK_BACK, START, WHOAMI, EmbeddedBench, bench, embedded, sigma

SEQUENCE = "44444444-4444-4444-8444-444444444444"
OTHER = "55555555-5555-4555-8555-555555555555"
TWO = 'sequence by host.id with maxspan=30s [network where true] [process where process.name : "whoami.exe"]'
WATCH = Watch(host="ws1", since=START - timedelta(seconds=120), rules=frozenset({SEQUENCE, OTHER, WHOAMI}))


def elastic(query: str, rule_id: str = SEQUENCE, kind: str = "eql", language: str = "eql") -> Rule:
    """A rule as Elastic writes one."""
    text = f"""[rule]
rule_id = "{rule_id}"
name = "a rule"
type = "{kind}"
language = "{language}"
severity = "high"
query = '''{query}'''
"""
    (rule,) = parse_rules("elastic", text, "bench")
    return rule


def happened(number: int, on: EmbeddedBench, *, age: float = 0.0, event_id: int = 1, host: str = "ws1") -> WindowsEvent:
    """Sysmon 1 of whoami.exe, or 3 of a connection to it, `age` seconds ago."""
    created = on.clock.now() - timedelta(seconds=age)
    return WindowsEvent(
        channel="Microsoft-Windows-Sysmon/Operational",
        provider="Microsoft-Windows-Sysmon",
        provider_guid="{5770385F-C22A-43E0-BF4C-06F5698FFBD9}",
        event_id=event_id,
        version=5,
        level=Level.INFORMATION,
        task=event_id,
        opcode=0,
        keywords=0x8000000000000000,
        record_id=number,
        created=created,
        computer=f"{host.upper()}.lab.example",
        process_id=2644,
        thread_id=4204,
        user_sid="S-1-5-18",
        data={"UtcTime": f"{created:%Y-%m-%d %H:%M:%S.%f}"[:-3], "Image": r"C:\Windows\System32\whoami.exe", "Initiated": "false"},
    )


@pytest.fixture
def on(tmp_path: Path) -> Iterator[EmbeddedBench]:
    with bench(tmp_path / "siem.sqlite") as made:
        yield made


def connection(number: int, on: EmbeddedBench, *, age: float = 0.0, host: str = "ws1") -> None:
    on.service.ingest(happened(number, on, age=age, event_id=3, host=host))


def program(number: int, on: EmbeddedBench, *, age: float = 0.0, host: str = "ws1") -> None:
    on.service.ingest(happened(number, on, age=age, host=host))


def cycle(on: EmbeddedBench) -> Facts:
    on.settle()
    on.run_rules()
    return on.siem.sweep([WATCH], "")


def raised(facts: Facts) -> list[tuple[str, list[int]]]:
    return [(alert.rule, [event.event_id for event in alert.events]) for alert in facts.alerts]


def test_one_alert_names_all_events_in_their_order(on: EmbeddedBench) -> None:
    on.siem.deploy([elastic(TWO)])
    program(1, on)
    connection(2, on, age=2)
    facts = cycle(on)
    assert raised(facts) == [(SEQUENCE, [3, 1])]
    (alert,) = facts.alerts
    assert alert.host == "ws1"
    assert alert.events[-1].time - alert.events[0].time == timedelta(seconds=2)


def test_the_last_event_may_come_in_a_later_cycle_and_nothing_is_raised_twice(on: EmbeddedBench) -> None:
    on.siem.deploy([elastic(TWO)])
    connection(1, on)
    assert not raised(cycle(on))
    program(2, on)
    assert raised(cycle(on)) == [(SEQUENCE, [3, 1])]
    program(3, on, host="ws2")  # the window is looked at again
    assert raised(cycle(on)) == [(SEQUENCE, [3, 1])]


def test_an_event_that_comes_late_is_found_in_its_place(on: EmbeddedBench) -> None:
    on.siem.deploy([elastic(TWO)])
    program(1, on)
    assert not raised(cycle(on))
    connection(2, on, age=10)
    assert raised(cycle(on)) == [(SEQUENCE, [3, 1])]


def test_what_is_out_of_the_window_is_no_part(on: EmbeddedBench) -> None:
    on.siem.deploy([elastic(TWO.replace("30s", "10m"))])
    connection(1, on)
    assert not raised(cycle(on))
    on.clock.wait(LOOK_BACK.total_seconds())
    program(2, on)
    assert not raised(cycle(on))


def test_hosts_are_not_joined(on: EmbeddedBench) -> None:
    on.siem.deploy([elastic(TWO)])
    connection(1, on, age=1, host="ws2")
    program(2, on)
    assert not raised(cycle(on))


def test_a_cycle_proves_a_pattern_as_it_does_any_rule(on: EmbeddedBench) -> None:
    on.siem.deploy([elastic(TWO)])
    connection(1, on)
    facts = cycle(on)
    (run,) = facts.runs
    (seen,) = facts.observed
    assert (run.rule, run.ok) == (SEQUENCE, True)
    assert run.started_at > seen.searchable_at
    assert run.window_start <= seen.event.time <= run.window_end


def test_a_pattern_deployed_later_looks_back(on: EmbeddedBench) -> None:
    on.siem.deploy([sigma(WHOAMI, "x.exe")])
    connection(1, on, age=5)
    program(2, on)
    assert not raised(cycle(on))
    on.siem.deploy([elastic(TWO)])
    on.run_rules()
    assert raised(on.siem.sweep([WATCH], "")) == [(SEQUENCE, [3, 1])]


def test_what_must_not_follow_is_waited_for(on: EmbeddedBench) -> None:
    query = "sequence by host.id with maxspan=20s [network where true] ![process where true]"
    on.siem.deploy([elastic(query)])
    connection(1, on)
    connection(2, on, host="ws2")
    assert not raised(cycle(on))
    program(3, on, host="ws2")
    assert not raised(cycle(on))
    on.clock.wait(20)
    on.run_rules()  # nothing new has come, but the span is over
    assert raised(on.siem.sweep([WATCH], "")) == [(SEQUENCE, [3])]


def test_what_must_not_precede_is_only_known_where_the_window_reaches_back_so_far(on: EmbeddedBench) -> None:
    query = "sequence by host.id with maxspan=20s ![network where true] [process where true]"
    on.siem.deploy([elastic(query)])
    connection(1, on, age=50)
    program(2, on, age=45)
    assert not raised(cycle(on))
    on.clock.wait(5)  # the connection leaves the window, the program stays in it
    connection(3, on, host="ws2")
    assert not raised(cycle(on))
    program(4, on)
    assert raised(cycle(on)) == [(SEQUENCE, [1])]


@pytest.mark.parametrize(
    ("kind", "language", "said"), [("esql", "esql", "ES|QL is not evaluated here"), ("threshold", "kuery", "threshold")]
)
def test_a_rule_that_is_not_evaluated_has_failed_runs_and_proves_nothing(kind: str, language: str, said: str, on: EmbeddedBench) -> None:
    on.siem.deploy([elastic("from x", OTHER, kind, language), elastic(TWO)])
    connection(1, on, age=1)
    program(2, on)
    facts = cycle(on)
    assert {run.rule: run.ok for run in facts.runs} == {OTHER: False, SEQUENCE: True}
    assert all(said in run.message for run in facts.runs if not run.ok)
    assert raised(facts) == [(SEQUENCE, [3, 1])]


class Fragile(Detector):
    """The real detector, in which one pattern breaks."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        super().__init__(rules)
        self._broken = any(rule.id == OTHER for rule in rules)

    def feed(self, event: Event) -> Iterator[Hit]:
        if self._broken:
            raise ArithmeticError("cannot be fed")
        return super().feed(event)


def test_a_pattern_that_breaks_has_failed_runs_and_harms_no_other(on: EmbeddedBench) -> None:
    on.service.stop()
    on.service = embedded(on.path, on.clock, detector_of=Fragile)
    on.siem.deploy([elastic(TWO), elastic(TWO, OTHER)])
    connection(1, on, age=1)
    program(2, on)
    facts = cycle(on)
    later = cycle(on)
    assert {run.rule: run.ok for run in later.runs} == {OTHER: False, SEQUENCE: True}
    assert any("cannot be fed" in run.message for run in facts.runs)
    assert raised(facts) == [(SEQUENCE, [3, 1])]


def test_a_pattern_that_is_too_slow_has_failed_runs(on: EmbeddedBench) -> None:
    slow = 'sequence by host.id [process where process.executable regex "(x|xx)+"] [network where true]'
    on.siem.deploy([elastic(slow, OTHER), elastic(TWO)])
    connection(1, on, age=1)
    program(2, on)
    on.service.ingest(replace(happened(3, on), data={"Image": "x" * 200 + "!"}))
    facts = cycle(on)
    assert raised(facts) == [(SEQUENCE, [3, 1])]
    assert {run.rule: run.ok for run in facts.runs} == {OTHER: False, SEQUENCE: True}


TIMES = st.lists(
    st.tuples(st.integers(0, 40), st.sampled_from([1, 3, 11]), st.integers(0, 12)),
    max_size=10,
    unique_by=lambda made: made[0],
)
QUERIES = [
    "sequence with maxspan=5s [network where true] [process where true]",
    "sequence with maxspan=5s [network where true] [process where true] [network where true]",
    "sequence with maxspan=6s [network where true] [process where true] until [file where true]",
    "sequence with maxspan=6s [network where true] ![file where true] [process where true]",
    "sequence with maxspan=9s [any where true] [any where true] [process where true]",
    "sequence [network where true] [process where true]",
]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(TIMES, st.sampled_from(QUERIES))
def test_every_cycle_finds_what_asking_the_whole_window_would_have_found(
    tmp_path: Path, happenings: list[tuple[int, int, int]], query: str
) -> None:
    """Events arrive late by up to twelve seconds; what is raised in the end is what some cycle's window held when it was run."""
    path = tmp_path / f"{uuid4().hex}.sqlite"
    rule = elastic(query)
    assert rule.pattern is not None
    expected: set[tuple[str, ...]] = set()
    with bench(path) as on:
        on.siem.deploy([rule])
        seen: dict[str, Event] = {}
        for second in range(60):
            for number, (time, event_id, late) in enumerate(happenings):
                if time + late == second:
                    on.service.ingest(happened(number, on, age=late, event_id=event_id))
            on.clock.wait(1)
            on.service.pump()
            on.run_rules()
            now = on.clock.now()
            seen |= {observed.event.id: observed.event for observed in on.siem.sweep([WATCH], "").observed}
            inside = [event for event in seen.values() if now - LOOK_BACK <= event.time]
            expected |= {tuple(event.id for event in found) for found in find_all(rule.pattern, inside)}
        alerts = {tuple(event.id for event in alert.events) for alert in on.siem.sweep([WATCH], "").alerts}
    assert alerts == expected
