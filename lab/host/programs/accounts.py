"""net.exe and net1.exe: user, localgroup and start. net.exe hands everything to net1.exe, a process of its own, as on Windows."""

from __future__ import annotations

from collections.abc import Sequence

from lab.host.programs.base import Outcome, Run, program

_DONE = "The command completed successfully."


@program("net.exe")
def net(run: Run) -> int:
    """Starts net1.exe with the same arguments, except for the verbs that net.exe does itself."""
    verb = run.arguments[0].lower() if run.arguments else ""
    if verb not in ("user", "users", "localgroup", "start", "accounts"):
        raise run.unmodelled()
    outcome: Outcome = run.start("C:\\Windows\\system32\\net1.exe", f"C:\\Windows\\system32\\net1 {run.tail}")
    run.write(*outcome.output)
    run.complain(*outcome.errors)
    return outcome.exit_code


def _columns(names: Sequence[str]) -> list[str]:
    return ["".join(name.ljust(25) for name in names[at : at + 3]) for at in range(0, len(names), 3)]


@program("net1.exe")
def net1(run: Run) -> int:
    """What can be read of users, groups and services; what would change them is not modelled."""
    given = run.arguments
    verb = given[0].lower() if given else ""
    if any(one.startswith("/") for one in given) or len(given) > 2:
        raise run.unmodelled()
    host = run.host
    line = "-" * 79
    match verb, len(given):
        case (("user" | "users"), 1):
            run.write("", f"User accounts for \\\\{host.name}", "", line, *_columns([user.name for user in host.users]), _DONE, "")
            return 0
        case (("user" | "users"), 2):
            user = next((one for one in host.users if one.name.lower() == given[1].lower()), None)
            if user is None:
                run.complain("The user name could not be found.", "", "More help is available by typing NET HELPMSG 2221.", "")
                return 2
            groups = [group.name for group in host.groups if any(sid == user.sid for _, sid, _ in group.members)]
            run.write(
                f"User name                    {user.name}",
                "Full Name                    ",
                f"Comment                      {user.description}",
                "User's comment               ",
                "Country/region code          000 (System Default)",
                f"Account active               {'Yes' if user.enabled else 'No'}",
                "Account expires              Never",
                "",
                f"Local Group Memberships      {' '.join('*' + name for name in groups)}",
                "Global Group memberships     *None                 ",
                _DONE,
                "",
            )
            return 0
        case "localgroup", 1:
            run.write("", f"Aliases for \\\\{host.name}", "", line, *(f"*{group.name}" for group in host.groups), _DONE, "")
            return 0
        case "localgroup", 2:
            group = next((one for one in host.groups if one.name.lower() == given[1].lower()), None)
            if group is None:
                run.complain("System error 1376 has occurred.", "", "The specified local group does not exist.", "")
                return 2
            members = [name.removeprefix(f"{host.name}\\") for name, _, _ in group.members]
            run.write(f"Alias name     {group.name}", f"Comment        {group.description}", "", "Members", "", line, *members, _DONE, "")
            return 0
        case "start", 1:
            running = sorted(one.display_name for one in host.services if one.running)
            run.write("These Windows services are started:", "", *(f"   {name}" for name in running), "", _DONE, "")
            return 0
        case _:
            raise run.unmodelled()
