"""What a hunt found, for people and for machines.

Events and books are written by others: every text passes `inert` and is never read as markup. This module must never decide anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.model.hunt import Cell, Finds
from harness.model.replay import LeftOut
from harness.reports.words import inert

_WIDE = 12
"""More columns than this are no table that can be read: each row becomes a list of its fields."""


def hunt_json(books: Sequence[str], events: int, found: Sequence[Finds], broken_count: int, broken: Sequence[LeftOut]) -> dict[str, object]:
    """All that was found, as plain values; a row is a list in the order of the columns, for two of them may bear one name."""
    return {
        "books": list(books),
        "events": events,
        "broken_count": broken_count,
        "broken": [asdict(each) for each in broken],
        "analytics": [
            {
                "name": each.analytic.name,
                "description": each.analytic.description,
                "book": each.analytic.book,
                "line": each.analytic.line,
                "sql": each.analytic.sql,
                "count": len(each.rows),
                "cut": each.cut,
                "absent_columns": list(each.absent),
                "columns": list(each.columns),
                "rows": [list(row) for row in each.rows],
            }
            for each in found
        ],
    }


def print_finds(found: Finds, console: Console) -> None:
    """One analytic: its name and description, how many rows it found, and the rows."""
    count = f"{'more than ' if found.cut else ''}{len(found.rows)} {'row' if len(found.rows) == 1 else 'rows'}"
    console.print(Text.assemble((inert(found.analytic.name), "bold"), f": {count}"))
    if found.analytic.description:
        console.print(Text(f"  {inert(found.analytic.description)}"))
    if found.absent:
        console.print(Text(f"  no event here has {inert(', '.join(found.absent))}: null in this hunt", style="yellow"))
    if found.rows and len(found.columns) > _WIDE:
        for row in found.rows:
            _print_row(found.columns, row, console)
    elif found.rows:
        table = Table(box=None, pad_edge=False, header_style="bold")
        for column in found.columns:
            table.add_column(Text(inert(column)), overflow="fold")
        for row in found.rows:
            table.add_row(*(Text(_shown(cell)) for cell in row))
        console.print(table)
    console.print()


def print_summary(events: int, found: Sequence[Finds], console: Console) -> None:
    """The last line: how much was looked at, and how many analytics found something."""
    finding = sum(bool(each.rows) for each in found)
    console.print(Text(f"{events} events, {len(found)} analytics, {finding} of them found something", style="bold"))


def _print_row(columns: Sequence[str], row: Sequence[Cell], console: Console) -> None:
    console.print(Text("  -"))
    for column, cell in zip(columns, row, strict=True):
        if cell is not None:
            console.print(Text(f"    {inert(column)}: {_shown(cell)}"))


def _shown(cell: Cell) -> str:
    return "-" if cell is None else inert(str(cell))
