"""The one place that names the languages: what a rule is written as leads back to its loader, and nothing of the rule is lost."""

from __future__ import annotations

import pytest

from harness.errors import UsageError
from harness.model.intent import Rule
from harness.rules.catalog import load_rules
from harness.rules.languages import parse_rules, rule_sources
from tests.rules.sigma_data import LAB_RULES

PACK = load_rules([LAB_RULES], rule_sources())


@pytest.mark.parametrize("rule", PACK, ids=lambda rule: rule.id[:8])
def test_a_rule_is_the_same_when_its_text_is_read_as_what_it_is_written_as(rule: Rule) -> None:
    (again,) = parse_rules(rule.written_as, rule.definition, rule.source)
    assert again == rule


def test_the_pack_has_rules_of_both_languages() -> None:
    assert {rule.written_as for rule in PACK} == {"sigma", "elastic"}
    assert {rule.language for rule in PACK if rule.written_as == "elastic"} == {"eql"}


def test_a_format_that_nobody_reads_is_refused_by_name() -> None:
    with pytest.raises(UsageError, match="the rule format 'yara' is not read here"):
        list(parse_rules("yara", "", "deployed rule x"))


def test_an_eql_query_in_a_file_of_its_own_is_the_same_when_it_is_deployed() -> None:
    (rule,) = parse_rules("eql", 'process where process.name : "a.exe"', "a.eql")
    (again,) = parse_rules(rule.written_as, rule.definition, f"deployed rule {rule.id}")
    assert (again.id, again.logic, again.pattern) == (rule.id, rule.logic, rule.pattern)
