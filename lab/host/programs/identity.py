"""Programs that say who and where one is: whoami, hostname."""

from __future__ import annotations

from collections.abc import Sequence

from lab.host.happenings import LogonSession
from lab.host.programs.base import Run, program
from lab.host.programs.layout import formatted

_ENABLED = "Mandatory group, Enabled by default, Enabled group"
_PRIVILEGES = (
    ("SeIncreaseQuotaPrivilege", "Adjust memory quotas for a process"),
    ("SeSecurityPrivilege", "Manage auditing and security log"),
    ("SeTakeOwnershipPrivilege", "Take ownership of files or other objects"),
    ("SeLoadDriverPrivilege", "Load and unload device drivers"),
    ("SeBackupPrivilege", "Back up files and directories"),
    ("SeRestorePrivilege", "Restore files and directories"),
    ("SeShutdownPrivilege", "Shut down the system"),
    ("SeDebugPrivilege", "Debug programs"),
    ("SeChangeNotifyPrivilege", "Bypass traverse checking"),
    ("SeRemoteShutdownPrivilege", "Force shutdown from a remote system"),
    ("SeImpersonatePrivilege", "Impersonate a client after authentication"),
)
_PLAIN = ("SeShutdownPrivilege", "SeChangeNotifyPrivilege")


def token_groups(logon: LogonSession) -> list[tuple[str, str, str, str]]:
    """The groups of a logon's token: name, kind, SID, attributes."""
    rows = [("Everyone", "Well-known group", "S-1-1-0", _ENABLED)]
    if logon.elevated:
        rows.append(("BUILTIN\\Administrators", "Alias", "S-1-5-32-544", f"{_ENABLED}, Group owner"))
    rows += [
        ("BUILTIN\\Users", "Alias", "S-1-5-32-545", _ENABLED),
        ("NT AUTHORITY\\NETWORK", "Well-known group", "S-1-5-2", _ENABLED),
        ("NT AUTHORITY\\Authenticated Users", "Well-known group", "S-1-5-11", _ENABLED),
        ("NT AUTHORITY\\This Organization", "Well-known group", "S-1-5-15", _ENABLED),
        (
            f"NT AUTHORITY\\{'NTLM' if logon.package.value == 'NTLM' else logon.package.value} Authentication",
            "Well-known group",
            "S-1-5-64-10",
            _ENABLED,
        ),
    ]
    label, sid = ("High", "S-1-16-12288") if logon.elevated else ("Medium", "S-1-16-8192")
    rows.append((f"Mandatory Label\\{label} Mandatory Level", "Label", sid, ""))
    return rows


@program("whoami.exe")
def whoami(run: Run) -> int:
    """Name; /user, /groups, /priv, /all, /upn, /logonid, with /fo and /nh."""
    given = [one.lower().replace("-", "/", 1) if one[:1] in "-/" else one.lower() for one in run.arguments]
    logon = run.process.logon
    name = f"{logon.account.domain}\\{logon.account.name}".lower()
    form, headed = "table", True
    wanted: list[str] = []
    while given:
        one = given.pop(0)
        if one == "/fo" and given:
            form = given.pop(0)
        elif one == "/nh":
            headed = False
        elif one in ("/user", "/groups", "/priv", "/all", "/logonid"):
            wanted.append(one)
        elif one in ("/upn", "/fqdn"):
            what = "User Principal Name (UPN)" if one == "/upn" else "Fully Qualified Distinguished Name (FQDN)"
            run.complain(f"ERROR: Unable to get {what} as the current logged-on user", "       is not a domain user.")
            return 1
        elif one in ("/?", "/claims"):
            raise run.unmodelled()
        else:
            run.complain(f"ERROR: Invalid argument/option - '{one}'.", 'Type "WHOAMI /?" for usage.')
            return 1
    if form not in ("table", "csv", "list"):
        run.complain(f"ERROR: Invalid syntax. Value '{form}' is not allowed for '/fo' option.")
        return 1
    if not wanted:
        run.write(name)
        return 0
    if "/logonid" in wanted:
        run.write(f"S-1-5-5-0-{logon.logon_id}")
        return 0
    if "/all" in wanted:
        wanted = ["/user", "/groups", "/priv"]
    blocks: dict[str, tuple[str, tuple[str, ...], Sequence[Sequence[str]]]] = {
        "/user": ("USER INFORMATION", ("User Name", "SID"), [(name, logon.account.sid)]),
        "/groups": ("GROUP INFORMATION", ("Group Name", "Type", "SID", "Attributes"), token_groups(logon)),
        "/priv": (
            "PRIVILEGES INFORMATION",
            ("Privilege Name", "Description", "State"),
            [(held, text, "Enabled") for held, text in _PRIVILEGES if logon.elevated or held in _PLAIN],
        ),
    }
    for one in wanted:
        title, headings, rows = blocks[one]
        if form == "table":
            run.write("", title, "-" * len(title), "")
        run.write(*formatted(form, headings, rows, with_headings=headed))
    if form == "table":
        run.write("")
    return 0


@program("hostname.exe")
def hostname(run: Run) -> int:
    """The computer's name."""
    if run.arguments:
        if run.arguments[0].lower() in ("/?", "-?"):
            raise run.unmodelled()
        run.complain("sethostname: Use the Network Control Panel Applet to set hostname.", "hostname -s is not supported.")
        return 1
    run.write(run.host.name)
    return 0
