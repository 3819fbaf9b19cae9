"""PSRP shells and their pipelines, the server's side [MS-PSRP 3.2]: fragments in, fragments out, the machine behind.

Knows no sockets, no SOAP envelopes and no accounts. One shell is one runspace pool is one host process on the machine. Each pipeline
runs on a thread and in a runspace of its own, as many at once as the pool is large; the others wait for their turn. A pool where
nothing runs has no thread.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from itertools import count
from time import monotonic
from typing import Final
from uuid import UUID

from lab.machine import ErrorRecord, HostFailed, PipelineRequest, PipelineStopped, Progress, PSValue, Question, Runspace, StreamName
from lab.winrm import clixml, fragments, messages
from lab.winrm.clixml import Malformed
from lab.winrm.faults import Broken, command_in_use, invalid_parameter, too_many_operations
from lab.winrm.messages import HostMethod, Kind, PipelineState, PoolState
from lab.winrm.outbox import Outbox
from lab.winrm.session_key import SessionKey
from lab.winrm.shell import Ledger, Shell, ShellCommand
from lab.winrm.wsman import SIGNAL_CTRL_C, SIGNAL_POWERSHELL_STOP

_LOG = logging.getLogger(__name__)

MAX_PIPELINES: Final = 1_000
"""Pipelines of one pool that are there at once: MaxConcurrentCommandsPerShell, the default of Windows."""

MAX_AT_ONCE: Final = 64
"""Pipelines of one pool that run at once, however large a client makes it."""

MAX_INPUT: Final = 50 * 1024 * 1024
"""Bytes of pipeline input that wait to be read: MaximumReceivedDataSizePerCommandMB, the default of a session configuration."""

_FRAGMENT: Final = 32_768  # what the PowerShell plug-in of Windows cuts its messages into
_WAITING: Final = 4 * 1024 * 1024  # bytes of output that wait to be fetched before the pipeline has to wait
_KEY_PATIENCE: Final = 10.0  # seconds for a client to take part in an exchange of keys that it was asked for
_REMEMBERED: Final = 10  # pipelines whose end was told, in case that a client asks for one a second time
_GLANCE: Final = 0.05  # seconds
_FOR_POOL: Final = frozenset(
    {
        Kind.PUBLIC_KEY,
        Kind.SET_MAX_RUNSPACES,
        Kind.SET_MIN_RUNSPACES,
        Kind.GET_AVAILABLE_RUNSPACES,
        Kind.RESET_RUNSPACE_STATE,
    }
)
"""What is said to a pool at any time, by whichever way it comes [MS-PSRP 2.2.1]."""
_VERSION: Final = "5.1.19041.1"
_PRIVATE_DATA: Final = messages.private_data(
    {
        "PSVersion": f'<Version N="Value">{_VERSION}</Version>',
        "PSEdition": '<S N="Value">Desktop</S>',
        "PSCompatibleVersions": '<Obj N="Value" RefId="3"><TN RefId="1"><T>System.Version[]</T><T>System.Array</T><T>System.Object</T></TN>'
        "<LST><Version>1.0</Version><Version>2.0</Version><Version>3.0</Version><Version>4.0</Version><Version>5.0</Version>"
        f"<Version>{_VERSION}</Version></LST></Obj>",
        "CLRVersion": '<Version N="Value">4.0.30319.42000</Version>',
        "BuildVersion": '<Version N="Value">10.0.19041.1</Version>',
        "WSManStackVersion": '<Version N="Value">3.0</Version>',
        "PSRemotingProtocolVersion": f'<Version N="Value">{messages.PROTOCOL_VERSION}</Version>',
        "SerializationVersion": '<Version N="Value">1.1.0.1</Version>',
    }
)


def _assemblers() -> dict[str, fragments.Assembler]:
    """One for each input stream: what a client's host answers overtakes what else the client says."""
    return {"stdin": fragments.Assembler(), "pr": fragments.Assembler()}


class _Input:
    """What a client pipes in, for the pipeline to walk while it still comes."""

    def __init__(self, stopped: Callable[[], bool]) -> None:
        self._changed = threading.Condition()
        self._items: deque[tuple[PSValue, int]] = deque()
        self._waiting = 0
        self._stopped = stopped
        self.complete = False

    def put(self, value: PSValue, size: int) -> None:
        """Raises `faults.Fault` where the input has ended, or more waits than is kept."""
        with self._changed:
            if self.complete:
                raise invalid_parameter("The pipeline's input has ended already.")
            if self._waiting + size > MAX_INPUT:
                raise invalid_parameter(f"More than {MAX_INPUT} bytes of input wait to be read.")
            self._items.append((value, size))
            self._waiting += size
            self._changed.notify_all()

    def finish(self) -> None:
        with self._changed:
            self.complete = True
            self._changed.notify_all()

    def wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def __iter__(self) -> Iterator[PSValue]:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._items or self.complete or self._stopped())
                if self._stopped():
                    raise PipelineStopped
                if not self._items:
                    return
                value, size = self._items.popleft()
                self._waiting -= size
            yield value


class _Pipeline(ShellCommand):
    """One command of a shell; to the machine its `PipelineIO`."""

    def __init__(self, shell: PsrpShell, command_id: str, pipeline_id: bytes) -> None:
        super().__init__(command_id)
        self.pipeline_id = pipeline_id
        self.created: messages.CreatePipeline | messages.GetMetadata | None = None
        self.begun = False
        self.input = _Input(self.stop_asked.is_set)
        self.assemblers = _assemblers()
        self._shell = shell
        self._answers: dict[int, messages.HostAnswer | None] = {}
        self._answered = threading.Condition()

    # --- PipelineIO -----------------------------------------------------------------------------------------------------

    def output(self, value: PSValue) -> None:
        self._say(Kind.PIPELINE_OUTPUT, clixml.write(value, self._close_secret))

    def error(self, record: ErrorRecord) -> None:
        self._say(Kind.ERROR_RECORD, messages.error_record(record, self._close_secret))

    def record(self, stream: StreamName, text: str) -> None:
        if stream is StreamName.INFORMATION and not self._shell.takes_information:
            return
        self._say(*messages.stream_record(stream, text, datetime.now().astimezone()))

    def progress(self, record: Progress) -> None:
        self._say(Kind.PROGRESS_RECORD, messages.progress_record(record))

    def host_write_line(self, text: str) -> None:
        self._say(Kind.PIPELINE_HOST_CALL, messages.text_call(HostMethod.WRITE_LINE, text))

    def host_write(self, text: str) -> None:
        self._say(Kind.PIPELINE_HOST_CALL, messages.text_call(HostMethod.WRITE, text))

    def host_write_error_line(self, text: str) -> None:
        self._say(Kind.PIPELINE_HOST_CALL, messages.text_call(HostMethod.WRITE_ERROR_LINE, text))

    def ask(self, question: Question) -> PSValue:
        if not self.has_host:
            raise HostFailed("The session has no host that could ask anybody.")
        call_id = self._shell.next_call()
        with self._answered:
            self._answers[call_id] = None
        self._say(Kind.PIPELINE_HOST_CALL, messages.question_call(call_id, question))
        with self._answered:
            self._answered.wait_for(lambda: self._answers[call_id] is not None or self.stop_asked.is_set())
            answer = self._answers.pop(call_id)
        if answer is None:
            raise PipelineStopped
        if answer.failure:
            raise HostFailed(answer.failure)
        if not messages.is_answer(question, answer.value):
            raise HostFailed("The host's answer is not one to what it was asked.")
        return answer.value

    @property
    def has_host(self) -> bool:
        if not isinstance(self.created, messages.CreatePipeline):
            return False
        return self._shell.has_host if self.created.has_host is None else self.created.has_host

    def wait(self, seconds: float) -> None:
        if self.stop_asked.wait(seconds):
            raise PipelineStopped

    # --- requests ---------------------------------------------------------------------------------------------------------

    def answer(self, said: messages.HostAnswer) -> None:
        """A host's answer; one to no question of ours is dropped."""
        with self._answered:
            if said.call_id in self._answers:
                self._answers[said.call_id] = said
                self._answered.notify_all()

    def ask_to_stop(self) -> None:
        """It may be far from its turn, or its message may never become complete: then it has stopped at once."""
        self.wake_to_stop()
        if not self.begun and not self.ended.is_set():
            self.end(PipelineState.STOPPED, messages.STOPPED)

    def wake_to_stop(self) -> None:
        """Say that it is to stop, to whatever in it waits."""
        super().ask_to_stop()
        self.input.wake()
        with self._answered:
            self._answered.notify_all()

    # --- its life ---------------------------------------------------------------------------------------------------------

    def execute(self, runspace: Runspace, ledger: Ledger) -> None:
        """Run to the end and say how it ended. Raises nothing."""
        failure: ErrorRecord | None = None
        try:
            failure = self._run(runspace, ledger)
        except PipelineStopped:
            self.end(PipelineState.STOPPED, messages.STOPPED)
            return
        except HostFailed as error:  # a secure string without a key
            failure = _remoting_failed(error.message)
        except Exception as error:  # noqa: BLE001 - the edge of the thread: whatever breaks in the machine, the client must hear of an end
            _LOG.error("pipeline %s: the machine raised %r", self.command_id, error)
            failure = ErrorRecord(
                message="The machine broke while it ran the pipeline.",
                exception_type="System.Management.Automation.RuntimeException",
                error_id="MachineBroke",
                category="InvalidResult",
            )
        self.end(PipelineState.COMPLETED if failure is None else PipelineState.FAILED, failure)

    def end(self, state: PipelineState, failure: ErrorRecord | None) -> None:
        """The last message, and the end of its output."""
        self._shell.post(Kind.PIPELINE_STATE, messages.pipeline_state(state, failure, self._close_secret), self)
        self.outbox.finish()
        self.ended.set()

    def _run(self, runspace: Runspace, ledger: Ledger) -> ErrorRecord | None:
        created = self.created
        if isinstance(created, messages.GetMetadata):
            found = [one for one in runspace.command_metadata(created.names) if created.wants(one)]
            self._say(Kind.PIPELINE_OUTPUT, messages.metadata_count(len(found)))
            for metadata in found:
                self._say(Kind.PIPELINE_OUTPUT, messages.command_metadata(metadata))
            return None
        assert created is not None
        request = PipelineRequest(
            commands=created.commands,
            input=self.input if created.has_input else (),
            has_input=created.has_input,
            add_to_history=created.add_to_history,
        )
        ledger.pipeline_started(_text(request))
        return runspace.run(request, self)

    def _say(self, kind: Kind, text: str) -> None:
        if self.stop_asked.is_set():
            raise PipelineStopped
        if not self._shell.drops_output:
            self.outbox.wait_for_room(_WAITING, lambda: self.stop_asked.is_set() or self._shell.drops_output)
        if self._shell.drops_output:
            self.outbox.make_room(_WAITING)
        self._shell.post(kind, text, self)

    def _close_secret(self, plain: str) -> str:
        return self._shell.key_for(self).close(plain)


def _remoting_failed(message: str) -> ErrorRecord:
    return ErrorRecord(
        message=message,
        exception_type="System.Management.Automation.Remoting.PSRemotingDataStructureException",
        error_id="PSRemotingDataStructureException",
        category="InvalidOperation",
    )


def _text(request: PipelineRequest) -> str:
    """The text of a pipeline as a person would have typed it, its arguments left out."""
    parts: list[str] = []
    for command in request.commands:
        parts += [command.text, "; " if command.end_of_statement else " | "]
    return "".join(parts[:-1])


class PsrpShell(Shell[_Pipeline]):
    """One PSRP shell: a runspace pool. `open_runspace` opens its first runspace, given the client's application arguments."""

    def __init__(
        self,
        *,
        shell_id: str,
        creation: bytes,
        budget: int,
        idle_timeout: float,
        open_runspace: Callable[[Mapping[str, PSValue]], Runspace],
        ledger: Ledger,
    ) -> None:
        super().__init__(shell_id=shell_id, idle_timeout=idle_timeout, signals=frozenset({SIGNAL_CTRL_C, SIGNAL_POWERSHELL_STOP}))
        self.takes_information = False
        self.has_host = False
        self._pool_id = UUID(shell_id).bytes_le
        self._fragment = min(_FRAGMENT, budget)
        self._numbers = count(1)
        self._calls = count(1)
        self._outbox = Outbox()
        self._assemblers = _assemblers()
        self._by_id: dict[bytes, _Pipeline] = {}
        self._queue: deque[_Pipeline] = deque()
        self._capability: messages.Capability | None = None
        self._size: tuple[int, int] | None = None  # least and most runspaces, once the client has said so
        self._key: SessionKey | None = None
        self._key_there = threading.Event()
        self._key_asked = False
        self._ledger = ledger
        self._open_runspace = open_runspace
        self._runspaces: list[Runspace] = []
        self._idle: list[Runspace] = []
        with self.lock:
            self._feed(self._assemblers["stdin"], creation, None)

    # --- for pipelines, from their threads --------------------------------------------------------------------------------

    def post(self, kind: Kind, text: str, pipeline: _Pipeline | None = None) -> None:
        """Cut a message into fragments, and into the outbox where its client looks for it."""
        outbox = self._outbox if pipeline is None else pipeline.outbox
        pipeline_id = None if pipeline is None else pipeline.pipeline_id
        outbox.put_all(fragments.cut(next(self._numbers), kind, self._pool_id, pipeline_id, text, self._fragment))

    def next_call(self) -> int:
        """A number for a call of the client's host."""
        return next(self._calls)

    def key_for(self, pipeline: _Pipeline) -> SessionKey:
        """The key for secure strings; the client is asked for its own where none was exchanged. Raises `PipelineStopped`."""
        if self._key is None:
            with self.lock:
                if not self._key_asked:
                    self._key_asked = True
                    self.post(Kind.PUBLIC_KEY_REQUEST, messages.PUBLIC_KEY_REQUEST)
            until = monotonic() + _KEY_PATIENCE
            while not self._key_there.wait(_GLANCE) and monotonic() < until:
                pipeline.wait(0)  # nobody waits for a stopped pipeline's secret
        if self._key is None:
            raise HostFailed("The client took no part in the exchange of keys, without which no secure string can be sent.")
        return self._key

    # --- requests ---------------------------------------------------------------------------------------------------------

    @property
    def process_id(self) -> int:
        """The pid of its host process, 0 while the client has not said enough to have one."""
        return self._runspaces[0].process_id if self._runspaces else 0

    def command(self, command_id: str, data: bytes) -> None:
        """Take the first fragments of a pipeline's message; it runs as soon as the message is complete and a runspace free.

        A CommandId is good for one pipeline: the same request again is refused, not run again.
        """
        with self.lock:
            self._check_usable()
            pipeline_id = fragments.pipeline_of(data)
            if len(pipeline_id) != 16 or self._size is None:
                raise invalid_parameter("The command's argument is not a PSRP fragment, or the runspace pool is not open yet.")
            if command_id in self._commands or pipeline_id in self._by_id:
                raise command_in_use(command_id)
            self._make_room()
            pipeline = _Pipeline(self, command_id, pipeline_id)
            self._commands[command_id] = self._by_id[pipeline_id] = pipeline
            self._feed(pipeline.assemblers["stdin"], data, pipeline)

    def send(self, command_id: str, data: bytes, stream: str) -> None:
        """Take more fragments, of the shell (`command_id` "") or one command."""
        with self.lock:
            self._check_usable()
            pipeline = self._find(command_id) if command_id else None
            self._feed((self._assemblers if pipeline is None else pipeline.assemblers)[stream], data, pipeline)

    def connect(self, session_id: str, data: bytes) -> bytes:
        """A client takes the shell over [MS-PSRP 3.1.5.4.8]; what it is told at once. The rest waits for its first Receive."""
        with self.lock:
            self._take_over(session_id)
            self._assemblers = _assemblers()
            try:
                found = [fragments.parse(whole) for whole in self._assemblers["stdin"].feed(data)]
                if [one.kind for one in found] != [Kind.SESSION_CAPABILITY, Kind.CONNECT_RUNSPACEPOOL] or self._size is None:
                    raise Malformed("not what a client connects with")
                self._capability = messages.capability(self._read(found[0]))
            except Malformed as error:
                raise invalid_parameter(f"The connectXml cannot be read: {error}.") from None
            self.takes_information = self._capability.takes_information
            said = ((Kind.SESSION_CAPABILITY, messages.SESSION_CAPABILITY), (Kind.RUNSPACEPOOL_INIT_DATA, messages.pool_size(*self._size)))
            answer = [fragments.cut(next(self._numbers), kind, self._pool_id, None, text, _FRAGMENT) for kind, text in said]
            self._outbox.empty()
            self._welcome()
        return b"".join(piece for pieces in answer for piece in pieces)

    # --- inside; the lock is held -----------------------------------------------------------------------------------------

    def _welcome(self) -> None:
        self.post(Kind.APPLICATION_PRIVATE_DATA, _PRIVATE_DATA)
        self.post(Kind.RUNSPACEPOOL_STATE, messages.pool_state(PoolState.OPENED))

    def _make_room(self) -> None:
        """Forget pipelines whose end was told: clients that never signal one would leave them for ever."""
        told = [pipeline for pipeline in self._commands.values() if pipeline.is_told]
        for pipeline in told[:-_REMEMBERED]:
            self._forget(pipeline)
        if len(self._commands) >= MAX_PIPELINES:
            raise too_many_operations()

    def _forget(self, command: _Pipeline) -> None:
        super()._forget(command)
        self._by_id.pop(command.pipeline_id, None)
        with suppress(ValueError):
            self._queue.remove(command)

    def _shell_outbox(self) -> Outbox:
        return self._outbox

    def _shell_outboxes(self) -> tuple[Outbox, ...]:
        return (self._outbox,)

    def _feed(self, assembler: fragments.Assembler, data: bytes, pipeline: _Pipeline | None) -> None:
        try:
            for whole in assembler.feed(data):
                message = fragments.parse(whole)
                # Some clients send what their hosts answer in the pool's name; whose it is stands in the message itself.
                # And some send what is for the pool as input of a command: for whom a message is, its kind says.
                whose = None if message.kind in _FOR_POOL else pipeline or self._by_id.get(message.pipeline)
                if whose is None:
                    self._take(message.kind, self._read(message))
                else:
                    self._take_for(whose, message.kind, self._read(message), len(whole))
        except Malformed as error:
            raise Broken(f"The PowerShell plug-in cannot read the message: {error}.") from None

    def _read(self, message: fragments.Message) -> PSValue:
        return clixml.read(message.data, self._open_secret) if message.data else None

    def _open_secret(self, text: str) -> str:
        if self._key is None:
            raise Malformed("a secure string before an exchange of keys")
        return self._key.open(text)

    def _take(self, kind: int, value: PSValue) -> None:
        """A message for the pool."""
        match kind:
            case Kind.SESSION_CAPABILITY if self._capability is None:
                self._capability = messages.capability(value)
                self.takes_information = self._capability.takes_information
                self.post(Kind.SESSION_CAPABILITY, messages.SESSION_CAPABILITY)
            case Kind.INIT_RUNSPACEPOOL if self._capability is not None and self._size is None:
                opening = messages.init_pool(value)
                self._runspaces = [self._open_runspace(opening.arguments)]
                self._idle = list(self._runspaces)
                self._size = opening.min_runspaces, opening.max_runspaces
                self.has_host = opening.has_host
                self._welcome()
            case Kind.PUBLIC_KEY:
                key = self._key or SessionKey()
                self.post(Kind.ENCRYPTED_SESSION_KEY, messages.session_key(key.wrapped(messages.public_key(value))))
                self._key = key
                self._key_there.set()
            case Kind.SET_MAX_RUNSPACES | Kind.SET_MIN_RUNSPACES | Kind.GET_AVAILABLE_RUNSPACES | Kind.RESET_RUNSPACE_STATE:
                call = messages.pool_call(value)
                self.post(Kind.RUNSPACE_AVAILABILITY, messages.availability(call.call_id, self._manage(kind, call.count)))
            case Kind.RUNSPACEPOOL_HOST_RESPONSE | Kind.PIPELINE_HOST_RESPONSE:
                pass  # nothing is asked in a pool's name, and who asked may be gone
            case _:
                raise Malformed("a message that is not for a pool in its state")

    def _manage(self, kind: int, size: int) -> bool | int:
        """What a question about the pool is answered with."""
        if self._size is None:
            return False
        low, high = self._size
        running = sum(pipeline.begun and not pipeline.ended.is_set() for pipeline in self._commands.values())
        match kind:
            case Kind.GET_AVAILABLE_RUNSPACES:
                return max(high - running, 0)
            case Kind.SET_MAX_RUNSPACES if size >= max(low, 1) and size != high:
                self._size = low, size
                self._start_next()
                return True
            case Kind.SET_MIN_RUNSPACES if 1 <= size <= high and size != low:
                self._size = size, high
                return True
            case Kind.RESET_RUNSPACE_STATE if not running:
                for runspace in self._runspaces:
                    runspace.reset()
                return True
        return False

    def _take_for(self, pipeline: _Pipeline, kind: int, value: PSValue, size: int) -> None:
        """A message for a pipeline."""
        match kind:
            case Kind.CREATE_PIPELINE | Kind.GET_COMMAND_METADATA if pipeline.created is None:
                creating = kind == Kind.CREATE_PIPELINE
                pipeline.created = messages.create_pipeline(value) if creating else messages.get_metadata(value)
                if not pipeline.stop_asked.is_set():
                    self._queue.append(pipeline)
                    self._start_next()
            case Kind.PIPELINE_INPUT if isinstance(pipeline.created, messages.CreatePipeline) and pipeline.created.has_input:
                if not pipeline.ended.is_set():
                    pipeline.input.put(value, size)
            case Kind.END_OF_PIPELINE_INPUT if pipeline.created is not None:
                pipeline.input.finish()
            case Kind.PIPELINE_HOST_RESPONSE:
                pipeline.answer(messages.host_answer(value))
            case _:
                raise Malformed("a message that is not for a pipeline in its state")

    # --- who runs where; the lock is held ---------------------------------------------------------------------------------

    def _start_next(self) -> None:
        """Begin what waits, as far as there is room."""
        assert self._size is not None
        most = min(self._size[1], MAX_AT_ONCE)
        while self._queue and not self._closed and len(self._runspaces) - len(self._idle) < most:
            pipeline = self._queue.popleft()
            if pipeline.stop_asked.is_set():
                continue
            if not self._idle:
                self._runspaces.append(self._runspaces[0].another())
                self._idle.append(self._runspaces[-1])
            runspace = self._idle.pop()
            pipeline.begun = True
            threading.Thread(
                target=self._work, args=(pipeline, runspace), name=f"winrm-pipeline-{pipeline.command_id}", daemon=True
            ).start()

    def _work(self, pipeline: _Pipeline, runspace: Runspace) -> None:
        """A thread's life: a pipeline, then whatever has waited for the runspace."""
        current: _Pipeline | None = pipeline
        while current is not None:
            current.execute(runspace, self._ledger)
            with self.lock:
                current = self._next_for(runspace)

    def _next_for(self, runspace: Runspace) -> _Pipeline | None:
        assert self._size is not None
        while self._queue and not self._closed and len(self._runspaces) - len(self._idle) <= self._size[1]:
            pipeline = self._queue.popleft()
            if not pipeline.stop_asked.is_set():
                pipeline.begun = True
                return pipeline
        self._idle.append(runspace)
        return None

    def _shut(self, commands: list[_Pipeline]) -> None:
        self._outbox.abort()
        for pipeline in commands:
            pipeline.wake_to_stop()
            if not pipeline.begun:
                pipeline.ended.set()
        if all(pipeline.ended.is_set() for pipeline in commands):
            self._end([])
        else:
            threading.Thread(target=self._end, args=(commands,), name=f"winrm-shell-{self.shell_id}", daemon=True).start()

    def _end(self, commands: list[_Pipeline]) -> None:
        for pipeline in commands:
            pipeline.ended.wait()
        try:
            for runspace in reversed(self._runspaces):
                runspace.close()
        except Exception as error:  # noqa: BLE001 - the edge of the thread: nobody is left to tell
            _LOG.error("shell %s: the machine raised %r at its close", self.shell_id, error)
        self._ended.set()
