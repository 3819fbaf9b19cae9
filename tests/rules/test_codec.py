"""Rules as JSON and back: nothing is lost, and nothing but rules comes out."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.model.intent import ElasticMetadata, Rule
from harness.model.tree import And, Call, FieldName, Formula, Function, Node, Not, Op, Or, Test, Value, ViewName
from harness.rules import codec
from harness.rules.elastic import ElasticRules
from harness.rules.eql import parse_eql
from tests.logic.tree_builders import is_, rule
from tests.needs import DATA, needs_recordings

TEXTS = st.text(max_size=4)
VALUES: st.SearchStrategy[Value] = st.one_of(
    TEXTS, st.integers(), st.floats(allow_nan=False), st.booleans(), st.none(), st.builds(FieldName, name=TEXTS), st.just("\ud800")
)
LEAVES: st.SearchStrategy[Node] = st.one_of(
    st.builds(
        Test,
        field=st.one_of(st.none(), TEXTS),
        op=st.sampled_from(Op),
        value=VALUES,
        cased=st.booleans(),
        view=st.sampled_from(ViewName),
    ),
    st.builds(
        Formula,
        term=st.builds(Call, function=st.sampled_from(Function), arguments=st.lists(VALUES, max_size=3).map(tuple), cased=st.booleans()),
        view=st.sampled_from(ViewName),
    ),
)
TREES: st.SearchStrategy[Node] = st.recursive(
    LEAVES,
    lambda trees: st.one_of(
        st.builds(Not, item=trees, label=TEXTS),
        st.builds(And, items=st.lists(trees, max_size=4).map(tuple), label=TEXTS),
        st.builds(Or, items=st.lists(trees, max_size=4).map(tuple), label=TEXTS),
    ),
    max_leaves=12,
)


def there_and_back(*rules: Rule) -> tuple[Rule, ...]:
    return codec.load(json.loads(json.dumps(codec.dump(rules))))


def shape(value: object) -> object:
    """A value with its kind: 1, 1.0 and True are equal, and not the same to a rule."""
    return repr(value)


@given(TREES)
def test_every_tree_comes_back(tree: Node) -> None:
    assert shape(there_and_back(rule(tree))) == shape((rule(tree),))


def test_value_lists_of_one_manner_are_said_once() -> None:
    alike = tuple(is_("CommandLine", value, Op.CONTAINS) for value in "abcdefgh")
    assert json.dumps(codec.dump([rule(Or(items=(*alike, is_("F", "x"), *alike)))])).count("CommandLine") == 2


def test_patterns_and_metadata_come_back() -> None:
    query = parse_eql("sequence by host.id with maxspan=1m [network where true] ![process where a == 1] until [any where true] | head 5")
    elastic = ElasticMetadata(
        kind="eql",
        index=("a", "b"),
        look_back=timedelta(minutes=9, milliseconds=3),
        interval=timedelta(minutes=5),
        risk_score=47,
        tactics=("x",),
        required_fields=(),
        building_block=True,
        repaired="",
    )
    whole = replace(rule(query.logic), pattern=query.pattern, elastic=elastic, not_evaluated="why", techniques=("T1", "T2"))
    assert there_and_back(whole, whole) == (whole, whole)


@needs_recordings
def test_rules_of_elastic_come_back() -> None:
    rules = [found for path in sorted((DATA / "elastic").glob("*.toml")) for found in ElasticRules().load(path)]
    assert len(rules) > 30
    assert there_and_back(*rules) == tuple(rules)


@pytest.mark.parametrize(
    "said",
    [
        {},
        None,
        [1],
        [["Rule"]],
        [["os.system", "true"]],
        [["FieldName", "x"]],
        [[99, 1]],
        [[]],
        [[6, "Op", "no such"]],
        [[6, "Rule", "x"]],
        [[0, "F", 99, False, 0, "x"]],
        [[0, "F", 0, False, 0]],
        [[0, "F", 0, False, 0, 1, 2]],
        [[3, ""]],
        [[5, 1]],
    ],
)
def test_what_is_no_rule_is_refused(said: Any) -> None:
    with pytest.raises((ValueError, TypeError, LookupError)):
        codec.load(said)


def test_what_the_model_does_not_have_is_not_said() -> None:
    with pytest.raises(TypeError):
        codec.dump([replace(rule(is_("F", "x")), definition=b"bytes")])  # type: ignore[arg-type]
