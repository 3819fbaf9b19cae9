"""Whole runs as users have them: the lab ships its events to a real Elasticsearch, ElastAlert2 runs the translated rules beside it."""

from __future__ import annotations

import json
import os
import secrets
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
import yaml

from harness.model.verdicts import Basis, CoverageStatus, Inconclusive, Outcome, Probed
from lab.process import RULE_PACK
from servers import elasticsearch, machine
from servers.machine import Place
from tests.cli.commands import Ended, UpLab, ended, harness, start
from tests.needs import needs_elastalert2, needs_elasticsearch
from tests.siem.elastic_bench import ElasticBench, elastalert_over, server_url
from tests.siem.faulty_proxy import cut_in_the_body, cut_off, faulty_proxy, hang, passed_on, status, truncated

pytestmark = [needs_elasticsearch, needs_elastalert2]

NETWORK, PROCESS, ENGINE, CHILD, MODULE, SHELL = (
    "13acf386-b8c6-4fe0-9a6e-c4756b974698",
    "734f8d9b-42b8-41b2-bcf5-abaf49d5a3c8",
    "60167e5c-84b2-4c95-a7ac-86281f27c445",
    "5cc2cda8-f261-4d88-a2de-e9e193c86716",
    "96b9f619-aa91-478f-bacb-c3e50f8df575",
    "79df3f68-dccb-48e9-9171-b75cbc37c51d",
)
RULES = {NETWORK, PROCESS, ENGINE, CHILD, MODULE, SHELL}
DETECTED = (NETWORK, PROCESS, ENGINE, CHILD)
CANARY = f"canary-{secrets.token_hex(8)}"


@contextmanager
def engine(url: str, directory: Path) -> Iterator[ElasticBench]:
    """ElastAlert2 over indices of its own, running the pack as `harness rules translate` writes it but for one rule that is broken."""
    bench = ElasticBench(url)
    index = f"{bench.events}-lab"
    try:
        arguments = ("--to", "elastalert", "--out", str(directory), "--index", f"{bench.events}*")
        said = harness("rules", "translate", *arguments, cwd=directory)
        assert said.code == 0, said.said
        broken = directory / f"{MODULE}.yaml"
        content = yaml.safe_load(broken.read_text())
        broken.write_text(yaml.safe_dump(content | {"filter": [{"term": {"winlog.event_id": "no event has this"}}]}))
        with elastalert_over(bench, directory, buffer=timedelta(minutes=5)):
            known = lambda: bench.siem.known_rules() >= RULES  # noqa: E731
            assert machine.wait_until(known, seconds=60), "ElastAlert2 did not run every rule"
            yield bench
    finally:
        bench.admin.indices.delete(index=index, ignore_unavailable=True)
        bench.admin.options(ignore_status=404).indices.delete_index_template(name=f"purple-harness-{index}")
        bench.close()


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ElasticBench]:
    with engine(server_url(), tmp_path_factory.mktemp("rules")) as made:
        yield made


@pytest.fixture(scope="module")
def secure() -> Iterator[Place]:
    name = f"tests-secure-{os.getpid()}"
    try:
        yield elasticsearch.start(name, security=True)
    finally:
        elasticsearch.stop(name)


def asked(path: Path, bench: ElasticBench, expect: Sequence[Mapping[str, object]], patience: str) -> tuple[list[str], dict[str, str]]:
    """The arguments and environment of a run of one session in which whoami is run, with these expectations."""
    settings = [
        "[siem]",
        'kind = "elasticsearch"',
        'api_key = "env:ES_KEY"',
        f'events = ["{bench.events}*"]',
        f'writeback = "{bench.writeback}"',
        'ingest_lag = "2s"',
        'timeout = "5s"',
        "[lab]",
        f'index = "{bench.events}-lab"',
        "[run]",
        'poll_interval = "500ms"',
        f'siem_timeout = "{patience}"',
    ]
    (path / "harness.toml").write_text("\n".join(settings))
    step = {"name": "whoami", "enter_pssession": ["Get-Service WinRM", "whoami.exe /groups"], "expect": list(expect)}
    scenario = path / "s.scenario.yml"
    scenario.write_text(json.dumps({"id": "s", "title": "s", "technique": "T1021.006", "steps": [step]}))
    return ["run", str(scenario), "--lab", "--target", "lab-ws1", "--siem", "elasticsearch", "--es-url"], {"ES_KEY": CANARY}


def run(
    lab: UpLab | None, path: Path, bench: ElasticBench, url: str, expect: Sequence[Mapping[str, object]], patience: str = "60s"
) -> Ended:
    """Such a run, on the lab that is up, else on one of its own; `patience` with a SIEM that does not answer."""
    arguments, env = asked(path, bench, expect, patience)
    found = harness(*arguments, url, cwd=path, env=env | (lab.env if lab else {}))
    everything = found.said + "".join(file.read_text() for file in path.rglob("*.json"))
    assert CANARY not in everything
    return found


def judged(found: Ended) -> dict[str, Outcome]:
    return {verdict.expectation.rule: verdict.outcome for verdict in found.full.verdicts}


def test_the_main_job_with_elastalert2(bench: ElasticBench, tmp_path: Path) -> None:
    expect: list[Mapping[str, object]] = [{"rule": rule} for rule in (*DETECTED, MODULE)]
    ended = run(None, tmp_path, bench, server_url(), [*expect, {"rule": SHELL, "fires": False}])
    assert ended.code == 1, ended.said
    assert judged(ended) == {**dict.fromkeys(DETECTED, Outcome.DETECTED), MODULE: Outcome.MISSED, SHELL: Outcome.QUIET}, ended.said
    verdicts = {verdict.expectation.rule: verdict for verdict in ended.full.verdicts}
    sightings = [sighting for rule in DETECTED for sighting in verdicts[rule].sightings]
    assert {sighting.basis for sighting in sightings} == {Basis.EXACT}
    assert {sighting.alert.source for sighting in sightings} == {"elastalert2"}
    for rule in (MODULE, SHELL):
        status = bench.admin.get(index=f"{bench.writeback}_status", id=str(verdicts[rule].proof))["_source"]
        assert rule in status["rule_name"]
    assert ended.full.environment.siem == "elasticsearch"


SEQUENCE = "2772264c-6fb9-4d9d-9014-b416eed21254"  # ElastAlert2 runs no sequence
NEW, WRONG = "aaaaaaaa-1111-4111-8111-111111111111", "aaaaaaaa-2222-4111-8111-111111111111"


def test_a_rule_that_is_not_deployed_is_probed_beside_those_that_are(lab: UpLab, bench: ElasticBench, tmp_path: Path) -> None:
    for rule, parent in ((NEW, "wsmprovhost.exe"), (WRONG, "explorer.exe")):
        selection = {"Image|endswith": r"\whoami.exe", "ParentImage|endswith": rf"\{parent}"}
        logsource = {"product": "windows", "category": "process_creation"}
        detection = {"selection": selection, "condition": "selection"}
        content = {"title": f"A child of {parent}", "id": rule, "logsource": logsource, "detection": detection, "level": "low"}
        (tmp_path / f"{rule}.yml").write_text(yaml.safe_dump(content))
    arguments, env = asked(tmp_path, bench, [{"rule": rule} for rule in (NETWORK, SEQUENCE, NEW, WRONG)], "60s")
    rules = [argument for rule in (NEW, WRONG) for argument in ("--rules", str(tmp_path / f"{rule}.yml"))]
    files = {name: tmp_path / f"report.{name}" for name in ("html", "junit", "markdown", "sarif", "navigator")}
    reports = [argument for name, file in files.items() for argument in (f"--{name}", str(file))]
    env |= lab.env | {"HARNESS_SIEM_ALERTS": "elastalert2,probe"}
    found = harness(*arguments, server_url(), *rules, *reports, cwd=tmp_path, env=env)
    assert found.code == 3, found.said
    assert judged(found) == {NETWORK: Outcome.DETECTED, **dict.fromkeys((SEQUENCE, NEW, WRONG), Outcome.INCONCLUSIVE)}, found.said
    verdicts = {verdict.expectation.rule: verdict for verdict in found.full.verdicts}
    probed = {rule: verdict.probed for rule, verdict in verdicts.items()}
    assert probed == {NETWORK: None, SEQUENCE: Probed.MATCHES, NEW: Probed.MATCHES, WRONG: Probed.FINDS_NOTHING}
    assert "the rule wants it to end with \\explorer.exe" in verdicts[WRONG].cause
    coverage = {row.rule: row.status for row in found.full.coverage}
    assert coverage[NEW] is CoverageStatus.INCONCLUSIVE
    assert not [sighting for rule in (SEQUENCE, NEW, WRONG) for sighting in verdicts[rule].sightings]
    for name in ("html", "junit", "markdown"):
        assert "a probe: its query matches" in files[name].read_text(), name


def test_faults_in_mid_run_change_no_verdict(lab: UpLab, bench: ElasticBench, tmp_path: Path) -> None:
    """The run and the lab's shipper meet them alike: both go through the proxy."""
    with faulty_proxy(server_url()) as proxy:
        faults = [status(429, retry_after="1"), truncated, cut_off, passed_on, cut_in_the_body, status(503, b"<html>"), hang, passed_on]
        proxy.faults.extend([*[passed_on] * 8, *faults])
        expect: list[Mapping[str, object]] = [{"rule": rule} for rule in (NETWORK, CHILD, MODULE)]
        ended = run(lab, tmp_path, bench, proxy.url, expect)
        assert not proxy.faults, "the run met them all"
    assert ended.code == 1, ended.said
    assert judged(ended) == {NETWORK: Outcome.DETECTED, CHILD: Outcome.DETECTED, MODULE: Outcome.MISSED}, ended.said
    (shipped,) = (each for where, each in lab.status()["shipping"].items() if where.startswith(proxy.url))
    assert shipped["sent"] > 0
    assert shipped["refused"] == 0


def test_a_server_that_is_killed_and_restarted_in_mid_run_changes_no_verdict(
    lab: UpLab, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    name = f"tests-killed-{os.getpid()}"
    place = elasticsearch.start(name)
    try:
        with engine(place.url, tmp_path_factory.mktemp("killed")) as bench:
            expect: list[Mapping[str, object]] = [{"rule": rule} for rule in (NETWORK, CHILD, MODULE)]
            # The outage is longer than the ingest lag that is promised: it counts for itself.
            arguments, env = asked(tmp_path, bench, expect, "90s")
            before = lab.counted("connections")
            process = start(*arguments, place.url, "--json", "r.json", cwd=tmp_path, env=env | lab.env)
            assert machine.wait_until(lambda: lab.counted("connections") > before, seconds=60)
            os.kill(place.pid, signal.SIGKILL)
            assert machine.wait_until(lambda: not machine.alive(place), seconds=10)
            elasticsearch.restart(place)
            found = ended(process, tmp_path / "r.json")
            assert "cannot be reached" in found.err
            assert judged(found) == {NETWORK: Outcome.DETECTED, CHILD: Outcome.DETECTED, MODULE: Outcome.MISSED}, found.said
    finally:
        elasticsearch.stop(name)


def test_a_siem_that_is_dead_lets_nothing_be_sent(lab: UpLab, bench: ElasticBench, tmp_path: Path) -> None:
    before = lab.counted("connections")
    ended = run(lab, tmp_path, bench, "http://127.0.0.1:9", [{"rule": NETWORK}], patience="2s")
    assert ended.code == 3, ended.said
    assert {verdict.inconclusive for verdict in ended.full.verdicts} == {Inconclusive.SIEM_LOST}
    assert "cannot be reached" in ended.full.verdicts[0].cause
    assert lab.counted("connections") == before


@pytest.mark.parametrize(
    ("user", "password", "why"),
    [("reader", "", "403"), ("none", "", "403"), ("admin", CANARY, "401")],
    ids=["reader", "nobody", "stranger"],
)
def test_who_may_not_lets_nothing_be_sent(lab: UpLab, secure: Place, tmp_path: Path, user: str, password: str, why: str) -> None:
    env = {
        "HARNESS_SIEM_USER": user,
        "HARNESS_SIEM_PASSWORD": "env:ES_PASSWORD",
        "HARNESS_SIEM_CA_FILE": secure.files["ca"],
        "ES_PASSWORD": password or secure.secrets[user],
    }
    before = lab.counted("connections")
    where = ("--lab", "--target", "lab-ws1", "--siem", "elasticsearch", "--es-url", secure.url)
    found = harness("run", *where, cwd=tmp_path, env=env | lab.env)
    assert found.code == 3, found.said
    assert {verdict.inconclusive for verdict in found.full.verdicts} <= {Inconclusive.SIEM_LOST, None}
    assert any(f"({why}" in verdict.cause for verdict in found.full.verdicts)
    assert lab.counted("connections") == before
    examined = harness("doctor", *where, "--json", "found.json", cwd=tmp_path, env=env | lab.env)
    assert examined.code == 1, examined.said
    assert f"({why}" in examined.out
    everything = found.said + examined.said + "".join(file.read_text() for file in tmp_path.rglob("*.json"))
    assert env["ES_PASSWORD"] not in everything


def test_the_doctor_finds_all_that_a_run_needs(lab: UpLab, bench: ElasticBench, tmp_path: Path) -> None:
    arguments, env = asked(tmp_path, bench, [], "5s")
    where = [argument for argument in arguments[2:] if argument not in ("lab-ws1", "--target")]
    sigma = str(RULE_PACK / "sigma")
    found = harness("doctor", *where, bench.url, "--rules", sigma, "--json", "found.json", cwd=tmp_path, env=env | lab.env)
    said = {finding["about"]: finding for finding in json.loads((tmp_path / "found.json").read_text())["findings"]}
    assert said["rule engine"]["health"] == "ok", found.said
    assert said["rules"]["what"].startswith("7 of "), found.said
    assert said["target lab-ws2's events"]["health"] in ("ok", "warning"), found.said
    # The pack's sequences are no rules for ElastAlert2; that alone breaks no run.
    assert found.code == 0, found.said
    assert CANARY not in found.said


def test_credentials_are_in_no_list_of_processes(lab: UpLab, bench: ElasticBench, tmp_path: Path) -> None:
    arguments, env = asked(tmp_path, bench, [{"rule": NETWORK}], "2s")
    process = start(*arguments, server_url(), "--json", "r.json", cwd=tmp_path, env=env)  # on a lab of its own: another process
    seen = set()
    while process.poll() is None:
        for entry in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                seen.add(entry.read_bytes())
            except OSError:  # it has ended
                continue
    found = ended(process, tmp_path / "r.json")
    assert judged(found) == {NETWORK: Outcome.DETECTED}, found.said
    assert any(b"lab.service" in line for line in seen)
    assert not [line for line in seen if CANARY.encode() in line]
    assert CANARY not in found.said + (tmp_path / "r.json").read_text()
