"""What an alert's events make its priority, and which priority no alert can have."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.logic.match import matcher
from harness.logic.priority import never_given, priority_of
from harness.model.facts import Event
from harness.model.intent import Priority, PriorityLevel, Severity
from harness.model.tree import And, Node, Op, Or, Pattern, PatternKind, Stage, Test
from harness.rules.eql import parse_eql
from tests.builders import SECURITY, SYSMON, event, rule


def process(image: str) -> Event:
    return event(image, SYSMON, 1, 0.0, {"Image": rf"C:\Windows\System32\{image}", "ParentImage": r"C:\Windows\System32\wsmprovhost.exe"})


def level(severity: Severity, when: str) -> PriorityLevel:
    return PriorityLevel(level=severity, when=parse_eql(when).logic, text=when, because="so it is")


SHELL = level(Severity.HIGH, 'process where process.name : ("cmd.exe", "powershell.exe")')
TOOL = level(Severity.CRITICAL, 'process where process.name : "mimikatz*.exe"')
MILD = level(Severity.LOW, 'process where process.name : "hostname.exe"')
PRIORITY = Priority(default=Severity.MEDIUM, levels=(TOOL, SHELL))
CONNECTION = event("c", SYSMON, 3, 0.0, {"DestinationPort": "5985", "Initiated": "false"})


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([process("whoami.exe")], Severity.MEDIUM),
        ([process("CMD.EXE")], Severity.HIGH),
        ([CONNECTION, process("powershell.exe")], Severity.HIGH),
        ([process("cmd.exe"), process("mimikatz64.exe")], Severity.CRITICAL),
        ([CONNECTION], Severity.MEDIUM),
        ([], None),
    ],
)
def test_the_gravest_that_any_event_gives(events: list[Event], expected: Severity | None) -> None:
    assert priority_of(PRIORITY, events) is expected


def test_a_condition_that_is_not_done_in_its_time_says_nothing() -> None:
    slow = PriorityLevel(level=Severity.HIGH, when=Test(field="Image", op=Op.REGEX, value="(a|aa)+$"), text="", because="")
    hard = event("x", SYSMON, 1, 0.0, {"Image": "a" * 5000 + "b"})
    assert priority_of(Priority(default=Severity.LOW, levels=(slow,)), [hard]) is None


@given(
    st.lists(st.sampled_from(["whoami.exe", "cmd.exe", "mimikatz.exe", "hostname.exe"]), min_size=1), st.permutations([SHELL, TOOL, MILD])
)
def test_neither_the_order_of_events_nor_that_of_levels_matters(images: list[str], levels: list[PriorityLevel]) -> None:
    events = [process(image) for image in images]
    found = priority_of(Priority(default=Severity.INFORMATIONAL, levels=tuple(levels)), events)
    graver = ["mimikatz.exe", "cmd.exe", "hostname.exe", "whoami.exe"]
    gravest = min(images, key=graver.index)
    assert found is [Severity.CRITICAL, Severity.HIGH, Severity.LOW, Severity.INFORMATIONAL][graver.index(gravest)]


def creation(*tests: Test) -> Node:
    return And(items=(Test(field="Channel", op=Op.EQUALS, value=SYSMON), Test(field="EventID", op=Op.EQUALS, value=1), *tests))


CHILD = replace(rule("child", SYSMON, 1), logic=creation(Test(field="ParentImage", op=Op.ENDS_WITH, value="\\wsmprovhost.exe")))
SEQUENCE_QUERY = parse_eql(
    'sequence by host.id [network where destination.port == 5985] [process where process.parent.name : "wsmprovhost.exe"]'
)
SEQUENCE = replace(CHILD, logic=SEQUENCE_QUERY.logic, pattern=SEQUENCE_QUERY.pattern)
MISSING = replace(
    SEQUENCE,
    pattern=Pattern(
        kind=PatternKind.SEQUENCE,
        stages=(Stage(condition=parse_eql("network where true").logic), Stage(condition=CHILD.logic, missing=True)),
    ),
)


@pytest.mark.parametrize(
    ("made", "levels", "why"),
    [
        (CHILD, [SHELL], None),
        (SEQUENCE, [SHELL], None),
        (SEQUENCE, [level(Severity.HIGH, "network where source.port > 1024")], None),
        (
            CHILD,
            [level(Severity.HIGH, "network where source.port > 1024")],
            "none of the rule's events is of a kind that the condition reads",
        ),
        (SEQUENCE, [level(Severity.HIGH, "registry where true")], "none of the rule's events is of a kind that the condition reads"),
        (MISSING, [SHELL], "none of the rule's events is of a kind that the condition reads"),
        (CHILD, [level(Severity.HIGH, 'process where process.name : "a" and process.name : "b"')], "contradict each other"),
        (SEQUENCE, [level(Severity.HIGH, 'process where process.parent.name : "explorer.exe"')], "contradict each other"),
        (CHILD, [level(Severity.MEDIUM, "process where true")], "has priority medium without it"),
        (CHILD, [MILD], "has priority medium without it"),
        (CHILD, [replace(SHELL, level=Severity.CRITICAL), SHELL], "a graver level has the same condition"),
        (CHILD, [SHELL, SHELL], "it stands there twice"),
    ],
)
def test_what_is_never_given(made: object, levels: list[PriorityLevel], why: str | None) -> None:
    assert isinstance(made, type(CHILD))
    found = list(never_given(Priority(default=Severity.MEDIUM, levels=tuple(levels)), made))
    if why is None:
        assert found == []
    else:
        ((number, reason),) = found
        assert number == len(levels) - 1
        assert why in reason


@given(
    st.sampled_from(["cmd.exe", "whoami.exe", "powershell.exe"]), st.lists(st.sampled_from(["cmd.exe", "whoami.exe", "x.exe"]), min_size=1)
)
def test_what_is_said_to_be_never_given_never_is(image: str, names: list[str]) -> None:
    """Held against the matcher: a level that an alert of the rule has is never called impossible."""
    when = f"process where process.name : ({', '.join(f'{chr(34)}{name}{chr(34)}' for name in names)})"
    priority = Priority(default=Severity.LOW, levels=(level(Severity.HIGH, when),))
    seen = process(image)
    made = replace(CHILD, logic=Or(items=(creation(Test(field="Image", op=Op.ENDS_WITH, value=f"\\{image}")),)))
    assert matcher(made.logic)(seen)
    if priority_of(priority, [seen]) is Severity.HIGH:
        assert list(never_given(priority, made)) == []


def test_an_alert_of_another_kind_has_the_default() -> None:
    assert priority_of(PRIORITY, [event("e", SECURITY, 4624, 0.0, {"LogonType": "3"})]) is Severity.MEDIUM
