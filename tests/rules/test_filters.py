"""Kibana's filters: what each clause that is read matches, and that every other is refused by name."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest

from harness.logic.match import matcher
from harness.model.tree import And
from harness.rules.filters import filter_nodes
from harness.rules.mapped import Refused
from tests.logic.tree_builders import SYSMON, event

WHOAMI = event(SYSMON, 1, image="C:\\Windows\\whoami.exe", processid="4", message="Process Create: foo bar")


def holds(toml: str) -> bool:
    return matcher(And(items=filter_nodes([tomllib.loads(toml)])))(WHOAMI)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("match_all = {}", True),
        ("match_none = {}", False),
        ("exists = {field = 'process.name'}", True),
        ("exists = {field = 'no.such'}", False),
        ("term = {'process.name' = 'whoami.exe'}", True),
        ("term = {'process.name' = {value = 'WHOAMI.exe'}}", False),
        ("term = {'process.name' = {value = 'WHOAMI.exe', case_insensitive = true}}", True),
        ("term = {'process.pid' = 4}", True),
        ("terms = {'process.pid' = [3, 4], boost = 1.0}", True),
        ("terms = {'process.pid' = []}", False),
        ("match = {'process.name' = 'whoami.exe'}", True),
        ("match = {'message' = 'nothing create'}", True),
        ("match = {'message' = {query = 'foo create', type = 'phrase'}}", False),
        ("match_phrase = {'message' = 'create foo'}", True),
        ("match_phrase = {'message' = {query = 'create bar'}}", False),
        ("match_phrase = {'process.name' = 'whoami.exe'}", True),
        ("prefix = {'process.name' = 'who'}", True),
        ("prefix = {'process.name' = {value = 'WHO', case_insensitive = true}}", True),
        ("prefix = {'process.name' = 'w*'}", False),
        ("wildcard = {'process.name' = 'who*.exe'}", True),
        ("wildcard = {'process.name' = {value = 'WHO?mi*', case_insensitive = true}}", True),
        ("wildcard = {'process.name' = {wildcard = 'WHO*'}}", False),
        ("wildcard = {'process.executable' = {value = '?:\\\\Windows\\\\*'}}", True),
        ("wildcard = {'process.executable' = {value = 'C:\\Windows*'}}", False),
        ("wildcard = {message = {value = 'CREA*', case_insensitive = true}}", True),
        ("wildcard = {message = {value = '*create foo*'}}", False),
        ("regexp = {'process.name' = {value = 'who.*', case_insensitive = true}}", True),
        ("regexp = {'process.name' = 'ho.*'}", False),
        ("range = {'process.pid' = {gte = 4, lt = 5}}", True),
        ("range = {'process.pid' = {gt = 4}}", False),
        ("range = {'process.pid' = {}}", True),
        ("query_string = {query = 'process.name:who* AND process.pid:4', analyze_wildcard = true}", True),
        ("bool = {}", True),
        ("bool = {must = [{match_all = {}}], must_not = {term = {'process.pid' = 4}}}", False),
        ("bool = {should = [{term = {'process.pid' = 3}}, {term = {'process.pid' = 4}}], minimum_should_match = 1}", True),
        ("bool = {should = [{term = {'process.pid' = 3}}, {term = {'process.pid' = 4}}], minimum_should_match = 2}", False),
        ("bool = {should = [{term = {'process.pid' = 3}}]}", False),
        ("bool = {filter = {match_all = {}}, should = [{term = {'process.pid' = 3}}]}", True),
        ("bool = {must_not = [{term = {'process.pid' = 3}}]}", True),
    ],
)
def test_what_a_clause_matches_and_its_negation_does_not(query: str, expected: bool) -> None:
    assert holds(f"query.{query}") is expected
    assert holds(f"query.{query}\n[meta]\nnegate = true") is not expected
    assert holds(f"{query}\n'$state' = {{store = 'appState'}}\n[meta]\nnegate = false") is expected
    assert holds(f"query.{query}\n[meta]\ndisabled = true\nnegate = {str(expected).lower()}") is True


@pytest.mark.parametrize(
    ("query", "what"),
    [
        ("script = {source = 'x'}", "clause script is not read"),
        ("nested = {path = 'x', query = {match_all = {}}}", "clause nested is not read"),
        ("bool = {adjust = 1}", "bool has no adjust"),
        ("bool = {should = [{match_all = {}}, {match_all = {}}, {match_all = {}}], minimum_should_match = 2}", "minimum_should_match"),
        ("bool = {must = [{script = {}}]}", "clause script"),
        ("bool = {must = 5}", "is a table with one name"),
        ("exists = {}", "names no field"),
        ("term = {message = 'x'}", "without being analysed"),
        ("term = {a = 1, b = 2}", "is about one field"),
        ("term = {a = [1]}", "no text, number or truth"),
        ("term = {a = {value = 'x', fuzzy = 1}}", "the option fuzzy"),
        ("terms = {a = {index = 'x'}}", "looked up elsewhere"),
        ("match = {a = {query = 'x', operator = 'and'}}", "an operator"),
        ("match = {a = {query = 'x', type = 'most_fields'}}", "an operator or of a type"),
        ("match_phrase = {a = {query = 'x', slop = 2}}", "the option slop"),
        ("range = {'@timestamp' = {gte = 'now-1h'}}", "is a date"),
        ("range = {a = {gte = 'x'}}", "no number"),
        ("regexp = {a = 'x~'}", "the operator ~"),
        ("wildcard = {'process.pid' = '4*'}", "wildcards fit texts"),
        ("query_string = {query = 'a:b~'}", "fuzzy words"),
        ("query_string = {query = 'a:('}", "too early"),
        ("query_string = {query = 'a:b', default_field = 'c'}", "default_field"),
        ("term = 5", "clause term is no table"),
        ("bool = {must = " + "[{bool = {must = " * 61 + "[]" + "}}]" * 61 + "}", "nested more than 60"),
    ],
)
def test_what_is_not_read_is_named(query: str, what: str) -> None:
    with pytest.raises(Refused, match=what):
        holds(f"query.{query}")


@pytest.mark.parametrize("filters", [{"meta": 5}, {"meta": {}}, {"query": {}}, {"query": 5}, {"a": {}, "b": {}}])
def test_what_is_no_filter_is_refused(filters: Any) -> None:
    with pytest.raises(Refused):
        filter_nodes([filters])
