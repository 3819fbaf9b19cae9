"""Security auditing of the local SAM: users (4720, 4722, 4724, 4725, 4726, 4738) and groups (4728 and 4729, 4731 to 4734).

Pure. Fields and values follow Microsoft's audit event reference and published events of local accounts; the bits of a user
account's control and their texts are SAM's ([MS-SAMR] 2.2.1.12). It must never know which program or cmdlet asked.
"""

from __future__ import annotations

from datetime import datetime

from lab.host.accounts import Act, LocalGroup, LocalUser
from lab.host.happenings import AccountChange, LogonSession
from lab.host.telemetry.journal import Entry
from lab.host.telemetry.origin import Origin
from lab.host.telemetry.security import audited, subject_of

_USERS, _GROUPS = 13824, 13826

_NOT_SET, _NEVER, _ALL = "%%1793", "%%1794", "%%1797"
_DISABLED, _NO_PASSWORD, _NORMAL, _LASTING_PASSWORD = 0x1, 0x4, 0x10, 0x200
_NEW = _DISABLED | _NO_PASSWORD | _NORMAL
"""How SAM makes every user; what was asked for is set after that."""
_SET, _CLEARED = 2080, 2048
"""The messages that a bit was set, or cleared: the bit's place is added."""
_DOMAIN_USERS = "513"


def changed(origin: Origin, change: AccountChange) -> tuple[Entry, ...]:
    """The records of one change, in Windows' order."""
    entry, before = change.entry, change.before
    match change.act:
        case Act.CREATED if isinstance(entry, LocalUser):
            return _user_created(origin, change.logon, entry)
        case Act.CHANGED if isinstance(entry, LocalUser) and isinstance(before, LocalUser):
            return _user_changed(origin, change.logon, entry, before)
        case Act.PASSWORD_SET if isinstance(entry, LocalUser):
            return (_about_user(origin, 4724, change.logon, entry),)
        case Act.DELETED if isinstance(entry, LocalUser):
            gone = _about_user(origin, 4726, change.logon, entry, PrivilegeList="-")
            return (_nobodys_group(origin, 4729, change.logon, entry), gone)
        case Act.CREATED if isinstance(entry, LocalGroup):
            more = {"PrivilegeList": "-", "SamAccountName": entry.name, "SidHistory": "-"}
            return (_about_group(origin, 4731, change.logon, entry, **more),)
        case Act.DELETED if isinstance(entry, LocalGroup):
            return (_about_group(origin, 4734, change.logon, entry, PrivilegeList="-"),)
        case Act.MEMBER_ADDED if isinstance(entry, LocalGroup):
            return (_membership(origin, 4732, change.logon, change.member, _of_group(origin, entry)),)
        case Act.MEMBER_REMOVED if isinstance(entry, LocalGroup):
            return (_membership(origin, 4733, change.logon, change.member, _of_group(origin, entry)),)
    return ()


def _user_created(origin: Origin, logon: LogonSession, user: LocalUser) -> tuple[Entry, ...]:
    made = [
        _nobodys_group(origin, 4728, logon, user),
        audited(
            4720,
            _USERS,
            origin.lsass_pid,
            {**_of_user(origin, user), **subject_of(origin, logon), "PrivilegeList": "-", **_attributes(user, None, 0, _NEW)},
        ),
    ]
    if user.enabled:
        made.append(_about_user(origin, 4722, logon, user))
    if user.password_set is not None:
        made.append(_about_user(origin, 4724, logon, user))
    made.append(_user_now(origin, logon, user, _NEW))
    return tuple(made)


def _user_changed(origin: Origin, logon: LogonSession, user: LocalUser, before: LocalUser) -> tuple[Entry, ...]:
    told = []
    if user.enabled != before.enabled:
        told.append(_about_user(origin, 4722 if user.enabled else 4725, logon, user))
    return (*told, _user_now(origin, logon, user, _control(before)))


def _user_now(origin: Origin, logon: LogonSession, user: LocalUser, before: int) -> Entry:
    """4738: every attribute as it is after the change."""
    attributes = _attributes(user, user.password_set, before, _control(user))
    return audited(
        4738,
        _USERS,
        origin.lsass_pid,
        {"Dummy": "-", **_of_user(origin, user), **subject_of(origin, logon), "PrivilegeList": "-", **attributes},
    )


def _attributes(user: LocalUser, password_set: datetime | None, old: int, new: int) -> dict[str, str]:
    return {
        "SamAccountName": user.name,
        "DisplayName": user.full_name or _NOT_SET,
        "UserPrincipalName": "-",
        "HomeDirectory": _NOT_SET,
        "HomePath": _NOT_SET,
        "ScriptPath": _NOT_SET,
        "ProfilePath": _NOT_SET,
        "UserWorkstations": _NOT_SET,
        "PasswordLastSet": _NEVER if password_set is None else _local(password_set),
        "AccountExpires": _NEVER,
        "PrimaryGroupId": _DOMAIN_USERS,
        "AllowedToDelegateTo": "-",
        "OldUacValue": hex(old),
        "NewUacValue": hex(new),
        "UserAccountControl": _difference(old, new),
        "UserParameters": _NOT_SET,
        "SidHistory": "-",
        "LogonHours": _ALL,
    }


def _control(user: LocalUser) -> int:
    return (
        _NORMAL
        | (0 if user.enabled else _DISABLED)
        | (0 if user.password_required else _NO_PASSWORD)
        | (0 if user.password_expires else _LASTING_PASSWORD)
    )


def _difference(old: int, new: int) -> str:
    told = [
        f"\r\n\t\t%%{(_SET if new >> place & 1 else _CLEARED) + place}"
        for place in range((old | new).bit_length())
        if (old ^ new) >> place & 1
    ]
    return "".join(told) or "-"


def _local(moment: datetime) -> str:
    """A moment as an American Windows writes it; the lab's hosts are in UTC."""
    return f"{moment.month}/{moment.day}/{moment.year} {moment.hour % 12 or 12}:{moment:%M:%S %p}"


def _of_user(origin: Origin, user: LocalUser) -> dict[str, str]:
    return {"TargetUserName": user.name, "TargetDomainName": origin.computer.partition(".")[0], "TargetSid": user.sid}


def _of_group(origin: Origin, group: LocalGroup) -> dict[str, str]:
    domain = "Builtin" if group.sid.startswith("S-1-5-32-") else origin.computer.partition(".")[0]
    return {"TargetUserName": group.name, "TargetDomainName": domain, "TargetSid": group.sid}


def _about_user(origin: Origin, event_id: int, logon: LogonSession, user: LocalUser, **more: str) -> Entry:
    return audited(event_id, _USERS, origin.lsass_pid, {**_of_user(origin, user), **subject_of(origin, logon), **more})


def _about_group(origin: Origin, event_id: int, logon: LogonSession, group: LocalGroup, **more: str) -> Entry:
    return audited(event_id, _GROUPS, origin.lsass_pid, {**_of_group(origin, group), **subject_of(origin, logon), **more})


def _membership(origin: Origin, event_id: int, logon: LogonSession, member: str, group: dict[str, str]) -> Entry:
    data = {"MemberName": "-", "MemberSid": member, **group, **subject_of(origin, logon), "PrivilegeList": "-"}
    return audited(event_id, _GROUPS, origin.lsass_pid, data)


def _nobodys_group(origin: Origin, event_id: int, logon: LogonSession, user: LocalUser) -> Entry:
    """Every local user is in the global group "None" of its machine, which is its primary one."""
    sid = f"{user.sid.rpartition('-')[0]}-{_DOMAIN_USERS}"
    group = {"TargetUserName": "None", "TargetDomainName": origin.computer.partition(".")[0], "TargetSid": sid}
    return _membership(origin, event_id, logon, user.sid, group)
