"""The flags that say in which formats a report is written, to where, and who else is told.

Each format is loaded by the command that was asked for it.
"""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, TypeVar

import click

if TYPE_CHECKING:
    from harness.model.report import Report
    from harness.ports import Reporter
    from harness.reports.document import DocumentReporter

F = TypeVar("F", bound=Callable[..., object])

FORMATS: Mapping[str, str] = {
    "json": "Write the report as JSON; - is standard output, here and below.",
    "html": "Write it as one page of HTML that needs nothing else.",
    "junit": "Write it as JUnit XML.",
    "markdown": "Write it as Markdown, for pull requests and job summaries.",
    "sarif": "Write it as SARIF 2.1.0: what failed, at the rule's line.",
    "gitlab": "Write it as GitLab's Code Quality report.",
    "attire": "Write what was executed as ATTiRe 1.1.",
    "navigator": "Write a layer of the ATT&CK Navigator.",
    "navigator-diff": "Write a layer of what changed since --baseline.",
}


def output_options(command: F) -> F:
    """A flag for each format."""
    for name, text in reversed(list(FORMATS.items())):
        command = click.option(f"--{name}", metavar="FILE", help=text)(command)
    return command


annotations_option = click.option(
    "--annotations",
    type=click.Choice(["auto", "none", "github", "azure", "teamcity"]),
    default="auto",
    help="Say what failed in the words of a CI system; auto: of the one whose job this is, if any.",
)


@contextmanager
def annotating(asked: dict[str, Any], stream: TextIO) -> Iterator[list[Reporter]]:
    """What says the annotations asked for, taken out of `asked`, on a stream; to be told of each progress last."""
    from harness.reports.annotations import Annotations, CiSystem, detected

    wanted = asked.pop("annotations")
    system = detected(os.environ) if wanted == "auto" else None if wanted == "none" else CiSystem(wanted)
    if system is None:
        yield []
        return
    with Annotations(system, stream, secrets.token_hex(16)) as annotations:
        yield [annotations]


def writers(asked: dict[str, Any], baseline: Callable[[Report], Report] | None) -> tuple[list[DocumentReporter], bool]:
    """What writes the formats asked for, taken out of `asked`, and whether one of them takes standard output.

    `baseline` gives the report that a run is held against; None where none was asked for. Raises `UsageError` where two would take standard
    output, where a file could never be written, or where there is nothing to tell a difference from.
    """
    from harness.errors import Problem, UsageError
    from harness.reports.document import DocumentFile, DocumentReporter

    places = {name: asked.pop(name.replace("-", "_")) for name in FORMATS}
    to_stdout = [name for name, place in places.items() if place == "-"]
    if len(to_stdout) > 1:
        what = f"--{to_stdout[0]} and --{to_stdout[1]} both write to standard output"
        raise UsageError(Problem(path="", what=what, fix="give one of them a file"))
    if places["navigator-diff"] is not None and baseline is None:
        raise UsageError(Problem(path="", what="--navigator-diff needs --baseline"))
    made = _made(baseline)
    return [
        DocumentReporter(made(name), DocumentFile(None if place == "-" else Path(place), sys.stdout))
        for name, place in places.items()
        if place is not None
    ], bool(to_stdout)


def _made(baseline: Callable[[Report], Report] | None) -> Callable[[str], Callable[[Report], str]]:
    """The function that makes a format's text, by its name."""

    def made(name: str) -> Callable[[Report], str]:
        match name:
            case "json":
                from harness.reports.json import dump_report

                return dump_report
            case "html":
                from harness.reports.html import dump_html

                return dump_html
            case "junit":
                from harness.reports.junit import dump_junit

                return dump_junit
            case "markdown":
                from harness.reports.markdown import dump_markdown

                return dump_markdown
            case "sarif":
                from harness.reports.sarif import dump_sarif

                return dump_sarif
            case "gitlab":
                from harness.reports.gitlab import dump_gitlab

                return dump_gitlab
            case "attire":
                from harness.reports.attire import dump_attire

                return dump_attire
            case "navigator":
                from harness.reports.navigator import dump_navigator

                return dump_navigator
        from harness.reports.navigator import dump_navigator_diff

        assert baseline is not None
        return lambda report: dump_navigator_diff(report, baseline=baseline(report))

    return made
