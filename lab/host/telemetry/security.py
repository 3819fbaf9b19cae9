"""Security auditing: 4624, 4625, 4634, 4648, 4672 (logons), 4688, 4689 (processes), 5156 (a connection that the filtering platform let be).

Pure. Values follow recordings of PowerShell Remoting on Windows 10 1909 (OTRF/Security-Datasets, WORKSTATION6) and Microsoft's
audit event reference (https://learn.microsoft.com/windows/security/threat-protection/auditing/). It must never know why something
happened.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from ipaddress import ip_address

from harness.events.windows import Level
from lab.host.happenings import Connection, CredentialUse, LogonRefusal, LogonSession, Process
from lab.host.telemetry.audit_texts import audit_text
from lab.host.telemetry.journal import Entry, Provider
from lab.host.telemetry.origin import Origin
from lab.machine import Account, Package

AUDITING = Provider(channel="Security", name="Microsoft-Windows-Security-Auditing", guid="{54849625-5478-4994-A5BA-3E3B0328C30D}")

_AUDIT_SUCCESS = 0x8020000000000000
_AUDIT_FAILURE = 0x8010000000000000
_NOBODY = "S-1-0-0"
_NO_GUID = "{00000000-0000-0000-0000-000000000000}"
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
    logon = audited(
        4624,
        12544,
        origin.lsass_pid,
        {
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
            "LogonGuid": _logon_guid(session),
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
        version=2,
        activity_id=activity_id,
    )
    if not session.elevated:
        return (logon,)
    privileges = audited(
        4672,
        12548,
        origin.lsass_pid,
        {
            "SubjectUserSid": account.sid,
            "SubjectUserName": account.name,
            "SubjectDomainName": account.domain,
            "SubjectLogonId": hex(session.logon_id),
            "PrivilegeList": "\r\n\t\t\t".join(_SPECIAL_PRIVILEGES),
        },
        activity_id=activity_id,
    )
    return (privileges, logon)


def logon_refused(origin: Origin, refusal: LogonRefusal, activity_id: str) -> Entry:
    """4625. Status is STATUS_LOGON_FAILURE for both kinds; what was wrong, name or password, is in SubStatus [MS-ERREF 2.3.1]."""
    how = _AUTHENTICATION[refusal.package]
    return audited(
        4625,
        12544,
        origin.lsass_pid,
        {
            "SubjectUserSid": _NOBODY,
            "SubjectUserName": "-",
            "SubjectDomainName": "-",
            "SubjectLogonId": "0x0",
            "TargetUserSid": _NOBODY,
            "TargetUserName": refusal.claim.name,
            "TargetDomainName": refusal.claim.domain,
            "Status": "0xc000006d",
            "FailureReason": "%%2313",
            "SubStatus": "0xc000006a" if refusal.claim.known else "0xc0000064",
            "LogonType": "3",
            "LogonProcessName": how.process,
            "AuthenticationPackageName": how.package,
            "WorkstationName": "-",
            "TransmittedServices": "-",
            "LmPackageName": "-",
            "KeyLength": "0",
            "ProcessId": "0x0",
            "ProcessName": "-",
            "IpAddress": "-",
            "IpPort": "-",
        },
        activity_id=activity_id,
        keywords=_AUDIT_FAILURE,
    )


def logged_off(origin: Origin, session: LogonSession) -> Entry:
    """4634, the end of a logon session."""
    account = session.account
    return audited(
        4634,
        12545,
        origin.lsass_pid,
        {
            "TargetUserSid": account.sid,
            "TargetUserName": account.name,
            "TargetDomainName": account.domain,
            "TargetLogonId": hex(session.logon_id),
            "LogonType": str(session.logon_type),
        },
    )


def credentials_used(origin: Origin, use: CredentialUse, activity_id: str) -> Entry:
    """4648, on the host that reaches for another. What comes of it there is the other's to log."""
    subject = use.process.logon
    return audited(
        4648,
        12544,
        origin.lsass_pid,
        {
            "SubjectUserSid": subject.account.sid,
            "SubjectUserName": as_audited(origin, subject.account).name,
            "SubjectDomainName": as_audited(origin, subject.account).domain,
            "SubjectLogonId": hex(subject.logon_id),
            "LogonGuid": _logon_guid(subject),
            "TargetUserName": use.target.name,
            "TargetDomainName": origin.realm if use.guid is not None else use.target.domain,
            "TargetLogonGuid": _NO_GUID if use.guid is None else f"{{{use.guid}}}",
            "TargetServerName": use.server,
            "TargetInfo": f"HTTP/{use.server}",
            "ProcessId": hex(use.process.pid),
            "ProcessName": use.process.path,
            "IpAddress": "-",
            "IpPort": "-",
        },
        activity_id=activity_id,
    )


def process_started(origin: Origin, process: Process) -> Entry:
    """4688. The target subject is filled in only where the process got another logon than its creator has."""
    creator = process.parent or origin.system
    other = process.logon.logon_id != creator.logon.logon_id
    target = as_audited(origin, process.logon.account)
    return audited(
        4688,
        13312,
        origin.system.pid,
        {
            **subject_of(origin, creator.logon),
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
        version=2,
    )


def without_command_line(created: Entry) -> Entry:
    """4688 as it is logged where the policy does not include command lines."""
    data = {**created.data, "CommandLine": ""}
    return replace(created, data=data, message=audit_text(created.event_id, data))


def process_ended(origin: Origin, process: Process, exit_code: int) -> Entry:
    """4689, credited to the account that the process ran under."""
    subject = as_audited(origin, process.logon.account)
    return audited(
        4689,
        13313,
        origin.system.pid,
        {
            "SubjectUserSid": process.logon.account.sid,
            "SubjectUserName": subject.name,
            "SubjectDomainName": subject.domain,
            "SubjectLogonId": hex(process.logon.logon_id),
            "Status": hex(exit_code & 0xFFFFFFFF),
            "ProcessId": hex(process.pid),
            "ProcessName": process.path,
        },
    )


def connected(origin: Origin, connection: Connection) -> Entry:
    """5156 at layer ALE_AUTH_RECV_ACCEPT (44; 46 for IPv6) for what is let in, at ALE_AUTH_CONNECT (48; 50) for what is let out.

    Source is always this host's own end where it let the connection out, and the other's where it let it in.
    """
    owner = connection.owner
    layers = (50, 48) if connection.initiated else (46, 44)
    return audited(
        5156,
        12810,
        origin.system.pid,
        {
            "ProcessID": str(owner.pid),
            "Application": "System" if owner.pid == origin.system.pid else _device_path(owner.path),
            "Direction": "%%14593" if connection.initiated else "%%14592",
            "SourceAddress": connection.source_ip,
            "SourcePort": str(connection.source_port),
            "DestAddress": connection.destination_ip,
            "DestPort": str(connection.destination_port),
            "Protocol": "6",
            "FilterRTID": str(origin.filter_id),
            "LayerName": "%%14611" if connection.initiated else "%%14610",
            "LayerRTID": str(layers[0] if ip_address(connection.source_ip).version == 6 else layers[1]),
            "RemoteUserID": _NOBODY,
            "RemoteMachineID": _NOBODY,
        },
        version=1,
    )


def subject_of(origin: Origin, session: LogonSession) -> dict[str, str]:
    """Who did it, as the four values with which most records begin."""
    account = as_audited(origin, session.account)
    return {
        "SubjectUserSid": session.account.sid,
        "SubjectUserName": account.name,
        "SubjectDomainName": account.domain,
        "SubjectLogonId": hex(session.logon_id),
    }


def audited(
    event_id: int,
    task: int,
    process_id: int,
    data: Mapping[str, str],
    *,
    version: int = 0,
    activity_id: str | None = None,
    keywords: int = _AUDIT_SUCCESS,
) -> Entry:
    """What all records of audits share."""
    return Entry(
        provider=AUDITING,
        event_id=event_id,
        version=version,
        level=Level.LOG_ALWAYS,
        task=task,
        opcode=0,
        keywords=keywords,
        process_id=process_id,
        activity_id=activity_id,
        data=data,
        message=audit_text(event_id, data),
    )


def _logon_guid(session: LogonSession) -> str:
    return f"{{{session.guid}}}" if session.package is Package.KERBEROS else _NO_GUID


def _device_path(path: str) -> str:
    # The filtering platform knows programs by their volume's device, in lower case.
    return path.lower().replace("c:", "\\device\\harddiskvolume2", 1)


def as_audited(origin: Origin, account: Account) -> Account:
    # Auditing names SYSTEM and NETWORK SERVICE by the account that they are on the network.
    return origin.machine_account if account.sid in (_SYSTEM, _NETWORK_SERVICE) else account
