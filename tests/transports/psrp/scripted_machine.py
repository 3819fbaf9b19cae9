"""A machine behind a real endpoint that does what a test wrote down, and the transport that talks to it.

It answers the harness's own identity expression and `prompt`, and everything else from a table by the first command's text.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from uuid import UUID

from harness.clock import SystemClock
from harness.model.intent import Auth, Channel, Target
from harness.ports import Clock
from harness.transports.credential import Credential, Timeouts
from harness.transports.psrp.identity import EXPRESSION
from harness.transports.winrm import WinrmTransport
from lab.machine import (
    Account,
    Claim,
    CommandMetadata,
    CommandShell,
    ErrorRecord,
    Package,
    Peer,
    PipelineIO,
    PipelineRequest,
    PipelineStopped,
    PSValue,
    ShellName,
)
from lab.machine import Credential as Delegated
from lab.winrm import Endpoint, EndpointAccount

USER = "LAB\\purple"
PASSWORD = "S3cret:pässword-nobody-says"
HOST_ID = UUID("2f6b7a4e-8c1d-4f7e-9a55-0c5d3f6e1b2a")
RUNSPACE_ID = UUID("8d0c1f1e-55aa-4a77-8c3f-3b0b7b1f9f10")
PROCESS_ID = 4712
TARGET_TIME = "2026-11-21T10:11:12.1234567Z"

Play = Callable[[PipelineRequest, PipelineIO], ErrorRecord | None]


def says(*values: str) -> Play:
    """A pipeline with this output: as lines to the host where Out-Default ends it, else as objects."""

    def play(request: PipelineRequest, io: PipelineIO) -> ErrorRecord | None:
        for value in values:
            if request.commands[-1].text == "Out-Default":
                io.host_write_line(value)
            else:
                io.output(value)
        return None

    return play


def fails(message: str, error_id: str) -> Play:
    """A pipeline that an error ends."""

    def play(request: PipelineRequest, io: PipelineIO) -> ErrorRecord | None:
        return ErrorRecord(message=message, exception_type="System.Exception", error_id=error_id, category="NotSpecified")

    return play


class Hang:
    """A pipeline that ends only when it is stopped; `begun` and `stopped` say how far it came."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.stopped = threading.Event()

    def __call__(self, request: PipelineRequest, io: PipelineIO) -> ErrorRecord | None:
        self.begun.set()
        try:
            io.wait(600)
        except PipelineStopped:
            self.stopped.set()
            raise
        return None


class ScriptedMachine:
    """`lab.machine.Machine`: plays from the table, remembers what it was asked, in order."""

    def __init__(self, plays: Mapping[str, Play] | None = None) -> None:
        self.plays: dict[str, Play] = {"prompt": says("PS C:\\> "), "Exit-PSSession": says(), **(plays or {})}
        self.commands = ["Out-Default", "Exit-PSSession"]
        self.exit_code = ""
        self.requests: list[PipelineRequest] = []
        self.peers: list[Peer] = []
        self.logons: list[Package] = []
        self.opened = 0
        self.closed = threading.Semaphore(0)

    @property
    def texts(self) -> list[str]:
        """The first command of every pipeline so far."""
        return [request.commands[0].text for request in self.requests]

    def connected(self, peer: Peer) -> None:
        self.peers.append(peer)

    def log_on(self, peer: Peer, account: Account, package: Package, delegated: Delegated | None = None) -> ScriptedMachine:
        self.logons.append(package)
        return self

    def log_on_refused(self, claim: Claim, package: Package) -> None:
        pass

    def log_off(self) -> None:
        pass

    def open_runspace(self, shell: ShellName, arguments: Mapping[str, PSValue] | None = None) -> ScriptedMachine:
        self.opened += 1
        return self

    def open_command_shell(self, shell: ShellName, environment: Mapping[str, str], directory: str) -> CommandShell:
        raise AssertionError("this transport opens no command shell")

    @property
    def process_id(self) -> int:
        return PROCESS_ID

    def run(self, request: PipelineRequest, io: PipelineIO) -> ErrorRecord | None:
        self.requests.append(request)
        text = request.commands[0].text
        if text == EXPRESSION:
            io.output(f"{PROCESS_ID}|{HOST_ID}|{RUNSPACE_ID}|{TARGET_TIME}|{self.exit_code}")
            return None
        return self.plays[text](request, io)

    def command_metadata(self, names: Sequence[str]) -> Sequence[CommandMetadata]:
        return [CommandMetadata(name=name, command_type=8) for name in names if name in self.commands]

    def another(self) -> ScriptedMachine:
        return self

    def reset(self) -> None:
        pass

    def close(self) -> None:
        self.closed.release()


@contextmanager
def served(machine: ScriptedMachine) -> Iterator[Endpoint]:
    """The machine behind a started endpoint."""
    account = Account(domain="LAB", name="purple", sid="S-1-5-21-1-2-3-1105")
    endpoint = Endpoint(machine=machine, accounts=[EndpointAccount(account=account, password=PASSWORD)])
    endpoint.start()
    try:
        yield endpoint
    finally:
        endpoint.stop()


def target(port: int, *, auth: Auth = Auth.NTLM, seen_from: str | None = None, host: str = "127.0.0.1", tls: bool = False) -> Target:
    """A target named ws6 at a port of this machine."""
    return Target(name="ws6", host=host, port=port, auth=auth, user=USER, computer="ws6", seen_from=seen_from, tls=tls)


def transport(
    *,
    password: str = PASSWORD,
    timeouts: Timeouts | None = None,
    addresses: Mapping[str, str] | None = None,
    clock: Clock | None = None,
    channel: Channel | None = None,
) -> WinrmTransport:
    """The transport with the credentials of ws6."""
    return WinrmTransport(
        credentials={"ws6": Credential(user=USER, password=password)},
        clock=clock or SystemClock(),
        timeouts=timeouts,
        addresses=addresses if addresses is not None else {"ws6": "127.0.0.1"},
        channels={} if channel is None else {"ws6": channel},
    )


class LeapingClock(SystemClock):
    """A clock that leaps an hour ahead once an event is set: time-outs are then over, however slow this machine is."""

    def __init__(self, when: threading.Event) -> None:
        self._when = when

    def monotonic(self) -> float:
        return super().monotonic() + (3600.0 if self._when.is_set() else 0.0)
