"""What is said of a rule beside its logic, in whatever language it is written."""

from __future__ import annotations

from datetime import timedelta

import pytest

from harness.model.intent import ElasticMetadata, Rule, Severity
from harness.model.tree import Or
from harness.rules.header import header


def rule(language: str, definition: str, elastic: ElasticMetadata | None = None, not_evaluated: str = "") -> Rule:
    return Rule(
        id="1",
        title="t",
        source="s",
        language=language,
        severity=Severity.LOW,
        techniques=(),
        logic=Or(items=()),
        definition=definition,
        elastic=elastic,
        not_evaluated=not_evaluated,
    )


BARE = ElasticMetadata(
    kind="eql",
    index=(),
    look_back=timedelta(minutes=9),
    interval=timedelta(minutes=5),
    risk_score=47,
    tactics=(),
    required_fields=(),
    building_block=False,
    repaired="",
)
FULL = ElasticMetadata(
    kind="query",
    index=("winlogbeat-*", "logs-*"),
    look_back=timedelta(days=2),
    interval=timedelta(seconds=90),
    risk_score=1,
    tactics=("TA0008",),
    required_fields=("process.name",),
    building_block=True,
    repaired="it stood on one line",
    suppressed_by=("host.id", "user.id"),
    suppressed_for=timedelta(hours=5),
    exceptions=("endpoint_list",),
)


def test_of_a_sigma_rule_what_its_text_says() -> None:
    text = "title: t\nstatus: test\nauthor: [a, b]\ndescription: |\n  two\n  lines\nlogsource: {product: windows, definition: x}\n"
    assert header(rule("sigma", text)) == {
        "status": "test",
        "author": "a; b",
        "description": "two lines",
        "log source": "product windows",
    }


def test_of_elastics_rules_where_and_how_they_run() -> None:
    assert header(rule("eql", "", BARE)) == {"type": "eql", "runs every": "5 m", "looks back": "9 m", "risk score": "47"}
    assert header(rule("kuery", "", FULL, "nested fields")) == {
        "type": "query",
        "indices": "winlogbeat-*, logs-*",
        "runs every": "90 s",
        "looks back": "2 d",
        "risk score": "1",
        "tactics": "TA0008",
        "required fields": "process.name",
        "building block": "its alerts feed other rules",
        "alerts suppressed": "one for the same host.id, user.id within 5 h",
        "exception lists": "endpoint_list: kept in the SIEM, not applied here",
        "repaired": "it stood on one line",
        "not evaluated": "nested fields",
    }


@pytest.mark.parametrize("definition", ["author: x", "- a", "a: [", "any where true"])
def test_a_query_alone_says_nothing_of_itself(definition: str) -> None:
    assert header(rule("eql", definition)) == {}
