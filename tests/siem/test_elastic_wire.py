"""The wire when the other side misbehaves: every fault in the words of `harness.errors`, nothing tried twice, no secret in any text."""

from __future__ import annotations

import json
import logging
import traceback
from base64 import b64encode
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from harness.errors import SiemDenied, SiemError, SiemUnavailable, UsageError
from harness.siem.elastic.wire import Connection, Search, Wire
from tests.siem.faulty_proxy import Fault, FaultyProxy, cut_off, faulty_proxy, hang, product, status

CANARY = "canary-7f3a9c"
SEARCH = Search(index="x", query={"match_all": {}})
ERROR = {"error": {"root_cause": [{"type": "security_exception", "reason": "because"}], "type": "x"}, "status": 1}


@pytest.fixture
def proxy() -> Iterator[FaultyProxy]:
    with faulty_proxy("http://127.0.0.1:9") as made:
        yield made


def response(**changed: object) -> bytes:
    whole = {"took": 1, "timed_out": False, "_shards": {"total": 1, "failed": 0}, "hits": {"hits": []}, "status": 200}
    return json.dumps({"responses": [whole | changed]}).encode()


def failed(proxy: FaultyProxy, fault: Fault, connection: Connection | None = None) -> SiemError:
    proxy.faults.append(fault)
    wire = Wire(connection or Connection(urls=(proxy.url,), timeout=0.5))
    try:
        with pytest.raises(SiemError) as raised:
            wire.search([SEARCH])
    finally:
        wire.close()
    assert len(proxy.seen) == 1  # the retries are the engine's
    return raised.value


@pytest.mark.parametrize(
    ("fault", "kind", "said"),
    [
        (status(401, json.dumps(ERROR).encode()), SiemDenied, "does not accept the credentials (401, security_exception, because)"),
        (status(403, json.dumps(ERROR).encode()), SiemDenied, "does not allow it (403, security_exception, because)"),
        (status(429), SiemUnavailable, "(429)"),
        (status(502), SiemUnavailable, "(502)"),
        (status(503, b"<html>busy</html>", content_type="text/html"), SiemUnavailable, "(503)"),
        (status(503, b"", content_type=""), SiemUnavailable, "(503)"),
        (status(504), SiemUnavailable, "(504)"),
        (status(400, json.dumps(ERROR).encode()), SiemError, "refused the request (400, security_exception, because)"),
        (status(500), SiemError, "(500)"),
        (status(200, b"{}"), SiemError, "not an Elasticsearch"),
        (status(200, b"<html>", content_type="text/html"), SiemError, "not an Elasticsearch"),
        (product(b'{"responses": ['), SiemUnavailable, "cut short or no JSON"),
        (product(b"{}"), SiemUnavailable, "does not answer as Elasticsearch does"),
        (product(b"[]"), SiemUnavailable, "does not answer as Elasticsearch does"),
        (product(b'{"responses": []}'), SiemUnavailable, "does not answer as Elasticsearch does"),
        (product(b'{"responses": [7]}'), SiemUnavailable, "does not answer as Elasticsearch does"),
        (product(response(hits=None)), SiemUnavailable, "does not answer as Elasticsearch does"),
        (product(response(timed_out=True)), SiemUnavailable, "only a part was searched"),
        (product(response(_shards={"total": 2, "failed": 1})), SiemUnavailable, "(503"),
        (
            product(response(_shards={"total": 2, "failed": 1, "failures": [{"status": 400, "reason": {"type": "parse_exception"}}]})),
            SiemError,
            "refused the request (400, parse_exception)",
        ),
        (product(response(error=ERROR["error"], status=403)), SiemDenied, "security_exception"),
        (product(response(error=ERROR["error"], status=429)), SiemUnavailable, "(429"),
        (cut_off, SiemUnavailable, "cannot be reached"),
        (hang, SiemUnavailable, "did not answer in time"),
    ],
)
def test_a_fault_has_its_error(proxy: FaultyProxy, fault: Fault, kind: type[SiemError], said: str) -> None:
    error = failed(proxy, fault)
    assert type(error) is kind
    assert said in str(error)


def test_a_document_that_cannot_be_fetched_now_is_not_one_that_is_not_there(proxy: FaultyProxy) -> None:
    there = {"_index": "x", "_id": "1", "found": True, "_source": {}}
    gone = {"_index": "x", "_id": "2", "error": {"type": "index_not_found_exception"}}
    away = {"_index": "x", "_id": "2", "error": {"type": "no_shard_available_action_exception"}}
    wire = Wire(Connection(urls=(proxy.url,)))
    references = [("x", "1"), ("x", "2")]
    proxy.faults.append(product(json.dumps({"docs": [there, gone]}).encode()))
    assert set(wire.documents(references)) == {("x", "1")}
    proxy.faults.append(product(json.dumps({"docs": [there, away]}).encode()))
    with pytest.raises(SiemUnavailable, match="cannot fetch a document now, no_shard_available"):
        wire.documents(references)
    wire.close()


@pytest.mark.parametrize("code", [401, 403, 404, 405, 503])
def test_who_does_not_tell_its_version_may_be_asked_all_else(proxy: FaultyProxy, code: int) -> None:
    wire = Wire(Connection(urls=(proxy.url,)))
    proxy.faults.extend([status(code), product(response())])
    assert wire.version() == ""
    assert wire.search([SEARCH])[0].shards == 1
    wire.close()


def test_nobody_listens() -> None:
    wire = Wire(Connection(urls=("http://127.0.0.1:9",)))
    with pytest.raises(SiemUnavailable, match="cannot be reached"):
        wire.search([SEARCH])


@pytest.mark.parametrize(
    ("told", "least", "most"),
    [
        ("7", 7, 7),
        ("0", 0, 0),
        ("soon", 0, 0),
        ("-5", 0, 0),
        ("\u0667", 0, 0),
        (format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True), 3000, 3600),
        (format_datetime(datetime.now(UTC) - timedelta(hours=1), usegmt=True), 0, 0),
    ],
    ids=["seconds", "at once", "words", "negative", "another script's digit", "in an hour", "an hour ago"],
)
def test_retry_after(proxy: FaultyProxy, told: str, least: float, most: float) -> None:
    error = failed(proxy, status(429, retry_after=told.encode().decode("latin-1")))
    assert isinstance(error, SiemUnavailable)
    assert least <= error.retry_after <= most


@pytest.mark.parametrize(
    "ways",
    [{"user": "purple", "password": CANARY}, {"api_key": CANARY}, {"bearer": CANARY}],
    ids=["basic", "api_key", "bearer"],
)
@pytest.mark.parametrize("code", [400, 401, 403, 429, 503])
def test_a_secret_that_the_server_echoes_is_in_no_text(
    proxy: FaultyProxy, caplog: pytest.LogCaptureFixture, ways: dict[str, str], code: int
) -> None:
    basic = b64encode(f"purple:{CANARY}".encode()).decode()
    reason = {"type": f"you said {CANARY}", "reason": f"Basic {basic}"}
    connection = Connection(urls=(proxy.url,), timeout=0.5, **ways)  # type: ignore[arg-type]
    with caplog.at_level(logging.DEBUG):
        error = failed(proxy, status(code, json.dumps({"error": reason}).encode()), connection)
    told = "".join(traceback.format_exception(error)) + repr(error) + repr(connection) + caplog.text
    assert CANARY not in told
    if "password" in ways:
        assert basic not in told


def test_what_cannot_be_used_is_an_error_of_usage() -> None:
    with pytest.raises(UsageError, match=r"siem\.ca_file /nowhere/ca\.pem cannot be used"):
        Wire(Connection(urls=("https://127.0.0.1:9",), ca_file="/nowhere/ca.pem"))
    with pytest.raises(UsageError, match=r"\[siem\] cannot be used"):
        Wire(Connection(cloud_id="no cloud id"))


def test_a_node_that_is_down_is_passed_over(proxy: FaultyProxy) -> None:
    proxy.faults.extend([product(response())] * 2)
    wire = Wire(Connection(urls=("http://127.0.0.1:9", proxy.url), timeout=0.5))
    answered = []
    for _ in range(3):
        try:
            answered += wire.search([SEARCH])
        except SiemUnavailable:
            continue
    wire.close()
    assert len(answered) == 2


def test_through_a_proxy(proxy: FaultyProxy) -> None:
    proxy.faults.append(product(response()))
    wire = Wire(Connection(urls=("http://siem.invalid:9200",), proxy=proxy.url))
    assert wire.search([SEARCH])[0].shards == 1
    wire.close()
    assert proxy.seen == ["POST http://siem.invalid:9200/_msearch"]
