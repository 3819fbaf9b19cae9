"""pypsrp, driven: a runspace pool over a WSMan object of its own, with every habit switched off that could send something twice.

It runs pipelines and knows nothing of steps; every exception that leaves it is one of `harness.errors`.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from copy import deepcopy
from dataclasses import dataclass, field
from threading import Event, Lock
from typing import Any, cast

from pypsrp.complex_objects import ComplexObject, ErrorRecord, GenericComplexObject, PSInvocationState
from pypsrp.host import PSHost
from pypsrp.messages import Message, PipelineHostResponse, RunspacePoolHostCall, RunspacePoolHostResponse, WarningRecord
from pypsrp.powershell import PowerShell, PSDataStreams, RunspacePool
from pypsrp.wsman import WSMan

from harness.errors import AuthenticationFailed, ConnectFailed, Refused, TransportError
from harness.model.facts import Socket
from harness.model.intent import Auth, Target
from harness.ports import Clock
from harness.transports.psrp.console import Console, host
from harness.transports.psrp.errors import foreign_errors
from harness.transports.psrp.values import text
from harness.transports.psrp.wire import Guard, Wire

USER_AGENT = "Microsoft WinRM Client"

# What PowerShell's client asks of one operation (PSSessionOption.OperationTimeout); how long we wait is the guard's business.
_OPERATION_TIMEOUT = 180

# The `ci` of a host call to a method without a result, which expects no answer [MS-PSRP 2.2.2.15].
_NO_ANSWER = -100

_ENDED = frozenset((PSInvocationState.COMPLETED, PSInvocationState.FAILED, PSInvocationState.STOPPED))

# Every WSMan object registers its XML prefixes anew in a table of the process, deleting those it finds: two at once in two threads
# delete the same one, and the second fails. One thread a target makes that happen.
_REGISTERING = Lock()

# System.Management.Automation.ErrorCategory
_INVALID_OPERATION = 2

# What a client of Windows PowerShell 5.1 tells of itself ($PSSenderInfo.ApplicationArguments). As an element, because a nested dictionary
# has to be a PSPrimitiveDictionary too and pypsrp would call it a Hashtable, which Windows refuses in this place; the RefIds
# lie far from those that pypsrp gives.
_PS_VERSION_TABLE = ET.fromstring(  # noqa: S314 - a constant
    """
<Obj RefId="1000"><TN RefId="1000"><T>System.Management.Automation.PSPrimitiveDictionary</T><T>System.Collections.Hashtable</T>
<T>System.Object</T></TN><DCT>
<En><S N="Key">PSVersion</S><Version N="Value">5.1.19041.1</Version></En>
<En><S N="Key">PSEdition</S><S N="Value">Desktop</S></En>
<En><S N="Key">PSCompatibleVersions</S><Obj N="Value" RefId="1001"><TN RefId="1001"><T>System.Version[]</T><T>System.Array</T>
<T>System.Object</T></TN><LST><Version>1.0</Version><Version>2.0</Version><Version>3.0</Version><Version>4.0</Version>
<Version>5.0</Version><Version>5.1.19041.1</Version></LST></Obj></En>
<En><S N="Key">CLRVersion</S><Version N="Value">4.0.30319.42000</Version></En>
<En><S N="Key">BuildVersion</S><Version N="Value">10.0.19041.1</Version></En>
<En><S N="Key">WSManStackVersion</S><Version N="Value">3.0</Version></En>
<En><S N="Key">PSRemotingProtocolVersion</S><Version N="Value">2.3</Version></En>
<En><S N="Key">SerializationVersion</S><Version N="Value">1.1.0.1</Version></En>
</DCT></Obj>
""".replace("\n", "")
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """Who to be on a target. The password is in no text that this class or its errors make."""

    user: str
    password: str = field(repr=False)

    def scrub(self, text: str) -> str:
        """The text without the password."""
        return text.replace(self.password, "***") if self.password else text


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Seconds that the parts of a session may take which no step's own time-out bounds.

    `connect`: one TCP connection and its TLS. `open`: until the pool is open. `identify`: the identity's pipeline. `stop`: stopping a
    pipeline that did not end. `close`: ending the session.
    """

    connect: float = 10.0
    open: float = 30.0
    identify: float = 15.0
    stop: float = 2.0
    close: float = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One command of a pipeline [MS-PSRP 2.2.3.12]. `parameters` are (name or None, value), in order.

    `errors_to_output`: its error stream flows on into the next command, as the console has it for what is typed.
    """

    text: str
    is_script: bool
    parameters: Sequence[tuple[str | None, object]] = ()
    use_local_scope: bool | None = None
    errors_to_output: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """A pipeline that ended. `failed` where an error ended it, which then is the last of the error stream."""

    failed: bool
    output: Sequence[Any]
    streams: PSDataStreams


class Client:
    """One session on one target: opened once, closed once, nothing kept alive behind it. Not shared between threads."""

    def __init__(self, *, target: Target, credential: Credential, address: str, clock: Clock, timeouts: Timeouts) -> None:
        self._target = target
        self._credential = credential
        self._address = address
        self._timeouts = timeouts
        self._guard = Guard(clock)
        self._wires: list[Wire] = []
        self._broken = False
        self._closed = False
        self._pool: _Pool | None = None
        self.console = Console()

    @property
    def sockets(self) -> tuple[Socket, ...]:
        """Our ends of all connections so far, in the order they came about."""
        return tuple(socket for wire in self._wires for socket in wire.sockets)

    def open(self) -> None:
        """Connect, authenticate, open the pool. Raises `TransportError`."""
        self._guard.arm(self._timeouts.open)
        with self._foreign_errors():
            pool = _Pool(self._wsman(self._timeouts.connect), host(self.console))
            self._pool = pool
            pool.open(application_arguments={"PSVersionTable": deepcopy(_PS_VERSION_TABLE)})
        self._wires[-1].seal()

    def arm(self, seconds: float, cancel: Event | None = None) -> None:
        """What is called next ends after `seconds` at the latest, or once the event `cancel` is set, with `StepTimeout`."""
        self._guard.arm(seconds, cancel)

    def commands_known(self, names: Sequence[str]) -> int:
        """How many of the commands the session has [MS-PSRP 2.2.2.14]. Raises `TransportError`."""
        with self._foreign_errors():
            return len(self._opened().get_command_metadata(list(names)))

    def invoke(self, commands: Sequence[Command], *, add_to_history: bool = False) -> Finished:
        """Run a pipeline to its end. Raises `TransportError`; a pipeline that failed is none."""
        with self._foreign_errors():
            pipeline = PowerShell(self._opened())
            for command in commands:
                _add(pipeline, command)
            output = pipeline.invoke(add_to_history=add_to_history)
        # It has ended and what it said is known: a connection that breaks while the target is told to forget it takes nothing back.
        with suppress(TransportError), self._foreign_errors():
            pipeline.close()
        return Finished(failed=pipeline.state != PSInvocationState.COMPLETED, output=output, streams=pipeline.streams)

    def stop(self) -> None:
        """Stop what is running, in bounded time; never raises.

        On a new connection: the answer to the last request is still outstanding on the old one.
        """
        if self._pool is None or not self._pool.shell.opened:
            return
        with suppress(TransportError):
            self._reconnect(self._timeouts.stop)
            with self._foreign_errors():
                for pipeline in list(self._pool.pipelines.values()):
                    if pipeline.state not in _ENDED:
                        # It may run though the answer that says so never came.
                        pipeline.state = PSInvocationState.RUNNING
                        pipeline.stop()

    def close(self) -> None:
        """End the pool and every connection, in bounded time; never raises."""
        if self._closed:
            return
        self._closed = True
        with suppress(TransportError):
            if self._pool is not None and self._pool.shell.opened and self._reachable():
                self._guard.arm(self._timeouts.close)
                with self._foreign_errors():
                    self._pool.close()
        for wire in self._wires:
            wire.close()

    def _reachable(self) -> bool:
        """Whether the pool can still be told something; over a second connection where the first one broke, over no third."""
        if self._broken and len(self._wires) == 1:
            self._reconnect(self._timeouts.close)
        return not self._broken

    def _reconnect(self, seconds: float) -> None:
        self._guard.arm(seconds)
        old = self._opened().connection
        self._wires[-1].close()
        with self._foreign_errors():
            new = self._wsman(min(seconds, self._timeouts.connect))
        new.session_id = old.session_id
        new.update_max_payload_size(old.max_envelope_size)
        self._opened().shell.wsman = new
        self._opened().connection = new
        self._broken = False

    def _opened(self) -> _Pool:
        if self._pool is None:
            raise ConnectFailed(f"{self._place}: the session was never opened")
        return self._pool

    @property
    def _place(self) -> str:
        return f"{self._target.name} ({self._target.host}:{self._target.port})"

    @contextmanager
    def _foreign_errors(self) -> Iterator[None]:
        try:
            with foreign_errors(self._place, self, self._credential.scrub):
                yield
        except Refused:
            raise
        except TransportError:
            # The last request's fate is not known: nothing more can be asked over its connection.
            self._broken = True
            raise

    @property
    def connected(self) -> bool:
        """A connection came about: something was sent."""
        return any(wire.connected for wire in self._wires)

    @property
    def authenticated(self) -> bool:
        """The pool was opened, so the credentials were taken."""
        return bool(self._wires) and self._wires[0].sealed

    def _wsman(self, connect_timeout: float) -> WSMan:
        """A WSMan object with connections of its own."""
        target = self._target
        if target.auth is Auth.CERTIFICATE:
            raise AuthenticationFailed(f"{self._place}: certificates are not supported here")
        if target.auth is Auth.BASIC and not target.tls:
            raise AuthenticationFailed(f"{self._place}: basic authentication without TLS would show the password to the network")
        with _REGISTERING:
            wsman = WSMan(
                target.host,
                port=target.port,
                username=self._credential.user,
                password=self._credential.password,
                ssl=target.tls,
                auth=target.auth.value,
                no_proxy=True,
                operation_timeout=_OPERATION_TIMEOUT,
                connection_timeout=connect_timeout,  # type: ignore[arg-type]  # requests takes fractions too
                read_timeout=_OPERATION_TIMEOUT,
                reconnection_retries=0,
            )
        wire = Wire(self._guard, self._address)
        self._wires.append(wire)
        session = wsman.transport._build_session()
        session.trust_env = False
        session.max_redirects = 0
        session.headers["User-Agent"] = USER_AGENT
        session.adapters.clear()
        session.mount("https://" if target.tls else "http://", wire.adapter())
        wsman.transport.session = session
        return wsman


class _Pool(RunspacePool):
    """A pool whose host calls are always answered: pypsrp leaves those without a result unanswered, and the target waits for ever."""

    def __init__(self, connection: WSMan, host: PSHost) -> None:
        super().__init__(connection, host=host)
        self._answering = host

    def open(self, application_arguments: dict[str, object] | None = None) -> None:
        super().open(application_arguments)
        # The pool has announced its host. PowerShell's client sends its pipelines without one of their own, to use the pool's
        # [MS-PSRP 2.2.3.14, UseRunspaceHost]; pypsrp does so where it knows of none.
        self.host = None

    def _process_host_call(
        self, message: Message, response_obj: type[RunspacePoolHostResponse | PipelineHostResponse], pipeline: PowerShell | None = None
    ) -> ComplexObject:
        call = cast(RunspacePoolHostCall, message.data)
        result = None
        # What the console does not implement it inherits as NotImplementedError, or lacks; wrong arguments are a TypeError.
        with suppress(NotImplementedError, AttributeError, TypeError):
            result = self._answering.run_method(call.mi, call.mp, self, pipeline)
        if call.ci == _NO_ANSWER:
            return call
        answer = response_obj()
        answer.ci = call.ci
        answer.mi = call.mi
        answer.mr = result
        if result is None:
            answer.me = _refusal(f"{call.mi} is not available: nobody sits at this session.")
        for fragment in self._fragmenter.fragment(answer, self.id, pipeline.id if pipeline is not None else None):
            self.shell.send("pr", fragment)
        return call

    def _process_runspacepool_warning(self, message: Message) -> None:
        # Outside any pipeline: to the host's window, where PowerShell's client shows it too.
        if self._answering.ui is not None:
            self._answering.ui.WriteWarningLine(self, None, text(cast(WarningRecord, message.data).message))


class _Refusal(ErrorRecord):
    """An error record that can be sent: pypsrp's own leaves half of the properties unset that it then serialises."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        for attribute, _ in self._extended_properties:
            vars(self).setdefault(attribute, None)
        self.activity = self.target_name = self.target_type = ""  # receivers insist on their presence
        self.invocation = False
        self.extended_info_present = False


def _refusal(message: str) -> ErrorRecord:
    """The error that a host method ends with on the target [MS-PSRP 2.2.3.15]."""
    exception = GenericComplexObject()
    exception.types = ["System.Management.Automation.Host.HostException", "System.Exception", "System.Object"]
    exception.to_string = message
    exception.adapted_properties = {"Message": message}
    record = _Refusal()
    record.exception = exception
    record.fq_error = "InteractionNotAvailable"
    record.category = _INVALID_OPERATION
    record.reason = "HostException"
    record.message = message
    return record


def _add(pipeline: PowerShell, command: Command) -> None:
    add = pipeline.add_script if command.is_script else pipeline.add_cmdlet
    add(command.text, command.use_local_scope)
    for name, value in command.parameters:
        if name is None:
            pipeline.add_argument(value)
        else:
            pipeline.add_parameter(name, value)
    if command.errors_to_output:
        pipeline.merge_error("output")
