"""Filters of Elasticsearch's query DSL: a real Elasticsearch finds with them what the matcher finds with the rule."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
import yaml
from elasticsearch import Elasticsearch, helpers

from harness.events import winlogbeat
from harness.events.ingested import ingested
from harness.logic.match import matcher
from harness.model.intent import Rule
from harness.rules.elastic import ElasticRules
from harness.siem.elastic.shipping import make_ready
from harness.siem.elastic.wire import Connection, Wire
from harness.translate.elastalert import file_name, over
from harness.translate.es_filter import es_filter
from harness.translate.refusal import NotExpressible
from harness.translate.sheet import translate
from tests.needs import needs_elasticsearch, needs_recordings
from tests.siem.elastic_bench import server_url
from tests.translate.rules import elastic, hits, on, recorded, sigma, telling

NETWORK = {"product": "windows", "category": "network_connection"}
CLASSIC = {"product": "windows", "category": "ps_classic_start"}
SECURITY = {"product": "windows", "service": "security"}
STARTED = sigma({"Data|contains": "hostname=SERVER"}, logsource=CLASSIC)
NOT_X = sigma({"Image": "*"}, selections={"f": {"CommandLine|contains": "x"}}, condition="selection and not f")
CLASSIC_LOG = "Windows PowerShell"
SYSMON = "Microsoft-Windows-Sysmon/Operational"


@pytest.fixture(scope="module")
def server() -> Iterator[Elasticsearch]:
    with Elasticsearch(server_url()) as made:
        yield made


@pytest.fixture
def index(server: Elasticsearch) -> Iterator[str]:
    name = f"winlogbeat-f-{secrets.token_hex(4)}"
    wire = Wire(Connection(urls=(server_url(),)))
    make_ready(wire, name)
    wire.close()
    yield name
    server.indices.delete(index=name)
    server.indices.delete_index_template(name=f"purple-harness-{name}")


def document(channel: str, event_id: int, **data: str) -> dict[str, Any]:
    winlog = {"channel": channel, "computer_name": "WS1.lab.example", "event_id": str(event_id), "provider_name": "p"}
    return {"@timestamp": "2026-03-04T05:06:06.000Z", "winlog": winlog | {"event_data": data}}


@needs_elasticsearch
@pytest.mark.parametrize(
    ("rule", "seen", "expected"),
    [
        (sigma({"Image|endswith": "\\WHOAMI.exe"}), document(SYSMON, 1, Image="C:\\w\\whoami.EXE"), True),
        (sigma({"Image|cased": "C:\\a.exe"}), document(SYSMON, 1, Image="C:\\A.exe"), False),
        (sigma({"Image|contains": "a\\*b?"}), document(SYSMON, 1, Image="C:\\A*Bc"), True),
        (sigma({"Image|contains": "a\\*b?"}), document(SYSMON, 1, Image="C:\\AxBc"), False),
        (sigma({"Image|re": "\\\\[ab]\\.exe$"}), document(SYSMON, 1, Image="C:\\a.exe"), True),
        (sigma({"Image|re": "\\\\[AB]\\.exe$"}), document(SYSMON, 1, Image="C:\\a.exe"), False),
        (sigma({"Image|re|i": "\\\\[AB]\\.EXE$"}), document(SYSMON, 1, Image="C:\\a.exe"), True),
        (sigma({"User": None}), document(SYSMON, 1, Image="C:\\a.exe"), True),
        (NOT_X, document(SYSMON, 1, Image="a"), True),
        (sigma({"Initiated": "true"}, logsource=NETWORK), document(SYSMON, 3, Initiated="true"), True),
        (sigma({"Initiated": "true"}, logsource=NETWORK), document(SYSMON, 3, Initiated="false"), False),
        (sigma({"DestinationPort": [5985, 5986]}, logsource=NETWORK), document(SYSMON, 3, DestinationPort="5986"), True),
        (sigma({"DestinationPort|gte": 5986}, logsource=NETWORK), document(SYSMON, 3, DestinationPort="5985"), False),
        (sigma({"DestinationIp|cidr": "fe80::/10"}, logsource=NETWORK), document(SYSMON, 3, DestinationIp="fe80::1"), True),
        (sigma({"EventID": 5156, "DestPort": 5985}, logsource=SECURITY), document("Security", 5156, DestPort="5985"), True),
        (STARTED, document(CLASSIC_LOG, 400, param3="\tHostName=ServerX"), True),
        (STARTED, document(CLASSIC_LOG, 400, param3="\tHostName=Console"), False),
    ],
)  # fmt: skip
def test_single_tests(server: Elasticsearch, index: str, rule: Rule, seen: dict[str, Any], expected: bool) -> None:
    assert matcher(rule.logic)(winlogbeat.read(seen, "x")) is expected
    server.index(index=index, document=ingested(seen, datetime.now(UTC)), refresh=True)
    assert server.count(index=index, query=es_filter(rule)[0])["count"] == expected


@pytest.mark.parametrize(
    ("rule", "named"),
    [
        (on("System", {"A|fieldref": "B"}), "compares the fields"),
        (on("System", {"A|gt": 5}), "computes values"),
        (on("System", {"A|re": "a(?=b)"}), "look-ahead"),
        (on("System", {"A|re": "x" * 1200}), "characters"),
    ],
)
def test_what_a_filter_cannot_say_is_named(rule: Rule, named: str) -> None:
    with pytest.raises(NotExpressible, match=named):
        es_filter(rule)


def logged(raw: Mapping[str, object], number: int) -> dict[str, Any]:
    """A recorded event as winlogbeat would have shipped it."""
    event = recorded()[number]
    head = {"Channel", "Hostname", "EventID", "SourceName", "Message", "@timestamp", "@version", "host", "port", "tags"}
    data = {name: str(value) for name, value in raw.items() if name not in head and value not in (None, "")}
    if isinstance(unnamed := event.flat.get("data"), str):
        data["param1"] = unnamed
    winlog = {"channel": event.channel, "computer_name": event.host, "event_id": str(event.event_id), "provider_name": event.provider}
    made = {"@timestamp": event.time.isoformat(), "winlog": winlog | {"event_data": data}, "message": raw.get("Message", "")}
    return ingested(made, datetime.now(UTC))


@needs_recordings
@needs_elasticsearch
def test_recordings(server: Elasticsearch, index: str) -> None:
    """A sample of the recorded events: those that some rule finds, as far as their values are not too long for a term, and others."""
    found = sorted({number for numbers in hits().values() for number in numbers})[:1500]
    short = {
        number
        for number in (*found, *range(0, len(recorded()), 20))
        if all(len(str(value)) < 8000 for value in recorded()[number].flat.values())
    }
    actions = ({"_index": index, "_id": str(number), "_source": logged(recorded()[number].raw, number)} for number in sorted(short))
    helpers.bulk(server, actions, refresh=True)
    asked = 0
    wrong = {}
    for rule in telling(150, seed=5):
        try:
            filter, _, _ = es_filter(rule)
        except NotExpressible:
            continue
        asked += 1
        answered = server.search(index=index, query=filter, size=3000, source=False)["hits"]["hits"]
        ids = {int(hit["_id"]) for hit in answered}
        if ids != hits().get(rule.id, frozenset()) & short:
            wrong[rule.title] = (len(ids), len(hits().get(rule.id, frozenset()) & short))
    assert not wrong
    assert asked > 150


def test_a_rule_file_is_whole() -> None:
    rule = sigma({"Image|endswith": "\\a.exe"}, description="what: it is # about")
    (said,) = translate(rule, ["elastalert"]).translations
    content = yaml.safe_load(said.text)
    assert content == {
        "name": f"made [{rule.id}]",
        "description": "what: it is # about",
        "type": "any",
        "index": "winlogbeat-*,logs-system.*,logs-windows.*",
        "timestamp_field": "@timestamp",
        "priority": 3,
        "realert": {"minutes": 0},
        "filter": [es_filter(rule)[0]],
        "alert": ["debug"],
    }
    assert yaml.safe_load(over(said.text, ["a-*", "b"])) == content | {"index": "a-*,b"}
    assert [(trap.name, trap.mended) for trap in said.traps] == [("case", True)]
    assert file_name(rule) == f"{rule.id}.yaml"


@pytest.mark.parametrize(("id", "name"), [("../x", "%2f"), (".hidden", "hidden.yaml"), ("a b", "a%20b.yaml")])
def test_a_file_is_named_by_whatever_id(id: str, name: str) -> None:
    found = file_name(replace(sigma({"Image": "a"}), id=id))
    assert name in found
    assert "/" not in found
    assert not found.startswith(".")


def test_a_sequence_is_refused() -> None:
    text = 'sequence by host.id\n [process where process.name == "a"]\n [process where process.name == "b"]'
    head = {
        "name": "n",
        "rule_id": "r",
        "type": "eql",
        "language": "eql",
        "risk_score": 1,
        "severity": "low",
        "description": "d",
        "query": text,
    }
    content = "[rule]\n" + "\n".join(f"{key} = {json.dumps(value)}" for key, value in head.items())
    (rule,) = ElasticRules().parse(content, "made.toml")
    (said,) = translate(rule, ["elastalert"]).translations
    assert "several events together" in said.refused


@needs_recordings
@needs_elasticsearch
def test_every_filter_is_one_that_elasticsearch_takes(server: Elasticsearch, index: str) -> None:
    rules = [*telling(100, seed=11), *elastic()]
    said = 0
    for rule in rules:
        try:
            filter, _, _ = es_filter(rule)
        except NotExpressible:
            continue
        said += 1
        server.search(index=index, query=filter, size=0)
    assert said > len(rules) / 2
