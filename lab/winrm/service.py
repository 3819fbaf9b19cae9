"""The WinRM service: which shells there are, and what each request does to them. No sockets, no HTTP, no encryption."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from uuid import uuid4

from lab.machine import Account, Logon, OutOfResources, ShellName
from lab.winrm import config, faults, responses, wsman, xpress
from lab.winrm.outbox import Aborted
from lab.winrm.psrp import PsrpShell
from lab.winrm.winrs import WinrsShell

_CLOSE_PATIENCE: Final = 5.0
_MAX_LISTS: Final = 100
"""Lists that were begun and not fetched; the oldest goes."""

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
    """An envelope, whether it bears a fault (HTTP 500), and its encoding, which is that of the request."""

    envelope: bytes
    is_fault: bool
    encoding: str = "UTF-8"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Held:
    """A shell, and whose it is and what it was opened with."""

    shell: AnyShell
    account: Account
    resource: str
    opened_with: wsman.NewShell
    client_ip: str


class Service:
    """The shells of one endpoint. Thread-safe."""

    def __init__(self, *, name: str, settings: config.Settings, tally: Tally) -> None:
        self._name = name
        self._settings = settings
        self._quotas = settings.quotas
        self._idle_timeout = settings.idle_timeout
        self._tally = tally
        self._lock = threading.Lock()
        self._shells: dict[str, _Held] = {}
        self._lists: OrderedDict[str, tuple[responses.Item, ...]] = OrderedDict()
        self._stopped = False
        self.listeners: tuple[config.Listener, ...] = ()

    def handle(self, envelope: bytes, client: Client) -> Reply:
        """Do what an envelope asks. Raises `ClientGone` where the client went away while it waited."""
        try:
            request = wsman.parse(envelope)
        except wsman.RequestFault as refusal:
            return Reply(envelope=responses.respond_fault(refusal.fault, refusal.message_id, self._name), is_fault=True)
        return _in_encoding_of(envelope, self._answer(request, client))

    def identify(self, envelope: bytes) -> Reply | None:
        """The answer to somebody who is not logged on: what this is, where that is what they ask, else None."""
        try:
            request = wsman.parse(envelope)
        except wsman.RequestFault:
            return None
        if not isinstance(request.operation, wsman.Identify):
            return None
        shown = responses.Shown(content=config.identify(authenticated=False))
        return _in_encoding_of(envelope, Reply(envelope=responses.respond(request, shown), is_fault=False))

    def _answer(self, request: wsman.Request, client: Client) -> Reply:
        try:
            result = self._perform(request, client)
        except Aborted:
            return self._fault(faults.aborted(), request)
        except OutOfResources:
            return self._fault(faults.out_of_resources(), request)
        except faults.Fault as fault:
            return self._fault(fault, request)
        return Reply(envelope=responses.respond(request, result), is_fault=False)

    def _fault(self, fault: faults.Fault, request: wsman.Request) -> Reply:
        return Reply(envelope=responses.respond_fault(fault, request.header.message_id, self._name), is_fault=True)

    def _perform(self, request: wsman.Request, client: Client) -> responses.Result:
        match request.operation:
            case wsman.NewShell() as create:
                return self._create(create, request, client)
            case wsman.EnumerateShells(of=of, at_once=at_once):
                return self._list(self._shells_of(client.account) if of is None else self._commands_of(of, client.account), at_once)
            case wsman.EnumerateListeners(at_once=at_once):
                return self._list(tuple(config.listener(one) for one in self.listeners), at_once)
            case wsman.Pull(context=context):
                return responses.Listed(items=self._take_list(context), pulled=True)
            case wsman.Release(context=context):
                self._take_list(context)
                return responses.Done()
            case wsman.GetConfig(part=part):
                return responses.Shown(content=config.settings(self._settings, part))
            case wsman.Identify():
                return responses.Shown(content=config.identify(authenticated=True))
        held = self._find(request.header, request.resource, client.account)
        held.shell.begin_request()
        try:
            return self._ask(held, request, client)
        except faults.Broken:
            self._close(held.shell)
            raise
        finally:
            held.shell.end_request()

    def _ask(self, held: _Held, request: wsman.Request, client: Client) -> responses.Result:
        header = request.header
        match request.operation, held.shell:
            case wsman.Command(command_id=command_id, fragment=fragment), PsrpShell() as shell:
                shell.command(command_id, fragment)
                return responses.Started(command_id=command_id)
            case wsman.RunLine(command_id=command_id, line=line, skip_shell=skip), WinrsShell() as shell:
                shell.command(command_id, line, skip_shell=skip)
                return responses.Started(command_id=command_id)
            case wsman.Send(command_id=command_id, data=data, stream=stream), PsrpShell() as shell:
                shell.send(command_id, _expanded(data, held), stream)
            case wsman.Send(command_id=command_id, data=data, end=end), WinrsShell() as shell:
                shell.send(command_id, _expanded(data, held), end=end)
            case wsman.Receive(command_id=command_id, streams=streams), shell:
                patience = header.operation_timeout
                pieces, done, code = shell.receive(command_id, header.stream_budget, patience, client.still_there, streams)
                if held.opened_with.compressed:
                    pieces = tuple((name, xpress.stored(piece)) for name, piece in pieces)
                return responses.Received(command_id=command_id, pieces=pieces, done=done, exit_code=code)
            case wsman.Signal(command_id=command_id, code=code), shell:
                shell.signal(command_id, code, header.operation_timeout)
            case wsman.Delete(), shell:
                self._close(shell)
                shell.wait_closed(min(header.operation_timeout, _CLOSE_PATIENCE))
            case wsman.GetShell(), shell:
                return self._state(held)
            case ((wsman.Disconnect() | wsman.Reconnect() | wsman.Connect()), WinrsShell()):
                raise faults.disconnect_not_supported()
            case wsman.Disconnect(idle_timeout=idle_timeout, buffer_mode=buffer_mode), shell:
                most = None if idle_timeout is None else min(idle_timeout, self._idle_timeout)
                shell.disconnect(header.session_id, most, buffer_mode)
            case wsman.Reconnect(command_id=command_id), shell:
                if command_id:
                    shell.has_command(command_id)
                else:
                    shell.reconnect(header.session_id)
            case wsman.Connect(command_id=command_id, fragments=fragments), PsrpShell() as shell:
                if command_id:
                    shell.has_command(command_id)
                    return responses.Connected(fragments=b"")
                return responses.Connected(fragments=shell.connect(header.session_id, fragments))
        return responses.Done()

    # --- opening ----------------------------------------------------------------------------------------------------------

    def _create(self, create: wsman.NewShell, request: wsman.Request, client: Client) -> responses.Result:
        header = request.header
        idle_timeout = min(create.idle_timeout or self._idle_timeout, self._idle_timeout)
        with self._lock:
            self._check_room(create.shell_id, client.account)
        shell = self._open(create, header, client, idle_timeout)
        shell.belongs_to(header.session_id)
        shell.buffer_mode = create.buffer_mode
        self._tally.shell_opened()
        held = _Held(shell=shell, account=client.account, resource=request.resource, opened_with=create, client_ip=client.ip)
        try:
            with self._lock:
                self._check_room(create.shell_id, client.account)
                self._shells[create.shell_id] = held
        except faults.Fault:  # another request took the id or the room, or the service its leave, while this shell came about
            shell.close()
            self._tally.shell_closed()
            raise
        return _created(held)

    def _check_room(self, shell_id: str, account: Account) -> None:
        """Whether a shell of this id may be opened. The lock is held."""
        if self._stopped or shell_id in self._shells:
            raise faults.already_exists(shell_id)
        if sum(held.account == account for held in self._shells.values()) >= self._quotas.max_shells:
            raise faults.too_many_shells(self._quotas.max_shells)
        if len({held.account for held in self._shells.values()} | {account}) > self._quotas.max_users:
            raise faults.too_many_users(self._quotas.max_users)

    def _open(self, create: wsman.NewShell, header: wsman.Header, client: Client, idle_timeout: float) -> AnyShell:
        if isinstance(create, wsman.CreateCommandShell):
            environment, directory = create.environment, create.directory
            name = ShellName(resource_uri=wsman.COMMAND_SHELL_URI, shell_id=create.shell_id)
            return WinrsShell(
                shell_id=create.shell_id,
                idle_timeout=idle_timeout,
                code_page=create.code_page,
                max_commands=self._quotas.max_processes,
                open_shell=lambda: client.logon.open_command_shell(name, environment, directory),
                ledger=self._tally,
            )
        assert isinstance(create, wsman.Create)
        named = ShellName(resource_uri=wsman.POWERSHELL_URI, shell_id=create.shell_id)
        return PsrpShell(
            shell_id=create.shell_id,
            creation=create.creation,
            budget=header.stream_budget,
            idle_timeout=idle_timeout,
            open_runspace=lambda arguments: client.logon.open_runspace(named, arguments),
            ledger=self._tally,
        )

    def _find(self, header: wsman.Header, resource: str, account: Account) -> _Held:
        with self._lock:
            held = self._shells.get(header.shell_id)
        # A stranger's shell is none of one's business.
        if held is None or held.account != account or resource not in (held.resource, wsman.SHELL_URI):
            raise faults.shell_not_found(header.shell_id)
        return held

    # --- lists ------------------------------------------------------------------------------------------------------------

    def _shells_of(self, account: Account) -> tuple[responses.Item, ...]:
        with self._lock:
            mine = [held for held in self._shells.values() if held.account == account]
        return tuple(self._state(held) for held in mine)

    def _commands_of(self, shell_id: str, account: Account) -> tuple[responses.Item, ...]:
        with self._lock:
            held = self._shells.get(shell_id)
        if held is None or held.account != account:
            raise faults.shell_not_found(shell_id)
        return tuple(
            responses.CommandState(shell_id=shell_id, command_id=command_id, ended=ended) for command_id, ended in held.shell.commands()
        )

    def _state(self, held: _Held) -> responses.ShellState:
        shell, create = held.shell, held.opened_with
        return responses.ShellState(
            created=_created(held),
            resource=held.resource,
            name=create.name,
            locale=create.locale,
            data_locale=create.data_locale,
            buffer_mode=shell.buffer_mode,
            compressed=create.compressed,
            is_connected=shell.is_connected,
            age=shell.age(),
            idle_for=shell.idle_for(),
            processes=1,
        )

    def _list(self, items: tuple[responses.Item, ...], at_once: bool) -> responses.Listed:
        if at_once:
            return responses.Listed(items=items)
        context = f"uuid:{str(uuid4()).upper()}"
        with self._lock:
            self._lists[context] = items
            if len(self._lists) > _MAX_LISTS:
                self._lists.popitem(last=False)
        return responses.Listed(items=(), context=context)

    def _take_list(self, context: str) -> tuple[responses.Item, ...]:
        with self._lock:
            items = self._lists.pop(context, None)
        if items is None:
            raise faults.no_such_enumeration()
        return items

    # --- closing ----------------------------------------------------------------------------------------------------------

    def _close(self, shell: AnyShell) -> None:
        with self._lock:
            if self._shells.pop(shell.shell_id, None) is None:
                return
        self._tally.shell_closed()  # for clients it is gone; what runs in it may take longer to end
        shell.close()

    def reap(self) -> None:
        """Close the shells that no client has asked for anything during their idle time."""
        for shell in self._all():
            if shell.idle_for() >= shell.idle_timeout:
                self._close(shell)

    def stop(self) -> None:
        """Close all shells and take no more; waits for their runspaces' end."""
        with self._lock:
            self._stopped = True
        shells = self._all()
        for shell in shells:
            self._close(shell)
        for shell in shells:
            shell.wait_closed(_CLOSE_PATIENCE)

    def _all(self) -> list[AnyShell]:
        with self._lock:
            return [held.shell for held in self._shells.values()]


def _expanded(data: bytes, held: _Held) -> bytes:
    """What a Send says, whether or not the shell's streams are compressed."""
    if not held.opened_with.compressed:
        return data
    try:
        return xpress.expand(data)
    except xpress.Corrupt as error:
        raise faults.invalid_parameter(f"The stream cannot be expanded: {error}.") from None


def _created(held: _Held) -> responses.Created:
    return responses.Created(
        shell_id=held.shell.shell_id,
        process_id=held.shell.process_id,
        owner=f"{held.account.domain}\\{held.account.name}",
        client_ip=held.client_ip,
        idle_timeout=held.shell.idle_timeout,
        input_streams=held.opened_with.input_streams,
        output_streams=held.opened_with.output_streams,
    )


def _in_encoding_of(envelope: bytes, reply: Reply) -> Reply:
    """The reply as the request came: WS-Management answers in the encoding that it was asked in [DSP0226 13.1]."""
    if wsman.encoding_of(envelope) == "utf-8":
        return reply
    return Reply(envelope=reply.envelope.decode().encode("utf-16"), is_fault=reply.is_fault, encoding="UTF-16")
