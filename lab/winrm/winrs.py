"""Command shells (WinRS) and their command lines: streams of bytes to the wire, text to the machine [MS-WSMV 3.1.4.11 to 3.1.4.14].

Knows no sockets, no SOAP envelopes, no accounts, and nothing of cmd.exe. Each command line has a thread of its own: the one that waits for
its input must not keep the next from running.
"""

from __future__ import annotations

import codecs
import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import Final

from lab.machine import CommandLine, CommandShell, PipelineStopped
from lab.winrm.faults import code_page_not_supported, command_in_use, command_not_found, invalid_parameter, too_many_operations
from lab.winrm.outbox import Outbox
from lab.winrm.shell import Ledger, Shell, ShellCommand
from lab.winrm.wsman import SIGNAL_CTRL_BREAK, SIGNAL_CTRL_C

_LOG = logging.getLogger(__name__)

MAX_INPUT: Final = 4_194_304
"""Characters of standard input that wait to be read, or that make up one line."""

_CHUNK: Final = 4_096  # bytes in one piece of output: fits into the smallest envelope that a client may ask for
_PIPE: Final = 1_048_576  # bytes of output that wait to be fetched before the command has to wait
_STOPPED: Final = -1_073_741_510  # STATUS_CONTROL_C_EXIT, as a process ends with that Ctrl-C killed
_BROKE: Final = -1


class _Line(ShellCommand):
    """One command line; to the machine its `CommandIO`."""

    def __init__(self, command_id: str, line: CommandLine, codec: codecs.CodecInfo) -> None:
        super().__init__(command_id)
        self._line = line
        self._codec = codec
        self._decoder = codec.incrementaldecoder("replace")
        self._arrived = threading.Condition()
        self._lines: deque[str] = deque()
        self._open = ""
        self._waiting = 0
        self._no_more = False
        self._code: int | None = None

    @property
    def exit_code(self) -> int | None:
        return self._code

    # --- the client's side ------------------------------------------------------------------------------------------------

    def feed(self, data: bytes, *, end: bool) -> None:
        """Standard input. Faults once it has ended, and where more of it waits than is kept."""
        with self._arrived:
            if self._no_more:
                raise invalid_parameter("Standard input has ended already.")
            text = self._decoder.decode(data, end)
            if self._waiting + len(text) > MAX_INPUT:
                raise invalid_parameter(f"More than {MAX_INPUT} characters of standard input wait to be read.")
            self._waiting += len(text)
            *whole, self._open = (self._open + text).split("\n")
            self._lines += whole
            if end:
                self._no_more = True
                if self._open:
                    self._lines.append(self._open)
            self._arrived.notify_all()

    def ask_to_stop(self) -> None:
        super().ask_to_stop()
        with self._arrived:
            self._arrived.notify_all()

    # --- CommandIO --------------------------------------------------------------------------------------------------------

    def stdout(self, text: str) -> None:
        self._say(text, "stdout")

    def stderr(self, text: str) -> None:
        self._say(text, "stderr")

    def read_line(self) -> str | None:
        with self._arrived:
            self._arrived.wait_for(lambda: self._lines or self._no_more or self.stop_asked.is_set())
            self._check()
            if not self._lines:
                return None
            line = self._lines.popleft()
            self._waiting -= len(line) + 1
            return line.removesuffix("\r")

    def wait(self, seconds: float) -> None:
        self.stop_asked.wait(seconds)
        self._check()

    def _say(self, text: str, stream: str) -> None:
        self._check()
        data, _ = self._codec.encode(text, "replace")
        for start in range(0, len(data), _CHUNK):
            self.outbox.wait_for_room(_PIPE, self.stop_asked.is_set)
            self.outbox.put(data[start : start + _CHUNK], stream)

    def _check(self) -> None:
        if self.stop_asked.is_set():
            raise PipelineStopped

    # --- its life, on a thread of its own ---------------------------------------------------------------------------------

    def execute(self, shell: CommandShell) -> None:
        """Run to the end. Raises nothing."""
        try:
            self._code = shell.run(self._line, self)
        except PipelineStopped:
            self._code = _STOPPED
        except Exception as error:  # noqa: BLE001 - the edge of the thread: whatever breaks in the machine, the client must hear of an end
            _LOG.error("command %s: the machine raised %r", self.command_id, error)
            self._code = _BROKE
        self.outbox.finish()
        self.ended.set()


class WinrsShell(Shell[_Line]):
    """One command shell. Raises `faults.Fault` for a code page that is none."""

    def __init__(
        self,
        *,
        shell_id: str,
        idle_timeout: float,
        code_page: int,
        max_commands: int,
        open_shell: Callable[[], CommandShell],
        ledger: Ledger,
    ) -> None:
        super().__init__(shell_id=shell_id, idle_timeout=idle_timeout, signals=frozenset({SIGNAL_CTRL_C, SIGNAL_CTRL_BREAK}))
        try:
            self._codec = codecs.lookup("utf-8" if code_page == 65001 else f"cp{code_page}")
        except LookupError:
            raise code_page_not_supported(code_page) from None
        self._max_commands = max_commands
        self._ledger = ledger
        self._shell = open_shell()

    @property
    def process_id(self) -> int:
        """The pid of its host process."""
        return self._shell.process_id

    def command(self, command_id: str, text: str, *, skip_shell: bool) -> None:
        """Start a command line. A CommandId is good for one: the same request again is refused, not run again."""
        with self.lock:
            self._check_open()
            if command_id in self._commands:
                raise command_in_use(command_id)
            if not text:
                raise invalid_parameter("The command is empty.")
            self._make_room()
            line = _Line(command_id, CommandLine(text=text, skip_shell=skip_shell), self._codec)
            self._commands[command_id] = line
        self._ledger.pipeline_started(text)
        threading.Thread(target=line.execute, args=(self._shell,), name=f"winrs-{command_id}", daemon=True).start()

    def send(self, command_id: str, data: bytes, *, end: bool) -> None:
        """Standard input of a command."""
        with self.lock:
            self._check_open()
            line = self._find(command_id)
        line.feed(data, end=end)

    def _make_room(self) -> None:
        # Clients that never signal an end (Windows' own terminates each command) leave commands that nobody will ask for.
        if len(self._commands) < self._max_commands:
            return
        ended = next((line for line in self._commands.values() if line.ended.is_set()), None)
        if ended is None:
            raise too_many_operations()
        self._forget(ended)

    def _shell_outbox(self) -> Outbox:
        raise command_not_found("")

    def _shut(self, commands: list[_Line]) -> None:
        for line in commands:
            line.ask_to_stop()
        threading.Thread(target=self._end, args=(commands,), name=f"winrm-shell-{self.shell_id}", daemon=True).start()

    def _end(self, commands: list[_Line]) -> None:
        for line in commands:
            line.ended.wait()
        try:
            self._shell.close()
        except Exception as error:  # noqa: BLE001 - the edge of the thread: nobody is left to tell
            _LOG.error("shell %s: the machine raised %r at its close", self.shell_id, error)
        self._ended.set()
