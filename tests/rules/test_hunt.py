"""Analytics on DuckDB: the rows that Spark finds, and nothing that an analytic must not do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.events.read import read_event, read_events
from harness.events.winlogbeat import render
from harness.model.facts import Event
from harness.model.hunt import Analytic, Cell, Finds
from harness.rules import hunt as module
from harness.rules.book import Book, read_books
from harness.rules.event_rows import write_rows
from harness.rules.found_rows import ROWS
from harness.rules.hunt import hunt
from tests.events.event_builders import process_created
from tests.needs import DATA, ROOT, needs_recordings
from tests.rules.sigma_data import LAB_RULES


def event(**fields: object) -> Event:
    """An event as NXLog has it."""
    own = {"EventID": 1, "Channel": "Security", "Hostname": "ws1", "SourceName": "x", "@timestamp": "2026-01-01T00:00:00Z"}
    return read_event(own | fields, "1")


def finds(sql: str, *events: Event, seconds: float = 20) -> Finds:
    analytic = Analytic(name="A", description="", sql=sql, book="b.md", line=7)
    _, (found,) = hunt([Book(path="b.md", analytics=(analytic,), tables=("events", "sdTable"))], events, seconds=seconds)
    return found


def rows(sql: str, *events: Event) -> list[tuple[Cell, ...]]:
    return list(finds(sql, *events).rows)


EVENTS = [
    event(EventID=3, DestPort="5985", User="NT AUTHORITY\\SYSTEM", ProcessID="4", ProcessId="0x4", Name="a_b", Nested={"x": [1]}, Yes=True),
    event(EventID=3, DestPort="http", User="NT AUTHORITY\\NETWORK SERVICE", ProcessID=5, ProcessId="0x5", Name="axb", Text="\ud800|\x00"),
    event(EventID=400, User=None),
]


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        # a text compared with a number is one where it can be, and null where not
        ("SELECT DestPort FROM sdTable WHERE DestPort = 5985 OR 5986 = DestPort", [("5985",)]),
        ("SELECT COUNT(*) FROM sdTable WHERE NOT DestPort = 5985", [(0,)]),
        ("SELECT EventID FROM events WHERE EventID IN (400, 403) AND EventID BETWEEN 1 AND 500 AND EventID > -1", [(400,)]),
        ("SELECT DestPort FROM events WHERE DestPort IN (5985) AND DestPort < 5985.5", [("5985",)]),
        # double quotes are texts, a backslash in a text is escaped by one
        (r'SELECT DestPort FROM events WHERE NOT User = "NT AUTHORITY\\NETWORK SERVICE"', [("5985",)]),
        # LIKE's own escape
        (r"SELECT Name FROM events WHERE Name LIKE 'a\\_b'", [("a_b",)]),
        ("SELECT Name FROM events WHERE Name LIKE 'a_b' ORDER BY Name", [("a_b",), ("axb",)]),
        ("SELECT COUNT(*) FROM events WHERE LOWER(EventID) LIKE '4%'", [(1,)]),
        # exact spelling tells columns apart
        ("SELECT ProcessID, `ProcessId` FROM events WHERE ProcessID = 5", [("5", "0x5")]),
        ("SELECT e.ProcessId FROM events e WHERE e.processid2 IS NULL AND e.ProcessID = 4", [("0x4",)]),
        ("SELECT desTPort AS p FROM sdTable WHERE p IS NOT NULL AND Nested IS NOT NULL", [("5985",)]),
        ("SELECT Nested, Yes FROM events WHERE Yes = 'true'", [('{"x": [1]}', "true")]),
        ("SELECT Text FROM events WHERE Text IS NOT NULL", [("?|\x00",)]),
        ("WITH w AS (SELECT Name AS n FROM sdTable) SELECT n FROM w WHERE n LIKE 'ax%'", [("axb",)]),
        ("SELECT EventID, COUNT(*) AS c FROM events GROUP BY EventID HAVING c > 1", [(3, 2)]),
        ("SELECT Absent FROM events WHERE EventID = 400", [(None,)]),
        # what JSON has no word for is text; times are in UTC
        ("SELECT CAST('nan' AS DOUBLE) FROM events WHERE EventID = 400", [("nan",)]),
        ("SELECT CAST(`@timestamp` AS TIMESTAMP) FROM events WHERE EventID = 400", [("2026-01-01 00:00:00",)]),
        ("SELECT EventID FROM events WHERE CAST(`@timestamp` AS TIMESTAMP) > TIMESTAMP '2026-01-01 00:00:01'", []),
    ],
)
def test_what_spark_means(sql: str, expected: list[tuple[Cell, ...]]) -> None:
    assert rows(sql, *EVENTS) == expected


def test_columns_bear_the_names_of_the_events() -> None:
    found = finds("SELECT * FROM events WHERE ProcessID = 5", *EVENTS)
    assert Counter(found.columns)["ProcessID"] == Counter(found.columns)["ProcessId"] == 1
    assert dict(zip(found.columns, found.rows[0], strict=True))["ProcessId"] == "0x5"


def test_a_column_that_no_event_has_is_named() -> None:
    found = finds("SELECT Nothing FROM events WHERE LOWER(Nowhere) = 'x' OR nothing = 1", *EVENTS)
    assert (found.rows, found.absent) == ((), ("Nothing", "Nowhere"))


def test_no_event_at_all_finds_nothing() -> None:
    assert rows("SELECT Hostname FROM events") == []
    assert rows("SELECT COUNT(*) FROM events") == [(0,)]


def test_winlogbeats_documents_have_the_columns_that_books_ask_for() -> None:
    document = read_event(render(process_created()), "1")
    sql = "SELECT Channel, EventID, Hostname, Message, NewProcessName FROM events WHERE LOWER(Channel) = 'security' AND EventID = 4688"
    assert rows(sql, document) == [
        ("Security", 4688, "WS1.lab.example", "A new process has been created.", "C:\\Windows\\System32\\whoami.exe")
    ]


SECRET = ROOT / "README.md"


@pytest.mark.parametrize(
    "sql",
    [
        "",
        "-- nothing",
        "SELECT",
        "SELECT 1; SELECT 2",
        f"COPY events TO '{SECRET}'",
        "ATTACH 'x.db'",
        "PRAGMA database_list",
        "SET threads = 4",
        "INSTALL httpfs",
        "LOAD httpfs",
        "EXPLAIN SELECT 1",
        "CREATE TABLE x AS SELECT 1",
        "INSERT INTO events VALUES (1)",
        "DROP TABLE events",
        f"SELECT * FROM read_csv('{SECRET}')",
        f"SELECT * FROM `{SECRET}`",
        f"SELECT * FROM csv.`{SECRET}`",
        f"SELECT * FROM (SELECT * FROM read_text('{SECRET}')) t",
        f"WITH x AS (SELECT * FROM '{SECRET}') SELECT * FROM x",
        f"SELECT read_text('{SECRET}')",
        f"SELECT (SELECT content FROM read_text('{SECRET}')) FROM events",
        "SELECT * FROM duckdb_settings()",
        "SELECT * FROM information_schema.tables",
        "SELECT * FROM range(1000000000000)",
        "SELECT * FROM EVENTS2",
        "SELECT getenv('HOME')",
        "SELECT processid FROM events",
        "SELECT no_such_function(1) FROM events",
        "SELECT " + "(" * 4000 + "1" + ")" * 4000,
        "SELECT " + "1 + " * 40_000 + "1",
    ],
    ids=lambda sql: sql[:40],
)
def test_an_analytic_is_one_query_over_the_events_and_nothing_else(sql: str) -> None:
    before = SECRET.read_bytes()
    with pytest.raises(UsageError) as caught:
        finds(sql, *EVENTS)
    assert str(caught.value).startswith("b.md:7: A: ")
    assert SECRET.read_bytes() == before


def test_the_database_is_locked_even_for_what_the_syntax_would_let_pass(tmp_path: Path) -> None:
    """The second of the two walls, by itself."""
    import duckdb

    written = tmp_path / "events.ndjson"
    table = write_rows(EVENTS, written)
    with module._database(table, written, ()) as connection:
        for sql in (
            f"COPY events TO '{tmp_path / 'out.csv'}'",
            f"ATTACH '{tmp_path / 'x.db'}'",
            f"SELECT * FROM read_text('{SECRET}')",
            f"SELECT * FROM '{SECRET}'",
            "SELECT * FROM table",  # a variable of this very function
            "SET enable_external_access = true",
            "SET memory_limit = '64GB'",
            "INSTALL httpfs",
            "LOAD httpfs",
        ):
            with pytest.raises(duckdb.Error):
                connection.execute(sql).fetchall()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["events.duckdb"]


ENDLESS = "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r) SELECT {} FROM r"


def test_an_endless_query_is_ended() -> None:
    with pytest.raises(UsageError, match=r"did not end within 0\.3 s"):
        finds(ENDLESS.format("COUNT(*)"), *EVENTS, seconds=0.3)


def test_endless_rows_are_cut() -> None:
    found = finds(ENDLESS.format("n"), *EVENTS)
    assert (len(found.rows), found.cut) == (ROWS, True)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT repeat('x', 4000000000) FROM events",
        "WITH RECURSIVE r AS (SELECT Hostname AS n FROM events UNION ALL SELECT n || n FROM r) SELECT MAX(length(n)) FROM r",
    ],
)
def test_memory_is_bounded(sql: str) -> None:
    with pytest.raises(UsageError, match="memory"):
        finds(sql, *EVENTS)


def test_every_analytic_that_is_wrong_is_named_before_an_event_is_read() -> None:
    def unread() -> Iterator[Event]:
        pytest.fail("an event was read")
        yield event()

    made = tuple(Analytic(name=name, description="", sql="DROP TABLE events", book="b.md", line=1) for name in "AB")
    with pytest.raises(UsageError) as caught:
        hunt([Book(path="b.md", analytics=made, tables=("events",))], unread())
    assert len(caught.value.problems) == 2


def test_too_many_columns_are_refused() -> None:
    with pytest.raises(UsageError, match="columns"):
        finds("SELECT 1 FROM events", event(**{f"f{number}": "x" for number in range(6_000)}))


@needs_recordings
@pytest.mark.parametrize(
    ("name", "counts"), [("empire_psremoting_stager", [1, 3, 2, 2, 6]), ("covenant_psremoting_command", [1, 3, 1, 1, 6])]
)
def test_seed_000_finds_what_spark_found(name: str, counts: list[int]) -> None:
    (seed,) = (DATA.parent / "seeds").glob("000*")
    _, found = hunt(read_books(seed), read_events(DATA / "otrf" / f"{name}.zip"))
    assert [len(each.rows) for each in found] == counts


@needs_recordings
@pytest.mark.parametrize(("name", "counts"), [("empire_psremoting_stager", [1, 2, 1]), ("covenant_psremoting_command", [1, 0, 1])])
def test_our_own_pack(name: str, counts: list[int]) -> None:
    _, found = hunt(read_books(LAB_RULES / "hunts"), read_events(DATA / "otrf" / f"{name}.zip"))
    assert [len(each.rows) for each in found] == counts
    assert found[0].rows[0][:3] == ("WORKSTATION6.theshire.local", "172.18.39.5", 3)


@needs_recordings
@pytest.mark.parametrize("name", ["empire_launcher_vbs.zip", "covenant_persistwmi.tar.gz", "cmd_bitsadmin_download_psh_script.zip"])
def test_our_own_pack_is_quiet_where_nobody_remoted(name: str) -> None:
    _, found = hunt(read_books(LAB_RULES / "hunts"), read_events(DATA / "otrf" / name))
    assert [len(each.rows) for each in found[1:]] == [0, 0]
