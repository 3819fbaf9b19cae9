"""Builders for the tests of the telemetry: a host's origin, a session on it, and a telemetry whose sink is a list."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random
from uuid import UUID

from harness.events.windows import WindowsEvent
from lab.host.happenings import Connection, Engine, Image, LogonSession, Process
from lab.host.telemetry import Origin, Telemetry
from lab.machine import Account, Package

BOOTED = datetime(2026, 3, 2, 6, 0, 0, tzinfo=UTC)
NOW = datetime(2026, 3, 2, 9, 30, 15, 123456, tzinfo=UTC)

SYSTEM_ACCOUNT = Account(domain="NT AUTHORITY", name="SYSTEM", sid="S-1-5-18")
PURPLE = Account(domain="LAB", name="purple", sid="S-1-5-21-1-2-3-1104")


def image(name: str) -> Image:
    return Image(original_name=name, description=f"What {name} is", hashes={"SHA256": "AB", "MD5": "CD", "SHA1": "EF"})


def session(
    account: Account = PURPLE, *, logon_id: int = 0x2DA8840, package: Package = Package.NTLM, elevated: bool = True, created: datetime = NOW
) -> LogonSession:
    return LogonSession(
        logon_id=logon_id,
        account=account,
        logon_type=3,
        package=package,
        created=created,
        guid=UUID("950bda58-772b-65dc-de10-c81ddaf88efb"),
        elevated=elevated,
    )


SYSTEM_SESSION = session(SYSTEM_ACCOUNT, logon_id=0x3E7, package=Package.NEGOTIATE, created=BOOTED)


def process(
    path: str, *, pid: int, parent: Process | None, logon: LogonSession, command_line: str = "", started: datetime = NOW
) -> Process:
    return Process(
        pid=pid,
        path=path,
        command_line=command_line or path,
        directory="C:\\Windows\\system32\\",
        image=image(path.rpartition("\\")[2]),
        logon=logon,
        started=started,
        guid=UUID(int=pid << 64 | 0x8000, version=4),
        parent=parent,
    )


SYSTEM = process("System", pid=4, parent=None, logon=SYSTEM_SESSION, started=BOOTED)
SVCHOST = process(
    "C:\\Windows\\System32\\svchost.exe",
    pid=960,
    parent=SYSTEM,
    logon=SYSTEM_SESSION,
    command_line="C:\\Windows\\system32\\svchost.exe -k DcomLaunch -p",
    started=BOOTED + timedelta(seconds=2),
)


def wsmprovhost(logon: LogonSession, pid: int = 0x234C) -> Process:
    return process(
        "C:\\Windows\\System32\\wsmprovhost.exe",
        pid=pid,
        parent=SVCHOST,
        logon=logon,
        command_line="C:\\Windows\\system32\\wsmprovhost.exe -Embedding",
    )


def engine(of: Process, *, host_name: str = "ServerRemoteHost", runspace: int = 2) -> Engine:
    return Engine(
        host_name=host_name,
        host_version="1.0.0.0",
        host_id=UUID(int=runspace + 100),
        runspace_id=UUID(int=runspace),
        version="5.1.19041.1",
        process=of,
    )


ORIGIN = Origin(
    computer="WS6.lab.example",
    realm="LAB.EXAMPLE",
    machine_account=Account(domain="LAB", name="WS6$", sid="S-1-5-18"),
    system=SYSTEM,
    lsass_pid=760,
    services_pid=732,
    winrm_pid=1204,
    sysmon_pid=3392,
    machine_id=0xD273D0F0,
    filter_id=79935,
)


def connection(
    source: str = "172.18.39.5", port: int = 59770, destination: str = "172.18.39.6", *, by: Process | None = None
) -> Connection:
    """One that the kernel's listener accepted, or that the process `by` opened."""
    return Connection(
        source_ip=source,
        source_port=port,
        destination_ip=destination,
        destination_port=5985,
        initiated=by is not None,
        owner=by or SYSTEM,
    )


def telemetry(seed: int = 1, *, off: frozenset[str] = frozenset()) -> tuple[Telemetry, list[WindowsEvent]]:
    """A telemetry whose clock stands still, and the list that its records go to."""
    records: list[WindowsEvent] = []
    return Telemetry(ORIGIN, records.append, lambda: NOW, Random(seed), off=off), records
