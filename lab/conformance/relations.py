"""Relations between events: one session, logon, process, engine or connection told alike by different logs.

A table of what ties which kinds, and what of a stream has to be kept to see whether it does. It must never know which side is looked at.

Sources: recordings of PowerShell Remoting (OTRF/Security-Datasets) and Microsoft's pages of the audit events, which name the Logon ID,
process ids and ports as what events are correlated by.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from harness.events.audit import WINRM
from harness.events.ecs import POWERSHELL, POWERSHELL_CLASSIC, SECURITY, SYSMON
from harness.model.conformance import EventKind

_MOST_KEYS = 20_000
"""Keys of one end that are kept; of a recording with more of them the first show a relation just as well."""


def _plain(value: str) -> str:
    return value.lower()


def _pid(value: str) -> str:
    """A process id, whether it is written in hexadecimal or not."""
    try:
        return str(int(value, 16 if value.lower().startswith("0x") else 10))
    except ValueError:
        return ""


def _logon(value: str) -> str:
    return "" if value.lower() in ("0x0", "0x3e7", "0x3e4", "0x3e5") else value.lower()


def _name(value: str) -> str:
    return value.rpartition("\\")[2].lower()


Reading = Callable[[str], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """One side of a relation: fields of a kind and how each is read. A key of which a part is empty ties nothing."""

    kind: EventKind
    fields: tuple[tuple[str, Reading], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Relation:
    """Some event of one end has the key of some event of the other, on the same host."""

    name: str
    left: End
    right: End


def _of(channel: str, event_id: int, *fields: tuple[str, Reading]) -> End:
    return End(kind=EventKind(channel=channel, event_id=event_id), fields=fields)


RELATIONS = (
    Relation(
        name="a logon and its special privileges have one LogonId",
        left=_of(SECURITY, 4624, ("targetlogonid", _logon)),
        right=_of(SECURITY, 4672, ("subjectlogonid", _logon)),
    ),
    Relation(
        name="a logon ends under its LogonId",
        left=_of(SECURITY, 4624, ("targetlogonid", _logon)),
        right=_of(SECURITY, 4634, ("targetlogonid", _logon)),
    ),
    Relation(
        name="a process runs under a logon's LogonId (4688)",
        left=_of(SECURITY, 4624, ("targetlogonid", _logon)),
        right=_of(SECURITY, 4688, ("targetlogonid", _logon)),
    ),
    Relation(
        name="a process runs under a logon's LogonId (Sysmon)",
        left=_of(SECURITY, 4624, ("targetlogonid", _logon)),
        right=_of(SYSMON, 1, ("logonid", _logon)),
    ),
    Relation(
        name="one process, hexadecimal in 4688 and decimal in Sysmon",
        left=_of(SECURITY, 4688, ("newprocessid", _pid), ("newprocessname", _name)),
        right=_of(SYSMON, 1, ("processid", _pid), ("image", _name)),
    ),
    Relation(
        name="one parent, hexadecimal in 4688 and decimal in Sysmon",
        left=_of(SECURITY, 4688, ("newprocessid", _pid), ("processid", _pid)),
        right=_of(SYSMON, 1, ("processid", _pid), ("parentprocessid", _pid)),
    ),
    Relation(
        name="a process ends under the id that it began with (Security)",
        left=_of(SECURITY, 4688, ("newprocessid", _pid), ("newprocessname", _name)),
        right=_of(SECURITY, 4689, ("processid", _pid), ("processname", _name)),
    ),
    Relation(
        name="a process ends under the guid that it began with (Sysmon)",
        left=_of(SYSMON, 1, ("processguid", _plain)),
        right=_of(SYSMON, 5, ("processguid", _plain)),
    ),
    Relation(
        name="a child names its parent's guid",
        left=_of(SYSMON, 1, ("processguid", _plain), ("processid", _pid)),
        right=_of(SYSMON, 1, ("parentprocessguid", _plain), ("parentprocessid", _pid)),
    ),
    Relation(
        name="one connection has its ports in both logs",
        left=_of(SECURITY, 5156, ("sourceport", _plain), ("destport", _plain), ("sourceaddress", _plain)),
        right=_of(SYSMON, 3, ("sourceport", _plain), ("destinationport", _plain), ("sourceip", _plain)),
    ),
    Relation(
        name="an engine's providers start under its HostId",
        left=_of(POWERSHELL_CLASSIC, 400, ("data.hostid", _plain)),
        right=_of(POWERSHELL_CLASSIC, 600, ("data.hostid", _plain)),
    ),
    Relation(
        name="an engine stops under the ids that it started with",
        left=_of(POWERSHELL_CLASSIC, 400, ("data.hostid", _plain), ("data.runspaceid", _plain)),
        right=_of(POWERSHELL_CLASSIC, 403, ("data.hostid", _plain), ("data.runspaceid", _plain)),
    ),
    Relation(
        name="module logging names the engine's HostId and RunspaceId",
        left=_of(POWERSHELL_CLASSIC, 400, ("data.hostid", _plain), ("data.runspaceid", _plain)),
        right=_of(POWERSHELL, 4103, ("contextinfo.host id", _plain), ("contextinfo.runspace id", _plain)),
    ),
    Relation(
        name="module logging is told twice under one RunspaceId",
        left=_of(POWERSHELL_CLASSIC, 800, ("data.runspaceid", _plain)),
        right=_of(POWERSHELL, 4103, ("contextinfo.runspace id", _plain)),
    ),
    Relation(
        name="an engine's log is written by its process",
        left=_of(SECURITY, 4688, ("newprocessid", _pid)),
        right=_of(POWERSHELL, 53504, ("@process", _pid)),
    ),
    Relation(
        name="an engine's pipe is that of the process that logs it",
        left=_of(POWERSHELL, 53504, ("param1", _pid)),
        right=_of(POWERSHELL, 53504, ("@process", _pid)),
    ),
    Relation(
        name="a remote shell is opened for an account that logged on",
        left=_of(SECURITY, 4624, ("targetusersid", _plain)),
        right=_of(WINRM, 91, ("@user", _plain)),
    ),
)


class Ends:
    """What of a stream the relations could be told by."""

    def __init__(self, relations: tuple[Relation, ...]) -> None:
        self.relations = relations
        self._keys: dict[End, set[tuple[str, ...]]] = {}
        self._by_kind: dict[EventKind, list[End]] = {}
        for relation in relations:
            for end in (relation.left, relation.right):
                if end not in self._keys:
                    self._keys[end] = set()
                    self._by_kind.setdefault(end.kind, []).append(end)

    def take(self, kind: EventKind, host: str, values: Mapping[str, str]) -> None:
        """Keep an event's keys."""
        for end in self._by_kind.get(kind, ()):
            key = tuple(reading(values.get(name, "")) for name, reading in end.fields)
            if all(key) and len(self._keys[end]) < _MOST_KEYS:
                self._keys[end].add((host, *key))

    def held(self) -> dict[str, bool | None]:
        """Each relation's name, and whether it was seen; None where one of its ends was not."""
        found: dict[str, bool | None] = {}
        for relation in self.relations:
            left, right = self._keys[relation.left], self._keys[relation.right]
            found[relation.name] = not left.isdisjoint(right) if left and right else None
        return found
