"""A detection strategy for people and for machines, with the last verdicts of the steps that it names.

Strategies, rules and targets' output are written by others: every text is made inert and never read as markup. This module must never
decide anything about a strategy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from harness.core.latest import LastVerdict, is_blind
from harness.errors import Problem
from harness.logic.explain import kind_name, rule_event_kinds
from harness.model.intent import Priority, Rule
from harness.model.strategy import StepName, Strategy
from harness.model.verdicts import Sighting
from harness.reports.console import OUTCOME_STYLE
from harness.reports.rules import body, heading, pairs, rule_json
from harness.reports.words import count_of, whole

_BLINDNESS: Mapping[bool | None, str] = {
    True: "still blind, as it says here",
    False: "no longer blind: the rule sees it",
    None: "not shown",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class StrategyPage:
    """A strategy and all that is to be shown beside it.

    `rule` is None where it is not known. `verdicts` has the newest verdicts of each step that the strategy names and that there is. `runs`
    names the runs that were asked for them. `problems` are the findings of lint.
    """

    strategy: Strategy
    rule: Rule | None
    verdicts: Mapping[StepName, Sequence[LastVerdict]]
    runs: Sequence[str]
    problems: Sequence[Problem]


def strategy_json(page: StrategyPage) -> dict[str, object]:
    """The page as plain values."""
    strategy = page.strategy
    return {
        "id": strategy.id,
        "title": strategy.title,
        "source": strategy.source,
        "goal": strategy.goal,
        "categorisation": [asdict(category) for category in strategy.categorisation],
        "rule": strategy.rule,
        "abstract": strategy.abstract,
        "technical_context": strategy.technical_context,
        "validation": [{"shows": entry.shows, **_step_json(entry.step, page)} for entry in strategy.validation],
        "blind_spots": [
            {"what": entry.what, "not_detonable": entry.not_detonable, **(_step_json(entry.step, page) if entry.step is not None else {})}
            for entry in strategy.blind_spots
        ],
        "assumptions": list(strategy.assumptions),
        "false_positives": list(strategy.false_positives),
        "priority": _priority_json(strategy.priority),
        "response": list(strategy.response),
        "references": list(strategy.references),
        "known_rule": rule_json(page.rule) | {"definition": page.rule.definition} if page.rule is not None else None,
        "runs": list(page.runs),
        "problems": [asdict(problem) for problem in page.problems],
    }


def _step_json(step: StepName, page: StrategyPage) -> dict[str, object]:
    return {
        "scenario": step.scenario,
        "step": step.number,
        "verdicts": [
            {
                "target": last.verdict.target,
                "outcome": last.verdict.outcome,
                "cause": last.verdict.cause,
                "blind": is_blind(last.verdict.outcome),
                "priority": _priority_of(last.verdict.sightings),
                "run": last.run_id,
                "at": last.at.isoformat(),
            }
            for last in page.verdicts.get(step, ())
        ],
    }


def _priority_json(priority: Priority) -> dict[str, object]:
    levels = [{"level": level.level, "when": level.text, "because": level.because} for level in priority.levels]
    return {"default": priority.default, "levels": levels}


def print_strategy(page: StrategyPage, console: Console) -> None:
    """Section by section, in the order of the form; what does not hold last."""
    strategy = page.strategy
    console.print(Text(whole(strategy.title), style="bold"))
    console.print(pairs({"strategy": strategy.id, "rule": strategy.rule, "source": strategy.source}))
    _prose("Goal", strategy.goal, console)
    heading("Categorisation", console)
    for category in strategy.categorisation:
        _line(f"{category.tactic}: {category.technique}", console)
    _prose("Strategy", strategy.abstract, console)
    _prose("Technical context", strategy.technical_context, console)
    if page.rule is not None:
        kinds = ", ".join(kind_name(kind) for kind in rule_event_kinds(page.rule))
        _line(f"Reads: {kinds or 'every kind of event'}", console)
    _validation(page, console)
    _blind_spots(page, console)
    _listed("False positives", strategy.false_positives, console)
    _priority(strategy.priority, console)
    _listed("Response", strategy.response, console, numbered=True)
    _listed("References", strategy.references, console)
    if page.rule is not None:
        heading("Rule", console)
        _line(f"{page.rule.title} ({page.rule.language}, {page.rule.severity}, {page.rule.source})", console)
        body(page.rule, console)
    if page.problems:
        heading("What does not hold", console)
        for problem in page.problems:
            _line(str(problem), console)


def _validation(page: StrategyPage, console: Console) -> None:
    heading("Validation", console)
    for number, entry in enumerate(page.strategy.validation, 1):
        _item(f"{number}.", entry.shows, console)
        _step(entry.step, page, console, of_blind_spot=False)


def _blind_spots(page: StrategyPage, console: Console) -> None:
    heading("Blind spots and assumptions", console)
    for number, entry in enumerate(page.strategy.blind_spots, 1):
        _item(f"{number}.", entry.what, console)
        if entry.step is not None:
            _step(entry.step, page, console, of_blind_spot=True)
        if entry.not_detonable is not None:
            _line(f"not detonable: {entry.not_detonable}", console, indent=5)
    for text in page.strategy.assumptions:
        _item("Assumed:", text, console)


def _step(step: StepName, page: StrategyPage, console: Console, *, of_blind_spot: bool) -> None:
    """The step that shows it, and below it a line for each target that it was judged on."""
    _line(step.scenario if step.number is None else f"{step.scenario}, step {step.number}", console, indent=5, style="bright_black")
    found = page.verdicts.get(step, ())
    if not found:
        asked = f"not in {count_of(len(page.runs), 'run')} that was looked at ({', '.join(page.runs)})" if page.runs else "never run"
        _line(asked, console, indent=7, style="yellow")
    for last in found:
        verdict = last.verdict
        outcome = verdict.outcome
        line = Text.assemble((outcome.value, OUTCOME_STYLE[outcome]), f"  {whole(verdict.target)}")
        if of_blind_spot:
            line.append(f"  {_BLINDNESS[is_blind(outcome)]}")
        if (priority := _priority_of(verdict.sightings)) is not None:
            line.append(f"  priority {priority}")
        line.append(f"  {last.at:%Y-%m-%d %H:%M:%S} UTC, run {whole(last.run_id)}", style="bright_black")
        console.print(Padding(line, (0, 0, 0, 7), expand=False))
        _line(verdict.cause, console, indent=9)


def _priority_of(sightings: Sequence[Sighting]) -> str | None:
    """What the strategy made of the alerts, each priority once."""
    found = dict.fromkeys(sighting.priority.value for sighting in sightings if sighting.priority is not None)
    return ", ".join(found) or None


def _priority(priority: Priority, console: Console) -> None:
    heading("Priority", console)
    for level in priority.levels:
        _line(f"{level.level}, where an event of the alert is", console)
        for line in level.text.splitlines():
            console.print(Text("      " + whole(line)), soft_wrap=True)
        _line(f"because {level.because}", console, indent=4)
    _line(f"{priority.default}{' else' if priority.levels else ''}", console)


def _prose(title: str, text: str, console: Console) -> None:
    heading(title, console)
    for paragraph in text.splitlines():
        _line(paragraph, console)


def _listed(title: str, texts: Sequence[str], console: Console, *, numbered: bool = False) -> None:
    heading(title, console)
    for number, text in enumerate(texts, 1):
        _item(f"{number}." if numbered else "-", text, console)


def _line(text: str, console: Console, *, indent: int = 2, style: str = "") -> None:
    console.print(Padding(_text(text, style), (0, 0, 0, indent), expand=False))


def _item(mark: str, text: str, console: Console) -> None:
    """An entry of a list: what is too long for its line goes on beside the mark, not below it."""
    grid = Table.grid(padding=(0, 1))
    grid.add_row(Text(mark), _text(text))
    console.print(Padding(grid, (0, 0, 0, 2), expand=False))


def _text(text: str, style: str = "") -> Text:
    return Text("\n".join(map(whole, text.splitlines())), style=style)
