"""pySigma's backends: their queries parse, and what winlogbeat stores otherwise is asked for as it stores it."""

from __future__ import annotations

import re
import warnings

import pytest

from harness.model.intent import Rule
from harness.translate import backends
from harness.translate.backends import Query
from harness.translate.refusal import NotExpressible
from tests.needs import needs_recordings
from tests.translate.rules import elastic, on, sample, sigma

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # ply, below it, is of another age
    from luqum.parser import parser

NETWORK = {"product": "windows", "category": "network_connection"}


def parsed(query: Query) -> str:
    """The one query of it; all are read by a parser of Lucene's language."""
    for text in query.variants:
        parser.parse(text)
    return " OR ".join(query.variants)


def ecs(selection: object, **more: object) -> str:
    return parsed(backends.lucene_over_ecs(sigma(selection, **more)))


def test_true_is_egress_and_false_ingress() -> None:
    assert "network.direction:egress" in ecs({"Initiated": "true"}, logsource=NETWORK)
    assert "network.direction:ingress" in ecs({"Initiated": False}, logsource=NETWORK)
    assert "network.direction:(egress OR ingress)" in ecs({"Initiated": ["True", "false"]}, logsource=NETWORK)


def test_the_parent_has_its_whole_path_in_both_logs() -> None:
    text = ecs({"ParentImage|endswith": "\\x.exe"})
    assert text.count("process.parent.executable.caseless:*\\\\x.exe") == 2
    assert "process.parent.name" not in text


@pytest.mark.parametrize(
    ("value", "asked"),
    [
        ("NT AUTHORITY\\SYSTEM", 'user.domain:"NT AUTHORITY" AND user.name:SYSTEM'),
        ("*\\anna", "user.domain:* AND user.name:anna"),
        ("*AUTHORI*", "user.domain:*AUTHORI* OR user.name:*AUTHORI*"),
        ("anna", "user.name:anna"),
    ],
)
def test_an_account_is_two_fields(value: str, asked: str) -> None:
    assert asked in ecs({"User": value}, logsource=NETWORK)


def test_the_filtering_platforms_fields_are_asked_in_both_places() -> None:
    text = ecs({"EventID": 5156, "DestPort": 5985}, logsource={"product": "windows", "service": "security"})
    assert "destination.port:5985 OR winlog.event_data.DestPort:5985" in text
    other = ecs({"EventID": 4624, "IpPort": 5985}, logsource={"product": "windows", "service": "security"})
    assert "winlog.event_data.IpPort" not in other


def test_a_hash_is_asked_by_itself_as_well() -> None:
    text = ecs({"Hashes|contains": ["IMPHASH=ABCDEF", "MD5=00FF"]})
    assert "winlog.event_data.Hashes:*IMPHASH\\=ABCDEF* OR process.pe.imphash:abcdef" in text
    assert "process.hash.md5:00ff" in text
    both = ecs({"Hashes|contains|all": ["IMPHASH=ABCDEF", "MD5=00FF"]})
    assert re.search(r"imphash:abcdef\) AND \(.*md5:00ff", both)


def test_the_beginning_of_an_address_is_a_network() -> None:
    assert "destination.ip:10.0.0.0\\/8" in ecs({"DestinationIp|startswith": "10."}, logsource=NETWORK)


def test_regular_expressions_are_lucenes() -> None:
    assert "process.command_line:/.*a[0-9]+/" in ecs({"CommandLine|re": "a\\d+$"})
    assert "process.command_line:/[Aa]\\/.*/" in ecs({"CommandLine|re|i": "^a/"})
    with pytest.raises(NotExpressible, match=r"^Lucene's regular expressions have no look-ahead$"):
        backends.lucene_over_ecs(sigma({"CommandLine|re": "a(?=b)"}))


def test_a_filter_narrows_every_translation() -> None:
    from harness.rules.sigma import SigmaRules

    text = """
title: made
id: 11111111-1111-4111-8111-111111111111
logsource: {product: windows, service: system}
detection: {a: {EventID: 7}, condition: a}
---
title: narrower
logsource: {product: windows, service: system}
filter:
  rules: [11111111-1111-4111-8111-111111111111]
  f: {Computer: quiet}
  condition: not f
"""
    (rule,) = SigmaRules().parse(text, "made.yml")
    assert "quiet" in parsed(backends.lucene_over_ecs(rule))
    assert "quiet" in backends.splunk(rule).variants[0]


def test_splunk_is_asked_by_source() -> None:
    (text,) = backends.splunk(on("Security", {"EventID": 4688})).variants
    assert text == 'source="WinEventLog:Security" EventCode=4688'
    variants = backends.splunk(sigma({"Image|endswith": "\\x.exe"})).variants
    assert len(variants) == 2
    assert 'source="WinEventLog:Microsoft-Windows-Sysmon/Operational"' in variants[0]


def test_logpoint_is_told_truth_and_quotation_marks_in_its_own_way() -> None:
    (text,) = backends.logpoint(on("System", {"Signed": True, "Text|re": 'a\\"b"c'})).variants
    assert 'signed="true"' in text
    assert balanced(text, LOGPOINT_TEXT)
    assert "a\\x22b\\x22c" in text


def test_fields_compared_are_not_said_by_every_language() -> None:
    rule = on("System", {"A|fieldref": "B"})
    for translated in (backends.lucene_over_ecs, backends.lucene_as_it_is, backends.logpoint):
        with pytest.raises(NotExpressible, match="converter refuses"):
            translated(rule)
    assert "where" in backends.splunk(rule).variants[0]


def test_a_rule_is_not_changed_by_its_translations() -> None:
    rule = sigma({"User": "LAB\\anna", "Initiated": "true"}, logsource=NETWORK)
    assert backends.lucene_over_ecs(rule) == backends.lucene_over_ecs(rule)
    backends.splunk(rule)
    assert sigma({"User": "LAB\\anna", "Initiated": "true"}, logsource=NETWORK) == rule


SPLUNK_TEXT = r"""\"(?:[^"\\]|\\.)*\"|'[^']*'"""
LOGPOINT_TEXT = r""""[^"]*"|'[^']*'"""


def balanced(text: str, quoted: str) -> bool:
    """Brackets close in order, outside of quoted texts, and every text is closed."""
    if re.search("[\"']", re.sub(quoted, "", text)):
        return False
    closes = {")": "(", "]": "["}
    opened: list[str] = []
    for sign in re.findall(r"[()\[\]]", re.sub(quoted, "", text)):
        if sign in "([":
            opened.append(sign)
        elif sign in closes and (not opened or opened.pop() != closes[sign]):
            return False
    return not opened


@needs_recordings
def test_real_rules() -> None:
    refused: list[tuple[str, str]] = []
    for rule in sample(40, seed=51):
        for translated in (backends.lucene_over_ecs, backends.lucene_as_it_is):
            try:
                assert parsed(translated(rule))
            except NotExpressible as error:
                refused.append((rule.id, str(error)))
        for translated, quoted in ((backends.splunk, SPLUNK_TEXT), (backends.logpoint, LOGPOINT_TEXT)):
            try:
                assert all(text and balanced(text, quoted) for text in translated(rule).variants), rule.id
            except NotExpressible as error:
                refused.append((rule.id, str(error)))
    assert len(refused) <= 5, refused


@needs_recordings
def test_rules_of_another_language_are_refused() -> None:
    rule: Rule = elastic()[0]
    with pytest.raises(NotExpressible, match="made of Sigma rules"):
        backends.splunk(rule)
