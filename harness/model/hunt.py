"""A hunt: the analytics of a book, and what they found in recorded events. Values only."""

from __future__ import annotations

from dataclasses import dataclass

Cell = str | int | float | bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Analytic:
    """One question to a recording, in Spark's SQL. `book` is its file, `line` where its SQL begins there, from 1."""

    name: str
    description: str
    sql: str
    book: str
    line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Finds:
    """What an analytic found. `cut`: there are more rows than are shown. `absent`: columns that it names and no event has."""

    analytic: Analytic
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    cut: bool = False
    absent: tuple[str, ...] = ()
