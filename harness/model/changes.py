"""What became of expectations from one run to others: differences, their causes, trends, and what a run is held against."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from harness.model.facts import FailureKind
from harness.model.verdicts import Inconclusive, Outcome

Line = tuple[str, str, bool]
"""What an expectation is known by from run to run: the planned step's id, the rule's, and whether it should fire."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PastVerdict:
    """A verdict as the history remembers it: what a later run may be held against, without its telemetry.

    `cause` and `killed` (the clause that kept the rule from matching the nearest event) are empty where it was met. `gates` has a letter a
    gate, in their order: p passed, f failed, u unreached; empty where nothing was sent. `failure` is the kind of what kept the step from
    running. `terms` says what was asked beside the rule's id. `host` is the name that its target's events bear; `took` is the
    time to detect.
    """

    planned: str
    target: str
    scenario: str
    rule: str
    fires: bool
    outcome: Outcome
    inconclusive: Inconclusive | None = None
    cause: str = ""
    gates: str = ""
    killed: str = ""
    failure: FailureKind | None = None
    terms: str = ""
    host: str = ""
    took: timedelta | None = None

    @property
    def line(self) -> Line:
        """What it is known by from run to run."""
        return self.planned, self.rule, self.fires


class ChangeKind(StrEnum):
    """In which way an expectation's verdict is another one; gravest first."""

    BROKEN = "broken"  # it was met and is not, or can no longer be judged
    CHANGED = "changed"  # another outcome, met before as little as after
    SLOWER = "slower"
    MENDED = "mended"
    NEW = "new"
    GONE = "gone"


class CauseKind(StrEnum):
    """What may lie behind a change, each a fact in which two runs differ or that the later one states."""

    TARGET_DOWN = "target down"
    UNAUTHORISED = "target unauthorised"
    STEP_FAILED = "step failed"
    SIEM_DOWN = "SIEM down"
    INTERRUPTED = "interrupted"
    RULE_REMOVED = "rule removed"
    RULE_DISABLED = "rule disabled"
    RULE_TEXT = "rule text"
    RULE_SEVERITY = "rule severity"
    RULE_INTERVAL = "rule interval"
    RULE_REVISION = "rule revision"
    SCHEDULE = "rule schedule"
    EXCEPTION = "exception"
    SILENCE = "silence"
    EXPECTATION = "expectation"
    SCENARIO = "scenario"
    AUDIT = "audit setting"
    SENSOR = "sensor setting"
    AGENT = "agent"
    TELEMETRY = "telemetry stopped"
    MAPPING = "mapping"
    INGEST_LAG = "ingest lag"
    SETTING = "setting"
    SIEM_VERSION = "SIEM version"
    HARNESS = "harness version"
    UNKNOWN = "nothing known changed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """One cause of one change, with its evidence a line each.

    `direct`: the fact touches the very thing that the verdict failed at, not merely something that it depends on.
    """

    kind: CauseKind
    what: str
    evidence: tuple[str, ...] = ()
    direct: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """An expectation whose verdict is another one, with what is known of why, likeliest first.

    `before` is None where it is new, `after` where it is gone.
    """

    kind: ChangeKind
    before: PastVerdict | None
    after: PastVerdict | None
    causes: tuple[Cause, ...] = ()

    @property
    def line(self) -> Line:
        """The expectation that it is about."""
        known = self.after or self.before
        assert known is not None
        return known.line


class GapStanding(StrEnum):
    """How an unmet expectation stands to the runs before it, and to what people said of it."""

    NEW = "new"  # the baseline did not have this gap
    KNOWN = "known"  # the baseline had it
    QUARANTINED = "quarantined"  # it does not count until a day
    EXPIRED = "quarantine expired"  # it counts again


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A run held against its baseline. `baseline` is that run's id; empty, with the reason in `missing`, where there was none.

    `known` are the gaps that the baseline had.
    """

    baseline: str
    baseline_at: datetime | None = None
    missing: str = ""
    known: tuple[Line, ...] = ()
    changes: tuple[Change, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Flaky:
    """How often an expectation may turn, with no known cause, within how many of the last runs: from `turns` on it is flaky."""

    turns: int = 2
    runs: int = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Trend:
    """An expectation over runs, the oldest first; None where a run did not have it.

    `turns` counts how often it went from met to unmet or back with no known cause; `flaky`: as often as the settings allow, or more.
    Percentiles are those of its detections' times.
    """

    planned: str
    rule: str
    fires: bool
    outcomes: tuple[Outcome | None, ...]
    took: tuple[timedelta | None, ...]
    p50: timedelta | None = None
    p95: timedelta | None = None
    turns: int = 0
    flaky: bool = False

    @property
    def line(self) -> Line:
        """The expectation that it is about."""
        return self.planned, self.rule, self.fires


@dataclass(frozen=True, slots=True, kw_only=True)
class Trends:
    """What several runs say together. `runs` are their ids, the oldest first, and `ended` when each ended."""

    runs: tuple[str, ...]
    ended: tuple[datetime, ...]
    lines: tuple[Trend, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Breach:
    """A latency objective that was not kept. `measured` over `runs` runs, this one among them; `p95` as its author asked."""

    rule: str
    planned: str
    objective: timedelta
    measured: timedelta
    p95: bool
    runs: int
