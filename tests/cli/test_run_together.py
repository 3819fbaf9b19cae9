"""Two runs at once against one lab, on the same host: no alert is credited to the wrong run or step.

What is right is decided here without the ledger: an alert belongs to a detonation where its source event carries that session's
client port, or descends from that session's process, or bears its engine ids.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path

import pytest

from harness.core.attribute import Attribution, HostAttribution
from harness.model.facts import Alert, Detonation, Event
from harness.model.report import Report
from harness.model.tree import Pattern
from harness.model.verdicts import Basis, Inconclusive, Outcome, Sighting
from tests.builders import RemoteSession, alert, observed, planned
from tests.cli.commands import UpLab, ended, start, write_scenario

NETWORK, PROCESS, ENGINE = (
    "13acf386-b8c6-4fe0-9a6e-c4756b974698",
    "734f8d9b-42b8-41b2-bcf5-abaf49d5a3c8",
    "60167e5c-84b2-4c95-a7ac-86281f27c445",
)
SEQUENCES = {"2772264c-6fb9-4d9d-9014-b416eed21254", "1cd01db9-be24-4bef-8e7c-e923f0ff78ab"}
CHILD = "5cc2cda8-f261-4d88-a2de-e9e193c86716"


def belongs(event: Event, detonation: Detonation) -> bool:
    """Whether the event says by itself that it is that session's."""
    flat = {name: str(value) for name, value in event.flat.items()}
    identity = detonation.identity
    assert identity.process_id is not None
    pids = {str(identity.process_id), hex(identity.process_id)}
    if event.event_id in (3, 5156):
        return int(flat["sourceport"]) in {socket.port for socket in identity.sockets}
    if event.event_id in (1, 4688):
        return bool(pids & {flat.get(name, "") for name in ("newprocessid", "processid", "parentprocessid")})
    text = " ".join(flat.values()).lower()
    return str(identity.host_id).lower() in text or str(identity.runspace_id).lower() in text


def wrongly_credited(sightings: Iterable[Sighting], detonations: dict[str, Detonation]) -> list[str]:
    """Alerts that were counted for a detonation whose they are not. One of several events is whose the last of them is: on a busy host
    another session's connection may stand before it in the place of ours."""
    return [
        f"{sighting.alert.id} for {sighting.detonation}"
        for sighting in sightings
        if sighting.basis is not Basis.AMBIGUOUS
        and not all(belongs(event, detonations[sighting.detonation]) for event in sighting.alert.events[-1:])
    ]


def check(report: Report) -> None:
    detonations = {v.planned: v.detonation for v in report.verdicts if v.detonation is not None}
    counted = [s for verdict in report.verdicts for s in verdict.sightings] + [s for s in report.unexpected if s.detonation in detonations]
    assert counted
    assert wrongly_credited(counted, detonations) == []


def test_two_runs_at_once_on_one_host(lab: UpLab, tmp_path: Path) -> None:
    """One run starts whoami.exe again and again, where the rule must fire; the other a cmdlet, where the same rule must stay quiet.

    Each takes some four seconds, so that they meet however late one of them starts on a busy machine.
    """
    noisy = "\n".join(
        f"""
          - name: native {n}
            invoke_command: {{script: 'Start-Sleep -Milliseconds 600; whoami.exe /groups'}}
            expect: [{{rule: {CHILD}}}, {{rule: {NETWORK}}}, {{rule: {PROCESS}}}, {{rule: {ENGINE}}}]"""
        for n in range(6)
    )
    quiet = "\n".join(
        f"""
          - name: cmdlet {n}
            enter_pssession: [Start-Sleep -Milliseconds 600, Get-Service WinRM]
            expect: [{{rule: {CHILD}, fires: false}}, {{rule: {NETWORK}}}, {{rule: {PROCESS}}}, {{rule: {ENGINE}}}]"""
        for n in range(6)
    )
    files = {
        name: write_scenario(tmp_path / f"{name}.scenario.yml", f"id: {name}\ntitle: {name}\nsteps:{text}")
        for name, text in (("noisy", noisy), ("quiet", quiet))
    }
    started = {
        name: start("run", str(path), "--lab", "--target", "lab-ws1", "--json", f"{name}.json", cwd=tmp_path, env=lab.env)
        for name, path in files.items()
    }
    runs = {name: ended(process, tmp_path / f"{name}.json") for name, process in started.items()}
    for run in runs.values():
        assert run.code == 0, run.said
        assert {verdict.outcome for verdict in run.full.verdicts} <= {Outcome.DETECTED, Outcome.QUIET}
        check(run.full)
    spans = [(run.full.started_at, run.full.finished_at) for run in runs.values()]
    assert max(start for start, _ in spans) < min(end for _, end in spans), "they were under way at the same time"
    assert runs["quiet"].full.unattributed, "the other run's alerts are seen, and are nobody's"


def test_three_runs_of_the_starter_scenarios_at_once(lab: UpLab, tmp_path: Path) -> None:
    """Sessions at once may disturb a sequence that joins by the host alone: that is said so, and never taken for a miss."""
    started = [start("run", "--lab", "--json", f"{n}.json", cwd=tmp_path, env=lab.env) for n in range(3)]
    for number, process in enumerate(started):
        run = ended(process, tmp_path / f"{number}.json")
        disturbed = [verdict for verdict in run.full.verdicts if verdict.outcome is Outcome.INCONCLUSIVE]
        assert {(verdict.expectation.rule, verdict.inconclusive) for verdict in disturbed} <= {
            (rule, Inconclusive.AMBIGUOUS) for rule in SEQUENCES
        }
        assert run.code == (3 if disturbed else 0), run.said
        check(run.full)


class ByWindowAlone(HostAttribution):
    """What the neighbours do: host and time, and the first that fits."""

    def of_alert(self, alert: Alert, pattern: Pattern | None = None) -> Attribution | None:
        times = [event.time for event in alert.events]
        fitting = sorted(
            name
            for name, detonation in self._detonations.items()
            if all(detonation.started_at - timedelta(seconds=2) <= time <= detonation.finished_at + timedelta(seconds=2) for time in times)
        )
        return Attribution(detonation=fitting[0], basis=Basis.WINDOW) if fitting else None


@pytest.mark.parametrize(("kind", "wrong"), [(HostAttribution, False), (ByWindowAlone, True)])
def test_the_check_itself_finds_credit_by_window_alone(kind: type[HostAttribution], wrong: bool) -> None:
    """The check above would fail, were the ledger made to credit by window alone."""
    sessions = [RemoteSession(tag=tag, port=50001 + n, pid=4000 + 100 * n, logon=0xA00 + n) for n, tag in enumerate(("one", "two"))]
    host = kind()
    detonations = {}
    for session in sessions:
        detonation = session.detonation(planned(f"{session.tag}/1@ws1"))
        detonations[detonation.planned.id] = detonation
        host.detonated(detonation)
        for event in session.telemetry():
            host.observed(observed(event))
    sightings = []
    for session in sessions:
        raised = alert(f"alert of {session.tag}", CHILD, session.child_process(), raised=1.2)
        found = host.of_alert(raised)
        assert found is not None
        sightings.append(
            Sighting(
                detonation=found.detonation,
                alert=raised,
                basis=found.basis,
                transport_caused=False,
                time_to_detect=timedelta(seconds=1),
                keys=found.keys,
            )
        )
    assert bool(wrongly_credited(sightings, detonations)) is wrong
