"""What does not hold of a strategy, told without sending anything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from harness.model.intent import (
    Action,
    Connect,
    EnterPSSession,
    Expectation,
    InvokeCommand,
    Priority,
    PriorityLevel,
    Rule,
    Scenario,
    Severity,
    Step,
)
from harness.model.strategy import BlindSpot, Category, StepName, Strategy, Tactic, Validation
from harness.rules.elastic import ElasticRules
from harness.rules.eql import parse_eql
from harness.rules.strategy_lint import Fault, Finding, find_step, last_verdicts, lint
from tests.builders import SYSMON, rule
from tests.needs import DATA, needs_recordings
from tests.reports import sample_reports as sample

QUERY = parse_eql(
    'sequence by host.id with maxspan=30s [network where destination.port in (5985, 5986) and network.direction : "ingress"]'
    ' [process where event.type == "start" and process.parent.name : "wsmprovhost.exe"]'
)
RULE = replace(
    rule("r-1", SYSMON, 1), logic=QUERY.logic, pattern=QUERY.pattern, techniques=("T1021", "T1021.006", "T1059.001"), language="eql"
)
WHOAMI, CMDLET = EnterPSSession(lines=("Get-Service WinRM", "whoami.exe")), EnterPSSession(lines=("Get-Service",))
IN_PROCESS = InvokeCommand(script="[System.Environment]::MachineName")


def scenario(name: str, *steps: tuple[Action, Expectation | None]) -> Scenario:
    made = tuple(Step(name="s", action=action, expect=(expected,) if expected is not None else ()) for action, expected in steps)
    return Scenario(id=name, title=name, source=f"{name}.scenario.yml", steps=made)


FIRES = Expectation(rule="r-1")
SCENARIOS = {
    each.id: each
    for each in (
        scenario("works", (WHOAMI, replace(FIRES, priority=Severity.MEDIUM)), (WHOAMI, replace(FIRES, priority=Severity.HIGH))),
        scenario("cmdlet", (CMDLET, FIRES)),
        scenario("silent", (CMDLET, replace(FIRES, fires=False))),
        scenario("hopeless-gap", (CMDLET, replace(FIRES, known_gap="no child"))),
        scenario("gap", (IN_PROCESS, replace(FIRES, known_gap="no child"))),
        scenario("unnamed", (WHOAMI, Expectation(rule="another"))),
        scenario("null", (Connect(), FIRES)),
    )
}
SHELL = 'process where process.name : "cmd.exe"'
GOOD = Strategy(
    id="good",
    title="Good",
    source="good.strategy.yml",
    rule="r-1",
    goal="g",
    priority=Priority(
        default=Severity.MEDIUM,
        levels=(PriorityLevel(level=Severity.HIGH, when=parse_eql(SHELL).logic, text=SHELL, because="a shell"),),
    ),
    categorisation=(Category(tactic=Tactic.LATERAL_MOVEMENT, technique="T1021"),),
    abstract="a",
    technical_context="t",
    validation=(
        Validation(step=StepName(scenario="works", number=1), shows="x"),
        Validation(step=StepName(scenario="works", number=2), shows="y"),
    ),
    blind_spots=(
        BlindSpot(what="cmdlets", step=StepName(scenario="silent")),
        BlindSpot(what="code", step=StepName(scenario="gap", number=1)),
        BlindSpot(what="tunnels", not_detonable="would have to be built"),
    ),
    false_positives=("administrators",),
    response=("look",),
)


def found(strategy: Strategy, rules: Mapping[str, Rule] | None = None) -> list[Finding]:
    return list(lint(strategy, {"r-1": RULE} if rules is None else rules, SCENARIOS, driver_is_windows=False))


def test_what_holds_is_not_found_fault_with() -> None:
    assert found(GOOD) == []


def validated_by(name: str, number: int | None = None) -> Strategy:
    return replace(GOOD, validation=(*GOOD.validation, Validation(step=StepName(scenario=name, number=number), shows="z")))


def blind_by(name: str, number: int | None = None) -> Strategy:
    return replace(GOOD, blind_spots=(BlindSpot(what="z", step=StepName(scenario=name, number=number)),))


def prioritised(level: Severity, when: str) -> Strategy:
    made = PriorityLevel(level=level, when=parse_eql(when).logic, text=when, because="")
    return replace(GOOD, priority=replace(GOOD.priority, levels=(*GOOD.priority.levels, made)))


@pytest.mark.parametrize(
    ("strategy", "fault", "loc", "said", "fix"),
    [
        (validated_by("work", 1), Fault.UNKNOWN_SCENARIO, ("validation", 2, "scenario"), "no scenario work", "did you mean works?"),
        (validated_by("works"), Fault.UNKNOWN_STEP, ("validation", 2, "scenario"), "has 2 steps", "step: 1"),
        (validated_by("works", 3), Fault.UNKNOWN_STEP, ("validation", 2, "step"), "has no step 3", "its last is 2"),
        (validated_by("cmdlet"), Fault.NOT_EXERCISABLE, ("validation", 2, "scenario"), "child process", "would: whoami.exe"),
        (validated_by("null"), Fault.NOT_EXERCISABLE, ("validation", 2, "scenario"), "child process", "would: whoami.exe"),
        (validated_by("unnamed"), Fault.NO_EXPECTATION, ("validation", 2, "scenario"), "no run judges it", "rule: r-1"),
        (validated_by("gap"), Fault.CONTRARY, ("validation", 2, "scenario"), "it says known_gap", "blind spot"),
        (blind_by("nothing"), Fault.UNKNOWN_SCENARIO, ("blind_spots", 0, "scenario"), "no scenario nothing", "--scenarios"),
        (blind_by("works", 1), Fault.CONTRARY, ("blind_spots", 0, "scenario"), "expects the rule to fire", "known_gap"),
        (blind_by("hopeless-gap"), Fault.CONTRARY, ("blind_spots", 0, "scenario"), "never judged", "fires: false"),
        (blind_by("unnamed"), Fault.NO_EXPECTATION, ("blind_spots", 0, "scenario"), "no run judges it", "rule: r-1"),
        (replace(GOOD, blind_spots=(BlindSpot(what="z"),)), Fault.BLIND_SPOT, ("blind_spots", 0, "what"), "neither", "not_detonable"),
        (
            replace(GOOD, blind_spots=(BlindSpot(what="z", step=StepName(scenario="gap"), not_detonable="no"),)),
            Fault.BLIND_SPOT,
            ("blind_spots", 0, "not_detonable"),
            "and a reason why none can",
            "leave one",
        ),
        (
            replace(GOOD, categorisation=(*GOOD.categorisation, Category(tactic=Tactic.IMPACT, technique="T1021.001"))),
            Fault.TECHNIQUE,
            ("categorisation", 1, "technique"),
            "not about T1021.001; its techniques: T1021, T1021.006, T1059.001",
            "",
        ),
        (
            prioritised(Severity.CRITICAL, "registry where true"),
            Fault.PRIORITY,
            ("priority", "levels", 1, "when"),
            "priority critical is never given",
            "",
        ),
        (prioritised(Severity.LOW, "process where true"), Fault.PRIORITY, ("priority", "levels", 1, "when"), "no milder", ""),
        (
            prioritised(Severity.CRITICAL, 'process where process.name : "x.exe"'),
            Fault.PRIORITY,
            ("priority", "levels", 1, "level"),
            "no validation step holds priority critical",
            "priority: critical",
        ),
        (
            replace(GOOD, validation=GOOD.validation[1:]),
            Fault.PRIORITY,
            ("priority", "default"),
            "no validation step holds priority medium",
            "priority: medium",
        ),
    ],
)
def test_each_fault_is_found_where_it_stands(strategy: Strategy, fault: Fault, loc: tuple[str | int, ...], said: str, fix: str) -> None:
    (finding,) = found(strategy)
    assert (finding.fault, finding.loc) == (fault, loc)
    assert said in finding.what
    assert fix in finding.fix


def test_a_validation_that_expects_silence_of_what_cannot_fire_is_both() -> None:
    assert [finding.fault for finding in found(validated_by("silent"))] == [Fault.NOT_EXERCISABLE, Fault.CONTRARY]


@pytest.mark.parametrize(
    "section", ["categorisation", "abstract", "technical_context", "validation", "blind_spots", "false_positives", "response"]
)
def test_an_empty_section_is_named(section: str) -> None:
    (finding,) = found(replace(GOOD, **{section: type(getattr(GOOD, section))()}))
    assert (finding.fault, finding.what) == (Fault.EMPTY, f"{section} is empty")


def test_an_unknown_rule_is_named_with_what_comes_near_and_its_steps_are_checked_all_the_same() -> None:
    strategy = replace(validated_by("nothing"), rule="r-12")
    faults = found(strategy)
    assert (faults[0].fault, faults[0].fix) == (Fault.UNKNOWN_RULE, "did you mean r-1?")
    assert Fault.UNKNOWN_SCENARIO in {finding.fault for finding in faults}
    (first, *_) = found(replace(GOOD, rule="2772264c"), {"2772264c-6fb9-4d9d-9014-b416eed21254": RULE})
    assert first.fix == "write the id in full: 2772264c-6fb9-4d9d-9014-b416eed21254"


def test_of_a_rule_that_is_not_evaluated_nothing_is_said_that_its_tree_would_tell() -> None:
    assert found(GOOD, {"r-1": replace(RULE, pattern=None, not_evaluated="the language kuery is not evaluated here")}) == []
    assert found(validated_by("cmdlet"), {"r-1": replace(RULE, not_evaluated="no")}) == []


def test_a_windows_driver_may_exercise_what_a_linux_one_cannot() -> None:
    outbound = parse_eql('network where network.direction : "egress" and destination.port == 5985')
    source_side = replace(RULE, logic=outbound.logic, pattern=None)
    on_linux = list(lint(GOOD, {"r-1": source_side}, SCENARIOS, driver_is_windows=False))
    assert [f.fault for f in on_linux if f.loc[0] == "validation"] == [Fault.NOT_EXERCISABLE] * 2
    on_windows = list(lint(GOOD, {"r-1": source_side}, SCENARIOS, driver_is_windows=True))
    assert [f.fault for f in on_windows if f.loc[0] == "validation"] == []


@needs_recordings
def test_the_validation_that_seed_002_gives_cannot_exercise_its_rule() -> None:
    """Enter-PSSession with Get-Service and nothing else: no child process, which the smallest benign line would give."""
    (elastic,) = ElasticRules().load(DATA / "elastic" / "lateral_movement_powershell_remoting_target.toml")
    expected = Expectation(rule=elastic.id)
    theirs = scenario("theirs", (CMDLET, expected))
    ours = scenario("ours", (WHOAMI, replace(expected, priority=Severity.MEDIUM)))
    strategy = replace(
        GOOD,
        rule=elastic.id,
        priority=Priority(default=Severity.MEDIUM),
        validation=tuple(Validation(step=StepName(scenario=name), shows="x") for name in ("theirs", "ours")),
        blind_spots=(BlindSpot(what="tunnels", not_detonable="none"),),
    )
    (finding,) = lint(strategy, {elastic.id: elastic}, {"theirs": theirs, "ours": ours}, driver_is_windows=False)
    assert finding.fault is Fault.NOT_EXERCISABLE
    assert finding.loc == ("validation", 0, "scenario")
    assert "child process" in finding.what
    assert finding.fix == "the smallest benign line that would: whoami.exe"


def test_find_step() -> None:
    assert find_step(StepName(scenario="works", number=2), SCENARIOS) == (2, SCENARIOS["works"].steps[1])
    assert find_step(StepName(scenario="gap"), SCENARIOS) == (1, SCENARIOS["gap"].steps[0])


def test_last_verdicts_of_every_step_that_there_is() -> None:
    report = sample.clean()
    verdict = replace(report.verdicts[0], planned="gap/1@t", target="t", expectation=FIRES)
    strategy = replace(validated_by("nothing"), rule="r-1")
    last = last_verdicts(strategy, SCENARIOS, [replace(report, verdicts=(verdict,))])
    assert {(name.scenario, name.number): [each.verdict for each in verdicts] for name, verdicts in last.items()} == {
        ("works", 1): [],
        ("works", 2): [],
        ("silent", None): [],
        ("gap", 1): [verdict],
    }
