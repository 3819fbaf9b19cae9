"""Programs about logs, policies, accounts at a domain and storage that people read: wevtutil, auditpol, gpresult, nltest, klist and kin."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import groupby

from harness.events.windows import WindowsEvent
from harness.events.windows_xml import render
from lab.host import inventory
from lab.host.audit_policy import INCLUSION, Subcategory
from lab.host.files import FileFault, absolute
from lab.host.programs.base import Run, program

_CHANNEL = "The specified channel could not be found."


@program("wevtutil.exe")
def wevtutil(run: Run) -> int:
    """el, gl, gli, qe of the host's own logs; what clears, exports or installs is not modelled."""
    given = list(run.arguments)
    verb = given.pop(0).lower() if given else ""
    logs = run.host.logs
    if verb in ("el", "enum-logs"):
        run.write(*(one.name for one in logs.all))
        return 0
    names = [one for one in given if not one.startswith("/")]
    options = {head.lower(): value for head, _, value in (one[1:].partition(":") for one in given if one.startswith("/"))}
    if verb not in ("gl", "get-log", "gli", "get-log-info", "qe", "query-events") or len(names) != 1:
        raise run.unmodelled()
    log = logs.find(names[0])
    if log is None:
        run.complain(_CHANNEL)
        return 15007
    records = logs.records(log)
    if verb in ("gl", "get-log"):
        run.write(
            f"name: {log.name}",
            f"enabled: {'true' if log.enabled else 'false'}",
            f"type: {'Admin' if log.classic else 'Operational'}",
            "owningPublisher: ",
            f"isolation: {'Application' if log.name != 'Security' else 'Custom'}",
            "logging:",
            f"  logFileName: {log.path}",
            "  retention: false",
            "  autoBackup: false",
            f"  maxSize: {log.size}",
            "publishing:",
            "  fileMax: 1",
        )
        return 0
    if verb in ("gli", "get-log-info"):
        oldest = records[-1].record_id if records else 0
        run.write(
            f"creationTime: {inventory.INSTALLED:%Y-%m-%dT%H:%M:%S}.000Z",
            f"lastAccessTime: {run.host.now():%Y-%m-%dT%H:%M:%S}.000Z",
            f"lastWriteTime: {run.host.now():%Y-%m-%dT%H:%M:%S}.000Z",
            f"fileSize: {69632 + 512 * len(records)}",
            "attributes: 32",
            f"numberOfLogRecords: {len(records)}",
            f"oldestRecordNumber: {oldest}",
        )
        return 0
    return _query(run, records, options)


_ID = re.compile(r"EventID\s*=\s*(\d+)")


def _query(run: Run, records: list[WindowsEvent], options: dict[str, str]) -> int:
    if set(options) - {"c", "count", "rd", "reversedirection", "f", "format", "q", "query", "e", "element", "uni", "unicode"}:
        raise run.unmodelled()
    newest_first = options.get("rd", options.get("reversedirection", "false")).lower() == "true"
    text = options.get("q", options.get("query", "*"))
    ids = [int(one) for one in _ID.findall(text)]
    left = re.sub(r"[*\[\]()\s]|System|\bor\b|\band\b", "", _ID.sub("", text))
    if left:
        raise run.unmodelled()
    kept = [one for one in records if not ids or one.event_id in ids]
    kept = kept if newest_first else list(reversed(kept))
    count = options.get("c", options.get("count", ""))
    kept = kept[: int(count)] if count.isdigit() else kept
    for place, event in enumerate(kept):
        run.world.io.wait(0)
        if options.get("f", options.get("format", "xml")).lower() == "text":
            run.write(*_as_text(place, event))
        else:
            run.write(render(replace(event, message="")))
    return 0


def _as_text(place: int, event: WindowsEvent) -> list[str]:
    message = event.message or "\r\n".join(f"{name}: {value}" for name, value in event.data.items()) or "\r\n".join(event.strings)
    return [
        f"Event[{place}]:",
        f"  Log Name: {event.channel}",
        f"  Source: {event.provider}",
        f"  Date: {event.created:%Y-%m-%dT%H:%M:%S}.{event.created.microsecond * 10:07d}Z",
        f"  Event ID: {event.event_id}",
        f"  Task: {event.task}",
        f"  Level: {'Information' if int(event.level) in (0, 4) else int(event.level)}",
        f"  Opcode: {event.opcode}",
        "  Keyword: N/A",
        f"  User: {event.user_sid or 'N/A'}",
        "  User Name: N/A",
        f"  Computer: {event.computer}",
        "  Description: ",
        *message.splitlines(),
        "",
    ]


@program("AUDITPOL.EXE")
def auditpol(run: Run) -> int:
    """/get of categories and subcategories, for people or as CSV (/r), /list, and /backup; what sets them is not modelled."""
    given = [one for one in run.arguments if one.lower() != "/r"]
    as_csv = len(given) < len(run.arguments)
    verb = given[0].lower() if given else ""
    option, _, value = given[1].partition(":") if len(given) == 2 else ("", "", "")
    policy = run.host.audit_policy
    if not run.process.logon.elevated:
        run.complain("Error 0x00000522 occurred:", "A required privilege is not held by the client.", "")
        return 1314
    if verb == "/backup" and option.lower() == "/file" and value:
        rows = [",".join((*_AUDIT_HEAD, "Setting Value")), *(f"{_audit_row(run, one)},{one.value}" for one in policy)]
        try:
            run.host.files.write(absolute(value, run.world.directory), "".join(f"{row}\r\n" for row in rows).encode("utf-8"))
        except FileFault:
            run.complain("Error 0x00000003 occurred:", "The system cannot find the path specified.", "")
            return 3
        run.write("The command was successfully executed.")
        return 0
    if verb != "/get" or option.lower() not in ("/category", "/subcategory"):
        raise run.unmodelled()
    found = policy.of(value.split(","))
    if not found:
        run.complain("Error 0x00000057 occurred:", "The parameter is incorrect.", "")
        return 87
    if as_csv:
        run.write("", ",".join(_AUDIT_HEAD), *(_audit_row(run, one) for one in found))
        return 0
    run.write("System audit policy", "Category/Subcategory                      Setting")
    for category, lines in groupby(found, key=lambda one: one.category):
        run.write(category, *(f"  {one.name:<40}{INCLUSION[one.value]}" for one in lines))
    return 0


_AUDIT_HEAD = ("Machine Name", "Policy Target", "Subcategory", "Subcategory GUID", "Inclusion Setting", "Exclusion Setting")


def _audit_row(run: Run, one: Subcategory) -> str:
    return f"{run.host.name.upper()},System,{one.name},{one.guid},{INCLUSION[one.value]},"


@program("gprslt.exe")
def gpresult(run: Run) -> int:
    """/r: no policy of a domain has been applied."""
    given = [one.lower() for one in run.arguments]
    if not given or any(one not in ("/r", "/z", "/v", "/scope", "computer", "user") for one in given):
        raise run.unmodelled()
    account, host = run.process.logon.account, run.host
    name = f"{account.domain}\\{account.name}"
    run.write(
        "", "Microsoft (R) Windows (R) Operating System Group Policy Result tool v2.0", "© Microsoft Corporation. All rights reserved.", ""
    )
    run.write(f'INFO: The user "{name}" does not have RSoP data.')
    return 1 if host.domain else 0


@program("nltestrk.exe")
def nltest(run: Run) -> int:
    """Questions about the domain: the lab has no domain controller that could answer them."""
    host = run.host
    verb = run.arguments[0].lower().partition(":")[0].replace("-", "/", 1) if run.arguments else ""
    if verb in ("/domain_trusts", "/trusted_domains"):
        if not host.domain:
            run.complain("Enumerating domain trusts failed: Status = 1717 0x6b5 RPC_S_UNKNOWN_IF")
            return 1717
        run.write(
            "List of domain trusts:", f"    0: {host.netbios_domain} {host.domain} (NT 5) (Forest Tree Root) (Primary Domain) (Native)"
        )
        run.write("The command completed successfully")
        return 0
    if verb in ("/dsgetdc", "/dclist", "/sc_query", "/sc_verify", "/dsgetsite", "/dsgetfti", "/whowill"):
        what = {"/dclist": "Cannot find DC to get DC list from.Status", "/sc_query": "I_NetLogonControl failed: Status"}
        run.write(f"{what.get(verb, 'Getting DC name failed: Status')} = 1355 0x54b ERROR_NO_SUCH_DOMAIN")
        if verb == "/dclist":
            run.write("The command completed successfully")
        return 1355
    if verb == "/parentdomain":
        run.write(f"{host.domain} (1)", "The command completed successfully")
        return 0
    raise run.unmodelled()


@program("klist.exe")
def klist(run: Run) -> int:
    """The tickets of the session: none, as the lab has no domain controller."""
    if run.arguments and run.arguments[0].lower() not in ("tickets", "tgt", "sessions", "purge"):
        raise run.unmodelled()
    logon = run.process.logon
    run.write("", f"Current LogonId is 0:0x{logon.logon_id:x}")
    match run.arguments[0].lower() if run.arguments else "tickets":
        case "tickets":
            run.write("", "Cached Tickets: (0)", "")
        case "purge":
            run.write("\tDeleting all tickets:", "\tTicket(s) purged!")
        case "sessions":
            account = logon.account
            run.write(f"[0] Session 0 0:0x{logon.logon_id:x} {account.domain}\\{account.name} {logon.package.value}:Network")
        case _:
            run.write("Error calling API LsaCallAuthenticationPackage (Ticket Granting Ticket substatus): 1312", "")
            return 1
    return 0


@program("cmdkey.exe")
def cmdkey(run: Run) -> int:
    """/list: no stored credentials."""
    if [one.lower().partition(":")[0] for one in run.arguments] != ["/list"]:
        raise run.unmodelled()
    run.write("", "Currently stored credentials:", "", "* NONE *", "")
    return 0


@program("setspn.exe")
def setspn(run: Run) -> int:
    """Asks the directory, which the lab has not."""
    if not run.arguments or run.arguments[0].lower() not in ("-q", "-l", "-t", "-x", "-f", "-r"):
        raise run.unmodelled()
    run.write("Ldap Error(0x51 -- Server Down): ldap_connect", 'Failed to retrieve DN for domain "" : 0x00000051')
    run.write("Warning: No valid targets specified, reverting to current domain.")
    return 1


@program("VSSADMIN.EXE")
def vssadmin(run: Run) -> int:
    """list of shadows, writers, providers and volumes; what makes or removes a shadow is not modelled."""
    given = [one.lower() for one in run.arguments]
    head = ["vssadmin 1.1 - Volume Shadow Copy Service administrative command-line tool", "(C) Copyright 2001-2013 Microsoft Corp.", ""]
    match given[:2]:
        case ["list", "shadows"] | ["list", "shadowstorage"]:
            run.write(*head, "No items found that satisfy the query.", "")
            return 1
        case ["list", "providers"]:
            run.write(*head, "Provider name: 'Microsoft Software Shadow Copy provider 1.0'", "   Provider type: System")
            run.write("   Provider Id: {b5946137-7b9f-4925-af80-51abd60b20d5}", "   Version: 1.0.0.7", "")
        case ["list", "volumes"]:
            run.write(*head, "Volume path: C:\\", "    Volume name: \\\\?\\Volume{5ac17b0e-0000-0000-0000-000000000001}\\", "")
        case ["list", "writers"]:
            run.write(*head)
            for name in ("Task Scheduler Writer", "VSS Metadata Store Writer", "System Writer", "Registry Writer", "WMI Writer"):
                run.write(f"Writer name: '{name}'", "   State: [1] Stable", "   Last error: No error", "")
        case _:
            raise run.unmodelled()
    return 0


@program("fsutil.exe")
def fsutil(run: Run) -> int:
    """fsinfo of drives and volumes."""
    given = [one.lower() for one in run.arguments]
    disk = inventory.DISKS[0]
    match given:
        case ["fsinfo", "drives"]:
            run.write("", "Drives: " + " ".join(f"{one.letter}\\" for one in inventory.DISKS))
        case ["fsinfo", "drivetype", letter]:
            run.write(f"{letter.upper()} - {'Fixed Drive' if letter.startswith('c') else 'CD-ROM Drive'}")
        case ["fsinfo", "volumeinfo", letter] if letter.startswith("c"):
            run.write(
                f"Volume Name : {disk.label}",
                f"Volume Serial Number : 0x{disk.serial.lower()}",
                "Max Component Length : 255",
                "File System Name : NTFS",
            )
        case ["volume", "diskfree", letter] if letter.startswith("c"):
            run.write(f"Total free bytes        : {disk.free:>17,} ({disk.free / 1e9:.1f} GB)")
            run.write(f"Total bytes             : {disk.size:>17,} ({disk.size / 1e9:.1f} GB)")
        case ["behavior", "query", "disablelastaccess"]:
            run.write("DisableLastAccess = 2  (System Managed, Last Access Time Updates ENABLED)")
        case _:
            raise run.unmodelled()
    return 0


@program("w32time.dll")
def w32tm(run: Run) -> int:
    """/query /status and /tz."""
    given = [one.lower() for one in run.arguments]
    if given == ["/tz"]:
        run.write("Time zone: Current:TIME_ZONE_ID_UNKNOWN Bias: 0min (UTC=LocalTime+Bias)")
    elif given[:2] == ["/query", "/status"]:
        run.write(
            "Leap Indicator: 0(no warning)", "Stratum: 1 (primary reference - syncd by radio clock)", "Precision: -23 (119.209ns per tick)"
        )
        run.write('ReferenceId: 0x4C4F434C (source name:  "LOCL")', "Source: Local CMOS Clock", "Poll Interval: 6 (64s)", "")
    elif given[:2] == ["/query", "/source"]:
        run.write("Local CMOS Clock")
    else:
        raise run.unmodelled()
    return 0


@program("fltMC.exe")
def fltmc(run: Run) -> int:
    """The filters of the file system."""
    if run.arguments and run.arguments[0].lower() not in ("filters", "instances"):
        raise run.unmodelled()
    run.write(
        "",
        "Filter Name                     Num Instances    Altitude    Frame",
        "------------------------------  -------------  ------------  -----",
    )
    for name, count, altitude in (
        ("bindflt", 1, "409800"),
        ("SysmonDrv", 4, "385201"),
        ("WdFilter", 4, "328010"),
        ("storqosflt", 0, "244000"),
    ):
        run.write(f"{name:<30}  {count:>13}  {altitude:>12}  {0:>5}")
    return 0
