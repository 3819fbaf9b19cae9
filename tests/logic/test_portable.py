"""Regular expressions for RE2 and Java: what is written finds what the matcher's own engine finds, and the rest is refused."""

from __future__ import annotations

import duckdb
import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.logic.portable import NotPortable, portable

DATABASE = duckdb.connect(config={"threads": 1})


def found(pattern: str, texts: list[str], *, cased: bool) -> list[bool]:
    """What RE2 says of each text."""
    written = portable(pattern, cased=cased)
    asked = "SELECT number, regexp_matches(text, ?) FROM (SELECT unnest(?::VARCHAR[]) AS text, unnest(range(?)) AS number) ORDER BY number"
    return [bool(yes) for _, yes in DATABASE.execute(asked, [written, texts, len(texts)]).fetchall()]


def expected(pattern: str, texts: list[str], *, cased: bool) -> list[bool]:
    compiled = regex.compile(pattern, 0 if cased else regex.IGNORECASE)
    return [compiled.search(text) is not None for text in texts]


TEXTS = [
    *(
        "",
        "a",
        "A",
        "ab",
        "aB\n",
        "b\na",
        "a\r\n",
        "aé",
        "ſ",
        "S",
        "K",
        "k",
        "İ",
        "i",
        "ı",
        "ß",
        "SS",
        "Σ",
        "ς",
        "1",
        "١",
        "²",
        "_",
        "-",
        "\u3000",
    ),
    *(
        "foo bar",
        "foobar",
        "xfoo",
        "foo",
        "foo.",
        "\x00",
        "a\x00b",
        "😀",
        "{a}",
        "a{,}",
        "$",
        "[x]",
        "\\",
        "c:\\windows\\x.exe",
        "0x1f",
        "\u2028",
    ),
]


@pytest.mark.parametrize("cased", [True, False])
@pytest.mark.parametrize(
    "pattern",
    [
        *(
            "",
            "a",
            "é",
            "[a-z]",
            "[^a-z]",
            "[]a]",
            "[^]a]",
            "[a\\]b]",
            "[[:alpha:]]",
            "[\\d\\-_]",
            "\\d",
            "\\D",
            "\\w",
            "\\W",
            "\\s",
            "\\S",
        ),
        *(
            ".",
            "a.",
            "(?s)a.",
            "^a",
            "a$",
            "(?:a|b$)",
            "\\Aa\\Z",
            "a|",
            "(a)(b)?",
            "(?P<n>a)",
            "(?<n>a)",
            "(?:ab)+",
            "a{2}",
            "a{1,}",
            "a{,3}",
        ),
        *(
            "a{0,2}?b",
            "a+?b",
            "k",
            "s",
            "i",
            "\\x41",
            "\\u0061",
            "\\U00000061",
            "\\n",
            "\\t",
            "\\x00",
            "\\.",
            "\\\\",
            "\\$",
            "\\{a\\}",
            "}",
            "]",
        ),
        *(
            "(?i)ss",
            "(?i:a)B",
            "a(?s:.)b",
            "\\p{Lu}",
            "\\P{L}",
            "[\\p{Lu}x]",
            "\\bfoo",
            "foo\\b",
            "\\bfoo\\b",
            "foo\\b\\.",
            "\\b\\.",
            "\\.\\b",
            "\\bé",
        ),
        *(
            "foo\\b bar",
            "o$",
            "(?:x|^)foo",
            "[ſ]",
            "[K]",
            "ı",
            "\\N{LATIN SMALL LETTER A}",
            "[^\\x00-\\x7F]",
            "(?:a{1,30}){1,30}",
            "\\w{1,64}",
        ),
    ],
)
def test_it_finds_what_the_matcher_finds(pattern: str, cased: bool) -> None:
    assert found(pattern, TEXTS, cased=cased) == expected(pattern, TEXTS, cased=cased)


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("(?=a)b", "look-around"),
        ("(?<!a)b", "look-around"),
        ("(?>a)", "atomic"),
        ("a++", "possessive"),
        ("(a)\\1", "back-reference"),
        ("(?P<n>a)(?P=n)", "extended group"),
        ("(?|a|b)", "extended group"),
        ("(?:foo){e<=1}", "fuzzy"),
        ("(?m)^a", "flags"),
        ("(?:(?x) a)", "flags"),
        ("a$b", "line's end in the middle"),
        ("(?:a$)*", "line's end in the middle"),
        ("a\\b.", "word boundary in the middle"),
        ("(?:\\b.)+", "word boundary in the middle"),
        ("\\Ba", "word boundary"),
        ("\\R", "escape of the matcher's own"),
        ("(?:a{100}){100}", "repetitions"),
        ("\\w{500}", "too large"),
        ("[^\\x00-\\U0010ffff]", "no character"),
        ("\\ud800", "halves of characters"),
    ],
)
def test_what_engines_disagree_about_is_refused(pattern: str, reason: str) -> None:
    regex.compile(pattern)
    with pytest.raises(NotPortable, match=reason):
        portable(pattern, cased=True)


ATOMS = st.sampled_from(
    [
        "a",
        "b",
        "A",
        "k",
        "K",
        "s",
        "ſ",
        "é",
        "İ",
        "ß",
        ".",
        "\\d",
        "\\w",
        "\\W",
        "\\s",
        "[a-c]",
        "[^a]",
        "[^\\W_]",
        "\\.",
        "-",
        "_",
        "\\n",
        "{",
        "$",
        "^",
        "\\b",
    ]
)
REPEATS = st.sampled_from(["", "", "", "*", "+", "?", "{2}", "{1,2}", "{,2}", "*?", "{2,}?"])
PATTERNS = st.recursive(
    st.builds("".join, st.lists(st.builds(lambda atom, many: atom + many, ATOMS, REPEATS), max_size=4)),
    lambda inner: st.one_of(
        st.builds(lambda a, many: f"(?:{a}){many}", inner, REPEATS),
        st.builds(lambda a, b: f"({a}|{b})", inner, inner),
        st.builds(lambda a, b: a + b, inner, inner),
        st.builds(lambda a: f"(?i:{a})", inner),
    ),
    max_leaves=4,
)
WORDS = st.lists(st.text(alphabet="abAkKKsſßéiİı1٣_-. \n{$", max_size=6), min_size=1, max_size=5)


@settings(max_examples=300, deadline=None)
@given(PATTERNS, WORDS, st.booleans())
def test_any_expression_is_read_alike_or_refused(pattern: str, texts: list[str], cased: bool) -> None:
    try:
        wanted = expected(pattern, texts, cased=cased)
    except regex.error:
        return
    try:
        said = found(pattern, texts, cased=cased)
    except NotPortable:
        return
    assert said == wanted


def test_case_is_that_of_the_engine_over_all_characters() -> None:
    """Plain letters are asked about characters that have a case alone: there must be no other that they match."""
    every = "".join(chr(point) for point in range(1, 0x110000) if not 0xD800 <= point < 0xE000)
    for letter in "aikszé1_":
        written = portable(letter, cased=False)
        ((said,),) = DATABASE.execute("SELECT regexp_extract_all(?, ?)", [every, written]).fetchall()
        assert set(said) == set(regex.findall(letter, every, regex.IGNORECASE))
