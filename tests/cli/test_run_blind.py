"""A run on hosts whose logging lacks a setting: what cannot be seen is BLIND, never a miss of the rule."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.model.verdicts import Inconclusive, Outcome
from tests.cli.commands import Ended, harness, write_scenario

ACCEPTED, CHILD, ENGINE = (
    "13acf386-b8c6-4fe0-9a6e-c4756b974698",
    "5cc2cda8-f261-4d88-a2de-e9e193c86716",
    "60167e5c-84b2-4c95-a7ac-86281f27c445",
)
SCENARIO = f"""
    id: blind
    title: What can be seen
    technique: T1021.006
    steps:
      - name: whoami
        invoke_command: {{script: whoami.exe}}
        expect: [{{rule: {ACCEPTED}}}, {{rule: {CHILD}}}, {{rule: {ENGINE}}}]
"""


def run(directory: Path, off: str) -> Ended:
    scenario = write_scenario(directory / "blind", SCENARIO)
    env = {"HARNESS_LAB_OFF": off, "HARNESS_LAB_STATE_FILE": str(directory / "none.json")}
    return harness("run", str(scenario), "--lab", cwd=directory, env=env)


def test_a_setting_that_is_off_at_one_host_makes_its_rule_blind_there(tmp_path: Path) -> None:
    ended = run(tmp_path, "lab-ws2/filtering-platform-connection")
    assert ended.code == 1, ended.said
    found = {(verdict.target, verdict.expectation.rule): verdict for verdict in ended.full.verdicts}
    assert {key for key, verdict in found.items() if verdict.outcome is not Outcome.DETECTED} == {("lab-ws2", ACCEPTED)}
    assert found["lab-ws2", ACCEPTED].outcome is Outcome.BLIND


def test_a_process_is_seen_by_either_of_two_sensors(tmp_path: Path) -> None:
    ended = run(tmp_path, "sysmon")
    assert {verdict.outcome for verdict in ended.full.verdicts if verdict.expectation.rule == CHILD} == {Outcome.DETECTED}
    ended = run(tmp_path, "sysmon,process-creation")
    assert {verdict.outcome for verdict in ended.full.verdicts if verdict.expectation.rule == CHILD} == {Outcome.BLIND}


def test_without_an_agent_nothing_is_proven(tmp_path: Path) -> None:
    ended = run(tmp_path, "agent")
    assert Outcome.MISSED not in {verdict.outcome for verdict in ended.full.verdicts}
    assert {verdict.outcome for verdict in ended.full.verdicts} <= {Outcome.BLIND, Outcome.INCONCLUSIVE}
    assert all(verdict.inconclusive is not Inconclusive.NOT_EXECUTED for verdict in ended.full.verdicts)


@pytest.mark.parametrize(
    ("off", "said"),
    [("sysmom", "did you mean sysmon?"), ("lab-ws9/sysmon", "'lab-ws9', which is no host of the lab"), ("x/y", "'y' is no setting")],
)
def test_what_is_no_setting_or_no_host_is_told(off: str, said: str, tmp_path: Path) -> None:
    ended = run(tmp_path, off)
    assert ended.code == 2
    assert said in ended.err
