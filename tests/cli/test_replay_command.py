"""`harness replay` as its users have it: a process of its own, its exit code, its output, its JSON."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import jsonschema
import pytest

from harness.events import winlogbeat
from tests.cli.commands import harness
from tests.events.event_builders import process_created
from tests.needs import needs_spark

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
        (["events.json", "--rules", "rules", "--why", "1"], "2 rules begin so"),
        (["events.json", "--rules", "rules", "--why", "x"], "no rule of that id"),
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
