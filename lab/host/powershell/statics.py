"""Static members of types, `[type]::name`: a closed list, as `members` has one of what values have."""

from __future__ import annotations

import base64
import binascii
import math
import ntpath
import re
import sys
from calendar import isleap, monthrange
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from lab.host import inventory
from lab.host.powershell import construct, interaction, objects, operators, types
from lab.host.powershell.errors import Terminating, fail, refuse, shown
from lab.host.powershell.values import (
    INT64,
    SortKey,
    as_list,
    bounded,
    collect,
    compare,
    equal,
    parse_datetime,
    regex,
    subject,
    to_bool,
    to_int,
    to_number,
    to_text,
)
from lab.host.programs.identity import token_groups
from lab.machine import PSObject, PSValue

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
        case "system.text.encoding", ("utf8" | "unicode" | "ascii" | "default" | "bigendianunicode" | "utf7"):
            return encoding(name.lower())
        case "system.environment", "systemdirectory":
            return "C:\\Windows\\system32"
        case "system.environment", "version":
            return objects.version("4.0.30319.42000")
        case "system.environment", "userinteractive":
            return False
        case "system.environment", "hasshutdownstarted":
            return False
        case "system.environment", "exitcode":
            return 0
        case "system.environment", "stacktrace":
            return ""
        case "system.int64", "minvalue":
            return INT64[0]
        case "system.double", "maxvalue":
            return sys.float_info.max
        case "system.double", "nan":
            return math.nan
        case "system.datetime", "minvalue":
            return datetime(1, 1, 1)  # noqa: DTZ001  of kind Unspecified
        case "system.datetime", "maxvalue":
            return datetime(9999, 12, 31, 23, 59, 59, 999999)  # noqa: DTZ001
        case "system.timespan", "zero":
            return operators.time_span(timedelta())
        case "system.globalization.cultureinfo", ("currentculture" | "currentuiculture" | "invariantculture"):
            return collect(session.run_text("Get-Culture"))
        case "system.timezoneinfo", ("local" | "utc"):
            return collect(session.run_text("Get-TimeZone"))
        case "system.io.path", "directoryseparatorchar":
            return "\\"
        case "system.io.path", "pathseparator":
            return ";"
        case "system.security.principal.windowsbuiltinrole", ("administrator" | "user" | "guest" | "poweruser"):
            return name.capitalize()
        case "system.net.ipaddress", ("loopback" | "any"):
            return types.convert(session, "ipaddress", "127.0.0.1" if name.lower() == "loopback" else "0.0.0.0")  # noqa: S104
        case "system.console", ("outputencoding" | "inputencoding"):
            return encoding("default")
        case "system.runtime.interopservices.runtimeinformation", "osdescription":
            return f"Microsoft Windows 10.0.{inventory.BUILD} "
        case _:
            raise refuse(f"the static member [{shown(type_name)}]::{shown(name)}")


_ROUNDED: dict[str, Callable[[float], float]] = {
    "floor": math.floor,
    "ceiling": math.ceil,
    "truncate": math.trunc,
    "sqrt": math.sqrt,
}


_SMOOTH: dict[str, Callable[[float], float]] = {"exp": math.exp, "sin": math.sin, "cos": math.cos, "tan": math.tan}


def call_static(session: Session, type_name: str, name: str, arguments: list[object]) -> object:
    """`[type]::name(arguments)`. Raises `Terminating`, naming the method where it is none of ours."""
    low = name.lower()
    count = len(arguments)
    if low == "new":
        return construct.new(session, type_name, arguments)
    if type_name.lower() == "system.runtime.interopservices.marshal" and (opened := interaction.marshal(low, arguments)) is not None:
        return opened
    if type_name.lower() == "system.text.regularexpressions.regex" and low != "escape" and count >= 2:
        case = not (count > 2 and isinstance(arguments[-1], str) and "ignorecase" in arguments[-1].lower())
        return regular_expression(low, to_text(arguments[1]), [arguments[0], *arguments[2:]], case=case)
    if type_name.lower() in ("system.io.file", "system.io.directory"):
        return _file_system(session, type_name, low, arguments)
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
        case "system.security.principal.windowsidentity", "getcurrent" if count == 0:
            account = session.engine.process.logon.account
            return PSObject(
                type_names=("System.Security.Principal.WindowsIdentity", "System.Object"),
                properties={
                    "Name": f"{account.domain}\\{account.name}",
                    "User": types.reference("SecurityIdentifier", account.sid),
                    "Owner": "S-1-5-32-544" if session.engine.process.logon.elevated else account.sid,
                    "Groups": [
                        types.reference("SecurityIdentifier", sid)
                        for _, _, sid, _ in token_groups(session.engine.process.logon)
                        if not sid.startswith("S-1-16-")
                    ],
                    "IsGuest": False,
                    "IsAnonymous": False,
                    "ImpersonationLevel": "None",
                    "AuthenticationType": session.engine.process.logon.package.value,
                    "IsAuthenticated": True,
                    "IsSystem": False,
                },
                text="System.Security.Principal.WindowsIdentity",
            )
        case "system.diagnostics.process", "getcurrentprocess" if count == 0:
            return objects.process_object(session.engine.process)
        case "system.diagnostics.process", "getprocesses" if count == 0:
            return [objects.process_object(one) for one in session.host.processes]
        case "system.diagnostics.process", ("getprocessbyid" | "getprocessesbyname") if count == 1:
            option = "-Id" if low == "getprocessbyid" else "-Name"
            quoted = to_text(arguments[0]).replace("'", "''")
            return collect(
                session.run_text(f"Get-Process {option} '{quoted}' -ErrorAction {'Stop' if option == '-Id' else 'SilentlyContinue'}")
            )
        case "system.net.dns", ("gethostentry" | "gethostbyname" | "gethostaddresses" | "resolve") if count == 1:
            return _host_entry(session, low, name, to_text(arguments[0]))
        case "system.environment", "getfolderpath" if count == 1:
            return _folder(session, to_text(arguments[0]))
        case "system.environment", "getenvironmentvariables" if count in (0, 1):
            return dict(session.environment)
        case "system.environment", "setenvironmentvariable" if count in (2, 3):
            if count == 3 and to_text(arguments[2]).lower() != "process":
                raise refuse("an environment variable beyond the process")
            key = next((one for one in session.environment if one.lower() == to_text(arguments[0]).lower()), to_text(arguments[0]))
            if to_text(arguments[1]):
                session.environment[key] = to_text(arguments[1])
            else:
                session.environment.pop(key, None)
            return None
        case "system.environment", "getlogicaldrives" if count == 0:
            return [f"{one.letter}\\" for one in inventory.DISKS]
        case "system.io.driveinfo", "getdrives" if count == 0:
            return [objects.drive_info(one) for one in inventory.DISKS]
        case "system.timespan", ("fromdays" | "fromhours" | "fromminutes" | "fromseconds" | "frommilliseconds") if count == 1:
            try:
                return operators.time_span(timedelta(**{low[4:]: float(to_number(arguments[0]))}))
            except OverflowError:
                raise fail("TimeSpan overflowed because the duration is too long.", "OverflowException", "NotSpecified") from None
        case "system.datetime", "daysinmonth" if count == 2:
            return monthrange(to_int(arguments[0], (1, 9999)), to_int(arguments[1], (1, 12)))[1]
        case "system.datetime", "isleapyear" if count == 1:
            return isleap(to_int(arguments[0], (1, 9999)))
        case "system.datetime", "fromfiletime" | "fromfiletimeutc" if count == 1:
            return types.convert(session, "datetime", to_int(arguments[0], INT64) + 504_911_232_000_000_000)
        case (("system.int32" | "system.int64" | "system.double" | "system.decimal" | "system.version" | "system.timespan"), "parse") if (
            count == 1
        ):
            return types.convert(session, type_name, to_text(arguments[0]))
        case "system.net.ipaddress", "parse" if count == 1:
            return types.convert(session, type_name, arguments[0])
        case "system.char", ("isletter" | "isdigit" | "isupper" | "islower" | "iswhitespace" | "isletterordigit") if count == 1:
            char = to_text(arguments[0])[:1]
            tests = {
                "isletter": char.isalpha(),
                "isdigit": char.isdigit(),
                "isupper": char.isupper(),
                "islower": char.islower(),
                "iswhitespace": char.isspace(),
                "isletterordigit": char.isalnum(),
            }
            return tests[low]
        case "system.string", "concat":
            return bounded("".join(to_text(one) for one in (as_list(arguments[0]) if count == 1 else arguments)))
        case "system.string", "compare" if count in (2, 3):
            return compare(to_text(arguments[0]), to_text(arguments[1]), case=not (count == 3 and to_bool(arguments[2])))
        case "system.array", "reverse" if count == 1 and isinstance(arguments[0], list):
            arguments[0].reverse()
            return None
        case "system.array", "sort" if count == 1 and isinstance(arguments[0], list):
            arguments[0].sort(key=lambda one: SortKey(one, case=True))
            return None
        case "system.array", "indexof" if count == 2:
            return next((at for at, one in enumerate(as_list(arguments[0])) if equal(one, arguments[1], case=True)), -1)
        case "system.convert", "tostring" if count == 2:
            base = to_int(arguments[1])
            number = to_int(arguments[0], INT64, "System.Int64")
            forms = {2: "b", 8: "o", 10: "d", 16: "x"}
            if base not in forms:
                raise fail("Invalid Base.", "ArgumentException", "NotSpecified")
            return format(number if number >= 0 else number + (1 << 32), forms[base])
        case "system.convert", ("toint32" | "toint64" | "tobyte") if count == 2:
            try:
                return int(to_text(arguments[0]), to_int(arguments[1]))
            except ValueError:
                raise fail("Could not find any recognizable digits.", "FormatException", "NotSpecified") from None
        case "system.convert", ("toint64" | "tobyte" | "todouble" | "todecimal" | "toboolean" | "tochar" | "todatetime") if count == 1:
            return types.convert(session, f"system.{low[2:]}", arguments[0])
        case "system.io.path", "getfilenamewithoutextension" if count == 1:
            return ntpath.splitext(ntpath.basename(to_text(arguments[0])))[0]
        case "system.io.path", "getfullpath" if count == 1:
            return ntpath.normpath(ntpath.join(session.location, to_text(arguments[0])))
        case "system.io.path", "getpathroot" if count == 1:
            return ntpath.splitdrive(to_text(arguments[0]))[0] + "\\"
        case "system.io.path", ("getrandomfilename" | "gettempfilename") if count == 0:
            name = session.host.new_uuid().hex
            return f"{name[:8]}.{name[8:11]}" if low == "getrandomfilename" else f"{session.environment['TEMP']}\\tmp{name[:4].upper()}.tmp"
        case "system.io.path", "hasextension" if count == 1:
            return bool(ntpath.splitext(to_text(arguments[0]))[1])
        case "system.io.path", "changeextension" if count == 2:
            return ntpath.splitext(to_text(arguments[0]))[0] + "." + to_text(arguments[1]).lstrip(".")
        case "system.console", ("writeline" | "write"):
            text = operators.format_text(to_text(arguments[0]), arguments[1:]) if count > 1 else to_text(arguments[0]) if count else ""
            if session.io.has_host and low == "writeline":
                session.io.host_write_line(text)
            elif session.io.has_host:
                session.io.host_write(text)
            return None
        case "system.management.automation.scriptblock", "create" if count == 1:
            return collect(session.run_text("{" + to_text(arguments[0]) + "}"))
        case "system.security.principal.windowsidentity", "getanonymous":
            raise refuse("an anonymous identity")
        case "system.text.encoding", "getencoding" if count == 1:
            return encoding(to_text(arguments[0]).lower())
        case "system.timezoneinfo", "findsystemtimezonebyid" if count == 1:
            raise refuse("another time zone than the lab's")
        case "system.net.dns", "gethostname" if count == 0:
            return session.host.name
        case _:
            raise refuse(f"the static method [{shown(type_name)}]::{shown(name)}")


def regular_expression(low: str, pattern_text: str, arguments: list[object], *, case: bool) -> object:
    """The methods of [regex]: IsMatch, Match, Matches, Replace, Split, of a text."""
    pattern = regex(pattern_text, case)
    text = subject(to_text(arguments[0]), pattern)
    match low:
        case "ismatch":
            return pattern.search(text) is not None
        case "match":
            found = pattern.search(text)
            return objects.match_object(found)
        case "matches":
            return [objects.match_object(one) for one in pattern.finditer(text)]
        case "replace" if len(arguments) > 1:
            return operators.relation("creplace" if case else "replace", text, [pattern_text, arguments[1]])
        case "split":
            return list(pattern.split(text))
        case _:
            raise refuse(f"the method {low} of a regular expression")


def encoding(name: str) -> PSObject:
    """A System.Text.Encoding by its name."""
    known = {
        "utf8": ("UTF8Encoding", "utf-8"),
        "utf-8": ("UTF8Encoding", "utf-8"),
        "unicode": ("UnicodeEncoding", "utf-16"),
        "utf-16": ("UnicodeEncoding", "utf-16"),
        "ascii": ("ASCIIEncoding", "us-ascii"),
        "default": ("SBCSCodePageEncoding", "Windows-1252"),
        "windows-1252": ("SBCSCodePageEncoding", "Windows-1252"),
    }
    if name not in known:
        raise refuse(f"the encoding {shown(name)}")
    kind, web = known[name]
    return PSObject(
        type_names=(f"System.Text.{kind}", "System.Text.Encoding", "System.Object"),
        properties={"BodyName": web.lower(), "EncodingName": web, "WebName": web.lower()},
        text=f"System.Text.{kind}",
    )


def translate(session: Session, value: PSObject, wanted: str) -> object:
    """A SID as the account's name, or the other way round."""
    host, text = session.host, to_text(value.properties["Value"])
    known = {one.sid: f"{one.domain}\\{one.name}" for one in host.accounts}
    known |= {one.sid: f"{host.name}\\{one.name}" for one in host.users}
    known |= {one.sid: f"BUILTIN\\{one.name}" if one.sid.startswith("S-1-5-32-") else f"{host.name}\\{one.name}" for one in host.groups}
    known |= {sid: name for name, _, sid, _ in token_groups(session.engine.process.logon)}
    known |= {"S-1-5-18": "NT AUTHORITY\\SYSTEM", "S-1-5-19": "NT AUTHORITY\\LOCAL SERVICE", "S-1-5-20": "NT AUTHORITY\\NETWORK SERVICE"}
    if "ntaccount" in wanted.lower():
        found = known.get(text) if text.startswith("S-1-") else text
        kind = "system.security.principal.ntaccount"
    else:
        low = text.lower()
        fits = (sid for sid, name in known.items() if low in (name.lower(), name.rpartition("\\")[2].lower()))
        found = text if text.startswith("S-1-") else next(fits, None)
        kind = "system.security.principal.securityidentifier"
    if found is None:
        message = "Some or all identity references could not be translated."
        raise construct.invocation_fault("Translate", 1, message, "IdentityNotMappedException")
    return types.convert(session, kind, found)


def no_way_out(name: str, arguments: list[object]) -> Terminating:
    """What every method of a WebClient comes to: there is no network beyond the lab."""
    return construct.invocation_fault(name, len(arguments), "Unable to connect to the remote server", "WebException")


def _host_entry(session: Session, low: str, name: str, asked: str) -> object:
    network = session.host.tcpip
    address = network.ip if asked in ("", ".") else network.resolve(asked)
    if address is None:
        raise construct.invocation_fault(name, 1, "No such host is known", "SocketException")
    addresses: list[PSValue] = [types.convert(session, "ipaddress", address)]  # type: ignore[list-item]
    if low == "gethostaddresses":
        return addresses
    return PSObject(
        type_names=("System.Net.IPHostEntry", "System.Object"),
        properties={"HostName": network.name_of(address) or asked, "Aliases": [], "AddressList": addresses},
    )


_FOLDERS = {
    "desktop": "Desktop",
    "mydocuments": "Documents",
    "personal": "Documents",
    "applicationdata": "AppData\\Roaming",
    "localapplicationdata": "AppData\\Local",
    "userprofile": "",
    "startup": "AppData\\Roaming\\Microsoft\\Windows\\Start Menu\\Programs\\Startup",
}
_COMMON_FOLDERS = {
    "system": "C:\\Windows\\system32",
    "windows": "C:\\Windows",
    "programfiles": "C:\\Program Files",
    "programfilesx86": "C:\\Program Files (x86)",
    "commonapplicationdata": "C:\\ProgramData",
    "commonstartup": "C:\\ProgramData\\Microsoft\\Windows\\Start Menu\\Programs\\StartUp",
}


def _folder(session: Session, name: str) -> str:
    low = name.lower()
    if low in _COMMON_FOLDERS:
        return _COMMON_FOLDERS[low]
    if low in _FOLDERS:
        return ntpath.join(session.environment["USERPROFILE"], _FOLDERS[low]).rstrip("\\")
    raise refuse(f"the folder {shown(name)}")


def _file_system(session: Session, type_name: str, low: str, arguments: list[object]) -> object:
    """[IO.File] and [IO.Directory]: by the cmdlets that do the same."""
    if not arguments:
        raise refuse(f"the static method [{type_name}]::{low}")
    quoted = to_text(arguments[0]).replace("'", "''")
    value = to_text(arguments[1]).replace("'", "''") if len(arguments) > 1 and isinstance(arguments[1], str) else ""
    is_file = type_name.lower() == "system.io.file"
    lines = {
        "exists": f"Test-Path -LiteralPath '{quoted}' -PathType {'Leaf' if is_file else 'Container'}",
        "readalltext": f"Get-Content -LiteralPath '{quoted}' -Raw -ErrorAction Stop",
        "readalllines": f"Get-Content -LiteralPath '{quoted}' -ErrorAction Stop",
        "readallbytes": f"Get-Content -LiteralPath '{quoted}' -Encoding Byte -ErrorAction Stop",
        "writealltext": f"Set-Content -LiteralPath '{quoted}' -Value '{value}' -NoNewline -ErrorAction Stop",
        "appendalltext": f"Add-Content -LiteralPath '{quoted}' -Value '{value}' -NoNewline -ErrorAction Stop",
        "delete": f"Remove-Item -LiteralPath '{quoted}' -Recurse -Force -ErrorAction Stop",
        "copy": f"Copy-Item -LiteralPath '{quoted}' -Destination '{value}' -ErrorAction Stop",
        "move": f"Move-Item -LiteralPath '{quoted}' -Destination '{value}' -ErrorAction Stop",
        "createdirectory": f"New-Item -Path '{quoted}' -ItemType Directory -Force -ErrorAction Stop",
        "getfiles": f"Get-ChildItem -LiteralPath '{quoted}' -File -Force -ErrorAction Stop | ForEach-Object FullName",
        "getdirectories": f"Get-ChildItem -LiteralPath '{quoted}' -Directory -Force -ErrorAction Stop | ForEach-Object FullName",
        "getlastwritetime": f"(Get-Item -LiteralPath '{quoted}' -ErrorAction Stop).LastWriteTime",
        "getcreationtime": f"(Get-Item -LiteralPath '{quoted}' -ErrorAction Stop).CreationTime",
    }
    only_file = low.startswith(("read", "write", "append")) or low == "copy"
    if low not in lines or (only_file and not is_file) or (low in ("getfiles", "getdirectories", "createdirectory") and is_file):
        raise refuse(f"the static method [{type_name}]::{low}")
    found = session.run_text(lines[low])
    if low in ("getfiles", "getdirectories", "readalllines"):
        return found
    return bytes(to_int(one) for one in found) if low == "readallbytes" else collect(found)


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
            case (("log" | "log10"), 1):
                if first <= 0:
                    return -math.inf if first == 0 else math.nan
                return math.log(first) if low == "log" else math.log10(first)
            case (("exp" | "sin" | "cos" | "tan"), 1):
                return _SMOOTH[low](float(first))
            case "sign", 1:
                return (first > 0) - (first < 0)
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
