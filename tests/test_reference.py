"""The reference pages say what the code says, and the code says something of every key and word."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum
from typing import Any

import click
import pytest

from harness import key_meanings
from harness.cli import cli
from harness.fields import keys_of
from harness.reports import meanings
from harness.scenarios import scenario_schema
from harness.settings import VARIABLES, settings_schema
from tools import reference

PAGES = reference.pages()


@pytest.mark.parametrize("name", PAGES)
def test_the_committed_pages_are_those_of_the_code(name: str) -> None:
    committed = (reference.PLACE / name).read_text(encoding="utf-8")
    assert committed == PAGES[name], "python -m tools.reference makes them anew"


def test_no_page_is_left_of_earlier_times() -> None:
    assert {path.name for path in reference.PLACE.iterdir()} == set(PAGES)


@pytest.mark.parametrize(
    ("schema", "said"),
    [(settings_schema(), key_meanings.SETTINGS), (scenario_schema(), key_meanings.SCENARIO)],
    ids=["settings", "scenario"],
)
def test_every_key_has_a_meaning_and_every_meaning_a_key(schema: dict[str, Any], said: Mapping[str, str]) -> None:
    keys = {key.path: key for key in keys_of(schema)}
    silent = [path for path, key in keys.items() if "description" not in key.schema and "$ref" not in key.schema]
    assert silent == [], "harness/key_meanings.py, or the model itself, says what a key means"
    assert set(said) - set(keys) == set()


def words() -> list[Mapping[Any, str]]:
    return [value for name, value in vars(meanings).items() if name.isupper()]


@pytest.mark.parametrize("said", words(), ids=lambda said: type(next(iter(said))).__name__)
def test_every_word_has_a_meaning(said: Mapping[Enum, str]) -> None:
    assert list(said) == list(type(next(iter(said))))
    assert all(text.endswith(".") for text in said.values())


def test_every_variable_stands_in_the_settings_page() -> None:
    assert set(re.findall(r"`(HARNESS_[A-Z_]+)`", PAGES["settings.md"])) - {"HARNESS_CONFIG"} == set(VARIABLES)


def test_every_command_and_option_stands_in_the_commands_page() -> None:
    def walk(command: click.Command, path: str) -> None:
        assert f"\n## {path}\n" in PAGES["commands.md"]
        for name, inner in getattr(command, "commands", {}).items():
            walk(inner, f"{path} {name}")

    walk(cli, "harness")
    assert "`--fail-on WHAT`" in PAGES["commands.md"]


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_markdown_whose_tables_hold(name: str) -> None:
    columns = 0
    for line in PAGES[name].splitlines():
        if line.startswith("|"):
            found = len(re.findall(r"(?<!\\)\|", line))
            assert columns in (0, found), line
            columns = found
        else:
            columns = 0
            assert len(line) <= 150, line
