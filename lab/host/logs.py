"""The event logs of the emulated host as its own commands read them: the records that its telemetry wrote, as many as a log keeps."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from harness.events.windows import WindowsEvent

MAX_RECORDS = 5_000
"""Records that a log keeps before it overwrites the oldest."""

_FILES = "%SystemRoot%\\System32\\Winevt\\Logs\\"
_CLASSIC = ("Application", "HardwareEvents", "Internet Explorer", "Key Management Service", "Security", "System", "Windows PowerShell")
_MODERN = (
    "Microsoft-Windows-Application-Experience/Program-Telemetry",
    "Microsoft-Windows-Bits-Client/Operational",
    "Microsoft-Windows-CodeIntegrity/Operational",
    "Microsoft-Windows-DNS-Client/Operational",
    "Microsoft-Windows-GroupPolicy/Operational",
    "Microsoft-Windows-PowerShell/Operational",
    "Microsoft-Windows-Sysmon/Operational",
    "Microsoft-Windows-TaskScheduler/Operational",
    "Microsoft-Windows-TerminalServices-LocalSessionManager/Operational",
    "Microsoft-Windows-Windows Defender/Operational",
    "Microsoft-Windows-WinRM/Operational",
    "Microsoft-Windows-WMI-Activity/Operational",
)


@dataclass(slots=True, kw_only=True)
class Log:
    """One log. `size` is its greatest size in bytes."""

    name: str
    classic: bool
    enabled: bool = True
    size: int = 20_971_520
    records: deque[WindowsEvent] = field(default_factory=lambda: deque(maxlen=MAX_RECORDS))

    @property
    def path(self) -> str:
        """The file that it is kept in."""
        return f"{_FILES}{self.name.replace('/', '%4')}.evtx"


class EventLogs:
    """The logs of one host, by lower-case name. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        off = ("Microsoft-Windows-DNS-Client/Operational", "Microsoft-Windows-TaskScheduler/Operational")
        known = [Log(name=name, classic=True) for name in _CLASSIC]
        known += [Log(name=name, classic=False, enabled=name not in off, size=1_052_672) for name in _MODERN]
        self._logs = {one.name.lower(): one for one in known}

    def append(self, event: WindowsEvent) -> None:
        """Keep a record."""
        with self._lock:
            log = self._logs.get(event.channel.lower())
            if log is None:
                log = self._logs[event.channel.lower()] = Log(name=event.channel, classic=False)
            log.records.append(event)

    def find(self, name: str) -> Log | None:
        """The log of this name."""
        return self._logs.get(name.lower())

    @property
    def all(self) -> Sequence[Log]:
        """Every log in the order of names."""
        with self._lock:
            return [self._logs[name] for name in sorted(self._logs)]

    def records(self, log: Log) -> list[WindowsEvent]:
        """The records of a log, the newest first."""
        with self._lock:
            return list(reversed(log.records))
