"""Shipping to a real Elasticsearch: everything arrives, and once, whatever the server and the wire do meanwhile."""

from __future__ import annotations

import json
import os
import secrets
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest
from elasticsearch import Elasticsearch

from harness.clock import SystemClock
from harness.events import winlogbeat
from harness.siem.elastic.shipping import BATCH, Logged, Shipper, make_ready
from harness.siem.elastic.wire import Connection, Wire
from servers import elasticsearch, machine
from servers.machine import Place
from tests.events.event_builders import process_created
from tests.needs import needs_elasticsearch
from tests.siem.elastic_bench import server_url
from tests.siem.faulty_proxy import cut_in_the_body, cut_off, faulty_proxy, status, truncated

pytestmark = needs_elasticsearch

CANARY = f"canary-{secrets.token_hex(8)}"


class HostLog:
    """A log that grows, and is read from wherever its reader came to."""

    def __init__(self) -> None:
        self.entries: list[Logged] = []
        self.most_read = 0

    def read(self, place: int, most: int) -> list[Logged]:
        found = self.entries[place : place + most]
        self.most_read = max(self.most_read, len(found))
        return found

    def grow(self, count: int, **changed: object) -> None:
        now = datetime.now(UTC)
        for number in range(len(self.entries) + 1, len(self.entries) + count + 1):
            document = winlogbeat.render(process_created(number, created=now)) | changed
            self.entries.append(Logged(place=number, id=f"event-{number}", document=json.dumps(document)))


@contextmanager
def shipping(log: HostLog, connection: Connection, index: str) -> Iterator[Shipper]:
    shipper = Shipper(log.read, 0, Wire(connection), index, SystemClock())
    shipper.start()
    try:
        yield shipper
    finally:
        shipper.stop()


def arrived(shipper: Shipper, count: int, seconds: float = 60) -> bool:
    return machine.wait_until(lambda: shipper.shipped.sent >= count, seconds=seconds)


@pytest.fixture
def index() -> Iterator[str]:
    name = f"winlogbeat-ship-{secrets.token_hex(4)}"
    yield name
    with Elasticsearch(server_url()) as admin:
        admin.indices.delete(index=name, ignore_unavailable=True)
        admin.indices.delete_index_template(name=f"purple-harness-{name}")


def ids(admin: Elasticsearch, index: str) -> list[str]:
    admin.indices.refresh(index=index)
    hits = admin.search(index=index, size=10_000, source=False)["hits"]["hits"]
    return sorted(hit["_id"] for hit in hits)


def test_everything_arrives_once_through_every_fault_of_the_wire(index: str) -> None:
    log = HostLog()
    with faulty_proxy(server_url()) as proxy, Elasticsearch(server_url()) as admin:
        log.grow(2 * BATCH + 3)
        # The last two are met when the server has stored what it was sent.
        proxy.faults.extend([cut_off, status(503), status(429, retry_after="1"), truncated, cut_in_the_body])
        with shipping(log, Connection(urls=(proxy.url,), timeout=5), index) as shipper:
            assert arrived(shipper, len(log.entries))
            proxy.faults.extend([truncated, cut_in_the_body, status(429, retry_after="1")])
            log.grow(7)
            assert arrived(shipper, len(log.entries))
            assert not proxy.faults
            assert (shipper.shipped.refused, shipper.shipped.trouble) == (0, "")
        assert ids(admin, index) == sorted(entry.id for entry in log.entries)
    assert log.most_read == BATCH, "no more is held than one batch"


def test_what_the_log_got_last_is_shipped_before_the_end(index: str) -> None:
    log = HostLog()
    with Elasticsearch(server_url()) as admin:
        with shipping(log, Connection(urls=(server_url(),)), index) as shipper:
            log.grow(1)
            assert arrived(shipper, 1)
            log.grow(BATCH + 1)
        assert len(ids(admin, index)) == BATCH + 2


def test_a_server_that_is_killed_and_comes_back_gets_everything() -> None:
    name = f"tests-ship-{os.getpid()}"
    place = elasticsearch.start(name)
    try:
        log = HostLog()
        with shipping(log, Connection(urls=(place.url,), timeout=5), "winlogbeat-lab") as shipper:
            log.grow(10)
            assert arrived(shipper, 10)
            os.kill(place.pid, signal.SIGKILL)
            assert machine.wait_until(lambda: not machine.alive(place), seconds=10)
            log.grow(3 * BATCH)
            assert machine.wait_until(lambda: "cannot be reached" in shipper.shipped.trouble, seconds=30)
            elasticsearch.restart(place)
            log.grow(10)
            assert arrived(shipper, len(log.entries), seconds=120), shipper.shipped
        with Elasticsearch(place.url) as admin:
            assert ids(admin, "winlogbeat-lab") == sorted(entry.id for entry in log.entries)
    finally:
        elasticsearch.stop(name)


def test_an_event_that_the_server_will_never_take_stops_no_other(index: str, caplog: pytest.LogCaptureFixture) -> None:
    log = HostLog()
    log.grow(1)
    log.grow(1, winlog=winlogbeat.render(process_created(2, created=datetime.now(UTC)))["winlog"], host="a text where an object must be")
    log.grow(1)
    with Elasticsearch(server_url()) as admin:
        with shipping(log, Connection(urls=(server_url(),)), index) as shipper:
            assert arrived(shipper, 2)
            assert shipper.shipped.refused == 1
        assert ids(admin, index) == ["event-1", "event-3"]
    assert "refused 1 events for ever (400, document_parsing_exception)" in caplog.text


def test_fields_have_the_types_that_rules_assume(index: str) -> None:
    wire = Wire(Connection(urls=(server_url(),)))
    make_ready(wire, index)
    make_ready(wire, index)
    wire.close()
    with Elasticsearch(server_url()) as admin:
        fields = ("source.ip", "source.port", "process.pid", "message", "winlog.event_data.param3", "winlog.event_id", "@timestamp")
        found = admin.indices.get_field_mapping(index=index, fields=fields)[index]["mappings"]
        types = {name: next(iter(value["mapping"].values()))["type"] for name, value in found.items()}
    assert types == {
        "source.ip": "ip",
        "source.port": "long",
        "process.pid": "long",
        "message": "text",
        "winlog.event_data.param3": "keyword",
        "winlog.event_id": "keyword",
        "@timestamp": "date",
    }


@pytest.fixture(scope="module")
def secure() -> Iterator[Place]:
    name = f"tests-shipsec-{os.getpid()}"
    try:
        yield elasticsearch.start(name, security=True)
    finally:
        elasticsearch.stop(name)


@pytest.mark.parametrize(
    ("user", "password", "why"),
    [
        ("reader", None, "does not allow it (403"),
        ("none", None, "does not allow it (403"),
        ("admin", CANARY, "does not accept the credentials (401"),
    ],
    ids=["reader", "nobody", "stranger"],
)
def test_who_may_not_write_is_told_and_tries_no_more(
    secure: Place, user: str, password: str | None, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    log = HostLog()
    log.grow(1)
    ways = Connection(urls=(secure.url,), user=user, password=password or secure.secrets[user], ca_file=secure.files["ca"])
    with shipping(log, ways, "winlogbeat-lab") as shipper:
        assert machine.wait_until(lambda: shipper.gave_up, seconds=30)
        assert why in shipper.shipped.trouble
    assert why in caplog.text
    assert CANARY not in caplog.text


def test_who_may_write_ships(secure: Place) -> None:
    log = HostLog()
    log.grow(3)
    ways = Connection(urls=(secure.url,), user="admin", password=secure.secrets["admin"], ca_file=secure.files["ca"])
    with shipping(log, ways, "winlogbeat-lab") as shipper:
        assert arrived(shipper, 3)
