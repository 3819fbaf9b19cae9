"""wmic.exe over the host's WMI classes: aliases, `path`, `where`, `get`, `list brief|full`, /format, /value. Nothing is called or set."""

from __future__ import annotations

import re
from datetime import datetime

from lab.host.programs.base import Run, program
from lab.host.wmi import Row, WmiClass, find_class
from lab.host.wql import WqlFault, condition

# The alias, the class, and the properties that `list brief` shows.
_ALIASES: dict[str, tuple[str, tuple[str, ...]]] = {
    "baseboard": ("Win32_BaseBoard", ("Manufacturer", "Model", "Name", "SerialNumber")),
    "bios": ("Win32_BIOS", ("Manufacturer", "Name", "SerialNumber", "Version")),
    "computersystem": ("Win32_ComputerSystem", ("Domain", "Manufacturer", "Model", "Name", "PrimaryOwnerName", "TotalPhysicalMemory")),
    "cpu": ("Win32_Processor", ("Caption", "DeviceID", "Manufacturer", "MaxClockSpeed", "Name", "SocketDesignation")),
    "csproduct": ("Win32_ComputerSystemProduct", ("IdentifyingNumber", "Name", "Vendor", "Version")),
    "diskdrive": ("Win32_DiskDrive", ("Caption", "DeviceID", "Model", "Partitions", "Size")),
    "environment": ("Win32_Environment", ("Name", "UserName", "VariableValue")),
    "group": ("Win32_Group", ("Caption", "Domain", "Name", "SID")),
    "logicaldisk": ("Win32_LogicalDisk", ("DeviceID", "DriveType", "FreeSpace", "ProviderName", "Size", "VolumeName")),
    "logon": ("Win32_LogonSession", ("AuthenticationPackage", "LogonId", "LogonType", "Name", "StartTime")),
    "memorychip": ("Win32_PhysicalMemory", ("Capacity", "DeviceLocator", "Tag")),
    "netlogin": ("Win32_LoggedOnUser", ("Antecedent", "Dependent")),
    "nic": ("Win32_NetworkAdapter", ("AdapterType", "DeviceID", "MACAddress", "Name", "Speed")),
    "nicconfig": ("Win32_NetworkAdapterConfiguration", ("DHCPEnabled", "IPAddress", "MACAddress", "Description")),
    "ntdomain": ("Win32_NTDomain", ("Caption", "ClientSiteName", "DomainControllerName", "DomainName", "Status")),
    "os": ("Win32_OperatingSystem", ("BuildNumber", "Organization", "RegisteredUser", "SerialNumber", "SystemDirectory", "Version")),
    "printer": ("Win32_Printer", ("Name", "PrinterState", "PrinterStatus", "ShareName", "SystemName")),
    "process": ("Win32_Process", ("HandleCount", "Name", "Priority", "ProcessId", "ThreadCount", "WorkingSetSize")),
    "product": ("Win32_Product", ("Caption", "IdentifyingNumber", "Name", "Vendor", "Version")),
    "qfe": ("Win32_QuickFixEngineering", ("Description", "FixComments", "HotFixID", "InstalledBy", "InstalledOn")),
    "service": ("Win32_Service", ("ExitCode", "Name", "ProcessId", "StartMode", "State", "Status")),
    "share": ("Win32_Share", ("Name", "Path", "Type")),
    "shadowcopy": ("Win32_ShadowCopy", ("ID", "InstallDate", "VolumeName")),
    "startup": ("Win32_StartupCommand", ("Caption", "Command", "User")),
    "sysaccount": ("Win32_UserAccount", ("Domain", "Name", "SID")),
    "sysdriver": ("Win32_SystemDriver", ("Name", "StartMode", "State", "Status")),
    "timezone": ("Win32_TimeZone", ("Bias", "Caption")),
    "useraccount": ("Win32_UserAccount", ("AccountType", "Caption", "Domain", "FullName", "Name", "SID")),
    "volume": ("Win32_Volume", ("Capacity", "DriveLetter", "FileSystem", "FreeSpace", "Label")),
    "desktop": ("Win32_Desktop", ("Name", "ScreenSaverActive")),
}


@program("wmic.exe")
def wmic(run: Run) -> int:
    """One command; a session of its own is not modelled."""
    text = run.tail.strip()
    namespace = "root/cimv2"
    while found := re.match(r"(?i)/(namespace|node|output|user|password|failfast|interactive|trace|append):(\"[^\"]*\"|\S+)\s*", text):
        value = found[2].strip('"')
        if found[1].lower() == "namespace":
            namespace = value.replace("\\", "/").strip("/")
        elif found[1].lower() != "node" or value.lower().strip("'") not in (run.host.name.lower(), "localhost", "127.0.0.1", "."):
            raise run.unmodelled()
        text = text[found.end() :]
    words = re.match(r"(?i)(?:(path|class)\s+)?(\S+)\s*(.*)$", text, re.DOTALL)
    if words is None:
        raise run.unmodelled()
    name = words[2]
    brief: tuple[str, ...] = ()
    if not words[1]:
        known = _ALIASES.get(name.lower())
        if known is None:
            run.complain(f"{name} - Alias not found.", "")
            return 44135
        name, brief = known
    cls = find_class(namespace, name)
    if cls is None:
        if namespace.lower() not in ("root/cimv2", "root/securitycenter2") or name.lower().startswith(("win32_", "cim_", "msft_")):
            raise run.unmodelled()
        run.complain(f"Node - {run.host.name}", "ERROR:", "Description = Invalid class ", "")
        return -2147217392
    return _answer(run, cls, words[3].strip(), brief)


def _answer(run: Run, cls: WmiClass, rest: str, brief: tuple[str, ...]) -> int:
    rows = cls.rows(run.host)
    where = re.match(
        r"(?i)where\s+(\"[^\"]*\"|\(.*?\)(?=\s+(?:get|list|call)|\s*$)|.+?(?=\s+(?:get|list|call)\b|\s*$))\s*", rest, re.DOTALL
    )
    if where:
        text = where[1].strip()
        text = text[1:-1] if text[:1] == '"' or (text[:1] == "(" and text.endswith(")")) else text
        try:
            holds = condition(text.replace('\\"', '"'))
        except WqlFault:
            run.complain(f"Node - {run.host.name}", "ERROR:", "Description = Invalid query", "")
            return -2147217385
        rows = [row for row in rows if holds(row)]
        rest = rest[where.end() :]
    form = "table"
    found = re.search(r"(?i)\s*/(?:format:(\"[^\"]*\"|\S+)|(value)|(all))(?=\s|$)", rest)
    if found:
        form = "value" if found[2] else (found[1] or "table").strip('"').lower().split(":")[0]
        rest = rest[: found.start()] + rest[found.end() :]
    if form not in ("table", "value", "list", "csv"):
        raise run.unmodelled()
    verb, _, asked = rest.strip().partition(" ")
    names: list[str]
    match verb.lower():
        case "get":
            names = [one.strip() for one in asked.split(",") if one.strip() and one.strip() != "*"] or sorted(rows[0] if rows else ())
            unknown = [one for one in names if rows and one.lower() not in (key.lower() for key in rows[0])]
            if unknown:
                run.complain(f"Node - {run.host.name}", "ERROR:", "Description = Invalid query", "")
                return -2147217385
        case "list" | "":
            style = asked.strip().lower() or ("full" if verb else "all")
            names = list(brief) if style == "brief" and brief else sorted(rows[0] if rows else ())
            form = "value" if style == "full" and form == "table" else form
        case _:
            raise run.unmodelled()
    if not rows:
        run.complain("No Instance(s) Available.", "")
        return 0
    keys = sorted((next(key for key in rows[0] if key.lower() == name.lower()) for name in names), key=str.lower)
    _write(run, rows, keys, form)
    return 0


def _text(value: object) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "TRUE" if value else "FALSE"
        case datetime():
            return f"{value:%Y%m%d%H%M%S}.{value.microsecond:06d}+000"
        case list():
            return "{" + ", ".join(f'"{one}"' for one in value) + "}"
        case _:
            return str(value)


def _write(run: Run, rows: list[Row], keys: list[str], form: str) -> None:
    if form in ("value", "list"):
        run.write("")
        for row in rows:
            run.write("", *(f"{key}={_text(row[key])}" for key in keys), "", "")
        return
    if form == "csv":
        run.write(
            "",
            ",".join(("Node", *keys)),
            *(",".join((run.host.name, *(_text(row[key]).replace(",", ";") for key in keys))) for row in rows),
        )
        return
    cells = [[_text(row[key]) for key in keys] for row in rows]
    widths = [max(len(key), *(len(row[place]) for row in cells)) + 2 for place, key in enumerate(keys)]
    run.write("".join(key.ljust(width) for key, width in zip(keys, widths, strict=True)))
    run.write(*("".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in cells), "")
