"""The record of a run, and the progress that an engine yields while it is made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Literal

from harness.model.changes import Breach, Comparison, PastVerdict, Trends
from harness.model.facts import Alert, Detonation, SiemStatus
from harness.model.intent import PlannedStep, Severity, Shard
from harness.model.verdicts import RuleCoverage, Sighting, Standing, Verdict

REPORT_VERSION = 1


class Aspect(StrEnum):
    """What a circumstance is about."""

    SIEM = "siem"
    RULE = "rule"
    EXCEPTION = "exception"
    SILENCE = "silence"
    MAPPING = "mapping"
    SENSOR = "sensor"
    AUDIT = "audit"
    SETTING = "setting"


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstance:
    """Something that held during a run and that verdicts may hang on, so that a later run can tell whether it still does.

    `about` is whose it is: a rule's id, a target's name, a pattern of indices; empty where it is the run's. No `value` bears a secret.
    """

    aspect: Aspect
    about: str
    name: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HostTelemetry:
    """What arrived of a host during a run, whosever it was. `kinds` counts events by log and number ("Security 4688").

    `agents` are the shippers with their versions, as the events name them. Lags run from an event's time to its being searchable.
    """

    host: str
    agents: tuple[str, ...]
    kinds: dict[str, int]
    lag_p50: timedelta
    lag_p95: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRecord:
    """A planned step as it was in a run: its text says everything that is sent and what counts as success."""

    planned: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """Where a run took place: versions, targets, SIEM and the clocks' offsets in seconds by name."""

    harness: str
    python: str
    platform: str
    targets: tuple[str, ...]
    siem: str
    clock_offsets: dict[str, float]
    circumstances: tuple[Circumstance, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Clause:
    """One comparison of a rule's logic in words. `field` and `value` as the rule has them; empty where there is not one of each."""

    field: str
    value: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleRecord:
    """A rule as it was in a run: where it stands, and its text, so that a later run can tell what of it was changed.

    `source` is its path as it was asked for; `line`, from 1, is the line there that bears its id, or its first one. `clauses` are the
    comparisons that its logic is made of, in words; `kinds` the events of which it reads one or more ("Security 4688").
    """

    id: str
    title: str
    source: str
    line: int
    language: str
    severity: Severity
    techniques: tuple[str, ...]
    definition: str
    clauses: tuple[Clause, ...] = ()
    kinds: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Everything a run concluded. `version` is the version of this document's shape.

    `rules` are those that expectations named and that were loaded: a rule that only the SIEM knows has no record.
    `unexpected` are sightings of rules that no expectation of their step named; `unattributed` are alerts of the run's hosts and
    time that belong to none of its detonations. `cleanups` are the detonations of cleanup actions. `shard`: the part of a plan that was
    run; None where it was all of it. `fail_on` says what the run fails on; `comparison`, `trends` and `breaches` come from the runs before
    it, where these were asked.
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
    steps: tuple[StepRecord, ...] = ()
    telemetry: tuple[HostTelemetry, ...] = ()
    fail_on: tuple[str, ...] = ("gap",)
    comparison: Comparison | None = None
    trends: Trends | None = None
    breaches: tuple[Breach, ...] = ()
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
    green: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """A run as later ones are held against it: its circumstances and verdicts, without its telemetry's documents.

    `green`: it ended with 0, and nothing that a gap is was told not to count. `rules` by id, `steps` by planned step's id,
    `telemetry` by the host's short name.
    """

    run_id: str
    started_at: datetime
    finished_at: datetime
    exit_code: int
    green: bool
    environment: Environment
    rules: Mapping[str, RuleRecord]
    steps: Mapping[str, str]
    telemetry: Mapping[str, HostTelemetry]
    verdicts: tuple[PastVerdict, ...]


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
