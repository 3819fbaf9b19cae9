"""Detection strategy files: what they come to, and every error of a file at once with its place and its hint."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.documents import parse_yaml
from harness.model.intent import Priority, Severity
from harness.model.strategy import BlindSpot, Category, StepName, Strategy, Tactic, Validation
from harness.rules.strategy import find_strategy, load_strategies, strategy_schema

Write = Callable[..., Path]

HEAD = "id: a-strategy\ntitle: A strategy\nrule: r-1\ngoal: to see it\n"
PRIORITY = "priority: {default: medium}\n"
WHOLE = """
id: whole-file
title: Everything that a file can say
rule: 5cc2cda8-f261-4d88-a2de-e9e193c86716
goal: >-
  One paragraph
  on two lines.

  And another.
categorisation:
  - {tactic: lateral-movement, technique: T1021.006}
abstract: how
technical_context: |
  as
  written
validation:
  - {scenario: first, step: 2, shows: that it works}
  - {scenario: second, shows: that it works again}
blind_spots:
  - {what: one, scenario: third}
  - {what: two, not_detonable: nothing can}
assumptions: [an assumption]
false_positives: [administrators]
priority:
  default: medium
  levels:
    - level: high
      when: |
        process where process.name : "cmd.exe"
      because: it is a shell
response: [look, act]
references: ["https://attack.mitre.org/techniques/T1021/006/"]
"""


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def _write(text: str | bytes, name: str = "a.strategy.yml") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return _write


def problems(path: Path) -> list[str]:
    found, wrong = load_strategies([path])
    assert found == ()
    return [str(problem).replace(str(path), "F") for problem in wrong]


def test_a_whole_file(write: Write) -> None:
    path = write(WHOLE)
    ((file,), wrong) = load_strategies([path])
    assert wrong == ()
    levels = file.strategy.priority.levels
    assert [(level.level, level.text, level.because) for level in levels] == [
        (Severity.HIGH, 'process where process.name : "cmd.exe"', "it is a shell")
    ]
    assert replace(file.strategy, priority=Priority(default=Severity.MEDIUM)) == Strategy(
        id="whole-file",
        title="Everything that a file can say",
        source=str(path),
        rule="5cc2cda8-f261-4d88-a2de-e9e193c86716",
        goal="One paragraph on two lines.\nAnd another.",
        priority=Priority(default=Severity.MEDIUM),
        categorisation=(Category(tactic=Tactic.LATERAL_MOVEMENT, technique="T1021.006"),),
        abstract="how",
        technical_context="as\nwritten",
        validation=(
            Validation(step=StepName(scenario="first", number=2), shows="that it works"),
            Validation(step=StepName(scenario="second"), shows="that it works again"),
        ),
        blind_spots=(BlindSpot(what="one", step=StepName(scenario="third")), BlindSpot(what="two", not_detonable="nothing can")),
        assumptions=("an assumption",),
        false_positives=("administrators",),
        response=("look", "act"),
        references=("https://attack.mitre.org/techniques/T1021/006/",),
    )
    assert (file.place(("validation", 1, "scenario")).line, file.place(("response",)).line) == (18, 31)


def test_the_least_that_a_file_may_say(write: Write) -> None:
    ((file,), wrong) = load_strategies([write(HEAD + PRIORITY)])
    assert (wrong, file.strategy.validation, file.strategy.abstract) == ((), (), "")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", ["F: is empty"]),
        ("[]", ["F:1:1: the file must hold keys with values"]),
        ("id: A b\ntitle: ' '\n",
         ["F:1:1: id must be", "rule is missing", "goal is missing", "priority is missing", "F:2:1: title is empty"]),
        (HEAD, ["F:1:1: priority is missing"]),
        (HEAD + PRIORITY + "validations: []\n", ["F:6:1: unknown key 'validations' (did you mean validation?)"]),
        (HEAD + "priority: {default: urgent}\n", ["priority.default must be one of informational, low, medium, high, critical"]),
        (HEAD + PRIORITY + "goal: again\n", ["F:6:1: key 'goal' stands twice, first in line 4 (remove one)"]),
        (HEAD + PRIORITY + "abstract:\n", ["F:6:1: abstract has no value"]),
        (HEAD + PRIORITY + "response: look\n", ["F:6:1: response must be a list"]),
        (HEAD + PRIORITY + "response: [look, '']\n", ["F:6:18: response[2] is empty"]),
        (HEAD + PRIORITY + "categorisation: [{tactic: x, technique: T1}]\n", ["tactic must be one of", "technique must be an ATT&CK"]),
        (HEAD + PRIORITY + "categorisation: [{tactic: executoin, technique: T1059}]\n", ["(did you mean execution?)"]),
        (HEAD + PRIORITY + "validation: [{scenario: a, step: 0, shows: x}]\n", ["validation[1].step: Input should be greater"]),
        (HEAD + PRIORITY + "validation: [{step: 1}]\n", ["validation[1].scenario is missing", "validation[1].shows is missing"]),
        (HEAD + PRIORITY + "blind_spots: [{what: x, step: 2}]\n", ["F:6:25: blind_spots[1].step is a step of no scenario"]),
        (HEAD + PRIORITY + f"response: {['x'] * 201}\n", ["F:6:1: response has more than 200 entries"]),
        (b"id: \xff\n", ["F:1:5: is not UTF-8 text"]),
        ("a: &a [1,1,1,1,1,1,1,1,1]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c]\n"
         "e: &e [*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e,*e,*e,*e,*e,*e]\n", ["holds more than 50000 values"]),
        ("{" * 50, ["is nested deeper than 32 levels"]),
        ("a: " + "x" * 11_000_000, ["F: is bigger than 10 MB"]),
        ("a: !!python/object:os.system x\n", ["tag"]),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_place(write: Write, text: str | bytes, said: list[str]) -> None:
    found = problems(write(text))
    assert len(found) == len(said), found
    for line, wanted in zip(found, said, strict=True):
        assert wanted in line


@pytest.mark.parametrize(
    ("when", "said"),
    [
        ("process where", "cannot be read as EQL: the query ends too early (line 1, column 14 of it)"),
        ('process where process.name = "x"', "(equality is == or, without regard to case, :)"),
        ("sequence [any where true] [any where true]", "asks for several events"),
        ("any where true | head 1", "asks for several events"),
        ("5", "must be text"),
        ("''", "cannot be read as EQL"),
        ('process where process.name regex "("', "("),
        ("any where " + "(" * 2000 + "true" + ")" * 2000, "is nested more than"),
        ("any where " + " or ".join(['a == "b"'] * 1000), "is longer than 8000 characters"),
    ],
)
def test_a_condition_that_cannot_be_asked(write: Write, when: str, said: str) -> None:
    level = json.dumps({"level": "high", "when": 5 if when == "5" else when.strip("'") or "", "because": "x"})
    (found,) = problems(write(HEAD + f"priority:\n  default: low\n  levels:\n    - {level}\n"))
    assert found.startswith("F:8:")
    assert "priority.levels[1].when " in found
    assert said in found


def test_files_of_directories_and_files_that_are_no_strategies(write: Write, tmp_path: Path) -> None:
    write(HEAD + PRIORITY, "deep/er/b.strategy.yml")
    write(HEAD.replace("a-strategy", "other").replace("r-1", "r-2") + PRIORITY)
    write("title: a rule", "rule.yml")
    write("title: [", "broken.strategy.yml")
    (tmp_path / "directory.strategy.yml").mkdir()
    found, wrong = load_strategies([tmp_path, tmp_path / "a.strategy.yml", tmp_path / "rule.yml", tmp_path / "absent.strategy.yml"])
    assert [file.strategy.id for file in found] == ["other", "a-strategy"]
    assert [Path(problem.path).name for problem in wrong] == ["broken.strategy.yml", "directory.strategy.yml", "absent.strategy.yml"]


def test_an_id_and_a_rule_have_one_strategy_each(write: Write, tmp_path: Path) -> None:
    write(HEAD + PRIORITY)
    write(HEAD.replace("r-1", "r-2") + PRIORITY, "b.strategy.yml")
    write(HEAD.replace("a-strategy", "c") + PRIORITY, "c.strategy.yml")
    found, wrong = load_strategies([tmp_path])
    assert [file.strategy.id for file in found] == ["a-strategy"]
    assert [(problem.line, problem.what.partition(" has")[0]) for problem in wrong] == [(1, "id 'a-strategy'"), (3, "rule 'r-1'")]


@pytest.mark.parametrize(
    ("name", "rule"), [("a-strategy", "r-1"), ("A STRATEGY", "r-1"), ("a-strategy-two", "r-2"), ("a-strategy-", "r-2")]
)
def test_find(write: Write, tmp_path: Path, name: str, rule: str) -> None:
    write(HEAD + PRIORITY)
    write(HEAD.replace("a-strategy", "a-strategy-two").replace("A strategy", "Another").replace("r-1", "r-2") + PRIORITY, "b.strategy.yml")
    files, _ = load_strategies([tmp_path])
    found = find_strategy(files, name)
    assert found is not None
    assert found.strategy.rule == rule


@pytest.mark.parametrize("name", ["a-stra", "a", "", "nothing"])
def test_a_name_that_is_nobodys_or_that_of_several(write: Write, tmp_path: Path, name: str) -> None:
    write(HEAD + PRIORITY)
    write(HEAD.replace("a-strategy", "a-strategy-two").replace("r-1", "r-2") + PRIORITY, "b.strategy.yml")
    assert find_strategy(load_strategies([tmp_path])[0], name) is None


# --- hostile input --------------------------------------------------------------------------------------------------------

KEYS = [*strategy_schema()["properties"], "default", "levels", "level", "when", "because", "scenario", "step", "shows", "what", "technique"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from(["high", "any where true", "T1059", "execution"]),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5),
        max_leaves=15,
    )
)
def test_no_shape_of_a_file_gives_a_traceback(tmp_path: Path, value: Any) -> None:
    path = tmp_path / "x.strategy.yml"
    path.write_text(json.dumps(value), encoding="utf-8")
    found, wrong = load_strategies([path])
    assert bool(found) != bool(wrong)
    assert all(problem.what for problem in wrong)


# --- the schema -----------------------------------------------------------------------------------------------------------


def validator() -> jsonschema.Draft202012Validator:
    schema = strategy_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.mark.parametrize("text", [WHOLE, HEAD + PRIORITY])
def test_what_loads_is_valid_by_the_schema(text: str) -> None:
    validator().validate(parse_yaml(text, "x").value)


@pytest.mark.parametrize(
    "more",
    [
        "",
        "priority: {default: soon}\n",
        PRIORITY + "goals: x\n",
        PRIORITY + "response: x\n",
        PRIORITY + "abstract: ''\n",
        PRIORITY + "categorisation: [{tactic: x, technique: T1059}]\n",
        PRIORITY + "validation: [{scenario: A, shows: x}]\n",
        PRIORITY + "validation: [{scenario: a, step: 0, shows: x}]\n",
        PRIORITY + "blind_spots: [{what: x, not_detonable: null}]\n",
        "priority: {default: low, levels: [{level: high, when: '', because: x}]}\n",
    ],
)
def test_what_does_not_load_is_not_valid_by_the_schema(write: Write, more: str) -> None:
    assert problems(write(HEAD + more))
    assert list(validator().iter_errors(parse_yaml(HEAD + more, "x").value))
