"""A run's report in every format, at once and later, as people ask for it."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import jsonschema
import pytest

from harness.reports.json import dump_report
from tests.cli.commands import UpLab, harness, write_scenario
from tests.reports import sample_reports as sample
from tests.reports.formats import ATTIRE, GITLAB, NAVIGATOR, SARIF, junit_faults

FORMATS = ("html", "junit", "markdown", "sarif", "gitlab", "attire", "navigator")


def test_a_run_and_its_kept_report_give_the_same_documents(lab: UpLab, tmp_path: Path) -> None:
    write_scenario(
        tmp_path / "one.scenario.yml",
        """
        id: one
        title: A program, and a rule that does not see it
        technique: T1021.006
        steps:
          - name: whoami
            enter_pssession: [whoami.exe]
            expect:
              - rule: 5cc2cda8-f261-4d88-a2de-e9e193c86716
              - rule: 7b1f6f0e-8d4e-4d4c-9a55-0c0c2f6a1d33
        """,
    )
    write_scenario(
        tmp_path / "mine.yml",
        """
        # two rules in one file
        title: a rule of one's own
        id: 7b1f6f0e-8d4e-4d4c-9a55-0c0c2f6a1d33
        status: test
        logsource: {category: process_creation, product: windows}
        detection: {selection: {Image|endswith: '\\whoamii.exe'}, condition: selection}
        level: low
        """,
    )
    asked = [part for name in FORMATS for part in (f"--{name}", f"run.{name}")]
    ended = harness(
        "run",
        "one.scenario.yml",
        "--lab",
        "--target",
        "lab-ws1",
        "--rules",
        "mine.yml",
        *asked,
        cwd=tmp_path,
        env=lab.env | {"GITHUB_ACTIONS": "true"},
    )
    assert ended.code == 1, ended.said
    assert ended.out.startswith("::stop-commands::")
    assert ended.out.splitlines()[-1].startswith("::error file=mine.yml,line=3,title=")
    for name, schema in (("sarif", SARIF), ("gitlab", GITLAB), ("attire", ATTIRE), ("navigator", NAVIGATOR)):
        jsonschema.Draft202012Validator(schema).validate(json.loads((tmp_path / f"run.{name}").read_text()))
    assert junit_faults(ElementTree.parse(tmp_path / "run.junit").getroot()) == []
    (result,) = json.loads((tmp_path / "run.sarif").read_text())["runs"][0]["results"]
    line = (tmp_path / "mine.yml").read_text().split("\n").index("id: 7b1f6f0e-8d4e-4d4c-9a55-0c0c2f6a1d33") + 1
    place = result["locations"][0]["physicalLocation"]
    assert (place["artifactLocation"]["uri"], place["region"]["startLine"]) == ("mine.yml", line)
    later = [part for name in FORMATS for part in (f"--{name}", f"later.{name}")]
    assert harness("report", *later, cwd=tmp_path, env=lab.env).code == 0
    for name in FORMATS:
        assert (tmp_path / f"later.{name}").read_text() == (tmp_path / f"run.{name}").read_text(), name


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """A directory with two runs' reports."""
    for name, report in (("gap", sample.gap()), ("clean", sample.clean())):
        (tmp_path / f"{name}.json").write_text(dump_report(report))
    return tmp_path


def test_one_format_goes_to_standard_output_and_nothing_else(kept: Path) -> None:
    ended = harness("report", "gap.json", "--markdown", "-", cwd=kept)
    assert ended.out.startswith("## Detections: a gap in detection\n")
    assert ended.err == ""


def test_the_difference_is_asked_with_its_baseline(kept: Path) -> None:
    ended = harness("report", "gap.json", "--navigator-diff", "-", "--baseline", "clean.json", cwd=kept)
    assert json.loads(ended.out)["techniques"][0]["score"] == -23


def test_a_report_may_be_held_against_another_later(kept: Path) -> None:
    ended = harness("report", "gap.json", "--markdown", "-", "--baseline", "clean.json", cwd=kept)
    assert "### Since the baseline" in ended.out
    assert "new since" in ended.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("gap.json",), "in which format?"),
        (("--markdown", "-"), "there is no run yet"),
        (("no-such", "--markdown", "-"), "there is no run 'no-such'"),
        (("gap.json", "--json", "-", "--junit", "-"), "--json and --junit both write to standard output"),
        (("gap.json", "--navigator-diff", "x"), "--navigator-diff needs --baseline"),
        (("gap.json", "--junit", "x", "--baseline", "last-green"), "no earlier run was green"),
        (("gap.json", "--junit", "no/x"), "no/x: cannot be written: its directory does not exist"),
        (("none.json", "--junit", "x"), "none.json: cannot be read"),
        (("gap.json", "--navigator-diff", "x", "--baseline", "none.json"), "none.json: cannot be read"),
    ],
)
def test_what_cannot_be_done_is_said(kept: Path, arguments: tuple[str, ...], said: str) -> None:
    ended = harness("report", *arguments, cwd=kept)
    assert ended.code == 2
    assert said in ended.err
    assert not (kept / "x").exists()
