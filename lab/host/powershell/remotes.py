"""A runspace's own sessions on other hosts: how they are asked for, what their failures are called, and what comes back from them.

The names and texts of errors are those of WSMan's client in Windows PowerShell 5.1. Where a host is and how a session with it is opened is
the network's affair; a session without credentials that may travel on is nobody's there (the second hop).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address
from uuid import UUID

from lab.host.happenings import Connection, CredentialUse, Engine
from lab.host.model import Host
from lab.host.powershell.errors import refuse, shown
from lab.machine import (
    CREDENTIAL_TYPE,
    Account,
    Command,
    Credential,
    ErrorRecord,
    Neighbour,
    Parameter,
    Passage,
    PipelineIO,
    PipelineRequest,
    PSObject,
    PSValue,
    RemoteFault,
    RemoteRunspace,
    RemoteScheme,
    SecureString,
    StreamName,
    Trouble,
)

MAX_DEPTH = 5
"""Sessions that may stand on each other: a loop of hosts that call each other ends here."""
_SESSION = "System.Management.Automation.Runspaces.PSSession"
_TRANSPORT = "System.Management.Automation.Remoting.PSRemotingTransportException"
_HELP = "For more information, see the about_Remote_Troubleshooting Help topic."
_HERE = ("localhost", ".", "127.0.0.1", "::1")
_USING = re.compile(r"\$(?:using:(\w+)|\{using:([^}]+)\})", re.IGNORECASE)
_PARAM = re.compile(r"\s*param\s*\(", re.IGNORECASE)

_TROUBLES = {
    Trouble.UNREACHABLE: (
        "CannotConnect",
        "The client cannot connect to the destination specified in the request. Verify that the service on the destination is running and is "
        "accepting requests. Consult the logs and documentation for the WS-Management service running on the destination, most commonly IIS "
        "or WinRM. If the destination is the WinRM service, run the following command on the destination to analyze and configure the WinRM "
        'service: "winrm quickconfig".',
    ),
    Trouble.ACCESS_DENIED: ("AccessDenied", "Access is denied."),
    Trouble.BAD_CREDENTIALS: ("LogonFailure", "The user name or password is incorrect."),
    Trouble.QUOTA: (
        "QuotaLimit",
        "The WS-Management service cannot process the request. This user is allowed a maximum number of concurrent shells, which has been "
        "exceeded. Close existing shells or raise the quota for this user.",
    ),
    Trouble.BROKEN: (
        "WinRMOperationAborted",
        "The I/O operation has been aborted because of either a thread exit or an application request.",
    ),
}


class NotThere(Exception):
    """There is no way to that computer: WSMan's client says so with this id and this text."""

    def __init__(self, computer: str, name: str, text: str) -> None:
        super().__init__(text)
        self.computer = computer
        self.name = name
        self.text = text

    def record(self, state: str) -> ErrorRecord:
        """As PowerShell tells it; `state` is PSSessionStateBroken or PSSessionOpenFailed."""
        computer = shown(self.computer)
        return ErrorRecord(
            message=f"[{computer}] Connecting to remote server {computer} failed with the following error message : {self.text} {_HELP}",
            exception_type=_TRANSPORT,
            error_id=f"{self.name},{state}",
            category="OpenError",
            target=computer,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How a remote computer is asked for: by the parameters that the remoting cmdlets share. `port` 0 is WinRM's own."""

    credential: Credential | None = None
    scheme: RemoteScheme = RemoteScheme.NEGOTIATE
    secure: bool = False
    port: int = 0


@dataclass(slots=True, kw_only=True, eq=False)
class Remote:
    """An open session. `shown` is the PSSession that scripts hold; `name` the computer as it was asked for."""

    name: str
    runspace: RemoteRunspace
    shown: PSObject

    @property
    def open(self) -> bool:
        """Whether anything can still be run in it."""
        return self.shown.properties["State"] == "Opened"


def passage(host: Host, engine: Engine, computer: str, way: Way) -> Passage:
    """The way to a computer for a client in this engine's process. Raises `NotThere`, and `Terminating` for a chain without end.

    A logon that another machine has of somebody proves nothing to a third: without credentials, given or delegated, it is nobody's.
    """
    process = engine.process
    if process.logon.depth >= MAX_DEPTH:
        raise refuse(f"a chain of more than {MAX_DEPTH} remote sessions")
    to, local = _find(host, computer, way)
    source = "::1" if local else host.ip
    destination = "::1" if local else to.ip
    default = 5986 if way.secure else 5985

    def connected(port: int) -> None:
        if host.witness is not None:
            host.witness.connected(
                Connection(
                    source_ip=source,
                    source_port=port,
                    destination_ip=destination,
                    destination_port=way.port or default,
                    initiated=True,
                    owner=process,
                )
            )

    if way.credential is not None and host.witness is not None:
        use = CredentialUse(process=process, target=_account(way.credential.user), server=computer, guid=None)
        host.witness.credentials_used(use)
    return Passage(
        to=to,
        source_ip=source,
        depth=process.logon.depth + 1,
        connected=connected,
        secure=way.secure,
        port=way.port,
        scheme=way.scheme,
        credential=way.credential if way.credential is not None else process.logon.delegated,
    )


def _find(host: Host, computer: str, way: Way) -> tuple[Neighbour, bool]:
    if computer.lower() in _HERE:
        found = host.network.find(host.fqdn) if host.network is not None else None
        if found is None:
            raise _unreachable(computer)
        return found, True
    if _is_address(computer) and not way.secure:
        raise NotThere(
            computer,
            "CannotUseIPAddress",
            "The WinRM client cannot process the request. Default authentication may be used with an IP address under the following "
            "conditions: the transport is HTTPS or the destination is in the TrustedHosts list, and explicit credentials are provided. Use "
            "winrm.cmd to configure TrustedHosts. Note that computers in the TrustedHosts list might not be authenticated. For more "
            "information on how to set TrustedHosts run the following command: winrm help config.",
        )
    if way.scheme is RemoteScheme.BASIC and not way.secure:
        raise NotThere(
            computer,
            "UnencryptedTrafficDisabled",
            "The WinRM client cannot process the request. Unencrypted traffic is currently disabled in the client configuration. Change the "
            "client configuration and try the request again.",
        )
    found = host.network.find(computer) if host.network is not None else None
    if found is None:
        raise NotThere(
            computer, "ComputerNotFound", "The WinRM client cannot process the request because the server name cannot be resolved."
        )
    return found, False


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _unreachable(computer: str) -> NotThere:
    name, text = _TROUBLES[Trouble.UNREACHABLE]
    return NotThere(computer, name, text)


def failed(computer: str, fault: RemoteFault, asked: Passage) -> NotThere:
    """What a client says where the network had no session for it. Nobody's wrong password is no password: access is denied."""
    trouble = fault.trouble
    if trouble is Trouble.BAD_CREDENTIALS and asked.credential is None:
        trouble = Trouble.ACCESS_DENIED
    name, text = _TROUBLES[trouble]
    return NotThere(computer, name, text)


def _account(user: str) -> Account:
    domain, _, name = user.rpartition("\\")
    if not domain:
        name, _, domain = user.partition("@")
    return Account(domain=domain, name=name, sid="S-1-0-0")


class Remotes:
    """The sessions that one runspace has opened. Not for several threads: a runspace runs one pipeline at a time."""

    def __init__(self, host: Host, engine: Engine) -> None:
        self._host = host
        self._engine = engine
        self._open: dict[UUID, Remote] = {}
        self._last_id = 0

    @property
    def sessions(self) -> list[Remote]:
        """Those that were opened and not removed, in that order."""
        return list(self._open.values())

    def open(self, computer: str, way: Way, io: PipelineIO, name: str = "") -> Remote:
        """A new session. Raises `NotThere`; `Terminating` for a chain without end; `PipelineStopped`."""
        network = self._host.network
        asked = passage(self._host, self._engine, computer, way)
        assert network is not None
        try:
            runspace = network.open_runspace(asked, io)
        except RemoteFault as fault:
            raise failed(computer, fault, asked) from None
        self._last_id += 1
        remote = Remote(name=computer, runspace=runspace, shown=_session(computer, self._last_id, name, runspace.runspace_id))
        self._open[runspace.runspace_id] = remote
        return remote

    def of(self, value: object) -> Remote | None:
        """The session that a PSSession stands for; None for anything else, and for one that was removed."""
        if not isinstance(value, PSObject) or _SESSION not in value.type_names:
            return None
        instance = value.properties.get("InstanceId")
        return self._open.get(instance) if isinstance(instance, UUID) else None

    def close(self, remote: Remote) -> None:
        """Remove a session."""
        self._open.pop(remote.runspace.runspace_id, None)
        remote.shown.properties |= {"State": "Closed", "Availability": "None"}
        remote.runspace.close()

    def close_all(self) -> None:
        """The runspace ends."""
        for remote in self.sessions:
            self.close(remote)


def _session(computer: str, number: int, name: str, instance: UUID) -> PSObject:
    properties: dict[str, PSValue] = {
        "ComputerName": computer,
        "ComputerType": "RemoteMachine",
        "ContainerId": None,
        "VMName": None,
        "VMId": None,
        "ConfigurationName": "Microsoft.PowerShell",
        "InstanceId": instance,
        "Id": number,
        "Name": name or f"Session{number}",
        "Availability": "Available",
        "State": "Opened",
    }
    return PSObject(type_names=(_SESSION, "System.Object"), properties=properties, text=f"[PSSession]{name or f'Session{number}'}")


class RemoteIO:
    """A remote pipeline's `PipelineIO`: what comes back is marked with where it came from and handed on."""

    def __init__(
        self,
        io: PipelineIO,
        remote: Remote,
        *,
        hide: bool,
        write_error: Callable[[ErrorRecord], None],
    ) -> None:
        self._io = io
        self._remote = remote
        self._hide = hide
        self._write_error = write_error
        self.outputs: list[object] = []

    def take(self) -> list[object]:
        """What has come since it was last asked."""
        taken, self.outputs = self.outputs, []
        return taken

    @property
    def has_host(self) -> bool:
        return self._io.has_host

    def output(self, value: PSValue) -> None:
        self.outputs.append(self._marked(value))

    def error(self, record: ErrorRecord) -> None:
        self._write_error(replace(record, computer=self._remote.name, runspace=self._remote.runspace.runspace_id))

    def record(self, stream: StreamName, text: str) -> None:
        self._io.record(stream, text)
        if stream is StreamName.INFORMATION and self._io.has_host:
            self._io.host_write_line(text)

    def host_write_line(self, text: str) -> None:
        self._io.host_write_line(text)

    def host_write(self, text: str) -> None:
        self._io.host_write(text)

    def host_write_error_line(self, text: str) -> None:
        self._io.host_write_error_line(text)

    def wait(self, seconds: float) -> None:
        self._io.wait(seconds)

    def _marked(self, value: PSValue) -> object:
        """As PowerShell's client gives objects out: a copy of what was there, and the notes of where that was."""
        if not isinstance(value, PSObject):
            return value
        names = value.type_names
        if names and not names[0].startswith(("Deserialized.", "System.Management.Automation.PSCustomObject")):
            names = tuple(name if name == "System.Object" else f"Deserialized.{name}" for name in names)
        notes: dict[str, PSValue] = {
            "PSComputerName": self._remote.name,
            "RunspaceId": self._remote.runspace.runspace_id,
            "PSShowComputerName": not self._hide,
        }
        return PSObject(type_names=names, properties=value.properties | notes, text=value.text)


def remote_script(text: str, values: Callable[[str], object]) -> tuple[str, dict[str, object]]:
    """A script block's text for another host, and what it takes from here: `$using:` becomes parameters of its own.

    PowerShell's client sends them the same way [about_Remote_Variables].
    """
    used: dict[str, object] = {}

    def replaced(found: re.Match[str]) -> str:
        name = found[1] or found[2]
        used[f"__using_{name}"] = values(name)
        return f"${{__using_{name}}}"

    rewritten = _USING.sub(replaced, text)
    if not used:
        return text, {}
    listed = ", ".join(f"${{{name}}}" for name in used)
    if (begun := _PARAM.match(rewritten)) is not None:
        rest = rewritten[begun.end() :]
        comma = "" if rest.lstrip().startswith(")") else ", "
        return f"{rewritten[: begun.end()]}{listed}{comma}{rest}", used
    return f"param({listed}) {rewritten}", used


def remote_request(text: str, arguments: Sequence[PSValue], used: dict[str, PSValue], given: Sequence[PSValue]) -> PipelineRequest:
    """A script block's call as PSRP sends it."""
    parameters = [Parameter(name=name, value=value) for name, value in used.items()]
    parameters += [Parameter(name=None, value=value) for value in arguments]
    return PipelineRequest(commands=(Command(text=text, is_script=True, parameters=tuple(parameters)),), input=tuple(given))


def credential_of(value: object) -> Credential | None:
    """What a PSCredential holds; None for anything else."""
    if not isinstance(value, PSObject) or not any(name.endswith(CREDENTIAL_TYPE) for name in value.type_names):
        return None
    user, password = value.properties.get("UserName"), value.properties.get("Password")
    if not isinstance(user, str) or not isinstance(password, SecureString):
        return None
    return Credential(user=user.lstrip("\\"), password=password.plain)


def new_credential(user: str, password: SecureString) -> PSObject:
    """A PSCredential."""
    return PSObject(type_names=(CREDENTIAL_TYPE, "System.Object"), properties={"UserName": user, "Password": password}, text=CREDENTIAL_TYPE)
