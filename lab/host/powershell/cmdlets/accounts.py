"""Cmdlets about local users and groups [Microsoft.PowerShell.LocalAccounts]. What they change is the host's SAM."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from lab.host import accounts as sam
from lab.host.accounts import LocalGroup, LocalUser
from lab.host.powershell.commands import Call, Kind, Param, absent, at, cmdlet, named, switch
from lab.host.powershell.errors import refuse
from lab.host.powershell.values import as_list, like, to_text
from lab.machine import ErrorRecord, PSObject

_MODULE = "Microsoft.PowerShell.LocalAccounts"
_NAMESPACE = "Microsoft.PowerShell.Commands"


def _record(message: str, kind: str, error_id: str, category: str, target: str) -> ErrorRecord:
    return ErrorRecord(message=message, exception_type=f"{_NAMESPACE}.{kind}", error_id=error_id, category=category, target=target)


def _missing(kind: str, name: str) -> ErrorRecord:
    return _record(f"{kind} {name} was not found.", f"{kind}NotFoundException", f"{kind}NotFound", "ObjectNotFound", name)


def _fault(call: Call, fault: sam.AccountFault, group: str = "") -> None:
    """The record that a cmdlet of the module writes for a refused change."""
    name = fault.name
    match fault:
        case sam.UserNotFound():
            record = _missing("User", name)
        case sam.GroupNotFound():
            record = _missing("Group", name)
        case sam.MemberNotFound():
            record = _record(f"Principal {name} was not found.", "PrincipalNotFoundException", "PrincipalNotFound", "ObjectNotFound", name)
        case sam.UserExists():
            record = _record(f"User {name} already exists.", "UserExistsException", "UserExists", "ResourceExists", name)
        case sam.GroupExists():
            record = _record(f"Group {name} already exists.", "GroupExistsException", "GroupExists", "ResourceExists", name)
        case sam.AlreadyMember():
            text = f"{name} is already a member of group {group}."
            record = _record(text, "MemberExistsException", "MemberExists", "ResourceExists", group)
        case sam.NotAMember():
            text = f"Member {name} was not found in group {group}."
            record = _record(text, "MemberNotFoundException", "MemberNotFound", "ObjectNotFound", group)
        case sam.BuiltIn():
            text = f"Cannot perform this operation on built-in accounts: {name}."
            record = _record(text, "InvalidOperationException", "InvalidOperation", "InvalidOperation", name)
        case _:
            record = _record(f"The name {name} is not valid.", "InvalidNameException", "InvalidName", "InvalidArgument", name)
    call.error(record)


def user_object(user: LocalUser) -> PSObject:
    """A LocalUser."""
    return PSObject(
        type_names=(f"{_NAMESPACE}.LocalUser", f"{_NAMESPACE}.LocalPrincipal", "System.Object"),
        properties={
            "AccountExpires": None,
            "Description": user.description,
            "Enabled": user.enabled,
            "FullName": user.full_name,
            "PasswordChangeableDate": user.password_set,
            "PasswordExpires": None,
            "UserMayChangePassword": user.may_change_password,
            "PasswordRequired": user.password_required,
            "PasswordLastSet": user.password_set,
            "LastLogon": None,
            "Name": user.name,
            "SID": user.sid,
            "PrincipalSource": "Local",
            "ObjectClass": "User",
        },
        text=user.name,
    )


def group_object(group: LocalGroup) -> PSObject:
    """A LocalGroup."""
    return PSObject(
        type_names=(f"{_NAMESPACE}.LocalGroup", f"{_NAMESPACE}.LocalPrincipal", "System.Object"),
        properties={
            "Description": group.description,
            "Name": group.name,
            "SID": group.sid,
            "PrincipalSource": "Local",
            "ObjectClass": "Group",
        },
        text=group.name,
    )


def _names(call: Call) -> list[str]:
    """The names or SIDs that are meant: patterns, and `*` where nothing is said."""
    if call.given("SID"):
        return call.texts("SID")
    return call.texts_or_input("Name", "SID", "Name") or ["*"]


_CHOICE: tuple[Param, ...] = (at(0, "Name", Kind.TEXTS), named("SID", Kind.TEXTS), named("InputObject", Kind.VALUE))


def _users(call: Call) -> Iterator[LocalUser]:
    for pattern in _names(call):
        found = [one for one in call.session.host.users if like(one.name, pattern) or one.sid == pattern]
        if not found and "*" not in pattern:
            call.error(_missing("User", pattern))
        yield from found


def _groups(call: Call, patterns: Sequence[str]) -> Iterator[LocalGroup]:
    for pattern in patterns:
        found = [one for one in call.session.host.groups if like(one.name, pattern) or one.sid == pattern]
        if not found and "*" not in pattern:
            call.error(_missing("Group", pattern))
        yield from found


@cmdlet("Get-LocalUser", *_CHOICE[:2], module=_MODULE, output=f"{_NAMESPACE}.LocalUser")
def get_local_user(call: Call) -> Iterator[object]:
    """Users by name pattern or SID."""
    yield from (user_object(one) for one in _users(call))


@cmdlet("Get-LocalGroup", *_CHOICE[:2], module=_MODULE, output=f"{_NAMESPACE}.LocalGroup")
def get_local_group(call: Call) -> Iterator[object]:
    """Groups by name pattern or SID."""
    yield from (group_object(one) for one in _groups(call, _names(call)))


@cmdlet(
    "Get-LocalGroupMember",
    at(0, "Group", Kind.VALUE, "Name"),
    at(1, "Member"),
    named("SID"),
    module=_MODULE,
    output=f"{_NAMESPACE}.LocalPrincipal",
)
def get_local_group_member(call: Call) -> Iterator[object]:
    """The members of one group."""
    patterns = call.texts("SID") or [to_text(one) for one in as_list(call.value("Group"))] or [to_text(one) for one in call.input]
    if not patterns:
        raise call.missing("Group")
    host = call.session.host
    for group in _groups(call, patterns):
        for member, sid, kind in group.members:
            if call.given("Member") and not any(like(one, call.text("Member")) for one in (member, member.rpartition("\\")[2], sid)):
                continue
            local = member.startswith(host.name + "\\") or sid.startswith("S-1-5-1") or sid == "S-1-5-4"
            yield PSObject(
                type_names=(f"{_NAMESPACE}.LocalPrincipal", "System.Object"),
                properties={
                    "Name": member,
                    "SID": sid,
                    "PrincipalSource": "Local" if local else "ActiveDirectory",
                    "ObjectClass": kind,
                },
                text=member,
            )


# --- changes --------------------------------------------------------------------------------------------------------------


@cmdlet(
    "New-LocalUser",
    at(0, "Name", mandatory=True),
    named("Password", Kind.VALUE),
    named("FullName"),
    named("Description"),
    switch("NoPassword"),
    switch("Disabled"),
    switch("PasswordNeverExpires"),
    switch("UserMayNotChangePassword"),
    switch("AccountNeverExpires"),
    *absent("AccountExpires"),
    module=_MODULE,
    changes=True,
)
def new_local_user(call: Call) -> Iterator[object]:
    """Make a user. What its password is goes nowhere."""
    if not call.given("Password") and not call.switch("NoPassword"):
        raise call.missing("Password")
    if not call.should_process(call.text("Name"), "Create new local user"):
        return
    try:
        yield user_object(
            call.session.host.sam.add_user(
                call.text("Name"),
                description=call.text("Description"),
                full_name=call.text("FullName"),
                password=call.given("Password"),
                enabled=not call.switch("Disabled"),
            )
        )
    except sam.AccountFault as fault:
        _fault(call, fault)


@cmdlet(
    "Set-LocalUser",
    *_CHOICE,
    named("Password", Kind.VALUE),
    named("FullName"),
    named("Description"),
    named("PasswordNeverExpires", Kind.VALUE),
    named("UserMayChangePassword", Kind.VALUE),
    switch("AccountNeverExpires"),
    *absent("AccountExpires"),
    module=_MODULE,
    changes=True,
)
def set_local_user(call: Call) -> Iterator[object]:
    """Change a user."""
    for user in _users(call):
        if call.should_process(user.name, "Modify local user"):
            call.session.host.sam.change_user(
                user.name,
                description=call.text("Description") if call.given("Description") else None,
                full_name=call.text("FullName") if call.given("FullName") else None,
                password=call.given("Password"),
            )
    yield from ()


def _switch_user(call: Call, enabled: bool) -> Iterator[object]:
    for user in _users(call):
        if call.should_process(user.name, "Enable local user" if enabled else "Disable local user"):
            call.session.host.sam.change_user(user.name, enabled=enabled)
    yield from ()


@cmdlet("Enable-LocalUser", *_CHOICE, module=_MODULE, changes=True)
def enable_local_user(call: Call) -> Iterator[object]:
    """Let users log on."""
    yield from _switch_user(call, True)


@cmdlet("Disable-LocalUser", *_CHOICE, module=_MODULE, changes=True)
def disable_local_user(call: Call) -> Iterator[object]:
    """Keep users from logging on."""
    yield from _switch_user(call, False)


@cmdlet("Remove-LocalUser", *_CHOICE, module=_MODULE, changes=True)
def remove_local_user(call: Call) -> Iterator[object]:
    """Take users away."""
    if not (call.given("Name") or call.given("SID") or call.piped):
        raise call.missing("Name")
    for user in list(_users(call)):
        if call.should_process(user.name, "Remove local user"):
            try:
                call.session.host.sam.remove_user(user.name)
            except sam.AccountFault as fault:
                _fault(call, fault)
    yield from ()


@cmdlet("New-LocalGroup", at(0, "Name", mandatory=True), named("Description"), module=_MODULE, changes=True)
def new_local_group(call: Call) -> Iterator[object]:
    """Make a group."""
    if not call.should_process(call.text("Name"), "Create new local group"):
        return
    try:
        yield group_object(call.session.host.sam.add_group(call.text("Name"), description=call.text("Description")))
    except sam.AccountFault as fault:
        _fault(call, fault)


@cmdlet("Remove-LocalGroup", *_CHOICE, module=_MODULE, changes=True)
def remove_local_group(call: Call) -> Iterator[object]:
    """Take groups away."""
    if not (call.given("Name") or call.given("SID") or call.piped):
        raise call.missing("Name")
    for group in list(_groups(call, _names(call))):
        if call.should_process(group.name, "Remove local group"):
            try:
                call.session.host.sam.remove_group(group.name)
            except sam.AccountFault as fault:
                _fault(call, fault)
    yield from ()


_MEMBERSHIP = (at(0, "Group", Kind.TEXT, "Name"), at(1, "Member", Kind.VALUE), named("SID"))


def _members(call: Call) -> list[str]:
    return [to_text(one) for one in (as_list(call.value("Member")) if call.given("Member") else call.input)]


def _change_members(call: Call, verb: str, change: Callable[[str, str], object]) -> None:
    """Of each member that is named or flows in; what cannot be is an error of its own."""
    group = call.text("Group") or call.text("SID")
    for member in _members(call):
        if call.should_process(group, f"{verb} member {member}"):
            try:
                change(group, member)
            except sam.AccountFault as fault:
                _fault(call, fault, group)


@cmdlet("Add-LocalGroupMember", *_MEMBERSHIP, module=_MODULE, changes=True)
def add_local_group_member(call: Call) -> Iterator[object]:
    """Put accounts into a group."""
    _change_members(call, "Add", call.session.host.sam.add_member)
    yield from ()


@cmdlet("Remove-LocalGroupMember", *_MEMBERSHIP, module=_MODULE, changes=True)
def remove_local_group_member(call: Call) -> Iterator[object]:
    """Take accounts out of a group."""
    _change_members(call, "Remove", call.session.host.sam.remove_member)
    yield from ()


@cmdlet("Rename-LocalUser", *_CHOICE, at(1, "NewName", mandatory=True), module=_MODULE, changes=True)
def rename_local_user(call: Call) -> Iterator[object]:
    """Users keep their names here."""
    raise refuse("another name for a user", activity=call.spec.name)
    yield  # the type of a cmdlet is a generator
