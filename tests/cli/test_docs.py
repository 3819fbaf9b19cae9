"""The README's own examples: its files load, its commands do what it says."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from harness.core.cover import GAPS
from harness.model.verdicts import CoverageStatus, Outcome
from harness.scenarios import load_scenarios
from harness.settings import load_settings
from tests.cli.commands import UpLab, harness, write_scenario
from tests.needs import DATA, ROOT, needs_recordings

README = (ROOT / "README.md").read_text()


def block(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", README, re.DOTALL)
    assert found is not None
    return found[1]


def commands() -> list[list[str]]:
    """Every indented line that is a harness command, without its comment."""
    lines = re.findall(r"^    (harness .*)$", README, re.MULTILINE)
    return [shlex.split(line, comments=True)[1:] for line in lines]


def test_the_scenario_loads(tmp_path: Path) -> None:
    path = tmp_path / "whoami.scenario.yml"
    path.write_text(block("yaml"))
    (scenario,) = load_scenarios([path], None)
    assert scenario.id == "whoami-in-a-session"


def test_the_strategy_holds_but_for_what_the_starter_scenarios_do_not_ask(tmp_path: Path) -> None:
    found = re.search(r"```yaml\n(# shells\.strategy\.yml\n.*?)```", README, re.DOTALL)
    assert found is not None
    (tmp_path / "shells.strategy.yml").write_text(found[1])
    linted = harness("rules", "lint", "shells.strategy.yml", cwd=tmp_path)
    assert [line.partition(": ")[2] for line in linted.out.splitlines()[:-1] if "no validation step holds priority" not in line] == []
    assert harness("rules", "show", "shells-of-a-session", "--rules", "shells.strategy.yml", cwd=tmp_path).code == 0


def test_the_settings_load(tmp_path: Path) -> None:
    path = tmp_path / "harness.toml"
    path.write_text(block("toml"))
    settings = load_settings(path, {}, {})
    assert settings.scope is not None
    assert [entry.target.name for entry in settings.targets] == ["ws6"]


@needs_recordings
def test_the_python_finds_what_is_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "rules").symlink_to(DATA / "elastic")
    (tmp_path / "events.zip").symlink_to(DATA / "otrf" / "empire_psremoting_stager.zip")
    monkeypatch.chdir(tmp_path)
    exec(compile(block("python"), "README.md", "exec"), {})
    assert "Incoming Execution via PowerShell Remoting" in capsys.readouterr().out


def test_other_clients_get_an_answer(lab: UpLab, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    (text,) = (found for found in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if "pypsrp" in found)
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)  # pywinrm warns of whoever has them
    for name, value in lab.env.items():
        monkeypatch.setenv(name, value)
    exec(compile(text, "README.md", "exec"), {})
    assert capsys.readouterr().out.split() == ["Running", "WS1"]


# Those with an Elasticsearch have tests of their own.
RUNS = [c for c in commands() if c[0] in ("plan", "run") and not {"--target", "--es-url"} & set(c)]


@pytest.mark.parametrize("command", RUNS, ids=" ".join)
def test_the_commands_do_what_is_said(lab: UpLab, tmp_path: Path, command: list[str]) -> None:
    (tmp_path / "whoami.scenario.yml").write_text(block("yaml"))
    rules = tmp_path / "my-rules"
    rules.mkdir()
    write_scenario(
        rules / "mine.yml",
        """
        title: a rule of one's own
        id: 7b1f6f0e-8d4e-4d4c-9a55-0c0c2f6a1d33
        status: test
        logsource: {category: process_creation, product: windows}
        detection: {selection: {Image|endswith: '\\whoami.exe'}, condition: selection}
        level: low
        """,
    )
    ended = harness(*command, cwd=tmp_path, env=lab.env)
    assert ended.code == 0, ended.said


def test_every_outcome_and_status_is_explained() -> None:
    for word in (*Outcome, *CoverageStatus):
        assert re.search(rf"\b{word.value}\b", README), word
    assert GAPS


def test_every_target_named_in_a_command_is_in_the_settings() -> None:
    named = {command[command.index("--target") + 1] for command in commands() if "--target" in command}
    assert named == set(re.findall(r'name = "(.*?)"', block("toml")))
