"""The closed list of types that the emulated PowerShell has: their names and the conversions to them. Any other is refused by its name."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from ipaddress import ip_address
from typing import TYPE_CHECKING
from uuid import UUID

from lab.host.powershell import interaction, objects, operators
from lab.host.powershell.errors import fail, refuse, shown
from lab.host.powershell.values import (
    INT64,
    NetList,
    ScriptBlock,
    TypeValue,
    as_list,
    custom,
    number_text,
    parse_datetime,
    regex,
    stored,
    to_bool,
    to_int,
    to_number,
    to_text,
    type_names,
)
from lab.machine import PSObject, SecureString

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
    "pscustomobject": "System.Management.Automation.PSCustomObject",
    "psobject": "System.Management.Automation.PSObject",
    "regex": "System.Text.RegularExpressions.Regex",
    "runspace": "System.Management.Automation.Runspaces.Runspace",
    "scriptblock": "System.Management.Automation.ScriptBlock",
    "single": "System.Single",
    "string": "System.String",
    "switch": "System.Management.Automation.SwitchParameter",
    "switchparameter": "System.Management.Automation.SwitchParameter",
    "timespan": "System.TimeSpan",
    "uint32": "System.UInt32",
    "uint64": "System.UInt64",
    "version": "System.Version",
    "void": "System.Void",
    "uri": "System.Uri",
    "pscredential": "System.Management.Automation.PSCredential",
    "ipaddress": "System.Net.IPAddress",
    "cultureinfo": "System.Globalization.CultureInfo",
    "int16": "System.Int16",
    "uint16": "System.UInt16",
    "sbyte": "System.SByte",
    "securestring": "System.Security.SecureString",
    "psobject[]": "System.Management.Automation.PSObject[]",
    "wmi": "System.Management.ManagementObject",
    "adsi": "System.DirectoryServices.DirectoryEntry",
    "adsisearcher": "System.DirectoryServices.DirectorySearcher",
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
        "System.Collections.ArrayList",
        "System.Text.StringBuilder",
        "System.Uri",
        "System.Net.WebClient",
        "System.Net.Sockets.TcpClient",
        "System.Net.IPAddress",
        "System.Random",
        "System.Security.Principal.WindowsPrincipal",
        "System.Security.Principal.WindowsBuiltInRole",
        "System.Security.Principal.SecurityIdentifier",
        "System.Security.Principal.NTAccount",
        "System.Globalization.CultureInfo",
        "System.IO.DriveInfo",
        "System.Console",
        "System.TimeZoneInfo",
        "System.InvalidOperationException",
        "System.ArgumentException",
        "System.ServiceProcess.ServiceController",
        "System.Management.Automation.PSCredential",
        "System.Management.Automation.Host.ChoiceDescription",
        "System.Management.Automation.Host.FieldDescription",
        "System.Runtime.InteropServices.RuntimeInformation",
        "System.Runtime.InteropServices.Marshal",
    )
}


def full_name(name: str) -> str:
    """A type's full name from what stands in brackets: accelerators, and `System.` left out."""
    low = name.lower()
    generic = re.fullmatch(r"(?:system\.)?collections\.generic\.(list|dictionary)\[(.+)\]", low)
    if generic:
        return f"System.Collections.Generic.{generic[1].capitalize()}[{generic[2]}]"
    if low.endswith("[]"):
        return full_name(name[:-2]) + "[]"
    if low in _ACCELERATORS:
        return _ACCELERATORS[low]
    return _NAMES.get(low) or _NAMES.get(f"system.{low}") or name


_LIMITS = {
    "system.int32": (-(1 << 31), (1 << 31) - 1),
    "system.int64": INT64,
    "system.byte": (0, 255),
    "system.uint32": (0, (1 << 32) - 1),
    "system.uint64": (0, (1 << 64) - 1),
    "system.int16": (-(1 << 15), (1 << 15) - 1),
    "system.uint16": (0, (1 << 16) - 1),
    "system.sbyte": (-128, 127),
}


def convert(session: Session, type_name: str, value: object) -> object:
    """A cast. Raises `Terminating` where the value does not fit or the type is none of ours."""
    name = full_name(type_name)
    low = name.lower()
    generic = re.fullmatch(r"(?:system\.)?collections\.generic\.(list|dictionary)\[(.+)\]", low)
    if generic:
        return f"System.Collections.Generic.{generic[1].capitalize()}[{generic[2]}]"
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
            return value if isinstance(value, UUID) else guid(to_text(value))
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
            return value if isinstance(value, PSObject) else interaction.make(type_name, [value])
        case "system.collections.hashtable" | "system.collections.specialized.ordereddictionary" if value is None:
            return None
        case "system.uri":
            return _uri(to_text(value))
        case "system.net.ipaddress":
            return _ip_address(to_text(value))
        case "system.security.principal.securityidentifier":
            return reference("SecurityIdentifier", to_text(value))
        case "system.security.principal.ntaccount":
            return reference("NTAccount", to_text(value))
        case "system.security.principal.windowsprincipal" if isinstance(value, PSObject):
            return PSObject(type_names=(name, "System.Object"), properties={"Identity": value}, text=name)
        case "system.collections.arraylist":
            return NetList(as_list(value), kind=name)
        case "system.collections.generic.list[string]" | "system.collections.generic.list[object]" | "system.collections.generic.list[int]":
            return NetList(as_list(value), kind=name)
        case "system.security.securestring" | "system.management.automation.pscredential" if isinstance(value, PSObject):
            return value
        case "system.globalization.cultureinfo":
            return to_text(value)
        case _ if isinstance(value, PSObject) and low in (one.lower() for one in value.type_names):
            return value
        case "system.text.regularexpressions.regex":
            return PSObject(
                type_names=("System.Text.RegularExpressions.Regex", "System.Object"), properties={}, text=regex(to_text(value)).pattern
            )
        case _:
            raise refuse(f"the conversion to [{shown(name)}]")


def reference(kind: str, text: str) -> PSObject:
    """An IdentityReference: a SID or a name of an account."""
    return PSObject(
        type_names=(f"System.Security.Principal.{kind}", "System.Security.Principal.IdentityReference", "System.Object"),
        properties={"Value": text},
        text=text,
    )


def _uri(text: str) -> PSObject:
    found = re.fullmatch(r"([A-Za-z][\w+.-]*)://([^/:?#]*)(?::(\d{1,5}))?([^?#]*)(\?[^#]*)?.*", text, re.DOTALL)
    if found is None:
        return PSObject(type_names=("System.Uri", "System.Object"), properties={"IsAbsoluteUri": False, "OriginalString": text}, text=text)
    scheme = found[1].lower()
    port = int(found[3]) if found[3] else {"http": 80, "https": 443, "ftp": 21}.get(scheme, -1)
    return PSObject(
        type_names=("System.Uri", "System.Object"),
        properties={
            "AbsolutePath": found[4] or "/",
            "AbsoluteUri": text,
            "Authority": found[2] + (f":{found[3]}" if found[3] else ""),
            "Host": found[2],
            "Port": port,
            "Query": found[5] or "",
            "Scheme": scheme,
            "IsAbsoluteUri": True,
            "OriginalString": text,
        },
        text=text,
    )


def _ip_address(text: str) -> PSObject:
    try:
        address = ip_address(text.strip())
    except ValueError:
        raise fail(
            f'Cannot convert value "{shown(text)}" to type "System.Net.IPAddress". Error: "An invalid IP address was specified."',
            "InvalidCastParseTargetInvocation",
            "InvalidArgument",
        ) from None
    family = "InterNetwork" if address.version == 4 else "InterNetworkV6"
    return PSObject(
        type_names=("System.Net.IPAddress", "System.Object"),
        properties={"AddressFamily": family, "IPAddressToString": str(address)},
        text=str(address),
    )


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


def guid(text: str) -> UUID:
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
    return objects.version(text)


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
