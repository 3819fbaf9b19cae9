"""A whole run by way of a jump host, on the real lab: the source side detected, both hosts in the report, no secret anywhere."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.model.facts import Execution, Failure, FailureKind
from harness.model.verdicts import Basis, Outcome
from tests.cli.commands import UpLab, harness, write_scenario
from tests.needs import ROOT

SOURCE, HOST = "c539afac-c12a-46ed-b1bd-5a5567c9f045", "734f8d9b-42b8-41b2-bcf5-abaf49d5a3c8"

TYPED = """
    id: typed-hop
    title: Typed lines by way of a jump host
    via: lab-ws1
    steps:
      - name: typed
        enter_pssession: [whoami.exe, hostname.exe]
        output: WS2
        expect:
          - rule: c539afac-c12a-46ed-b1bd-5a5567c9f045
      - name: arguments by name
        invoke_command:
          script: 'param($Number, $Words) "$($Number + 1) $($Words -join ''+'') $env:COMPUTERNAME" # said there'
          arguments: {Number: 41, Words: [blue, red]}
        output: 42 blue\\+red WS2
        expect:
          - rule: c539afac-c12a-46ed-b1bd-5a5567c9f045
      - name: nothing at all
        connect: {}
        expect:
          - rule: c539afac-c12a-46ed-b1bd-5a5567c9f045
"""


def test_the_source_side_is_seen_on_the_jump_host_and_the_rest_on_the_target(lab: UpLab, tmp_path: Path) -> None:
    scenario = str(ROOT / "scenarios" / "second_hop.scenario.yml")
    found = harness("run", scenario, "--lab", cwd=tmp_path, env=lab.env)
    assert found.code == 0, found.said
    verdicts = {verdict.expectation.rule: verdict for verdict in found.full.verdicts}
    assert {verdict.target for verdict in verdicts.values()} == {"lab-ws2"}
    assert found.full.environment.targets == ("lab-ws2 by way of lab-ws1",)
    sightings = {(one.basis, one.alert.host) for one in verdicts[SOURCE].sightings}
    assert sightings == {(Basis.EXACT, "ws1")}
    assert {one.alert.host for one in verdicts[HOST].sightings} == {"ws2"}
    detonation = verdicts[SOURCE].detonation
    assert detonation is not None
    identity = detonation.identity
    assert identity.via is not None
    assert [socket.ip for socket in identity.sockets] == ["10.77.0.11"]
    assert [socket.ip for socket in identity.via.sockets] == ["10.77.0.5"]
    assert len({identity.host_id, identity.via.host_id, identity.runspace_id, identity.via.runspace_id} - {None}) == 4
    assert not found.full.unattributed


def test_lines_arguments_and_nothing_go_by_way_of_it(lab: UpLab, tmp_path: Path) -> None:
    found = harness("run", str(write_scenario(tmp_path / "typed.scenario.yml", TYPED)), "--lab", cwd=tmp_path, env=lab.env)
    assert found.code == 0, found.said
    assert [verdict.outcome for verdict in found.full.verdicts] == [Outcome.DETECTED] * 3
    assert all(sighting.basis is Basis.EXACT for verdict in found.full.verdicts for sighting in verdict.sightings)
    outputs = [v.detonation.outcome.output for v in found.full.verdicts if v.detonation and isinstance(v.detonation.outcome, Execution)]
    assert outputs == [("lab\\purple", "WS2"), ("42 blue+red WS2",), ()]
    events = harness("lab", "events", "--format", "jsonl", cwd=tmp_path, env=lab.env)
    assert events.code == 0
    assert lab.password not in events.out
    assert lab.password not in found.said + json.dumps(lab.scripts())
    assert lab.password not in "".join(path.read_text() for path in tmp_path.glob("report-*.json"))


def test_a_target_that_the_jump_host_cannot_log_on_to_is_not_a_missed_detection(lab: UpLab, tmp_path: Path) -> None:
    lab.settings(tmp_path / "harness.toml", passwords={"lab-ws2": "WRONG"})
    scenario = write_scenario(tmp_path / "typed.scenario.yml", TYPED)
    env = {"LAB_PASSWORD": lab.password, "WRONG": "not-it-4711"}
    found = harness("run", str(scenario), "--target", "lab-ws2", cwd=tmp_path, env=env)
    assert found.code == 3, found.said
    failures = [v.detonation.outcome for v in found.full.verdicts if v.detonation and isinstance(v.detonation.outcome, Failure)]
    assert [failure.kind for failure in failures] == [FailureKind.AUTHENTICATION, FailureKind.NOT_SENT, FailureKind.NOT_SENT]
    assert "lab-ws2 by way of lab-ws1: " in failures[0].message
    assert "The user name or password is incorrect." in failures[0].message
    assert "not-it-4711" not in found.said


@pytest.mark.parametrize("outside", ["lab-ws1", "lab-ws2"])
def test_the_scope_holds_for_both_hosts(lab: UpLab, tmp_path: Path, outside: str) -> None:
    file = lab.settings(tmp_path / "harness.toml")
    head, middle, tail = file.read_text().partition(f'name = "{outside}"\nhost = "127.0.0.1"')
    file.write_text(head + middle.replace("127.0.0.1", "192.0.2.7") + tail)
    scenario = write_scenario(tmp_path / "typed.scenario.yml", TYPED)
    before = lab.counted("connections")
    found = harness("run", str(scenario), "--target", "lab-ws2", cwd=tmp_path, env={"LAB_PASSWORD": lab.password})
    assert found.code == 4, found.said
    assert outside in found.said
    assert "192.0.2.7" in found.said
    assert lab.counted("connections") == before


def test_the_plan_says_the_way_and_what_has_none(lab: UpLab, tmp_path: Path) -> None:
    scenario = write_scenario(tmp_path / "typed.scenario.yml", TYPED)
    found = harness("plan", str(scenario), cwd=tmp_path, env=lab.env)
    assert "typed-hop/1@lab-ws2  typed  (by way of lab-ws1)" in found.out
    assert "NOT_EXERCISABLE" not in found.out
    write_scenario(scenario, TYPED.replace("via: lab-ws1", "via: dc1"))
    found = harness("plan", str(scenario), cwd=tmp_path, env=lab.env)
    assert "it goes by way of dc1, and there is no such target" in found.out
    assert "via: one of lab-ws1, lab-ws2" in found.out
