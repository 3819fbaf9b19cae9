"""pywinrm, driven: one shell over a line of its own, each request sent once.

Its `Protocol` makes and reads the messages; they travel over our line, which authenticates and encrypts. It runs one command and knows
nothing of steps; every exception that leaves it is one of `harness.errors`.
"""

from __future__ import annotations

import codecs
import xml.etree.ElementTree as ET
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from pypsrp.exceptions import WinRMTransportError as Answered
from pypsrp.wsman import WSMan
from winrm.exceptions import WinRMOperationTimeoutError, WinRMTransportError
from winrm.protocol import Protocol
from winrm.transport import Transport

from harness.errors import ConnectFailed, TransportError
from harness.model.intent import Action, WinRS
from harness.transports.line import Line

_SHELL = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell"

# Input in one message: in base64, within the smallest envelope that Windows is set to (150 KiB).
_INPUT = 65_536

# Between a Receive that found nothing and the next the line is asked whether the step still has time.
_POLL = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """A command line that ended: what it wrote, decoded, and its exit code as Windows' tools show it, from -2**31 on."""

    output: str
    errors: str
    exit_code: int


class Client:
    """One shell on one target: opened once, closed once, nothing kept alive behind it. Not shared between threads."""

    def __init__(self, line: Line, action: Action) -> None:
        self.line = line
        self._asked = action if isinstance(action, WinRS) else WinRS(command="")
        self._carrier = _Carrier()
        self._protocol = _Protocol(self._carrier, min(_POLL, line.operation_timeout), line.locale)
        self._shell = ""
        self._command = ""
        self._closed = False
        self.process_id: int | None = None
        """The pid of the shell's host process (winrshost.exe), as Windows 10 and Server 2016 tell it of a new shell; None where unknown."""

    def open(self) -> None:
        """Connect, authenticate, open the shell. Raises `TransportError`."""
        asked = self._asked
        self.line.arm(self.line.timeouts.open)
        with self.line.foreign_errors():
            self._carrier.wsman = self.line.connect()
            self._shell = self._protocol.open_shell(
                working_directory=asked.directory or None,
                env_vars=dict(asked.environment) or None,
                codepage=asked.code_page,
            )
            told = ET.fromstring(self._carrier.answer).findtext(f".//{{{_SHELL}}}ProcessId", "").strip()  # noqa: S314 - read already
        self.process_id = int(told) if told.isascii() and told.isdigit() and len(told) < 11 else None
        self.line.seal()

    def run(self) -> Finished:
        """Run the line to its end. Raises `TransportError`; a command that fails is none."""
        decoder = codecs.lookup("utf-8" if self._asked.code_page == 65001 else f"cp{self._asked.code_page}")
        out, err = decoder.incrementaldecoder("replace"), decoder.incrementaldecoder("replace")
        output: list[str] = []
        errors: list[str] = []
        done, code = False, 0
        with self.line.foreign_errors():
            self._command = self._protocol.run_command(self._shell, self._asked.command, console_mode_stdin=not self._asked.stdin)
            self._feed(self._asked.stdin.encode(decoder.name, "replace"))
            while not done:
                self.line.check()
                with suppress(WinRMOperationTimeoutError):  # nothing was said in that time: ask again
                    said, wrong, code, done = self._protocol.get_command_output_raw(self._shell, self._command)
                    output.append(out.decode(said, done))
                    errors.append(err.decode(wrong, done))
        # It has ended and what it said is known: a connection that breaks while the target is told to forget it takes nothing back.
        command, self._command = self._command, ""
        with suppress(TransportError), self.line.foreign_errors():
            self._protocol.cleanup_command(self._shell, command)
        return Finished(output="".join(output), errors="".join(errors), exit_code=code if code < 2**31 else code - 2**32)

    def _feed(self, data: bytes) -> None:
        for start in range(0, len(data), _INPUT):
            end = start + _INPUT
            self._protocol.send_command_input(self._shell, self._command, data[start:end], end=end >= len(data))

    def stop(self) -> None:
        """Stop what is running, in bounded time, on a new connection; never raises.

        A command whose start was not answered has no name that we know: it ends with its shell.
        """
        if not self._shell:
            return
        with suppress(TransportError):
            self._reconnect(self.line.timeouts.stop)
            with self.line.foreign_errors():
                if self._command:
                    self._protocol.cleanup_command(self._shell, self._command)
                else:
                    self._protocol.close_shell(self._shell, close_session=False)
                    self._shell = ""

    def close(self) -> None:
        """End the shell and every connection, in bounded time; never raises."""
        if self._closed:
            return
        self._closed = True
        with suppress(TransportError):
            if self._shell and self.line.reachable(self._reconnect):
                self.line.arm(self.line.timeouts.close)
                with self.line.foreign_errors():
                    self._protocol.close_shell(self._shell, close_session=False)
        self.line.close()

    def _reconnect(self, seconds: float) -> None:
        self._carrier.wsman = self.line.reconnect(seconds)


class _Carrier(Transport):
    """What pywinrm sends its messages by: ours, in place of its own."""

    def __init__(self) -> None:
        # Not its own: that one wants credentials, and looks into the environment.
        self.wsman: WSMan | None = None
        self.answer = b""

    def send_message(self, message: str | bytes) -> bytes:
        if self.wsman is None:
            raise ConnectFailed("the session was never opened")
        try:
            self.answer = self.wsman.transport.send(message.encode() if isinstance(message, str) else message)
        except Answered as answer:
            # As pywinrm's own would say it: it looks for the fault in there.
            raise WinRMTransportError("http", answer.code, answer.response_text) from None
        return self.answer


class _Protocol(Protocol):
    """pywinrm's messages in the language asked for."""

    def __init__(self, carrier: Transport, operation_timeout: int, locale: str) -> None:
        # Not its own, which makes a transport from credentials.
        self.transport = carrier
        self.operation_timeout_sec = operation_timeout
        self.locale = locale

    def build_wsman_header(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        made = super().build_wsman_header(*args, **kwargs)
        for name in ("w:Locale", "p:DataLocale"):
            made["env:Header"][name]["@xml:lang"] = self.locale
        return made
