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

from lab.host.happenings import CommandRun, Connection, CredentialUse, Engine, LogonSession, Process
from lab.host.telemetry import powershell, security, sysmon
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
    and not come back here. `now` is the host's clock (aware, UTC).
    """

    def __init__(self, origin: Origin, sink: Sink, now: Callable[[], datetime], random: Random) -> None:
        self._origin = origin
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
            audited = security.connected(self._origin, connection)
            self._write((audited, sysmon.connected(self._origin, connection, at=self._now(), lag=lag)))

    def credentials_used(self, use: CredentialUse) -> None:
        """Security 4648."""
        with self._lock:
            self._write((security.credentials_used(self._origin, use, self._lsass_activity),))

    def logged_on(self, session: LogonSession) -> None:
        """Security 4672 and 4624."""
        with self._lock:
            self._write(security.logged_on(self._origin, session, self._lsass_activity))

    def process_started(self, process: Process) -> None:
        """Security 4688 and Sysmon 1."""
        with self._lock:
            self._write((sysmon.process_started(self._origin, process), security.process_started(self._origin, process)))

    def engine_started(self, engine: Engine) -> None:
        """Windows PowerShell 600 for each provider, then 400."""
        with self._lock:
            log = self._engines[engine.runspace_id] = _EngineLog(activity_id=_braced(self._new_id()))
            self._write(powershell.provider_started(engine, name, log.take()) for name in powershell.PROVIDERS)
            self._write((powershell.engine_started(engine, log.take()),))

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
            self._journal.write(entry)

    def _new_id(self) -> UUID:
        return UUID(int=self._random.getrandbits(128), version=4)


def _braced(identifier: UUID) -> str:
    return f"{{{str(identifier).upper()}}}"
