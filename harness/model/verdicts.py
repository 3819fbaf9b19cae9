"""Inference: what facts were taken to mean. Made by `harness.core` alone; the words are judging.md's, to the letter."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from harness.model.facts import Alert, Detonation
from harness.model.intent import Expectation, Severity


class Basis(StrEnum):
    """On what grounds an alert or event is held to be a detonation's. AMBIGUOUS never counts."""

    EXACT = "exact"
    WINDOW = "window"
    AMBIGUOUS = "ambiguous"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """An alert attributed to a detonation. `keys` says by which keys, in words.

    `transport_caused`: the session alone would have raised it; it is never evidence for the step's command. `priority` is what the
    rule's detection strategy makes of the alert's events; None without a strategy, or where the alert's events are not known.
    """

    detonation: str
    alert: Alert
    basis: Basis
    transport_caused: bool
    time_to_detect: timedelta
    keys: tuple[str, ...]
    priority: Severity | None = None


class GateKind(StrEnum):
    """The four gates in their order."""

    EXECUTED = "executed"
    TELEMETRY = "telemetry"
    QUERY = "query"
    ALERT = "alert"


class GateState(StrEnum):
    """Whether a gate was passed; `unreached` where an earlier one decided or nothing could be known."""

    PASSED = "passed"
    FAILED = "failed"
    UNREACHED = "unreached"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """One gate of one expectation, when it was passed, and the evidence, a line each."""

    kind: GateKind
    state: GateState
    at: datetime | None = None
    evidence: tuple[str, ...] = ()


class Outcome(StrEnum):
    """What became of an expectation."""

    DETECTED = "DETECTED"
    LATE = "LATE"
    MISGRADED = "MISGRADED"
    MISSED = "MISSED"
    BLIND = "BLIND"
    KNOWN_GAP = "KNOWN_GAP"
    GAP_CLOSED = "GAP_CLOSED"
    NOT_EXERCISABLE = "NOT_EXERCISABLE"
    QUIET = "QUIET"
    NOISY = "NOISY"
    INCONCLUSIVE = "INCONCLUSIVE"


class Inconclusive(StrEnum):
    """The kind that every INCONCLUSIVE bears."""

    NOT_EXECUTED = "not_executed"
    SIEM_LOST = "siem_lost"
    NO_PROOF_OF_RUN = "no_proof_of_run"
    NOT_DEPLOYED = "not_deployed"
    NO_TELEMETRY = "no_telemetry"
    AMBIGUOUS = "ambiguous"
    INTERRUPTED = "interrupted"


class Probed(StrEnum):
    """What a probe said of a rule that nothing runs. It is never a detection, nor a miss."""

    MATCHES = "matches"  # the rule's query finds events of the detonation
    FINDS_NOTHING = "finds_nothing"  # it was asked of all of them, and finds none
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """An expectation judged on one detonation.

    `detonation` is None only where nothing was sent (NOT_EXERCISABLE, or an interrupt). `cause` is the one sentence that a
    person reads first. `inconclusive` is set exactly where the outcome is INCONCLUSIVE. `proof` is the id of the RuleRun that
    proves a MISSED, QUIET or KNOWN_GAP. `probed` is what the query alone said of a rule that nothing runs: the outcome is INCONCLUSIVE.
    """

    planned: str
    target: str
    scenario: str
    expectation: Expectation
    outcome: Outcome
    gates: tuple[Gate, ...]
    cause: str
    sightings: tuple[Sighting, ...] = ()
    inconclusive: Inconclusive | None = None
    proof: str | None = None
    detonation: Detonation | None = None
    probed: Probed | None = None

    @property
    def time_to_detect(self) -> timedelta | None:
        """From the start of the detonation to the first counted alert; None without one."""
        times = [s.time_to_detect for s in self.sightings if s.basis is not Basis.AMBIGUOUS]
        return min(times) if times else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """An expectation without a verdict, as it stands. Times are our clock's.

    `gate` is the one that it has not passed yet; where it should not fire, that means nothing. `started_at` is None where its step
    is not over. From `deadline` on nothing is waited for.
    """

    planned: str
    target: str
    rule: str
    fires: bool
    gate: GateKind
    started_at: datetime | None = None
    deadline: datetime | None = None


class CoverageStatus(StrEnum):
    """What a whole run says of one rule."""

    VALIDATED = "VALIDATED"
    PARTIAL = "PARTIAL"
    FAILING = "FAILING"
    INCONCLUSIVE = "INCONCLUSIVE"
    UNTESTED = "UNTESTED"


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleCoverage:
    """One rule over the run. `outcomes` counts its verdicts; `reason` says why it is UNTESTED or what fails."""

    rule: str
    title: str
    status: CoverageStatus
    outcomes: dict[Outcome, int]
    fastest: timedelta | None
    slowest: timedelta | None
    reason: str = ""
