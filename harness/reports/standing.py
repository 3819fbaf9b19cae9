"""What reports say alike of a run held against earlier ones: its baseline, quarantines, objectives, flaky expectations.

Lines of foreign text, not yet inert. It must never know a format.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from harness.core.cover import GAPS
from harness.core.standing import standing_in
from harness.model.changes import Breach, Change, ChangeKind, GapStanding, Trend
from harness.model.report import Report
from harness.model.verdicts import Verdict
from harness.reports.words import EXIT_MEANING, count_of, grouped, listed, named, seconds


def note(report: Report, verdict: Verdict) -> str:
    """How a gap stands, in a few words; empty where there is nothing to say."""
    stands = standing_in(report, verdict)
    quarantine = verdict.expectation.quarantine
    if quarantine is not None and stands in (GapStanding.QUARANTINED, GapStanding.EXPIRED):
        ran_out = stands is GapStanding.EXPIRED
        return f"{'quarantine expired on' if ran_out else 'quarantined until'} {quarantine.until}: {quarantine.reason}"
    if stands is None or report.comparison is None:
        return ""
    baseline = report.comparison.baseline
    return f"new since {baseline}" if stands is GapStanding.NEW else f"known: {baseline} had it"


def meaning(report: Report) -> str:
    """What the run's exit code says of it."""
    if report.exit_code == 0 and any(verdict.outcome in GAPS for verdict in report.verdicts):
        return "no gap that counts"
    return EXIT_MEANING.get(report.exit_code, "")


def against(report: Report) -> str:
    """What the run was held against, and what came of it; empty where nothing was asked."""
    comparison = report.comparison
    if comparison is None:
        return ""
    if not comparison.baseline:
        return f"No baseline: {comparison.missing}"
    stands = [found for verdict in report.verdicts if (found := standing_in(report, verdict)) is not None]
    counts = [f"{stands.count(kind)} {kind.value}" for kind in GapStanding if kind in stands]
    counts += [f"{len(alike)} {kind.value}" for kind, alike in grouped(told(report), lambda change: change.kind) if kind in _BESIDE]
    when = f" of {comparison.baseline_at:%Y-%m-%d %H:%M} UTC" if comparison.baseline_at is not None else ""
    return f"Against {comparison.baseline}{when}: {', '.join(counts) or 'nothing new'}"


_BESIDE = (ChangeKind.MENDED, ChangeKind.SLOWER)


def told(report: Report) -> Sequence[Change]:
    """The changes that people should read."""
    changes = report.comparison.changes if report.comparison is not None else ()
    return [change for change in changes if change.kind not in (ChangeKind.NEW, ChangeKind.GONE)]


def quarantined(report: Report, titles: Mapping[str, str]) -> Iterator[str]:
    """Every gap that does not count, or counts again, for a quarantine's sake: a line a rule and reason."""
    wanted = (GapStanding.QUARANTINED, GapStanding.EXPIRED)
    found = [verdict for verdict in report.verdicts if standing_in(report, verdict) in wanted]
    for (rule, outcome, said), alike in grouped(found, lambda each: (each.expectation.rule, each.outcome, note(report, each))):
        yield f"{said}: {outcome.value} {named(rule, titles)}, {listed([verdict.planned for verdict in alike])}"


def breached(breaches: Sequence[Breach], titles: Mapping[str, str]) -> Iterator[str]:
    """Every objective that was not kept."""
    for breach in breaches:
        how = f"95 % within, over {count_of(breach.runs, 'run')}" if breach.p95 else f"at {breach.planned}"
        yield f"{named(breach.rule, titles)}: {seconds(breach.measured)}, the objective is {seconds(breach.objective)} ({how})"


def flaky(report: Report, titles: Mapping[str, str]) -> Iterator[str]:
    """Every expectation that goes both ways with no known cause."""
    found: Sequence[Trend] = report.trends.lines if report.trends is not None else ()
    own = {(verdict.planned, verdict.expectation.rule, verdict.expectation.fires) for verdict in report.verdicts}
    for trend in found:
        if trend.flaky and trend.line in own:
            runs = count_of(sum(outcome is not None for outcome in trend.outcomes), "run")
            yield f"{named(trend.rule, titles)} at {trend.planned}: turned {trend.turns} times with no known cause, of {runs}"
