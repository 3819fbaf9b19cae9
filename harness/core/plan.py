"""The plan: which step runs on which target, and which expectations cannot fire there. Made before anything is sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address

from harness.errors import NothingToDo
from harness.logic.needs import unexercisable
from harness.model.intent import Plan, PlannedStep, Priority, Rule, Scenario, Step, Target, Unexercisable, planned_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What of everything is asked for; an empty part selects all. A technique selects its sub-techniques too.

    `expectations`: these alone, each a planned step's id and a rule's; None selects all.
    """

    rules: frozenset[str] = frozenset()
    techniques: frozenset[str] = frozenset()
    tags: frozenset[str] = frozenset()
    expectations: frozenset[tuple[str, str]] | None = None


def plan(
    scenarios: Sequence[Scenario],
    targets: Sequence[Target],
    rules: Mapping[str, Rule],
    selection: Selection,
    *,
    driver_is_windows: bool,
    priorities: Mapping[str, Priority] | None = None,
) -> Plan:
    """Every selected scenario on every target, in file order.

    A scenario is kept whole, since its later steps stand on its earlier ones; of its expectations only the selected rules'
    remain. Where single expectations are selected, the steps after the last of them are left out: nothing stands on these. A scenario
    whose every expectation cannot be exercised on a target is judged but not sent: see `worth_sending`. `priorities` are those of the
    rules' detection strategies.

    Raises `NothingToDo` where nothing is selected.
    """
    chosen = [narrowed for scenario in scenarios if (narrowed := _narrow(scenario, selection)) is not None]
    if not chosen or not targets:
        raise NothingToDo(_nothing(scenarios, targets, selection))
    steps: list[PlannedStep] = []
    wanted = _by_step(selection.expectations)
    cannot: dict[tuple[str, str], Unexercisable] = {}
    for target in targets:
        for scenario in chosen:
            for planned in _steps(scenario, target, wanted):
                steps.append(planned)
                cannot |= _unexercisable(planned, rules, driver_is_windows=driver_is_windows)
    if not steps:
        raise NothingToDo(_nothing(scenarios, targets, selection))
    rules_about = selection.rules or _rules_of_a_part(steps, chosen, targets)
    return Plan(steps=tuple(steps), unexercisable=cannot, rules=rules_about, priorities=priorities or {})


def _by_step(wanted: frozenset[tuple[str, str]] | None) -> Mapping[str, frozenset[str]] | None:
    """The rules that are wanted of each planned step; None where all are."""
    if wanted is None:
        return None
    rules: dict[str, set[str]] = {}
    for planned, rule in wanted:
        rules.setdefault(planned, set()).add(rule)
    return {planned: frozenset(names) for planned, names in rules.items()}


def _steps(scenario: Scenario, target: Target, wanted: Mapping[str, frozenset[str]] | None) -> list[PlannedStep]:
    """The scenario's steps on this target, up to the last of which something is wanted."""
    steps = [
        PlannedStep(id=planned_id(scenario.id, number, target.name), scenario=scenario.id, step=step, target=target)
        for number, step in enumerate(scenario.steps, start=1)
    ]
    if wanted is None:
        return steps
    steps = [replace(each, step=_only(each.step, wanted.get(each.id, frozenset()))) for each in steps]
    while steps and not steps[-1].step.expect:
        steps.pop()
    return steps


def _rules_of_a_part(steps: Sequence[PlannedStep], scenarios: Sequence[Scenario], targets: Sequence[Target]) -> frozenset[str] | None:
    """The rules that the run is about where it is of single expectations: None where it is whole."""
    planned = [expectation.rule for each in steps for expectation in each.step.expect]
    whole = len(targets) * sum(len(step.expect) for scenario in scenarios for step in scenario.steps)
    return None if len(planned) == whole else frozenset(planned)


def worth_sending(made: Plan) -> list[PlannedStep]:
    """The steps to send: all but those of a scenario whose every expectation on that target cannot be exercised."""
    hopeless: dict[tuple[str, str], bool] = {}
    for planned in made.steps:
        key = (planned.scenario, planned.target.name)
        for expectation in planned.step.expect:
            hopeless[key] = hopeless.get(key, True) and (planned.id, expectation.rule) in made.unexercisable
    return [planned for planned in made.steps if not hopeless.get((planned.scenario, planned.target.name), False)]


def _unexercisable(planned: PlannedStep, rules: Mapping[str, Rule], *, driver_is_windows: bool) -> dict[tuple[str, str], Unexercisable]:
    found = {}
    for expectation in planned.step.expect:
        rule = rules.get(expectation.rule)
        if rule is None or not expectation.fires:
            continue
        over_loopback = _is_loopback(planned.target)
        reason = unexercisable(rule, planned.step.action, driver_is_windows=driver_is_windows, over_loopback=over_loopback)
        if reason is not None:
            found[planned.id, expectation.rule] = reason
    return found


def _is_loopback(target: Target) -> bool:
    """Whether the target logs the driver as itself. Of a host by name it is not known, and then it is held to be another machine."""
    seen_from = target.seen_from or target.host
    try:
        return ip_address(seen_from).is_loopback
    except ValueError:
        return seen_from.lower() == "localhost"


def _narrow(scenario: Scenario, selection: Selection) -> Scenario | None:
    if selection.tags and not selection.tags & set(scenario.tags):
        return None
    if selection.techniques and not any(covers(wanted, has) for wanted in selection.techniques for has in _techniques(scenario)):
        return None
    if not selection.rules:
        return scenario
    steps = tuple(_only(step, selection.rules) for step in scenario.steps)
    return replace(scenario, steps=steps) if any(step.expect for step in steps) else None


def _only(step: Step, rules: frozenset[str]) -> Step:
    return replace(step, expect=tuple(expectation for expectation in step.expect if expectation.rule in rules))


def _techniques(scenario: Scenario) -> set[str]:
    return {technique for technique in (scenario.technique, *(step.technique for step in scenario.steps)) if technique}


def covers(wanted: str, has: str) -> bool:
    """Whether an ATT&CK technique is the wanted one, or a sub-technique of it."""
    return has.upper() == wanted.upper() or has.upper().startswith(f"{wanted.upper()}.")


def _nothing(scenarios: Sequence[Scenario], targets: Sequence[Target], selection: Selection) -> str:
    if not targets:
        return "no target is selected"
    if not scenarios:
        return "there is no scenario"
    asked = sorted(selection.rules | selection.techniques | selection.tags) or ["what was selected"]
    return f"none of the {len(scenarios)} scenarios fits {', '.join(asked)}"
