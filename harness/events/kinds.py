"""What is publicly known of kinds of Windows events: who logs them, under which title, with which fields.

A table of constants; what it does not list is unknown, not absent. It must never know a rule.

Sources: the Sysmon manual (https://learn.microsoft.com/sysinternals/downloads/sysmon) and its schema (`sysmon -s`), Microsoft's
appendix of security events to monitor, and the manifests of the PowerShell providers. Titles are those under which the events are known.
"""

from __future__ import annotations

SYSMON = "Microsoft-Windows-Sysmon/Operational"
_SECURITY = "Security"
_SYSTEM = "System"
_POWERSHELL = "Microsoft-Windows-PowerShell/Operational"
_POWERSHELL_CORE = "PowerShellCore/Operational"
_POWERSHELL_CLASSIC = "Windows PowerShell"

_PROVIDERS = {
    SYSMON: "Sysmon",
    _SECURITY: "Security auditing",
    _SYSTEM: "System",
    "Application": "Application",
    _POWERSHELL: "PowerShell",
    _POWERSHELL_CORE: "PowerShell Core",
    _POWERSHELL_CLASSIC: "Windows PowerShell (classic)",
    "Microsoft-Windows-WinRM/Operational": "WinRM",
    "Microsoft-Windows-WMI-Activity/Operational": "WMI activity",
    "Microsoft-Windows-TaskScheduler/Operational": "Task Scheduler",
    "Microsoft-Windows-Windows Defender/Operational": "Defender",
    "Microsoft-Windows-Bits-Client/Operational": "BITS client",
}

_TITLES: dict[str, dict[int, str]] = {
    SYSMON: {
        1: "Process creation",
        2: "A process changed a file creation time",
        3: "Network connection",
        4: "Sysmon service state changed",
        5: "Process terminated",
        6: "Driver loaded",
        7: "Image loaded",
        8: "CreateRemoteThread",
        9: "RawAccessRead",
        10: "ProcessAccess",
        11: "FileCreate",
        12: "RegistryEvent (object create and delete)",
        13: "RegistryEvent (value set)",
        14: "RegistryEvent (key and value rename)",
        15: "FileCreateStreamHash",
        16: "Sysmon configuration change",
        17: "PipeEvent (pipe created)",
        18: "PipeEvent (pipe connected)",
        19: "WmiEvent (filter activity)",
        20: "WmiEvent (consumer activity)",
        21: "WmiEvent (consumer to filter activity)",
        22: "DNSEvent (DNS query)",
        23: "FileDelete (archived)",
        24: "ClipboardChange",
        25: "ProcessTampering",
        26: "FileDeleteDetected",
        27: "FileBlockExecutable",
        28: "FileBlockShredding",
        29: "FileExecutableDetected",
        255: "Error",
    },
    _SECURITY: {
        1102: "The audit log was cleared",
        4616: "The system time was changed",
        4624: "An account was successfully logged on",
        4625: "An account failed to log on",
        4634: "An account was logged off",
        4647: "User initiated logoff",
        4648: "A logon was attempted using explicit credentials",
        4656: "A handle to an object was requested",
        4657: "A registry value was modified",
        4660: "An object was deleted",
        4661: "A handle to an object was requested (SAM)",
        4662: "An operation was performed on an object",
        4663: "An attempt was made to access an object",
        4672: "Special privileges assigned to new logon",
        4673: "A privileged service was called",
        4688: "A new process has been created",
        4689: "A process has exited",
        4697: "A service was installed in the system",
        4698: "A scheduled task was created",
        4699: "A scheduled task was deleted",
        4702: "A scheduled task was updated",
        4719: "System audit policy was changed",
        4720: "A user account was created",
        4722: "A user account was enabled",
        4724: "An attempt was made to reset an account's password",
        4725: "A user account was disabled",
        4726: "A user account was deleted",
        4728: "A member was added to a security-enabled global group",
        4729: "A member was removed from a security-enabled global group",
        4731: "A security-enabled local group was created",
        4732: "A member was added to a security-enabled local group",
        4733: "A member was removed from a security-enabled local group",
        4734: "A security-enabled local group was deleted",
        4738: "A user account was changed",
        4740: "A user account was locked out",
        4768: "A Kerberos authentication ticket (TGT) was requested",
        4769: "A Kerberos service ticket was requested",
        4771: "Kerberos pre-authentication failed",
        4776: "The computer attempted to validate the credentials for an account",
        4799: "A security-enabled local group membership was enumerated",
        4898: "Certificate Services loaded a template",
        4899: "A Certificate Services template was updated",
        5136: "A directory service object was modified",
        5140: "A network share object was accessed",
        5145: "A network share object was checked for access",
        5156: "The Windows Filtering Platform has permitted a connection",
        5157: "The Windows Filtering Platform has blocked a connection",
        5158: "The Windows Filtering Platform has permitted a bind to a local port",
        5379: "Credential Manager credentials were read",
        5447: "A Windows Filtering Platform filter has been changed",
    },
    _SYSTEM: {
        104: "The event log was cleared",
        7023: "A service ended with an error",
        7036: "A service changed its state",
        7040: "A service's start type was changed",
        7045: "A service was installed",
    },
    _POWERSHELL: {
        4100: "Error of an executed command",
        4103: "Module logging: a pipeline was executed",
        4104: "Script block logging: a script block was compiled",
        4105: "A script block started",
        4106: "A script block ended",
    },
    _POWERSHELL_CLASSIC: {
        400: "The engine's state changed to Available",
        403: "The engine's state changed to Stopped",
        500: "A command started",
        501: "A command stopped",
        600: "A provider started",
        800: "Pipeline execution details",
    },
}
_TITLES[_POWERSHELL_CORE] = _TITLES[_POWERSHELL]

_COMMON_SYSMON = "RuleName UtcTime ProcessGuid ProcessId Image User"
_SYSMON_FIELDS = {
    1: "FileVersion Description Product Company OriginalFileName CommandLine CurrentDirectory LogonGuid LogonId TerminalSessionId"
    " IntegrityLevel Hashes ParentProcessGuid ParentProcessId ParentImage ParentCommandLine ParentUser",
    2: "TargetFilename CreationUtcTime PreviousCreationUtcTime",
    3: "Protocol Initiated SourceIsIpv6 SourceIp SourceHostname SourcePort SourcePortName DestinationIsIpv6 DestinationIp"
    " DestinationHostname DestinationPort DestinationPortName",
    5: "",
    6: "ImageLoaded Hashes Signed Signature SignatureStatus",
    7: "ImageLoaded FileVersion Description Product Company OriginalFileName Hashes Signed Signature SignatureStatus",
    8: "SourceProcessGuid SourceProcessId SourceImage TargetProcessGuid TargetProcessId TargetImage NewThreadId StartAddress StartModule"
    " StartFunction SourceUser TargetUser",
    9: "Device",
    10: "SourceProcessGUID SourceProcessId SourceThreadId SourceImage TargetProcessGUID TargetProcessId TargetImage GrantedAccess CallTrace"
    " SourceUser TargetUser",
    11: "TargetFilename CreationUtcTime",
    12: "EventType TargetObject",
    13: "EventType TargetObject Details",
    14: "EventType TargetObject NewName",
    15: "TargetFilename CreationUtcTime Hash Contents",
    17: "EventType PipeName",
    18: "EventType PipeName",
    19: "EventType Operation EventNamespace Name Query",
    20: "EventType Operation Name Type Destination",
    21: "EventType Operation Consumer Filter",
    22: "QueryName QueryStatus QueryResults",
    23: "TargetFilename Hashes IsExecutable Archived",
    24: "Session ClientInfo Hashes Archived",
    25: "Type",
    26: "TargetFilename Hashes IsExecutable",
    27: "TargetFilename Hashes",
    28: "TargetFilename Hashes IsExecutable",
    29: "TargetFilename Hashes",
}
_SECURITY_FIELDS = {
    4688: "SubjectUserSid SubjectUserName SubjectDomainName SubjectLogonId NewProcessId NewProcessName TokenElevationType ProcessId"
    " CommandLine TargetUserSid TargetUserName TargetDomainName TargetLogonId ParentProcessName MandatoryLabel",
    5156: "ProcessID Application Direction SourceAddress SourcePort DestAddress DestPort Protocol InterfaceIndex FilterOrigin FilterRTID"
    " LayerName LayerRTID RemoteUserID RemoteMachineID OriginalProfile CurrentProfile IsLoopback HasRemoteDynamicKeywordAddress",
}
_POWERSHELL_FIELDS = {
    4103: "ContextInfo UserData Payload",
    4104: "MessageNumber MessageTotal ScriptBlockText ScriptBlockId Path",
}
_SYSTEM_FIELDS = (  # of every event's System part, as the flat view names them, and NXLog's names for the same
    "channel eventid provider_name computer computername hostname message data level keywords task opcode version execution_process_id"
    " eventrecordid timecreated userid securityid category source eventlog"
)


def _keyed() -> dict[tuple[str, int], frozenset[str]]:
    schemas = {(SYSMON, number): f"{_COMMON_SYSMON} {names}" for number, names in _SYSMON_FIELDS.items()}
    schemas |= {(_SECURITY, number): names for number, names in _SECURITY_FIELDS.items()}
    schemas |= {(log, number): names for log in (_POWERSHELL, _POWERSHELL_CORE) for number, names in _POWERSHELL_FIELDS.items()}
    return {(log.lower(), number): frozenset(f"{_SYSTEM_FIELDS} {names}".lower().split()) for (log, number), names in schemas.items()}


_FIELDS = _keyed()
_BY_LOG = {log.lower(): log for log in _PROVIDERS}


def channel_name(channel: str) -> str:
    """The channel as Windows writes it, where it is known; else as it was given."""
    return _BY_LOG.get(channel.lower(), channel)


def provider_of(channel: str) -> str:
    """Who logs to this channel, in people's words; the channel itself where it is not known."""
    return _PROVIDERS.get(channel_name(channel), channel)


def title_of(channel: str, event_id: int) -> str:
    """The title under which a kind of event is known; empty where it is not."""
    return _TITLES.get(channel_name(channel), {}).get(event_id, "")


def fields_of(channel: str, event_id: int) -> frozenset[str] | None:
    """Every field that such an event can have, by its key in the flat view; None where that is not known."""
    return _FIELDS.get((channel.lower(), event_id))
