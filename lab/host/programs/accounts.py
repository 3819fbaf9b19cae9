"""net.exe and net1.exe. net.exe hands everything to net1.exe, a process of its own, as on Windows, but for use, view and the like."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from lab.host import accounts as sam
from lab.host.programs.base import Outcome, Run, program
from lab.host.programs.layout import us_time
from lab.host.services import ServiceFault

_DONE = "The command completed successfully."
_LINE = "-" * 79
_WITH_NET1 = frozenset(
    [
        "accounts",
        "computer",
        "config",
        "continue",
        "file",
        "files",
        "group",
        "groups",
        "helpmsg",
        "localgroup",
        "name",
        "pause",
        "session",
        "sessions",
        "share",
        "start",
        "statistics",
        "stats",
        "stop",
        "time",
        "user",
        "users",
    ]
)


@program("net.exe")
def net(run: Run) -> int:
    """Starts net1.exe with the same arguments, except for the verbs that net.exe does itself."""
    verb = run.arguments[0].lower() if run.arguments else ""
    if verb == "use":
        return _use(run)
    if verb == "view":
        return _view(run)
    if verb in ("", "/?", "help"):
        run.complain("The syntax of this command is:", "", "NET", "    [ ACCOUNTS | COMPUTER | CONFIG | CONTINUE | FILE | GROUP | HELP |")
        run.complain(
            "      HELPMSG | LOCALGROUP | PAUSE | SESSION | SHARE | START |", "      STATISTICS | STOP | TIME | USE | USER | VIEW ]", ""
        )
        return 1
    if verb not in _WITH_NET1:
        raise run.unmodelled()
    outcome: Outcome = run.start("C:\\Windows\\system32\\net1.exe", f"C:\\Windows\\system32\\net1 {run.tail}")
    run.write(*outcome.output)
    run.complain(*outcome.errors)
    return outcome.exit_code


def _use(run: Run) -> int:
    """No share is connected, and none beyond the host can be."""
    given = [one for one in run.arguments[1:] if not one.startswith("/")]
    if not given:
        run.write("New connections will be remembered.", "", "There are no entries in the list.", "")
        return 0
    if any(one.lower() == "/delete" or one.lower() == "/d" for one in run.arguments):
        return _failed(run, 2250, "The network connection could not be found.", code=2)
    return _system_error(run, 53, "The network path was not found.")


def _view(run: Run) -> int:
    given = [one.lower() for one in run.arguments[1:]]
    names = [one.lstrip("\\") for one in given if one.startswith("\\\\")]
    host = run.host
    if names:
        if names[0] not in (host.name.lower(), "localhost", "127.0.0.1", host.ip, host.fqdn.lower()):
            return _system_error(run, 53, "The network path was not found.")
        hidden = [one for one in host.shares if not one.name.endswith("$") or "/all" in given]
        if not hidden:
            run.write("There are no entries in the list.", "")
            return 0
        run.write(f"Shared resources at {run.arguments[1]}", "", "", "", "Share name  Type  Used as  Comment", "", _LINE)
        run.write(*(f"{one.name:<11} {'IPC ' if not one.path else 'Disk':<5} {'':<8} {one.description}" for one in hidden), _DONE, "")
        return 0
    # Without the Computer Browser service nobody keeps a list of the network.
    return _system_error(run, 6118, "The list of servers for this workgroup is not currently available")


def _columns(names: Sequence[str]) -> list[str]:
    return ["".join(name.ljust(25) for name in names[at : at + 3]) for at in range(0, len(names), 3)]


def _system_error(run: Run, number: int, text: str) -> int:
    run.complain(f"System error {number} has occurred.", "", text, "")
    return 2


def _failed(run: Run, number: int, text: str, *, code: int = 2) -> int:
    run.complain(text, "", f"More help is available by typing NET HELPMSG {number}.", "")
    return code


def _syntax(run: Run, text: str) -> int:
    run.complain("The syntax of this command is:", "", *text.splitlines(), "")
    return 1


@program("net1.exe")
def net1(run: Run) -> int:
    """Users, groups, services, shares, sessions, policies."""
    verb = run.arguments[0].lower() if run.arguments else ""
    names = [one for one in run.arguments[1:] if not one.startswith("/")]
    flags = [one for one in run.arguments[1:] if one.startswith("/")]
    body = _VERBS.get(verb)
    if body is None:
        raise run.unmodelled()
    if any(one.lower() in ("/domain", "/dom") for one in flags):
        return _at_domain(run)
    try:
        return body(run, names, flags)
    except sam.AccountFault as fault:
        return _refused(run, fault)
    except ServiceFault as fault:
        return _service_refused(run, fault)


def _at_domain(run: Run) -> int:
    """What asks the domain controller: the lab has none."""
    host = run.host
    if host.domain:
        run.write(f"The request will be processed at a domain controller for domain {host.domain}.", "")
    return _system_error(run, 1355, "The specified domain either does not exist or could not be contacted.")


def _refused(run: Run, fault: sam.AccountFault) -> int:
    match fault:
        case sam.UserNotFound():
            return _failed(run, 2221, "The user name could not be found.")
        case sam.UserExists():
            return _failed(run, 2224, "The account already exists.")
        case sam.GroupNotFound():
            return _system_error(run, 1376, "The specified local group does not exist.")
        case sam.GroupExists():
            return _system_error(run, 1379, "The specified local group already exists.")
        case sam.MemberNotFound():
            text = f"There is no such global user or group: {fault.name}."
            return _failed(run, 3783, text)
        case sam.NotAMember():
            return _system_error(run, 1377, "The specified account name is not a member of the group.")
        case sam.AlreadyMember():
            return _system_error(run, 1378, "The specified account name is already a member of the group.")
        case sam.BuiltIn():
            return _system_error(run, 1371, "Cannot perform this operation on built-in accounts.")
        case _:
            return _failed(run, 2202, "The user name or group name parameter specified is invalid.")


def _stamp(moment: datetime | None) -> str:
    return f"{moment.month}/{moment.day}/{moment.year} {us_time(moment)}" if moment is not None else "Never"


def _flag(flags: Sequence[str], name: str) -> str | None:
    """The value of `/name:value`, empty for `/name`, None where it was not given."""
    for one in flags:
        head, _, value = one[1:].partition(":")
        if head.lower() == name:
            return value
    return None


def _user(run: Run, names: list[str], flags: list[str]) -> int:
    held = run.host.sam
    if not names:
        users = [user.name for user in held.users]
        run.write("", f"User accounts for \\\\{run.host.name}", "", _LINE, *_columns(users), _DONE, "")
        return 0
    if _flag(flags, "add") is not None:
        active = _flag(flags, "active")
        held.add_user(
            names[0],
            description=_flag(flags, "comment") or "",
            full_name=_flag(flags, "fullname") or "",
            password=len(names) > 1,
            enabled=active is None or active.lower().startswith("y"),
        )
    elif _flag(flags, "delete") is not None or _flag(flags, "del") is not None:
        held.remove_user(names[0])
    elif flags or len(names) > 1:
        active = _flag(flags, "active")
        held.change_user(
            names[0],
            enabled=None if active is None else active.lower().startswith("y"),
            description=_flag(flags, "comment"),
            full_name=_flag(flags, "fullname"),
            password=len(names) > 1,
        )
    else:
        _show_user(run, held.user(names[0]))
        return 0
    run.write(_DONE, "")
    return 0


def _show_user(run: Run, user: sam.LocalUser) -> None:
    groups = [group.name for group in run.host.groups if any(sid == user.sid for _, sid, _ in group.members)]
    listed = [f"*{name}".ljust(21) for name in groups]
    rows = ["".join(listed[at : at + 2]) for at in range(0, len(listed), 2)] or [""]
    password = _stamp(user.password_set)
    run.write(
        f"User name                    {user.name}",
        f"Full Name                    {user.full_name}",
        f"Comment                      {user.description}",
        "User's comment               ",
        "Country/region code          000 (System Default)",
        f"Account active               {'Yes' if user.enabled else 'No'}",
        "Account expires              Never",
        "",
        f"Password last set            {password}",
        "Password expires             Never",
        f"Password changeable          {password}",
        f"Password required            {'Yes' if user.password_required else 'No'}",
        f"User may change password     {'Yes' if user.may_change_password else 'No'}",
        "",
        "Workstations allowed         All",
        "Logon script                 ",
        "User profile                 ",
        "Home directory               ",
        "Last logon                   Never",
        "",
        "Logon hours allowed          All",
        "",
        f"Local Group Memberships      {rows[0]}",
        *(f"                             {row}" for row in rows[1:]),
        "Global Group memberships     *None                 ",
        _DONE,
        "",
    )


def _local_group(run: Run, names: list[str], flags: list[str]) -> int:
    held = run.host.sam
    if not names:
        run.write("", f"Aliases for \\\\{run.host.name}", "", _LINE, *(f"*{group.name}" for group in held.groups), _DONE, "")
        return 0
    added = _flag(flags, "add") is not None
    removed = _flag(flags, "delete") is not None or _flag(flags, "del") is not None
    if added and len(names) == 1:
        held.add_group(names[0], description=_flag(flags, "comment") or "")
    elif removed and len(names) == 1:
        held.remove_group(names[0])
    elif added or removed:
        for member in names[1:]:
            _ = held.add_member(names[0], member) if added else held.remove_member(names[0], member)
    elif len(names) == 1:
        group = held.group(names[0])
        members = [name.removeprefix(f"{run.host.name}\\") for name, _, _ in group.members]
        run.write(f"Alias name     {group.name}", f"Comment        {group.description}", "", "Members", "", _LINE, *members, _DONE, "")
        return 0
    else:
        return _syntax(
            run,
            'NET LOCALGROUP\n[groupname [/COMMENT:"text"]] [/DOMAIN]',
        )
    run.write(_DONE, "")
    return 0


def _group(run: Run, names: list[str], flags: list[str]) -> int:
    return _failed(run, 3515, "This command can be used only on a Windows Domain Controller.")


_STATES = {
    1060: (2185, "The service name is invalid."),
    1056: (2182, "The requested service has already been started."),
    1062: (3521, "The {name} service is not started."),
    1058: (1058, "The service cannot be started, either because it is disabled or because it has no enabled devices associated with it."),
    1051: (1051, "A stop control has been sent to a service that other running services are dependent on."),
    1052: (2191, "The requested pause, continue, or stop is not valid for this service."),
}


def _service_refused(run: Run, fault: ServiceFault) -> int:
    service = run.host.services.find(fault.name)
    number, text = _STATES.get(fault.code, (fault.code, "The service could not be started."))
    shown = text.replace("{name}", service.display_name if service is not None else fault.name)
    return _system_error(run, number, shown) if number == fault.code else _failed(run, number, shown)


def _start(run: Run, names: list[str], flags: list[str]) -> int:
    if not names:
        running = sorted((one.display_name for one in run.host.services if one.running), key=str.lower)
        run.write("These Windows services are started:", "", *(f"   {name}" for name in running), "", _DONE, "")
        return 0
    for service in run.host.services.start(names[0]):
        run.write(f"The {service.display_name} service is starting.", f"The {service.display_name} service was started successfully.", "")
    return 0


def _stop(run: Run, names: list[str], flags: list[str]) -> int:
    if not names:
        return _syntax(run, "NET STOP\nservice")
    forced = any(one.lower() in ("/y", "/yes") for one in flags)
    for service in run.host.services.stop(names[0], with_dependents=forced):
        run.write(f"The {service.display_name} service is stopping.", f"The {service.display_name} service was stopped successfully.", "")
    return 0


def _accounts(run: Run, names: list[str], flags: list[str]) -> int:
    if names or flags:
        raise run.unmodelled()
    rows = (
        ("Force user logoff how long after time expires?:", "Never"),
        ("Minimum password age (days):", "0"),
        ("Maximum password age (days):", "42"),
        ("Minimum password length:", "0"),
        ("Length of password history maintained:", "None"),
        ("Lockout threshold:", "Never"),
        ("Lockout duration (minutes):", "30"),
        ("Lockout observation window (minutes):", "30"),
        ("Computer role:", "WORKSTATION"),
    )
    run.write(*(f"{name:<54}{value}" for name, value in rows), _DONE, "")
    return 0


def _share(run: Run, names: list[str], flags: list[str]) -> int:
    host = run.host
    if flags or len(names) > 1 or any("=" in one for one in names):
        raise run.unmodelled()
    if names:
        held = next((one for one in host.shares if one.name.lower() == names[0].lower()), None)
        if held is None:
            return _failed(run, 2310, "This shared resource does not exist.")
        run.write(
            f"Share name        {held.name}",
            f"Path              {held.path}",
            f"Remark            {held.description}",
            "Maximum users     No limit",
            "Users             ",
            "Caching           Caching disabled",
            "Permission        BUILTIN\\Administrators, FULL",
            "",
            _DONE,
            "",
        )
        return 0
    run.write("", "Share name   Resource                        Remark", "", _LINE)
    run.write(*(f"{one.name:<12} {one.path:<31} {one.description}" for one in host.shares), _DONE, "")
    return 0


def _session(run: Run, names: list[str], flags: list[str]) -> int:
    run.write("There are no entries in the list.", "")
    return 0


def _config(run: Run, names: list[str], flags: list[str]) -> int:
    host = run.host
    if not names:
        run.write("The following running services can be controlled:", "", "   Server", "   Workstation", "", _DONE, "")
        return 0
    rows: tuple[tuple[str, str | None], ...]
    if names[0].lower() == "workstation":
        rows = (
            ("Computer name", f"\\\\{host.name}"),
            ("Full Computer name", host.fqdn),
            ("User name", run.process.logon.account.name),
            ("", None),
            ("Workstation active on", ""),
            (f"        NetBT_Tcpip_{{5A1F3A52-0F0E-4F3E-9A59-1C8C0F7B9D11}} ({host.mac.replace('-', '')})", None),
            ("", None),
            ("Software version", "Windows 10 Enterprise"),
            ("", None),
            ("Workstation domain", host.netbios_domain),
            ("Workstation Domain DNS Name", host.domain or "(null)"),
            ("Logon domain", run.process.logon.account.domain),
            ("", None),
            ("COM Open Timeout (sec)", "0"),
            ("COM Send Count (byte)", "16"),
            ("COM Send Timeout (msec)", "250"),
        )
    elif names[0].lower() == "server":
        rows = (
            ("Server Name", f"\\\\{host.name}"),
            ("Server Comment", ""),
            ("", None),
            ("Software version", "Windows 10 Enterprise"),
            ("Server is active on", ""),
            ("        NetbiosSmb (000000000000)", None),
            ("", None),
            ("Server hidden", "No"),
            ("Maximum Logged On Users", "20"),
            ("Maximum open files per session", "16384"),
            ("", None),
            ("Idle session time (min)", "15"),
        )
    else:
        raise run.unmodelled()
    run.write(*(name if value is None else f"{name:<37}{value}" for name, value in rows), _DONE, "")
    return 0


def _statistics(run: Run, names: list[str], flags: list[str]) -> int:
    if not names:
        run.write("Statistics are available for the following running services:", "", "   Server", "   Workstation", "", _DONE, "")
        return 0
    kind = names[0].capitalize()
    if kind not in ("Server", "Workstation"):
        raise run.unmodelled()
    run.write(f"{kind} Statistics for \\\\{run.host.name}", "", "", f"Statistics since {_stamp(run.host.booted)}", "", "")
    rows = (
        (("Sessions accepted", 0), ("Sessions timed-out", 0), ("Sessions errored-out", 0), ("Files accessed", 0))
        if kind == "Server"
        else (
            ("Bytes received", 41_873),
            ("Server Message Blocks (SMBs) received", 12),
            ("Bytes transmitted", 38_112),
            ("Network errors", 0),
        )
    )
    run.write(*(f"  {name:<42}{value}" for name, value in rows), "", _DONE, "")
    return 0


def _time(run: Run, names: list[str], flags: list[str]) -> int:
    host, now = run.host, run.host.now()
    if names and names[0].lstrip("\\").lower() not in (host.name.lower(), "localhost", "127.0.0.1", host.ip, host.fqdn.lower()):
        return _system_error(run, 53, "The network path was not found.")
    if not names:
        return _failed(run, 3912, "Could not locate a time-server.")
    run.write(f"Current time at {names[0]} is {now.month}/{now.day}/{now.year} {us_time(now)}", "", _DONE, "")
    return 0


def _file(run: Run, names: list[str], flags: list[str]) -> int:
    run.write("There are no entries in the list.", "")
    return 0


_MESSAGES = {
    5: "Access is denied.",
    53: "The network path was not found.",
    2182: "The requested service has already been started.",
    2185: "The service name is invalid.",
    2221: "The user name could not be found.",
    2224: "The account already exists.",
    3521: "The *** service is not started.",
    3534: "The service did not report an error.",
}


def _help_message(run: Run, names: list[str], flags: list[str]) -> int:
    text = _MESSAGES.get(int(names[0])) if names and names[0].isdigit() else None
    if text is None:
        raise run.unmodelled()
    run.write("", text, "")
    return 0


_VERBS: dict[str, Callable[[Run, list[str], list[str]], int]] = {
    "user": _user,
    "users": _user,
    "localgroup": _local_group,
    "group": _group,
    "groups": _group,
    "start": _start,
    "stop": _stop,
    "accounts": _accounts,
    "share": _share,
    "session": _session,
    "sessions": _session,
    "config": _config,
    "statistics": _statistics,
    "stats": _statistics,
    "time": _time,
    "file": _file,
    "files": _file,
    "helpmsg": _help_message,
}
