"""A host, a runspace on it, and witnesses that remember: what the tests of the emulated PowerShell stand on."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from lab.host.happenings import (
    AccountChange,
    CommandRun,
    Connection,
    CredentialUse,
    Engine,
    FileCreation,
    LogonRefusal,
    LogonSession,
    Process,
    RegistryChange,
    RemoteShell,
    ServiceChange,
)
from lab.host.model import Host
from lab.host.powershell.interpreter import Interpreter
from lab.host.powershell.values import to_text
from lab.machine import (
    Account,
    Command,
    ErrorRecord,
    HostFailed,
    Package,
    PipelineRequest,
    PipelineStopped,
    Progress,
    PSValue,
    Question,
    StreamName,
)

PURPLE = Account(domain="LAB", name="purple", sid="S-1-5-21-1004336348-1177238915-682003330-1105")
DAWN = datetime(2026, 3, 14, 9, 26, 53, 589793, tzinfo=UTC)


class Clock:
    """A clock that moves when it is told to."""

    def __init__(self) -> None:
        self.moment = DAWN

    def now(self) -> datetime:
        return self.moment

    def pass_(self, seconds: float) -> None:
        self.moment += timedelta(seconds=seconds)


@dataclass
class Record:
    """A witness that remembers everything."""

    processes: list[Process] = field(default_factory=list)
    logons: list[LogonSession] = field(default_factory=list)
    started: list[Engine] = field(default_factory=list)
    stopped: list[Engine] = field(default_factory=list)
    commands: list[CommandRun] = field(default_factory=list)
    pipelines: list[list[CommandRun]] = field(default_factory=list)
    scripts: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    ended: list[tuple[Process, int]] = field(default_factory=list)
    logged_off_ids: list[int] = field(default_factory=list)
    registry: list[RegistryChange] = field(default_factory=list)
    services: list[ServiceChange] = field(default_factory=list)
    accounts: list[AccountChange] = field(default_factory=list)

    def connected(self, connection: Connection) -> None:
        raise AssertionError("PowerShell accepts no connection")

    def shell_opened(self, shell: RemoteShell) -> None:
        raise AssertionError("PowerShell opens no shell for anybody")

    def credentials_used(self, use: CredentialUse) -> None:
        raise AssertionError("PowerShell reaches no other host")

    def logged_on(self, session: LogonSession) -> None:
        self.logons.append(session)

    def logged_off(self, session: LogonSession) -> None:
        self.logged_off_ids.append(session.logon_id)

    def process_started(self, process: Process) -> None:
        self.processes.append(process)

    def process_ended(self, process: Process, exit_code: int) -> None:
        self.ended.append((process, exit_code))

    def file_created(self, creation: FileCreation) -> None:
        self.files.append(creation.path)

    def logon_refused(self, refusal: LogonRefusal) -> None:
        raise AssertionError("PowerShell lets nobody in")

    def registry_changed(self, change: RegistryChange) -> None:
        self.registry.append(change)

    def service_changed(self, change: ServiceChange) -> None:
        self.services.append(change)

    def account_changed(self, change: AccountChange) -> None:
        self.accounts.append(change)

    def engine_started(self, engine: Engine) -> None:
        self.started.append(engine)

    def engine_stopped(self, engine: Engine) -> None:
        self.stopped.append(engine)

    def commands_run(self, engine: Engine, commands: Sequence[CommandRun]) -> None:
        self.commands += commands
        self.pipelines.append(list(commands))

    def script_block(self, engine: Engine, text: str) -> None:
        self.scripts.append(text)


class Client:
    """The client's end of a pipeline. `stop_after` waits it asks for a stop."""

    def __init__(self, clock: Clock, *, has_host: bool = False, stop_after: int | None = None) -> None:
        self._clock = clock
        self._host = has_host
        self._stop_after = stop_after
        self.values: list[PSValue] = []
        self.errors: list[ErrorRecord] = []
        self.records: list[tuple[StreamName, str]] = []
        self.screen: list[str] = []
        self._open = ""

    @property
    def has_host(self) -> bool:
        return self._host

    def output(self, value: PSValue) -> None:
        self.values.append(value)

    def error(self, record: ErrorRecord) -> None:
        self.errors.append(record)

    def record(self, stream: StreamName, text: str) -> None:
        self.records.append((stream, text))

    def progress(self, record: Progress) -> None:
        pass

    def ask(self, question: Question) -> PSValue:
        raise HostFailed("nobody to ask")

    def host_write_line(self, text: str) -> None:
        self.screen.append(self._open + text)
        self._open = ""

    def host_write(self, text: str) -> None:
        self._open += text

    def host_write_error_line(self, text: str) -> None:
        self.screen.append(text)

    def wait(self, seconds: float) -> None:
        if self._stop_after is not None:
            self._stop_after -= 1
            if self._stop_after < 0:
                raise PipelineStopped
        self._clock.pass_(seconds)


@dataclass
class Answer:
    """What one run came to."""

    ended: ErrorRecord | None
    client: Client

    @property
    def texts(self) -> list[str]:
        return [to_text(value) for value in self.client.values]

    @property
    def error_ids(self) -> list[str]:
        found = [record.error_id for record in self.client.errors]
        return found + ([self.ended.error_id] if self.ended is not None else [])


class Bench:
    """A host with one open runspace in a wsmprovhost.exe of its own."""

    def __init__(self, seed: int = 7, account: Account = PURPLE, *, name: str = "WS6") -> None:
        self.clock = Clock()
        self.record = Record()
        self.host = Host(
            name=name,
            domain="lab.example",
            ip="10.10.5.6",
            seen_from="10.10.5.2",
            accounts=[account],
            now=self.clock.now,
            random=random.Random(seed),
            witness=self.record,
        )
        self.logon = self.host.new_logon(account, Package.NTLM)
        self.worker = self.host.start_process(
            parent=self.host.dcom_launch,
            path="C:\\Windows\\System32\\wsmprovhost.exe",
            command_line="C:\\Windows\\system32\\wsmprovhost.exe -Embedding",
            logon=self.logon,
            directory="C:\\Windows\\system32",
        )
        self.engine = Engine(
            host_name="ServerRemoteHost",
            host_version="1.0.0.0",
            host_id=self.host.new_uuid(),
            runspace_id=self.host.new_uuid(),
            version="5.1.19041.1",
            process=self.worker,
        )
        self.interpreter = Interpreter(self.host, self.engine, self.record)
        self.record.processes.clear()

    def script(self, text: str, *, has_host: bool = False, stop_after: int | None = None) -> Answer:
        """The text as Invoke-Command sends it."""
        return self.request(PipelineRequest(commands=(Command(text=text, is_script=True),)), has_host=has_host, stop_after=stop_after)

    def typed(self, text: str) -> Answer:
        """The text as a line of Enter-PSSession."""
        commands = (Command(text=text, is_script=True), Command(text="Out-Default", is_script=False, use_local_scope=True))
        return self.request(PipelineRequest(commands=commands), has_host=True)

    def request(self, request: PipelineRequest, *, has_host: bool = False, stop_after: int | None = None) -> Answer:
        client = Client(self.clock, has_host=has_host, stop_after=stop_after)
        return Answer(self.interpreter.run(request, client), client)
