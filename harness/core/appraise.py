"""A finished run held against the runs before it: the baseline, the trend, and the objectives. It must never know where these are kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta

from harness.core.changes import Times, changes
from harness.core.cover import GAPS
from harness.core.record import remembered
from harness.core.standing import exit_code, line_of
from harness.core.trend import percentile
from harness.model.changes import Breach, Comparison, Line, Trends
from harness.model.report import Report, RunRecord
from harness.model.verdicts import Outcome


def compared(report: Report, baseline: RunRecord | None, missing: str, times: Times | None) -> Comparison:
    """The run against its baseline; `missing` says why there is none."""
    if baseline is None:
        return Comparison(baseline="", missing=missing)
    return Comparison(
        baseline=baseline.run_id,
        baseline_at=baseline.finished_at,
        known=tuple(verdict.line for verdict in baseline.verdicts if verdict.outcome in GAPS),
        changes=changes(baseline, remembered(report), times),
    )


def appraised(report: Report, *, fail_on: Sequence[str], comparison: Comparison | None, trends: Trends | None) -> Report:
    """The report with what the runs before it say, and the exit code that follows from all of it."""
    found = breaches(report, trends)
    code = exit_code(
        report.verdicts,
        interrupted=report.interrupted,
        day=report.started_at.date(),
        fail_on=fail_on,
        comparison=comparison,
        breaches=found,
    )
    return replace(report, fail_on=tuple(fail_on), comparison=comparison, trends=trends, breaches=found, exit_code=code)


def breaches(report: Report, trends: Trends | None) -> tuple[Breach, ...]:
    """The objectives that were not kept: those of each detection by this run's, percentiles by the rule's over the last runs."""
    times: dict[Line, tuple[timedelta | None, ...]] = {trend.line: trend.took for trend in trends.lines} if trends is not None else {}
    return tuple(_breaches(report, times))


def _breaches(report: Report, times: dict[Line, tuple[timedelta | None, ...]]) -> Iterator[Breach]:
    told: set[tuple[str, timedelta]] = set()
    for verdict in report.verdicts:
        objective, took, rule = verdict.expectation.objective, verdict.time_to_detect, verdict.expectation.rule
        if objective is None or verdict.outcome not in (Outcome.DETECTED, Outcome.LATE) or took is None:
            continue
        if not objective.p95:
            if took > objective.within:
                yield Breach(rule=rule, planned=verdict.planned, objective=objective.within, measured=took, p95=False, runs=1)
            continue
        if (rule, objective.within) in told:
            continue
        told.add((rule, objective.within))
        alike = [
            each
            for each in report.verdicts
            if each.expectation.rule == rule and each.expectation.objective == objective and each.expectation.fires
        ]
        over = [times.get(line_of(each), (each.time_to_detect,)) for each in alike]
        measured = percentile([time for found in over for time in found if time is not None], 0.95)
        if measured is not None and measured > objective.within:
            runs = max(sum(time is not None for time in found) for found in over)
            yield Breach(rule=rule, planned=verdict.planned, objective=objective.within, measured=measured, p95=True, runs=runs)
