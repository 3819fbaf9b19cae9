"""Values of the machine to psrpcore's objects and back. Pure; it knows no message, no pipeline and no socket."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

import psrpcore
from psrpcore import types as ps

from lab.machine import ErrorRecord, PSObject, PSValue, SecureString

_CUSTOM_OBJECT: Final = "System.Management.Automation.PSCustomObject"
_INT64: Final = range(-(2**63), 2**63)


def to_wire(value: PSValue) -> Any:
    """The psrpcore object for a value. Any: psrpcore's own word for what it serialises."""
    match value:
        case None | bool():
            return value
        case int():
            if ps.PSInt.MinValue <= value <= ps.PSInt.MaxValue:
                return ps.PSInt(value)
            return ps.PSInt64(value) if value in _INT64 else ps.PSDecimal(value)
        case float():
            return ps.PSDouble(value)
        case str():
            return ps.PSString(value)
        case Decimal():
            return ps.PSDecimal(value)
        case datetime():
            return value
        case UUID():
            return ps.PSGuid(str(value))
        case bytes():
            return ps.PSByteArray(value)
        case SecureString():
            return ps.PSSecureString(value.plain)
        case list():
            return ps.PSList(to_wire(item) for item in value)
        case dict():
            return ps.PSDict({ps.PSString(key): to_wire(item) for key, item in value.items()})
        case PSObject():
            return _to_wire_object(value)


def _to_wire_object(value: PSObject) -> ps.PSObject:
    wire = ps.PSObject()
    wire.PSObject.type_names = list(dict.fromkeys([*value.type_names, "System.Object"]))  # every .NET type ends there; clients rely on it
    properties: list[ps.PSPropertyInfo] = [_note(name, item) for name, item in value.properties.items()]
    # A PSCustomObject's properties are added by PowerShell (<MS>), any other object's are its class's own (<Props>).
    if value.type_names and value.type_names[0] == _CUSTOM_OBJECT:
        wire.PSObject.extended_properties = properties
    else:
        wire.PSObject.adapted_properties = properties
    if value.text:
        wire.PSObject.to_string = value.text
    return wire


def _note(name: str, value: PSValue) -> ps.PSNoteProperty:
    return ps.PSNoteProperty(name, value=to_wire(value))


def from_wire(value: Any) -> PSValue:
    """The value of a psrpcore object. What has no counterpart (an enumeration) becomes the nearest plain value."""
    match value:
        case None | bool():
            return value
        case int():
            return int(value)
        case float():
            return float(value)
        case ps.PSSecureString():
            return _secret(value)
        case str():
            return str.__str__(value)
        case Decimal():
            return Decimal(value)
        case datetime():
            return datetime(
                value.year,
                value.month,
                value.day,
                value.hour,
                value.minute,
                value.second,
                value.microsecond,
                value.tzinfo,
            )
        case UUID():
            return UUID(int=value.int)
        case bytes():
            return bytes(value)
        case list():
            return [from_wire(item) for item in value]
        case dict():
            return {str(key): from_wire(item) for key, item in value.items()}
        case ps.PSObject():
            return _from_wire_object(value)
        case _:
            return str(value)


def _secret(value: ps.PSSecureString) -> SecureString:
    """What a secure string holds; nothing where no session key opens it."""
    try:
        return SecureString(str.__str__(value.decrypt()))
    except (psrpcore.PSRPCoreError, ValueError, TypeError, AttributeError):
        return SecureString("")


def _from_wire_object(value: ps.PSObject) -> PSObject:
    meta = value.PSObject
    return PSObject(
        type_names=tuple(meta.type_names),
        properties={prop.name: from_wire(prop.get_value(value)) for prop in (*meta.adapted_properties, *meta.extended_properties)},
        text=meta.to_string or "",
    )


def read_error_record(wire: Any) -> ErrorRecord:
    """The reverse of `error_record`, of what another host wrote; where it came from is left open."""
    category, details, invocation = wire.CategoryInfo, wire.ErrorDetails, wire.InvocationInfo
    message = getattr(wire.Exception, "Message", None)
    return ErrorRecord(
        message=str((details and details.Message) or message or wire.Exception),
        exception_type=str(wire.Exception.PSObject.type_names[0]).removeprefix("Deserialized."),
        error_id=str(wire.FullyQualifiedErrorId or ""),
        category=category.Category.name,
        target=str(category.TargetName or ""),
        activity=str(category.Activity or ""),
        reason=str(category.Reason or ""),
        position=str((invocation and invocation.PositionMessage) or ""),
    )
