"""Values for tests of the pure core: small sessions with the telemetry that a real one leaves, without a line of I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from harness.model.facts import (
    Alert,
    Detonation,
    Event,
    Execution,
    Facts,
    Failure,
    FlatValue,
    Footprint,
    Identity,
    Observed,
    Probe,
    RuleRun,
    RuleState,
    SiemStatus,
    Socket,
)
from harness.model.intent import Action, EnterPSSession, Expectation, PlannedStep, Rule, Severity, Step, Target
from harness.model.tree import And, Node, Op, Test

T0 = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
SECURITY = "Security"
SYSMON = "Microsoft-Windows-Sysmon/Operational"
CLASSIC = "Windows PowerShell"
POWERSHELL = "Microsoft-Windows-PowerShell/Operational"
FOOTPRINT = "$PID"


def at(seconds: float) -> datetime:
    """A moment, in seconds after the start of the run."""
    return T0 + timedelta(seconds=seconds)


def target(name: str = "ws1", user: str = "LAB\\purple") -> Target:
    return Target(name=name, host="127.0.0.1", computer=f"{name}.lab.example", user=user, seen_from="10.77.0.5")


def planned(
    name: str = "s/1@ws1",
    *expect: Expectation,
    action: Action | None = None,
    on: Target | None = None,
    exit_codes: tuple[int, ...] = (0,),
    output: str | None = None,
) -> PlannedStep:
    step = Step(name="a step", action=action or EnterPSSession(lines=("whoami.exe",)), expect=expect, exit_codes=exit_codes, output=output)
    return PlannedStep(id=name, scenario=name.split("/")[0], step=step, target=on or target())


def rule(rule_id: str, channel: str, event_id: int, *tests: Test, severity: Severity = Severity.MEDIUM) -> Rule:
    logic: Node = And(
        items=(
            Test(field="Channel", op=Op.EQUALS, value=channel),
            Test(field="EventID", op=Op.EQUALS, value=event_id),
            *tests,
        )
    )
    return Rule(
        id=rule_id,
        title=f"rule {rule_id}",
        source="r.yml",
        language="sigma",
        severity=severity,
        techniques=(),
        logic=logic,
        definition="",
    )


def status(*rules: str, lag: float = 0.5, interval: float = 1.0, running: bool = True, now: datetime = T0) -> SiemStatus:
    return SiemStatus(
        name="a siem",
        now=now,
        ingest_lag=timedelta(seconds=lag),
        schedule_running=running,
        rules={
            name: RuleState(rule=name, deployed=True, enabled=True, interval=timedelta(seconds=interval), look_back=timedelta(minutes=5))
            for name in rules
        },
    )


def event(
    event_id: str, channel: str, number: int, seconds: float, flat: Mapping[str, FlatValue] | None = None, host: str = "ws1"
) -> Event:
    values: dict[str, FlatValue] = {"channel": channel, "eventid": number, "computer": f"{host}.lab.example"}
    values |= {key.lower(): value for key, value in (flat or {}).items()}
    return Event(id=event_id, channel=channel, event_id=number, host=host, time=at(seconds), provider="p", flat=values, raw={})


def observed(one: Event, lag: float = 0.3) -> Observed:
    return Observed(event=one, searchable_at=one.time + timedelta(seconds=lag))


def alert(alert_id: str, rule_id: str, *events: Event, raised: float, severity: Severity = Severity.MEDIUM, host: str = "ws1") -> Alert:
    return Alert(
        id=alert_id, rule=rule_id, host=host, severity=severity, raised_at=at(raised), searchable_at=at(raised), events=events, source="t"
    )


def run(rule_id: str, started: float, *, ok: bool = True, start: float = -300, end: float | None = None) -> RuleRun:
    return RuleRun(
        id=f"run-{rule_id}-{started}",
        rule=rule_id,
        window_start=at(start),
        window_end=at(started if end is None else end),
        started_at=at(started),
        finished_at=at(started + 0.01),
        ok=ok,
        message="" if ok else "no such index",
    )


def facts(*items: Observed | Alert | RuleRun | Probe, now: float, running: bool = True) -> Facts:
    return Facts(
        observed=tuple(i for i in items if isinstance(i, Observed)),
        alerts=tuple(i for i in items if isinstance(i, Alert)),
        runs=tuple(i for i in items if isinstance(i, RuleRun)),
        now=at(now),
        schedule_running=running,
        cursor=str(now),
        probes=tuple(i for i in items if isinstance(i, Probe)),
    )


@dataclass(frozen=True, kw_only=True)
class RemoteSession:
    """One session on a host with its telemetry: what 5156, 4624, 4688, Sysmon 1, 400 and 4103/4104 say of it."""

    tag: str
    port: int
    pid: int
    logon: int
    start: float = 0.0
    end: float = 1.0
    host: str = "ws1"
    user: str = "purple"
    child: str = "whoami.exe"

    @property
    def host_id(self) -> str:
        return f"00000000-0000-4000-8000-{self.port:012d}"

    @property
    def runspace_id(self) -> str:
        return f"00000000-0000-4000-9000-{self.port:012d}"

    @property
    def identity(self) -> Identity:
        return Identity(
            sockets=(Socket(ip="10.77.0.5", port=self.port),),
            process_id=self.pid,
            host_id=self.host_id,
            runspace_id=self.runspace_id,
        )

    def detonation(
        self, step: PlannedStep, outcome: Execution | Failure | None = None, *, known: bool = True, clock_offset: float = 0.0
    ) -> Detonation:
        footprint = Footprint(
            script=FOOTPRINT,
            started_at=at(self.end - 0.1),
            finished_at=at(self.end - 0.1),
            target_time=at(self.end - 0.1 + clock_offset),
        )
        return Detonation(
            planned=step,
            started_at=at(self.start),
            finished_at=at(self.end),
            outcome=outcome or Execution(exit_code=0),
            identity=self.identity if known else Identity(sockets=self.identity.sockets),
            footprint=footprint if known else None,
        )

    def connection(self) -> Event:
        return self._event(
            "5156",
            SECURITY,
            5156,
            0.05,
            {"SourceAddress": "10.77.0.5", "SourcePort": str(self.port), "DestPort": "5985", "Direction": "%%14592", "ProcessID": "4"},
        )

    def logged_on(self) -> Event:
        return self._event(
            "4624", SECURITY, 4624, 0.06, {"TargetLogonId": hex(self.logon), "TargetUserName": self.user, "ProcessId": "0x0"}
        )

    def host_process(self) -> Event:
        return self._event(
            "host",
            SECURITY,
            4688,
            0.08,
            {
                "NewProcessId": hex(self.pid),
                "ProcessId": "0x3c0",
                "NewProcessName": r"C:\Windows\System32\wsmprovhost.exe",
                "ParentProcessName": r"C:\Windows\System32\svchost.exe",
                "SubjectLogonId": "0x3e7",
                "TargetLogonId": hex(self.logon),
                "SubjectUserName": "WS1$",
                "TargetUserName": self.user,
            },
        )

    def child_process(self) -> Event:
        return self._event(
            "child",
            SECURITY,
            4688,
            0.2,
            {
                "NewProcessId": hex(self.pid + 4),
                "ProcessId": hex(self.pid),
                "NewProcessName": rf"C:\Windows\System32\{self.child}",
                "ParentProcessName": r"C:\Windows\System32\wsmprovhost.exe",
                "SubjectLogonId": hex(self.logon),
                "TargetLogonId": "0x0",
                "SubjectUserName": self.user,
                "TargetUserName": "-",
            },
        )

    def grandchild_process(self) -> Event:
        return self._event(
            "grandchild",
            SYSMON,
            1,
            0.25,
            {
                "ProcessGuid": f"{{g-{self.port}-{self.pid + 8}}}",
                "ProcessId": str(self.pid + 8),
                "ParentProcessGuid": f"{{g-{self.port}-{self.pid + 4}}}",
                "ParentProcessId": str(self.pid + 4),
                "Image": r"C:\Windows\System32\conhost.exe",
                "ParentImage": rf"C:\Windows\System32\{self.child}",
                "User": f"LAB\\{self.user}",
            },
        )

    def engine(self) -> Event:
        text = f"\tHostName=ServerRemoteHost\r\n\tHostId={self.host_id}\r\n\tRunspaceId={self.runspace_id}\r\n\tPipelineId=\r\n"
        return self._event("400", CLASSIC, 400, 0.1, {"Data": text})

    def command(self, name: str = "Get-Service") -> Event:
        text = f"        Host Name = ServerRemoteHost\r\n        Host ID = {self.host_id}\r\n        Runspace ID = {self.runspace_id}\r\n"
        payload = f'CommandInvocation({name}): "{name}"\r\n'
        return self._event(
            f"4103-{name}", POWERSHELL, 4103, 0.15, {"ContextInfo": text, "Payload": payload, "execution_process_id": self.pid}
        )

    def script(self, text: str, name: str = "4104") -> Event:
        return self._event(name, POWERSHELL, 4104, 0.16, {"ScriptBlockText": text, "execution_process_id": self.pid})

    def telemetry(self) -> list[Event]:
        return [
            self.connection(),
            self.logged_on(),
            self.host_process(),
            self.engine(),
            self.command(),
            self.child_process(),
            self.grandchild_process(),
        ]

    def _event(self, name: str, channel: str, number: int, after: float, flat: Mapping[str, FlatValue]) -> Event:
        return event(f"{self.tag}-{name}", channel, number, self.start + after, flat, self.host)
