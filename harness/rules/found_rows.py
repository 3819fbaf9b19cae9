"""What of an analytic's rows is shown: so many and no more, each value as a report can hold it. This module must never know an engine."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import isfinite

from harness.model.hunt import Cell

ROWS = 10_000
"""Rows of one analytic that are shown. A hunt is read by people."""

_CHARACTERS = 32 << 20
"""Characters of one analytic's rows, all together, that are shown."""


def shown(rows: Iterable[Sequence[object]]) -> tuple[tuple[tuple[Cell, ...], ...], bool]:
    """The first rows, and whether there are more. No more are asked for than are needed to know."""
    found: list[tuple[Cell, ...]] = []
    characters = 0
    for row in rows:
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
