"""The record of a run, and the progress that an engine yields while it is made."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from harness.model.facts import Alert, Detonation, SiemStatus
from harness.model.intent import PlannedStep, Severity, Shard
from harness.model.verdicts import RuleCoverage, Sighting, Standing, Verdict

REPORT_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """Where a run took place: versions, targets, SIEM and the clocks' offsets in seconds by name."""

    harness: str
    python: str
    platform: str
    targets: tuple[str, ...]
    siem: str
    clock_offsets: dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleRecord:
    """A rule as it was in a run: where it stands, and its text, so that a later run can tell what of it was changed.

    `source` is its path as it was asked for; `line`, from 1, is the line there that bears its id, or its first one.
    """

    id: str
    title: str
    source: str
    line: int
    language: str
    severity: Severity
    techniques: tuple[str, ...]
    definition: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Everything a run concluded. `version` is the version of this document's shape.

    `rules` are those that expectations named and that were loaded: a rule that only the SIEM knows has no record.
    `unexpected` are sightings of rules that no expectation of their step named; `unattributed` are alerts of the run's hosts and
    time that belong to none of its detonations. `cleanups` are the detonations of cleanup actions. `shard`: the part of a plan that was
    run; None where it was all of it.
    """

    version: Literal[1] = 1
    run_id: str
    environment: Environment
    started_at: datetime
    finished_at: datetime
    interrupted: bool
    verdicts: tuple[Verdict, ...]
    coverage: tuple[RuleCoverage, ...]
    unexpected: tuple[Sighting, ...]
    unattributed: tuple[Alert, ...]
    cleanups: tuple[Detonation, ...]
    exit_code: int
    rules: tuple[RuleRecord, ...] = ()
    shard: Shard | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PastRun:
    """A run as a list shows it. Times are our clock's."""

    run_id: str
    started_at: datetime
    finished_at: datetime
    exit_code: int
    expectations: int
    targets: str
    siem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SiemChecked:
    """The SIEM answered before anything was sent."""

    status: SiemStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class StepStarted:
    """A step is about to be sent."""

    planned: PlannedStep


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFinished:
    """A step was sent, or failed to be."""

    detonation: Detonation


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """An expectation has its verdict; `open` counts those that have none yet."""

    verdict: Verdict
    open: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """The SIEM was asked, and this is what is waited for still. `now` is our clock's."""

    now: datetime
    open: tuple[Standing, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SiemTrouble:
    """A read of the SIEM failed and will be tried again."""

    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFinished:
    """The run is over."""

    report: Report


Progress = SiemChecked | StepStarted | StepFinished | Judged | Waiting | SiemTrouble | RunFinished
