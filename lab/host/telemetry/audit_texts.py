"""The text of an audit record: its values under their headings, as the publisher's message lays them out, tabs included.

What Windows explains below them, in paragraphs that are the same for every record of a kind, is left out. A table; it must never know why
something happened.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_SUBJECT = (
    ("Security ID:\t\t", "SubjectUserSid"),
    ("Account Name:\t\t", "SubjectUserName"),
    ("Account Domain:\t\t", "SubjectDomainName"),
    ("Logon ID:\t\t", "SubjectLogonId"),
)

_TARGET = (
    ("Security ID:\t\t", "TargetSid"),
    ("Account Name:\t\t", "TargetUserName"),
    ("Account Domain:\t\t", "TargetDomainName"),
)
_ATTRIBUTES = (
    ("SAM Account Name:\t", "SamAccountName"),
    ("Display Name:\t\t", "DisplayName"),
    ("User Principal Name:\t", "UserPrincipalName"),
    ("Home Directory:\t\t", "HomeDirectory"),
    ("Home Drive:\t\t", "HomePath"),
    ("Script Path:\t\t", "ScriptPath"),
    ("Profile Path:\t\t", "ProfilePath"),
    ("User Workstations:\t", "UserWorkstations"),
    ("Password Last Set:\t", "PasswordLastSet"),
    ("Account Expires:\t\t", "AccountExpires"),
    ("Primary Group ID:\t", "PrimaryGroupId"),
    ("AllowedToDelegateTo:\t", "AllowedToDelegateTo"),
    ("Old UAC Value:\t\t", "OldUacValue"),
    ("New UAC Value:\t\t", "NewUacValue"),
    ("User Account Control:\t", "UserAccountControl"),
    ("User Parameters:\t", "UserParameters"),
    ("SID History:\t\t", "SidHistory"),
    ("Logon Hours:\t\t", "LogonHours"),
)
_GROUP = (
    ("Security ID:\t\t", "TargetSid"),
    ("Group Name:\t\t", "TargetUserName"),
    ("Group Domain:\t\t", "TargetDomainName"),
)
_MEMBER = (("Security ID:\t\t", "MemberSid"), ("Account Name:\t\t", "MemberName"))
_PRIVILEGES = ("Additional Information:", (("Privileges:\t\t", "PrivilegeList"),))
_LOGON_NETWORK = (
    "Network Information:",
    (("Workstation Name:\t", "WorkstationName"), ("Source Network Address:\t", "IpAddress"), ("Source Port:\t\t", "IpPort")),
)
_LOGON_DETAIL = (
    "Detailed Authentication Information:",
    (
        ("Logon Process:\t\t", "LogonProcessName"),
        ("Authentication Package:\t", "AuthenticationPackageName"),
        ("Transited Services:\t", "TransmittedServices"),
        ("Package Name (NTLM only):\t", "LmPackageName"),
        ("Key Length:\t\t", "KeyLength"),
    ),
)
_PROCESS = ("Process Information:", (("Caller Process ID:\t", "ProcessId"), ("Caller Process Name:\t", "ProcessName")))

Line = tuple[str, str]
Part = tuple[str, tuple[Line, ...]]
"""A heading, or a line of its own, and the lines below it: a label with its tabs, and the field behind it."""

_TEXTS: Mapping[int, tuple[str, tuple[Part, ...]]] = {
    4624: (
        "An account was successfully logged on.",
        (
            ("Subject:", _SUBJECT),
            (
                "Logon Information:",
                (
                    ("Logon Type:\t\t", "LogonType"),
                    ("Restricted Admin Mode:\t", "RestrictedAdminMode"),
                    ("Virtual Account:\t\t", "VirtualAccount"),
                    ("Elevated Token:\t\t", "ElevatedToken"),
                ),
            ),
            ("Impersonation Level:\t\t{ImpersonationLevel}", ()),
            (
                "New Logon:",
                (
                    ("Security ID:\t\t", "TargetUserSid"),
                    ("Account Name:\t\t", "TargetUserName"),
                    ("Account Domain:\t\t", "TargetDomainName"),
                    ("Logon ID:\t\t", "TargetLogonId"),
                    ("Linked Logon ID:\t\t", "TargetLinkedLogonId"),
                    ("Network Account Name:\t", "TargetOutboundUserName"),
                    ("Network Account Domain:\t", "TargetOutboundDomainName"),
                    ("Logon GUID:\t\t", "LogonGuid"),
                ),
            ),
            ("Process Information:", (("Process ID:\t\t", "ProcessId"), ("Process Name:\t\t", "ProcessName"))),
            _LOGON_NETWORK,
            _LOGON_DETAIL,
        ),
    ),
    4625: (
        "An account failed to log on.",
        (
            ("Subject:", _SUBJECT),
            ("Logon Type:\t\t\t{LogonType}", ()),
            (
                "Account For Which Logon Failed:",
                (
                    ("Security ID:\t\t", "TargetUserSid"),
                    ("Account Name:\t\t", "TargetUserName"),
                    ("Account Domain:\t\t", "TargetDomainName"),
                ),
            ),
            (
                "Failure Information:",
                (("Failure Reason:\t\t", "FailureReason"), ("Status:\t\t\t", "Status"), ("Sub Status:\t\t", "SubStatus")),
            ),
            _PROCESS,
            _LOGON_NETWORK,
            _LOGON_DETAIL,
        ),
    ),
    4634: (
        "An account was logged off.",
        (
            (
                "Subject:",
                (
                    ("Security ID:\t\t", "TargetUserSid"),
                    ("Account Name:\t\t", "TargetUserName"),
                    ("Account Domain:\t\t", "TargetDomainName"),
                    ("Logon ID:\t\t", "TargetLogonId"),
                ),
            ),
            ("Logon Type:\t\t\t{LogonType}", ()),
        ),
    ),
    4648: (
        "A logon was attempted using explicit credentials.",
        (
            ("Subject:", (*_SUBJECT, ("Logon GUID:\t\t", "LogonGuid"))),
            (
                "Account Whose Credentials Were Used:",
                (
                    ("Account Name:\t\t", "TargetUserName"),
                    ("Account Domain:\t\t", "TargetDomainName"),
                    ("Logon GUID:\t\t", "TargetLogonGuid"),
                ),
            ),
            ("Target Server:", (("Target Server Name:\t", "TargetServerName"), ("Additional Information:\t", "TargetInfo"))),
            ("Process Information:", (("Process ID:\t\t", "ProcessId"), ("Process Name:\t\t", "ProcessName"))),
            ("Network Information:", (("Network Address:\t", "IpAddress"), ("Port:\t\t\t", "IpPort"))),
        ),
    ),
    4672: ("Special privileges assigned to new logon.", (("Subject:", _SUBJECT), ("Privileges:\t\t{PrivilegeList}", ()))),
    4688: (
        "A new process has been created.",
        (
            ("Creator Subject:", _SUBJECT),
            (
                "Target Subject:",
                (
                    ("Security ID:\t\t", "TargetUserSid"),
                    ("Account Name:\t\t", "TargetUserName"),
                    ("Account Domain:\t\t", "TargetDomainName"),
                    ("Logon ID:\t\t", "TargetLogonId"),
                ),
            ),
            (
                "Process Information:",
                (
                    ("New Process ID:\t\t", "NewProcessId"),
                    ("New Process Name:\t", "NewProcessName"),
                    ("Token Elevation Type:\t", "TokenElevationType"),
                    ("Mandatory Label:\t\t", "MandatoryLabel"),
                    ("Creator Process ID:\t", "ProcessId"),
                    ("Creator Process Name:\t", "ParentProcessName"),
                    ("Process Command Line:\t", "CommandLine"),
                ),
            ),
        ),
    ),
    4689: (
        "A process has exited.",
        (
            ("Subject:", _SUBJECT),
            ("Process Information:", (("Process ID:\t", "ProcessId"), ("Process Name:\t", "ProcessName"), ("Exit Status:\t", "Status"))),
        ),
    ),
    4697: (
        "A service was installed in the system.",
        (
            ("Subject:", _SUBJECT),
            (
                "Service Information:",
                (
                    ("Service Name: \t\t", "ServiceName"),
                    ("Service File Name:\t", "ServiceFileName"),
                    ("Service Type: \t\t", "ServiceType"),
                    ("Service Start Type:\t", "ServiceStartType"),
                    ("Service Account: \t\t", "ServiceAccount"),
                ),
            ),
        ),
    ),
    4720: (
        "A user account was created.",
        (
            ("Subject:", _SUBJECT),
            ("New Account:", _TARGET),
            ("Attributes:", _ATTRIBUTES),
            ("Additional Information:", (("Privileges\t\t", "PrivilegeList"),)),
        ),
    ),
    4722: ("A user account was enabled.", (("Subject:", _SUBJECT), ("Target Account:", _TARGET))),
    4724: ("An attempt was made to reset an account's password.", (("Subject:", _SUBJECT), ("Target Account:", _TARGET))),
    4725: ("A user account was disabled.", (("Subject:", _SUBJECT), ("Target Account:", _TARGET))),
    4726: (
        "A user account was deleted.",
        (("Subject:", _SUBJECT), ("Target Account:", _TARGET), ("Additional Information:", (("Privileges\t", "PrivilegeList"),))),
    ),
    4728: (
        "A member was added to a security-enabled global group.",
        (("Subject:", _SUBJECT), ("Member:", _MEMBER), ("Group:", _GROUP), _PRIVILEGES),
    ),
    4729: (
        "A member was removed from a security-enabled global group.",
        (("Subject:", _SUBJECT), ("Member:", _MEMBER), ("Group:", _GROUP), _PRIVILEGES),
    ),
    4731: (
        "A security-enabled local group was created.",
        (
            ("Subject:", _SUBJECT),
            ("New Group:", _GROUP),
            ("Attributes:", (("SAM Account Name:\t", "SamAccountName"), ("SID History:\t\t", "SidHistory"))),
            _PRIVILEGES,
        ),
    ),
    4732: (
        "A member was added to a security-enabled local group.",
        (("Subject:", _SUBJECT), ("Member:", _MEMBER), ("Group:", _GROUP), _PRIVILEGES),
    ),
    4733: (
        "A member was removed from a security-enabled local group.",
        (("Subject:", _SUBJECT), ("Member:", _MEMBER), ("Group:", _GROUP), _PRIVILEGES),
    ),
    4734: ("A security-enabled local group was deleted.", (("Subject:", _SUBJECT), ("Group:", _GROUP), _PRIVILEGES)),
    4738: (
        "A user account was changed.",
        (("Subject:", _SUBJECT), ("Target Account:", _TARGET), ("Changed Attributes:", _ATTRIBUTES), _PRIVILEGES),
    ),
    5156: (
        "The Windows Filtering Platform has permitted a connection.",
        (
            ("Application Information:", (("Process ID:\t\t", "ProcessID"), ("Application Name:\t", "Application"))),
            (
                "Network Information:",
                (
                    ("Direction:\t\t", "Direction"),
                    ("Source Address:\t\t", "SourceAddress"),
                    ("Source Port:\t\t", "SourcePort"),
                    ("Destination Address:\t", "DestAddress"),
                    ("Destination Port:\t\t", "DestPort"),
                    ("Protocol:\t\t", "Protocol"),
                ),
            ),
            (
                "Filter Information:",
                (("Filter Run-Time ID:\t", "FilterRTID"), ("Layer Name:\t\t", "LayerName"), ("Layer Run-Time ID:\t", "LayerRTID")),
            ),
        ),
    ),
}

_CODES: Mapping[str, str] = {
    "%%1793": "<value not set>",
    "%%1794": "<never>",
    "%%1797": "All",
    "%%2313": "Unknown user name or bad password.",
    "%%1833": "Impersonation",
    "%%1842": "Yes",
    "%%1843": "No",
    "%%14592": "Inbound",
    "%%14593": "Outbound",
    "%%14610": "Receive/Accept",
    "%%14611": "Connect",
}
"""What the publisher's message table has for the codes; TokenElevationType's stay codes, as recorded."""


_CONTROL: Mapping[str, str] = {
    "%%2048": "Account Enabled",
    "%%2050": "'Password Not Required' - Disabled",
    "%%2057": "'Don't Expire Password' - Disabled",
    "%%2080": "Account Disabled",
    "%%2082": "'Password Not Required' - Enabled",
    "%%2084": "'Normal Account' - Enabled",
    "%%2089": "'Don't Expire Password' - Enabled",
}
"""The same for the bits of a user account's control, of which a record names several at once."""


def audit_text(event_id: int, data: Mapping[str, str]) -> str:
    """The text of a record with these values; empty for a kind of which the layout is not known."""
    if event_id not in _TEXTS:
        return ""
    title, parts = _TEXTS[event_id]
    shown = {name: _shown(name, value) for name, value in data.items()}
    said = [title]
    for heading, lines in parts:
        # Braces stand in the headings of this table alone, never in a value: values are put in last.
        own = heading.format_map(shown)
        said.append("\r\n".join((own, *(f"\t{label}{shown[name]}" for label, name in lines))))
    return "\r\n\r\n".join(said)


def _shown(name: str, value: str) -> str:
    if name.endswith("LogonId"):
        return f"0x{value[2:].upper()}"
    if name == "UserAccountControl":
        return re.sub("%%([0-9]+)", lambda found: _CONTROL.get(found[0], found[0]), value)
    return _CODES.get(value, value)
