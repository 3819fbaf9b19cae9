"""Users and groups of the emulated host: the local SAM, with the accounts that every Windows 10 has. Nothing here logs anybody on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum, auto

from lab.machine import Account

SYSTEM = Account(domain="NT AUTHORITY", name="SYSTEM", sid="S-1-5-18")
MAX_ENTRIES = 500
"""Users, and groups, that the SAM takes."""
NAME_LIMIT = 20
"""Characters of a user's name: SAM's own limit."""


class AccountFault(Exception):
    """A change that the SAM refuses. `name` is the user's, group's or member's."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


class UserNotFound(AccountFault):
    """There is no such user (NERR_UserNotFound, 2221)."""


class UserExists(AccountFault):
    """There is such a user already (NERR_UserExists, 2224)."""


class GroupNotFound(AccountFault):
    """There is no such group (ERROR_NO_SUCH_ALIAS, 1376)."""


class GroupExists(AccountFault):
    """There is such a group already (ERROR_ALIAS_EXISTS, 1379)."""


class MemberNotFound(AccountFault):
    """No account has the name of the member (ERROR_NO_SUCH_MEMBER, 1387)."""


class NotAMember(AccountFault):
    """The account is no member of the group (ERROR_MEMBER_NOT_IN_ALIAS, 1377)."""


class AlreadyMember(AccountFault):
    """The account is a member of the group (ERROR_MEMBER_IN_ALIAS, 1378)."""


class NameRefused(AccountFault):
    """The name is too long or has a character that no account's name may have."""


class BuiltIn(AccountFault):
    """The account came with the system and stays."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalUser:
    """An account of the local SAM. `password_set` None: no password was ever set."""

    name: str
    sid: str
    enabled: bool
    description: str
    full_name: str = ""
    password_set: datetime | None = None
    password_required: bool = True
    password_expires: bool = True
    may_change_password: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalGroup:
    """A group of the local SAM. `members` are (name as DOMAIN\\name, sid, object class User or Group)."""

    name: str
    sid: str
    description: str
    members: tuple[tuple[str, str, str], ...] = ()


class Act(Enum):
    """What is done to a user or a group; the last two to a group's members."""

    CREATED = auto()
    CHANGED = auto()
    PASSWORD_SET = auto()
    DELETED = auto()
    MEMBER_ADDED = auto()
    MEMBER_REMOVED = auto()


Told = Callable[[Act, LocalUser | LocalGroup, LocalUser | LocalGroup | None, str], None]
"""What is done, the user or group after it, as it was before where that matters, and the SID of the member that it is about."""


class Sam:
    """The users and groups of one machine. `trusted` are the accounts of its domain that may be named. Safe to use from several threads.

    `on_changed` is told of every change.
    """

    def __init__(self, machine: str, machine_sid: str, trusted: Sequence[Account], now: Callable[[], datetime]) -> None:
        self._machine = machine
        self._sid = machine_sid
        self._trusted = tuple(trusted)
        self._now = now
        self._lock = threading.RLock()
        self._next = 1001
        self.on_changed: Told = lambda act, entry, before, member: None
        self._users = {one.name.lower(): one for one in built_in_users(machine_sid)}
        self._groups = {one.name.lower(): one for one in built_in_groups(machine, machine_sid, trusted)}

    @property
    def users(self) -> tuple[LocalUser, ...]:
        """Every user in the order of names."""
        with self._lock:
            return tuple(self._users[name] for name in sorted(self._users))

    @property
    def groups(self) -> tuple[LocalGroup, ...]:
        """Every group in the order of names."""
        with self._lock:
            return tuple(self._groups[name] for name in sorted(self._groups))

    def user(self, name: str) -> LocalUser:
        """A user by name or SID. Raises `UserNotFound`."""
        low = name.lower().removeprefix(f"{self._machine.lower()}\\").removeprefix(".\\")
        with self._lock:
            held = self._users.get(low) or next((one for one in self._users.values() if one.sid.lower() == low), None)
        if held is None:
            raise UserNotFound(name)
        return held

    def group(self, name: str) -> LocalGroup:
        """A group by name or SID. Raises `GroupNotFound`."""
        low = name.lower().removeprefix("builtin\\").removeprefix(f"{self._machine.lower()}\\")
        with self._lock:
            held = self._groups.get(low) or next((one for one in self._groups.values() if one.sid.lower() == low), None)
        if held is None:
            raise GroupNotFound(name)
        return held

    def add_user(self, name: str, *, description: str = "", full_name: str = "", password: bool = True, enabled: bool = True) -> LocalUser:
        """Make a user; `password` whether one was given: what it is stays with whoever gave it. Raises `UserExists`, `NameRefused`."""
        with self._lock:
            self._check_name(name, NAME_LIMIT)
            if name.lower() in self._users or name.lower() in self._groups:
                raise UserExists(name)
            user = LocalUser(
                name=name,
                sid=self._new_sid(),
                enabled=enabled,
                description=description,
                full_name=full_name,
                password_set=self._now() if password else None,
                password_required=password,
            )
            self._users[name.lower()] = user
            self.on_changed(Act.CREATED, user, None, "")
            return user

    def change_user(
        self,
        name: str,
        *,
        enabled: bool | None = None,
        description: str | None = None,
        full_name: str | None = None,
        password: bool = False,
    ) -> LocalUser:
        """Change what is given of a user. Raises `UserNotFound`."""
        with self._lock:
            old = self.user(name)
            new = replace(
                old,
                enabled=old.enabled if enabled is None else enabled,
                description=old.description if description is None else description,
                full_name=old.full_name if full_name is None else full_name,
                password_set=self._now() if password else old.password_set,
            )
            self._users[old.name.lower()] = new
            if password:
                self.on_changed(Act.PASSWORD_SET, new, old, "")
            self.on_changed(Act.CHANGED, new, old, "")
            return new

    def remove_user(self, name: str) -> LocalUser:
        """Take a user away, from its groups, too. Raises `UserNotFound`, `BuiltIn`."""
        with self._lock:
            user = self.user(name)
            if int(user.sid.rpartition("-")[2]) < 1000:
                raise BuiltIn(user.name)
            del self._users[user.name.lower()]
            for low, group in self._groups.items():
                kept = tuple(one for one in group.members if one[1] != user.sid)
                if kept != group.members:
                    left = self._groups[low] = replace(group, members=kept)
                    self.on_changed(Act.MEMBER_REMOVED, left, group, user.sid)
            self.on_changed(Act.DELETED, user, user, "")
            return user

    def add_group(self, name: str, *, description: str = "") -> LocalGroup:
        """Make a group. Raises `GroupExists`, `NameRefused`."""
        with self._lock:
            self._check_name(name, 256)
            if name.lower() in self._groups or name.lower() in self._users:
                raise GroupExists(name)
            group = LocalGroup(name=name, sid=self._new_sid(), description=description)
            self._groups[name.lower()] = group
            self.on_changed(Act.CREATED, group, None, "")
            return group

    def remove_group(self, name: str) -> LocalGroup:
        """Take a group away. Raises `GroupNotFound`, `BuiltIn`."""
        with self._lock:
            group = self.group(name)
            if group.sid.startswith("S-1-5-32-"):
                raise BuiltIn(group.name)
            del self._groups[group.name.lower()]
            self.on_changed(Act.DELETED, group, group, "")
            return group

    def principal(self, name: str) -> tuple[str, str, str]:
        """An account as a group's member: a local user, or one of the domain's accounts, by name or SID. Raises `MemberNotFound`."""
        low = name.lower()
        for account in self._trusted:
            full = f"{account.domain}\\{account.name}"
            if low in (full.lower(), account.name.lower(), account.sid.lower()):
                return full, account.sid, "User"
        try:
            user = self.user(name)
        except UserNotFound:
            raise MemberNotFound(name) from None
        return f"{self._machine}\\{user.name}", user.sid, "User"

    def add_member(self, group: str, member: str) -> tuple[LocalGroup, tuple[str, str, str]]:
        """Put an account into a group. Raises `GroupNotFound`, `MemberNotFound`, `AlreadyMember`."""
        with self._lock:
            held, one = self.group(group), self.principal(member)
            if any(sid == one[1] for _, sid, _ in held.members):
                raise AlreadyMember(member)
            joined = self._groups[held.name.lower()] = replace(held, members=(*held.members, one))
            self.on_changed(Act.MEMBER_ADDED, joined, held, one[1])
            return held, one

    def remove_member(self, group: str, member: str) -> tuple[LocalGroup, tuple[str, str, str]]:
        """Take an account out of a group. Raises `GroupNotFound`, `MemberNotFound`, `NotAMember`."""
        with self._lock:
            held, one = self.group(group), self.principal(member)
            if all(sid != one[1] for _, sid, _ in held.members):
                raise NotAMember(member)
            left = self._groups[held.name.lower()] = replace(held, members=tuple(kept for kept in held.members if kept[1] != one[1]))
            self.on_changed(Act.MEMBER_REMOVED, left, held, one[1])
            return held, one

    def _check_name(self, name: str, limit: int) -> None:
        full = len(self._users) >= MAX_ENTRIES or len(self._groups) >= MAX_ENTRIES
        if full or not name.strip(" .") or len(name) > limit or any(char in name for char in '"/\\[]:;|=,+*?<>@'):
            raise NameRefused(name)

    def _new_sid(self) -> str:
        self._next += 1
        return f"{self._sid}-{self._next - 1}"


def built_in_users(machine_sid: str) -> tuple[LocalUser, ...]:
    """The accounts that every Windows 10 has, by well-known relative id."""

    def user(name: str, rid: int, description: str, *, required: bool = True, expires: bool = False) -> LocalUser:
        return LocalUser(
            name=name,
            sid=f"{machine_sid}-{rid}",
            enabled=False,
            description=description,
            password_required=required,
            password_expires=expires,
        )

    return (
        user("Administrator", 500, "Built-in account for administering the computer/domain"),
        user("DefaultAccount", 503, "A user account managed by the system.", required=False),
        user("Guest", 501, "Built-in account for guest access to the computer/domain", required=False),
        user(
            "WDAGUtilityAccount",
            504,
            "A user account managed and used by the system for Windows Defender Application Guard scenarios.",
            expires=True,
        ),
    )


# Name, relative id, description.
_GROUPS = (
    (
        "Access Control Assistance Operators",
        579,
        "Members of this group can remotely query authorization attributes and permissions for resources on this computer.",
    ),
    ("Backup Operators", 551, "Backup Operators can override security restrictions for the sole purpose of backing up or restoring files"),
    ("Cryptographic Operators", 569, "Members are authorized to perform cryptographic operations."),
    ("Device Owners", 583, "Members of this group can change system-wide settings."),
    ("Distributed COM Users", 562, "Members are allowed to launch, activate and use Distributed COM objects on this machine."),
    ("Event Log Readers", 573, "Members of this group can read event logs from local machine"),
    ("Hyper-V Administrators", 578, "Members of this group have complete and unrestricted access to all features of Hyper-V."),
    ("IIS_IUSRS", 568, "Built-in group used by Internet Information Services."),
    (
        "Network Configuration Operators",
        556,
        "Members in this group can have some administrative privileges to manage configuration of networking features",
    ),
    (
        "Performance Log Users",
        559,
        "Members of this group may schedule logging of performance counters, enable trace providers, and collect event traces both locally "
        "and via remote access to this computer",
    ),
    ("Performance Monitor Users", 558, "Members of this group can access performance counter data locally and remotely"),
    ("Power Users", 547, "Power Users are included for backwards compatibility and possess limited administrative powers"),
    ("Remote Desktop Users", 555, "Members in this group are granted the right to logon remotely"),
    (
        "Remote Management Users",
        580,
        "Members of this group can access WMI resources over management protocols (such as WS-Management via the Windows Remote Management "
        "service). This applies only to WMI namespaces that grant access to the user.",
    ),
    ("Replicator", 552, "Supports file replication in a domain"),
    ("System Managed Accounts Group", 581, "Members of this group are managed by the system."),
)


def built_in_groups(machine: str, machine_sid: str, administrators: Sequence[Account]) -> tuple[LocalGroup, ...]:
    """The groups that every Windows 10 has, with the accounts that administer the host."""
    admins: tuple[tuple[str, str, str], ...] = ((f"{machine}\\Administrator", f"{machine_sid}-500", "User"),)
    admins += tuple((f"{account.domain}\\{account.name}", account.sid, "User") for account in administrators)
    guest = ((f"{machine}\\Guest", f"{machine_sid}-501", "User"),)
    managed = ((f"{machine}\\DefaultAccount", f"{machine_sid}-503", "User"),)
    everyone = (
        ("NT AUTHORITY\\Authenticated Users", "S-1-5-11", "Group"),
        ("NT AUTHORITY\\INTERACTIVE", "S-1-5-4", "Group"),
    )

    def group(name: str, rid: int, description: str, members: tuple[tuple[str, str, str], ...] = ()) -> LocalGroup:
        return LocalGroup(name=name, sid=f"S-1-5-32-{rid}", description=description, members=members)

    with_members = {"System Managed Accounts Group": managed, "IIS_IUSRS": (("NT AUTHORITY\\IUSR", "S-1-5-17", "Group"),)}
    return (
        group("Administrators", 544, "Administrators have complete and unrestricted access to the computer/domain", admins),
        *(group(name, rid, text, with_members.get(name, ())) for name, rid, text in _GROUPS),
        group(
            "Guests",
            546,
            "Guests have the same access as members of the Users group by default, except for the Guest account which is further "
            "restricted",
            guest,
        ),
        group(
            "Users",
            545,
            "Users are prevented from making accidental or intentional system-wide changes and can run most applications",
            everyone,
        ),
    )
