"""A strategy's page: every section, every verdict, and nothing in it that steers a terminal."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import pytest

from harness.core.latest import LastVerdict
from harness.errors import Problem
from harness.model.intent import Priority, PriorityLevel, Severity
from harness.model.strategy import BlindSpot, Category, StepName, Strategy, Tactic, Validation
from harness.model.verdicts import Outcome
from harness.reports.console import make_console
from harness.reports.strategy import StrategyPage, print_strategy, strategy_json
from harness.rules.eql import parse_eql
from tests.builders import SYSMON, rule
from tests.reports import sample_reports as sample

WORKS, BLIND = StepName(scenario="works", number=2), StepName(scenario="blind")
WHEN = 'process where\n  process.name : "cmd.exe"'
STRATEGY = Strategy(
    id="a-strategy",
    title="A strategy",
    source="a.strategy.yml",
    rule="r-1",
    goal="To see it.\nAnd more of it.",
    priority=Priority(
        default=Severity.MEDIUM,
        levels=(PriorityLevel(level=Severity.HIGH, when=parse_eql(WHEN).logic, text=WHEN, because="it is a shell"),),
    ),
    categorisation=(Category(tactic=Tactic.LATERAL_MOVEMENT, technique="T1021.006"),),
    abstract="How " + "it is done, at length, " * 40,
    technical_context="What it stands on.",
    validation=(Validation(step=WORKS, shows="that it works"),),
    blind_spots=(BlindSpot(what="the first", step=BLIND), BlindSpot(what="the second", not_detonable="nothing can")),
    assumptions=("the clocks agree",),
    false_positives=("administrators",),
    response=("look", "act"),
    references=("https://example.invalid/",),
)
PAGE = StrategyPage(
    strategy=STRATEGY,
    rule=replace(rule("r-1", SYSMON, 1), title="The rule", definition="title: The rule\nlevel: medium\n"),
    verdicts={},
    runs=(),
    problems=(),
)


def shown(page: StrategyPage) -> str:
    out = io.StringIO()
    print_strategy(page, make_console(out, {}))
    return out.getvalue()


def last(outcome: Outcome, *, priority: Severity | None = None, target: str = "ws1") -> LastVerdict:
    verdict = sample.clean().verdicts[0]
    sightings = tuple(replace(sighting, priority=priority) for sighting in verdict.sightings)
    verdict = replace(verdict, outcome=outcome, target=target, sightings=sightings, cause="as it was found")
    return LastVerdict(verdict=verdict, run_id="run-7", at=sample.START)


def test_every_section_and_all_of_a_long_text() -> None:
    text = shown(PAGE)
    order = [
        "A strategy\n", "\nGoal\n", "To see it.\n", "\nCategorisation\n", "lateral-movement: T1021.006", "\nStrategy\n",
        "\nTechnical context\n", "Reads: Sysmon 1", "\nValidation\n", "1. that it works", "works, step 2",
        "\nBlind spots and assumptions\n", "not detonable: nothing can", "Assumed: the clocks agree", "\nFalse positives\n",
        "\nPriority\n", 'process.name : "cmd.exe"', "because it is a shell", "medium else", "\nResponse\n", "1. look", "2. act",
        "\nReferences\n", "\nRule\n", "    level: medium",
    ]  # fmt: skip
    at = [text.index(part) for part in order]
    assert at == sorted(at)
    assert " ".join(text.split()).count("it is done,") == 40
    assert "What does not hold" not in text


def test_what_was_never_run_and_what_was_not_in_the_runs_looked_at() -> None:
    assert shown(PAGE).count("never run") == 2
    text = shown(replace(PAGE, runs=("run-6",), verdicts={WORKS: [], BLIND: []}))
    assert text.count("not in 1 run that was looked at (run-6)") == 2
    assert "never run" not in text


@pytest.mark.parametrize(
    ("outcome", "said", "blind"),
    [
        (Outcome.QUIET, "still blind, as it says here", True),
        (Outcome.KNOWN_GAP, "still blind, as it says here", True),
        (Outcome.GAP_CLOSED, "no longer blind: the rule sees it", False),
        (Outcome.NOISY, "no longer blind: the rule sees it", False),
        (Outcome.INCONCLUSIVE, "not shown", None),
    ],
)
def test_whether_a_blind_spot_still_is_one(outcome: Outcome, said: str, blind: bool | None) -> None:
    page = replace(PAGE, runs=("run-7",), verdicts={BLIND: [last(outcome)]})
    assert f"{outcome.value}  ws1  {said}  2026-11-21 11:02:03 UTC, run run-7" in shown(page)
    document = json.loads(json.dumps(strategy_json(page)))
    assert [each["blind"] for each in document["blind_spots"][0]["verdicts"]] == [blind]
    assert "verdicts" not in document["blind_spots"][1]


def test_the_priority_that_the_alerts_had_is_beside_the_verdict() -> None:
    both = [last(Outcome.DETECTED, priority=Severity.HIGH), last(Outcome.MISGRADED, priority=Severity.MEDIUM, target="ws2")]
    page = replace(PAGE, runs=("run-7",), verdicts={WORKS: both})
    text = shown(page)
    assert "DETECTED  ws1  priority high" in text
    assert "MISGRADED  ws2  priority medium" in text
    assert text.count("as it was found") == 2
    assert [each["priority"] for each in strategy_json(page)["validation"][0]["verdicts"]] == ["high", "medium"]  # type: ignore[index]


def test_what_does_not_hold_stands_last() -> None:
    text = shown(replace(PAGE, rule=None, problems=[Problem(path="a.strategy.yml", line=3, column=1, what="unknown rule: r-1")]))
    assert text.endswith("What does not hold\n  a.strategy.yml:3:1: unknown rule: r-1\n")
    assert "\nRule\n" not in text


@pytest.mark.parametrize("evil", ["\x1b[31mred", "\u202eesrever", "[bold]x[/bold]", "\x07\x9b2J"])
def test_text_of_others_does_nothing(evil: str) -> None:
    strategy = replace(
        STRATEGY, title=evil, goal=evil, abstract=evil, response=(evil,), false_positives=(evil,), references=(evil,), assumptions=(evil,)
    )
    found = LastVerdict(verdict=replace(last(Outcome.DETECTED).verdict, cause=evil, target=evil), run_id=evil, at=sample.START)
    text = shown(replace(PAGE, strategy=strategy, runs=(evil,), verdicts={WORKS: [found]}, problems=[Problem(path="p", what=evil)]))
    assert not set(text) & set("\x1b\x07\x9b\u202e")
    assert ("[bold]x[/bold]" in text) == (evil == "[bold]x[/bold]")


def test_as_json_it_has_all_that_the_file_has() -> None:
    document = json.loads(json.dumps(strategy_json(PAGE)))
    assert document["priority"] == {"default": "medium", "levels": [{"level": "high", "when": WHEN, "because": "it is a shell"}]}
    assert document["validation"] == [{"shows": "that it works", "scenario": "works", "step": 2, "verdicts": []}]
    assert document["blind_spots"][1] == {"what": "the second", "not_detonable": "nothing can"}
    assert document["known_rule"]["definition"].startswith("title: The rule")
    assert (document["goal"], document["rule"], document["runs"]) == (STRATEGY.goal, "r-1", [])
