"""What people type: lengths of time, near misses, and texts that nothing of a value is repeated in."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.documents import parse_yaml
from harness.fields import Entry, Text, check, dotted, nearest, parse_duration


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("90s", timedelta(seconds=90)),
        ("6m", timedelta(minutes=6)),
        ("1h30m", timedelta(hours=1, minutes=30)),
        ("250ms", timedelta(milliseconds=250)),
        ("1m500ms", timedelta(minutes=1, milliseconds=500)),
        ("0s", timedelta(0)),
        (" 2h ", timedelta(hours=2)),
    ],
)
def test_lengths_of_time(text: str, length: timedelta) -> None:
    assert parse_duration(text) == length


@pytest.mark.parametrize("text", ["", " ", "5", "s", "-5s", "1.5s", "1s1m", "1 m", "1M", "1h1h", "9999999s", "\u0661s", "5s\n5", "PT5S"])
def test_what_is_no_length_of_time(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        parse_duration(text)


@given(st.integers(0, 99), st.integers(0, 99), st.integers(0, 99), st.integers(0, 999))
def test_the_parts_of_a_length_add_up(hours: int, minutes: int, seconds: int, milliseconds: int) -> None:
    length = parse_duration(f"{hours}h{minutes}m{seconds}s{milliseconds}ms")
    assert length == timedelta(hours=hours, minutes=minutes, seconds=seconds, milliseconds=milliseconds)


@pytest.mark.parametrize(
    ("word", "hint"),
    [("titel", "did you mean title?"), ("TITLE", "did you mean title?"), ("stepps", "did you mean steps?"), ("wholly-other", ""), ("", "")],
)
def test_a_near_miss_is_hinted_at(word: str, hint: str) -> None:
    assert nearest(word, ["title", "steps"]) == hint


def test_locations_count_from_one() -> None:
    assert dotted(("steps", 0, "expect", 2, "rule")) == "steps[1].expect[3].rule"
    assert dotted(()) == ""


class _Sample(Entry):
    name: Text
    count: int = 0


@given(st.text(alphabet="abcdefghij", min_size=8), st.sampled_from(["name: [{0}]", "name: x\ncount: {0}", "name: {{a: {0}}}", "{0}"]))
def test_no_problem_repeats_a_value(value: str, template: str) -> None:
    _, problems = check(_Sample, parse_yaml(template.format(f"secret{value}"), "x"))
    assert problems
    assert not any(value in str(problem) for problem in problems)
