"""What shells complete, asked as bash itself asks; for the others their script alone is looked at."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.commands import environment, harness
from tests.needs import ROOT

needs_bash = pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")


def completed(cwd: Path, *words: str) -> list[str]:
    """What bash offers for the last of these words."""
    commands = cwd / "bin"
    commands.mkdir(exist_ok=True)
    program = commands / "harness"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m harness.cli "$@"\n')
    program.chmod(0o755)
    script = """
        eval "$(harness completion bash)"
        compopt() { :; }
        COMP_WORDS=(harness "$@"); COMP_CWORD=$#
        function=$(complete -p harness); function=${function#*-F }; function=${function%% *}
        "$function" harness
        printf '%s\\n' "${COMPREPLY[@]}"
    """
    env = environment() | {"PATH": f"{commands}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", script, "bash", *words], cwd=cwd, env=env, capture_output=True, text=True, check=True, timeout=60)
    assert not done.stderr
    return done.stdout.split()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    assert harness("init", cwd=tmp_path).code == 0
    return tmp_path


@needs_bash
@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (("ru",), ["rules", "run"]),
        (("lab", "stat"), ["status"]),
        (("run", "--juni"), ["--junit"]),
        (("run", "scenarios/w"), ["scenarios/whoami.scenario.yml"]),
        (("run", ""), ["scenarios/benign_twin.scenario.yml", "scenarios/whoami.scenario.yml"]),
        (("run", "scenarios/nothing-like-it"), []),
        (("plan", "--lab", "--target", ""), ["lab-ws1", "lab-ws2"]),
        (("run", "--target", ""), []),
        (("rules", "show", "5cc2"), ["5cc2cda8-f261-4d88-a2de-e9e193c86716"]),
        (("run", "--rules", "no-such-directory", "--rule", ""), []),
        (("completion", ""), ["bash", "fish", "zsh"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_bash_completes(project: Path, words: tuple[str, ...], offered: list[str]) -> None:
    assert sorted(completed(project, *words)) == offered


@needs_bash
def test_the_projects_own_rule_and_targets(project: Path) -> None:
    own = next(line.split()[1] for line in (project / "rules/whoami_in_a_session.yml").read_text().splitlines() if line.startswith("id:"))
    assert own in completed(project, "run", "--rule", "")
    settings = project / "harness.toml"
    settings.write_text(settings.read_text() + '[[target]]\nname = "ws6"\nhost = "ws6.lab.example"\nuser = "u"\npassword = "env:P"\n')
    assert completed(project, "run", "--target", "") == ["ws6"]
    settings.write_text("broken")
    assert completed(project, "run", "--target", "") == []


@pytest.mark.parametrize(("shell", "word"), [("bash", "complete "), ("zsh", "compdef "), ("fish", "complete ")])
def test_a_script_for_each_shell(tmp_path: Path, shell: str, word: str) -> None:
    found = harness("completion", shell, cwd=tmp_path)
    assert found.code == 0
    assert word in found.out
    assert "_HARNESS_COMPLETE" in found.out
    assert harness("completion", "csh", cwd=ROOT).code == 2
