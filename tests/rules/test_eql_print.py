"""Trees as EQL: what is printed is read as the tree that was printed, over the whole grammar and over Elastic's own rules."""

from __future__ import annotations

import tomllib
from datetime import timedelta

import pytest
from hypothesis import given, settings

from harness.model.tree import And, FieldName, Formula, Node, Not, Op, Or, Pattern, PatternKind, Stage, Test, ViewName
from harness.rules.eql import Query, parse_eql
from harness.rules.eql_print import Unprintable, print_eql
from tests.needs import DATA, needs_recordings
from tests.rules.eql_queries import queries


@given(queries)
@settings(max_examples=200)
def test_what_is_printed_is_read_as_what_was_printed(text: str) -> None:
    query = parse_eql(text)
    printed = print_eql(query)
    # The words and not the values are compared: 1, 1.0 and true are equal to Python.
    assert repr(parse_eql(printed)) == repr(query)
    assert print_eql(parse_eql(printed)) == printed


@needs_recordings
def test_elastics_own_queries_are_printed_and_read_the_same() -> None:
    rules = [tomllib.loads(path.read_text())["rule"] for path in sorted((DATA / "elastic").glob("*.toml"))]
    texts = [rule["query"] for rule in rules if rule["type"] == "eql"]
    assert len(texts) == 32
    for text in texts:
        query = parse_eql(text)
        assert repr(parse_eql(print_eql(query))) == repr(query)


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ('any where a.caseless == concat("b", "c")', 'any where a.caseless == concat("b", "c")'),
        ('process where (process.name:"A*") and not user.id=="x"', 'process where process.name : "A*" and user.id != "x"'),
        ('any where a == "x" or a == "y"', 'any where a in ("x", "y")'),
        ('any where not a in~ ("x*", "y")', 'any where not a in~ ("x*", "y")'),
        ('any where a : ("x*", "*y*", "z")', 'any where a : ("x*", "*y*", "z")'),
        ('any where startsWith~(a, "x")', 'any where a : "x*"'),
        ('any where startsWith(a, "x*")', 'any where startsWith(a, "x*")'),
        ("any where 1 + length(a) > 2", "any where add(1, length(a)) > 2"),
        ("file where (a or b) and c", "file where (a == true or b == true) and c == true"),
        ("any where ?`x-y`.`z``` != null", "any where `x-y.z``` != null"),
        (
            "sequence by ?u with maxspan=90s [a where x==1] [a where x==1] ![b where true] until [c where true] | head 2",
            "sequence with maxspan=90s\n  [a where x == 1] by ?u with runs=2\n"
            "  ![b where true] by ?u\nuntil [c where true] by ?u\n| head 2",
        ),
        ('any where a regex "\\"a b\\"[x]@"', 'any where a regex "\\"a b\\"[x]@"'),
    ],
)
def test_how_a_query_is_printed(text: str, printed: str) -> None:
    assert print_eql(parse_eql(text)) == printed


ECS = ViewName.ECS
TRUE = And(items=())


@pytest.mark.parametrize(
    "node",
    [
        Test(field="a", op=Op.EQUALS, value="x"),
        Test(field=None, op=Op.EQUALS, value="x", view=ECS),
        Test(field="a", op=Op.EQUALS, value=FieldName(name="b"), view=ECS),
        Test(field="a", op=Op.REGEX, value="searched for", view=ECS),
        Test(field="a", op=Op.REGEX, value="(?s)\\A(?:a(?=b))\\Z", view=ECS),
        Test(field="a", op=Op.ENDS_WITH, value="*", view=ECS),
        Test(field="a", op=Op.LIKE, value="a\\*?", view=ECS),
        Formula(term=True, view=ECS),
        Formula(term=True, view=ViewName.FLAT),
    ],
)
def test_what_eql_cannot_say_is_refused(node: Node) -> None:
    for each in (node, Not(item=node), Or(items=(node, TRUE))):
        with pytest.raises(Unprintable):
            print_eql(Query(logic=each))


def test_trees_of_other_languages_are_printed_where_eql_can_say_them() -> None:
    test = Test(field="process.name", op=Op.ENDS_WITH, value="\\x.exe", view=ECS)
    assert print_eql(Query(logic=And(items=(Or(items=(test,)),), label="selection"))) == 'any where process.name : "*\\\\x.exe"'
    stages = (Stage(condition=test), Stage(condition=test))
    pattern = Pattern(kind=PatternKind.SEQUENCE, stages=stages, max_span=timedelta(milliseconds=1500))
    assert print_eql(Query(logic=test, pattern=pattern)).startswith("sequence with maxspan=1500ms\n")
