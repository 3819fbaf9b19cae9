"""A run in parts on the lab, merged, against the same run in one piece."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from harness.model.report import Report
from harness.reports.json import load_report
from tests.cli.commands import UpLab, harness
from tests.needs import ROOT

CHOSEN = [str(ROOT / "scenarios" / f"{name}.scenario.yml") for name in ("interactive_native_child", "interactive_cmdlet", "null_action")]


def told(report: Report) -> Counter[tuple[str, str, bool, str, tuple[str, ...]]]:
    return Counter(
        (
            verdict.planned,
            verdict.expectation.rule,
            verdict.expectation.fires,
            verdict.outcome.value,
            tuple(sorted(gate.state.value for gate in verdict.gates)),
        )
        for verdict in report.verdicts
    )


def test_merged_parts_equal_the_whole_run_and_are_kept_as_one(lab: UpLab, tmp_path: Path) -> None:
    env = lab.env | {"HARNESS_HISTORY": str(tmp_path / "h.sqlite")}
    whole = harness("run", *CHOSEN, "--lab", cwd=tmp_path, env=env)
    for number in (1, 2, 3):
        ran = harness("run", *CHOSEN, "--lab", "--shard", f"{number}/3", "--json", f"{number}.json", cwd=tmp_path, env=env)
        assert ran.code == 0, ran.said
    merged = harness("merge", "3.json", "1.json", "2.json", "--json", "merged.json", "--junit", "merged.xml", cwd=tmp_path, env=env)
    assert merged.code == whole.code == 0, merged.said
    report = load_report((tmp_path / "merged.json").read_text())
    assert told(report) == told(whole.full)
    assert [(row.rule, row.status, row.outcomes) for row in report.coverage] == [
        (row.rule, row.status, row.outcomes) for row in whole.full.coverage
    ]
    assert (
        Counter((s.detonation, s.alert.rule) for s in report.unexpected).keys()
        == Counter((s.detonation, s.alert.rule) for s in whole.full.unexpected).keys()
    )
    assert f"{len(report.verdicts)} expectations" in merged.out
    assert "<testsuites" in (tmp_path / "merged.xml").read_text()
    kept = json.loads(harness("history", "list", "--json", "-", cwd=tmp_path, env=env).out)
    assert [run["run_id"] for run in kept] == [report.run_id, whole.full.run_id]
    without = harness("merge", "3.json", "1.json", cwd=tmp_path, env=env)
    assert without.code == 2
    assert "no report of 2/3 was given" in without.err


def test_more_parts_than_there_is_to_do_leave_parts_with_nothing(lab: UpLab, tmp_path: Path) -> None:
    ran = harness("run", CHOSEN[0], "--lab", "--target", "lab-ws1", "--shard", "2/2", cwd=tmp_path, env=lab.env)
    assert (ran.code, ran.full.verdicts) == (0, ()), ran.said
    assert "interactive-native-child" not in harness("plan", CHOSEN[0], "--shard", "9/9", cwd=tmp_path, env=lab.env).out


@pytest.mark.parametrize("part", ["0/2", "3/2", "1", "1/0", "a/b", "1/2/3", "-1/2", "99999/99999"])
def test_what_is_no_part_is_refused(tmp_path: Path, part: str) -> None:
    asked = harness("plan", f"--shard={part}", cwd=tmp_path)
    assert asked.code == 2
    assert "is no part of a whole" in asked.err
