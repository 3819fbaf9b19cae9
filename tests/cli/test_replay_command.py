"""`harness replay` as its users have it: a process of its own, its exit code, its output, its JSON."""

from __future__ import annotations

import json
import zipfile
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import jsonschema
import pytest

from harness.events import winlogbeat
from tests.cli.commands import harness
from tests.events.event_builders import process_created
from tests.needs import DATA, needs_recordings, needs_spark

RULE = """title: A process \x5b1m
id: 11111111-1111-4111-8111-11111111111{}
logsource: {{product: windows, category: process_creation}}
detection: {{selection: {{NewProcessName|contains: '{}'}}, condition: selection}}
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "hit.yml").write_text(RULE.format(1, "\\"))
    (tmp_path / "rules" / "quiet.yml").write_text(RULE.format(2, "nowhere"))
    (tmp_path / "rules" / "other.yml").write_text(RULE.format(3, "%x%").replace("|contains", "|expand"))
    (tmp_path / "events.json").write_text(json.dumps(winlogbeat.render(process_created())) + "\nbroken\x1b[2J\n")
    return tmp_path


def test_the_report_for_people(place: Path) -> None:
    ended = harness("replay", "events.json", "--rules", "rules", "--why", "11111111-1111-4111-8111-111111111112", cwd=place)
    assert ended.code == 0, ended.said
    assert "1 event: 1 rule matched (1 medium), 1 did not." in ended.out
    assert "events.json:1" in ended.out
    assert "killed by: NewProcessName is" in ended.out
    assert "Not evaluated: 1 rule" in ended.out
    assert "placeholder" in ended.out
    assert "Not read: 1 place" in ended.out
    assert "events.json:2" in ended.out
    assert "\x1b" not in ended.out
    assert ended.err == ""


def test_the_report_for_machines(place: Path) -> None:
    ended = harness("replay", "events.json", "--rules", "rules", "--fold-line-ends", "--json", "-", cwd=place)
    assert ended.code == 0, ended.said
    report = json.loads(ended.out)
    jsonschema.validate(report, json.loads(harness("schema", "replay", cwd=place).out))
    assert report["version"] == 1
    assert [(hit["rule"]["id"][-1], hit["count"]) for hit in report["hits"]] == [("1", 1)]
    assert [left["path"] for left in report["not_evaluated"]] == ["rules/other.yml"]
    assert (report["broken_count"], report["broken"][0]["line"]) == (1, 2)
    assert "line ends folded" in report["normalisations"][0]
    assert "1 rule matched" in ended.err


@needs_spark
def test_spark_says_the_same(place: Path) -> None:
    plain = harness("replay", "events.json", "--rules", "rules", "--json", "-", cwd=place)
    ended = harness("replay", "events.json", "--rules", "rules", "--engine", "spark", "--json", "-", cwd=place)
    assert ended.code == 0, ended.said
    assert json.loads(ended.out) == json.loads(plain.out)
    assert ended.err == plain.err


def test_a_zip_of_rules_and_nothing_that_matches(place: Path) -> None:
    with zipfile.ZipFile(place / "rules.zip", "w") as archive:
        archive.write(place / "rules" / "quiet.yml", "a/quiet.yml")
    ended = harness("replay", "events.json", "--rules", "rules.zip", cwd=place)
    assert ended.code == 0, ended.said
    assert "0 rules matched, 1 did not" in ended.out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["events.json", "--strict"], "events.json:2: not an event"),
        (["absent.json"], "absent.json: cannot be read"),
        (["events.json", "--rules", "absent.yml"], "absent.yml: "),
        (["events.json", "--rules", "rules/other.yml"], "placeholder"),
        (["events.json", "--rules", "empty"], "no rule in any language"),
        (["events.json", "--rules", "rules", "--why", "x"], "there is no rule 'x'"),
        (["/dev/zero"], "/dev/zero: cannot be read: it is a device"),
        (["events.json", "--rules", "/dev/zero"], "/dev/zero: is neither a file nor a directory"),
        (["events.json", "--rules", "events.json"], "(Sigma is *.yml or *.yaml, Elastic's rules are *.toml, EQL is *.eql)"),
        (["events.json", "--json", "absent/x.json"], "its directory does not exist"),
        ([], "Missing argument"),
    ],
)
def test_what_is_wrong_is_a_usage_error(arguments: list[str], told: str, place: Path) -> None:
    (place / "empty").mkdir()
    ended = harness("replay", *arguments, cwd=place)
    assert ended.code == 2, ended.said
    assert told in ended.err
    assert "Traceback" not in ended.said


def test_a_correlation_in_a_file_that_was_named(place: Path) -> None:
    """Its evidence is told; what it counts is named, and is no error although its file was named, too."""
    (place / "count.yml").write_text(
        "title: Many\nid: 22222222-2222-4222-8222-222222222222\n"
        "correlation: {type: event_count, rules: [created], group-by: [Computer], timespan: 1m, condition: {gte: 2}}\n"
    )
    (place / "base.yml").write_text(RULE.format(1, "\\").replace("title:", "name: created\ntitle:"))
    created = process_created()
    events = [json.dumps(winlogbeat.render(replace(created, created=created.created + timedelta(seconds=each)))) for each in (0, 50, 200)]
    (place / "three.json").write_text("\n".join(events))
    ended = harness("replay", "three.json", "--rules", "count.yml", "--rules", "base.yml", "--json", "-", cwd=place)
    assert ended.code == 0, ended.said
    report = json.loads(ended.out)
    assert [(hit["rule"]["title"], hit["count"]) for hit in report["hits"]] == [("Many", 1)]
    assert [(left["path"], "counted by the correlation 'Many'" in left["what"]) for left in report["not_evaluated"]] == [("base.yml", True)]
    ended = harness("rules", "explain", "Many", "--rules", "count.yml", "--rules", "base.yml", cwd=place)
    assert "number of events >= 2 among events of created, of the same Computer, within 1m" in ended.out


@needs_recordings
def test_a_sequence_over_a_recording(tmp_path: Path) -> None:
    recordings = DATA / "otrf"
    ended = harness("replay", str(recordings / "empire_psremoting_stager.zip"), "--json", "found.json", cwd=tmp_path)
    assert ended.code == 0, ended.said
    report = json.loads((tmp_path / "found.json").read_text())
    (hit,) = [hit for hit in report["hits"] if hit["rule"]["id"].startswith("2772264c")]
    assert (hit["count"], [[event["event_id"] for event in each] for each in hit["evidence"]]) == (1, [[3, 4688]])
    ended = harness("replay", str(recordings / "covenant_psremoting_command.zip"), "--why", "2772264c", "--why", "8f0c6d0e", cwd=tmp_path)
    said = " ".join(ended.out.split())
    assert "event 1 is there:" in said
    assert "no event is its event 2" in said
    assert "the rule wants wsmprovhost.exe" in said
    assert "killed by: network.protocol is absent, the rule wants http" in said


def test_no_events_at_all_are_no_silence_of_rules(place: Path) -> None:
    (place / "none.json").touch()
    ended = harness("replay", "none.json", "--rules", "rules", cwd=place)
    assert (ended.code, ended.out.splitlines()[-1]) == (0, "No event was read, so that no rule was asked anything.")


def test_places_of_evidence_are_never_broken(place: Path) -> None:
    long = place / ("long" * 30)
    long.mkdir()
    (place / "events.json").rename(long / "events.json")
    ended = harness("replay", str(long), "--rules", "rules", cwd=place, env={"COLUMNS": "60"})
    assert any(line.strip().startswith(f"{long.name}/events.json:") for line in ended.out.splitlines()), ended.out


def test_what_errors_quote_does_nothing_to_a_terminal(place: Path) -> None:
    (place / "rules" / "other.yml").write_text('title: x\nlogsource: {category: "\\e[2Jx"}\ndetection: {"s\\e[2J": {a: b}, condition: t}\n')
    ended = harness("replay", "events.json", "--rules", "rules/other.yml", cwd=place, env={"FORCE_COLOR": "1"})
    assert ended.code == 2
    assert "\x1b" not in ended.said
