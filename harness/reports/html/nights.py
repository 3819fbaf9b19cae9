"""What the page shows of the runs before: each night as a column of outcomes, and every expectation's way through them.

It must never know markup, nor decide what a trend is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from itertools import groupby
from statistics import median

from harness.core.cover import GAPS
from harness.model.changes import Trend, Trends
from harness.model.verdicts import Outcome
from harness.reports.html.chart import Point, share
from harness.reports.html.tones import GRAVITY, TONE
from harness.reports.words import count_of, named, seconds

_MOST_MOVING = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One tone's part of a night's column, in per cent of the whole picture."""

    tone: str
    at: float
    top: float
    width: float
    height: float
    said: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """The median time to detect of a night, and from where its line comes: per cent from the left and from the top."""

    at: float
    top: float
    before: tuple[float, float] | None
    said: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TrendRow:
    """An expectation over runs: `marks` are its outcomes; `said` counts them, for those who do not see the marks."""

    name: str
    marks: tuple[Point, ...]
    said: str
    p50: str
    p95: str
    flaky: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Nights:
    """The runs before, and this one. `moving` are the first expectations worth a look, `more` how many follow; `steady` all others."""

    said: str
    first: str
    last: str
    blocks: tuple[Block, ...]
    stops: tuple[Stop, ...]
    slowest: str
    pictured: str
    moving: tuple[TrendRow, ...]
    more: int
    steady: tuple[TrendRow, ...]


def nights_of(trends: Trends | None, titles: Mapping[str, str]) -> Nights | None:
    """What there is to show; None without an earlier run."""
    if trends is None or not trends.lines:
        return None
    moving: list[TrendRow] = []
    steady: list[TrendRow] = []
    for trend in trends.lines:
        (moving if _is_moving(trend) else steady).append(_row(trend, titles))
    stops, slowest = _stops(trends)
    blocks = tuple(_blocks(trends))
    newest = [block.said for block in blocks if block.at >= 100 - 1.5 * block.width] if blocks else []
    return Nights(
        said=f"{count_of(len(trends.runs), 'run')}, {trends.ended[0]:%Y-%m-%d %H:%M} to {trends.ended[-1]:%Y-%m-%d %H:%M} UTC",
        first=f"{trends.ended[0]:%Y-%m-%d}",
        last=f"{trends.ended[-1]:%Y-%m-%d}",
        blocks=blocks,
        stops=stops,
        slowest=seconds(slowest) if slowest is not None else "",
        pictured=f"Outcomes of {count_of(len(trends.runs), 'run')}; the newest: {', '.join(newest)}.",
        moving=tuple(moving[:_MOST_MOVING]),
        more=max(0, len(moving) - _MOST_MOVING),
        steady=tuple(steady),
    )


def _is_moving(trend: Trend) -> bool:
    judged = [outcome for outcome in trend.outcomes if outcome is not None]
    return trend.flaky or len(set(judged)) > 1 or (bool(judged) and judged[-1] in (*GAPS, Outcome.INCONCLUSIVE))


def _blocks(trends: Trends) -> Iterator[Block]:
    """A column a run, the gravest at its foot, where the eye compares best."""
    count = len(trends.runs)
    most = max(sum(line.outcomes[place] is not None for line in trends.lines) for place in range(count)) or 1
    for place in range(count):
        counts = Counter(TONE[outcome] for line in trends.lines if (outcome := line.outcomes[place]) is not None)
        outcomes = Counter(outcome for line in trends.lines if (outcome := line.outcomes[place]) is not None)
        foot = 100.0
        for tone in GRAVITY:
            if not counts[tone]:
                continue
            height = 100 * counts[tone] / most
            foot -= height
            said = ", ".join(f"{number} {outcome.value}" for outcome, number in outcomes.items() if TONE[outcome] == tone)
            yield Block(
                tone=tone,
                at=round(100 * place / count, 2),
                top=round(foot, 2),
                width=round(90 / count, 2),
                height=round(height, 2),
                said=f"{trends.runs[place]}: {said}",
            )


def _stops(trends: Trends) -> tuple[tuple[Stop, ...], timedelta | None]:
    """The median time to detect of each run, and the longest of them, which is the picture's height."""
    count = len(trends.runs)
    middles: list[timedelta | None] = []
    for place in range(count):
        times = [time.total_seconds() for line in trends.lines if line.fires and (time := line.took[place]) is not None]
        middles.append(timedelta(seconds=median(times)) if times else None)
    slowest = max((middle for middle in middles if middle is not None), default=None)
    if slowest is None or not slowest:
        return (), None
    made: list[Stop] = []
    for place, middle in enumerate(middles):
        if middle is None:
            continue
        at, top = round(100 * (place + 0.45) / count, 2), round(100 - 0.9 * share(middle, slowest), 2)
        before = (made[-1].at, made[-1].top) if made else None
        made.append(Stop(at=at, top=top, before=before, said=f"{trends.runs[place]}: median {seconds(middle)}"))
    return tuple(made), slowest


def _row(trend: Trend, titles: Mapping[str, str]) -> TrendRow:
    """One expectation: a mark for as many runs as ended alike, the newest last."""
    count = len(trend.outcomes)
    marks = []
    for outcome, places in groupby(range(count), key=lambda place: trend.outcomes[place]):
        alike = list(places)
        if outcome is not None:
            said = outcome.value if len(alike) == 1 else f"{len(alike)} x {outcome.value}"
            width = round(100 * len(alike) / count, 2)
            marks.append(Point(at=round(100 * alike[0] / count, 2), width=width, tone=TONE[outcome], said=said))
    tally = Counter(outcome.value for outcome in trend.outcomes if outcome is not None)
    return TrendRow(
        name=f"{named(trend.rule, titles)} at {trend.planned}" + ("" if trend.fires else " (stays quiet)"),
        marks=tuple(marks),
        said=", ".join(f"{number} {outcome}" for outcome, number in tally.items()),
        p50=seconds(trend.p50) if trend.p50 is not None else "",
        p95=seconds(trend.p95) if trend.p95 is not None else "",
        flaky=trend.flaky,
    )
