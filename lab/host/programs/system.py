"""Programs about the machine: systeminfo, tasklist, taskkill, sc, schtasks, driverquery, query."""

from __future__ import annotations

import fnmatch
import ntpath
import re
from collections.abc import Callable, Sequence
from datetime import timedelta

from lab.host import inventory
from lab.host.happenings import Process
from lab.host.inventory import Task
from lab.host.programs.base import Run, program
from lab.host.programs.layout import formatted, us_moment, us_time
from lab.host.services import (
    ALREADY_RUNNING,
    CANNOT_START,
    DEPENDENTS_RUN,
    DISABLED,
    EXISTS,
    INVALID_CONTROL,
    NOT_FOUND,
    NOT_STARTED,
    Service,
    ServiceFault,
)


@program("sysinfo.exe")
def systeminfo(run: Run) -> int:
    """The facts of the machine as a list; /fo csv, list, table."""
    host, given = run.host, [one.lower() for one in run.arguments]
    form, headed = "list", True
    while given:
        one = given.pop(0)
        if one == "/fo" and given and given[0] in ("table", "csv", "list"):
            form = given.pop(0)
        elif one == "/nh":
            headed = False
        elif one == "/s" and given and given[0].strip("\\") in (host.name.lower(), "localhost", "127.0.0.1", host.ip):
            given.pop(0)
        else:
            raise run.unmodelled()
    memory = inventory.MEMORY // (1 << 20)
    fixes = [f"[{place:02}]: {one.name}" for place, one in enumerate(inventory.HOT_FIXES, 1)]
    cards = [
        "1 NIC(s) Installed.",
        "[01]: Intel(R) 82574L Gigabit Network Connection",
        "      Connection Name: Ethernet0",
        "      DHCP Enabled:    No",
        "      IP address(es)",
        f"      [01]: {host.ip}",
        f"      [02]: {host.tcpip.link_local}",
    ]
    hypervisor = "A hypervisor has been detected. Features required for Hyper-V will not be displayed."
    rows: tuple[tuple[str, str | list[str]], ...] = (
        ("Host Name", host.name),
        ("OS Name", inventory.CAPTION),
        ("OS Version", f"10.0.{inventory.BUILD} N/A Build {inventory.BUILD}"),
        ("OS Manufacturer", "Microsoft Corporation"),
        ("OS Configuration", "Member Workstation" if host.domain else "Standalone Workstation"),
        ("OS Build Type", "Multiprocessor Free"),
        ("Registered Owner", "Windows User"),
        ("Registered Organization", ""),
        ("Product ID", host.product_id),
        ("Original Install Date", us_moment(inventory.INSTALLED)),
        ("System Boot Time", us_moment(host.booted)),
        ("System Manufacturer", inventory.MANUFACTURER),
        ("System Model", inventory.MODEL),
        ("System Type", "x64-based PC"),
        ("Processor(s)", ["1 Processor(s) Installed.", f"[01]: {inventory.PROCESSOR_ID} GenuineIntel ~2394 Mhz"]),
        ("BIOS Version", f"{inventory.MANUFACTURER} {inventory.BIOS_VERSION}, {inventory.BIOS_DATE:%-m/%-d/%Y}"),
        ("Windows Directory", "C:\\Windows"),
        ("System Directory", "C:\\Windows\\system32"),
        ("Boot Device", "\\Device\\HarddiskVolume1"),
        ("System Locale", "en-us;English (United States)"),
        ("Input Locale", "en-us;English (United States)"),
        ("Time Zone", "(UTC) Coordinated Universal Time"),
        ("Total Physical Memory", f"{memory:,} MB"),
        ("Available Physical Memory", f"{memory // 2:,} MB"),
        ("Virtual Memory: Max Size", f"{memory * 5 // 4:,} MB"),
        ("Virtual Memory: Available", f"{memory * 3 // 4:,} MB"),
        ("Virtual Memory: In Use", f"{memory // 2:,} MB"),
        ("Page File Location(s)", "C:\\pagefile.sys"),
        ("Domain", host.domain or "WORKGROUP"),
        ("Logon Server", "N/A"),
        ("Hotfix(s)", [f"{len(fixes)} Hotfix(s) Installed.", *fixes]),
        ("Network Card(s)", cards),
        ("Hyper-V Requirements", hypervisor),
    )
    if form != "list":
        flat = [", ".join(value) if isinstance(value, list) else value for _, value in rows]
        run.write(*formatted(form, [name for name, _ in rows], [flat], with_headings=headed))
        return 0
    run.write("")
    for name, value in rows:
        first, *rest = value if isinstance(value, list) else [value]
        run.write(f"{name + ':':<26} {first}", *(f"{'':<26} {more}" for more in rest))
    return 0


def _memory(process: Process) -> str:
    return f"{3_900 + process.pid % 20_000:,} K"


def _filtered(run: Run, processes: Sequence[Process], filters: Sequence[str]) -> list[Process] | None:
    """The processes that /FI filters leave; None where one of them is no filter."""
    kept = list(processes)
    for text in filters:
        found = re.fullmatch(r"\s*(\w+)\s+(eq|ne|gt|lt|ge|le)\s+(.+?)\s*", text, re.IGNORECASE)
        if found is None:
            return None
        name, operator, wanted = found[1].lower(), found[2].lower(), found[3].strip('"').lower()
        if name in ("imagename", "pid", "username", "session", "services", "memusage", "status"):
            kept = [one for one in kept if _holds(run, one, name, operator, wanted)]
        else:
            return None
    return kept


def _holds(run: Run, process: Process, name: str, operator: str, wanted: str) -> bool:
    if name in ("pid", "session", "memusage"):
        number = {"pid": process.pid, "session": 0, "memusage": 3_900 + process.pid % 20_000}[name]
        if not wanted.isdigit():
            return False
        other = int(wanted)
        tests: dict[str, bool] = {
            "eq": number == other,
            "ne": number != other,
            "gt": number > other,
            "lt": number < other,
            "ge": number >= other,
            "le": number <= other,
        }
        return tests[operator]
    texts = {
        "imagename": [ntpath.basename(process.path)],
        "username": [f"{process.logon.account.domain}\\{process.logon.account.name}", process.logon.account.name],
        "services": [one.name for one in run.host.services_in(process)] if name == "services" else [],
        "status": ["running"],
    }[name]
    fits = any(fnmatch.fnmatchcase(one.lower(), wanted) for one in texts)
    return fits == (operator == "eq")


@program("tasklist.exe")
def tasklist(run: Run) -> int:
    """The live processes: /svc, /v, /fo, /nh, /fi; modules are not modelled."""
    given = list(run.arguments)
    form, headed, kind = "table", True, ""
    filters: list[str] = []
    while given:
        one = given.pop(0).lower().replace("-", "/", 1)
        if one == "/fo" and given and given[0].lower() in ("table", "csv", "list"):
            form = given.pop(0).lower()
        elif one == "/fi" and given:
            filters.append(given.pop(0))
        elif one == "/nh":
            headed = False
        elif one in ("/svc", "/v"):
            kind = one
        else:
            raise run.unmodelled()
    live = _filtered(run, run.host.processes, filters)
    if live is None:
        run.complain("ERROR: The search filter cannot be recognized.")
        return 1
    if not live:
        run.write("INFO: No tasks are running which match the specified criteria.")
        return 0
    headings: tuple[str, ...] = ("Image Name", "PID", "Session Name", "Session#", "Mem Usage")
    widths: tuple[int, ...] = (25, 8, 16, 11, 12)
    right: tuple[int, ...] = (1, 3, 4)
    rows: list[tuple[str, ...]] = [(ntpath.basename(one.path), str(one.pid), "Services", "0", _memory(one)) for one in live]
    if kind == "/svc":
        headings, widths, right = ("Image Name", "PID", "Services"), (25, 8, 44), (1,)
        held = [", ".join(one.name for one in run.host.services_in(process)) or "N/A" for process in live]
        rows = [(row[0], row[1], names) for row, names in zip(rows, held, strict=True)]
    elif kind == "/v":
        headings = (*headings, "Status", "User Name", "CPU Time", "Window Title")
        widths = (*widths, 15, 50, 12, 72)
        rows = [(*row, "Unknown", _user_of(one), f"0:00:{one.pid % 60:02}", "N/A") for row, one in zip(rows, live, strict=True)]
        right = (1, 3, 4, 7)
    if form != "table":
        run.write(*([""] if form == "list" else []), *formatted(form, headings, rows, with_headings=headed))
        return 0

    def line(cells: Sequence[str]) -> str:
        fitted = (
            cell[:width].rjust(width) if place in right else cell[:width].ljust(width)
            for place, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        return " ".join(fitted)

    if headed:
        run.write("", line(headings).rstrip() if kind else line(headings), " ".join("=" * width for width in widths))
    run.write(*(line(row).rstrip() if kind else line(row) for row in rows))
    return 0


def _user_of(process: Process) -> str:
    return f"{process.logon.account.domain}\\{process.logon.account.name}" if process.pid != 4 else "N/A"


_PROTECTED = ("system", "smss.exe", "csrss.exe", "wininit.exe", "winlogon.exe", "services.exe", "lsass.exe", "msmpeng.exe")


@program("taskkill.exe")
def taskkill(run: Run) -> int:
    """/pid, /im, /fi with /f and /t."""
    given, pids, names, filters, forced, tree = list(run.arguments), [], [], [], False, False
    while given:
        one = given.pop(0).lower().replace("-", "/", 1)
        if one == "/pid" and given:
            pids.append(given.pop(0))
        elif one == "/im" and given:
            names.append(given.pop(0))
        elif one == "/fi" and given:
            filters.append(given.pop(0))
        elif one in ("/f", "/t"):
            forced, tree = forced or one == "/f", tree or one == "/t"
        else:
            raise run.unmodelled()
    chosen: list[Process] = []
    for pid in pids:
        found = [one for one in run.host.processes if str(one.pid) == pid]
        if not found:
            run.complain(f'ERROR: The process "{pid}" not found.')
            return 128
        chosen += found
    for name in names:
        found = [one for one in run.host.processes if fnmatch.fnmatchcase(ntpath.basename(one.path).lower(), name.lower())]
        if not found:
            run.complain(f'ERROR: The process "{name}" not found.')
            return 128
        chosen += found
    kept = _filtered(run, chosen or run.host.processes, filters) if filters or chosen else None
    if kept is None:
        run.complain("ERROR: Invalid syntax. Neither /FI nor /PID nor /IM were specified.", 'Type "TASKKILL /?" for usage.')
        return 1
    code = 0
    for process in kept:
        shown = f'"{ntpath.basename(process.path)}" with PID {process.pid}' if names or filters else f"with PID {process.pid}"
        if ntpath.basename(process.path).lower() in _PROTECTED:
            run.complain(f"ERROR: The process {shown} could not be terminated.", "Reason: Access is denied.")
            code = 1
            continue
        if tree:
            run.host.end_tree(process)
        else:
            run.host.end_process(process, 1)
        said = "The process" if forced else "Sent termination signal to the process"
        run.write(f"SUCCESS: {said} {shown}{' has been terminated' if forced else ''}.")
    return code


# --- services -------------------------------------------------------------------------------------------------------------


def _kind(service: Service) -> str:
    if service.type_code == 0x110:
        return "WIN32_OWN_PROCESS  (interactive)"
    return "WIN32_OWN_PROCESS  " if service.own_process else "WIN32_SHARE_PROCESS  "


def _state(run: Run, service: Service, *, extended: bool = False, pending: str = "") -> list[str]:
    number, state = {"start": (2, "START_PENDING"), "stop": (3, "STOP_PENDING")}.get(
        pending, (4, "RUNNING") if service.running else (1, "STOPPED")
    )
    accepts = "NOT_STOPPABLE, NOT_PAUSABLE, IGNORES_SHUTDOWN"
    if service.running and not pending and service.stoppable:
        accepts = "STOPPABLE, NOT_PAUSABLE, ACCEPTS_SHUTDOWN"
    process = run.host.service_process(service)
    code = "0  (0x0)" if service.running or pending else "1077  (0x435)"
    more = [f"        PID                : {process.pid if process else 0}", "        FLAGS              : "] if extended else []
    return [
        f"        TYPE               : {service.type_code:x}  {_kind(service)}",
        f"        STATE              : {number}  {state} ",
        f"                                ({accepts})",
        f"        WIN32_EXIT_CODE    : {code}",
        "        SERVICE_EXIT_CODE  : 0  (0x0)",
        "        CHECKPOINT         : 0x0",
        "        WAIT_HINT          : 0x0",
        *more,
    ]


_SC_TEXTS = {
    NOT_FOUND: "The specified service does not exist as an installed service.",
    ALREADY_RUNNING: "An instance of the service is already running.",
    NOT_STARTED: "The service has not been started.",
    DISABLED: "The service cannot be started, either because it is disabled or because it has no enabled devices associated with it.",
    DEPENDENTS_RUN: "A stop control has been sent to a service that other running services are dependent on.",
    EXISTS: "The specified service already exists.",
    INVALID_CONTROL: "The requested control is not valid for this service.",
    CANNOT_START: "The service did not respond to the start or control request in a timely fashion.",
}
_STARTS = {"boot": "Boot", "system": "System", "auto": "Automatic", "demand": "Manual", "disabled": "Disabled", "delayed-auto": "Automatic"}
_START_CODES = {"Boot": "0   BOOT_START", "System": "1   SYSTEM_START", "Automatic": "2   AUTO_START", "Manual": "3   DEMAND_START"}
_START_CODES["Disabled"] = "4   DISABLED"


@program("sc.exe")
def sc(run: Run) -> int:
    """query, queryex, qc, qdescription, start, stop, config, create, delete, and what else is read of a service."""
    given = list(run.arguments)
    if given and given[0].startswith("\\\\"):
        if given[0].strip("\\").lower() not in (run.host.name.lower(), "localhost", "127.0.0.1", run.host.ip):
            run.write("[SC] OpenSCManager FAILED 1722:", "", "The RPC server is unavailable.", "")
            return 1722
        given.pop(0)
    verb = given.pop(0).lower() if given else ""
    body = _SC.get(verb)
    if body is None:
        raise run.unmodelled()
    try:
        return body(run, given)
    except ServiceFault as fault:
        call = {"query": "EnumQueryServicesStatus:OpenService", "queryex": "EnumQueryServicesStatus:OpenService"}.get(verb, "")
        if not call:
            names = {"start": "StartService", "stop": "ControlService", "create": "CreateService"}
            call = "OpenService" if fault.code == NOT_FOUND else names.get(verb, "OpenService")
            call = f"{names[verb]}: {call}" if call == "OpenService" and verb == "start" else call
        run.write(f"[SC] {call} FAILED {fault.code}:", "", _SC_TEXTS.get(fault.code, "Access is denied."), "")
        return fault.code


def _sc_query(run: Run, given: list[str], *, extended: bool = False) -> int:
    options = _pairs(given)
    names = [one for one in given if not one.endswith("=")][: 1 if not options else 0]
    if names and "=" not in given[0]:
        held = run.host.services.get(names[0])
        run.write("", f"SERVICE_NAME: {held.name} ", *_state(run, held, extended=extended))
        return 0
    wanted = options.get("state", "active").lower()
    if options.get("type", "service").lower() not in ("service", "all"):
        raise run.unmodelled()
    for service in run.host.services:
        if wanted == "all" or service.running == (wanted == "active"):
            run.write(
                "", f"SERVICE_NAME: {service.name}", f"DISPLAY_NAME: {service.display_name}", *_state(run, service, extended=extended)
            )
    return 0


def _sc_queryex(run: Run, given: list[str]) -> int:
    return _sc_query(run, given, extended=True)


def _pairs(given: Sequence[str]) -> dict[str, str]:
    """`name= value` and `name=value`, as sc.exe takes its options."""
    held: dict[str, str] = {}
    place = 0
    while place < len(given):
        name, sign, value = given[place].partition("=")
        if sign and not value and place + 1 < len(given):
            place += 1
            value = given[place]
        if sign:
            held[name.lower()] = value
        place += 1
    return held


def _named(run: Run, given: list[str]) -> Service:
    if not given:
        raise run.unmodelled()
    held = run.host.services.find(given[0])
    if held is None:
        raise ServiceFault(given[0], NOT_FOUND)
    return held


def _sc_config_shown(run: Run, given: list[str]) -> int:
    held = _named(run, given)
    first, *rest = held.depends_on or ("",)
    run.write(
        "[SC] QueryServiceConfig SUCCESS",
        "",
        f"SERVICE_NAME: {held.name}",
        f"        TYPE               : {held.type_code:x}  {_kind(held)}".rstrip() + " ",
        f"        START_TYPE         : {_START_CODES[held.start_type]}{'  (DELAYED)' if held.delayed else ''}",
        "        ERROR_CONTROL      : 1   NORMAL",
        f"        BINARY_PATH_NAME   : {held.image}",
        "        LOAD_ORDER_GROUP   : ",
        "        TAG                : 0",
        f"        DISPLAY_NAME       : {held.display_name}",
        f"        DEPENDENCIES       : {first}",
        *(f"                           : {name}" for name in rest),
        f"        SERVICE_START_NAME : {held.account}",
    )
    return 0


def _sc_description(run: Run, given: list[str]) -> int:
    held = _named(run, given)
    run.write("[SC] QueryServiceConfig2 SUCCESS", "", f"SERVICE_NAME: {held.name}", f"DESCRIPTION:  {held.description}")
    return 0


def _sc_start(run: Run, given: list[str]) -> int:
    held = _named(run, given)
    run.host.services.start(held.name)
    run.write("", f"SERVICE_NAME: {held.name} ", *_state(run, run.host.services.get(held.name), extended=True, pending="start"))
    return 0


def _sc_stop(run: Run, given: list[str]) -> int:
    held = _named(run, given)
    run.host.services.stop(held.name)
    run.write("", f"SERVICE_NAME: {held.name} ", *_state(run, run.host.services.get(held.name), pending="stop"))
    return 0


def _sc_config(run: Run, given: list[str]) -> int:
    held, options = _named(run, given), _pairs(given[1:])
    start = options.get("start")
    if start is not None and start.lower() not in _STARTS:
        raise run.unmodelled()
    run.host.services.change(
        held.name,
        start_type=_STARTS[start.lower()] if start is not None else None,
        display_name=options.get("displayname"),
        image=options.get("binpath"),
    )
    run.write("[SC] ChangeServiceConfig SUCCESS")
    return 0


def _sc_create(run: Run, given: list[str]) -> int:
    options = _pairs(given[1:])
    if not given or "binpath" not in options:
        raise run.unmodelled()
    service = Service(
        name=given[0],
        display_name=options.get("displayname", given[0]),
        running=False,
        start_type=_STARTS.get(options.get("start", "demand").lower(), "Manual"),
        type_code=0x10,
        image=options["binpath"],
    )
    run.host.services.create(service)
    run.write("[SC] CreateService SUCCESS")
    return 0


def _sc_delete(run: Run, given: list[str]) -> int:
    run.host.services.delete(_named(run, given).name)
    run.write("[SC] DeleteService SUCCESS")
    return 0


def _sc_key_name(run: Run, given: list[str]) -> int:
    held = next((one for one in run.host.services if given and one.display_name.lower() == given[0].lower()), None)
    if held is None:
        raise ServiceFault("", NOT_FOUND)
    run.write("[SC] GetServiceKeyName SUCCESS", f"Name = {held.name}")
    return 0


def _sc_display_name(run: Run, given: list[str]) -> int:
    run.write("[SC] GetServiceDisplayName SUCCESS", f"Name = {_named(run, given).display_name}")
    return 0


def _sc_dependents(run: Run, given: list[str]) -> int:
    held = run.host.services.dependents(_named(run, given).name)
    run.write(f"[SC] EnumDependentServices: entriesread = {len(held)}")
    for one in held:
        run.write("", f"SERVICE_NAME: {one.name}", f"DISPLAY_NAME: {one.display_name}", *_state(run, one))
    return 0


def _sc_security(run: Run, given: list[str]) -> int:
    if given and given[0].lower() != "scmanager":
        _named(run, given)
    text = "D:(A;;CCLCSWRPWPDTLOCRRC;;;SY)(A;;CCDCLCSWRPWPDTLOCRSDRCWDWO;;;BA)(A;;CCLCSWLOCRRC;;;IU)(A;;CCLCSWLOCRRC;;;SU)"
    run.write("", text)
    return 0


_SC: dict[str, Callable[[Run, list[str]], int]] = {
    "query": _sc_query,
    "queryex": _sc_queryex,
    "qc": _sc_config_shown,
    "qdescription": _sc_description,
    "start": _sc_start,
    "stop": _sc_stop,
    "config": _sc_config,
    "create": _sc_create,
    "delete": _sc_delete,
    "getkeyname": _sc_key_name,
    "getdisplayname": _sc_display_name,
    "enumdepend": _sc_dependents,
    "sdshow": _sc_security,
}


# --- tasks and drivers ----------------------------------------------------------------------------------------------------


def _next_run(run: Run, task: Task) -> str:
    if task.period is None:
        return "N/A"
    moment = run.host.booted + task.period
    while moment < run.host.now():
        moment += max(task.period, timedelta(minutes=1))
    return f"{moment.month}/{moment.day}/{moment.year} {us_time(moment)}"


@program("schtasks.exe")
def schtasks(run: Run) -> int:
    """/query, of all tasks or one, in every form; what would make or run a task is not modelled."""
    given = [one.lower() for one in run.arguments] or ["/query"]
    if given.pop(0) not in ("/query", "-query"):
        raise run.unmodelled()
    form, wanted, verbose, headed = "table", "", False, True
    while given:
        one = given.pop(0)
        if one == "/fo" and given and given[0] in ("table", "csv", "list"):
            form = given.pop(0)
        elif one == "/tn" and given:
            wanted = given.pop(0)
        elif one in ("/v", "/nh"):
            verbose, headed = verbose or one == "/v", headed and one != "/nh"
        else:
            raise run.unmodelled()
    full = "\\" + wanted.strip("\\")
    held = [one for one in run.host.tasks if not wanted or f"{one.path}{one.name}".lower() == full or one.path.lower() == full + "\\"]
    if not held:
        run.complain("ERROR: The system cannot find the file specified.")
        return 1
    headings: tuple[str, ...] = ("TaskName", "Next Run Time", "Status")
    rows: list[tuple[str, ...]] = [(f"{one.path}{one.name}", _next_run(run, one), one.state) for one in held]
    if verbose:
        headings = ("HostName", *headings, "Logon Mode", "Last Run Time", "Last Result", "Author", "Task To Run", "Start In", "Comment")
        headings += ("Scheduled Task State", "Idle Time", "Power Management", "Run As User")
        last = f"{run.host.booted.month}/{run.host.booted.day}/{run.host.booted.year} {us_time(run.host.booted)}"
        rows = [
            (
                *(run.host.name, *row, "Interactive/Background", last, "0", one.author, one.run, "N/A", one.description or "N/A"),
                *("Enabled", "Disabled", "Stop On Battery Mode, No Start On Batteries", one.user),
            )
            for row, one in zip(rows, held, strict=True)
        ]
    if form != "table":
        head = list(headings)
        if form == "list" and verbose:
            for task, row in zip(held, rows, strict=True):
                run.write(
                    "",
                    f"Folder: {task.path.rstrip(chr(92)) or chr(92)}",
                    *(f"{name + ':':<37} {cell}" for name, cell in zip(head, row, strict=True)),
                )
            return 0
        run.write(*formatted(form, head, rows, with_headings=headed))
        return 0
    folders: dict[str, list[Task]] = {}
    for task in held:
        folders.setdefault(task.path.rstrip("\\") or "\\", []).append(task)
    for folder, tasks in folders.items():
        run.write("", f"Folder: {folder}")
        if headed:
            run.write(f"{'TaskName':<40} {'Next Run Time':<22} {'Status':<15}", " ".join("=" * width for width in (40, 22, 15)))
        run.write(*(f"{one.name[:40]:<40} {_next_run(run, one):<22} {one.state:<15}" for one in tasks))
    return 0


@program("drvqry.exe")
def driverquery(run: Run) -> int:
    """The loaded drivers: /fo, /nh, /v."""
    given = [one.lower() for one in run.arguments]
    form, headed = "table", True
    while given:
        one = given.pop(0)
        if one == "/fo" and given and given[0] in ("table", "csv", "list"):
            form = given.pop(0)
        elif one in ("/nh", "/v"):
            headed = headed and one != "/nh"
        else:
            raise run.unmodelled()
    headings = ("Module Name", "Display Name", "Driver Type", "Link Date")
    rows = [(one.name, one.display_name, f"{one.kind} ", one.linked) for one in inventory.DRIVERS]
    if form != "table":
        run.write(*formatted(form, headings, rows, with_headings=headed))
        return 0
    widths = (12, 22, 13, 22)
    run.write(
        "", " ".join(name.ljust(width) for name, width in zip(headings, widths, strict=True)), " ".join("=" * width for width in widths)
    )
    run.write(*(" ".join(cell[:width].ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows))
    return 0
