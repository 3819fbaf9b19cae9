"""The query probe on a real Elasticsearch: what it finds, that it stands beside alert sources, and that a bad query harms nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from harness.errors import SiemError, SiemUnavailable
from harness.events import winlogbeat
from harness.events.ingested import ingested, mappings
from harness.model.facts import Facts, Probe, Watch
from harness.model.intent import Rule
from harness.rules.elastic import ElasticRules
from harness.siem.elastic.client import ElasticSiem
from harness.siem.elastic.elastalert import ElastAlert
from harness.siem.elastic.probe import QueryProbe, Question
from harness.siem.elastic.wire import PAGE, Connection, Search, Wire
from harness.translate.es_filter import filters
from harness.translate.refusal import NotExpressible
from lab.process import RULE_PACK
from tests.events.event_builders import process_created
from tests.needs import needs_elasticsearch
from tests.siem.contract_siem import watching
from tests.siem.elastic_bench import ElasticBench, elastic_bench
from tests.siem.faulty_proxy import faulty_proxy, passed_on, status
from tests.siem.siem_builders import HOSTNAME, INGEST_DELAY, INTERVAL, OTHER, WHOAMI, sigma

pytestmark = needs_elasticsearch

BAD: Mapping[str, Any] = {"regexp": {"winlog.event_data.NewProcessName": {"value": "a" * 1001}}}  # index.max_regex_length is 1000


def nested(depth: int) -> Mapping[str, Any]:
    """A query that the server cannot even parse where it is deeper than indices.query.bool.max_nested_depth, which is 30."""
    return {"bool": {"filter": [nested(depth - 1)]}} if depth else {"match_all": {}}


@pytest.fixture
def on() -> Iterator[ElasticBench]:
    with elastic_bench() as made:
        yield made


def probing(on: ElasticBench, questions: Mapping[str, Question], wire: Wire | None = None) -> ElasticSiem:
    made = ElasticSiem(
        wire or on.wire,
        events=[f"{on.events}*"],
        sources=[ElastAlert(on.writeback, INTERVAL)],
        severities={},
        ingest_lag=INGEST_DELAY,
        rule_interval=INTERVAL,
        probe=QueryProbe(f"{on.events}*", lambda rule: questions.get(rule, Question(refusal="it is not known"))),
        clock=on.clock,
    )
    made.check(frozenset(questions) | {WHOAMI})
    return made


def answers(facts: Facts) -> dict[str, Probe]:
    return {probe.rule: probe for probe in facts.probes}


def program(name: str) -> Question:
    return Question(filters=({"wildcard": {"winlog.event_data.NewProcessName": {"value": f"*{name}", "case_insensitive": True}}},))


def ship(on: ElasticBench, record: int, image: str, host: str = "ws1") -> None:
    on.log(record, image, host=host)
    on.settle()


def test_it_names_the_events_that_sweeps_bring(on: ElasticBench) -> None:
    siem = probing(on, {HOSTNAME: program("hostname.exe"), OTHER: program("nothing.exe")})
    watch = Watch(host="ws1", since=on.start, rules=frozenset({HOSTNAME, OTHER}))
    ship(on, 1, "whoami.exe")
    ship(on, 2, "HOSTNAME.EXE")
    ship(on, 3, "hostname.exe", host="ws2")
    first = siem.sweep([watch], "")
    found = {fact.event.id for fact in first.observed if str(fact.event.flat["newprocessname"]).lower().endswith("hostname.exe")}
    assert len(found) == 1
    assert {rule: probe.found for rule, probe in answers(first).items()} == {HOSTNAME: (frozenset(found),), OTHER: (frozenset(),)}
    assert not first.alerts
    assert not first.runs
    assert answers(first)[HOSTNAME].asked_at <= first.observed[0].searchable_at
    on.clock.wait(1)
    again = siem.sweep([watch], first.cursor)
    assert not again.observed
    assert answers(again)[HOSTNAME].found == (frozenset(found),), "it is asked of the whole time, whatever was seen before"
    assert answers(again)[HOSTNAME].asked_at > first.observed[0].searchable_at
    assert answers(again)[HOSTNAME].since == on.start.replace(microsecond=on.start.microsecond // 1000 * 1000)


def test_only_what_no_source_runs_is_probed(on: ElasticBench) -> None:
    on.deploy([sigma(WHOAMI, "whoami.exe")])
    on.run_rules()
    siem = probing(on, {WHOAMI: program("whoami.exe"), HOSTNAME: program("hostname.exe")})
    states = siem.check(frozenset({WHOAMI, HOSTNAME, OTHER})).rules
    assert {rule: (state.runs, state.probed, state.not_probed) for rule, state in states.items()} == {
        WHOAMI: (True, False, ""),
        HOSTNAME: (False, True, ""),
        OTHER: (False, False, "it is not known"),
    }
    facts = siem.sweep([Watch(host="ws1", since=on.start, rules=frozenset({WHOAMI, HOSTNAME, OTHER}))], "")
    assert answers(facts).keys() == {HOSTNAME}
    assert {run.rule for run in facts.runs} == {WHOAMI}


@pytest.mark.parametrize("bad", [BAD, nested(40)], ids=["refused by a shard", "refused with all that was asked"])
def test_a_query_that_the_server_refuses_harms_nothing_else(on: ElasticBench, bad: Mapping[str, Any]) -> None:
    siem = probing(on, {HOSTNAME: program("hostname.exe"), OTHER: Question(filters=(bad,))})
    ship(on, 1, "hostname.exe")
    facts = siem.sweep([Watch(host="ws1", since=on.start, rules=frozenset({HOSTNAME, OTHER}))], "")
    assert len(facts.observed) == 1
    assert len(answers(facts)[HOSTNAME].found[0]) == 1
    assert "(400" in answers(facts)[OTHER].refused
    assert answers(facts)[OTHER].found == (frozenset(),)


def test_what_was_refused_with_all_the_rest_is_asked_once(on: ElasticBench) -> None:
    good = [f"00000000-0000-4000-8000-{number:012d}" for number in range(20)]
    bad = [f"00000000-0000-4000-9000-{number:012d}" for number in range(3)]
    questions = dict.fromkeys(good, program("hostname.exe")) | dict.fromkeys(
        bad, Question(filters=(program("a.exe").filters[0], nested(40)))
    )
    ship(on, 1, "hostname.exe")
    with faulty_proxy(on.url) as proxy:
        siem = probing(on, questions, Wire(Connection(urls=(proxy.url,))))
        watch = Watch(host="ws1", since=on.start, rules=frozenset(questions))
        for _ in range(2):
            proxy.seen.clear()
            facts = siem.sweep([watch], "")
            assert {rule for rule, probe in answers(facts).items() if probe.refused} == set(bad)
            assert {len(answers(facts)[rule].found[0]) for rule in good} == {1}
        assert proxy.seen == ["POST /_msearch"]


def test_a_request_that_must_be_answered_and_is_refused_is_an_error(on: ElasticBench) -> None:
    needed = Search(index=on.events, query=nested(40))
    with pytest.raises(SiemError, match=r"\(400"):
        on.wire.search([needed, Search(index=on.events, query={"match_all": {}}, optional=True)])


def test_a_point_in_time_that_is_lost_is_asked_for_anew(on: ElasticBench) -> None:
    for number in range(PAGE):
        on.log(number, "hostname.exe")
    on.settle()
    with faulty_proxy(on.url) as proxy:
        wire = Wire(Connection(urls=(proxy.url,)))
        wanted = Search(index=on.events, query={"match_all": {}})
        lost = json.dumps({"error": {"type": "search_context_missing_exception"}, "status": 404}).encode()
        proxy.faults.extend([passed_on, passed_on, status(404, lost)])
        with pytest.raises(SiemUnavailable, match="lost the point in time"):
            wire.search([wanted])
        assert len(wire.search([wanted])[0].hits) == PAGE
        wire.close()


def test_more_than_a_page_is_found_whole(on: ElasticBench) -> None:
    siem = probing(on, {HOSTNAME: program("hostname.exe")})
    for number in range(PAGE + 20):
        on.log(number, "hostname.exe")
    on.settle()
    facts = siem.sweep([Watch(host="ws1", since=on.start, rules=frozenset({HOSTNAME}))], "")
    assert answers(facts)[HOSTNAME].found == (frozenset(fact.event.id for fact in facts.observed),)
    assert len(facts.observed) == PAGE + 20


def test_the_number_of_requests_does_not_grow_with_what_is_probed(on: ElasticBench) -> None:
    ids = [f"00000000-0000-4000-8000-{number:012d}" for number in range(200)]
    with faulty_proxy(on.url) as proxy:
        siem = probing(on, dict.fromkeys(ids, program("hostname.exe")), Wire(Connection(urls=(proxy.url,))))
        for asked in (ids[:1], ids):
            proxy.seen.clear()
            facts = siem.sweep([Watch(host="ws1", since=on.start, rules=frozenset(asked))], "")
            assert len(facts.probes) == len(asked)
            assert proxy.seen == ["POST /_msearch"]


SEQUENCE = """sequence by host.id with maxspan=30s
  [process where event.type == "start" and process.name : "cmd.exe"]
  [process where event.type == "start" and process.name : "whoami.exe"]
"""


def elastic(query: str) -> Rule:
    text = f"""[rule]
name = "x"
rule_id = "{OTHER}"
description = "x"
severity = "low"
risk_score = 1
type = "eql"
language = "eql"
query = '''{query}'''
"""
    (rule,) = ElasticRules().parse(text, "bench.toml")
    return rule


def test_a_sequence_is_asked_event_by_event(on: ElasticBench) -> None:
    on.admin.indices.delete(index=on.events)
    on.admin.indices.create(index=on.events, mappings=mappings()[1])
    siem = probing(on, {OTHER: Question(filters=filters(elastic(SEQUENCE)))})
    for record, image in enumerate((r"C:\cmd.exe", r"C:\WHOAMI.exe", r"C:\notepad.exe")):
        event = process_created(record, created=on.clock.now(), image=image, computer="ws1")
        on.admin.index(index=on.events, id=str(record), document=ingested(winlogbeat.render(event), on.clock.now()))
    on.admin.indices.refresh(index=on.events)
    facts = siem.sweep([watching(on), Watch(host="ws1", since=on.start, rules=frozenset({OTHER}))], "")
    assert answers(facts)[OTHER].found == (frozenset({"0"}), frozenset({"1"}))


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("process where length(process.command_line) > 3", "computes"),
        ("sequence [process where length(process.command_line) > 3] [process where true]", "computes"),
    ],
)
def test_what_query_dsl_cannot_say_is_refused(query: str, why: str) -> None:
    with pytest.raises(NotExpressible, match=why):
        filters(elastic(query))


def test_every_rule_of_the_pack_can_be_probed() -> None:
    texts = [path.read_text() for path in sorted((RULE_PACK / "elastic").glob("*.toml"))]
    rules = [rule for text in texts for rule in ElasticRules().parse(text, "pack")]
    assert [len(filters(rule)) for rule in rules] == [2] * len(rules)
