"""Programs about the machine: systeminfo, tasklist, sc, schtasks."""

from __future__ import annotations

import ntpath

from lab.host.happenings import Process
from lab.host.programs.base import Run, program
from lab.host.programs.layout import formatted, us_moment
from lab.host.services import Service


@program("sysinfo.exe")
def systeminfo(run: Run) -> int:
    """The facts of the machine as a list."""
    if run.arguments:
        raise run.unmodelled()
    host, facts = run.host, run.host.system_info()
    memory = int(facts["Memory"]) // (1 << 20)
    rows = (
        ("Host Name", host.name),
        ("OS Name", facts["Caption"]),
        ("OS Version", f"{facts['Version']} N/A Build {facts['Build']}"),
        ("OS Manufacturer", "Microsoft Corporation"),
        ("OS Configuration", "Member Workstation" if host.domain else "Standalone Workstation"),
        ("OS Build Type", "Multiprocessor Free"),
        ("Registered Owner", "Windows User"),
        ("Registered Organization", ""),
        ("Product ID", facts["SerialNumber"]),
        ("System Boot Time", us_moment(host.booted)),
        ("System Manufacturer", facts["Manufacturer"]),
        ("System Model", facts["Model"]),
        ("System Type", "x64-based PC"),
        ("Windows Directory", "C:\\Windows"),
        ("System Directory", "C:\\Windows\\system32"),
        ("Boot Device", "\\Device\\HarddiskVolume1"),
        ("System Locale", "en-us;English (United States)"),
        ("Time Zone", "(UTC) Coordinated Universal Time"),
        ("Total Physical Memory", f"{memory:,} MB"),
        ("Available Physical Memory", f"{memory // 2:,} MB"),
        ("Domain", host.domain or "WORKGROUP"),
        ("Logon Server", "N/A"),
    )
    run.write("", *(f"{name + ':':<26} {value}" for name, value in rows))
    return 0


def _memory(process: Process) -> str:
    return f"{3_900 + process.pid % 20_000:,} K"


@program("tasklist.exe")
def tasklist(run: Run) -> int:
    """The live processes; /v and filters are not modelled, /fo and /nh are."""
    given = [one.lower() for one in run.arguments]
    form, headed = "table", True
    while given:
        one = given.pop(0)
        if one == "/fo" and given and given[0] in ("table", "csv", "list"):
            form = given.pop(0)
        elif one == "/nh":
            headed = False
        else:
            raise run.unmodelled()
    headings = ("Image Name", "PID", "Session Name", "Session#", "Mem Usage")
    rows = [(ntpath.basename(one.path), str(one.pid), "Services", "0", _memory(one)) for one in run.host.processes]
    if form != "table":
        run.write(*formatted(form, headings, rows, with_headings=headed))
        return 0
    if headed:
        run.write("", f"{headings[0]:<25} {headings[1]:>8} {headings[2]:<16} {headings[3]:>11} {headings[4]:>12}")
        run.write(" ".join("=" * width for width in (25, 8, 16, 11, 12)))
    run.write(*(f"{name[:25]:<25} {pid:>8} {session:<16} {number:>11} {memory:>12}" for name, pid, session, number, memory in rows))
    return 0


def _state(service: Service) -> list[str]:
    kind = (
        "WIN32_OWN_PROCESS "
        if service.type_code == 0x10
        else "WIN32_OWN_PROCESS  (interactive)"
        if service.type_code == 0x110
        else "WIN32_SHARE_PROCESS "
    )
    number, state = (4, "RUNNING") if service.running else (1, "STOPPED")
    accepts = "STOPPABLE, NOT_PAUSABLE, ACCEPTS_SHUTDOWN" if service.running else "NOT_STOPPABLE, NOT_PAUSABLE, IGNORES_SHUTDOWN"
    return [
        f"        TYPE               : {service.type_code:x}  {kind} ",
        f"        STATE              : {number}  {state} ",
        f"                                ({accepts})",
        "        WIN32_EXIT_CODE    : 0  (0x0)",
        "        SERVICE_EXIT_CODE  : 0  (0x0)",
        "        CHECKPOINT         : 0x0",
        "        WAIT_HINT          : 0x0",
    ]


@program("sc.exe")
def sc(run: Run) -> int:
    """query and qc; what would change a service is not modelled."""
    given = [one.lower() for one in run.arguments]
    if not given or given[0] not in ("query", "qc") or len(given) > 2 or (given[0] == "qc" and len(given) != 2):
        raise run.unmodelled()
    if len(given) == 1:
        for service in sorted(run.host.services, key=lambda one: one.name.lower()):
            if service.running:
                run.write("", f"SERVICE_NAME: {service.name}", f"DISPLAY_NAME: {service.display_name}", *_state(service))
        return 0
    held = run.host.services.find(given[1])
    if held is None:
        verb = "EnumQueryServicesStatus" if given[0] == "query" else "OpenService"
        run.write(f"[SC] {verb}:OpenService FAILED 1060:" if given[0] == "query" else "[SC] OpenService FAILED 1060:", "")
        run.write("The specified service does not exist as an installed service.", "")
        return 1060
    if given[0] == "query":
        run.write("", f"SERVICE_NAME: {held.name} ", *_state(held))
        return 0
    start = {"Automatic": "2   AUTO_START", "Manual": "3   DEMAND_START", "Disabled": "4   DISABLED"}[held.start_type]
    run.write(
        "[SC] QueryServiceConfig SUCCESS",
        "",
        f"SERVICE_NAME: {held.name}",
        f"        TYPE               : {held.type_code:x}  WIN32_SHARE_PROCESS ",
        f"        START_TYPE         : {start}",
        "        ERROR_CONTROL      : 1   NORMAL",
        f"        BINARY_PATH_NAME   : {held.image}",
        "        LOAD_ORDER_GROUP   : ",
        "        TAG                : 0",
        f"        DISPLAY_NAME       : {held.display_name}",
        f"        DEPENDENCIES       : {', '.join(held.depends_on)}",
        f"        SERVICE_START_NAME : {held.account}",
    )
    return 0


_TASKS = (
    ("\\MicrosoftEdgeUpdateTaskMachineCore", "Ready"),
    ("\\Microsoft\\Windows\\Defrag\\ScheduledDefrag", "Ready"),
    ("\\Microsoft\\Windows\\Time Synchronization\\SynchronizeTime", "Ready"),
    ("\\Microsoft\\Windows\\Windows Defender\\Windows Defender Scheduled Scan", "Ready"),
)


@program("schtasks.exe")
def schtasks(run: Run) -> int:
    """/query, of all tasks or one; what would make or run a task is not modelled."""
    given = [one.lower() for one in run.arguments] or ["/query"]
    if given[0] != "/query":
        raise run.unmodelled()
    form, wanted = "table", ""
    rest = given[1:]
    while rest:
        one = rest.pop(0)
        if one == "/fo" and rest and rest[0] in ("table", "csv", "list"):
            form = rest.pop(0)
        elif one == "/tn" and rest:
            wanted = rest.pop(0)
        else:
            raise run.unmodelled()
    held = [(name, state) for name, state in _TASKS if not wanted or name.lower() == "\\" + wanted.lstrip("\\")]
    if not held:
        run.complain("ERROR: The system cannot find the file specified.")
        return 1
    headings = ("TaskName", "Next Run Time", "Status")
    if form != "table":
        run.write(*formatted(form, headings, [(name, "N/A", state) for name, state in held]))
        return 0
    folders: dict[str, list[tuple[str, str]]] = {}
    for name, state in held:
        folder, _, leaf = name.rpartition("\\")
        folders.setdefault(folder or "\\", []).append((leaf, state))
    for folder, tasks in folders.items():
        run.write(
            "",
            f"Folder: {folder}",
            f"{headings[0]:<40} {headings[1]:<22} {headings[2]:<15}",
            " ".join("=" * width for width in (40, 22, 15)),
        )
        run.write(*(f"{leaf[:40]:<40} {'N/A':<22} {state:<15}" for leaf, state in tasks))
    return 0
