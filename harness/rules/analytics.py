"""Which analytics of a book may be run, and which columns they ask for: read off their syntax trees, before anything is run.

Books are written by others. An analytic may be one query over the table of events and nothing else. sqlglot reads Spark's SQL here; this
module must never know which engine is asked, or where events or books come from.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import sqlglot
from sqlglot import exp

from harness.errors import Problem, UsageError
from harness.model.hunt import Analytic
from harness.rules.book import Book

SECONDS = 60.0
"""What one analytic may take. Those of a real hunt take a second on a million events."""

_SQL = 100_000
"""Characters of one analytic's SQL. It is parsed by recursion, so it is bounded before."""

FORBIDDEN = frozenset({"java_method", "reflect", "try_reflect"})
"""Functions of Spark that call any method of Java."""

TABLE = "events"
"""The name that the table of events has in every analytic's tree."""

# sqlglot says on standard error, in the book's own words, that it takes a statement for an opaque command: it is refused here anyway.
logging.getLogger("sqlglot").setLevel(logging.ERROR)


@dataclass(frozen=True, slots=True, kw_only=True)
class Vetted:
    """An analytic that is one query over the table of events: its tree, and how it spells the names of that table."""

    analytic: Analytic
    query: exp.Query
    tables: frozenset[str]


def vetted(books: Sequence[Book]) -> tuple[Vetted, ...]:
    """The books' analytics in their order. Raises `UsageError` with every one that is anything else than one query over the events."""
    found: list[Vetted] = []
    problems: list[Problem] = []
    for book in books:
        for analytic in book.analytics:
            try:
                found.append(_vetted(analytic, book.tables))
            except UsageError as error:
                problems.extend(error.problems)
    if problems:
        raise UsageError(*problems)
    return tuple(found)


def _vetted(analytic: Analytic, tables: Sequence[str]) -> Vetted:
    if len(analytic.sql) > _SQL:
        raise wrong(analytic, f"is longer than the {_SQL} characters that an analytic may have")
    try:
        statements = [each for each in sqlglot.parse(analytic.sql, read="spark") if each is not None]
    except (sqlglot.errors.SqlglotError, RecursionError) as error:
        raise wrong(analytic, f"is not Spark SQL: {first_line(error)}") from error
    if len(statements) != 1 or not isinstance(statements[0], exp.Query):
        raise wrong(analytic, "is not one query", "SELECT ... alone: an analytic reads events and does nothing else")
    query = statements[0]
    spelt: set[str] = set()
    own = {cte.alias.lower() for cte in query.find_all(exp.CTE)}
    for node in query.walk():
        if isinstance(node, exp.Command | exp.DDL | exp.DML | exp.Into | exp.QueryTransform) and not isinstance(node, exp.Query):
            raise wrong(analytic, f"holds a statement inside the query: {node.key.upper()}")
        if isinstance(node, exp.Func) and _called(node) in FORBIDDEN:
            raise wrong(analytic, f"calls {_called(node)}, which does more than read events")
        if isinstance(node, exp.Table) and not (isinstance(node.this, exp.Identifier) and not node.db and node.name.lower() in own):
            if not isinstance(node.this, exp.Identifier) or node.db or node.name.lower() not in {name.lower() for name in tables}:
                shown = node.sql(dialect="spark")
                raise wrong(analytic, f"reads {shown}, which is not the table of events", f"FROM {' or '.join(tables)}")
            spelt.add(node.name)
            alias = node.alias or node.name
            node.set("this", exp.to_identifier(TABLE))
            node.set("alias", exp.TableAlias(this=exp.to_identifier(alias, quoted=True)))
    return Vetted(analytic=analytic, query=query, tables=frozenset(spelt))


def _called(function: exp.Func) -> str:
    return (function.name if isinstance(function, exp.Anonymous) else function.sql_name()).lower()


def wrong(analytic: Analytic, what: str, fix: str = "") -> UsageError:
    """What is wrong with an analytic, at its place in the book."""
    return UsageError(Problem(path=analytic.book, line=analytic.line, what=f"{analytic.name}: {what}", fix=fix))


def first_line(error: BaseException) -> str:
    """What an engine says, without the pages that follow."""
    return (str(error).splitlines() or [type(error).__name__])[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """The columns that an analytic names. `there`: each mention of one that events have, and how those spell it; `absent`: the others."""

    there: tuple[tuple[exp.Column, str], ...]
    absent: tuple[str, ...]


def columns_of(asked: Vetted, names: Collection[str]) -> Columns:
    """What the analytic's columns are among these names. Raises `UsageError` where one may be any of several that differ in case alone."""
    folded: dict[str, list[str]] = {}
    for name in names:
        folded.setdefault(name.lower(), []).append(name)
    query = asked.query
    named_here = {node.alias_or_name.lower() for node in query.find_all(exp.Alias, exp.TableAlias, exp.CTE)}
    named_here |= {column.name.lower() for node in query.find_all(exp.TableAlias) for column in node.args.get("columns") or ()}
    there: list[tuple[exp.Column, str]] = []
    absent: dict[str, str] = {}
    for column in query.find_all(exp.Column):
        if not isinstance(column.this, exp.Identifier):
            continue
        name = column.name
        alike = folded.get(name.lower(), [])
        if name in alike or len(alike) == 1:
            there.append((column, name if name in alike else alike[0]))
        elif alike:
            raise wrong(asked.analytic, f"the column {name} may be any of {', '.join(alike)}", "spell it as the event does")
        elif name.lower() not in named_here:
            absent.setdefault(name.lower(), name)
    return Columns(there=tuple(there), absent=tuple(absent.values()))
