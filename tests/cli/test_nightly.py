"""The nightly as the documentation has it: its files are what their readers demand, and every command in them does what it is there for."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cli.commands import Ended, UpLab, harness, write_scenario
from tests.needs import ROOT

HERE = ROOT / "docs" / "nightly"
PROGRAM_SEEN = "5cc2cda8-f261-4d88-a2de-e9e193c86716"


@pytest.fixture
def project(tmp_path: Path, lab: UpLab) -> Path:
    """A project with a rule and a scenario of its own, on the lab's hosts as its targets."""
    (tmp_path / "rules").mkdir()
    (tmp_path / "scenarios").mkdir()
    write_scenario(
        tmp_path / "rules" / "own.yml",
        """
        title: whoami of one's own
        id: 7b1f6f0e-8d4e-4d4c-9a55-0c0c2f6a1d33
        status: test
        logsource: {category: process_creation, product: windows}
        detection: {selection: {Image|endswith: '\\whoami.exe'}, condition: selection}
        level: low
        """,
    )
    for number in (1, 2, 3):
        write_scenario(
            tmp_path / "scenarios" / f"{number}.scenario.yml",
            f"""
            id: number-{number}
            title: whoami
            technique: T1033
            steps:
              - name: whoami
                enter_pssession: [whoami.exe]
                expect: [{{rule: 7b1f6f0e-8d4e-4d4c-9a55-0c0c2f6a1d33}}, {{rule: {PROGRAM_SEEN}}}]
            """,
        )
    lab.settings(tmp_path / "harness.toml")
    return tmp_path


@pytest.fixture
def real_targets(project: Path) -> Path:
    """The same without a rule of its own: a SIEM beside real targets has its rules already."""
    for path in (project / "scenarios").iterdir():
        path.write_text(path.read_text().replace("{rule: 7b1f6f0e-8d4e-4d4c-9a55-0c0c2f6a1d33}, ", ""))
    return project


def ran(command: str, project: Path, lab: UpLab) -> Ended:
    arguments = shlex.split(command)
    assert arguments[0] == "harness"
    env = lab.env | {"LAB_PASSWORD": lab.password, "XDG_DATA_HOME": str(project / ".data")}
    return harness(*("lab-ws1" if part == "ws6" else part for part in arguments[1:]), cwd=project, env=env)


def workflow() -> dict[str, Any]:
    made: dict[str, Any] = yaml.safe_load((HERE / "github.yml").read_text())
    return made


def test_the_workflow_is_one() -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows", str(HERE / "github.yml")]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_workflow_gives_one_report_of_its_parts_and_fails_on_what_is_new(project: Path, lab: UpLab) -> None:
    jobs = workflow()["jobs"]
    (part,) = (step["run"] for step in jobs["detonate"]["steps"] if step.get("run", "").startswith("harness "))
    (merge,) = (step["run"] for step in jobs["report"]["steps"] if step.get("run", "").startswith("harness "))

    def night() -> Ended:
        for number in jobs["detonate"]["strategy"]["matrix"]["part"]:
            ended = ran(part.replace("${{ matrix.part }}", str(number)), project, lab)
            assert ended.code == 0, ended.said
        return ran(merge.replace("$GITHUB_STEP_SUMMARY", "summary.md"), project, lab)

    first = night()
    assert first.code == 0, first.said
    for name in ("report.html", "junit.xml", "rules.sarif", "summary.md"):
        assert (project / name).stat().st_size > 100, name
    rule = project / "rules" / "own.yml"
    rule.write_text(rule.read_text().replace("whoami.exe", "whoamii.exe"))
    second = night()
    assert second.code == 1, second.said
    assert "whoamii.exe" in second.said
    kept = json.loads(harness("history", "list", "--history", "history.sqlite", "--json", "-", cwd=project).out)
    assert [run["exit_code"] for run in kept] == [1, 0]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze here")
def test_the_units_are_units(tmp_path: Path) -> None:
    for path in HERE.glob("harness-nightly.*"):
        (tmp_path / path.name).write_text(path.read_text())
    units = [str(path) for path in tmp_path.iterdir()]
    checked = subprocess.run(["systemd-analyze", "verify", *units], capture_output=True, text=True, check=False)
    complaints = [line for line in checked.stderr.splitlines() if "harness-nightly" in line]
    assert complaints == []


def test_what_the_unit_starts_runs(real_targets: Path, lab: UpLab) -> None:
    (command,) = re.findall(r"^ExecStart=/usr/bin/env (harness .*)$", (HERE / "harness-nightly.service").read_text(), re.MULTILINE)
    ended = ran(command.replace("${STATE_DIRECTORY}", str(real_targets)), real_targets, lab)
    assert ended.code == 0, ended.said
    assert (real_targets / "report.html").exists()


def test_what_cron_starts_runs(real_targets: Path, lab: UpLab) -> None:
    (line,) = (line for line in (HERE / "crontab").read_text().splitlines() if not line.startswith("#"))
    fields = line.split(None, 5)
    assert all(re.fullmatch(r"[\d*/,-]+", field) for field in fields[:5])
    ended = ran(fields[5].partition(" && ")[2], real_targets, lab)
    assert ended.code == 0, ended.said


def test_the_commands_of_the_page_run(project: Path, lab: UpLab) -> None:
    commands = re.findall(r"^    (harness .*)$", (HERE / "README.md").read_text(), re.MULTILINE)
    assert len(commands) == 4
    for command in (commands[0], *commands):
        ended = ran(command + (" --rules rules" if command.startswith("harness run") else ""), project, lab)
        assert ended.code == 0, ended.said
