"""Runs that are held against earlier ones: what counts as new, what is under quarantine, which objectives were kept."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from xml.etree import ElementTree

import pytest

from harness.model.changes import CauseKind
from tests.cli.commands import Ended, UpLab, harness, write_scenario

CHILD, PROCESS = "5cc2cda8-f261-4d88-a2de-e9e193c86716", "734f8d9b-42b8-41b2-bcf5-abaf49d5a3c8"


def write(directory: Path, *, within: str = "30s", extra: str = "", second: str = "") -> None:
    write_scenario(
        directory / "one.scenario.yml",
        f"""
        id: one
        title: A program inside a session
        steps:
          - name: whoami
            enter_pssession: [whoami.exe /all]
            expect:
              - {{rule: {CHILD}, within: {within}{extra}}}
              {second}
        """,
    )


def run(lab: UpLab, directory: Path, *arguments: str) -> Ended:
    env = lab.env | {"HARNESS_HISTORY": str(directory / "h.sqlite")}
    return harness("run", "one.scenario.yml", "--lab", "--target", "lab-ws1", *arguments, cwd=directory, env=env)


def test_only_new_gaps_fail_and_every_format_says_which_are_new(lab: UpLab, tmp_path: Path) -> None:
    nightly = ("--baseline", "last-green", "--fail-on", "new")
    write(tmp_path, within="1ms")
    alone = run(lab, tmp_path, *nightly)
    assert (alone.code, "No baseline: no earlier run was green, so that every gap counts" in alone.out) == (1, True)

    write(tmp_path)
    assert run(lab, tmp_path, *nightly).code == 0
    write(tmp_path, within="1ms")
    formats = ("--junit", "r.xml", "--markdown", "r.md", "--sarif", "r.sarif", "--html", "r.html")
    broken = run(lab, tmp_path, *nightly, *formats)
    assert broken.code == 1
    comparison = broken.full.comparison
    assert comparison is not None
    (change,) = comparison.changes
    assert change.causes[0].kind is CauseKind.EXPECTATION
    assert f"Against {comparison.baseline}" in broken.out
    assert "1 new" in broken.out
    assert "likeliest cause: the expectation changed" in broken.out
    failure = ElementTree.parse(tmp_path / "r.xml").find(".//failure")
    assert failure is not None
    assert f"(new since {comparison.baseline})" in failure.attrib["message"]
    assert "new since" in (tmp_path / "r.md").read_text()
    assert "Since the baseline" in (tmp_path / "r.html").read_text()
    (result,) = json.loads((tmp_path / "r.sarif").read_text())["runs"][0]["results"]
    assert result["baselineState"] == "new"

    # The same gap again: still not green before it; but known to the run that had it.
    assert run(lab, tmp_path, *nightly).code == 1
    known = run(lab, tmp_path, "--baseline", broken.full.run_id, "--fail-on", "new", *formats)
    assert known.code == 0
    assert f"known: {broken.full.run_id} had it" in known.out
    assert [len(ElementTree.parse(tmp_path / "r.xml").findall(f".//{tag}")) for tag in ("failure", "skipped")] == [0, 1]
    (result,) = json.loads((tmp_path / "r.sarif").read_text())["runs"][0]["results"]
    assert result["baselineState"] == "unchanged"
    # A second gap beside the known one is new, and the known one stays so.
    write(tmp_path, within="1ms", second=f"- {{rule: {PROCESS}, within: 1ms}}")
    both = run(lab, tmp_path, "--baseline", broken.full.run_id, "--fail-on", "new")
    assert (both.code, "1 new, 1 known" in both.out) == (1, True), both.out


def test_a_baseline_may_be_a_report(lab: UpLab, tmp_path: Path) -> None:
    write(tmp_path, within="1ms")
    first = run(lab, tmp_path, "--json", "before.json")
    assert first.code == 1
    assert run(lab, tmp_path, "--baseline", "before.json", "--fail-on", "new").code == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--baseline", "nothing"), "there is no run 'nothing'"),
        (("--baseline", "missing.json"), "cannot be read"),
        (("--fail-on", "gaps"), "'gaps' is not one of gap, new"),
        (("--fail-on", "never,gap"), "'never' goes with no other word"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_sent(lab: UpLab, tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    write(tmp_path)
    ended = run(lab, tmp_path, *arguments)
    assert (ended.code, ended.report) == (2, None)
    assert said in ended.err


def test_a_quarantined_gap_is_shown_and_does_not_count_until_its_day_is_over(lab: UpLab, tmp_path: Path) -> None:
    today = datetime.now(UTC).date()
    for until, code, said in (
        (today + timedelta(days=1), 0, f"quarantined until {today + timedelta(days=1)}: the agent is being replaced"),
        (today - timedelta(days=1), 1, f"quarantine expired on {today - timedelta(days=1)}: the agent is being replaced"),
    ):
        write(tmp_path, within="1ms", extra=f", quarantine: {{until: {until}, reason: the agent is being replaced}}")
        ended = run(lab, tmp_path, "--junit", "r.xml")
        assert (ended.code, f"Quarantine: {said}: LATE" in ended.out) == (code, True), ended.out
        tag = "failure" if code else "skipped"
        assert len(ElementTree.parse(tmp_path / "r.xml").findall(f".//{tag}")) == 1
    # In the settings it is about every expectation that fits.
    write(tmp_path, within="1ms")
    settings = f'[[quarantine]]\nscenario = "one"\ntarget = "lab-ws1"\nuntil = {today}\nreason = "known"\n'
    (tmp_path / "harness.toml").write_text(settings)
    assert run(lab, tmp_path).code == 0
    (tmp_path / "harness.toml").write_text(settings.replace("lab-ws1", "lab-ws2"))
    assert run(lab, tmp_path).code == 1


def test_an_objective_is_told_and_fails_where_it_is_to(lab: UpLab, tmp_path: Path) -> None:
    write(tmp_path, extra=", objective: 1ms")
    told = run(lab, tmp_path)
    assert (told.code, "Objective not kept: 5cc2cda8" in told.out) == (0, True)
    assert run(lab, tmp_path, "--fail-on", "gap,objective").code == 1
    write(tmp_path)
    (tmp_path / "harness.toml").write_text(f'[[objective]]\nrule = "{CHILD}"\np95 = "1ms"\n')
    over = run(lab, tmp_path, "--fail-on", "objective")
    assert (over.code, "(95 % within, over 3 runs)" in over.out) == (1, True), over.out


def test_the_settings_say_where_runs_are_kept_and_how_many(lab: UpLab, tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "harness.toml").write_text('[history]\npath = "own/h.sqlite"\nkeep = 2\n')
    for _ in range(3):
        assert harness("run", "one.scenario.yml", "--lab", "--target", "lab-ws1", cwd=tmp_path, env=lab.env).code == 0
    assert len(json.loads(harness("history", "list", "--json", "-", cwd=tmp_path).out)) == 2
    assert (tmp_path / "own" / "h.sqlite").exists()
