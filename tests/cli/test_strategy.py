"""Detection strategies as their users have them: written, linted, run against the lab, and shown with what came of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.model.intent import Severity
from harness.model.verdicts import Outcome
from tests.cli.commands import UpLab, harness, write_scenario

CHILD = "5cc2cda8-f261-4d88-a2de-e9e193c86716"

STRATEGY = f"""
    id: shells-of-a-session
    title: Shells under a session's host
    rule: {CHILD}
    goal: To see which programs a session starts.
    categorisation: [{{tactic: initial-access, technique: T1190}}]
    abstract: It names programs.
    technical_context: Sysmon 1 or Security 4688.
    validation:
      - {{scenario: two-programs, step: 1, shows: one that administrators use}}
      - {{scenario: two-programs, step: 2, shows: a shell}}
    blind_spots:
      - {{what: cmdlets, scenario: only-a-cmdlet}}
      - {{what: code in the host process, scenario: dotnet-inside}}
      - {{what: tunnels, not_detonable: one would have to be built}}
    false_positives: [administrators]
    priority:
      default: medium
      levels:
        - level: high
          when: |
            process where process.name : ("cmd.exe", "powershell.exe")
          because: it is a shell
    response: [look]
"""
PROGRAMS = f"""
    id: two-programs
    title: Two programs
    steps:
      - name: whoami
        enter_pssession: [whoami.exe]
        expect: [{{rule: {CHILD}, priority: medium}}]
      - name: a shell
        invoke_command: {{script: cmd.exe /c echo lab}}
        expect: [{{rule: {CHILD}, priority: high}}]
"""
CMDLET = f"""
    id: only-a-cmdlet
    title: A cmdlet
    steps:
      - name: Get-Service
        enter_pssession: [Get-Service]
        expect: [{{rule: {CHILD}, fires: false}}]
"""
INSIDE = f"""
    id: dotnet-inside
    title: Code inside the host process
    steps:
      - name: a property of a class
        invoke_command: {{script: "[System.Environment]::MachineName"}}
        expect: [{{rule: {CHILD}, known_gap: it starts no process}}]
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory as a user has it: rules with a strategy beside them, and scenarios."""
    (tmp_path / "scenarios").mkdir()
    write_scenario(tmp_path / "shells.strategy.yml", STRATEGY)
    for name, text in (("programs", PROGRAMS), ("cmdlet", CMDLET), ("inside", INSIDE)):
        write_scenario(tmp_path / "scenarios" / f"{name}.scenario.yml", text)
    return tmp_path


def page(place: Path, *arguments: str) -> dict[str, Any]:
    ended = harness("rules", "show", "shells-of-a-session", "--rules", "shells.strategy.yml", "--json", "-", *arguments, cwd=place)
    assert ended.code == 0, ended.said
    document: dict[str, Any] = json.loads(ended.out)
    return document


def outcomes(section: list[dict[str, Any]]) -> list[set[str]]:
    return [{verdict["outcome"] for verdict in entry.get("verdicts", [])} for entry in section]


def test_a_strategy_is_live(lab: UpLab, place: Path) -> None:
    """Linted, never run, run, and then shown with the verdicts: of the last run, or of the reports that are named."""
    linted = harness("rules", "lint", "shells.strategy.yml", cwd=place)
    assert (linted.code, linted.out) == (0, "nothing found in shells.strategy.yml\n"), linted.said
    shown = harness("rules", "show", CHILD, "--rules", "shells.strategy.yml", cwd=place)
    assert shown.code == 0, shown.said
    assert shown.out.count("never run") == 4
    assert "      condition: selection" in shown.out, "the rule's own text is there, too"

    ended = harness("run", "--lab", "--rules", "shells.strategy.yml", cwd=place, env=lab.env)
    assert ended.code == 0, ended.said
    priorities = {v.planned.partition("@")[0]: {s.priority for s in v.sightings} for v in ended.full.verdicts}
    assert priorities["two-programs/1"] == {Severity.MEDIUM}
    assert priorities["two-programs/2"] == {Severity.HIGH}

    document = page(place)
    assert outcomes(document["validation"]) == [{"DETECTED"}, {"DETECTED"}]
    assert outcomes(document["blind_spots"]) == [{"QUIET"}, {"KNOWN_GAP"}, set()]
    assert document["runs"] == [ended.full.run_id]
    assert document["problems"] == []
    (report,) = place.glob("report-*.json")
    assert harness("run", "--lab", "scenarios/cmdlet.scenario.yml", "--rules", "shells.strategy.yml", cwd=place, env=lab.env).code == 0
    assert outcomes(page(place)["validation"]) == [set(), set()], "the last run had no such step"
    assert page(place, "--report", report.name)["validation"] == document["validation"]
    assert harness("rules", "lint", ".", cwd=place).code == 0, "a directory with no rule in it, only a strategy"
    shown = harness("rules", "show", "shells-of", "--rules", ".", "--report", report.name, cwd=place)
    assert "still blind, as it says here" in shown.out
    assert "priority high" in shown.out
    assert "\x1b" not in shown.out


def test_an_alert_of_another_priority_is_misgraded(lab: UpLab, place: Path) -> None:
    write_scenario(place / "wrong.scenario.yml", PROGRAMS.replace("priority: medium", "priority: high").replace("two-programs", "wrong"))
    ended = harness("run", "--lab", "--target", "lab-ws1", "wrong.scenario.yml", "--rules", ".", cwd=place, env=lab.env)
    assert ended.code == 1, ended.said
    assert [verdict.outcome for verdict in ended.full.verdicts if verdict.planned.startswith("wrong/1@")] == [Outcome.MISGRADED]
    assert "by its strategy the alert's events have priority medium, wanted high" in ended.out


def test_a_priority_that_nothing_says_is_an_error_before_anything_is_sent(place: Path) -> None:
    (place / "shells.strategy.yml").unlink()
    ended = harness("plan", cwd=place)
    assert ended.code == 2
    assert "priority cannot be told: no detection strategy is about this rule" in ended.err


def test_a_broken_strategy_stops_a_run_and_nothing_else(place: Path) -> None:
    write_scenario(place / "shells.strategy.yml", STRATEGY.replace("goal:", "gaol:"))
    ended = harness("plan", "--rules", ".", cwd=place)
    assert ended.code == 2
    assert "shells.strategy.yml:4:1: unknown key 'gaol' (did you mean goal?)" in ended.err
    linted = harness("rules", "lint", "shells.strategy.yml", cwd=place)
    assert linted.code == 1
    assert "unknown key 'gaol'" in linted.out
    shown = harness("rules", "show", CHILD, "--rules", "shells.strategy.yml", cwd=place)
    assert shown.code == 0
    assert "unknown key 'gaol'" in shown.err
    assert "condition: selection" in shown.out


def test_lint_says_what_does_not_hold(place: Path) -> None:
    """The validation that most write-ups give, among others: a cmdlet alone starts no process."""
    text = STRATEGY.replace("step: 1, shows", "step: 3, shows").replace("T1190", "T1021").replace("response: [look]", "response: []")
    text = text.replace("validation:", "validation:\n      - {scenario: only-a-cmdlet, shows: nothing}")
    write_scenario(place / "shells.strategy.yml", text)
    linted = harness("rules", "lint", "shells.strategy.yml", "--json", "-", cwd=place)
    assert linted.code == 1
    problems = json.loads(linted.out)["problems"]
    assert [(problem["line"], problem["what"].partition(":")[0]) for problem in problems] == [
        (24, "empty section"),
        (5, "technique"),
        (9, "not exercisable"),
        (9, "contrary expectation"),
        (10, "unknown step"),
        (18, "priority"),
    ]
    assert problems[2]["fix"] == "the smallest benign line that would: whoami.exe"
    assert "child process" in problems[2]["what"]
    shown = harness("rules", "show", "shells-of-a-session", "--rules", "shells.strategy.yml", cwd=place)
    assert shown.code == 0
    assert "What does not hold" in shown.out


def test_scenarios_may_be_elsewhere(place: Path) -> None:
    (place / "scenarios").rename(place / "elsewhere")
    (place / "scenarios").mkdir()
    (place / "scenarios" / "notes.txt").write_text("of something else")
    linted = harness("rules", "lint", "shells.strategy.yml", cwd=place)
    assert linted.code == 1
    assert linted.out.count("unknown scenario") == 4
    assert harness("rules", "lint", "shells.strategy.yml", "--scenarios", "elsewhere", cwd=place).code == 0


@pytest.mark.parametrize(
    ("content", "said"), [("{}", "is not a report"), ("[" * 200_000, "is not JSON"), ('{"version": 99}', "is a report of version 99")]
)
def test_a_report_that_is_none(place: Path, content: str, said: str) -> None:
    (place / "r.json").write_text(content)
    ended = harness("rules", "show", CHILD, "--rules", "shells.strategy.yml", "--report", "r.json", cwd=place)
    assert ended.code == 2
    assert f"r.json: {said}" in ended.err.replace(":1:1:", ":")


def test_the_schema(tmp_path: Path) -> None:
    ended = harness("schema", "strategy", cwd=tmp_path)
    assert ended.code == 0
    assert json.loads(ended.out)["title"] == "harness detection strategy"
