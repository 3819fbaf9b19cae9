"""Did a detection get slower? Told from its times over several runs, since a rule's schedule alone moves any single one.

With five runs or more on either side it is a one-sided Mann-Whitney test (Mann and Whitney 1947, with the correction for ties), which asks
nothing of how times are distributed; below that, the distance from the earlier median in units of the median absolute deviation; with
fewer than three earlier runs there is but the difference. Whatever is found must also be large enough for people to care. It must
never know where the times came from.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from math import erfc, sqrt
from statistics import median

LEAST = timedelta(seconds=2)
TIMES = 1.5
"""A detection is slower where it takes this much longer and this many times as long: a SIEM's schedule alone moves it by less."""

_ENOUGH = 5
_FEW = 3
_LEVEL = 0.01
_FAR = 3.0
# Of a normal distribution the median absolute deviation is this part of its standard deviation.
_MAD_SHARE = 0.6745


def slower(earlier: Sequence[timedelta], later: Sequence[timedelta]) -> str:
    """Why the later times are held to be slower, in words; empty where they are not. Each sequence with its last run last."""
    if not earlier or not later:
        return ""
    old, new = [[time.total_seconds() for time in times] for times in (earlier, later)]
    was, is_now = median(old), median(new)
    if is_now - was < LEAST.total_seconds() or is_now < was * TIMES:
        return ""
    if min(len(old), len(new)) >= _ENOUGH:
        chance = chance_of(old, new)
        told = f"such a difference has a chance of {max(chance, 0.0001):.4f} if nothing moved (Mann-Whitney)"
        return "" if chance >= _LEVEL else f"{_side('before', old)}; {_side('now', new)}; {told}"
    if len(old) >= _FEW:
        deviation = median(abs(time - was) for time in old)
        far = (is_now - was) * _MAD_SHARE / deviation if deviation else float("inf")
        return "" if far < _FAR else f"{_side('before', old)}; {_side('now', new)}"
    return f"{_side('before', old)}; {_side('now', new)}; too few runs to tell it from chance"


def chance_of(old: Sequence[float], new: Sequence[float]) -> float:
    """The chance that `new` is this much larger than `old` where both are of one distribution: one-sided, by the normal approximation."""
    pooled = sorted([*old, *new])
    count = len(pooled)
    ranks: dict[float, float] = {}
    place = 1
    ties = Counter(pooled)
    for value in sorted(ties):
        ranks[value] = place + (ties[value] - 1) / 2
        place += ties[value]
    above = sum(ranks[value] for value in new) - len(new) * (len(new) + 1) / 2
    mean = len(old) * len(new) / 2
    tied = sum(number**3 - number for number in ties.values()) / (count * (count - 1))
    spread = sqrt(len(old) * len(new) / 12 * (count + 1 - tied))
    if not spread:
        return 1.0
    return erfc((above - mean - 0.5) / spread / sqrt(2)) / 2


def _side(name: str, times: Sequence[float]) -> str:
    if len(times) == 1:
        return f"{name} {times[0]:.2f} s"
    return f"{name} a median of {median(times):.2f} s over {len(times)} runs ({min(times):.2f} to {max(times):.2f} s)"
