"""The one reading of regular expressions: what the tree is, what is refused, and that it means what the matcher's engine means."""

from __future__ import annotations

import warnings
from itertools import pairwise

import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.logic.regex_tree import (
    LAST_CHARACTER,
    REPEATS,
    Ahead,
    Chain,
    Chars,
    Choice,
    Edge,
    Expression,
    Regex,
    Repeat,
    Unread,
    complement,
    read_regex,
    union,
)


def read(pattern: str, *, cased: bool = True) -> tuple[Expression, list[tuple[str, str]]]:
    """The expression, whose n-th part of one character is the code n, and those parts with their flags."""
    asked: list[tuple[str, str]] = []

    def alphabet(part: str, flags: frozenset[str]) -> Chars:
        asked.append((part, "".join(sorted(flags))))
        return one(len(asked) - 1)

    return read_regex(pattern, cased=cased, alphabet=alphabet), asked


def one(code: int) -> Chars:
    return Chars(ranges=((code, code),), cased=True)


def many(item: Regex, least: int, most: int | None, *, lazy: bool = False) -> Repeat:
    return Repeat(item=item, least=least, most=most, lazy=lazy)


def chain(*items: Regex) -> Chain:
    return Chain(items=items)


@pytest.mark.parametrize(
    ("pattern", "tree"),
    [
        ("", chain()),
        ("ab", chain(one(0), one(1))),
        ("a|", Choice(items=(chain(one(0)), chain()))),
        ("a(?:b(c))d", chain(one(0), one(1), one(2), one(3))),
        ("(?P<n>a)(?<m>b)", chain(one(0), one(1))),
        ("(ab)+", chain(many(chain(one(0), one(1)), 1, None))),
        ("a*b??c{2}d{,3}?e{4,}", chain(*(
            many(one(0), 0, None), many(one(1), 0, 1, lazy=True), many(one(2), 2, 2), many(one(3), 0, 3, lazy=True), many(one(4), 4, None),
        ))),
        ("a{,}", chain(many(one(0), 0, None))),
        ("a{}", chain(one(0), one(1), one(2))),
        ("a{x", chain(one(0), one(1), one(2))),
        (r"^\A$\Z\z\b\B", chain(*(Edge(kind=kind) for kind in ("^", "^", "$", "Z", "Z", "b", "B")))),
        ("a(?=b)(?!c|d)", chain(
            one(0), Ahead(item=chain(one(1)), negative=False), Ahead(item=Choice(items=(chain(one(2)), chain(one(3)))), negative=True),
        )),
    ],
)  # fmt: skip
def test_the_tree(pattern: str, tree: Regex) -> None:
    assert read(pattern)[0].tree == tree


@pytest.mark.parametrize(
    ("pattern", "parts"),
    [
        (r"a.\.\d", [("a", ""), (".", ""), (r"\.", ""), (r"\d", "")]),
        (r"[]a][^]b][\]c][[:alpha:]]", [("[]a]", ""), ("[^]b]", ""), (r"[\]c]", ""), ("[[:alpha:]]", "")]),
        (r"\x41B\u0041\U00000041\p{Lu}\N{BELL}", [(each, "") for each in (r"\x41", "B", r"\u0041", r"\U00000041", r"\p{Lu}", r"\N{BELL}")]),
        (r"\012\01x", [(r"\012", ""), (r"\01", ""), ("x", "")]),
        ("(?i)a(?s:b(?-i)c|d)e", [("a", "i"), ("b", "is"), ("c", "s"), ("d", "s"), ("e", "i")]),
        ("(?i)(?s)a", [("a", "is")]),
        ("}]-", [("}", ""), ("]", ""), ("-", "")]),
    ],
)
def test_parts_of_one_character_and_the_flags_in_force(pattern: str, parts: list[tuple[str, str]]) -> None:
    assert read(pattern)[1] == parts


def test_without_regard_to_case_is_a_flag() -> None:
    assert read("a(?-i:b)", cased=False)[1] == [("a", "i"), ("b", "")]


def test_where_flags_stood_and_how_deep_groups_are() -> None:
    expression, _ = read("(?i)(?as)a(?m)((?-s:b))")
    assert (expression.flags, expression.switches, expression.depth) == ("ias", ("(?m)", "(?-s:"), 2)


@pytest.mark.parametrize(
    ("pattern", "named"),
    [
        ("(?<=a)b", "look-around"),
        ("(?>a)", "atomic group"),
        ("(?P=n)", "extended group"),
        ("(?|a)", "extended group"),
        ("(?#a)", "extended group"),
        ("(?x) a", "flags"),
        ("(?m)^a", "flags"),
        (r"(a)\1", "back-reference"),
        (r"(?P<n>a)\g<n>", "back-reference"),
        ("a++", "possessive"),
        ("a{e<=1}", "fuzzy"),
        ("a{1<=e<=2}", "fuzzy"),
        ("*a", "repeats nothing"),
        ("a**", "repeats nothing"),
        ("(?i)+", "repeats nothing"),
        ("{2}", "repeats nothing"),
        ("a{2}{3}", "repeats nothing"),
        (r"\b*", "place between"),
        ("(?=a)?", "place between"),
        (f"a{{{REPEATS + 1}}}", "counts"),
        (f"a{{{'9' * 5000}}}", "counts"),
        ("a{3,2}", "counts"),
        ("(a", "never closes"),
        ("a)", "never opened"),
        ("[a", "ends too early"),
        ("a\\", "ends too early"),
        ("(" * 101 + ")" * 101, "nested"),
    ],
)
def test_what_is_not_read_is_named(pattern: str, named: str) -> None:
    with pytest.raises(Unread, match=named):
        read(pattern)


def said(part: Regex, parts: list[tuple[str, str]]) -> str:
    """The tree in the engine's own words again."""
    match part:
        case Chars(ranges=((code, _),)):
            text, flags = parts[code]
            return f"(?{flags}:{text})" if flags else text
        case Repeat(item=item, least=least, most=most, lazy=lazy):
            return f"(?:{said(item, parts)}){{{least},{'' if most is None else most}}}{'?' if lazy else ''}"
        case Edge(kind=kind):
            return kind if kind in "^$" else f"\\{kind}"
        case Ahead(item=item, negative=negative):
            return f"(?{'!' if negative else '='}{said(item, parts)})"
        case Chain(items=items):
            return "".join(said(each, parts) for each in items)
        case Choice(items=items):
            return f"(?:{'|'.join(said(each, parts) for each in items)})"
    raise AssertionError(part)


ATOMS = ["a", "B", ".", "\\d", "[^a]", "[]b]", "[[:alpha:]-]", "\\.", "\\x41", "\\101", "^", "$", "\\b", "\\B", "\\A", "\\Z", "{", "}", "]"]
COUNTS = ["*", "+", "?", "{2}", "{1,2}", "{,2}", "{,}", "{2,}", "{}", "{x}", "{d}", "{1<e<3}", "+?", "??", "*+"]
GROUPS = ["(", "(?:", "(?P<n>", "(?i:", "(?s:", "(?-i:", "(?i)", "(?s)", "(?=", "(?!", "(?<=", "(?>", ")", ")", ")", "|", "|"]
PATTERNS = st.lists(st.one_of(st.sampled_from(ATOMS), st.sampled_from(COUNTS), st.sampled_from(GROUPS)), max_size=8).map("".join)


@settings(deadline=None, max_examples=500)
@given(PATTERNS, st.lists(st.text("aAbB1.{}]\n-x,2", max_size=6), max_size=4), st.booleans())
def test_the_tree_means_what_the_engine_means(pattern: str, texts: list[str], cased: bool) -> None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compiled = regex.compile(pattern, 0 if cased else regex.IGNORECASE)
    except regex.error:
        return
    try:
        expression, parts = read(pattern, cased=cased)
    except Unread:
        return
    again = regex.compile(said(expression.tree, parts))
    for text in texts:
        assert (again.search(text, timeout=5) is None) == (compiled.search(text, timeout=5) is None)


CODES = st.integers(0, LAST_CHARACTER)
RANGES = st.lists(st.tuples(CODES, CODES).map(lambda ends: (min(ends), max(ends))), max_size=6)


@given(RANGES, CODES)
def test_ranges(ranges: list[tuple[int, int]], code: int) -> None:
    found = union(ranges)
    inside = any(low <= code <= high for low, high in ranges)
    assert any(low <= code <= high for low, high in found) == inside
    assert any(low <= code <= high for low, high in complement(found)) != inside
    assert all(before[1] + 1 < after[0] for before, after in pairwise(found))
    assert complement(complement(found)) == found


def test_a_part_that_the_alphabet_refuses_is_unread() -> None:
    def alphabet(part: str, flags: frozenset[str]) -> Chars:
        raise Unread(f"the part {part}")

    with pytest.raises(Unread, match="the part b"):
        read_regex("^b", cased=True, alphabet=alphabet)
