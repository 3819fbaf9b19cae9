"""`harness init`: the project that it writes is run as its author would run it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from harness.model.verdicts import Outcome
from tests.cli.commands import UpLab, harness
from tests.cli.sessions import Suite


def files(directory: Path) -> set[str]:
    return {str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()}


WRITTEN = {
    ".gitignore",
    "harness.toml",
    "pytest.ini",
    "rules/whoami_in_a_session.yml",
    "scenarios/benign_twin.scenario.yml",
    "scenarios/whoami.scenario.yml",
    "tests/test_detections.py",
}


def test_the_project_runs_at_once(lab: UpLab, tmp_path: Path) -> None:
    made = harness("init", "mine", cwd=tmp_path)
    assert made.code == 0, made.said
    assert files(tmp_path / "mine") == WRITTEN
    commands = [line.split("#")[0].split() for line in made.out.splitlines() if line.startswith("    ")]
    assert commands == [["cd", "mine"], ["harness", "plan"], ["harness", "run", "--lab"], ["pytest"]]
    assert harness("plan", cwd=tmp_path / "mine", env=lab.env).code == 0
    run = harness("run", "--lab", cwd=tmp_path / "mine", env=lab.env)
    assert run.code == 0, run.said
    assert sorted(verdict.outcome for verdict in run.full.verdicts) == [Outcome.DETECTED] * 2 + [Outcome.QUIET] * 2
    assert harness("rules", "lint", "rules", cwd=tmp_path / "mine").code == 0


def test_its_tests_pass_where_it_is_written(suite: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    here = suite.path / "here"
    here.mkdir()
    assert harness("init", cwd=here).code == 0
    monkeypatch.chdir(here)
    suite.run().assert_outcomes(passed=5)


def test_two_projects_have_rules_of_their_own(tmp_path: Path) -> None:
    for name in ("a", "b"):
        assert harness("init", name, cwd=tmp_path).code == 0
    assert (tmp_path / "a/rules/whoami_in_a_session.yml").read_text() != (tmp_path / "b/rules/whoami_in_a_session.yml").read_text()


@pytest.mark.parametrize("there", ["harness.toml", "scenarios/whoami.scenario.yml", "pyproject.toml", "tests"])
def test_nothing_is_overwritten_and_nothing_half_written(tmp_path: Path, there: str) -> None:
    path = tmp_path / there
    path.parent.mkdir(exist_ok=True)
    path.write_text("mine")
    found = harness("init", cwd=tmp_path)
    assert found.code == 2
    assert there in found.err
    assert "nothing was written" in found.err
    assert files(tmp_path) == {there}
    assert path.read_text() == "mine"
    assert {path.name for path in tmp_path.iterdir()} == {there.partition("/")[0]}


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="rights of POSIX, which do not hold for root")
def test_a_directory_that_may_not_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o500)
    found = harness("init", "closed/mine", cwd=tmp_path)
    assert found.code == 2
    assert "cannot be written" in found.err
