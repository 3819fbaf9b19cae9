"""Regular expressions in other dialects find what the original finds: checked with real engines on generated patterns."""

from __future__ import annotations

import json
import re

import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.rules.lucene_regex import python_regex
from harness.translate.ascii_regex import parse_regex
from harness.translate.refusal import NotExpressible
from harness.translate.regexes import json_character, json_value, lucene, number_range

atoms = st.sampled_from(
    ["a", "b", "A", "\\\\", '"', "/", "\\.", ".", "[a-c]", "[^a]", "\\d", "\\w", "\\s", "\\S", "(?:a|bb)", "é", "\\t", " ", "'"]
)
quantifiers = st.sampled_from(["", "", "", "*", "+", "?", "{2}", "{1,2}", "*?"])
pieces = st.builds(lambda atom, quantifier: atom + quantifier, atoms, quantifiers)
branches = st.builds(
    lambda front, inner, back: front + "".join(inner) + back,
    st.sampled_from(["", "^"]),
    st.lists(pieces, min_size=1, max_size=4),
    st.sampled_from(["", "$"]),
)
patterns = st.lists(branches, min_size=1, max_size=3).map("|".join)
texts = st.text(st.sampled_from("abcAB1 \\\"/.\t\né'"), max_size=8).filter(lambda text: not text.endswith("\n"))


def found_by_lucene(pattern: str, text: str, *, cased: bool) -> bool:
    """Lucene's own dialect has no engine here: it is read by the project's reader of it."""
    return regex.search(python_regex(lucene(parse_regex(pattern, cased=cased))), text) is not None


def found_in_json(pattern: str, text: str, *, cased: bool, escaped: bool) -> bool:
    written = json_value(parse_regex(pattern, cased=cased))
    return regex.search(f'(?i)^"{written}', json.dumps(text, ensure_ascii=escaped)) is not None


@settings(deadline=None)
@given(patterns, texts, st.booleans())
def test_both_dialects_find_what_the_original_finds(pattern: str, text: str, cased: bool) -> None:
    flags = re.ASCII if cased else re.ASCII | re.IGNORECASE
    expected = re.search(pattern, text, flags) is not None
    assert found_by_lucene(pattern, text, cased=cased) == expected
    assert found_in_json(pattern, text, cased=cased, escaped=False) == expected
    assert found_in_json(pattern, text, cased=cased, escaped=True) == expected


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("(?i)WHOAMI", "x whoami y", True),
        ("WHOAMI", "x whoami y", False),
        ("(?i:w)HO", "WHO", True),
        ("(?i:w)HO", "Who", False),
        ("a(?i)b|C", "c", True),
        ("(^[a-z]{2}$)|(^[a-z]{4}$)", "abc", False),
        ("(^[a-z]{2}$)|(^[a-z]{4}$)", "abcd", True),
        ("a.b", "a\nb", False),
        ("(?s)a.b", "a\nb", True),
        ("\\x41\\u0042", "AB", True),
        ("[[:digit:]]x", "5x", True),
        ("[\\]-]", "-", True),
        ("[[:digit:]-]", "-", True),
        ("x\\012y", "x\ny", True),
        ("a{,}b", "aab", True),
        ("a{}", "a{}", True),
        ("\\bcat\\b", "a cat.", True),
        ("\\bcat\\b", "concat", False),
        ("(?P<name>a)b", "ab", True),
        ("https?://(?:(?:25[0-5]|(?:2[0-4]|1\\d|[1-9])?\\d)(?:\\.|\\b)){4}$", "none", False),
    ],
)
def test_single_constructs(pattern: str, text: str, expected: bool) -> None:
    assert found_in_json(pattern, text, cased=True, escaped=True) is expected
    if "\\b" not in pattern or pattern.startswith("\\b"):
        assert found_by_lucene(pattern, text, cased=True) is expected


def test_a_look_ahead_is_one_over_json() -> None:
    assert found_in_json('a(?!")b?', 'a"', cased=True, escaped=True) is False
    assert found_in_json('a(?=")', 'a"', cased=True, escaped=True) is True


@pytest.mark.parametrize(
    ("pattern", "named"),
    [
        ("(a)\\1", "back-reference"),
        ("(?<=a)b", "group of the kind"),
        ("a++", "possessive"),
        ("a{2000}", "counts"),
        ("(" * 60 + ")" * 60, "nested"),
        ("(a", "never closes"),
        ("a)", "never opened"),
        ("[a", "ends too early"),
        ("\\p{L}", "escape \\p"),
        ("(?m)^a", "line"),
        ("*a", "repeats nothing"),
        ("[z-a]", "range"),
        ("[+-[:digit:]]", "range"),
        ("[a-\\d]", "range"),
        ("[[:colour:]]", "class [:colour:]"),
        ("\\x{110000}", "code that is none"),
        ("\\xg", "code that is none"),
        ("a{e<=1}", "fuzzy"),
    ],
)
def test_what_is_not_said_elsewhere_is_named(pattern: str, named: str) -> None:
    with pytest.raises(NotExpressible, match=re.escape(named)):
        parse_regex(pattern, cased=True)


@settings(deadline=None)
@given(
    st.lists(
        st.sampled_from(["[", "[^", "]", "[:digit:]", "[:", "-", "\\", "\\]", "\\x{", "\\x4", "\\b", "\\0", "}", "a", "z"]), max_size=8
    )
)
def test_a_class_is_read_or_refused(parts: list[str]) -> None:
    try:
        lucene(parse_regex("".join(parts), cased=False))
    except NotExpressible:
        return


@pytest.mark.parametrize("pattern", ["a(?=b)", "a^b", "x\\bcat", "a\\Bb"])
def test_what_lucene_cannot_say_is_named(pattern: str) -> None:
    with pytest.raises(NotExpressible, match="Lucene"):
        lucene(parse_regex(pattern, cased=True))


@settings(deadline=None)
@given(st.characters(codec="utf-8"))
def test_a_character_is_found_however_it_is_written(character: str) -> None:
    pattern = json_character(character)
    assert "'" not in pattern
    assert regex.fullmatch(pattern, json.dumps(character)[1:-1])
    assert regex.fullmatch(pattern, json.dumps(character, ensure_ascii=False)[1:-1])


@settings(deadline=None)
@given(st.integers(0, 70_000), st.integers(0, 70_000), st.integers(0, 70_000), st.sampled_from([10, 16]))
def test_ranges_of_numbers(low: int, high: int, number: int, base: int) -> None:
    text = str(number) if base == 10 else f"{number:x}"
    assert (re.fullmatch(number_range(low, high, base), text) is not None) == (low <= number <= high)
