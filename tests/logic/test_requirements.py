"""What a rule needs before it can fire: a test for each need, and seed 002's rule whole."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.logic.requirements import Requirement, requirements
from harness.model.intent import Rule
from harness.model.tree import Node, Not, Op
from harness.rules.eql import parse_eql
from tests.logic.tree_builders import SYSMON, is_, of_kind, rule

POWERSHELL = "Microsoft-Windows-PowerShell/Operational"
REMOTING = """
sequence by host.id with maxspan = 30s
  [network where network.direction : ("incoming", "ingress") and destination.port in (5985, 5986) and {}
    source.ip != "127.0.0.1" and source.ip != "::1"]
  [process where event.type == "start" and process.parent.name : "wsmprovhost.exe" and
    not process.executable : "?:\\\\Windows\\\\System32\\\\conhost.exe"]
"""


def eql(text: str) -> Rule:
    query = parse_eql(text)
    return replace(rule(query.logic), pattern=query.pattern)


def needs(found: Rule | Node) -> dict[str, list[str]]:
    """By need, what and how in one line each."""
    told: dict[str, list[str]] = {}
    for each in requirements(found if isinstance(found, Rule) else rule(found)):
        told.setdefault(each.need, []).append(f"{each.what} | {each.how}" if each.how else each.what)
    return told


ACCEPTED = of_kind(SYSMON, 3, is_("Initiated", "false"), is_("DestinationPort", 5985))


@pytest.mark.parametrize(
    ("logic", "expected"),
    [
        (
            of_kind("Security", 4672),
            {"event": ['Security auditing 4672 (Special privileges assigned to new logon) | audit policy "Audit Special Logon"']},
        ),
        (
            of_kind(POWERSHELL, 4104, is_("ScriptBlockText", "x", Op.CONTAINS)),
            {
                "event": ["PowerShell 4104 (Script block logging: a script block was compiled) | PowerShell Script Block Logging"],
                "kind of event": ["a command or script that PowerShell logs | Get-Date"],
            },
        ),
        (
            of_kind(SYSMON, 1, is_("ParentImage", "\\wsmprovhost.exe", Op.ENDS_WITH)),
            {
                "event": ["Sysmon 1 (Process creation) | Sysmon with a rule for ProcessCreate"],
                "child process": ["a process that the session's host (wsmprovhost.exe) starts | whoami.exe"],
            },
        ),
        (
            of_kind(SYSMON, 1, is_("ParentImage", "\\winrshost.exe", Op.ENDS_WITH)),
            {
                "event": ["Sysmon 1 (Process creation) | Sysmon with a rule for ProcessCreate"],
                "remote shell": ["a process that the Windows Remote Shell's host (winrshost.exe) starts | run the command through WinRS"],
            },
        ),
        (
            of_kind(SYSMON, 3, is_("Initiated", "true"), is_("DestinationPort", 5985)),
            {
                "event": ["Sysmon 3 (Network connection) | Sysmon with a rule for NetworkConnect"],
                "source side": [
                    "the events of the machine that opens a connection | "
                    "go by way of another Windows host whose events reach the SIEM (via: NAME), or drive it from one"
                ],
            },
        ),
        (ACCEPTED, {"event": ["Sysmon 3 (Network connection) | Sysmon with a rule for NetworkConnect"]}),
        (
            of_kind(SYSMON, 3, is_("Initiated", "false"), Not(item=is_("SourceIp", "127.0.0.1")), Not(item=is_("SourceIp", "::1"))),
            {
                "event": ["Sysmon 3 (Network connection) | Sysmon with a rule for NetworkConnect"],
                "network leg": ["a connection from another machine: loopback does not count | drive it from another machine"],
            },
        ),
        (is_(None, "mimikatz", Op.CONTAINS), {"event": ["any log every event"]}),
    ],
)
def test_each_need(logic: Node, expected: dict[str, list[str]]) -> None:
    assert needs(logic) == expected


def test_seed_002() -> None:
    assert needs(eql(REMOTING.format(""))) == {
        "event": [
            "Sysmon 3 (Network connection) | Sysmon with a rule for NetworkConnect",
            "Sysmon 1 (Process creation) | Sysmon with a rule for ProcessCreate",
            "Security auditing 4688 (A new process has been created) | audit policy"
            ' "Audit Process Creation" and, for command lines, "Include command line in process creation events"',
        ],
        "network leg": ["a connection from another machine: loopback does not count | drive it from another machine"],
        "child process": ["a process that the session's host (wsmprovhost.exe) starts | whoami.exe"],
        "several events": ["2 events of the same host.id, one after the other, within 30s"],
    }


def test_a_field_that_the_telemetry_cannot_tell() -> None:
    (field,) = needs(eql(REMOTING.format('network.protocol == "http" and')))["fields"]
    assert field.startswith("network.protocol equals (with regard to case) http, which none of these kinds of event has | Elastic Defend")


@pytest.mark.parametrize(
    ("query", "what"),
    [
        ("sequence with maxspan=1m [process where true] with runs=3", "3 events, one after the other, within 1m"),
        (
            "sequence [file where true] by file.path [process where true] by process.executable",
            "2 events of the same file.path = process.executable, one after the other",
        ),
        ("sample by host.id [file where true] [process where true]", "2 events of the same host.id, in any order"),
        (
            "sequence by host.id, user.id with maxspan=1s [file where true] ![process where true] [file where true]",
            "2 events of the same host.id and user.id, one after the other, within 1s",
        ),
    ],
)
def test_several_events(query: str, what: str) -> None:
    assert needs(eql(query))["several events"] == [what]


def test_one_event_with_a_pipe_is_one_event() -> None:
    assert "several events" not in needs(eql("process where true | head 3"))


def test_nothing_is_known_of_a_rule_that_is_not_evaluated() -> None:
    assert requirements(replace(eql("any where true"), not_evaluated="ES|QL is not evaluated here")) == ()


def test_a_requirement_is_told_once() -> None:
    twice = requirements(eql("sequence [process where process.pid == 1] [process where process.pid == 2]"))
    assert len(twice) == len(set(twice))
    assert all(isinstance(each, Requirement) for each in twice)
