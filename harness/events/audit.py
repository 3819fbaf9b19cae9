"""What must be switched on before Windows, or Sysmon, logs an event of a kind: the sensor, log, policy or audit subcategory behind it.

One table for everybody: it explains rules, switches the lab's hosts, and says what a real host has to be asked for and set to.

Sources: Microsoft's pages "Advanced security audit policy settings", one a subcategory, which name its events; [MS-GPAC] 2.2.1.2 for the
subcategories' GUIDs; Sysmon's manual (the filtering tag of each event id); about_Logging_Windows and the policies' ADMX files
(PowerShellExecutionPolicy, AuditSettings) for the registry. This file must not know what a rule asks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from harness.events.ecs import POWERSHELL, POWERSHELL_CLASSIC, POWERSHELL_CORE, SECURITY, SYSMON

WINRM = "microsoft-windows-winrm/operational"


class Editor(StrEnum):
    """Where a setting is made."""

    SENSOR = "sensor"  # a program that is installed
    SYSMON = "sysmon"  # a rule of Sysmon's configuration
    AUDIT = "audit"  # a subcategory of the audit policy
    REGISTRY = "registry"  # a policy that stands in the registry
    LOG = "log"  # an event log that is enabled


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryValue:
    """A value below HKEY_LOCAL_MACHINE; `data` is a DWORD where it is a number."""

    key: str
    name: str
    data: int | str


@dataclass(frozen=True, slots=True, kw_only=True)
class HostSetting:
    """A setting of a host that events depend on. `name` is how it is called in files, `title` what its own editor calls it.

    `guid` is an audit subcategory's, `values` are a policy's in the registry, `log` is the event log that is to be enabled.
    """

    name: str
    editor: Editor
    title: str
    guid: str = ""
    values: tuple[RegistryValue, ...] = ()
    log: str = ""


SYSMON_TAGS: Mapping[int, str] = {
    1: "ProcessCreate",
    2: "FileCreateTime",
    3: "NetworkConnect",
    5: "ProcessTerminate",
    6: "DriverLoad",
    7: "ImageLoad",
    8: "CreateRemoteThread",
    9: "RawAccessRead",
    10: "ProcessAccess",
    11: "FileCreate",
    15: "FileCreateStreamHash",
    22: "DnsQuery",
    23: "FileDelete",
    24: "ClipboardChange",
    25: "ProcessTampering",
    26: "FileDeleteDetected",
    27: "FileBlockExecutable",
    28: "FileBlockShredding",
    29: "FileExecutableDetected",
    **dict.fromkeys((12, 13, 14), "RegistryEvent"),
    **dict.fromkeys((17, 18), "PipeEvent"),
    **dict.fromkeys((19, 20, 21), "WmiEvent"),
}

_SUBCATEGORIES: Mapping[int, str] = {
    4688: "Process Creation",
    4689: "Process Termination",
    4657: "Registry",
    4661: "SAM",
    4662: "Directory Service Access",
    4673: "Sensitive Privilege Use",
    4697: "Security System Extension",
    4719: "Audit Policy Change",
    4768: "Kerberos Authentication Service",
    4769: "Kerberos Service Ticket Operations",
    4770: "Kerberos Service Ticket Operations",
    4771: "Kerberos Authentication Service",
    4776: "Credential Validation",
    5136: "Directory Service Changes",
    5140: "File Share",
    5145: "Detailed File Share",
    5447: "Other Policy Change Events",
    4616: "Security State Change",
    4672: "Special Logon",
    **dict.fromkeys((4624, 4625, 4648), "Logon"),
    **dict.fromkeys((4634, 4647), "Logoff"),
    **dict.fromkeys((4698, 4699, 4700, 4701, 4702), "Other Object Access Events"),
    **dict.fromkeys((4720, 4722, 4723, 4724, 4725, 4726, 4738, 4740, 4781, 5379), "User Account Management"),
    **dict.fromkeys((4727, 4728, 4729, 4730, 4731, 4732, 4733, 4734, 4735, 4756, 4757, 4799), "Security Group Management"),
    **dict.fromkeys((4741, 4742, 4743), "Computer Account Management"),
    **dict.fromkeys((4898, 4899), "Certification Services"),
    **dict.fromkeys((5156, 5157, 5158, 5159), "Filtering Platform Connection"),
}
"""Events that one subcategory alone brings about; 4656, 4660 and 4663 come from several."""

_MORE: Mapping[int, str] = {
    4657: "and an audit entry (SACL) on the key",
    4662: "and an audit entry (SACL) on the object",
    5136: "and an audit entry (SACL) on the object",
    4688: 'and, for command lines, "Include command line in process creation events"',
}


AUDIT_CATEGORIES: Mapping[str, tuple[tuple[int, str], ...]] = {
    "System": (
        (0x12, "System Integrity"),
        (0x11, "Security System Extension"),
        (0x10, "Security State Change"),
        (0x13, "IPsec Driver"),
        (0x14, "Other System Events"),
    ),
    "Logon/Logoff": (
        (0x15, "Logon"),
        (0x16, "Logoff"),
        (0x17, "Account Lockout"),
        (0x18, "IPsec Main Mode"),
        (0x19, "IPsec Quick Mode"),
        (0x1A, "IPsec Extended Mode"),
        (0x1B, "Special Logon"),
        (0x1C, "Other Logon/Logoff Events"),
        (0x43, "Network Policy Server"),
        (0x47, "User / Device Claims"),
        (0x49, "Group Membership"),
    ),
    "Object Access": (
        (0x1D, "File System"),
        (0x1E, "Registry"),
        (0x1F, "Kernel Object"),
        (0x20, "SAM"),
        (0x21, "Certification Services"),
        (0x22, "Application Generated"),
        (0x23, "Handle Manipulation"),
        (0x24, "File Share"),
        (0x25, "Filtering Platform Packet Drop"),
        (0x26, "Filtering Platform Connection"),
        (0x27, "Other Object Access Events"),
        (0x44, "Detailed File Share"),
        (0x45, "Removable Storage"),
        (0x46, "Central Policy Staging"),
    ),
    "Privilege Use": (
        (0x29, "Non Sensitive Privilege Use"),
        (0x2A, "Other Privilege Use Events"),
        (0x28, "Sensitive Privilege Use"),
    ),
    "Detailed Tracking": (
        (0x2B, "Process Creation"),
        (0x2C, "Process Termination"),
        (0x2D, "DPAPI Activity"),
        (0x2E, "RPC Events"),
        (0x48, "Plug and Play Events"),
        (0x4A, "Token Right Adjusted Events"),
    ),
    "Policy Change": (
        (0x2F, "Audit Policy Change"),
        (0x30, "Authentication Policy Change"),
        (0x31, "Authorization Policy Change"),
        (0x32, "MPSSVC Rule-Level Policy Change"),
        (0x33, "Filtering Platform Policy Change"),
        (0x34, "Other Policy Change Events"),
    ),
    "Account Management": (
        (0x36, "Computer Account Management"),
        (0x37, "Security Group Management"),
        (0x38, "Distribution Group Management"),
        (0x39, "Application Group Management"),
        (0x3A, "Other Account Management Events"),
        (0x35, "User Account Management"),
    ),
    "DS Access": (
        (0x3B, "Directory Service Access"),
        (0x3C, "Directory Service Changes"),
        (0x3D, "Directory Service Replication"),
        (0x3E, "Detailed Directory Service Replication"),
    ),
    "Account Logon": (
        (0x40, "Kerberos Service Ticket Operations"),
        (0x41, "Other Account Logon Events"),
        (0x42, "Kerberos Authentication Service"),
        (0x3F, "Credential Validation"),
    ),
}
"""Every category of the audit policy with its subcategories as auditpol orders them: the byte in which their GUIDs differ, and the name."""


def subcategory_guid(byte: int) -> str:
    """The GUID of a subcategory [MS-GPAC 2.2.1.2.1], in braces and upper case."""
    return f"{{0CCE92{byte:02X}-69AE-11D9-BED3-505054503030}}"


_POLICIES = "SOFTWARE\\Policies\\Microsoft\\Windows\\PowerShell"

SYSMON_SENSOR = HostSetting(name="sysmon", editor=Editor.SENSOR, title="Sysmon", log="Microsoft-Windows-Sysmon/Operational")
MODULE_LOGGING = HostSetting(
    name="module-logging",
    editor=Editor.REGISTRY,
    title="PowerShell Module Logging",
    values=(
        RegistryValue(key=f"{_POLICIES}\\ModuleLogging", name="EnableModuleLogging", data=1),
        RegistryValue(key=f"{_POLICIES}\\ModuleLogging\\ModuleNames", name="*", data="*"),
    ),
)
SCRIPT_BLOCK_LOGGING = HostSetting(
    name="script-block-logging",
    editor=Editor.REGISTRY,
    title="PowerShell Script Block Logging",
    values=(RegistryValue(key=f"{_POLICIES}\\ScriptBlockLogging", name="EnableScriptBlockLogging", data=1),),
)
_INVOCATION_LOGGING = HostSetting(
    name="script-block-invocation-logging",
    editor=Editor.REGISTRY,
    title="PowerShell Script Block Logging with invocations",
    values=(RegistryValue(key=f"{_POLICIES}\\ScriptBlockLogging", name="EnableScriptBlockInvocationLogging", data=1),),
)
COMMAND_LINES = HostSetting(
    name="process-creation-command-line",
    editor=Editor.REGISTRY,
    title="Include command line in process creation events",
    values=(
        RegistryValue(
            key="SOFTWARE\\Microsoft\\Windows\\CurrentVersion\\Policies\\System\\Audit",
            name="ProcessCreationIncludeCmdLine_Enabled",
            data=1,
        ),
    ),
)
"""Without it 4688 is logged, and its CommandLine is empty."""

_LOGS: Mapping[str, HostSetting] = {
    log.lower(): HostSetting(name=name, editor=Editor.LOG, title=f"the log {log}", log=log)
    for name, log in (
        ("winrm-log", "Microsoft-Windows-WinRM/Operational"),
        ("powershell-log", "Microsoft-Windows-PowerShell/Operational"),
        ("windows-powershell-log", "Windows PowerShell"),
    )
}
"""Logs that are enabled as Windows comes, and that somebody may have disabled."""

_AUDITED: Mapping[str, HostSetting] = {
    title: HostSetting(name=title.lower().replace(" ", "-"), editor=Editor.AUDIT, title=title, guid=subcategory_guid(byte))
    for byte, title in sorted(row for rows in AUDIT_CATEGORIES.values() for row in rows)
    if title in _SUBCATEGORIES.values()
}
_TRACED: Mapping[str, HostSetting] = {
    tag: HostSetting(name=f"sysmon-{tag.lower()}", editor=Editor.SYSMON, title=tag) for tag in dict.fromkeys(SYSMON_TAGS.values())
}

_POWERSHELL_POLICIES: Mapping[int, HostSetting] = {
    4103: MODULE_LOGGING,
    4104: SCRIPT_BLOCK_LOGGING,
    4105: _INVOCATION_LOGGING,
    4106: _INVOCATION_LOGGING,
}

SETTINGS: Mapping[str, HostSetting] = {
    setting.name: setting
    for setting in (
        SYSMON_SENSOR,
        *_TRACED.values(),
        *_AUDITED.values(),
        COMMAND_LINES,
        MODULE_LOGGING,
        SCRIPT_BLOCK_LOGGING,
        _INVOCATION_LOGGING,
        *_LOGS.values(),
    )
}
"""Every setting that the table knows, by its name."""


def settings_behind(channel: str, event_id: int) -> tuple[HostSetting, ...]:
    """Every setting without which no such event is logged; none where none is needed, or known."""
    log = channel.lower()
    always = (_LOGS[log],) if log in _LOGS else ()
    match log:
        case one if one == SYSMON:
            tag = SYSMON_TAGS.get(event_id)
            return (SYSMON_SENSOR, _TRACED[tag]) if tag else (SYSMON_SENSOR,)
        case one if one == SECURITY:
            name = _SUBCATEGORIES.get(event_id)
            return (_AUDITED[name],) if name else ()
        case one if one in (POWERSHELL, POWERSHELL_CORE):
            policy = _POWERSHELL_POLICIES.get(event_id)
            return (*always, policy) if policy else always
        case one if one == POWERSHELL_CLASSIC and event_id == 800:
            return (*always, MODULE_LOGGING)
        case _:
            return always


def events_behind(setting: HostSetting) -> tuple[tuple[str, int], ...]:
    """The kinds of event that are not logged without this setting, of those that the table knows one by one; channels in lower case."""
    known = (
        *((SYSMON, number) for number in SYSMON_TAGS),
        *((SECURITY, number) for number in _SUBCATEGORIES),
        *((POWERSHELL, number) for number in _POWERSHELL_POLICIES),
        (POWERSHELL_CLASSIC, 800),
    )
    return tuple(sorted(kind for kind in known if setting in settings_behind(*kind)))


def setting_behind(channel: str, event_id: int) -> str:
    """The setting without which no such event is logged, in the words of its own editor; empty where none has to be made, or is known."""
    if channel.lower() == SECURITY and event_id in (4656, 4660, 4663):
        return 'audit policy of "Object Access" for the kind of object, and an audit entry (SACL) on it'
    said = {
        Editor.SYSMON: "Sysmon with a rule for {}",
        Editor.AUDIT: 'audit policy "Audit {}"',
        Editor.REGISTRY: "{}",
    }
    made = [said[one.editor].format(one.title) for one in settings_behind(channel, event_id) if one.editor in said]
    more = _MORE.get(event_id) if made and channel.lower() == SECURITY else None
    return " ".join((*made, *([more] if more else [])))
