"""pypsrp, driven: a runspace pool over a WSMan object of its own, with every habit switched off that could send something twice.

It runs pipelines and knows nothing of steps; every exception that leaves it is one of `harness.errors`.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, cast

from pypsrp.complex_objects import ComplexObject, ErrorRecord, GenericComplexObject, PSInvocationState
from pypsrp.host import PSHost
from pypsrp.messages import Message, PipelineHostResponse, RunspacePoolHostCall, RunspacePoolHostResponse, WarningRecord
from pypsrp.powershell import PowerShell, PSDataStreams, RunspacePool
from pypsrp.wsman import WSMan

from harness.errors import ConnectFailed, StepTimeout, TransportError
from harness.transports.line import Line
from harness.transports.psrp.console import Console, host
from harness.transports.psrp.values import text

# The `ci` of a host call to a method without a result, which expects no answer [MS-PSRP 2.2.2.15].
_NO_ANSWER = -100

_ENDED = frozenset((PSInvocationState.COMPLETED, PSInvocationState.FAILED, PSInvocationState.STOPPED))

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

    def __init__(self, line: Line) -> None:
        self.line = line
        self._closed = False
        self._pool: _Pool | None = None
        self.console = Console()

    def open(self) -> None:
        """Connect, authenticate, open the pool. Raises `TransportError`."""
        self.line.arm(self.line.timeouts.open)
        with self.line.foreign_errors():
            pool = _Pool(self.line.connect(), host(self.console))
            self._pool = pool
            pool.open(application_arguments={"PSVersionTable": deepcopy(_PS_VERSION_TABLE)})
        self.line.seal()

    def commands_known(self, names: Sequence[str]) -> int:
        """How many of the commands the session has [MS-PSRP 2.2.2.14]. Raises `TransportError`."""
        with self.line.foreign_errors():
            return len(self._opened().get_command_metadata(list(names)))

    def invoke(self, commands: Sequence[Command], *, add_to_history: bool = False) -> Finished:
        """Run a pipeline to its end. Raises `TransportError`; a pipeline that failed is none."""
        with self.line.foreign_errors():
            pipeline = PowerShell(self._opened())
            for command in commands:
                _add(pipeline, command)
            output = pipeline.invoke(add_to_history=add_to_history)
        # It has ended and what it said is known: a connection that breaks while the target is told to forget it takes nothing back.
        with suppress(TransportError), self.line.foreign_errors():
            pipeline.close()
        return Finished(failed=pipeline.state != PSInvocationState.COMPLETED, output=output, streams=pipeline.streams)

    def exchange_keys(self) -> None:
        """Agree on a key, without which nothing secret can be sent [MS-PSRP 3.1.5.4.3]. Raises `TransportError`."""
        self.line.arm(self.line.timeouts.open)
        with self.line.foreign_errors():
            self._opened().exchange_keys()

    def try_to(self, commands: Sequence[Command]) -> None:
        """Run a last pipeline where the target can still be told something, in bounded time; never raises."""
        with suppress(TransportError):
            if not self.line.broken:
                self.line.arm(self.line.timeouts.close)
                self.invoke(commands)

    @contextmanager
    def stopping(self) -> Iterator[None]:
        """What is under way within is stopped where its time is up, and `StepTimeout` goes on."""
        try:
            yield
        except StepTimeout:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop what is running, in bounded time; never raises.

        On a new connection: the answer to the last request is still outstanding on the old one.
        """
        if self._pool is None or not self._pool.shell.opened:
            return
        with suppress(TransportError):
            self._reconnect(self.line.timeouts.stop)
            with self.line.foreign_errors():
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
            if self._pool is not None and self._pool.shell.opened and self.line.reachable(self._reconnect):
                self.line.arm(self.line.timeouts.close)
                with self.line.foreign_errors():
                    self._pool.close()
        self.line.close()

    def _reconnect(self, seconds: float) -> None:
        old = self._opened().connection
        new = self.line.reconnect(seconds)
        new.session_id = old.session_id
        new.update_max_payload_size(old.max_envelope_size)
        self._opened().shell.wsman = new
        self._opened().connection = new

    def _opened(self) -> _Pool:
        if self._pool is None:
            raise ConnectFailed(f"{self.line.place}: the session was never opened")
        return self._pool


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
