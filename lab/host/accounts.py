"""Users and groups of the emulated host. Values and the built-in ones; nothing here logs anybody on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lab.machine import Account

SYSTEM = Account(domain="NT AUTHORITY", name="SYSTEM", sid="S-1-5-18")


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalUser:
    """An account of the local SAM."""

    name: str
    sid: str
    enabled: bool
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalGroup:
    """A group of the local SAM. `members` are (name as DOMAIN\\name, sid, object class User or Group)."""

    name: str
    sid: str
    description: str
    members: tuple[tuple[str, str, str], ...] = ()


def built_in_users(machine_sid: str) -> tuple[LocalUser, ...]:
    """The accounts that every Windows 10 has, by well-known relative id."""

    def user(name: str, rid: int, enabled: bool, description: str) -> LocalUser:
        return LocalUser(name=name, sid=f"{machine_sid}-{rid}", enabled=enabled, description=description)

    return (
        user("Administrator", 500, False, "Built-in account for administering the computer/domain"),
        user("DefaultAccount", 503, False, "A user account managed by the system."),
        user("Guest", 501, False, "Built-in account for guest access to the computer/domain"),
        user("WDAGUtilityAccount", 504, False, "A user account managed and used by the system for Windows Defender Application Guard."),
    )


def built_in_groups(machine: str, machine_sid: str, administrators: Sequence[Account]) -> tuple[LocalGroup, ...]:
    """The groups that matter to remoting, with the accounts that administer the host."""
    admins: tuple[tuple[str, str, str], ...] = ((f"{machine}\\Administrator", f"{machine_sid}-500", "User"),)
    admins += tuple((f"{account.domain}\\{account.name}", account.sid, "User") for account in administrators)
    guest = ((f"{machine}\\Guest", f"{machine_sid}-501", "User"),)
    everyone = (
        ("NT AUTHORITY\\Authenticated Users", "S-1-5-11", "Group"),
        ("NT AUTHORITY\\INTERACTIVE", "S-1-5-4", "Group"),
    )

    def group(name: str, rid: int, description: str, members: tuple[tuple[str, str, str], ...] = ()) -> LocalGroup:
        return LocalGroup(name=name, sid=f"S-1-5-32-{rid}", description=description, members=members)

    return (
        group("Administrators", 544, "Administrators have complete and unrestricted access to the computer/domain", admins),
        group("Backup Operators", 551, "Backup Operators can override security restrictions to back up or restore files"),
        group("Event Log Readers", 573, "Members of this group can read event logs from local machine"),
        group("Guests", 546, "Guests have the same access as members of the Users group by default", guest),
        group("Performance Log Users", 559, "Members of this group may schedule logging of performance counters"),
        group("Remote Desktop Users", 555, "Members in this group are granted the right to logon remotely"),
        group("Remote Management Users", 580, "Members of this group can access WMI resources over management protocols"),
        group("Users", 545, "Users are prevented from making accidental or intentional system-wide changes", everyone),
    )
