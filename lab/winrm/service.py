"""The WinRM service: which shells there are, and what each request does to them. No sockets, no HTTP, no encryption."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from lab.machine import Account, Logon, ShellName
from lab.winrm import wsman
from lab.winrm.outbox import Aborted
from lab.winrm.psrp import PsrpShell
from lab.winrm.winrs import WinrsShell

_CLOSE_PATIENCE: Final = 5.0

AnyShell = PsrpShell | WinrsShell


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointCounts:
    """What an endpoint has seen so far. `scripts` are the texts of the pipelines and command lines handed to the machine, in order."""

    connections: int
    logons: int
    refused_logons: int
    shells_opened: int
    shells_open: int
    pipelines: int
    scripts: tuple[str, ...]


class Tally:
    """Counts of one endpoint. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._connections = 0
        self._logons = 0
        self._refused_logons = 0
        self._shells_opened = 0
        self._shells_closed = 0
        self._scripts: list[str] = []

    def connected(self) -> None:
        """A TCP connection was accepted."""
        with self._lock:
            self._connections += 1

    def logged_on(self) -> None:
        """A connection authenticated."""
        with self._lock:
            self._logons += 1

    def refused(self) -> None:
        """An exchange failed."""
        with self._lock:
            self._refused_logons += 1

    def shell_opened(self) -> None:
        """A shell came about."""
        with self._lock:
            self._shells_opened += 1

    def shell_closed(self) -> None:
        """A shell went."""
        with self._lock:
            self._shells_closed += 1

    def pipeline_started(self, script: str) -> None:
        """A pipeline or a command line goes to the machine; probes of command metadata are none."""
        with self._lock:
            self._scripts.append(script)

    def counts(self) -> EndpointCounts:
        """The state of things now."""
        with self._lock:
            return EndpointCounts(
                connections=self._connections,
                logons=self._logons,
                refused_logons=self._refused_logons,
                shells_opened=self._shells_opened,
                shells_open=self._shells_opened - self._shells_closed,
                pipelines=len(self._scripts),
                scripts=tuple(self._scripts),
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """Who asks: one authenticated connection. `still_there` looks whether it is still open."""

    account: Account
    logon: Logon
    ip: str
    still_there: Callable[[], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An envelope, and whether it bears a fault (HTTP 500)."""

    envelope: bytes
    is_fault: bool


class Service:
    """The shells of one endpoint. Thread-safe."""

    def __init__(self, *, name: str, idle_timeout: float, max_shells: int, tally: Tally) -> None:
        self._name = name
        self._max_shells = max_shells
        self._idle_timeout = idle_timeout
        self._tally = tally
        self._lock = threading.Lock()
        self._shells: dict[str, tuple[AnyShell, Account]] = {}
        self._stopped = False

    def handle(self, envelope: bytes, client: Client) -> Reply:
        """Do what an envelope asks. Raises `ClientGone` where the client went away while it waited."""
        try:
            request = wsman.parse(envelope)
        except wsman.RequestFault as refusal:
            return Reply(envelope=wsman.respond_fault(refusal.fault, refusal.message_id, self._name), is_fault=True)
        try:
            result = self._perform(request, client)
        except Aborted:
            return self._fault(wsman.aborted(), request)
        except wsman.Fault as fault:
            return self._fault(fault, request)
        return Reply(envelope=wsman.respond(request, result), is_fault=False)

    def _fault(self, fault: wsman.Fault, request: wsman.Request) -> Reply:
        return Reply(envelope=wsman.respond_fault(fault, request.header.message_id, self._name), is_fault=True)

    def _perform(self, request: wsman.Request, client: Client) -> wsman.Result:
        if isinstance(request.operation, wsman.NewShell):
            return self._create(request.operation, request.header, client)
        shell = self._find(request.header, request.resource, client.account)
        shell.begin_request()
        try:
            return self._ask(shell, request, client)
        except wsman.Broken:
            self._close(shell)
            raise
        finally:
            shell.end_request()

    def _ask(self, shell: AnyShell, request: wsman.Request, client: Client) -> wsman.Result:
        header = request.header
        match request.operation, shell:
            case wsman.Command(command_id=command_id, fragment=fragment), PsrpShell():
                shell.command(command_id, fragment)
                return wsman.Started(command_id=command_id)
            case wsman.RunLine(command_id=command_id, line=line, skip_shell=skip), WinrsShell():
                shell.command(command_id, line, skip_shell=skip)
                return wsman.Started(command_id=command_id)
            case wsman.Send(command_id=command_id, data=data), PsrpShell():
                shell.send(command_id, data)
            case wsman.Send(command_id=command_id, data=data, end=end), WinrsShell():
                shell.send(command_id, data, end=end)
            case wsman.Receive(command_id=command_id), _:
                pieces, done, code = shell.receive(command_id, header.stream_budget, header.operation_timeout, client.still_there)
                return wsman.Received(command_id=command_id, pieces=pieces, done=done, exit_code=code)
            case wsman.Signal(command_id=command_id, code=code), _:
                shell.signal(command_id, code, header.operation_timeout)
            case wsman.Delete(), _:
                self._close(shell)
                shell.wait_closed(min(header.operation_timeout, _CLOSE_PATIENCE))
        return wsman.Done()

    def _create(self, create: wsman.NewShell, header: wsman.Header, client: Client) -> wsman.Result:
        idle_timeout = min(create.idle_timeout or self._idle_timeout, self._idle_timeout)
        with self._lock:
            self._check_room(create.shell_id, client.account)
        shell = self._open(create, header, client, idle_timeout)
        self._tally.shell_opened()
        try:
            with self._lock:
                self._check_room(create.shell_id, client.account)
                self._shells[create.shell_id] = (shell, client.account)
        except wsman.Fault:  # another request took the id or the room, or the service its leave, while this shell came about
            shell.close()
            self._tally.shell_closed()
            raise
        return wsman.Created(
            shell_id=create.shell_id,
            process_id=shell.process_id,
            owner=f"{client.account.domain}\\{client.account.name}",
            client_ip=client.ip,
            idle_timeout=idle_timeout,
            input_streams=create.input_streams,
            output_streams=create.output_streams,
        )

    def _check_room(self, shell_id: str, account: Account) -> None:
        """Whether a shell of this id may be opened. The lock is held."""
        if self._stopped or shell_id in self._shells:
            raise wsman.already_exists(shell_id)
        if sum(owner == account for _, owner in self._shells.values()) >= self._max_shells:
            raise wsman.too_many_shells(self._max_shells)

    def _open(self, create: wsman.NewShell, header: wsman.Header, client: Client, idle_timeout: float) -> AnyShell:
        if isinstance(create, wsman.CreateCommandShell):
            environment, directory = create.environment, create.directory
            name = ShellName(resource_uri=wsman.COMMAND_SHELL_URI, shell_id=create.shell_id)
            return WinrsShell(
                shell_id=create.shell_id,
                idle_timeout=idle_timeout,
                code_page=create.code_page,
                open_shell=lambda: client.logon.open_command_shell(name, environment, directory),
                ledger=self._tally,
            )
        assert isinstance(create, wsman.Create)
        return PsrpShell(
            shell_id=create.shell_id,
            creation=create.creation,
            budget=header.stream_budget,
            idle_timeout=idle_timeout,
            open_runspace=lambda: client.logon.open_runspace(ShellName(resource_uri=wsman.POWERSHELL_URI, shell_id=create.shell_id)),
            ledger=self._tally,
        )

    def _find(self, header: wsman.Header, resource: str, account: Account) -> AnyShell:
        with self._lock:
            shell, owner = self._shells.get(header.shell_id, (None, None))
        kind = PsrpShell if resource == wsman.POWERSHELL_URI else WinrsShell
        if not isinstance(shell, kind) or owner != account:  # a stranger's shell is none of one's business
            raise wsman.shell_not_found(header.shell_id)
        return shell

    def _close(self, shell: AnyShell) -> None:
        with self._lock:
            if self._shells.pop(shell.shell_id, None) is None:
                return
        self._tally.shell_closed()  # for clients it is gone; what runs in it may take longer to end
        shell.close()

    def reap(self) -> None:
        """Close the shells that no client has asked for anything during their idle time."""
        with self._lock:
            shells = [shell for shell, _ in self._shells.values()]
        for shell in shells:
            if shell.idle_for() >= shell.idle_timeout:
                self._close(shell)

    def stop(self) -> None:
        """Close all shells and take no more; waits for their runspaces' end."""
        with self._lock:
            self._stopped = True
            shells = [shell for shell, _ in self._shells.values()]
        for shell in shells:
            self._close(shell)
        for shell in shells:
            shell.wait_closed(_CLOSE_PATIENCE)
