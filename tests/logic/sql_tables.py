"""The table of events that a tree's SQL is asked of, in DuckDB and in Spark."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING

import duckdb

from harness.logic.columns import Cells, Column, Reading, lists_of, row
from harness.logic.sql import Dialect, columns_of, identifier, where
from harness.model.facts import Event
from harness.model.tree import Node

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

Rows = Sequence[Mapping[Column, Cells]]


def _cell(cells: Cells | None, several: bool) -> object:
    if not cells:
        return None
    return list(cells) if several else cells[0]


class DuckTable:
    """The events as DuckDB has them, with the columns that these trees read."""

    def __init__(self, events: Sequence[Event], nodes: Iterable[Node]) -> None:
        columns = sorted({column for node in nodes for column in columns_of(node)})
        rows = [row(event, columns) for event in events]
        self._lists = lists_of(rows) | {column for column in columns if not column.field}
        self._connection = duckdb.connect(config={"threads": 1})
        kinds = {f"c{number}": self._kind(column) for number, column in enumerate(columns)}
        named = [f"c{number} AS {identifier(column, Dialect.DUCKDB)}" for number, column in enumerate(columns)]
        spelt = ", ".join(["n: 'INTEGER'", *(f"{name}: '{kind}'" for name, kind in kinds.items())])
        with NamedTemporaryFile("w", suffix=".ndjson", encoding="utf-8") as file:
            for number, each in enumerate(rows):
                cells = (_cell(each.get(column), column in self._lists) for column in columns)
                file.write(json.dumps({"n": number, **dict(zip(kinds, cells, strict=True))}) + "\n")
            file.flush()
            read = f"read_json('{file.name}', format = 'newline_delimited', maximum_object_size = 33554432, columns = {{{spelt}}})"
            self._connection.execute(f"CREATE TABLE events AS SELECT {', '.join(['n', *named])} FROM {read}")

    def _kind(self, column: Column) -> str:
        return ("DOUBLE" if column.reading is Reading.NUMBER else "VARCHAR") + ("[]" if column in self._lists else "")

    def ask(self, node: Node) -> set[int]:
        """The numbers of the events for which the tree's SQL is true."""
        found = self._connection.execute(f"SELECT n FROM events WHERE {where(node, Dialect.DUCKDB, self._lists)}").fetchall()
        return {number for (number,) in found}


class SparkTable:
    """The same for Spark; all trees are asked in one query, because each costs Spark a plan."""

    def __init__(self, events: Sequence[Event], nodes: Sequence[Node], spark: SparkSession) -> None:
        from pyspark.sql.types import ArrayType, DataType, DoubleType, IntegerType, StringType, StructField, StructType

        columns = sorted({column for node in nodes for column in columns_of(node)})
        rows = [row(event, columns) for event in events]
        self._lists = lists_of(rows) | {column for column in columns if not column.field}
        self._nodes = nodes

        def kind(column: Column) -> DataType:
            one = DoubleType() if column.reading is Reading.NUMBER else StringType()
            return ArrayType(one) if column in self._lists else one

        schema = StructType([StructField("n", IntegerType()), *(StructField(column.name, kind(column)) for column in columns)])
        cells = [[number, *(_cell(each.get(column), column in self._lists) for column in columns)] for number, each in enumerate(rows)]
        self._frame: DataFrame = spark.createDataFrame(cells, schema)

    def ask(self) -> list[set[int]]:
        """For each tree the numbers of the events for which its SQL is true."""
        asked = [f"{where(node, Dialect.SPARK, self._lists)} AS r{number}" for number, node in enumerate(self._nodes)]
        found = self._frame.selectExpr("n", *asked).collect()
        return [{each["n"] for each in found if each[f"r{number}"]} for number in range(len(self._nodes))]
