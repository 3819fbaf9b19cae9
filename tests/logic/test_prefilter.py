"""The prefilter loses no match: whatever a tree is true of is a candidate; and it rules out what it can."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from harness.logic.index import kind_values
from harness.logic.literals import END, START, needed
from harness.logic.match import View, compile_node
from harness.logic.prefilter import Prefilter, Shared
from harness.model.facts import FlatValue
from harness.model.tree import And, FieldName, Formula, Node, Not, Op, Or, Test, Value, ViewName
from tests.logic.tree_builders import both, is_, of_kind

CHANNEL, EVENT_ID = "security", 1
KIND: dict[str, FlatValue] = {"channel": CHANNEL, "eventid": EVENT_ID}


def prefilter(*trees: Node, shared: Shared | None = None) -> Prefilter:
    return Prefilter([needed(tree, kind_values(CHANNEL, EVENT_ID)) for tree in trees], shared or Shared())


def candidate(tree: Node, **flat: FlatValue) -> bool:
    return prefilter(tree).candidates({**KIND, **flat}) == 1


@pytest.mark.parametrize(
    ("tree", "value", "expected"),
    [
        (is_("F", "abc"), "ABC", True),
        (is_("F", "abc"), "abcd", False),
        (is_("F", "b", Op.CONTAINS), "aBc", True),
        (is_("F", "b", Op.STARTS_WITH), "ab", False),
        (is_("F", "b", Op.ENDS_WITH), "ba", False),
        (is_("F", "x*yz?", Op.LIKE), "only yz", True),
        (is_("F", "x*yz?", Op.LIKE), "x y z", False),
        (is_("F", r"\\spoolss_[0-9]", Op.REGEX), "\\SPOOLSS_", True),
        (is_("F", r"\\spoolss_[0-9]", Op.REGEX), "\\pipe", False),
        (is_("F", r"\\spoolss_[0-9]", Op.REGEX), "\\ſpoolſſ_1", True),
        (is_("F", "", Op.CONTAINS), "", True),
        (is_("F", 5985), 5985, True),
        (is_("F", 5985), "5986", False),
        (is_("F", True), True, True),
        (is_("F", "1"), True, False),
        (is_("F", "b"), ["a", "b"], True),
        (is_("F", "c"), ["a", "b"], False),
        (is_("F", "c"), [], False),
        (is_("F", 5, Op.GREATER), "4", True),
        (is_("F", True, Op.EXISTS), "x", True),
        (is_("G", True, Op.EXISTS), "x", False),
        (is_("F", None, Op.IS_NULL), "x", True),
        (is_(None, "b", Op.CONTAINS), "ABC", True),
        (is_(None, "d", Op.CONTAINS), "ABC", False),
        (is_("F", "ΑΣ", Op.CONTAINS, cased=True), "ΑΣΑ", True),  # folded, the one ends in another sigma than the other has
        (is_("F", "\ud800", Op.CONTAINS), "x\ud800", True),
        (is_("F", "a", Op.CONTAINS), "\ud800a", True),
        (Not(item=is_("F", "a")), "a", True),
        (Or(items=()), "a", False),
        (And(items=()), "a", True),
        (of_kind("Security", 1, is_("F", "a")), "a", True),
        (of_kind("System", 1, is_("F", "a")), "a", False),
        (Or(items=(of_kind("System", 1), of_kind("Security", 1, is_("F", "a")))), "b", False),
        (both(is_("F", "a", Op.CONTAINS), is_("F", "b", Op.CONTAINS)), "a", False),
        (Or(items=(is_("F", "a"), Not(item=is_("F", "b")))), "c", True),
        (Or(items=(both(is_("F", "aaaa"), is_("G", "b")), is_("F", "bbbb"))), "aaaa", False),
        (Test(field="F", op=Op.EQUALS, value="a", view=ViewName.ECS), "b", True),
        (Formula(term=False, view=ViewName.FLAT), "b", True),
        (is_("F", FieldName(name="G")), "b", True),
    ],
)
def test_who_is_a_candidate(tree: Node, value: FlatValue, expected: bool) -> None:
    assert candidate(tree, f=value) is expected


def test_fields_with_blanks_are_found_without_them() -> None:
    asked = prefilter(is_("Threat Name", "x"), is_("ThreatName", "x"), is_("ThreatName", "y"))
    assert asked.candidates({**KIND, "threat name": "X"}) == 0b011


def test_each_tree_has_its_bit() -> None:
    asked = prefilter(*(is_("F", value) for value in "abcab"))
    assert [asked.candidates({**KIND, "f": value}) for value in "abcd"] == [0b01001, 0b10010, 0b00100, 0]


def test_answers_are_kept_within_their_room_and_stay_the_same() -> None:
    shared = Shared(room=3)
    one, other = prefilter(is_("F", "1", Op.CONTAINS), shared=shared), prefilter(is_("F", "2", Op.CONTAINS), shared=shared)
    values = [str(number) for number in range(30)] * 2
    found = [(one.candidates({**KIND, "f": value}), other.candidates({**KIND, "f": value})) for value in values]
    assert found == [(int("1" in value), int("2" in value)) for value in values]


def test_a_long_text_is_searched_in_all_its_places() -> None:
    long = "needle of some length"
    for before in (0, 65_520, 65_535, 65_536, 200_000):
        value = "\\" * before + long + "\\" * 70_000
        assert candidate(is_("F", long, Op.CONTAINS), f=value)
        assert candidate(is_(None, long, Op.CONTAINS), f=value)
    assert candidate(is_("F", "x", Op.ENDS_WITH), f="\\" * 200_000 + "x")
    assert not candidate(is_("F", "y", Op.CONTAINS), f="\\" * 200_000 + "x")


FIELDS = st.sampled_from(["F", "G", "the field", None])
TEXTS = st.text("abAk Ksſσς\x02\x03\x04\ud800é\\1*?", max_size=4)
OPS = st.sampled_from([Op.EQUALS, Op.CONTAINS, Op.STARTS_WITH, Op.ENDS_WITH, Op.LIKE])
VALUES: st.SearchStrategy[Value] = st.one_of(TEXTS, st.integers(0, 3), st.booleans(), st.sampled_from([1.0, 2.5]))
LEAVES: st.SearchStrategy[Node] = st.one_of(
    st.builds(is_, FIELDS, VALUES, OPS, cased=st.booleans()),
    st.builds(
        is_, st.sampled_from(["F", "G"]), st.sampled_from(["a+k", "(?i)s", "a|b", "^b", "[ab]k?b"]), st.just(Op.REGEX), cased=st.booleans()
    ),
    st.builds(is_, st.sampled_from(["F", "thefield"]), st.just(FieldName(name="G")), st.sampled_from([Op.EQUALS, Op.CONTAINS])),
    st.builds(is_, st.sampled_from(["F", "G"]), st.integers(0, 3), st.sampled_from([Op.LESS, Op.GREATER_OR_EQUAL])),
    st.builds(is_, st.sampled_from(["F", "G"]), st.booleans(), st.just(Op.EXISTS)),
    st.builds(is_, st.sampled_from(["F", "G"]), st.none(), st.just(Op.IS_NULL)),
    st.builds(is_, st.just("Channel"), st.sampled_from(["Security", "System", "Sec*"]), OPS, cased=st.booleans()),
    st.builds(is_, st.just("EventID"), st.sampled_from([1, "1", 2]), OPS),
)
TREES: st.SearchStrategy[Node] = st.recursive(
    LEAVES,
    lambda trees: st.one_of(
        st.builds(Not, item=trees),
        st.builds(And, items=st.lists(trees, max_size=3).map(tuple)),
        st.builds(Or, items=st.lists(trees, max_size=4).map(tuple)),
    ),
    max_leaves=10,
)
FLAT: st.SearchStrategy[FlatValue] = st.one_of(VALUES, st.lists(TEXTS, max_size=3), st.none())


@example([is_("F", "k", Op.CONTAINS)], {"f": "K"})  # the sign of Kelvin
@example([is_("F", START)], {"f": END})
@given(
    st.lists(TREES, min_size=1, max_size=5),
    st.dictionaries(st.sampled_from(["f", "g", "thefield", "the field", "other"]), FLAT, max_size=4),
)
def test_no_match_is_lost(trees: list[Node], fields: dict[str, FlatValue]) -> None:
    flat = {**fields, **KIND}
    asked = prefilter(*trees)
    matching = sum(1 << number for number, tree in enumerate(trees) if compile_node(tree)(View(flat)))
    for _ in range(2):  # the second time from what the first one kept
        assert matching & ~asked.candidates(flat) == 0
