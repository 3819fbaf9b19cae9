"""Security auditing: 4624 and 4672 (logon), 4688 (process creation), 5156 (a connection let in by the filtering platform).

Pure. Values follow recordings of PowerShell Remoting on Windows 10 1909 (OTRF/Security-Datasets, WORKSTATION6) and Microsoft's
audit event reference (https://learn.microsoft.com/windows/security/threat-protection/auditing/). It must never know why something
happened.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address

from harness.events.windows import Level
from lab.host.happenings import LogonSession, Process
from lab.host.telemetry.journal import Entry, Provider
from lab.host.telemetry.origin import Origin
from lab.machine import Account, Package

AUDITING = Provider(channel="Security", name="Microsoft-Windows-Security-Auditing", guid="{54849625-5478-4994-A5BA-3E3B0328C30D}")

_AUDIT_SUCCESS = 0x8020000000000000
_NOBODY = "S-1-0-0"
_SYSTEM = "S-1-5-18"
_NETWORK_SERVICE = "S-1-5-20"
_YES, _NO = "%%1842", "%%1843"

# What an administrator's full token holds of the privileges that 4672 reports.
_SPECIAL_PRIVILEGES = (
    "SeSecurityPrivilege",
    "SeBackupPrivilege",
    "SeRestorePrivilege",
    "SeTakeOwnershipPrivilege",
    "SeDebugPrivilege",
    "SeSystemEnvironmentPrivilege",
    "SeLoadDriverPrivilege",
    "SeImpersonatePrivilege",
    "SeDelegateSessionUserImpersonatePrivilege",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Authentication:
    """The "detailed authentication information" of 4624 for one package. Windows pads some process names with blanks."""

    process: str
    package: str
    lm_package: str = "-"
    key_length: int = 0


_AUTHENTICATION: Mapping[Package, _Authentication] = {
    Package.KERBEROS: _Authentication(process="Kerberos", package="Kerberos"),
    Package.NTLM: _Authentication(process="NtLmSsp ", package="NTLM", lm_package="NTLM V2", key_length=128),
    Package.NEGOTIATE: _Authentication(process="Negotiat", package="Negotiate"),
    Package.BASIC: _Authentication(process="Advapi  ", package="Negotiate"),
}


def integrity_sid(session: LogonSession) -> str:
    """The mandatory label that a process of this session gets: system, high or medium [MS-DTYP 2.4.2.4]."""
    if session.account.sid == _SYSTEM:
        return "S-1-16-16384"
    return "S-1-16-12288" if session.elevated else "S-1-16-8192"


def logged_on(origin: Origin, session: LogonSession, activity_id: str) -> tuple[Entry, ...]:
    """4624 for a logon session, after 4672 where its token is an administrator's.

    http.sys hands LSA no peer, so that a WinRM logon shows neither address nor port nor workstation, as recorded. Kerberos names
    the domain by its realm and has a logon GUID; NTLM has none.
    """
    account = session.account
    how = _AUTHENTICATION[session.package]
    kerberos = session.package is Package.KERBEROS
    logon = Entry(
        provider=AUDITING,
        event_id=4624,
        version=2,
        level=Level.LOG_ALWAYS,
        task=12544,
        opcode=0,
        keywords=_AUDIT_SUCCESS,
        process_id=origin.lsass_pid,
        activity_id=activity_id,
        data={
            "SubjectUserSid": _NOBODY,
            "SubjectUserName": "-",
            "SubjectDomainName": "-",
            "SubjectLogonId": "0x0",
            "TargetUserSid": account.sid,
            "TargetUserName": account.name,
            "TargetDomainName": origin.realm if kerberos else account.domain,
            "TargetLogonId": hex(session.logon_id),
            "LogonType": str(session.logon_type),
            "LogonProcessName": how.process,
            "AuthenticationPackageName": how.package,
            "WorkstationName": "-",
            "LogonGuid": f"{{{session.guid}}}" if kerberos else "{00000000-0000-0000-0000-000000000000}",
            "TransmittedServices": "-",
            "LmPackageName": how.lm_package,
            "KeyLength": str(how.key_length),
            "ProcessId": "0x0",
            "ProcessName": "-",
            "IpAddress": "-",
            "IpPort": "-",
            "ImpersonationLevel": "%%1833",
            "RestrictedAdminMode": "-",
            "TargetOutboundUserName": "-",
            "TargetOutboundDomainName": "-",
            "VirtualAccount": _NO,
            "TargetLinkedLogonId": "0x0",
            "ElevatedToken": _YES if session.elevated else _NO,
        },
    )
    if not session.elevated:
        return (logon,)
    privileges = Entry(
        provider=AUDITING,
        event_id=4672,
        version=0,
        level=Level.LOG_ALWAYS,
        task=12548,
        opcode=0,
        keywords=_AUDIT_SUCCESS,
        process_id=origin.lsass_pid,
        activity_id=activity_id,
        data={
            "SubjectUserSid": account.sid,
            "SubjectUserName": account.name,
            "SubjectDomainName": account.domain,
            "SubjectLogonId": hex(session.logon_id),
            "PrivilegeList": "\r\n\t\t\t".join(_SPECIAL_PRIVILEGES),
        },
    )
    return (privileges, logon)


def process_started(origin: Origin, process: Process) -> Entry:
    """4688. The target subject is filled in only where the process got another logon than its creator has."""
    creator = process.parent or origin.system
    subject = _as_audited(origin, creator.logon.account)
    other = process.logon.logon_id != creator.logon.logon_id
    target = _as_audited(origin, process.logon.account)
    return Entry(
        provider=AUDITING,
        event_id=4688,
        version=2,
        level=Level.LOG_ALWAYS,
        task=13312,
        opcode=0,
        keywords=_AUDIT_SUCCESS,
        process_id=origin.system.pid,
        data={
            "SubjectUserSid": creator.logon.account.sid,
            "SubjectUserName": subject.name,
            "SubjectDomainName": subject.domain,
            "SubjectLogonId": hex(creator.logon.logon_id),
            "NewProcessId": hex(process.pid),
            "NewProcessName": process.path,
            "TokenElevationType": "%%1936",
            "ProcessId": hex(creator.pid),
            "CommandLine": process.command_line,
            "TargetUserSid": _NOBODY,
            "TargetUserName": target.name if other else "-",
            "TargetDomainName": target.domain if other else "-",
            "TargetLogonId": hex(process.logon.logon_id) if other else "0x0",
            "ParentProcessName": creator.path,
            "MandatoryLabel": integrity_sid(process.logon),
        },
    )


def connection_accepted(origin: Origin, *, source_ip: str, source_port: int, destination_ip: str, destination_port: int) -> Entry:
    """5156, inbound at layer ALE_AUTH_RECV_ACCEPT (44, or 46 for IPv6), credited to the kernel as http.sys listens there."""
    return Entry(
        provider=AUDITING,
        event_id=5156,
        version=1,
        level=Level.LOG_ALWAYS,
        task=12810,
        opcode=0,
        keywords=_AUDIT_SUCCESS,
        process_id=origin.system.pid,
        data={
            "ProcessID": str(origin.system.pid),
            "Application": "System",
            "Direction": "%%14592",
            "SourceAddress": source_ip,
            "SourcePort": str(source_port),
            "DestAddress": destination_ip,
            "DestPort": str(destination_port),
            "Protocol": "6",
            "FilterRTID": str(origin.filter_id),
            "LayerName": "%%14610",
            "LayerRTID": "46" if ip_address(source_ip).version == 6 else "44",
            "RemoteUserID": _NOBODY,
            "RemoteMachineID": _NOBODY,
        },
    )


def _as_audited(origin: Origin, account: Account) -> Account:
    # Auditing names SYSTEM and NETWORK SERVICE by the account that they are on the network.
    return origin.machine_account if account.sid in (_SYSTEM, _NETWORK_SERVICE) else account
