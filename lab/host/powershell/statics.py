"""Static members of types, `[type]::name`: a closed list, as `members` has one of what values have."""

from __future__ import annotations

import base64
import binascii
import math
import ntpath
import re
from collections.abc import Callable
from typing import TYPE_CHECKING
from uuid import UUID

from lab.host.powershell import objects, operators, types
from lab.host.powershell.errors import fail, refuse, shown
from lab.host.powershell.values import (
    INT64,
    as_list,
    bounded,
    parse_datetime,
    regex,
    subject,
    to_int,
    to_number,
    to_text,
)
from lab.machine import PSObject

if TYPE_CHECKING:
    from lab.host.powershell.commands import Session


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
                    "Version": objects.version("10.0.19045.0"),
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
            return objects.runspace_object(session)
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
    match type_name.lower(), low:
        case "system.guid", "newguid" if count == 0:
            return session.host.new_uuid()
        case "system.guid", "parse" if count == 1:
            return types.guid(to_text(arguments[0]))
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
            return objects.process_object(session.engine.process)
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
