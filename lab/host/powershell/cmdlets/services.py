"""Cmdlets about services. What they change is the service control manager's, and so every session's and every program's."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from lab.host.powershell.commands import Call, Kind, Param, absent, at, cmdlet, named, switch
from lab.host.powershell.errors import Terminating, refuse
from lab.host.powershell.values import as_list, like, to_text
from lab.host.services import (
    ALREADY_RUNNING,
    DEPENDENTS_RUN,
    EXISTS,
    NOT_STARTED,
    Service,
    ServiceFault,
)
from lab.machine import ErrorRecord, PSObject, PSValue

_EXCEPTION = "Microsoft.PowerShell.Commands.ServiceCommandException"
_WILD = "*?["


def service_object(service: Service, dependents: list[str]) -> PSObject:
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
            "CanStop": service.running and service.stoppable,
            "DisplayName": service.display_name,
            "DependentServices": [*dependents],
            "MachineName": ".",
            "ServiceName": service.name,
            "ServicesDependedOn": depends,
            "ServiceHandle": None,
            "Status": "Running" if service.running else "Stopped",
            "ServiceType": "Win32OwnProcess" if service.own_process else "Win32ShareProcess",
            "StartType": service.start_type,
            "Site": None,
            "Container": None,
        },
        text=service.name,
    )


def _object(call: Call, service: Service) -> PSObject:
    return service_object(service, [one.name for one in call.session.host.services.dependents(service.name)])


def _not_found(name: str, *, display: bool = False) -> ErrorRecord:
    return ErrorRecord(
        message=f"Cannot find any service with {'display' if display else 'service'} name '{name}'.",
        exception_type=_EXCEPTION,
        error_id="NoServiceFoundForGivenDisplayName" if display else "NoServiceFoundForGivenName",
        category="ObjectNotFound",
        target=name,
    )


def _chosen(call: Call) -> Iterator[Service]:
    """The services that -Name, -DisplayName, -InputObject or the pipeline mean."""
    services = list(call.session.host.services)
    display = call.given("DisplayName")
    if call.given("InputObject"):
        patterns = [to_text(call.session.member(one, "Name") or one) for one in as_list(call.value("InputObject"))]
    else:
        patterns = call.texts("DisplayName") if display else call.texts_or_input("Name", "Name", "ServiceName")
    for pattern in patterns:
        found = [one for one in services if like(one.display_name if display else one.name, pattern)]
        if not found and not any(char in pattern for char in _WILD):
            found = [] if display else [one for one in services if like(one.display_name, pattern) and call.spec.name != "Get-Service"]
        if not found and not any(char in pattern for char in _WILD):
            call.error(_not_found(pattern, display=display))
        for one in found:
            if call.given("Include") and not any(like(one.name, name) for name in call.texts("Include")):
                continue
            if any(like(one.name, name) for name in call.texts("Exclude")):
                continue
            yield one


_CHOICE: tuple[Param, ...] = (
    at(0, "Name", Kind.TEXTS, "ServiceName"),
    named("DisplayName", Kind.TEXTS),
    named("InputObject", Kind.VALUE),
    named("Include", Kind.TEXTS),
    named("Exclude", Kind.TEXTS),
)


@cmdlet(
    "Get-Service",
    *_CHOICE,
    switch("DependentServices", "ds"),
    switch("RequiredServices", "sdo", "ServicesDependedOn"),
    named("ComputerName", Kind.TEXTS, "Cn"),
    output="System.ServiceProcess.ServiceController",
)
def get_service(call: Call) -> Iterator[object]:
    """Services by name or display name pattern."""
    _only_here(call)
    control = call.session.host.services
    if not call.given("Name") and not call.given("DisplayName") and not call.given("InputObject") and not call.piped:
        call.bound["Name"] = "*"
    for one in _chosen(call):
        if call.switch("DependentServices"):
            yield from (_object(call, above) for above in control.dependents(one.name))
        elif call.switch("RequiredServices"):
            needed = [control.find(name) for name in one.depends_on]
            yield from (_object(call, below) for below in needed if below is not None)
        else:
            yield _object(call, one)


def _only_here(call: Call) -> None:
    """Refuse -ComputerName of any other machine: there is no RPC between the lab's hosts."""
    host = call.session.host
    own = {".", "localhost", "127.0.0.1", host.ip, host.name.lower(), host.fqdn.lower()}
    for name in call.texts("ComputerName"):
        if name.lower() not in own:
            raise refuse(f"{call.spec.name} -ComputerName {name}", activity=call.spec.name)


def _fault(call: Call, service: Service, verb: str, fault: ServiceFault) -> None:
    if fault.code == DEPENDENTS_RUN:
        text = (
            f"Cannot stop service '{service.display_name} ({service.name})' because it has dependent services. It can only be stopped if "
            "the Force flag is set."
        )
        record = ErrorRecord(
            message=text,
            exception_type=_EXCEPTION,
            error_id="ServiceHasDependentServices",
            category="InvalidOperation",
            target=service.name,
        )
    else:
        done = {"Start": "started", "Stop": "stopped"}[verb]
        text = (
            f"Service '{service.display_name} ({service.name})' cannot be {done} due to the following error: "
            f"Cannot {verb.lower()} service {service.name} on computer '.'."
        )
        record = ErrorRecord(
            message=text,
            exception_type=_EXCEPTION,
            error_id=f"CouldNot{verb}Service",
            category="OpenError" if verb == "Start" else "CloseError",
            target=service.name,
        )
    call.error(record)


def _shown(service: Service) -> str:
    return f"{service.display_name} ({service.name})"


def _run(call: Call, service: Service, verb: str, act: Callable[[], object]) -> None:
    if not call.should_process(_shown(service), f"{verb}-Service"):
        return
    try:
        act()
    except ServiceFault as fault:
        if fault.code not in (ALREADY_RUNNING, NOT_STARTED):  # those are what was wanted
            _fault(call, service, verb, fault)


def _passed(call: Call, service: Service) -> Iterator[object]:
    if call.switch("PassThru"):
        yield _object(call, call.session.host.services.get(service.name))


def _required(call: Call) -> None:
    if not (call.given("Name") or call.given("DisplayName") or call.given("InputObject") or call.piped):
        raise call.missing("Name")


@cmdlet("Start-Service", *_CHOICE, switch("PassThru"), changes=True)
def start_service(call: Call) -> Iterator[object]:
    """Start services."""
    _required(call)
    for one in _chosen(call):
        _run(call, one, "Start", lambda name=one.name: call.session.host.services.start(name))  # type: ignore[misc]
        yield from _passed(call, one)


@cmdlet("Stop-Service", *_CHOICE, switch("Force"), switch("NoWait"), switch("PassThru"), changes=True)
def stop_service(call: Call) -> Iterator[object]:
    """Stop services; those that need them as well with -Force."""
    _required(call)
    control = call.session.host.services
    for one in _chosen(call):
        _run(call, one, "Stop", lambda name=one.name: control.stop(name, with_dependents=call.switch("Force")))  # type: ignore[misc]
        yield from _passed(call, one)


@cmdlet("Restart-Service", *_CHOICE, switch("Force"), switch("PassThru"), changes=True)
def restart_service(call: Call) -> Iterator[object]:
    """Stop services and start them again."""
    _required(call)
    control = call.session.host.services
    for one in _chosen(call):
        if not call.should_process(_shown(one), "Restart-Service"):
            continue
        try:
            stopped = control.stop(one.name, with_dependents=call.switch("Force")) if one.running else [one]
        except ServiceFault as fault:
            _fault(call, one, "Stop", fault)
            continue
        try:
            for held in reversed(stopped):
                if not control.get(held.name).running:
                    control.start(held.name)
        except ServiceFault as fault:
            _fault(call, one, "Start", fault)
        yield from _passed(call, one)


@cmdlet("Suspend-Service", *_CHOICE, switch("PassThru"), changes=True)
def suspend_service(call: Call) -> Iterator[object]:
    """No service of this host can be paused."""
    _required(call)
    for one in _chosen(call):
        call.error(
            ErrorRecord(
                message=f"Service '{_shown(one)}' cannot be suspended because the service does not support being suspended or resumed.",
                exception_type=_EXCEPTION,
                error_id="CouldNotSuspendServiceNotSupported",
                category="CloseError",
                target=one.name,
            )
        )
    yield from ()


_START_TYPES = ("Automatic", "Manual", "Disabled", "Boot", "System")


@cmdlet(
    "Set-Service",
    at(0, "Name", Kind.TEXT, "ServiceName", "SN"),
    named("DisplayName"),
    named("Description"),
    named("StartupType", Kind.TEXT, "StartMode", "SM", "ST", choices=_START_TYPES),
    named("Status", choices=("Running", "Stopped", "Paused")),
    named("InputObject", Kind.VALUE),
    switch("PassThru"),
    named("ComputerName", Kind.TEXTS, "Cn"),
    *absent("Credential"),
    changes=True,
)
def set_service(call: Call) -> Iterator[object]:
    """Change a service's configuration or state."""
    _only_here(call)
    control = call.session.host.services
    if call.given("Name"):
        names = [call.text("Name")]
    else:
        given = as_list(call.value("InputObject")) if call.given("InputObject") else list(call.input)
        names = [to_text(call.session.member(one, "Name") or one) for one in given]
    if not names:
        raise call.missing("Name")
    for name in names:
        one = control.find(name)
        if one is None:
            record = ErrorRecord(
                message=f"Service {name} was not found on computer '.'.",
                exception_type="System.InvalidOperationException",
                error_id="InvalidOperationException",
                category="ObjectNotFound",
                target=name,
            )
            call.error(record)
            continue
        if call.should_process(_shown(one), "Set-Service"):
            control.change(
                one.name,
                start_type=call.text("StartupType") if call.given("StartupType") else None,
                display_name=call.text("DisplayName") if call.given("DisplayName") else None,
                description=call.text("Description") if call.given("Description") else None,
            )
            try:
                if call.text("Status") == "Running" and not one.running:
                    control.start(one.name)
                elif call.text("Status") == "Stopped" and one.running:
                    control.stop(one.name)
                elif call.text("Status") == "Paused":
                    raise refuse("a paused service", activity=call.spec.name)
            except ServiceFault as fault:
                _fault(call, one, "Start" if call.text("Status") == "Running" else "Stop", fault)
        yield from _passed(call, one)


@cmdlet(
    "New-Service",
    at(0, "Name", Kind.TEXT, "ServiceName", mandatory=True),
    at(1, "BinaryPathName", Kind.TEXT, "Path", mandatory=True),
    named("DisplayName"),
    named("Description"),
    named("StartupType", choices=_START_TYPES),
    named("DependsOn", Kind.TEXTS),
    *absent("Credential"),
    changes=True,
)
def new_service(call: Call) -> Iterator[object]:
    """Put a service into the database."""
    name = call.text("Name")
    if not call.should_process(f"{call.text('DisplayName', name)} ({name})", "New-Service"):
        return
    try:
        made = call.session.host.services.create(
            Service(
                name=name,
                display_name=call.text("DisplayName", name),
                running=False,
                start_type=call.text("StartupType", "Automatic"),
                type_code=0x10,
                image=call.text("BinaryPathName"),
                depends_on=tuple(call.texts("DependsOn")),
                description=call.text("Description"),
            )
        )
    except ServiceFault as fault:
        if fault.code != EXISTS:
            raise
        raise Terminating(
            call.tagged(
                ErrorRecord(
                    message=f"Service '{name} ({name})' cannot be created due to the following error: The specified service already exists",
                    exception_type=_EXCEPTION,
                    error_id="CouldNotNewService",
                    category="PermissionDenied",
                    target=name,
                )
            )
        ) from None
    yield _object(call, made)
