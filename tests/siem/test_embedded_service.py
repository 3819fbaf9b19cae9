"""Ingest and rule engine on a clock that is moved by hand, and once in real threads."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from threading import Thread
from threading import enumerate as enumerate_threads

import pytest

from harness.clock import SystemClock
from harness.detect import Detector
from harness.errors import LabError, Problem, UsageError
from harness.model.facts import Event, Facts, Watch
from harness.model.intent import Rule
from harness.rules.languages import parse_rules
from harness.rules.sigma import SigmaRules
from harness.siem.embedded.client import EmbeddedClient
from harness.siem.embedded.service import JITTER, EmbeddedSiem
from harness.siem.embedded.store import DeployedRule, RuleException, deploy
from tests.events.event_builders import engine_available, module_logged, process_created
from tests.siem.siem_builders import (
    HOSTNAME,
    INGEST_DELAY,
    LOOK_BACK,
    OTHER,
    START,
    WHOAMI,
    EmbeddedBench,
    FakeClock,
    bench,
    embedded,
    sigma,
    sigma_text,
)

WATCH = Watch(host="ws1", since=START - timedelta(seconds=120), rules=frozenset({WHOAMI, HOSTNAME, OTHER}))


@pytest.fixture
def on(tmp_path: Path) -> Iterator[EmbeddedBench]:
    with bench(tmp_path / "siem.sqlite") as made:
        yield made


def everything(on: EmbeddedBench) -> Facts:
    return on.siem.sweep([WATCH], "")


def test_nothing_is_searchable_before_its_delay(on: EmbeddedBench) -> None:
    on.log(1, "whoami.exe")
    on.clock.wait(INGEST_DELAY.total_seconds() - 0.001)
    on.service.pump()
    assert not everything(on).observed
    for _ in range(200):
        on.clock.wait(0.01)
        on.service.pump()
    (seen,) = everything(on).observed
    assert INGEST_DELAY <= seen.searchable_at - START <= INGEST_DELAY * (1 + JITTER) + timedelta(seconds=0.01)


def test_a_channel_keeps_its_order_and_channels_overtake_each_other(on: EmbeddedBench) -> None:
    for record in range(40):
        for made in (process_created, engine_available, module_logged):
            on.service.ingest(made(record))
        on.clock.wait(0.01)
    for _ in range(400):
        on.clock.wait(0.01)
        on.service.pump()
    records: dict[str, list[object]] = {}
    searchable: dict[str, list[datetime]] = {}
    for seen in everything(on).observed:
        winlog = seen.event.raw["winlog"]
        assert isinstance(winlog, dict)
        records.setdefault(seen.event.channel, []).append(winlog["record_id"])
        searchable.setdefault(seen.event.channel, []).append(seen.searchable_at)
    assert list(records.values()) == [list(range(40))] * 3
    assert all(times == sorted(times) for times in searchable.values())
    assert len({tuple(times) for times in searchable.values()}) == 3


def test_stop_makes_searchable_what_is_on_its_way(tmp_path: Path) -> None:
    path = tmp_path / "siem.sqlite"
    with bench(path) as on:
        on.log(1, "whoami.exe")
    facts = EmbeddedClient(path, clock=on.clock).sweep([WATCH], "")
    assert len(facts.observed) == 1
    assert not facts.schedule_running


def test_a_host_that_counts_its_records_from_one_again_makes_new_events(on: EmbeddedBench) -> None:
    on.log(1, "whoami.exe")
    on.clock.wait(1)
    on.log(1, "whoami.exe")
    on.settle()
    assert len(everything(on).observed) == 2


def test_a_run_that_started_when_an_event_became_searchable_does_not_claim_to_have_started_after(on: EmbeddedBench) -> None:
    on.siem.deploy([sigma(WHOAMI, "whoami.exe")])
    on.log(1, "whoami.exe")
    on.clock.wait(10)
    on.service.run_rules()  # at the very moment, but before
    on.service.pump()
    facts = everything(on)
    assert not facts.alerts
    assert all(run.started_at <= facts.observed[0].searchable_at for run in facts.runs)


def test_no_rules_no_runs(on: EmbeddedBench) -> None:
    on.run_rules()
    assert on.siem.sweep([WATCH], "").runs == ()
    assert everything(on).schedule_running


def test_a_rule_deployed_later_looks_back_over_its_window(on: EmbeddedBench) -> None:
    on.siem.deploy([sigma(HOSTNAME, "hostname.exe")])
    on.log(1, "whoami.exe", age=LOOK_BACK.total_seconds() - 10)
    on.log(2, "whoami.exe")
    on.settle()
    on.run_rules()
    on.clock.wait(20)  # the first is out of the window by now
    on.siem.deploy([sigma(WHOAMI, "whoami.exe")])
    on.run_rules()
    assert [alert.events[0].time for alert in everything(on).alerts] == [START]


def test_a_stopped_schedule_goes_on_where_it_is_let(on: EmbeddedBench) -> None:
    on.siem.deploy([sigma(WHOAMI, "whoami.exe")])
    on.siem.set_schedule(False)
    on.log(1, "whoami.exe")
    on.settle()
    on.run_rules()
    assert (everything(on).runs, everything(on).alerts, everything(on).schedule_running) == ((), (), False)
    on.siem.set_schedule(True)
    on.run_rules()
    assert len(everything(on).alerts) == 1
    assert everything(on).schedule_running


def test_a_rule_that_is_disabled_is_not_run_and_goes_on_where_it_is_let(on: EmbeddedBench) -> None:
    on.siem.deploy([sigma(WHOAMI, "whoami.exe"), sigma(HOSTNAME, "hostname.exe")])
    on.siem.hold_back([WHOAMI], [])
    on.log(1, "whoami.exe")
    on.log(2, "hostname.exe")
    on.settle()
    on.run_rules()
    assert {run.rule for run in everything(on).runs} == {HOSTNAME}
    assert [alert.rule for alert in everything(on).alerts] == [HOSTNAME]
    states = on.siem.check(frozenset({WHOAMI, HOSTNAME})).rules
    assert {rule: (state.deployed, state.enabled) for rule, state in states.items()} == {WHOAMI: (True, False), HOSTNAME: (True, True)}
    on.siem.hold_back([], [])
    on.run_rules()
    assert {alert.rule for alert in everything(on).alerts} == {WHOAMI, HOSTNAME}


def test_an_exception_holds_back_the_alerts_of_its_rule_on_such_events_alone(on: EmbeddedBench) -> None:
    on.siem.deploy([sigma(WHOAMI, "whoami.exe"), sigma(OTHER, "whoami.exe")])
    held = [
        RuleException(rule=WHOAMI, name="ours", when={"newprocessname": "*\\WHOAMI.exe"}),
        RuleException(rule=OTHER, name="not both", when={"NewProcessName": "*whoami.exe", "SubjectUserName": "nobody*"}),
    ]
    on.siem.hold_back([], held)
    on.log(1, "whoami.exe")
    on.settle()
    on.run_rules()
    facts = everything(on)
    assert [alert.rule for alert in facts.alerts] == [OTHER]
    assert WHOAMI in {run.rule for run in facts.runs}, "it ran, which is what makes the silence a miss"
    state = on.siem.check(frozenset({WHOAMI})).rules[WHOAMI]
    assert state.exceptions == ("ours: newprocessname *\\WHOAMI.exe",)


def test_a_schedule_that_was_set_up_stopped(tmp_path: Path) -> None:
    clock = FakeClock()
    service = embedded(tmp_path / "s", clock, schedule_running=False)
    service.run_rules()
    status = EmbeddedClient(tmp_path / "s", clock=clock).check(frozenset())
    service.stop()
    assert not status.schedule_running


BROKEN = [
    ("not: [yaml", "deployed rule"),
    ("", "deployed rule"),
    (sigma_text(HOSTNAME, "x.exe"), f"the text holds no rule {WHOAMI}"),
]


@pytest.mark.parametrize(("text", "said"), BROKEN)
def test_a_rule_that_cannot_be_parsed_has_failed_runs_and_harms_no_other(on: EmbeddedBench, text: str, said: str) -> None:
    deploy(on.path, [DeployedRule(id=WHOAMI, written_as="sigma", definition=text)])
    on.siem.deploy([sigma(HOSTNAME, "hostname.exe")])
    on.log(1, "hostname.exe")
    on.settle()
    on.run_rules()
    facts = everything(on)
    assert {run.rule: run.ok for run in facts.runs} == {WHOAMI: False, HOSTNAME: True}
    (message,) = [run.message for run in facts.runs if not run.ok]
    assert said in message
    assert [alert.rule for alert in facts.alerts] == [HOSTNAME]
    on.siem.deploy([sigma(WHOAMI, "hostname.exe")])  # mended
    on.run_rules()
    assert {alert.rule for alert in everything(on).alerts} == {HOSTNAME, WHOAMI}


class FragileDetector(Detector):
    """The real detector, which one rule breaks: on every event, or where it is made ready."""

    breaks_when_made = False

    def __init__(self, rules: Sequence[Rule]) -> None:
        super().__init__(rules)
        self._broken = any(rule.id == WHOAMI for rule in rules)
        if self.breaks_when_made and self._broken:
            raise ArithmeticError("cannot be made")

    def matches(self, event: Event) -> Iterable[Rule]:
        yield from super().matches(event)
        if self._broken:
            raise ArithmeticError("cannot be asked")


class UnmakeableDetector(FragileDetector):
    breaks_when_made = True


@pytest.mark.parametrize(("detector", "said"), [(FragileDetector, "cannot be asked"), (UnmakeableDetector, "cannot be made")])
def test_a_rule_that_breaks_the_detector_has_failed_runs_and_harms_no_other(
    detector: type[FragileDetector], said: str, tmp_path: Path
) -> None:
    clock = FakeClock()
    path = tmp_path / "siem.sqlite"
    service = EmbeddedSiem(
        path,
        clock=clock,
        detector_of=detector,
        parse=parse_rules,
        ingest_delay=timedelta(0),
        rule_interval=timedelta(seconds=1),
        look_back=LOOK_BACK,
    )
    client = EmbeddedClient(path, clock=clock)
    client.deploy([sigma(WHOAMI, "whoami.exe"), sigma(HOSTNAME, "hostname.exe")])
    for record in (1, 2):
        service.ingest(process_created(record, created=clock.now(), image="hostname.exe"))
        clock.wait(1)
        service.pump()
        service.run_rules()
    facts = client.sweep([WATCH], "")
    service.stop()
    assert {(run.rule, run.ok) for run in facts.runs} == {(WHOAMI, False), (HOSTNAME, True)}
    assert all(said in run.message for run in facts.runs if not run.ok)
    assert [alert.rule for alert in facts.alerts] == [HOSTNAME, HOSTNAME]


def test_a_rule_changed_while_another_text_is_parsed_is_not_credited_with_a_run_of_the_old(tmp_path: Path) -> None:
    path, clock, parsed = tmp_path / "siem.sqlite", FakeClock(), list[str]()

    def parse(written_as: str, text: str, name: str) -> Iterable[Rule]:
        if not parsed:
            deploy(path, [DeployedRule(id=WHOAMI, written_as="sigma", definition=sigma_text(WHOAMI, "new.exe"))])
        parsed.append(text)
        return parse_rules(written_as, text, name)

    service = EmbeddedSiem(
        path,
        clock=clock,
        detector_of=Detector,
        parse=parse,
        ingest_delay=timedelta(0),
        rule_interval=timedelta(seconds=1),
        look_back=LOOK_BACK,
    )
    client = EmbeddedClient(path, clock=clock)
    client.deploy([sigma(WHOAMI, "old.exe")])
    service.ingest(process_created(1, created=clock.now(), image="old.exe"))
    service.ingest(process_created(2, created=clock.now(), image="new.exe"))
    service.pump()
    clock.wait(1)
    service.run_rules()
    facts = client.sweep([WATCH], "")
    service.stop()
    assert ["new.exe" in text for text in parsed] == [False, True]
    assert len(facts.runs) == 1
    assert ["new.exe" in str(alert.events[0].flat["newprocessname"]) for alert in facts.alerts] == [True]


def test_each_event_is_asked_about_once_by_each_version_of_a_rule(tmp_path: Path) -> None:
    asked: list[tuple[str, int]] = []

    class Counting(Detector):
        def __init__(self, rules: Sequence[Rule]) -> None:
            super().__init__(rules)
            self._names = [rule.id for rule in rules]

        def matches(self, event: Event) -> Iterable[Rule]:
            asked.extend((name, int(str(event.flat["number"]))) for name in self._names)
            return super().matches(event)

    clock, path = FakeClock(), tmp_path / "siem.sqlite"
    service = EmbeddedSiem(
        path,
        clock=clock,
        detector_of=Counting,
        parse=parse_rules,
        ingest_delay=timedelta(0),
        rule_interval=timedelta(seconds=1),
        look_back=LOOK_BACK,
    )
    client = EmbeddedClient(path, clock=clock)

    def log(number: int) -> None:
        event = process_created(number, created=clock.now())
        service.ingest(replace(event, data={"Number": str(number)}))
        clock.wait(1)
        service.pump()

    client.deploy([sigma(WHOAMI, "whoami.exe")])
    log(1)
    service.run_rules()
    service.run_rules()
    log(2)
    service.run_rules()
    assert asked == [(WHOAMI, 1), (WHOAMI, 2)]
    client.deploy([sigma(HOSTNAME, "hostname.exe")])
    service.run_rules()
    assert asked[2:] == [(HOSTNAME, 1), (HOSTNAME, 2)]
    client.deploy([sigma(WHOAMI, "other.exe")])
    log(3)
    service.run_rules()
    service.stop()
    assert sorted(asked[4:]) == sorted([(WHOAMI, 1), (WHOAMI, 2), (WHOAMI, 3), (HOSTNAME, 3)])


def test_an_engine_that_is_taken_up_again_raises_no_alert_twice(tmp_path: Path) -> None:
    path, clock = tmp_path / "siem.sqlite", FakeClock()
    client = EmbeddedClient(path, clock=clock)
    for record in (1, 2):
        service = embedded(path, clock)
        client.deploy([sigma(WHOAMI, "whoami.exe")])
        service.ingest(process_created(record, created=clock.now()))
        clock.wait(5)
        service.pump()
        service.run_rules()
        service.stop()
    assert len(client.sweep([WATCH], "").alerts) == 2


def test_a_store_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="cannot open"):
        embedded(tmp_path / "absent" / "siem.sqlite", FakeClock())
    (tmp_path / "text").write_text("not a database, and long enough to be seen as none" * 20)
    with pytest.raises(LabError, match="cannot open"):
        embedded(tmp_path / "text", FakeClock())


def threaded(path: Path) -> EmbeddedSiem:
    return EmbeddedSiem(
        path,
        clock=SystemClock(),
        detector_of=Detector,
        parse=parse_rules,
        ingest_delay=timedelta(milliseconds=20),
        rule_interval=timedelta(milliseconds=50),
        look_back=LOOK_BACK,
    )


def test_in_threads(tmp_path: Path) -> None:
    """Events logged from several threads at once are found, matched and proved by the service's own threads."""
    path, clock = tmp_path / "siem.sqlite", SystemClock()
    service, client = threaded(path), EmbeddedClient(path)
    watch = Watch(host="ws1", since=clock.now(), rules=frozenset({WHOAMI}))
    service.start()
    try:
        client.deploy([sigma(WHOAMI, "whoami.exe")])
        for record in range(100):
            service.ingest(process_created(record, created=clock.now(), image="whoami.exe" if record % 10 == 0 else "x.exe"))
        cursor, observed, alerts, proved = "", dict[str, datetime](), set[str](), False
        deadline = clock.monotonic() + 60
        while clock.monotonic() < deadline and not (proved and len(alerts) == 10):
            facts = client.sweep([watch], cursor)
            cursor = facts.cursor
            observed |= {seen.event.id: seen.searchable_at for seen in facts.observed}
            alerts |= {alert.id for alert in facts.alerts}
            proved |= len(observed) == 100 and any(run.ok and run.started_at > max(observed.values()) for run in facts.runs)
            clock.wait(0.02)
        assert (len(observed), len(alerts), proved) == (100, 10, True)
        assert client.check(watch.rules).schedule_running
    finally:
        service.stop()
    assert not client.check(watch.rules).schedule_running


def test_a_service_that_broke_down_says_so_when_it_is_stopped(tmp_path: Path) -> None:
    path = tmp_path / "siem.sqlite"
    service = threaded(path)
    service.start()
    with sqlite3.connect(path) as connection:
        connection.execute("drop table state")
    connection.close()
    with pytest.raises(LabError, match="broke down: no such table: state"):
        service.stop()


def test_a_thread_that_dies_is_told_by_stop_and_takes_the_other_with_it(tmp_path: Path) -> None:
    path, clock = tmp_path / "siem.sqlite", SystemClock()
    service = threaded(path)
    service.start()
    before = set(threads())
    with sqlite3.connect(path) as connection:
        connection.execute("drop table rules")
    connection.close()
    deadline = clock.monotonic() + 60
    while threads() and clock.monotonic() < deadline:
        clock.wait(0.01)
    assert len(before) == 2
    assert not threads()
    with pytest.raises(LabError, match="broke down: no such table: rules"):
        service.stop()


def threads() -> list[Thread]:
    return [thread for thread in enumerate_threads() if thread.name.startswith("embedded siem")]


def test_parse_errors_name_the_deployed_rule() -> None:
    with pytest.raises(UsageError) as raised:
        list(SigmaRules().parse("not: [yaml", "deployed rule x"))
    assert all(isinstance(problem, Problem) and problem.path == "deployed rule x" for problem in raised.value.problems)
