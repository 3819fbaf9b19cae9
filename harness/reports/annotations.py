"""A run's findings in the words that a CI system takes off a job's output and shows where people look: beside the lines of a change.

GitHub Actions: workflow commands (docs.github.com, "Workflow commands for GitHub Actions"). Azure Pipelines: logging commands
(learn.microsoft.com, "Logging commands"). TeamCity: service messages (jetbrains.com/help/teamcity/service-messages.html).
This module must never decide anything about a run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Self, TextIO

from harness.model.report import Progress, Report, RunFinished
from harness.reports.findings import Finding, Level, findings, relative
from harness.reports.words import count_of

_MOST = 10
"""Findings of a level that are told one by one: GitHub shows no more of a step."""


class CiSystem(StrEnum):
    """Whose words are spoken."""

    GITHUB = "github"
    AZURE = "azure"
    TEAMCITY = "teamcity"


def detected(environ: Mapping[str, str]) -> CiSystem | None:
    """The system that a job runs in, by the variables that it sets for every job; None where it is none of them."""
    if environ.get("GITHUB_ACTIONS") == "true":
        return CiSystem.GITHUB
    if environ.get("TF_BUILD", "").lower() == "true":
        return CiSystem.AZURE
    return CiSystem.TEAMCITY if environ.get("TEAMCITY_VERSION") else None


class Annotations:
    """Says the findings when the run is over.

    Everything that is printed meanwhile may quote targets and rules, and GitHub would take what looks like a command in it for one: with
    `token`, which nobody may be able to guess, it is told not to listen until then.
    """

    def __init__(self, system: CiSystem, stream: TextIO, token: str) -> None:
        self._system = system
        self._stream = stream
        self._resume = f"::{token}::\n" if system is CiSystem.GITHUB else ""
        if self._resume:
            self._say(f"::stop-commands::{token}\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """What comes after a run that broke off is listened to again."""
        self._say(self._resume)
        self._resume = ""

    def see(self, progress: Progress) -> None:
        """Speak at `RunFinished`. To be told of it after whatever else prints the report."""
        if isinstance(progress, RunFinished):
            self._say(self._resume + annotated(progress.report, self._system))
            self._resume = ""

    def _say(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


def annotated(report: Report, system: CiSystem) -> str:
    """A line for each finding, with a line's end; those beyond the first of each level are counted in one more."""
    found = findings(report)
    lines: list[str] = []
    for level in Level:
        alike = [finding for finding in found if finding.level is level]
        told = alike if len(alike) <= _MOST else alike[: _MOST - 1]
        lines.extend(_LINE[system](finding) for finding in told)
        if len(told) < len(alike):
            lines.append(_LINE[system](_rest(alike[len(told) :])))
    return "".join(f"{line}\n" for line in lines)


def _rest(left: Sequence[Finding]) -> Finding:
    first = left[0]
    return Finding(
        level=first.level,
        outcome=first.outcome,
        title=f"and {count_of(len(left), 'more finding')}",
        details=tuple(finding.title for finding in left),
        path="",
        line=1,
        fingerprint=first.fingerprint,
    )


def _github(finding: Finding) -> str:
    def value(text: str) -> str:
        return data(text).replace(":", "%3A").replace(",", "%2C")

    def data(text: str) -> str:
        return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")

    path = relative(finding.path)
    place = {"file": path, "line": str(finding.line)} if path else {}
    properties = ",".join(f"{key}={value(text)}" for key, text in (place | {"title": finding.title}).items())
    return f"::{finding.level.value} {properties}::{data(chr(10).join(finding.details))}"


_AZURE_LEVEL = {Level.ERROR: "error", Level.WARNING: "warning"}


def _azure(finding: Finding) -> str:
    def value(text: str) -> str:
        return message(text).replace(";", "%3B").replace("]", "%5D")

    def message(text: str) -> str:
        return text.replace("%", "%AZP25").replace("\r", "%0D").replace("\n", "%0A")

    said = message("\n".join([finding.title, *finding.details]))
    if finding.level not in _AZURE_LEVEL:
        return f"##[section]{said.replace('%0A', ' ')}"
    path = relative(finding.path)
    place = {"sourcepath": path, "linenumber": str(finding.line)} if path else {}
    properties = "".join(f"{key}={value(text)};" for key, text in ({"type": _AZURE_LEVEL[finding.level]} | place).items())
    return f"##vso[task.logissue {properties}]{said}"


_TEAMCITY_STATUS = {Level.WARNING: "WARNING", Level.NOTICE: "NORMAL"}


def _teamcity(finding: Finding) -> str:
    def attributes(**values: str) -> str:
        return " ".join(f"{key}='{''.join(_teamcity_escaped(text))}'" for key, text in values.items())

    path = relative(finding.path)
    where = [f"{path}:{finding.line}"] if path else []
    if finding.level is Level.ERROR:
        # A description longer than this is cut by the server.
        description = "\n".join([finding.title, *where, *finding.details])[:4000]
        return f"##teamcity[buildProblem {attributes(description=description, identity=finding.fingerprint)}]"
    text = "\n".join([finding.title, *where, *finding.details])
    return f"##teamcity[message {attributes(text=text, status=_TEAMCITY_STATUS[finding.level])}]"


def _teamcity_escaped(text: str) -> Iterator[str]:
    for character in text:
        if character in "|'[]":
            yield f"|{character}"
        elif character == "\n":
            yield "|n"
        elif ord(character) < 0x80:
            yield character
        else:
            # In UTF-16, as the server reads it.
            encoded = character.encode("utf-16-be", "surrogatepass").hex()
            yield "".join(f"|0x{encoded[at : at + 4]}" for at in range(0, len(encoded), 4))


_LINE = {CiSystem.GITHUB: _github, CiSystem.AZURE: _azure, CiSystem.TEAMCITY: _teamcity}
