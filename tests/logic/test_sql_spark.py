"""A tree's SQL finds on Spark what the matcher finds. Trees are asked together: each query costs Spark a plan."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.logic.match import View, compile_node
from harness.model.facts import Event
from harness.model.tree import FieldName, Node, Not, Op, Or, ViewName
from harness.model.tree import Test as Clause
from tests.logic.sql_tables import SparkTable
from tests.logic.test_portable import TEXTS
from tests.logic.test_sql import SPOILT, parts_of, recorded, sampled
from tests.logic.tree_builders import event, is_
from tests.needs import needs_recordings, needs_spark

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = needs_spark


def agree(nodes: Sequence[Node], events: Sequence[Event], spark: SparkSession) -> int:
    """Assert that the matcher and Spark find the same events for every tree; how many they find."""
    views = [View(each.flat, each) for each in events]
    found = 0
    for node, said in zip(nodes, SparkTable(events, nodes, spark).ask(), strict=True):
        fits = compile_node(node)
        expected = {number for number, view in enumerate(views) if fits(view)}
        assert said == expected, node
        found += len(expected)
    return found


VALUES = [
    *TEXTS,
    SPOILT,
    "%",
    "a%b",
    "!_",
    "${env:HOME}",
    "10.0.0.1",
    "::ffff:10.0.0.1",
    "::1",
    "5985",
    "-1.5",
    "9" * 30,
    ["a", "K"],
    None,
    True,
]


def test_every_operation_on_odd_texts(spark: SparkSession) -> None:
    events = [event(a=value, b=TEXTS[number % len(TEXTS)]) for number, value in enumerate(VALUES)]
    wanted = [each for each in VALUES if isinstance(each, str) and "\x00" not in each]
    nodes: list[Node] = [Or(items=tuple(is_("a", text, cased=cased) for text in wanted[::2])) for cased in (True, False)]
    for text in [*wanted[1::8], SPOILT]:
        nodes += [is_("a", text, op, cased=cased) for op in (Op.CONTAINS, Op.ENDS_WITH) for cased in (True, False)]
    nodes += [is_("a", text, Op.LIKE) for text in ("*a?", "?", "*%*", "*\\**", "!_", "*\n*", "*${env*", "*_")]
    nodes += [is_("a", FieldName(name="b"), op) for op in (Op.EQUALS, Op.STARTS_WITH)]
    nodes += [is_("a", network, Op.CIDR) for network in ("10.0.0.0/8", "::/0", "0.0.0.0/0")]
    nodes += [is_("a", number, op) for number in (5985, -1.5, "1e3") for op in (Op.LESS, Op.GREATER_OR_EQUAL)]
    nodes += [is_("a", None, Op.IS_NULL), is_("a", False, Op.EXISTS), is_(None, "k"), is_(None, "a", Op.STARTS_WITH, cased=True)]
    nodes += [Clause(field="event.category", op=Op.EQUALS, value="process", view=ViewName.ECS)]
    for pattern in ("\\W$", "^\\d+$", "[^a-z]", "k.?", "\\bfoo", "(?:a|\\\\){1,2}$", "\\$|\\{"):
        nodes += [is_("a", pattern, Op.REGEX, cased=cased) for cased in (True, False)]
    nodes += [Not(item=node) for node in nodes[::6]]
    assert agree(nodes, events, spark) > 300


@needs_recordings
def test_recorded_events_satisfy_the_same_rules(spark: SparkSession) -> None:
    """Rules of every kind, on events of the kinds that most rules are about and on others."""
    chosen = random.Random(4)
    rules = chosen.sample(sampled(), 25)
    events = [each for each in recorded() if (each.channel.lower(), each.event_id) in (("security", 4688), ("windows powershell", 400))]
    parts = [part for each in rules for part in parts_of(each.logic)]
    nodes = [*(each.logic for each in rules), *chosen.sample(parts, min(len(parts), 50))]
    assert agree(nodes, [*events, *chosen.sample(recorded(), 100)], spark) > 50
