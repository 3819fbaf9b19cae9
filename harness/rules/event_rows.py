"""Events as the rows of a table: a line of JSON each, as both engines of a hunt read them, and what the columns are.

Every column is text unless all its values are whole numbers. Columns bear numbers in the lines, because engines do not tell names apart
that differ in case alone, as NXLog's ProcessID and Sysmon's ProcessId do. This module must never know SQL or an engine.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from harness.errors import Problem, UsageError
from harness.model.facts import Event
from harness.model.hunt import Cell

_COLUMNS = 5_000
"""Columns of the table of events. A recording of all Windows logs has some hundreds."""


@dataclass(slots=True, kw_only=True)
class Table:
    """How many events there are, and the columns that they have: by name as it is spelt, its number, and whether all its values are
    whole numbers. The column of number 3 is called c3 in the lines."""

    events: int = 0
    columns: dict[str, int] = field(default_factory=dict)
    whole: dict[str, bool] = field(default_factory=dict)


def write_rows(events: Iterable[Event], path: Path) -> Table:
    """Write the events to a file. Raises `UsageError` where they have more columns than a table may have."""
    table = Table()
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
