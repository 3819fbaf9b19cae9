"""The closed list of .NET types, members and conversions that the emulated PowerShell has. What is not in it is refused by its name.

There is no reflection: a member name that was received only ever selects one of the cases written here.
"""

from __future__ import annotations

import base64
import binascii
import math
import ntpath
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING
from uuid import UUID

from lab.host.happenings import Process
from lab.host.powershell import interaction, operators
from lab.host.powershell.errors import ErrorObject, Terminating, fail, refuse, shown
from lab.host.powershell.values import (
    INT64,
    ScriptBlock,
    TypeValue,
    as_list,
    bounded,
    collect,
    custom,
    find_key,
    number_text,
    parse_datetime,
    regex,
    stored,
    subject,
    ticks,
    to_bool,
    to_int,
    to_number,
    to_text,
    type_names,
)
from lab.machine import PSObject, PSValue, SecureString

if TYPE_CHECKING:
    from lab.host.powershell.commands import Session

_ACCELERATORS = {
    "array": "System.Array",
    "bool": "System.Boolean",
    "byte": "System.Byte",
    "char": "System.Char",
    "convert": "System.Convert",
    "datetime": "System.DateTime",
    "decimal": "System.Decimal",
    "double": "System.Double",
    "environment": "System.Environment",
    "exception": "System.Exception",
    "float": "System.Single",
    "guid": "System.Guid",
    "hashtable": "System.Collections.Hashtable",
    "int": "System.Int32",
    "int32": "System.Int32",
    "int64": "System.Int64",
    "long": "System.Int64",
    "math": "System.Math",
    "object": "System.Object",
    "ordered": "System.Collections.Specialized.OrderedDictionary",
    "pscredential": "System.Management.Automation.PSCredential",
    "pscustomobject": "System.Management.Automation.PSCustomObject",
    "psobject": "System.Management.Automation.PSObject",
    "regex": "System.Text.RegularExpressions.Regex",
    "runspace": "System.Management.Automation.Runspaces.Runspace",
    "scriptblock": "System.Management.Automation.ScriptBlock",
    "securestring": "System.Security.SecureString",
    "single": "System.Single",
    "string": "System.String",
    "switch": "System.Management.Automation.SwitchParameter",
    "switchparameter": "System.Management.Automation.SwitchParameter",
    "timespan": "System.TimeSpan",
    "uint32": "System.UInt32",
    "uint64": "System.UInt64",
    "version": "System.Version",
    "void": "System.Void",
    "xml": "System.Xml.XmlDocument",
}
_NAMES = {name.lower(): name for name in _ACCELERATORS.values()} | {
    name.lower(): name
    for name in (
        "System.IO.Path",
        "System.IO.File",
        "System.IO.Directory",
        "System.Text.Encoding",
        "System.Security.Principal.WindowsIdentity",
        "System.Diagnostics.Process",
        "System.Net.Dns",
        "System.Management.Automation.Host.ChoiceDescription",
        "System.Management.Automation.Host.FieldDescription",
        "System.Runtime.InteropServices.Marshal",
    )
}


def full_name(name: str) -> str:
    """A type's full name from what stands in brackets: accelerators, and `System.` left out."""
    low = name.lower()
    if low.endswith("[]"):
        return full_name(name[:-2]) + "[]"
    if low in _ACCELERATORS:
        return _ACCELERATORS[low]
    return _NAMES.get(low) or _NAMES.get(f"system.{low}") or name


# --- objects of the session -----------------------------------------------------------------------------------------------


def version(text: str) -> PSObject:
    """A [version]."""
    parts = [int(part) for part in text.split(".")] + [-1, -1]
    names = ("Major", "Minor", "Build", "Revision")
    return PSObject(type_names=("System.Version", "System.Object"), properties=dict(zip(names, parts, strict=False)), text=text)


def version_table(session: Session) -> dict[str, object]:
    """`$PSVersionTable`."""
    return {
        "PSVersion": version(session.engine.version),
        "PSEdition": "Desktop",
        "PSCompatibleVersions": [version(text) for text in ("1.0", "2.0", "3.0", "4.0", "5.0", "5.1.19041.1")],
        "BuildVersion": version("10.0.19041.1"),
        "CLRVersion": version("4.0.30319.42000"),
        "WSManStackVersion": version("3.0"),
        "PSRemotingProtocolVersion": version("2.3"),
        "SerializationVersion": version("1.1.0.1"),
    }


def host_object(session: Session) -> PSObject:
    """`$Host`, with the ids that the engine's events carry."""
    return PSObject(
        type_names=("System.Management.Automation.Internal.Host.InternalHost", "System.Management.Automation.Host.PSHost", "System.Object"),
        properties={
            "Name": session.engine.host_name,
            "Version": version(session.engine.host_version),
            "InstanceId": session.engine.host_id,
            "CurrentCulture": "en-US",
            "CurrentUICulture": "en-US",
            "IsRunspacePushed": False,
            "UI": interaction.ui_object(),
            "Runspace": runspace_object(session),
        },
        text="System.Management.Automation.Internal.Host.InternalHost",
    )


def runspace_object(session: Session) -> PSObject:
    """`[runspace]::DefaultRunspace`."""
    return PSObject(
        type_names=(
            "System.Management.Automation.Runspaces.LocalRunspace",
            "System.Management.Automation.Runspaces.Runspace",
            "System.Object",
        ),
        properties={
            "Id": 1,
            "Name": "Runspace1",
            "InstanceId": session.engine.runspace_id,
            "Version": version(session.engine.version),
            "RunspaceAvailability": "Busy",
        },
        text="System.Management.Automation.Runspaces.LocalRunspace",
    )


def path_info(path: str) -> PSObject:
    """A PathInfo, as Get-Location gives it."""
    return PSObject(
        type_names=("System.Management.Automation.PathInfo", "System.Object"),
        properties={"Path": path, "ProviderPath": path, "Provider": "Microsoft.PowerShell.Core\\FileSystem", "Drive": "C"},
        text=path,
    )


def process_object(process: Process, *, ended: bool = False) -> PSObject:
    """A System.Diagnostics.Process with what a session may see of it."""
    name = ntpath.splitext(ntpath.basename(process.path))[0]
    size = 4_000_000 + process.pid * 1_024
    return PSObject(
        type_names=("System.Diagnostics.Process", "System.ComponentModel.Component", "System.MarshalByRefObject", "System.Object"),
        properties={
            "Name": name,
            "Id": process.pid,
            "ProcessName": name,
            "HandleCount": 60 + process.pid % 700,
            "NPM": 4_096 + process.pid % 64 * 256,
            "PM": size,
            "WS": size + 3_276_800,
            "CPU": round(process.pid % 97 / 16, 6),
            "SI": 0,
            "Path": process.path if process.pid != 4 else None,
            "StartTime": process.started,
            "HasExited": ended,
            "Description": process.image.description,
            "Company": process.image.company,
        },
        text=f"System.Diagnostics.Process ({name})",
    )


# --- conversion -----------------------------------------------------------------------------------------------------------

_LIMITS = {
    "system.int32": (-(1 << 31), (1 << 31) - 1),
    "system.int64": INT64,
    "system.byte": (0, 255),
    "system.uint32": (0, (1 << 32) - 1),
    "system.uint64": (0, (1 << 64) - 1),
}


def convert(session: Session, type_name: str, value: object) -> object:
    """A cast. Raises `Terminating` where the value does not fit or the type is none of ours."""
    name = full_name(type_name)
    low = name.lower()
    if low.endswith("[]"):
        return [convert(session, name[:-2], one) for one in as_list(value)]
    if low in _LIMITS:
        if low == "system.int32" and isinstance(value, str) and len(value) == 1 and type_name.lower() == "char":
            return ord(value)
        return to_int(value, _LIMITS[low], name)
    match low:
        case "system.object" | "system.management.automation.psobject":
            return value
        case "system.void":
            return None
        case "system.string":
            return to_text(value)
        case "system.boolean" | "system.management.automation.switchparameter":
            return to_bool(value)
        case "system.double" | "system.single":
            return float(to_number(value))
        case "system.decimal":
            return _decimal(value)
        case "system.char":
            return _char(value)
        case "system.array":
            return as_list(value)
        case "system.datetime":
            return _datetime(value)
        case "system.guid":
            return value if isinstance(value, UUID) else _guid(to_text(value))
        case "system.version":
            return value if isinstance(value, PSObject) else _version(to_text(value))
        case "system.timespan":
            return value if isinstance(value, PSObject) else _span(value)
        case "system.collections.hashtable" | "system.collections.specialized.ordereddictionary" if isinstance(value, dict):
            return value
        case "system.management.automation.pscustomobject":
            return custom({to_text(key): stored(one) for key, one in value.items()}) if isinstance(value, dict) else value
        case "system.management.automation.scriptblock" if isinstance(value, ScriptBlock):
            return value
        case "system.security.securestring" if isinstance(value, SecureString):
            return value
        case "system.management.automation.pscredential" if interaction.is_ours(value):
            return value
        case "system.management.automation.host.choicedescription" | "system.management.automation.host.fielddescription":
            return value if isinstance(value, PSObject) else interaction.make(name, [value])
        case "system.text.regularexpressions.regex":
            return PSObject(
                type_names=("System.Text.RegularExpressions.Regex", "System.Object"), properties={}, text=regex(to_text(value)).pattern
            )
        case _:
            raise refuse(f"the conversion to [{shown(name)}]")


def _decimal(value: object) -> Decimal:
    try:
        return Decimal(number_text(value) if isinstance(value, float) else str(to_number(value)))
    except InvalidOperation:
        raise fail(f'Cannot convert value "{shown(to_text(value))}" to type "System.Decimal".', "InvalidCast", "InvalidArgument") from None


def _char(value: object) -> str:
    if isinstance(value, str):
        if len(value) == 1:
            return value
        raise fail(f'Cannot convert value "{shown(value)}" to type "System.Char".', "InvalidCastFromStringToChar", "InvalidArgument")
    number = to_int(value, (0, 0xFFFF), "System.Char")
    return chr(number) if not 0xD800 <= number <= 0xDFFF else "\ufffd"


def _datetime(value: object) -> datetime:
    if isinstance(value, datetime):
        return value
    if isinstance(value, int):
        try:
            return datetime(1, 1, 1) + timedelta(microseconds=value // 10)  # noqa: DTZ001  a DateTime from ticks is of kind Unspecified
        except OverflowError:
            raise fail(f'Cannot convert value "{value}" to type "System.DateTime".', "InvalidCast", "InvalidArgument") from None
    return parse_datetime(to_text(value))


def _guid(text: str) -> UUID:
    try:
        return UUID(text.strip())
    except ValueError:
        raise fail(
            f'Cannot convert value "{shown(text)}" to type "System.Guid". Error: "Guid should contain 32 digits with 4 dashes."',
            "InvalidCastParseTargetInvocation",
            "InvalidArgument",
        ) from None


def _version(text: str) -> PSObject:
    if not re.fullmatch(r"\d{1,9}(\.\d{1,9}){1,3}", text):
        raise fail(f'Cannot convert value "{shown(text)}" to type "System.Version".', "InvalidCastParseTargetInvocation", "InvalidArgument")
    return version(text)


def _span(value: object) -> PSObject:
    if isinstance(value, int):
        try:
            return operators.time_span(timedelta(microseconds=value // 10))
        except OverflowError:
            raise fail("TimeSpan overflowed because the duration is too long.", "OverflowException", "NotSpecified") from None
    found = re.fullmatch(r"(?:(\d{1,6})\.)?(\d{1,2}):(\d{2})(?::(\d{2}))?", to_text(value).strip())
    if found is None:
        raise fail(f'Cannot convert value "{shown(to_text(value))}" to type "System.TimeSpan".', "InvalidCast", "InvalidArgument")
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return operators.time_span(timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds))


def is_type(value: object, wanted: object) -> bool:
    """`-is`."""
    name = wanted.name if isinstance(wanted, TypeValue) else full_name(to_text(wanted))
    low = name.lower()
    known = [one.lower() for one in type_names(value)]
    if low == "system.management.automation.psobject":
        return isinstance(value, PSObject)
    return value is not None and low in known


# --- instance members -----------------------------------------------------------------------------------------------------


def get_member(session: Session, value: object, name: str) -> object:
    """`value.name`: a property, an item's property of every item of an array, $null where there is none."""
    low = name.lower()
    match value:
        case None:
            return None
        case dict():
            if low in ("count", "keys", "values") and find_key(value, name) is None:
                return len(value) if low == "count" else list(value) if low == "keys" else list(value.values())
            key = find_key(value, name)
            return value[key] if key is not None else None
        case list():
            if low in ("count", "length", "longlength"):
                return len(value)
            return collect(one for item in value for one in as_list(get_member(session, item, name)))
        case PSObject():
            key = find_key(value.properties, name)
            if key is not None:
                return value.properties[key]
            return _extra_property(value, low)
        case bytes():
            return len(value) if low in ("length", "count") else None
        case str():
            return len(value) if low == "length" else 1 if low == "count" else None
        case datetime():
            return _date_property(value, low)
        case ScriptBlock():
            return value.body.text if low == "ast" else None
        case SecureString():
            return len(value.plain) if low == "length" else None
        case TypeValue():
            return value.name.rpartition(".")[2] if low == "name" else value.name if low == "fullname" else None
        case _:
            return 1 if low in ("count", "length") else None


def _extra_property(value: PSObject, low: str) -> object:
    if low in ("count", "length"):
        return 1
    if low == "psobject":
        entries: list[PSValue] = [custom({"Name": name, "Value": one}) for name, one in value.properties.items()]
        return PSObject(
            type_names=("System.Management.Automation.PSObject", "System.Object"),
            properties={"Properties": entries, "TypeNames": list(value.type_names)},
        )
    if low == "pstypenames":
        return list(value.type_names)
    if low == "invocationinfo" and isinstance(value, ErrorObject):
        raise refuse("the property InvocationInfo of an error record")
    return None


def _date_property(value: datetime, low: str) -> object:
    match low:
        case "year" | "month" | "day" | "hour" | "minute" | "second":
            return getattr(value, low)  # one of the six names of this case, never a received one
        case "millisecond":
            return value.microsecond // 1000
        case "ticks":
            return ticks(value)
        case "dayofweek":
            return ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")[value.weekday()]
        case "dayofyear":
            return value.timetuple().tm_yday
        case "date":
            return value.replace(hour=0, minute=0, second=0, microsecond=0)
        case "kind":
            return "Unspecified" if value.tzinfo is None else "Utc"
        case _:
            return None


def set_member(value: object, name: str, new: object) -> None:
    """`value.name = new`. Raises `Terminating` where there is no such property to set."""
    if isinstance(value, dict):
        value[find_key(value, name) or name] = new
        return
    if isinstance(value, PSObject):
        key = find_key(value.properties, name)
        if key is not None and "System.Management.Automation.PSCustomObject" in value.type_names:
            value.properties[key] = stored(new)
            return
        if key is not None:
            raise refuse(f"setting the property {shown(name)} of {value.type_names[0]}")
    raise fail(
        f"The property '{shown(name)}' cannot be found on this object. Verify that the property exists and can be set.",
        "PropertyAssignmentException",
    )


def index(value: object, at: object) -> object:
    """`value[at]`; several indexes give several values."""
    if isinstance(value, dict):
        if isinstance(at, list):
            return [index(value, one) for one in at]
        key = find_key(value, to_text(at))
        return value[key] if key is not None else None
    if value is None:
        raise fail("Cannot index into a null array.", "NullArray")
    if isinstance(at, list):
        return [index(value, one) for one in at]
    if isinstance(value, str | list | bytes):
        place = to_int(at)
        return value[place] if -len(value) <= place < len(value) else None
    if isinstance(value, PSObject):
        raise fail(f"Unable to index into an object of type {value.type_names[0]}.", "CannotIndex")
    return value if to_int(at) == 0 else None


def set_index(value: object, at: object, new: object) -> None:
    """`value[at] = new`."""
    if isinstance(value, dict):
        value[find_key(value, to_text(at)) or to_text(at)] = new
        return
    if isinstance(value, list):
        place = to_int(at)
        if not -len(value) <= place < len(value):
            raise fail("Index was outside the bounds of the array.", "System.IndexOutOfRangeException", "OperationStopped")
        value[place] = new
        return
    raise fail("Cannot index into a null array." if value is None else "Unable to index into this object.", "NullArray")


def _no_method(value: object, name: str) -> Terminating:
    if value is None:
        return fail("You cannot call a method on a null-valued expression.", "InvokeMethodOnNull")
    return refuse(f"the method {shown(name)} of [{type_names(value)[0]}]")


def call_member(session: Session, value: object, name: str, arguments: list[object]) -> object:
    """`value.name(arguments)`. Raises `Terminating`, naming the method where it is none of ours."""
    low = name.lower()
    if value is None:
        raise _no_method(value, name)
    match low:
        case "gettype" if not arguments:
            return PSObject(
                type_names=("System.RuntimeType", "System.Object"),
                properties={"Name": type_names(value)[0].rpartition(".")[2], "FullName": type_names(value)[0]},
                text=type_names(value)[0],
            )
        case "tostring":
            if not arguments:
                return value.body.text if isinstance(value, ScriptBlock) else to_text(value)
            return operators.format_value(value, to_text(arguments[0]))
        case "equals" if len(arguments) == 1:
            return operators.relation("ceq", value, arguments[0])
        case "compareto" if len(arguments) == 1:
            return -1 if operators.relation("lt", value, arguments[0]) else 1 if operators.relation("gt", value, arguments[0]) else 0
    if interaction.is_ours(value):
        return interaction.call_method(session, value, name, arguments)
    match value:
        case str():
            return _call_string(value, low, name, arguments)
        case datetime():
            return _call_date(value, low, name, arguments)
        case dict():
            return _call_table(value, low, name, arguments)
        case list():
            return _call_array(session, value, low, name, arguments)
        case ScriptBlock() if low in ("invoke", "invokereturnasis"):
            return collect(session.invoke(value, arguments))
        case PSObject() if "System.Text.RegularExpressions.Regex" in value.type_names and low == "ismatch" and len(arguments) == 1:
            pattern = regex(value.text, True)
            return pattern.search(subject(to_text(arguments[0]), pattern)) is not None
        case UUID() if low == "tobytearray" and not arguments:
            return value.bytes_le
        case _:
            raise _no_method(value, name)


def _call_string(value: str, low: str, name: str, arguments: list[object]) -> object:
    texts = [to_text(one) for one in arguments]
    match low, len(arguments):
        case "toupper" | "toupperinvariant", 0:
            return value.upper()
        case "tolower" | "tolowerinvariant", 0:
            return value.lower()
        case "trim" | "trimstart" | "trimend", 0 | 1:
            chars = "".join(to_text(one) for one in as_list(arguments[0])) if arguments else None
            return value.strip(chars) if low == "trim" else value.lstrip(chars) if low == "trimstart" else value.rstrip(chars)
        case "startswith", 1:
            return value.startswith(texts[0])
        case "endswith", 1:
            return value.endswith(texts[0])
        case "contains", 1:
            return texts[0] in value
        case "indexof", 1:
            return value.find(texts[0])
        case "lastindexof", 1:
            return value.rfind(texts[0])
        case "replace", 2:
            if not texts[0]:
                raise fail("String cannot be of zero length. Parameter name: oldValue", "ArgumentException", "NotSpecified")
            if len(value) + value.count(texts[0]) * max(0, len(texts[1]) - len(texts[0])) > 4_000_000:
                raise refuse("a string this long")
            return value.replace(texts[0], texts[1])
        case "substring", 1 | 2:
            start = to_int(arguments[0])
            size = to_int(arguments[1]) if len(arguments) > 1 else len(value) - start
            if start < 0 or size < 0 or start + size > len(value):
                raise fail(
                    "Index and length must refer to a location within the string. Parameter name: length",
                    "ArgumentOutOfRangeException",
                    "NotSpecified",
                )
            return value[start : start + size]
        case "split", 1:
            given = "".join(to_text(one) for one in as_list(arguments[0]))
            return list(re.split("[" + re.escape(given) + "]", value)) if given else list(value.split())
        case "split", 0:
            return list(value.split(" "))
        case "padleft" | "padright", 1 | 2:
            width, fill = to_int(arguments[0], (0, 100_000)), (texts[1] if len(texts) > 1 else " ")
            return value.rjust(width, fill[:1] or " ") if low == "padleft" else value.ljust(width, fill[:1] or " ")
        case "insert", 2:
            place = to_int(arguments[0], (0, len(value)))
            return bounded(value[:place] + texts[1] + value[place:])
        case "remove", 1 | 2:
            place = to_int(arguments[0], (0, len(value)))
            size = to_int(arguments[1], (0, len(value) - place)) if len(arguments) > 1 else len(value) - place
            return value[:place] + value[place + size :]
        case "tochararray", 0:
            return list(value)
        case _:
            raise _no_method(value, name)


def _call_date(value: datetime, low: str, name: str, arguments: list[object]) -> object:
    units = {"adddays": "days", "addhours": "hours", "addminutes": "minutes", "addseconds": "seconds", "addmilliseconds": "milliseconds"}
    try:
        if low in units and len(arguments) == 1:
            return value + timedelta(**{units[low]: float(to_number(arguments[0]))})
        if low == "addticks" and len(arguments) == 1:
            return value + timedelta(microseconds=to_int(arguments[0], INT64) // 10)
        if low in ("add", "subtract") and len(arguments) == 1:
            return operators.arithmetic("+" if low == "add" else "-", value, arguments[0])
    except (OverflowError, ValueError):
        raise fail(
            "The added or subtracted value results in an un-representable DateTime.", "ArgumentOutOfRangeException", "NotSpecified"
        ) from None
    match low:
        case "touniversaltime" if not arguments:
            return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
        case "tolocaltime" if not arguments:
            return value
        case "toshortdatestring" if not arguments:
            return operators.format_value(value, "M/d/yyyy")
        case "tofiletime" | "tofiletimeutc" if not arguments:
            return ticks(value) - 504_911_232_000_000_000
        case _:
            raise _no_method(value, name)


def _call_table(value: dict[str, object], low: str, name: str, arguments: list[object]) -> object:
    key = find_key(value, to_text(arguments[0])) if arguments else None  # type: ignore[arg-type]
    match low, len(arguments):
        case "containskey" | "contains", 1:
            return key is not None
        case "containsvalue", 1:
            return any(operators.relation("ceq", one, arguments[0]) is True for one in value.values())
        case "add", 2:
            if key is not None:
                raise fail(
                    f"Item has already been added. Key in dictionary: '{shown(key)}'  Key being added: '{shown(to_text(arguments[0]))}'",
                    "ArgumentException",
                    "NotSpecified",
                )
            value[to_text(arguments[0])] = arguments[1]
            return None
        case "remove", 1:
            if key is not None:
                del value[key]
            return None
        case "getenumerator", 0:
            return [table_entry(held, one) for held, one in value.items()]
        case _:
            raise _no_method(value, name)


def table_entry(key: str, value: object) -> PSObject:
    """A DictionaryEntry."""
    return PSObject(
        type_names=("System.Collections.DictionaryEntry", "System.ValueType", "System.Object"),
        properties={"Name": key, "Key": key, "Value": stored(value)},
        text="System.Collections.DictionaryEntry",
    )


def _call_array(session: Session, value: list[object], low: str, name: str, arguments: list[object]) -> object:
    match low, len(arguments):
        case "contains", 1:
            return any(operators.relation("ceq", one, arguments[0]) is True for one in value)
        case "indexof", 1:
            return next((place for place, one in enumerate(value) if operators.relation("ceq", one, arguments[0]) is True), -1)
        case "where", 1 if isinstance(arguments[0], ScriptBlock):
            block = arguments[0]
            return [one for one in value if to_bool(collect(session.invoke(block, item=one, has_item=True)))]
        case "foreach", 1 if isinstance(arguments[0], ScriptBlock):
            block = arguments[0]
            return [found for one in value for found in session.invoke(block, item=one, has_item=True)]
        case _:
            raise _no_method(value, name)


# --- static members -------------------------------------------------------------------------------------------------------


def get_static(session: Session, type_name: str, name: str) -> object:
    """`[type]::name`. Raises `Terminating`, naming the member where it is none of ours."""
    host, account = session.host, session.engine.process.logon.account
    match type_name.lower(), name.lower():
        case "system.datetime", "utcnow":
            return host.now()
        case "system.datetime", "now":
            return host.now()
        case "system.datetime", "today":
            return host.now().replace(hour=0, minute=0, second=0, microsecond=0)
        case "system.environment", "machinename":
            return host.name
        case "system.environment", "username":
            return account.name
        case "system.environment", "userdomainname":
            return account.domain
        case "system.environment", "processorcount":
            return 2
        case "system.environment", "currentdirectory":
            return session.location
        case "system.environment", "newline":
            return "\r\n"
        case "system.environment", "is64bitoperatingsystem" | "is64bitprocess":
            return True
        case "system.environment", "osversion":
            return PSObject(
                type_names=("System.OperatingSystem", "System.Object"),
                properties={
                    "Platform": "Win32NT",
                    "ServicePack": "",
                    "Version": version("10.0.19045.0"),
                    "VersionString": "Microsoft Windows NT 10.0.19045.0",
                },
                text="Microsoft Windows NT 10.0.19045.0",
            )
        case "system.environment", "tickcount":
            return int((host.now() - host.booted).total_seconds() * 1000) & 0x7FFFFFFF
        case "system.environment", "commandline":
            return session.engine.process.command_line
        case "system.math", "pi":
            return math.pi
        case "system.math", "e":
            return math.e
        case "system.guid", "empty":
            return UUID(int=0)
        case "system.string", "empty":
            return ""
        case "system.int32", "maxvalue":
            return (1 << 31) - 1
        case "system.int32", "minvalue":
            return -(1 << 31)
        case "system.int64", "maxvalue":
            return INT64[1]
        case "system.management.automation.runspaces.runspace", "defaultrunspace":
            return runspace_object(session)
        case "system.text.encoding", "utf8" | "unicode" | "ascii":
            raise refuse("the encodings of [System.Text.Encoding]")
        case _:
            raise refuse(f"the static member [{shown(type_name)}]::{shown(name)}")


_ROUNDED: dict[str, Callable[[float], float]] = {
    "floor": math.floor,
    "ceiling": math.ceil,
    "truncate": math.trunc,
    "sqrt": math.sqrt,
}


def call_static(session: Session, type_name: str, name: str, arguments: list[object]) -> object:
    """`[type]::name(arguments)`. Raises `Terminating`, naming the method where it is none of ours."""
    low = name.lower()
    count = len(arguments)
    if low == "new" and (made := interaction.make(type_name, arguments)) is not None:
        return made
    if type_name.lower() == "system.runtime.interopservices.marshal" and (opened := interaction.marshal(low, arguments)) is not None:
        return opened
    match type_name.lower(), low:
        case "system.guid", "newguid" if count == 0:
            return session.host.new_uuid()
        case "system.guid", "parse" if count == 1:
            return _guid(to_text(arguments[0]))
        case "system.datetime", "parse" if count == 1:
            return parse_datetime(to_text(arguments[0]))
        case "system.environment", "getenvironmentvariable" if count in (1, 2):
            held = session.environment
            key = next((one for one in held if one.lower() == to_text(arguments[0]).lower()), None)
            return held[key] if key is not None else None
        case "system.environment", "expandenvironmentvariables" if count == 1:
            return expand_percent(to_text(arguments[0]), session.environment)
        case "system.math", _ if count in (1, 2):
            return _math(low, name, arguments)
        case "system.string", "isnullorempty" if count == 1:
            return not to_text(arguments[0])
        case "system.string", "isnullorwhitespace" if count == 1:
            return not to_text(arguments[0]).strip()
        case "system.string", "join" if count >= 2:
            items = as_list(arguments[1]) if count == 2 else arguments[1:]
            return bounded(to_text(arguments[0]).join(to_text(one) for one in items))
        case "system.string", "format" if count >= 2:
            return operators.format_text(to_text(arguments[0]), as_list(arguments[1]) if count == 2 else arguments[1:])
        case "system.convert", "tobase64string" if count == 1 and isinstance(arguments[0], bytes):
            return base64.b64encode(arguments[0]).decode("ascii")
        case "system.convert", "frombase64string" if count == 1:
            return _from_base64(to_text(arguments[0]))
        case "system.convert", "toint32" if count == 1:
            return to_int(arguments[0])
        case "system.convert", "tostring" if count == 1:
            return to_text(arguments[0])
        case "system.io.path", "combine" if count >= 2:
            return ntpath.join(*(to_text(one) for one in arguments))
        case "system.io.path", "getfilename" if count == 1:
            return ntpath.basename(to_text(arguments[0]))
        case "system.io.path", "getdirectoryname" if count == 1:
            return ntpath.dirname(to_text(arguments[0]))
        case "system.io.path", "getextension" if count == 1:
            return ntpath.splitext(to_text(arguments[0]))[1]
        case "system.io.path", "gettemppath" if count == 0:
            return session.environment["TEMP"] + "\\"
        case "system.regex" | "system.text.regularexpressions.regex", "escape" if count == 1:
            return re.sub(r"([\\*+?|{\[()^$.# ])", r"\\\1", to_text(arguments[0]))
        case "system.text.regularexpressions.regex", "ismatch" if count == 2:
            pattern = regex(to_text(arguments[1]), True)
            return pattern.search(subject(to_text(arguments[0]), pattern)) is not None
        case "system.security.principal.windowsidentity", "getcurrent" if count == 0:
            account = session.engine.process.logon.account
            return PSObject(
                type_names=("System.Security.Principal.WindowsIdentity", "System.Object"),
                properties={
                    "Name": f"{account.domain}\\{account.name}",
                    "User": account.sid,
                    "AuthenticationType": session.engine.process.logon.package.value,
                    "IsAuthenticated": True,
                    "IsSystem": False,
                },
                text="System.Security.Principal.WindowsIdentity",
            )
        case "system.diagnostics.process", "getcurrentprocess" if count == 0:
            return process_object(session.engine.process)
        case "system.net.dns", "gethostname" if count == 0:
            return session.host.name
        case _:
            raise refuse(f"the static method [{shown(type_name)}]::{shown(name)}")


def _math(low: str, name: str, arguments: list[object]) -> object:
    numbers = [to_number(one) for one in arguments]
    first = numbers[0]
    try:
        match low, len(numbers):
            case "abs", 1:
                return abs(first)
            case "max", 2:
                return max(numbers)
            case "min", 2:
                return min(numbers)
            case "pow", 2:
                return math.pow(first, numbers[1])
            case "round", 1:
                return float(round(first))
            case "round", 2:
                return round(float(first), to_int(numbers[1], (0, 15)))
            case (("floor" | "ceiling" | "truncate" | "sqrt"), 1):
                return float(_ROUNDED[low](float(first)))
            case _:
                raise refuse(f"the static method [System.Math]::{shown(name)}")
    except (OverflowError, ValueError):
        return math.nan if low == "sqrt" else math.inf


def _from_base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise fail("The input is not a valid Base-64 string.", "FormatException", "NotSpecified") from None


def expand_percent(text: str, environment: dict[str, str]) -> str:
    """`%NAME%` replaced by the variable's value; an unknown name stays as it is."""
    values = {name.lower(): value for name, value in environment.items()}
    return bounded(re.sub(r"%([^%\r\n]{1,255})%", lambda found: values.get(found[1].lower(), found[0]), text))
