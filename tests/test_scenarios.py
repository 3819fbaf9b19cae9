"""Scenario files: what they come to, and every error of every file at once with its place and its hint."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.documents import parse_yaml
from harness.errors import UsageError
from harness.model.intent import Connect, EnterPSSession, Expectation, InvokeCommand, Objective, Quarantine, Scenario, Severity, Step
from harness.scenarios import load_scenarios, scenario_schema

KNOWN = frozenset({"13acf386-b8c6-4fe0-9a6e-c4756b974698", "5cc2cda8-f261-4d88-a2de-e9e193c86716"})
RULE = "13acf386-b8c6-4fe0-9a6e-c4756b974698"
HEAD = "id: a\ntitle: t\nsteps:\n  - name: one\n"

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def _write(text: str | bytes, name: str = "a.scenario.yml") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return _write


def problems(*paths: Path, known: frozenset[str] | None = KNOWN) -> list[str]:
    with pytest.raises(UsageError) as caught:
        load_scenarios(paths, known)
    return [str(problem).replace(str(paths[0]), "F") for problem in caught.value.problems]


def test_quarantines_and_objectives(tmp_path: Path) -> None:
    path = tmp_path / "one.scenario.yml"
    head = "id: one\ntitle: one\nsteps:\n  - name: s\n    connect: {}\n    expect:\n"
    path.write_text(
        head
        + "      - {rule: a, quarantine: {until: 2027-01-31, reason: being mended}, objective: 2m}\n"
        + "      - {rule: b, objective: {p95: 90s}}\n"
    )
    (scenario,) = load_scenarios([path], None)
    assert scenario.steps[0].expect == (
        Expectation(
            rule="a",
            quarantine=Quarantine(until=date(2027, 1, 31), reason="being mended"),
            objective=Objective(within=timedelta(minutes=2)),
        ),
        Expectation(rule="b", objective=Objective(within=timedelta(seconds=90), p95=True)),
    )


def test_a_whole_file(write: Write) -> None:
    path = write(
        f"""
id: whole-file
title: Everything that a file can say
technique: T1021.006
tags: [psrp, x-1]
steps:
  - name: typed
    technique: T1033
    enter_pssession:
      - Get-Service WinRM
      - whoami.exe /groups
    timeout: 1h30m
    exit_codes: [0, -1073741510]
    output: S-1-\\d
    cleanup:
      connect: {{}}
    expect:
      - rule: {RULE}
        within: 90s
        severity: high
      - rule: 5cc2cda8-f261-4d88-a2de-e9e193c86716
        fires: false
  - name: called
    invoke_command:
      script: |
        param($A)
        $A
      arguments: {{A: [1, 2.5, true, null, {{b: no}}]}}
    cleanup:
      invoke_command: {{script: Remove-Item x}}
    expect:
      - rule: {RULE}
        known_gap: until the sensor is there
  - name: nothing
    connect: {{}}
"""
    )
    quiet = Expectation(rule="5cc2cda8-f261-4d88-a2de-e9e193c86716", fires=False)
    assert load_scenarios([path], KNOWN) == (
        Scenario(
            id="whole-file",
            title="Everything that a file can say",
            source=str(path),
            technique="T1021.006",
            tags=("psrp", "x-1"),
            steps=(
                Step(
                    name="typed",
                    technique="T1033",
                    action=EnterPSSession(lines=("Get-Service WinRM", "whoami.exe /groups")),
                    timeout=timedelta(hours=1, minutes=30),
                    exit_codes=(0, -1073741510),
                    output="S-1-\\d",
                    cleanup=Connect(),
                    expect=(Expectation(rule=RULE, within=timedelta(seconds=90), severity=Severity.HIGH), quiet),
                ),
                Step(
                    name="called",
                    technique="T1021.006",
                    action=InvokeCommand(script="param($A)\n$A\n", arguments={"A": [1, 2.5, True, None, {"b": "no"}]}),
                    cleanup=InvokeCommand(script="Remove-Item x"),
                    expect=(Expectation(rule=RULE, known_gap="until the sensor is there"),),
                ),
                Step(name="nothing", technique="T1021.006", action=Connect()),
            ),
        ),
    )


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (
            "    enter_pssesion: [x]\n",
            ["F:4:5: steps[1] has no action (give it one of", "F:5:5: unknown key 'enter_pssesion' (did you mean enter_pssession?)"],
        ),
        ("    connect: {}\n    way: winrs\n", ["F:6:5: unknown key 'way' (known keys:"]),
        ("    connect: {}\n    via: [a]\n", ["F:6:5: steps[1].via must be text"]),
        ("    connect: {}\n    via: 'a b'\n", ["F:6:5: steps[1].via must be the name of a target"]),
        ("    connect: {}\n    via:\n", ["F:6:5: steps[1].via has no value"]),
        ("    winrs: hostname\n    via: ws1\n", ["F:4:5: steps[1] is for a remote shell, which goes from the driver alone"]),
        (
            "    winrs: ipconfig\n    connect: {}\n",
            ["F:6:5: steps[1] has two actions, winrs and connect (one action a step: split it)"],
        ),
        ("    winrs: ''\n", ["steps[1].winrs.command must be one line that is not empty"]),
        ("    winrs: [a]\n", ["F:5:5: steps[1].winrs must hold keys with values"]),
        ("    winrs: {command: a, code_page: 99999}\n", ["F:5:25: steps[1].winrs.code_page is no code page that can be read here"]),
        (
            "    winrs: {command: a, environment: {a=b: c}}\n",
            ["steps[1].winrs.environment.a=b.[key] must be the name of a variable"],
        ),
        (
            "    connect: {transport: ssh}\n",
            ["F:5:15: steps[1].connect.transport must be one of psrp, winrs"],
        ),
        (
            "    connect: {}\n    enter_pssession: [x]\n",
            ["F:5:5: steps[1] has two actions, enter_pssession and connect (one action a step: split it)"],
        ),
        ("    connect:\n", ["F:5:5: steps[1].connect has no value"]),
        ("    connect: {a: 1}\n", ["F:5:15: unknown key 'a'"]),
        ("    enter_pssession: []\n", ["F:5:5: steps[1].enter_pssession is empty"]),
        ("    enter_pssession: Get-Date\n", ["F:5:5: steps[1].enter_pssession must be a list"]),
        ("    enter_pssession: [ok, 5]\n", ["F:5:27: steps[1].enter_pssession[2] must be text (quote it)"]),
        ("    enter_pssession: [' ']\n", ["F:5:23: steps[1].enter_pssession[1] must be one line that is not empty"]),
        ('    enter_pssession: ["a\\nb"]\n', ["F:5:23: steps[1].enter_pssession[1] must be one line"]),
        ("    invoke_command: hostname\n", ["F:5:5: steps[1].invoke_command must hold keys with values"]),
        (
            "    invoke_command: {scrip: x}\n",
            ["F:5:5: steps[1].invoke_command.script is missing", "F:5:22: unknown key 'scrip' (did you mean script?)"],
        ),
        ("    invoke_command: {script: x, arguments: [1]}\n", ["F:5:33: steps[1].invoke_command.arguments must hold keys with values"]),
        ("    connect: {}\n    cleanup: {}\n", ["F:6:5: steps[1].cleanup has no action"]),
        ("    connect: {}\n    cleanup: {connect: {}, enter_pssession: [x]}\n", ["F:6:15: steps[1].cleanup has two actions"]),
        ("    connect: {}\n    cleanup: Remove-Item x\n", ["F:6:5: steps[1].cleanup must hold keys with values"]),
        (
            "    connect: {}\n    timeout: 90\n",
            ["F:6:5: steps[1].timeout must be a length of time with its unit (write it as 90s, 6m or 1h30m)"],
        ),
        ("    connect: {}\n    timeout: 0s\n", ["F:6:5: steps[1].timeout must be longer than nothing"]),
        ("    connect: {}\n    timeout: 1m1h\n", ["F:6:5: steps[1].timeout is not a length of time"]),
        ("    connect: {}\n    timeout: 999999h\n", ["F:6:5: steps[1].timeout is longer than a day"]),
        ("    connect: {}\n    exit_codes: []\n", ["F:6:5: steps[1].exit_codes is empty"]),
        (
            "    connect: {}\n    exit_codes: [true, 1.5, 0]\n",
            ["F:6:18: steps[1].exit_codes[1] must be a whole number", "F:6:24: steps[1].exit_codes[2] must be a whole number"],
        ),
        ("    connect: {}\n    output: '('\n", ["F:6:5: steps[1].output is not a regular expression: missing )"]),
        (
            "    connect: {}\n    technique: t1021\n",
            ["F:6:5: steps[1].technique must be an ATT&CK technique (write it as T1021 or T1021.006)"],
        ),
        ("    connect: {}\n    technique: T\u0661\u0660\u0662\u0661\n", ["F:6:5: steps[1].technique must be an ATT&CK technique"]),
        ("    connect: {}\n    expect: []\n", ["F:6:5: steps[1].expect is empty (leave it out, or give it an entry)"]),
        ("    connect: {}\n    expect:\n", ["F:6:5: steps[1].expect has no value"]),
        ("    connect: {}\n    expect: [{within: 5s}]\n", ["F:6:14: steps[1].expect[1].rule is missing"]),
        (
            f"    connect: {{}}\n    expect: [{{rule: {RULE[:8]}}}]\n",
            [f"F:6:15: steps[1].expect[1].rule is known neither to the rule pack nor to the SIEM (write the id in full: {RULE})"],
        ),
        (
            f"    connect: {{}}\n    expect: [{{rule: {RULE[:-1]}0}}]\n",
            [f"known neither to the rule pack nor to the SIEM (did you mean {RULE}?)"],
        ),
        (f"    connect: {{}}\n    expect: [{{rule: {RULE.upper()}}}]\n", [f"(write the id in full: {RULE})"]),
        (
            "    connect: {}\n    expect: [{rule: zzz}]\n",
            ["F:6:15: steps[1].expect[1].rule is known neither to the rule pack nor to the SIEM"],
        ),
        (
            f"    connect: {{}}\n    expect: [{{rule: {RULE}, fires: false, within: 5s, known_gap: x}}]\n",
            [
                ": steps[1].expect[1].within has no meaning beside fires: false",
                ": steps[1].expect[1].known_gap has no meaning beside fires: false",
            ],
        ),
        (
            "    connect: {}\n    expect: [{rule: zzz, fires: false, severity: low}]\n",
            ["known neither", ": steps[1].expect[1].severity has no meaning beside fires: false"],
        ),
        (
            f"    connect: {{}}\n    expect: [{{rule: {RULE}, fires: false, priority: high}}]\n",
            [": steps[1].expect[1].priority has no meaning beside fires: false"],
        ),
        (
            f"    connect: {{}}\n    expect: [{{rule: {RULE}, priority: soon}}]\n",
            [": steps[1].expect[1].priority must be one of informational, low, medium, high, critical"],
        ),
        (f"    connect: {{}}\n    expect: [{{rule: {RULE}, fires: no}}]\n", [": steps[1].expect[1].fires must be true or false"]),
        (
            f"    connect: {{}}\n    expect: [{{rule: {RULE}, severity: hihg}}]\n",
            [": steps[1].expect[1].severity must be one of informational, low, medium, high, critical (did you mean high?)"],
        ),
        (f"    connect: {{}}\n    expect: [{{rule: {RULE}, known_gap: ''}}]\n", [": steps[1].expect[1].known_gap is empty"]),
        (f"    connect: {{}}\n    expect: [{{rule: {RULE}, objective: 5}}]\n", [": steps[1].expect[1].objective must be a length of time"]),
        (
            f"    connect: {{}}\n    expect: [{{rule: {RULE}, objective: {{p95: x}}}}]\n",
            [": steps[1].expect[1].objective.p95 is not a length"],
        ),
        (
            f"    connect: {{}}\n    expect: [{{rule: {RULE}, quarantine: {{until: never, reason: x}}}}]\n",
            [": steps[1].expect[1].quarantine.until is not a date"],
        ),
        (
            f"    connect: {{}}\n    expect: [{{rule: {RULE}, fires: false, objective: 5s}}]\n",
            [": steps[1].expect[1].objective has no meaning beside fires: false"],
        ),
        (f"    connect: {{}}\n    expect: [{{rule: {RULE}}}, {{rule: {RULE}}}]\n", [f": steps[1].expect names rule {RULE} twice"]),
        ("    connect: {}\n  - x\n", ["F:6:5: steps[2] must hold keys with values"]),
        ("    connect: {}\n    connect: {}\n", ["F:6:5: key 'connect' stands twice, first in line 5 (remove one)"]),
        ("\tconnect: {}\n", ["F:5:1: a tab stands where YAML wants blanks"]),
    ],
)
def test_an_error_in_a_step_is_said_with_its_place(write: Write, body: str, said: list[str]) -> None:
    found = problems(write(HEAD + body))
    assert len(found) == len(said)
    for line, wanted in zip(found, said, strict=True):
        assert wanted in line


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", ["F: is empty"]),
        ("--- \n", ["F:2:1: is empty"]),
        ("- a\n", ["F:1:1: the file must hold keys with values"]),
        ("title: t\nsteps: [{name: a, connect: {}}]\n", ["F:1:1: id is missing"]),
        ("id: A b\ntitle: ''\nsteps: []\n", ["F:1:1: id must be lower-case words", "F:2:1: title is empty", "F:3:1: steps is empty"]),
        ("id: a\ntitle: 5\nsteps: x\n", ["F:2:1: title must be text (quote it)", "F:3:1: steps must be a list"]),
        ("id: a\ntitle: t\nstep: []\n", ["F:1:1: steps is missing", "F:3:1: unknown key 'step' (did you mean steps?)"]),
        ("id: a\ntitle: t\ntags: [A b]\nsteps: [{name: a, connect: {}}]\n", ["F:3:8: tags[1] must be a lower-case word"]),
        ("id: a\ntitle: t\nsteps: [{name: a, connect: {}}]\n---\nid: b\n", ["F:4:1: a second document begins here"]),
        (b"id: a\ntitle: \xff\n", ["F:2:8: is not UTF-8 text"]),
        ("{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{", ["is nested deeper than 32 levels"]),
    ],
)
def test_an_error_of_the_file_is_said_with_its_place(write: Write, text: str | bytes, said: list[str]) -> None:
    found = problems(write(text))
    assert len(found) == len(said)
    for line, wanted in zip(found, said, strict=True):
        assert wanted in line


def test_all_errors_of_all_files_come_at_once_in_file_order(write: Write, tmp_path: Path) -> None:
    write(HEAD + "    connect: {}\n    timeout: x\n", "z/b.scenario.yml")
    write("id: [\n", "a.scenario.yml")
    write("id: Bad\n", "m.scenario.yml")
    with pytest.raises(UsageError) as caught:
        load_scenarios([tmp_path, tmp_path / "nowhere.yml"], KNOWN)
    names = [Path(problem.path).name for problem in caught.value.problems]
    assert names == ["nowhere.yml", "a.scenario.yml", "m.scenario.yml", "m.scenario.yml", "m.scenario.yml", "b.scenario.yml"]


def test_an_id_is_taken_once_even_by_a_file_that_has_other_errors(write: Write) -> None:
    first = write(HEAD + "    connect: {}\n", "a.scenario.yml")
    second = write(HEAD + "    connect: {}\n    timeout: x\n", "b.scenario.yml")
    found = problems(second, first)
    assert "timeout" in found[0]
    assert f"{first}:1:1: id 'a' is taken by F:1 (give each scenario its own id)" in found[1]


def test_directories_are_searched_at_any_depth_and_sorted_and_a_file_counts_once(write: Write, tmp_path: Path) -> None:
    deep = write(HEAD.replace("id: a", "id: deep") + "    connect: {}\n", "x/y/deep.scenario.yml")
    write(HEAD.replace("id: a", "id: top") + "    connect: {}\n", "top.scenario.yml")
    write("not a scenario: [", "notes.yml")
    assert [scenario.id for scenario in load_scenarios([tmp_path, deep], None)] == ["top", "deep"]


def test_paths_that_hold_nothing_are_errors(write: Write, tmp_path: Path) -> None:
    write(HEAD + "    connect: {}\n", "whoami.scenario.yml")
    empty = tmp_path / "empty"
    empty.mkdir()
    assert problems(tmp_path / "whoam.scenario.yml") == ["F: does not exist (did you mean whoami.scenario.yml?)"]
    assert problems(empty) == ["F: holds no *.scenario.yml file"]


def test_any_rule_passes_where_none_are_known(write: Write) -> None:
    (scenario,) = load_scenarios([write(HEAD + "    connect: {}\n    expect: [{rule: zzz}]\n")], None)
    assert scenario.steps[0].expect == (Expectation(rule="zzz"),)


def test_a_priority_may_be_asked_of_rules_with_a_strategy(write: Write) -> None:
    path = write(HEAD + f"    connect: {{}}\n    expect: [{{rule: {RULE}, priority: high}}]\n")
    for with_strategy in (None, frozenset({RULE})):
        (scenario,) = load_scenarios([path], KNOWN, with_strategy=with_strategy)
        assert scenario.steps[0].expect == (Expectation(rule=RULE, priority=Severity.HIGH),)
    with pytest.raises(UsageError, match=r":6:.*priority cannot be told: no detection strategy is about this rule"):
        load_scenarios([path], KNOWN, with_strategy=frozenset())


def test_an_expectation_list_may_be_shared_by_an_alias(write: Write) -> None:
    text = HEAD + f"    connect: {{}}\n    expect: &session [{{rule: {RULE}}}]\n  - name: two\n    connect: {{}}\n    expect: *session\n"
    (scenario,) = load_scenarios([write(text)], KNOWN)
    assert scenario.steps[0].expect == scenario.steps[1].expect == (Expectation(rule=RULE),)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from(["connect", "x", RULE]),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["id", "title", "steps", "name", "connect", "enter_pssession", "invoke_command", "script", "expect", "rule", "cleanup"]
                ),
                inner,
                max_size=4,
            )
        ),
        max_leaves=15,
    )
)
def test_no_shape_of_a_file_gives_a_traceback(tmp_path: Path, value: Any) -> None:
    path = tmp_path / "x.scenario.yml"
    path.write_text(json.dumps(value), encoding="utf-8")
    try:
        loaded = load_scenarios([path], KNOWN)
    except UsageError as error:
        assert all(problem.what for problem in error.problems)  # noqa: PT017 - either end is right; which one is not the question
    else:
        assert len(loaded) == 1


# --- the schema -----------------------------------------------------------------------------------------------------------


def validator() -> jsonschema.Draft202012Validator:
    schema = scenario_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.mark.parametrize(
    "body",
    [
        "    connect: {}\n",
        "    enter_pssession: [a, b]\n    cleanup: {invoke_command: {script: x, arguments: {a: [1, {b: null}]}}}\n",
        f"    connect: {{}}\n    timeout: 1h30m\n    output: a+\n    expect: [{{rule: {RULE}, within: 6m, severity: low}}]\n",
    ],
)
def test_what_loads_is_valid_by_the_schema(write: Write, body: str) -> None:
    load_scenarios([write(HEAD + body)], KNOWN)
    validator().validate(parse_yaml(HEAD + body, "x").value)


@pytest.mark.parametrize(
    "body",
    [
        "",
        "    connect:\n",
        "    conect: {}\n",
        "    connect: {}\n    enter_pssession: [a]\n",
        "    connect: {}\n    cleanup: {}\n",
        "    enter_pssession: []\n",
        "    enter_pssession: [' ']\n",
        "    connect: {}\n    timeout: 90\n",
        "    connect: {}\n    timeout: soon\n",
        "    connect: {}\n    technique: x\n",
        "    connect: {}\n    expect: []\n",
        "    connect: {}\n    expect: [{rule: a, fires: 1}]\n",
        "    connect: {}\n    expect: [{rule: a, severity: grave}]\n",
    ],
)
def test_what_does_not_load_is_not_valid_by_the_schema(write: Write, body: str) -> None:
    with pytest.raises(UsageError):
        load_scenarios([write(HEAD + body)], None)
    assert list(validator().iter_errors(parse_yaml(HEAD + body, "x").value))


@pytest.mark.parametrize("fires", ["true", "false"])
def test_nothing_can_be_expected_of_a_rule_that_is_not_evaluated(fires: str, write: Write) -> None:
    path = write(HEAD + f"    connect: {{}}\n    expect: [{{rule: {RULE}, fires: {fires}}}]\n")
    with pytest.raises(UsageError) as caught:
        load_scenarios([path], KNOWN, {RULE: "ES|QL is not evaluated here"})
    (problem,) = caught.value.problems
    assert "cannot be expected to do anything: ES|QL is not evaluated here" in problem.what
    assert (problem.path, problem.line) == (str(path), 6)
