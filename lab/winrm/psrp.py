"""PSRP shells and their pipelines on psrpcore's server side [MS-PSRP 3.2]: fragments in, fragments out, the machine behind.

Knows no sockets, no SOAP envelopes and no accounts. One shell is one runspace pool is one host process on the machine. Its worker
thread runs the pipelines one after the other and closes the runspace at the end, so the machine never sees two calls at a time.
"""

from __future__ import annotations

import logging
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, Final
from uuid import UUID
from xml.etree.ElementTree import ParseError

import psrpcore
from psrpcore import types as ps

from lab.machine import ErrorRecord, PipelineRequest, PipelineStopped, PSValue, Runspace, StreamName
from lab.winrm import values
from lab.winrm.outbox import Outbox
from lab.winrm.shell import Ledger, Shell, ShellCommand
from lab.winrm.wsman import SIGNAL_CTRL_C, SIGNAL_POWERSHELL_STOP, Broken, invalid_parameter

_LOG = logging.getLogger(__name__)

_FRAGMENT: Final = 32768  # what the PowerShell plug-in of Windows cuts its messages into
_PID = slice(21 + 24, 21 + 40)  # the pipeline's id in a message's first fragment [MS-PSRP 2.2.1, 2.2.4]
_VERSIONS: Final = {"PSVersion": ps.PSVersion("5.1.19041.1"), "PSEdition": ps.PSString("Desktop")}

# What psrpcore lets through where a message is not what it claims to be: it unpacks and looks up without checking first.
_MALFORMED = (
    psrpcore.PSRPCoreError,
    struct.error,
    ParseError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    RecursionError,
)


class _Pool(psrpcore.ServerRunspacePool):
    """psrpcore's pool, with the one property name mended that it compares by case and PowerShell does not."""

    def __init__(self) -> None:
        super().__init__(application_private_data={"PSVersionTable": dict(_VERSIONS)})

    def _process_SetMaxRunspaces(self, event: psrpcore.SetMaxRunspacesEvent) -> None:
        _mend_call_id(event)
        super()._process_SetMaxRunspaces(event)

    def _process_SetMinRunspaces(self, event: psrpcore.SetMinRunspacesEvent) -> None:
        _mend_call_id(event)
        super()._process_SetMinRunspaces(event)


def _mend_call_id(event: Any) -> None:
    message = event._ps_object
    for prop in message.PSObject.extended_properties:
        if prop.name == "CI":
            ps.add_note_property(message, "ci", prop.get_value(message), force=True)
            return


class _ServerPipeline(psrpcore.ServerPipeline):
    """psrpcore's pipeline, with the states that PowerShell reports: it never says Running, and it says Failed."""

    def start(self) -> None:
        self._change_state(ps.PSInvocationState.Running, emit=False)

    def fail(self, record: ps.ErrorRecord) -> None:
        """The pipeline was ended by an error."""
        self._change_state(ps.PSInvocationState.Failed, error=record)

    def tell(self, text: str) -> None:
        """An information record; nothing for a client older than protocol 2.3, which has no such stream.

        It names nobody: psrpcore's defaults would name the user and the computer that the lab runs on.
        """
        with suppress(psrpcore.InvalidProtocolVersion):
            self.write_information(text, source="", user="", computer="", process_id=0, native_thread_id=0, managed_thread_id=0)


class _Pipeline(ShellCommand):
    """One command of a shell; to the machine its `PipelineIO`."""

    def __init__(self, shell: PsrpShell, command_id: str, pipeline_id: UUID) -> None:
        super().__init__(command_id)
        self.wire = _ServerPipeline(shell.pool, pipeline_id)
        self.request: psrpcore.PowerShell | psrpcore.GetMetadata | None = None
        self.input: list[Any] = []
        self.input_complete = False
        self._shell = shell

    # --- PipelineIO -----------------------------------------------------------------------------------------------------

    def output(self, value: PSValue) -> None:
        self._say(self.wire.write_output, values.Nil() if value is None else values.to_wire(value))

    def error(self, record: ErrorRecord) -> None:
        self._say(self.wire.prepare_message, values.error_record(record), ps.PSRPMessageType.ErrorRecord)

    def record(self, stream: StreamName, text: str) -> None:
        match stream:
            case StreamName.WARNING:
                self._say(self.wire.write_warning, text)
            case StreamName.VERBOSE:
                self._say(self.wire.write_verbose, text)
            case StreamName.DEBUG:
                self._say(self.wire.write_debug, text)
            case StreamName.INFORMATION:
                self._say(self.wire.tell, text)

    def host_write_line(self, text: str) -> None:
        self._say(self.wire.host_call, ps.HostMethodIdentifier.WriteLine2, [text])

    def host_write(self, text: str) -> None:
        self._say(self.wire.host_call, ps.HostMethodIdentifier.Write1, [text])

    def host_write_error_line(self, text: str) -> None:
        self._say(self.wire.host_call, ps.HostMethodIdentifier.WriteErrorLine, [text])

    @property
    def has_host(self) -> bool:
        if not isinstance(self.request, psrpcore.PowerShell):
            return False
        host = self._shell.pool.host if self.request.host.UseRunspaceHost else self.request.host
        return host is not None and not host.IsHostNull

    def wait(self, seconds: float) -> None:
        if self.stop_asked.wait(seconds):
            raise PipelineStopped

    # --- its life, on the shell's worker thread ---------------------------------------------------------------------------

    def execute(self, runspace: Runspace, ledger: Ledger) -> None:
        """Run to the end and say how it ended; not at all where it was stopped before its turn came. Raises nothing."""
        with self._shell.lock:
            if self.stop_asked.is_set():
                self._stop_unstarted()
                return
            self.wire.start()
        failure: ErrorRecord | None = None
        stopped = False
        try:
            failure = self._run(runspace, ledger)
        except PipelineStopped:
            stopped = True
        except Exception as error:  # noqa: BLE001 - the edge of the thread: whatever breaks in the machine, the client must hear of an end
            _LOG.error("pipeline %s: the machine raised %r", self.command_id, error)
            failure = ErrorRecord(
                message="The machine broke while it ran the pipeline.",
                exception_type="System.Management.Automation.RuntimeException",
                error_id="MachineBroke",
                category="InvalidResult",
            )
        with self._shell.lock:
            if stopped:
                self.wire.stop()
            elif failure is not None:
                self.wire.fail(values.error_record(failure))
            else:
                self.wire.complete()
            self._shell.drain()
        self.outbox.finish()
        self.ended.set()

    def ask_to_stop(self) -> None:
        """It may be far from its turn, or its message or input may never become complete: then it has stopped at once."""
        super().ask_to_stop()
        self._stop_unstarted()

    def _stop_unstarted(self) -> None:
        """Say that it was stopped, unless it has begun or ended. The shell's lock is held."""
        if self.wire.state == ps.PSInvocationState.NotStarted:
            self.wire.start()
            self.wire.stop()
            self._shell.drain()
            self.outbox.finish()
            self.ended.set()

    def _run(self, runspace: Runspace, ledger: Ledger) -> ErrorRecord | None:
        if isinstance(self.request, psrpcore.GetMetadata):
            names = [str(name) for name in self.request.name if name is not None]
            found = runspace.command_metadata(names or ["*"])
            self._say(self.wire.write_output, values.metadata_count(len(found)))
            for metadata in found:
                self._say(self.wire.write_output, values.command_metadata(metadata))
            return None
        assert self.request is not None
        request = values.pipeline_request(self.request, self.input)
        ledger.pipeline_started(_text(request))
        return runspace.run(request, self)

    def _say(self, write: Callable[..., object], *arguments: object) -> None:
        if self.stop_asked.is_set():
            raise PipelineStopped
        with self._shell.lock:
            write(*arguments)
            self._shell.drain()


def _text(request: PipelineRequest) -> str:
    """The text of a pipeline as a person would have typed it, its arguments left out."""
    parts: list[str] = []
    for command in request.commands:
        parts += [command.text, "; " if command.end_of_statement else " | "]
    return "".join(parts[:-1])


class PsrpShell(Shell[_Pipeline]):
    """One PSRP shell: a runspace pool."""

    def __init__(
        self, *, shell_id: str, creation: bytes, budget: int, idle_timeout: float, open_runspace: Callable[[], Runspace], ledger: Ledger
    ) -> None:
        super().__init__(shell_id=shell_id, idle_timeout=idle_timeout, signals=frozenset({SIGNAL_CTRL_C, SIGNAL_POWERSHELL_STOP}))
        self.pool = _Pool()
        self._fragment = min(_FRAGMENT, budget)
        self._outbox = Outbox()
        self._by_id: dict[UUID, _Pipeline] = {}
        self._queue: SimpleQueue[_Pipeline | None] = SimpleQueue()
        with self.lock:
            self._feed(creation, None)
        self._runspace = open_runspace()
        self._ledger = ledger
        threading.Thread(target=self._work, name=f"winrm-shell-{shell_id}", daemon=True).start()

    # --- requests ---------------------------------------------------------------------------------------------------------

    @property
    def process_id(self) -> int:
        """The pid of its host process."""
        return self._runspace.process_id

    def command(self, command_id: str, fragment: bytes) -> None:
        """Take the first fragment of a pipeline's message; it runs as soon as the message and its input are complete.

        A CommandId is good for one pipeline: the same request again is refused, not run again.
        """
        with self.lock:
            self._check_open()
            identifier = fragment[_PID]
            if len(identifier) != 16 or self.pool.state != ps.RunspacePoolState.Opened:
                raise invalid_parameter("The command's argument is not a PSRP fragment, or the runspace pool is not open yet.")
            pipeline_id = UUID(bytes_le=identifier)
            if command_id in self._commands or pipeline_id in self._by_id:
                raise invalid_parameter(f"There already is a command {command_id}.")
            pipeline = _Pipeline(self, command_id, pipeline_id)
            self._commands[command_id] = self._by_id[pipeline_id] = pipeline
            self._feed(fragment, pipeline_id)

    def send(self, command_id: str, data: bytes) -> None:
        """Take more fragments."""
        with self.lock:
            self._check_open()
            self._feed(data, self._find(command_id).wire.pipeline_id if command_id else None)

    # --- inside; the lock is held -----------------------------------------------------------------------------------------

    def drain(self) -> None:
        """Cut what psrpcore has to send into fragments, each into the outbox where its client looks for it."""
        while (payload := self.pool.data_to_send(self._fragment)) is not None:
            if payload.pipeline_id is None:
                self._outbox.put(payload.data)
            elif (pipeline := self._by_id.get(payload.pipeline_id)) is not None:
                pipeline.outbox.put(payload.data)

    def _forget(self, command: _Pipeline) -> None:
        super()._forget(command)
        self._by_id.pop(command.wire.pipeline_id, None)
        self.pool.pipeline_table.pop(command.wire.pipeline_id, None)

    def _shell_outbox(self) -> Outbox:
        return self._outbox

    def _shut(self, commands: list[_Pipeline]) -> None:
        self._outbox.abort()
        self._queue.put(None)

    def _feed(self, data: bytes, pipeline_id: UUID | None) -> None:
        try:
            self.pool.receive_data(psrpcore.PSRPPayload(data, psrpcore.StreamType.default, pipeline_id))
            while (event := self.pool.next_event()) is not None:
                self._on_event(event)
        except _MALFORMED as error:
            raise Broken(f"The PowerShell plug-in cannot read the message ({type(error).__name__}).") from None
        self.drain()

    def _on_event(self, event: psrpcore.PSRPEvent[Any, Any]) -> None:
        match event:
            case psrpcore.CreatePipelineEvent() | psrpcore.GetCommandMetadataEvent():
                pipeline = self._by_id[event.pipeline_id]
                if pipeline.request is not None:
                    raise invalid_parameter("The pipeline has been created already.")
                created = pipeline.wire.metadata  # as psrpcore just read it; the event would read it anew at every look
                assert isinstance(created, psrpcore.PowerShell | psrpcore.GetMetadata)
                pipeline.request = created
                if not isinstance(created, psrpcore.PowerShell) or created.no_input:
                    self._queue.put(pipeline)
            case psrpcore.PipelineInputEvent():
                self._by_id[event.pipeline_id].input.append(event.data)
            case psrpcore.EndOfPipelineInputEvent():
                pipeline = self._by_id[event.pipeline_id]
                if isinstance(pipeline.request, psrpcore.PowerShell) and not pipeline.request.no_input and not pipeline.input_complete:
                    pipeline.input_complete = True
                    self._queue.put(pipeline)
            case psrpcore.SetMaxRunspacesEvent() | psrpcore.SetMinRunspacesEvent():
                self.pool.runspace_availability_response(event.ci, event.count > 0)
            case psrpcore.GetAvailableRunspacesEvent():
                running = sum(1 for pipeline in self._commands.values() if not pipeline.ended.is_set())
                self.pool.runspace_availability_response(event.ci, max(self.pool.max_runspaces - running, 0))
            case psrpcore.ResetRunspaceStateEvent():
                # The machine has no such call: the protocol's own way to say no is a false answer [MS-PSRP 2.2.2.31].
                self.pool.runspace_availability_response(event.ci, False)

    # --- the worker ---------------------------------------------------------------------------------------------------------

    def _work(self) -> None:
        while (pipeline := self._queue.get()) is not None:
            pipeline.execute(self._runspace, self._ledger)
        try:
            self._runspace.close()
        except Exception as error:  # noqa: BLE001 - the edge of the thread: nobody is left to tell
            _LOG.error("shell %s: the machine raised %r at its close", self.shell_id, error)
        self._ended.set()
