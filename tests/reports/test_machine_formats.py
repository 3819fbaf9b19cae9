"""The formats that other tools read: each as its specification demands, each with what the run said, and no text able to do anything."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any
from xml.etree import ElementTree

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.core.record import recorded
from harness.model.intent import Expectation
from harness.model.report import Report
from harness.model.verdicts import Outcome
from harness.reports.attire import dump_attire
from harness.reports.junit import dump_junit
from harness.reports.navigator import dump_navigator, dump_navigator_diff, score
from harness.reports.sarif import dump_sarif
from tests.builders import rule
from tests.reports import sample_reports as sample
from tests.reports.formats import ATTIRE, NAVIGATOR, SARIF, Schema, junit_faults

SAMPLES = [sample.clean, sample.gap, sample.outage, sample.held]
JSON_FORMATS: list[tuple[Callable[[Report], str], Schema]] = [
    (dump_sarif, SARIF),
    (dump_navigator, NAVIGATOR),
    (partial(dump_navigator_diff, baseline=sample.clean()), NAVIGATOR),
    (dump_attire, ATTIRE),
]
HOSTILE = "\x1b[2J \x9b31m \u202ereversed \u2028 \ud800 \x00 \ufffe ]]> <b onload=x> [a](http://x) {0} {{1}} =1+1 @all `x` | \\"
BARE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def empty() -> Report:
    return sample.report([], (), 5, rules=())


def faults(text: str, schema: Schema) -> list[str]:
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker())
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(json.loads(text))]


@pytest.mark.parametrize(("made", "schema"), JSON_FORMATS)
@pytest.mark.parametrize("make", [*SAMPLES, empty, partial(sample.hostile, HOSTILE), partial(sample.hostile, "x" * 1_000_000)])
def test_json_is_as_its_format_demands(make: Callable[[], Report], made: Callable[[Report], str], schema: Schema) -> None:
    assert faults(made(make()), schema) == []


@pytest.mark.parametrize("make", [*SAMPLES, empty, partial(sample.hostile, HOSTILE), partial(sample.hostile, "x" * 1_000_000)])
def test_junit_is_as_its_readers_demand(make: Callable[[], Report]) -> None:
    assert junit_faults(ElementTree.fromstring(dump_junit(make()))) == []


@given(st.text())
@settings(max_examples=50, deadline=None)
def test_any_text_leaves_junit_well_formed_and_sarif_whole(text: str) -> None:
    report = sample.hostile(text)
    assert junit_faults(ElementTree.fromstring(dump_junit(report))) == []
    assert faults(dump_sarif(report), SARIF) == []


@pytest.mark.parametrize("made", [dump_junit, *(made for made, _ in JSON_FORMATS)])
def test_no_text_is_a_command_to_a_terminal_or_turns_what_is_read(made: Callable[[Report], str]) -> None:
    assert not BARE.search(made(sample.hostile(HOSTILE)))


@pytest.mark.parametrize("made", [dump_junit, dump_sarif, dump_navigator])
def test_a_long_line_is_cut(made: Callable[[Report], str]) -> None:
    assert len(made(sample.hostile("x" * 1_000_000))) < 200_000


def test_what_a_target_printed_is_bounded_in_attire() -> None:
    text = dump_attire(sample.hostile("x" * 1_000_000))
    assert "(934464 more characters)" in text


# --- JUnit ----------------------------------------------------------------------------------------------------------------


def outcomes(report: Report) -> dict[str, set[str]]:
    """Which elements the cases of each outcome bear."""
    root = ElementTree.fromstring(dump_junit(report))
    cases = [case for suite in root for case in suite.iter("testcase")]
    by_suite = sorted(
        report.verdicts, key=lambda verdict: [suite.attrib["name"] for suite in root].index(f"{verdict.scenario}@{verdict.target}")
    )
    found: dict[str, set[str]] = {}
    for case, verdict in zip(cases, by_suite, strict=True):
        found.setdefault(verdict.outcome.value, set()).update(child.tag for child in case)
    return found


def test_each_outcome_is_what_a_ci_system_should_make_of_it() -> None:
    report = sample.gap()
    every = [replace(report.verdicts[0], outcome=outcome) for outcome in Outcome]
    assert outcomes(replace(report, verdicts=tuple(every))) == {
        "DETECTED": set(),
        "QUIET": set(),
        "GAP_CLOSED": {"system-out"},
        "KNOWN_GAP": {"skipped"},
        "NOT_EXERCISABLE": {"skipped"},
        "INCONCLUSIVE": {"error"},
        **{gap: {"failure"} for gap in ("LATE", "MISGRADED", "MISSED", "BLIND", "NOISY")},
    }


def test_a_failure_tells_the_ladder() -> None:
    root = ElementTree.fromstring(dump_junit(sample.gap()))
    (failure, *_) = root.findall("testsuite[@name='call-cmdlet@ws5']/testcase/failure")
    assert failure.attrib["message"].startswith("MISSED: telemetry arrived and the rule ran without matching")
    assert failure.text is not None
    lines = failure.text.splitlines()
    assert lines[1].startswith("EXECUTED   passed  11:02:04.240 (+0.12 s)")
    assert lines[-2:] == ["QUERY      FAILED  nearest event 5156 (record 88121): DestPort is 5985, the rule wants 1234", "ALERT      -"]


def test_a_failed_cleanup_is_told_with_its_scenario() -> None:
    failed = sample.gap().cleanups[0]
    base = sample.gap()
    moved = replace(failed, planned=replace(failed.planned, scenario="null-action"))
    root = ElementTree.fromstring(dump_junit(replace(base, cleanups=(moved,))))
    assert {suite.attrib["name"]: suite.findtext("system-err") for suite in root if suite.find("system-err") is not None} == {
        "null-action@ws6": "cleanup failed: write-read-remove/1@ws6/cleanup: connection_lost: cut while the step was under way"
    }


# --- SARIF ----------------------------------------------------------------------------------------------------------------


def sarif(report: Report) -> Any:
    return json.loads(dump_sarif(report))["runs"][0]


def test_a_rule_that_failed_a_scenario_is_one_result_at_its_line() -> None:
    run = sarif(sample.gap())
    told = {(result["ruleId"][:8], result["level"], result["occurrenceCount"]) for result in run["results"]}
    assert told == {("13acf386", "error", 2), ("5cc2cda8", "error", 1), ("734f8d9b", "warning", 1), ("96b9f619", "note", 2)}
    for result in run["results"]:
        (location,) = result["locations"]
        assert location["physicalLocation"] == {"artifactLocation": {"uri": "rules/of%20the%20lab/winrm.yml"}, "region": {"startLine": 2}}
        assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
    assert [result["suppressions"][0]["justification"] for result in run["results"] if "suppressions" in result] == [sample.GAP_REASON]


def test_fingerprints_stay_from_run_to_run_and_differ_by_rule_and_scenario() -> None:
    first, second = (sarif(replace(sample.gap(), run_id=run_id, started_at=sample.after(at))) for run_id, at in (("a", 0), ("b", 99)))
    prints = [[result["partialFingerprints"]["ruleAndScenario/v1"] for result in run["results"]] for run in (first, second)]
    assert prints[0] == prints[1]
    assert len(set(prints[0])) == len(prints[0])


def test_what_could_not_be_judged_is_no_result() -> None:
    run = sarif(sample.outage())
    (notification,) = run["invocations"][0]["toolExecutionNotifications"]
    assert "127.0.0.1:40112 refused the connection (15 expectations)" in notification["message"]["text"]
    assert [result["level"] for result in run["results"]] == ["note"]


@pytest.mark.parametrize(
    ("source", "uri"),
    [
        ("rules/a b.yml", "rules/a%20b.yml"),
        ("/opt/rules/é.yml", "file:///opt/rules/%C3%A9.yml"),
        ("C:\\rules\\a#1.yml", "file:///C:/rules/a%231.yml"),
        ("rules\\a.yml", "rules/a.yml"),
        ("rules.zip/a.yml", "rules.zip/a.yml"),
    ],
)
def test_a_path_is_a_uri(source: str, uri: str) -> None:
    base = sample.gap()
    run = sarif(replace(base, rules=tuple(replace(item, source=source) for item in base.rules)))
    assert {item["physicalLocation"]["artifactLocation"]["uri"] for result in run["results"] for item in result["locations"]} == {uri}


def test_a_rule_that_only_the_siem_knows_has_no_place() -> None:
    run = sarif(replace(sample.gap(), rules=()))
    assert run["results"]
    assert not any("locations" in result for result in run["results"])


def test_only_rules_that_were_judged_are_kept() -> None:
    verdict = replace(sample.gap().verdicts[0], expectation=Expectation(rule="the-id"))
    loaded = replace(rule("the-id", "Security", 1), definition="title: a\nid: the-id\n", line=5)
    (record,) = recorded([verdict], {"the-id": loaded, "another": loaded})
    assert (record.id, record.line, record.definition) == ("the-id", 5, loaded.definition)


# --- Navigator ------------------------------------------------------------------------------------------------------------


def test_a_technique_bears_the_share_of_what_was_met() -> None:
    (technique,) = json.loads(dump_navigator(sample.gap()))["techniques"]
    assert technique["techniqueID"] == "T1021.006"
    # 6 detected and 2 quiet of these, 2 missed, 1 noisy, 1 late and 2 known gaps.
    assert technique["score"] == round(100 * 8 / 14)
    assert {"name": "13acf386 Remote PowerShell Sessions Network Connections (WinRM)", "value": "2 DETECTED, 2 MISSED"} in technique[
        "metadata"
    ]
    assert "tactic" not in technique


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        ([Outcome.DETECTED], 100),
        ([Outcome.DETECTED, Outcome.MISSED], 50),
        ([Outcome.GAP_CLOSED, Outcome.KNOWN_GAP, Outcome.LATE], 33),
        ([Outcome.QUIET], None),
        ([Outcome.QUIET, Outcome.DETECTED, Outcome.NOISY], 67),
        ([Outcome.INCONCLUSIVE, Outcome.NOT_EXERCISABLE], None),
        ([Outcome.INCONCLUSIVE, Outcome.MISSED], 0),
        ([], None),
    ],
)
def test_score(outcomes: list[Outcome], expected: int | None) -> None:
    base = sample.gap().verdicts[0]
    quiet = replace(base.expectation, fires=False)
    verdicts = [
        replace(base, outcome=each, expectation=quiet if each in (Outcome.QUIET, Outcome.NOISY) else base.expectation) for each in outcomes
    ]
    assert score(verdicts) == expected


def test_the_difference_tells_what_was_and_what_is() -> None:
    layer = json.loads(dump_navigator_diff(sample.gap(), sample.clean()))
    (technique,) = layer["techniques"]
    assert (technique["score"], technique["comment"]) == (57 - 80, "80 % met in the baseline, 57 % met now")
    assert layer["gradient"]["minValue"] == -100
    alone = json.loads(dump_navigator_diff(sample.gap(), empty()))["techniques"][0]
    assert "score" not in alone
    assert alone["comment"] == "not judged in the baseline, 57 % met now"


# --- ATTiRe ---------------------------------------------------------------------------------------------------------------


def test_every_detonation_is_a_procedure_with_its_times_and_streams() -> None:
    document = json.loads(dump_attire(sample.gap()))
    first = document["procedures"][0]
    assert first["procedure-name"] == "typed into a session (interactive-native-child/1 on ws5)"
    assert first["mitre-technique-id"] == "T1021.006"
    (step,) = first["steps"]
    assert step["command"] == "Get-Service WinRM\nwhoami.exe /groups"
    assert (step["time-start"], step["time-stop"]) == ("2026-11-21T11:02:03.220Z", "2026-11-21T11:02:03.345Z")
    assert [(item["level"], item["content"]) for item in step["output"]] == [("STDOUT", "Running  WinRM"), ("STDERR", "no")]
    assert [procedure["order"] for procedure in document["procedures"]] == [1, 2, 3, 4, 5, 6]


def test_a_step_that_failed_says_why_and_keeps_its_id() -> None:
    failed = json.loads(dump_attire(sample.outage()))["procedures"][-1]
    assert failed["steps"][0]["output"] == [
        {"content": "connect: 127.0.0.1:40112 refused the connection", "level": "STDERR", "type": "console"}
    ]
    again = json.loads(dump_attire(replace(sample.outage(), run_id="another")))["procedures"][-1]
    assert failed["procedure-id"] == again["procedure-id"]
