"""Layout that several programs share: Windows' own tables of text."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A table with `=` below its headings, columns as wide as their cells."""
    widths = [max(len(cell) for cell in column) for column in zip(headings, *rows, strict=True)]

    def line(cells: Sequence[str]) -> str:
        return " ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()

    return [line(headings), " ".join("=" * width for width in widths), *(line(row) for row in rows)]


def comma_separated(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows as `/fo csv` writes them."""
    return [",".join(f'"{cell}"' for cell in row) for row in rows]


def listed(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows as `/fo list` writes them."""
    width = max(len(heading) for heading in headings) + 1
    return [
        line for row in rows for line in ["", *(f"{heading + ':':<{width}} {cell}" for heading, cell in zip(headings, row, strict=True))]
    ][1:]


def formatted(form: str, headings: Sequence[str], rows: Sequence[Sequence[str]], *, with_headings: bool = True) -> list[str]:
    """Rows in the form that `/fo` names: table, csv or list."""
    if form == "csv":
        return comma_separated([headings, *rows] if with_headings else rows)
    if form == "list":
        return listed(headings, rows)
    lines = table(headings, rows)
    return lines if with_headings else lines[2:]


def us_time(moment: datetime) -> str:
    """A time of day as the en-US locale writes it."""
    return f"{(moment.hour + 11) % 12 + 1}:{moment.minute:02d}:{moment.second:02d} {'AM' if moment.hour < 12 else 'PM'}"


def us_moment(moment: datetime) -> str:
    """A date and time as the en-US locale writes it."""
    return f"{moment.month}/{moment.day}/{moment.year}, {us_time(moment)}"
