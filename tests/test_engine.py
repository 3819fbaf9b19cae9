"""The engine over scripted doubles: what is sent, what is not, what is tried again, and what an outage or an interrupt leaves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from threading import Event

import pytest

from harness.engine import Engine, Patience
from harness.errors import (
    AuthenticationFailed,
    ConnectFailed,
    ConnectionLost,
    HarnessError,
    SiemDenied,
    SiemUnavailable,
    StepTimeout,
    Untrusted,
)
from harness.model.facts import Detonation, Execution
from harness.model.intent import Action, EnterPSSession, Expectation, Plan, PlannedStep, Step, Target
from harness.model.report import Judged, Progress, Report, RunFinished, SiemTrouble, StepFinished, StepStarted, Waiting
from harness.model.verdicts import Inconclusive, Outcome
from tests.builders import SECURITY, T0, facts, rule, run, target
from tests.fakes import FakeClock, FakeSiem, FakeTransport

PATIENCE = Patience(poll=0.25, siem=5.0, connect=3.0, grace=timedelta(seconds=1))
RULES = {"r": rule("r", SECURITY, 4688)}


def step(name: str, line: str = "whoami.exe", on: Target | None = None, *, cleanup: bool = False) -> PlannedStep:
    made = Step(
        name=name,
        action=EnterPSSession(lines=(line,)),
        cleanup=EnterPSSession(lines=(f"undo {line}",)) if cleanup else None,
        expect=(Expectation(rule="r"),),
    )
    where = on or target()
    return PlannedStep(id=f"{name}@{where.name}", scenario=name.split("/")[0], step=made, target=where)


class Stage:
    """One engine with its doubles; `play` runs it to its end."""

    def __init__(self, *steps: PlannedStep) -> None:
        self.clock = FakeClock()
        self.siem = FakeSiem(self.clock, "r")
        self.transport = FakeTransport(self.clock)
        self.steps = steps
        self.cancel = Event()
        self.judged = Event()
        self.seen: list[Progress] = []
        self.patience = PATIENCE
        self.look: Callable[[Progress], None] = lambda progress: None

    def play(self, *detonated: Detonation, hold: bool = False) -> Report:
        engine = Engine(
            run_id="run",
            plan=Plan(steps=self.steps, unexercisable={}),
            rules=RULES,
            transport=self.transport,
            siem=self.siem,
            clock=self.clock,
            patience=self.patience,
            hold=hold,
        )
        self.seen = []
        for progress in engine.run(self.cancel, detonated):
            self.seen.append(progress)
            self.look(progress)
            if isinstance(progress, Judged):
                self.judged.set()
        last = self.seen[-1]
        assert isinstance(last, RunFinished)
        return last.report

    def lines(self) -> list[str]:
        return [action.lines[0] for _, action in self.transport.sent if isinstance(action, EnterPSSession)]


def test_steps_of_a_target_run_in_order_and_cleanups_in_reverse_at_the_scenarios_end() -> None:
    stage = Stage(step("a/1", "one", cleanup=True), step("a/2", "two", cleanup=True), step("b/1", "three"))
    report = stage.play()
    assert stage.lines() == ["one", "two", "undo two", "undo one", "three"]
    assert [c.planned.id for c in report.cleanups] == ["a/2@ws1/cleanup", "a/1@ws1/cleanup"]
    assert all(session.closed for session in stage.transport.sessions)


def test_every_step_opens_a_session_of_its_own() -> None:
    stage = Stage(step("a/1"), step("a/2"))
    stage.play()
    assert len(stage.transport.sessions) == 2


def test_a_port_that_is_closed_at_first_is_tried_again() -> None:
    stage = Stage(step("a/1"))
    failures: list[HarnessError] = [ConnectFailed("no"), ConnectFailed("no")]
    stage.transport.opens = lambda _: failures.pop() if failures else None
    stage.play()
    assert (len(stage.transport.tried), len(stage.transport.sent)) == (3, 1)


def test_a_target_that_nobody_vouches_for_is_not_asked_again() -> None:
    stage = Stage(step("a/1", "one"), step("b/1", "two"))
    stage.transport.opens = lambda _: Untrusted("self-signed")
    report = stage.play()
    assert stage.transport.tried == ["ws1"]
    assert {verdict.outcome for verdict in report.verdicts} == {Outcome.INCONCLUSIVE}


def test_a_wrong_password_is_tried_once_and_the_target_left_alone() -> None:
    one, two = target("ws1"), target("ws2")
    stage = Stage(step("a/1", on=one), step("b/1", on=one), step("a/1", on=two), step("b/1", on=two))
    stage.transport.opens = lambda t: AuthenticationFailed("who are you?") if t.name == "ws1" else None
    report = stage.play()
    assert stage.transport.tried.count("ws1") == 1
    assert stage.transport.tried.count("ws2") == 2
    assert all("who are you?" in v.cause for v in report.verdicts if v.target == "ws1")
    assert {v.inconclusive for v in report.verdicts if v.target == "ws1"} == {Inconclusive.NOT_EXECUTED}


def test_a_step_is_never_sent_twice_whatever_becomes_of_it() -> None:
    for error in (ConnectionLost("cut"), StepTimeout("slow"), RuntimeError("a bug")):
        stage = Stage(step("a/1"))
        stage.transport.answer = lambda *_, error=error: error
        report = stage.play()
        assert len(stage.transport.sent) == 1
        assert report.verdicts[0].outcome is Outcome.INCONCLUSIVE
        assert report.exit_code == 3


def test_a_lost_connection_ends_the_scenario_but_not_the_next_and_is_cleaned_up() -> None:
    stage = Stage(step("a/1", "one", cleanup=True), step("a/2", "two"), step("b/1", "three"))
    stage.transport.answer = lambda t, action, c: ConnectionLost("cut") if action == EnterPSSession(lines=("one",)) else Execution()
    report = stage.play()
    assert stage.lines() == ["one", "undo one", "three"]
    (second,) = [v for v in report.verdicts if v.planned == "a/2@ws1"]
    assert "an earlier step failed" in second.cause


def test_nothing_is_cleaned_up_where_nothing_was_sent() -> None:
    stage = Stage(step("a/1", "one", cleanup=True))
    stage.transport.opens = lambda _: ConnectFailed("closed")
    stage.play()
    assert stage.transport.sent == []


def test_a_siem_that_is_dead_at_the_start_lets_nothing_be_sent() -> None:
    stage = Stage(step("a/1"))
    stage.siem.errors = [SiemUnavailable("gone")] * 1000
    report = stage.play()
    assert stage.transport.tried == []
    assert report.exit_code == 3
    assert [v.inconclusive for v in report.verdicts] == [Inconclusive.SIEM_LOST]
    assert "gone" in report.verdicts[0].cause
    assert stage.siem.checks > 1


def test_a_refusal_of_the_siem_is_not_asked_for_twice() -> None:
    stage = Stage(step("a/1"))
    stage.siem.errors = [SiemDenied("403")]
    stage.play()
    assert stage.siem.checks == 1
    assert stage.transport.tried == []
    assert not any(isinstance(item, SiemTrouble) for item in stage.seen), "nobody says that it is asked again"


def test_a_siem_that_asks_to_be_left_alone_is_left_alone() -> None:
    stage = Stage(step("a/1"))
    stage.siem.errors = [SiemUnavailable("busy", retry_after=4.0)]
    report = stage.play()
    assert stage.siem.checks == 2
    assert (report.finished_at - report.started_at).total_seconds() > 4
    assert report.verdicts[0].outcome is Outcome.BLIND


def test_a_siem_that_asks_for_more_patience_than_there_is_is_given_up_at_once() -> None:
    stage = Stage(step("a/1"))
    stage.siem.errors = [SiemUnavailable("busy", retry_after=3600.0)]
    report = stage.play()
    assert stage.siem.checks == 1
    assert (report.finished_at - report.started_at).total_seconds() < 1
    assert [v.inconclusive for v in report.verdicts] == [Inconclusive.SIEM_LOST]


def test_a_siem_that_comes_back_loses_nothing() -> None:
    stage = Stage(step("a/1"))
    original = stage.siem.sweep
    outage: list[HarnessError] = [SiemUnavailable("away"), SiemUnavailable("away")]

    def sweep(watches, cursor):  # type: ignore[no-untyped-def]
        if len(stage.siem.sweeps) >= 1 and outage:
            stage.siem.errors = [outage.pop()]
        return original(watches, cursor)

    stage.siem.sweep = sweep  # type: ignore[method-assign]
    report = stage.play()
    assert sum(isinstance(item, SiemTrouble) for item in stage.seen) == 2
    assert report.verdicts[0].outcome is Outcome.BLIND


def test_a_siem_that_is_lost_for_good_stops_the_sending_and_is_no_miss() -> None:
    """The first step is still under way when the SIEM is given up; its cleanup is all that is sent after that."""
    stage = Stage(step("a/1", "one", cleanup=True), step("b/1", "two"), step("b/2", "three"))
    stage.transport.answer = lambda *_: Execution() if stage.judged.wait(10) else RuntimeError("the SIEM was never given up")

    def sweep(watches, cursor):  # type: ignore[no-untyped-def]
        raise SiemUnavailable("the file is gone")

    stage.siem.sweep = sweep  # type: ignore[method-assign]
    report = stage.play()
    assert {v.inconclusive for v in report.verdicts} == {Inconclusive.SIEM_LOST}
    assert report.exit_code == 3
    assert stage.lines() == ["one", "undo one"]


def test_one_sweep_asks_for_everything_open() -> None:
    one, two = target("ws1"), target("ws2")
    stage = Stage(*(step(f"s{n}/1", on=where) for where in (one, two) for n in range(20)))
    stage.play()
    assert all(len(watches) <= 2 for watches, _ in stage.siem.sweeps)


def test_an_interrupt_lets_cleanups_run_and_leaves_a_partial_report() -> None:
    stage = Stage(step("a/1", "one", cleanup=True), step("a/2", "two"), step("b/1", "three"))

    def answer(where: Target, action: Action, cancel: Event) -> Execution | Exception:
        if action == EnterPSSession(lines=("one",)):
            stage.cancel.set()
            return StepTimeout("stopped")
        assert not cancel.is_set()
        return Execution()

    stage.transport.answer = answer
    report = stage.play()
    assert stage.lines() == ["one", "undo one"]
    assert report.interrupted
    assert report.exit_code == 130
    assert {v.inconclusive for v in report.verdicts} == {Inconclusive.INTERRUPTED}
    assert len(report.verdicts) == 3


def test_progress_tells_of_every_step_and_ends_with_the_report() -> None:
    stage = Stage(step("a/1"), step("b/1"))
    stage.siem.see = lambda: facts(run("r", 1.0), now=(stage.clock.now() - T0).total_seconds())
    report = stage.play()
    assert sum(isinstance(item, StepStarted) for item in stage.seen) == 2
    assert sum(isinstance(item, StepFinished) for item in stage.seen) == 2
    assert isinstance(stage.seen[-1], RunFinished)
    assert len(report.verdicts) == 2
    assert report.environment.clock_offsets.keys() >= {"siem", "ws1"}


@pytest.mark.parametrize("count", [1, 50])
def test_the_number_of_requests_does_not_grow_with_the_expectations(count: int) -> None:
    stage = Stage(step("a/1"))
    expect = tuple(Expectation(rule="r") for _ in range(count))
    planned = stage.steps[0]
    many = PlannedStep(
        id=planned.id, scenario=planned.scenario, step=Step(name="x", action=planned.step.action, expect=expect), target=planned.target
    )
    stage.steps = (many,)
    stage.play()
    assert all(len(watches) == 1 for watches, _ in stage.siem.sweeps)


def test_what_was_detonated_before_is_judged_and_nothing_is_sent() -> None:
    before = Stage(step("a/1", "one", cleanup=True))
    before.siem.see = lambda: facts(run("r", 1.0), now=(before.clock.now() - T0).total_seconds())
    before.play()
    (detonation, _) = [item.detonation for item in before.seen if isinstance(item, StepFinished)]
    after = Stage(*before.steps)
    after.clock.wait(60.0)
    after.siem.see = lambda: facts(run("r", 1.0), now=(after.clock.now() - T0).total_seconds())
    report = after.play(detonation)
    assert after.lines() == []
    assert [verdict.detonation for verdict in report.verdicts] == [detonation]
    assert report.started_at == detonation.started_at
    assert min(watch.since for watches, _ in after.siem.sweeps for watch in watches) < detonation.started_at


def test_however_seldom_the_siem_is_asked_it_is_told_each_second_what_is_waited_for() -> None:
    stage = Stage(step("a/1"))
    stage.patience = replace(PATIENCE, poll=60.0)
    stage.play()
    told = [item.now for item in stage.seen if isinstance(item, Waiting)]
    assert len(told) > 30
    assert max(later - earlier for earlier, later in pairwise(told)) <= timedelta(seconds=1.1)
    (standing,) = next(item.open for item in reversed(stage.seen) if isinstance(item, Waiting))
    assert (standing.planned, standing.rule, standing.fires) == ("a/1@ws1", "r", True)
    assert standing.started_at is not None
    assert standing.deadline is not None


def test_on_hold_nothing_more_is_sent_before_the_verdict_was_taken() -> None:
    stage = Stage(step("a/1", "one", cleanup=True), step("a/2", "two", cleanup=True))
    sent_at_verdict: list[list[str]] = []
    stage.look = lambda progress: sent_at_verdict.append(stage.lines()) if isinstance(progress, Judged) else None
    stage.play(hold=True)
    assert sent_at_verdict == [["one"], ["one", "two"]]
    assert stage.lines() == ["one", "two", "undo two", "undo one"]


def test_an_interrupt_ends_the_hold() -> None:
    stage = Stage(step("a/1", "one", cleanup=True), step("a/2", "two"))
    stage.look = lambda progress: stage.cancel.set() if isinstance(progress, Judged) else None
    report = stage.play(hold=True)
    assert stage.lines() == ["one", "undo one"]
    assert report.exit_code == 130
