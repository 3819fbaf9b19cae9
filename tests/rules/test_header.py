"""What a rule's own text says beside its logic, in both forms."""

from __future__ import annotations

from harness.rules.header import header
from harness.rules.languages import parse_rules

ELASTIC = """[rule]
author = ["one", "two"]
alert_suppression = {group_by = ["host.id"], duration = {value = 5, unit = "h"}, missing_fields_strategy = "suppress"}
building_block_type = "default"
description = '''
A text
of two lines.
'''
from = "now-90s"
index = ["winlogbeat-*"]
interval = "1m"
language = "eql"
name = "A name"
query = "process where true"
risk_score = 21
rule_id = "1"
severity = "low"
type = "eql"
[[rule.required_fields]]
name = "process.name"
[[rule.threat]]
framework = "MITRE ATT&CK"
[rule.threat.tactic]
id = "TA0008"
"""
SIGMA = """title: A name
id: 11111111-1111-4111-8111-111111111111
status: test
author: one
logsource: {product: windows, service: security}
detection: {selection: {A: 1}, condition: selection}
level: low
"""


def of(written_as: str, text: str) -> dict[str, str]:
    (rule,) = parse_rules(written_as, text, "r")
    return dict(header(rule))


def test_elastic() -> None:
    assert of("elastic", ELASTIC) == {
        "rule type": "eql",
        "risk score": "21",
        "index patterns": "winlogbeat-*",
        "schedule": "every 1m, over the last 90s",
        "building block": "its alerts feed other rules and are not shown by themselves",
        "suppression": "of alerts with the same host.id one is kept in each 5h",
        "tactics": "TA0008",
        "required fields": "process.name",
        "author": "one; two",
        "description": "A text of two lines.",
    }


def test_elastic_on_one_line_says_that_it_was_repaired() -> None:
    on_one_line = of("elastic", " ".join(ELASTIC.splitlines()))
    assert on_one_line.pop("repaired").startswith("it stood on one line")
    assert on_one_line == of("elastic", ELASTIC)


def test_sigma() -> None:
    assert of("sigma", SIGMA) == {"status": "test", "author": "one", "log source": "product windows, service security"}
