"""The ladder of a verdict in words: its gates, when each was passed, and the evidence. Every text is inert."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from harness.model.verdicts import Gate, GateState, Probed, Verdict
from harness.reports.words import clock, inert, seconds

EVIDENCE_LINES = 4
_PROBED = {Probed.MATCHES: "its query matches", Probed.FINDS_NOTHING: "its query finds nothing", Probed.UNKNOWN: "no answer"}
GATE_WORD = {GateState.PASSED: "passed", GateState.FAILED: "FAILED", GateState.UNREACHED: "-"}


def gate_time(gate: Gate, started: datetime | None) -> str:
    """When the gate was passed, and how long after the start of the detonation; empty where it was not."""
    if gate.at is None:
        return ""
    return clock(gate.at) + (f" ({seconds(gate.at - started, sign=True)})" if started is not None else "")


def gate_evidence(gate: Gate) -> Iterator[str]:
    """The first lines of its evidence, and how many more there are."""
    yield from map(inert, gate.evidence[:EVIDENCE_LINES])
    if len(gate.evidence) > EVIDENCE_LINES:
        yield f"and {len(gate.evidence) - EVIDENCE_LINES} more"


def outcome_word(verdict: Verdict) -> str:
    """The outcome, and of an inconclusive one its kind, and what the query alone said of a rule that nothing runs."""
    if verdict.inconclusive is None:
        return verdict.outcome.value
    probed = f"; a probe: {_PROBED[verdict.probed]}" if verdict.probed is not None else ""
    return f"{verdict.outcome.value} ({verdict.inconclusive.value.replace('_', ' ')}{probed})"


def ladder(verdict: Verdict) -> Iterator[str]:
    """The verdict's cause and its gates, a line each; further lines of evidence are indented."""
    yield inert(verdict.cause)
    started = verdict.detonation.started_at if verdict.detonation is not None else None
    for gate in verdict.gates:
        head = f"{gate.kind.value.upper():<9}  {GATE_WORD[gate.state]:<6}"
        first, *rest = [gate_time(gate, started), *gate_evidence(gate)]
        if not first and rest:
            first = rest.pop(0)
        yield f"{head}  {first}".rstrip()
        yield from (f"{'':<19}{line}" for line in rest)
    if verdict.proof is not None and verdict.proof not in verdict.cause:
        yield f"proven by rule run {inert(verdict.proof)}"
