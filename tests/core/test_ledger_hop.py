"""A step that goes by way of a jump host: two hosts, two sessions, one detonation. Told as facts, in whatever order they come."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import permutations

import pytest

from harness.core.ledger import Ledger
from harness.model.facts import Detonation, Event, Execution, Socket
from harness.model.intent import Expectation, Plan
from harness.model.tree import Op, Test
from harness.model.verdicts import Basis, Outcome
from tests.builders import SECURITY, SYSMON, T0, RemoteSession, alert, event, facts, observed, planned, rule, run, status, target

OUTER = RemoteSession(tag="outer", port=50001, pid=4000, logon=0xA001, host="ws1")
INNER = RemoteSession(tag="inner", port=61000, pid=5000, logon=0xA002, host="ws2")
OPENED = rule("opened", SYSMON, 3, Test(field="Initiated", op=Op.EQUALS, value="true"))
PORT = rule("port", SECURITY, 5156, Test(field="DestPort", op=Op.EQUALS, value=5985))
RULES = {one.id: one for one in (OPENED, PORT)}
JUMP = target("ws1")


def opened(pid: int = OUTER.pid, port: int = 61000) -> Event:
    """Sysmon 3 on the jump host: its process has connected to the target."""
    flat = {"Initiated": "true", "SourceIp": "10.77.0.11", "SourcePort": str(port), "DestinationPort": "5985", "ProcessId": str(pid)}
    return event(f"opened-{pid}-{port}", SYSMON, 3, 0.1, flat, "ws1")


def accepted(port: int = 61000) -> Event:
    """Security 5156 on the target: the jump host's connection."""
    flat = {"SourceAddress": "10.77.0.11", "SourcePort": str(port), "DestPort": "5985", "Direction": "%%14592", "ProcessID": "4"}
    return event(f"accepted-{port}", SECURITY, 5156, 0.12, flat, "ws2")


class Hop:
    """A ledger over one step on ws2 by way of ws1."""

    def __init__(self, *expect: Expectation) -> None:
        self.step = planned("hop/1@ws2", *expect, on=replace(target("ws2"), via=JUMP))
        plan = Plan(steps=(self.step,), unexercisable={})
        zero = timedelta(0)
        self.ledger = Ledger(plan, RULES, status(*RULES), started_at=T0, siem_offset=zero, grace=timedelta(seconds=1))

    def detonation(self) -> Detonation:
        outer, inner = OUTER.detonation(self.step), INNER.detonation(self.step, Execution(exit_code=0))
        assert inner.footprint is not None
        identity = replace(inner.identity, sockets=(), via=outer.identity)
        return replace(inner, identity=identity, footprint=replace(inner.footprint, via=outer.footprint))


def test_both_hosts_are_watched() -> None:
    watches = Hop(Expectation(rule="opened")).ledger.watches(())
    assert [(watch.host, watch.rules) for watch in watches] == [("ws1", frozenset({"opened"})), ("ws2", frozenset({"opened"}))]


@pytest.mark.parametrize("order", list(permutations(range(3))), ids=lambda order: "".join(map(str, order)))
def test_the_connection_ties_the_two_sessions_together_whatever_comes_first(order: tuple[int, ...]) -> None:
    hop = Hop(Expectation(rule="opened"), Expectation(rule="port"))
    done = [
        lambda: hop.ledger.detonated(hop.detonation()),
        lambda: hop.ledger.saw(facts(observed(opened()), now=0.5)),
        lambda: hop.ledger.saw(facts(observed(accepted()), now=0.6)),
    ]
    for number in order:
        done[number]()
    hop.ledger.saw(
        facts(alert("a", "opened", opened(), raised=1, host="ws1"), alert("b", "port", accepted(), raised=1, host="ws2"), now=1.2)
    )
    verdicts = {verdict.expectation.rule: verdict for verdict in hop.ledger.settle()}
    assert {name: verdict.outcome for name, verdict in verdicts.items()} == {"opened": Outcome.DETECTED, "port": Outcome.DETECTED}
    for name, host in (("opened", "ws1"), ("port", "ws2")):
        (sighting,) = verdicts[name].sightings
        assert (sighting.basis, sighting.alert.host) == (Basis.EXACT, host)
        assert "by way of ws1, which connected from 10.77.0.11:61000" in verdicts[name].gates[0].evidence
    identity = hop.ledger.detonation(hop.detonation()).identity
    assert identity.sockets == (Socket(ip="10.77.0.11", port=61000),)
    assert identity.via is not None
    assert identity.via.sockets == (Socket(ip="10.77.0.5", port=50001),)


def test_another_process_of_the_jump_host_is_not_ours() -> None:
    hop = Hop(Expectation(rule="port"))
    hop.ledger.detonated(hop.detonation())
    stranger = observed(opened(pid=4444, port=61001))
    hop.ledger.saw(facts(stranger, observed(accepted(61001)), alert("b", "port", accepted(61001), raised=1, host="ws2"), now=1.2))
    assert hop.ledger.settle() == []
    assert [one.id for one in hop.ledger.unattributed()] == ["b"]


def test_what_the_drivers_own_session_leaves_on_the_jump_host_is_no_evidence() -> None:
    """The rule fires on the jump host because the driver connects to it; on the target, which the step is about, it is proven silent."""
    hop = Hop(Expectation(rule="port"))
    hop.ledger.detonated(hop.detonation())
    mine = [observed(one) for one in (OUTER.connection(), opened(), accepted())]
    hop.ledger.saw(facts(*mine, alert("a", "port", OUTER.connection(), raised=1, host="ws1"), run("port", 3.0, end=3.5), now=5))
    (verdict,) = hop.ledger.settle()
    assert verdict.outcome is Outcome.MISSED
    assert hop.ledger.unexpected() == []
    assert hop.ledger.unattributed() == []
