"""Analytics on Spark: the rows that DuckDB finds too, and nothing that an analytic must not do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.errors import UsageError
from harness.events.read import read_events
from harness.model.facts import Event
from harness.model.hunt import Analytic, Cell, Finds
from harness.rules.analytics import Vetted, vetted
from harness.rules.book import Book, read_books
from harness.rules.found_rows import ROWS
from harness.rules.hunt import hunt
from harness.rules.hunt_spark import _must_only_read, hunt_on_spark
from tests.needs import DATA, needs_recordings, needs_spark
from tests.rules.sigma_data import LAB_RULES
from tests.rules.test_hunt import EVENTS, SECRET, event

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = needs_spark


def book(*sql: str) -> Book:
    analytics = tuple(Analytic(name=f"A{number}", description="", sql=each, book="b.md", line=7) for number, each in enumerate(sql))
    return Book(path="b.md", analytics=analytics, tables=("events", "sdTable"))


def finds(spark: SparkSession, sql: str, *events: Event, seconds: float = 20) -> Finds:
    _, (found,) = hunt_on_spark([book(sql)], events, spark, seconds=seconds)
    return found


ALIKE = [
    "SELECT DestPort FROM sdTable WHERE DestPort = 5985 OR 5986 = DestPort",
    "SELECT COUNT(*) FROM sdTable WHERE NOT DestPort = 5985",
    "SELECT EventID FROM events WHERE EventID IN (400, 403) AND EventID BETWEEN 1 AND 500 AND EventID > -1",
    "SELECT DestPort FROM events WHERE DestPort IN (5985) AND DestPort < 5985.5",
    r'SELECT DestPort FROM events WHERE NOT User = "NT AUTHORITY\\NETWORK SERVICE"',
    r"SELECT Name FROM events WHERE Name LIKE 'a\\_b'",
    "SELECT ProcessID, `ProcessId` FROM events WHERE ProcessID = 5",
    "SELECT e.ProcessId FROM events e WHERE e.processid2 IS NULL AND e.ProcessID = 4",
    "SELECT desTPort AS p, Nested FROM sdTable WHERE desTPort IS NOT NULL AND Yes = 'true'",
    "SELECT Text FROM events WHERE Text IS NOT NULL ORDER BY Name",
    "WITH w AS (SELECT Name AS n FROM sdTable) SELECT n FROM w WHERE n LIKE 'ax%'",
    "SELECT EventID, COUNT(*) AS c FROM events GROUP BY EventID HAVING c > 1",
    "SELECT * FROM events WHERE EventID = 400",
    "SELECT Name FROM EVENTS WHERE name = 'a_b' -- all of it",
    "SELECT CAST(`@timestamp` AS TIMESTAMP), Absent, CAST('nan' AS DOUBLE) FROM events WHERE LOWER(EventID) LIKE '4%'",
    "SELECT a.Name FROM events a JOIN sdTable b ON a.Name = b.Name WHERE a.EventID = (SELECT MIN(EventID) FROM events)",
    "SELECT Name FROM events WHERE Name IN (SELECT Name FROM sdTable) UNION ALL SELECT Hostname FROM events WHERE EventID = 400",
    "SELECT '${env:HOME}' FROM events WHERE EventID = 400",
]


def test_what_duckdb_means(spark: SparkSession) -> None:
    on_duckdb = hunt([book(*ALIKE)], EVENTS)
    on_spark = hunt_on_spark([book(*ALIKE)], EVENTS, spark)
    assert [(each.analytic.sql, Counter(each.rows), each.absent) for each in on_spark[1]] == [
        (each.analytic.sql, Counter(each.rows), each.absent) for each in on_duckdb[1]
    ]
    assert all(each.rows for each in on_spark[1])


def test_columns_bear_the_names_of_the_events(spark: SparkSession) -> None:
    found = finds(spark, "SELECT *, NAMED_STRUCT('a', EventID) AS s FROM events WHERE ProcessID = 5", *EVENTS)
    row = dict(zip(found.columns, found.rows[0], strict=True))
    assert (row["ProcessID"], row["ProcessId"], row["s"]) == ("5", "0x5", "{'a': 3}")


def test_no_event_at_all_finds_nothing(spark: SparkSession) -> None:
    _, found = hunt_on_spark([book("SELECT Hostname FROM events", "SELECT COUNT(*) FROM events")], [], spark)
    assert [each.rows for each in found] == [(), ((0,),)]


REFUSED = [
    "",
    "SELECT 1; SELECT 2",
    "SET spark.sql.ansi.enabled = true",
    "CREATE TABLE x AS SELECT 1",
    "INSERT INTO events VALUES (1)",
    f"SELECT * FROM text.`{SECRET}`",
    f"SELECT * FROM `{SECRET}`",
    f"SELECT * FROM (SELECT * FROM csv.`{SECRET}`) t",
    f"SELECT * FROM IDENTIFIER('text.`{SECRET}`')",
    "SELECT * FROM range(1000000000000)",
    "SELECT * FROM elsewhere",
    "SELECT TRANSFORM(Name) USING 'cat' AS (x) FROM events",
    "SELECT REFLECT('java.lang.System', 'exit', 1) FROM events",
    "SELECT java_method('java.lang.System', 'exit', 1) FROM events",
    "SELECT Name FROM events WHERE try_reflect('java.lang.System', 'exit', 1) IS NULL",
    "BEGIN SELECT 1; END",
    "SELECT processid FROM events",
    "SELECT ProcessID, name FROM events",
    "SELECT no_such_function(1) FROM events",
]


@pytest.mark.parametrize("sql", REFUSED, ids=lambda sql: sql[:40])
def test_an_analytic_is_one_query_over_the_events_and_nothing_else(spark: SparkSession, sql: str) -> None:
    with pytest.raises(UsageError) as caught:
        finds(spark, sql, *EVENTS)
    assert str(caught.value).startswith("b.md:7: A0: ")


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("CREATE TABLE x AS SELECT 1", "more than a query"),
        ("SELECT TRANSFORM(Name) USING 'cat' AS (x) FROM events", "more than a query"),
        ("SELECT * FROM range(10)", "more than a query"),
        ("SELECT * FROM IDENTIFIER('ev' || 'ents')", "more than a query"),
        (f"SELECT * FROM IDENTIFIER('text.`{SECRET}`')", "not the table of events"),
        ("SELECT IDENTIFIER('reflect')('java.lang.System', 'exit', 1) FROM events", "more than a query"),
        (f"SELECT (SELECT MAX(value) FROM text.`{SECRET}`) FROM events", "not the table of events"),
        (f"WITH w AS (SELECT * FROM text.`{SECRET}`) SELECT * FROM w", "not the table of events"),
        ("SELECT 1 FROM events WHERE EXISTS (SELECT system.builtin.reflect('java.lang.System', 'exit', 1))", "more than read"),
        ("SELECT 1 FROM events WHERE EXISTS (SELECT 1", "cannot run it"),
    ],
)
def test_sparks_own_reading_of_the_text_is_vetted_too(spark: SparkSession, sql: str, said: str) -> None:
    """The second of the two walls, by itself: as if the first had read another query."""
    (harmless,) = vetted([book("SELECT * FROM events")])
    analytic = Analytic(name="A", description="", sql=sql, book="b.md", line=7)
    with pytest.raises(UsageError, match=said):
        _must_only_read(Vetted(analytic=analytic, query=harmless.query, tables=harmless.tables), spark)


def test_every_analytic_that_is_wrong_is_named_before_an_event_is_read(spark: SparkSession) -> None:
    def unread() -> Iterator[Event]:
        pytest.fail("an event was read")
        yield event()

    with pytest.raises(UsageError) as caught:
        hunt_on_spark([book("DROP TABLE events", "SELECT 1 FROM events", "SET x = 1")], unread(), spark)
    assert len(caught.value.problems) == 2


MANY = "events a, events b, events c, events d"


def test_an_endless_query_is_ended(spark: SparkSession) -> None:
    with pytest.raises(UsageError, match=r"did not end within 1 s"):
        finds(spark, f"SELECT SUM(LENGTH(CONCAT(a.Name, b.Name, c.Name, d.Name))) FROM {MANY}", *(EVENTS * 200), seconds=1)


def test_rows_without_end_are_cut(spark: SparkSession) -> None:
    found = finds(spark, f"SELECT a.EventID FROM {MANY}", *(EVENTS * 5))
    assert (len(found.rows), found.cut) == (ROWS, True)


def test_a_query_that_fails_is_told_in_one_line(spark: SparkSession) -> None:
    with pytest.raises(UsageError) as caught:
        finds(spark, "SELECT RAISE_ERROR(Hostname) FROM events", *EVENTS)
    assert "\n" not in str(caught.value)
    assert "ws1" in str(caught.value)


def rows(found: Finds) -> Counter[tuple[tuple[str, Cell], ...]]:
    return Counter(tuple(zip(found.columns, row, strict=True)) for row in found.rows)


@needs_recordings
@pytest.mark.parametrize(
    ("name", "counts"), [("empire_psremoting_stager", [1, 3, 2, 2, 6]), ("covenant_psremoting_command", [1, 3, 1, 1, 6])]
)
def test_seed_000_and_our_own_pack_find_what_duckdb_finds(spark: SparkSession, name: str, counts: list[int]) -> None:
    (seed,) = (DATA.parent / "seeds").glob("000*")
    books = [*read_books(seed), *read_books(LAB_RULES / "hunts")]
    recording: Path = DATA / "otrf" / f"{name}.zip"
    on_spark = hunt_on_spark(books, read_events(recording), spark)
    on_duckdb = hunt(books, read_events(recording))
    assert [len(each.rows) for each in on_spark[1]][:5] == counts
    assert on_spark[0] == on_duckdb[0]
    assert [rows(each) for each in on_spark[1]] == [rows(each) for each in on_duckdb[1]]
