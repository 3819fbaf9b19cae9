"""What a sweep's judging takes, with 500 expectations open and hosts that log much else: how it grows with what was seen before.

    python -m tests.bench.bench_ledger

Every run judges the same sessions; between them lies how many events of others the host had sent before. Ratios within one run count: the
machine may be busy.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Iterator
from datetime import timedelta

from harness.core.ledger import Ledger
from harness.model.facts import Event, Observed
from harness.model.intent import Expectation, Plan
from harness.model.tree import Op, Test
from tests.builders import SECURITY, T0, RemoteSession, event, facts, planned, rule, status

OPEN = 500
SWEEPS = 20
NEW = 50
"""Events that each sweep brings."""

RULES = {
    f"r{number}": rule(f"r{number}", SECURITY, 4688, Test(field="NewProcessName", op=Op.EQUALS, value=str(number))) for number in range(10)
}


def sessions() -> Iterator[RemoteSession]:
    for number in range(OPEN // len(RULES)):
        yield RemoteSession(
            tag=f"s{number}", port=40000 + number, pid=4000 + 16 * number, logon=0xA000 + number, start=2.0 * number, end=2.0 * number + 1
        )


def noise(number: int, seconds: float) -> Observed:
    one: Event = event(f"n{number}", SECURITY, 4689, seconds, {"ProcessId": hex(100_000 + number), "SubjectUserName": "somebody"})
    return Observed(event=one, searchable_at=one.time + timedelta(seconds=0.3))


def sweep_times(seen_before: int) -> list[float]:
    """Seconds of each sweep, entered and settled."""
    ours = list(sessions())
    steps = [planned(f"{each.tag}/1@ws1", *(Expectation(rule=name) for name in RULES)) for each in ours]
    end = ours[-1].end
    ledger = Ledger(
        Plan(steps=tuple(steps), unexercisable={}),
        RULES,
        status(*RULES, interval=3600.0),
        started_at=T0,
        siem_offset=timedelta(0),
        grace=timedelta(seconds=1),
    )
    for session, step in zip(ours, steps, strict=True):
        ledger.detonated(session.detonation(step))
    told = [Observed(event=one, searchable_at=one.time + timedelta(seconds=0.3)) for each in ours for one in each.telemetry()]
    ledger.saw(facts(*told, *(noise(number, end * number / seen_before) for number in range(seen_before)), now=end + 1))
    ledger.settle()
    times = []
    for number in range(SWEEPS):
        fresh = [noise(seen_before + NEW * number + each, end + number + each / NEW) for each in range(NEW)]
        begun = time.perf_counter()
        ledger.saw(facts(*fresh, now=end + 1 + number))
        assert not ledger.settle()
        times.append(time.perf_counter() - begun)
    assert ledger.open == OPEN
    return times


def main() -> None:
    first = 0.0
    for seen_before in (1_000, 10_000, 40_000):
        took = statistics.median(sweep_times(seen_before))
        first = first or took
        times = f"{1000 * took:7.2f} ms a sweep of {NEW} events, {took / first:5.1f} times the first"
        sys.stdout.write(f"{OPEN} open, {seen_before:6} events before: {times}\n")


if __name__ == "__main__":
    main()
