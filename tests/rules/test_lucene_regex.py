"""Lucene's regular expressions in Python's words and back."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.logic.match import BadValue
from harness.rules.lucene_regex import lucene_regex, python_regex

PIECES = st.lists(
    st.sampled_from(
        [
            "a",
            "é",
            " ",
            ".",
            "^",
            "$",
            "@",
            '"x. y"',
            '""',
            "\\.",
            "\\d",
            "\\e",
            "\\<",
            '\\"',
            "\\@",
            "\\\\",
            "[a-c]",
            "[^]x]",
            "[\\]&~[]",
            "(a|b)",
            "((a)c)",
            "a*",
            "b+?",
            "c{2,3}",
            "d{2,}",
            "x?",
            "|",
        ]
    ),
    max_size=8,
).map("".join)


@given(PIECES)
def test_what_is_said_in_lucenes_words_again_is_the_same(pattern: str) -> None:
    made = python_regex(pattern)
    assert python_regex(lucene_regex(made)) == made
    re.compile(made)


@given(st.text(st.sampled_from('ab.*+?[]()|{}\\"<>~&#@^$-1,'), max_size=10))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        made = python_regex(text)
    except BadValue:
        return
    assert python_regex(lucene_regex(made)) == made


@pytest.mark.parametrize("pattern", ["abc", "(?s)\\A(?:a)", "(?s)\\A(?:a(?=b))\\Z", "(?s)\\A(?:(?:a|b))\\Z", "(?s)\\A(?:^)\\Z"])
def test_what_lucene_has_no_words_for_is_refused(pattern: str) -> None:
    with pytest.raises(BadValue):
        lucene_regex(pattern)
