"""Out-Default, Format-Table and Format-List: the lines that Windows PowerShell writes for values. Pure.

Known types have their columns as the types' format files give them; any other object is a table up to four properties, a list above.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from lab.host.powershell.values import ScriptBlock, TypeValue, is_custom, to_text
from lab.host.wmi import CLASSES, WmiClass
from lab.machine import PSObject

WIDTH = 120
"""Columns of a remote session's buffer."""
MAX_ROWS = 100_000


@dataclass(slots=True, kw_only=True)
class KeyObject(PSObject):
    """A RegistryKey; `shown` are the lines of its values, as a listing shows them."""

    shown: str


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table: `width` None takes what its cells need, the last one takes the rest of the line."""

    label: str
    width: int | None
    read: Callable[[PSObject], str]
    right: bool = False


def _get(name: str) -> Callable[[PSObject], str]:
    return lambda value: _shown_cell(value.properties.get(name))


def _shown_cell(value: object) -> str:
    if isinstance(value, list):
        return _cell(value)
    return _us_moment(value) if isinstance(value, datetime) else to_text(value)


def _kilobytes(name: str) -> Callable[[PSObject], str]:
    def read(value: PSObject) -> str:
        number = value.properties.get(name)
        return str(number // 1024) if isinstance(number, int) else ""

    return read


def _cpu(value: PSObject) -> str:
    number = value.properties.get("CPU")
    return f"{number:.2f}" if isinstance(number, float) else ""


def _written(value: PSObject) -> str:
    moment = value.properties.get("LastWriteTime")
    if not isinstance(moment, datetime):
        return ""
    clock = f"{(moment.hour + 11) % 12 + 1}:{moment.minute:02d} {'AM' if moment.hour < 12 else 'PM'}"
    return f"{moment.month}/{moment.day}/{moment.year}".rjust(13) + clock.rjust(12)


def _gigabytes(name: str) -> Callable[[PSObject], str]:
    def read(value: PSObject) -> str:
        number = value.properties.get(name)
        return f"{number / (1 << 30):.2f}" if isinstance(number, int) else ""

    return read


def _braced(name: str) -> Callable[[PSObject], str]:
    return lambda value: _cell(value.properties.get(name))


def _first_line(name: str) -> Callable[[PSObject], str]:
    return lambda value: to_text(value.properties.get(name)).partition("\n")[0].rstrip("\r")


def _moment(name: str) -> Callable[[PSObject], str]:
    def read(value: PSObject) -> str:
        moment = value.properties.get(name)
        return _us_moment(moment) if isinstance(moment, datetime) else to_text(moment)

    return read


def _short_moment(name: str) -> Callable[[PSObject], str]:
    def read(value: PSObject) -> str:
        moment = value.properties.get(name)
        return f"{moment:%b %d %H:%M}" if isinstance(moment, datetime) else ""

    return read


def _us_moment(moment: datetime) -> str:
    """A moment in the culture of the host, as tables and lists show it."""
    hour, half = (moment.hour + 11) % 12 + 1, "AM" if moment.hour < 12 else "PM"
    return f"{moment.month}/{moment.day}/{moment.year} {hour}:{moment.minute:02d}:{moment.second:02d} {half}"


_NET = "Microsoft.Management.Infrastructure.CimInstance#ROOT/StandardCimv2"
_TASKS = "Microsoft.Management.Infrastructure.CimInstance#Root/Microsoft/Windows/TaskScheduler"

VIEWS: dict[str, tuple[Column, ...]] = {
    "System.ServiceProcess.ServiceController": (
        Column("Status", 8, _get("Status")),
        Column("Name", 18, _get("Name")),
        Column("DisplayName", 38, _get("DisplayName")),
    ),
    "System.Diagnostics.Process": (
        Column("Handles", 7, _get("HandleCount"), right=True),
        Column("NPM(K)", 7, _kilobytes("NPM"), right=True),
        Column("PM(K)", 8, _kilobytes("PM"), right=True),
        Column("WS(K)", 10, _kilobytes("WS"), right=True),
        Column("CPU(s)", 10, _cpu, right=True),
        Column("Id", 6, _get("Id"), right=True),
        Column("SI", 3, _get("SI"), right=True),
        Column("ProcessName", None, _get("ProcessName")),
    ),
    "System.IO.FileSystemInfo": (
        Column("Mode", 13, _get("Mode")),
        Column("LastWriteTime", 25, _written, right=True),
        Column("Length", 14, _get("Length"), right=True),
        Column("Name", None, _get("Name")),
    ),
    "Microsoft.PowerShell.Commands.LocalUser": (
        Column("Name", 18, _get("Name")),
        Column("Enabled", 7, _get("Enabled")),
        Column("Description", None, _get("Description")),
    ),
    "Microsoft.PowerShell.Commands.LocalGroup": (
        Column("Name", 35, _get("Name")),
        Column("Description", None, _get("Description")),
    ),
    "Microsoft.PowerShell.Commands.LocalPrincipal": (
        Column("ObjectClass", 11, _get("ObjectClass")),
        Column("Name", 27, _get("Name")),
        Column("PrincipalSource", None, _get("PrincipalSource")),
    ),
    "System.Management.Automation.PathInfo": (Column("Path", None, _get("Path")),),
    "System.Management.Automation.CommandInfo": (
        Column("CommandType", 15, _get("CommandType")),
        Column("Name", 50, _get("Name")),
        Column("Version", 10, _get("Version")),
        Column("Source", None, _get("Source")),
    ),
    "Microsoft.PowerShell.Commands.GroupInfo": (
        Column("Count", 5, _get("Count"), right=True),
        Column("Name", 25, _get("Name")),
        Column("Group", None, lambda value: "{" + ", ".join(to_text(one) for one in _listed(value.properties.get("Group"))) + "}"),
    ),
    "System.Management.Automation.PSVariable": (Column("Name", 30, _get("Name")), Column("Value", None, _get("Value"))),
    "System.Collections.DictionaryEntry": (Column("Name", 30, _get("Name")), Column("Value", None, _get("Value"))),
    "Microsoft.Management.Infrastructure.CimInstance#ROOT/StandardCimv2/MSFT_NetTCPConnection": (
        Column("LocalAddress", 35, _get("LocalAddress")),
        Column("LocalPort", 9, _get("LocalPort")),
        Column("RemoteAddress", 35, _get("RemoteAddress")),
        Column("RemotePort", 10, _get("RemotePort")),
        Column("State", 11, _get("State")),
        Column("OwningProcess", None, _get("OwningProcess")),
    ),
    "Microsoft.Win32.RegistryKey": (
        Column("Name", 30, _get("PSChildName")),
        Column("Property", None, lambda value: value.shown if isinstance(value, KeyObject) else ""),
    ),
    "System.Management.Automation.PSDriveInfo": (
        Column("Name", 10, _get("Name")),
        Column("Used (GB)", 13, _gigabytes("Used"), right=True),
        Column("Free (GB)", 13, _gigabytes("Free"), right=True),
        Column("Provider", 13, _get("Provider")),
        Column("Root", 35, _get("Root")),
        Column("CurrentLocation", None, _get("CurrentLocation"), right=True),
    ),
    "System.Management.Automation.AliasInfo": (
        Column("CommandType", 15, _get("CommandType")),
        Column("Name", 50, _get("DisplayName")),
        Column("Version", 10, _get("Version")),
        Column("Source", None, _get("Source")),
    ),
    "System.Management.Automation.PSModuleInfo": (
        Column("ModuleType", 10, _get("ModuleType")),
        Column("Version", 10, _get("Version")),
        Column("Name", 35, _get("Name")),
        Column("ExportedCommands", None, _braced("ExportedCommands")),
    ),
    "Microsoft.PowerShell.Commands.HistoryInfo": (
        Column("Id", 4, _get("Id"), right=True),
        Column("CommandLine", None, _get("CommandLine")),
    ),
    "Microsoft.PowerShell.Commands.MemberDefinition": (
        Column("Name", None, _get("Name")),
        Column("MemberType", None, _get("MemberType")),
        Column("Definition", None, _get("Definition")),
    ),
    "Microsoft.Powershell.Utility.FileHash": (
        Column("Algorithm", 15, _get("Algorithm")),
        Column("Hash", 70, _get("Hash")),
        Column("Path", None, _get("Path")),
    ),
    "System.Diagnostics.Eventing.Reader.EventLogRecord": (
        Column("TimeCreated", 26, _moment("TimeCreated")),
        Column("Id", 8, _get("Id"), right=True),
        Column("LevelDisplayName", 16, _get("LevelDisplayName")),
        Column("Message", None, _first_line("Message")),
    ),
    "System.Diagnostics.Eventing.Reader.EventLogConfiguration": (
        Column("LogMode", 9, _get("LogMode")),
        Column("MaximumSizeInBytes", 18, _get("MaximumSizeInBytes"), right=True),
        Column("RecordCount", 11, _get("RecordCount"), right=True),
        Column("LogName", None, _get("LogName")),
    ),
    "System.Diagnostics.EventLogEntry": (
        Column("Index", 8, _get("Index"), right=True),
        Column("Time", 13, _short_moment("TimeGenerated")),
        Column("EntryType", 11, _get("EntryType")),
        Column("Source", 20, _get("Source")),
        Column("InstanceID", 12, _get("InstanceId"), right=True),
        Column("Message", None, _first_line("Message")),
    ),
    "System.Diagnostics.EventLog": (
        Column("Max(K)", 8, _get("MaximumKilobytes"), right=True),
        Column("Retain", 6, _get("MinimumRetentionDays"), right=True),
        Column("OverflowAction", 18, _get("OverflowAction")),
        Column("Entries", 10, _get("Entries"), right=True),
        Column("Log", None, _get("Log")),
    ),
    "System.Management.ManagementObject#root\\cimv2\\Win32_QuickFixEngineering": (
        Column("Source", 13, _get("Source")),
        Column("Description", 16, _get("Description")),
        Column("HotFixID", 13, _get("HotFixID")),
        Column("InstalledBy", 20, _get("InstalledBy")),
        Column("InstalledOn", None, _moment("InstalledOn")),
    ),
    "System.Management.ManagementObject#root\\cimv2\\Win32_PingStatus": (
        Column("Source", 13, _get("PSComputerName")),
        Column("Destination", 15, _get("Address")),
        Column("IPV4Address", 16, _get("IPV4Address")),
        Column("IPV6Address", 40, _get("IPV6Address")),
        Column("Bytes", 8, _get("BufferSize")),
        Column("Time(ms)", None, _get("ResponseTime")),
    ),
    "System.IO.DriveInfo": (Column("Name", None, _get("Name")), Column("DriveType", None, _get("DriveType"))),
    "System.Diagnostics.Process#IncludeUserName": (
        Column("Handles", 7, _get("HandleCount"), right=True),
        Column("WS(K)", 10, _kilobytes("WS"), right=True),
        Column("CPU(s)", 10, _cpu, right=True),
        Column("Id", 6, _get("Id"), right=True),
        Column("UserName", 22, _get("UserName")),
        Column("ProcessName", None, _get("ProcessName")),
    ),
    f"{_TASKS}/MSFT_ScheduledTask": (
        Column("TaskPath", 45, _get("TaskPath")),
        Column("TaskName", 33, _get("TaskName")),
        Column("State", None, _get("State")),
    ),
    f"{_NET}/MSFT_NetAdapter": (
        Column("Name", 25, _get("Name")),
        Column("InterfaceDescription", 39, _get("InterfaceDescription")),
        Column("ifIndex", 7, _get("ifIndex"), right=True),
        Column("Status", 12, _get("Status")),
        Column("MacAddress", 20, _get("MacAddress")),
        Column("LinkSpeed", None, _get("LinkSpeed"), right=True),
    ),
    f"{_NET}/MSFT_NetRoute": (
        Column("ifIndex", 7, _get("ifIndex")),
        Column("DestinationPrefix", 46, _get("DestinationPrefix")),
        Column("NextHop", 39, _get("NextHop")),
        Column("RouteMetric", 11, _get("RouteMetric"), right=True),
        Column("PolicyStore", None, _get("PolicyStore")),
    ),
    f"{_NET}/MSFT_NetNeighbor": (
        Column("ifIndex", 7, _get("ifIndex")),
        Column("IPAddress", 50, _get("IPAddress")),
        Column("LinkLayerAddress", 21, _get("LinkLayerAddress")),
        Column("State", 12, _get("State")),
        Column("PolicyStore", None, _get("PolicyStore")),
    ),
    f"{_NET}/MSFT_NetUDPEndpoint": (
        Column("LocalAddress", 40, _get("LocalAddress")),
        Column("LocalPort", None, _get("LocalPort")),
    ),
    f"{_NET}/MSFT_NetIPInterface": (
        Column("ifIndex", 7, _get("InterfaceIndex")),
        Column("InterfaceAlias", 31, _get("InterfaceAlias")),
        Column("AddressFamily", 15, _get("AddressFamily")),
        Column("NlMtu(Bytes)", 12, _get("NlMtu"), right=True),
        Column("InterfaceMetric", 15, _get("InterfaceMetric"), right=True),
        Column("Dhcp", 8, _get("Dhcp")),
        Column("ConnectionState", 15, _get("ConnectionState")),
        Column("PolicyStore", None, _get("PolicyStore")),
    ),
    f"{_NET}/MSFT_DNSClientServerAddress": (
        Column("InterfaceAlias", 28, _get("InterfaceAlias")),
        Column("InterfaceIndex", 9, _get("InterfaceIndex"), right=True),
        Column("AddressFamily", 7, _get("AddressFamily")),
        Column("ServerAddresses", None, _braced("ServerAddresses")),
    ),
    "Microsoft.Management.Infrastructure.CimInstance#ROOT/Microsoft/Windows/SMB/MSFT_SmbShare": (
        Column("Name", 6, _get("Name")),
        Column("ScopeName", 9, _get("ScopeName")),
        Column("Path", 10, _get("Path")),
        Column("Description", None, _get("Description")),
    ),
    "Microsoft.DnsClient.Commands.DnsRecord_A": (
        Column("Name", 46, _get("Name")),
        Column("Type", 6, _get("Type")),
        Column("TTL", 5, _get("TTL")),
        Column("Section", 10, _get("Section")),
        Column("IPAddress", None, _get("IPAddress")),
    ),
}
_LISTS = {
    "Microsoft.Management.Infrastructure.CimInstance#ROOT/StandardCimv2/MSFT_NetIPAddress",
    "System.Management.Automation.Internal.Host.InternalHost",
}


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else [value]


def format_values(values: Iterable[object]) -> list[str]:
    """The lines for values, neighbours of one kind together in one table or list."""
    writer = Writer()
    lines: list[str] = []
    for value in values:
        lines += writer.write(value)
    return lines + writer.close()


class Writer:
    """Out-Default as values come: strings at once, objects when their group is whole."""

    def __init__(self) -> None:
        self._group: list[PSObject] = []
        self._shape: tuple[str, ...] = ()

    def write(self, value: object) -> list[str]:
        """The lines that are certain now that this value has come."""
        if isinstance(value, PSObject) and not _plain(value):
            shape = _shape(value)
            lines = self.close() if self._group and shape != self._shape else []
            self._group.append(value)
            self._shape = shape
            return lines + (self.close() if len(self._group) >= MAX_ROWS else [])
        lines = self.close()
        if isinstance(value, dict):
            return lines + format_table([_entry(name, one) for name, one in value.items()], VIEWS["System.Collections.DictionaryEntry"])
        if isinstance(value, list):
            return lines + [line for one in value for line in format_values([one])]
        return lines + _text_lines(value)

    def close(self) -> list[str]:
        """What is still held."""
        group, self._group = self._group, []
        if not group:
            return []
        view = view_of(group[0])
        if view is not None:
            if isinstance(group[0], KeyObject):
                hive = to_text(group[0].properties.get("PSParentPath")).partition("::")[2]
                return ["", "", f"    Hive: {hive}", "", *format_table(group, view, wrap=True)]
            heading = _directory_heading(group) if view is VIEWS["System.IO.FileSystemInfo"] else []
            return heading + format_table(group, view)
        if len(group[0].properties) > 4 or group[0].type_names[0] in _LISTS or _class_of(group[0]) is not None:
            return format_list(group)
        return format_table(group, generic_columns(group, list(group[0].properties)))


def _plain(value: PSObject) -> bool:
    """Whether an object shows as its text: errors, versions, spans."""
    if "System.Management.Automation.ErrorRecord" in value.type_names:
        return True
    return not value.properties or (
        view_of(value) is None and bool(value.text) and not is_custom(value) and value.type_names[0] not in _LISTS
    )


def _shape(value: PSObject) -> tuple[str, ...]:
    if view_of(value) is not None:
        known = next((name for name in value.type_names if name in VIEWS), value.type_names[0])
        parent = "PSParentPath" if isinstance(value, KeyObject) else "Directory"
        return (known, to_text(value.properties.get(parent)))
    return tuple(value.properties)


def view_of(value: PSObject) -> tuple[Column, ...] | None:
    """The table that the value's type has of its own."""
    view = next((VIEWS[name] for name in value.type_names if name in VIEWS), None)
    known = _class_of(value) if view is None else None
    if known is not None and known.as_table and all(name in value.properties for name in known.shown):
        return tuple(Column(name, None, _get(name), right=_is_number(value.properties[name])) for name in known.shown)
    return view


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _class_of(value: PSObject) -> WmiClass | None:
    """The class of an instance in root/cimv2, which says what is shown of it."""
    place, _, name = value.type_names[0].replace("\\", "/").rpartition("/")
    instances = ("Microsoft.Management.Infrastructure.CimInstance#root/cimv2", "System.Management.ManagementObject#root/cimv2")
    return CLASSES.get(name.lower()) if place in instances else None


def listed_names(value: PSObject) -> list[str]:
    """The properties that a list shows of an object by itself: those of its type's view, else all but the provider's own."""
    known = _class_of(value)
    if known is not None and known.shown:
        return [name for name in known.shown if name in value.properties]
    if value.type_names[0].startswith("Microsoft.Management.Infrastructure.CimInstance#ROOT/StandardCimv2/MSFT_NetIPAddress"):
        return [name for name in value.properties if not name.startswith("PS")]
    return list(value.properties)


def _entry(name: str, value: object) -> PSObject:
    return PSObject(type_names=("System.Collections.DictionaryEntry",), properties={"Name": name, "Value": to_text(value)})


def _text_lines(value: object) -> list[str]:
    if value is None:
        return []
    if isinstance(value, datetime):
        clock = _us_moment(value).partition(" ")[2]
        return ["", f"{value:%A, %B} {value.day}, {value.year} {clock}", ""]
    if isinstance(value, ScriptBlock):
        return value.body.text.split("\n")
    if isinstance(value, TypeValue):
        return [value.name]
    return to_text(value).replace("\r\n", "\n").split("\n")


def _directory_heading(group: Sequence[PSObject]) -> list[str]:
    return ["", "", f"    Directory: {to_text(group[0].properties.get('Directory'))}", ""]


def generic_columns(group: Sequence[PSObject], names: Sequence[str]) -> tuple[Column, ...]:
    """Columns for objects without a view: numbers stand to the right."""

    def numeric(name: str) -> bool:
        value = group[0].properties.get(name)
        return isinstance(value, int | float) and not isinstance(value, bool)

    return tuple(Column(name, None, _get(name), right=numeric(name)) for name in names)


def format_table(group: Sequence[PSObject], columns: Sequence[Column], *, headers: bool = True, wrap: bool = False) -> list[str]:
    """A table with an empty line above and two below, as Windows PowerShell writes it. `wrap`: a cell's lines stand below each other."""
    if not columns:
        return []
    if wrap:
        parts = [[column.read(value).replace("\r", "").split("\n") for column in columns] for value in group]
        rows = [[cell[at] if at < len(cell) else "" for cell in row] for row in parts for at in range(max(map(len, row)))]
    else:
        rows = [[column.read(value).replace("\r", " ").replace("\n", " ") for column in columns] for value in group]
    widths: list[int] = []
    for place, column in enumerate(columns):
        needed = max([len(column.label), *(len(row[place]) for row in rows)])
        used = sum(widths) + len(widths)
        given = column.width if column.width is not None else needed
        widths.append(max(len(column.label) if column.width is None else 1, min(given, max(3, WIDTH - used))))

    def line(cells: Sequence[str]) -> str:
        out = [_fit(cell, width, column.right) for cell, width, column in zip(cells, widths, columns, strict=True)]
        return " ".join(out).rstrip()

    lines = [""]
    if headers:
        lines += [
            line([column.label for column in columns]),
            line(["-" * min(len(column.label), width) for column, width in zip(columns, widths, strict=True)]),
        ]
    return [*lines, *(line(row) for row in rows), "", ""]


def _fit(text: str, width: int, right: bool) -> str:
    if len(text) > width:
        text = text[: max(0, width - 3)] + "..." if width > 3 else text[:width]
    return text.rjust(width) if right else text.ljust(width)


def format_list(group: Sequence[PSObject], names: Sequence[str] | None = None) -> list[str]:
    """A list: one `Name : value` a line, an empty line between objects."""
    lines = ["", ""]
    for value in group:
        shown = list(names) if names is not None else listed_names(value)
        width = max((len(name) for name in shown), default=0)
        lines += [f"{name.ljust(width)} : {_cell(value.properties.get(name))}" for name in shown]
        lines.append("")
    return [*lines, "", ""]


def _cell(value: object) -> str:
    if isinstance(value, datetime):
        return _us_moment(value)
    if isinstance(value, list):
        return "{" + ", ".join(to_text(one) for one in value[:4]) + ("..." if len(value) > 4 else "") + "}"
    return to_text(value)
