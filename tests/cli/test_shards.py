"""A run in parts on the lab, merged, against the same run in one piece."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.core.standing import standing_in
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


RULE = "4f5e3c0a-6c1e-4f0e-9a55-0c0c2f6a1d77"
NIGHTLY = f"""
[lab]
ingest_delay = "50ms"
rule_interval = "200ms"
[[quarantine]]
rule = "{RULE}"
scenario = "held"
until = 2099-01-01
reason = "the vendor is asked"
[[objective]]
rule = "{RULE}"
p95 = "1ms"
"""
NIGHTLY_RULE = f"""
title: whoami was run
id: {RULE}
status: test
logsource: {{service: security, product: windows}}
detection:
    selection: {{EventID: 4688, CommandLine|contains: whoami}}
    condition: selection
level: medium
"""


def nightly(directory: Path, **lines: str) -> None:
    """A scenario of each name, which types that line."""
    for name, line in lines.items():
        step = f"- name: one\n    enter_pssession: [{line}]\n    expect: [{{rule: {RULE}, within: 2s}}]"
        (directory / f"{name}.scenario.yml").write_text(f"id: {name}\ntitle: {name}\ntechnique: T1021.006\nsteps:\n  {step}\n")
    (directory / "rule.yml").write_text(NIGHTLY_RULE)
    (directory / "harness.toml").write_text(NIGHTLY)


def appraisal(report: Report) -> object:
    """What the runs before it say of it, but for what differs from run to run."""
    assert report.comparison is not None
    assert report.trends is not None
    return (
        report.exit_code,
        report.fail_on,
        report.comparison.baseline,
        sorted(report.comparison.known),
        sorted((change.line, change.kind, change.causes[0].kind) for change in report.comparison.changes),
        sorted((breach.rule, breach.p95, breach.runs) for breach in report.breaches),
        sorted((line.line, line.outcomes, line.turns, line.flaky) for line in report.trends.lines),
        sorted((verdict.planned, standing_in(report, verdict)) for verdict in report.verdicts),
    )


@pytest.mark.parametrize(("fail_on", "code"), [("new", 1), ("gap", 1), ("late", 0), ("objective", 1), ("never", 0)])
def test_merged_parts_are_held_against_earlier_runs_as_the_whole_is(nights: Path, tmp_path: Path, fail_on: str, code: int) -> None:
    reports = []
    for name in ("whole", "parts"):
        place = shutil.copytree(nights, tmp_path / name)
        env = {"HARNESS_HISTORY": str(place / "h.sqlite"), "HARNESS_LAB_STATE_FILE": str(nights / "lab.json")}
        told = ("--baseline", "last-green", "--fail-on", fail_on, "--json")
        asked = ("run", ".", "--lab", "--rules", "rule.yml", "--target", "lab-ws1")
        if name == "whole":
            ended = harness(*asked, *told, "whole.json", cwd=place, env=env)
        else:
            for part in (1, 2):
                harness(*asked, "--shard", f"{part}/2", "--json", f"{part}.json", cwd=place, env=env)
            ended = harness("merge", "2.json", "1.json", *told, "whole.json", cwd=place, env=env)
        assert ended.code == code, ended.said
        reports.append(appraisal(load_report((place / "whole.json").read_text())))
    assert reports[0] == reports[1]


@pytest.fixture(scope="module")
def nights(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Two nights, the last green although it had gaps; since then scenarios were changed, one is mended, some break."""
    place = tmp_path_factory.mktemp("nights")
    env = {"HARNESS_HISTORY": str(place / "h.sqlite"), "HARNESS_LAB_STATE_FILE": str(place / "lab.json")}
    nightly(place, held="whoami", known="hostname", mended="hostname", breaks="whoami")
    assert harness("lab", "up", cwd=place, env=env).code == 0
    try:
        for baseline, fail_on in (("first.json", "never"), ("first.json", "new")):
            asked = ("run", ".", "--lab", "--rules", "rule.yml", "--target", "lab-ws1", "--fail-on", fail_on)
            against = ("--baseline", baseline) if fail_on == "new" else ()
            ended = harness(*asked, *against, "--json", baseline if fail_on == "never" else "green.json", cwd=place, env=env)
            assert ended.code == 0, ended.said
        nightly(place, held="hostname", mended="whoami", breaks="hostname")
        yield place
    finally:
        harness("lab", "down", cwd=place, env=env)
