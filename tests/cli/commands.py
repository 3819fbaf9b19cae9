"""The command line as its users have it: a process of its own, its exit code, its output, its JSON report."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.model.report import Report
from harness.reports.json import load_report
from tests.needs import ROOT


@dataclass(frozen=True, kw_only=True)
class Ended:
    """A command that ended."""

    code: int
    out: str
    err: str
    report: Report | None

    @property
    def said(self) -> str:
        return self.out + self.err

    @property
    def full(self) -> Report:
        assert self.report is not None, self.said
        return self.report


_MEANT_FOR_THE_TESTS = ("NO_COLOR", "COLUMNS", "GITHUB_ACTIONS", "TF_BUILD", "TEAMCITY_VERSION")


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The test's own environment without what would change the harness, and with the checkout importable."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("HARNESS_") and key not in _MEANT_FOR_THE_TESTS}
    return kept | {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "default"} | dict(extra or {})


def own_state(cwd: Path, env: Mapping[str, str] | None) -> dict[str, str]:
    """A state directory below the working directory: what one test's run leaves, no other test sees, nor whoever runs the tests."""
    return {"XDG_STATE_HOME": str(cwd / ".state"), "XDG_DATA_HOME": str(cwd / ".data")} | dict(env or {})


def heed_hangups() -> None:
    """For a child before it begins: whoever runs the tests may have been told to ignore hang-ups (nohup), and that is inherited."""
    if sys.platform != "win32":
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


def start(*arguments: str, cwd: Path, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    """Start `harness ARGUMENTS`."""
    return subprocess.Popen(
        [sys.executable, "-m", "harness.cli", *arguments],
        cwd=cwd,
        env=environment(own_state(cwd, env)),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heed_hangups if sys.platform != "win32" else None,
    )


def harness(*arguments: str, cwd: Path, env: Mapping[str, str] | None = None) -> Ended:
    """Run `harness ARGUMENTS` to its end; a `run` has its report read."""
    report = cwd / f"report-{os.urandom(4).hex()}.json"
    if arguments[0] == "run" and "--json" not in arguments:
        arguments = (*arguments, "--json", str(report))
    process = start(*arguments, cwd=cwd, env=env)
    return ended(process, report)


def ended(process: subprocess.Popen[str], report: Path) -> Ended:
    """Wait for a started command."""
    out, err = process.communicate(timeout=120)
    assert "Traceback (most recent call last)" not in out + err, err
    read = load_report(report.read_text()) if report.exists() else None
    return Ended(code=process.returncode, out=out, err=err, report=read)


@dataclass(frozen=True, kw_only=True)
class UpLab:
    """A lab that is up, for one test session. `state` is the file that tells where."""

    directory: Path
    state: Path

    @property
    def env(self) -> dict[str, str]:
        return {"HARNESS_LAB_STATE_FILE": str(self.state)}

    @property
    def place(self) -> dict[str, Any]:
        place: dict[str, Any] = json.loads(self.state.read_text())
        return place

    @property
    def password(self) -> str:
        return str(self.place["password"])

    def status(self) -> dict[str, Any]:
        """`harness lab status` as JSON."""
        found = harness("lab", "status", "--json", "-", cwd=self.directory, env=self.env)
        assert found.code == 0, found.said
        status: dict[str, Any] = json.loads(found.out)
        return status

    def counted(self, name: str) -> int:
        """A count over all hosts."""
        return sum(int(host["counts"][name]) for host in self.status()["hosts"])

    def scripts(self) -> list[str]:
        """Every text that the lab was ever asked to run."""
        return [text for host in self.status()["hosts"] for text in host["counts"]["scripts"]]

    def settings(self, path: Path, *, ports: Mapping[str, int] | None = None, passwords: Mapping[str, str] | None = None) -> Path:
        """A harness.toml that names the lab's hosts as if they were real targets, with other ports or password variables where asked."""
        place = self.place
        lines = [
            "[scope]",
            'hosts = ["127.0.0.1"]',
            "expires = 2099-12-31",
            "",
            "[siem]",
            'kind = "embedded"',
            f'path = "{place["siem"]}"',
            "",
        ]
        for target in place["targets"]:
            name = target["name"]
            lines += [
                "[[target]]",
                f'name = "{name}"',
                'host = "127.0.0.1"',
                f"port = {(ports or {}).get(name, target['port'])}",
                f"user = '{target['user']}'",
                f'password = "env:{(passwords or {}).get(name, "LAB_PASSWORD")}"',
                f'computer = "{target["computer"]}"',
                f'seen_from = "{target["seen_from"]}"',
                "",
            ]
        path.write_text("\n".join(lines))
        return path


def write_scenario(path: Path, text: str) -> Path:
    """A scenario file from an indented text."""
    import textwrap

    path.write_text(textwrap.dedent(text).strip() + "\n")
    return path
