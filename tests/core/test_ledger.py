"""Every outcome of judging.md, told as a story: what arrived when, and what the ledger makes of it.

One session from second 0 to 1; ingest lag half a second, the rule runs every second. So telemetry is settled at 1.5 and an
expectation without `within` is given up at 1.5 + 2 intervals + 1 = 4.5.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from harness.core.ledger import Ledger
from harness.model.facts import Detonation, Execution, Failure, FailureKind, Observed, RuleState, SiemStatus, StreamKind, StreamRecord
from harness.model.intent import Connect, Expectation, Plan, PlannedStep, Priority, PriorityLevel, Rule, Severity, Unexercisable
from harness.model.tree import Op, Or, Pattern, PatternKind, Stage, Test
from harness.model.verdicts import Basis, GateKind, GateState, Inconclusive, Outcome, Verdict
from tests.builders import FOOTPRINT, POWERSHELL, SECURITY, T0, RemoteSession, alert, at, facts, observed, planned, rule, run, status

ONE = RemoteSession(tag="one", port=50001, pid=4000, logon=0xA001)
TWO = RemoteSession(tag="two", port=50002, pid=5000, logon=0xA002)
CHILD = rule("child", SECURITY, 4688, Test(field="NewProcessName", op=Op.ENDS_WITH, value="\\whoami.exe"))
PORT = rule("port", SECURITY, 5156, Test(field="DestPort", op=Op.EQUALS, value=5985))
WRONG_PORT = rule("wrong", SECURITY, 5156, Test(field="DestPort", op=Op.EQUALS, value=1234))
SCRIPT = rule("script", POWERSHELL, 4104, Test(field="ScriptBlockText", op=Op.CONTAINS, value="$"))


def in_order(rule_id: str, *parts: Rule) -> Rule:
    """A rule for a sequence of these rules' events."""
    stages = tuple(Stage(condition=part.logic) for part in parts)
    logic = Or(items=tuple(part.logic for part in parts))
    return replace(CHILD, id=rule_id, logic=logic, pattern=Pattern(kind=PatternKind.SEQUENCE, stages=stages))


PORT_THEN_CHILD, CHILD_THEN_PORT = in_order("port-child", PORT, CHILD), in_order("child-port", CHILD, PORT)
PORT_THEN_SCRIPT = in_order("port-script", PORT, SCRIPT)
RULES = {r.id: r for r in (CHILD, PORT, WRONG_PORT, SCRIPT, PORT_THEN_CHILD, CHILD_THEN_PORT, PORT_THEN_SCRIPT)}


PRIORITY = Priority(
    default=Severity.MEDIUM,
    levels=(
        PriorityLevel(
            level=Severity.HIGH,
            when=Test(field="NewProcessName", op=Op.ENDS_WITH, value="\\cmd.exe"),
            text="",
            because="a shell",
        ),
    ),
)


class Story:
    """A ledger over one or more expectations, fed by hand."""

    def __init__(self, *expect: Expectation, siem: SiemStatus | None = None, step: PlannedStep | None = None, **story: object) -> None:
        self.step = step or planned("one/1@ws1", *expect)
        cannot = story.get("cannot", {})
        assert isinstance(cannot, dict)
        self.ledger = Ledger(
            Plan(steps=(self.step,), unexercisable=cannot, priorities={"child": PRIORITY}),
            RULES,
            siem or status(*RULES),
            started_at=T0,
            siem_offset=timedelta(0),
            grace=timedelta(seconds=1),
        )
        self.verdicts: list[Verdict] = []

    def detonated(self, outcome: Execution | Failure | None = None, *, known: bool = True) -> Story:
        self.ledger.detonated(ONE.detonation(self.step, outcome, known=known))
        return self

    def saw(self, *items: object, now: float, running: bool = True) -> Story:
        self.ledger.saw(facts(*items, now=now, running=running))  # type: ignore[arg-type]
        self.verdicts += self.ledger.settle()
        return self

    def only(self) -> Verdict:
        self.verdicts += self.ledger.settle()
        assert len(self.verdicts) == 1
        assert self.ledger.open == 0
        return self.verdicts[0]


def telemetry(session: RemoteSession = ONE, lag: float = 0.3) -> list[Observed]:
    return [observed(one, lag) for one in session.telemetry()]


def state(verdict: Verdict) -> list[GateState]:
    return [gate.state for gate in verdict.gates]


PASSED, FAILED, UNREACHED = GateState.PASSED, GateState.FAILED, GateState.UNREACHED


def test_detected_with_all_four_gates_and_their_times() -> None:
    verdict = (
        Story(Expectation(rule="child")).detonated().saw(*telemetry(), alert("a", "child", ONE.child_process(), raised=1.2), now=1.4).only()
    )
    assert verdict.outcome is Outcome.DETECTED
    assert state(verdict) == [PASSED] * 4
    assert [gate.at for gate in verdict.gates] == [at(1), at(0.38), at(0.5), at(1.2)]
    assert verdict.time_to_detect == timedelta(seconds=1.2)
    assert verdict.sightings[0].basis is Basis.EXACT
    assert not verdict.sightings[0].transport_caused
    assert verdict.detonation is not None
    assert verdict.detonation.identity.logon_id == "0xa001"


def test_what_the_session_alone_sets_off_is_credited_and_labelled() -> None:
    verdict = (
        Story(Expectation(rule="port")).detonated().saw(*telemetry(), alert("a", "port", ONE.connection(), raised=1.2), now=1.4).only()
    )
    assert verdict.outcome is Outcome.DETECTED
    assert verdict.sightings[0].transport_caused


def test_late() -> None:
    story = Story(Expectation(rule="child", within=timedelta(seconds=2))).detonated()
    verdict = story.saw(*telemetry(), alert("a", "child", ONE.child_process(), raised=2.5), now=2.6).only()
    assert verdict.outcome is Outcome.LATE
    assert "2.5 s" in verdict.cause


def test_late_is_waited_for_beyond_within() -> None:
    story = Story(Expectation(rule="child", within=timedelta(seconds=10))).detonated().saw(*telemetry(), now=10.5)
    assert story.ledger.open == 1
    verdict = story.saw(alert("a", "child", ONE.child_process(), raised=10.6), now=10.9).only()
    assert verdict.outcome is Outcome.LATE


@pytest.mark.parametrize(
    ("wanted", "outcome"), [(Severity.MEDIUM, Outcome.DETECTED), (Severity.HIGH, Outcome.MISGRADED), (None, Outcome.DETECTED)]
)
def test_severity(wanted: Severity | None, outcome: Outcome) -> None:
    story = Story(Expectation(rule="child", severity=wanted)).detonated()
    assert story.saw(*telemetry(), alert("a", "child", ONE.child_process(), raised=1.2), now=1.4).only().outcome is outcome


CMD = replace(ONE, tag="cmd", child="cmd.exe")


@pytest.mark.parametrize(
    ("wanted", "session", "outcome", "said"),
    [
        (Severity.MEDIUM, ONE, Outcome.DETECTED, "detected after"),
        (Severity.HIGH, ONE, Outcome.MISGRADED, "by its strategy the alert's events have priority medium, wanted high"),
        (Severity.HIGH, CMD, Outcome.DETECTED, "detected after"),
        (Severity.MEDIUM, CMD, Outcome.MISGRADED, "by its strategy the alert's events have priority high, wanted medium"),
        (None, CMD, Outcome.DETECTED, "detected after"),
    ],
)
def test_priority(wanted: Severity | None, session: RemoteSession, outcome: Outcome, said: str) -> None:
    """Whatever the alert's own severity: it is the same for each of its alerts."""
    story = Story(Expectation(rule="child", priority=wanted, severity=Severity.MEDIUM)).detonated()
    raised = alert("a", "child", session.connection(), session.child_process(), raised=0.8)
    verdict = story.saw(*telemetry(session), raised, now=0.8).only()
    assert verdict.outcome is outcome
    assert said in verdict.cause
    expected = Severity.HIGH if session is CMD else Severity.MEDIUM
    assert [sighting.priority for sighting in verdict.sightings] == [expected]
    assert f"priority {expected}" in verdict.gates[3].evidence[0]


def test_any_alert_in_time_may_have_the_priority() -> None:
    story = Story(Expectation(rule="child", priority=Severity.HIGH)).detonated()
    both = [alert(name, "child", session.child_process(), raised=0.8) for name, session in (("a", ONE), ("b", CMD))]
    assert story.saw(*telemetry(), *telemetry(CMD), *both, now=0.8).only().outcome is Outcome.DETECTED


def test_the_priority_of_an_alert_without_events_is_not_known() -> None:
    story = Story(Expectation(rule="child", priority=Severity.HIGH)).detonated()
    verdict = story.saw(*telemetry(), alert("a", "child", raised=0.8), now=0.8).only()
    assert (verdict.outcome, verdict.inconclusive) == (Outcome.INCONCLUSIVE, Inconclusive.NO_TELEMETRY)
    assert "does not tell its events" in verdict.cause


def test_a_rule_without_a_strategy_has_no_priority() -> None:
    verdict = (
        Story(Expectation(rule="port")).detonated().saw(*telemetry(), alert("a", "port", ONE.connection(), raised=0.8), now=0.8).only()
    )
    assert verdict.sightings[0].priority is None


def test_missed_is_proven_by_the_rules_own_run_and_names_the_clause_that_killed_it() -> None:
    proof = run("wrong", 1.6)
    verdict = Story(Expectation(rule="wrong")).detonated().saw(*telemetry(), proof, now=1.7).only()
    assert verdict.outcome is Outcome.MISSED
    assert verdict.proof == proof.id
    assert proof.id in verdict.cause
    assert "1234" in verdict.cause
    assert "5985" in verdict.cause
    assert state(verdict) == [PASSED, PASSED, FAILED, FAILED]


def test_missed_though_our_own_engine_matches_says_so() -> None:
    verdict = Story(Expectation(rule="child")).detonated().saw(*telemetry(), run("child", 1.6), now=1.7).only()
    assert verdict.outcome is Outcome.MISSED
    assert state(verdict) == [PASSED, PASSED, PASSED, FAILED]
    assert "exception" in verdict.cause


@pytest.mark.parametrize(("rule_id", "query"), [("port-child", PASSED), ("child-port", FAILED)])
def test_a_sequences_query_matches_where_all_of_it_does_in_its_order(rule_id: str, query: GateState) -> None:
    verdict = Story(Expectation(rule=rule_id)).detonated().saw(*telemetry(), run(rule_id, 1.6), now=1.7).only()
    assert state(verdict) == [PASSED, PASSED, query, FAILED]


def test_a_sequence_that_was_missed_says_how_far_it_came_and_what_stopped_it() -> None:
    verdict = Story(Expectation(rule="child-port")).detonated().saw(*telemetry(), run("child-port", 1.6), now=1.7).only()
    assert verdict.outcome is Outcome.MISSED
    evidence = verdict.gates[2].evidence
    assert evidence[0].startswith("event 1: Security 4688")
    assert evidence[1].startswith("nearest event: Security 5156")
    assert evidence[2] == "event 2 is not there: it came 150ms before event 1, not after it"
    assert evidence[2] in verdict.cause


def test_a_sequence_one_of_whose_events_has_no_telemetry_is_blind() -> None:
    story = Story(Expectation(rule="port-script")).detonated().saw(*telemetry(), run("port-script", 1.6), now=1.7)
    assert story.ledger.open == 1
    verdict = story.saw(now=4.6).only()
    assert verdict.outcome is Outcome.BLIND
    assert "no event of microsoft-windows-powershell/operational 4104 arrived" in verdict.cause
    assert state(verdict) == [PASSED, FAILED, UNREACHED, FAILED]


def test_a_sequence_is_credited_by_what_completed_it_though_a_strangers_event_stands_in_it() -> None:
    strangers = [observed(TWO.connection())]
    mixed = alert("a", "port-child", TWO.connection(), ONE.child_process(), raised=1.2)
    verdict = Story(Expectation(rule="port-child")).detonated().saw(*telemetry(), *strangers, mixed, now=1.4).only()
    assert verdict.outcome is Outcome.DETECTED
    story = Story(Expectation(rule="port-child", fires=False)).detonated()
    theirs = alert("b", "port-child", ONE.connection(), TWO.child_process(), raised=1.2)
    verdict = story.saw(*telemetry(), *telemetry(TWO), theirs, run("port-child", 1.6), now=1.7).only()
    assert verdict.outcome is Outcome.QUIET
    assert story.ledger.unattributed() == [theirs]


def test_a_sequence_that_another_session_disturbed_is_no_miss() -> None:
    """The stranger's program takes the place that our connection had made: of ours there is no alert, and nobody's fault."""
    middle = replace(TWO.child_process(), time=at(0.1))
    verdict = Story(Expectation(rule="port-child")).detonated().saw(*telemetry(), observed(middle), run("port-child", 1.6), now=1.7).only()
    assert (verdict.outcome, verdict.inconclusive) == (Outcome.INCONCLUSIVE, Inconclusive.AMBIGUOUS)
    assert "run it alone" in verdict.cause


@pytest.mark.parametrize(
    "unproven",
    [
        pytest.param(run("child", 1.6, ok=False), id="a run that failed"),
        pytest.param(run("child", 1.4), id="a run before all telemetry could have arrived"),
        pytest.param(run("child", 1.6, start=0.25), id="a run whose window begins after the event"),
        pytest.param(run("port", 1.6), id="another rule's run"),
    ],
)
def test_no_miss_without_proof(unproven: object) -> None:
    story = Story(Expectation(rule="child")).detonated().saw(*telemetry(), unproven, now=1.7)
    assert story.ledger.open == 1
    verdict = story.saw(now=4.6).only()
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert verdict.inconclusive is Inconclusive.NO_PROOF_OF_RUN


def test_a_run_that_started_before_the_last_event_was_searchable_proves_nothing() -> None:
    story = Story(Expectation(rule="child")).detonated()
    story.saw(*telemetry(lag=2.0), run("child", 1.6), now=2.5)
    assert story.ledger.open == 1
    assert story.saw(run("child", 3.5), now=3.6).only().outcome is Outcome.MISSED


def test_a_pipeline_under_load_is_waited_for() -> None:
    """Other events of the host take three seconds by now: a run at 1.6 may have been too early for ours that are still on their way."""
    story = Story(Expectation(rule="child")).detonated()
    slow = [observed(one, 3.0) for one in TWO.telemetry()]
    story.saw(observed(ONE.connection()), observed(ONE.host_process()), *slow, run("child", 1.6), now=3.5)
    assert story.ledger.open == 1
    verdict = story.saw(observed(ONE.child_process(), 3.0), alert("a", "child", ONE.child_process(), raised=3.6), now=3.7).only()
    assert verdict.outcome is Outcome.DETECTED


def test_blind_where_other_kinds_arrived_points_at_the_sensor() -> None:
    story = Story(Expectation(rule="script")).detonated().saw(*telemetry(), run("script", 1.6), now=1.7)
    assert story.ledger.open == 1
    verdict = story.saw(now=4.6).only()
    assert verdict.outcome is Outcome.BLIND
    assert "audit setting" in verdict.cause
    assert "Security 4688" in verdict.cause
    assert state(verdict) == [PASSED, FAILED, UNREACHED, FAILED]


def test_blind_where_nothing_of_the_host_arrived_points_at_the_pipeline() -> None:
    verdict = Story(Expectation(rule="child")).detonated().saw(now=4.6).only()
    assert verdict.outcome is Outcome.BLIND
    assert "agent" in verdict.cause


def test_an_outage_is_added_to_the_ingest_lag() -> None:
    story = Story(Expectation(rule="child")).detonated()
    story.ledger.was_away(T0 - timedelta(seconds=30), T0 - timedelta(seconds=10))  # before the session
    story.ledger.was_away(T0 + timedelta(seconds=0.5), T0 + timedelta(seconds=60.5))
    assert story.saw(now=63).ledger.open == 1
    assert story.saw(*telemetry(lag=61), run("child", 62.5), now=64).only().outcome is Outcome.MISSED
    late = Story(Expectation(rule="child")).detonated()
    late.ledger.was_away(T0 + timedelta(seconds=0.5), T0 + timedelta(seconds=60.5))
    assert late.saw(now=64.6).only().outcome is Outcome.BLIND


def test_blind_where_only_strangers_events_arrived_points_at_seen_from() -> None:
    story = Story(Expectation(rule="port")).detonated()
    verdict = story.saw(observed(TWO.connection()), now=4.6).only()
    assert verdict.outcome is Outcome.BLIND
    assert "seen_from" in verdict.cause


def test_our_own_identity_query_is_not_the_steps_telemetry() -> None:
    """The rule would match what the harness itself ran; neither that event nor its alert is the step's."""
    footprint = ONE.script(FOOTPRINT)
    story = Story(Expectation(rule="script")).detonated()
    verdict = story.saw(*telemetry(), observed(footprint), alert("a", "script", footprint, raised=1.3), now=4.6).only()
    assert verdict.outcome is Outcome.BLIND
    assert verdict.sightings == ()


def test_known_gap_and_gap_closed() -> None:
    gap = Expectation(rule="wrong", known_gap="asks for another port")
    verdict = Story(gap).detonated().saw(*telemetry(), run("wrong", 1.6), now=1.7).only()
    assert (verdict.outcome, verdict.proof) == (Outcome.KNOWN_GAP, run("wrong", 1.6).id)
    blind = Story(Expectation(rule="script", known_gap="not collected")).detonated().saw(*telemetry(), now=4.6).only()
    assert blind.outcome is Outcome.KNOWN_GAP
    closed = Story(gap).detonated().saw(*telemetry(), alert("a", "wrong", ONE.connection(), raised=1.2), now=1.4).only()
    assert closed.outcome is Outcome.GAP_CLOSED


def test_quiet_needs_the_same_proof() -> None:
    story = Story(Expectation(rule="wrong", fires=False)).detonated().saw(*telemetry(), now=1.6)
    assert story.ledger.open == 1
    verdict = story.saw(run("wrong", 1.7), now=1.8).only()
    assert (verdict.outcome, verdict.proof) == (Outcome.QUIET, run("wrong", 1.7).id)


def test_quiet_where_the_step_made_no_event_of_the_kind() -> None:
    verdict = Story(Expectation(rule="script", fires=False)).detonated().saw(*telemetry(), run("script", 1.6), now=1.7).only()
    assert verdict.outcome is Outcome.QUIET


def test_silence_without_any_telemetry_proves_nothing() -> None:
    verdict = Story(Expectation(rule="wrong", fires=False)).detonated().saw(run("wrong", 1.6), now=4.6).only()
    assert (verdict.outcome, verdict.inconclusive) == (Outcome.INCONCLUSIVE, Inconclusive.NO_TELEMETRY)


def test_noisy() -> None:
    story = Story(Expectation(rule="child", fires=False)).detonated()
    assert story.saw(*telemetry(), alert("a", "child", ONE.child_process(), raised=1.2), now=1.3).only().outcome is Outcome.NOISY


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        (Failure(kind=FailureKind.CONNECTION_LOST, message="cut"), "connection_lost"),
        (Execution(exit_code=1), "exit code 1"),
        (Execution(terminated="it threw"), "it threw"),
        (Execution(output=("nothing",), exit_code=0), "output"),
        (
            Execution(records=(StreamRecord(stream=StreamKind.ERROR, text="no such thing", error_id="CommandNotFoundException"),)),
            "CommandNotFoundException",
        ),
        (
            Execution(records=(StreamRecord(stream=StreamKind.ERROR, text="the lab has none", error_id="NotEmulated,x"),)),
            "NotEmulated",
        ),
    ],
)
@pytest.mark.parametrize("fires", [True, False])
def test_what_did_not_run_is_never_a_miss(outcome: Execution | Failure, said: str, fires: bool) -> None:
    step = planned("one/1@ws1", Expectation(rule="child", fires=fires), output="purple")
    verdict = Story(step=step).detonated(outcome).saw(*telemetry(), run("child", 1.6), now=1.7).only()
    assert (verdict.outcome, verdict.inconclusive) == (Outcome.INCONCLUSIVE, Inconclusive.NOT_EXECUTED)
    assert said in verdict.cause
    assert verdict.gates[0].state is FAILED


def test_an_error_that_did_not_end_the_step_is_evidence_and_no_failure() -> None:
    ran = Execution(records=(StreamRecord(stream=StreamKind.ERROR, text="no service x", error_id="NoServiceFoundForGivenName"),))
    story = Story(Expectation(rule="child")).detonated(ran)
    verdict = story.saw(*telemetry(), alert("a", "child", ONE.child_process(), raised=1.2), now=1.3).only()
    assert verdict.outcome is Outcome.DETECTED
    assert any("no service x" in line for line in verdict.gates[0].evidence)


def test_another_exit_code_may_be_asked_for() -> None:
    step = planned("one/1@ws1", Expectation(rule="child"), exit_codes=(0, 3))
    story = Story(step=step).detonated(Execution(exit_code=3))
    assert story.saw(*telemetry(), alert("a", "child", ONE.child_process(), raised=1.2), now=1.3).only().outcome is Outcome.DETECTED


def test_not_deployed_and_disabled_are_known_before_anything_is_sent() -> None:
    assert Story(Expectation(rule="child"), siem=status("port")).only().inconclusive is Inconclusive.NOT_DEPLOYED
    off = status("child")
    off = SiemStatus(
        name=off.name,
        now=off.now,
        ingest_lag=off.ingest_lag,
        schedule_running=True,
        rules={"child": RuleState(rule="child", deployed=True, enabled=False, interval=timedelta(1), look_back=timedelta(1))},
    )
    verdict = Story(Expectation(rule="child"), siem=off).only()
    assert verdict.inconclusive is Inconclusive.NOT_DEPLOYED
    assert "disabled" in verdict.cause


def test_not_exercisable_is_known_before_anything_is_sent() -> None:
    why = Unexercisable(need="child process", reason="a cmdlet makes none", remedy="whoami.exe")
    verdict = Story(Expectation(rule="child"), cannot={("one/1@ws1", "child"): why}).only()
    assert verdict.outcome is Outcome.NOT_EXERCISABLE
    assert "whoami.exe" in verdict.cause


def test_a_lost_siem_is_never_a_miss() -> None:
    story = Story(Expectation(rule="child")).detonated().saw(*telemetry(), now=1.3)
    story.ledger.lose_siem("the file is gone")
    verdict = story.only()
    assert (verdict.outcome, verdict.inconclusive) == (Outcome.INCONCLUSIVE, Inconclusive.SIEM_LOST)
    assert "the file is gone" in verdict.cause


def test_a_schedule_that_stands_still_is_said_at_once() -> None:
    story = Story(Expectation(rule="child", within=timedelta(minutes=6))).detonated().saw(*telemetry(), now=1.6, running=False)
    verdict = story.only()
    assert (verdict.outcome, verdict.inconclusive) == (Outcome.INCONCLUSIVE, Inconclusive.NO_PROOF_OF_RUN)
    assert "stands still" in verdict.cause


def test_ambiguous_sightings_never_count() -> None:
    story = Story(Expectation(rule="child")).detonated(known=False)
    strangers = telemetry(TWO)
    verdict = story.saw(*telemetry(), *strangers, alert("a", "child", ONE.child_process(), raised=1.2), run("child", 1.6), now=1.7).only()
    assert (verdict.outcome, verdict.inconclusive) == (Outcome.INCONCLUSIVE, Inconclusive.AMBIGUOUS)


def test_another_runs_alert_is_nobodys_and_is_listed() -> None:
    story = Story(Expectation(rule="child")).detonated()
    foreign = alert("a", "child", TWO.child_process(), raised=1.2)
    verdict = story.saw(*telemetry(), *telemetry(TWO), foreign, run("child", 1.6), now=1.7).only()
    assert verdict.outcome is Outcome.MISSED
    assert story.ledger.unattributed() == [foreign]


def test_an_alert_nobody_expected_is_listed() -> None:
    story = Story(Expectation(rule="child", fires=False)).detonated()
    story.saw(*telemetry(), alert("a", "port", ONE.connection(), raised=1.2), run("child", 1.6), now=1.7)
    assert [(s.alert.rule, s.transport_caused) for s in story.ledger.unexpected()] == [("port", True)]
    assert story.ledger.unattributed() == []


def test_interrupted() -> None:
    sent = Story(Expectation(rule="child")).detonated()
    assert [v.inconclusive for v in sent.ledger.settle(interrupted=True)] == [Inconclusive.INTERRUPTED]
    unsent = Story(Expectation(rule="child"))
    assert [v.inconclusive for v in unsent.ledger.settle(interrupted=True)] == [Inconclusive.INTERRUPTED]


def test_a_fact_that_comes_twice_counts_once() -> None:
    story = Story(Expectation(rule="child")).detonated()
    once = alert("a", "child", ONE.child_process(), raised=1.2)
    story.ledger.saw(facts(*telemetry(), once, now=1.3))
    story.ledger.saw(facts(*telemetry(), once, now=1.4))
    assert len(story.only().sightings) == 1


def test_the_siems_clock_may_be_off() -> None:
    ledger = Ledger(
        Plan(steps=(planned("one/1@ws1", Expectation(rule="child", within=timedelta(seconds=2))),), unexercisable={}),
        RULES,
        status("child", now=at(100)),
        started_at=T0,
        siem_offset=timedelta(seconds=100),
        grace=timedelta(seconds=1),
    )
    ledger.detonated(ONE.detonation(planned("one/1@ws1", Expectation(rule="child"))))
    ledger.saw(facts(*telemetry(lag=100.3), alert("a", "child", ONE.child_process(), raised=101.2), now=101.4))
    (verdict,) = ledger.settle()
    assert verdict.outcome is Outcome.DETECTED
    assert verdict.time_to_detect == timedelta(seconds=1.2)
    assert verdict.gates[3].at == at(1.2)


def test_one_watch_a_host_whatever_the_number_of_expectations() -> None:
    step = planned("one/1@ws1", Expectation(rule="child"), Expectation(rule="port"), Expectation(rule="wrong"))
    story = Story(step=step)
    (watch,) = story.ledger.watches([step])
    assert watch.host == "ws1"
    assert watch.rules == {"child", "port", "wrong"}
    assert watch.since < T0


def test_the_null_action_is_judged_like_any_other() -> None:
    step = planned("one/1@ws1", Expectation(rule="port"), action=Connect())
    story = Story(step=step).detonated(Execution())
    verdict = story.saw(*telemetry(), alert("a", "port", ONE.connection(), raised=1.2), now=1.4).only()
    assert verdict.outcome is Outcome.DETECTED
    assert verdict.sightings[0].transport_caused


def test_two_steps_at_once_keep_their_own() -> None:
    steps = (planned("one/1@ws1", Expectation(rule="child")), planned("two/1@ws1", Expectation(rule="child")))
    ledger = Ledger(
        Plan(steps=steps, unexercisable={}),
        RULES,
        status("child"),
        started_at=T0,
        siem_offset=timedelta(0),
        grace=timedelta(seconds=1),
    )
    detonations: Sequence[Detonation] = [ONE.detonation(steps[0]), TWO.detonation(steps[1])]
    for detonation in detonations:
        ledger.detonated(detonation)
    ledger.saw(facts(*telemetry(), *telemetry(TWO), alert("a", "child", TWO.child_process(), raised=1.2), run("child", 1.6), now=1.7))
    assert {v.planned: v.outcome for v in ledger.settle()} == {"one/1@ws1": Outcome.MISSED, "two/1@ws1": Outcome.DETECTED}


def test_gates_stand_in_their_order() -> None:
    verdict = Story(Expectation(rule="child"), siem=status()).only()
    assert [gate.kind for gate in verdict.gates] == list(GateKind)


def test_rule_known_to_the_siem_alone_is_judged_without_its_query() -> None:
    unknown: Rule | None = RULES.get("foreign")
    assert unknown is None
    story = Story(Expectation(rule="foreign"), siem=status("foreign")).detonated()
    verdict = story.saw(*telemetry(), run("foreign", 1.6), now=1.7).only()
    assert verdict.outcome is Outcome.MISSED
    assert state(verdict) == [PASSED, PASSED, UNREACHED, FAILED]
