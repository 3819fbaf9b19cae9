"""Patterns of wildcards: the simplest operation says what the pattern says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.logic.match import like, matcher
from harness.model.tree import Op, Test
from harness.rules.wildcards import literal, simplest
from tests.logic.tree_builders import event

TEXTS = st.text(st.sampled_from("ab*?\\"), max_size=6)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("", (Op.EQUALS, "")),
        ("a", (Op.EQUALS, "a")),
        ("a*", (Op.STARTS_WITH, "a")),
        ("*a", (Op.ENDS_WITH, "a")),
        ("*a*", (Op.CONTAINS, "a")),
        ("*", (Op.LIKE, "*")),
        ("**", (Op.LIKE, "**")),
        ("a*b", (Op.LIKE, "a*b")),
        ("?a", (Op.LIKE, "?a")),
        ("a\\*", (Op.EQUALS, "a*")),
        ("*\\\\*", (Op.CONTAINS, "\\")),
        ("\\", (Op.EQUALS, "\\")),
    ],
)
def test_the_simplest_operation(pattern: str, expected: tuple[Op, str]) -> None:
    assert simplest(pattern) == expected


@given(TEXTS, TEXTS)
def test_it_says_what_the_pattern_says(pattern: str, text: str) -> None:
    op, value = simplest(pattern)
    assert matcher(Test(field="x", op=op, value=value, cased=True))(event(x=text)) is like(pattern)(text)


@given(TEXTS, TEXTS)
def test_a_literal_fits_itself_alone(text: str, other: str) -> None:
    assert like(literal(text))(other) is (text == other)
