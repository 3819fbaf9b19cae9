"""A real Elasticsearch on the bench, with a rule engine that writes what ElastAlert2 writes and runs when a test says so.

The engine stands in for ElastAlert2 because time must stand still for most situations; `test_elastalert2_real.py` holds its documents
against those of the real one.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

from elasticsearch import Elasticsearch

from harness.detect import Detector
from harness.events import winlogbeat
from harness.model.intent import Rule
from harness.siem.elastic.client import ElasticSiem
from harness.siem.elastic.elastalert import ElastAlert
from harness.siem.elastic.wire import Connection, Wire
from servers import elastalert2, elasticsearch
from servers.machine import Place
from tests.events.event_builders import process_created
from tests.siem.siem_builders import INGEST_DELAY, INTERVAL, LOOK_BACK, FakeClock

_DATE = {"type": "date"}
_KEYWORD = {"type": "keyword"}
# As shippers map strings: a longer one is kept and not searched for.
_KEYWORDS = {"keywords": {"match_mapping_type": "string", "mapping": _KEYWORD | {"ignore_above": 8191}}}
EVENTS_MAPPING = {"dynamic_templates": [_KEYWORDS], "properties": {"@timestamp": _DATE}}
WRITEBACK_MAPPINGS: dict[str, dict[str, Any]] = {
    "": {"rule_name": _KEYWORD, "@timestamp": _DATE, "alert_time": _DATE, "match_body": {"type": "object", "enabled": False}},
    "_status": {"rule_name": _KEYWORD, "@timestamp": _DATE},
    "_silence": {"rule_name": _KEYWORD, "@timestamp": _DATE, "until": _DATE},
    "_error": {"@timestamp": _DATE, "data": {"type": "object", "enabled": False}},
}


def server_url() -> str:
    """Of the server that `needs_elasticsearch` asks for."""
    place = elasticsearch.find()
    assert place is not None
    return place.url


def rule_name(rule: Rule) -> str:
    """A name that bears the rule's id, as rules for ElastAlert2 must have."""
    return f"{rule.title} [{rule.id}]"


class ElasticBench:
    """Indices of its own on the running server; everything at the times of a clock that moves when it is told to."""

    def __init__(self, url: str) -> None:
        token = secrets.token_hex(4)
        self.url = url
        self.events, self.writeback = f"winlogbeat-{token}", f"elastalert-{token}"
        self.admin = Elasticsearch(url)
        self.admin.indices.create(index=self.events, mappings=EVENTS_MAPPING)
        for suffix, properties in WRITEBACK_MAPPINGS.items():
            self.admin.indices.create(index=self.writeback + suffix, mappings={"properties": properties})
        self.clock = FakeClock(datetime.now(UTC))
        self.wire = Wire(Connection(urls=(url,)))
        self.siem = ElasticSiem(
            self.wire,
            events=[f"{self.events}*"],
            sources=[ElastAlert(self.writeback, INTERVAL)],
            severities={},
            ingest_lag=INGEST_DELAY,
            rule_interval=INTERVAL,
            clock=self.clock,
        )
        # From here on the SIEM's clock is taken to be ours, give or take what the reading took.
        self.siem.check(frozenset())
        self.clock.wait(2)
        self.start = self.clock.now()
        self._rules: dict[str, Rule] = {}
        self._shipped: list[tuple[str, dict[str, object]]] = []
        self._processed: set[tuple[str, str, str]] = set()
        self._running = True

    def deploy(self, rules: Sequence[Rule]) -> None:
        self._rules |= {rule.id: rule for rule in rules}
        self.siem.severities = {rule.id: rule.severity for rule in self._rules.values()}

    def log(self, record: int, image: str, *, host: str = "ws1", age: float = 0.0) -> None:
        created = self.clock.now() - timedelta(seconds=age)
        event = process_created(record, created=created, computer=f"{host.upper()}.lab.example", image=image)
        self._shipped.append((sha256(f"{host}/{record}".encode()).hexdigest()[:20], winlogbeat.render(event)))

    def settle(self) -> None:
        self.clock.wait(INGEST_DELAY.total_seconds())
        for id, document in self._shipped:
            self.admin.index(index=self.events, id=id, document=document)
        self._shipped = []
        self.admin.indices.refresh(index=self.events)
        self.clock.wait(0.001)

    def run_rules(self) -> None:
        # A run that starts within what the clock's reading may be wrong by is no proof.
        self.clock.wait(2)
        if not self._running:
            return
        started = self.clock.now()
        window = {"range": {"@timestamp": {"gte": (started - LOOK_BACK).isoformat(), "lte": started.isoformat()}}}
        hits = self.admin.search(index=self.events, query=window, size=1000)["hits"]["hits"]
        for rule in self._rules.values():
            detector = Detector([rule])
            matched = [hit for hit in hits if list(detector.matches(winlogbeat.read(hit["_source"], hit["_id"])))]
            self._write_run(rule, started, len(hits), [hit for hit in matched if self._is_new(rule, hit)])
        self.admin.indices.refresh(index=f"{self.writeback}*")

    def stop_schedule(self) -> None:
        """The engine dies; it is known to once it was silent for longer than its slowest rule would be."""
        self._running = False
        self.clock.wait(60)

    def forget_writeback(self) -> None:
        """Remove what an engine wrote, and its indices."""
        for suffix in (*WRITEBACK_MAPPINGS, "_past"):
            self.admin.indices.delete(index=self.writeback + suffix, ignore_unavailable=True)

    def close(self) -> None:
        self.forget_writeback()
        self.admin.indices.delete(index=self.events)
        self.admin.close()
        self.wire.close()

    def _is_new(self, rule: Rule, hit: Any) -> bool:
        key = (rule.id, rule.definition, hit["_id"])
        fresh = key not in self._processed
        self._processed.add(key)
        return fresh

    def _write_run(self, rule: Rule, started: datetime, hits: int, matched: Sequence[Any]) -> None:
        for hit in matched:
            match = hit["_source"] | {"_id": hit["_id"], "_index": hit["_index"], "num_hits": hits, "num_matches": len(matched)}
            alert = {
                "rule_name": rule_name(rule),
                "match_body": match,
                "match_time": hit["_source"]["@timestamp"],
                "alert_info": {"type": "debug"},
                "alert_sent": True,
                "alert_time": started.isoformat(),
                "@timestamp": started.isoformat(),
            }
            self.admin.index(index=self.writeback, document=alert)
        status = {
            "rule_name": rule_name(rule),
            "starttime": (started - LOOK_BACK).isoformat(),
            "endtime": started.isoformat(),
            "matches": len(matched),
            "hits": hits,
            "@timestamp": started.isoformat(),
            "time_taken": 0.0,
        }
        self.admin.index(index=f"{self.writeback}_status", document=status)


@contextmanager
def elastic_bench(_: Path = Path()) -> Iterator[ElasticBench]:
    made = ElasticBench(server_url())
    try:
        yield made
    finally:
        made.close()


def write_rules(bench: ElasticBench, directory: Path, filters: Mapping[str, Mapping[str, Any]]) -> None:
    """A file of ElastAlert2 for each of these rule ids, over a bench's events."""
    for rule, query in filters.items():
        written = {
            "name": f"x [{rule}]",
            "type": "any",
            "index": bench.events,
            "realert": {"minutes": 0},
            "filter": [query],
            "alert": "debug",
        }
        (directory / f"{rule}.yaml").write_text(json.dumps(written))  # JSON is YAML


@contextmanager
def elastalert_over(bench: ElasticBench, rules: Path, *, buffer: timedelta) -> Iterator[Place]:
    """The real ElastAlert2 over a bench's indices, in place of the bench's own engine, with the rule files of a directory."""
    bench.forget_writeback()  # it makes them with mappings of its own
    name = f"tests-{bench.writeback}"
    try:
        yield elastalert2.start(name, rules=rules, url=bench.url, run_every=1, buffer=buffer.total_seconds(), writeback=bench.writeback)
    finally:
        elastalert2.stop(name)
