"""What the last runs said of a step: the newest verdict on a rule, for each target. Of reports that were read elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from harness.model.report import Report
from harness.model.verdicts import Outcome, Verdict

_BLIND = (Outcome.KNOWN_GAP, Outcome.QUIET, Outcome.MISSED, Outcome.BLIND)
_SEEN = (Outcome.GAP_CLOSED, Outcome.NOISY, Outcome.DETECTED, Outcome.LATE, Outcome.MISGRADED)


@dataclass(frozen=True, slots=True, kw_only=True)
class LastVerdict:
    """A verdict, and the run that came to it. `at` is when that run ended, by our clock."""

    verdict: Verdict
    run_id: str
    at: datetime


def latest(reports: Sequence[Report], scenario: str, number: int, rule: str) -> tuple[LastVerdict, ...]:
    """The newest verdict on the rule at the scenario's step of this number (from 1), for each target that had one, by its name."""
    newest: dict[str, LastVerdict] = {}
    for report in sorted(reports, key=lambda report: report.finished_at):
        for verdict in report.verdicts:
            if verdict.expectation.rule == rule and verdict.planned == f"{scenario}/{number}@{verdict.target}":
                newest[verdict.target] = LastVerdict(verdict=verdict, run_id=report.run_id, at=report.finished_at)
    return tuple(newest[target] for target in sorted(newest))


def is_blind(outcome: Outcome) -> bool | None:
    """Whether the rule was shown to see nothing (true) or to see something (false); None where neither was shown."""
    return True if outcome in _BLIND else False if outcome in _SEEN else None
