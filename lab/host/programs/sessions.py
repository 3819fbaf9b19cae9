"""Programs about who is logged on: quser, qwinsta, query. Network logons are none of theirs: only the services' session is there."""

from __future__ import annotations

import ntpath

from lab.host.programs.base import Run, program


@program("quser.exe")
def quser(run: Run) -> int:
    """Nobody is logged on at the console or over RDP."""
    names = [one for one in run.arguments if not one.startswith("/")]
    run.complain(f"No User exists for {names[0] if names else '*'}")
    return 1


@program("qwinsta.exe")
def qwinsta(run: Run) -> int:
    """The sessions of the terminal service: the services' and the idle console."""
    if any(not one.lower().startswith("/server:") for one in run.arguments):
        raise run.unmodelled()
    run.write(" SESSIONNAME       USERNAME                 ID  STATE   TYPE        DEVICE ")
    run.write(" services                                    0  Disc                        ")
    run.write(" console                                     1  Conn                        ")
    return 0


@program("qprocess.exe")
def qprocess(run: Run) -> int:
    """The processes of the session that it runs in."""
    run.write(" USERNAME              SESSIONNAME         ID    PID  IMAGE")
    for one in run.host.processes:
        if run.arguments[:1] == ["*"] or one.logon is run.process.logon:
            mark, user = ">" if one.logon is run.process.logon else " ", one.logon.account.name.lower()[:20]
            run.write(f"{mark}{user:<21} services            0 {one.pid:>6}  {ntpath.basename(one.path).lower()}")
    return 0


@program("query.exe")
def query(run: Run) -> int:
    """user, session and process, each a program of its own."""
    verb = run.arguments[0].lower() if run.arguments else ""
    programs = {"user": "quser.exe", "session": "qwinsta.exe", "process": "qprocess.exe"}
    if verb not in programs:
        run.complain("Invalid parameter(s)", "QUERY { PROCESS | SESSION | TERMSERVER | USER }")
        return 1
    rest = run.tail.split(None, 1)[1] if len(run.tail.split(None, 1)) > 1 else ""
    path = f"C:\\Windows\\system32\\{programs[verb]}"
    outcome = run.start(path, f"{path} {rest}".rstrip())
    run.write(*outcome.output)
    run.complain(*outcome.errors)
    return outcome.exit_code
