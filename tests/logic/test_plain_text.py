"""What a regular expression's matches must hold: certain, or nothing."""

from __future__ import annotations

import pytest
import regex
from hypothesis import assume, example, given
from hypothesis import strategies as st

from harness.logic.match import fold
from harness.logic.plain_text import plain_text


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("abc", "abc"),
        (r"\\spoolss_[0-9a-f]{2}", "\\spoolss_"),
        (r"(?i)\s(-u|--user)\s*:", ":"),
        (r"(?i)&&set.*(\{\d\}){2,}", "&&set"),
        (r"cmd.{0,5}(?:/c|/r).+powershell.+", "powershell"),
        (r"https?://0[0-9]{1,11}", "http"),
        (r"ab*cd", "cd"),
        (r"abc+d", "abc"),
        (r"abcx{0}d", "abc"),
        (r"abcx{0,3}?de", "abc"),
        (r"abc{2,}d", "abc"),
        (r"^C:\\Users\\[^\\]+\\NTUSER\.DAT$", "\\NTUSER.DAT"),
        (r"[]a]bc[^]x]d", "bc"),
        (r"(?<=x)ab(?P<n>c)d", "ab"),
        (r"a(b[)]c)def", "def"),
        ("", ""),
        (".*", ""),
        ("abc|d", ""),
        ("abc)", ""),
        ("(abc", ""),
        ("[abc", ""),
        ("abc\\", ""),
        (r"abc\x41", ""),
        (r"abc\p{L}", ""),
        (r"(a)bcd\1", ""),
        (r"abcd{e<=1}", ""),  # the engine's own: with an error allowed, the text need not be there
        ("abc{", ""),
        ("(?x)a b c", ""),
        ("(?V1)[[a]--[b]]abc", ""),
        ("(?#)abc", ""),
        ("[[:alpha:]]abc", ""),
        ("(?i)k", "k"),
    ],
)
def test_the_longest_certain_text(pattern: str, text: str) -> None:
    assert plain_text(pattern) == text


PLAIN = ["a", "b", "K", "s", "ſ", "İ", "-", "\\.", "\\d", "\\\\", ".", "^", "$", "\\b", "\\1", "\\x41", "[", "[^", "]", "|"]
COUNTS = ["*", "+", "?", "??", "*+", "{0}", "{2}", "{1,2}", "{,2}", "{e<=1}"]
GROUPS = ["(", "(?:", "(?i)", "(?=", "(?!", "(?>", ")", "(?s)", "(?i:", "(?-i:"]
PIECES = st.sampled_from([*PLAIN, *COUNTS, *GROUPS])


@example("a?b", "b", True)
@example("s", "ſ", True)
@given(st.lists(PIECES, max_size=9).map("".join), st.text("abkKsſiİı.-1\\ K", max_size=8), st.booleans())
def test_whatever_is_found_holds_it(pattern: str, value: str, ignoring_case: bool) -> None:
    try:
        compiled = regex.compile(pattern, regex.IGNORECASE if ignoring_case else 0)
    except regex.error:
        assume(False)
    if compiled.search(value, timeout=1) is not None:
        text = plain_text(pattern)
        assert not text.isascii() or fold(text) in fold(value) or not value.isascii()
