"""A small machine behind an endpoint: it does what a table of scripts says and remembers every call in order."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from pypsrp.wsman import WSMan

from lab.machine import (
    Account,
    Claim,
    CommandIO,
    CommandLine,
    CommandMetadata,
    CommandShell,
    Credential,
    ErrorRecord,
    Logon,
    Package,
    Peer,
    PipelineIO,
    PipelineRequest,
    PipelineStopped,
    PSValue,
    Runspace,
    ShellName,
)
from lab.winrm import Endpoint, EndpointAccount

PASSWORD = "Pa55:wörd"
PURPLE = Account(domain="LAB", name="purple", sid="S-1-5-21-1-2-3-1105")

Script = Callable[[PipelineRequest, PipelineIO], ErrorRecord | None]
Line = Callable[[CommandLine, CommandIO], int]


class SmallMachine:
    """`scripts` maps the text of a pipeline's first command to what it does; anything else is CommandNotFound. `lines` likewise."""

    def __init__(self, scripts: dict[str, Script] | None = None, *, lines: dict[str, Line] | None = None) -> None:
        self.scripts = scripts or {}
        self.lines = lines or {}
        self.calls: list[str] = []
        self.requests: list[PipelineRequest] = []
        self.arguments: Mapping[str, PSValue] = {}
        self.at_once = 0
        self._running = 0
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)

    def note(self, call: str) -> None:
        with self._changed:
            self.calls.append(call)
            self._changed.notify_all()

    def await_call(self, call: str, count: int = 1, timeout: float = 10.0) -> None:
        """Wait until a call has been made `count` times; fails after `timeout` seconds."""
        for _ in range(round(timeout / 0.25)):
            gc.collect()  # now and then a client's library leaves its connection to the collector, and the end is not told until then
            with self._changed:
                if self._changed.wait_for(lambda: self.calls.count(call) >= count, 0.25):
                    return
        raise AssertionError(self.calls)

    def connected(self, peer: Peer) -> None:
        self.note(f"connected {peer.ip}")

    def log_on(self, peer: Peer, account: Account, package: Package, delegated: Credential | None = None) -> Logon:
        self.note(f"log_on {account.domain}\\{account.name} {package}")
        return SmallLogon(self)

    def log_on_refused(self, claim: Claim, package: Package) -> None:
        self.note(f"log_on_refused {claim.domain}\\{claim.name} {package} {'known' if claim.known else 'unknown'}")

    @contextmanager
    def running(self) -> Iterator[None]:
        with self._lock:
            self._running += 1
            self.at_once = max(self.at_once, self._running)
        try:
            yield
        finally:
            with self._lock:
                self._running -= 1


class SmallLogon:
    def __init__(self, machine: SmallMachine) -> None:
        self._machine = machine

    def open_runspace(self, shell: ShellName, arguments: Mapping[str, PSValue] | None = None) -> Runspace:
        self._machine.note("open_runspace")
        self._machine.arguments = arguments or {}
        return SmallRunspace(self._machine)

    def open_command_shell(self, shell: ShellName, environment: Mapping[str, str], directory: str) -> CommandShell:
        self._machine.note(f"open_command_shell {dict(environment)} {directory!r}")
        return SmallCommandShell(self._machine)

    def log_off(self) -> None:
        self._machine.note("log_off")


class SmallCommandShell:
    """Does what `SmallMachine.lines` says about a line's first word; anything else is not recognized."""

    def __init__(self, machine: SmallMachine) -> None:
        self._machine = machine

    @property
    def process_id(self) -> int:
        return 4711

    def run(self, line: CommandLine, io: CommandIO) -> int:
        self._machine.note(f"line {line.text}{' without cmd' if line.skip_shell else ''}")
        body = self._machine.lines.get(line.text.split(" ", 1)[0])
        if body is None:
            io.stderr(f"'{line.text}' is not recognized\r\n")
            return 1
        try:
            return body(line, io)
        except PipelineStopped:
            self._machine.note(f"stopped {line.text}")
            raise

    def close(self) -> None:
        self._machine.note("close")


class SmallRunspace:
    def __init__(self, machine: SmallMachine) -> None:
        self._machine = machine
        self._busy = threading.Lock()

    @property
    def process_id(self) -> int:
        return 4712

    def run(self, request: PipelineRequest, io: PipelineIO) -> ErrorRecord | None:
        assert self._busy.acquire(blocking=False), "two pipelines of one runspace at a time"
        try:
            with self._machine.running():
                text = request.commands[0].text
                self._machine.requests.append(request)
                self._machine.note(f"run {text}")
                script = self._machine.scripts.get(text, _not_found)
                try:
                    return script(request, io)
                except PipelineStopped:
                    self._machine.note(f"stopped {text}")
                    raise
        finally:
            self._busy.release()

    def command_metadata(self, names: Sequence[str]) -> Sequence[CommandMetadata]:
        self._machine.note("command_metadata " + ",".join(names))
        return [CommandMetadata(name=name, command_type=8, namespace="Microsoft.PowerShell.Core", parameters=("Name",)) for name in names]

    def another(self) -> Runspace:
        self._machine.note("another")
        return SmallRunspace(self._machine)

    def reset(self) -> None:
        assert not self._busy.locked(), "reset while a pipeline runs"
        self._machine.note("reset")

    def close(self) -> None:
        assert self._busy.acquire(blocking=False), "closed while a pipeline runs"
        self._machine.note("close")


def _not_found(request: PipelineRequest, io: PipelineIO) -> ErrorRecord | None:
    io.error(
        ErrorRecord(
            message=f"The term '{request.commands[0].text}' is not recognized.",
            exception_type="System.Management.Automation.CommandNotFoundException",
            error_id="CommandNotFoundException",
            category="ObjectNotFound",
            target=request.commands[0].text,
            position="At line:1 char:1",
        )
    )
    return None


@contextmanager
def endpoint(
    machine: SmallMachine, *, accounts: Sequence[EndpointAccount] | None = None, idle_timeout: float = 60.0, **more: Any
) -> Iterator[Endpoint]:
    """A started endpoint in front of the machine."""
    served = Endpoint(
        machine=machine,
        accounts=[EndpointAccount(account=PURPLE, password=PASSWORD)] if accounts is None else accounts,
        idle_timeout=idle_timeout,
        **more,
    )
    served.start()
    try:
        yield served
    finally:
        served.stop()


@contextmanager
def wsman(served: Endpoint, server: str = "127.0.0.1", **settings: Any) -> Iterator[WSMan]:
    """An unmodified pypsrp connection to it."""
    settings = {"auth": "negotiate", "username": "LAB\\purple", "password": PASSWORD} | settings
    connection = WSMan(server, port=served.port, ssl=False, **settings)
    with connection:
        yield connection
