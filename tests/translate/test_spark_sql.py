"""Spark SQL: it parses, and `harness hunt` finds with it what the matcher finds with the rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
import sqlglot

from harness.events.read import read_event
from harness.logic.match import matcher
from harness.model.facts import Event
from harness.model.hunt import Analytic
from harness.model.intent import Rule
from harness.rules.book import Book
from harness.rules.hunt import hunt
from harness.translate.spark_sql import spark_sql
from tests.needs import needs_recordings
from tests.translate.rules import hits, on, recorded, telling


def counts(rules: Sequence[Rule], events: Sequence[Event]) -> Mapping[str, int]:
    """By rule, how many rows its query finds."""
    analytics = []
    for rule in rules:
        sql, _ = spark_sql(rule)
        sqlglot.parse_one(sql, dialect="spark")
        counting = sql.replace("SELECT *", "SELECT count(*) AS found", 1)
        analytics.append(Analytic(name=rule.id, description="", sql=counting, book="made", line=1))
    _, finds = hunt([Book(path="made", analytics=tuple(analytics), tables=("events",))], events)
    return {each.analytic.name: int(str(each.rows[0][0])) for each in finds}


EVENTS = [
    read_event(
        {"EventID": 7, "Channel": "Made", "Hostname": "ws1", "SourceName": "Made", "@timestamp": "2026-01-01T00:00:00Z", **fields}, "1"
    )
    for fields in (
        {"Image": "C:\\Windows\\CMD.exe", "Count": "15", "User": "LAB\\Anna", "Text": "it's 100%_ ${x} \\d\r\n"},
        {"Image": "c:\\windows\\cmd.exe", "Count": "7", "User": "x", "Other": "X"},
        {"Count": "many", "Ip": "10.1.2.3", "Text": "ab"},
        {"Ip": "fe80::1", "Text": "AB"},
    )
]


@pytest.mark.parametrize(
    "selection",
    [
        {"Image|endswith": "\\cmd.exe"},
        {"Image|cased": "c:\\windows\\cmd.exe"},
        {"Image": "?:\\*\\cmd.*"},
        {"Image": None},
        {"Image|exists": True},
        {"Count": 15},
        {"Count": [15, 7]},
        {"Count|gt": 7},
        {"EventID": 7},
        {"Ip|cidr": ["10.0.0.0/8", "fe80::/10"]},
        {"Text|contains": "it's 100%_"},
        {"Text|contains": "${x} \\d\r\n"},
        {"Text|contains|cased": "AB"},
        {"Text|re": "^a.$"},
        {"Text|re|i": "^a.$"},
        {"User|fieldref": "Other"},
    ],
)
def test_single_tests_and_their_negations(selection: dict[str, object]) -> None:
    for condition in ("selection and asked", "selection and not asked"):
        rule = on("made", {}, selections={"asked": selection}, condition=condition)
        fits = matcher(rule.logic)
        assert counts([rule], EVENTS)[rule.id] == sum(fits(event) for event in EVENTS)


def test_keywords_are_asked_of_all_columns() -> None:
    sql, notes = spark_sql(on("made", {}, selections={"words": ["a'b"]}, condition="selection and words"))
    sqlglot.parse_one(sql, dialect="spark")
    assert "contains(lower(everything), 'a\\'b')" in sql
    assert any("all columns" in note for note in notes)


@needs_recordings
def test_recordings() -> None:
    rules = telling(60, seed=41)
    found = counts(rules, recorded())
    assert found == {rule.id: len(hits().get(rule.id, ())) for rule in rules}
