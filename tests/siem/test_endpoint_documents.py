"""The Elastic Endpoint's own documents in a real Elasticsearch: found by host, read, attributed, judged; by a probe and by alerts."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from elasticsearch import Elasticsearch

from harness.core.ledger import Ledger
from harness.model.facts import Facts, Watch
from harness.model.intent import Expectation, Plan
from harness.model.verdicts import Basis, GateKind, Outcome, Probed, Verdict
from harness.rules.elastic import ElasticRules
from harness.siem.elastic.client import ElasticSiem
from harness.siem.elastic.probe import QueryProbe, Question
from harness.siem.elastic.security import ElasticSecurity
from harness.siem.elastic.source import AlertSource
from harness.siem.elastic.wire import Connection, Wire
from harness.translate.es_filter import filters
from lab.process import RULE_PACK
from tests.builders import T0, RemoteSession, planned
from tests.events.endpoint_documents import EndpointSession
from tests.needs import needs_elasticsearch
from tests.siem.elastic_bench import server_url

pytestmark = needs_elasticsearch

(RULE,) = ElasticRules().load(RULE_PACK / "elastic" / "session_child_after_connection.toml")
_KEYWORD = {"type": "keyword", "ignore_above": 1024}
_IP = {"properties": {"ip": {"type": "ip"}, "port": {"type": "long"}}}
MAPPING = {
    "dynamic_templates": [{"strings": {"match_mapping_type": "string", "mapping": _KEYWORD}}],
    "properties": {
        "@timestamp": {"type": "date"},
        "event": {"properties": {"ingested": {"type": "date"}}},
        "source": _IP,
        "destination": _IP,
    },
}


class Shipped:
    """The Endpoint's data streams (as indices of their names) with the documents of our session and of a stranger's."""

    def __init__(self) -> None:
        self.token = secrets.token_hex(4)
        self.pattern = f"logs-endpoint.events.*-{self.token}"
        self.space = f"t{self.token}"
        self.admin = Elasticsearch(server_url())
        self.start = datetime.now(UTC) - timedelta(seconds=5)
        ours = EndpointSession(start=self.start)
        theirs = EndpointSession(start=self.start, port=50002, pid=5000, logon=0xA002, run="y", client="10.77.0.6")
        elsewhere = EndpointSession(start=self.start, host="WS2", run="z")
        for session, name in ((ours, "ours"), (theirs, "theirs"), (elsewhere, "elsewhere")):
            for number, document in enumerate(session.documents()):
                index = f"logs-{document['data_stream']['dataset']}-{self.token}"
                if not self.admin.indices.exists(index=index):
                    self.admin.indices.create(index=index, mappings=MAPPING)
                self.admin.index(index=index, id=f"{name}-{number}", document=document)
        self.admin.indices.refresh(index=self.pattern)

    def siem(self, *sources: AlertSource) -> ElasticSiem:
        return ElasticSiem(
            Wire(Connection(urls=(server_url(),))),
            events=[self.pattern],
            sources=sources,
            severities={RULE.id: RULE.severity},
            ingest_lag=timedelta(seconds=1),
            rule_interval=timedelta(seconds=5),
            probe=QueryProbe(self.pattern, lambda _: Question(filters=filters(RULE))),
        )

    def judged(self, siem: ElasticSiem) -> tuple[Facts, Verdict]:
        """What a ledger makes of our session and the sweeps of a SIEM."""
        step = planned("one/1@ws1", Expectation(rule=RULE.id))
        status = siem.check(frozenset({RULE.id}))
        ledger = Ledger(
            Plan(steps=(step,), unexercisable={}),
            {RULE.id: RULE},
            status,
            started_at=self.start - timedelta(seconds=1),
            siem_offset=timedelta(0),
            grace=timedelta(seconds=1),
        )
        offset = (self.start - T0).total_seconds()
        session = RemoteSession(tag="one", port=50001, pid=4000, logon=0xA001, start=offset, end=offset + 1)
        ledger.detonated(session.detonation(step))
        facts = siem.sweep([Watch(host="ws1", since=self.start - timedelta(seconds=10), rules=frozenset({RULE.id}))], "")
        ledger.saw(facts)
        (verdict,) = ledger.settle()
        return facts, verdict

    def close(self) -> None:
        made = [f"logs-endpoint.events.{kind}-{self.token}" for kind in ("network", "process", "security")]
        self.admin.indices.delete(index=[*made, f".alerts-security.alerts-{self.space}"], ignore_unavailable=True)
        self.admin.close()


@pytest.fixture
def shipped() -> Iterator[Shipped]:
    made = Shipped()
    try:
        yield made
    finally:
        made.close()


def test_they_are_found_and_read_and_the_rules_query_matches_them(shipped: Shipped) -> None:
    facts, verdict = shipped.judged(shipped.siem())
    assert {observed.event.id.partition("-")[0] for observed in facts.observed} == {"ours", "theirs"}
    assert len(facts.observed) == 10
    (probe,) = facts.probes
    assert [{id for id in found if not id.startswith("elsewhere")} for found in probe.found] == [
        {"ours-0", "theirs-0"},
        {"ours-3", "theirs-3"},
    ]
    assert verdict.probed is Probed.MATCHES
    assert "endpoint.events.process of ws1" in verdict.cause
    telemetry = next(gate for gate in verdict.gates if gate.kind is GateKind.TELEMETRY)
    assert any("endpoint.events.network of ws1" in line and "(ours-0)" in line for line in telemetry.evidence)
    assert not [line for line in telemetry.evidence if "theirs" in line]


def test_an_alert_that_follows_from_them_is_attributed_exactly(shipped: Shipped) -> None:
    index = f".alerts-security.alerts-{shipped.space}"
    strings = [{"strings": {"match_mapping_type": "string", "mapping": {"type": "keyword"}}}]
    mapping = {"dynamic_templates": strings, "properties": {"@timestamp": {"type": "date"}}}
    shipped.admin.indices.create(index=index, mappings=mapping, settings={"index.hidden": True})
    for name in ("ours", "theirs"):
        ancestors = [
            {"depth": 0, "type": "event", "id": f"{name}-{number}", "index": f"logs-endpoint.events.{kind}-{shipped.token}"}
            for number, kind in ((0, "network"), (3, "process"))
        ]
        document = {
            "@timestamp": (shipped.start + timedelta(seconds=3)).isoformat(),
            "kibana.alert.rule.rule_id": RULE.id,
            "kibana.alert.rule.uuid": "u",
            "kibana.alert.severity": "medium",
            "kibana.alert.group.id": f"group-{name}",
            "kibana.alert.ancestors": ancestors,
        }
        shipped.admin.index(index=index, id=f"shell-{name}", document=document, refresh=True)
    facts, verdict = shipped.judged(shipped.siem(ElasticSecurity(shipped.space, {}, timedelta(minutes=5))))
    assert {alert.id for alert in facts.alerts} == {"group-ours", "group-theirs"}
    assert verdict.outcome is Outcome.DETECTED
    (sighting,) = verdict.sightings
    assert (sighting.alert.id, sighting.basis, sighting.transport_caused) == ("group-ours", Basis.EXACT, False)
    assert any(key.startswith("client socket 10.77.0.5:50001") for key in sighting.keys)


def test_elastic_agents_own_data_streams_are_read(shipped: Shipped) -> None:
    """What its pipelines make of the security log: 4624 and 4688, of which they move the process and the other end away."""
    index = f"logs-system.security-{shipped.token}"
    time = (shipped.start + timedelta(seconds=0.3)).isoformat()
    created = {
        "@timestamp": time,
        "data_stream": {"type": "logs", "dataset": "system.security", "namespace": shipped.token},
        "event": {"code": "4688", "action": "created-process", "category": ["process"], "type": ["start"], "dataset": "system.security"},
        "host": {"name": "ws1", "hostname": "WS1", "os": {"type": "windows"}},
        "process": {
            "pid": 4004,
            "executable": "C:\\Windows\\System32\\whoami.exe",
            "name": "whoami.exe",
            "parent": {"executable": "C:\\Windows\\System32\\wsmprovhost.exe", "name": "wsmprovhost.exe", "pid": 4000},
        },
        "winlog": {
            "channel": "Security",
            "computer_name": "WS1.lab.example",
            "event_id": "4688",
            "provider_name": "Microsoft-Windows-Security-Auditing",
            "event_data": {"SubjectLogonId": "0xa001", "SubjectUserName": "purple"},
        },
    }
    shipped.admin.indices.create(index=index, mappings=MAPPING)
    try:
        shipped.admin.index(index=index, id="agent-1", document=created, refresh=True)
        shipped.pattern += f",{index}"
        facts, verdict = shipped.judged(shipped.siem())
        (event,) = (observed.event for observed in facts.observed if observed.event.id == "agent-1")
        assert event.flat["newprocessid"] == "0xfa4"
        assert event.flat["newprocessname"] == "C:\\Windows\\System32\\whoami.exe"
        telemetry = next(gate for gate in verdict.gates if gate.kind is GateKind.TELEMETRY)
        assert any("(agent-1)" in line or "more" in line for line in telemetry.evidence)
    finally:
        shipped.admin.indices.delete(index=index)
