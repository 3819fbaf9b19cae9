"""What CI systems are told: each in its own words, as much as it shows, and nothing that a target wrote is a command."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from dataclasses import replace

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.model.report import Report, RunFinished
from harness.model.verdicts import Outcome
from harness.reports.annotations import Annotations, CiSystem, annotated, detected
from harness.reports.findings import Level, findings
from harness.reports.gitlab import dump_gitlab
from harness.reports.words import whole
from tests.reports import sample_reports as sample
from tests.reports.formats import GITLAB

GITHUB_LINE = re.compile(r"::(error|warning|notice) ((?:[a-z]+=[^:,\r\n]*)(?:,[a-z]+=[^:,\r\n]*)*)::([^\r\n]*)")
AZURE_LINE = re.compile(r"##vso\[task\.logissue ((?:[a-z]+=[^;\]\r\n]*;)+)\]([^\r\n]*)|##\[section\][^\r\n]*")
TEAMCITY_LINE = re.compile(r"##teamcity\[(buildProblem|message)((?: [a-z]+='(?:[^'|\[\]\r\n]|\|.)*')+)\]")
LINES = {CiSystem.GITHUB: GITHUB_LINE, CiSystem.AZURE: AZURE_LINE, CiSystem.TEAMCITY: TEAMCITY_LINE}
HOSTILE = "\n::error::forged\n##vso[task.setvariable variable=x]y\n##teamcity[buildStatus status='SUCCESS']\r\x1b[2J ,:;]'|% %0A \ud800"
systems = pytest.mark.parametrize("system", CiSystem, ids=str)


@systems
@pytest.mark.parametrize("make", [sample.clean, sample.gap, sample.outage], ids=["clean", "gap", "outage"])
def test_each_line_is_in_the_systems_own_form_and_tells_of_one_finding(system: CiSystem, make: Callable[[], Report]) -> None:
    lines = annotated(make(), system).splitlines()
    assert len(lines) == len(findings(make()))
    assert [line for line in lines if not LINES[system].fullmatch(line)] == []


@given(text=st.text(max_size=30) | st.just(HOSTILE))
@settings(max_examples=60, deadline=None)
def test_no_text_gets_out_of_its_place(text: str) -> None:
    report = sample.hostile(text)
    for system, form in LINES.items():
        lines = annotated(report, system).split("\n")[:-1]
        assert len(lines) == len(findings(report))
        assert [line for line in lines if not form.fullmatch(line)] == []


@pytest.mark.parametrize("command", ["##vso[task.complete]", "##[error]x", "##teamcity[x]", "a ##vso[b]"])
def test_a_quoted_command_is_none_any_more(command: str) -> None:
    said = whole(command)
    assert not re.search(r"##(vso|teamcity)?\[", said)
    assert "x23" in said


def test_a_finding_stands_at_the_rules_line() -> None:
    report = sample.gap()
    gap = next(finding for finding in findings(report) if finding.level is Level.ERROR)
    record = next(record for record in report.rules if record.id.partition("-")[0] in gap.title)
    assert (gap.path, gap.line) == (record.source, record.line)
    place = {CiSystem.GITHUB: f"file={gap.path},line={gap.line},", CiSystem.AZURE: f"sourcepath={gap.path};linenumber={gap.line};"}
    for system, words in place.items():
        assert words in annotated(report, system)
    elsewhere = replace(report, rules=tuple(replace(record, source="/etc/rules/x.yml") for record in report.rules))
    assert "file=" not in annotated(elsewhere, CiSystem.GITHUB)


@systems
def test_of_very_many_the_first_are_told_and_the_rest_counted(system: CiSystem) -> None:
    (gap, *_) = [verdict for verdict in sample.gap().verdicts if verdict.outcome is Outcome.MISSED]
    many = tuple(replace(gap, scenario=f"scenario-{number}") for number in range(50))
    lines = annotated(replace(sample.gap(), verdicts=many), system).splitlines()
    assert len(lines) == 10
    assert "and 41 more findings" in lines[-1]


def test_github_does_not_listen_while_targets_are_quoted() -> None:
    stream = io.StringIO()
    with Annotations(CiSystem.GITHUB, stream, "secret-token") as reporter:
        assert stream.getvalue() == "::stop-commands::secret-token\n"
        stream.write("::error::forged\n")
        reporter.see(RunFinished(report=sample.gap()))
    assert stream.getvalue().count("::secret-token::\n") == 1
    assert stream.getvalue().index("forged") < stream.getvalue().index("::secret-token::") < stream.getvalue().index("::error file=")


def test_github_listens_again_after_a_run_that_broke_off() -> None:
    stream = io.StringIO()
    with pytest.raises(KeyboardInterrupt), Annotations(CiSystem.GITHUB, stream, "t"):
        raise KeyboardInterrupt
    assert stream.getvalue() == "::stop-commands::t\n::t::\n"


@pytest.mark.parametrize(
    ("environ", "system"),
    [
        ({}, None),
        ({"CI": "true"}, None),
        ({"GITHUB_ACTIONS": "true", "CI": "true"}, CiSystem.GITHUB),
        ({"TF_BUILD": "True"}, CiSystem.AZURE),
        ({"TEAMCITY_VERSION": "2026.1"}, CiSystem.TEAMCITY),
    ],
    ids=["none", "another", "github", "azure", "teamcity"],
)
def test_a_job_is_known_by_its_variables(environ: dict[str, str], system: CiSystem | None) -> None:
    assert detected(environ) is system


@given(text=st.text(max_size=30) | st.just(HOSTILE))
@settings(max_examples=40, deadline=None)
def test_gitlabs_report_is_as_gitlab_demands(text: str) -> None:
    for report in (sample.clean(), sample.gap(), sample.outage(), sample.hostile(text)):
        document = json.loads(dump_gitlab(report))
        jsonschema.Draft202012Validator(GITLAB).validate(document)
        assert len({entry["fingerprint"] for entry in document}) == len(document) == len(findings(report))
