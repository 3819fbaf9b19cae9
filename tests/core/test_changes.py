"""The difference of two runs: what hangs on the expectation and changed is named, the likeliest first, and what does not hang on it is not.

What a lab can make happen is in `tests/cli/test_history_causes.py`; here are the rest, and the order among several.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

import pytest

from harness.core import changes as differences
from harness.core.record import remembered
from harness.model.changes import Cause, CauseKind, Change, ChangeKind, PastVerdict
from harness.model.facts import FailureKind
from harness.model.report import Aspect, Circumstance, Clause, HostTelemetry, RunRecord
from harness.model.verdicts import Inconclusive, Outcome
from tests.reports import sample_reports as sample

K = CauseKind
KIND = "Security 5156"
NEEDED = "security 5156"
DEPORT = Clause(field="DestPort", value="5985", text="DestPort equals 5985")
TELEMETRY = HostTelemetry(
    host="ws5",
    agents=("winlogbeat 8.1.0",),
    kinds={KIND: 4, "Security 4624": 2},
    lag_p50=timedelta(seconds=0.3),
    lag_p95=timedelta(seconds=0.5),
)


def held(**values: str) -> tuple[Circumstance, ...]:
    """Circumstances of the first expectation's rule, and of the SIEM: `rule_state`, `siem_version`, ..."""
    places = {
        "rule_state": (Aspect.RULE, sample.NETWORK, "state"),
        "rule_interval": (Aspect.RULE, sample.NETWORK, "interval"),
        "rule_revision": (Aspect.RULE, sample.NETWORK, "revision"),
        "other_state": (Aspect.RULE, sample.PROCESS, "state"),
        "siem_version": (Aspect.SIEM, "", "version"),
        "rule_schedule": (Aspect.SIEM, "", "rule schedule"),
        "mapping": (Aspect.MAPPING, "winlogbeat-*", "fields"),
        "silence": (Aspect.SILENCE, sample.NETWORK, "until noon"),
        "setting": (Aspect.SETTING, "", "run.grace"),
        "other_target": (Aspect.SETTING, "ws6", "target ws6.host"),
        "audit": (Aspect.AUDIT, "ws5", "filtering-platform-connection"),
        "other_audit": (Aspect.AUDIT, "ws6", "filtering-platform-connection"),
    }
    return tuple(Circumstance(aspect=a, about=b, name=n, value=values[key]) for key, (a, b, n) in places.items() if key in values)


def run(**rest: object) -> RunRecord:
    made = remembered(sample.clean())
    rules = {id: replace(rule, kinds=(NEEDED,), clauses=(DEPORT,)) for id, rule in made.rules.items()}
    made = replace(made, rules=rules, telemetry={"ws5": TELEMETRY}, steps={made.verdicts[0].planned: "whoami"})
    return replace(made, **rest)  # type: ignore[arg-type]


OLD = run()
FIRST = OLD.verdicts[0]


def now(verdict: PastVerdict, base: RunRecord = OLD, **rest: object) -> RunRecord:
    """The run after, in which the first expectation came out like that."""
    return replace(base, run_id="after", verdicts=(verdict, *OLD.verdicts[1:]), **rest)  # type: ignore[arg-type]


def with_circumstances(base: RunRecord, **values: str) -> RunRecord:
    return replace(base, environment=replace(base.environment, circumstances=held(**values)))


def with_rule(base: RunRecord, **rest: object) -> RunRecord:
    return replace(base, rules={**base.rules, FIRST.rule: replace(base.rules[FIRST.rule], **rest)})  # type: ignore[arg-type]


MISSED = replace(FIRST, outcome=Outcome.MISSED, gates="ppff", cause="no match", killed="DestPort is 5985, the rule wants 1234", took=None)
UNALERTED = replace(MISSED, gates="pppf", killed="", cause="our own engine matches it")
BLIND = replace(MISSED, outcome=Outcome.BLIND, gates="pfuu", killed="", cause="no event arrived")
LATE = replace(FIRST, outcome=Outcome.LATE, cause="raised after 60 s", took=timedelta(seconds=60))
UNPROVEN = replace(MISSED, outcome=Outcome.INCONCLUSIVE, inconclusive=Inconclusive.NO_PROOF_OF_RUN, killed="")
DEAD = replace(FIRST, outcome=Outcome.INCONCLUSIVE, inconclusive=Inconclusive.NOT_EXECUTED, failure=FailureKind.CONNECT, cause="refused")
WRONG_PORT = {
    "definition": "port: 1234",
    "clauses": (Clause(field="DestPort", value="1234", text="DestPort equals 1234"),),
}
REWORDED = {"definition": "a comment", "clauses": (DEPORT,)}
NEW_STEP: Mapping[str, str] = {FIRST.planned: "hostname"}


def broken(before: RunRecord, after: RunRecord) -> Change:
    (change,) = differences.changes(before, after)
    assert change.kind is ChangeKind.BROKEN
    return change


def silent(base: RunRecord, *kinds: str) -> RunRecord:
    left = {kind: count for kind, count in TELEMETRY.kinds.items() if kind not in kinds}
    return replace(base, telemetry={"ws5": replace(TELEMETRY, kinds=left)})


@pytest.mark.parametrize(
    ("before", "after", "kinds"),
    [
        pytest.param(OLD, with_rule(now(MISSED), **WRONG_PORT), [K.RULE_TEXT], id="the clause that kills now is new"),
        pytest.param(OLD, with_rule(now(MISSED, steps=NEW_STEP), **REWORDED), [K.SCENARIO, K.RULE_TEXT], id="the rule was only reworded"),
        pytest.param(OLD, with_rule(now(DEAD), **WRONG_PORT), [K.TARGET_DOWN], id="what was never run was not changed by the rule"),
        pytest.param(
            with_circumstances(OLD, rule_state="enabled"),
            with_circumstances(now(replace(UNPROVEN, inconclusive=Inconclusive.NOT_DEPLOYED)), rule_state="not deployed"),
            [K.RULE_REMOVED],
            id="the rule was removed",
        ),
        pytest.param(
            with_circumstances(OLD, other_state="enabled"),
            with_circumstances(now(UNALERTED), other_state="disabled"),
            [K.UNKNOWN],
            id="another rule was disabled",
        ),
        pytest.param(OLD, with_circumstances(now(UNALERTED), silence="x"), [K.SILENCE], id="a silence"),
        pytest.param(
            with_circumstances(OLD, rule_revision="1", siem_version="8.1"),
            with_circumstances(now(UNALERTED), rule_revision="2", siem_version="8.2"),
            [K.RULE_REVISION, K.SIEM_VERSION],
            id="the SIEM's revision of the rule before its own version",
        ),
        pytest.param(
            with_circumstances(OLD, mapping="aa"), with_circumstances(now(MISSED), mapping="bb"), [K.MAPPING], id="the mapping changed"
        ),
        pytest.param(
            with_circumstances(OLD, rule_schedule="running", setting="2 s"),
            with_circumstances(now(UNPROVEN), rule_schedule="standing still", setting="3 s"),
            [K.SCHEDULE, K.SETTING],
            id="the schedule stopped",
        ),
        pytest.param(
            with_circumstances(OLD, other_target="a", other_audit="on"),
            with_circumstances(now(BLIND), other_target="b", other_audit="off"),
            [K.UNKNOWN],
            id="settings of another target",
        ),
        pytest.param(OLD, silent(now(BLIND), KIND), [K.TELEMETRY], id="the kind that the rule reads stopped"),
        pytest.param(OLD, silent(now(BLIND), "Security 4624"), [K.UNKNOWN], id="a kind that the rule does not read stopped"),
        pytest.param(
            with_circumstances(OLD, audit="on"),
            with_circumstances(silent(now(BLIND), KIND), audit="off"),
            [K.AUDIT, K.TELEMETRY],
            id="the setting before what it brought about",
        ),
        pytest.param(
            OLD,
            now(MISSED, telemetry={"ws5": replace(TELEMETRY, agents=("winlogbeat 8.2.0",))}),
            [K.AGENT],
            id="another version of the agent",
        ),
        pytest.param(
            OLD,
            now(LATE, telemetry={"ws5": replace(TELEMETRY, lag_p50=timedelta(seconds=50))}),
            [K.INGEST_LAG],
            id="the ingest lag moved",
        ),
        pytest.param(
            with_circumstances(OLD, rule_interval="60 s"),
            with_circumstances(now(LATE), rule_interval="63 s"),
            [K.UNKNOWN],
            id="an interval that is measured anew",
        ),
        pytest.param(OLD, now(MISSED, environment=replace(OLD.environment, harness="9.9")), [K.HARNESS], id="another harness"),
        pytest.param(OLD, now(MISSED, environment=replace(OLD.environment, siem="elastic")), [K.SIEM_VERSION], id="another SIEM"),
        pytest.param(OLD, now(replace(MISSED, terms="within 1 s")), [K.UNKNOWN], id="terms that a miss does not hang on"),
        pytest.param(OLD, now(MISSED), [K.UNKNOWN], id="nothing changed"),
    ],
)
def test_causes_are_those_it_hangs_on_the_likeliest_first(before: RunRecord, after: RunRecord, kinds: list[CauseKind]) -> None:
    change = broken(before, after)
    assert [cause.kind for cause in change.causes] == kinds
    assert after.verdicts[0].cause in change.causes[0].evidence, "what the verdict itself says is evidence of the first"


def test_the_killing_clause_is_told_beside_the_one_it_took_the_place_of() -> None:
    cause = broken(OLD, with_rule(now(MISSED), **WRONG_PORT)).causes[0]
    assert cause.what.endswith("it now wants DestPort equals 1234 in place of DestPort equals 5985")
    assert cause.evidence[0] == MISSED.killed


def test_what_stopped_for_one_host_is_told_from_what_stopped_for_all() -> None:
    both = {"ws5": TELEMETRY, "ws6": replace(TELEMETRY, host="ws6")}
    silent_host = replace(TELEMETRY, kinds={"Security 4624": 2})
    here = broken(replace(OLD, telemetry=both), now(BLIND, telemetry={**both, "ws5": silent_host})).causes[0]
    assert "from ws5" in here.what
    assert "it still arrives from ws6" in here.evidence
    everywhere = {"ws5": silent_host, "ws6": replace(silent_host, host="ws6")}
    assert "from any host" in broken(replace(OLD, telemetry=both), now(BLIND, telemetry=everywhere)).causes[0].what


def test_nothing_changed_between_a_run_and_itself() -> None:
    for report in (sample.clean(), sample.gap(), sample.outage()):
        assert differences.changes(remembered(report), remembered(replace(report, run_id="again"))) == ()


def test_what_broke_one_way_was_mended_the_other() -> None:
    other = remembered(sample.gap())
    there, back = differences.changes(OLD, other), differences.changes(other, OLD)
    opposite = {ChangeKind.NEW: ChangeKind.GONE, ChangeKind.GONE: ChangeKind.NEW, ChangeKind.BROKEN: ChangeKind.MENDED}
    assert sorted(opposite[change.kind] for change in there) == sorted(change.kind for change in back)
    assert there


def test_the_gravest_stands_first() -> None:
    old = now(replace(MISSED, outcome=Outcome.LATE))
    worse = replace(OLD.verdicts[1], outcome=Outcome.MISSED)
    after = replace(OLD, verdicts=(MISSED, worse, *OLD.verdicts[2:]))
    assert [change.kind for change in differences.changes(old, after)] == [ChangeKind.BROKEN, ChangeKind.CHANGED]


def seconds(*lengths: float) -> tuple[timedelta, ...]:
    return tuple(timedelta(seconds=length) for length in lengths)


def test_slower_is_told_over_several_runs_with_its_cause() -> None:
    slow = replace(FIRST, took=timedelta(seconds=60))
    lagging = now(slow, telemetry={"ws5": replace(TELEMETRY, lag_p50=timedelta(seconds=50))})
    steady, restless = seconds(0.6, 0.7, 0.6), seconds(0.6, 90, 55, 70, 1)
    (change,) = differences.changes(OLD, lagging, {FIRST.line: (steady, seconds(60))})
    assert (change.kind, change.causes[0].kind) == (ChangeKind.SLOWER, K.INGEST_LAG)
    assert any("median of 0.60 s over 3 runs" in line for line in change.causes[0].evidence)
    assert differences.changes(OLD, lagging, {FIRST.line: (restless, seconds(60))}) == (), "it was as slow before"


def test_whether_a_turn_has_a_cause() -> None:
    assert not differences.explaining(OLD, now(MISSED))(FIRST.line)
    assert differences.explaining(OLD, with_rule(now(MISSED), **WRONG_PORT))(FIRST.line)
    assert not differences.explaining(OLD, now(MISSED))(("elsewhere", "rule", True))


def test_a_mended_gap_names_what_became_of_its_rule() -> None:
    (change,) = differences.changes(with_rule(now(MISSED), **WRONG_PORT), OLD)
    first: Cause = change.causes[0]
    assert (change.kind, first.kind) == (ChangeKind.MENDED, K.RULE_TEXT)
