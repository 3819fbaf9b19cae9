"""Does a detection strategy hold? What can be told of it without sending anything: by its rule, its scenarios and the plan's own reading.

What only a run can tell (whether a validation step is detected, whether a blind spot is still one) is a verdict, not a finding: such
verdicts are looked up here by the names of steps.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from harness.core.latest import LastVerdict, latest
from harness.core.plan import covers
from harness.documents import Loc
from harness.fields import nearest
from harness.logic.needs import unexercisable
from harness.logic.priority import never_given
from harness.model.intent import Expectation, Rule, Scenario, Severity, Step, Unexercisable
from harness.model.report import Report
from harness.model.strategy import StepName, Strategy


class Fault(StrEnum):
    """Kinds of finding."""

    EMPTY = "empty section"
    UNKNOWN_RULE = "unknown rule"
    TECHNIQUE = "technique"
    UNKNOWN_SCENARIO = "unknown scenario"
    UNKNOWN_STEP = "unknown step"
    NO_EXPECTATION = "no expectation"
    NOT_EXERCISABLE = "not exercisable"
    CONTRARY = "contrary expectation"
    BLIND_SPOT = "blind spot"
    PRIORITY = "priority"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that does not hold, and which part of the strategy says it."""

    fault: Fault
    what: str
    loc: Loc
    fix: str = ""


_SECTIONS = (
    "categorisation",
    "abstract",
    "technical_context",
    "validation",
    "blind_spots",
    "false_positives",
    "response",
)
"""What the form asks of every strategy; assumptions and references may well be none."""


def lint(strategy: Strategy, rules: Mapping[str, Rule], scenarios: Mapping[str, Scenario], *, driver_is_windows: bool) -> Iterator[Finding]:
    """Every finding, section by section. `rules` and `scenarios` are those that are known, by id."""
    for section in _SECTIONS:
        if not getattr(strategy, section):
            yield Finding(fault=Fault.EMPTY, what=f"{section} is empty", loc=(section,), fix="say it, or say why there is nothing to say")
    rule = rules.get(strategy.rule)
    if rule is None:
        what = f"there is no rule {strategy.rule}"
        begun = [known for known in rules if known.startswith(strategy.rule.lower())]
        fix = f"write the id in full: {begun[0]}" if len(begun) == 1 else nearest(strategy.rule, rules)
        yield Finding(fault=Fault.UNKNOWN_RULE, what=what, loc=("rule",), fix=fix)
    else:
        yield from _techniques(strategy, rule)
    check = _Steps(strategy, rule, scenarios, driver_is_windows)
    yield from check.validation()
    yield from check.blind_spots()
    yield from _priority(strategy, rule, check.wanted_priorities)


def find_step(name: StepName, scenarios: Mapping[str, Scenario]) -> tuple[int, Step] | Finding:
    """The number and the step of this name, or what is wrong with it; the finding's place is a key beside the name."""
    scenario = scenarios.get(name.scenario)
    if scenario is None:
        fix = nearest(name.scenario, scenarios) or "a scenario's id; --scenarios says where else to look for it"
        return Finding(fault=Fault.UNKNOWN_SCENARIO, what=f"there is no scenario {name.scenario}", loc=("scenario",), fix=fix)
    count = len(scenario.steps)
    if name.number is None and count > 1:
        what = f"scenario {name.scenario} has {count} steps"
        return Finding(fault=Fault.UNKNOWN_STEP, what=what, loc=("scenario",), fix="name one by its number: step: 1")
    number = name.number or 1
    if number > count:
        what = f"scenario {name.scenario} has no step {number}"
        return Finding(fault=Fault.UNKNOWN_STEP, what=what, loc=("step",), fix=f"its last is {count}")
    return number, scenario.steps[number - 1]


def last_verdicts(
    strategy: Strategy, scenarios: Mapping[str, Scenario], reports: Sequence[Report]
) -> Mapping[StepName, tuple[LastVerdict, ...]]:
    """Of every step that the strategy names and that there is, the newest verdict on its rule for each target; none where it has none."""
    names = (*(entry.step for entry in strategy.validation), *(spot.step for spot in strategy.blind_spots if spot.step is not None))
    found = {name: find_step(name, scenarios) for name in names}
    return {name: latest(reports, name.scenario, step[0], strategy.rule) for name, step in found.items() if not isinstance(step, Finding)}


def _techniques(strategy: Strategy, rule: Rule) -> Iterator[Finding]:
    for index, category in enumerate(strategy.categorisation):
        if not any(covers(category.technique, has) for has in rule.techniques):
            has = ", ".join(rule.techniques) or "none"
            what = f"the rule is not about {category.technique}; its techniques: {has}"
            yield Finding(fault=Fault.TECHNIQUE, what=what, loc=("categorisation", index, "technique"))


class _Steps:
    """The steps that a strategy names, held against its rule."""

    def __init__(self, strategy: Strategy, rule: Rule | None, scenarios: Mapping[str, Scenario], driver_is_windows: bool) -> None:
        self._strategy = strategy
        self._rule = rule
        self._scenarios = scenarios
        self._driver_is_windows = driver_is_windows
        self.wanted_priorities: set[Severity] = set()

    def validation(self) -> Iterator[Finding]:
        """Each step must be one that can set the rule off and is expected to."""
        for index, entry in enumerate(self._strategy.validation):
            loc: Loc = ("validation", index)
            found = find_step(entry.step, self._scenarios)
            if isinstance(found, Finding):
                yield _at(loc, found)
                continue
            where, step = f"{entry.step.scenario}/{found[0]}", found[1]
            expected = self._expectation(step)
            cannot = self._cannot(step)
            if cannot is not None:
                what = f"{where} cannot exercise the rule: it needs {cannot.need}; {cannot.reason}"
                fix = f"the smallest benign line that would: {cannot.remedy}"
                yield Finding(fault=Fault.NOT_EXERCISABLE, what=what, loc=(*loc, "scenario"), fix=fix)
            if expected is None:
                yield self._unnamed(loc, where)
            elif not expected.fires or expected.known_gap is not None:
                says = "known_gap" if expected.fires else "fires: false"
                what = f"{where} does not expect the rule to fire: it says {says}"
                yield Finding(fault=Fault.CONTRARY, what=what, loc=(*loc, "scenario"), fix="a blind spot is no validation: move it there")
            elif expected.priority is not None:
                self.wanted_priorities.add(expected.priority)

    def blind_spots(self) -> Iterator[Finding]:
        """Each must be shown by a step that expects the rule to miss, or say why none can show it."""
        for index, entry in enumerate(self._strategy.blind_spots):
            loc: Loc = ("blind_spots", index)
            if entry.step is not None and entry.not_detonable is not None:
                what = "has a scenario that detonates it, and a reason why none can"
                yield Finding(fault=Fault.BLIND_SPOT, what=what, loc=(*loc, "not_detonable"), fix="leave one of them out")
            if entry.step is not None:
                yield from self._blind_step(loc, entry.step)
            elif entry.not_detonable is None:
                what = "has neither a scenario that detonates it nor a reason why none can"
                yield Finding(fault=Fault.BLIND_SPOT, what=what, loc=(*loc, "what"), fix="name one, or say it: not_detonable")

    def _blind_step(self, loc: Loc, name: StepName) -> Iterator[Finding]:
        found = find_step(name, self._scenarios)
        if isinstance(found, Finding):
            yield _at(loc, found)
            return
        where, step = f"{name.scenario}/{found[0]}", found[1]
        expected = self._expectation(step)
        if expected is None:
            yield self._unnamed(loc, where)
        elif expected.fires and expected.known_gap is None:
            what = f"{where} expects the rule to fire"
            fix = "say known_gap with the reason, or fires: false"
            yield Finding(fault=Fault.CONTRARY, what=what, loc=(*loc, "scenario"), fix=fix)
        elif expected.known_gap is not None and (cannot := self._cannot(step)) is not None:
            # The plan would not wait for it: such a verdict is NOT_EXERCISABLE and proves nothing. Silence is proven by `fires: false`.
            what = f"{where} calls it a known gap, and that is never judged: the rule needs {cannot.need}"
            yield Finding(fault=Fault.CONTRARY, what=what, loc=(*loc, "scenario"), fix="say fires: false: then a run proves the silence")

    def _expectation(self, step: Step) -> Expectation | None:
        return next((item for item in step.expect if item.rule == self._strategy.rule), None)

    def _cannot(self, step: Step) -> Unexercisable | None:
        if self._rule is None or self._rule.not_evaluated:
            return None
        return unexercisable(self._rule, step.action, driver_is_windows=self._driver_is_windows)

    def _unnamed(self, loc: Loc, where: str) -> Finding:
        what = f"{where} expects nothing of the rule, so no run judges it"
        return Finding(fault=Fault.NO_EXPECTATION, what=what, loc=(*loc, "scenario"), fix=f"add to its expect: rule: {self._strategy.rule}")


def _priority(strategy: Strategy, rule: Rule | None, wanted: set[Severity]) -> Iterator[Finding]:
    priority = strategy.priority
    never: set[int] = set()
    if rule is not None and not rule.not_evaluated:
        for index, why in never_given(priority, rule):
            never.add(index)
            what = f"priority {priority.levels[index].level} is never given: {why}"
            yield Finding(fault=Fault.PRIORITY, what=what, loc=("priority", "levels", index, "when"))
    places: dict[Severity, Loc] = {priority.default: ("priority", "default")}
    for index, level in enumerate(priority.levels):
        if index not in never:
            places.setdefault(level.level, ("priority", "levels", index, "level"))
    for asked, loc in places.items() if strategy.validation else ():
        if asked not in wanted:
            what = f"no validation step holds priority {asked} against an alert"
            fix = f"give the expectation of a step whose alert has it the key priority: {asked}"
            yield Finding(fault=Fault.PRIORITY, what=what, loc=loc, fix=fix)


def _at(loc: Loc, finding: Finding) -> Finding:
    return Finding(fault=finding.fault, what=finding.what, loc=(*loc, *finding.loc), fix=finding.fix)
