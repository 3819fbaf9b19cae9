"""Texts as values with places: YAML by the core schema of 1.2, TOML, and what is refused of either."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from harness.documents import MAX_BYTES, MAX_DEPTH, parse_toml, parse_yaml, read_text
from harness.errors import UsageError

KEYS = st.text(alphabet="abcdefgh_-XYZ019", min_size=1, max_size=8)
TEXTS = st.text(
    alphabet=st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Cn", "Co"), exclude_characters="\ufeff\u2028\u2029\x85")
)
SCALARS = st.none() | st.booleans() | st.integers(-(10**18), 10**18) | st.floats(allow_nan=False, allow_infinity=False) | TEXTS
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=20)


def problem_of(text: str) -> str:
    with pytest.raises(UsageError) as caught:
        parse_yaml(text, "x.yml")
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", "yes"),
        ("no", "no"),
        ("on", "on"),
        ("true", True),
        ("False", False),
        ("~", None),
        ("null", None),
        ("12", 12),
        ("-7", -7),
        ("0x1F", 31),
        ("0o17", 15),
        ("017", 17),
        ("1:30", "1:30"),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        ("1e999", "1e999"),
        (".inf", ".inf"),
        ("2027-03-31", "2027-03-31"),
        ("'12'", "12"),
        ('"true"', "true"),
        ("!!str 5", "5"),
        ("! 5", "5"),
        ("T1021.006", "T1021.006"),
        ("[a, 1]", ["a", 1]),
        ("{a: {b: [1]}}", {"a": {"b": [1]}}),
        ("- a\n- |\n  two\n  lines\n", ["a", "two\nlines\n"]),
        ("a: &x [1, 2]\nb: *x", {"a": [1, 2], "b": [1, 2]}),
        ("<<: {a: 1}", {"<<": {"a": 1}}),
        ("\ufeffa: 1", {"a": 1}),
    ],
)
def test_yaml_is_read_by_the_core_schema(text: str, value: object, tmp_path: Path) -> None:
    path = tmp_path / "x.yml"
    path.write_text(text, encoding="utf-8")
    document = parse_yaml(read_text(path), "x.yml")
    assert document.value == value
    assert type(document.value) is type(value)


@given(VALUES)
def test_every_json_text_is_yaml_of_the_same_value(value: object) -> None:
    # What YAML 1.2 promises and 1.1 does not: PyYAML's own schema reads 1e3 as text.
    assert parse_yaml(json.dumps(value, ensure_ascii=False), "x").value == value


def test_every_part_has_its_place() -> None:
    document = parse_yaml("id: a\nsteps:\n  - name: b\n    expect: [x,\n      y]\n  - c\n", "s.yml")
    lines = {loc: (place.line, place.column) for loc, place in document.places.items()}
    assert lines[("id",)] == (1, 1)
    assert lines[("steps",)] == (2, 1)
    assert lines[("steps", 0, "expect")] == (4, 5)
    assert lines[("steps", 0, "expect", 1)] == (5, 7)
    assert lines[("steps", 1)] == (6, 5)
    assert document.place(("steps", 0, "expect", 7, "deeper")).line == 4


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "x.yml: is empty"),
        ("# only a comment\n", "x.yml: is empty"),
        ("a: 1\n---\nb: 2\n", "x.yml:2:1: a second document"),
        ("a: 1\nb: 2\na: 3\n", "x.yml:3:1: key 'a' stands twice, first in line 1"),
        ("a:\n\tb: 1\n", "x.yml:2:1: a tab stands where YAML wants blanks"),
        ("a: [1, 2\n", "is not valid YAML"),
        ("a: 'open\n", "is not valid YAML"),
        ("a: !!python/object/apply:os.system [id]\n", "tag tag:yaml.org,2002:python/object/apply:os.system is not allowed"),
        ("a: !secret x\n", "x.yml:1:4: tag !secret is not allowed"),
        ("a: *nowhere\n", "nowhere"),
        ("1: x\n", "x.yml:1:1: a key must be text"),
        ("? [a, b]\n: x\n", "x.yml:1:3: a key must be text"),
        ("a: \x07\n", "a character that YAML does not allow"),
        ("&a [*a]", "is nested deeper than"),
        ("%YAML 9.9\n---\na: 1", "is not valid YAML"),
    ],
)
def test_what_is_wrong_in_form_is_said_with_its_place(text: str, said: str) -> None:
    assert said in problem_of(text)


def test_every_double_key_is_named_at_once() -> None:
    text = "a: 1\na: 2\nb: {c: 1, c: 2}\n"
    assert [line.split(":")[1] for line in problem_of(text).splitlines()] == ["2", "3"]


@pytest.mark.parametrize("text", ["[" * 100_000, "{a: " * 50_000, "- " * 100_000 + "x", "\n".join(" " * n + "a:" for n in range(1000))])
def test_deep_nesting_is_refused_before_anything_is_built(text: str) -> None:
    assert f"is nested deeper than {MAX_DEPTH} levels" in problem_of(text)


def test_a_bomb_of_aliases_is_refused() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    assert "values" in problem_of("\n".join(lines))


def test_too_many_values_are_refused() -> None:
    # Before the rest is read: what follows is not YAML.
    assert "more than 50000 values" in problem_of("- x\n" * 60_000 + "]")


@given(st.text(max_size=200))
def test_no_text_gives_anything_but_a_document_or_a_usage_error(text: str) -> None:
    for parse in (parse_yaml, parse_toml):
        with contextlib.suppress(UsageError):
            assert parse(text, "x").places


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    latin = tmp_path / "latin.yml"
    latin.write_bytes(b"title: ok\nname: caf\xe9\n")
    big = tmp_path / "big.yml"
    with big.open("wb") as stream:
        stream.truncate(MAX_BYTES + 1)
    for path, said in (
        (latin, "latin.yml:2:10: is not UTF-8"),
        (big, "is bigger than 10 MB"),
        (tmp_path, "cannot be read"),
        (tmp_path / "no", "cannot be read"),
    ):
        with pytest.raises(UsageError) as caught:
            read_text(path)
        assert said in str(caught.value)


TOML = '''
# comment with [brackets
title = "x [ y"
[scope]
hosts = ["a", # ]
  "[b",
  ]
nested = [
["other"],
]
expires = 2027-03-31
text = """
[not.a.table]
key = 1
"""
[[target]]
name = "one"
"quoted key" = 1
[[target]]
name = "two"
  [target.inner]
  deep.er = 1
'''


@pytest.mark.parametrize(
    ("loc", "line"),
    [
        (("title",), 3),
        (("scope",), 4),
        (("scope", "hosts"), 5),
        (("scope", "nested"), 8),
        (("scope", "expires"), 11),
        (("scope", "text"), 12),
        (("target", 0), 16),
        (("target", 0, "name"), 17),
        (("target", 0, "quoted key"), 18),
        (("target", 1, "name"), 20),
        (("target", 1, "inner"), 21),
        (("target", 1, "inner", "deep", "er"), 22),
        (("scope", "hosts", 1), 5),
    ],
)
def test_toml_keys_have_their_lines(loc: tuple[str | int, ...], line: int) -> None:
    document = parse_toml(TOML, "h.toml")
    assert document.place(loc).line == line
    assert ("not",) not in document.places


@given(st.dictionaries(KEYS, st.dictionaries(KEYS, st.integers() | TEXTS | st.lists(TEXTS, max_size=3), max_size=4), max_size=4))
def test_toml_lines_hold_the_key_that_they_are_said_to_hold(value: dict[str, dict[str, object]]) -> None:
    text = tomli_w.dumps(value)
    lines = text.splitlines()
    document = parse_toml(text, "h.toml")
    for table, entries in value.items():
        for key in entries:
            place = document.places[(table, key)]
            assert lines[place.line - 1].startswith(f"{key} =")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a = \n", "h.toml:1:5: is not valid TOML"),
        ("[a\n", "is not valid TOML"),
        ("a = 1\na = 2\n", "h.toml:2:6: is not valid TOML"),
        ('a = "open', "is not valid TOML"),
        ("a = " + "[" * 100_000, "h.toml"),
        ("a = " + "9" * 10_000, "is not valid TOML"),
    ],
)
def test_toml_that_is_none_is_said_with_its_place(text: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_toml(text, "h.toml")
    assert said in str(caught.value)
