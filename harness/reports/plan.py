"""A plan for people: each step with what is expected of it, and what cannot fire there, with the smallest change that would."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Console
from rich.text import Text

from harness.model.intent import Expectation, Plan, PlannedStep, Rule
from harness.reports.terminal import inert


def print_plan(plan: Plan, rules: Mapping[str, Rule], console: Console) -> None:
    """Print it, the summary last."""
    for planned in plan.steps:
        console.print(Text.assemble((inert(planned.id), "bold"), f"  {inert(planned.step.name)}"))
        for expectation in planned.step.expect:
            console.print(_expectation(planned, expectation, plan, rules))
    expectations = sum(len(planned.step.expect) for planned in plan.steps)
    summary = f"{len(plan.steps)} steps, {expectations} expectations, {len(plan.unexercisable)} not exercisable. Nothing was sent."
    console.print(Text(summary, style="bold"))


def _expectation(planned: PlannedStep, expectation: Expectation, plan: Plan, rules: Mapping[str, Rule]) -> Text:
    title = rules[expectation.rule].title if expectation.rule in rules else "known to the SIEM alone"
    line = Text(f"    {expectation.rule[:8]}  {inert(title)}: ")
    reason = plan.unexercisable.get((planned.id, expectation.rule))
    if reason is not None:
        line.append("NOT_EXERCISABLE", style="yellow")
        line.append(f"\n        {inert(reason.reason)}\n        would do: {inert(reason.remedy)}")
    elif not expectation.fires:
        line.append("must stay quiet")
    else:
        line.append("should fire" if expectation.known_gap is None else f"known gap, {inert(expectation.known_gap)}")
    return line
