"""Replay: hits with their evidence, what killed the others, what was left out; and the counts of published recordings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from harness.assemble import replay_rules
from harness.errors import Problem, UsageError
from harness.events.read import read_events
from harness.model.facts import Event, FlatValue
from harness.model.intent import Rule, Severity
from harness.model.replay import Replay
from harness.model.tree import And, Node, Op, Test
from harness.replay import FOLDED, Broken, fold_line_ends, replay
from harness.rules.eql import parse_eql
from tests.needs import DATA, needs_recordings

START = datetime(2026, 1, 1, tzinfo=UTC)


def event(number: int, host: str = "ws1", **flat: FlatValue) -> Event:
    fields = {"channel": "Security", "eventid": 1, **flat}
    time = START + timedelta(seconds=number)
    return Event(id=f"f:{number}", channel="Security", event_id=1, host=host, time=time, provider="", flat=fields, raw={})


def rule(id: str, *tests: Node, severity: Severity = Severity.MEDIUM) -> Rule:
    return Rule(id=id, title=id, source=f"{id}.yml", language="", severity=severity, techniques=(), logic=And(items=tests), definition="")


def is_(field: str, value: str) -> Test:
    return Test(field=field, op=Op.EQUALS, value=value)


def ask(events: Sequence[Event], rules: Sequence[Rule], why: Sequence[Rule] = ()) -> Replay:
    return replay(iter(events), rules, recordings=["f"], broken=Broken(), why=why)


def test_hits_with_their_evidence() -> None:
    events = [event(5, a="1"), event(2, a="1", host="ws2"), event(9, a="1"), event(7, a="1"), event(1, a="2")]
    rules = [
        rule("low", is_("a", "1"), severity=Severity.LOW),
        rule("quiet", is_("a", "3")),
        rule("high", is_("a", "2"), severity=Severity.HIGH),
    ]
    found = ask(events, rules)
    assert found.events == 5
    assert [hit.rule.id for hit in found.hits] == ["high", "low"]
    low = found.hits[1]
    assert (low.count, low.hosts) == (4, {"ws1": 3, "ws2": 1})
    assert (low.first, low.last) == (START + timedelta(seconds=2), START + timedelta(seconds=9))
    assert [[sample.id for sample in hit] for hit in low.evidence] == [["f:5"], ["f:2"], ["f:9"]]
    assert [name.id for name in found.quiet] == ["quiet"]


def test_why_names_the_nearest_event_of_all() -> None:
    asked = rule("r", is_("a", "1"), is_("b", "1"), is_("c", "1"))
    (why,) = ask([event(1, a="1"), event(2, a="1", b="1", c="x"), event(3, b="1")], [asked], [asked]).why
    assert why.event is not None
    assert why.event.id == "f:2"
    assert why.clauses == ("c is x, the rule wants 1",)


def test_why_says_that_it_matched_or_that_nothing_is_of_its_kind() -> None:
    one, other = rule("one", is_("a", "1")), rule("other", is_("eventid", "2"))
    found = ask([event(1, a="2"), event(2, a="1")], [one, other], [one, other])
    assert [(why.event, why.note) for why in found.why] == [(None, "it matched"), (None, "no event is of a kind that it reads")]


def test_a_rule_that_is_too_slow_stops_nobody_else() -> None:
    slow = rule("slow", Test(field="a", op=Op.REGEX, value="^(x|xx)+$"))
    events = [event(1, a="q"), event(2, a="x" * 200 + "!"), event(3, a="x" * 200 + "!")]
    found = ask(events, [slow, rule("fast", is_("eventid", "1"))], [slow])
    assert [(hit.rule.id, hit.count) for hit in found.hits] == [("fast", 3)]
    assert found.quiet == ()
    assert [left.path for left in found.not_evaluated] == ["slow.yml"]
    assert "from f:2 on" in found.not_evaluated[0].what


def test_places_that_cannot_be_read_are_counted_and_the_first_are_named() -> None:
    broken = Broken()
    for number in range(250):
        broken(Problem(path="f", line=number, what="no"))
    found = replay(iter([]), [], recordings=["f"], broken=broken)
    assert found.broken_count == 250
    assert [left.line for left in found.broken] == list(range(100))


def test_line_ends_are_folded_in_values_alone() -> None:
    before = replace(event(1, a="x\r\ny\nz\rw", b=["1\r\n2"], c=3), raw={"a": "x\r\n"})
    (after,) = fold_line_ends([before])
    assert (after.flat["a"], after.flat["b"], after.flat["c"]) == ("x y z w", ["1 2"], 3)
    assert after.raw == before.raw


TWO = 'sequence by host.id with maxspan=30s [any where winlog.event_data.a == "1"] [any where winlog.event_data.a == "2"]'


def sequence(id: str = "seq", query: str = TWO) -> Rule:
    found = parse_eql(query)
    return replace(rule(id), logic=found.logic, pattern=found.pattern)


def test_the_hits_of_a_pattern_have_all_their_events() -> None:
    events = [event(12, a="2"), event(10, a="1"), event(40, host="ws2", a="1"), event(50, host="ws2", a="2")]
    found = ask(events, [sequence(), rule("one", is_("a", "1"))])
    assert [(hit.rule.id, hit.count) for hit in found.hits] == [("seq", 2), ("one", 2)]
    pattern = found.hits[0]
    assert [[sample.id for sample in hit] for hit in pattern.evidence] == [["f:10", "f:12"], ["f:40", "f:50"]]
    assert (pattern.first, pattern.last) == (START + timedelta(seconds=10), START + timedelta(seconds=50))
    assert pattern.hosts == {"ws1": 1, "ws2": 1}
    assert found.late == 0


def test_a_hosts_logs_may_come_one_after_the_other() -> None:
    """One recording of what came first and one of what followed, the second first, an event with an absurd time among them."""
    second = [event(number, a="2") for number in (2, 5002)]
    first = [event(number, a="1") for number in (1, 5001)]
    found = ask([*second, event(10**9, a="2"), *first], [sequence()])
    assert [[[sample.id for sample in hit] for hit in each.evidence] for each in found.hits] == [[["f:1", "f:2"], ["f:5001", "f:5002"]]]
    assert found.late == 0


def test_beyond_what_can_wait_late_events_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.logic.sequence.BUFFERED", 1)
    found = ask([event(1, a="1"), event(1000, a="1"), event(2000, a="1"), event(2, a="2")], [sequence()])
    assert (found.hits, found.late) == ((), 1)


def test_why_not_of_a_pattern_says_how_far_it_came() -> None:
    asked = sequence()
    (why,) = ask([event(10, a="1"), event(50, a="2")], [asked], [asked]).why
    assert [sample.id for sample in why.reached] == ["f:10"]
    assert why.event is not None
    assert (why.event.id, why.note) == ("f:50", "no event is its event 2")
    assert why.clauses == ("it came 40s after event 1, the pattern allows 30s",)
    (why,) = ask([event(10, a="1"), event(20, a="2")], [asked], [asked]).why
    assert (why.event, why.note) == (None, "it matched")
    (why,) = ask([], [asked], [asked]).why
    assert (why.event, why.note) == (None, "no event is of a kind that could be its event 1")


def test_a_pattern_that_is_too_slow_stops_nobody_else() -> None:
    slow = sequence("slow", 'sequence [any where winlog.event_data.a regex "(x|xx)+"] [any where true]')
    heavy = "x" * 200 + "!"
    found = ask([event(10, a="1"), event(11, a=heavy), event(12, a="2"), event(500)], [slow, sequence()], [slow])
    assert [(hit.rule.id, hit.count) for hit in found.hits] == [("seq", 1)]
    assert found.quiet == ()
    assert [left.path for left in found.not_evaluated] == ["slow.yml"]
    assert [why.note for why in found.why] == ["it is too slow to be explained"]


def test_rules_that_are_not_evaluated_are_told_and_not_asked(tmp_path: Path) -> None:
    text = "[rule]\nrule_id = '{}'\nname = 'a name'\ntype = '{}'\nlanguage = '{}'\nseverity = 'low'\nquery = 'any where true'\n"
    (tmp_path / "esql.toml").write_text(text.format(1, "esql", "esql"))
    (tmp_path / "eql.toml").write_text(text.format(2, "eql", "eql"))
    catalog = replay_rules([tmp_path])
    assert [found.id for found in catalog.rules] == ["2"]
    assert [problem.what for problem in catalog.refused] == ["a name: ES|QL is not evaluated here"]
    with pytest.raises(UsageError, match=r"ES\|QL is not evaluated here"):
        replay_rules([tmp_path / "esql.toml"])


EMP, CMD = "empire_psremoting_stager.zip", "covenant_psremoting_command.zip"
QUIET = ["cmd_bitsadmin_download_psh_script.zip", "covenant_persistwmi.tar.gz", "msf_record_mic.zip", "psh_powershell_httplistener.zip"]
QUIET += ["covenant_sharpwmi_create_dcerpc_wmi.zip", "empire_launcher_vbs.zip", "schtask_create.zip"]
COUNTS = {
    EMP: {"13acf386": 3, "c539afac": 3, "734f8d9b": 4, "60167e5c": 1, "5cc2cda8": 2, "2772264c": 1},
    CMD: {"13acf386": 3, "c539afac": 3, "734f8d9b": 2, "60167e5c": 1},
    **{name: {} for name in QUIET},
}


@needs_recordings
@pytest.mark.parametrize("fold", [False, True])
@pytest.mark.parametrize("name", COUNTS)
def test_the_counts_of_published_recordings(name: str, fold: bool) -> None:
    """As data/README.md has them: 96b9f619 asks for a blank where the raw line ends, and matches only where line ends are folded."""
    read = read_events(DATA / "otrf" / name)
    found = replay(
        fold_line_ends(read) if fold else read, replay_rules([]).rules, recordings=[name], broken=Broken(), normalisations=[FOLDED] * fold
    )
    expected = COUNTS[name] | ({"96b9f619": 1} if fold and COUNTS[name] else {})
    assert {hit.rule.id[:8]: hit.count for hit in found.hits} == expected
    assert found.normalisations == ((FOLDED,) if fold else ())
