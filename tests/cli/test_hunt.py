"""`harness hunt` as its users have it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.spark import absent
from tests.cli.commands import harness
from tests.needs import needs_spark

EVENT = {
    "EventID": 1,
    "Channel": "Security",
    "Hostname": "ws1",
    "SourceName": "x",
    "@timestamp": "2026-01-01T00:00:00Z",
    "A": "\x1b[31m[bold]",
}


def prepare(directory: Path, sql: str) -> None:
    (directory / "events.json").write_text(json.dumps(EVENT) + "\n")
    (directory / "book.md").write_text(f"# Book\n## First\nWhat is there?\n\n```sql\n{sql}\n```\n")


def test_rows_are_printed_and_do_nothing_to_a_terminal(tmp_path: Path) -> None:
    prepare(tmp_path, "SELECT Hostname, A, B FROM events")
    ended = harness("hunt", "events.json", "--book", "book.md", cwd=tmp_path)
    assert ended.code == 0, ended.said
    assert "First: 1 row\n  What is there?\n  no event here has B: null in this hunt\n" in ended.out
    assert "\\x1b[31m[bold]" in ended.out
    assert "\x1b" not in ended.out
    assert ended.out.endswith("1 events, 1 analytics, 1 of them found something\n")


def test_a_wide_row_is_a_list(tmp_path: Path) -> None:
    prepare(tmp_path, "SELECT " + ", ".join(f"EventID AS e{number}" for number in range(20)) + " FROM events")
    ended = harness("hunt", "events.json", "--book", "book.md", cwd=tmp_path)
    assert "\n    e19: 1\n" in ended.out


def test_json_of_several_recordings(tmp_path: Path) -> None:
    prepare(tmp_path, "SELECT Hostname, COUNT(*) AS n FROM events GROUP BY Hostname")
    ended = harness("hunt", "events.json", "events.json", "--book", ".", "--json", "-", cwd=tmp_path)
    document = json.loads(ended.out)
    (only,) = document["analytics"]
    assert (document["books"], document["events"]) == (["book.md"], 2)
    assert (only["name"], only["columns"], only["rows"]) == ("First", ["Hostname", "n"], [["ws1", 2]])


def test_the_labs_own_book_is_the_default(tmp_path: Path) -> None:
    prepare(tmp_path, "")
    ended = harness("hunt", "events.json", cwd=tmp_path)
    assert ended.code == 0, ended.said
    assert ended.out.endswith("1 events, 3 analytics, 0 of them found something\n")


def test_broken_lines_are_counted_and_named_or_stop_it(tmp_path: Path) -> None:
    prepare(tmp_path, "SELECT COUNT(*) AS n FROM events")
    with (tmp_path / "events.json").open("a") as file:
        file.write("{\n" + json.dumps(EVENT) + "\n")
    ended = harness("hunt", "events.json", "--book", "book.md", cwd=tmp_path)
    assert ended.code == 0, ended.said
    assert "Not read: 1 place\n    events.json:2: not an event: " in ended.out
    assert ended.out.endswith("2 events, 1 analytics, 1 of them found something\n")
    document = json.loads(harness("hunt", "events.json", "--book", "book.md", "--json", "-", cwd=tmp_path).out)
    assert (document["events"], document["broken_count"], document["broken"][0]["line"]) == (2, 1, 2)
    ended = harness("hunt", "events.json", "--book", "book.md", "--strict", cwd=tmp_path)
    assert (ended.code, ended.err.startswith("harness: events.json:2: not an event")) == (2, True)


def test_what_is_wrong_is_said(tmp_path: Path) -> None:
    prepare(tmp_path, "EXPLAIN \x1b DROP TABLE events")
    for arguments, said in (
        (("events.json", "--book", "book.md"), "book.md:6: First: is not "),
        (("absent.json", "--book", "absent.md"), "absent.md: cannot be read"),
        (("absent.json",), "absent.json: cannot be read"),
        ((), "Missing argument"),
    ):
        ended = harness("hunt", *arguments, cwd=tmp_path)
        assert ended.code == 2
        assert said in ended.err
        assert "\x1b" not in ended.said


@needs_spark
def test_spark_finds_the_same(tmp_path: Path) -> None:
    prepare(tmp_path, "SELECT Hostname, A, B FROM events WHERE EventID = 1")
    plain = harness("hunt", "events.json", "--book", "book.md", "--json", "-", cwd=tmp_path)
    ended = harness("hunt", "events.json", "--book", "book.md", "--engine", "spark", "--json", "-", cwd=tmp_path)
    assert (ended.code, ended.err) == (0, ""), ended.said
    assert json.loads(ended.out) == json.loads(plain.out)


def test_what_spark_lacks_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare(tmp_path, "SELECT Hostname FROM events")
    if not absent():
        monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    ended = harness("hunt", "events.json", "--book", "book.md", "--engine", "spark", cwd=tmp_path)
    assert ended.code == 2
    assert "the engine Spark cannot be used" in ended.err
    assert "Traceback" not in ended.said


@needs_spark
def test_spark_connect_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare(tmp_path, "SELECT Hostname FROM events")
    monkeypatch.setenv("SPARK_REMOTE", "sc://127.0.0.1")
    ended = harness("hunt", "events.json", "--book", "book.md", "--engine", "spark", cwd=tmp_path)
    assert ended.code == 2
    assert "SPARK_REMOTE" in ended.err
