"""A tree's SQL finds what the matcher finds; DuckDB is the judge."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.events.read import read_events
from harness.logic.match import BadValue, View, compile_node
from harness.logic.sql import Dialect, NotInSql, columns_of, literal, refused, where
from harness.model.facts import Event, FlatValue
from harness.model.intent import Rule
from harness.model.tree import And, Call, FieldName, Formula, Function, Node, Not, Op, Or, Pattern, PatternKind, Stage, ViewName
from harness.model.tree import Test as Clause
from harness.rules.catalog import load_catalog
from harness.rules.elastic import ElasticRules
from harness.rules.sigma import SigmaRules
from tests.logic.sql_tables import DuckTable
from tests.logic.tree_builders import both, event, is_, rule
from tests.needs import DATA, needs_recordings


def agree(nodes: Sequence[Node], events: Sequence[Event]) -> int:
    """Assert that the matcher and DuckDB find the same events for every tree; how many they find."""
    table, found = DuckTable(events, nodes), 0
    views = [View(each.flat, each) for each in events]
    for node in nodes:
        fits = compile_node(node)
        expected = {number for number, view in enumerate(views) if fits(view)}
        assert table.ask(node) == expected, where(node, Dialect.DUCKDB, frozenset())
        found += len(expected)
    return found


# --- what is written ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("node", "duckdb", "spark"),
    [
        (is_("Image", "A'\\b"), "\"flat.image\" = 'a''\\b'", "`flat.image` = 'a\\'\\\\b'"),
        (is_("a", "x", Op.STARTS_WITH, cased=True), "starts_with(\"flat_cased.a\", 'x')", "startswith(`flat_cased.a`, 'x')"),
        (is_("a", "5*_!%?", Op.LIKE), "\"flat.a\" LIKE '5%!_!!!%_' ESCAPE '!'", "`flat.a` LIKE '5%!_!!!%_' ESCAPE '!'"),
        (is_("a", "${env:x}"), "\"flat.a\" = '${env:x}'", "`flat.a` = '\\u0024{env:x}'"),
        (is_("a", None, Op.IS_NULL), '"flat.a" IS NULL', "`flat.a` IS NULL"),
        (is_("a", 5, Op.LESS), '"flat_number.a" < 5', "`flat_number.a` < 5"),
        (is_(None, "x"), "len(list_filter(\"flat\", lambda v1: v1 = 'x')) > 0", "exists(`flat`, v1 -> v1 = 'x')"),
        (Not(item=is_("a", "x")), "NOT coalesce(\"flat.a\" = 'x', FALSE)", "NOT coalesce(`flat.a` = 'x', FALSE)"),
        (Or(items=(is_("a", "x"), is_("b", "y"), is_("a", "Z"))), "(\"flat.a\" IN ('x', 'z') OR \"flat.b\" = 'y')", None),
        (And(items=()), "TRUE", "TRUE"),
        (Or(items=()), "FALSE", "FALSE"),
        (
            is_("a", "\\\\$", Op.REGEX),
            "regexp_matches(\"flat_cased.a\", '\\x{5c}\\n?\\z')",
            "regexp_like(`flat_cased.a`, '\\\\x{5c}\\\\n?\\\\z')",
        ),
    ],
)
def test_it_is_written_so(node: Node, duckdb: str, spark: str | None) -> None:
    assert where(node, Dialect.DUCKDB, frozenset()) == duckdb
    assert spark is None or where(node, Dialect.SPARK, frozenset()) == spark


COMPUTED = Formula(term=Call(function=Function.EQUAL, arguments=(1, 1)), view=ViewName.ECS)


@pytest.mark.parametrize(
    ("node", "reason"),
    [
        (COMPUTED, "a computed value"),
        (Not(item=both(is_("a", "(?=x)", Op.REGEX))), "a look-around"),
        (is_("a", "\x00"), "NUL"),
        (is_("a", "\ud800", Op.CONTAINS), "no character"),
        (is_("a", "*\ufffd", Op.LIKE), "no character"),
        (is_("a", 2**53 + 1, Op.GREATER), "beyond"),
    ],
)
def test_what_sql_cannot_say_is_refused_by_name(node: Node, reason: str) -> None:
    with pytest.raises(NotInSql, match=reason):
        columns_of(node)
    assert reason in refused(rule(node))


def test_a_rule_of_several_events_or_of_none_is_refused() -> None:
    plain = rule(is_("a", "x"))
    single = Pattern(kind=PatternKind.SEQUENCE, stages=(Stage(condition=is_("a", "x")),))
    kept = {name: getattr(plain, name) for name in ("id", "title", "source", "language", "severity", "techniques", "logic", "definition")}
    assert refused(plain) == ""
    assert refused(Rule(**kept, pattern=single)) == "a pattern of several events"
    assert refused(Rule(**kept, not_evaluated="ES|QL is not evaluated here")) == "ES|QL is not evaluated here"


@pytest.mark.parametrize("node", [is_("a", "(", Op.REGEX), is_("a", "x", Op.CIDR), is_("a", None), is_(None, None, Op.EXISTS)])
def test_what_the_matcher_refuses_is_refused_alike(node: Node) -> None:
    with pytest.raises(BadValue):
        where(node, Dialect.DUCKDB, frozenset())


def test_a_rule_of_very_many_values() -> None:
    wide = Or(items=tuple(is_("a", f"{number}x", Op.CONTAINS) for number in range(3000)))
    deep: Node = is_("a", "2999X")
    for _ in range(60):
        deep = Not(item=And(items=(deep, is_("a", "y"))))
    assert agree([wide, deep], [event(a="2999x"), event(a="y"), event()]) == 3


SPOILT = "\x01\t\r\n'\"`\\%_!$;--/**/{}?:é😀\u2028"


def test_a_text_of_any_characters_is_one() -> None:
    assert agree([is_("a", SPOILT, cased=True), is_("a", SPOILT, Op.CONTAINS, cased=True)], [event(a=SPOILT), event(a="x")]) == 2
    assert literal("a'b", Dialect.SPARK) == "'a\\'b'"


# --- any tree, any event --------------------------------------------------------------------------------------------------

LETTERS = "aAbkKſßİıςΣ*?%_!\\'. \n0519-:"
TEXT = st.text(LETTERS, max_size=5)
SCALAR: st.SearchStrategy[str | int | float | bool] = st.one_of(
    TEXT,
    st.integers(-3, 12),
    st.sampled_from([True, 1.5, 5.0, "10.0.0.1", "::ffff:10.0.0.1", "::1", "fe80::1", "1e3", "0x1", " 7 ", "9" * 30]),
)
VALUE: st.SearchStrategy[FlatValue] = st.one_of(SCALAR, st.none(), st.lists(TEXT, max_size=3))
NAMES = st.sampled_from(["a", "b", "threat name", "image"])
EVENTS = st.lists(
    st.builds(
        lambda kind, fields: event(*kind, **fields),
        st.sampled_from([("Security", 1), ("security", 4688), ("Microsoft-Windows-Sysmon/Operational", 1)]),
        st.dictionaries(NAMES, VALUE, max_size=4),
    ),
    min_size=1,
    max_size=4,
)
FLAT = st.sampled_from(["A", "b", "ThreatName", "Image", "Channel", "EventID", "Absent"])
ECS = st.sampled_from(["winlog.event_data.a", "process.name", "event.category", "event.code", "host.name", "process.executable"])
WHERE = st.one_of(st.tuples(FLAT, st.just(ViewName.FLAT)), st.tuples(ECS, st.just(ViewName.ECS)))
WANTED = st.one_of(SCALAR, st.sampled_from(["security", 1, "process", "start", "b", "a"]))


def _tests(ops: Sequence[Op], values: st.SearchStrategy[object], *, keywords: bool = False) -> st.SearchStrategy[Clause]:
    place = st.one_of(WHERE, st.just((None, ViewName.FLAT))) if keywords else WHERE
    return st.builds(
        lambda where, op, value, cased: Clause(field=where[0], op=op, value=value, cased=cased, view=where[1]),
        place,
        st.sampled_from(ops),
        values,
        st.booleans(),
    )


TEXTUAL = [Op.EQUALS, Op.CONTAINS, Op.STARTS_WITH, Op.ENDS_WITH]
PATTERNS = st.sampled_from(["a", "^.", "k+", "[a-c]*$", "\\w\\W", "\\d{1,2}", "(?i)ss|ſ", "\\\\", "^$", "\\bk"])
NETWORKS = st.sampled_from(["10.0.0.0/8", "::/0", "fe80::/10", "0.0.0.0/0", "::1/128", "::ffff:0:0/96"])
TESTS = st.one_of(
    _tests(TEXTUAL, WANTED, keywords=True),
    _tests(TEXTUAL, st.builds(FieldName, name=st.sampled_from(["a", "B", "threatname"]))),
    _tests([Op.LIKE], TEXT, keywords=True),
    _tests([Op.REGEX], PATTERNS, keywords=True),
    _tests([Op.CIDR], NETWORKS),
    _tests([Op.LESS, Op.LESS_OR_EQUAL, Op.GREATER, Op.GREATER_OR_EQUAL], st.sampled_from([0, 5, "5", 1.5, -1, "1e3", 2**53])),
    _tests([Op.EXISTS], st.booleans()),
    _tests([Op.IS_NULL], st.none()),
)
TREES: st.SearchStrategy[Node] = st.recursive(
    TESTS,
    lambda inner: st.one_of(
        st.builds(lambda item: Not(item=item), inner),
        st.builds(lambda items: And(items=tuple(items)), st.lists(inner, max_size=3)),
        st.builds(lambda items: Or(items=tuple(items)), st.lists(inner, max_size=3)),
    ),
    max_leaves=6,
)


def _bound_fields(node: Node) -> bool:
    """The matcher compares fields of a test's own view with each other; a keyword with none."""
    match node:
        case Clause(field=None, value=FieldName()):
            return False
        case Not(item=item):
            return _bound_fields(item)
        case And(items=items) | Or(items=items):
            return all(_bound_fields(item) for item in items)
        case _:
            return True


@settings(max_examples=120, deadline=None)
@given(st.lists(TREES.filter(_bound_fields), min_size=1, max_size=6), EVENTS)
def test_any_tree_on_any_event(trees: list[Node], events: list[Event]) -> None:
    said = []
    for tree in trees:
        try:
            columns_of(tree)
        except NotInSql:
            continue
        said.append(tree)
    agree(said, events)


# --- every rule on recorded events ----------------------------------------------------------------------------------------

SAMPLE = 150


@cache
def recorded() -> tuple[Event, ...]:
    """EMP and CMD, of which data/README.md tells."""
    names = ("empire_psremoting_stager.zip", "covenant_psremoting_command.zip")
    return tuple(each for name in names for each in read_events(DATA / "otrf" / name))


@cache
def rules() -> tuple[Rule, ...]:
    """All rules of the shared data that are evaluated at all."""
    catalog = load_catalog([DATA / "sigma" / "rules-windows.zip", DATA / "elastic"], [SigmaRules(), ElasticRules()])
    return tuple(each for each in catalog.rules if not each.not_evaluated)


@cache
def said() -> tuple[Rule, ...]:
    """Those of which there is SQL."""
    return tuple(each for each in rules() if not refused(each))


@cache
def sampled() -> tuple[Rule, ...]:
    """Some hundred rules, the same every time, and every one with a regular expression, a network or a keyword: there engines differ."""
    rare = [each for each in said() if any(column.reading not in ("folded",) or not column.field for column in columns_of(each.logic))]
    return tuple({each.id: each for each in (*rare, *random.Random(4).sample(said(), SAMPLE))}.values())


@needs_recordings
def test_nearly_every_rule_has_sql() -> None:
    assert len(said()) >= 0.95 * len(rules())
    assert {refused(each) for each in rules()} - {""} <= {
        "a computed value",
        "a pattern of several events",
        "a word boundary in the middle of a regular expression",
    }


@needs_recordings
def test_recorded_events_satisfy_the_same_rules() -> None:
    """A seeded sample; `python -m tests.bench.bench_sql` asks every rule. Events are matched rule by rule, without an index."""
    assert agree([each.logic for each in sampled()], recorded()) > 3


@needs_recordings
def test_recorded_events_satisfy_the_same_clauses() -> None:
    """Most rules find nothing here, which two wrong engines could agree upon; their parts, taken out of their kind of event, find much."""
    parts = [part for each in sampled() for part in parts_of(each.logic)]
    events = random.Random(4).sample(recorded(), 400)
    assert agree(random.Random(4).sample(parts, 1500), events) > 10_000


def parts_of(node: Node) -> list[Node]:
    """The groups and tests within a tree."""
    match node:
        case Not(item=item):
            return [node, *parts_of(item)]
        case And(items=items) | Or(items=items):
            return [node, *(part for item in items for part in parts_of(item))]
        case _:
            return [node]
