"""Matching, and the way from files to hits, against one SQL statement a rule over a table in memory; and that no match is lost.

python -m tests.bench.bench_detect

All of SigmaHQ's Windows rules over two recordings, in one process on one core; the processor's time is what counts, best of some rounds in
turns. Rules are made ready before (parsed and indexed here, said in SQL there). The ratios are what counts, the rates are this machine's.
"""

from __future__ import annotations

import sys
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TypeVar

from harness.detect import Detector
from harness.events.read import read_events
from harness.logic.match import View, compile_node
from harness.logic.needs import kinds, reads
from harness.model.facts import Event
from harness.model.intent import Rule
from harness.rules.cache import user_cache
from harness.rules.catalog import load_catalog
from harness.rules.sigma import SigmaRules
from tests.bench import sqlite_way
from tests.needs import DATA

ROUNDS = 3
RULES = DATA / "sigma" / "rules-windows.zip"
RECORDINGS = [DATA / "otrf" / "empire_psremoting_stager.zip", DATA / "otrf" / "covenant_psremoting_command.zip"]

T = TypeVar("T")


def timed(work: Callable[[], T]) -> tuple[float, T]:
    """The processor's seconds that it takes, and what comes of it."""
    started = time.process_time()
    result = work()
    return time.process_time() - started, result


def hits(detector: Detector, events: Sequence[Event]) -> Counter[str]:
    return Counter(rule.id for event in events for rule in detector.matches(event))


def from_files(detector: Detector) -> Counter[str]:
    return Counter(rule.id for path in RECORDINGS for event in read_events(path) for rule in detector.matches(event))


def main() -> int:
    if not DATA.is_dir():
        sys.stdout.write(f"skipped: the shared recordings are not at {DATA}\n")
        return 0
    rules = load_catalog([RULES], [SigmaRules()], user_cache()).rules
    with zipfile.ZipFile(RULES) as archive:
        texts = [archive.read(name).decode() for name in archive.namelist() if name.startswith("rules/") and name.endswith(".yml")]
    saying, said = timed(lambda: sqlite_way.statements(texts))
    ready, _ = timed(lambda: Detector(rules))
    sys.stdout.write(f"{len(rules)} rules made ready in {ready:.2f} s; {len(said)} said in SQL in {saying:.1f} s\n")

    events = [event for path in RECORDINGS for event in read_events(path)]
    rows = list(sqlite_way.read(RECORDINGS))
    assert len(rows) == len(events)
    database = sqlite_way.table(rows)
    times: dict[str, list[float]] = {}

    def note(name: str, work: Callable[[], T]) -> T:
        seconds, result = timed(work)
        times.setdefault(name, []).append(seconds)
        return result

    for _ in range(ROUNDS):
        detector = Detector(rules)
        ours = note("matching", lambda: hits(detector, events))  # noqa: B023 - called at once
        note("matching again", lambda: hits(detector, events))  # noqa: B023
        theirs = note("statements", lambda: sqlite_way.matches(database, said))
        detector = Detector(rules)
        note("file to hits", lambda: from_files(detector))  # noqa: B023
        note("file to rows", lambda: sqlite_way.matches(sqlite_way.table(sqlite_way.read(RECORDINGS)), said))
    best = {name: min(seconds) for name, seconds in times.items()}

    def line(what: str, mine: str, other: str, wanted: float) -> None:
        rates = f"{len(events) / best[mine]:,.0f} events/s, by SQL {len(events) / best[other]:,.0f} events/s"
        sys.stdout.write(f"{what}: {rates}, ratio {best[other] / best[mine]:.1f} (>= {wanted})\n")

    line("matching", "matching", "statements", 20)
    line("matching, every kind of event seen before", "matching again", "statements", 20)
    line("file to hits", "file to hits", "file to rows", 10)
    both = [rule for rule in ours.keys() | theirs.keys() if rule in said]
    same = sum(ours[rule] == theirs.get(rule, 0) for rule in both)
    sys.stdout.write(f"of {len(both)} rules that hit in either and can be said in SQL, {same} have the same number of hits\n")
    plain(rules, events, ours)
    return 0


def plain(rules: Sequence[Rule], events: Sequence[Event], found: Counter[str]) -> None:
    """What every rule says of every event of its kinds, without any index of literals: it must be the same."""
    asked = [(rule, kinds(rule.logic), compile_node(rule.logic)) for rule in rules]
    of_kind = {
        kind: [(rule, predicate) for rule, wanted, predicate in asked if reads(wanted, *kind)]
        for kind in {(event.channel, event.event_id) for event in events}
    }
    seconds, counted = timed(
        lambda: Counter(
            rule.id
            for event in events
            for view in [View(event.flat, event)]
            for rule, predicate in of_kind[event.channel, event.event_id]
            if predicate(view)
        )
    )
    assert counted == found, "the index has lost or made a match"
    sys.stdout.write(f"the plain matcher finds the same {found.total()} matches, at {len(events) / seconds:,.0f} events/s\n")


if __name__ == "__main__":
    raise SystemExit(main())
