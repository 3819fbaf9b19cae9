"""A runspace's own sessions on other hosts: opened, held, closed; what is sent there and what comes back.

Where a host is and how a session with it is opened is the network's affair. Knows no cmdlet.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from lab.host.happenings import Engine
from lab.host.model import Host
from lab.host.powershell.errors import refuse, shown
from lab.host.remote_client import ChainTooLong, NotThere, Way, failed, passage
from lab.machine import (
    CREDENTIAL_TYPE,
    Command,
    Credential,
    ErrorRecord,
    Parameter,
    PipelineIO,
    PipelineRequest,
    Progress,
    PSObject,
    PSValue,
    Question,
    RemoteFault,
    RemoteRunspace,
    SecureString,
    StreamName,
)

_SESSION = "System.Management.Automation.Runspaces.PSSession"
_TRANSPORT = "System.Management.Automation.Remoting.PSRemotingTransportException"
_HELP = "For more information, see the about_Remote_Troubleshooting Help topic."
_USING = re.compile(r"\$(?:using:(\w+)|\{using:([^}]+)\})", re.IGNORECASE)
_PARAM = re.compile(r"\s*param\s*\(", re.IGNORECASE)


def not_there(fault: NotThere, state: str) -> ErrorRecord:
    """The record of a session that did not come about; `state` is PSSessionStateBroken or PSSessionOpenFailed."""
    computer = shown(fault.computer)
    return ErrorRecord(
        message=f"[{computer}] Connecting to remote server {computer} failed with the following error message : {fault.text} {_HELP}",
        exception_type=_TRANSPORT,
        error_id=f"{fault.name},{state}",
        category="OpenError",
        target=computer,
    )


def broken(remote: Remote) -> ErrorRecord:
    """The record of a session that broke while something ran in it."""
    name = shown(remote.name)
    return ErrorRecord(
        message=f"[{name}] Processing data from remote server {name} failed with the following error message: The I/O operation has been "
        f"aborted because of either a thread exit or an application request. {_HELP}",
        exception_type=_TRANSPORT,
        error_id="WinRMOperationAborted,PSSessionStateBroken",
        category="OpenError",
        target=name,
    )


@dataclass(slots=True, kw_only=True, eq=False)
class Remote:
    """An open session. `shown` is the PSSession that scripts hold; `name` the computer as it was asked for."""

    name: str
    runspace: RemoteRunspace
    shown: PSObject


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
        try:
            asked = passage(self._host, self._engine.process, computer, way)
        except ChainTooLong as error:
            raise refuse(str(error)) from None
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

    def progress(self, record: Progress) -> None:
        self._io.progress(record)

    def ask(self, question: Question) -> PSValue:
        return self._io.ask(question)

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
    return PipelineRequest(
        commands=(Command(text=text, is_script=True, parameters=tuple(parameters)),), input=tuple(given), has_input=bool(given)
    )


def credential_of(value: object) -> Credential | None:
    """What a PSCredential holds; None for anything else."""
    if not isinstance(value, PSObject) or not any(name.endswith(CREDENTIAL_TYPE) for name in value.type_names):
        return None
    user, password = value.properties.get("UserName"), value.properties.get("Password")
    if not isinstance(user, str) or not isinstance(password, SecureString):
        return None
    return Credential(user=user.lstrip("\\"), password=password.plain)
