"""The table over which a tree's SQL is asked: a row for each event, a column for each way in which a test reads a field.

What engines disagree about is decided once, when the table is written, by the matcher's own reading of the event: which letters are one
letter (`folded`), what is a number (`number`), what is an address (`address`), which of two names with a blank is meant. SQL is left with
what is the same in every engine: comparing texts as they are. So a table serves DuckDB and Spark alike, and both agree with the matcher.

A column a field, not one map of all fields: both engines then read from a file of columns only what a rule asks for, and a reader of the
SQL sees which fields those are. A row is made for given columns, because nobody asks for all of them.

A column's values are several (a list) where any of its events has several; only whoever writes the table knows which those are. A field
that the event lacks is null. What is half of a surrogate pair is U+FFFD, as no database takes it.

This module must never know SQL.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address, ip_address
from sys import float_info

from harness.logic.match import View, number_of
from harness.model.facts import Event
from harness.model.tree import ViewName

STAND_IN = "\ufffd"
"""What stands in a table where an event holds half of a surrogate pair."""


class Reading(StrEnum):
    """How a column's values are read from a field."""

    FOLDED = "folded"  # text without regard to case
    CASED = "cased"  # text as it stands
    NUMBER = "number"  # a decimal number; a text that is none has no value here
    ADDRESS = "address"  # an IP address as `address_key` writes it; a text that is none has no value here


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Column:
    """One column. `field` is a name as the view has it (`key_of`); empty for the values of all its fields together, always a list."""

    view: ViewName
    field: str
    reading: Reading

    @property
    def name(self) -> str:
        """Its name in the table: no two columns bear one, whatever a field is called."""
        kind = self.view if self.reading is Reading.FOLDED else f"{self.view}_{self.reading}"
        return f"{kind}.{self.field}" if self.field else str(kind)


Cells = tuple[str, ...] | tuple[float, ...]
"""A column's values of one event; none where it is null."""


def row(event: Event, columns: Iterable[Column]) -> Mapping[Column, Cells]:
    """The event's values of these columns; those that would be null are left out."""
    flat = View(event.flat, event)
    views = {ViewName.FLAT: lambda: flat, ViewName.ECS: lambda: flat.ecs}
    found = ((column, _cells(views[column.view](), column)) for column in columns)
    return {column: cells for column, cells in found if cells}


def _cells(view: View, column: Column) -> Cells:
    cased = column.reading is not Reading.FOLDED
    read = view.text if cased else view.folded
    texts = read(column.field) if column.field else view.everything(cased=cased)
    match column.reading:
        case Reading.NUMBER:
            return tuple(_double(number) for text in texts if (number := number_of(text)) is not None)
        case Reading.ADDRESS:
            return tuple(key for text in texts if (key := _address(text)))
        case _:
            return tuple(_storable(text) for text in texts)


def _storable(text: str) -> str:
    return text if text.isascii() else "".join(STAND_IN if "\ud800" <= each <= "\udfff" else each for each in text)


def _double(number: int | float) -> float:
    """The nearest number that a database holds. What is too great stays greater than whatever it may be compared with."""
    try:
        return float(number)
    except OverflowError:
        return float_info.max if number > 0 else -float_info.max


def _address(text: str) -> str:
    try:
        return address_key(ip_address(text.strip()))
    except ValueError:
        return ""


def address_key(address: IPv4Address | IPv6Address) -> str:
    """An address as a text in whose order networks are ranges: its version, and 32 hexadecimal digits of 128 bits."""
    return f"{address.version}{int(address):032x}"


Rows = Iterable[Mapping[Column, Cells]]


def lists_of(rows: Rows) -> frozenset[Column]:
    """The columns of which any row has several values; the rest hold one at most."""
    return frozenset(column for cells in rows for column, values in cells.items() if len(values) > 1 or not column.field)
