"""The lab's own Sigma rules: the facts of their upstream pages, in our words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.model.tree import And, Formula, Node, Not, Op, Or
from harness.model.tree import Test as Clause
from harness.rules.catalog import load_rules
from harness.rules.sigma import SigmaRules
from tests.needs import needs_recordings
from tests.rules.sigma_data import LAB_RULES, upstream_rules

RULES = {rule.id: rule for rule in load_rules([LAB_RULES / "sigma"], [SigmaRules()])}


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
