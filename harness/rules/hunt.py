"""Analytics in Spark's SQL, run on DuckDB over recorded events.

Books are written by others. An analytic may be one query over the table of events and nothing else, and that is held twice: by its syntax
tree before it is run (`analytics.py`), and by a database that can open no file, load no extension and change no setting, within a limit
of time, memory and rows. duckdb is used here alone; this module must never know where events or books come from.

What differs between the two engines is bridged, so that an analytic finds what it finds on Spark (measured on the recordings of the
tests, where Spark's own counts are known):

- every column is text unless all its values are whole numbers; compared with a number it is read as one where it can be, as Spark does;
- a backslash escapes in Spark's LIKE, and not in DuckDB's;
- columns that differ in case alone (NXLog's ProcessID beside Sysmon's ProcessId) are told apart by exact spelling;
- a time is one in UTC without a zone, where Spark's is one of the session's zone;
- a column that no event has is null here, and named in `Finds.absent`; Spark would refuse the query.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Timer

import duckdb
import sqlglot
from sqlglot import exp

from harness.errors import Problem, UsageError
from harness.model.facts import Event
from harness.model.hunt import Analytic, Finds
from harness.rules.analytics import SECONDS, TABLE, Vetted, columns_of, first_line, vetted, wrong
from harness.rules.book import Book
from harness.rules.event_rows import Table, write_rows
from harness.rules.found_rows import shown

_MEMORY = "160MB"
"""What DuckDB may hold of tables while an analytic runs; beyond it, it writes to a directory of our own. It does not count single texts."""

_ADDRESS_SPACE = 640 << 20
"""Bytes by which the process may grow while an analytic runs, whatever it is that grows: a text that is repeated a million times, too."""

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
    analytics = vetted(books)
    with tempfile.TemporaryDirectory(prefix="harness-hunt-") as directory:
        rows = Path(directory) / "events.ndjson"
        table = write_rows(events, rows)
        names = _unique(table.columns)
        asked = [_fitted(each, names) for each in analytics]
        absent = {name.lower(): name for each in reversed(asked) for name in reversed(each.absent)}
        with _database(table, rows, absent.values()) as connection:
            spelt = {unique: name for name, unique in names.items()}
            return table.events, tuple(_find(connection, each, spelt, seconds) for each in asked)


def _unique(names: Iterable[str]) -> Mapping[str, str]:
    """By name as it is spelt, the name in the database, which does not tell case apart."""
    taken: set[str] = set()
    given: dict[str, str] = {}
    for name in names:
        unique, number = name, 1
        while unique.lower() in taken:
            number += 1
            unique = f"{name} ({number})"
        taken.add(unique.lower())
        given[name] = unique
    return given


# --- from Spark to DuckDB -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    analytic: Analytic
    sql: str
    absent: tuple[str, ...]


_COMPARED = exp.EQ | exp.NEQ | exp.GT | exp.GTE | exp.LT | exp.LTE | exp.NullSafeEQ
_OF_TEXT = exp.Like | exp.ILike | exp.RegexpLike | exp.RegexpILike | exp.Lower | exp.Upper | exp.Trim


def _fitted(asked: Vetted, names: Mapping[str, str]) -> _Asked:
    """The query as DuckDB takes it. Raises `UsageError` where a column's name fits several that differ in case alone."""
    analytic, query, columns = asked.analytic, asked.query, columns_of(asked, names)
    for column, name in columns.there:
        column.set("this", exp.to_identifier(names[name], quoted=True))
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
        sql = query.sql(dialect="duckdb", unsupported_level=sqlglot.ErrorLevel.RAISE)
    except (sqlglot.errors.SqlglotError, RecursionError) as error:
        raise wrong(analytic, f"cannot be said in DuckDB's SQL: {first_line(error)}") from error
    return _Asked(analytic=analytic, sql=sql, absent=columns.absent)


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
        rows, cut = shown(iter(connection.fetchone, None))
    return Finds(analytic=asked.analytic, columns=columns, rows=rows, cut=cut, absent=asked.absent)


@contextmanager
def _database(table: Table, rows: Path, absent: Collection[str]) -> Iterator[duckdb.DuckDBPyConnection]:
    """A database with the table of events in it, locked: from here on no file, no extension, no setting."""
    directory = rows.parent
    config = {**_CONFIG, "temp_directory": str(directory / "spill")}
    connection = duckdb.connect(str(directory / "events.duckdb"), config=config)
    try:
        try:
            _fill(connection, table, rows, absent)
        except duckdb.Error as error:
            raise UsageError(Problem(path="", what=f"the events fit no table: {first_line(error)}")) from error
        rows.unlink()
        connection.execute(f"SET memory_limit = '{_MEMORY}'")
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        yield connection
    finally:
        connection.close()


def _fill(connection: duckdb.DuckDBPyConnection, table: Table, rows: Path, absent: Collection[str]) -> None:
    names = _unique(table.columns)
    kinds = {name: "BIGINT" if table.whole[name] else "VARCHAR" for name in names}
    read = ", ".join(f"c{number}: '{kinds[name]}'" for name, number in table.columns.items())
    chosen = [f"c{number} AS {_quoted(names[name])}" for name, number in table.columns.items()]
    chosen += [f"NULL::VARCHAR AS {_quoted(name)}" for name in absent]
    source = f"read_json(?, format = 'newline_delimited', maximum_object_size = 33554432, columns = {{{read}}})"
    if not table.columns:  # no event at all: a table without rows, so that an analytic finds nothing and is not refused
        connection.execute(f"CREATE TABLE {TABLE} AS SELECT {', '.join(chosen) or '1 AS nothing'} WHERE false")
        return
    connection.execute(f"CREATE TABLE {TABLE} AS SELECT {', '.join(chosen)} FROM {source}", [str(rows)])  # noqa: S608 - names are quoted


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
        raise wrong(analytic, f"did not end within {seconds:g} s") from error
    except (duckdb.OutOfMemoryException, MemoryError) as error:
        raise wrong(analytic, "needs more memory than an analytic may have") from error
    except duckdb.Error as error:
        raise wrong(analytic, f"DuckDB cannot run it: {first_line(error)}") from error
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
