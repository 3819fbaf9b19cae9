"""Cmdlets about the properties of items: the values of registry keys, the facts of files."""

from __future__ import annotations

from collections.abc import Iterator

from lab.host.files import FileFault
from lab.host.powershell.cmdlets import drives
from lab.host.powershell.cmdlets.files import item, matches, record_of
from lab.host.powershell.commands import Call, Kind, absent, at, cmdlet, named, switch
from lab.host.powershell.errors import Terminating, refuse, shown
from lab.host.powershell.values import INT64, as_list, find_key, like, to_int, to_text
from lab.host.registry import Data, KeyNotFound, RegistryFault, Value, ValueNotFound, shown_path
from lab.host.registry import Kind as RegistryKind
from lab.machine import ErrorRecord, PSObject, PSValue

_PATH = (
    at(0, "Path", Kind.TEXTS, mandatory=True),
    named("LiteralPath", Kind.TEXTS, "PSPath"),
)
_FILTERS = absent("Filter", "Include", "Exclude", "Credential", "UseTransaction")
_KINDS = {
    "string": RegistryKind.TEXT,
    "expandstring": RegistryKind.EXPAND,
    "binary": RegistryKind.BINARY,
    "dword": RegistryKind.DWORD,
    "multistring": RegistryKind.MULTI,
    "qword": RegistryKind.QWORD,
}


def _paths(call: Call) -> list[str]:
    return call.texts("LiteralPath") or call.texts_or_input("Path", "PSPath", "FullName")


def _no_property(name: str, path: str) -> ErrorRecord:
    return ErrorRecord(
        message=f"Property {name} does not exist at path {path}.",
        exception_type="System.Management.Automation.PSArgumentException",
        error_id="System.Management.Automation.PSArgumentException",
        category="InvalidArgument",
        target=name,
    )


@cmdlet("Get-ItemProperty", *_PATH, at(1, "Name", Kind.TEXTS, "PSProperty"), *_FILTERS)
def get_item_property(call: Call) -> Iterator[object]:
    """The values of registry keys; of files what they are."""
    names = call.texts("Name")
    for path in _paths(call):
        place = drives.place_of(call, path)
        try:
            if place is None:
                for full in matches(call, path, literal=call.given("LiteralPath")):
                    held = item(call.session.host.files.actual(full), call.session.host.files.get(full))
                    yield held if not names else _chosen(held, names)
                continue
            if place.drive != "registry":
                raise refuse(f"the properties of {shown(place.asked)}", activity=call.spec.name)
            for key in drives.keys_at(call, place):
                found = drives.key_properties(call, key, place.asked, names)
                if found is not None:
                    yield found
                for name in names:
                    wild = any(char in name for char in "*?[")
                    if not wild and (found is None or find_key(found.properties, name) is None):
                        call.error(_no_property(name, shown_path(key, place.asked, drives.sid_of(call))))
        except RegistryFault as fault:
            call.error(drives.record_of(fault, place.asked if place is not None else path))
        except FileFault as fault:
            call.error(record_of(fault))


def _chosen(held: PSObject, names: list[str]) -> PSObject:
    kept: dict[str, PSValue] = {
        key: value for key, value in held.properties.items() if any(like(key, name) for name in names) or key.startswith("PS")
    }
    return PSObject(type_names=("System.Management.Automation.PSCustomObject", "System.Object"), properties=kept)


@cmdlet("Get-ItemPropertyValue", *_PATH, at(1, "Name", Kind.TEXTS, "PSProperty", mandatory=True), *_FILTERS)
def get_item_property_value(call: Call) -> Iterator[object]:
    """The bare values."""
    for found in get_item_property(call):
        if isinstance(found, PSObject):
            for name in call.texts("Name"):
                key = find_key(found.properties, name)
                if key is not None:
                    yield found.properties[key]


def _typed(kind: RegistryKind, value: object) -> Data:
    """A value as the registry keeps it. Raises `Terminating` where it does not fit."""
    match kind:
        case RegistryKind.DWORD:
            return to_int(value, (-(1 << 31), (1 << 32) - 1), "System.Int32") & 0xFFFFFFFF
        case RegistryKind.QWORD:
            return to_int(value, INT64, "System.Int64") & 0xFFFFFFFFFFFFFFFF
        case RegistryKind.MULTI:
            return tuple(to_text(one) for one in as_list(value))
        case RegistryKind.BINARY | RegistryKind.NONE:
            return value if isinstance(value, bytes) else bytes(to_int(one, (0, 255), "System.Byte") for one in as_list(value))
        case _:
            return to_text(value)


def _natural(value: object) -> RegistryKind:
    """The kind that a value gets where none is named."""
    if isinstance(value, bytes):
        return RegistryKind.BINARY
    if isinstance(value, int) and not isinstance(value, bool):
        return RegistryKind.DWORD if -(1 << 31) <= value < 1 << 31 else RegistryKind.QWORD
    return RegistryKind.MULTI if isinstance(value, list) else RegistryKind.TEXT


def _value_name(name: str) -> str:
    return "" if name.lower() in ("(default)", "@") else name


def _key_of(call: Call, path: str) -> tuple[drives.Place, list[str]]:
    place = drives.place_of(call, path)
    if place is None or place.drive != "registry":
        raise refuse(f"setting properties of {shown(path)}", activity=call.spec.name)
    try:
        return place, drives.keys_at(call, place)
    except KeyNotFound:
        raise Terminating(call.tagged(drives.not_found(place))) from None


@cmdlet(
    "Set-ItemProperty",
    *_PATH,
    at(1, "Name", Kind.TEXT, "PSProperty"),
    at(2, "Value", Kind.VALUE),
    named("Type"),
    switch("Force"),
    switch("PassThru"),
    *_FILTERS,
    *absent("InputObject"),
    changes=True,
)
def set_item_property(call: Call) -> Iterator[object]:
    """Set a value of registry keys, made where it is missing."""
    name = call.text("Name")
    if not call.given("Name"):
        raise call.missing("Name")
    for path in _paths(call):
        place, keys = _key_of(call, path)
        for key in keys:
            held = call.session.host.registry.get(key).values.get(_value_name(name).lower())
            kind = _KINDS.get(call.text("Type").lower()) or (held.kind if held is not None else _natural(call.value("Value")))
            if call.should_process(f"Item: {place.asked} Property: {name}", "Set Property"):
                _store(call, key, name, kind)
                if call.switch("PassThru"):
                    yield drives.key_properties(call, key, place.asked, [name])


def _store(call: Call, key: str, name: str, kind: RegistryKind) -> None:
    try:
        call.session.host.registry.set(key, _value_name(name), kind, _typed(kind, call.value("Value")))
    except RegistryFault as fault:
        call.error(drives.record_of(fault, key))


@cmdlet(
    "New-ItemProperty",
    *_PATH,
    at(1, "Name", Kind.TEXT, "PSProperty", mandatory=True),
    named("Value", Kind.VALUE),
    named("PropertyType", Kind.TEXT, "Type"),
    switch("Force"),
    *_FILTERS,
    changes=True,
)
def new_item_property(call: Call) -> Iterator[object]:
    """Make a value of registry keys."""
    name = call.text("Name")
    for path in _paths(call):
        place, keys = _key_of(call, path)
        for key in keys:
            if _value_name(name).lower() in call.session.host.registry.get(key).values and not call.switch("Force"):
                call.error(
                    ErrorRecord(
                        message="The property already exists.",
                        exception_type="System.IO.IOException",
                        error_id="System.IO.IOException",
                        category="ResourceExists",
                        target=key,
                    )
                )
                continue
            kind = _KINDS.get(call.text("PropertyType").lower()) or _natural(call.value("Value"))
            if call.should_process(f"Item: {place.asked} Property: {name}", "New Property"):
                _store(call, key, name, kind)
                yield drives.key_properties(call, key, place.asked, [name])


@cmdlet("Remove-ItemProperty", *_PATH, at(1, "Name", Kind.TEXTS, "PSProperty", mandatory=True), switch("Force"), *_FILTERS, changes=True)
def remove_item_property(call: Call) -> Iterator[object]:
    """Take values of registry keys away."""
    for path in _paths(call):
        place, keys = _key_of(call, path)
        for key in keys:
            for name in call.texts("Name"):
                if not call.should_process(f"Item: {place.asked} Property: {name}", "Remove Property"):
                    continue
                try:
                    call.session.host.registry.unset(key, _value_name(name))
                except ValueNotFound:
                    call.error(_no_property(name, shown_path(key, place.asked, drives.sid_of(call))))
    yield from ()


def _held(call: Call) -> Iterator[tuple[drives.Place, str, Value]]:
    """The value that is named, of each key that is meant, with the key's place and path; where there is none is an error of its own."""
    for path in _paths(call):
        place, keys = _key_of(call, path)
        for key in keys:
            try:
                held = call.session.host.registry.value(key, _value_name(call.text("Name")))
            except ValueNotFound:
                call.error(_no_property(call.text("Name"), shown_path(key, place.asked, drives.sid_of(call))))
                continue
            yield place, key, held


@cmdlet(
    "Rename-ItemProperty",
    *_PATH,
    at(1, "Name", mandatory=True),
    at(2, "NewName", mandatory=True),
    switch("PassThru"),
    *_FILTERS,
    changes=True,
)
def rename_item_property(call: Call) -> Iterator[object]:
    """Give a value of a registry key another name."""
    registry = call.session.host.registry
    for place, key, held in _held(call):
        if call.should_process(f"Item: {place.asked} SourceProperty: {held.name}", "Rename Property"):
            registry.unset(key, held.name)
            registry.set(key, call.text("NewName"), held.kind, held.data)
    yield from ()


@cmdlet("Clear-ItemProperty", *_PATH, at(1, "Name", mandatory=True), *_FILTERS, changes=True)
def clear_item_property(call: Call) -> Iterator[object]:
    """Make a value of a registry key empty."""
    registry = call.session.host.registry
    for place, key, held in _held(call):
        if call.should_process(f"Item: {place.asked} Property: {held.name}", "Clear Property"):
            empty: Data = 0 if isinstance(held.data, int) else b"" if isinstance(held.data, bytes) else () if held.data == () else ""
            registry.set(key, held.name, held.kind, empty)
    yield from ()
