"""The starter scenarios: what the harness comes with keeps the promises that the issue and the truth table make of it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import jsonschema
import pytest

from harness.documents import parse_yaml, read_text
from harness.model.intent import Action, Connect, EnterPSSession, InvokeCommand, Remoting, Scenario, Step, WinRS, remoting
from harness.scenarios import load_scenarios, scenario_schema

ROOT = Path(__file__).resolve().parents[1]
FILES = sorted((ROOT / "scenarios").glob("*.scenario.yml"))
SESSION = {
    "13acf386-b8c6-4fe0-9a6e-c4756b974698",
    "734f8d9b-42b8-41b2-bcf5-abaf49d5a3c8",
    "60167e5c-84b2-4c95-a7ac-86281f27c445",
}
CONNECTION = "13acf386-b8c6-4fe0-9a6e-c4756b974698"
CHILD = "5cc2cda8-f261-4d88-a2de-e9e193c86716"
MODULE = "96b9f619-aa91-478f-bacb-c3e50f8df575"
SOURCE = "c539afac-c12a-46ed-b1bd-5a5567c9f045"
WINRSHOST = "79df3f68-dccb-48e9-9171-b75cbc37c51d"
LISTED = ("whoami.exe", "cmd.exe", "powershell.exe")

SEQUENCE = "2772264c-6fb9-4d9d-9014-b416eed21254"
SEQUENCE_2023 = "8f0c6d0e-3b1c-4a5c-9d3d-5a2f7c1e9b46"
WINRS_SEQUENCE = "1cd01db9-be24-4bef-8e7c-e923f0ff78ab"

SCENARIOS = load_scenarios(
    [ROOT / "scenarios"], frozenset({*SESSION, CHILD, MODULE, SOURCE, WINRSHOST, SEQUENCE, SEQUENCE_2023, WINRS_SEQUENCE})
)
ALL = [(f"{scenario.id}/{number}", step) for scenario in SCENARIOS for number, step in enumerate(scenario.steps, 1)]
STEPS = [pytest.param(step, id=name) for name, step in ALL if remoting(step.action) is Remoting.PSRP]
SHELL_STEPS = [pytest.param(step, id=name) for name, step in ALL if remoting(step.action) is Remoting.WINRS]


def commands(action: Action) -> tuple[str, ...]:
    match action:
        case EnterPSSession(lines=lines):
            return lines
        case InvokeCommand(script=script):
            return (script,)
        case WinRS(command=command):
            return (command,)
        case Connect():
            return ()


def begins_a_listed_program(step: Step) -> bool:
    return any(command.startswith(LISTED) for command in commands(step.action))


def test_there_are_at_least_nine_and_each_is_named_after_its_id() -> None:
    assert len(SCENARIOS) >= 9
    assert [Path(scenario.source).name.removesuffix(".scenario.yml").replace("_", "-") for scenario in SCENARIOS] == [
        s.id for s in SCENARIOS
    ]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_each_is_valid_by_the_published_schema(file: Path) -> None:
    jsonschema.Draft202012Validator(scenario_schema()).validate(parse_yaml(read_text(file), str(file)).value)


@pytest.mark.parametrize("step", STEPS)
def test_every_step_expects_what_every_session_sets_off_and_something_that_stays_quiet(step: Step) -> None:
    wanted = {expectation.rule for expectation in step.expect if expectation.fires and expectation.known_gap is None}
    assert wanted >= SESSION
    assert any(not expectation.fires for expectation in step.expect)


@pytest.mark.parametrize("step", STEPS)
def test_the_child_rule_is_expected_as_the_truth_table_says(step: Step) -> None:
    (child,) = (expectation for expectation in step.expect if expectation.rule == CHILD)
    if begins_a_listed_program(step):
        assert child.fires
        assert child.known_gap is None
    else:
        assert not child.fires or child.known_gap is not None


@pytest.mark.parametrize("step", STEPS)
def test_the_sequence_is_expected_as_the_truth_table_says(step: Step) -> None:
    """Of any program that the session starts, and of no cmdlet; once the plan shows that a cmdlet alone cannot exercise it. Code inside the
    host process starts none either, which no plan can know: a known gap."""
    (sequence,) = (expectation for expectation in step.expect if expectation.rule == SEQUENCE)
    starts_a_program = any(".exe" in command for command in commands(step.action))
    shown = step.name == "Get-Service in an interactive session"
    inside = any("::" in command for command in commands(step.action))
    assert sequence.fires is (starts_a_program or shown or inside)
    assert (sequence.known_gap is not None) is inside
    for expectation in step.expect:
        if expectation.rule == SEQUENCE_2023:
            assert starts_a_program
            assert expectation.known_gap is not None
            assert "network.protocol" in expectation.known_gap
            assert "Elastic Defend" in expectation.known_gap


@pytest.mark.parametrize("step", STEPS)
def test_the_other_rules_are_expected_as_the_truth_table_says(step: Step) -> None:
    for expectation in step.expect:
        if expectation.rule in (WINRSHOST, WINRS_SEQUENCE):
            assert not expectation.fires
        if expectation.rule == MODULE:
            assert expectation.known_gap is not None
            assert "trailing blank" in expectation.known_gap
        if expectation.within is not None:
            assert expectation.within <= timedelta(seconds=30)


@pytest.mark.parametrize("step", SHELL_STEPS)
def test_a_remote_shells_row_of_the_truth_table_is_expected_as_it_says(step: Step) -> None:
    """The connection always; the shell's child where there is a command; nothing of PowerShell's."""
    fires = {expectation.rule for expectation in step.expect if expectation.fires}
    quiet = {expectation.rule for expectation in step.expect if not expectation.fires}
    assert fires == {CONNECTION, *([WINRSHOST, WINRS_SEQUENCE] if commands(step.action) else [])}
    assert quiet >= SESSION - {CONNECTION}


def test_the_source_side_rule_is_asked_for_once_or_twice() -> None:
    asked = [step for scenario in SCENARIOS for step in scenario.steps for item in step.expect if item.rule == SOURCE and item.fires]
    assert 1 <= len([step for step in asked if step.via is None]) <= 2
    assert [step.via for step in asked if step.via is not None] == ["lab-ws1"]


def _has(predicate: str) -> list[Scenario]:
    def holds(step: Step) -> bool:
        action = step.action
        native = any(".exe" in command for command in commands(action))
        return {
            "enter cmdlet": isinstance(action, EnterPSSession) and not native,
            "enter native": isinstance(action, EnterPSSession) and native,
            "invoke cmdlet": isinstance(action, InvokeCommand) and not native,
            "invoke native": isinstance(action, InvokeCommand) and native,
            "arguments": isinstance(action, InvokeCommand) and bool(action.arguments),
            "null": isinstance(action, Connect),
            "shell": isinstance(action, WinRS),
            "cleanup": step.cleanup is not None,
        }[predicate]

    return [scenario for scenario in SCENARIOS if any(holds(step) for step in scenario.steps)]


@pytest.mark.parametrize("predicate", ["enter cmdlet", "enter native", "invoke cmdlet", "invoke native", "arguments", "null", "shell"])
def test_each_kind_of_action_is_there(predicate: str) -> None:
    assert _has(predicate)


def test_one_has_several_steps_and_a_cleanup() -> None:
    assert any(len(scenario.steps) >= 3 for scenario in _has("cleanup"))


def test_a_benign_twin_never_expects_the_child_rule() -> None:
    twins = [scenario for scenario in SCENARIOS if "benign-twin" in scenario.tags]
    assert twins
    assert all(not item.fires for twin in twins for step in twin.steps for item in step.expect if item.rule == CHILD)
