"""The audit policy of the emulated host: what it has set of every subcategory that Windows 10 knows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from harness.events.audit import AUDIT_CATEGORIES, subcategory_guid

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
        for category, rows in AUDIT_CATEGORIES.items():
            for byte, name in rows:
                guid = subcategory_guid(byte)
                yield Subcategory(category=category, name=name, guid=guid, value=self._made.get(guid, _USUAL.get(byte, 0)))

    def of(self, wanted: Iterable[str]) -> list[Subcategory]:
        """The lines of categories or subcategories, by names or GUIDs in whatever case, or of all for `*`."""
        asked = {one.strip().strip('"').lower() for one in wanted}
        return [one for one in self if "*" in asked or asked & {one.category.lower(), one.name.lower(), one.guid.lower()}]
