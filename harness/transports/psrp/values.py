"""Between Python's values and PowerShell's: arguments as typed objects, output and errors as text. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pypsrp.complex_objects import ComplexObject, ErrorRecord, GenericComplexObject, PSCredential
from pypsrp.serializer import TaggedValue

from harness.model.intent import Argument

_INT32 = range(-(2**31), 2**31)
_INT64 = range(-(2**63), 2**63)


def argument(value: Argument) -> object:
    """The value with the primitive type that PowerShell would give it [MS-PSRP 2.2.5.1].

    Left to itself pypsrp calls every int 32 bits wide and every float single.
    """
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return value
    if isinstance(value, int):
        if value in _INT32:
            return value
        return TaggedValue("I64" if value in _INT64 else "D", value)
    if isinstance(value, float):
        return TaggedValue("Db", value)
    if isinstance(value, list):
        return [argument(item) for item in value]
    return {key: argument(item) for key, item in value.items()}


def credential(user: str, password: str) -> PSCredential:
    """A PSCredential. It can be sent once the session has agreed on a key; its password is in no text."""
    return PSCredential(username=user, password=password)  # type: ignore[no-untyped-call]


def text(value: Any) -> str:
    """What PowerShell would print of an object, near enough to search in: its ToString(), else its properties."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "True" if value else "False"
    if isinstance(value, float):
        return f"{value:.15g}"
    if isinstance(value, bytes):
        return " ".join(str(byte) for byte in value)
    if isinstance(value, GenericComplexObject):
        if value.to_string is not None:
            return str(value.to_string)
        return _properties({**value.adapted_properties, **value.extended_properties})
    if isinstance(value, Mapping):
        return _properties(value)
    if isinstance(value, list):
        return " ".join(text(item) for item in value)
    return str(value)


def _properties(values: Mapping[Any, Any]) -> str:
    return "@{" + "; ".join(f"{text(key)}={text(value)}" for key, value in values.items()) + "}"


def error_text(record: Any) -> str:
    """An error record's message: what details say in its place, else the exception's."""
    if isinstance(record, ErrorRecord) and record.details_message:
        return str(record.details_message)
    if isinstance(record, ComplexObject) and str(record) != "None":
        return str(record)
    if isinstance(record, ErrorRecord) and isinstance(record.exception, GenericComplexObject):
        properties = {**record.exception.adapted_properties, **record.exception.extended_properties}
        return text(properties.get("Message", record.exception))
    return text(record)


def error_id(record: Any) -> str:
    """An error record's FullyQualifiedErrorId, "" where it has none."""
    return str(record.fq_error or "") if isinstance(record, ErrorRecord) else ""
