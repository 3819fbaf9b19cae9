"""The real ElastAlert2 on a real Elasticsearch: its alerts, its runs as proof, its errors, as the adapter reads them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest

from harness.clock import SystemClock
from harness.events import winlogbeat
from harness.model.facts import Facts, Watch
from harness.model.intent import Severity
from harness.siem.elastic.client import ElasticSiem
from harness.siem.elastic.elastalert import ElastAlert
from harness.siem.elastic.wire import Connection, Wire
from tests.events.event_builders import process_created
from tests.needs import needs_elastalert2, needs_elasticsearch
from tests.siem.elastic_bench import ElasticBench, elastalert_over, server_url, write_rules
from tests.siem.siem_builders import HOSTNAME, OTHER, WHOAMI, sigma

pytestmark = [needs_elasticsearch, needs_elastalert2]

BUFFER = timedelta(seconds=600)
RUN_EVERY = timedelta(seconds=1)
PATIENCE = timedelta(seconds=90)
QUERIES = {
    WHOAMI: "winlog.event_id:4688 AND winlog.event_data.NewProcessName:*\\\\whoami.exe",
    HOSTNAME: "winlog.event_id:4688 AND winlog.event_data.NewProcessName:*\\\\HOSTNAME.EXE",
    OTHER: "winlog.event_id:((",
}


class Running:
    """ElastAlert2 with three rules, one of them broken, over indices of its own; what the adapter saw of it so far."""

    def __init__(self, bench: ElasticBench) -> None:
        self.bench = bench
        self.siem = ElasticSiem(
            Wire(Connection(urls=(server_url(),))),
            events=[bench.events],
            sources=[ElastAlert(bench.writeback, RUN_EVERY)],
            severities={WHOAMI: Severity.HIGH},
            ingest_lag=timedelta(0),
            rule_interval=RUN_EVERY,
        )
        self.watch = Watch(host="ws1", since=datetime.now(UTC) - timedelta(seconds=5), rules=frozenset(QUERIES))
        self.sweeps: list[Facts] = []

    def until(self, done: Callable[[list[Facts]], object]) -> list[Facts]:
        """Sweep until that is so of all sweeps."""
        clock = SystemClock()
        give_up = clock.now() + PATIENCE
        while not done(self.sweeps):
            assert clock.now() < give_up, self.sweeps[-1]
            clock.wait(0.25)
            self.sweeps.append(self.siem.sweep([self.watch], self.sweeps[-1].cursor if self.sweeps else ""))
        return self.sweeps


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    bench = ElasticBench(server_url())
    filters = {rule: {"query": {"query_string": {"query": query}}} for rule, query in QUERIES.items()}
    # Where nothing is in the range that is asked for, Elasticsearch does not read the query: a broken one would succeed.
    foreign = process_created(9, created=datetime.now(UTC), computer="WS9.lab.example", image="other.exe")
    bench.admin.index(index=bench.events, document=winlogbeat.render(foreign), refresh=True)
    try:
        rules = tmp_path_factory.mktemp("rules")
        write_rules(bench, rules, filters)
        with elastalert_over(bench, rules, buffer=BUFFER):
            yield Running(bench)
    finally:
        bench.close()


def test_alert_proof_and_error(running: Running) -> None:
    bench = running.bench
    event = process_created(1, created=datetime.now(UTC), image="whoami.exe")
    bench.admin.index(index=bench.events, document=winlogbeat.render(event), refresh=True)
    (observed,) = running.until(lambda sweeps: any(facts.observed for facts in sweeps))[-1].observed
    sweeps = running.until(lambda sweeps: any(facts.alerts for facts in sweeps))
    (alert,) = (alert for facts in sweeps for alert in facts.alerts)
    assert (alert.rule, alert.host, alert.severity, alert.source) == (WHOAMI, "ws1", Severity.HIGH, "elastalert2")
    assert [event.id for event in alert.events] == [observed.event.id]
    assert event.created - timedelta(milliseconds=1) <= alert.raised_at <= alert.searchable_at

    def proven(sweeps: list[Facts]) -> set[str]:
        """The rules of which a run started after the event was seen, succeeded, and covered it."""
        runs = (run for facts in sweeps for run in facts.runs if run.ok and run.started_at > observed.searchable_at)
        return {run.rule for run in runs if run.window_start <= observed.event.time <= run.window_end}

    sweeps = running.until(lambda sweeps: {WHOAMI, HOSTNAME} <= proven(sweeps))
    assert OTHER not in proven(sweeps)
    sweeps = running.until(lambda sweeps: any(run.rule == OTHER for facts in sweeps for run in facts.runs))
    broken = [run for facts in sweeps for run in facts.runs if run.rule == OTHER]
    assert all(not run.ok and run.message.startswith("Error running query: ") for run in broken)
    assert sweeps[-1].schedule_running


def test_check(running: Running) -> None:
    def runs(sweeps: list[Facts]) -> int:
        return sum(run.rule == HOSTNAME for facts in sweeps for run in facts.runs)

    running.until(lambda sweeps: runs(sweeps) >= 3)
    status = running.siem.check(frozenset(QUERIES))
    assert status.schedule_running
    assert {rule: state.deployed for rule, state in status.rules.items()} == {WHOAMI: True, HOSTNAME: True, OTHER: False}
    assert timedelta(seconds=5) < status.rules[HOSTNAME].interval < timedelta(seconds=60)
    assert timedelta(0) < status.rules[HOSTNAME].look_back <= BUFFER + timedelta(seconds=60)


def test_the_stand_in_of_the_contract_writes_what_the_real_one_writes(running: Running) -> None:
    running.until(lambda sweeps: any(facts.alerts for facts in sweeps) and any(run.ok for facts in sweeps for run in facts.runs))
    bench = ElasticBench(server_url())
    try:
        bench.deploy([sigma(WHOAMI, "whoami.exe")])
        bench.log(1, "whoami.exe")
        bench.settle()
        bench.run_rules()
        for suffix in ("", "_status"):
            real, stand_in = (
                of.admin.search(index=f"{of.writeback}{suffix}", size=1)["hits"]["hits"][0]["_source"] for of in (running.bench, bench)
            )
            assert shape(stand_in) == shape(real)
    finally:
        bench.close()


def shape(document: object) -> object:
    """The keys of a document and the kinds of their values."""
    if isinstance(document, dict):
        return {key: shape(value) for key, value in document.items()}
    return type(document).__name__
