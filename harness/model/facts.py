"""Facts: what I/O code saw, each with its time. What they mean is decided in `harness.core`, never here.

Every datetime is aware and in UTC. Which clock it was read from is said beside it: *ours* (the driver's), *the target's*,
or *the SIEM's*.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from harness.model.intent import PlannedStep, Severity

FlatValue = str | int | float | bool | None | list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One Windows event as a SIEM or a recording holds it.

    `id` is the document's id, unique in its store. `host` is the machine's short name in lower case (one host logs under its
    short and its full name). `channel` as logged: compare it without regard to case. `time` is the target's clock. `flat` has
    the event's own field names in lower case (EventData under its own names, beside `channel`, `eventid`, `computer`,
    `provider_name`, `message`, and `execution_process_id` where known); `raw` is the document as it was read.
    """

    id: str
    channel: str
    event_id: int
    host: str
    time: datetime
    provider: str
    flat: Mapping[str, FlatValue]
    raw: Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """An event that can be found in the SIEM, and since when (the SIEM's clock)."""

    event: Event
    searchable_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """An alert as the SIEM holds it.

    `raised_at` and `searchable_at` are the SIEM's clock. `events` are the alert's source events, followed to the documents;
    empty where the source does not tell. `source` names the alert source ("embedded", "elastalert2", ...).
    """

    id: str
    rule: str
    host: str
    severity: Severity
    raised_at: datetime
    searchable_at: datetime
    events: tuple[Event, ...]
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleRun:
    """One run of one rule by the SIEM's rule engine: the proof that it looked.

    It searched events whose time lies from `window_start` to `window_end` (both inclusive). All times are the SIEM's clock.
    """

    id: str
    rule: str
    window_start: datetime
    window_end: datetime
    started_at: datetime
    finished_at: datetime
    ok: bool
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """The SIEM's own answer to a rule's query that we put to it, because nothing runs the rule there: no alert, and no run of a rule.

    `found` are the ids of the events that satisfy the query: one set for a rule about one event, else one for each of `Pattern.asked`.
    It was asked of every event of the watched hosts from `since` on (the target's clock) that was searchable at `asked_at` (the SIEM's).
    `refused` is why the SIEM did not answer; nothing is found then.
    """

    rule: str
    since: datetime
    asked_at: datetime
    found: tuple[frozenset[str], ...]
    refused: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Socket:
    """One end of a TCP connection, as an address that the target logs and a port."""

    ip: str
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What the driver knows of its own session: the keys by which telemetry is attributed.

    `sockets` are the client's ends of every TCP connection of the session. `process_id` is the session's host process
    (wsmprovhost.exe, winrshost.exe), `host_id` its `$Host.InstanceId`, `runspace_id` the runspace's InstanceId; None where the session died
    before they could be read. `logon_id` is never read by the driver: it is joined from telemetry. `via` is the session on the jump host
    that opened this one: then the sockets are ends of its, and joined from telemetry too.
    """

    sockets: tuple[Socket, ...] = ()
    logon_id: str | None = None
    process_id: int | None = None
    host_id: str | None = None
    runspace_id: str | None = None
    via: Identity | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """What the harness itself ran in the session to learn its identity, so that nobody takes its telemetry for the step's.

    `script` is the text as sent, empty where nothing had to be run; `started_at` and `finished_at` are our clock. `target_time` is the
    target's clock as it was read, somewhere between the two; where something coarser told it, it may be wrong by `grain` either way.
    """

    script: str
    started_at: datetime
    finished_at: datetime
    target_time: datetime
    grain: timedelta = timedelta(0)
    via: Footprint | None = None

    @property
    def clock_offset(self) -> timedelta:
        """The target's clock minus ours, taking the reading to lie midway."""
        return self.target_time - (self.started_at + (self.finished_at - self.started_at) / 2)


class StreamKind(StrEnum):
    """PowerShell's streams, by their own names."""

    ERROR = "error"
    WARNING = "warning"
    VERBOSE = "verbose"
    DEBUG = "debug"
    INFORMATION = "information"


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamRecord:
    """One record of a stream other than output. `error_id` is the FullyQualifiedErrorId of an error record."""

    stream: StreamKind
    text: str
    error_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """A step that ran to its end on the target.

    `output` is what it printed, a string per object or line. `terminated` names the error that ended it early, or is empty.
    `exit_code` is the last native program's ($LASTEXITCODE), None where none ran. `forms` says of each line or script how it
    travelled: "command" (a command list), "script", or "line" (a command line of a remote shell).
    """

    output: tuple[str, ...] = ()
    records: tuple[StreamRecord, ...] = ()
    terminated: str = ""
    exit_code: int | None = None
    forms: tuple[str, ...] = ()


class FailureKind(StrEnum):
    """Why a step has no execution to judge. None of these is ever a missed detection."""

    CONNECT = "connect"  # no connection, nothing sent
    AUTHENTICATION = "authentication"
    REFUSED = "refused"  # the endpoint answered and said no: quota, access, a fault
    CONNECTION_LOST = "connection_lost"  # cut while the step was under way: whether it ran is not known
    TIMEOUT = "timeout"
    PROTOCOL = "protocol"  # what came back is not WinRM or PSRP
    NOT_SENT = "not_sent"  # an earlier failure kept it from being sent
    INTERRUPTED = "interrupted"
    INTERNAL = "internal"  # our own fault


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A step that did not run to its end, or is not known to have. `message` never bears a secret."""

    kind: FailureKind
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Detonation:
    """A planned step that was sent, or was about to be. `started_at` and `finished_at` are our clock.

    `started_at` is read before the first packet; `finished_at` after the session is closed.
    """

    planned: PlannedStep
    started_at: datetime
    finished_at: datetime
    outcome: Execution | Failure
    identity: Identity
    footprint: Footprint | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleState:
    """What the SIEM says of one rule. `interval` is how often it runs, `look_back` how far its window reaches.

    `revision` is the SIEM's own, empty where it keeps none. `exceptions` and `silences` keep alerts of it back: a line each. `probed`:
    nothing runs it, and sweeps bring the SIEM's answers to its query instead; `not_probed` is why they cannot.
    """

    rule: str
    deployed: bool
    enabled: bool
    interval: timedelta
    look_back: timedelta
    revision: str = ""
    exceptions: tuple[str, ...] = ()
    silences: tuple[str, ...] = ()
    probed: bool = False
    not_probed: str = ""

    @property
    def runs(self) -> bool:
        """Whether the SIEM's rule engine has it and runs it."""
        return self.deployed and self.enabled


@dataclass(frozen=True, slots=True, kw_only=True)
class SiemStatus:
    """What the SIEM says of itself before anything is sent.

    `now` is its clock. `ingest_lag` is the 99th percentile of event time to searchable, measured or promised.
    `schedule_running` is False where the rule engine is known to stand still. `version` is its own, empty where it tells none;
    `mappings` says, by pattern of indices, which fields events there have, as a digest.
    """

    name: str
    now: datetime
    ingest_lag: timedelta
    schedule_running: bool
    rules: Mapping[str, RuleState]
    version: str = ""
    mappings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """What a sweep must look at for one open detonation: a host's short name, from a time of the target's clock on."""

    host: str
    since: datetime
    rules: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What one sweep brought back. Windows overlap: the same fact may come again and is told apart by its id.

    `now` is the SIEM's clock when it was asked. `cursor` is the adapter's own mark, handed back to it at the next sweep.
    """

    observed: tuple[Observed, ...]
    alerts: tuple[Alert, ...]
    runs: tuple[RuleRun, ...]
    now: datetime
    schedule_running: bool
    cursor: str
    probes: tuple[Probe, ...] = ()
