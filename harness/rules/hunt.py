"""Analytics in Spark's SQL, run on DuckDB over recorded events.

Books are written by others. An analytic may be one query over the table of events and nothing else, and that is held twice: by its syntax
tree before it is run, and by a database that can open no file, load no extension and change no setting, within a limit of time, memory
and rows. sqlglot and duckdb are used here alone; this module must never know where events or books come from.

What differs between the two engines is bridged, so that an analytic finds what it finds on Spark (measured on the recordings of the
tests, where Spark's own counts are known):

- every column is text unless all its values are whole numbers; compared with a number it is read as one where it can be, as Spark does;
- a backslash escapes in Spark's LIKE, and not in DuckDB's;
- columns that differ in case alone (NXLog's ProcessID beside Sysmon's ProcessId) are told apart by exact spelling;
- a time is one in UTC without a zone, where Spark's is one of the session's zone;
- a column that no event has is null here, and named in `Finds.absent`; Spark would refuse the query.
"""

from __future__ import annotations

import json
import logging
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from threading import Timer

import duckdb
import sqlglot
from sqlglot import exp

from harness.errors import Problem, UsageError
from harness.model.facts import Event
from harness.model.hunt import Analytic, Cell, Finds
from harness.rules.book import Book

SECONDS = 60.0
"""What one analytic may take. Those of a real hunt take a second on a million events."""

ROWS = 10_000
"""Rows of one analytic that are shown. A hunt is read by people."""

_CHARACTERS = 32 << 20
"""Characters of one analytic's rows, all together, that are shown."""

_SQL = 100_000
"""Characters of one analytic's SQL. It is parsed by recursion, so it is bounded before."""

_COLUMNS = 5_000
"""Columns of the table of events. A recording of all Windows logs has some hundreds."""

_MEMORY = "160MB"
"""What DuckDB may hold of tables while an analytic runs; beyond it, it writes to a directory of our own. It does not count single texts."""

_ADDRESS_SPACE = 640 << 20
"""Bytes by which the process may grow while an analytic runs, whatever it is that grows: a text that is repeated a million times, too."""

_TABLE = "events"

# sqlglot says on standard error, in the book's own words, that it takes a statement for an opaque command: it is refused here anyway.
logging.getLogger("sqlglot").setLevel(logging.ERROR)

_CONFIG: Mapping[str, str | bool | int | float | list[str]] = {
    "threads": 1,
    "memory_limit": "512MB",
    "max_temp_directory_size": "2GB",
    "python_enable_replacements": False,  # else a table's name may be that of a Python variable
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "allow_community_extensions": False,
}


def hunt(books: Sequence[Book], events: Iterable[Event], *, seconds: float = SECONDS) -> tuple[int, tuple[Finds, ...]]:
    """How many events there are, and what each analytic finds in them, in the books' order; each may take so many seconds.

    Raises `UsageError`: with every analytic that is not one query over the table of events, before an event is read; and with the first
    that DuckDB cannot run or that exceeds its limits.
    """
    parsed: list[tuple[Analytic, exp.Query]] = []
    problems: list[Problem] = []
    for book in books:
        for analytic in book.analytics:
            try:
                parsed.append((analytic, _query(analytic, book.tables)))
            except UsageError as error:
                problems.extend(error.problems)
    if problems:
        raise UsageError(*problems)
    with tempfile.TemporaryDirectory(prefix="harness-hunt-") as directory:
        rows = Path(directory) / "events.ndjson"
        table = _write(events, rows)
        asked = [_fitted(analytic, query, table) for analytic, query in parsed]
        with _database(table, rows) as connection:
            spelt = {unique: name for name, unique in table.names().items()}
            return table.events, tuple(_find(connection, each, spelt, seconds) for each in asked)


# --- what may be asked ----------------------------------------------------------------------------------------------------


def _query(analytic: Analytic, tables: Sequence[str]) -> exp.Query:
    """The analytic's syntax tree. Raises `UsageError` where it is anything but one query over the table of events."""
    if len(analytic.sql) > _SQL:
        raise _wrong(analytic, f"is longer than the {_SQL} characters that an analytic may have")
    try:
        statements = [each for each in sqlglot.parse(analytic.sql, read="spark") if each is not None]
    except (sqlglot.errors.SqlglotError, RecursionError) as error:
        raise _wrong(analytic, f"is not Spark SQL: {_first_line(error)}") from error
    if len(statements) != 1 or not isinstance(statements[0], exp.Query):
        raise _wrong(analytic, "is not one query", "SELECT ... alone: an analytic reads events and does nothing else")
    query = statements[0]
    own = {cte.alias.lower() for cte in query.find_all(exp.CTE)}
    for node in query.walk():
        if isinstance(node, exp.Command | exp.DDL | exp.DML | exp.Into) and not isinstance(node, exp.Query):
            raise _wrong(analytic, f"holds a statement inside the query: {node.key.upper()}")
        if isinstance(node, exp.Table) and not (isinstance(node.this, exp.Identifier) and not node.db and node.name.lower() in own):
            if not isinstance(node.this, exp.Identifier) or node.db or node.name.lower() not in {name.lower() for name in tables}:
                shown = node.sql(dialect="spark")
                raise _wrong(analytic, f"reads {shown}, which is not the table of events", f"FROM {' or '.join(tables)}")
            alias = node.alias or node.name
            node.set("this", exp.to_identifier(_TABLE))
            node.set("alias", exp.TableAlias(this=exp.to_identifier(alias, quoted=True)))
    return query


def _wrong(analytic: Analytic, what: str, fix: str = "") -> UsageError:
    return UsageError(Problem(path=analytic.book, line=analytic.line, what=f"{analytic.name}: {what}", fix=fix))


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


# --- the table ------------------------------------------------------------------------------------------------------------


@dataclass(slots=True, kw_only=True)
class _Table:
    """The columns that events have: by name as it is spelt, its number, and whether all its values are whole numbers."""

    events: int = 0
    columns: dict[str, int] = field(default_factory=dict)
    whole: dict[str, bool] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)  # asked for, and had by no event: by lower case, as first spelt

    def names(self) -> Mapping[str, str]:
        """By name as it is spelt, the name in the database, which does not tell case apart."""
        taken: set[str] = set()
        given: dict[str, str] = {}
        for name in self.columns:
            unique, number = name, 1
            while unique.lower() in taken:
                number += 1
                unique = f"{name} ({number})"
            taken.add(unique.lower())
            given[name] = unique
        return given


def _write(events: Iterable[Event], path: Path) -> _Table:
    """The events as lines that DuckDB reads, a number for each column's name; and what the columns are."""
    table = _Table()
    # What is no character (half of a surrogate pair) becomes a question mark: no database takes it.
    with path.open("w", encoding="utf-8", errors="replace") as file:
        for event in events:
            row: dict[str, Cell] = {}
            for name, value in _cells(event):
                number = table.columns.setdefault(name, len(table.columns))
                cell = row[f"c{number}"] = _written(value)
                table.whole[name] = table.whole.get(name, True) and isinstance(cell, int)
            if len(table.columns) > _COLUMNS:
                what = f"the events up to here have more than the {_COLUMNS} columns that a table may have"
                raise UsageError(Problem(path=event.id, what=what))
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
            table.events += 1
    return table


def _cells(event: Event) -> Iterator[tuple[str, object]]:
    """A document's fields under NXLog's names, which books use; winlogbeat's documents are laid flat under the same."""
    raw = event.raw
    winlog = raw.get("winlog")
    if not isinstance(winlog, Mapping):
        yield from ((name, value) for name, value in raw.items() if value is not None)
        return
    own = {
        "@timestamp": raw.get("@timestamp"),
        "Channel": event.channel,
        "EventID": event.event_id,
        "Hostname": winlog.get("computer_name"),
        "SourceName": event.provider,
        "Message": raw.get("message"),
    }
    data = winlog.get("event_data")
    fields = {**data, **own} if isinstance(data, Mapping) else own
    yield from ((str(name), value) for name, value in fields.items() if value is not None)


def _written(value: object) -> str | int:
    """A value as the table takes it: a whole number of 64 bits, or text; nested values and all others as JSON."""
    if isinstance(value, int) and not isinstance(value, bool) and -(1 << 63) <= value < 1 << 63:
        return value
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


# --- from Spark to DuckDB -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    analytic: Analytic
    sql: str
    absent: tuple[str, ...]


_COMPARED = exp.EQ | exp.NEQ | exp.GT | exp.GTE | exp.LT | exp.LTE | exp.NullSafeEQ
_OF_TEXT = exp.Like | exp.ILike | exp.RegexpLike | exp.RegexpILike | exp.Lower | exp.Upper | exp.Trim


def _fitted(analytic: Analytic, query: exp.Query, table: _Table) -> _Asked:
    """The query as DuckDB takes it. Raises `UsageError` where a column's name fits several that differ in case alone."""
    absent = _resolve_columns(analytic, query, table)
    for node in list(query.walk()):
        if isinstance(node, _COMPARED):
            _read_number(node.left, [node.right])
            _read_number(node.right, [node.left])
        elif isinstance(node, exp.In):
            _read_number(node.this, node.expressions)
        elif isinstance(node, exp.Between):
            _read_number(node.this, [node.args["low"], node.args["high"]])
        elif isinstance(node, _OF_TEXT) and isinstance(node.this, exp.Column):
            node.this.replace(exp.cast(node.this.copy(), "text"))
        elif isinstance(node, exp.DataType) and node.is_type("timestamptz", "timestampltz"):
            node.set("this", exp.DType.TIMESTAMP)
        if isinstance(node, exp.Like | exp.ILike) and not isinstance(node.parent, exp.Escape) and "\\" in node.expression.name:
            node.replace(exp.Escape(this=node.copy(), expression=exp.Literal.string("\\")))
    try:
        return _Asked(analytic=analytic, sql=query.sql(dialect="duckdb", unsupported_level=sqlglot.ErrorLevel.RAISE), absent=absent)
    except (sqlglot.errors.SqlglotError, RecursionError) as error:
        raise _wrong(analytic, f"cannot be said in DuckDB's SQL: {_first_line(error)}") from error


def _resolve_columns(analytic: Analytic, query: exp.Query, table: _Table) -> tuple[str, ...]:
    """Give every column the name that it has in the database; the names that no event has are returned, and will be null."""
    given = table.names()
    folded: dict[str, list[str]] = {}
    for name in given:
        folded.setdefault(name.lower(), []).append(name)
    named_here = {node.alias_or_name.lower() for node in query.find_all(exp.Alias, exp.TableAlias, exp.CTE)}
    named_here |= {column.name.lower() for node in query.find_all(exp.TableAlias) for column in node.args.get("columns") or ()}
    absent: dict[str, str] = {}
    for column in query.find_all(exp.Column):
        if not isinstance(column.this, exp.Identifier):
            continue
        name = column.name
        alike = folded.get(name.lower(), [])
        if name in given or len(alike) == 1:
            column.set("this", exp.to_identifier(given[name if name in given else alike[0]], quoted=True))
        elif alike:
            raise _wrong(analytic, f"the column {name} may be any of {', '.join(alike)}", "spell it as the event does")
        elif name.lower() not in named_here:
            absent.setdefault(name.lower(), name)
            table.absent.setdefault(name.lower(), name)
    return tuple(absent.values())


def _read_number(column: exp.Expr, others: Sequence[exp.Expr]) -> None:
    """Where a column is compared with numbers, read it as one; null where it is none."""
    literals = [other.this if isinstance(other, exp.Neg) else other for other in others]
    if isinstance(column, exp.Column) and literals and all(isinstance(each, exp.Literal) and not each.is_string for each in literals):
        kind = "bigint" if all(each.is_int for each in literals) else "double"
        column.replace(exp.TryCast(this=column.copy(), to=exp.DataType.build(kind)))


# --- running --------------------------------------------------------------------------------------------------------------


def _find(connection: duckdb.DuckDBPyConnection, asked: _Asked, spelt: Mapping[str, str], seconds: float) -> Finds:
    with _bounded(connection, asked.analytic, seconds):
        connection.execute(asked.sql)
        columns = tuple(spelt.get(str(column[0]), str(column[0])) for column in connection.description or ())
        rows, cut = _fetched(connection)
    return Finds(analytic=asked.analytic, columns=columns, rows=rows, cut=cut, absent=asked.absent)


@contextmanager
def _database(table: _Table, rows: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A database with the table of events in it, locked: from here on no file, no extension, no setting."""
    directory = rows.parent
    config = {**_CONFIG, "temp_directory": str(directory / "spill")}
    connection = duckdb.connect(str(directory / "events.duckdb"), config=config)
    try:
        try:
            _fill(connection, table, rows)
        except duckdb.Error as error:
            raise UsageError(Problem(path="", what=f"the events fit no table: {_first_line(error)}")) from error
        rows.unlink()
        connection.execute(f"SET memory_limit = '{_MEMORY}'")
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        yield connection
    finally:
        connection.close()


def _fill(connection: duckdb.DuckDBPyConnection, table: _Table, rows: Path) -> None:
    names = table.names()
    kinds = {name: "BIGINT" if table.whole[name] else "VARCHAR" for name in names}
    read = ", ".join(f"c{number}: '{kinds[name]}'" for name, number in table.columns.items())
    chosen = [f"c{number} AS {_quoted(names[name])}" for name, number in table.columns.items()]
    chosen += [f"NULL::VARCHAR AS {_quoted(name)}" for name in table.absent.values()]
    source = f"read_json(?, format = 'newline_delimited', maximum_object_size = 33554432, columns = {{{read}}})"
    if not table.columns:  # no event at all: a table without rows, so that an analytic finds nothing and is not refused
        connection.execute(f"CREATE TABLE {_TABLE} AS SELECT {', '.join(chosen) or '1 AS nothing'} WHERE false")
        return
    connection.execute(f"CREATE TABLE {_TABLE} AS SELECT {', '.join(chosen)} FROM {source}", [str(rows)])  # noqa: S608 - names are quoted


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


@contextmanager
def _bounded(connection: duckdb.DuckDBPyConnection, analytic: Analytic, seconds: float) -> Iterator[None]:
    timer = Timer(seconds, connection.interrupt)
    timer.start()
    try:
        with _growing_little():
            yield
    except duckdb.InterruptException as error:
        raise _wrong(analytic, f"did not end within {seconds:g} s") from error
    except (duckdb.OutOfMemoryException, MemoryError) as error:
        raise _wrong(analytic, "needs more memory than an analytic may have") from error
    except duckdb.Error as error:
        raise _wrong(analytic, f"DuckDB cannot run it: {_first_line(error)}") from error
    finally:
        timer.cancel()
        timer.join()


@contextmanager
def _growing_little() -> Iterator[None]:
    """A ceiling on the process's address space, on Linux, which has one and says how much is used. Elsewhere DuckDB's own must do."""
    if sys.platform != "linux":
        yield
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    ceiling = used + _ADDRESS_SPACE
    resource.setrlimit(resource.RLIMIT_AS, (ceiling if soft == resource.RLIM_INFINITY else min(soft, ceiling), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _fetched(connection: duckdb.DuckDBPyConnection) -> tuple[tuple[tuple[Cell, ...], ...], bool]:
    found: list[tuple[Cell, ...]] = []
    characters = 0
    while (row := connection.fetchone()) is not None:
        cells = tuple(_cell(value) for value in row)
        characters += sum(len(cell) for cell in cells if isinstance(cell, str))
        if len(found) == ROWS or characters > _CHARACTERS:
            return tuple(found), True
        found.append(cells)
    return tuple(found), False


def _cell(value: object) -> Cell:
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float) and isfinite(value):
        return value
    return str(value)
