"""Whole runs on the lab: what must be detected, what must stay quiet, what must be called a miss, and what must not."""

from __future__ import annotations

import random
import string
from pathlib import Path

import pytest

from harness.model.verdicts import Basis, CoverageStatus, GateState, Inconclusive, Outcome
from tests.cli.commands import Ended, UpLab, harness, write_scenario

NETWORK, PROCESS, ENGINE = (
    "13acf386-b8c6-4fe0-9a6e-c4756b974698",
    "734f8d9b-42b8-41b2-bcf5-abaf49d5a3c8",
    "60167e5c-84b2-4c95-a7ac-86281f27c445",
)
CHILD, MODULE = "5cc2cda8-f261-4d88-a2de-e9e193c86716", "96b9f619-aa91-478f-bacb-c3e50f8df575"
SOURCE, SHELL = "c539afac-c12a-46ed-b1bd-5a5567c9f045", "79df3f68-dccb-48e9-9171-b75cbc37c51d"


def outcomes(ended: Ended, rule: str) -> set[Outcome]:
    return {verdict.outcome for verdict in ended.full.verdicts if verdict.expectation.rule == rule}


def test_the_main_job_on_a_lab_of_its_own(tmp_path: Path) -> None:
    """`harness run --lab` and nothing else: starter scenarios, both hosts, every rule as the truth table has it."""
    ended = harness("run", "--lab", cwd=tmp_path, env={"HARNESS_LAB_STATE_FILE": str(tmp_path / "none.json")})
    assert ended.code == 0, ended.said
    status = {row.rule: row.status for row in ended.full.coverage}
    assert [status[rule] for rule in (NETWORK, PROCESS, ENGINE, CHILD)] == [CoverageStatus.VALIDATED] * 4
    assert outcomes(ended, MODULE) == {Outcome.KNOWN_GAP}
    assert outcomes(ended, SOURCE) == {Outcome.NOT_EXERCISABLE, Outcome.DETECTED}, "only by way of a jump host"
    assert outcomes(ended, SHELL) == {Outcome.DETECTED, Outcome.QUIET}
    assert outcomes(ended, CHILD) == {Outcome.DETECTED, Outcome.QUIET, Outcome.KNOWN_GAP}, "the gap is a renamed copy"
    assert {verdict.target for verdict in ended.full.verdicts} == {"lab-ws1", "lab-ws2"}
    assert len({verdict.scenario for verdict in ended.full.verdicts}) >= 8
    counted = [s for verdict in ended.full.verdicts for s in verdict.sightings]
    assert {sighting.basis for sighting in counted} == {Basis.EXACT}
    assert all(s.transport_caused for v in ended.full.verdicts for s in v.sightings if v.expectation.rule in (NETWORK, ENGINE))
    assert not any(s.transport_caused for v in ended.full.verdicts for s in v.sightings if v.expectation.rule == CHILD)
    assert ended.full.unattributed == ()
    assert "lab-ws1" in ended.err, "progress is shown meanwhile"
    assert "\x1b" not in ended.said


def test_the_known_gap_tells_which_clause_killed_it(lab: UpLab) -> None:
    ended = harness("run", "--lab", "--target", "lab-ws1", "--rule", MODULE, cwd=lab.directory, env=lab.env)
    assert ended.code == 0, ended.said
    gaps = [verdict for verdict in ended.full.verdicts if verdict.outcome is Outcome.KNOWN_GAP]
    assert gaps
    assert all("ServerRemoteHost" in verdict.cause and verdict.proof is not None for verdict in gaps)


RULE = """
    title: made up on the spot
    id: {id}
    status: test
    logsource: {{category: process_creation, product: windows}}
    detection:
        program:
            Image|endswith: '\\{program}.exe'
        argument:
            CommandLine|contains: '{argument}'
        user:
            User|contains: 'purple'
        condition: {condition}
    level: medium
"""


def uuid(chance: random.Random) -> str:
    digits = "".join(chance.choice("0123456789abcdef") for _ in range(30))
    return f"{digits[:8]}-{digits[8:12]}-4{digits[12:15]}-8{digits[15:18]}-{digits[18:30]}"


def test_a_rule_made_up_on_the_spot_fires_and_its_negation_does_not(lab: UpLab, tmp_path: Path) -> None:
    """Random program, argument and user: the lab's telemetry is made of what happened, not canned."""
    chance = random.Random()
    program = "".join(chance.choice(string.ascii_lowercase) for _ in range(9))
    argument = "".join(chance.choice(string.ascii_letters) for _ in range(12))
    fires, negated = uuid(chance), uuid(chance)
    rules = tmp_path / "rules"
    rules.mkdir()
    write_scenario(rules / "one.yml", RULE.format(id=fires, program=program, argument=argument, condition="program and argument and user"))
    write_scenario(
        rules / "two.yml", RULE.format(id=negated, program=program, argument=argument, condition="program and not (argument and user)")
    )
    scenario = write_scenario(
        tmp_path / "made-up.scenario.yml",
        f"""
        id: made-up
        title: A program under a name that nobody saw before
        technique: T1036
        steps:
          - name: copy and run it
            invoke_command:
              script: |
                Copy-Item C:\\Windows\\System32\\cmd.exe C:\\Windows\\Temp\\{program}.exe
                & C:\\Windows\\Temp\\{program}.exe /c echo {argument}
            output: {argument}
            cleanup:
              invoke_command: {{script: 'Remove-Item C:\\Windows\\Temp\\{program}.exe'}}
            expect:
              - rule: {fires}
              - rule: {negated}
                fires: false
        """,
    )
    ended = harness("run", str(scenario), "--lab", "--rules", str(rules), cwd=tmp_path, env=lab.env)
    assert ended.code == 0, ended.said
    assert outcomes(ended, fires) == {Outcome.DETECTED}
    assert outcomes(ended, negated) == {Outcome.QUIET}


def broken_rule(path: Path) -> str:
    rule = "0b0f6c9e-2a52-4f0e-9a55-0c0c2f6a1d11"
    write_scenario(
        path,
        f"""
        title: inbound PowerShell Remoting, with the wrong port
        id: {rule}
        status: test
        logsource: {{product: windows, service: security}}
        detection:
            selection: {{EventID: 5156, DestPort: 1234, LayerRTID: 44}}
            condition: selection
        level: high
        """,
    )
    return rule


def simple(path: Path, rule: str, line: str = "Get-Service WinRM", more: str = "") -> Path:
    return write_scenario(
        path,
        f"""
        id: simple
        title: one line
        steps:
          - name: one line
            enter_pssession: ['{line}']
            {more}
            expect:
              - rule: {rule}
        """,
    )


def test_a_broken_rule_is_missed_with_the_run_that_proves_it(lab: UpLab, tmp_path: Path) -> None:
    rule = broken_rule(tmp_path / "broken.yml")
    scenario = simple(tmp_path / "s.scenario.yml", rule)
    ended = harness("run", str(scenario), "--lab", "--rules", str(tmp_path / "broken.yml"), cwd=tmp_path, env=lab.env)
    assert ended.code == 1, ended.said
    assert outcomes(ended, rule) == {Outcome.MISSED}
    for verdict in ended.full.verdicts:
        assert verdict.proof is not None
        assert verdict.proof in verdict.cause
        assert "1234" in verdict.cause
        assert "5985" in verdict.cause
        assert [gate.state for gate in verdict.gates] == [GateState.PASSED, GateState.PASSED, GateState.FAILED, GateState.FAILED]
    assert "MISSED" in ended.out


def test_a_schedule_that_is_stopped_is_no_miss(tmp_path: Path) -> None:
    (tmp_path / "harness.toml").write_text('[lab]\nschedule = "stopped"\nstate_file = "none.json"\n')
    scenario = simple(tmp_path / "s.scenario.yml", NETWORK)
    ended = harness("run", str(scenario), "--lab", cwd=tmp_path)
    assert ended.code == 3, ended.said
    assert {verdict.inconclusive for verdict in ended.full.verdicts} == {Inconclusive.NO_PROOF_OF_RUN}
    assert "schedule" in ended.full.verdicts[0].cause


def test_a_program_that_the_lab_does_not_have_is_loud_and_no_miss(lab: UpLab, tmp_path: Path) -> None:
    scenario = simple(tmp_path / "s.scenario.yml", CHILD, line="nosuchprogram.exe /x")
    ended = harness("run", str(scenario), "--lab", "--target", "lab-ws1", cwd=tmp_path, env=lab.env)
    assert ended.code == 3, ended.said
    assert [verdict.inconclusive for verdict in ended.full.verdicts] == [Inconclusive.NOT_EXECUTED]
    assert "nosuchprogram" in ended.full.verdicts[0].cause


def test_a_cmdlet_cannot_exercise_a_child_process_rule_and_the_plan_says_so(lab: UpLab, tmp_path: Path) -> None:
    scenario = simple(tmp_path / "s.scenario.yml", CHILD)
    before = lab.counted("connections")
    planned = harness("plan", str(scenario), cwd=tmp_path, env=lab.env)
    assert planned.code == 0
    assert "NOT_EXERCISABLE" in planned.out
    assert "whoami.exe" in planned.out
    ended = harness("run", str(scenario), "--lab", cwd=tmp_path, env=lab.env)
    assert ended.code == 5, ended.said
    assert lab.counted("connections") == before, "nothing was sent"


def test_a_plan_of_everything_sends_nothing(lab: UpLab, tmp_path: Path) -> None:
    before = lab.status()
    planned = harness("plan", cwd=tmp_path, env=lab.env)
    assert planned.code == 0, planned.said
    assert SOURCE[:8] in planned.out
    assert lab.status() == before


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["run", "broken.scenario.yml", "--lab"], 2, "broken.scenario.yml:3"),
        (["run", "--lab", "--target", "lab-ws9"], 2, "lab-ws"),
        (["run", "--lab", "--frobnicate"], 2, "frobnicate"),
        (["run"], 2, "--lab"),
        (["run", "--target", "ws6"], 2, ""),
        (["run", "--lab", "--tag", "no-such-tag"], 5, "no-such-tag"),
        (["run", "nowhere.scenario.yml", "--lab"], 2, "nowhere"),
        (["run", "--lab", "--rules", "nowhere.yml"], 2, "nowhere"),
        (["run", "--lab", "--config", "nowhere.toml"], 2, "nowhere"),
        (["frobnicate"], 2, "frobnicate"),
    ],
)
def test_what_is_asked_wrongly_is_said_and_nothing_is_sent(lab: UpLab, tmp_path: Path, arguments: list[str], code: int, said: str) -> None:
    (tmp_path / "broken.scenario.yml").write_text("id: x\ntitle: y\nstepz: []\n")
    before = lab.counted("connections")
    ended = harness(*arguments, cwd=tmp_path, env=lab.env)
    assert ended.code == code, ended.said
    assert said in ended.said
    assert lab.counted("connections") == before


def test_every_error_of_every_file_is_told_at_once(lab: UpLab, tmp_path: Path) -> None:
    (tmp_path / "a.scenario.yml").write_text("id: a\ntitle: a\nsteps:\n  - name: x\n    conect: {}\n")
    simple(tmp_path / "b.scenario.yml", "0b0f6c9e-0000-4f0e-9a55-0c0c2f6a1d11")
    ended = harness("run", ".", "--lab", cwd=tmp_path, env=lab.env)
    assert ended.code == 2
    assert "a.scenario.yml:5" in ended.err
    assert "connect" in ended.err
    assert "b.scenario.yml:8" in ended.err


@pytest.mark.parametrize("command", ["plan", "run"])
def test_a_rule_that_nobody_knows_is_an_error(lab: UpLab, tmp_path: Path, command: str) -> None:
    scenario = simple(tmp_path / "s.scenario.yml", NETWORK[:-1] + "9")
    ended = harness(command, str(scenario), "--lab", cwd=tmp_path, env=lab.env)
    assert ended.code == 2, ended.said
    assert "s.scenario.yml:8" in ended.err
    assert NETWORK in ended.err, "a near miss is hinted at"


def test_json_on_standard_output_is_nothing_but_json(lab: UpLab, tmp_path: Path) -> None:
    from harness.reports.json import load_report

    ended = harness("run", "--lab", "--target", "lab-ws1", "--rule", NETWORK, "--json", "-", cwd=tmp_path, env=lab.env)
    assert ended.code == 0, ended.said
    assert load_report(ended.out).exit_code == 0


@pytest.mark.parametrize("document", ["scenario", "settings", "report"])
def test_schemas_are_printed(tmp_path: Path, document: str) -> None:
    import json

    ended = harness("schema", document, cwd=tmp_path)
    assert ended.code == 0
    assert "$schema" in json.loads(ended.out)
