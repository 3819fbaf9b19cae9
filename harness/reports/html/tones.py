"""What tone a verdict has on the page: a colour and a mark, never one without the other. It must never know markup."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from harness.model.verdicts import CoverageStatus, Outcome, Verdict

TONE: Mapping[Outcome, str] = {
    Outcome.DETECTED: "good",
    Outcome.QUIET: "good",
    Outcome.GAP_CLOSED: "info",
    Outcome.KNOWN_GAP: "info",
    Outcome.NOT_EXERCISABLE: "none",
    Outcome.LATE: "warn",
    Outcome.MISGRADED: "warn",
    Outcome.MISSED: "bad",
    Outcome.BLIND: "bad",
    Outcome.NOISY: "bad",
    Outcome.INCONCLUSIVE: "open",
}
STATUS_TONE: Mapping[CoverageStatus, str] = {
    CoverageStatus.VALIDATED: "good",
    CoverageStatus.PARTIAL: "warn",
    CoverageStatus.FAILING: "bad",
    CoverageStatus.INCONCLUSIVE: "open",
    CoverageStatus.UNTESTED: "none",
}
GRAVITY = ("bad", "warn", "open", "info", "good", "none")
"""Of several verdicts the first of these gives the tone."""
MARK = {"bad": "✗", "warn": "!", "open": "?", "info": "○", "good": "✓", "none": "–"}


def gravest(verdicts: Iterable[Verdict]) -> str:
    """The tone of several verdicts."""
    return min((TONE[verdict.outcome] for verdict in verdicts), key=GRAVITY.index)
