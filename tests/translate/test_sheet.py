"""A rule in every language: what each is told, which known traps are reported, and that nothing is silently absent."""

from __future__ import annotations

import json
import re
import socket
from pathlib import Path
from typing import Any

import pytest
import sqlglot

from harness.model.intent import Rule
from harness.model.translation import Sheet, Translation
from harness.rules.eql import parse_eql
from harness.rules.eql_file import EqlFiles
from harness.rules.watcher import holds_watches, lint_watches
from harness.translate.sheet import TARGETS, translate
from tests.needs import ROOT, needs_recordings
from tests.translate.rules import by_id, elastic, on, sample, sigma, upstream

NETWORK = {"product": "windows", "category": "network_connection"}
SECURITY = {"product": "windows", "service": "security"}


def sheet(rule: Rule, *targets: str) -> Sheet:
    return translate(rule, targets or tuple(TARGETS))


def one(rule: Rule, target: str) -> Translation:
    (found,) = sheet(rule, target).translations
    return found


def traps(translation: Translation) -> dict[str, bool]:
    return {trap.name: trap.mended for trap in translation.traps}


def test_targets_come_in_one_order_and_those_that_were_asked_for() -> None:
    rule = on("System", {"EventID": 7})
    assert [each.target for each in sheet(rule).translations] == list(TARGETS)
    assert [each.target for each in sheet(rule, "eql", "source").translations] == ["source", "eql"]
    assert one(rule, "source").text == rule.definition


@pytest.mark.parametrize(
    ("rule", "target", "expected"),
    [
        (sigma({"Initiated": "true"}, logsource=NETWORK), "es-qs", {"direction": True}),
        (sigma({"Initiated": "true"}, logsource=NETWORK), "xpack-watcher", {"direction": True}),
        (sigma({"Initiated": "true"}, logsource=NETWORK), "eql", {"direction": True}),
        (sigma({"Initiated": "true"}, logsource=NETWORK), "splunk", {}),
        (sigma({"Image": "C:\\a.exe"}, logsource=NETWORK), "es-qs", {"caseless fields": False}),
        (sigma({"ParentImage": "C:\\a.exe"}), "es-qs", {"caseless fields": False, "parent's name": True}),
        (sigma({"CommandLine|contains": "a"}), "es-qs", {"case": False}),
        (sigma({"DestinationPort": [1, 2]}, logsource=NETWORK), "eql", {"numbers": True}),
        (sigma({"DestinationPort": [1, 2]}, logsource=NETWORK), "es-qs", {}),
        (sigma({"DestinationPort|startswith": "59"}, logsource=NETWORK), "es-qs", {"numbers": False}),
        (sigma({"EventID": 5156, "DestPort": 1}, logsource=SECURITY), "es-qs", {"unmapped 5156": True}),
        (sigma({"EventID": 5156, "DestPort": 1}, logsource=SECURITY), "eql", {"unmapped 5156": True, "numbers": True}),
        (sigma({"EventID": 4624}, logsource=SECURITY), "eql", {}),
        (sigma({"EventID": 4624}, logsource=SECURITY, tags=["attack.t1021"]), "elastic-rule", {"ATT&CK download": True}),
    ],
)
def test_known_traps_are_told_where_they_lie(rule: Rule, target: str, expected: dict[str, bool]) -> None:
    assert traps(one(rule, target)) == expected


def test_a_correlation_is_refused_by_name_and_told_to_be_a_trap() -> None:
    definition = """
title: many
id: 22222222-2222-4222-8222-222222222222
correlation: {type: event_count, rules: [11111111-1111-4111-8111-111111111111], group-by: [User], timespan: 5m, condition: {gte: 9}}
"""
    made = on("System", {"EventID": 7})
    rule = Rule(
        id="22222222-2222-4222-8222-222222222222",
        title="many",
        source="many.yml",
        language="sigma",
        severity=made.severity,
        techniques=(),
        logic=made.logic,
        definition=definition,
        not_evaluated="correlations are not evaluated here",
    )
    for each in sheet(rule).translations:
        if each.target != "source":
            assert each.refused, each.target
            assert traps(each) == {"correlation": False}


def test_what_events_lack_is_told() -> None:
    notes = " ".join(one(sigma({"OriginalFileName": "x.exe", "Image": "y"}), "grep").notes)
    assert "4688 has no OriginalFileName" in notes
    assert "Sysmon's events alone" in " ".join(one(sigma({"Image": "x"}, logsource=NETWORK), "splunk").notes)
    assert "Sysmon's events alone" not in " ".join(one(on("System", {"EventID": 7}), "splunk").notes)
    assert "no Graylog converter" in " ".join(one(on("System", {"EventID": 7}), "graylog").notes)


def test_a_search_that_filters_behind_it_keeps_both_variants() -> None:
    said = one(sigma({"CommandLine|re": "a+"}), "splunk")
    assert said.text.startswith("| multisearch\n    [search ")
    assert said.text.count("[search ") == 2
    assert {'channel="Microsoft-Windows-Sysmon/Operational"', 'channel="Security"'} <= set(
        re.findall(r'channel="[^"]*"', one(sigma({"CommandLine|re": "a+"}), "logpoint").text)
    )


def test_the_watch_has_none_of_the_known_faults(tmp_path: Path) -> None:
    for rule in (on("System", {"EventID": 7}), sigma({"CommandLine|contains": "it's {{x}} $(y)"})):
        path = tmp_path / "watch.sh"
        path.write_text(one(rule, "xpack-watcher").text)
        assert holds_watches(path)
        assert lint_watches(path) == ()
        body = json.loads(re.search(r"<<'EOF'\n(.*)\nEOF$", path.read_text(), re.DOTALL)[1])  # type: ignore[index]
        request = body["input"]["search"]["request"]
        assert request["body"]["track_total_hits"] is True
        assert request["body"]["size"] > 0
        assert body["condition"] == {"compare": {"ctx.payload.hits.total.value": {"gt": 0}}}
        # The request is a Mustache template: nothing of the rule may be taken for one.
        asked = request["body"]["query"]["bool"]["filter"][0]["query_string"]["query"]
        assert "{{" not in asked
        assert one(rule, "es-qs").text == asked


def imported(rule: Rule) -> dict[str, Any]:
    text = one(rule, "elastic-rule").text
    assert "\n" not in text
    found: dict[str, Any] = json.loads(text)
    for key in ("rule_id", "name", "description", "type", "severity", "risk_score", "from", "to", "interval"):
        assert found[key], key
    assert found.get("index") or found["type"] in ("esql", "machine_learning")
    assert found["severity"] in ("low", "medium", "high", "critical")
    assert found["enabled"] is False
    return found


def test_a_detection_rule_bears_what_an_import_asks_for() -> None:
    tags = ["attack.execution", "attack.lateral_movement", "attack.t1059.001", "attack.t1021"]
    found = imported(sigma({"Image": "x"}, tags=tags, description="said", references=["https://one.example"], falsepositives=["some"]))
    assert (found["type"], found["language"], found["risk_score"], found["description"]) == ("eql", "eql", 73, "said")
    assert [each["tactic"]["name"] for each in found["threat"]] == ["Execution", "Lateral Movement"]
    assert [each["id"] for each in found["threat"][0]["technique"]] == ["T1059", "T1021"]
    assert found["threat"][0]["technique"][0]["subtechnique"][0]["reference"] == "https://attack.mitre.org/techniques/T1059/001/"
    assert found["references"] == ["https://one.example"]
    parse_eql(found["query"])


def test_a_detection_rule_is_lucene_where_eql_cannot_say_it() -> None:
    rule = on("System", {"A|contains": ["x" * 999 + str(number) for number in range(120)]})
    found = imported(rule)
    assert (found["type"], found["language"]) == ("query", "lucene")
    assert any("because EQL cannot say it" in note for note in one(rule, "elastic-rule").notes)


def test_nothing_asks_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **named: object) -> None:
        raise AssertionError("a translation opened a connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert all(each.text for each in sheet(sigma({"Image": "x"}, tags=["attack.t1021"])).translations)


def test_the_labs_own_rules_are_said_in_every_language() -> None:
    from harness.rules.sigma import SigmaRules

    paths = sorted((ROOT / "lab" / "rules" / "sigma").rglob("*.yml"))
    assert paths
    for path in paths:
        (rule,) = SigmaRules().load(path)
        for each in sheet(rule).translations:
            assert each.text or each.refused
            assert each.text, (rule.title, each)


@needs_recordings
def test_elastic_rules_say_what_they_can_and_name_the_rest() -> None:
    rules = elastic()
    assert len(rules) > 30
    for rule in rules:
        found = {each.target: each for each in sheet(rule).translations}
        assert found["source"].text
        assert imported(rule)["rule_id"] == rule.id
        assert rule.elastic is not None
        if rule.elastic.kind == "eql":
            assert parse_eql(found["eql"].text).logic == rule.logic
        elif found["eql"].text:
            parse_eql(found["eql"].text)
        for target in ("powershell", "splunk", "logpoint", "graylog", "grep"):
            assert found[target].refused, (target, rule.title)
        if not rule.not_evaluated and rule.pattern is None and found["spark-sql"].text:
            sqlglot.parse_one(found["spark-sql"].text, dialect="spark")


def test_a_query_in_a_file_of_its_own() -> None:
    (rule,) = EqlFiles().parse('process where process.name : "whoami.exe"', "who.eql")
    found = {each.target: each for each in sheet(rule).translations}
    assert parse_eql(found["eql"].text).logic == rule.logic
    assert parse_eql(imported(rule)["query"]).logic == rule.logic
    assert "lower(`process`.`name`) = 'whoami.exe'" in found["spark-sql"].text
    assert "exists(`event`.`category`, value -> " in found["spark-sql"].text
    assert found["splunk"].refused


@needs_recordings
def test_real_rules_are_said_in_nearly_every_language() -> None:
    refused = [(each.target, rule.title, each.refused) for rule in sample(40, seed=61) for each in sheet(rule).translations if each.refused]
    assert len(refused) <= 6, refused


@needs_recordings
def test_the_rule_of_the_page_that_was_given_as_an_example() -> None:
    """Rule 13acf386 in the languages of the document that asked for this command."""
    found = {each.target: each.text for each in sheet(by_id("13acf386")).translations}
    assert "-FilterXPath" in found["powershell"]
    assert "event.code:5156" in found["es-qs"]
    assert found["splunk"] == 'source="WinEventLog:Security" EventCode=5156 DestPort IN (5985, 5986) LayerRTID=44'
    assert found["graylog"] == "Channel:Security AND (EventID:5156 AND (DestPort:(5985 OR 5986)) AND LayerRTID:44)"
    assert 'event_id="5156"' in found["logpoint"]
    assert len(upstream()) > 2390
