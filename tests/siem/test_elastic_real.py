"""The adapter on a real Elasticsearch: pages, clocks, late events, what ElastAlert2's documents mean, rights, faults and a restart."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from elasticsearch import Elasticsearch, helpers

from harness.errors import SiemDenied, SiemError, SiemUnavailable
from harness.events import winlogbeat
from harness.model.facts import Facts, Watch
from harness.siem.elastic.client import ElasticSiem
from harness.siem.elastic.elastalert import ElastAlert
from harness.siem.elastic.wire import PAGE, Connection, Search, Wire
from servers import elasticsearch, machine
from servers.machine import Place
from tests.events.event_builders import process_created
from tests.needs import needs_elasticsearch
from tests.siem.contract_siem import watching
from tests.siem.elastic_bench import ElasticBench, elastic_bench, server_url
from tests.siem.faulty_proxy import FaultyProxy, cut_in_the_body, cut_off, faulty_proxy, passed_on, status, truncated
from tests.siem.siem_builders import HOSTNAME, INGEST_DELAY, INTERVAL, LOOK_BACK, OTHER, WHOAMI, sigma
from tests.siem.tunnel import tunnel

pytestmark = needs_elasticsearch

JITTER = timedelta(seconds=5)


@pytest.fixture
def on() -> Iterator[ElasticBench]:
    with elastic_bench() as made:
        yield made


def sweep(on: ElasticBench, cursor: str = "", *watches: Watch) -> Facts:
    return on.siem.sweep(watches or (watching(on),), cursor)


def records(facts: Facts) -> list[Any]:
    return sorted(fact.event.raw["winlog"]["record_id"] for fact in facts.observed)  # type: ignore[index]


def ship(on: ElasticBench, numbers: range, time: datetime, **extra: Any) -> None:
    """Many events at once, all of one time."""
    events = (process_created(number, created=time, image="x.exe") for number in numbers)
    actions = ({"_index": on.events, "_source": winlogbeat.render(event) | extra} for event in events)
    helpers.bulk(on.admin, actions, refresh=True)


def write(on: ElasticBench, suffix: str, **document: Any) -> None:
    times = {key: value.isoformat() if isinstance(value, datetime) else value for key, value in document.items()}
    on.admin.index(index=f"{on.writeback}{suffix}", document=times, refresh=True)


def status_of(on: ElasticBench, name: str, *, matches: int = 0, at: datetime | None = None, look_back: timedelta = LOOK_BACK) -> None:
    at = at or on.clock.now()
    times = {"starttime": at - look_back, "endtime": at, "@timestamp": at}
    write(on, "_status", rule_name=name, matches=matches, hits=3, time_taken=0.0, **times)


# --- events ----------------------------------------------------------------------------------------------------------------


def test_what_fills_more_than_a_page_is_read_whole_and_once(on: ElasticBench) -> None:
    count = 2 * PAGE + 500
    ship(on, range(count), on.clock.now())
    found = records(sweep(on))
    assert found == list(range(count))


def test_a_page_that_is_just_full(on: ElasticBench) -> None:
    ship(on, range(PAGE), on.clock.now())
    first = sweep(on)
    assert records(first) == list(range(PAGE))
    assert not sweep(on, first.cursor).observed


def test_a_host_whose_clock_is_hours_wrong(on: ElasticBench) -> None:
    for hours in (-3, 3):
        host = f"off{hours}".replace("-", "m")
        shift = timedelta(hours=hours)
        watch = Watch(host=host, since=on.start + min(shift, timedelta(0)) - timedelta(seconds=5), rules=frozenset())
        on.log(1, "a.exe", host=host, age=-shift.total_seconds())
        on.settle()
        first = sweep(on, "", watch)
        on.clock.wait(30)
        on.log(2, "b.exe", host=host, age=-shift.total_seconds())
        on.settle()
        second = sweep(on, first.cursor, watch)
        assert (records(first), records(second)) == ([1], [2])


def test_one_event_from_the_future_hides_none_that_follow(on: ElasticBench) -> None:
    on.log(1, "a.exe", age=-365 * 86400)
    on.settle()
    first = sweep(on)
    on.log(2, "b.exe")
    on.settle()
    assert records(sweep(on, first.cursor)) == [2]


def test_what_comes_very_late_is_found_where_a_pipeline_stamps_it(on: ElasticBench) -> None:
    watch = Watch(host="ws1", since=on.start - timedelta(hours=2), rules=frozenset())
    ship(on, range(1), on.clock.now())
    first = sweep(on, "", watch)
    ship(on, range(7, 8), on.clock.now() - timedelta(hours=1), event={"ingested": on.clock.now().isoformat()})
    assert records(sweep(on, first.cursor, watch)) == [7]


@pytest.mark.parametrize("name", ["WS1", "ws1", "Ws1.lab.example", "WS1.LAB.EXAMPLE"])
def test_a_host_is_found_however_it_is_written(on: ElasticBench, name: str) -> None:
    ship_as = winlogbeat.render(process_created(1, created=on.clock.now(), computer=name))
    on.admin.index(index=on.events, document=ship_as, refresh=True)
    assert records(sweep(on)) == [1]


def test_hosts_of_alike_names_and_documents_that_are_no_events_are_left_out(on: ElasticBench) -> None:
    for name in ("ws10.lab.example", "myws1", "my-ws1.lab.example", "ws"):
        on.admin.index(index=on.events, document=winlogbeat.render(process_created(1, created=on.clock.now(), computer=name)))
    endpoint = {"@timestamp": on.clock.now().isoformat(), "host": {"name": "ws1"}, "event": {"category": ["process"]}}
    on.admin.index(index=on.events, document=endpoint, refresh=True)
    assert not sweep(on).observed


def test_the_number_of_requests_does_not_grow_with_what_is_open(on: ElasticBench) -> None:
    counts = []
    with faulty_proxy(server_url()) as proxy:
        siem = behind(on, proxy)
        siem.check(frozenset())
        for number in (1, 500):
            ids = [f"00000000-0000-4000-8000-{index:012d}" for index in range(number)]
            watches = [Watch(host=f"ws{index}", since=on.start, rules=frozenset({id})) for index, id in enumerate(ids)]
            proxy.seen.clear()
            cursor = siem.sweep(watches, "").cursor
            siem.sweep(watches, cursor)
            counts.append(list(proxy.seen))
    assert counts == [["POST /_msearch"] * 2] * 2


# --- what ElastAlert2 writes ---------------------------------------------------------------------------------------------------


def proofs(facts: Facts) -> list[tuple[bool, str]]:
    return [(run.ok, run.message) for run in facts.runs]


def test_a_run_is_no_proof_before_its_alerts_are_there(on: ElasticBench) -> None:
    """The two are in different indices, which are refreshed at different times."""
    at = on.clock.now()
    status_of(on, f"x [{WHOAMI}]", matches=1, at=at)
    first = sweep(on)
    write(on, "", rule_name=f"x [{WHOAMI}]", alert_time=at, match_body={"a": 1}, **{"@timestamp": at})
    second = sweep(on, first.cursor)
    assert proofs(first) == [(False, "1 matches, 0 alerts of them: the others are dropped, or not searchable yet")]
    assert proofs(second) == [(True, "")]
    assert [run.id for run in first.runs] == [run.id for run in second.runs]


def test_a_silenced_run_is_no_proof_and_says_so(on: ElasticBench) -> None:
    at = on.clock.now()
    until = at + timedelta(days=1)
    write(on, "_silence", rule_name=f"x [{WHOAMI}]", exponent=0, until=until, **{"@timestamp": at - timedelta(hours=8)})
    write(on, "_silence", rule_name=f"x [{HOSTNAME}] of other name", exponent=0, until=until, **{"@timestamp": at - timedelta(hours=8)})
    status_of(on, f"x [{WHOAMI}]", matches=2)
    status_of(on, f"x [{HOSTNAME}]", matches=1)
    on.clock.wait(1)
    status_of(on, f"x [{WHOAMI}]", matches=0)
    silenced, others, quiet = sweep(on).runs
    assert (silenced.ok, silenced.message) == (False, f"2 matches, 0 alerts of them: it is silenced until {until:%Y-%m-%d %H:%M:%S} UTC")
    assert not others.ok
    assert "silenced" not in others.message
    assert quiet.ok


def test_check_tells_what_people_silenced_and_not_what_a_rule_does_by_itself(on: ElasticBench) -> None:
    at = on.clock.now()
    until = at + timedelta(days=1)
    for key in (f"x [{WHOAMI}]._silence", f"y [{HOSTNAME}]", f"y [{HOSTNAME}].ws1"):
        write(on, "_silence", rule_name=key, exponent=0, until=until, **{"@timestamp": at - timedelta(hours=8)})
    status_of(on, f"x [{WHOAMI}]")
    status_of(on, f"y [{HOSTNAME}]")
    found = on.siem.check(frozenset({WHOAMI, HOSTNAME})).rules
    assert found[WHOAMI].silences == (f"until {until:%Y-%m-%d %H:%M} UTC",)
    assert found[HOSTNAME].silences == ()


def test_an_error_stands_for_the_run_that_it_ended(on: ElasticBench) -> None:
    at = {"@timestamp": on.clock.now()}
    write(on, "_error", message="Error running query: boom\nat x", data={"rule": f"x [{WHOAMI}]"}, traceback=[], **at)
    write(on, "_error", message="no rule's", traceback=[], **at)
    facts = sweep(on)
    assert proofs(facts) == [(False, "Error running query: boom")]
    assert facts.runs[0].rule == WHOAMI


def test_documents_of_another_form_are_left_out(on: ElasticBench) -> None:
    now = on.clock.now()
    for suffix in ("", "_status", "_silence", "_error"):
        write(on, suffix, rule_name=f"x [{WHOAMI}]", alert_time=now, until=now + timedelta(days=1), **{"@timestamp": now})
        write(on, suffix, alert_time=now, **{"@timestamp": now})
        write(on, suffix, rule_name=7, alert_time=now, match_body={"_id": 1, "_index": None}, matches="x", **{"@timestamp": now})
    facts = sweep(on)
    assert [(alert.rule, alert.host, alert.events) for alert in facts.alerts] == [(WHOAMI, "", ())]
    assert not facts.runs


def test_an_alerts_event_is_fetched_whole_and_else_taken_as_the_alert_has_it(on: ElasticBench) -> None:
    """`include` in a rule's file makes ElastAlert2 copy a part of the event alone."""
    at = on.clock.now()
    whole = winlogbeat.render(process_created(4, created=at, computer="ws2"))
    on.admin.index(index=on.events, id="there", document=whole, refresh=True)
    part = {key: value for key, value in whole.items() if key != "event"} | {"_index": on.events, "_id": "there"}
    gone = whole | {"_index": f"{on.events}-gone", "_id": "gone"}
    for match in (part, gone):
        write(on, "", rule_name=WHOAMI, alert_time=at, match_body=match, **{"@timestamp": at})
    alerts = sweep(on).alerts
    assert {alert.events[0].id for alert in alerts} == {"there", "gone"}
    assert all("newprocessname" in alert.events[0].flat and alert.host == "ws2" for alert in alerts)
    assert all("event" in alert.events[0].raw for alert in alerts)


def test_check_tells_each_rule_by_its_runs(on: ElasticBench) -> None:
    now = on.clock.now()
    for seconds in (40, 30, 20, 10):
        status_of(on, f"x [{WHOAMI}]", at=now - timedelta(seconds=seconds))
    status_of(on, f"x [{HOSTNAME}]", at=now - timedelta(hours=2))
    state = on.siem.check(frozenset({WHOAMI, HOSTNAME, OTHER}))
    rules = state.rules
    assert {rule: (of.deployed, of.enabled) for rule, of in rules.items()} == {
        WHOAMI: (True, True),
        HOSTNAME: (True, False),
        OTHER: (False, False),
    }
    assert (rules[WHOAMI].interval, rules[WHOAMI].look_back) == (timedelta(seconds=10) + JITTER, LOOK_BACK)
    assert rules[HOSTNAME].interval == INTERVAL + JITTER
    assert state.schedule_running
    assert abs(state.now - now) < timedelta(seconds=10)
    assert on.siem.known_rules() == {WHOAMI, HOSTNAME}


def test_an_engine_that_stands_still_is_no_disabled_rule(on: ElasticBench) -> None:
    status_of(on, f"x [{WHOAMI}]", at=on.clock.now() - timedelta(hours=2))
    state = on.siem.check(frozenset({WHOAMI}))
    assert (state.rules[WHOAMI].enabled, state.schedule_running) == (True, False)


def test_the_ingest_lag_is_promised_until_it_is_measured(on: ElasticBench) -> None:
    assert on.siem.check(frozenset()).ingest_lag == INGEST_DELAY
    now = on.clock.now().replace(microsecond=0)
    ship(on, range(200), now - timedelta(seconds=20), event={"ingested": now.isoformat()})
    assert on.siem.check(frozenset()).ingest_lag == timedelta(seconds=20)


def test_indices_that_are_not_there_are_said_before_anything_is_sent(on: ElasticBench) -> None:
    nowhere = siem_of(on.wire, ["nowhere-*"], "elastalert")
    with pytest.raises(SiemError, match=r"no index nowhere-\*: name in siem\.events"):
        nowhere.check(frozenset())
    without = siem_of(on.wire, [on.events], "nowhere")
    with pytest.raises(SiemError, match="no index nowhere_status of ElastAlert2"):
        without.check(frozenset())


def test_rules_are_not_deployed_through_elasticsearch(on: ElasticBench) -> None:
    with pytest.raises(SiemError, match="1 rules cannot be deployed"):
        on.siem.deploy([sigma(WHOAMI, "whoami.exe")])


# --- faults and rights -----------------------------------------------------------------------------------------------------------


def siem_of(wire: Wire, events: list[str], writeback: str) -> ElasticSiem:
    source = ElastAlert(writeback, INTERVAL)
    return ElasticSiem(wire, events=events, sources=[source], severities={}, ingest_lag=INGEST_DELAY, rule_interval=INTERVAL)


def behind(on: ElasticBench, proxy: FaultyProxy) -> ElasticSiem:
    return siem_of(Wire(Connection(urls=(proxy.url,), timeout=5)), [on.events], on.writeback)


def test_a_sweep_that_failed_loses_nothing(on: ElasticBench) -> None:
    with faulty_proxy(server_url()) as proxy:
        siem = behind(on, proxy)
        watches = [Watch(host="ws1", since=on.start - timedelta(seconds=60), rules=frozenset({WHOAMI}))]
        cursor = siem.sweep(watches, "").cursor
        on.deploy([sigma(WHOAMI, "whoami.exe")])
        on.log(1, "whoami.exe")
        on.settle()
        on.run_rules()
        for fault in (cut_off, cut_in_the_body, truncated, status(429, retry_after="3"), status(503)):
            proxy.faults.append(fault)
            with pytest.raises(SiemUnavailable):
                siem.sweep(watches, cursor)
        facts = siem.sweep(watches, cursor)
        assert (records(facts), [alert.rule for alert in facts.alerts], proofs(facts)) == ([1], [WHOAMI], [(True, "")])
        # The second request of a sweep may fail as well: of an alert whose event is another host's.
        on.log(2, "whoami.exe", host="ws2")
        on.settle()
        on.run_rules()
        for fault in (cut_off, truncated):
            proxy.faults.extend([passed_on, fault])
            with pytest.raises(SiemUnavailable):
                siem.sweep(watches, facts.cursor)
        (alert,) = siem.sweep(watches, facts.cursor).alerts
        assert alert.host == "ws2"


@pytest.fixture(scope="module")
def secure() -> Iterator[Place]:
    name = f"tests-{os.getpid()}"
    try:
        yield elasticsearch.start(name, security=True)
    finally:
        elasticsearch.stop(name)


def as_user(place: Place, user: str, **changed: Any) -> Wire:
    ways = {"user": user, "password": place.secrets.get(user, ""), "ca_file": place.files["ca"]} | changed
    return Wire(Connection(urls=(place.url,), **ways))


ANYTHING = [Search(index="*", query={"match_all": {}})]


def test_rights_and_certificates(secure: Place) -> None:
    assert as_user(secure, "reader").search(ANYTHING)
    with pytest.raises(SiemDenied, match=r"does not allow it \(403, security_exception"):
        as_user(secure, "none").search(ANYTHING)
    with pytest.raises(SiemDenied, match=r"does not accept the credentials \(401"):
        as_user(secure, "reader", password="wrong").search(ANYTHING)
    with pytest.raises(SiemDenied, match=r"does not accept the credentials \(401"):
        as_user(secure, "").search(ANYTHING)
    with pytest.raises(SiemError, match=r"certificate is not trusted: name its CA in siem\.ca_file"):
        as_user(secure, "reader", ca_file="").search(ANYTHING)
    assert as_user(secure, "reader", ca_file="", verify=False).search(ANYTHING)
    assert as_user(secure, "reader", ca_file="", fingerprint=fingerprint(secure)).search(ANYTHING)
    with pytest.raises(SiemError, match="certificate is not trusted"):
        as_user(secure, "reader", ca_file="", fingerprint="0" * 64).search(ANYTHING)


def test_certificates_are_verified_through_a_proxy_too(secure: Place) -> None:
    with tunnel() as proxy:
        through = {"proxy": proxy.url}
        wires = [
            as_user(secure, "reader", **through),
            as_user(secure, "reader", ca_file="", fingerprint=fingerprint(secure), **through),
            as_user(secure, "reader", ca_file="", verify=False, **through),
        ]
        for wire in wires:
            assert wire.search(ANYTHING)
            wire.close()
        for wrong in ({}, {"fingerprint": "0" * 64}):
            wire = as_user(secure, "reader", ca_file="", **wrong, **through)
            with pytest.raises(SiemError, match="certificate is not trusted"):
                wire.search(ANYTHING)
            wire.close()
        assert set(proxy.reached) == {secure.url.removeprefix("https://")}
        assert len(proxy.reached) >= 5


def test_a_node_that_is_dead_is_passed_over(on: ElasticBench) -> None:
    """A request may meet it once: what may be tried again is, and then finds the other."""
    siem = siem_of(Wire(Connection(urls=("http://127.0.0.1:9", on.url), timeout=5)), [on.events], on.writeback)
    answered = 0
    for _ in range(6):
        with suppress(SiemUnavailable):
            siem.sweep((watching(on),), "")
            answered += 1
    assert answered >= 4


def fingerprint(place: Place) -> str:
    return x509.load_pem_x509_certificate(Path(place.files["ca"]).read_bytes()).fingerprint(SHA256()).hex()


def test_a_server_that_is_killed_and_comes_back_has_lost_nothing(secure: Place) -> None:
    admin = Elasticsearch(secure.url, ca_certs=secure.files["ca"], basic_auth=("admin", secure.secrets["admin"]))
    now = datetime.now(UTC)
    admin.index(index="winlogbeat-k", document=winlogbeat.render(process_created(1, created=now)), refresh=True)
    admin.index(index="ea_status", document={"@timestamp": now.isoformat(), "rule_name": "x"}, refresh=True)
    siem = siem_of(as_user(secure, "reader"), ["winlogbeat-*"], "ea")
    watches = [Watch(host="ws1", since=now - timedelta(minutes=1), rules=frozenset({WHOAMI}))]
    first = siem.sweep(watches, "")
    assert records(first) == [1]
    admin.index(index="winlogbeat-k", document=winlogbeat.render(process_created(2, created=now)), refresh=True)
    os.kill(secure.pid, signal.SIGKILL)
    assert machine.wait_until(lambda: not machine.alive(secure), seconds=10)
    with pytest.raises(SiemUnavailable, match="cannot be reached"):
        siem.sweep(watches, first.cursor)
    elasticsearch.restart(secure)
    admin.cluster.health(wait_for_status="yellow", timeout="60s")
    assert records(siem.sweep(watches, first.cursor)) == [2]
    admin.close()
