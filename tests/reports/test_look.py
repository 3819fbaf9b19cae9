"""Where to look for a verdict: a query that names its host, its time and its keys, and that our own reader of KQL understands."""

from __future__ import annotations

import re
from dataclasses import replace

from harness.model.facts import Identity, Socket
from harness.reports.look import where_to_look
from harness.rules.kql import parse_kql
from tests.reports import sample_reports as sample

VERDICT = next(verdict for verdict in sample.gap().verdicts if verdict.detonation is not None)


def without_dates(query: str) -> str:
    """Our reader takes ranges of numbers and addresses alone."""
    return re.sub(r'@timestamp [<>]= "[^"]+"', "event.code : 1", query)


def told(host: str = "WS5.lab.example", identity: Identity | None = None) -> dict[str, str]:
    detonation = VERDICT.detonation
    assert detonation is not None
    target = replace(detonation.planned.target, computer=host)
    planned = replace(detonation.planned, target=target)
    moved = replace(detonation, planned=planned, identity=detonation.identity if identity is None else identity)
    return dict(where_to_look(replace(VERDICT, detonation=moved), sample.record(sample.NETWORK)))


def test_the_query_names_host_time_and_keys_and_is_kql() -> None:
    identity = Identity(sockets=(Socket(ip="10.0.5.9", port=50123),), logon_id="0x3e7", process_id=4242, host_id="a-b-c")
    said = told(identity=identity)
    assert said["all of its host (KQL)"].startswith('host.name : WS5* and @timestamp >= "')
    for key in ('winlog.event_data.TargetLogonId : "0x3e7"', "process.pid : 4242", 'message : "a-b-c"', "source.port : (50123)"):
        assert key in said["its own by its keys (KQL)"]
    assert said["the rule"] == f"{sample.record(sample.NETWORK).source}:{sample.record(sample.NETWORK).line}"
    for name, line in said.items():
        if name.endswith("(KQL)"):
            parse_kql(without_dates(line))


def test_a_session_of_which_nothing_is_known_is_looked_for_by_its_host() -> None:
    assert "its own by its keys (KQL)" not in told(identity=Identity())


def test_a_name_is_never_read_as_a_query() -> None:
    query = told(host='x" or * : (y')["all of its host (KQL)"]
    assert query.startswith("host.name : x**or******y* and")
    parse_kql(without_dates(query))


def test_what_was_never_sent_has_its_rule_alone() -> None:
    unsent = replace(VERDICT, detonation=None)
    assert [name for name, _ in where_to_look(unsent, sample.record(sample.NETWORK))] == ["the rule"]
    assert list(where_to_look(unsent, None)) == []
