"""A run at a terminal, as somebody in front of it sees it: a screen of its own, keys that are pressed, the cursor back at the end."""

from __future__ import annotations

import fcntl
import os
import re
import struct
import sys
import termios
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from select import select
from subprocess import Popen

import pyte
import pytest

from tests.cli.commands import UpLab, environment, harness, own_state, write_scenario

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals of this kind")
PATIENCE = 60.0
"""Seconds without a byte after which a run is held to hang."""


class Screen:
    """A terminal with a run in it."""

    def __init__(self, leader: int, process: Popen[bytes], columns: int, rows: int) -> None:
        self._leader = leader
        self.process = process
        self.screen = pyte.HistoryScreen(columns, rows, history=5000, ratio=1.0)
        self._stream = pyte.ByteStream(self.screen)
        self.raw = b""
        self.widest = 0

    @property
    def text(self) -> str:
        above = ("".join(line[column].data for column in range(self.screen.columns)) for line in self.screen.history.top)
        return "\n".join(line.rstrip() for line in (*above, *self.screen.display))

    def read_until(self, there: Callable[[str], object]) -> str:
        """Read on until the screen shows it."""
        while not there(self.text):
            assert self._read(), f"ended first:\n{self.text}"
        return self.text

    def read_to_the_end(self) -> int:
        while self._read():
            pass
        return self.process.wait(PATIENCE)

    def press(self, keys: bytes) -> None:
        os.write(self._leader, keys)

    def _read(self) -> bool:
        ready, _, _ = select([self._leader], [], [], PATIENCE)
        assert ready, f"nothing more came:\n{self.text}"
        try:
            found = os.read(self._leader, 65536)
        except OSError:  # the other end is closed
            return False
        self.raw += found
        self._stream.feed(found)
        return bool(found)


@contextmanager
def at_terminal(*arguments: str, cwd: Path, env: dict[str, str], columns: int = 100, rows: int = 24) -> Iterator[Screen]:
    leader, follower = os.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def take_terminal() -> None:
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    process = Popen(
        [sys.executable, "-m", "harness.cli", *arguments],
        cwd=cwd,
        env=environment(own_state(cwd, {"TERM": "xterm-256color", "CI": "", "PYTHONWARNINGS": "ignore", **env})),
        stdin=follower,
        stdout=follower,
        stderr=follower,
        preexec_fn=take_terminal,
    )
    os.close(follower)
    try:
        yield Screen(leader, process, columns, rows)
    finally:
        process.kill()
        process.wait()
        os.close(leader)


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    write_scenario(
        tmp_path / "one.scenario.yml",
        """
        id: one
        title: A program, a rule that does not see it, and a step after it
        technique: T1021.006
        steps:
          - name: whoami
            enter_pssession: [whoami.exe]
            expect:
              - rule: 5cc2cda8-f261-4d88-a2de-e9e193c86716
              - rule: 7b1f6f0e-8d4e-4d4c-9a55-0c0c2f6a1d33
          - name: hostname
            enter_pssession: [hostname.exe]
            expect: [{rule: 734f8d9b-42b8-41b2-bcf5-abaf49d5a3c8}]
        """,
    )
    write_scenario(
        tmp_path / "mine.yml",
        """
        title: a rule of one's own
        id: 7b1f6f0e-8d4e-4d4c-9a55-0c0c2f6a1d33
        status: test
        logsource: {category: process_creation, product: windows}
        detection: {selection: {Image|endswith: '\\\\whoamii.exe'}, condition: selection}
        level: low
        """,
    )
    return tmp_path


ASKED = ("run", "one.scenario.yml", "--lab", "--target", "lab-ws1", "--rules", "mine.yml")


@pytest.mark.parametrize("columns", [40, 100])
def test_what_is_waited_for_stands_below_what_is_over_and_the_terminal_is_given_back(lab: UpLab, scenario: Path, columns: int) -> None:
    with at_terminal(*ASKED, cwd=scenario, env=lab.env, columns=columns) as run:
        seen = run.read_until(lambda text: re.search(r"(?m)^[●○]{4} ", text))
        assert "open" in seen
        assert run.read_to_the_end() == 1
    text = " ".join(run.text.split())
    assert "DETECTED 5cc2cda8" in text
    assert text.endswith("3 expectations: 2 detected, 1 missed. Exit 1: a gap in detection")
    assert not re.search(r"(?m)^[●○]{4} ", run.text)
    assert run.raw.count(b"\x1b[?25l") == run.raw.count(b"\x1b[?25h") > 0


def test_a_dumb_terminal_gets_plain_lines(lab: UpLab, scenario: Path) -> None:
    with at_terminal(*ASKED, cwd=scenario, env=lab.env | {"TERM": "dumb"}) as run:
        assert run.read_to_the_end() == 1
    assert b"\x1b" not in run.raw
    assert "MISSED 7b1f6f0e one/1@lab-ws1" in run.text


def test_after_a_gap_the_target_waits_for_enter(lab: UpLab, scenario: Path) -> None:
    with at_terminal(*ASKED, "--pause-on-failure", cwd=scenario, env=lab.env) as run:
        paused = " ".join(run.read_until(lambda text: "Ctrl-C ends the run." in " ".join(text.split())).split())
        assert "Paused: MISSED 7b1f6f0e-8d4e-4d4c-9a55-0c0c2f6a1d33 at one/1@lab-ws1" in paused
        assert "host.name : WS1* and @timestamp >=" in paused
        assert "hostname" not in paused
        assert run.raw.count(b"\x1b[?25l") == run.raw.count(b"\x1b[?25h")
        run.press(b"\r")
        assert run.read_to_the_end() == 1
    assert "DETECTED 734f8d9b one/2@lab-ws1" in run.text


def test_an_interrupt_ends_a_pause_and_the_run(lab: UpLab, scenario: Path) -> None:
    with at_terminal(*ASKED, "--pause-on-failure", cwd=scenario, env=lab.env) as run:
        run.read_until(lambda text: "Ctrl-C ends the run." in " ".join(text.split()))
        run.press(b"\x03")
        assert run.read_to_the_end() == 130
    assert "1 inconclusive" in " ".join(run.text.split())


def test_nobody_can_press_enter_where_there_is_no_terminal(tmp_path: Path) -> None:
    refused = harness("plan", cwd=tmp_path)
    assert refused.code == 0
    refused = harness("run", "--lab", "--pause-on-failure", cwd=tmp_path)
    assert (refused.code, refused.report) == (2, None)
    assert "--pause-on-failure: needs somebody at a terminal" in refused.err
