"""Tests written in Python: a step is detonated by a call, and its detections are asserted.

    def test_whoami(detonate):
        whoami = detonate(enter_pssession=["whoami.exe /groups"])
        assert whoami.detects("5cc2cda8", within="2m")

A step is sent when it is called for, and judged when a rule is asked about, by the engine that runs scenario files. What could not be
judged raises, whatever was asked: it is neither a detection nor a miss. This module must never know how a verdict is come by.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from threading import Event
from types import TracebackType
from typing import Any, Self

import pytest

from harness.assemble import Stage
from harness.core.cover import MET
from harness.errors import Problem, UsageError
from harness.fields import parse_duration
from harness.model.facts import Detonation, Execution, Failure, Identity, StreamKind, StreamRecord
from harness.model.intent import Expectation, Scenario, Severity, Step
from harness.model.report import Judged, StepFinished
from harness.model.verdicts import Outcome, Verdict
from harness.pytest_plugin.failures import NotJudged
from harness.pytest_plugin.shared import Shared
from harness.reports.terminal import failure_text
from harness.reports.words import inert, named
from harness.rules.catalog import Catalog, find
from harness.scenarios import step_of
from lab.process import LabPlace, LabTarget


@dataclass(frozen=True, slots=True, kw_only=True)
class Lab:
    """The lab of a test session. `siem` is the file of its embedded SIEM; `password` is that of the user of every host."""

    hosts: tuple[LabTarget, ...]
    siem: Path
    password: str = field(repr=False)

    @classmethod
    def of(cls, place: LabPlace) -> Lab:
        """The lab that is there."""
        return cls(hosts=place.targets, siem=Path(place.siem), password=place.password)

    @property
    def ports(self) -> Mapping[str, int]:
        """Where each host listens, by its name."""
        return {host.name: host.port for host in self.hosts}

    def host(self, name: str) -> LabTarget:
        """The host of this name. Raises KeyError."""
        return {host.name: host for host in self.hosts}[name]


class Detection:
    """What became of one expectation. It is true where the expectation was met; its text is the verdict."""

    def __init__(self, verdict: Verdict, titles: Mapping[str, str]) -> None:
        self.verdict = verdict
        self.ladder = failure_text(verdict, titles)
        self._rule = named(verdict.expectation.rule, titles)

    def __bool__(self) -> bool:
        return self.outcome in MET

    def __repr__(self) -> str:
        return f"<{self.outcome.value} {inert(self._rule)}: {inert(self.cause)}>"

    @property
    def outcome(self) -> Outcome:
        """The outcome, as a scenario's expectation has it."""
        return self.verdict.outcome

    @property
    def cause(self) -> str:
        """Why, in a sentence."""
        return self.verdict.cause

    @property
    def time_to_detect(self) -> timedelta | None:
        """From the detonation's start to its first alert; None without one."""
        return self.verdict.time_to_detect


class Detonated:
    """A step that was sent and ran. Times are our clock's."""

    def __init__(self, detonation: Detonation, execution: Execution, bench: Bench) -> None:
        self._bench = bench
        self._execution = execution
        self.detonation = detonation

    def __repr__(self) -> str:
        return f"<{inert(self.detonation.planned.id)}>"

    @property
    def target(self) -> str:
        """The name of the target."""
        return self.detonation.planned.target.name

    @property
    def output(self) -> tuple[str, ...]:
        """What it printed, a text for each object or line."""
        return self._execution.output

    @property
    def records(self) -> tuple[StreamRecord, ...]:
        """What came on the other streams."""
        return self._execution.records

    @property
    def errors(self) -> tuple[str, ...]:
        """The error records' texts, and what ended the step early where something did."""
        errors = [record.text for record in self.records if record.stream is StreamKind.ERROR]
        return (*errors, *filter(None, [self._execution.terminated]))

    @property
    def exit_code(self) -> int | None:
        """That of the last native program; None where none ran."""
        return self._execution.exit_code

    @property
    def identity(self) -> Identity:
        """What the driver knows of its session."""
        return self.detonation.identity

    @property
    def started_at(self) -> datetime:
        """Before its first packet."""
        return self.detonation.started_at

    @property
    def finished_at(self) -> datetime:
        """After its session was closed."""
        return self.detonation.finished_at

    def detects(
        self,
        rule: str,
        *,
        within: str | timedelta | None = None,
        severity: Severity | str | None = None,
        priority: Severity | str | None = None,
    ) -> Detection:
        """Whether the rule fired because of this step.

        `rule` is an id, the beginning of one, or a title; `within` counts from the step's start. Skips the test where the
        action cannot make the rule fire; raises `NotJudged` where nothing can be known.
        """
        __tracebackhide__ = True
        return self._bench.judged(self, self._bench.expectation(rule, within=within, severity=severity, priority=priority))

    def stays_quiet(self, rule: str) -> Detection:
        """Whether the rule is proven not to have fired because of this step. Raises `NotJudged` where nothing can be known."""
        __tracebackhide__ = True
        return self._bench.judged(self, self._bench.expectation(rule, fires=False))


class Bench:
    """One test's place to detonate: what `detonate` calls. `noticed` is told of every detection that was not there."""

    def __init__(self, stage: Stage, shared: Shared, test: str, noticed: Callable[[str, str], None]) -> None:
        self._stage = stage
        self._shared = shared
        self._test = re.sub(r"[^a-z0-9]+", "-", test.lower()).strip("-")[:60].strip("-") or "test"
        self._noticed = noticed
        self._titles = {rule.id: rule.title for rule in stage.rules.values()}
        self._catalog = Catalog(name="the rules", rules=tuple(stage.rules.values()), refused=())
        self._count = 0
        self._cleanups: list[tuple[Step, str]] = []
        self.detonated: list[Detonated] = []

    def __repr__(self) -> str:
        return "<detonate>"

    def __call__(self, *, target: str | None = None, arguments: Mapping[str, object] | None = None, **step: object) -> Detonated:
        """Send a step to a target (the first, where none is named) and wait for its end.

        Its keys are those of a step in a scenario file: one of `enter_pssession` (a line or a list of them), `invoke_command` (a script,
        beside it `arguments` by name; or both as a file has them), `connect={}`; and `name`, `timeout`, `exit_codes`, `output`, `cleanup`,
        which is run at the test's end. Raises `UsageError` where they are wrong, `NotJudged` where the step did not run to its end.
        """
        __tracebackhide__ = True
        try:
            made = step_of(_as_written(step, arguments))
        except UsageError as error:
            raise UsageError(*error.problems) from None  # from here on: where it was found out tells the author of a test nothing
        detonated = self._send(replace(made, cleanup=None), target)
        if made.cleanup is not None:
            self._cleanups.append((Step(name=f"cleanup of {made.name}", action=made.cleanup, timeout=made.timeout), detonated.target))
        self.detonated.append(detonated)
        return detonated

    def clean_up(self) -> None:
        """Run the cleanups, the last first. Raises `NotJudged` naming those that failed."""
        failed = []
        for step, target in reversed(self._cleanups):
            try:
                errors = self._send(step, target).errors
            except NotJudged as error:
                errors = (str(error),)
            failed += [f"{inert(step.name)}: {inert(text)}" for text in errors]
        self._cleanups.clear()
        if failed:
            raise NotJudged("cleanup failed:\n" + "\n".join(failed))

    def expectation(
        self,
        rule: str,
        *,
        within: str | timedelta | None = None,
        severity: Severity | str | None = None,
        priority: Severity | str | None = None,
        fires: bool = True,
    ) -> Expectation:
        """What is expected, of a rule that there is. Raises `UsageError`."""
        __tracebackhide__ = True
        return Expectation(
            rule=self._rule(rule),
            within=_length(within),
            severity=_severity("severity", severity),
            priority=_severity("priority", priority),
            fires=fires,
        )

    def judged(self, detonated: Detonated, expectation: Expectation) -> Detection:
        """The verdict on a step that was sent."""
        __tracebackhide__ = True
        planned = detonated.detonation.planned
        planned = replace(planned, step=replace(planned.step, expect=(expectation,)))
        scenario = Scenario(id=planned.scenario, title=planned.scenario, source="", steps=(planned.step,))
        engine = self._stage.engine(self._stage.plan(scenario, planned.target))
        verdicts = [
            progress.verdict
            for progress in engine.run(Event(), [replace(detonated.detonation, planned=planned)])
            if isinstance(progress, Judged)
        ]
        detection = Detection(verdicts[0], self._titles)
        self._shared.note(verdicts[0], self._titles.get(expectation.rule, expectation.rule))
        if detection.outcome is Outcome.NOT_EXERCISABLE:
            raise pytest.skip.Exception(inert(detection.cause), _use_item_location=True)
        if detection.outcome is Outcome.INCONCLUSIVE:
            raise NotJudged(detection.ladder)
        if not detection:
            self._noticed(f"{detection.outcome.value} {inert(named(expectation.rule, self._titles))}", detection.ladder)
        return detection

    def _send(self, step: Step, target: str | None) -> Detonated:
        __tracebackhide__ = True
        targets = {each.name: each for each in self._stage.targets}
        if target is not None and target not in targets:
            raise UsageError(Problem(path="", what=f"there is no target {target!r}", fix=f"known: {', '.join(targets)}"))
        self._count += 1
        identity = f"{self._test}-{self._count}"
        scenario = Scenario(id=identity, title=identity, source="", steps=(step,))
        plans = {name: self._stage.plan(scenario, targets[name]) for name in ([target] if target is not None else targets)}
        name = next((name for name, made in plans.items() if made.steps), None)
        if name is None:
            raise NotJudged(f"there is no way to {', '.join(plans)} by way of {step.via}")
        with self._shared.turn(name):
            finished = [p.detonation for p in self._stage.engine(plans[name]).run(Event()) if isinstance(p, StepFinished)]
        if not finished:
            raise NotJudged("nothing was sent: the SIEM cannot answer")
        outcome = finished[0].outcome
        if isinstance(outcome, Failure):
            raise NotJudged(f"{inert(step.name)} failed ({outcome.kind.value}): {inert(outcome.message)}")
        return Detonated(finished[0], outcome, self)

    def _rule(self, name: str) -> str:
        __tracebackhide__ = True
        if name in self._stage.rules or name in self._stage.siem.known_rules():
            return name
        try:
            found = find(self._catalog, name)
        except UsageError as error:
            raise UsageError(*error.problems) from None
        if found.not_evaluated:
            raise UsageError(Problem(path=found.source, what=f"{found.title} cannot be expected to do anything: {found.not_evaluated}"))
        return found.id


class Asked:
    """An expectation that a test states: asserted after a step was sent, a context around the steps that it is about, or left standing."""

    def __init__(self, bench: Bench, expectation: Expectation) -> None:
        self._bench = bench
        self._expectation = expectation
        self._before = len(bench.detonated)
        self._detection: Detection | None = None
        self._answered = False

    def __bool__(self) -> bool:
        """Of the step that was sent last."""
        __tracebackhide__ = True
        self._answered = True
        if not self._bench.detonated:
            raise UsageError(Problem(path="", what="nothing was detonated yet", fix="call detonate(...) before, or use it as a context"))
        self._detection = self._bench.judged(self._bench.detonated[-1], self._expectation)
        return bool(self._detection)

    def __repr__(self) -> str:
        return repr(self._detection) if self._detection is not None else f"<expects something of {inert(self._expectation.rule)}>"

    def __enter__(self) -> Self:
        self._answered = True
        self._before = len(self._bench.detonated)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Of each step that was sent meanwhile. Raises AssertionError."""
        __tracebackhide__ = True
        if error is None:
            self._assert(self._bench.detonated[self._before :])

    def settle(self) -> None:
        """At the test's end: one that was left standing is of the step before it, and where there was none, of those after it.

        Raises AssertionError: a test that states what it expects must not pass whatever happens.
        """
        __tracebackhide__ = True
        if not self._answered:
            self._assert(self._bench.detonated[max(0, self._before - 1) : self._before or None])

    def _assert(self, steps: Sequence[Detonated]) -> None:
        __tracebackhide__ = True
        if not steps:
            raise UsageError(Problem(path="", what=f"nothing was detonated that {self!r} could be about"))
        for detonated in steps:
            self._detection = self._bench.judged(detonated, self._expectation)
            if not self._detection:
                raise AssertionError(repr(self._detection))


class Expects:
    """What the fixtures `detects` and `stays_quiet` call."""

    def __init__(self, bench: Bench, *, fires: bool) -> None:
        self._bench = bench
        self._fires = fires
        self._asked: list[Asked] = []

    def __repr__(self) -> str:
        return "<detects>" if self._fires else "<stays_quiet>"

    def __call__(self, rule: str, **terms: Any) -> Asked:
        """The expectation; its terms are those of `Detonated.detects`."""
        __tracebackhide__ = True
        asked = Asked(self._bench, self._bench.expectation(rule, fires=self._fires, **terms))
        self._asked.append(asked)
        return asked

    def settle(self) -> None:
        """At the test's end: what was stated and left standing is asserted. Raises AssertionError."""
        __tracebackhide__ = True
        for asked in self._asked:
            asked.settle()


def _as_written(step: Mapping[str, object], arguments: Mapping[str, object] | None) -> Mapping[str, object]:
    """A step's keys as a scenario file has them."""
    written = {key: list(value) if isinstance(value, tuple) else value for key, value in step.items()}
    if isinstance(lines := written.get("enter_pssession"), str):
        written["enter_pssession"] = [lines]
    if isinstance(script := written.get("invoke_command"), str):
        written["invoke_command"] = {"script": script, "arguments": dict(arguments or {})}
    elif arguments is not None:
        raise UsageError(Problem(path="", what="arguments belong to invoke_command with a script"))
    action: Sequence[str] = [key for key in ("enter_pssession", "invoke_command", "connect") if key in written]
    return {"name": " ".join(action) or "step"} | written


def _length(text: str | timedelta | None) -> timedelta | None:
    __tracebackhide__ = True
    if text is None or isinstance(text, timedelta):
        return text
    try:
        return parse_duration(text)
    except ValueError:
        raise UsageError(Problem(path="", what=f"{text!r} is not a length of time", fix="write it as 90s, 6m or 1h30m")) from None


def _severity(kind: str, text: Severity | str | None) -> Severity | None:
    __tracebackhide__ = True
    if text is None or isinstance(text, Severity):
        return text
    if text not in set(Severity):
        raise UsageError(Problem(path="", what=f"{text!r} is no {kind}", fix=f"one of {', '.join(Severity)}"))
    return Severity(text)
