"""What is asked of a field by its type: words of texts against analyzers written as plain loops, ranges of addresses against arithmetic."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.logic.match import like, matcher
from harness.model.facts import Event
from harness.model.tree import Node, Op
from harness.rules.mapped import FieldType, Refused, fits, in_range, is_value, type_of
from tests.logic.tree_builders import SYSMON, event

SCRIPT = "powershell.file.script_block_text"


def standard(text: str) -> list[str]:
    """Words of the standard tokenizer, in lower case: a sign joins its neighbours where both are letters, or both digits."""
    words: list[str] = []
    inside = False
    for place, sign in enumerate(text):
        before, after = text[place - 1 : place] if place else "", text[place + 1 : place + 2]
        joins = sign in ".:'’" and before.isalpha() and after.isalpha()
        joins = joins or (sign in ".,;'" and before.isdecimal() and after.isdecimal())
        if sign.isalnum() or sign == "_" or joins:
            words[-1:] = [words[-1] + sign] if inside else [*words[-1:], sign]
            inside = True
        else:
            inside = False
    return [word.lower() for word in words]


def script(text: str) -> list[str]:
    """Words of the script block's analyzer."""
    kept = "".join(sign if sign.isascii() and (sign.isalnum() or sign in "_-") else " " for sign in text)
    return kept.lower().split()


def seen(field: str, text: str) -> Event:
    if field == "message":
        return event(SYSMON, 1, message=text)
    return event("Microsoft-Windows-PowerShell/Operational", 4104, scriptblocktext=text)


TEXTS = st.text(st.sampled_from("aAb1_.:',;- é"), min_size=1, max_size=12).filter(lambda text: text.strip() not in ("", "-"))
FIELDS = st.sampled_from([("message", standard), (SCRIPT, script)])


def asked(node: Node, field: str, text: str) -> bool:
    return matcher(node)(seen(field, text))


@given(FIELDS, TEXTS, TEXTS)
def test_a_phrase_is_its_words_in_their_order(case: tuple[str, type], text: str, phrase: str) -> None:
    field, words = case
    has, wanted = words(text), words(phrase)
    rows = [has[start : start + len(wanted)] for start in range(len(has))]
    assert asked(is_value(field, phrase, quoted=True), field, text) is (wanted != [] and wanted in rows)


@given(FIELDS, TEXTS, TEXTS)
def test_unquoted_words_are_any_of_them(case: tuple[str, type], text: str, value: str) -> None:
    field, words = case
    assert asked(is_value(field, value, quoted=False), field, text) is bool({*words(text)} & {*words(value)})


@given(FIELDS, TEXTS, st.text(st.sampled_from("aAb1_.-*?"), min_size=1, max_size=5))
def test_a_pattern_fits_one_word(case: tuple[str, type], text: str, pattern: str) -> None:
    field, words = case
    # Stars alone ask whether the field is there, be there a word in it or none.
    expected = {*pattern} == {"*"} or any(like(pattern.lower())(word) for word in words(text))
    assert asked(fits(field, pattern), field, text) is expected


ADDRESSES = st.one_of(
    st.integers(0, 2**32 - 1).map(lambda number: str(ip_address(number))), st.sampled_from(["0.0.0.0", "255.255.255.255"])
)
ORDER = {
    Op.LESS: int.__lt__,
    Op.LESS_OR_EQUAL: int.__le__,
    Op.GREATER: int.__gt__,
    Op.GREATER_OR_EQUAL: int.__ge__,
}


@given(ADDRESSES, ADDRESSES, st.sampled_from(list(ORDER)), st.integers(-2, 2))
def test_a_side_of_an_address(bound: str, other: str, op: Op, near: int) -> None:
    node = in_range("source.ip", {op: bound})
    close = str(ip_address(min(2**32 - 1, max(0, int(ip_address(bound)) + near))))
    for address in (other, close):
        expected = ORDER[op](int(ip_address(address)), int(ip_address(bound)))
        assert matcher(node)(event(SYSMON, 3, sourceip=address)) is expected


def test_bounds_of_two_versions_are_refused() -> None:
    with pytest.raises(Refused, match="two versions"):
        in_range("source.ip", {Op.GREATER: "10.0.0.0", Op.LESS: "::1"})


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("process.name", FieldType.KEYWORD),
        ("process.name.caseless", FieldType.KEYWORD),
        ("process.name.text", FieldType.TEXT),
        ("process.command_line", FieldType.KEYWORD),
        ("Message", FieldType.TEXT),
        (SCRIPT, FieldType.SCRIPT),
        ("powershell.file.script_block_entropy_bits", FieldType.NUMBER),
        ("powershell.file.script_block_id", FieldType.KEYWORD),
        ("event.code", FieldType.KEYWORD),
        ("process.parent.pid", FieldType.NUMBER),
        ("winlog.event_data.port", FieldType.KEYWORD),
        ("destination.ip", FieldType.ADDRESS),
        ("dll.code_signature.trusted", FieldType.BOOLEAN),
        ("@timestamp", FieldType.DATE),
        ("file.created", FieldType.DATE),
    ],
)
def test_types(name: str, expected: FieldType) -> None:
    assert type_of(name) is expected
