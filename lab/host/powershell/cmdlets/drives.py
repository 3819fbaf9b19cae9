"""The drives of a session that are no file systems: the registry, and the flat ones Env:, Variable:, Function: and Alias:.

The item cmdlets ask here first; what is no path of such a drive is a file's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from lab.host.powershell.commands import Call
from lab.host.powershell.errors import Terminating, fail, refuse, shown
from lab.host.powershell.format import KeyObject
from lab.host.powershell.objects import table_entry
from lab.host.powershell.values import ScriptBlock, like, stored, to_text
from lab.host.registry import ROOTS, Key, KeyNotFound, RegistryFault, Value, full_path, shown_path
from lab.machine import ErrorRecord, PSObject, PSValue

REGISTRY = "Microsoft.PowerShell.Core\\Registry"
_FLAT = ("env", "variable", "function", "alias")
_REFUSED = ("cert", "wsman", "microsoft.powershell.security\\certificate::", "microsoft.wsman.management\\wsman::")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A path of such a drive. `drive` is registry or the flat one's name; `asked` the path as it is shown; `path` what it means inside."""

    drive: str
    asked: str
    path: str

    @property
    def wild(self) -> bool:
        """Whether it has wildcards."""
        return any(char in self.path for char in "*?[")


def place_of(call: Call, path: str) -> Place | None:
    """The place that a path means, None for a file's. Raises `Terminating` for a drive that is not modelled or not there."""
    text = path.replace("/", "\\")
    low = text.lower()
    if low.startswith(_REFUSED) and (":" in low):
        raise refuse(f"the drive of the path '{shown(path)}'", activity=call.spec.name)
    for prefix in ("microsoft.powershell.core\\registry::", "registry::"):
        if low.startswith(prefix):
            return Place(drive="registry", asked=text[len(prefix) :], path=text[len(prefix) :])
    for prefix in ("microsoft.powershell.core\\filesystem::", "filesystem::"):
        if low.startswith(prefix):
            return None
    head, colon, rest = text.partition(":")
    name = head.lower()
    if not colon:
        if not call.session.drive:
            return None
        return place_of(call, _joined(call.session.drive, text))
    if name in _FLAT:
        return Place(drive=name, asked=f"{head}:\\{rest.strip(chr(92))}", path=rest.strip("\\"))
    if name in ("hklm", "hkcu"):
        root = ROOTS[name.upper()]
        below = rest.strip("\\")
        return Place(drive="registry", asked=f"{root}\\{below}" if below else root, path=f"{root}\\{below}" if below else root)
    if len(head) == 1:
        return None
    record = ErrorRecord(
        message=f"Cannot find drive. A drive with the name '{shown(head)}' does not exist.",
        exception_type="System.Management.Automation.DriveNotFoundException",
        error_id="DriveNotFound",
        category="ObjectNotFound",
        target=shown(head),
    )
    raise Terminating(call.tagged(record))


def _joined(base: str, path: str) -> str:
    parts = [part for part in base.rstrip("\\").split("\\") if part]
    if path.startswith("\\"):
        parts = parts[:1]
    for part in path.split("\\"):
        if part == "..":
            parts = parts[:-1] if len(parts) > 1 else parts
        elif part not in ("", "."):
            parts.append(part)
    return "\\".join(parts) if len(parts) > 1 else parts[0] + "\\"


def not_found(place: Place) -> ErrorRecord:
    """The record for a path where nothing lies."""
    return ErrorRecord(
        message=f"Cannot find path '{shown(place.asked)}' because it does not exist.",
        exception_type="System.Management.Automation.ItemNotFoundException",
        error_id="PathNotFound",
        category="ObjectNotFound",
        target=shown(place.asked),
    )


def record_of(fault: RegistryFault, asked: str) -> ErrorRecord:
    """The record that the registry provider writes for a fault."""
    if isinstance(fault, KeyNotFound):
        return not_found(Place(drive="registry", asked=asked, path=fault.path))
    return ErrorRecord(
        message="Requested registry access is not allowed.",
        exception_type="System.Security.SecurityException",
        error_id="System.Security.SecurityException",
        category="PermissionDenied",
        target=shown(asked),
    )


# --- the registry ---------------------------------------------------------------------------------------------------------


def sid_of(call: Call) -> str:
    """Whose hive HKEY_CURRENT_USER is."""
    return call.session.engine.process.logon.account.sid


def key_path(call: Call, place: Place) -> str:
    """The key's full path. Raises `Terminating` for a root that there is not."""
    try:
        return full_path(place.path, sid_of(call))
    except KeyNotFound:
        raise Terminating(call.tagged(not_found(place))) from None


def keys_at(call: Call, place: Place) -> list[str]:
    """The full paths of the keys that a place means, through wildcards in any part. Raises `KeyNotFound`."""
    if not place.wild:
        return [call.session.host.registry.actual(key_path(call, place))]
    parts = place.path.split("\\")
    found = [full_path(parts[0], sid_of(call))]
    for part in parts[1:]:
        if any(char in part for char in "*?["):
            children = [(one, child.name) for one in found for child in call.session.host.registry.children(one)]
            found = [f"{one}\\{name}" for one, name in children if like(name, part)]
        else:
            found = [f"{one}\\{part}" for one in found if call.session.host.registry.find(f"{one}\\{part}") is not None]
        call.session.tick()
    return found


def data_of(value: Value) -> PSValue:
    """A value's data as PowerShell gives it; numbers are signed."""
    match value.data:
        case tuple():
            return list(value.data)
        case int() if value.kind == "REG_DWORD":
            return value.data - (1 << 32) if value.data >= 1 << 31 else value.data
        case _:
            return value.data


def expanded_data(call: Call, value: Value) -> PSValue:
    """The same with the variables of a REG_EXPAND_SZ replaced, as Get-ItemProperty reads it."""
    if value.kind == "REG_EXPAND_SZ" and isinstance(value.data, str):
        return call.session.expand(value.data)
    return data_of(value)


def _ps_names(path: str) -> dict[str, PSValue]:
    parent, _, name = path.rpartition("\\")
    drive = {"HKEY_LOCAL_MACHINE": "HKLM", "HKEY_CURRENT_USER": "HKCU"}.get(path.partition("\\")[0])
    return {
        "PSPath": f"{REGISTRY}::{path}",
        "PSParentPath": f"{REGISTRY}::{parent}" if parent else "",
        "PSChildName": name,
        **({"PSDrive": drive} if drive else {}),
        "PSProvider": REGISTRY,
    }


def key_object(call: Call, path: str, asked: str) -> KeyObject:
    """A RegistryKey."""
    key: Key = call.session.host.registry.get(path)
    path_shown = shown_path(path, asked, sid_of(call))
    names: list[PSValue] = [one.name or "(default)" for one in key.values.values()]
    shown_values = [f"{one.name or '(default)'} : {_display(expanded_data(call, one))}" for one in key.values.values()]
    return KeyObject(
        type_names=("Microsoft.Win32.RegistryKey", "System.MarshalByRefObject", "System.Object"),
        properties={
            "Name": path_shown,
            "Property": names,
            "SubKeyCount": len(key.keys),
            "ValueCount": len(key.values),
            "View": "Default",
            **_ps_names(path_shown),
            "PSIsContainer": True,
        },
        text=path_shown,
        shown="\n".join(shown_values),
    )


def _display(data: PSValue) -> str:
    return "{" + ", ".join(to_text(one) for one in data) + "}" if isinstance(data, list | bytes) else to_text(data)


def key_properties(call: Call, path: str, asked: str, wanted: list[str]) -> PSObject | None:
    """What Get-ItemProperty gives for a key; None where the names that are wanted are none of its values."""
    values = call.session.host.registry.values(path)
    chosen = [one for one in values if not wanted or any(like(one.name or "(default)", name) for name in wanted)]
    if not values or not chosen:
        return None
    properties: dict[str, PSValue] = {one.name or "(default)": expanded_data(call, one) for one in chosen}
    properties |= _ps_names(shown_path(path, asked, sid_of(call)))
    return PSObject(type_names=("System.Management.Automation.PSCustomObject", "System.Object"), properties=properties)


# --- the flat drives ------------------------------------------------------------------------------------------------------


def _variables(call: Call) -> dict[str, object]:
    return call.session.variables()


def _functions(call: Call) -> dict[str, object]:
    return {name: call.session.function_body(name) for name in call.session.functions()}


def _environment(call: Call) -> dict[str, object]:
    return dict(call.session.environment)


def _aliases(call: Call) -> dict[str, object]:
    return dict(call.session.aliases)


_CONTENT: dict[str, Callable[[Call], dict[str, object]]] = {
    "env": _environment,
    "variable": _variables,
    "function": _functions,
    "alias": _aliases,
}


def command_info(kind: str, name: str, definition: str, *, source: str = "", version: str = "") -> PSObject:
    """An AliasInfo, a FunctionInfo and the like."""
    shown_name = f"{name} -> {definition}" if kind == "Alias" else name
    return PSObject(
        type_names=(f"System.Management.Automation.{kind}Info", "System.Management.Automation.CommandInfo", "System.Object"),
        properties={
            "CommandType": kind,
            "Name": name,
            "Version": version,
            "Source": source,
            "Definition": definition,
            "ModuleName": source,
            "DisplayName": shown_name,
        },
        text=name,
    )


def flat_items(call: Call, place: Place) -> list[PSObject]:
    """The items of a flat drive that a place means: all of them for its root."""
    held = _CONTENT[place.drive](call)
    found: list[PSObject] = []
    for name in sorted(held, key=str.lower):
        if place.path and not like(name, place.path):
            continue
        value = held[name]
        if place.drive == "env":
            found.append(table_entry(name, to_text(value)))
        elif place.drive == "variable":
            found.append(
                PSObject(
                    type_names=("System.Management.Automation.PSVariable", "System.Object"),
                    properties={"Name": name, "Value": stored(value)},
                    text="System.Management.Automation.PSVariable",
                )
            )
        else:
            text = value.body.text if isinstance(value, ScriptBlock) else to_text(value)
            found.append(command_info("Function" if place.drive == "function" else "Alias", name, text))
    return found


def flat_value(call: Call, place: Place) -> Iterator[object]:
    """The content of an item of a flat drive. Raises `Terminating` where there is none."""
    held = _CONTENT[place.drive](call)
    name = next((one for one in held if one.lower() == place.path.lower()), None)
    if name is None:
        call.error(not_found(place))
        return
    value = held[name]
    yield value.body.text if isinstance(value, ScriptBlock) else value


def set_flat(call: Call, place: Place, value: object) -> None:
    """Set an item of a flat drive."""
    session = call.session
    match place.drive:
        case "env":
            known = next((one for one in session.environment if one.lower() == place.path.lower()), place.path)
            if value is None or to_text(value) == "":
                session.environment.pop(known, None)
            else:
                session.environment[known] = to_text(value)
        case "variable":
            session.set_variable(place.path, value)
        case "alias":
            session.aliases[place.path.lower()] = to_text(value)
        case _:
            if not isinstance(value, ScriptBlock):
                raise fail("Cannot set the function because the value is not a script block.", "Argument", "InvalidArgument")
            session.define(place.path, value)


def remove_flat(call: Call, place: Place) -> bool:
    """Take an item of a flat drive away; whether there was one."""
    session = call.session
    match place.drive:
        case "env":
            known = next((one for one in session.environment if one.lower() == place.path.lower()), None)
            return known is not None and session.environment.pop(known, None) is not None
        case "variable":
            return session.remove_variable(place.path)
        case "alias":
            return session.aliases.pop(place.path.lower(), None) is not None
        case _:
            return session.forget_function(place.path)
