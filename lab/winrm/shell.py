"""What every remote shell is, whatever runs in it: commands with outboxes, signals, idleness, one end. [MS-WSMV 3.1.4.5]

It knows neither PSRP nor cmd.exe, no sockets, no SOAP envelopes and no accounts.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from time import monotonic
from typing import Generic, Protocol, TypeVar

from lab.winrm.faults import (
    command_not_found,
    connected_elsewhere,
    disconnected,
    invalid_parameter,
    not_connected,
    not_disconnected,
    session_mismatch,
    shell_not_found,
    stream_disconnected,
    timed_out,
)
from lab.winrm.outbox import Outbox, Piece
from lab.winrm.wsman import SIGNAL_TERMINATE, BufferMode


class Ledger(Protocol):
    """Who counts what a shell ran."""

    def pipeline_started(self, script: str) -> None:
        """A pipeline or command line with this text goes to the machine, now and never again."""


class ShellCommand:
    """One command of a shell: what it said and has not been fetched, and whether it is to stop or has ended."""

    def __init__(self, command_id: str) -> None:
        self.command_id = command_id
        self.outbox = Outbox()
        self.stop_asked = threading.Event()
        self.ended = threading.Event()
        self.is_told = False  # its client has fetched its end

    def ask_to_stop(self) -> None:
        """The client wants its end. The shell's lock is held."""
        self.stop_asked.set()

    @property
    def exit_code(self) -> int | None:
        """What it ended with, where such a command has a code."""
        return None


C = TypeVar("C", bound=ShellCommand)


class Shell(ABC, Generic[C]):
    """A shell. Every public method may be called from any thread, and raises `faults.Fault` as the wire needs it."""

    def __init__(self, *, shell_id: str, idle_timeout: float, signals: frozenset[str]) -> None:
        self.shell_id = shell_id
        self.idle_timeout = idle_timeout
        self.lock = threading.Lock()
        self._signals = signals | {SIGNAL_TERMINATE}
        self._commands: dict[str, C] = {}
        self._closed = False
        self._ended = threading.Event()
        self._requests = 0
        self._last_used = self._opened = monotonic()
        self._session_id = ""
        self._connected = True
        self._first_idle_timeout = idle_timeout
        self.buffer_mode = BufferMode.BLOCK

    # --- requests ---------------------------------------------------------------------------------------------------------

    def receive(
        self,
        command_id: str,
        budget: int,
        timeout: float,
        still_there: Callable[[], bool],
        streams: tuple[str, ...] = ("stdout",),
    ) -> tuple[tuple[Piece, ...], bool, int | None]:
        """Wait for output of some streams: pieces, whether they are the last, and the exit code then. Raises what `Outbox.take` does."""
        with self.lock:
            self._check_usable()
            command = self._find(command_id) if command_id else None
            outbox = self._shell_outbox() if command is None else command.outbox
        taken = outbox.take(budget, timeout, still_there, streams)
        if taken is None:
            raise timed_out()
        pieces, done = taken
        if command is not None and done:
            command.is_told = True
        return pieces, done, command.exit_code if command is not None and done else None

    def signal(self, command_id: str, code: str, timeout: float) -> None:
        """Stop a command, and with the terminate code forget it. Answers once it has ended, or faults after `timeout` seconds."""
        with self.lock:
            self._check_usable()
            command = self._find(command_id)
        if code not in self._signals:
            raise invalid_parameter(f"There is no signal {code}.")
        with self.lock:
            command.ask_to_stop()
        if not command.ended.wait(timeout):
            raise timed_out()
        if code == SIGNAL_TERMINATE:
            with self.lock:
                self._forget(command)
            command.outbox.abort()

    # --- being disconnected [MS-WSMV 3.1.4.13 to 3.1.4.15] ----------------------------------------------------------------

    def belongs_to(self, session_id: str) -> None:
        """Say whose shell it is: the SessionId of the client that opened it, "" where it told none."""
        self._session_id = session_id

    @property
    def is_connected(self) -> bool:
        """Whether a client has it."""
        return self._connected

    @property
    def drops_output(self) -> bool:
        """Whether output that nobody fetches is thrown away, as a client may have asked for when it left."""
        return not self._connected and self.buffer_mode is BufferMode.DROP

    def disconnect(self, session_id: str, idle_timeout: float | None, buffer_mode: BufferMode | None) -> None:
        """The client leaves what runs to itself. Whoever waits for output of it is told so."""
        with self.lock:
            self._check_open()
            if not self._connected:
                raise not_connected()
            self._check_session(session_id)
            self._connected = False
            if idle_timeout is not None:
                self.idle_timeout = idle_timeout
            if buffer_mode is not None:
                self.buffer_mode = buffer_mode
            waiting = [command.outbox for command in self._commands.values()]
        for outbox in [*self._shell_outboxes(), *waiting]:
            outbox.interrupt(stream_disconnected())

    def reconnect(self, session_id: str) -> None:
        """The client that left comes back."""
        with self.lock:
            self._check_open()
            if self._connected:
                raise not_disconnected()
            self._check_session(session_id)
            self._connect()

    def has_command(self, command_id: str) -> None:
        """Whether there is such a command. Faults where there is none."""
        with self.lock:
            self._check_usable()
            self._find(command_id)

    def commands(self) -> list[tuple[str, bool]]:
        """Ids of the commands that somebody may still want to hear of, and whether they have ended."""
        with self.lock:
            return [(command.command_id, command.ended.is_set()) for command in self._commands.values() if not command.is_told]

    def age(self) -> float:
        """Seconds since it was opened."""
        return monotonic() - self._opened

    def close(self) -> None:
        """End everything. Returns at once; what runs is told to stop, and the machine's side is closed after it."""
        with self.lock:
            if self._closed:
                return
            self._closed = True
            commands = list(self._commands.values())
        for command in commands:
            command.stop_asked.set()
            command.outbox.abort()
        self._shut(commands)

    def wait_closed(self, timeout: float) -> bool:
        """Wait up to `timeout` seconds for the end of the machine's side."""
        return self._ended.wait(timeout)

    # --- idleness ---------------------------------------------------------------------------------------------------------

    def begin_request(self) -> None:
        """A client asks for something: the shell is not idle while it waits."""
        with self.lock:
            self._requests += 1

    def end_request(self) -> None:
        """... and has its answer."""
        with self.lock:
            self._requests -= 1
            self._last_used = monotonic()

    def idle_for(self) -> float:
        """Seconds since any client last wanted something."""
        with self.lock:
            return 0.0 if self._requests else monotonic() - self._last_used

    # --- for the kinds of shell; the lock is held -------------------------------------------------------------------------

    def _check_open(self) -> None:
        if self._closed:
            raise shell_not_found(self.shell_id)

    def _check_usable(self) -> None:
        self._check_open()
        if not self._connected:
            raise disconnected()

    def _check_session(self, session_id: str) -> None:
        if session_id != self._session_id:
            raise session_mismatch()

    def _take_over(self, session_id: str) -> None:
        """A client, who may be another, connects."""
        self._check_open()
        if self._connected and session_id != self._session_id:
            raise connected_elsewhere()
        self._session_id = session_id
        self._connect()

    def _connect(self) -> None:
        self._connected = True
        self.idle_timeout = self._first_idle_timeout
        for outbox in [*self._shell_outboxes(), *(command.outbox for command in self._commands.values())]:
            outbox.interrupt(stream_disconnected())  # who still waits from before has been left behind

    def _find(self, command_id: str) -> C:
        command = self._commands.get(command_id)
        if command is None:
            raise command_not_found(command_id)
        return command

    def _forget(self, command: C) -> None:
        self._commands.pop(command.command_id, None)

    @abstractmethod
    def _shell_outbox(self) -> Outbox:
        """What a Receive without a command waits at."""

    def _shell_outboxes(self) -> tuple[Outbox, ...]:
        """What belongs to no command, where a shell of this kind has such a thing."""
        return ()

    @abstractmethod
    def _shut(self, commands: list[C]) -> None:
        """Close the machine's side once `commands` have ended, then set `_ended`. The lock is not held; must not wait."""
