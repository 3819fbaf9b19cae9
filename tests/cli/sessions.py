"""pytest sessions as people have them: a process of its own, with the plugin found as an installed package's is."""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import pytest

from harness.history import opened
from harness.model.report import Report
from tests.cli.commands import UpLab, write_scenario
from tests.needs import ROOT

NETWORK = "13acf386-b8c6-4fe0-9a6e-c4756b974698"
CHILD = "5cc2cda8-f261-4d88-a2de-e9e193c86716"
ON_LAB = ("--harness-lab",)
ON_ONE = ("--harness-lab", "--harness-target", "lab-ws1")

_STRAY = ("PYTEST_ADDOPTS", "PYTEST_XDIST_WORKER", "PYTEST_XDIST_WORKER_COUNT", "PYTEST_XDIST_TESTRUNUID", "NO_COLOR", "COLUMNS")


def installed(directory: Path) -> Path:
    """A directory that makes the checkout look like an installed package, entry points included."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    info = directory / "purple_harness-0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: purple-harness\nVersion: 0\n")
    plugins = "".join(f"{name} = {module}\n" for name, module in project["entry-points"]["pytest11"].items())
    (info / "entry_points.txt").write_text(f"[pytest11]\n{plugins}")
    return directory


def cases(junit: Path) -> dict[str, str]:
    """What became of each test, by its name: passed, or how JUnit calls what it was instead, and its text."""
    found = {}
    for case in ElementTree.parse(junit).iter("testcase"):
        told = [f"{each.tag} {each.get('message')}\n{each.text}" for each in case if each.tag in ("failure", "error", "skipped")]
        found[f"{case.get('classname')}::{case.get('name')}"] = told[0] if told else "passed"
    return found


@dataclass(frozen=True, kw_only=True)
class Suite:
    """A directory with tests, and how they are run against a lab that is up."""

    pytester: pytest.Pytester
    lab: UpLab

    @property
    def path(self) -> Path:
        return self.pytester.path

    @property
    def history(self) -> Path:
        return self.path / ".history.sqlite"

    @property
    def report(self) -> Report:
        """That of the last run."""
        with opened(self.history) as kept:
            return kept.report("last")

    @property
    def runs(self) -> int:
        with opened(self.history) as kept:
            return len(kept.runs(100))

    def scenario(self, name: str, text: str) -> Path:
        return write_scenario(self.path / f"{name}.scenario.yml", text)

    def run(self, *arguments: str) -> pytest.RunResult:
        """`pytest ARGUMENTS` to its end."""
        return self.pytester.runpytest_subprocess("--color=no", *arguments, timeout=120)

    def listed(self, *arguments: str) -> list[str]:
        """The names of the tests that would be run."""
        return [line for line in self.run("--collect-only", "-q", *arguments).outlines if "::" in line]

    def sent(self, text: str) -> int:
        """How often the lab was asked to run exactly this."""
        return sum(script.strip() == text for script in self.lab.scripts())


def made(pytester: pytest.Pytester, lab: UpLab, patch: pytest.MonkeyPatch) -> Suite:
    """A directory without tests yet; the environment is set for what is run in it."""
    suite = Suite(pytester=pytester, lab=lab)
    installed(suite.path / ".installed")
    for name in (*_STRAY, *(name for name in os.environ if name.startswith("HARNESS_"))):
        patch.delenv(name, raising=False)
    own = {"HARNESS_HISTORY": str(suite.history), "PYTHONPATH": os.pathsep.join([str(ROOT), str(suite.path / ".installed")])}
    for name, value in (lab.env | own).items():
        patch.setenv(name, value)
    return suite
