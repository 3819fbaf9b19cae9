"""Cmdlets about the machine: services, processes, the date, the computer, CIM instances, programs started by name."""

from __future__ import annotations

import ntpath
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from lab.host.happenings import Process
from lab.host.powershell.commands import Call, Kind, absent, at, cmdlet, named, switch
from lab.host.powershell.errors import refuse
from lab.host.powershell.objects import process_object
from lab.host.powershell.values import as_list, format_datetime, like, parse_datetime, to_int, to_text
from lab.host.services import Service
from lab.machine import ErrorRecord, PSObject, PSValue

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def service_object(service: Service) -> PSObject:
    """A ServiceController."""
    depends: list[PSValue] = list(service.depends_on)
    return PSObject(
        type_names=(
            "System.ServiceProcess.ServiceController",
            "System.ComponentModel.Component",
            "System.MarshalByRefObject",
            "System.Object",
        ),
        properties={
            "Name": service.name,
            "RequiredServices": depends,
            "CanPauseAndContinue": False,
            "CanShutdown": service.running,
            "CanStop": service.running,
            "DisplayName": service.display_name,
            "MachineName": ".",
            "ServiceName": service.name,
            "ServicesDependedOn": depends,
            "Status": "Running" if service.running else "Stopped",
            "ServiceType": "Win32OwnProcess" if service.type_code & 0x10 else "Win32ShareProcess",
            "StartType": service.start_type,
        },
        text="System.ServiceProcess.ServiceController",
    )


@cmdlet(
    "Get-Service",
    at(0, "Name", Kind.TEXTS, "ServiceName"),
    named("DisplayName", Kind.TEXTS),
    named("Include", Kind.TEXTS),
    named("Exclude", Kind.TEXTS),
    *absent("ComputerName", "DependentServices", "RequiredServices", "InputObject"),
    output="System.ServiceProcess.ServiceController",
)
def get_service(call: Call) -> Iterator[object]:
    """Services by name or display name pattern."""
    services = sorted(call.session.host.services, key=lambda one: one.name.lower())
    by_display = call.given("DisplayName")
    for pattern in call.texts("DisplayName") if by_display else call.texts_or_input("Name", "Name") or ["*"]:
        found = [one for one in services if like(one.display_name if by_display else one.name, pattern)]
        if not found and not any(char in pattern for char in "*?["):
            call.error(
                ErrorRecord(
                    message=f"Cannot find any service with {'display' if by_display else 'service'} name '{pattern}'.",
                    exception_type="Microsoft.PowerShell.Commands.ServiceCommandException",
                    error_id="NoServiceFoundForGivenDisplayName" if by_display else "NoServiceFoundForGivenName",
                    category="ObjectNotFound",
                    target=pattern,
                )
            )
        for one in found:
            if call.given("Include") and not any(like(one.name, name) for name in call.texts("Include")):
                continue
            if any(like(one.name, name) for name in call.texts("Exclude")):
                continue
            yield service_object(one)


@cmdlet(
    "Get-Process",
    at(0, "Name", Kind.TEXTS, "ProcessName"),
    named("Id", Kind.VALUE, "PID"),
    *absent("ComputerName", "Module", "FileVersionInfo", "IncludeUserName", "InputObject"),
    output="System.Diagnostics.Process",
)
def get_process(call: Call) -> Iterator[object]:
    """Live processes by name pattern or pid."""
    live = sorted(call.session.host.processes, key=lambda one: (_name(one).lower(), one.pid))
    if call.given("Id"):
        for given in as_list(call.value("Id")):
            pid = to_int(given)
            held = [one for one in live if one.pid == pid]
            if not held:
                call.error(_no_process(f"Cannot find a process with the process identifier {pid}.", "NoProcessFoundForGivenId", str(pid)))
            yield from (process_object(one) for one in held)
        return
    for pattern in call.texts_or_input("Name", "Name") or ["*"]:
        found = [one for one in live if like(_name(one), pattern)]
        if not found and not any(char in pattern for char in "*?["):
            text = f'Cannot find a process with the name "{pattern}". Verify the process name and call the cmdlet again.'
            call.error(_no_process(text, "NoProcessFoundForGivenName", pattern))
        yield from (process_object(one) for one in found)


def _name(process: Process) -> str:
    return ntpath.splitext(ntpath.basename(process.path))[0]


def _no_process(text: str, error_id: str, target: str) -> ErrorRecord:
    return ErrorRecord(
        message=text,
        exception_type="Microsoft.PowerShell.Commands.ProcessCommandException",
        error_id=error_id,
        category="ObjectNotFound",
        target=target,
    )


@cmdlet(
    "Start-Process",
    at(0, "FilePath", Kind.TEXT, "PSPath", mandatory=True),
    at(1, "ArgumentList", Kind.TEXTS, "Args"),
    named("WorkingDirectory"),
    named("WindowStyle"),
    switch("NoNewWindow", "nnw"),
    switch("PassThru"),
    switch("Wait"),
    *absent(
        "Verb",
        "Credential",
        "LoadUserProfile",
        "RedirectStandardInput",
        "RedirectStandardOutput",
        "RedirectStandardError",
        "UseNewEnvironment",
    ),
)
def start_process(call: Call) -> Iterator[object]:
    """Start a program; its output goes to a console that nobody sees. It has run to its end when this returns."""
    arguments = call.texts("ArgumentList")
    directory = call.text("WorkingDirectory", call.session.location)
    _, handle = call.session.start_program(call.text("FilePath"), arguments, line="", wait=call.switch("Wait"), directory=directory)
    if call.switch("PassThru"):
        yield handle


@cmdlet(
    "Get-Date",
    at(0, "Date", Kind.VALUE),
    named("Format"),
    named("UFormat"),
    *(named(name, Kind.INT) for name in ("Year", "Month", "Day", "Hour", "Minute", "Second", "Millisecond")),
    *absent("DisplayHint"),
    module="Microsoft.PowerShell.Utility",
    output="System.DateTime",
)
def get_date(call: Call) -> Iterator[object]:
    """The host's time, or a given one, as a DateTime or as text. The host's time zone is UTC."""
    given = call.value("Date")
    moment = call.session.host.now() if given is None else given if isinstance(given, datetime) else parse_datetime(to_text(given))
    try:
        moment = moment.replace(
            year=call.number("Year", moment.year),
            month=call.number("Month", moment.month),
            day=call.number("Day", moment.day),
            hour=call.number("Hour", moment.hour),
            minute=call.number("Minute", moment.minute),
            second=call.number("Second", moment.second),
            microsecond=call.number("Millisecond") * 1000 if call.given("Millisecond") else moment.microsecond,
        )
    except (ValueError, OverflowError):
        raise refuse("a date that is none", activity=call.spec.name) from None
    if call.given("Format"):
        yield format_datetime(moment, call.text("Format"))
    elif call.given("UFormat"):
        yield _unix_format(call, moment)
    else:
        yield moment


def _unix_format(call: Call, moment: datetime) -> str:
    seconds = (moment.replace(tzinfo=UTC) - _EPOCH) / timedelta(seconds=1)
    known = {
        "Y": "yyyy",
        "m": "MM",
        "d": "dd",
        "H": "HH",
        "M": "mm",
        "S": "ss",
        "y": "yy",
        "A": "dddd",
        "a": "ddd",
        "B": "MMMM",
        "b": "MMM",
    }
    out: list[str] = []
    text = iter(call.text("UFormat"))
    for char in text:
        if char != "%":
            out.append(char)
            continue
        code = next(text, "")
        if code == "s":
            out.append(f"{seconds:.5f}")
        elif code in known:
            out.append(format_datetime(moment, known[code]))
        else:
            raise refuse(f"Get-Date -UFormat %{code}", activity=call.spec.name)
    return "".join(out)


@cmdlet("Get-ComputerInfo", at(0, "Property", Kind.TEXTS))
def get_computer_info(call: Call) -> Iterator[object]:
    """The main facts about the computer."""
    host, facts = call.session.host, call.session.host.system_info()
    held: dict[str, PSValue] = {
        "WindowsProductName": facts["Caption"].removeprefix("Microsoft "),
        "WindowsCurrentVersion": "6.3",
        "WindowsVersion": "2009",
        "WindowsInstallationType": "Client",
        "WindowsSystemRoot": "C:\\Windows",
        "CsName": host.name,
        "CsDNSHostName": host.name,
        "CsDomain": host.domain,
        "CsManufacturer": facts["Manufacturer"],
        "CsModel": facts["Model"],
        "CsPartOfDomain": bool(host.domain),
        "OsName": facts["Caption"],
        "OsVersion": facts["Version"],
        "OsBuildNumber": facts["Build"],
        "OsArchitecture": "64-bit",
        "OsLastBootUpTime": host.booted,
        "OsLocalDateTime": host.now(),
        "OsTotalVisibleMemorySize": int(facts["Memory"]) // 1024,
    }
    wanted = call.texts("Property")
    yield PSObject(
        type_names=("Microsoft.PowerShell.Commands.ComputerInfo", "System.Object"),
        properties={name: value for name, value in held.items() if not wanted or any(like(name, one) for one in wanted)},
    )


@cmdlet(
    "Get-CimInstance",
    at(0, "ClassName"),
    named("Property", Kind.TEXTS),
    named("Namespace"),
    *absent(
        "Filter",
        "Query",
        "QueryDialect",
        "ComputerName",
        "CimSession",
        "KeyOnly",
        "Shallow",
        "OperationTimeoutSec",
        "ResourceUri",
        "InputObject",
    ),
    class_name="Microsoft.Management.Infrastructure.CimCmdlets.GetCimInstanceCommand",
    module="CimCmdlets",
    output="Microsoft.Management.Infrastructure.CimInstance",
)
def get_cim_instance(call: Call) -> Iterator[object]:
    """Win32_OperatingSystem and Win32_ComputerSystem; any other class is refused by name."""
    if call.text("Namespace", "root/cimv2").replace("\\", "/").lower() != "root/cimv2":
        raise refuse(f"the CIM namespace {call.text('Namespace')}", activity=call.spec.name)
    host, facts = call.session.host, call.session.host.system_info()
    properties: dict[str, PSValue]
    match call.text("ClassName").lower():
        case "win32_operatingsystem":
            name = "Win32_OperatingSystem"
            properties = {
                "Caption": facts["Caption"],
                "Version": facts["Version"],
                "BuildNumber": facts["Build"],
                "CSName": host.name,
                "OSArchitecture": "64-bit",
                "SystemDirectory": "C:\\Windows\\system32",
                "WindowsDirectory": "C:\\Windows",
                "Organization": "",
                "RegisteredUser": "Windows User",
                "SerialNumber": facts["SerialNumber"],
                "LastBootUpTime": host.booted,
                "LocalDateTime": host.now(),
                "TotalVisibleMemorySize": int(facts["Memory"]) // 1024,
                "FreePhysicalMemory": int(facts["Memory"]) // 2048,
                "NumberOfProcesses": len(host.processes),
                "ProductType": 1,
            }
        case "win32_computersystem":
            name = "Win32_ComputerSystem"
            properties = {
                "Name": host.name,
                "DNSHostName": host.name,
                "Domain": host.domain or "WORKGROUP",
                "PartOfDomain": bool(host.domain),
                "DomainRole": 1 if host.domain else 0,
                "Manufacturer": facts["Manufacturer"],
                "Model": facts["Model"],
                "PrimaryOwnerName": "Windows User",
                "TotalPhysicalMemory": int(facts["Memory"]),
                "NumberOfProcessors": 1,
                "NumberOfLogicalProcessors": 2,
                "SystemType": "x64-based PC",
                "UserName": None,
            }
        case _:
            raise refuse(f"the CIM class {call.text('ClassName')}", activity=call.spec.name)
    yield PSObject(
        type_names=(
            f"Microsoft.Management.Infrastructure.CimInstance#root/cimv2/{name}",
            "Microsoft.Management.Infrastructure.CimInstance",
            "System.Object",
        ),
        properties=properties,
        text=f"{name}",
    )
