"""The plan: which step runs on which target, and which expectations cannot fire there. Made before anything is sent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address

from harness.errors import NothingToDo
from harness.logic.needs import unexercisable
from harness.model.intent import Expectation, Plan, PlannedStep, Priority, Rule, Scenario, Step, Target, Terms, Unexercisable, planned_id

_ITSELF = Unexercisable(
    need="jump host",
    reason="the scenario goes by way of a jump host, and that is the target itself",
    remedy="choose another target as well",
)


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
    known: Sequence[Target] | None = None,
) -> Plan:
    """Every selected scenario on every target, in file order. `known` are all targets that a scenario may go by way of.

    A scenario is kept whole, since its later steps stand on its earlier ones; of its expectations only the selected rules'
    remain. Where single expectations are selected, the steps after the last of them are left out: nothing stands on these. A scenario
    whose every expectation cannot be exercised on a target is judged but not sent: see `worth_sending`. `priorities` are those of the
    rules' detection strategies.

    A scenario that goes by way of a jump host goes to the other targets. Where that host is the only one, or is none that is known,
    nothing of it can be exercised, and nothing of it is sent.

    Raises `NothingToDo` where nothing is selected.
    """
    chosen = [narrowed for scenario in scenarios if (narrowed := _narrow(scenario, selection)) is not None]
    if not chosen or not targets:
        raise NothingToDo(_nothing(scenarios, targets, selection))
    steps: list[PlannedStep] = []
    wanted = _by_step(selection.expectations)
    left_out = 0
    cannot: dict[tuple[str, str], Unexercisable] = {}
    jumps = _jump_hosts(known or targets)
    for target in targets:
        for scenario in chosen:
            blocked = _blocked(target, scenario, jumps)
            elsewhere = blocked is _ITSELF and any(_blocked(other, scenario, jumps) is None for other in targets)
            if elsewhere or (blocked is not None and not any(step.expect for step in scenario.steps)):
                continue
            planned_here = _steps(scenario, target, jumps, wanted)
            left_out += _count(scenario.steps) - _count(planned.step for planned in planned_here)
            for planned in planned_here:
                steps.append(planned)
                if blocked is not None:
                    cannot |= {(planned.id, expectation.rule): blocked for expectation in planned.step.expect}
                else:
                    cannot |= _unexercisable(planned, rules, driver_is_windows=driver_is_windows)
    if wanted is not None and not steps:
        raise NothingToDo(_nothing(scenarios, targets, selection))
    # A run of single expectations is about their rules: alerts of the others are none of its affair.
    of_a_part = frozenset(expectation.rule for planned in steps for expectation in planned.step.expect) if left_out else None
    return Plan(steps=tuple(steps), unexercisable=cannot, rules=selection.rules or of_a_part, priorities=priorities or {})


def _by_step(wanted: frozenset[tuple[str, str]] | None) -> Mapping[str, frozenset[str]] | None:
    """The rules that are wanted of each planned step; None where all are."""
    if wanted is None:
        return None
    rules: dict[str, set[str]] = {}
    for planned, rule in wanted:
        rules.setdefault(planned, set()).add(rule)
    return {planned: frozenset(names) for planned, names in rules.items()}


def _steps(
    scenario: Scenario, target: Target, jumps: Mapping[str, Target], wanted: Mapping[str, frozenset[str]] | None
) -> list[PlannedStep]:
    """The scenario's steps on this target, up to the last of which something is wanted."""
    steps = []
    for number, step in enumerate(scenario.steps, start=1):
        way = replace(target, via=jumps.get(step.via.lower())) if step.via is not None else target
        steps.append(PlannedStep(id=planned_id(scenario.id, number, target.name), scenario=scenario.id, step=step, target=way))
    if wanted is None:
        return steps
    steps = [replace(each, step=_only(each.step, wanted.get(each.id, frozenset()))) for each in steps]
    while steps and not steps[-1].step.expect:
        steps.pop()
    return steps


def _count(steps: Iterable[Step]) -> int:
    return sum(len(step.expect) for step in steps)


def with_terms(made: Plan, terms: Terms) -> Plan:
    """The plan with what is said of its expectations outside of their scenarios."""
    return replace(made, steps=tuple(replace(planned, step=_with_terms(planned, terms)) for planned in made.steps))


def _with_terms(planned: PlannedStep, terms: Terms) -> Step:
    def told(expectation: Expectation) -> Expectation:
        has = {"rule": expectation.rule, "scenario": planned.scenario, "target": planned.target.name}
        quarantine = expectation.quarantine or next(
            (found for about, found in terms.quarantines if all(getattr(about, key) in (None, value) for key, value in has.items())), None
        )
        objective = expectation.objective or (terms.objectives.get(expectation.rule) if expectation.fires else None)
        return replace(expectation, quarantine=quarantine, objective=objective)

    return replace(planned.step, expect=tuple(map(told, planned.step.expect)))


def _jump_hosts(known: Sequence[Target]) -> Mapping[str, Target]:
    """The targets by the names that a step may call them: the target's own, or its computer's. In lower case."""
    names = {name.lower(): target for target in known for name in (target.computer, target.computer.partition(".")[0]) if name}
    return names | {target.name.lower(): target for target in known}


def _blocked(target: Target, scenario: Scenario, jumps: Mapping[str, Target]) -> Unexercisable | None:
    """Why the scenario cannot go to the target at all, its steps standing on each other: one of them has no way there."""
    for name in dict.fromkeys(step.via for step in scenario.steps if step.via is not None):
        jump = jumps.get(name.lower())
        if jump is None:
            listed = ", ".join(sorted({known.name for known in jumps.values()}))
            reason = f"it goes by way of {name}, and there is no such target"
            return Unexercisable(need="jump host", reason=reason, remedy=f"via: one of {listed}" if listed else "name it as a target")
        if jump.name == target.name:
            return _ITSELF
    return None


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
    by_jump_host = planned.target.via is not None
    for expectation in planned.step.expect:
        rule = rules.get(expectation.rule)
        if rule is None or not expectation.fires:
            continue
        over_loopback = _is_loopback(planned.target)
        reason = unexercisable(
            rule, planned.step.action, driver_is_windows=driver_is_windows, over_loopback=over_loopback, by_jump_host=by_jump_host
        )
        if reason is not None:
            found[planned.id, expectation.rule] = reason
    return found


def _is_loopback(target: Target) -> bool:
    """Whether the target logs the driver as itself. Of a host by name it is not known, and then it is held to be another machine."""
    if target.via is not None:
        return False  # it is another machine that connects
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
