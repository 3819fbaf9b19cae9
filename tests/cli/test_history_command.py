"""`harness history` as its users have it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from harness.history import opened
from harness.model.verdicts import Outcome
from tests.cli.commands import UpLab, harness, write_scenario
from tests.reports import sample_reports as sample


def test_a_run_is_kept_listed_and_shown_as_it_was(lab: UpLab, tmp_path: Path) -> None:
    write_scenario(
        tmp_path / "one.scenario.yml",
        """
        id: one
        title: A cmdlet
        steps:
          - name: Get-Service
            enter_pssession: [Get-Service]
            expect: [{rule: 5cc2cda8-f261-4d88-a2de-e9e193c86716, fires: false}]
        """,
    )
    env = lab.env | {"HARNESS_HISTORY": str(tmp_path / "own.sqlite")}
    ran = harness("run", "one.scenario.yml", "--lab", "--target", "lab-ws1", "--json", "-", cwd=tmp_path, env=env)
    assert ran.code == 0, ran.said
    (listed,) = json.loads(harness("history", "list", "--json", "-", cwd=tmp_path, env=env).out)
    report = json.loads(ran.out)
    assert (listed["run_id"], listed["exit_code"], listed["expectations"], listed["targets"]) == (report["run_id"], 0, 1, "lab-ws1")
    assert report["run_id"] in harness("history", "list", cwd=tmp_path, env=env).out
    shown = harness("history", "show", report["run_id"][:5], cwd=tmp_path, env=env)
    # The report went to standard error, where the JSON took standard output.
    assert shown.out.strip() in ran.err
    assert json.loads(harness("report", report["run_id"][:5], "--json", "-", cwd=tmp_path, env=env).out) == report


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    with opened(tmp_path / "h.sqlite", make=True) as history:
        for number in range(3):
            at = sample.after(number * 86_400)
            history.append(replace(sample.gap(), run_id=f"run-{number}", finished_at=at))
    return tmp_path


def test_old_runs_are_forgotten(kept: Path) -> None:
    assert harness("history", "prune", "--keep", "1", "--history", "h.sqlite", cwd=kept).out == "2 runs were forgotten\n"
    assert harness("history", "prune", "--older-than", "36500d", "--history", "h.sqlite", cwd=kept).out == "0 runs were forgotten\n"
    assert "run-2" in harness("history", "list", "--history", "h.sqlite", cwd=kept).out


def test_the_difference_of_two_runs_says_what_broke_and_ends_with_1(kept: Path) -> None:
    with opened(kept / "h.sqlite") as history:
        history.append(replace(sample.clean(), run_id="green", finished_at=sample.after(300_000)))
        text = "\x1b[2J [red]"
        broken = [
            replace(item, outcome=Outcome.MISSED, cause=text) if item.expectation.rule == sample.CHILD else item
            for item in sample.clean().verdicts
        ]
        history.append(replace(sample.clean(), run_id="worse", verdicts=tuple(broken), exit_code=1, finished_at=sample.after(400_000)))
    worse = harness("history", "diff", "--history", "h.sqlite", cwd=kept)
    assert worse.code == 1
    lines = worse.out.splitlines()
    assert lines[0] == "broken 5cc2cda8 Suspicious Processes Spawned by WinRM: DETECTED to MISSED"
    assert lines[1].split(", ") == [
        f"{'  ' if not at else ''}interactive-native-child/{name}" for at, name in enumerate(("1@ws5", "2@ws5", "1@ws6"))
    ]
    assert lines[2] == "  likeliest cause: nothing that is known of the two runs changed in what it hangs on"
    assert lines[3] == r"    - \x1b[2J [red]"
    assert lines[-1].endswith(": 3 broken.")
    assert worse.out == harness("history", "diff", "green", "worse", "--history", "h.sqlite", cwd=kept).out
    back = harness("history", "diff", "worse", "green", "--history", "h.sqlite", cwd=kept)
    assert (back.code, back.out.splitlines()[-1].endswith(": 3 mended.")) == (0, True)
    assert "nothing changed" in harness("history", "diff", "run-0", "run-1", "--history", "h.sqlite", cwd=kept).out
    document = json.loads(harness("history", "diff", "--json", "-", "--history", "h.sqlite", cwd=kept).out)
    assert (document["before"]["run_id"], document["after"]["run_id"]) == ("green", "worse")
    assert [change["kind"] for change in document["changes"]] == ["broken"] * 3


def test_the_trend_shows_what_goes_both_ways(kept: Path) -> None:
    clean = sample.clean()
    bad = replace(clean, verdicts=(replace(clean.verdicts[0], outcome=Outcome.MISSED, sightings=()), *clean.verdicts[1:]), exit_code=1)
    with opened(kept / "h.sqlite") as history:
        for place, report in enumerate((clean, bad, clean, bad)):
            history.append(replace(report, run_id=f"night-{place}", finished_at=sample.after(400_000 + place)))
    shown = harness("history", "trend", "--last", "4", "--history", "h.sqlite", cwd=kept, env={"COLUMNS": "160"}).out.splitlines()
    first = next(line for line in shown if "3, flaky" in line)
    assert "13acf386" in first
    assert "+M+M" in first
    assert shown[-1].endswith("18 expectations, 1 flaky.")
    document = json.loads(harness("history", "trend", "--flaky", "--json", "-", "--history", "h.sqlite", cwd=kept).out)
    (line,) = document["expectations"]
    assert (line["turns"], line["outcomes"][-4:]) == (3, ["DETECTED", "MISSED", "DETECTED", "MISSED"])
    assert document["rules"][0]["flaky_rate"] == 1.0
    # How often it may turn is a setting.
    (kept / "harness.toml").write_text('[history]\npath = "h.sqlite"\nflaky = "4 of 10"\n')
    assert json.loads(harness("history", "trend", "--flaky", "--json", "-", cwd=kept).out)["expectations"] == []


def test_there_is_nothing_before_the_first_run(tmp_path: Path) -> None:
    assert harness("history", "list", cwd=tmp_path).out == "No run was kept yet.\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("prune",), "which runs?"),
        (("prune", "--keep", "1", "--older-than", "1d"), "which runs?"),
        (("prune", "--older-than", "1w"), "is no number of days"),
        (("show", "nothing"), "there is no run 'nothing'"),
        (("list", "--history", "."), "cannot be"),
        (("diff", "--history", "h.sqlite"), "no run before run-2 was green"),
        (("diff", "last-green", "~1", "--history", "h.sqlite"), "no run before run-1 was green"),
        (("show", "~9", "--history", "h.sqlite"), "there are not so many runs as ~9"),
    ],
)
def test_what_cannot_be_done_is_said(kept: Path, arguments: tuple[str, ...], said: str) -> None:
    ended = harness("history", *arguments, cwd=kept)
    assert ended.code == 2
    assert said in ended.err
