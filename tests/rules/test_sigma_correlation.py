"""Sigma correlations: from documents, of one file or several, to matches with their evidence; and all ways in which one can be wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.detect import Detector
from harness.errors import UsageError
from harness.events.read import read_events
from harness.logic.explain import explain
from harness.logic.needs import kinds, unexercisable
from harness.logic.requirements import requirements
from harness.model.facts import Event, FlatValue
from harness.model.intent import EnterPSSession, Rule, Severity
from harness.model.replay import Nearest
from harness.replay import Broken, replay
from harness.rules.catalog import load_catalog, load_rules
from harness.rules.eql import Query
from harness.rules.eql_print import Unprintable, print_eql
from harness.rules.sigma import SigmaRules
from tests.needs import DATA, needs_recordings
from tests.rules.sigma_data import ANYTHING, event

SOURCE = "logsource: {product: windows, service: security}\n"


def base(name: str, number: int, extra: str = "") -> str:
    return f"title: Rule {name}\nname: {name}\n{SOURCE}detection: {{selection: {{EventID: {number}}}, condition: selection}}\n{extra}"


A, B, C = base("a", 1), base("b", 2), base("c", 3)
ID = "0e95725d-7320-415d-80f7-004da920fc11"


def correlation(body: str, *rules: str, head: str = "") -> str:
    indented = "".join(f"  {line}\n" for line in body.strip().splitlines())
    return "---\n".join((f"title: Together\nid: {ID}\n{head}correlation:\n{indented}", *rules))


def at(number: int, seconds: float, **flat: FlatValue) -> Event:
    seen = event(flat, event_id=number)
    host = str(flat.get("on", "ws1"))
    return replace(seen, id=f"{number}@{seconds:g}{flat.get('u', '')}", host=host, time=seen.time + timedelta(seconds=seconds))


def alerts(text: str, events: Sequence[Event]) -> list[tuple[str, list[str]]]:
    detector = Detector(SigmaRules().link([("a.yml", text)]).rules)
    hits = [*(hit for seen in events for hit in detector.feed(seen)), *detector.finish()]
    return [(hit.rule.title, [part.id for part in hit.events]) for hit in hits]


def found(text: str, *events: Event) -> list[list[str]]:
    """The evidence of the correlation's matches; nothing else may alert."""
    hits = alerts(text, events)
    assert {title for title, _ in hits} <= {"Together"}
    return [ids for _, ids in hits]


COUNT = "type: event_count\nrules: [a]\ngroup-by: [U]\ntimespan: 10s\ncondition: {gte: 3}"


def test_events_are_counted_for_each_group_within_a_span_that_slides() -> None:
    text = correlation(COUNT, A)
    assert found(text, at(1, 0, u="x"), at(1, 5, u="X"), at(1, 10, u="x")) == [["1@0x", "1@5X", "1@10x"]]
    assert found(text, at(1, 0, u="x"), at(1, 5, u="x"), at(1, 10.001, u="x")) == []
    assert found(text, at(1, 0, u="x"), at(1, 5, u="x"), at(1, 6, u="y"), at(1, 7)) == []
    assert found(text, at(1, 0, u="x"), at(1, 8, u="x"), at(1, 14, u="x"), at(1, 17, u="x")) == [["1@8x", "1@14x", "1@17x"]]
    assert found(text, *(at(1, number, u="x") for number in range(7))) == [["1@0x", "1@1x", "1@2x"], ["1@3x", "1@4x", "1@5x"]]


@pytest.mark.parametrize(
    ("condition", "counts"),
    [
        ("{gt: 2}", {3, 4, 5}),
        ("{gte: 2}", {2, 3, 4, 5}),
        ("{lt: 2}", {1}),
        ("{lte: 2}", {1, 2}),
        ("{eq: 3}", {3}),
        ("{neq: 3}", {1, 2, 4, 5}),
        ("{gt: 1, lte: 3}", {2, 3}),
    ],
)
def test_every_comparison(condition: str, counts: set[int]) -> None:
    text = correlation(COUNT.replace("{gte: 3}", condition), A)
    assert {number for number in range(6) if found(text, *(at(1, second, u="x") for second in range(number)))} == counts


def test_distinct_values() -> None:
    text = correlation("type: value_count\nrules: a\ngroup-by: U\ntimespan: 1m\ncondition: {field: V, gte: 2}", A)
    assert found(text, at(1, 0, u="x", v="p"), at(1, 1, u="x", v="P"), at(1, 2, u="x")) == []
    assert found(text, at(1, 0, u="x", v="p"), at(1, 1, u="y", v="q"), at(1, 2, u="x", v="q")) == [["1@0x", "1@2x"]]
    assert found(text, at(1, 0, u="x", v=["p", "q"])) == [["1@0x"]]
    rows = text.replace("field: V", "field: [V, W]")
    assert found(rows, at(1, 0, u="x", v="p", w="1"), at(1, 1, u="x", v="p", w="2")) == [["1@0x", "1@1x"]]


@pytest.mark.parametrize(
    ("kind", "condition", "values", "expected"),
    [
        ("value_sum", "gte: 10", ["4", 6], True),
        ("value_sum", "gte: 10", ["4", "5.5", "0x10", "-"], False),
        ("value_avg", "gt: 15", [10, 20, 30], True),
        ("value_avg", "gt: 50", [100, 1, 1], False),
        ("value_median", "eq: 15", [40, 10, 20, 1], True),
        ("value_percentile", "percentile: 95, lt: 20", list(range(20)), True),
        ("value_percentile", "percentile: 95, lt: 18", list(range(20)), False),
        ("value_percentile", "percentile: 0, eq: 3", [5, 3, 4], True),
        ("value_avg", "gt: 0", ["none"], False),
    ],
)
def test_measures_of_numbers(kind: str, condition: str, values: list[FlatValue], expected: bool) -> None:
    text = correlation(f"type: {kind}\nrules: [a]\ntimespan: 1m\ncondition: {{field: V, {condition}}}", A)
    assert bool(found(text, *(at(1, second, v=value) for second, value in enumerate(values)))) is expected


TEMPORAL = "type: temporal\nrules: [a, b, c]\ngroup-by: [U]\ntimespan: 10s"


def test_rules_together_in_whatever_order() -> None:
    text = correlation(TEMPORAL, A, B, C)
    assert found(text, at(3, 0, u="x"), at(1, 1, u="x"), at(1, 2, u="y"), at(2, 9, u="x")) == [["3@0x", "1@1x", "2@9x"]]
    assert found(text, at(3, 0, u="x"), at(1, 1, u="x"), at(2, 11, u="x")) == []
    assert found(text, at(3, 0, u="x"), at(1, 1, u="x"), at(2, 2, u="y")) == []
    two = correlation(TEMPORAL + "\ncondition: {gte: 2}", A, B, C)
    assert found(two, at(3, 0, u="x"), at(3, 1, u="x"), at(2, 2, u="x")) == [["3@0x", "3@1x", "2@2x"]]


def test_rules_in_order() -> None:
    text = correlation(TEMPORAL.replace("temporal", "temporal_ordered"), A, B, C)
    events = [at(1, 0, u="x"), at(3, 1, u="x"), at(2, 2, u="x"), at(1, 2, u="x"), at(3, 4, u="x")]
    assert found(text, *events) == [["1@0x", "2@2x", "3@4x"]]
    assert found(text, at(1, 0, u="x"), at(2, 0, u="x"), at(3, 1, u="x")) == []  # of one moment none is the later
    assert found(text, at(3, 0, u="x"), at(2, 1, u="x"), at(1, 2, u="x")) == []
    assert found(text, at(1, 0, u="x"), at(1, 5, u="x"), at(2, 9, u="x"), at(3, 12, u="x")) == [["1@5x", "2@9x", "3@12x"]]
    twice = correlation("type: temporal_ordered\nrules: [a, a, b]\ntimespan: 10s", A, B)
    assert found(twice, at(1, 0), at(2, 1)) == []
    assert found(twice, at(1, 0), at(1, 1), at(2, 2)) == [["1@0", "1@1", "2@2"]]


@pytest.mark.parametrize(
    ("kind", "condition", "order", "expected"),
    [
        ("temporal", "a and b", "ba", True),
        ("temporal", "a AND (b OR c)", "ca", True),
        ("temporal", "a and (b or c)", "bc", False),
        ("temporal", "a and not b", "ac", True),
        ("temporal", "a and not b", "ab", False),
        ("temporal", "not not a", "a", True),
        ("temporal_ordered", "a and b", "ab", True),
        ("temporal_ordered", "a and b", "ba", False),
        ("temporal_ordered", "a and (b or c)", "ac", True),
        ("temporal_ordered", "a and c and not b", "ac", True),
        ("temporal_ordered", "a and c and not b", "acb", False),
    ],
)
def test_expressions_of_rules(kind: str, condition: str, order: str, expected: bool) -> None:
    text = correlation(f"type: {kind}\ntimespan: 10s\ncondition: {condition}", A, B, C)
    hits = alerts(text, [at("abc".index(letter) + 1, second) for second, letter in enumerate(order)])
    assert ("Together" in [title for title, _ in hits]) is expected


BRUTE = """title: Together
id: b180ead8-d58f-40b2-ae54-c8940995b9b6
level: high
correlation:
  type: temporal_ordered
  rules: [many, success]
  group-by: [U]
  timespan: 10m
---
title: Many failures
name: many
correlation:
  type: event_count
  rules: [failure]
  group-by: [U, W]
  timespan: 10m
  condition: {gte: 3}
---
"""


def test_correlations_of_correlations() -> None:
    text = BRUTE + base("failure", 4625) + "---\n" + base("success", 4624)
    failures = [at(4625, second, u="x", w="w") for second in range(3)]
    assert found(text, *failures, at(4624, 9, u="x")) == [["4625@0x", "4625@1x", "4625@2x", "4624@9x"]]
    assert found(text, *failures[:2], at(4624, 9, u="x")) == []
    assert found(text, *failures, at(4624, 9, u="y")) == []
    assert found(text, at(4624, 0, u="x"), *(at(4625, second, u="x", w="w") for second in range(1, 4))) == []
    # Failures that go on for longer than the span are many again and again: the success is near the last of them.
    long = [at(4625, 60 * minute, u="x", w="w") for minute in range(30)]
    assert found(text, *long, at(4624, 60 * 31, u="x")) == [["4625@1620x", "4625@1680x", "4625@1740x", "4624@1860x"]]


def test_a_correlation_that_is_known_late_counts_at_the_end_of_its_frame() -> None:
    few = BRUTE.replace("{gte: 3}", "{lte: 2}").replace("timespan: 10m\n  condition", "timespan: 5m\n  condition")
    text = few + base("failure", 4625) + "---\n" + base("success", 4624)
    assert found(text, at(4625, 0, u="x", w="w"), at(4624, 200, u="x")) == []
    assert found(text, at(4625, 0, u="x", w="w"), at(4624, 301, u="x")) == [["4625@0x", "4624@301x"]]


def test_aliases_join_fields_of_different_names() -> None:
    text = correlation(
        "type: temporal\nrules: [a, b]\ngroup-by: [inner, outer]\ntimespan: 10s\n"
        "aliases:\n  inner: {a: Dst, b: Src}\n  outer: {a: Src, b: Dst}",
        A,
        B,
    )
    assert found(text, at(1, 0, dst="i", src="o"), at(2, 1, src="i", dst="o")) == [["1@0", "2@1"]]
    assert found(text, at(1, 0, dst="i", src="o"), at(2, 1, src="o", dst="i")) == []


def test_an_outer_group_is_what_the_inner_events_have() -> None:
    text = BRUTE.replace("group-by: [U]", "group-by: [V]") + base("failure", 4625) + "---\n" + base("success", 4624)
    failures = [at(4625, second, u="x", w="w", v=f"v{second}") for second in range(3)]
    assert found(text, *failures, at(4624, 9, v="v1")) == [["4625@0x", "4625@1x", "4625@2x", "4624@9"]]
    assert found(text, *failures, at(4624, 9, v="v3")) == []


def test_a_host_is_one_under_each_of_its_names() -> None:
    text = correlation(COUNT.replace("[U]", "[Computer]").replace("gte: 3", "gte: 2"), A)
    short, full = at(1, 0, computer="WS1"), at(1, 1, computer="ws1.lab.example")
    assert found(text, short, full) == [["1@0", "1@1"]]
    assert found(text, short, at(1, 1, on="ws2", computer="WS1")) == []


def test_a_group_has_the_names_that_each_variant_of_a_rule_has() -> None:
    rule = "title: P\nname: p\nlogsource: {product: windows, category: process_creation}\n"
    rule += "detection: {selection: {CommandLine: x}, condition: selection}\n"
    text = correlation(COUNT.replace("[a]", "[p]").replace("[U]", "[Image]").replace("gte: 3", "gte: 2"), rule)
    audit = event({"commandline": "x", "newprocessname": "I"})
    sysmon = replace(event({"commandline": "x", "image": "i"}, channel="Microsoft-Windows-Sysmon/Operational", event_id=1), id="2")
    assert found(text, audit, sysmon) == [["1", "2"]]


def test_what_a_correlation_counts_alerts_only_where_it_generates() -> None:
    events = [at(1, second, u="x") for second in range(3)]
    assert [title for title, _ in alerts(correlation(COUNT, A), events)] == ["Together"]
    assert [title for title, _ in alerts(correlation(COUNT + "\ngenerate: true", A), events)] == ["Rule a"] * 3 + ["Together"]
    together, counted = SigmaRules().link([("a.yml", correlation(COUNT, A))]).rules
    assert (together.id, counted.id, counted.title) == (ID, "a", "Rule a")
    assert "counted by the correlation 'Together'" in counted.not_evaluated
    # Read again from what a SIEM was given, both are what they were.
    for rule in (together, counted):
        again = {each.id: each for each in SigmaRules().parse(rule.definition, "a.yml")}
        assert again[rule.id] == rule


def test_what_a_correlation_says_of_itself() -> None:
    rule = next(iter(SigmaRules().parse(correlation(COUNT, A, head="level: critical\ntags: [attack.t1110]\n"), "a.yml")))
    assert (rule.severity, rule.techniques, rule.language, rule.source) == (Severity.CRITICAL, ("T1110",), "sigma", "a.yml")
    assert kinds(rule.logic) == {("security", 1)}
    assert rule.pattern is not None
    assert rule.pattern.max_span == timedelta(seconds=10)


def test_without_id_a_correlation_has_one_of_its_name_or_title() -> None:
    text = correlation(COUNT, A).replace(f"id: {ID}\n", "")
    one, other = (next(iter(SigmaRules().parse(each, "a.yml"))) for each in (text, text.replace("gte: 3", "gte: 4")))
    assert one.id == other.id != ID
    named = next(iter(SigmaRules().parse(text.replace("title: Together\n", "title: Together\nname: mine\n"), "a.yml")))
    assert named.id == "mine"


def test_a_filter_narrows_what_is_counted() -> None:
    narrowing = f"title: F\n{SOURCE}filter: {{rules: [a], selection: {{U: adm}}, condition: not selection}}\n"
    text = correlation(COUNT, A, narrowing)
    assert found(text, *(at(1, second, u="adm") for second in range(3))) == []
    assert len(found(text, *(at(1, second, u="x") for second in range(3)))) == 1
    rule = next(iter(SigmaRules().parse(text, "a.yml")))
    assert next(iter(SigmaRules().parse(rule.definition, "a.yml"))) == rule


def test_a_filter_narrows_what_a_correlation_of_a_correlation_counts() -> None:
    narrowing = f"title: F\n{SOURCE}filter: {{rules: any, s: {{V: adm}}, condition: not s}}\n"
    outer, inner = BRUTE.removesuffix("---\n").split("---\n")
    text = "---\n".join((inner, outer, base("failure", 4625), base("success", 4624), narrowing))
    failures = [at(4625, second, u="x", w="w") for second in range(3)]
    assert len(found(text, *failures, at(4624, 9, u="x"))) == 1
    assert found(text, *failures, at(4624, 9, u="x", v="adm")) == []


# --- across files ---------------------------------------------------------------------------------------------------------


def test_rules_of_other_files_are_counted_and_narrowed(tmp_path: Path) -> None:
    (tmp_path / "1.yml").write_text(correlation(COUNT.replace("[a]", f"[{ID[:-1]}2]")))
    (tmp_path / "2.yml").write_text(base("a", 1, f"id: {ID[:-1]}2"))  # without a line end at its end
    (tmp_path / "3.yml").write_text(f"title: F\n{SOURCE}filter: {{rules: any, selection: {{U: adm}}, condition: not selection}}\n")
    rules = load_rules([tmp_path], [SigmaRules()])
    assert [(rule.title, Path(rule.source).name, bool(rule.not_evaluated)) for rule in rules] == [
        ("Together", "1.yml", False),
        ("Rule a", "2.yml", True),
    ]
    assert {each.id: each for each in SigmaRules().parse(rules[0].definition, rules[0].source)}[ID] == rules[0]
    detector = Detector(rules)
    events = [*(at(1, second, u="adm") for second in range(3)), *(at(1, second, u="x") for second in range(3))]
    hits = [*(hit for seen in events for hit in detector.feed(seen)), *detector.finish()]
    assert [(hit.rule.title, len(hit.events)) for hit in hits] == [("Together", 3)]


def test_a_name_of_the_own_file_comes_before_the_same_in_another(tmp_path: Path) -> None:
    (tmp_path / "1.yml").write_text(correlation(COUNT, A))
    (tmp_path / "2.yml").write_text(base("a", 9, f"id: {ID[:-1]}2\n"))
    catalog = load_catalog([tmp_path], [SigmaRules()])
    assert [rule.title for rule in catalog.rules if rule.not_evaluated] == ["Rule a"]
    assert catalog.rules[-1].not_evaluated == ""
    (tmp_path / "1.yml").write_text(correlation(COUNT))
    (tmp_path / "3.yml").write_text(base("a", 8, f"id: {ID[:-1]}3\n"))
    (wrong,) = load_catalog([tmp_path], [SigmaRules()]).refused
    assert "name of several rules" in wrong.what


def test_one_wrong_document_takes_nothing_else_away(tmp_path: Path) -> None:
    good = base("b", 2, f"id: {ID[:-1]}3\n")
    broken = base("a", 1).replace("EventID", "EventID|nonsense")
    (tmp_path / "a.yml").write_text(correlation(COUNT, broken, good))
    catalog = load_catalog([tmp_path], [SigmaRules()])
    assert [rule.title for rule in catalog.rules] == ["Rule b"]
    assert [(Path(each.path).name, each.line) for each in catalog.refused] == [("a.yml", 13), ("a.yml", 5)]
    assert "which is not evaluable itself" in catalog.refused[1].what


# --- what is wrong --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "place", "what"),
    [
        ("rules: [a]", ":3:1", "no correlation type"),
        ("type: counting\nrules: [a]", ":4:3", "no correlation type"),
        ("type: event_count", ":3:1", "names no rules"),
        ("type: event_count\nrules: [1]", ":5:3", "names no rules"),
        ("type: event_count\nrules: [a]", ":3:1", "has no timespan"),
        (COUNT.replace("10s", "10x"), ":7:3", "timespan '10x' is none"),
        (COUNT.replace("10s", "0s"), ":7:3", "timespan"),
        (COUNT.replace("10s", "9" * 5000 + "s"), ":7:3", "timespan"),
        (COUNT.replace("10s", "999999y"), ":7:3", "timespan"),
        (COUNT.replace("10s", "5"), ":7:3", "timespan"),
        (COUNT.replace("group-by", "groupby"), ":6:3", "did you mean group-by?"),
        (COUNT.replace("[U]", "{U: 1}"), ":6:3", "does not group by"),
        (COUNT.replace("[U]", "[1]"), ":6:3", "does not group by"),
        (COUNT.replace("{gte: 3}", "{}"), ":8:3", "has no condition"),
        (COUNT.replace("{gte: 3}", "[1]"), ":8:3", "has no condition"),
        (COUNT.replace("{gte: 3}", "{gte: many}"), ":8:15", "'gte' takes a number"),
        (COUNT.replace("{gte: 3}", "{gte: true}"), ":8:15", "'gte' takes a number"),
        (COUNT.replace("{gte: 3}", "{gte: .inf}"), ":8:15", "'gte' takes a number"),
        (COUNT.replace("{gte: 3}", "{gte: 3, at: 5}"), ":8:23", "key 'at' is unknown"),
        (COUNT.replace("{gte: 3}", "{gte: 3, field: V}"), ":8:3", "names a field"),
        (COUNT.replace("{gte: 3}", "{gte: 3, percentile: 5}"), ":8:23", "the type is another"),
        (COUNT.replace("{gte: 3}", "a and b"), ":8:3", "temporal correlation alone"),
        (COUNT.replace("event_count", "value_count"), ":8:3", "names no field"),
        (COUNT.replace("event_count", "value_sum").replace("gte: 3", "gte: 3, field: [V, W]"), ":8:3", "several fields"),
        (COUNT.replace("event_count", "value_percentile").replace("gte: 3", "gte: 3, field: V"), ":8:3", "no percentile"),
        (COUNT + "\ngenerate: 1", ":9:3", "neither true nor false"),
        (COUNT + "\naliases: [x]", ":9:3", "aliases"),
        (COUNT + "\naliases: {U: {b: x}}", ":9:13", "names no field of the rule 'Rule a'"),
        (COUNT.replace("[a]", "[aa]"), ":5:3", "there is no rule 'aa'"),
        (COUNT.replace("[a]", "[a, a]"), ":5:3", "names a rule twice"),
        (COUNT.replace("[a]", f"[{ID}]"), ":5:3", "counts itself"),
        ("type: temporal\ntimespan: 1m\ncondition: a and", ":6:3", "it ends where a rule's name"),
        ("type: temporal\ntimespan: 1m\ncondition: a b", ":6:3", "stands where nothing more can"),
        ("type: temporal\ntimespan: 1m\ncondition: (a and b", ":6:3", "not closed"),
        ("type: temporal\ntimespan: 1m\ncondition: " + "(" * 5000 + "a", ":6:3", "too long"),
        ("type: temporal\ntimespan: 1m\ncondition: " + "not " * 30 + "a", ":6:3", "nested deeper"),
        ("type: temporal\nrules: [a, b]\ntimespan: 1m\ncondition: a", ":7:3", "leaves out 'b'"),
        ("type: temporal\nrules: [a]\ntimespan: 1m\ncondition: a and b", ":7:3", "names 'b', which is not among"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(body: str, place: str, what: str) -> None:
    with pytest.raises(UsageError) as caught:
        SigmaRules().parse(correlation(body, A, B), "a.yml")
    told = str(caught.value)
    assert what in told
    assert told.startswith(f"a.yml{place}")


def test_what_counts_itself_in_a_ring_or_without_end_is_refused() -> None:
    ring = "".join(
        f"title: R{n}\nname: r{n}\ncorrelation: {{type: temporal, rules: [r{(n + 1) % 3}, a], timespan: 1m}}\n---\n" for n in range(3)
    )
    with pytest.raises(UsageError, match="counts itself") as caught:
        SigmaRules().parse(ring + A, "a.yml")
    assert len(caught.value.problems) == 3
    doubling = "".join(
        f"title: R{n}\nname: r{n}\ncorrelation: {{type: temporal_ordered, rules: [r{n + 1}, r{n + 1}], timespan: 1m}}\n---\n"
        for n in range(15)
    )
    with pytest.raises(UsageError, match="more than 500 rules"):
        SigmaRules().parse(doubling + base("r15", 1), "a.yml")


@settings(max_examples=300, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["type", "rules", "group-by", "timespan", "condition", "aliases", "generate", "other"]), ANYTHING, max_size=3
    ),
    st.dictionaries(st.sampled_from(["title", "id", "name", "level", "tags", "date", "correlation"]), ANYTHING, max_size=1),
)
def test_whatever_a_correlation_holds_there_is_a_rule_or_a_problem(body: dict[str, object], head: dict[str, object]) -> None:
    good = {"type": "event_count", "rules": ["a"], "group-by": ["U"], "timespan": "10s", "condition": {"gte": 1}}
    text = yaml.safe_dump({"title": "Together", "id": ID, "correlation": good | body} | head)
    linked = SigmaRules().link([("a.yml", f"{text}---\n{A}")])
    assert linked.problems or linked.rules
    detector = Detector(linked.rules)
    hits = [*detector.feed(at(1, 0, u="x")), *detector.finish()]
    assert {hit.rule for hit in hits} <= set(linked.rules)


# --- what others read off it ----------------------------------------------------------------------------------------------


def whole(text: str) -> Rule:
    return next(iter(SigmaRules().parse(text, "a.yml")))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (correlation(COUNT, A), "number of events >= 3 among events of a, of the same U, within 10s"),
        (correlation(TEMPORAL, A, B, C), "number of rules >= 3 among events of a, b, c, of the same U, within 10s"),
        (
            BRUTE + base("failure", 1) + "---\n" + base("success", 2),
            "number of rules in order >= 2 among events of many (number of events >= 3 among events of failure, of the same U and W, "
            "within 10m), then success, of the same U, within 10m",
        ),
        (
            correlation("type: value_percentile\nrules: a\ntimespan: 1d\ncondition: {field: V, percentile: 95, neq: 5}", A),
            "percentile is not 5 (the 95th) of V among events of a, within 1d",
        ),
        (
            correlation("type: temporal\ntimespan: 1m\ncondition: a and (b or not c)", A, B, C),
            "(a and (b or no c)) among events of a, b, c, within 1m",
        ),
    ],
)
def test_it_is_told_in_one_line(text: str, told: str) -> None:
    rule = whole(text)
    assert [each.what for each in requirements(rule) if each.need == "several events"] == [told]
    assert explain(rule, [rule], "here").variants[0].condition == told


def why(text: str, *events: Event) -> Nearest:
    rule = whole(text)
    (found,) = replay(iter(events), [rule], recordings=["f"], broken=Broken(), why=[rule]).why
    return found


def test_why_names_the_frame_that_came_nearest() -> None:
    found = why(correlation(COUNT, A), at(1, 0, u="x"), at(1, 20, u="y"), at(1, 25, u="y"), at(1, 50, u="x"))
    assert found.clauses == ("number of events is 2, of U y: the rule wants number of events >= 3 within 10s",)
    assert ([event.id for event in found.reached], found.note) == (["1@20y", "1@25y"], "none of its frames has what it takes")
    found = why(correlation(TEMPORAL, A, B, C), at(1, 0, u="x"), at(2, 1, u="x"))
    assert found.clauses == ("number of rules is 2, a, b, of U x: the rule wants number of rules >= 3 within 10s",)
    assert why(correlation(COUNT, A), *(at(1, second, u="x") for second in range(3))).note == "it matched"


def test_why_names_what_an_event_lacks_to_be_counted() -> None:
    found = why(correlation(COUNT, A), at(2, 0, u="x"), at(1, 1))
    assert found.event is not None
    assert (found.event.id, found.clauses) == ("1@1", ("U is absent, so that it is not counted",))
    assert why(correlation(COUNT, A)).event is None


CHILD = "title: C\nname: child\nlogsource: {product: windows, category: process_creation}\n"
CHILD += "detection: {selection: {ParentImage|endswith: wsmprovhost.exe}, condition: selection}\n"
LOGON = base("logon", 4624)


@pytest.mark.parametrize(
    ("body", "need"),
    [
        ("type: event_count\nrules: [child]\ntimespan: 1m\ncondition: {gte: 2}", "child process"),
        ("type: event_count\nrules: [child, logon]\ntimespan: 1m\ncondition: {gte: 2}", None),
        ("type: temporal\nrules: [child, logon]\ntimespan: 1m", "child process"),
        ("type: temporal\nrules: [child, logon]\ntimespan: 1m\ncondition: {gte: 1}", None),
        ("type: temporal\ntimespan: 1m\ncondition: child and logon", "child process"),
        ("type: temporal\ntimespan: 1m\ncondition: child or logon", None),
        ("type: temporal\ntimespan: 1m\ncondition: logon and not child", None),
    ],
)
def test_what_it_needs_is_what_the_rules_that_must_be_there_need(body: str, need: str | None) -> None:
    rule = whole(correlation(body, CHILD, LOGON))
    found = unexercisable(rule, EnterPSSession(lines=("Get-Service",)), driver_is_windows=False)
    assert (found and found.need) == need
    assert unexercisable(rule, EnterPSSession(lines=("whoami.exe",)), driver_is_windows=False) is None


def test_a_rule_that_is_too_slow_is_named_and_the_others_go_on() -> None:
    slow = base("a", 1).replace("EventID: 1", "'X|re': '(a+)+$'")
    other = "title: O\nid: 0e95725d-7320-415d-80f7-004da920fc19\n" + SOURCE + "detection: {s: {EventID: 1}, condition: s}\n"
    rules = SigmaRules().link([("a.yml", correlation(COUNT, slow)), ("b.yml", other)]).rules
    hostile = at(1, 1, x="a" * 65_536 + "!")
    found = replay(iter([hostile]), [rule for rule in rules if not rule.not_evaluated], recordings=["f"], broken=Broken())
    assert [hit.rule.title for hit in found.hits] == ["O"]
    assert [each.path for each in found.not_evaluated] == ["a.yml"]


REMOTING = """title: Together
id: 0e95725d-7320-415d-80f7-004da920fc11
correlation: {type: temporal_ordered, rules: [inbound, child], group-by: [Computer], timespan: 1m}
---
title: In
name: inbound
logsource: {product: windows, category: network_connection}
detection: {s: {DestinationPort: 5985, Initiated: 'false'}, condition: s}
---
title: Child
name: child
logsource: {product: windows, category: process_creation}
detection: {s: {ParentImage|endswith: wsmprovhost.exe}, condition: s}
"""


@needs_recordings
@pytest.mark.parametrize(
    ("recording", "expected"), [("empire_psremoting_stager.zip", [[3, 4688]]), ("covenant_psremoting_command.zip", [])]
)
def test_a_session_and_then_its_child_in_recordings(recording: str, expected: list[list[int]]) -> None:
    """The session of the first spawned powershell.exe, that of the second ran a cmdlet alone (data/README.md)."""
    detector = Detector(SigmaRules().link([("a.yml", REMOTING)]).rules)
    hits = [hit for seen in read_events(DATA / "otrf" / recording) for hit in detector.feed(seen)] + [*detector.finish()]
    assert [[part.event_id for part in hit.events] for hit in hits] == expected


def test_eql_has_no_words_for_it() -> None:
    rule = whole(correlation(COUNT, A))
    with pytest.raises(Unprintable, match="a correlation"):
        print_eql(Query(logic=rule.logic, pattern=rule.pattern))
