"""Scenario files as pytest sees them: a file holds steps, a step holds a test for each expectation on each target.

A test's name is `path/x.scenario.yml::step::rule@target`. No rule is loaded to collect them, unless `-m` asks what only rules know. What a
verdict is in pytest's words: DETECTED and QUIET pass; KNOWN_GAP is an expected failure and GAP_CLOSED an unexpected pass; NOT_EXERCISABLE
is skipped; INCONCLUSIVE is an error of the setup, since nothing was tested; everything else fails. This module must never know how a
verdict is come by.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from harness.core.cover import GAPS
from harness.documents import Place
from harness.errors import HarnessError
from harness.model.intent import Expectation, Rule, Scenario, Step, planned_id
from harness.model.verdicts import Outcome
from harness.pytest_plugin.asked import Told, Wanted
from harness.pytest_plugin.failures import Gap, KnownGap, NotJudged
from harness.pytest_plugin.where import Where
from harness.reports.words import inert
from harness.scenarios import distinct_id, read_scenario

_IDS: pytest.StashKey[dict[str, Place]] = pytest.StashKey()
_RULES: pytest.StashKey[Mapping[str, Rule]] = pytest.StashKey()
_SELECTED: pytest.StashKey[Sequence[Wanted]] = pytest.StashKey()
_MARKS: pytest.StashKey[dict[str, pytest.MarkDecorator | None]] = pytest.StashKey()
_SELECTABLE = re.compile(r"[A-Za-z0-9][\w.+-]*")
_TAKES_ARGUMENTS = re.compile(r"\s*(\w+)\s*\(")


class ScenarioFile(pytest.File):
    """A scenario file."""

    where: Where

    def collect(self) -> Iterator[ScenarioStep]:
        """Its steps that expect something."""
        shown = os.path.relpath(self.path, self.config.invocation_params.dir)
        located = read_scenario(self.path, shown)
        distinct_id(located, self.config.stash.setdefault(_IDS, {}))
        names = Counter(_name(step.name) for step in located.scenario.steps)
        for index, step in enumerate(located.scenario.steps):
            name = _name(step.name)
            # A name that several steps have says nothing: their numbers do.
            told_apart = f"{name} #{index + 1}" if names[name] > 1 else name
            if step.expect:
                made = ScenarioStep.from_parent(self, name=told_apart)
                made.scenario, made.step, made.number = located.scenario, step, index + 1
                made.lines = [located.lines[index, each] for each in range(len(step.expect))]
                made.where = self.where
                made.extra_keyword_matches.add(located.scenario.id)
                _mark(made, [*located.scenario.tags, *_techniques(step.technique, located.scenario.technique)])
                yield made

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], *args: Any, **kwargs: Any) -> Any:
        """What is wrong with the file: path, line and what mends it."""
        if isinstance(excinfo.value, HarnessError):
            return "\n".join(map(inert, str(excinfo.value).splitlines()))
        return super().repr_failure(excinfo, *args, **kwargs)


class ScenarioStep(pytest.Collector):
    """A step of a scenario."""

    scenario: Scenario
    step: Step
    number: int
    lines: Sequence[int]
    where: Where

    def collect(self) -> Iterator[ExpectationTest]:
        """A test for each expectation on each target."""
        rules = _rules(self.config, self.where)
        for expectation, line in zip(self.step.expect, self.lines, strict=True):
            marks = list(_marks(expectation, rules.get(expectation.rule)))
            for target in _reached(self.scenario, self.where):
                test = ExpectationTest.from_parent(self, name=f"{expectation.rule}@{target}")
                test.line, test.where = line, self.where
                test.wanted = Wanted(file=str(self.path), planned=planned_id(self.scenario.id, self.number, target), rule=expectation.rule)
                _mark(test, marks)
                test.add_marker(self._facts(expectation, target))
                if expectation.known_gap is not None:
                    test.add_marker(pytest.mark.xfail(reason=inert(expectation.known_gap), raises=KnownGap))
                yield test

    def _facts(self, expectation: Expectation, target: str) -> pytest.MarkDecorator:
        return pytest.mark.harness(
            scenario=self.scenario.id, step=self.step.name, rule=expectation.rule, target=target, fires=expectation.fires
        )


class ExpectationTest(pytest.Item):
    """An expectation on a target."""

    line: int
    where: Where
    wanted: Wanted
    _told: Told | None = None

    def setup(self) -> None:
        """Wait for the verdict. What tells nothing of the rule is told here: an error, or a skip."""
        from harness.pytest_plugin.session import held  # only here is anything to be run

        try:
            told = held(self.config).shared(self.where).told(self.wanted, _selected(self.session))
        except HarnessError as error:
            raise NotJudged("\n".join(map(inert, str(error).splitlines()))) from None
        if self._told is None:  # else it is run again
            self.user_properties.append(("outcome", told.outcome.value))
            if told.time_to_detect is not None:
                self.user_properties.append(("time_to_detect", told.time_to_detect))
        self._told = told
        if told.outcome is Outcome.NOT_EXERCISABLE:
            raise pytest.skip.Exception(inert(told.cause), _use_item_location=True)
        if told.outcome is Outcome.INCONCLUSIVE:
            raise NotJudged(told.text)

    def runtest(self) -> None:
        """Fail where there is a gap."""
        assert self._told is not None
        if self._told.outcome is Outcome.KNOWN_GAP:
            raise KnownGap(self._told.text)
        if self._told.outcome in GAPS:
            if self._told.quarantine:
                pytest.xfail(inert(self._told.quarantine))
            raise Gap(self._told.text)

    def reportinfo(self) -> tuple[Path, int, str]:
        """Where the expectation stands."""
        return self.path, self.line - 1, self.nodeid.partition("::")[2]


def _selected(session: pytest.Session) -> Sequence[Wanted]:
    """What of the session's scenarios was selected to be run."""
    if _SELECTED not in session.stash:
        session.stash[_SELECTED] = [item.wanted for item in session.items if isinstance(item, ExpectationTest)]
    return session.stash[_SELECTED]


def _name(text: str) -> str:
    """A step's name as part of a test's: nothing in it that pytest reads as a part of its own."""
    return inert(text).replace("::", ":").replace("[", "(").replace("]", ")")


def _rules(config: pytest.Config, where: Where) -> Mapping[str, Rule]:
    """The rules, where a mark was asked for that only they tell. Raises `UsageError`."""
    if not config.getoption("markexpr"):
        return {}
    if _RULES not in config.stash:
        from harness.assemble import rules_of

        config.stash[_RULES] = rules_of(where.request())
    return config.stash[_RULES]


def _reached(scenario: Scenario, where: Where) -> Sequence[str]:
    """The targets that it goes to: not to one that it goes by way of, unless there is no other. As the plan has it."""
    ways = {where.jump_hosts.get(step.via.lower()) for step in scenario.steps if step.via is not None}
    others = [target for target in where.targets if target not in ways]
    return others if others and None not in ways else where.targets


def _techniques(*techniques: str | None) -> Iterator[str]:
    """Each, and what it is a part of."""
    for technique in filter(None, techniques):
        yield technique
        yield technique.partition(".")[0]


def _marks(expectation: Expectation, rule: Rule | None) -> Iterator[str]:
    """The words by which `-m` selects an expectation, beside those of its step: its severity; and the rule's, its techniques and status."""
    if expectation.severity is not None:
        yield expectation.severity.value
    if rule is not None:
        from harness.rules.header import header

        yield from _techniques(*rule.techniques)
        yield rule.severity.value
        if status := header(rule).get("status"):
            yield status


def _mark(node: ScenarioStep | ExpectationTest, names: Iterable[str]) -> None:
    for name in dict.fromkeys(names):
        if (mark := _made(node.config, name)) is not None:
            node.add_marker(mark)


def _made(config: pytest.Config, name: str) -> pytest.MarkDecorator | None:
    """The mark of this name, registered; none where it would do more than select: one that is declared with arguments (skip, timeout)
    is somebody's to act on."""
    known = config.stash.setdefault(_MARKS, {})
    if not _SELECTABLE.fullmatch(name):
        return None
    if name not in known:
        declared = [line for line in config.getini("markers") if re.split(r"[:(]", line, maxsplit=1)[0].strip() == name]
        if not declared:
            config.addinivalue_line("markers", f"{name}: of scenarios")
        known[name] = None if any(map(_TAKES_ARGUMENTS.match, declared)) else getattr(pytest.mark, name)
    return known[name]
