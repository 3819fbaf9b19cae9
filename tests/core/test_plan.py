"""What runs where, what is left out, and what cannot fire, before anything is sent."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.core.plan import Selection, plan, worth_sending
from harness.errors import NothingToDo
from harness.model.intent import Connect, EnterPSSession, Expectation, Plan, Scenario, Step
from harness.model.tree import Op, Test
from tests.builders import SECURITY, SYSMON, rule, target

CHILD = rule("child", SECURITY, 4688, Test(field="ParentProcessName", op=Op.ENDS_WITH, value="\\wsmprovhost.exe"))
PORT = rule("port", SECURITY, 5156, Test(field="DestPort", op=Op.EQUALS, value=5985))
RULES = {"child": CHILD, "port": PORT}


def scenario(name: str, *steps: Step, technique: str | None = "T1021.006", tags: tuple[str, ...] = ()) -> Scenario:
    return Scenario(id=name, title=name, source=f"{name}.scenario.yml", steps=steps, technique=technique, tags=tags)


def step(line: str, *rules: str, technique: str | None = None) -> Step:
    return Step(
        name=line, action=EnterPSSession(lines=(line,)), technique=technique, expect=tuple(Expectation(rule=name) for name in rules)
    )


NATIVE = scenario("native", step("whoami.exe", "child", "port"), tags=("smoke",))
CMDLET = scenario("cmdlet", step("Get-Service WinRM", "child"), technique="T1059")


def ids(*scenarios: Scenario, selection: Selection | None = None) -> list[str]:
    made = plan(scenarios, [target("ws1"), target("ws2")], RULES, selection or Selection(), driver_is_windows=False)
    return [planned.id for planned in made.steps]


def test_every_scenario_on_every_target() -> None:
    assert ids(NATIVE, CMDLET) == ["native/1@ws1", "cmdlet/1@ws1", "native/1@ws2", "cmdlet/1@ws2"]


@pytest.mark.parametrize(
    ("selection", "left"),
    [
        (Selection(tags=frozenset({"smoke"})), {"native"}),
        (Selection(techniques=frozenset({"T1021"})), {"native"}),
        (Selection(techniques=frozenset({"t1021.006"})), {"native"}),
        (Selection(techniques=frozenset({"T1059"})), {"cmdlet"}),
        (Selection(rules=frozenset({"port"})), {"native"}),
        (Selection(rules=frozenset({"child"}), tags=frozenset({"smoke"})), {"native"}),
    ],
)
def test_selection(selection: Selection, left: set[str]) -> None:
    assert {name.split("/")[0] for name in ids(NATIVE, CMDLET, selection=selection)} == left


def test_a_steps_own_technique_selects_its_scenario() -> None:
    mixed = scenario("mixed", step("whoami.exe", "child", technique="T1033"), technique=None)
    assert ids(mixed, selection=Selection(techniques=frozenset({"T1033"})))


def test_choosing_a_rule_keeps_the_scenario_whole_and_judges_that_rule_alone() -> None:
    two = scenario("two", step("Get-Date"), step("whoami.exe", "child", "port"))
    made = plan([two], [target()], RULES, Selection(rules=frozenset({"port"})), driver_is_windows=False)
    assert [[e.rule for e in planned.step.expect] for planned in made.steps] == [[], ["port"]]


def test_what_cannot_fire_is_known_and_a_hopeless_scenario_is_not_sent() -> None:
    made = plan([NATIVE, CMDLET], [target()], RULES, Selection(), driver_is_windows=False)
    assert set(made.unexercisable) == {("cmdlet/1@ws1", "child")}
    assert [planned.id for planned in worth_sending(made)] == ["native/1@ws1"]


def test_a_scenario_with_one_expectation_that_can_be_judged_is_sent() -> None:
    both = scenario("both", step("Get-Service WinRM", "child", "port"))
    quiet = scenario("quiet", replace(step("Get-Service WinRM"), expect=(Expectation(rule="child", fires=False),)))
    null = scenario("null", Step(name="connect", action=Connect()))
    made = plan([both, quiet, null], [target()], RULES, Selection(), driver_is_windows=False)
    assert [planned.scenario for planned in worth_sending(made)] == ["both", "quiet", "null"]


@pytest.mark.parametrize(
    ("scenarios", "targets", "selection", "said"),
    [
        ([NATIVE], [target()], Selection(tags=frozenset({"nope"})), "nope"),
        ([], [target()], Selection(), "no scenario"),
        ([NATIVE], [], Selection(), "no target"),
    ],
)
def test_nothing_to_do(scenarios: list[Scenario], targets: list[object], selection: Selection, said: str) -> None:
    with pytest.raises(NothingToDo, match=said):
        plan(scenarios, targets, RULES, selection, driver_is_windows=False)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("seen_from", "host", "cannot"),
    [("10.77.0.5", "127.0.0.1", False), (None, "127.0.0.1", True), (None, "localhost", True), ("::1", "ws1", True), (None, "ws1", False)],
)
def test_a_target_that_sees_the_driver_as_itself_has_no_network_leg(seen_from: str | None, host: str, cannot: bool) -> None:
    accepted = rule(
        "leg",
        SECURITY,
        5156,
        Test(field="Direction", op=Op.EQUALS, value="%%14592"),
        Test(field="SourceAddress", op=Op.STARTS_WITH, value="10."),
    )
    on = replace(target(), seen_from=seen_from, host=host)
    made = plan([scenario("leg", step("whoami.exe", "leg"))], [on], {"leg": accepted}, Selection(), driver_is_windows=False)
    assert [reason.need for reason in made.unexercisable.values()] == (["network leg"] if cannot else [])


THREE = scenario("three", step("one", "child", "port"), step("two"), step("three", "port"), step("four", "port"))


def test_single_expectations_are_planned_with_what_they_stand_on() -> None:
    wanted = frozenset({("three/3@ws1", "port"), ("three/1@ws2", "child"), ("native/1@ws2", "gone")})
    made = plan([NATIVE, THREE], [target("ws1"), target("ws2")], RULES, Selection(expectations=wanted), driver_is_windows=False)
    assert [(planned.id, [each.rule for each in planned.step.expect]) for planned in made.steps] == [
        ("three/1@ws1", []),
        ("three/2@ws1", []),
        ("three/3@ws1", ["port"]),
        ("three/1@ws2", ["child"]),
    ]
    assert made.rules == frozenset({"port", "child"})
    every = frozenset(
        (planned.id, each.rule)
        for planned in plan([THREE], [target("ws1")], RULES, Selection(), driver_is_windows=False).steps
        for each in planned.step.expect
    )
    whole = plan([THREE], [target("ws1")], RULES, Selection(expectations=every), driver_is_windows=False)
    assert whole == plan([THREE], [target("ws1")], RULES, Selection(), driver_is_windows=False)
    with pytest.raises(NothingToDo, match="what was selected"):
        ids(NATIVE, selection=Selection(expectations=frozenset({("native/1@ws1", "gone")})))


VIA = scenario("via", replace(step("Get-Date", "source", "child"), via="ws1"))
SOURCE = rule("source", SYSMON, 3, Test(field="Initiated", op=Op.EQUALS, value="true"))
HOP_RULES = RULES | {"source": SOURCE}


def hop(*on: str, known: tuple[str, ...] = ("ws1", "ws2", "ws3"), of: Scenario = VIA) -> Plan:
    everyone = [target(name) for name in known]
    return plan([of], [target(name) for name in on], HOP_RULES, Selection(), driver_is_windows=False, known=everyone)


def test_a_scenario_with_a_jump_host_goes_to_the_others_by_way_of_it() -> None:
    made = hop("ws1", "ws2", "ws3")
    assert [(planned.id, planned.target.via and planned.target.via.name) for planned in made.steps] == [
        ("via/1@ws2", "ws1"),
        ("via/1@ws3", "ws1"),
    ]
    assert [planned.target.shown for planned in made.steps] == ["ws2 by way of ws1", "ws3 by way of ws1"]


def test_a_jump_host_brings_the_source_side_and_no_child_process() -> None:
    assert {key[1]: reason.need for key, reason in hop("ws2").unexercisable.items()} == {"child": "child process"}
    without = scenario("via", step("Get-Date", "source"))
    (reason,) = hop("ws2", of=without).unexercisable.values()
    assert reason.need == "source side"
    assert "via: NAME" in reason.remedy


@pytest.mark.parametrize("name", ["WS1", "ws1", "ws1.lab.example", "WS1.LAB.EXAMPLE"])
def test_a_jump_host_goes_by_its_own_name_or_its_computers(name: str) -> None:
    (planned,) = hop("ws2", of=scenario("via", replace(step("Get-Date", "source"), via=name))).steps
    assert planned.target.via == target("ws1")


def test_where_the_jump_host_is_the_only_target_nothing_is_sent() -> None:
    made = hop("ws1")
    assert {reason.need for reason in made.unexercisable.values()} == {"jump host"}
    assert set(made.unexercisable) == {("via/1@ws1", "source"), ("via/1@ws1", "child")}
    assert worth_sending(made) == []


def test_a_jump_host_that_nobody_knows_keeps_its_scenario_from_being_sent() -> None:
    mixed = scenario("via", step("whoami.exe", "child"), replace(step("Get-Date", "source"), via="nowhere"))
    made = hop("ws2", of=mixed)
    assert {reason.reason for reason in made.unexercisable.values()} == {"it goes by way of nowhere, and there is no such target"}
    assert {reason.remedy for reason in made.unexercisable.values()} == {"via: one of ws1, ws2, ws3"}
    assert worth_sending(made) == []
    assert hop("ws2", of=scenario("via", replace(step("Get-Date"), via="nowhere"))).steps == ()
