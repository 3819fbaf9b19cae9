"""Out-Default, Format-Table and Format-List: the lines that Windows PowerShell writes for values. Pure.

Known types have their columns as the types' format files give them; any other object is a table up to four properties, a list above.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from lab.host.powershell.values import ScriptBlock, TypeValue, is_custom, to_text
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
    return lambda value: to_text(value.properties.get(name))


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
    "Microsoft.Management.Infrastructure.CimInstance#root/cimv2/Win32_OperatingSystem": (
        Column("SystemDirectory", None, _get("SystemDirectory")),
        Column("Organization", None, _get("Organization")),
        Column("BuildNumber", None, _get("BuildNumber")),
        Column("RegisteredUser", None, _get("RegisteredUser")),
        Column("SerialNumber", None, _get("SerialNumber")),
        Column("Version", None, _get("Version")),
    ),
    "Microsoft.Management.Infrastructure.CimInstance#root/cimv2/Win32_ComputerSystem": (
        Column("Name", None, _get("Name")),
        Column("PrimaryOwnerName", None, _get("PrimaryOwnerName")),
        Column("Domain", None, _get("Domain")),
        Column("TotalPhysicalMemory", None, _get("TotalPhysicalMemory"), right=True),
        Column("Model", None, _get("Model")),
        Column("Manufacturer", None, _get("Manufacturer")),
    ),
    "Microsoft.Management.Infrastructure.CimInstance#ROOT/StandardCimv2/MSFT_NetTCPConnection": (
        Column("LocalAddress", 35, _get("LocalAddress")),
        Column("LocalPort", 9, _get("LocalPort")),
        Column("RemoteAddress", 35, _get("RemoteAddress")),
        Column("RemotePort", 10, _get("RemotePort")),
        Column("State", 11, _get("State")),
        Column("OwningProcess", None, _get("OwningProcess")),
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
            heading = _directory_heading(group) if view is VIEWS["System.IO.FileSystemInfo"] else []
            return heading + format_table(group, view)
        if len(group[0].properties) > 4 or group[0].type_names[0] in _LISTS:
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
        return (next(name for name in value.type_names if name in VIEWS), to_text(value.properties.get("Directory")))
    return tuple(value.properties)


def view_of(value: PSObject) -> tuple[Column, ...] | None:
    """The table that the value's type has of its own."""
    return next((VIEWS[name] for name in value.type_names if name in VIEWS), None)


def _entry(name: str, value: object) -> PSObject:
    return PSObject(type_names=("System.Collections.DictionaryEntry",), properties={"Name": name, "Value": to_text(value)})


def _text_lines(value: object) -> list[str]:
    if value is None:
        return []
    if isinstance(value, datetime):
        clock = f"{(value.hour + 11) % 12 + 1}:{value.minute:02d}:{value.second:02d} {'AM' if value.hour < 12 else 'PM'}"
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


def format_table(group: Sequence[PSObject], columns: Sequence[Column], *, headers: bool = True) -> list[str]:
    """A table with an empty line above and two below, as Windows PowerShell writes it."""
    if not columns:
        return []
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
        shown = list(names) if names is not None else list(value.properties)
        width = max((len(name) for name in shown), default=0)
        lines += [f"{name.ljust(width)} : {_cell(value.properties.get(name))}" for name in shown]
        lines.append("")
    return [*lines, "", ""]


def _cell(value: object) -> str:
    if isinstance(value, list):
        return "{" + ", ".join(to_text(one) for one in value[:4]) + ("..." if len(value) > 4 else "") + "}"
    return to_text(value)
