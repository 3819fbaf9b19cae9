"""The emulated host as its WinRM service sees it: connections, logons, a wsmprovhost.exe for every runspace, a winrshost.exe for every
command shell.

It joins the host's model, the PowerShell interpreter and the telemetry; it decides no output and no event's form. It never sees the wire,
a scenario or a rule.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from ipaddress import ip_address
from random import Random
from threading import Lock
from uuid import UUID

from harness.events.windows import WindowsEvent
from lab.host.files import FileFault, PathNotFound, absolute
from lab.host.happenings import Binding, CommandRun, Connection, Engine, LogonRefusal, LogonSession, Process, RemoteShell, Witness
from lab.host.model import Host, NotExecutable, ProcessLimit
from lab.host.powershell.interpreter import VERSION, ConsolePowerShell, Interpreter
from lab.host.programs.base import Input, Unmodelled, World, find_program, launch
from lab.host.programs.cmd_line import LineFault, expanded
from lab.host.provision import provision, sysmon_pid
from lab.host.telemetry import Origin, Sink, Telemetry
from lab.machine import (
    Account,
    Caller,
    Claim,
    CommandIO,
    CommandLine,
    CommandMetadata,
    CommandShell,
    Credential,
    ErrorRecord,
    Logon,
    Network,
    OutOfResources,
    Package,
    Peer,
    PipelineIO,
    PipelineRequest,
    PipelineStopped,
    PSValue,
    Runspace,
    ShellName,
)

WINRM_PORT = 5985
WINRM_TLS_PORT = 5986
"""What the telemetry shows, whatever port the lab's listener got: rules read a WinRM port, and on a real host it is this one."""

_WSMPROVHOST = "wsmprovhost.exe"
_WINRSHOST = "winrshost.exe"
_CMD = "C:\\Windows\\System32\\cmd.exe"

_NOT_SUPPORTED = 50
"""ERROR_NOT_SUPPORTED: the exit code of a line that Windows would have run and this host cannot."""


class EmulatedMachine:
    """A `lab.machine.Machine` over a host; its events go to `sink`, from the thread to which they happened.

    From its making on it is the host's witness.
    """

    def __init__(self, host: Host, sink: Sink, off: frozenset[str]) -> None:
        self._host = host
        origin = Origin(
            computer=host.fqdn,
            realm=host.domain.upper(),
            machine_account=Account(domain=host.netbios_domain, name=f"{host.name.upper()}$", sid=host.system_logon.account.sid),
            system=host.system,
            lsass_pid=host.lsass.pid,
            services_pid=host.service_control.pid,
            winrm_pid=host.winrm_service.pid,
            sysmon_pid=sysmon_pid(host),
            machine_id=host.machine_guid.time_low,
            filter_id=host.random.randrange(65_000, 90_000),
        )

        def keep(event: WindowsEvent) -> None:
            host.logs.append(event)
            sink(event)

        self._telemetry = Telemetry(origin, keep, host.now, host.random, off=off)
        host.witness = self._telemetry

    @property
    def host(self) -> Host:
        """The model behind: its name, files, processes."""
        return self._host

    def connected(self, peer: Peer) -> None:
        """The kernel accepted a TCP connection. Where its other end is loopback, to the host itself or to its driver, so is this one."""
        source = self._shown(peer)
        self._host.tcpip.accepted(source, peer.port, WINRM_TLS_PORT if peer.secure else WINRM_PORT)
        self._telemetry.connected(
            Connection(
                source_ip=source,
                source_port=peer.port,
                destination_ip=source if ip_address(source).is_loopback else self._host.ip,
                destination_port=WINRM_TLS_PORT if peer.secure else WINRM_PORT,
                initiated=False,
                owner=self._host.system,
            )
        )

    def log_on(self, peer: Peer, account: Account, package: Package, delegated: Credential | None = None) -> Logon:
        """A network logon with a LUID of its own. The peer leaves no trace in it: http.sys does not tell LSA who called."""
        caller = self._caller(peer)
        depth = caller.depth if caller is not None else 0
        session = self._host.new_logon(account, package, delegated=delegated, depth=depth)
        return _EmulatedLogon(self._host, self._telemetry, session, self._shown(peer), peer.port)

    def log_on_refused(self, claim: Claim, package: Package) -> None:
        """LSA audits who was not let in, and knows no more of the peer than for a logon."""
        self._telemetry.logon_refused(LogonRefusal(claim=claim, package=package))

    def _shown(self, peer: Peer) -> str:
        """The peer's address as telemetry has it: loopback stands for the lab's network, so it is the host that called, or the driver."""
        caller = self._caller(peer)
        if caller is not None:
            return caller.ip
        return self._host.seen_from if ip_address(peer.ip).is_loopback else peer.ip

    def _caller(self, peer: Peer) -> Caller | None:
        return self._host.network.caller(peer) if self._host.network is not None else None


class _EmulatedLogon:
    """The logon session of one authenticated connection."""

    def __init__(self, host: Host, witness: Witness, session: LogonSession, client_ip: str, client_port: int) -> None:
        self._host = host
        self._witness = witness
        self._session = session
        self._client_ip = client_ip
        self._client_port = client_port

    def open_runspace(self, shell: ShellName, arguments: Mapping[str, PSValue] | None = None) -> Runspace:
        """DcomLaunch starts wsmprovhost.exe under this logon. Raises `OutOfResources` where the host is full."""
        process = self._start_host(_WSMPROVHOST, shell)
        return _EmulatedRunspace(self._host, self._witness, _remote_engine(self._host, process, self._host.new_uuid()), arguments or {})

    def open_command_shell(self, shell: ShellName, environment: Mapping[str, str], directory: str) -> CommandShell:
        """DcomLaunch starts winrshost.exe under this logon. Raises `OutOfResources` where the host is full."""
        return _EmulatedCommandShell(self._host, self._witness, self._start_host(_WINRSHOST, shell), environment, directory)

    def _start_host(self, program: str, shell: ShellName) -> Process:
        opened = RemoteShell(resource_uri=shell.resource_uri, shell_id=shell.shell_id, client_ip=self._client_ip, logon=self._session)
        self._witness.shell_opened(opened)
        try:
            return self._host.start_process(
                parent=self._host.dcom_launch,
                path=f"C:\\Windows\\System32\\{program}",
                command_line=f"C:\\Windows\\system32\\{program} -Embedding",
                logon=self._session,
                directory="C:\\Windows\\system32",
            )
        except ProcessLimit:
            raise OutOfResources from None

    def log_off(self) -> None:
        """The connection lets go of its logon. A shell outlives the connection that opened it, and with it the logon that it runs under."""
        self._host.tcpip.closed(self._client_ip, self._client_port)
        self._host.release_logon(self._session)


def _remote_engine(host: Host, process: Process, host_id: UUID) -> Engine:
    """An engine of a remote session; `host_id` is the same for all of one process."""
    return Engine(
        host_name="ServerRemoteHost",
        host_version="1.0.0.0",
        host_id=host_id,
        runspace_id=host.new_uuid(),
        version=VERSION,
        process=process,
    )


class _EmulatedRunspace:
    """A PowerShell engine in a wsmprovhost.exe. The process ends with its `first` engine. Pipelines run one at a time."""

    def __init__(self, host: Host, witness: Witness, engine: Engine, arguments: Mapping[str, PSValue], *, first: bool = True) -> None:
        self._host = host
        self._witness = witness
        self._engine = engine
        self._arguments = arguments
        self._first = first
        self._interpreter = Interpreter(host, engine, witness, sender=arguments)
        self._lock = Lock()
        self._closed = False
        witness.engine_started(engine)

    @property
    def process_id(self) -> int:
        """The pid of wsmprovhost.exe."""
        return self._engine.process.pid

    def another(self) -> Runspace:
        """One more engine in the same process."""
        engine = _remote_engine(self._host, self._engine.process, self._engine.host_id)
        return _EmulatedRunspace(self._host, self._witness, engine, self._arguments, first=False)

    def reset(self) -> None:
        """Forget what the session's pipelines left: variables, functions, location."""
        with self._lock:
            self._interpreter = Interpreter(self._host, self._engine, self._witness, sender=self._arguments)

    def run(self, request: PipelineRequest, io: PipelineIO) -> ErrorRecord | None:
        """Run a pipeline to its end. Raises `PipelineStopped`, also where the runspace is closed."""
        with self._lock:
            if self._closed:
                raise PipelineStopped
            with self._host.acting(self._engine.process):
                return self._interpreter.run(request, io)

    def command_metadata(self, names: Sequence[str]) -> Sequence[CommandMetadata]:
        """Discover commands. Windows does so with two pipelines of its own, which module logging shows like anybody's."""
        with self._lock:
            if self._closed:
                return ()
            found = self._interpreter.command_metadata(names)
            for pipeline in _discovery(names, found):
                self._witness.commands_run(self._engine, pipeline)
            return found

    def close(self) -> None:
        """Wait for the running pipeline, stop the engine and, with the first of its process, the process and all that it started.

        Closing again changes nothing.
        """
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._interpreter.close()
            self._witness.engine_stopped(self._engine)
            if self._first:
                self._host.end_tree(self._engine.process)


class _EmulatedCommandShell:
    """A winrshost.exe; each line has a cmd.exe of its own in it. Lines may run side by side, none outlives `close`."""

    def __init__(self, host: Host, witness: Witness, process: Process, environment: Mapping[str, str], directory: str) -> None:
        self._host = host
        self._process = process
        self._powershell = ConsolePowerShell(host, witness)
        account = process.logon.account
        users = host.environment(account)
        self._environment = dict(users)
        for name, value in environment.items():
            known = next((key for key in self._environment if key.lower() == name.lower()), name)
            self._environment[known] = value
            with suppress(LineFault):  # a value beyond what cmd.exe takes stays as it was sent
                self._environment[known] = expanded(value, lambda asked: _value(users, asked))
        self._directory = directory or host.home(account)

    @property
    def process_id(self) -> int:
        """The pid of winrshost.exe."""
        return self._process.pid

    def run(self, line: CommandLine, io: CommandIO) -> int:
        """Run a line to its end. Raises `PipelineStopped`.

        What this host does not emulate is told on standard error, and the code is 50 (ERROR_NOT_SUPPORTED); where the shell's directory or
        the program cannot be found it is Windows' own error.
        """
        host, console = self._host, _Terminal(io)
        try:
            directory = host.files.actual(absolute(self._directory, "C:\\"))
            path, command_line = self._program(line, directory)
            world = World(host=host, io=io, powershell=self._powershell, environment=self._environment, directory=directory)
            outcome = launch(world, self._process, path, command_line, stdin=Input(io.read_line), console=console)
        except FileFault:
            io.stderr("The system cannot find the file specified.\r\n")
            return 2
        except NotExecutable:
            io.stderr("%1 is not a valid Win32 application.\r\n")
            return 193
        except ProcessLimit:
            io.stderr("Not enough memory resources are available to process this command.\r\n")
            return 8
        except Unmodelled as error:
            io.stderr(f"The emulated host does not emulate {error.what}.\r\n")
            return _NOT_SUPPORTED
        except RecursionError:
            io.stderr("The emulated host does not emulate a line as deep as this.\r\n")
            return _NOT_SUPPORTED
        console.show(outcome.output, outcome.errors)
        return outcome.exit_code

    def _program(self, line: CommandLine, directory: str) -> tuple[str, str]:
        """Path and command line of what winrshost.exe starts. Raises `PathNotFound` where there is no such program."""
        if not line.skip_shell:
            return _CMD, f'C:\\Windows\\system32\\cmd.exe /C "{line.text}"'
        first = re.match(r'\s*(?:"([^"]*)"|(\S+))', line.text)
        name = (first[1] or first[2] or "") if first else ""
        path = find_program(self._host, self._environment, directory, name, here=True)
        if path is None:
            raise PathNotFound(name)
        return path, line.text

    def close(self) -> None:
        """End winrshost.exe and all that it started. Closing again changes nothing."""
        self._host.end_tree(self._process)


class _Terminal:
    """The two streams of a line, whose ends of lines are Windows'."""

    def __init__(self, io: CommandIO) -> None:
        self._io = io

    def show(self, output: Sequence[str], errors: Sequence[str]) -> None:
        """Lines as text."""
        if output:
            self._io.stdout("".join(f"{line}\r\n" for line in output))
        if errors:
            self._io.stderr("".join(f"{line}\r\n" for line in errors))


def _value(environment: Mapping[str, str], name: str) -> str | None:
    return next((value for key, value in environment.items() if key.lower() == name.lower()), None)


def emulated_host(
    *,
    name: str,
    domain: str,
    ip: str,
    seen_from: str,
    accounts: Sequence[Account],
    sink: Sink,
    now: Callable[[], datetime],
    seed: int,
    off: frozenset[str] = frozenset(),
    agent: bool = True,
    network: Network | None = None,
) -> EmulatedMachine:
    """A Windows host, booted and provisioned with Sysmon, an audit policy and PowerShell logging. The same seed gives the same host.

    `name` is the computer name, `domain` the DNS domain, `ip` and `seen_from` the host's and the driver's lab addresses; `accounts` are
    its administrators. `now` gives aware times in UTC. `off` names the settings of `harness.events.audit.SETTINGS` that it lacks.
    `agent`: whether the program runs that would ship its events. `network` is where it finds other hosts; without one it is alone.
    """
    # Reproducible chance is the point; nothing secret comes of it.
    random = Random(seed)  # noqa: S311
    host = Host(name=name, domain=domain, ip=ip, seen_from=seen_from, accounts=accounts, now=now, random=random)
    host.network = network
    provision(host, off, agent=agent)
    return EmulatedMachine(host, sink, off)


def _discovery(names: Sequence[str], found: Sequence[CommandMetadata]) -> tuple[tuple[CommandRun, ...], ...]:
    """The pipelines behind GET_COMMAND_METADATA [MS-PSRP 2.2.2.14]: one counts the commands, one selects what the client is told.

    As PowerShell's ServerRunspacePoolDriver builds them. The engine numbers them like any other pipeline of the runspace.
    """
    get = (Binding(name="Name", value=", ".join(names)), Binding(name="ListImported", value="True"))
    quiet = Binding(name="ErrorAction", value="SilentlyContinue")
    each = tuple(Binding(name="InputObject", value=command.name) for command in found)
    count = Binding(name="Property", value="Count")
    measured = Binding(name="InputObject", value="Microsoft.PowerShell.Commands.GenericMeasureInfo")
    selected = Binding(name="Property", value="Name, Namespace, HelpUri, CommandType, ResolvedCommandName, OutputType, Parameters")

    def pipeline(number: int, *commands: tuple[str, tuple[Binding, ...]]) -> tuple[CommandRun, ...]:
        return tuple(CommandRun(name=name, kind="Cmdlet", bindings=bindings, pipeline_id=number) for name, bindings in commands)

    return (
        pipeline(1, ("Get-Command", (*get, quiet)), ("Measure-Object", each), ("Select-Object", (count, measured))),
        pipeline(2, ("Get-Command", get), ("Select-Object", (selected, *each))),
    )
