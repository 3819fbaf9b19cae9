"""Properties and methods of values, and indexes into them: a closed list.

There is no reflection: a member name that was received only ever selects one of the cases written here.
"""

from __future__ import annotations

import re
from calendar import monthrange
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from lab.host.powershell import construct, interaction, objects, operators, statics
from lab.host.powershell.errors import ErrorObject, Terminating, fail, refuse, shown
from lab.host.powershell.values import (
    INT64,
    MAX_ITEMS,
    NetList,
    ScriptBlock,
    SortKey,
    TypeValue,
    as_list,
    bounded,
    collect,
    custom,
    find_key,
    stored,
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


def get_member(session: Session, value: object, name: str) -> object:
    """`value.name`: a property, an item's property of every item of an array, $null where there is none."""
    low = name.lower()
    match value:
        case None:
            return 0 if low in ("count", "length") else None
        case dict():
            if low in ("count", "keys", "values") and find_key(value, name) is None:
                return len(value) if low == "count" else list(value) if low == "keys" else list(value.values())
            key = find_key(value, name)
            return value[key] if key is not None else None
        case list():
            if low in ("count", "length", "longlength"):
                return len(value)
            if low == "capacity" and isinstance(value, NetList):
                return len(value)
            return collect(one for item in value for one in as_list(get_member(session, item, name)))
        case PSObject():
            key = find_key(value.properties, name)
            if key is not None:
                return value.properties[key]
            return _extra_property(value, low)
        case bytes():
            return len(value) if low in ("length", "count") else None
        case bool():
            return value if low == "ispresent" else 1 if low in ("count", "length") else None
        case UUID():
            return str(value) if low == "guid" else 1 if low in ("count", "length") else None
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


def set_member(session: Session, value: object, name: str, new: object) -> None:
    """`value.name = new`. Raises `Terminating` where there is no such property to set."""
    if isinstance(value, dict):
        value[find_key(value, name) or name] = new
        return
    if isinstance(value, list):
        for one in value:
            set_member(session, one, name, new)
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
        "PropertyAssignmentException" if value is not None else "PropertyNotFound",
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


METHODS: dict[str, tuple[str, ...]] = {
    "System.String": (
        *("CompareTo", "Contains", "EndsWith", "Equals", "GetType", "IndexOf", "Insert", "LastIndexOf", "PadLeft", "PadRight", "Remove"),
        *("Replace", "Split", "StartsWith", "Substring", "ToCharArray", "ToLower", "ToString", "ToUpper", "Trim", "TrimEnd", "TrimStart"),
    ),
    "System.DateTime": (
        *("Add", "AddDays", "AddHours", "AddMinutes", "AddMonths", "AddSeconds", "AddTicks", "AddYears", "CompareTo", "Equals", "GetType"),
        *("Subtract", "ToFileTime", "ToLocalTime", "ToShortDateString", "ToString", "ToUniversalTime"),
    ),
    "System.Diagnostics.Process": ("Equals", "GetType", "Kill", "Refresh", "ToString", "WaitForExit"),
    "System.ServiceProcess.ServiceController": ("Equals", "GetType", "Refresh", "Start", "Stop", "ToString", "WaitForStatus"),
}
"""The methods that values of the commonest types have, for Get-Member."""


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
        case ScriptBlock() if low == "getnewclosure" and not arguments:
            return value
        case PSObject():
            return _call_object(session, value, low, name, arguments)
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
        case "chars", 1:
            return value[to_int(arguments[0], (0, max(0, len(value) - 1)))]
        case "split", 2 | 3:
            marks = [to_text(one) for one in as_list(arguments[0])]
            parts = re.split("|".join(re.escape(one) for one in marks if one), value) if any(marks) else value.split()
            remove = "removeempty" in to_text(arguments[-1]).lower() or arguments[-1] == 1
            return [one for one in parts if one or not remove]
        case "contains", 2:
            return texts[0].lower() in value.lower() if "ignorecase" in texts[1].lower() else texts[0] in value
        case (("startswith" | "endswith" | "equals"), 2) if "ignorecase" in texts[1].lower():
            left, right = value.lower(), texts[0].lower()
            return left == right if low == "equals" else left.startswith(right) if low == "startswith" else left.endswith(right)
        case (("indexof" | "lastindexof"), 2) if isinstance(arguments[1], int):
            return value.find(texts[0], arguments[1]) if low == "indexof" else value.rfind(texts[0], 0, arguments[1] + 1)
        case "normalize", 0:
            return value
        case "gethashcode", 0:
            return sum((place + 1) * ord(char) for place, char in enumerate(value[:64])) & 0x7FFFFFFF
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
        case "addmonths" | "addyears" if len(arguments) == 1:
            return _add_months(value, to_int(arguments[0]) * (12 if low == "addyears" else 1))
        case "tolongdatestring" if not arguments:
            return operators.format_value(value, "dddd, MMMM d, yyyy")
        case "toshorttimestring" if not arguments:
            return operators.format_value(value, "h:mm tt")
        case "tolongtimestring" if not arguments:
            return operators.format_value(value, "h:mm:ss tt")
        case "isdaylightsavingtime" if not arguments:
            return False
        case "toshortdatestring" if not arguments:
            return operators.format_value(value, "M/d/yyyy")
        case "tofiletime" | "tofiletimeutc" if not arguments:
            return ticks(value) - 504_911_232_000_000_000
        case _:
            raise _no_method(value, name)


def _add_months(value: datetime, months: int) -> datetime:
    year, month = divmod(value.year * 12 + value.month - 1 + months, 12)
    if not 1 <= year <= 9999:
        raise fail("The added or subtracted value results in an un-representable DateTime.", "ArgumentOutOfRangeException", "NotSpecified")
    return value.replace(year=year, month=month + 1, day=min(value.day, monthrange(year, month + 1)[1]))


def _call_object(session: Session, value: PSObject, low: str, name: str, arguments: list[object]) -> object:
    kind, count = value.type_names[0], len(arguments)
    match kind, low:
        case "System.Text.RegularExpressions.Regex", ("ismatch" | "match" | "matches" | "replace" | "split"):
            return statics.regular_expression(low, value.text, arguments, case=True)
        case "System.Text.StringBuilder", ("append" | "appendline"):
            value.text = bounded(value.text + "".join(to_text(one) for one in arguments) + ("\r\n" if low == "appendline" else ""))
            return value
        case "System.Text.StringBuilder", "tostring":
            return value.text
        case _, "getbytes" if kind.startswith("System.Text.") and count == 1:
            return to_text(arguments[0]).encode(_CODECS.get(kind, "utf-8"), "replace")
        case _, "getstring" if kind.startswith("System.Text.") and count == 1:
            given = arguments[0]
            raw = given if isinstance(given, bytes) else bytes(to_int(one, (0, 255), "System.Byte") for one in as_list(given))
            return raw.decode(_CODECS.get(kind, "utf-8"), "replace")
        case "System.Security.Principal.WindowsPrincipal", "isinrole" if count == 1:
            role = to_text(arguments[0]).lower()
            wanted = role in ("administrator", "544", "builtin\\administrators", "administrators", "s-1-5-32-544")
            return session.engine.process.logon.elevated if wanted else role in ("user", "545", "builtin\\users")
        case (("System.Security.Principal.SecurityIdentifier" | "System.Security.Principal.NTAccount"), "translate") if count == 1:
            return statics.translate(session, value, to_text(arguments[0]))
        case "System.Management.Automation.PSScriptCmdlet", "shouldprocess":
            return _should_process(session, arguments)
        case "System.Net.WebClient", _:
            raise statics.no_way_out(name, arguments)
        case "System.Net.Sockets.TcpClient", "connect" if count == 2:
            construct.connect(session, value, arguments)
            return None
        case "System.Net.Sockets.TcpClient", ("close" | "dispose"):
            value.properties["Connected"] = False
            return None
        case "System.Random", "next":
            low_bound = to_int(arguments[0]) if count == 2 else 0
            high = to_int(arguments[-1]) if count else (1 << 31) - 1
            return session.host.random.randrange(low_bound, max(high, low_bound + 1))
        case "System.Diagnostics.Process", ("kill" | "refresh" | "waitforexit" | "close" | "dispose"):
            if low == "kill":
                session.run_text(f"Stop-Process -Id {to_int(value.properties['Id'])} -Force")
            return True if low == "waitforexit" else None
        case "System.ServiceProcess.ServiceController", ("start" | "stop" | "refresh" | "waitforstatus" | "close"):
            if low in ("start", "stop"):
                session.run_text(f"{low.capitalize()}-Service -Name '{to_text(value.properties['Name'])}' -ErrorAction Stop")
            return None
        case (("System.IO.FileInfo" | "System.IO.DirectoryInfo"), "delete") if count <= 1:
            quoted = to_text(value.properties["FullName"]).replace("'", "''")
            session.run_text(f"Remove-Item -LiteralPath '{quoted}' -Recurse -Force -ErrorAction Stop")
            return None
        case "Microsoft.Win32.RegistryKey", "getvalue" if count in (1, 2):
            path, wanted_name = to_text(value.properties["PSPath"]).replace("'", "''"), to_text(arguments[0]).replace("'", "''")
            found = session.run_text(
                f"(Get-ItemProperty -LiteralPath '{path}' -ErrorAction SilentlyContinue).'{wanted_name or '(default)'}'"
            )
            return collect(found) if found else arguments[1] if count == 2 else None
        case "Microsoft.Win32.RegistryKey", "getvaluenames" if count == 0:
            return value.properties["Property"]
        case "Microsoft.Win32.RegistryKey", "getsubkeynames" if count == 0:
            path = to_text(value.properties["PSPath"]).replace("'", "''")
            return session.run_text(f"Get-ChildItem -LiteralPath '{path}' -Name")
        case _, ("close" | "dispose") if count == 0:
            return None
        case _, "add" if count and "System.TimeSpan" in value.type_names:
            return operators.arithmetic("+", value, arguments[0])
        case _:
            if low.startswith("get_") and count == 0 and find_key(value.properties, name[4:]) is not None:
                return value.properties[find_key(value.properties, name[4:]) or ""]
            raise _no_method(value, name)


_CODECS = {"System.Text.UnicodeEncoding": "utf-16-le", "System.Text.ASCIIEncoding": "ascii", "System.Text.SBCSCodePageEncoding": "cp1252"}


def _should_process(session: Session, arguments: list[object]) -> bool:
    """`$PSCmdlet.ShouldProcess`: what -WhatIf or its preference says."""
    if not to_bool(session.variable("WhatIfPreference")):
        return True
    target = to_text(arguments[0]) if arguments else ""
    action = to_text(arguments[1]) if len(arguments) > 1 else to_text(session.member(session.variable("PSCmdlet"), "MyInvocation"))
    if session.io.has_host:
        session.io.host_write_line(f'What if: Performing the operation "{action}" on target "{target}".')
    return False


def _call_table(value: dict[str, object], low: str, name: str, arguments: list[object]) -> object:
    key = find_key(value, to_text(arguments[0])) if arguments else None
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
        case "clear", 0:
            value.clear()
            return None
        case "clone", 0:
            return dict(value)
        case "item", 1:
            return value[key] if key is not None else None
        case "getenumerator", 0:
            return [objects.table_entry(held, one) for held, one in value.items()]
        case _:
            raise _no_method(value, name)


def _change_list(value: NetList, low: str, name: str, arguments: list[object]) -> object:
    """The methods that change an ArrayList or a List."""
    match low, len(arguments):
        case "add", 1:
            if len(value) >= MAX_ITEMS:
                raise refuse(f"a list of more than {MAX_ITEMS} items")
            value.append(arguments[0])
            return len(value) - 1 if value.kind == "System.Collections.ArrayList" else None
        case "addrange", 1:
            if len(value) + len(as_list(arguments[0])) > MAX_ITEMS:
                raise refuse(f"a list of more than {MAX_ITEMS} items")
            value.extend(as_list(arguments[0]))
        case "remove", 1:
            place = next((at for at, one in enumerate(value) if operators.relation("ceq", one, arguments[0]) is True), None)
            if place is not None:
                del value[place]
            return place is not None if value.kind != "System.Collections.ArrayList" else None
        case "removeat", 1:
            place = to_int(arguments[0])
            if not 0 <= place < len(value):
                raise construct.invocation_fault(name, 1, "Index was out of range.", "ArgumentOutOfRangeException")
            del value[place]
        case "insert", 2:
            value.insert(to_int(arguments[0], (0, len(value))), arguments[1])
        case "clear", 0:
            value.clear()
        case "reverse", 0:
            value.reverse()
        case "sort", 0:
            value.sort(key=lambda one: SortKey(one, case=True))
        case "toarray", 0:
            return list(value)
        case _:
            raise _no_method(value, name)
    return None


def _call_array(session: Session, value: list[object], low: str, name: str, arguments: list[object]) -> object:
    match low, len(arguments):
        case (("add" | "addrange" | "remove" | "removeat" | "insert" | "clear" | "reverse" | "sort" | "toarray"), _) if isinstance(
            value, NetList
        ):
            return _change_list(value, low, name, arguments)
        case (("add" | "remove" | "insert" | "clear" | "removeat"), _):
            raise construct.invocation_fault(name, len(arguments), "Collection was of a fixed size.", "NotSupportedException")
        case "getlength", 1:
            return len(value)
        case "clone", 0:
            return list(value)
        case "getenumerator", 0:
            return list(value)
        case "contains", 1:
            return any(operators.relation("ceq", one, arguments[0]) is True for one in value)
        case "indexof", 1:
            return next((place for place, one in enumerate(value) if operators.relation("ceq", one, arguments[0]) is True), -1)
        case "where", (1 | 2 | 3) if isinstance(arguments[0], ScriptBlock):
            block = arguments[0]
            kept = [one for one in value if to_bool(collect(session.invoke(block, item=one, has_item=True)))]
            mode = to_text(arguments[1]).lower() if len(arguments) > 1 else "default"
            some = to_int(arguments[2]) if len(arguments) > 2 else 1 if mode in ("first", "last") else 0
            if mode == "split":
                return [kept, [one for one in value if not any(one is other for other in kept)]]
            if mode not in ("default", "first", "last"):
                raise refuse(f"the mode {shown(mode)} of Where")
            return kept[-some:] if mode == "last" else kept[:some] if some else kept
        case "foreach", 1 if isinstance(arguments[0], str):
            wanted = arguments[0]
            return [session.member(one, wanted) for one in value]
        case "foreach", 1 if isinstance(arguments[0], ScriptBlock):
            block = arguments[0]
            return [found for one in value for found in session.invoke(block, item=one, has_item=True)]
        case _:
            raise _no_method(value, name)
