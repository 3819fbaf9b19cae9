"""Events per second of the rule engine, beside a loop that asks every rule about every event, in one run on one machine.

Run: python tests/bench/bench_detect.py. Needs the shared recordings; the ratios are what counts, the rates are this machine's.
"""

from __future__ import annotations

import sys
import time
import zipfile
from collections.abc import Callable, Iterable, Sequence

from harness.detect import Detector
from harness.errors import UsageError
from harness.events.read import read_events
from harness.logic.match import matcher
from harness.model.facts import Event
from harness.model.intent import Rule
from harness.rules.catalog import load_rules
from harness.rules.sigma import SigmaRules
from tests.needs import DATA, ROOT

NAIVE_EVENTS = 200  # the naive loop over thousands of rules takes a sample, or it would take minutes


def main() -> int:
    if not DATA.is_dir():
        sys.stdout.write(f"skipped: the shared recordings are not at {DATA}\n")
        return 0
    recordings = ("empire_psremoting_stager.zip", "covenant_psremoting_command.zip")
    events = [event for name in recordings for event in read_events(DATA / "otrf" / name)]
    report("the lab's rules", load_rules([ROOT / "lab" / "rules"], [SigmaRules()]), events)
    report("SigmaHQ's Windows rules", upstream(), events)
    return 0


def upstream() -> Sequence[Rule]:
    rules: list[Rule] = []
    refused = 0
    started = time.perf_counter()
    with zipfile.ZipFile(DATA / "sigma" / "rules-windows.zip") as archive:
        for name in archive.namelist():
            if name.startswith("rules/") and name.endswith(".yml"):
                try:
                    rules.extend(SigmaRules().parse(archive.read(name).decode(), name))
                except UsageError:
                    refused += 1
    sys.stdout.write(f"parsed {len(rules)} rules in {time.perf_counter() - started:.1f} s, {refused} are not evaluable\n")
    return rules


def report(title: str, rules: Sequence[Rule], events: Sequence[Event]) -> None:
    detector, matchers = Detector(rules), [(rule, matcher(rule.logic)) for rule in rules]
    sample = events[:: max(1, len(events) // NAIVE_EVENTS)]
    indexed, found = rate(detector.matches, events)
    naive, _ = rate(lambda event: (rule for rule, matches in matchers if matches(event)), sample)
    sys.stdout.write(
        f"{title}: {len(rules)} rules, {len(events)} events, {found} matches: {indexed:,.0f} events/s, "
        f"every rule asked {naive:,.0f} events/s, ratio {indexed / naive:.1f}\n"
    )


def rate(matches: Callable[[Event], Iterable[Rule]], events: Sequence[Event]) -> tuple[float, int]:
    started = time.perf_counter()
    found = sum(sum(1 for _ in matches(event)) for event in events)
    return len(events) / (time.perf_counter() - started), found


if __name__ == "__main__":
    raise SystemExit(main())
