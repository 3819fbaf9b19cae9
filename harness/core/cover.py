"""Coverage: what the verdicts of a run say of each rule."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from harness.model.verdicts import CoverageStatus, Outcome, RuleCoverage, Verdict

GAPS = frozenset({Outcome.MISSED, Outcome.BLIND, Outcome.LATE, Outcome.MISGRADED, Outcome.NOISY})
MET = frozenset({Outcome.DETECTED, Outcome.QUIET, Outcome.GAP_CLOSED})
UNMET = GAPS | {Outcome.KNOWN_GAP}
"""Of an expectation. What is in neither was not judged."""


def cover(verdicts: Sequence[Verdict], titles: Mapping[str, str]) -> tuple[RuleCoverage, ...]:
    """One row for every rule that was loaded or expected, by title. `titles` are those of the loaded rules, by id."""
    by_rule: dict[str, list[Verdict]] = {rule: [] for rule in titles}
    for verdict in verdicts:
        by_rule.setdefault(verdict.expectation.rule, []).append(verdict)
    rows = (_row(rule, titles.get(rule, rule), found) for rule, found in by_rule.items())
    return tuple(sorted(rows, key=lambda row: (row.title.lower(), row.rule)))


def _row(rule: str, title: str, verdicts: Sequence[Verdict]) -> RuleCoverage:
    outcomes = Counter(verdict.outcome for verdict in verdicts)
    times = [time for verdict in verdicts if (time := verdict.time_to_detect) is not None and verdict.outcome is not Outcome.NOISY]
    status = _status(outcomes)
    return RuleCoverage(
        rule=rule,
        title=title,
        status=status,
        outcomes={outcome: outcomes[outcome] for outcome in Outcome if outcomes[outcome]},
        fastest=min(times, default=None),
        slowest=max(times, default=None),
        reason=_reason(status, verdicts),
    )


def _status(outcomes: Mapping[Outcome, int]) -> CoverageStatus:
    detected = Outcome.DETECTED in outcomes
    gaps = any(outcome in GAPS for outcome in outcomes)
    if detected:
        return CoverageStatus.PARTIAL if gaps else CoverageStatus.VALIDATED
    if gaps:
        return CoverageStatus.FAILING
    return CoverageStatus.INCONCLUSIVE if Outcome.INCONCLUSIVE in outcomes else CoverageStatus.UNTESTED


def _reason(status: CoverageStatus, verdicts: Sequence[Verdict]) -> str:
    """The first cause that made the status what it is; nothing where all is well."""
    if status is CoverageStatus.VALIDATED:
        return ""
    if not verdicts:
        return "no expectation names it"
    telling = {
        CoverageStatus.INCONCLUSIVE: frozenset({Outcome.INCONCLUSIVE}),
        CoverageStatus.UNTESTED: frozenset({Outcome.KNOWN_GAP, Outcome.GAP_CLOSED, Outcome.NOT_EXERCISABLE}),
    }.get(status, GAPS)
    causes = [verdict.cause for verdict in verdicts if verdict.outcome in telling]
    return causes[0] if causes else "it was only asked to stay quiet"
