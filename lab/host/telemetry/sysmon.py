"""Sysmon: 1 (process creation) and 3 (network connection), schema version 4.40 (events of version 5).

Pure. Fields as the recordings of OTRF/Security-Datasets and Sysmon's own schema have them: pids are decimal, times have
milliseconds, guids are made of machine, time and number. It must never know why something happened.
"""

from __future__ import annotations

import struct
from datetime import datetime, timedelta
from ipaddress import ip_address
from uuid import UUID

from harness.events.windows import Level
from lab.host.happenings import Connection, LogonSession, Process
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
    account = process.logon.account
    return Entry(
        provider=SYSMON,
        event_id=1,
        version=5,
        level=Level.INFORMATION,
        task=1,
        opcode=0,
        keywords=_KEYWORDS,
        process_id=origin.sysmon_pid,
        user_sid=_SERVICE_USER,
        data={
            "RuleName": "-",
            "UtcTime": _utc(process.started),
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
            "User": f"{account.domain}\\{account.name}",
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


def connected(origin: Origin, connection: Connection, *, at: datetime, lag: timedelta) -> Entry:
    """3, a connection that a process accepted or opened. Sysmon reports connections in batches: `lag` after `at`."""
    owner = connection.owner
    account = owner.logon.account
    is_ipv6 = str(ip_address(connection.source_ip).version == 6).lower()
    return Entry(
        provider=SYSMON,
        event_id=3,
        version=5,
        level=Level.INFORMATION,
        task=3,
        opcode=0,
        keywords=_KEYWORDS,
        process_id=origin.sysmon_pid,
        user_sid=_SERVICE_USER,
        lag=lag,
        data={
            "RuleName": "-",
            "UtcTime": _utc(at),
            "ProcessGuid": f"{{{owner.guid}}}",
            "ProcessId": str(owner.pid),
            "Image": owner.path,
            "User": f"{account.domain}\\{account.name}",
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
    )


def _utc(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}.{moment.microsecond // 1000:03d}"
