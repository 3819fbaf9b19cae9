"""What is left of a tree within one kind of event: less to ask, the same answer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.logic.index import FALSE, TRUE, within_kind
from harness.logic.match import matcher
from harness.model.tree import And, Node, Not, Op, Or
from tests.logic.tree_builders import event, is_, of_kind

PORT = is_("DestPort", 5985)


@pytest.mark.parametrize(
    ("node", "left"),
    [
        (of_kind("security", 5156, PORT), PORT),
        (of_kind("Security", 4688, PORT), FALSE),
        (of_kind("System", 5156, PORT), FALSE),
        (of_kind("Security", 5156), TRUE),
        (is_("EventID", "5156"), TRUE),
        (Or(items=(of_kind("Security", 4688, PORT), of_kind("Security", 5156, PORT))), PORT),
        (Or(items=(PORT, is_("EventID", 5156))), TRUE),
        (And(items=(PORT, Not(item=is_("EventID", 5156)))), FALSE),
        (And(items=(PORT, Not(item=is_("EventID", 4688)))), PORT),
        (is_("Channel", "Sec*", Op.LIKE), is_("Channel", "Sec*", Op.LIKE)),
        (Not(item=PORT, label="f"), Not(item=PORT, label="f")),
    ],
)
def test_what_is_left(node: Node, left: Node) -> None:
    assert within_kind(node, "Security", 5156) == left


LEAVES: st.SearchStrategy[Node] = st.one_of(
    st.builds(is_, st.just("channel"), st.sampled_from(["A", "b", "B*"]), st.sampled_from(list(Op)[:5]), cased=st.booleans()),
    st.builds(is_, st.just("EventID"), st.sampled_from([1, "2"])),
    st.builds(is_, st.sampled_from(["F", None]), st.sampled_from(["x", "1"])),
)
TREES: st.SearchStrategy[Node] = st.recursive(
    LEAVES,
    lambda trees: st.one_of(
        st.builds(Not, item=trees),
        st.builds(And, items=st.lists(trees, max_size=3).map(tuple)),
        st.builds(Or, items=st.lists(trees, max_size=3).map(tuple)),
    ),
    max_leaves=10,
)


@given(TREES, st.sampled_from("aAbB"), st.sampled_from([1, 2]), st.sampled_from("xy"))
def test_the_answer_is_the_same(tree: Node, channel: str, event_id: int, value: str) -> None:
    seen = event(channel, event_id, f=value)
    assert matcher(within_kind(tree, channel, event_id))(seen) is matcher(tree)(seen)
