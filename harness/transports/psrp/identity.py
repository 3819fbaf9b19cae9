"""What the harness runs in a session to learn its identity, and how the answer is read. Pure: knows no library and no clock."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from harness.model.facts import Identity, Socket

# One expression, no command: it starts no process, calls no cmdlet and leaves no more than its own text in the target's logs. $Host is
# the remote host object, whose InstanceId is the HostId of the engine's events (Windows PowerShell 400, PowerShell/Operational 4103).
EXPRESSION = (
    '"$PID|$($Host.InstanceId)|$([System.Management.Automation.Runspaces.Runspace]::DefaultRunspace.InstanceId)'
    "|$([DateTime]::UtcNow.ToString('o'))|$LASTEXITCODE\""
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the expression said. `time` is the target's clock, UTC; `exit_code` is None where no native program ran."""

    process_id: int
    host_id: str
    runspace_id: str
    time: datetime
    exit_code: int | None

    def identity(self, *, sockets: tuple[Socket, ...] = (), via: Identity | None = None) -> Identity:
        """The session's identity, with the client's ends of its connections as far as they are known."""
        return Identity(sockets=sockets, process_id=self.process_id, host_id=self.host_id, runspace_id=self.runspace_id, via=via)


def read_answer(text: str) -> Answer:
    """The expression's output, read. Raises `ValueError` where it is something else."""
    process_id, host_id, runspace_id, time, exit_code = text.strip().split("|")
    moment = datetime.fromisoformat(time)
    if moment.tzinfo is None:
        raise ValueError(f"the target's clock came without a zone: {time}")
    return Answer(
        process_id=int(process_id),
        host_id=str(UUID(host_id)),
        runspace_id=str(UUID(runspace_id)),
        time=moment.astimezone(UTC),
        exit_code=int(exit_code) if exit_code else None,
    )
