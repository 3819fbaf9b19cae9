"""Reports as runs make them, built by hand: for the tests of every reporter, and to be looked at.

`python tests/reports/sample_reports.py [clean|gap|outage]` shows one as the terminal report does, with its progress.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from harness.model.changes import (
    Breach,
    Cause,
    CauseKind,
    Change,
    ChangeKind,
    Comparison,
    PastVerdict,
    Trend,
    Trends,
)
from harness.model.facts import (
    Alert,
    Detonation,
    Event,
    Execution,
    Failure,
    FailureKind,
    Footprint,
    Identity,
    RuleState,
    SiemStatus,
    Socket,
    StreamKind,
    StreamRecord,
)
from harness.model.intent import (
    Auth,
    Connect,
    EnterPSSession,
    Expectation,
    InvokeCommand,
    PlannedStep,
    Quarantine,
    Severity,
    Step,
    Target,
)
from harness.model.report import (
    Environment,
    Judged,
    Progress,
    Report,
    RuleRecord,
    RunFinished,
    SiemChecked,
    SiemTrouble,
    StepFinished,
    StepStarted,
)
from harness.model.verdicts import (
    Basis,
    CoverageStatus,
    Gate,
    GateKind,
    GateState,
    Inconclusive,
    Outcome,
    RuleCoverage,
    Sighting,
    Verdict,
)

NETWORK = "13acf386-b8c6-4fe0-9a6e-c4756b974698"
PROCESS = "734f8d9b-42b8-41b2-bcf5-abaf49d5a3c8"
CHILD = "5cc2cda8-f261-4d88-a2de-e9e193c86716"
MODULE = "96b9f619-aa91-478f-bacb-c3e50f8df575"
SOURCE = "c539afac-c12a-46ed-b1bd-5a5567c9f045"
WINRSHOST = "79df3f68-dccb-48e9-9171-b75cbc37c51d"
TITLES = {
    NETWORK: "Remote PowerShell Sessions Network Connections (WinRM)",
    PROCESS: "Remote PowerShell Session Host Process (WinRM)",
    CHILD: "Suspicious Processes Spawned by WinRM",
    MODULE: "Remote PowerShell Session (PS Module)",
    SOURCE: "Potential Remote PowerShell Session Initiated",
    WINRSHOST: "Winrs Local Command Execution",
}
START = datetime(2026, 11, 21, 11, 2, 3, 120_000, tzinfo=UTC)
WS5 = Target(name="ws5", host="127.0.0.1", port=40111, auth=Auth.NTLM, user="LAB\\purple", computer="WS5", seen_from="10.0.5.99")
WS6 = Target(name="ws6", host="127.0.0.1", port=40112, auth=Auth.NTLM, user="LAB\\purple", computer="WS6", seen_from="10.0.5.99")


def after(seconds: float) -> datetime:
    """So many seconds after the run began."""
    return START + timedelta(seconds=seconds)


def planned(
    scenario: str, number: int, target: Target, action: EnterPSSession | InvokeCommand | Connect, *, cleanup: bool = False
) -> PlannedStep:
    """A step named after its action."""
    name = {EnterPSSession: "typed into a session", InvokeCommand: "one remote call", Connect: "connect and leave"}[type(action)]
    step = Step(name=name, action=action, cleanup=action if cleanup else None, technique="T1021.006")
    suffix = "/cleanup" if cleanup else ""
    return PlannedStep(id=f"{scenario}/{number}@{target.name}{suffix}", scenario=scenario, step=step, target=target, cleanup=cleanup)


def detonation(step: PlannedStep, at: float, outcome: Execution | Failure | None = None) -> Detonation:
    """A step that began so many seconds into the run and took an eighth of one."""
    started = after(at)
    footprint = Footprint(
        script='"$PID|$($Host.InstanceId)"',
        started_at=started + timedelta(milliseconds=80),
        finished_at=started + timedelta(milliseconds=90),
        target_time=started + timedelta(milliseconds=86, microseconds=1),
    )
    identity = Identity(
        sockets=(Socket(ip="10.0.5.99", port=51514), Socket(ip="10.0.5.99", port=51515)),
        logon_id="0x3a1f9c",
        process_id=4312,
        host_id="2f6d6b4e-02b5-4bb8-8a5c-6d9f0c7e9c11",
        runspace_id="b7b6b1c2-7e44-4f5c-9a55-0c1c9b4e8a10",
    )
    executed = Execution(
        output=("Running  WinRM",),
        records=(StreamRecord(stream=StreamKind.WARNING, text="slow"), StreamRecord(stream=StreamKind.ERROR, text="no", error_id="X")),
        exit_code=0,
        forms=("command",),
    )
    return Detonation(
        planned=step,
        started_at=started,
        finished_at=started + timedelta(milliseconds=125),
        outcome=outcome or executed,
        identity=identity,
        footprint=None if isinstance(outcome, Failure) else footprint,
    )


def alert(rule: str, host: str, at: float, number: int = 1) -> Alert:
    """An alert of a rule with its source event."""
    event = Event(
        id=f"{host}-{number}",
        channel="Security",
        event_id=5156,
        host=host,
        time=after(at - 0.5),
        provider="Microsoft-Windows-Security-Auditing",
        flat={"destport": "5985", "sourceport": 51514, "layerrtid": 44, "ratio": 0.5, "elevated": True, "none": None, "data": ["a", "b"]},
        raw={"winlog": {"event_data": {"DestPort": "5985", "list": [1, 2.5, None, True]}}},
    )
    return Alert(
        id=f"alert-{rule[:8]}-{host}-{number}",
        rule=rule,
        host=host,
        severity=Severity.HIGH,
        raised_at=after(at),
        searchable_at=after(at + 0.1),
        events=(event,),
        source="embedded",
    )


def sighting(of: Detonation, rule: str, seconds: float, *, transport_caused: bool = True, basis: Basis = Basis.EXACT) -> Sighting:
    """An alert of a rule so many seconds after the detonation began."""
    at = (of.started_at - START).total_seconds() + seconds
    return Sighting(
        detonation=of.planned.id,
        alert=alert(rule, of.planned.target.name, at),
        basis=basis,
        transport_caused=transport_caused,
        time_to_detect=timedelta(seconds=seconds),
        keys=("source socket 10.0.5.99:51514",),
    )


def gates(*passed: float | None, of: Detonation, evidence: Sequence[str] = ()) -> tuple[Gate, ...]:
    """Gates passed so many seconds after the detonation began; the first None failed and bears the evidence, the rest are unreached."""
    ladder = []
    failed = False
    for kind, seconds in zip(GateKind, passed, strict=True):
        if seconds is not None:
            ladder.append(Gate(kind=kind, state=GateState.PASSED, at=of.started_at + timedelta(seconds=seconds), evidence=("4 of 4",)))
        elif not failed:
            ladder.append(Gate(kind=kind, state=GateState.FAILED, evidence=tuple(evidence)))
            failed = True
        else:
            ladder.append(Gate(kind=kind, state=GateState.UNREACHED))
    return tuple(ladder)


def verdict(
    of: Detonation, expectation: Expectation, outcome: Outcome, ladder: tuple[Gate, ...] = (), cause: str = "", **rest: object
) -> Verdict:
    """A verdict on a detonation."""
    base = Verdict(
        planned=of.planned.id,
        target=of.planned.target.name,
        scenario=of.planned.scenario,
        expectation=expectation,
        outcome=outcome,
        gates=ladder,
        cause=cause,
        detonation=of,
    )
    return replace(base, **rest)  # type: ignore[arg-type]


def detected(of: Detonation, rule: str, seconds: float) -> Verdict:
    """A rule that fired in its time."""
    ladder = gates(0.1, 0.3, 0.4, seconds, of=of)
    return verdict(
        of, Expectation(rule=rule), Outcome.DETECTED, ladder, "the alert was raised in time", sightings=(sighting(of, rule, seconds),)
    )


def covered(verdicts: Sequence[Verdict], statuses: dict[str, tuple[CoverageStatus, str]]) -> tuple[RuleCoverage, ...]:
    """Coverage of these rules as a run would count it."""
    entries = []
    for rule, (status, reason) in statuses.items():
        own = [item for item in verdicts if item.expectation.rule == rule]
        times = [item.time_to_detect for item in own if item.time_to_detect is not None]
        entries.append(
            RuleCoverage(
                rule=rule,
                title=TITLES[rule],
                status=status,
                outcomes=dict(Counter(item.outcome for item in own)),
                fastest=min(times, default=None),
                slowest=max(times, default=None),
                reason=reason,
            )
        )
    return tuple(entries)


def report(verdicts: Sequence[Verdict], coverage: tuple[RuleCoverage, ...], exit_code: int, **rest: object) -> Report:
    """A report around these verdicts."""
    base = Report(
        run_id="7c1f02",
        environment=Environment(
            harness="0.1.0",
            python="3.11.9",
            platform="Linux x86_64",
            targets=("ws5", "ws6"),
            siem="embedded",
            clock_offsets={"ws5": 0.0021, "ws6": -0.0007, "siem": 0.0},
        ),
        started_at=START,
        finished_at=after(6.21),
        interrupted=False,
        verdicts=tuple(verdicts),
        coverage=coverage,
        unexpected=(),
        unattributed=(),
        cleanups=(),
        exit_code=exit_code,
        rules=tuple(record(rule) for rule in dict.fromkeys(item.expectation.rule for item in verdicts) if rule != WINRSHOST),
    )
    return replace(base, **rest)  # type: ignore[arg-type]


GAP_REASON = "its pattern asks for a trailing blank where the raw line ends in CRLF"
_SOURCE_CAUSE = "source side: its event is logged by the machine that connects, and the driver is not Windows; drive it from a Windows host"


def _good_step(number: int, target: Target, at: float) -> list[Verdict]:
    of = detonation(
        planned("interactive-native-child", number, target, EnterPSSession(lines=("Get-Service WinRM", "whoami.exe /groups"))), at
    )
    gap = Expectation(rule=MODULE, known_gap=GAP_REASON)
    return [
        detected(of, NETWORK, 0.62 + number / 100),
        detected(of, PROCESS, 0.71 + number / 50),
        detected(of, CHILD, 1.2),
        verdict(of, gap, Outcome.KNOWN_GAP, gates(0.1, 0.3, None, None, of=of), "the rule ran and did not match", proof="run-81"),
        verdict(of, Expectation(rule=SOURCE), Outcome.NOT_EXERCISABLE, (), _SOURCE_CAUSE, detonation=None),
        verdict(of, Expectation(rule=WINRSHOST, fires=False), Outcome.QUIET, (), "no alert, and run run-82 looked", proof="run-82"),
    ]


def clean() -> Report:
    """Every expectation met or knowingly open: exit 0."""
    verdicts = [*_good_step(1, WS5, 0.1), *_good_step(2, WS5, 0.4), *_good_step(1, WS6, 0.1)]
    coverage = covered(
        verdicts,
        {
            SOURCE: (CoverageStatus.UNTESTED, "not exercisable: needs the source side"),
            NETWORK: (CoverageStatus.VALIDATED, ""),
            PROCESS: (CoverageStatus.VALIDATED, ""),
            CHILD: (CoverageStatus.VALIDATED, ""),
            MODULE: (CoverageStatus.UNTESTED, "only known gaps"),
            WINRSHOST: (CoverageStatus.UNTESTED, "only ever asked to stay quiet"),
        },
    )
    of = verdicts[0].detonation
    assert of is not None
    cleanup = detonation(
        planned("write-read-remove", 1, WS5, InvokeCommand(script="Remove-Item x", arguments={"Path": "x"}), cleanup=True), 2.0
    )
    unexpected = (sighting(of, PROCESS, 0.7), sighting(of, NETWORK, 0.8))
    return report(verdicts, coverage, 0, unexpected=unexpected, cleanups=(cleanup,))


def gap() -> Report:
    """A rule with a wrong port missed twice, a noisy one, a late one, odd alerts and a failed cleanup: exit 1."""
    verdicts = [*_good_step(1, WS5, 0.1), *_good_step(1, WS6, 0.1)]
    for target, at in ((WS5, 1.0), (WS6, 1.05)):
        of = detonation(planned("call-cmdlet", 1, target, InvokeCommand(script="Get-Service -Name $Name", arguments={"Name": "WinRM"})), at)
        killed = "nearest event 5156 (record 88121): DestPort is 5985, the rule wants 1234"
        ladder = gates(0.12, 0.45, None, None, of=of, evidence=(killed,))
        cause = "telemetry arrived and the rule ran without matching: DestPort is 5985, the rule wants 1234; proven by rule run run-91"
        verdicts.append(verdict(of, Expectation(rule=NETWORK), Outcome.MISSED, ladder, cause, proof="run-91"))
    of = detonation(planned("benign-twin-hostname", 2, WS6, EnterPSSession(lines=("hostname.exe",))), 1.5)
    noisy = gates(0.1, 0.3, 0.5, 0.9, of=of)
    quiet = Expectation(rule=CHILD, fires=False)
    cause = "an alert of this rule was raised on a step at which it must stay quiet"
    found = (sighting(of, CHILD, 0.9, transport_caused=False),)
    verdicts.append(verdict(of, quiet, Outcome.NOISY, noisy, cause, sightings=found))
    late = detonation(planned("null-action", 1, WS6, Connect()), 2.0)
    verdicts.append(
        verdict(
            late,
            Expectation(rule=PROCESS, within=timedelta(seconds=2), severity=Severity.MEDIUM),
            Outcome.LATE,
            gates(0.1, 0.3, 0.4, 3.5, of=late),
            "raised 3.50 s after the start, 1.50 s after its deadline",
            sightings=(sighting(late, PROCESS, 3.5),),
        )
    )
    coverage = covered(
        verdicts,
        {
            CHILD: (CoverageStatus.PARTIAL, "1 noisy"),
            NETWORK: (CoverageStatus.PARTIAL, "2 missed"),
            PROCESS: (CoverageStatus.PARTIAL, "1 late"),
            MODULE: (CoverageStatus.UNTESTED, "only known gaps"),
            SOURCE: (CoverageStatus.UNTESTED, "not exercisable: needs the source side"),
            WINRSHOST: (CoverageStatus.UNTESTED, "only ever asked to stay quiet"),
        },
    )
    failed = detonation(
        planned("write-read-remove", 1, WS6, InvokeCommand(script="Remove-Item x"), cleanup=True),
        3.0,
        Failure(kind=FailureKind.CONNECTION_LOST, message="cut while the step was under way"),
    )
    unexpected = (sighting(of, PROCESS, 0.7), sighting(late, CHILD, 1.0, transport_caused=False))
    unattributed = (alert(NETWORK, "ws6", 4.0, 7), alert(NETWORK, "ws6", 4.5, 8))
    return report(verdicts, coverage, 1, unexpected=unexpected, unattributed=unattributed, cleanups=(failed,))


def outage() -> Report:
    """One host whose port is closed, the other's results intact: exit 3."""
    verdicts = _good_step(1, WS5, 0.1)
    cause = "the step was not executed: connect: 127.0.0.1:40112 refused the connection"
    refusal = Failure(kind=FailureKind.CONNECT, message="127.0.0.1:40112 refused the connection")
    for number in range(1, 6):
        of = detonation(planned("interactive-native-child", number, WS6, EnterPSSession(lines=("whoami.exe",))), 0.2, refusal)
        for rule in (NETWORK, PROCESS, CHILD):
            ladder = gates(None, None, None, None, of=of, evidence=(refusal.message,))
            verdicts.append(
                verdict(of, Expectation(rule=rule), Outcome.INCONCLUSIVE, ladder, cause, inconclusive=Inconclusive.NOT_EXECUTED)
            )
    coverage = covered(verdicts, {NETWORK: (CoverageStatus.VALIDATED, ""), MODULE: (CoverageStatus.UNTESTED, "only known gaps")})
    return report(verdicts, coverage, 3)


def _hostile_detonation(of: Detonation | None, text: str) -> Detonation | None:
    if of is None:
        return None
    step = replace(of.planned.step, name=text, action=InvokeCommand(script=text))
    target = replace(of.planned.target, computer=text, user=text)
    outcome = Execution(output=(text,), records=(StreamRecord(stream=StreamKind.ERROR, text=text),), terminated=text)
    return replace(of, planned=replace(of.planned, step=step, target=target), outcome=outcome)


def record(rule: str) -> RuleRecord:
    """A rule as it was in a run."""
    return RuleRecord(
        id=rule,
        title=TITLES[rule],
        source="rules/of the lab/winrm.yml",
        line=2,
        language="sigma",
        severity=Severity.HIGH,
        techniques=("T1021.006",),
        definition=f"title: a rule\nid: {rule}\n",
    )


def hostile(text: str) -> Report:
    """The report of `gap` with this text wherever a target, a rule or a SIEM may have written."""
    base = gap()
    verdicts = tuple(
        replace(
            item,
            cause=text,
            detonation=_hostile_detonation(item.detonation, text),
            gates=tuple(replace(gate, evidence=(text,)) for gate in item.gates),
            expectation=replace(
                item.expectation,
                known_gap=text if item.outcome is Outcome.KNOWN_GAP else None,
                quarantine=Quarantine(until=START.date(), reason=text) if item.outcome is Outcome.LATE else None,
            ),
        )
        for item in base.verdicts
    )
    return replace(
        base,
        environment=replace(base.environment, siem=text, targets=(text,)),
        verdicts=verdicts,
        rules=tuple(replace(item, title=text, source=text[:200], definition=text) for item in base.rules),
        coverage=tuple(replace(item, title=text, reason=text) for item in base.coverage),
        unattributed=tuple(replace(item, host=text) for item in base.unattributed),
        cleanups=tuple(replace(item, outcome=Failure(kind=FailureKind.PROTOCOL, message=text)) for item in base.cleanups),
        comparison=_hostile_comparison(text),
    )


def _hostile_comparison(text: str) -> Comparison:
    comparison = held().comparison
    assert comparison is not None
    causes = (Cause(kind=CauseKind.RULE_TEXT, what=text, evidence=(text, text)),)
    return replace(comparison, baseline=text[:200], changes=tuple(replace(change, causes=causes) for change in comparison.changes))


def held() -> Report:
    """The report of `gap` held against an earlier one: a known gap, one under quarantine, a flaky expectation, a breach: exit 1."""
    base = gap()
    verdicts = list(base.verdicts)
    for place, verdict in enumerate(verdicts):
        if verdict.outcome is Outcome.LATE:
            quarantine = Quarantine(until=START.date(), reason="the agent is being replaced")
            verdicts[place] = replace(verdict, expectation=replace(verdict.expectation, quarantine=quarantine))
    noisy = next(verdict for verdict in verdicts if verdict.outcome is Outcome.NOISY)
    was = PastVerdict(planned="p/1@ws5", target="ws5", scenario="p", rule=CHILD, fires=True, outcome=Outcome.DETECTED)
    cause = Cause(kind=CauseKind.RULE_TEXT, what="the rule's text changed", evidence=("- port: 5985", "+ port: 1234"), direct=True)
    change = Change(kind=ChangeKind.BROKEN, before=was, after=replace(was, outcome=Outcome.MISSED), causes=(cause,))
    first = verdicts[0]
    trend = Trend(
        planned=first.planned,
        rule=first.expectation.rule,
        fires=True,
        outcomes=(Outcome.DETECTED, Outcome.MISSED, None, Outcome.DETECTED),
        took=(timedelta(seconds=1), None, None, timedelta(seconds=2)),
        p50=timedelta(seconds=1),
        p95=timedelta(seconds=2),
        turns=2,
        flaky=True,
    )
    known = ((noisy.planned, noisy.expectation.rule, noisy.expectation.fires),)
    return replace(
        base,
        run_id="held",
        verdicts=tuple(verdicts),
        fail_on=("new",),
        comparison=Comparison(baseline="7c1f02", baseline_at=START, known=known, changes=(change,)),
        trends=Trends(runs=tuple("abcd"), ended=tuple(after(at) for at in range(4)), lines=(trend,)),
        breaches=(Breach(rule=CHILD, planned="p/1@ws5", objective=timedelta(seconds=1), measured=timedelta(seconds=9), p95=True, runs=9),),
    )


def progress_of(finished: Report) -> list[Progress]:
    """What an engine would have yielded on the way to a report."""
    state = RuleState(rule=NETWORK, deployed=True, enabled=True, interval=timedelta(seconds=1), look_back=timedelta(minutes=5))
    status = SiemStatus(name="embedded", now=START, ingest_lag=timedelta(seconds=0.3), schedule_running=True, rules={NETWORK: state})
    steps = {item.detonation.planned.id: item.detonation for item in finished.verdicts if item.detonation is not None}
    seen: list[Progress] = [SiemChecked(status=status)]
    for step in steps.values():
        seen += [StepStarted(planned=step.planned), StepFinished(detonation=step)]
    seen.append(SiemTrouble(message="the store is locked"))
    total = len(finished.verdicts)
    seen += [Judged(verdict=item, open=total - number) for number, item in enumerate(finished.verdicts, 1)]
    return [*seen, RunFinished(report=finished)]


if __name__ == "__main__":
    from harness.clock import SystemClock
    from harness.reports.console import make_console
    from harness.reports.terminal import TerminalReporter

    chosen = {"clean": clean, "gap": gap, "outage": outage}[sys.argv[1] if len(sys.argv) > 1 else "gap"]()
    with TerminalReporter(make_console(sys.stdout, os.environ), make_console(sys.stderr, os.environ)) as reporter:
        for item in progress_of(chosen):
            reporter.see(item)
            if sys.stderr.isatty():
                SystemClock().wait(0.05)
