"""Cmdlets about local users and groups [Microsoft.PowerShell.LocalAccounts]. They read the host's SAM and change nothing."""

from __future__ import annotations

from collections.abc import Iterator

from lab.host.accounts import LocalGroup
from lab.host.powershell.commands import Call, Kind, absent, at, cmdlet, named
from lab.host.powershell.values import like, to_text
from lab.machine import ErrorRecord, PSObject

_MODULE = "Microsoft.PowerShell.LocalAccounts"


def _missing(kind: str, name: str) -> ErrorRecord:
    return ErrorRecord(
        message=f"{kind} {name} was not found.",
        exception_type=f"Microsoft.PowerShell.Commands.{kind}NotFoundException",
        error_id=f"{kind}NotFound",
        category="ObjectNotFound",
        target=name,
    )


@cmdlet("Get-LocalUser", at(0, "Name", Kind.TEXTS), named("SID"), module=_MODULE, output="Microsoft.PowerShell.Commands.LocalUser")
def get_local_user(call: Call) -> Iterator[object]:
    """Accounts of the SAM, by name pattern or SID."""
    wanted = call.texts_or_input("Name", "Name") or ["*"]
    for pattern in wanted:
        found = [
            user for user in call.session.host.users if like(user.name, pattern) and (not call.given("SID") or user.sid == call.text("SID"))
        ]
        if not found and "*" not in pattern:
            call.error(_missing("User", pattern))
        for user in found:
            yield PSObject(
                type_names=("Microsoft.PowerShell.Commands.LocalUser", "Microsoft.PowerShell.Commands.LocalPrincipal", "System.Object"),
                properties={
                    "Name": user.name,
                    "Enabled": user.enabled,
                    "Description": user.description,
                    "SID": user.sid,
                    "PrincipalSource": "Local",
                    "ObjectClass": "User",
                },
                text=user.name,
            )


def _groups(call: Call, pattern: str) -> list[LocalGroup]:
    return [
        group
        for group in call.session.host.groups
        if like(group.name, pattern) and (not call.given("SID") or group.sid == call.text("SID"))
    ]


@cmdlet("Get-LocalGroup", at(0, "Name", Kind.TEXTS), named("SID"), module=_MODULE, output="Microsoft.PowerShell.Commands.LocalGroup")
def get_local_group(call: Call) -> Iterator[object]:
    """Groups of the SAM, by name pattern or SID."""
    for pattern in call.texts_or_input("Name", "Name") or ["*"]:
        found = _groups(call, pattern)
        if not found and "*" not in pattern:
            call.error(_missing("Group", pattern))
        for group in found:
            yield PSObject(
                type_names=("Microsoft.PowerShell.Commands.LocalGroup", "Microsoft.PowerShell.Commands.LocalPrincipal", "System.Object"),
                properties={
                    "Name": group.name,
                    "Description": group.description,
                    "SID": group.sid,
                    "PrincipalSource": "Local",
                    "ObjectClass": "Group",
                },
                text=group.name,
            )


@cmdlet(
    "Get-LocalGroupMember",
    at(0, "Group", Kind.TEXT, "Name"),
    at(1, "Member"),
    named("SID"),
    *absent("InputObject"),
    module=_MODULE,
    output="Microsoft.PowerShell.Commands.LocalPrincipal",
)
def get_local_group_member(call: Call) -> Iterator[object]:
    """The members of one group."""
    names = [call.text("Group")] if call.given("Group") else [to_text(one) for one in call.input] or ["*"]
    for name in names:
        groups = _groups(call, name)
        if not groups or (name == "*" and not call.given("SID")):
            call.error(_missing("Group", name))
            continue
        for member, sid, kind in groups[0].members:
            if call.given("Member") and not like(member, call.text("Member")) and not like(member.rpartition("\\")[2], call.text("Member")):
                continue
            local = member.startswith(call.session.host.name + "\\") or sid.startswith("S-1-5-1") or sid == "S-1-5-4"
            yield PSObject(
                type_names=("Microsoft.PowerShell.Commands.LocalPrincipal", "System.Object"),
                properties={
                    "Name": member,
                    "SID": sid,
                    "ObjectClass": kind,
                    "PrincipalSource": "Local" if local else "ActiveDirectory",
                },
                text=member,
            )
