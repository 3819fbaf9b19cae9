"""What a run's output goes to may be full, gone or never there: the run is judged and kept all the same, and nobody sees a traceback."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.cli.commands import UpLab, environment, harness, own_state, start
from tests.needs import ROOT

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="a POSIX shell's redirections")

QUIET = str(ROOT / "scenarios" / "null_action.scenario.yml")
RUN = ("run", QUIET, "--lab", "--target", "lab-ws1")
FULL = Path("/dev/full")
needs_full = pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full")


def shell(line: str, *, cwd: Path, env: Mapping[str, str]) -> tuple[int, str]:
    """The code of the first command of a line of bash, in which `harness` is ours, and what the line printed."""
    command = f'harness() {{ {shlex.quote(sys.executable)} -m harness.cli "$@"; }}; {line}; exit ${{PIPESTATUS[0]}}'
    own = environment(own_state(cwd, env))
    ran = subprocess.run(["bash", "-c", command], cwd=cwd, env=own, capture_output=True, text=True, check=False)
    assert "Traceback" not in ran.stdout + ran.stderr, ran.stderr
    return ran.returncode, ran.stdout + ran.stderr


@pytest.mark.parametrize(
    ("redirection", "code", "said"),
    [
        pytest.param("", 0, "Exit 0", id="as it is"),
        pytest.param("| true", 0, "", id="nobody reads"),
        pytest.param("<&-", 0, "Exit 0", id="no input"),
        pytest.param(">&-", 0, "", id="no output"),
        pytest.param("2>&-", 0, "Exit 0", id="no errors"),
        pytest.param("<&- >&- 2>&-", 0, "", id="nothing"),
        pytest.param("> /dev/full", 2, "standard output: cannot be written: No space left on device", id="full", marks=needs_full),
        pytest.param("2> /dev/full", 0, "Exit 0", id="full of errors", marks=needs_full),
        pytest.param("--json - > /dev/full", 2, "standard output: cannot be written", id="full of JSON", marks=needs_full),
        pytest.param("--json /dev/full", 2, "/dev/full: cannot be written", id="a full file", marks=needs_full),
    ],
)
def test_a_run_is_kept_wherever_its_output_goes(lab: UpLab, tmp_path: Path, redirection: str, code: int, said: str) -> None:
    env = lab.env | {"HARNESS_HISTORY": str(tmp_path / "h.sqlite")}
    ended, printed = shell(f"harness {shlex.join(RUN)} --junit j.xml {redirection}", cwd=tmp_path, env=env)
    assert (ended, said in printed) == (code, True), printed
    assert "<testsuites" in (tmp_path / "j.xml").read_text()
    (kept,) = json.loads(harness("history", "list", "--json", "-", cwd=tmp_path, env=env).out)
    assert kept["exit_code"] == 0


@needs_full
@pytest.mark.parametrize("command", ["--help", "schema", "history list", "rules list"])
def test_a_full_disk_is_said(tmp_path: Path, command: str) -> None:
    ended, printed = shell(f"harness {command} > /dev/full", cwd=tmp_path, env={})
    assert (ended, "standard output: cannot be written: No space left on device" in printed) == (2, True), printed


def test_nobody_to_pause_for_is_said(tmp_path: Path) -> None:
    ended, printed = shell(f"harness {shlex.join(RUN)} --pause-on-failure <&-", cwd=tmp_path, env={})
    assert (ended, "needs somebody at a terminal" in printed) == (2, True), printed


def test_a_terminal_that_is_closed_ends_a_run_in_order(lab: UpLab, tmp_path: Path) -> None:
    with start("run", "--lab", cwd=tmp_path, env=lab.env) as process:
        assert process.stderr is not None
        assert process.stderr.readline()
        os.kill(process.pid, signal.SIGHUP)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, "Traceback" in err) == (130, False), out + err
