"""From "an alert is searchable" to its verdict, as a share of the poll interval: a real Elasticsearch, alerts that come at random moments.

    python -m tests.bench.bench_verdict

One engine waits for as many expectations; their alerts are written while it does. An alert becomes searchable somewhere within the refresh
that makes it so: both its ends are told. The step itself is a stand-in: nothing is detonated.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from threading import Event, Thread

from harness.clock import SystemClock
from harness.engine import Engine, Patience
from harness.events import winlogbeat
from harness.model.facts import Execution, Footprint, Identity
from harness.model.intent import Action, Expectation, Plan, Severity, Target
from harness.model.report import Judged
from harness.model.verdicts import Outcome
from harness.siem.elastic.client import ElasticSiem
from harness.siem.elastic.elastalert import ElastAlert
from harness.siem.elastic.wire import Connection, Wire
from servers import elasticsearch
from servers.machine import ServerError
from tests.builders import planned
from tests.events.event_builders import process_created
from tests.siem.elastic_bench import ElasticBench

ALERTS = 300
SECONDS = 30.0
POLL = 0.25
_PID = 4000


class StandIn:
    """A transport and its session: it opens at once, does nothing, and knows its process."""

    def open(self, target: Target, action: Action) -> StandIn:
        return self

    def run(self, timeout: float, cancel: Event) -> Execution:
        return Execution(exit_code=0)

    def identify(self) -> Footprint:
        now = datetime.now(UTC)
        return Footprint(script="$PID", started_at=now, finished_at=now, target_time=now)

    @property
    def exit_code(self) -> int | None:
        return 0

    @property
    def identity(self) -> Identity:
        return Identity(process_id=_PID)

    def close(self) -> None:
        time.sleep(0.05)  # the session lasts, so that there is a time for its events


def write(on: ElasticBench, rules: list[str], started: Event, searchable: dict[str, tuple[float, float]]) -> None:
    """An alert of each rule, at random moments."""
    started.wait()
    at = datetime.now(UTC)
    chance = random.Random(1)
    moments = sorted(chance.uniform(0.0, SECONDS) for _ in rules)
    begun = time.monotonic()
    for number, (rule, moment) in enumerate(zip(rules, moments, strict=True)):
        time.sleep(max(0.0, begun + moment - time.monotonic()))
        created = process_created(number, created=at)
        ids = {"NewProcessId": hex(5000 + number), "ProcessId": hex(_PID)}
        event = winlogbeat.render(replace(created, data={**created.data, **ids}))
        document = {
            "rule_name": f"x [{rule}]",
            "match_body": event | {"_id": f"e{number}", "_index": on.events},
            "alert_time": datetime.now(UTC).isoformat(),
            "@timestamp": datetime.now(UTC).isoformat(),
        }
        on.admin.index(index=on.writeback, document=document)
        before = time.monotonic()
        searchable[rule] = (before, before)  # it may be judged before the refresh has returned
        on.admin.indices.refresh(index=on.writeback)
        searchable[rule] = (before, time.monotonic())


def shares(url: str) -> list[tuple[float, float]]:
    """Of each alert, from searchable to its verdict in poll intervals: at most, at least."""
    on = ElasticBench(url)
    rules = [f"00000000-0000-4000-8000-{number:012d}" for number in range(ALERTS)]
    try:
        for rule in rules:
            now = datetime.now(UTC)
            times = {"starttime": (now - timedelta(minutes=5)).isoformat(), "endtime": now.isoformat(), "@timestamp": now.isoformat()}
            on.admin.index(
                index=f"{on.writeback}_status", document={"rule_name": f"x [{rule}]", "matches": 0, "hits": 0, "time_taken": 0.0} | times
            )
        on.admin.indices.refresh(index=f"{on.writeback}_status")
        return list(judged(on, url, rules))
    finally:
        on.close()


def judged(on: ElasticBench, url: str, rules: list[str]) -> Iterator[tuple[float, float]]:
    """The same, while the run goes on."""
    wire = Wire(Connection(urls=(url,)))
    step = planned("s/1@ws1", *(Expectation(rule=rule) for rule in rules))
    siem = ElasticSiem(
        wire,
        events=[on.events],
        sources=[ElastAlert(on.writeback, timedelta(minutes=10))],
        severities=dict.fromkeys(rules, Severity.MEDIUM),
        ingest_lag=timedelta(seconds=10),
        rule_interval=timedelta(minutes=10),
    )
    patience = Patience(poll=POLL, siem=30.0, connect=5.0, grace=timedelta(seconds=1))
    engine = Engine(
        run_id="bench",
        plan=Plan(steps=(step,), unexercisable={}),
        rules={},
        transport=StandIn(),
        siem=siem,
        clock=SystemClock(),
        patience=patience,
    )
    searchable: dict[str, tuple[float, float]] = {}
    started = Event()
    writer = Thread(target=write, args=(on, rules, started, searchable), daemon=True)
    writer.start()
    try:
        for progress in engine.run(Event()):
            started.set()
            if isinstance(progress, Judged):
                assert progress.verdict.outcome is Outcome.DETECTED, progress.verdict.cause
                before, after = searchable[progress.verdict.expectation.rule]
                at = time.monotonic()
                yield (at - before) / POLL, max(0.0, at - after) / POLL
    finally:
        writer.join()
        wire.close()


@contextmanager
def server() -> Iterator[str]:
    """The server that runs, else one of its own."""
    if (place := elasticsearch.find()) is not None:
        yield place.url
        return
    name = "bench"
    try:
        yield elasticsearch.start(name).url
    finally:
        elasticsearch.stop(name)


def main() -> None:
    try:
        with server() as url:
            found = shares(url)
    except ServerError as error:
        sys.stdout.write(f"not measured: {error}\n")
        return
    sys.stdout.write(f"{len(found)} alerts, from searchable to verdict in poll intervals of {POLL} s\n")
    for what, each in (
        ("from the refresh's end", sorted(least for _, least in found)),
        ("from its begin", sorted(most for most, _ in found)),
    ):
        middle, high = (each[len(each) * part // 100] for part in (50, 95))
        sys.stdout.write(f"{what:>24}: p50 {middle:.2f}, p95 {high:.2f}\n")


if __name__ == "__main__":
    main()
