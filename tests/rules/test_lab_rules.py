"""The lab's own rules: the facts of their upstream pages, in our words."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.model.tree import And, Formula, Node, Not, Op, Or
from harness.model.tree import Test as Clause
from harness.rules.catalog import load_rules
from harness.rules.elastic import ElasticRules
from harness.rules.sigma import SigmaRules
from tests.needs import DATA, ROOT, needs_recordings
from tests.rules.sigma_data import LAB_RULES, upstream_rules

RULES = {rule.id: rule for rule in load_rules([LAB_RULES / "sigma"], [SigmaRules()])}
ELASTIC = {rule.id: rule for rule in load_rules([LAB_RULES / "elastic"], [ElasticRules()])}
TODAY, FORM_OF_2023, WINRS = (
    "2772264c-6fb9-4d9d-9014-b416eed21254",
    "8f0c6d0e-3b1c-4a5c-9d3d-5a2f7c1e9b46",
    "1cd01db9-be24-4bef-8e7c-e923f0ff78ab",
)


def logic_as_set(node: Node) -> object:
    """A tree without the order of its parts."""
    match node:
        case Clause(field=field, op=op, value=value, cased=cased):
            return (field, op, value, cased)
        case Not(item=item):
            return (Op, logic_as_set(item))
        case And(items=items, label=label):
            return (And, label, frozenset(map(logic_as_set, items)))
        case Or(items=items, label=label):
            return (Or, label, frozenset(map(logic_as_set, items)))
        case Formula():
            raise AssertionError("Sigma has none")


def document(text: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(text)
    return loaded


def test_there_are_seven() -> None:
    assert sorted(rule_id[:8] for rule_id in RULES) == ["13acf386", "5cc2cda8", "60167e5c", "734f8d9b", "79df3f68", "96b9f619", "c539afac"]


@needs_recordings
@pytest.mark.parametrize("rule_id", sorted(RULES))
def test_each_says_what_its_upstream_page_says_in_other_words(rule_id: str) -> None:
    ours = RULES[rule_id]
    path, text = next((path, text) for path, text in upstream_rules().items() if f"\nid: {rule_id}\n" in text)
    (upstream,) = SigmaRules().parse(text, path)
    assert logic_as_set(ours.logic) == logic_as_set(upstream.logic)
    assert (ours.severity, ours.techniques) == (upstream.severity, upstream.techniques)
    own, theirs = document(ours.definition), document(text)
    assert own["references"] == [f"https://github.com/SigmaHQ/sigma/blob/master/{path}"]
    assert own["title"] != theirs["title"]
    assert theirs["description"].strip() not in own["description"]


@pytest.mark.parametrize("rule_id", sorted(RULES))
def test_each_is_a_file_of_its_own(rule_id: str) -> None:
    assert Path(RULES[rule_id].source).parent == LAB_RULES / "sigma"


def test_elastics_are_three() -> None:
    assert set(ELASTIC) == {TODAY, FORM_OF_2023, WINRS}
    assert all(rule.pattern is not None and not rule.not_evaluated for rule in ELASTIC.values())


@needs_recordings
@pytest.mark.parametrize(
    ("rule_id", "upstream"),
    [
        (TODAY, DATA / "elastic" / "lateral_movement_powershell_remoting_target.toml"),
        (WINRS, DATA / "elastic" / "lateral_movement_incoming_winrm_shell_execution.toml"),
        (FORM_OF_2023, next(iter((ROOT.parent / "shared" / "seeds").glob("004_*")), DATA)),
    ],
)
def test_each_of_elastics_asks_what_its_upstream_page_asks_in_other_words(rule_id: str, upstream: Path) -> None:
    ours = ELASTIC[rule_id]
    (theirs,) = ElasticRules().parse(upstream.read_text(), str(upstream))
    assert ours.pattern == theirs.pattern
    assert (ours.severity, ours.techniques) == (theirs.severity, theirs.techniques)
    assert ours.elastic is not None
    assert theirs.elastic is not None
    assert (ours.elastic.risk_score, ours.elastic.look_back, ours.elastic.interval, ours.elastic.tactics) == (
        theirs.elastic.risk_score,
        theirs.elastic.look_back,
        theirs.elastic.interval,
        theirs.elastic.tactics,
    )
    own, text = tomllib.loads(ours.definition)["rule"], theirs.definition
    assert own["name"] not in text
    assert own["license"] == "Apache-2.0"
    sentences = [*own["description"].split(". "), *own["false_positives"]]
    assert [sentence for sentence in sentences if " ".join(sentence.split()) in " ".join(text.split())] == []
    assert theirs.title not in ours.definition


def test_the_form_of_2023_differs_by_the_protocol_alone() -> None:
    today, then = (tomllib.loads(ELASTIC[rule_id].definition)["rule"]["query"] for rule_id in (TODAY, FORM_OF_2023))
    assert then.replace('network.protocol == "http" and ', "") == today
