"""What a rule's page says: kinds of event, stages, exclusions, indicators; and seed 003's sections for its own rule."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.logic.explain import EventKind, Explanation, Predicate, explain
from harness.model.intent import Rule
from harness.model.tree import FieldName, Formula, Node, Not, Op, Or
from harness.model.tree import Test as Clause
from harness.rules.eql import parse_eql
from harness.rules.sigma import SigmaRules
from tests.logic.tree_builders import SYSMON, both, is_, of_kind, rule
from tests.needs import needs_recordings
from tests.rules.sigma_data import upstream_rules

ONE = "11111111-1111-4111-8111-111111111111"
TWO = "22222222-2222-4222-8222-222222222222"


def any_of(*items: Node, label: str = "") -> Or:
    return Or(items=items, label=label)


def page_of(logic: Node) -> Explanation:
    return explain(rule(logic), [], "none")


def test_kinds_are_named_where_they_are_known() -> None:
    logic = any_of(of_kind(SYSMON, 3), of_kind("Some-Vendor/Log", 7), is_("EventID", 9), is_("Channel", "System"))
    assert page_of(logic).kinds == (
        EventKind(provider="", channel="", event_id=9, title=""),
        EventKind(provider="Sysmon", channel=SYSMON, event_id=3, title="Network connection"),
        EventKind(provider="Some-Vendor/Log", channel="Some-Vendor/Log", event_id=7, title=""),
        EventKind(provider="System", channel="System", event_id=None, title=""),
    )


def test_a_rule_is_told_by_the_names_of_its_groups() -> None:
    one = both(is_("Image", "a.exe", Op.ENDS_WITH), is_("User", "x"), label="filter_one")
    two = both(is_("Image", "b.exe"), label="filter_two")
    logic = both(
        is_("EventID", 1),
        is_("Channel", SYSMON),
        both(any_of(is_("A", 1), is_("A", 2)), is_("B", "q"), label="selection"),
        Not(item=any_of(one, two, label="1 of filter_*")),
        Not(item=any_of(two, label="1 of other_*")),
        label="x",
    )
    (variant,) = page_of(logic).variants
    assert variant.label == ""
    assert variant.condition == "selection and not 1 of filter_* and not 1 of other_*"
    assert [stage.name for stage in variant.stages] == ["selection", "not filter_*", "not filter_two"]
    assert variant.stages[0].lines == (
        "selection: all of",
        "    A equals any of:",
        "        - 1",
        "        - 2",
        "    B equals q",
    )
    assert variant.stages[1].lines == (
        "filter_one: all of",
        "    Image ends with a.exe",
        "    User equals x",
        "filter_two:",
        "    Image equals b.exe",
    )


def test_the_kind_of_event_is_no_stage_but_where_the_author_asked_for_it() -> None:
    logic = both(is_("Channel", "Security"), both(is_("EventID", 5156), is_("LayerRTID", 44), label="selection"), label="security")
    (variant,) = page_of(logic).variants
    assert variant.stages[0].lines == ("selection: all of", "    EventID equals 5156", "    LayerRTID equals 44")
    assert [each.predicate.field for each in page_of(logic).indicators] == ["LayerRTID"]


def test_two_logs_of_one_happening_are_two_variants() -> None:
    logic = any_of(
        both(is_("EventID", 1), both(is_("Image", "x"), label="selection"), label="Sysmon 1"),
        both(is_("EventID", 4688), both(is_("NewProcessName", "x"), label="selection"), label="Security 4688"),
    )
    page = page_of(logic)
    assert [variant.label for variant in page.variants] == ["Sysmon 1", "Security 4688"]
    assert [each.predicate.field for each in page.indicators] == ["Image", "NewProcessName"]


def test_exclusions_are_the_tests_under_a_top_level_not() -> None:
    logic = both(
        is_("A", "1"),
        both(Not(item=is_("B", "2")), label="selection"),  # taken apart: still at the top
        Not(item=both(is_("C", "3"), Not(item=is_("D", "4")))),
        any_of(Not(item=is_("E", "5")), is_("F", "6")),  # may be negated, need not
    )
    page = page_of(logic)
    assert [(each.field, each.value) for each in page.exclusions] == [("B", "2"), ("C", "3")]
    assert [each.predicate.field for each in page.indicators] == ["A", "D", "F"]


@pytest.mark.parametrize(
    ("test", "kind", "value"),
    [
        (is_("A", 5985), "eq", "5985"),
        (is_("A", "x", Op.CONTAINS), "match", "x"),
        (is_("A", "x", Op.CONTAINS, cased=True), "match_cased", "x"),
        (is_("A", "x.*", Op.REGEX, cased=True), "regex", "x.*"),
        (is_("A", "10.0.0.0/8", Op.CIDR), "cidr", "10.0.0.0/8"),
        (is_("A", True, Op.EXISTS), "exists", "true"),
        (is_("A", None, Op.IS_NULL), "is_null", ""),
        (is_("A", FieldName(name="B")), "eq", "the value of B"),
        (is_("A", 3, Op.LESS_OR_EQUAL), "lte", "3"),
    ],
)
def test_a_predicate_in_words(test: Clause, kind: str, value: str) -> None:
    (indicator,) = page_of(test).indicators
    assert indicator.predicate == Predicate(field="A", kind=kind, value=value)


def test_every_operation_has_words() -> None:
    for op in Op:
        value: str | bool | None = None if op is Op.IS_NULL else True if op is Op.EXISTS else "1"
        page = page_of(is_("A", value, op))
        assert page.indicators[0].predicate.kind
        assert page.variants[0].stages[0].lines[0].startswith("A ")


def test_others_are_counted_once_each_by_language_and_without_the_rule_itself() -> None:
    mine = rule(both(is_("Image", "X.exe"), is_("Port", 5985)), ONE)
    theirs = rule(any_of(is_("image", "x.EXE"), both(is_("Image", "x.exe"), is_("Port", "5985"))), TWO)
    elastic = replace(theirs, id="3", language="eql")
    negated = replace(rule(Not(item=is_("Image", "x.exe"))), id="4")
    contains = replace(rule(is_("Image", "x.exe", Op.CONTAINS)), id="5")
    page = explain(mine, [mine, theirs, elastic, negated, contains], "some")
    assert [dict(each.others) for each in page.indicators] == [{"eql": 1, "sigma": 1}, {"eql": 1, "sigma": 1}]
    assert (page.catalog, page.counted) == ("some", 5)


def test_case_counts_where_the_rule_looks_at_it() -> None:
    mine, theirs = rule(is_("A", "x", cased=True), ONE), rule(is_("A", "X", cased=True), TWO)
    assert explain(mine, [mine, theirs], "").indicators[0].others == {}


leaves = st.builds(lambda name, value: is_(name, value), st.sampled_from("ABC"), st.sampled_from(["1", "2", ""]))
trees = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds(lambda item: Not(item=item), inner),
        st.builds(lambda items, label: both(*items, label=label), st.lists(inner, max_size=3), st.sampled_from(["", "s", "1 of s*"])),
        st.builds(lambda items, label: any_of(*items, label=label), st.lists(inner, max_size=3), st.sampled_from(["", "s", "1 of s*"])),
    ),
    max_leaves=12,
)


def positive(node: Node, sign: bool = True) -> set[tuple[str | None, object]]:
    """The tests that hold under an even number of negations."""
    match node:
        case Clause(field=field, value=value):
            return {(field, value)} if sign else set()
        case Not(item=item):
            return positive(item, not sign)
        case Formula():
            return set()
        case _:
            return {found for item in node.items for found in positive(item, sign)}


@given(trees)
def test_any_tree_has_a_page_with_every_wanted_test(logic: Node) -> None:
    page = page_of(logic)
    assert {(each.predicate.field, each.predicate.value) for each in page.indicators} == positive(logic)


@needs_recordings
def test_the_page_of_seed_003() -> None:
    texts = upstream_rules()
    path = next(path for path, text in texts.items() if "id: c539afac-c12a-46ed-b1bd-5a5567c9f045" in text)
    catalog = [found for name, text in texts.items() if "/network_connection/" in name for found in SigmaRules().parse(text, name)]
    (own,) = [each for each in catalog if each.source == path]
    page = explain(own, catalog, "network_connection")
    assert [(kind.provider, kind.event_id, kind.title) for kind in page.kinds] == [("Sysmon", 3, "Network connection")]
    (variant,) = page.variants
    assert variant.condition == "selection and not 1 of filter_main_* and not 1 of filter_optional_*"
    assert [stage.name for stage in variant.stages] == ["selection", "not filter_main_*", "not filter_optional_avast"]
    assert {(each.field, each.kind, each.value) for each in page.exclusions} == {
        ("DestinationIp", "eq", "127.0.0.1"),
        ("DestinationIp", "eq", "::1"),
        ("SourceIp", "eq", "127.0.0.1"),
        ("SourceIp", "eq", "::1"),
        ("User", "match", "SEAU"),
        ("User", "match", "SERVICE R"),
        ("User", "match", "NETWORK SERVICE"),
        ("User", "match", "NETZWERKDIENST"),
        ("User", "match", "SERVICIO DE RED"),
        ("User", "match", "SERVIZIO DI RETE"),
        ("Image", "eq", "C:\\Program Files (x86)\\Avast Software\\Avast\\AvastSvc.exe"),
        ("Image", "eq", "C:\\Program Files\\Avast Software\\Avast\\AvastSvc.exe"),
    }
    assert [(each.predicate.field, each.predicate.kind, each.predicate.value) for each in page.indicators] == [
        ("DestinationPort", "eq", "5985"),
        ("DestinationPort", "eq", "5986"),
        ("Initiated", "eq", "true"),
        ("SourceIsIpv6", "eq", "false"),
    ]
    naming = sum(
        re.search(r"^ +Initiated: ['\"]?true", text, re.MULTILINE) is not None
        for name, text in texts.items()
        if "/network_connection/" in name
    )
    assert [dict(each.others) for each in page.indicators] == [{}, {}, {"sigma": naming - 1}, {}]


def eql(text: str, rule_id: str = ONE) -> Rule:
    query = parse_eql(text)
    return replace(rule(query.logic, rule_id), language="eql", pattern=query.pattern)


def test_the_events_of_a_sequence_are_its_stages() -> None:
    query = """sequence by host.id with maxspan=30s
        [network where destination.port == 5985 and not source.ip == "::1"]
        ![file where true]
        [process where process.name : "a.exe"] with runs=2
        until [process where event.type == "end"] | head 1"""
    page = explain(eql(query), [], "none")
    (variant,) = page.variants
    assert variant.condition == "3 events of the same host.id, one after the other, within 30s | head 1"
    assert [stage.name for stage in variant.stages] == ["event 1", "no event between them after event 1", "events 2 to 3", "until"]
    assert variant.stages[0].lines[1:] == (
        "    event.category equals (with regard to case) network",
        "    destination.port equals (with regard to case) 5985",
        "    not:",
        "        source.ip equals (with regard to case) ::1",
    )
    assert page.exclusions == (Predicate(field="source.ip", kind="eq_cased", value="::1"),)
    assert [each.predicate.field for each in page.indicators] == ["destination.port", "process.name"]
    assert {(kind.provider, kind.event_id) for kind in page.kinds} >= {("Sysmon", 3), ("Sysmon", 11), ("Sysmon", 1), ("Sysmon", 5)}


def test_kinds_that_lack_a_field_are_no_coverage() -> None:
    page = explain(eql('process where event.type == "start" and process.parent.name : "a.exe"'), [], "none")
    assert [(kind.provider, kind.event_id) for kind in page.kinds] == [("Sysmon", 1), ("Security auditing", 4688)]


def test_indicators_are_counted_in_every_stage_of_other_rules() -> None:
    one = eql('process where process.name : "a.exe"')
    other = eql('sequence by host.id [network where true] [process where process.name : "A.EXE"]', TWO)
    (indicator,) = explain(one, [one, other], "two").indicators
    assert indicator.others == {"eql": 1}


def test_a_rule_that_is_not_evaluated_has_no_stages() -> None:
    page = explain(replace(eql("any where true"), logic=Or(items=()), not_evaluated="ES|QL is not evaluated here"), [], "none")
    assert (page.kinds, page.variants, page.indicators) == ((), (), ())
