"""Matching against Sigma's semantics: a table of every operation, and references written the slow, obvious way."""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import RuleTooSlow
from harness.logic import match
from harness.logic.match import BadValue, check_node, compile_node, like, matcher
from harness.model.facts import FlatValue
from harness.model.tree import And, FieldName, Formula, Node, Not, Op, Or, Value
from harness.model.tree import Test as Clause
from tests.logic.tree_builders import event, is_


def holds(node: Node, **flat: FlatValue) -> bool:
    return matcher(node)(event(**flat))


@pytest.mark.parametrize(
    ("op", "wanted", "actual", "expected"),
    [
        (Op.EQUALS, "Whoami.EXE", "whoami.exe", True),
        (Op.EQUALS, "whoami", "whoami.exe", False),
        (Op.EQUALS, 5985, "5985", True),
        (Op.EQUALS, "5985", 5985, True),
        (Op.EQUALS, 5985, 5986, False),
        (Op.EQUALS, 5985, "05985", False),
        (Op.EQUALS, 5985.0, "5985", True),
        (Op.EQUALS, 1.5, "1.5", True),
        (Op.EQUALS, True, "True", True),
        (Op.EQUALS, "true", True, True),
        (Op.EQUALS, False, True, False),
        (Op.EQUALS, "", "", True),
        (Op.EQUALS, "", "x", False),
        (Op.EQUALS, "a*b", "axb", False),
        (Op.EQUALS, "x", None, False),
        (Op.EQUALS, "b", ["a", "B"], True),
        (Op.EQUALS, "c", ["a", "b"], False),
        (Op.CONTAINS, " = ServerRemoteHost ", "Host Name = ServerRemoteHost\r\n", False),
        (Op.CONTAINS, "REMOTE", "ServerRemoteHost", True),
        (Op.CONTAINS, "", "", True),
        (Op.CONTAINS, 98, 5985, True),
        (Op.STARTS_WITH, "c:\\", "C:\\Windows", True),
        (Op.STARTS_WITH, "Windows", "C:\\Windows", False),
        (Op.ENDS_WITH, "\\CMD.exe", "C:\\cmd.EXE", True),
        (Op.ENDS_WITH, "\\cmd.exe", "cmd.exe", False),
        (Op.LIKE, "*", "", True),
        (Op.LIKE, "?", "", False),
        (Op.LIKE, "C:\\\\*\\\\?md.exe", "c:\\x\\y\\cmd.exe", True),
        (Op.LIKE, "a\\*b", "A*B", True),
        (Op.LIKE, "a\\*b", "axb", False),
        (Op.LIKE, "a*b", "a\nb", True),
        (Op.REGEX, "^who(am)?i$", "whoami", True),
        (Op.REGEX, "ami", "whoami", True),
        (Op.REGEX, "^ami", "whoami", False),
        (Op.REGEX, r"^\S+$", "WHO", True),
        (Op.REGEX, "(?=who)w", "who", True),
        (Op.CIDR, "10.0.0.0/8", "10.1.2.3", True),
        (Op.CIDR, "10.0.0.0/8", "11.1.2.3", False),
        (Op.CIDR, "10.0.0.0/8", "::ffff:10.1.2.3", True),
        (Op.CIDR, "fe80::/10", "fe80::1%12", True),
        (Op.CIDR, "fe80::/10", "10.0.0.1", False),
        (Op.CIDR, "10.0.0.0/8", "-", False),
        (Op.LESS, 5, "4", True),
        (Op.LESS, 5, 5, False),
        (Op.LESS, 10, "9", True),
        (Op.LESS_OR_EQUAL, 5, "5", True),
        (Op.GREATER, 1.5, "1.75", True),
        (Op.GREATER, 5, "0x10", False),
        (Op.GREATER, 5, "many", False),
        (Op.GREATER, 5, "1_000", False),
        (Op.GREATER, -1, "nan", False),
        (Op.GREATER_OR_EQUAL, 5, "5", True),
        (Op.GREATER_OR_EQUAL, 5, "4.9", False),
        (Op.EXISTS, True, "", True),
        (Op.EXISTS, True, None, False),
        (Op.EXISTS, False, None, True),
        (Op.EXISTS, False, 0, False),
        (Op.IS_NULL, None, None, True),
        (Op.IS_NULL, None, "", False),
    ],
)
def test_operations(op: Op, wanted: Value, actual: FlatValue, expected: bool) -> None:
    assert holds(is_("Field", wanted, op), field=actual) is expected
    assert holds(Not(item=is_("Field", wanted, op)), field=actual) is not expected


@pytest.mark.parametrize(
    ("op", "value", "expected"),
    [
        (Op.EQUALS, "x", False),
        (Op.EQUALS, "", False),
        (Op.CONTAINS, "", False),
        (Op.LIKE, "*", False),
        (Op.REGEX, ".*", False),
        (Op.LESS, 5, False),
        (Op.CIDR, "0.0.0.0/0", False),
        (Op.EQUALS, FieldName(name="other"), False),
        (Op.EXISTS, True, False),
        (Op.EXISTS, False, True),
        (Op.IS_NULL, None, True),
    ],
)
def test_a_missing_field_satisfies_nothing_but_absence(op: Op, value: Value, expected: bool) -> None:
    assert holds(is_("Missing", value, op), other="x") is expected


@pytest.mark.parametrize(
    ("op", "wanted", "actual", "expected"),
    [
        (Op.EQUALS, "Abc", "abc", False),
        (Op.EQUALS, "Abc", "Abc", True),
        (Op.CONTAINS, "B", "abc", False),
        (Op.STARTS_WITH, "A", "abc", False),
        (Op.ENDS_WITH, "C", "abC", True),
        (Op.LIKE, "A*", "abc", False),
        (Op.LIKE, "A*", "Abc", True),
        (Op.REGEX, "ABC", "abc", False),
    ],
)
def test_cased_comparison(op: Op, wanted: str, actual: str, expected: bool) -> None:
    assert holds(is_("f", wanted, op, cased=True), f=actual) is expected


def test_a_regular_expression_folds_case_unless_cased() -> None:
    assert holds(is_("f", "ABC", Op.REGEX), f="abc")


@pytest.mark.parametrize(
    ("op", "second", "expected"),
    [
        (Op.EQUALS, "C:\\A.exe", True),
        (Op.EQUALS, "C:\\b.exe", False),
        (Op.STARTS_WITH, "c:\\", True),
        (Op.ENDS_WITH, ".EXE", True),
        (Op.CONTAINS, "\\a", True),
        (Op.CONTAINS, "\\b", False),
    ],
)
def test_a_field_against_another_field(op: Op, second: str, expected: bool) -> None:
    assert holds(is_("one", FieldName(name="Two"), op), one="c:\\a.exe", two=second) is expected


def test_fields_are_named_without_regard_to_case_and_blanks() -> None:
    flat: dict[str, FlatValue] = {"threat name": "x"}
    assert holds(is_("ThreatName", "x"), **flat)
    assert holds(is_("Threat Name", "x"), **flat)
    assert not holds(is_("ThreatNames", "x"), **flat)


@pytest.mark.parametrize(
    ("wanted", "op", "expected"),
    [("mimi", Op.CONTAINS, True), ("MIMI*k", Op.LIKE, False), ("MIMI*z", Op.LIKE, True), ("nothing", Op.CONTAINS, False)],
)
def test_a_keyword_is_looked_for_in_every_value(wanted: str, op: Op, expected: bool) -> None:
    assert holds(is_(None, wanted, op), number=4, listed=["one", "Mimikatz"]) is expected


def test_empty_groups() -> None:
    assert holds(And(items=()))
    assert not holds(Or(items=()))


@pytest.mark.parametrize(
    ("field", "op", "value"),
    [
        ("f", Op.REGEX, "("),
        ("f", Op.CIDR, "10.0.0.1/8"),
        ("f", Op.CIDR, "here"),
        ("f", Op.LESS, "many"),
        ("f", Op.LESS, None),
        ("f", Op.EQUALS, None),
        ("f", Op.REGEX, FieldName(name="g")),
        (None, Op.EXISTS, True),
        (None, Op.EQUALS, FieldName(name="g")),
    ],
)
def test_values_that_an_operation_does_not_take(field: str | None, op: Op, value: Value) -> None:
    with pytest.raises(BadValue):
        matcher(is_(field, value, op))


def test_a_regular_expression_that_backtracks_for_ever_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(match, "REGEX_SECONDS", 0.05)
    hostile = matcher(is_("f", "^(a|aa)+$", Op.REGEX))
    assert hostile(event(f="aaaa"))
    with pytest.raises(RuleTooSlow, match="did not end"):
        hostile(event(f="a" * 200 + "!"))


def test_a_pattern_of_many_stars_ends() -> None:
    assert not like("*a" * 300 + "b")("a" * 20_000)


# --- references -----------------------------------------------------------------------------------------------------------


def reference_like(pattern: str, text: str) -> bool:
    """Sigma's wildcards as the specification words them, by trying everything."""

    @cache
    def fits(p: int, t: int) -> bool:
        if p == len(pattern):
            return t == len(text)
        if pattern[p] == "*":
            return fits(p + 1, t) or (t < len(text) and fits(p, t + 1))
        if pattern[p] == "?":
            return t < len(text) and fits(p + 1, t + 1)
        escapes = pattern[p] == "\\" and p + 1 < len(pattern) and pattern[p + 1] in "*?\\"
        literal = pattern[p + 1] if escapes else pattern[p]
        return t < len(text) and text[t] == literal and fits(p + 1 + escapes, t + 1)

    return fits(0, 0)


@given(st.text("ab*?\\", max_size=10), st.text("ab*?\\\n", max_size=10))
def test_wildcards_against_the_reference(pattern: str, text: str) -> None:
    assert like(pattern)(text) == reference_like(pattern, text)


@given(st.text(max_size=8))
def test_an_escaped_text_is_like_itself_alone(text: str) -> None:
    escaped = "".join(f"\\{c}" if c in "*?\\" else c for c in text)
    assert like(escaped)(text)
    assert not like(escaped)(text + "x")


VALUES = st.one_of(st.text("abAB", max_size=3), st.integers(0, 3))
OPS = st.sampled_from([Op.EQUALS, Op.CONTAINS, Op.STARTS_WITH, Op.ENDS_WITH])
CLAUSES = st.builds(Clause, field=st.sampled_from(["f", "G", None]), op=OPS, value=VALUES, cased=st.booleans())
TREES: st.SearchStrategy[Node] = st.recursive(
    CLAUSES,
    lambda trees: st.one_of(
        st.builds(Not, item=trees),
        st.builds(And, items=st.lists(trees, max_size=4).map(tuple)),
        st.builds(Or, items=st.lists(trees, max_size=6).map(tuple)),
    ),
    max_leaves=12,
)
EVENTS = st.fixed_dictionaries({}, optional={"f": VALUES, "g": st.lists(st.text("abAB", max_size=3), max_size=2)})


def reference(node: Node, flat: dict[str, FlatValue]) -> bool:
    """A tree's meaning, with nothing compiled, grouped or kept."""
    match node:
        case Not(item=item):
            return not reference(item, flat)
        case And(items=items):
            return all(reference(item, flat) for item in items)
        case Or(items=items):
            return any(reference(item, flat) for item in items)
        case Clause(field=field, op=op, value=wanted, cased=cased):
            found = [flat.get(field.lower())] if field else list(flat.values())
            texts = [str(one) for value in found if value is not None for one in (value if isinstance(value, list) else [value])]
            want = str(wanted)
            if not cased:
                texts, want = [text.lower() for text in texts], want.lower()
            compare = {Op.EQUALS: str.__eq__, Op.CONTAINS: str.__contains__, Op.STARTS_WITH: str.startswith, Op.ENDS_WITH: str.endswith}
            return any(compare[op](text, want) for text in texts)
        case Formula():
            raise AssertionError("none is drawn")


@given(TREES, EVENTS)
def test_trees_against_the_reference(tree: Node, flat: dict[str, FlatValue]) -> None:
    # The kind's own fields stand in every event and would answer keywords, so they are in the reference's event as well.
    given_event = event(**flat)
    assert matcher(tree)(given_event) is reference(tree, dict(given_event.flat))


BAD_OR_GOOD = st.builds(
    Clause,
    field=st.sampled_from(["F", None]),
    op=st.sampled_from(Op),
    value=st.sampled_from(["x", "5", "(", "10.0.0.0/8", 1, True, None, FieldName(name="G")]),
    cased=st.booleans(),
)


@given(st.recursive(BAD_OR_GOOD, lambda trees: st.one_of(st.builds(Not, item=trees), st.builds(And, items=st.tuples(trees, trees)))))
def test_a_checked_tree_is_one_that_compiles(tree: Node) -> None:
    raised = []
    for way in (check_node, compile_node):
        try:
            way(tree)
        except BadValue as error:
            raised.append(str(error))
    assert len(raised) in (0, 2)
    assert len(set(raised)) < 2


def test_the_regex_engine_is_used_in_one_module_only() -> None:
    package = importlib.util.find_spec("harness")
    assert package is not None
    assert package.submodule_search_locations is not None
    root = Path(package.submodule_search_locations[0])
    users = {path.name for path in root.rglob("*.py") if "import regex" in path.read_text(encoding="utf-8")}
    assert users == {"match.py"}
