"""With which code a run ends: which unmet expectations count, given what people said of them and what an earlier run had.

What a run fails on is a set of words: `gap` (any gap), `new` (gaps that the baseline had not; without a baseline all), the name of a gap's
outcome, `inconclusive`, `objective` (a latency objective that was not kept), or `never`. A gap under quarantine counts for none of them
until its day is over, and then for `gap` and `new` alike, whatever the baseline had. It must never know where a baseline comes from.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import date

from harness.core.cover import GAPS
from harness.model.changes import Breach, Comparison, GapStanding, Line
from harness.model.report import Report
from harness.model.verdicts import Outcome, Verdict

GAP, NEW, INCONCLUSIVE, OBJECTIVE, NEVER = "gap", "new", "inconclusive", "objective", "never"
OUTCOMES = {outcome.value.lower(): outcome for outcome in Outcome if outcome in GAPS}
FAIL_ON = (GAP, NEW, *OUTCOMES, INCONCLUSIVE, OBJECTIVE, NEVER)
"""Every word that says what a run fails on."""


def line_of(verdict: Verdict) -> Line:
    """What its expectation is known by from run to run."""
    return verdict.planned, verdict.expectation.rule, verdict.expectation.fires


def standing(verdict: Verdict, day: date, comparison: Comparison | None) -> GapStanding | None:
    """How a gap stands on that day; None for what is no gap, and where nothing is known of it beside the verdict."""
    if verdict.outcome not in GAPS:
        return None
    quarantine = verdict.expectation.quarantine
    if quarantine is not None:
        return GapStanding.QUARANTINED if day <= quarantine.until else GapStanding.EXPIRED
    if comparison is None or not comparison.baseline:
        return None
    return GapStanding.KNOWN if line_of(verdict) in comparison.known else GapStanding.NEW


def standing_in(report: Report, verdict: Verdict) -> GapStanding | None:
    """The same of a verdict of this report, on the day (UTC) that the run began."""
    return standing(verdict, report.started_at.date(), report.comparison)


def fails(verdict: Verdict, fail_on: Collection[str], day: date, comparison: Comparison | None) -> bool:
    """Whether this verdict alone makes the run fail."""
    if verdict.outcome is Outcome.INCONCLUSIVE:
        return INCONCLUSIVE in fail_on
    if verdict.outcome not in GAPS:
        return False
    stands = standing(verdict, day, comparison)
    if stands is GapStanding.QUARANTINED:
        return False
    return GAP in fail_on or verdict.outcome.value.lower() in fail_on or (NEW in fail_on and stands is not GapStanding.KNOWN)


def fails_in(report: Report, verdict: Verdict) -> bool:
    """The same of a verdict of this report, by what its run fails on."""
    return fails(verdict, report.fail_on, report.started_at.date(), report.comparison)


def exit_code(
    verdicts: Iterable[Verdict],
    *,
    interrupted: bool,
    day: date,
    whole: bool = True,
    fail_on: Collection[str] = (GAP,),
    comparison: Comparison | None = None,
    breaches: Collection[Breach] = (),
) -> int:
    """130 interrupted, 5 nothing exercisable, 1 what the run fails on, 3 inconclusive, else 0: the first that applies.

    Of a part of a plan, not `whole`, nothing need be exercisable.

    2 and 4 are refusals and never come from a run that was made.
    """
    found = list(verdicts)
    if interrupted:
        return 130
    if whole and found and all(verdict.outcome is Outcome.NOT_EXERCISABLE for verdict in found):
        return 5
    if any(fails(verdict, fail_on, day, comparison) for verdict in found) or (OBJECTIVE in fail_on and breaches):
        return 1
    return 3 if any(verdict.outcome is Outcome.INCONCLUSIVE for verdict in found) else 0
