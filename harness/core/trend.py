"""Expectations over many runs: how they fared, how long detections took, and which of them go both ways with no cause.

It must never know where runs are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from harness.core.cover import MET, UNMET
from harness.model.changes import Flaky, Line, Trend, Trends
from harness.model.verdicts import Outcome

Series = tuple[Sequence[Outcome | None], Sequence[timedelta | None]]
"""An expectation's outcomes and its times to detect, one of each a run; None where a run did not have it."""

Explained = Callable[[int, int, Line], bool]
"""Whether a cause is known of what an expectation became from one run's place to another's."""


def trends(ids: Sequence[str], ended: Sequence[datetime], seen: Mapping[Line, Series], flaky: Flaky, explained: Explained) -> Trends:
    """The trend of every expectation: flaky ones first, then those that were unmet when last judged, then by name."""
    lines = [_trend(line, found, flaky, explained) for line, found in seen.items()]
    lines.sort(key=lambda trend: (not trend.flaky, _last_side(trend) is not False, trend.line))
    return Trends(runs=tuple(ids), ended=tuple(ended), lines=tuple(lines))


def side(outcome: Outcome | None) -> bool | None:
    """Whether an expectation was met (true) or not (false); None where it was not judged."""
    return True if outcome in MET else False if outcome in UNMET else None


def percentile(times: Sequence[timedelta], share: float) -> timedelta | None:
    """The nearest-rank percentile of some times; None of none."""
    ordered = sorted(times)
    return ordered[max(0, -(-len(ordered) * int(share * 100) // 100) - 1)] if ordered else None


def _last_side(trend: Trend) -> bool | None:
    return next((known for outcome in reversed(trend.outcomes) if (known := side(outcome)) is not None), None)


def _trend(line: Line, seen: Series, flaky: Flaky, explained: Explained) -> Trend:
    planned, rule, fires = line
    outcomes, took = seen
    # Sorted once: what is in order already is sorted again in one pass.
    times = sorted(time for time in took if time is not None) if fires else []
    turned = list(_turns(outcomes, len(outcomes) - flaky.runs))
    # Causes are dear to look for: only where there are turns enough.
    turns = sum(not explained(one, other, line) for one, other in turned) if len(turned) >= flaky.turns else len(turned)
    return Trend(
        planned=planned,
        rule=rule,
        fires=fires,
        outcomes=tuple(outcomes),
        took=tuple(took),
        p50=percentile(times, 0.5),
        p95=percentile(times, 0.95),
        turns=turns,
        flaky=turns >= flaky.turns,
    )


def _turns(outcomes: Sequence[Outcome | None], since: int) -> Iterator[tuple[int, int]]:
    """The places between which it went from met to unmet or back, both from `since` on."""
    places = range(max(0, since), len(outcomes))
    judged = [(place, known) for place in places if (known := side(outcomes[place])) is not None]
    return ((one, other) for (one, was), (other, is_now) in pairwise(judged) if was is not is_now)


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleTrend:
    """A rule over runs: how many of its expectations were met and judged in each, its times, and which share of them is flaky."""

    rule: str
    expectations: int
    met: tuple[int, ...]
    judged: tuple[int, ...]
    p50: timedelta | None
    p95: timedelta | None
    flaky_rate: float


def by_rule(found: Trends) -> tuple[RuleTrend, ...]:
    """What trends come to by rule, in their order."""
    rules: dict[str, list[Trend]] = {}
    for trend in found.lines:
        rules.setdefault(trend.rule, []).append(trend)
    return tuple(_rule_trend(rule, lines, len(found.runs)) for rule, lines in rules.items())


def _rule_trend(rule: str, lines: Sequence[Trend], count: int) -> RuleTrend:
    sides = [[side(line.outcomes[place]) for line in lines] for place in range(count)]
    times = sorted(time for line in lines if line.fires for time in line.took if time is not None)
    return RuleTrend(
        rule=rule,
        expectations=len(lines),
        met=tuple(sum(known is True for known in each) for each in sides),
        judged=tuple(sum(known is not None for known in each) for each in sides),
        p50=percentile(times, 0.5),
        p95=percentile(times, 0.95),
        flaky_rate=round(sum(line.flaky for line in lines) / len(lines), 4),
    )
