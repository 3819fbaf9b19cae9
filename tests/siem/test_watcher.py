"""Watcher's history, of the shape that Elastic tells, on a real Elasticsearch: detections, proofs, watches that stand still."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from harness.events import winlogbeat
from harness.model.facts import Facts, Watch
from harness.siem.elastic.client import ElasticSiem
from harness.siem.elastic.watcher import Watcher, moment
from servers import machine
from tests.events.event_builders import process_created
from tests.needs import needs_elasticsearch
from tests.siem.elastic_bench import ElasticBench, elastic_bench
from tests.siem.siem_builders import HOSTNAME, OTHER, WHOAMI

_KEYWORD = {"type": "keyword"}
_DATE = {"type": "date"}
_OFF = {"type": "object", "enabled": False}
FIVE = timedelta(minutes=5)
RECORD = {
    "properties": {
        "watch_id": _KEYWORD,
        "state": _KEYWORD,
        "messages": {"type": "text"},
        "trigger_event": {"properties": {"triggered_time": _DATE}},
        "result": {
            "properties": {
                "execution_time": _DATE,
                "execution_duration": {"type": "long"},
                "input": {"properties": {"payload": _OFF, "search": {"properties": {"request": {"properties": {"body": _OFF}}}}}},
                "condition": {"properties": {"met": {"type": "boolean"}, "status": _KEYWORD}},
            }
        },
    }
}


class History:
    """What Watcher writes, on the running server."""

    def __init__(self, bench: ElasticBench) -> None:
        self.bench = bench
        self.index = f".watcher-history-{secrets.token_hex(4)}"
        bench.admin.indices.create(index=self.index, mappings=RECORD, settings={"index.hidden": True})
        self.siem = ElasticSiem(
            bench.wire,
            events=[bench.events],
            sources=[Watcher(FIVE)],
            severities={},
            ingest_lag=timedelta(0),
            rule_interval=FIVE,
            clock=bench.clock,
        )
        bench.clock.wait(600)

    def close(self) -> None:
        self.bench.admin.indices.delete(index=self.index)

    def event(self, number: int) -> dict[str, object]:
        """An event in the events' index; as a payload has it."""
        document = winlogbeat.render(process_created(number, created=self.bench.clock.now(), computer="ws1"))
        self.bench.admin.index(index=self.bench.events, id=f"e{number}", document=document, refresh=True)
        return {"_index": self.bench.events, "_id": f"e{number}", "_source": document}

    def executed(
        self, watch: str, *events: dict[str, object], state: str = "", at: datetime | None = None, total: int | None = None, **more: Any
    ) -> None:
        """One execution; its search covered the five minutes before."""
        time = at or self.bench.clock.now()
        bounds = {"gt": f"{time.isoformat()}||-5m", "lte": time.isoformat()}
        query = {"bool": {"filter": [{"query_string": {"query": "x"}}, {"range": {"@timestamp": bounds}}]}}
        hits = {"total": {"value": len(events) if total is None else total, "relation": "eq"}, "hits": list(events)}
        found = {
            "type": "search",
            "status": "success",
            "payload": {"hits": hits},
            "search": {"request": {"indices": [self.bench.events], "body": {"query": query}}},
        }
        document = {
            "watch_id": watch,
            "state": state or ("executed" if events else "execution_not_needed"),
            "trigger_event": {"type": "schedule", "triggered_time": time.isoformat()},
            "result": {
                "execution_time": time.isoformat(),
                "execution_duration": 12,
                "input": found | more.pop("input", {}),
                "condition": {"type": "compare", "status": "success", "met": bool(events)} | more.pop("condition", {}),
            },
        } | more
        self.bench.admin.index(index=self.index, document=document, refresh=True)

    def sweep(self, cursor: str = "") -> Facts:
        watch = Watch(host="ws1", since=self.bench.start - timedelta(seconds=60), rules=frozenset({WHOAMI, HOSTNAME}))
        return self.siem.sweep([watch], cursor)


@pytest.fixture
def on() -> Iterator[History]:
    # Watcher has one history for a whole cluster: whoever else runs these tests on this server would write into it.
    with machine.locked("tests-of-watcher"), elastic_bench() as bench:
        made = History(bench)
        try:
            yield made
        finally:
            made.close()


pytestmark = needs_elasticsearch


@pytest.mark.parametrize("state", ["executed", "throttled", "acknowledged"])
def test_each_event_of_a_met_condition_is_an_alert_once(on: History, state: str) -> None:
    events = [on.event(1), on.event(2)]
    on.bench.clock.wait(1)
    on.executed(WHOAMI, *events, state=state)
    first = on.sweep()
    on.bench.clock.wait(60)
    on.executed(WHOAMI, *events, on.event(3), state=state)
    second = on.sweep(first.cursor)
    assert sorted(alert.events[0].id for alert in first.alerts) == ["e1", "e2"]
    assert [alert.events[0].id for alert in second.alerts] == ["e3"]
    assert {(alert.rule, alert.source, alert.host) for alert in (*first.alerts, *second.alerts)} == {(WHOAMI, "watcher", "ws1")}
    assert [run.ok for facts in (first, second) for run in facts.runs] == [True, True]


def test_what_was_not_met_is_proof_of_what_it_searched(on: History) -> None:
    at = on.bench.clock.now()
    on.executed(f"watch of {HOSTNAME}", at=at)
    facts = on.sweep()
    (run,) = facts.runs
    assert not facts.alerts
    assert (run.rule, run.ok, run.message) == (HOSTNAME, True, "")
    assert (run.window_start, run.window_end, run.started_at) == (at - FIVE, at, at)
    assert run.finished_at - run.started_at == timedelta(milliseconds=12)
    assert facts.schedule_running


UNTOLD = "what it searched cannot be told from its request"


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"state": "failed", "messages": ["boom"]}, "boom"),
        ({"state": "threadpool_rejection"}, "its state is threadpool_rejection"),
        ({"input": {"status": "failure", "reason": "no such index"}}, "its input failed: no such index"),
        ({"condition": {"status": "failure"}}, "its condition failed: no reason given"),
        ({"input": {"search": {"request": {"body": {"query": {"match_all": {}}}}}}}, UNTOLD),
        ({"input": {"search": {"request": {"body": {"query": {"range": {"@timestamp": {"gte": "odd"}}}}}}}}, UNTOLD),
    ],
)
def test_what_is_no_proof_says_why(on: History, changed: dict[str, Any], why: str) -> None:
    on.executed(WHOAMI, **changed)
    (run,) = on.sweep().runs
    assert (run.ok, run.message) == (False, why)


def test_what_was_found_and_not_kept_is_no_proof(on: History) -> None:
    on.executed(WHOAMI, on.event(1), total=7)
    facts = on.sweep()
    assert len(facts.alerts) == 1
    assert [(run.ok, run.message) for run in facts.runs] == [(False, "it found 7 events and kept 1 of them")]


def test_a_chain_of_inputs_and_a_payload_without_events(on: History) -> None:
    chained = {"first": {"hits": {"total": 1, "hits": [on.event(1)]}}}
    on.bench.clock.wait(1)
    on.executed(WHOAMI, on.event(9), input={"payload": chained})
    on.executed(HOSTNAME, on.event(9), input={"payload": {"count": 3}})
    alerts = {alert.rule: alert for alert in on.sweep().alerts}
    assert [event.id for event in alerts[WHOAMI].events] == ["e1"]
    assert not alerts[HOSTNAME].events


def test_an_event_that_is_gone_is_taken_as_the_payload_has_it(on: History) -> None:
    event = on.event(1) | {"_index": f"{on.bench.events}-gone"}
    on.executed(WHOAMI, event)
    (alert,) = on.sweep().alerts
    assert (alert.host, alert.events[0].id) == ("ws1", "e1")


def test_documents_of_another_form_are_left_out(on: History) -> None:
    now = on.bench.clock.now().isoformat()
    met = {"condition": {"met": True}}
    for document in (
        {"watch_id": WHOAMI, "state": "awaits_execution"},
        {"watch_id": WHOAMI, "state": "executed", "result": met},
        {"watch_id": WHOAMI, "state": "executed", "result": met | {"execution_time": now, "input": {"payload": {"hits": [1]}}}},
    ):
        on.bench.admin.index(index=on.index, document={"trigger_event": {"triggered_time": now}} | document, refresh=True)
    facts = on.sweep()
    assert [(alert.rule, alert.events) for alert in facts.alerts] == [(WHOAMI, ())]
    assert all(not run.ok for run in facts.runs)


def test_check_tells_each_watch_by_its_executions(on: History) -> None:
    now = on.bench.clock.now()
    for minutes in (15, 10, 5, 0):
        on.executed(WHOAMI, at=now - timedelta(minutes=minutes))
    on.executed(HOSTNAME, at=now - timedelta(hours=3))
    status = on.siem.check(frozenset({WHOAMI, HOSTNAME, OTHER}))
    rules = status.rules
    assert {rule: (of.deployed, of.enabled) for rule, of in rules.items()} == {
        WHOAMI: (True, True),
        HOSTNAME: (True, False),
        OTHER: (False, False),
    }
    assert (rules[WHOAMI].interval, rules[WHOAMI].look_back) == (FIVE, FIVE)
    assert status.schedule_running
    assert on.siem.known_rules() >= {WHOAMI, HOSTNAME}


AT = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("now", AT),
        ("now-5m", AT - FIVE),
        ("now-1h+5m", AT - timedelta(minutes=55)),
        ("2026-03-04T05:06:07Z||-90s", AT - timedelta(seconds=90)),
        ("2026-03-04T05:06:07.000Z", AT),
        (AT.timestamp() * 1000, AT),
        ("now-5x", None),
        ("||", None),
        ("{{ctx.trigger.scheduled_time}}||-5m", None),
        (True, None),
        (None, None),
        (1e300, None),
    ],
)
def test_moments(value: object, expected: datetime | None) -> None:
    assert moment(value, AT) == expected
