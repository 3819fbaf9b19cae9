"""Cmdlets about processes."""

from __future__ import annotations

import ntpath
from collections.abc import Iterator

from lab.host.happenings import Process
from lab.host.powershell.commands import Call, Kind, absent, at, cmdlet, named, switch
from lab.host.powershell.objects import process_object
from lab.host.powershell.values import as_list, like, to_int, to_text
from lab.machine import ErrorRecord

_PROTECTED = ("System", "smss", "csrss", "wininit", "winlogon", "services", "lsass", "MsMpEng")
"""What even an administrator may not end."""


def name_of(process: Process) -> str:
    """A process's name, as Get-Process has it."""
    return ntpath.splitext(ntpath.basename(process.path))[0]


def _missing(text: str, error_id: str, target: str) -> ErrorRecord:
    return ErrorRecord(
        message=text,
        exception_type="Microsoft.PowerShell.Commands.ProcessCommandException",
        error_id=error_id,
        category="ObjectNotFound",
        target=target,
    )


def _chosen(call: Call, *, every: bool = False) -> Iterator[Process]:
    """The processes that -Id, -Name, -InputObject or the pipeline mean; all where `every` and nothing is said."""
    live = sorted(call.session.host.processes, key=lambda one: (name_of(one).lower(), one.pid))
    names: list[str] = call.texts("Name")
    pids: list[int] = [to_int(one) for one in as_list(call.value("Id"))]
    if call.given("InputObject") or (call.piped and not names and not pids):
        for one in as_list(call.value("InputObject")) if call.given("InputObject") else call.items("InputObject"):
            pid = call.session.member(one, "Id")
            if isinstance(one, int) and not isinstance(one, bool):
                pids.append(one)
            elif isinstance(one, str) or pid is None:
                names.append(to_text(call.session.member(one, "Name") or one))
            else:
                pids.append(to_int(pid))
    elif not names and not pids and every:
        names = ["*"]
    for pid in pids:
        held = [one for one in live if one.pid == pid]
        if not held:
            text = f"Cannot find a process with the process identifier {pid}."
            call.error(_missing(text, "NoProcessFoundForGivenId", str(pid)))
        yield from held
    for pattern in names:
        found = [one for one in live if like(name_of(one), pattern)]
        if not found and not any(char in pattern for char in "*?["):
            text = f'Cannot find a process with the name "{pattern}". Verify the process name and call the cmdlet again.'
            call.error(_missing(text, "NoProcessFoundForGivenName", pattern))
        yield from found


@cmdlet(
    "Get-Process",
    at(0, "Name", Kind.TEXTS, "ProcessName"),
    named("Id", Kind.VALUE, "PID"),
    named("InputObject", Kind.VALUE),
    switch("IncludeUserName"),
    switch("FileVersionInfo", "FV", "FVI"),
    *absent("ComputerName", "Module"),
    output="System.Diagnostics.Process",
)
def get_process(call: Call) -> Iterator[object]:
    """Live processes by name pattern or pid."""
    for one in _chosen(call, every=True):
        held = process_object(one)
        if call.switch("IncludeUserName"):
            held.type_names = ("System.Diagnostics.Process#IncludeUserName", *held.type_names)
            held.properties["UserName"] = f"{one.logon.account.domain}\\{one.logon.account.name}" if one.pid != 4 else ""
        yield held.properties["FileVersion"] if call.switch("FileVersionInfo") else held


@cmdlet(
    "Stop-Process",
    at(0, "Id", Kind.VALUE),
    named("Name", Kind.TEXTS, "ProcessName"),
    named("InputObject", Kind.VALUE),
    switch("Force"),
    switch("PassThru"),
    changes=True,
)
def stop_process(call: Call) -> Iterator[object]:
    """End processes."""
    if not (call.given("Id") or call.given("Name") or call.given("InputObject") or call.piped):
        raise call.missing("Id")
    for one in list(_chosen(call)):
        shown = f"{name_of(one)} ({one.pid})"
        if name_of(one) in _PROTECTED:
            call.error(
                ErrorRecord(
                    message=f'Cannot stop process "{shown}" because of the following error: Access is denied',
                    exception_type="Microsoft.PowerShell.Commands.ProcessCommandException",
                    error_id="CouldNotStopProcess",
                    category="CloseError",
                    target=f"System.Diagnostics.Process ({name_of(one)})",
                )
            )
        elif call.should_process(shown, "Stop-Process"):
            call.session.host.end_process(one, -1)
            if call.switch("PassThru"):
                yield process_object(one, ended=True)


@cmdlet(
    "Wait-Process",
    at(0, "Name", Kind.TEXTS, "ProcessName"),
    named("Id", Kind.VALUE, "PID"),
    named("InputObject", Kind.VALUE),
    named("Timeout", Kind.INT, "TimeoutSec"),
)
def wait_process(call: Call) -> Iterator[object]:
    """Wait for processes to end; what runs on past the time-out is an error."""
    limit = call.number("Timeout", 3600)
    for one in list(_chosen(call)):
        waited = 0
        while one in call.session.host.processes and waited < limit:
            call.session.io.wait(1)
            waited += 1
        if one in call.session.host.processes:
            call.error(
                ErrorRecord(
                    message=f'This command stopped operation of "{name_of(one)} ({one.pid})" because the process is not stopped in the '
                    "specified time-out.",
                    exception_type="System.TimeoutException",
                    error_id="ProcessNotTerminated",
                    category="CloseError",
                    target=f"System.Diagnostics.Process ({name_of(one)})",
                )
            )
    yield from ()


@cmdlet(
    "Start-Process",
    at(0, "FilePath", Kind.TEXT, "PSPath", mandatory=True),
    at(1, "ArgumentList", Kind.TEXTS, "Args"),
    named("WorkingDirectory"),
    named("WindowStyle"),
    named("RedirectStandardOutput"),
    named("RedirectStandardError"),
    switch("NoNewWindow", "nnw"),
    switch("PassThru"),
    switch("Wait"),
    *absent("Verb", "Credential", "LoadUserProfile", "RedirectStandardInput", "UseNewEnvironment"),
    changes=True,
)
def start_process(call: Call) -> Iterator[object]:
    """Start a program; its output goes to a console that nobody sees, or into files. It has run to its end when this returns."""
    arguments = call.texts("ArgumentList")
    directory = call.text("WorkingDirectory", call.session.location)
    if not call.should_process(f"{call.text('FilePath')}", "Start-Process"):
        return
    output, errors, handle = call.session.start_program(call.text("FilePath"), arguments, directory=directory)
    for name, lines in (("RedirectStandardOutput", output), ("RedirectStandardError", errors)):
        if call.given(name):
            call.session.write_lines(call.text(name), lines)
    if call.switch("PassThru"):
        yield handle
