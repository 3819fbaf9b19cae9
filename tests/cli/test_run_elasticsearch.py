"""Whole runs against the real SIEM: a lab's hosts as targets, their telemetry shipped to Elasticsearch, ElastAlert2 beside it."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event as Flag
from threading import Thread
from typing import Any

import pytest
from elasticsearch import helpers

from harness.model.facts import Watch
from harness.model.verdicts import Basis, Inconclusive, Outcome
from harness.siem.embedded.client import EmbeddedClient
from servers import machine
from tests.cli.commands import Ended, UpLab, harness
from tests.needs import needs_elastalert2, needs_elasticsearch
from tests.siem.elastic_bench import ElasticBench, elastalert_over, server_url
from tests.siem.faulty_proxy import cut_in_the_body, cut_off, faulty_proxy, passed_on, status, truncated

pytestmark = [needs_elasticsearch, needs_elastalert2]

NETWORK, PROCESS, ENGINE, CHILD, MODULE, SHELL = (
    "13acf386-b8c6-4fe0-9a6e-c4756b974698",
    "734f8d9b-42b8-41b2-bcf5-abaf49d5a3c8",
    "60167e5c-84b2-4c95-a7ac-86281f27c445",
    "5cc2cda8-f261-4d88-a2de-e9e193c86716",
    "96b9f619-aa91-478f-bacb-c3e50f8df575",
    "79df3f68-dccb-48e9-9171-b75cbc37c51d",
)
CANARY = f"canary-{secrets.token_hex(8)}"


def like(field: str, *patterns: str) -> dict[str, Any]:
    clauses = [{"wildcard": {f"winlog.event_data.{field}": {"value": pattern, "case_insensitive": True}}} for pattern in patterns]
    return {"bool": {"should": clauses, "minimum_should_match": 1}}


def both(*clauses: Mapping[str, Any]) -> dict[str, Any]:
    return {"bool": {"filter": list(clauses)}}


HOST_PROCESS = r"*\\wsmprovhost.exe"
FILTERS = {
    NETWORK: both(
        {"term": {"winlog.event_id": "5156"}},
        {"terms": {"winlog.event_data.DestPort": ["5985", "5986"]}},
        {"term": {"winlog.event_data.LayerRTID": "44"}},
    ),
    PROCESS: {"bool": {"should": [like("Image", HOST_PROCESS), like("ParentImage", HOST_PROCESS)]}},
    ENGINE: both({"term": {"winlog.event_id": "400"}}, like("param3", "*HostName=ServerRemoteHost*")),
    CHILD: both(like("ParentImage", HOST_PROCESS), like("Image", r"*\\whoami.exe")),
    # Broken on purpose: it asks for what no event has.
    MODULE: both({"term": {"winlog.event_id": "4103"}}, like("ContextInfo", "*this is nowhere*")),
    SHELL: like("ParentImage", r"*\\winrshost.exe"),
}


def ship(lab: UpLab, bench: ElasticBench, stop: Flag) -> None:
    """What winlogbeat would do: everything of the lab's hosts, as soon as it is logged."""
    source = EmbeddedClient(Path(str(lab.place["siem"])))
    since = datetime.now(UTC) - timedelta(minutes=5)
    watches = [Watch(host=target["computer"].partition(".")[0].lower(), since=since, rules=frozenset()) for target in lab.place["targets"]]
    cursor = ""
    while not stop.wait(0.2):
        facts = source.sweep(watches, cursor)
        cursor = facts.cursor
        actions = ({"_index": bench.events, "_id": seen.event.id, "_source": dict(seen.event.raw)} for seen in facts.observed)
        helpers.bulk(bench.admin, actions)


@contextmanager
def shipping(lab: UpLab, bench: ElasticBench) -> Iterator[None]:
    stop = Flag()
    thread = Thread(target=ship, args=(lab, bench, stop))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@pytest.fixture(scope="module")
def bench(lab: UpLab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ElasticBench]:
    made = ElasticBench(server_url())
    try:
        with shipping(lab, made), elastalert_over(made, tmp_path_factory.mktemp("rules"), FILTERS, buffer=timedelta(minutes=5)):
            known = lambda: made.siem.known_rules() >= set(FILTERS)  # noqa: E731
            assert machine.wait_until(known, seconds=60), "ElastAlert2 did not run every rule"
            yield made
    finally:
        made.close()


def run(lab: UpLab, path: Path, bench: ElasticBench, url: str, expect: Sequence[Mapping[str, object]], patience: str = "60s") -> Ended:
    """One session in which whoami is run, with these expectations; `patience` with a SIEM that does not answer."""
    text = lab.settings(path / "harness.toml").read_text().splitlines()
    start = text.index("[siem]")
    text[start : start + 3] = [
        "[siem]",
        'kind = "elasticsearch"',
        f'url = "{url}"',
        'api_key = "env:ES_KEY"',
        f'events = ["{bench.events}"]',
        f'writeback = "{bench.writeback}"',
        'ingest_lag = "2s"',
        "[run]",
        'poll_interval = "500ms"',
        f'siem_timeout = "{patience}"',
    ]
    (path / "harness.toml").write_text("\n".join(text))
    step = {"name": "whoami", "enter_pssession": ["Get-Service WinRM", "whoami.exe /groups"], "expect": list(expect)}
    scenario = path / "s.scenario.yml"
    scenario.write_text(json.dumps({"id": "s", "title": "s", "technique": "T1021.006", "steps": [step]}))
    env = {"LAB_PASSWORD": lab.password, "ES_KEY": CANARY}
    ended = harness("run", str(scenario), "--target", "lab-ws1", cwd=path, env=env)
    everything = ended.said + "".join(file.read_text() for file in path.glob("report-*.json"))
    assert CANARY not in everything
    assert lab.password not in everything
    return ended


def test_the_main_job_with_elastalert2(lab: UpLab, bench: ElasticBench, tmp_path: Path) -> None:
    expect: list[Mapping[str, object]] = [{"rule": rule} for rule in (NETWORK, PROCESS, ENGINE, CHILD, MODULE)]
    ended = run(lab, tmp_path, bench, server_url(), [*expect, {"rule": SHELL, "fires": False}])
    assert ended.code == 1, ended.said
    verdicts = {verdict.expectation.rule: verdict for verdict in ended.full.verdicts}
    detected = (NETWORK, PROCESS, ENGINE, CHILD)
    assert {rule: verdict.outcome for rule, verdict in verdicts.items()} == {
        **dict.fromkeys(detected, Outcome.DETECTED),
        MODULE: Outcome.MISSED,
        SHELL: Outcome.QUIET,
    }, ended.said
    sightings = [sighting for rule in detected for sighting in verdicts[rule].sightings]
    assert {sighting.basis for sighting in sightings} == {Basis.EXACT}
    assert {sighting.alert.source for sighting in sightings} == {"elastalert2"}
    for rule in (MODULE, SHELL):
        status = bench.admin.get(index=f"{bench.writeback}_status", id=str(verdicts[rule].proof))["_source"]
        assert rule in status["rule_name"]
    assert ended.full.environment.siem == "elasticsearch"


def test_faults_in_mid_run_change_no_verdict(lab: UpLab, bench: ElasticBench, tmp_path: Path) -> None:
    with faulty_proxy(server_url()) as proxy:
        faults = [status(429, retry_after="1"), truncated, cut_off, passed_on, cut_in_the_body, status(503, b"<html>"), passed_on]
        proxy.faults.extend([*[passed_on] * 6, *faults])
        expect: list[Mapping[str, object]] = [{"rule": rule} for rule in (NETWORK, CHILD, MODULE)]
        ended = run(lab, tmp_path, bench, proxy.url, expect)
        assert not proxy.faults, "the run met them all"
    assert ended.code == 1, ended.said
    assert [verdict.outcome for verdict in ended.full.verdicts] == [Outcome.DETECTED, Outcome.DETECTED, Outcome.MISSED], ended.said
    assert "(429, to be asked again in 1 s)" in ended.err


def test_a_siem_that_is_dead_lets_nothing_be_sent(lab: UpLab, bench: ElasticBench, tmp_path: Path) -> None:
    before = lab.counted("connections")
    ended = run(lab, tmp_path, bench, "http://127.0.0.1:9", [{"rule": NETWORK}], patience="2s")
    assert ended.code == 3, ended.said
    assert {verdict.inconclusive for verdict in ended.full.verdicts} == {Inconclusive.SIEM_LOST}
    assert "cannot be reached" in ended.full.verdicts[0].cause
    assert lab.counted("connections") == before
