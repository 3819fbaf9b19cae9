"""The witness of an emulated host: told of a happening, it has every provider that would log it write its records.

It keeps what the logs themselves must remember (record numbers, an engine's sequence) and nothing of the host's state.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from threading import Lock
from uuid import UUID

from harness.events.audit import COMMAND_LINES, SCRIPT_BLOCK_LOGGING, settings_behind
from harness.events.windows import Level
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
from lab.host.telemetry import account_management, powershell, security, service_control, sysmon, winrm
from lab.host.telemetry.journal import Entry, Journal, Sink
from lab.host.telemetry.origin import Origin


@dataclass(slots=True, kw_only=True)
class _EngineLog:
    """What PowerShell's logging keeps for one engine: the next sequence number and the activity of its thread."""

    activity_id: str
    sequence: int = 1

    def take(self) -> int:
        """The number of the next record in the classic log; its twin in the operational log has the number after it."""
        number = self.sequence
        self.sequence += 2
        return number


class Telemetry:
    """A `lab.host.happenings.Witness` that writes Windows events to a sink.

    The sink is called under a lock, from the thread to which it happened, in the order of the record ids; it must not block for long
    and not come back here. `now` is the host's clock (aware, UTC). `off` are the names of `harness.events.audit.SETTINGS` that are
    not made on this host: what depends on them is not logged.
    """

    def __init__(
        self, origin: Origin, sink: Sink, now: Callable[[], datetime], random: Random, *, off: frozenset[str] = frozenset()
    ) -> None:
        self._origin = origin
        self._off = off
        self._now = now
        self._random = random
        self._journal = Journal(origin.computer, sink, now, random)
        self._lsass_activity = _braced(self._new_id())
        self._engines: dict[UUID, _EngineLog] = {}
        self._lock = Lock()

    def connected(self, connection: Connection) -> None:
        """Security 5156 and Sysmon 3."""
        with self._lock:
            lag = timedelta(milliseconds=self._random.randrange(200, 1_600))  # as recorded, from a quarter second to two
            self._write(
                (security.connected(self._origin, connection), sysmon.connected(self._origin, connection, self._now(), lag)),
            )

    def logged_on(self, session: LogonSession) -> None:
        """Security 4672 and 4624."""
        with self._lock:
            self._write(security.logged_on(self._origin, session, self._lsass_activity))

    def logon_refused(self, refusal: LogonRefusal) -> None:
        """Security 4625."""
        with self._lock:
            self._write((security.logon_refused(self._origin, refusal, self._lsass_activity),))

    def logged_off(self, session: LogonSession) -> None:
        """Security 4634."""
        with self._lock:
            self._write((security.logged_off(self._origin, session),))

    def credentials_used(self, use: CredentialUse) -> None:
        """Security 4648."""
        with self._lock:
            self._write((security.credentials_used(self._origin, use, self._lsass_activity),))

    def shell_opened(self, shell: RemoteShell) -> None:
        """WinRM/Operational 91."""
        with self._lock:
            self._write((winrm.shell_opened(self._origin, shell, _braced(self._new_id())),))

    def process_started(self, process: Process) -> None:
        """Security 4688 and Sysmon 1."""
        with self._lock:
            self._write((sysmon.process_started(self._origin, process), security.process_started(self._origin, process)))

    def process_ended(self, process: Process, exit_code: int) -> None:
        """Security 4689 and Sysmon 5."""
        with self._lock:
            audited = security.process_ended(self._origin, process, exit_code)
            self._write((audited, sysmon.process_ended(self._origin, process, self._now())))

    def file_created(self, creation: FileCreation) -> None:
        """Sysmon 11."""
        with self._lock:
            self._write((sysmon.file_created(self._origin, creation, self._now()),))

    def registry_changed(self, change: RegistryChange) -> None:
        """Sysmon 12 and 13."""
        with self._lock:
            self._write((sysmon.registry_changed(self._origin, change, self._now()),))

    def service_changed(self, change: ServiceChange) -> None:
        """System 7036, 7040 and 7045, Security 4697."""
        with self._lock:
            self._write(service_control.changed(self._origin, change))

    def account_changed(self, change: AccountChange) -> None:
        """Security 4720, 4722, 4724 to 4726 and 4738 of users, 4728, 4729 and 4731 to 4734 of groups."""
        with self._lock:
            self._write(account_management.changed(self._origin, change))

    def engine_started(self, engine: Engine) -> None:
        """Windows PowerShell 600 for each provider, then 400; PowerShell/Operational 53504, between 40961 and 40962 in powershell.exe."""
        with self._lock:
            log = self._engines[engine.runspace_id] = _EngineLog(activity_id=_braced(self._new_id()))
            is_console = engine.host_name == powershell.CONSOLE_HOST
            if is_console:
                self._write((powershell.console_starting(engine, log.activity_id),))
            self._write(powershell.provider_started(engine, name, log.take()) for name in powershell.PROVIDERS)
            self._write((powershell.engine_started(engine, log.take()), powershell.pipe_opened(engine, log.activity_id)))
            if is_console:
                self._write((powershell.console_ready(engine, log.activity_id),))

    def engine_stopped(self, engine: Engine) -> None:
        """Windows PowerShell 403."""
        with self._lock:
            log = self._engines.pop(engine.runspace_id)
            self._write((powershell.engine_stopped(engine, log.take()),))

    def commands_run(self, engine: Engine, commands: Sequence[CommandRun]) -> None:
        """PowerShell/Operational 4103 and its classic twin 800, one pair for the pipeline."""
        with self._lock:
            log = self._engines[engine.runspace_id]
            number = log.take()
            self._write(powershell.pipeline_details(engine, commands, number))
            self._write(powershell.commands_run(engine, commands, number + 1, log.activity_id))

    def script_block(self, engine: Engine, text: str) -> None:
        """PowerShell/Operational 4104, in several parts for a long text."""
        with self._lock:
            # PowerShell draws the size of the parts anew for every script, so that none can be arranged around it.
            segment = self._random.randrange(powershell.LONG_SCRIPT // 2, powershell.LONG_SCRIPT)
            log = self._engines[engine.runspace_id]
            self._write(powershell.script_block(engine, text, self._new_id(), segment, log.activity_id))

    def _write(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            if self._is_logged(entry):
                self._journal.write(self._as_told(entry))

    def _is_logged(self, entry: Entry) -> bool:
        behind = {setting.name for setting in settings_behind(entry.provider.channel, entry.event_id)}
        if entry.event_id == 4104 and entry.level is Level.WARNING:
            behind.discard(SCRIPT_BLOCK_LOGGING.name)  # PowerShell logs a suspicious script without being told to
        return not behind & self._off

    def _as_told(self, entry: Entry) -> Entry:
        if entry.event_id == 4688 and COMMAND_LINES.name in self._off:
            return security.without_command_line(entry)
        return entry

    def _new_id(self) -> UUID:
        return UUID(int=self._random.getrandbits(128), version=4)


def _braced(identifier: UUID) -> str:
    return f"{{{str(identifier).upper()}}}"
