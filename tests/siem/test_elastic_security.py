"""Elastic Security's documents, of the shape that Elastic tells, on a real Elasticsearch: groups, ancestors, suppression, executions."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from harness.events import winlogbeat
from harness.model.facts import Alert, Facts, RuleRun, Watch
from harness.model.intent import Severity
from harness.siem.elastic.client import ElasticSiem
from harness.siem.elastic.elastalert import ElastAlert
from harness.siem.elastic.security import ElasticSecurity
from harness.siem.elastic.source import AlertSource
from tests.events.event_builders import process_created
from tests.needs import needs_elasticsearch
from tests.siem.elastic_bench import ElasticBench, elastic_bench
from tests.siem.siem_builders import HOSTNAME, INTERVAL, LOOK_BACK, OTHER, WHOAMI, sigma

pytestmark = needs_elasticsearch

_KEYWORD = {"type": "keyword"}
_DATE = {"type": "date"}
FIVE = timedelta(minutes=5)
TITLES = {"whoami started": WHOAMI, "hostname started": HOSTNAME}


class Kibana:
    """What Kibana writes, for a space of its own on the running server."""

    def __init__(self, bench: ElasticBench) -> None:
        token = secrets.token_hex(4)
        self.bench, self.space = bench, f"t{token}"
        self.alerts, self.log = f".alerts-security.alerts-{self.space}", f".kibana-event-log-{token}"
        strings = [{"strings": {"match_mapping_type": "string", "mapping": _KEYWORD}}]
        dates = ("@timestamp", "kibana.alert.last_detected", "event.start", "event.end")
        for index in (self.alerts, self.log):
            mapping = {"dynamic_templates": strings, "properties": dict.fromkeys(dates, _DATE)}
            bench.admin.indices.create(index=index, mappings=mapping, settings={"index.hidden": True})
        self.siem = self.with_sources()
        bench.clock.wait(600)

    def with_sources(self, *others: AlertSource) -> ElasticSiem:
        """A SIEM that asks these sources too."""
        return ElasticSiem(
            self.bench.wire,
            events=[self.bench.events],
            sources=[*others, ElasticSecurity(self.space, TITLES, FIVE)],
            severities={},
            ingest_lag=timedelta(0),
            rule_interval=FIVE,
            clock=self.bench.clock,
        )

    def now(self) -> datetime:
        """The bench's time, in the milliseconds that Elasticsearch keeps of a date."""
        now = self.bench.clock.now()
        return now.replace(microsecond=now.microsecond // 1000 * 1000)

    def close(self) -> None:
        for index in (self.alerts, self.log):
            self.bench.admin.indices.delete(index=index)

    def event(self, number: int, host: str = "ws1") -> dict[str, object]:
        """An event in the events' index; as an alert's ancestor."""
        document = winlogbeat.render(process_created(number, created=self.bench.clock.now(), computer=host))
        self.bench.admin.index(index=self.bench.events, id=f"e{number}", document=document, refresh=True)
        return {"depth": 0, "type": "event", "id": f"e{number}", "index": self.bench.events}

    def alert(self, id: str, rule: str, ancestors: list[dict[str, object]], **more: Any) -> None:
        """An alert; as Kibana does it, some keys dotted and some nested."""
        document = {
            "@timestamp": self.bench.clock.now().isoformat(),
            "host": {"name": "WS1.lab.example"},
            "kibana": {"alert": {"rule": {"rule_id": rule}}},
            "kibana.alert.rule.uuid": f"uuid-{rule}",
            "kibana.alert.severity": "high",
            "kibana.alert.ancestors": ancestors,
        } | more
        self.bench.admin.index(index=self.alerts, id=id, document=document, refresh=True)

    def execution(
        self, rule: str, start: datetime, *, outcome: str = "success", name: str = "", category: str = "siem.eqlRule", **more: Any
    ) -> None:
        document = {
            "@timestamp": (start + timedelta(seconds=1)).isoformat(),
            "event": {
                "provider": "alerting",
                "action": "execute",
                "outcome": outcome,
                "start": start.isoformat(),
                "end": (start + timedelta(seconds=1)).isoformat(),
            },
            "rule": {"id": f"uuid-{rule}", "name": name or f"rule {rule}", "category": category},
            "kibana": {"space_ids": [self.space]},
        } | more
        self.bench.admin.index(index=self.log, document=document, refresh=True)

    def sweep(self, cursor: str = "") -> Facts:
        watch = Watch(host="ws1", since=self.bench.start - timedelta(seconds=60), rules=frozenset({WHOAMI, HOSTNAME}))
        return self.siem.sweep([watch], cursor)

    def only(self) -> Alert:
        (alert,) = self.sweep().alerts
        return alert

    def runs(self) -> list[RuleRun]:
        return sorted(self.sweep().runs, key=lambda run: run.started_at)


@pytest.fixture
def kibana() -> Iterator[Kibana]:
    with elastic_bench() as bench:
        made = Kibana(bench)
        try:
            yield made
        finally:
            made.close()


def test_an_alert_and_its_event(kibana: Kibana) -> None:
    kibana.alert("a", WHOAMI, [kibana.event(1)])
    alert = kibana.only()
    assert (alert.id, alert.rule, alert.host, alert.severity, alert.source) == ("a", WHOAMI, "ws1", Severity.HIGH, "elastic-security")
    assert [event.id for event in alert.events] == ["e1"]
    assert "newprocessname" in alert.events[0].flat


def test_a_sequence_is_one_alert_with_all_its_events(kibana: Kibana) -> None:
    events = [kibana.event(1), kibana.event(2)]
    group: dict[str, Any] = {"kibana.alert.group.id": "g"}
    for number, event in enumerate(events):
        kibana.alert(f"block{number}", WHOAMI, [event], **group, **{"kibana.alert.building_block_type": "default"})
    assert not kibana.sweep().alerts, "its shell is still to come"
    blocks: list[dict[str, object]] = [
        {"depth": 1, "type": "signal", "id": f"block{number}", "index": "", "rule": "uuid"} for number in range(2)
    ]
    kibana.alert("shell", WHOAMI, [events[0], blocks[0], events[1], blocks[1]], **group, host={"os": {"type": "windows"}})
    alert = kibana.only()
    assert (alert.id, alert.host, [event.id for event in alert.events]) == ("g", "ws1", ["e1", "e2"])


def test_a_rule_that_is_a_building_block_itself_is_told(kibana: Kibana) -> None:
    kibana.alert("a", WHOAMI, [kibana.event(1)], **{"kibana.alert.building_block_type": "default"})
    assert kibana.only().id == "a"


def test_a_threshold_names_no_event(kibana: Kibana) -> None:
    kibana.alert("a", WHOAMI, [{"depth": 0, "type": "event", "id": "made-up", "index": "winlogbeat-*,logs-*"}])
    alert = kibana.only()
    assert (alert.host, alert.events) == ("ws1", ())


def test_alerts_of_another_form_are_left_out(kibana: Kibana) -> None:
    kibana.bench.admin.index(index=kibana.alerts, document={"@timestamp": kibana.bench.clock.now().isoformat()}, refresh=True)
    kibana.alert("a", WHOAMI, [], **{"kibana.alert.severity": "dreadful", "kibana.alert.suppression.docs_count": "many"})
    assert kibana.only().severity is Severity.MEDIUM


def test_an_execution_covers_what_came_since_the_one_before(kibana: Kibana) -> None:
    now = kibana.now()
    times = [now - 3 * FIVE, now - 2 * FIVE, now - FIVE, now]
    for time in (times[0], times[1], times[3]):
        kibana.execution(WHOAMI, time, name="whoami started")
    kibana.execution(WHOAMI, times[2], outcome="failure", name="whoami started", error={"message": "boom"})
    kibana.siem.check(frozenset())
    runs = kibana.runs()
    assert [(run.window_start, run.window_end) for run in runs] == list(pairwise(times))
    assert [(run.rule, run.ok, run.message) for run in runs] == [(WHOAMI, True, ""), (WHOAMI, False, "boom"), (WHOAMI, True, "")]


def test_an_alert_tells_how_far_its_rule_looks_back_and_what_it_is_called(kibana: Kibana) -> None:
    now = kibana.now()
    kibana.alert("a", WHOAMI, [kibana.event(1)], **{"kibana.alert.rule.parameters": {"from": "now-9m"}, "kibana.alert.rule.uuid": "uuid-x"})
    assert not kibana.runs()
    kibana.execution("x", now)
    (run,) = kibana.runs()
    assert (run.rule, run.window_start) == (WHOAMI, now - timedelta(minutes=9))


def test_an_execution_that_suppressed_alerts_is_no_proof(kibana: Kibana) -> None:
    now = kibana.now()
    more = {"kibana.alert.suppression": {"docs_count": 3}, "kibana.alert.last_detected": (now + timedelta(milliseconds=500)).isoformat()}
    kibana.alert("a", WHOAMI, [kibana.event(1)], **more, **{"@timestamp": (now - timedelta(hours=3)).isoformat()})
    kibana.execution(WHOAMI, now)
    kibana.execution(WHOAMI, now + FIVE)
    first, second = kibana.runs()
    assert (first.ok, first.message) == (False, "it may have suppressed further alerts into a")
    assert second.ok


def test_an_execution_that_suppressed_alerts_stays_none_when_a_later_one_does_too(kibana: Kibana) -> None:
    now = kibana.now()
    raised_at = (now - timedelta(hours=3)).isoformat()
    event = kibana.event(1)
    cursor = ""
    told = []
    for number, start in enumerate((now, now + FIVE), 1):
        kibana.bench.clock.wait(FIVE.total_seconds())
        last = (start + timedelta(milliseconds=500)).isoformat()
        more = {"kibana.alert.suppression": {"docs_count": number}, "kibana.alert.last_detected": last, "@timestamp": raised_at}
        kibana.alert("a", WHOAMI, [event], **more)
        kibana.execution(WHOAMI, start)
        facts = kibana.sweep(cursor)
        cursor = facts.cursor
        told += [(run.started_at, run.ok) for run in facts.runs]
    assert told == [(now, False), (now + FIVE, False)]


def test_an_execution_with_a_warning_is_no_proof(kibana: Kibana) -> None:
    warned = {"space_ids": [kibana.space], "alerting": {"outcome": "warning"}}
    kibana.execution(WHOAMI, kibana.bench.clock.now(), name="whoami started", kibana=warned)
    assert [run.ok for run in kibana.runs()] == [False]


def test_a_name_that_two_rules_bear_proves_nothing(kibana: Kibana) -> None:
    for rule in ("one", "two"):
        kibana.execution(rule, kibana.bench.clock.now() - FIVE, name="whoami started")
    kibana.siem.check(frozenset())
    kibana.execution("one", kibana.bench.clock.now(), name="whoami started")
    assert not [run for run in kibana.runs() if run.rule == WHOAMI and run.started_at == kibana.bench.clock.now()]


def test_other_spaces_and_other_alerting_are_not_read(kibana: Kibana) -> None:
    now = kibana.now()
    kibana.execution(WHOAMI, now, name="whoami started", kibana={"space_ids": ["elsewhere"]})
    kibana.execution(WHOAMI, now, name="whoami started", category=".index-threshold")
    facts = kibana.sweep()
    assert not facts.runs
    assert not facts.schedule_running


def test_the_newest_alert_tells_its_rules_revision_and_exceptions(kibana: Kibana) -> None:
    for revision in (3, 4):
        kibana.alert(
            f"a{revision}",
            WHOAMI,
            [],
            **{
                "kibana.alert.rule.revision": revision,
                "kibana.alert.rule.parameters": {"exceptions_list": [{"list_id": f"backups-{revision}", "type": "detection"}]},
            },
        )
        kibana.bench.clock.wait(60)
    kibana.execution(WHOAMI, kibana.now())
    state = kibana.siem.check(frozenset({WHOAMI})).rules[WHOAMI]
    assert (state.revision, state.exceptions) == ("4", ("list backups-4",))


def test_check_tells_each_rule_by_its_executions(kibana: Kibana) -> None:
    now = kibana.now()
    for number in range(4):
        kibana.execution(WHOAMI, now - number * FIVE, name="SIGMA - whoami started")
    kibana.execution(HOSTNAME, now - timedelta(hours=5), name="hostname started")
    status = kibana.siem.check(frozenset({WHOAMI, HOSTNAME, OTHER}))
    assert {rule: (of.deployed, of.enabled) for rule, of in status.rules.items()} == {
        WHOAMI: (True, True),
        HOSTNAME: (True, False),
        OTHER: (False, False),
    }
    assert (status.rules[WHOAMI].interval, status.schedule_running) == (FIVE, True)
    assert status.version.count(".") == 2
    assert set(status.mappings) == {kibana.bench.events}
    assert kibana.sweep().schedule_running


def test_a_rule_that_two_engines_run_is_proven_missed_by_the_slower_alone(kibana: Kibana) -> None:
    bench = kibana.bench
    siem = kibana.with_sources(ElastAlert(bench.writeback, INTERVAL))
    bench.deploy([sigma(WHOAMI, "whoami.exe"), sigma(HOSTNAME, "hostname.exe")])
    now = kibana.now()
    for number in range(2):
        kibana.execution(WHOAMI, now - number * FIVE, name="whoami started")
        bench.run_rules()
    status = siem.check(frozenset({WHOAMI, HOSTNAME}))
    assert {rule: (of.runs, of.interval >= FIVE) for rule, of in status.rules.items()} == {WHOAMI: (True, True), HOSTNAME: (True, False)}
    bench.log(1, "whoami.exe")
    bench.settle()
    bench.run_rules()
    watch = Watch(host="ws1", since=bench.start, rules=frozenset({WHOAMI, HOSTNAME}))
    facts = siem.sweep([watch], "")
    assert [(alert.rule, alert.source) for alert in facts.alerts] == [(WHOAMI, "elastalert2")]
    covered = {(run.rule, run.window_end - run.window_start) for run in facts.runs}
    assert covered == {(WHOAMI, timedelta(0)), (WHOAMI, FIVE), (HOSTNAME, LOOK_BACK)}
    bench.stop_schedule()
    bench.clock.wait(60)
    assert siem.sweep([watch], facts.cursor).schedule_running, "the other's next execution is still to come"


def test_an_engine_that_stands_still_proves_nothing_in_place_of_one_that_runs(kibana: Kibana) -> None:
    siem = kibana.with_sources(ElastAlert(kibana.bench.writeback, INTERVAL))
    kibana.bench.deploy([sigma(WHOAMI, "whoami.exe")])
    for number in range(2):
        kibana.execution(WHOAMI, kibana.now() - timedelta(hours=5 + number), name="whoami started")
    kibana.bench.run_rules()
    assert siem.check(frozenset({WHOAMI})).rules[WHOAMI].interval < FIVE
    facts = siem.sweep([Watch(host="ws1", since=kibana.bench.start, rules=frozenset({WHOAMI}))], "")
    assert [run.window_end - run.window_start for run in facts.runs] == [LOOK_BACK]
