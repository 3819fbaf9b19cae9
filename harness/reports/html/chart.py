"""Pictures as plain values: lanes of moments over an axis of time, all places in per cent. It must never know markup."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

_MOST_TICKS = 6
# Steps that people count in, in seconds.
_STEPS = (
    *(base * 10.0**power for power in (-3, -2, -1, 0) for base in (1, 2, 5)),
    *(10, 20, 30),
    *(60 * minutes for minutes in (1, 2, 5, 10, 20, 30, 60, 120, 360)),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A moment of a lane, or a span where `width` is not 0: per cent of the lane's length. `said` is its time in words."""

    at: float
    width: float
    tone: str
    said: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """One kind of moments, from the left as time goes. `middle` is where half of them lie on either side; None where that says nothing."""

    name: str
    points: tuple[Point, ...]
    middle: float | None = None
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """A line across the lanes. `anchor` is which end of its text stands there, in SVG's words."""

    at: float
    said: str
    anchor: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """Lanes over one axis. `said` is what the picture shows, for those who do not see it."""

    lanes: tuple[Lane, ...]
    ticks: tuple[Tick, ...]
    said: str


def share(time: timedelta, length: timedelta) -> float:
    """Where a time stands on an axis of this length, in per cent and never beside it."""
    return round(min(max(100 * (time / length), 0.0), 100.0), 2)


def ticks(length: timedelta) -> tuple[Tick, ...]:
    """Round times from nothing to the axis' end, some of them, however long it is."""
    total = length.total_seconds()
    step = next((step for step in _STEPS if total / step < _MOST_TICKS), total)
    made = []
    for number in range(int(total / step + 1e-9) + 1):
        at = round(100 * number * step / total, 2)
        made.append(Tick(at=at, said=_said(number * step), anchor="start" if at < 4 else "end" if at > 92 else "middle"))
    return tuple(made)


def _said(time: float) -> str:
    if time >= 120 and time % 60 == 0:
        return f"{time / 60:g} min"
    return f"{round(time, 3):g} s"
