"""The rule engine: the counts that the recordings are known to give, and that its index loses nothing."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.detect import Detector
from harness.errors import RuleTooSlow
from harness.events.read import read_events
from harness.logic.match import matcher
from harness.model.facts import Event
from harness.model.intent import Rule
from harness.model.tree import And, Node, Not, Op, Or, Test
from harness.rules.catalog import load_rules
from harness.rules.eql import parse_eql
from harness.rules.sigma import SigmaRules
from tests.logic.tree_builders import SYSMON, event, is_, of_kind, rule
from tests.needs import DATA, needs_recordings
from tests.rules.sigma_data import LAB_RULES, regressions, upstream_rules

LAB = load_rules([LAB_RULES / "sigma"], [SigmaRules()])


def counts(recording: str) -> dict[str, int]:
    detector = Detector(LAB)
    return dict(Counter(found.id[:8] for event in read_events(DATA / "otrf" / recording) for found in detector.matches(event)))


@needs_recordings
@pytest.mark.parametrize(
    ("recording", "expected"),
    [
        ("empire_psremoting_stager.zip", {"13acf386": 3, "c539afac": 3, "734f8d9b": 4, "60167e5c": 1, "5cc2cda8": 2}),
        ("covenant_psremoting_command.zip", {"13acf386": 3, "c539afac": 3, "734f8d9b": 2, "60167e5c": 1}),
        ("covenant_persistwmi.tar.gz", {}),
        ("msf_record_mic.zip", {}),
        ("cmd_bitsadmin_download_psh_script.zip", {}),
        ("empire_launcher_vbs.zip", {}),
        ("covenant_sharpwmi_create_dcerpc_wmi.zip", {}),
        ("schtask_create.zip", {}),
        ("psh_powershell_httplistener.zip", {}),
    ],
)
def test_the_lab_rules_on_recordings(recording: str, expected: dict[str, int]) -> None:
    assert counts(recording) == expected


@needs_recordings
def test_the_index_finds_what_asking_every_rule_finds() -> None:
    texts = [text for path, text in upstream_rules().items() if "/process_creation/proc_creation_win_p" in path or "/file_event/" in path]
    rules = [found for text in texts for found in SigmaRules().parse(text, "upstream")]
    events = [event for _, recorded in regressions().values() for event in recorded]
    detector, matchers = Detector(rules), [(found, matcher(found.logic)) for found in rules]
    found = [[rule.id for rule in detector.matches(event)] for event in events]
    assert found == [[rule.id for rule, matches in matchers if matches(event)] for event in events]
    assert sum(map(len, found)) > 10


KIND_TESTS: st.SearchStrategy[Node] = st.one_of(
    st.builds(is_, st.just("Channel"), st.sampled_from(["A", "b", "B*"]), st.sampled_from([Op.EQUALS, Op.LIKE])),
    st.builds(is_, st.just("EventID"), st.sampled_from([1, "2", 3])),
    st.builds(is_, st.just("F"), st.sampled_from(["x", "y"])),
)
TREES: st.SearchStrategy[Node] = st.recursive(
    KIND_TESTS,
    lambda trees: st.one_of(
        st.builds(Not, item=trees),
        st.builds(And, items=st.lists(trees, max_size=3).map(tuple)),
        st.builds(Or, items=st.lists(trees, max_size=3).map(tuple)),
    ),
    max_leaves=8,
)


@given(st.lists(TREES, max_size=5), st.sampled_from("aAbB"), st.sampled_from([1, 2, 3]), st.sampled_from("xyz"))
def test_no_rule_is_lost_to_the_index(trees: list[Node], channel: str, event_id: int, value: str) -> None:
    rules = [rule(tree, str(number)) for number, tree in enumerate(trees)]
    seen = event(channel, event_id, f=value)
    detector = Detector(rules)
    expected = [found.id for found in rules if matcher(found.logic)(seen)]
    assert [found.id for found in detector.matches(seen)] == expected
    assert [found.id for found in detector.matches(seen)] == expected  # the second time from what the first one kept


def test_rules_come_in_the_order_they_were_given() -> None:
    everywhere, here = rule(is_("F", "x"), "everywhere"), rule(of_kind("Security", 1), "here")
    seen = event("security", 1, f="x")
    assert [found.id for found in Detector([everywhere, here]).matches(seen)] == ["everywhere", "here"]
    assert [found.id for found in Detector([here, everywhere]).matches(seen)] == ["here", "everywhere"]


def test_a_hostile_number_of_kinds_is_answered_as_a_few_are() -> None:
    detector = Detector([rule(is_("F", "x"), "everywhere"), rule(of_kind("c7", 7, is_("F", "x")), "here")])
    for _ in range(2):
        found = {n: [found.id for found in detector.matches(event(f"C{n}", n, f="x"))] for n in range(1200)}
        assert {n for n, ids in found.items() if ids != ["everywhere"]} == {7}
        assert found[7] == ["everywhere", "here"]


def test_a_channel_is_one_however_it_is_written() -> None:
    detector = Detector([rule(of_kind("Security", 1, is_("F", "x")), "here")])
    assert [[found.id for found in detector.matches(event(name, 1, f="x"))] for name in ("security", "Security", "SECURITY")] == [
        ["here"]
    ] * 3


def test_a_rule_that_is_too_slow_is_named_when_it_comes_to_it() -> None:
    slow = rule(is_("F", r"(a|aa)+\d$", Op.REGEX), "slow")
    detector = Detector([rule(is_("F", "a", Op.CONTAINS), "first"), slow])
    matches = iter(detector.matches(event(f="a" * 200)))
    assert next(matches).id == "first"
    with pytest.raises(RuleTooSlow) as raised:
        next(matches)
    assert raised.value.rule == "slow"


def test_without_rules_nothing_matches() -> None:
    assert list(Detector([]).matches(event())) == []


def sequence_rule() -> Rule:
    query = parse_eql("sequence by host.id with maxspan=1m [network where true] [process where true]")
    return replace(rule(query.logic, "sequence"), pattern=query.pattern)


def sysmon(event_id: int, seconds: int, host: str = "ws1") -> Event:
    seen = event(SYSMON, event_id)
    return replace(seen, id=f"{host}-{seconds}-{event_id}", host=host, time=seen.time + timedelta(seconds=seconds))


def fed(detector: Detector, *events: Event) -> list[tuple[str, ...]]:
    return [tuple(part.id for part in hit.events) for seen in events for hit in detector.feed(seen)]


def test_a_sequence_is_found_in_order_of_time_not_of_arrival() -> None:
    detector = Detector([sequence_rule()], timedelta(seconds=30))
    assert fed(detector, sysmon(1, 12), sysmon(3, 10), sysmon(1, 20, "ws2")) == []
    assert fed(detector, sysmon(1, 50)) == []  # those of one time are answered when a later one has come
    assert [tuple(part.id for part in hit.events) for hit in detector.finish()] == [("ws1-10-3", "ws1-12-1")]
    assert detector.late == 0


def test_a_live_stream_is_answered_as_soon_as_nothing_earlier_can_come() -> None:
    detector = Detector([sequence_rule()], timedelta(seconds=30))
    assert fed(detector, sysmon(3, 10), sysmon(1, 12), sysmon(1, 100), sysmon(1, 140)) == [("ws1-10-3", "ws1-12-1")]
    assert fed(detector, sysmon(3, 11)) == []
    assert detector.late == 1


def test_a_pattern_is_answered_by_the_stream_alone() -> None:
    one = rule(of_kind(SYSMON, 1), "one")
    detector = Detector([sequence_rule(), one])
    assert list(detector.matches(sysmon(1, 0))) == [one]
    assert [hit.rule.id for hit in detector.feed(sysmon(1, 0))] == ["one"]


def test_a_rule_that_is_too_slow_is_given_up_and_the_others_keep_what_they_have_under_way() -> None:
    single = rule(Test(field="a", op=Op.REGEX, value="^(x|xx)+$"), "single")
    query = parse_eql('sequence by host.id [process where process.executable regex "(x|xx)+"] [process where true]')
    pattern = replace(rule(query.logic, "pattern"), pattern=query.pattern)
    detector = Detector([single, pattern, sequence_rule(), rule(of_kind(SYSMON, 1), "one")], timedelta(seconds=5))
    heavy = "x" * 200 + "!"
    stubborn = replace(sysmon(1, 12), flat={**sysmon(1, 12).flat, "a": heavy, "image": heavy})
    hits = [hit for seen in (sysmon(3, 10), stubborn, sysmon(1, 13)) for hit in detector.feed(seen)]
    assert [hit.rule.id for hit in hits] == ["one", "one"]
    hits = [*detector.finish()]
    assert [(hit.rule.id, [part.id for part in hit.events]) for hit in hits] == [("sequence", ["ws1-10-3", "ws1-12-1"])]
    assert [(given_up.rule.id, given_up.event and given_up.event.id) for given_up in detector.given_up] == [
        ("single", "ws1-12-1"),
        ("pattern", "ws1-12-1"),
    ]
    assert detector.late == 0


def test_a_samples_events_are_told_in_order_of_time() -> None:
    query = parse_eql("sample by host.id [network where true] [process where true]")
    detector = Detector([replace(rule(query.logic, "sample"), pattern=query.pattern)])
    assert fed(detector, sysmon(3, 20), sysmon(1, 10)) == []
    assert [tuple(part.id for part in hit.events) for hit in detector.finish()] == [("ws1-10-1", "ws1-20-3")]
