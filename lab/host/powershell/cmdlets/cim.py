"""CIM and WMI cmdlets over the model's classes, and the few methods of theirs that change something."""

from __future__ import annotations

import ntpath
from collections.abc import Iterator, Mapping
from datetime import datetime

from lab.host.files import FileFault
from lab.host.model import NotExecutable, ProcessLimit
from lab.host.powershell.commands import Call, Kind, absent, at, cmdlet, named, switch
from lab.host.powershell.errors import Terminating, refuse, shown
from lab.host.powershell.values import as_list, find_key, like, stored, to_int, to_text
from lab.host.services import ServiceFault
from lab.host.wmi import CLASSES, Row, WmiClass, find_class
from lab.host.wql import WqlFault, condition, query
from lab.machine import ErrorRecord, PSObject, PSValue

_CIM = "Microsoft.Management.Infrastructure.CimInstance"
_GET_CIM = "Microsoft.Management.Infrastructure.CimCmdlets.GetCimInstanceCommand"
_FAR = ("ComputerName", "CimSession")


def instance(found: WmiClass, row: Row, namespace: str, *, wmi: bool, names: tuple[str, ...] = ()) -> PSObject:
    """A row as a CimInstance, or as the ManagementObject that Get-WmiObject gives."""
    low = {name.lower() for name in names}
    held: dict[str, PSValue] = {key: _cell(value, wmi) for key, value in row.items() if not low or key.lower() in low or key == found.key}
    place = namespace.replace("\\", "/")
    if wmi:
        kind = f"System.Management.ManagementObject#{place.replace('/', chr(92))}\\{found.name}"
        meta: dict[str, PSValue] = {
            "__CLASS": found.name,
            "__PATH": f'\\\\.\\{place.replace("/", chr(92))}:{found.name}.{found.key}="{to_text(held.get(found.key))}"',
            "__NAMESPACE": place.replace("/", "\\"),
        }
        return PSObject(
            type_names=(kind, "System.Management.ManagementObject", "System.Management.ManagementBaseObject", "System.Object"),
            properties={**meta, **held},
            text=str(meta["__PATH"]),
        )
    held.setdefault("PSComputerName", None)
    key = held.get(found.key)
    return PSObject(
        type_names=(f"{_CIM}#{place}/{found.name}", _CIM, "System.Object"),
        properties=held,
        text=f"{found.name} ({found.key} = {key if isinstance(key, int) else chr(34) + to_text(key) + chr(34)})"
        if key is not None
        else found.name,
    )


def _cell(value: object, wmi: bool) -> PSValue:
    if wmi and isinstance(value, datetime):
        return f"{value:%Y%m%d%H%M%S}.{value.microsecond:06d}+000"
    return list(value) if isinstance(value, list) else stored(value)


def _far(call: Call) -> None:
    """Refuse another computer: there is no DCOM between the lab's hosts."""
    host = call.session.host
    own = {".", "localhost", "127.0.0.1", host.name.lower(), host.fqdn.lower(), host.ip}
    for name in _FAR:
        if call.given(name) and any(to_text(one).lower() not in own for one in as_list(call.value(name))):
            raise refuse(f"{call.spec.name} -{name} {shown(call.text(name))}", activity=call.spec.name)


def _invalid(call: Call, what: str, *, wmi: bool) -> Terminating:
    if wmi:
        record = ErrorRecord(
            message=f'Invalid class "{what}"' if what else "Invalid query",
            exception_type="System.Management.ManagementException",
            error_id="GetWMIManagementException,Microsoft.PowerShell.Commands.GetWmiObjectCommand",
            category="InvalidType" if what else "InvalidArgument",
            target=what,
            activity=call.spec.name,
        )
    else:
        record = ErrorRecord(
            message="Invalid class " if what else "Invalid query ",
            exception_type="Microsoft.Management.Infrastructure.CimException",
            error_id=f"HRESULT 0x{'80041010' if what else '80041017'},{_GET_CIM}",
            category="MetadataError" if what else "InvalidArgument",
            target=f"root\\cimv2:{what}" if what else "",
            activity=call.spec.name,
        )
    return Terminating(record)


_KNOWN_ELSEWHERE = ("win32_", "cim_", "msft_", "meta_", "__", "msacpi_", "stdregprov", "rsop_")


def _find(call: Call, namespace: str, name: str, *, wmi: bool) -> WmiClass:
    found = find_class(namespace, name)
    if found is not None:
        return found
    place = namespace.replace("\\", "/").lower()
    if place not in ("root/cimv2", "root/securitycenter2") or name.lower().startswith(_KNOWN_ELSEWHERE):
        # Windows has many more classes than the model: one of their families is refused by name instead of being called unknown.
        raise refuse(f"the CIM class {shown(name)} of {namespace}", activity=call.spec.name)
    raise _invalid(call, name, wmi=wmi)


def _selected(call: Call, *, wmi: bool) -> Iterator[PSObject]:
    _far(call)
    namespace = call.text("Namespace", "root/cimv2").replace("\\", "/").strip("/")
    host = call.session.host
    try:
        if call.given("Query"):
            asked = query(call.text("Query"))
            found, holds, names = _find(call, namespace, asked.class_name, wmi=wmi), asked.holds, asked.names
        else:
            given = call.text("ClassName" if not wmi else "Class")
            found = _find(call, namespace, given, wmi=wmi)
            holds = condition(call.text("Filter")) if call.given("Filter") else lambda row: True
            names = tuple(one for one in call.texts("Property") if one != "*")
        for row in found.rows(host):
            call.session.tick()
            if holds(row):
                yield instance(found, row, namespace, wmi=wmi, names=names)
    except WqlFault:
        raise _invalid(call, "", wmi=wmi) from None


@cmdlet(
    "Get-CimInstance",
    at(0, "ClassName"),
    named("Property", Kind.TEXTS, "SelectProperties"),
    named("Filter"),
    named("Query"),
    named("Namespace"),
    named("InputObject", Kind.VALUE),
    named("ComputerName", Kind.TEXTS, "CN", "ServerName"),
    named("CimSession", Kind.VALUE),
    named("OperationTimeoutSec", Kind.INT, "OT"),
    named("QueryDialect"),
    switch("KeyOnly"),
    switch("Shallow"),
    *absent("ResourceUri"),
    class_name=_GET_CIM,
    module="CimCmdlets",
    output=_CIM,
)
def get_cim_instance(call: Call) -> Iterator[object]:
    """Instances of a class."""
    if not (call.given("ClassName") or call.given("Query") or call.given("InputObject")):
        raise call.missing("ClassName")
    yield from _selected(call, wmi=False) if not call.given("InputObject") else as_list(call.value("InputObject"))


@cmdlet(
    "Get-WmiObject",
    at(0, "Class", Kind.TEXT, "ClassName"),
    at(1, "Property", Kind.TEXTS),
    named("Filter"),
    named("Query"),
    named("Namespace", Kind.TEXT, "NS"),
    named("ComputerName", Kind.TEXTS, "Cn"),
    switch("List"),
    switch("Amended"),
    switch("DirectRead"),
    switch("EnableAllPrivileges"),
    switch("Recurse"),
    *absent("Credential", "Impersonation", "Authentication", "Locale", "Authority", "AsJob", "ThrottleLimit"),
    output="System.Management.ManagementObject",
)
def get_wmi_object(call: Call) -> Iterator[object]:
    """Instances of a class, in the form of the older cmdlet."""
    if call.switch("List"):
        yield from _classes(call, call.text("Class", "*"), "Name")
        return
    if not (call.given("Class") or call.given("Query")):
        raise call.missing("Class")
    yield from _selected(call, wmi=True)


def _classes(call: Call, pattern: str, key: str) -> Iterator[object]:
    for low in sorted(CLASSES):
        found = CLASSES[low]
        if like(found.name, pattern):
            rows = found.rows(call.session.host)
            names: list[PSValue] = list(rows[0]) if rows else []
            yield PSObject(
                type_names=("Microsoft.Management.Infrastructure.CimClass", "System.Object"),
                properties={key: found.name, "CimClassMethods": [], "CimClassProperties": names},
                text=f"ROOT/cimv2:{found.name}",
            )


@cmdlet(
    "Get-CimClass",
    at(0, "ClassName"),
    at(1, "Namespace"),
    *absent("ComputerName", "CimSession", "MethodName", "PropertyName"),
    module="CimCmdlets",
)
def get_cim_class(call: Call) -> Iterator[object]:
    """The classes that the model has."""
    yield from _classes(call, call.text("ClassName", "*"), "CimClassName")


# --- methods --------------------------------------------------------------------------------------------------------------

_SERVICE_CODES = {1056: 10, 1062: 6, 1058: 14, 1051: 3, 1060: 1, 1052: 2}
"""Win32 errors as the return values of Win32_Service's methods."""


def _result(code: int, more: Mapping[str, PSValue]) -> PSObject:
    return PSObject(
        type_names=("Microsoft.Management.Infrastructure.CimMethodResult", "System.Object"),
        properties={**more, "ReturnValue": code, "PSComputerName": None},
    )


def _invoke(call: Call, class_name: str, name: str, arguments: Mapping[str, object], target: object) -> PSObject:
    host, low = call.session.host, name.lower()
    match class_name.lower(), low:
        case "win32_process", "create":
            key = find_key(arguments, "CommandLine")
            return _created(call, to_text(arguments[key]) if key is not None else "")
        case "win32_process", "terminate":
            pid = to_int(call.session.member(target, "ProcessId"))
            process = next((one for one in host.processes if one.pid == pid), None)
            if process is None:
                return _result(2, {})
            if call.should_process(f"Win32_Process: {ntpath.basename(process.path)}", "Terminate"):
                host.end_process(process, -1)
            return _result(0, {})
        case "win32_process", "getowner":
            pid = to_int(call.session.member(target, "ProcessId"))
            process = next((one for one in host.processes if one.pid == pid), None)
            account = process.logon.account if process is not None else None
            return _result(0 if account else 2, {"Domain": account.domain, "User": account.name} if account else {})
        case "win32_service", "startservice" | "stopservice":
            service = to_text(call.session.member(target, "Name"))
            try:
                if call.should_process(f"Win32_Service: {service}", name):
                    _ = host.services.start(service) if low == "startservice" else host.services.stop(service)
            except ServiceFault as fault:
                return _result(_SERVICE_CODES.get(fault.code, 8), {})
            return _result(0, {})
        case _:
            raise refuse(f"the method {shown(name)} of {shown(class_name)}", activity=call.spec.name)


def _created(call: Call, line: str) -> PSObject:
    """Win32_Process.Create: the program runs as a child of WmiPrvSE.exe, as on Windows."""
    if not call.should_process(f"Win32_Process: {line}", "Create"):
        return _result(0, {})
    try:
        pid = call.session.start_by_wmi(line)
    except (FileFault, NotExecutable):
        return _result(9, {"ProcessId": None})
    except ProcessLimit:
        return _result(8, {"ProcessId": None})
    return _result(0, {"ProcessId": pid})


def _class_of(value: object) -> str:
    if isinstance(value, PSObject):
        return value.type_names[0].replace("\\", "/").rpartition("/")[2]
    return ""


@cmdlet(
    "Invoke-CimMethod",
    at(0, "ClassName"),
    at(1, "MethodName", Kind.TEXT, "Name"),
    at(2, "Arguments", Kind.VALUE),
    named("InputObject", Kind.VALUE, "CimInstance"),
    named("Namespace"),
    named("Query"),
    *absent("ComputerName", "CimSession", "ResourceUri", "CimClass"),
    class_name="Microsoft.Management.Infrastructure.CimCmdlets.InvokeCimMethodCommand",
    module="CimCmdlets",
    changes=True,
)
def invoke_cim_method(call: Call) -> Iterator[object]:
    """Call a method of a class or an instance."""
    if not call.given("MethodName") and call.given("ClassName") and call.piped:
        call.bound["MethodName"] = call.bound.pop("ClassName")
    if not call.given("MethodName"):
        raise call.missing("MethodName")
    given = call.value("Arguments")
    arguments = given if isinstance(given, dict) else {}
    if call.given("ClassName"):
        yield _invoke(call, call.text("ClassName"), call.text("MethodName"), arguments, None)
        return
    for one in call.items():
        yield _invoke(call, _class_of(one), call.text("MethodName"), arguments, one)


@cmdlet(
    "Invoke-WmiMethod",
    at(0, "Class"),
    at(1, "Name"),
    named("ArgumentList", Kind.VALUE, "Args"),
    named("InputObject", Kind.VALUE),
    named("Namespace"),
    *absent("ComputerName", "Credential", "Path", "AsJob"),
    changes=True,
)
def invoke_wmi_method(call: Call) -> Iterator[object]:
    """The same in the form of the older cmdlet, whose arguments are a list."""
    if not call.given("Name"):
        raise call.missing("Name")
    listed = as_list(call.value("ArgumentList"))
    arguments: dict[str, object] = {"CommandLine": listed[0]} if listed else {}
    if call.given("Class"):
        yield _invoke(call, call.text("Class"), call.text("Name"), arguments, None)
        return
    for one in call.items():
        yield _invoke(call, _class_of(one), call.text("Name"), arguments, one)
