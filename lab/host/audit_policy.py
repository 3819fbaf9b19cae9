"""The audit policy of the emulated host: every subcategory that Windows 10 has, by the names and GUIDs of [MS-GPAC] 2.2.1.2.1."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

_SUBCATEGORIES: Mapping[str, tuple[tuple[int, str], ...]] = {
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
# What a Windows 10 audits as it comes: 1 success, 2 failure, 3 both.
_USUAL: Mapping[int, int] = {
    **dict.fromkeys((0x12, 0x14, 0x43), 3),
    **dict.fromkeys((0x10, 0x15, 0x16, 0x17, 0x1B, 0x2F, 0x30, 0x35, 0x37), 1),
}
INCLUSION = ("No Auditing", "Success", "Failure", "Success and Failure")
"""The words of a value, as auditpol writes them in English."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subcategory:
    """One line of the policy. `value`: 0 nothing, 1 success, 2 failure, 3 both."""

    category: str
    name: str
    guid: str
    value: int


class AuditPolicy:
    """The policy of one host: as Windows comes, with what was `made` besides: values by GUID in upper case."""

    def __init__(self, made: Mapping[str, int]) -> None:
        self._made = made

    def __iter__(self) -> Iterator[Subcategory]:
        for category, rows in _SUBCATEGORIES.items():
            for byte, name in rows:
                guid = f"{{0CCE92{byte:02X}-69AE-11D9-BED3-505054503030}}"
                yield Subcategory(category=category, name=name, guid=guid, value=self._made.get(guid, _USUAL.get(byte, 0)))

    def of(self, wanted: Iterable[str]) -> list[Subcategory]:
        """The lines of categories or subcategories, by names or GUIDs in whatever case, or of all for `*`."""
        asked = {one.strip().strip('"').lower() for one in wanted}
        return [one for one in self if "*" in asked or asked & {one.category.lower(), one.name.lower(), one.guid.lower()}]
