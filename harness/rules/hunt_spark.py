"""Analytics in Spark's SQL, run on Spark as they stand, for archives beyond one machine.

An analytic may be one query over the table of events and nothing else. That is held twice here too: by its syntax tree as sqlglot reads it
(`analytics.py`), and by the tree that Spark's own parser makes of the very text that is run, because two parsers may read one text
differently. Nothing is analysed, let alone run, before both have said yes.

Spark is told to compare as DuckDB's path does: a text with a number as one where it can be read so, and columns that differ in case alone
by exact spelling where an analytic names one of them. A column that no event has is null, and named in `Finds.absent`.

Spark reads the events from a file that is written for it in the directory for temporary files: where a cluster runs the analytics, its
executors must see that directory (TMPDIR). This module must never know where events or books come from.
"""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from threading import Event as Flag
from threading import Timer
from typing import TYPE_CHECKING, Any

from harness.errors import UsageError
from harness.model.facts import Event
from harness.model.hunt import Finds
from harness.rules.analytics import FORBIDDEN, SECONDS, Vetted, columns_of, vetted, wrong
from harness.rules.book import Book
from harness.rules.event_rows import Table, write_rows
from harness.rules.found_rows import ROWS, shown
from harness.spark import end_java, first_line

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

_TO_CANCEL = 15.0
"""Seconds that Spark has to end a query that is cancelled, before its process is ended: its planner cannot be interrupted."""

_NODES = 50_000
"""Nodes of a query's tree that are looked at; a real analytic has some hundreds."""

_PLANS = frozenset(
    {"Aggregate", "Deduplicate", "Distinct", "Except", "Filter", "Generate", "GlobalLimit", "Intersect", "Join", "LateralJoin"}
    | {"LocalLimit", "LocalRelation", "Offset", "OneRowRelation", "Pivot", "Project", "Repartition", "RepartitionByExpression", "Sample"}
    | {"Sort", "SubqueryAlias", "Union", "UnionLoop", "Unpivot", "UnresolvedHaving", "UnresolvedHint", "UnresolvedInlineTable"}
    | {"UnresolvedRelation", "UnresolvedSubqueryColumnAliases", "UnresolvedWith", "Window", "WithWindowDefinition"}
)
"""Spark's names of all that a query over tables may be made of; commands, scripts, functions that are tables and names that are computed
are not among them."""

_CATALYST = "org.apache.spark.sql.catalyst"

_GROUP = "harness-hunt"
"""Spark's name for the jobs of one analytic, by which they are cancelled."""


def hunt_on_spark(
    books: Sequence[Book], events: Iterable[Event], spark: SparkSession, *, seconds: float = SECONDS
) -> tuple[int, tuple[Finds, ...]]:
    """How many events there are, and what each analytic finds in them, in the books' order; each may take so many seconds.

    Raises `UsageError`: with every analytic that is not one query over the table of events, before an event is read; and with the first
    that Spark cannot run or that exceeds its limits.
    """
    analytics = vetted(books)
    for each in analytics:
        _must_only_read(each, spark)
    with tempfile.TemporaryDirectory(prefix="harness-hunt-") as directory:
        rows = Path(directory) / "events.ndjson"
        table = write_rows(events, rows)
        asked = [_asked(each, table.columns) for each in analytics]
        absent = {name.lower(): name for each in reversed(asked) for name in reversed(each.absent)}
        frame = _table(table, rows, absent.values(), spark)
        return table.events, tuple(_find(each, frame, spark, seconds) for each in asked)


# --- what may be asked ----------------------------------------------------------------------------------------------------


def _must_only_read(asked: Vetted, spark: SparkSession) -> None:
    """Raises `UsageError` where Spark's own parser sees anything but a query over the table of events."""
    try:
        tree = _session(spark).sessionState().sqlParser().parsePlan(asked.analytic.sql)
    except _errors() as error:
        raise _cannot(asked, error) from error
    tables = {name.lower() for name in asked.tables}
    read: set[str] = set()
    for plan, node in _nodes(asked, tree, spark):
        name = str(node.getClass().getSimpleName()).rstrip("$")
        if (plan and name not in _PLANS) or "UnresolvedIdentifier" in name:
            raise wrong(asked.analytic, f"is more than a query to Spark: {name}")
        if name == "UnresolvedWith":
            tables |= {str(each._1()).lower() for each in _items(node.cteRelations())}
        elif name == "UnresolvedRelation":
            read.add(".".join(str(each) for each in _items(node.multipartIdentifier())))
        elif name == "UnresolvedFunction" and (called := str(list(_items(node.nameParts()))[-1]).lower()) in FORBIDDEN:
            raise wrong(asked.analytic, f"calls {called}, which does more than read events")
    for name in sorted(read):
        if name.lower() not in tables:
            raise wrong(asked.analytic, f"reads {name}, which is not the table of events")


def _nodes(asked: Vetted, tree: Any, spark: SparkSession) -> Iterator[tuple[bool, Any]]:
    """Every plan (True) and expression (False) of a tree of Spark's, whatever holds it: lists, options, pairs."""
    from py4j.java_gateway import JavaObject, is_instance_of

    gateway = spark.sparkContext._gateway
    todo: list[Any] = [tree]
    for seen in count():
        if not todo:
            return
        if seen > _NODES:
            raise wrong(asked.analytic, f"has more than the {_NODES} parts that an analytic may have")
        each = todo.pop()
        if not isinstance(each, JavaObject):
            continue
        if is_instance_of(gateway, each, f"{_CATALYST}.trees.TreeNode"):
            yield is_instance_of(gateway, each, f"{_CATALYST}.plans.logical.LogicalPlan"), each
        if is_instance_of(gateway, each, "scala.collection.Iterable"):
            todo.extend(_items(each))
        elif is_instance_of(gateway, each, "scala.Product"):
            todo.extend(_drained(each.productIterator()))


def _items(sequence: Any) -> Iterator[Any]:
    return _drained(sequence.iterator())


def _drained(iterator: Any) -> Iterator[Any]:
    while iterator.hasNext():
        yield iterator.next()


def _session(spark: SparkSession) -> Any:
    return spark._jsparkSession


# --- the table ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    vetted: Vetted
    absent: tuple[str, ...]
    cased: bool  # it names columns that differ from another in case alone


def _asked(asked: Vetted, names: Collection[str]) -> _Asked:
    """Raises `UsageError` where it spells one column exactly, as it must, and another not, which Spark has no way to tell."""
    columns = columns_of(asked, names)
    folded = [name.lower() for name in names]
    cased = any(folded.count(name.lower()) > 1 for _, name in columns.there)
    loose = next((column.name for column, name in columns.there if cased and column.name != name), None)
    if loose is not None:
        raise wrong(
            asked.analytic, f"some of its columns differ from others in case alone, and {loose} is spelt otherwise than in the events"
        )
    return _Asked(vetted=asked, absent=columns.absent, cased=cased)


def _table(table: Table, rows: Path, absent: Iterable[str], spark: SparkSession) -> DataFrame:
    from pyspark.sql.functions import lit
    from pyspark.sql.types import LongType, StringType, StructField, StructType

    kinds = [StructField(f"c{number}", LongType() if table.whole[name] else StringType()) for name, number in table.columns.items()]
    # Events without any column are no events: the one that stands here for all is there so that a query of none can be asked.
    read = spark.read.schema(StructType(kinds or [StructField("c0", StringType())])).options(mode="FAILFAST", lineSep="\n")
    absent = list(absent)
    nulls = [lit(None).cast(StringType()).alias(f"a{number}") for number, _ in enumerate(absent)]
    return read.json(rows.as_uri()).select("*", *nulls).toDF(*(table.columns or ["nothing"]), *absent)


# --- running --------------------------------------------------------------------------------------------------------------


def _find(asked: _Asked, events: DataFrame, spark: SparkSession, seconds: float) -> Finds:
    spark.conf.set("spark.sql.caseSensitive", str(asked.cased).lower())
    for name in asked.vetted.tables:
        events.createOrReplaceTempView(name)
    with _bounded(asked.vetted, spark, seconds):
        found = spark.sql(asked.vetted.analytic.sql).limit(ROWS + 1)
        rows, cut = shown(_plain(found))
    return Finds(analytic=asked.vetted.analytic, columns=tuple(found.columns), rows=rows, cut=cut, absent=asked.absent)


def _plain(found: DataFrame) -> Iterator[list[object]]:
    """The rows; times without a zone, as they are in the session's, and not in this process's."""
    from pyspark.sql.types import TimestampType

    plain = found.toDF(*(f"c{number}" for number, _ in enumerate(found.columns)))
    times = {each.name for each in plain.schema.fields if isinstance(each.dataType, TimestampType)}
    cast = plain.select([plain[name].cast("timestamp_ntz") if name in times else plain[name] for name in plain.columns])
    for row in cast.toLocalIterator():
        yield [_value(value) for value in row]


def _value(value: object) -> object:
    from pyspark.sql import Row

    if isinstance(value, Row):
        return value.asDict(recursive=True)
    return bytes(value) if isinstance(value, bytearray) else value


def _errors() -> tuple[type[Exception], ...]:
    """What Spark raises, and what is raised where its process is gone."""
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException

    return (PySparkException, Py4JError, OSError)


def _cannot(asked: Vetted, error: Exception) -> UsageError:
    return wrong(asked.analytic, f"Spark cannot run it: {first_line(error)}")


@contextmanager
def _bounded(asked: Vetted, spark: SparkSession, seconds: float) -> Iterator[None]:
    context = spark.sparkContext
    over = Flag()

    def cancel() -> None:
        over.set()
        context.cancelJobGroup(_GROUP)

    context.setJobGroup(_GROUP, asked.analytic.name, interruptOnCancel=True)
    timers = [Timer(seconds, cancel), Timer(seconds + _TO_CANCEL, end_java, [spark])]
    for timer in timers:
        timer.start()
    try:
        yield
    except _errors() as error:
        raise (wrong(asked.analytic, f"did not end within {seconds:g} s") if over.is_set() else _cannot(asked, error)) from error
    finally:
        for timer in timers:
            timer.cancel()
            timer.join()
