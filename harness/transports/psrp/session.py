"""A session for one action: how each action is played on the wire, and what its pipelines said, as facts.

It knows no socket and no exception but our own; `client` drives the protocol.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from threading import Event
from typing import Any

from harness.errors import ProtocolFailure, Refused
from harness.model.facts import Execution, Footprint, Identity, StreamKind, StreamRecord
from harness.model.intent import Action, Connect, EnterPSSession, InvokeCommand, WinRS
from harness.ports import Clock
from harness.transports.line import seen_sockets
from harness.transports.psrp import values
from harness.transports.psrp.client import Client, Command, Finished
from harness.transports.psrp.identity import EXPRESSION, Answer, read_answer
from harness.transports.psrp.typed_line import as_command

# The commands without which PowerShell's client does not enter a session; it asks for both before anything else.
_NEEDED = ("Out-Default", "Exit-PSSession")

_OUT_DEFAULT = Command(text="Out-Default", is_script=False, use_local_scope=True)
_PROMPT = Command(text="prompt", is_script=False)
_EXIT = "Exit-PSSession"


class PsrpSession:
    """`harness.ports.Session` over a client that is open."""

    def __init__(self, *, client: Client, action: Action, seen_from: str | None, clock: Clock) -> None:
        self._client = client
        self._action = action
        self._seen_from = seen_from
        self._scrub = client.line.scrub
        self._clock = clock
        self._answer: Answer | None = None

    def run(self, timeout: float, cancel: Event) -> Execution:
        """See `harness.ports.Session.run`."""
        self._client.line.arm(timeout, cancel)
        with self._client.stopping():
            match self._action:
                case EnterPSSession():
                    return enter(self._client, self._action.lines, self._scrub)
                case InvokeCommand():
                    return self._call(self._action)
                case Connect():
                    return Execution()
                case WinRS():
                    raise Refused("a command line of a remote shell is nothing for PowerShell Remoting")

    def identify(self) -> Footprint:
        """See `harness.ports.Session.identify`."""
        self._client.line.arm(self._client.line.timeouts.identify)
        started_at = self._clock.now()
        finished = self._client.invoke([Command(text=EXPRESSION, is_script=True)])
        finished_at = self._clock.now()
        said = "\n".join(values.text(item) for item in finished.output)
        try:
            answer = read_answer(said)
        except ValueError:
            trouble = said or "; ".join(values.error_text(record) for record in finished.streams.error)
            raise ProtocolFailure(self._scrub(f"the session does not tell its identity: {trouble[:200]}")) from None
        self._answer = answer
        return Footprint(script=EXPRESSION, started_at=started_at, finished_at=finished_at, target_time=answer.time)

    @property
    def exit_code(self) -> int | None:
        """See `harness.ports.Session.exit_code`."""
        return self._answer.exit_code if self._answer is not None else None

    @property
    def identity(self) -> Identity:
        """See `harness.ports.Session.identity`."""
        sockets = seen_sockets(self._client.line.sockets, self._seen_from)
        if self._answer is None:
            return Identity(sockets=sockets)
        return self._answer.identity(sockets=sockets)

    def close(self) -> None:
        """See `harness.ports.Session.close`."""
        self._client.close()

    def _call(self, action: InvokeCommand) -> Execution:
        parameters = [(name, values.argument(value)) for name, value in action.arguments.items()]
        finished = self._client.invoke([Command(text=action.script, is_script=True, parameters=parameters)])
        gathered = Gathered(self._scrub)
        gathered.add(finished, *self._client.console.take())
        return gathered.execution(["script"])


def enter(client: Client, lines: Sequence[str], scrub: Callable[[str], str]) -> Execution:
    """What the console does in a session that it has entered: ask for the prompt, send the line, until `exit`.

    Raises `TransportError`.
    """
    if client.commands_known(_NEEDED) < len(_NEEDED):
        raise Refused(f"the session cannot be entered: it lacks one of {', '.join(_NEEDED)}")
    gathered = Gathered(scrub)
    forms: list[str] = []
    for line in lines:
        if line.strip().lower() == "exit":
            break
        if not line.strip():
            continue
        command = _typed(line)
        forms.append("script" if command.is_script else "command")
        _type(client, command, gathered)
        if gathered.terminated:
            break
    _type(client, Command(text=_EXIT, is_script=False, errors_to_output=True), Gathered(scrub))
    return gathered.execution(forms)


def _type(client: Client, command: Command, gathered: Gathered) -> None:
    client.invoke([_PROMPT])
    _, told = client.console.take()
    gathered.tell(told)
    finished = client.invoke([command, _OUT_DEFAULT], add_to_history=True)
    gathered.add(finished, *client.console.take())


def _typed(line: str) -> Command:
    command = as_command(line)
    if command is None:
        return Command(text=line, is_script=True, errors_to_output=True)
    parameters = [(argument.name, argument.value) for argument in command.arguments]
    return Command(text=command.name, is_script=False, parameters=parameters, errors_to_output=True)


class Gathered:
    """What the pipelines of one action said, gathered in order."""

    def __init__(self, scrub: Callable[[str], str]) -> None:
        self._scrub = scrub
        self._output: list[str] = []
        self._records: list[StreamRecord] = []
        self.terminated = ""

    def add(self, finished: Finished, lines: Iterable[str], told: Iterable[StreamRecord]) -> None:
        self._output += [self._scrub(values.text(item)) for item in finished.output]
        self._output += [self._scrub(line) for line in lines]
        self.tell(told)
        streams = finished.streams
        for error in streams.error:
            self._add(StreamKind.ERROR, values.error_text(error), values.error_id(error))
        for kind, records in (
            (StreamKind.WARNING, streams.warning),
            (StreamKind.VERBOSE, streams.verbose),
            (StreamKind.DEBUG, streams.debug),
        ):
            for record in records:
                self._add(kind, values.text(record.message))
        for information in streams.information:
            self._add(StreamKind.INFORMATION, values.text(information.message_data))
        if finished.failed:
            last: Any = streams.error[-1] if streams.error else None
            self.terminated = self._scrub(values.error_text(last)) if last is not None else "the pipeline ended without telling why"

    def tell(self, told: Iterable[StreamRecord]) -> None:
        self._records += [StreamRecord(stream=record.stream, text=self._scrub(record.text)) for record in told]

    def execution(self, forms: Sequence[str]) -> Execution:
        return Execution(output=tuple(self._output), records=tuple(self._records), terminated=self.terminated, forms=tuple(forms))

    def _add(self, stream: StreamKind, text: str, error_id: str = "") -> None:
        self._records.append(StreamRecord(stream=stream, text=self._scrub(text), error_id=error_id))
