"""The table of events: what a cell is, and that no two columns bear one name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.logic.columns import STAND_IN, Cells, Column, Reading, lists_of, row
from harness.model.facts import FlatValue
from harness.model.tree import ViewName
from tests.logic.tree_builders import event


def column(field: str, reading: Reading = Reading.FOLDED, view: ViewName = ViewName.FLAT) -> Column:
    return Column(view=view, field=field, reading=reading)


@pytest.mark.parametrize(
    ("reading", "value", "cells"),
    [
        (Reading.FOLDED, "WhoAmI", ("whoami",)),
        (Reading.CASED, "WhoAmI", ("WhoAmI",)),
        (Reading.FOLDED, True, ("true",)),
        (Reading.CASED, 5985.0, ("5985",)),
        (Reading.CASED, ["a", "B"], ("a", "B")),
        (Reading.CASED, [], None),
        (Reading.CASED, None, None),
        (Reading.CASED, "", ("",)),
        (Reading.CASED, "a\ud800b", (f"a{STAND_IN}b",)),
        (Reading.NUMBER, "5985", (5985.0,)),
        (Reading.NUMBER, " -1.5e3 ", (-1500.0,)),
        (Reading.NUMBER, "0x10", None),
        (Reading.NUMBER, "9" * 400, (1.7976931348623157e308,)),
        (Reading.NUMBER, "-" + "9" * 400, (-1.7976931348623157e308,)),
        (Reading.NUMBER, ["1", "x", "3"], (1.0, 3.0)),
        (Reading.ADDRESS, "10.0.0.1", (f"4{10 << 24 | 1:032x}",)),
        (Reading.ADDRESS, " ::1 ", ("6" + "1".zfill(32),)),
        (Reading.ADDRESS, "LOCAL", None),
    ],
)
def test_a_cell(reading: Reading, value: FlatValue, cells: Cells | None) -> None:
    assert row(event(field=value), [column("field", reading)]).get(column("field", reading)) == cells


def test_names_with_blanks_and_all_values() -> None:
    fields: dict[str, FlatValue] = {"threat name": "X", "n": 2}
    happened = event("Security", 1, **fields)
    assert row(happened, [column("threatname")]) == {column("threatname"): ("x",)}
    assert set(row(happened, [column("", Reading.CASED)])[column("", Reading.CASED)]) == {"Security", "1", "X", "2"}
    assert row(happened, [column("event.code", view=ViewName.ECS)]) == {column("event.code", view=ViewName.ECS): ("1",)}


def test_columns_with_several_values_are_lists() -> None:
    several, one = column("several"), column("one")
    rows = [row(event(several=value, one="x"), [several, one, column("")]) for value in ("a", ["b", "c"])]
    assert lists_of(rows) == {several, column("")}


COLUMNS = st.builds(Column, view=st.sampled_from(ViewName), field=st.text("a._c", max_size=4), reading=st.sampled_from(Reading))


@given(COLUMNS, COLUMNS)
def test_no_two_columns_bear_one_name(one: Column, other: Column) -> None:
    assert (one.name == other.name) == (one == other)
