"""A plan for people: each step with what is expected of it, and what cannot fire there, with the smallest change that would."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from harness.model.intent import Expectation, Plan, PlannedStep, Rule
from harness.reports.words import count_of, inert


def print_plan(plan: Plan, rules: Mapping[str, Rule], console: Console) -> None:
    """Print it, the summary last."""
    for planned in plan.steps:
        console.print(Text.assemble((inert(planned.id), "bold"), f"  {inert(planned.step.name)}", _way(planned)))
        for expectation in planned.step.expect:
            for indent, line in _expectation(planned, expectation, plan, rules):
                console.print(Padding(line, (0, 0, 0, indent), expand=False))
    steps = count_of(len(plan.steps), "step")
    expectations = count_of(sum(len(planned.step.expect) for planned in plan.steps), "expectation")
    summary = f"{steps}, {expectations}, {len(plan.unexercisable)} not exercisable. Nothing was sent."
    console.print(Text(summary, style="bold"))


def _way(planned: PlannedStep) -> str:
    via = planned.target.via
    return f"  (by way of {inert(via.name)})" if via is not None else ""


def _expectation(planned: PlannedStep, expectation: Expectation, plan: Plan, rules: Mapping[str, Rule]) -> Iterator[tuple[int, Text]]:
    """Its lines, each with how far it is indented."""
    title = rules[expectation.rule].title if expectation.rule in rules else "known to the SIEM alone"
    named = f"{expectation.rule[:8]}  {inert(title)}: "
    reason = plan.unexercisable.get((planned.id, expectation.rule))
    if reason is not None:
        yield 4, Text.assemble(named, ("NOT_EXERCISABLE", "yellow"))
        yield 8, Text(inert(reason.reason))
        yield 8, Text(f"would do: {inert(reason.remedy)}")
    elif not expectation.fires:
        yield 4, Text(f"{named}must stay quiet")
    elif expectation.known_gap is None:
        yield 4, Text(f"{named}should fire")
    else:
        yield 4, Text(f"{named}known gap")
        yield 8, Text(inert(expectation.known_gap))
