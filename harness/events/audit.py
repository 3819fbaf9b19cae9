"""What must be switched on before Windows, or Sysmon, logs an event of a kind: the sensor or audit setting behind it.

Sources: Microsoft's pages "Advanced security audit policy settings", one a subcategory, which name its events; Sysmon's manual (the
filtering tag of each event id); about_Logging_Windows for PowerShell. This file must not know what a rule asks.
"""

from __future__ import annotations

from collections.abc import Mapping

from harness.events.ecs import POWERSHELL, POWERSHELL_CLASSIC, POWERSHELL_CORE, SECURITY, SYSMON

_SYSMON_TAGS: Mapping[int, str] = {
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
    **dict.fromkeys((4727, 4728, 4729, 4730, 4731, 4732, 4733, 4735, 4756, 4757, 4799), "Security Group Management"),
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


def setting_behind(channel: str, event_id: int) -> str:
    """The setting without which no such event is logged, in the words of its own editor; empty where none is needed, or known."""
    match channel.lower():
        case log if log == SYSMON:
            tag = _SYSMON_TAGS.get(event_id)
            return f"Sysmon with a rule for {tag}" if tag else ""
        case log if log == SECURITY:
            if event_id in (4656, 4660, 4663):
                return 'audit policy of "Object Access" for the kind of object, and an audit entry (SACL) on it'
            name = _SUBCATEGORIES.get(event_id)
            return " ".join(filter(None, (f'audit policy "Audit {name}"', _MORE.get(event_id)))) if name else ""
        case log if log in (POWERSHELL, POWERSHELL_CORE):
            return {
                4103: "PowerShell Module Logging",
                4104: "PowerShell Script Block Logging",
                4105: "PowerShell Script Block Logging with invocations",
                4106: "PowerShell Script Block Logging with invocations",
            }.get(event_id, "")
        case log if log == POWERSHELL_CLASSIC:
            return "PowerShell Module Logging" if event_id == 800 else ""
        case _:
            return ""
