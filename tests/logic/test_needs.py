"""What a rule reads, and by what actions it can be exercised: derived from the tree alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.logic.needs import ANY_CHANNEL, ANY_EVENT_ID, able_kinds, kinds, reads, rule_kinds, unexercisable
from harness.model.intent import Action, Connect, EnterPSSession, InvokeCommand, Remoting, Rule, WinRS
from harness.model.tree import And, Node, Not, Op, Or
from harness.rules.eql import parse_eql
from tests.logic.tree_builders import SYSMON, is_, of_kind, rule

SYSMON_LOWER = SYSMON.lower()
POWERSHELL = "Microsoft-Windows-PowerShell/Operational"


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        (of_kind("Security", 5156), {("security", 5156)}),
        (of_kind("Security", 5156, is_("DestPort", 5985)), {("security", 5156)}),
        (Or(items=(of_kind("Security", 4688), of_kind(SYSMON, 1))), {("security", 4688), (SYSMON_LOWER, 1)}),
        (
            And(items=(Or(items=(is_("Channel", "A"), is_("channel", "B"))), Or(items=(is_("EventID", 1), is_("EVENTID", "2"))))),
            {("a", 1), ("a", 2), ("b", 1), ("b", 2)},
        ),
        (is_("Channel", "System"), {("system", ANY_EVENT_ID)}),
        (is_("EventID", 7045), {(ANY_CHANNEL, 7045)}),
        (is_("Image", "x"), {(ANY_CHANNEL, ANY_EVENT_ID)}),
        (is_(None, "x", Op.CONTAINS), {(ANY_CHANNEL, ANY_EVENT_ID)}),
        (is_("Channel", "Sec*", Op.LIKE), {(ANY_CHANNEL, ANY_EVENT_ID)}),
        (Not(item=is_("EventID", 1)), {(ANY_CHANNEL, ANY_EVENT_ID)}),
        (And(items=(of_kind("Security", 1), Not(item=is_("EventID", 2)))), {("security", 1)}),
        (And(items=(is_("EventID", 1), is_("EventID", 2))), set()),
        (And(items=(of_kind("Security", 1), is_("Channel", "System"))), set()),
        (is_("EventID", "one"), set()),
        (And(items=(is_("Channel", "A"), Or(items=(is_("EventID", 1), is_("Image", "x"))))), {("a", 1), ("a", ANY_EVENT_ID)}),
    ],
)
def test_kinds(node: Node, expected: set[tuple[str, int]]) -> None:
    assert kinds(node) == expected


def test_reads_takes_wildcards_and_any_case() -> None:
    assert reads(frozenset([("security", 1)]), "Security", 1)
    assert not reads(frozenset([("security", 1)]), "Security", 2)
    assert not reads(frozenset([("security", 1)]), "System", 1)
    assert reads(frozenset([(ANY_CHANNEL, 1)]), "Security", 1)
    assert reads(frozenset([("security", ANY_EVENT_ID)]), "SECURITY", 9)
    assert not reads(frozenset(), "Security", 1)


CONNECT = Connect()
CMDLET = EnterPSSession(lines=("Get-Service WinRM",))
WHOAMI = EnterPSSession(lines=("Get-Service WinRM", "whoami.exe /groups"))
HOSTNAME = InvokeCommand(script="hostname.exe")
UNKNOWN = InvokeCommand(script="& C:\\Windows\\Temp\\x.exe")
IPCONFIG = WinRS(command="ipconfig.exe /all")
SOMETHING = WinRS(command="powershell.exe -Command Get-Date")
EMPTY_SHELL = Connect(transport=Remoting.WINRS)


def process(*clauses: tuple[str, str]) -> Node:
    """A process_creation rule as the loader makes it: Sysmon 1 and Security 4688."""
    names = {"Image": "NewProcessName", "ParentImage": "ParentProcessName"}
    sysmon = of_kind(SYSMON, 1, *(is_(name, value, Op.ENDS_WITH) for name, value in clauses))
    security = of_kind("Security", 4688, *(is_(names.get(name, name), value, Op.ENDS_WITH) for name, value in clauses))
    return Or(items=(sysmon, security))


def either(one: Node, other: Node) -> Node:
    return Or(items=(one, other))


CHILD_OF_HOST = process(("ParentImage", "\\wsmprovhost.exe"), ("Image", "\\whoami.exe"))
HOST_ITSELF = process(("Image", "\\wsmprovhost.exe"))
HOST_MISSPELT = process(("Image", "\\wsmprovhots.exe"))
PARENT_MISSPELT = process(("ParentImage", "\\wsmprovhots.exe"))
PARENT_ELSEWHERE = process(("ParentImage", "\\winword.exe"))
IMAGE_ONLY = process(("Image", "\\whoami.exe"))
SHELL_CHILD = process(("ParentImage", "\\winrshost.exe"))
SHELL_ITSELF = process(("Image", "\\winrshost.exe"))
SOURCE = of_kind(SYSMON, 3, is_("DestinationPort", 5985), is_("Initiated", "true"), Not(item=is_("User", "NETWORK SERVICE", Op.CONTAINS)))
ACCEPTED = of_kind("Security", 5156, is_("DestPort", 5985), is_("LayerRTID", 44))
WRONG_PORT = of_kind("Security", 5156, is_("DestPort", 1234), is_("LayerRTID", 44))
OUTBOUND = of_kind("Security", 5156, is_("LayerRTID", 48))
MODULE = of_kind(POWERSHELL, 4103, is_("ContextInfo", "x", Op.CONTAINS))
ENGINE = of_kind("Windows PowerShell", 400, is_("Data", "x", Op.CONTAINS))
IMAGE_LOADED = of_kind(SYSMON, 7, is_("Image", "\\wsmprovhost.exe", Op.ENDS_WITH))
ANYWHERE = is_(None, "mimikatz", Op.CONTAINS)


@pytest.mark.parametrize(
    ("node", "action", "need"),
    [
        (CHILD_OF_HOST, CONNECT, "child process"),
        (CHILD_OF_HOST, CMDLET, "child process"),
        (CHILD_OF_HOST, WHOAMI, None),
        (CHILD_OF_HOST, HOSTNAME, None),  # the program is a value: not considered
        (CHILD_OF_HOST, UNKNOWN, None),
        (IMAGE_ONLY, CMDLET, "child process"),
        (IMAGE_ONLY, HOSTNAME, None),
        (HOST_ITSELF, CONNECT, None),
        (HOST_ITSELF, CMDLET, None),
        (either(HOST_ITSELF, CHILD_OF_HOST), CONNECT, None),
        (HOST_MISSPELT, CMDLET, None),
        (PARENT_MISSPELT, CMDLET, None),
        (PARENT_MISSPELT, WHOAMI, None),
        (PARENT_ELSEWHERE, WHOAMI, None),
        (SHELL_CHILD, WHOAMI, "remote shell"),
        (SHELL_CHILD, UNKNOWN, None),
        (SHELL_CHILD, IPCONFIG, None),
        (SHELL_CHILD, EMPTY_SHELL, "child process"),
        (SHELL_CHILD, SOMETHING, None),
        (SHELL_ITSELF, EMPTY_SHELL, None),
        (HOST_ITSELF, IPCONFIG, "PowerShell session"),
        (HOST_ITSELF, EMPTY_SHELL, "PowerShell session"),
        (HOST_ITSELF, SOMETHING, None),
        (CHILD_OF_HOST, IPCONFIG, "PowerShell session"),
        (IMAGE_ONLY, IPCONFIG, "PowerShell session"),  # whoami.exe is another program
        (IMAGE_ONLY, WinRS(command="whoami.exe"), None),
        (process(("ParentImage", "\\cmd.exe")), IPCONFIG, None),
        (MODULE, IPCONFIG, "PowerShell session"),
        (ENGINE, IPCONFIG, "PowerShell session"),
        (ENGINE, SOMETHING, None),
        (SOURCE, IPCONFIG, "source side"),
        (ACCEPTED, EMPTY_SHELL, None),
        (SOURCE, CONNECT, "source side"),
        (SOURCE, CMDLET, "source side"),
        (SOURCE, WHOAMI, "source side"),
        (SOURCE, UNKNOWN, None),
        (OUTBOUND, CMDLET, "source side"),
        (ACCEPTED, CONNECT, None),
        (ACCEPTED, CMDLET, None),
        (WRONG_PORT, CMDLET, None),
        (MODULE, CONNECT, "kind of event"),
        (MODULE, CMDLET, None),
        (ENGINE, CONNECT, None),
        (IMAGE_LOADED, CONNECT, None),  # of a kind that is in no situation: in doubt
        (ANYWHERE, CONNECT, None),
        (Not(item=CHILD_OF_HOST), CONNECT, None),
    ],
)
def test_exercisable_from_a_driver_that_is_not_windows(node: Node, action: Action, need: str | None) -> None:
    found = unexercisable(rule(node), action, driver_is_windows=False)
    assert (found and found.need) == need


@pytest.mark.parametrize("action", [CONNECT, CMDLET, WHOAMI])
def test_a_windows_driver_has_the_source_side(action: Action) -> None:
    assert unexercisable(rule(SOURCE), action, driver_is_windows=True) is None
    assert unexercisable(rule(SHELL_CHILD), action, driver_is_windows=True) is not None


def test_the_remedy_exercises_what_was_missing() -> None:
    found = unexercisable(rule(CHILD_OF_HOST), CMDLET, driver_is_windows=False)
    assert found is not None
    assert unexercisable(rule(CHILD_OF_HOST), InvokeCommand(script=found.remedy), driver_is_windows=False) is None
    found = unexercisable(rule(MODULE), CONNECT, driver_is_windows=False)
    assert found is not None
    assert unexercisable(rule(MODULE), InvokeCommand(script=found.remedy), driver_is_windows=False) is None


def test_a_rule_that_reads_two_situations_needs_one_of_them() -> None:
    assert unexercisable(rule(either(SOURCE, ACCEPTED)), CONNECT, driver_is_windows=False) is None
    found = unexercisable(rule(either(SOURCE, CHILD_OF_HOST)), CMDLET, driver_is_windows=False)
    assert found is not None
    assert found.need == "child process"
    assert unexercisable(rule(either(SOURCE, CHILD_OF_HOST)), WHOAMI, driver_is_windows=False) is None


LEG = 'network where network.direction == "ingress" and source.ip != "127.0.0.1" and source.ip != "::1"'
SEED_002 = f"""sequence by host.id with maxspan=30s
  [{LEG} and destination.port in (5985, 5986)]
  [process where event.type == "start" and process.parent.name : "wsmprovhost.exe" and
    not process.executable : "?:\\\\Windows\\\\System32\\\\conhost.exe"]"""


def eql(text: str) -> Rule:
    query = parse_eql(text)
    return replace(rule(query.logic), pattern=query.pattern)


@pytest.mark.parametrize(
    ("query", "action", "over_loopback", "need"),
    [
        (SEED_002, EnterPSSession(lines=("Get-Service",)), False, "child process"),
        (SEED_002, EnterPSSession(lines=("whoami.exe",)), False, None),
        (SEED_002, WHOAMI, True, "network leg"),
        (SEED_002, UNKNOWN, True, "network leg"),
        (SEED_002.replace("wsmprovhost", "winrshost"), WHOAMI, False, "remote shell"),
        (LEG, CONNECT, False, None),
        (LEG, CONNECT, True, "network leg"),
        (LEG.replace("127.0.0.1", "10.0.0.1"), CONNECT, True, None),  # over IPv4 then
        ('network where network.direction == "ingress"', CONNECT, True, None),
        ('network where network.direction == "egress"', WHOAMI, False, "source side"),
        (
            'sequence by host.id with maxspan=1m [network where true] ![process where process.parent.name : "wsmprovhost.exe"]',
            CMDLET,
            False,
            None,
        ),
        ('sequence by host.id [process where process.name : "whoami.exe"] [process where true]', CONNECT, False, "child process"),
    ],
)
def test_patterns_and_the_ecs_view(query: str, action: Action, over_loopback: bool, need: str | None) -> None:
    found = unexercisable(eql(query), action, driver_is_windows=False, over_loopback=over_loopback)
    assert (found and found.need) == need


def test_the_remedy_of_seed_002_is_its_smallest_benign_line() -> None:
    found = unexercisable(eql(SEED_002), EnterPSSession(lines=("Get-Service",)), driver_is_windows=False)
    assert found is not None
    assert found.remedy == "whoami.exe"
    assert "starts none" in found.reason


def test_the_kinds_of_a_pattern_are_those_of_all_that_it_asks() -> None:
    query = "sequence by host.id with maxspan=1m [network where true] ![registry where true] [file where true] until [driver where true]"
    found = rule_kinds(eql(query))
    assert found >= {(SYSMON_LOWER, number) for number in (3, 6, 11, 13)}
    assert (SYSMON_LOWER, 1) not in found
    assert rule_kinds(rule(of_kind("Security", 1))) == {("security", 1)}


def test_kinds_that_lack_a_field_are_not_able() -> None:
    logic = parse_eql('process where event.type == "start" and process.parent.name : "a.exe"').logic
    assert kinds(logic) > able_kinds(logic) == {(SYSMON_LOWER, 1), ("security", 4688)}
    assert able_kinds(parse_eql('network where network.protocol == "http" and network.direction == "ingress"').logic) == set()
    assert able_kinds(is_("Image", "x")) == {(ANY_CHANNEL, ANY_EVENT_ID)}
