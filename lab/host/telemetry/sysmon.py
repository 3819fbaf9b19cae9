"""Sysmon: 1 (process creation), 3 (network connection), 5 (process termination), 11 (file created), 12 and 13 (registry); schema 4.40.

Pure. Fields as the recordings of OTRF/Security-Datasets and Sysmon's own schema have them: pids are decimal, times have
milliseconds, guids are made of machine, time and number. It must never know why something happened.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from datetime import datetime, timedelta
from ipaddress import ip_address
from uuid import UUID

from harness.events.windows import Level
from lab.host.happenings import Connection, FileCreation, LogonSession, Process, RegistryChange
from lab.host.registry import Act, Kind, Value
from lab.host.telemetry.journal import Entry, Provider
from lab.host.telemetry.origin import Origin
from lab.host.telemetry.security import integrity_sid

SYSMON = Provider(
    channel="Microsoft-Windows-Sysmon/Operational",
    name="Microsoft-Windows-Sysmon",
    guid="{5770385F-C22A-43E0-BF4C-06F5698FFBD9}",
)

_KEYWORDS = 0x8000000000000000
_SERVICE_USER = "S-1-5-18"
_INTEGRITY = {"S-1-16-16384": "System", "S-1-16-12288": "High", "S-1-16-8192": "Medium"}
_TITLES = {
    1: "Process Create",
    3: "Network connection detected",
    5: "Process terminated",
    11: "File created",
    12: "Registry object added or deleted",
    13: "Registry value set",
}
_HASH_ORDER = ("SHA1", "MD5", "SHA256", "IMPHASH")


def logon_guid(origin: Origin, session: LogonSession) -> str:
    """The guid under which Sysmon names this logon session (not the LogonGuid of 4624, which is Kerberos's).

    Laid out as a GUID in memory: the machine's 32 bits, the second of the logon since 1970, then its LUID.
    """
    fields = struct.pack("<IIQ", origin.machine_id, int(session.created.timestamp()), session.logon_id)
    return f"{{{UUID(bytes_le=fields)}}}"


def process_started(origin: Origin, process: Process) -> Entry:
    """1, process creation."""
    parent = process.parent or origin.system
    image = process.image
    return _traced(
        origin,
        1,
        5,
        process.started,
        {
            "ProcessGuid": f"{{{process.guid}}}",
            "ProcessId": str(process.pid),
            "Image": process.path,
            "FileVersion": image.version,
            "Description": image.description,
            "Product": image.product,
            "Company": image.company,
            "OriginalFileName": image.original_name,
            "CommandLine": process.command_line,
            "CurrentDirectory": process.directory,
            "User": _user(process),
            "LogonGuid": logon_guid(origin, process.logon),
            "LogonId": hex(process.logon.logon_id),
            "TerminalSessionId": "0",  # services and what network logons start live in session 0
            "IntegrityLevel": _INTEGRITY[integrity_sid(process.logon)],
            "Hashes": ",".join(f"{kind}={image.hashes[kind]}" for kind in _HASH_ORDER if kind in image.hashes),
            "ParentProcessGuid": f"{{{parent.guid}}}",
            "ParentProcessId": str(parent.pid),
            "ParentImage": parent.path,
            "ParentCommandLine": parent.command_line,
        },
    )


def process_ended(origin: Origin, process: Process, at: datetime) -> Entry:
    """5, process termination."""
    data = {"ProcessGuid": f"{{{process.guid}}}", "ProcessId": str(process.pid), "Image": process.path}
    return _traced(origin, 5, 3, at, data)


def connected(origin: Origin, connection: Connection, at: datetime, lag: timedelta) -> Entry:
    """3, a connection by the process that owns its socket. Sysmon reports connections in batches: `lag` after `at`."""
    owner = connection.owner
    is_ipv6 = str(ip_address(connection.source_ip).version == 6).lower()
    return _traced(
        origin,
        3,
        5,
        at,
        {
            "ProcessGuid": f"{{{owner.guid}}}",
            "ProcessId": str(owner.pid),
            "Image": owner.path,
            "User": _user(owner),
            "Protocol": "tcp",
            "Initiated": str(connection.initiated).lower(),
            "SourceIsIpv6": is_ipv6,
            "SourceIp": connection.source_ip,
            "SourceHostname": "-",
            "SourcePort": str(connection.source_port),
            "SourcePortName": "-",
            "DestinationIsIpv6": is_ipv6,
            "DestinationIp": connection.destination_ip,
            "DestinationHostname": "-",
            "DestinationPort": str(connection.destination_port),
            "DestinationPortName": "-",
        },
        lag,
    )


def file_created(origin: Origin, creation: FileCreation, at: datetime) -> Entry:
    """11, file created. Sysmon of this version does not name the user."""
    return _traced(
        origin,
        11,
        2,
        at,
        {
            "ProcessGuid": f"{{{creation.process.guid}}}",
            "ProcessId": str(creation.process.pid),
            "Image": creation.process.path,
            "TargetFilename": creation.path,
            "CreationUtcTime": _utc(creation.created),
        },
    )


def registry_changed(origin: Origin, change: RegistryChange, at: datetime) -> Entry:
    """12 for keys that come or go and values that go, 13 for a value that is set."""
    target = _target(change.key)
    if change.value is not None:
        target = f"{target}\\{change.value.name or '(Default)'}"
    data = {
        "EventType": str(change.act),
        "ProcessGuid": f"{{{change.process.guid}}}",
        "ProcessId": str(change.process.pid),
        "Image": change.process.path,
        "TargetObject": target,
    }
    if change.act is Act.SET_VALUE and change.value is not None:
        return _traced(origin, 13, 2, at, data | {"Details": _details(change.value)})
    return _traced(origin, 12, 2, at, data)


_SHORT = (
    ("HKEY_LOCAL_MACHINE\\SYSTEM\\CurrentControlSet", "HKLM\\System\\CurrentControlSet"),
    ("HKEY_LOCAL_MACHINE\\SOFTWARE\\Classes", "HKCR"),
    ("HKEY_LOCAL_MACHINE", "HKLM"),
    ("HKEY_USERS", "HKU"),
)
"""How Sysmon abbreviates paths, the longest first."""


def _target(key: str) -> str:
    for long, short in _SHORT:
        if key.lower() == long.lower() or key.lower().startswith(f"{long.lower()}\\"):
            return f"{short}{key[len(long) :]}"
    return key


def _details(value: Value) -> str:
    """What a value was set to: numbers in hexadecimal, text as it is, anything else by its kind alone."""
    match value.kind, value.data:
        case Kind.DWORD, int(number):
            return f"DWORD (0x{number & 0xFFFFFFFF:08x})"
        case Kind.QWORD, int(number):
            return f"QWORD (0x{number >> 32 & 0xFFFFFFFF:08x}-0x{number & 0xFFFFFFFF:08x})"
        case ((Kind.TEXT | Kind.EXPAND), str(text)):
            return text or "(Empty)"
        case _:
            return "Binary Data"


def _traced(origin: Origin, event_id: int, version: int, at: datetime, data: Mapping[str, str], lag: timedelta = timedelta()) -> Entry:
    # The registry's events alone have another value before their time.
    kind = {"EventType": data["EventType"]} if "EventType" in data else {}
    values = {"RuleName": "-"} | kind | {"UtcTime": _utc(at)} | dict(data)
    lines = (f"{name}: {_shown(name, value)}" for name, value in values.items())
    return Entry(
        provider=SYSMON,
        event_id=event_id,
        version=version,
        level=Level.INFORMATION,
        task=event_id,  # Sysmon's tasks bear the numbers of its events
        opcode=0,
        keywords=_KEYWORDS,
        process_id=origin.sysmon_pid,
        user_sid=_SERVICE_USER,
        data=values,
        message="\r\n".join((f"{_TITLES[event_id]}:", *lines)),
        lag=lag,
    )


def _utc(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}.{moment.microsecond // 1000:03d}"


def _shown(name: str, value: str) -> str:
    # Windows renders a HexInt64 in capitals where it makes text of a record, in small letters in its XML.
    return f"0x{value[2:].upper()}" if name == "LogonId" else value


def _user(process: Process) -> str:
    account = process.logon.account
    return f"{account.domain}\\{account.name}"
