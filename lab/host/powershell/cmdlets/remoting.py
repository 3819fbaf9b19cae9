"""Cmdlets about other computers: sessions with them, what is run there, and the credentials that they ask for [about_Remote].

Everything goes through the runspace's `Remotes`, over a real connection to another host of the lab; there is nothing else to be reached.
"""

from __future__ import annotations

from collections.abc import Iterator

from lab.host.powershell.commands import Call, Kind, absent, at, cmdlet, named, switch
from lab.host.powershell.errors import Terminating, binding_error, not_emulated, refuse, shown
from lab.host.powershell.remotes import Remote, RemoteIO, broken, credential_of, not_there, remote_request, remote_script
from lab.host.powershell.values import as_list, like, to_text, to_wire
from lab.host.remote_client import ChainTooLong, NotThere, Way, failed, passage
from lab.machine import ErrorRecord, PipelineRequest, PSObject, RemoteFault, RemoteScheme, SecureString

_CORE = "Microsoft.PowerShell.Core"
_SECURITY = "Microsoft.PowerShell.Security"
_WSMAN = "Microsoft.WSMan.Management"
_IDENTITY = "http://schemas.dmtf.org/wbem/wsman/identity/1/wsmanidentity.xsd"

_SCHEMES = {
    "default": RemoteScheme.NEGOTIATE,
    "negotiate": RemoteScheme.NEGOTIATE,
    "negotiatewithimplicitcredential": RemoteScheme.NEGOTIATE,
    "kerberos": RemoteScheme.KERBEROS,
    "credssp": RemoteScheme.CREDSSP,
    "basic": RemoteScheme.BASIC,
}
_CONNECTING = (
    named("Credential", Kind.VALUE),
    named("Port", Kind.INT),
    switch("UseSSL"),
    named("Authentication"),
)
_NOT_CONNECTING = absent(
    "ConfigurationName",
    "ApplicationName",
    "SessionOption",
    "CertificateThumbprint",
    "ConnectionUri",
    "EnableNetworkAccess",
    "VMName",
    "VMId",
    "ContainerId",
)


def _way(call: Call) -> Way:
    """The shared parameters. Raises `Terminating`."""
    scheme = _SCHEMES.get(call.text("Authentication", "Default").lower())
    if scheme is None:
        raise refuse(f"-Authentication {call.text('Authentication')}", activity=call.spec.name)
    credential = None
    if call.given("Credential") and call.value("Credential") is not None:
        credential = credential_of(call.value("Credential"))
        if credential is None:
            raise refuse("a -Credential that asks for its password", activity=call.spec.name)
    return Way(credential=credential, scheme=scheme, secure=call.switch("UseSSL"), port=call.number("Port"))


def _no_session(call: Call, given: object) -> ErrorRecord:
    name = shown(to_text(given))
    return binding_error(
        call.spec.name,
        "CannotConvertArgumentNoMessage",
        f'Cannot bind parameter \'Session\'. Cannot convert the "{name}" value to type "System.Management.Automation.Runspaces.PSSession".',
        class_name=call.spec.class_name,
        parameter="Session",
    )


@cmdlet(
    "Invoke-Command",
    at(0, "ComputerName", Kind.TEXTS, "Cn"),
    at(1, "ScriptBlock", Kind.BLOCK, "Command", mandatory=True),
    named("Session", Kind.VALUE),
    named("ArgumentList", Kind.VALUE, "Args"),
    named("ThrottleLimit", Kind.INT),
    switch("HideComputerName", "HCN"),
    switch("NoNewScope"),
    *_CONNECTING,
    *_NOT_CONNECTING,
    *absent("AsJob", "FilePath", "InputObject", "JobName", "InDisconnectedSession", "SessionName", "RemoteDebug"),
    module=_CORE,
)
def invoke_command(call: Call) -> Iterator[object]:
    """Run a script block here, or on other computers: in sessions of its own, or in open ones, one after the other."""
    block = call.block("ScriptBlock")
    if block is None:
        raise call.missing("ScriptBlock")
    if not call.given("ComputerName") and not call.given("Session"):
        yield from call.session.invoke(block, as_list(call.value("ArgumentList")))
        return
    given = [to_wire(one) for one in call.input] if call.piped else []
    text, used = remote_script(str(block), call.session.variable)
    request = remote_request(
        text, [to_wire(one) for one in as_list(call.value("ArgumentList"))], {name: to_wire(value) for name, value in used.items()}, given
    )
    remotes = call.session.remotes
    if call.given("Session"):
        for one in as_list(call.value("Session")):
            remote = remotes.of(one)
            if remote is None:
                raise Terminating(_closed(call, one))
            yield from _run(call, remote, request)
        return
    way = _way(call)
    for computer in call.texts("ComputerName"):
        try:
            remote = remotes.open(computer, way, call.session.io)
        except NotThere as fault:
            call.session.write_error(not_there(fault, "PSSessionStateBroken"), call.action)
            continue
        try:
            yield from _run(call, remote, request)
        finally:
            remotes.close(remote)


def _run(call: Call, remote: Remote, request: PipelineRequest) -> Iterator[object]:
    io = RemoteIO(
        call.session.io,
        remote,
        hide=call.switch("HideComputerName"),
        write_error=lambda record: call.session.write_error(record, call.action),
    )
    try:
        ending = remote.runspace.run(request, io)
    except RemoteFault:
        remote.shown.properties |= {"State": "Broken", "Availability": "None"}
        yield from io.take()
        raise Terminating(broken(remote)) from None
    yield from io.take()
    if ending is not None:
        io.error(ending)


def _closed(call: Call, given: object) -> ErrorRecord:
    if not isinstance(given, PSObject) or "System.Management.Automation.Runspaces.PSSession" not in given.type_names:
        return _no_session(call, given)
    name, computer = (to_text(given.properties.get(key)) for key in ("Name", "ComputerName"))
    return ErrorRecord(
        message=f"Because the session state for session {name}, {to_text(given.properties.get('InstanceId'))}, {computer} is not equal to "
        "Open, you cannot run a command in the session. The session state is Closed.",
        exception_type="System.Management.Automation.Runspaces.InvalidRunspaceStateException",
        error_id="InvalidRunspaceState",
        category="OperationStopped",
        target=computer,
        activity=call.spec.name,
    )


@cmdlet("New-PSSession", at(0, "ComputerName", Kind.TEXTS, "Cn"), named("Name", Kind.TEXTS), *_CONNECTING, *_NOT_CONNECTING, module=_CORE)
def new_ps_session(call: Call) -> Iterator[object]:
    """Sessions that stay open until they are removed or this one ends."""
    way = _way(call)
    names = call.texts("Name")
    for place, computer in enumerate(call.texts_or_input("ComputerName", "ComputerName") or ["localhost"]):
        try:
            remote = call.session.remotes.open(computer, way, call.session.io, names[place] if place < len(names) else "")
        except NotThere as fault:
            call.error(not_there(fault, "PSSessionOpenFailed"))
            continue
        yield remote.shown


@cmdlet(
    "Get-PSSession",
    at(0, "ComputerName", Kind.TEXTS, "Cn"),
    named("Name", Kind.TEXTS),
    named("Id", Kind.VALUE),
    named("InstanceId", Kind.TEXTS),
    *absent("Credential", "Port", "UseSSL", "Authentication", "State"),
    *_NOT_CONNECTING,
    module=_CORE,
)
def get_ps_session(call: Call) -> Iterator[object]:
    """The sessions that were opened here."""
    for remote in _selected(call):
        yield remote.shown


@cmdlet(
    "Remove-PSSession",
    named("Session", Kind.VALUE),
    named("ComputerName", Kind.TEXTS, "Cn"),
    named("Name", Kind.TEXTS),
    named("InstanceId", Kind.TEXTS),
    at(0, "Id", Kind.VALUE),
    *absent("WhatIf", "Confirm"),
    module=_CORE,
)
def remove_ps_session(call: Call) -> Iterator[object]:
    """Close sessions."""
    held = call.value("Session") if call.given("Session") else None
    positional = as_list(call.value("Id")) if call.given("Id") else []
    sessions = as_list(held) + [one for one in positional if isinstance(one, PSObject)]
    if call.piped and not call.bound:
        sessions += list(call.input)
    if sessions:
        for one in sessions:
            if (remote := call.session.remotes.of(one)) is not None:
                call.session.remotes.close(remote)
    elif call.bound:
        for remote in _selected(call):
            call.session.remotes.close(remote)
    yield from ()


def _selected(call: Call) -> list[Remote]:
    ids = [to_text(one) for one in as_list(call.value("Id"))] if call.given("Id") else []
    found = call.session.remotes.sessions
    for parameter, prop in (("ComputerName", "ComputerName"), ("Name", "Name"), ("InstanceId", "InstanceId")):
        if call.given(parameter):
            patterns = call.texts(parameter)
            found = [one for one in found if any(like(to_text(one.shown.properties[prop]), pattern) for pattern in patterns)]
    if ids:
        found = [one for one in found if to_text(one.shown.properties["Id"]) in ids]
    return found


@cmdlet(
    "Enter-PSSession", at(0, "ComputerName", Kind.VALUE, "Cn"), named("Session", Kind.VALUE), *_CONNECTING, *_NOT_CONNECTING, module=_CORE
)
def enter_ps_session(call: Call) -> Iterator[object]:
    """Within a remote session there is none to be entered: its host cannot hand over the keyboard."""
    if call.session.engine.host_name != "ServerRemoteHost":
        raise Terminating(not_emulated("an interactive session", activity=call.spec.name))
    call.error(
        ErrorRecord(
            message="You are currently in a Windows PowerShell PSSession and cannot use the Enter-PSSession cmdlet to enter another "
            "PSSession.",
            exception_type="System.ArgumentException",
            error_id="RemoteHostDoesNotSupportPushRunspace",
            category="InvalidArgument",
        )
    )
    yield from ()


@cmdlet(
    "Test-WSMan", at(0, "ComputerName", Kind.TEXT, "Cn"), *_CONNECTING, *absent("ApplicationName", "CertificateThumbprint"), module=_WSMAN
)
def test_wsman(call: Call) -> Iterator[object]:
    """Ask who answers; nobody logs on."""
    computer = call.text("ComputerName", "localhost")
    try:
        asked = passage(
            call.session.host, call.session.engine.process, computer, Way(secure=call.switch("UseSSL"), port=call.number("Port"))
        )
        assert call.session.host.network is not None
        try:
            version = call.session.host.network.identify(asked)
        except RemoteFault as fault:
            raise failed(computer, fault, asked) from None
    except ChainTooLong as error:
        raise refuse(str(error), activity=call.spec.name) from None
    except NotThere as fault:
        call.error(
            ErrorRecord(
                message=f'<f:WSManFault xmlns:f="http://schemas.microsoft.com/wbem/wsman/1/wsmanfault" Code="2150858770" '
                f'Machine="{call.session.host.fqdn}"><f:Message>{fault.text} </f:Message></f:WSManFault>',
                exception_type="System.InvalidOperationException",
                error_id="WsManError,Microsoft.WSMan.Management.TestWSManCommand",
                category="InvalidOperation",
                target=computer,
            )
        )
        return
    yield PSObject(
        type_names=("System.Xml.XmlElement", "System.Object"),
        properties={
            "wsmid": _IDENTITY,
            "ProtocolVersion": "http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd",
            "ProductVendor": "Microsoft Corporation",
            "ProductVersion": version,
        },
        text="IdentifyResponse",
    )


@cmdlet(
    "ConvertTo-SecureString",
    at(0, "String", mandatory=True),
    switch("AsPlainText"),
    switch("Force"),
    *absent("SecureKey", "Key"),
    module=_SECURITY,
)
def convert_to_secure_string(call: Call) -> Iterator[object]:
    """A secret out of plain text, and nothing else: what the host would have encrypted with its own key it cannot read."""
    if not call.switch("AsPlainText"):
        raise refuse("an encrypted standard string", activity=call.spec.name)
    for text in [call.text("String")] if call.given("String") else [to_text(one) for one in call.items("String")]:
        yield SecureString(text)
