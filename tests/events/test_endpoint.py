"""The Elastic Endpoint's documents as events: read whole, seen under ECS names, told from other documents, and tied to sessions."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from harness.core.attribute import HostAttribution
from harness.core.keys import keys_of, starts_session
from harness.core.transport import transport_caused
from harness.events import endpoint
from harness.events.ecs import ecs_fields
from harness.events.read import read_event, read_events
from harness.logic.match import matcher
from harness.logic.needs import able_kinds, kinds, reads, rule_kinds
from harness.logic.sequence import find_all
from harness.model.facts import Event
from harness.model.verdicts import Basis
from harness.rules.elastic import ElasticRules
from harness.rules.eql import parse_eql
from lab.process import RULE_PACK
from tests.builders import T0, RemoteSession, observed, planned
from tests.events.endpoint_documents import EndpointSession, entity

SESSION = EndpointSession(start=T0)
OTHER = EndpointSession(start=T0, port=50002, pid=5000, logon=0xA002, run="y")
OURS = RemoteSession(tag="one", port=50001, pid=4000, logon=0xA001)


def events(session: EndpointSession, tag: str = "") -> list[Event]:
    return [endpoint.read(document, f"{tag}{number}") for number, document in enumerate(session.documents())]


CONNECTION, LOGON, HOST, CHILD, ENDED = range(5)


def test_a_document_is_read_whole() -> None:
    event = events(SESSION)[CHILD]
    assert (event.channel, event.event_id, event.host) == ("endpoint.events.process", 0, "ws1")
    assert event.time == T0.replace(microsecond=200_000)
    fields = ecs_fields(event)
    assert fields["event.category"] == ["process"]
    assert fields["process.parent.name"] == "wsmprovhost.exe"
    assert fields["process.ext.ancestry"] == [entity(4000), entity(900)]
    assert fields["host.id"] == "2beebb8e-e5f0-46ca-8635-000000000ws1"
    assert fields["host.os.type"] == "windows"
    assert "winlog.channel" not in fields
    assert "event.code" not in fields


def test_names_may_be_dotted_and_the_security_logs_are_the_endpoints_too() -> None:
    whole = SESSION.documents()[CHILD]
    dotted = dict(endpoint.leaves(whole))
    assert endpoint.read(dotted, "x").flat == endpoint.read(whole, "x").flat
    assert endpoint.holds(dotted)
    logon = SESSION.documents()[LOGON]
    assert "winlog" in logon
    assert read_event(logon, "x").channel == "endpoint.events.security"


@pytest.mark.parametrize(
    ("change", "lacks"),
    [
        ({"data_stream": {"dataset": "endpoint.alerts"}, "event": {}}, "data set"),
        ({"data_stream": {}, "event": {"dataset": 7}}, "data set"),
        ({"host": {}}, "host.name"),
        ({"host": {"name": ["a", "b"]}}, "host.name"),
        ({"@timestamp": 5}, "@timestamp"),
        ({"@timestamp": "yesterday"}, "isoformat"),
        ({"@timestamp": "2026-03-01T12:00:00"}, "zone"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_is_no_event_is_refused_by_name(change: dict[str, Any], lacks: str) -> None:
    with pytest.raises(ValueError, match=lacks):
        endpoint.read(SESSION.documents()[HOST] | change, "x")


def test_a_deep_document_ends(tmp_path: Path) -> None:
    deep: dict[str, Any] = {}
    inner = deep
    for _ in range(500):
        inner = inner.setdefault("a", {})
    assert endpoint.read(SESSION.documents()[HOST] | {"deep": deep}, "x").host == "ws1"


def test_recordings_of_them_are_read(tmp_path: Path) -> None:
    file = tmp_path / "endpoint.ndjson"
    file.write_text("\n".join(json.dumps(document) for document in SESSION.documents()))
    assert [event.channel.rpartition(".")[2] for event in read_events(file)] == ["network", "security", "process", "process", "process"]


@pytest.mark.parametrize(
    ("query", "fits"),
    [
        ('process where event.type == "start" and process.name : "whoami.exe"', {CHILD}),
        ('process where event.type == "end"', {ENDED}),
        ('process where not event.type == "end"', {HOST, CHILD}),
        ('process where event.type in ("start", "process_started") and process.parent.name : "wsmprovhost.exe"', {CHILD}),
        ('network where network.direction : ("incoming", "ingress") and destination.port == 5985', {CONNECTION}),
        ('network where cidrMatch(source.ip, "10.0.0.0/8") and process.pid == 4', {CONNECTION}),
        ('authentication where event.action == "log_on" and user.target.name : "PURPLE"', {LOGON}),
        ("any where event.module == \"endpoint\" and process.Ext.token.elevation == true", {HOST, CHILD, ENDED}),
        ('any where data_stream.dataset : "endpoint.events.*"', {CONNECTION, LOGON, HOST, CHILD, ENDED}),
        ('file where event.type == "creation"', set()),
        ('process where process.code_signature.subject_name == "Microsoft Windows" and event.type == "start"', {HOST, CHILD}),
    ],
)  # fmt: skip
def test_what_elastics_queries_find_among_them(query: str, fits: set[int]) -> None:
    logic = parse_eql(query).logic
    found = events(SESSION)
    assert {number for number, event in enumerate(found) if matcher(logic)(event)} == fits
    wanted = kinds(logic)
    assert all(reads(wanted, found[number].channel, 0) for number in fits), "an index by kinds must not hide them"


def test_no_windows_kind_is_less_able_for_them() -> None:
    logic = parse_eql('process where event.type == "start" and process.parent.name : "a.exe"').logic
    assert {channel for channel, _ in able_kinds(logic)} == {"microsoft-windows-sysmon/operational", "security"}


def test_elastics_own_sequence_is_found_in_them() -> None:
    (path,) = (RULE_PACK / "elastic").glob("session_child_after_connection.toml")
    (rule,) = ElasticRules().load(path)
    assert rule.pattern is not None
    found = list(find_all(rule.pattern, events(SESSION)))
    assert [[event.id for event in match] for match in found] == [[str(CONNECTION), str(CHILD)]]
    assert all(reads(rule_kinds(rule), event.channel, event.event_id) for match in found for event in match)


# --- whose they are --------------------------------------------------------------------------------------------------------


def attributed(*sessions: EndpointSession, known: bool = True) -> list[tuple[str, Basis] | None]:
    host = HostAttribution()
    first = events(sessions[0])
    for number, session in enumerate(sessions):
        for event in events(session, f"{number}-" if number else ""):
            host.observed(observed(event))
    host.detonated(OURS.detonation(planned("one/1@ws1"), known=known))
    found = [host.of_event(event) for event in first]
    return [(each.detonation, each.basis) if each is not None else None for each in found]


def test_every_event_of_a_session_is_exact_beside_another_session() -> None:
    assert attributed(SESSION, OTHER) == [("one/1@ws1", Basis.EXACT)] * 5


def test_another_sessions_events_are_nobodys() -> None:
    assert attributed(OTHER, SESSION)[:1] + attributed(OTHER, SESSION)[2:] == [None] * 4


def test_a_session_that_never_told_its_process_owns_its_connection_alone_exactly() -> None:
    found = attributed(SESSION, OTHER, known=False)
    assert found[CONNECTION] == ("one/1@ws1", Basis.EXACT)
    assert Basis.EXACT not in {each[1] for each in found[HOST:] if each is not None}


def test_a_grandchild_is_owned_by_its_ancestry_where_its_parents_start_was_not_seen() -> None:
    document = SESSION.documents()[CHILD]
    process = document["process"]
    line = [entity(7000), entity(4000), entity(900)]
    far = document | {"process": process | {"pid": 7004, "entity_id": entity(7004), "Ext": {"ancestry": line}, "parent": {"pid": 7000}}}
    host = HostAttribution()
    for event in events(SESSION)[: HOST + 1]:
        host.observed(observed(event))
    grandchild = endpoint.read(far, "far")
    host.observed(observed(grandchild))
    host.detonated(OURS.detonation(planned("one/1@ws1")))
    found = host.of_event(grandchild)
    assert found is not None
    assert found.basis is Basis.EXACT


def test_keys_of_both_ages_of_the_endpoint_and_of_connections_that_go_out() -> None:
    socket = ("socket", "10.77.0.5:50001")
    for direction, bears in (("ingress", True), ("incoming", True), ("egress", False), ("outgoing", False)):
        keys = keys_of(endpoint.read(SESSION.connection(direction), "x"))
        assert (socket in keys.claims, socket in keys.session) == (bears, bears)


def test_entity_ids_differ_by_case() -> None:
    event = events(SESSION)[HOST]
    other = replace(event, flat={**event.flat, "process.entity_id": str(event.flat["process.entity_id"]).swapcase()})
    assert not {key for key in keys_of(event).grants if key[0] == "guid"} & keys_of(other).claims


def test_what_the_session_alone_leaves() -> None:
    found = events(SESSION)
    identity = OURS.identity
    assert [transport_caused(event, identity) for event in found] == [True, True, True, False, False]
    assert [starts_session(event) for event in found] == [False, False, True, False, False]


def test_time_is_utc() -> None:
    document = SESSION.documents()[HOST] | {"@timestamp": "2026-03-01T14:00:00.1234567+02:00"}
    assert endpoint.read(document, "x").time == datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
