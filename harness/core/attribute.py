"""Attribution: which detonation caused an event or an alert, and on what grounds.

A detonation owns keys: at first those the driver knows (sockets, pid, HostId, RunspaceId), then whatever the telemetry ties to
them (the logon of its host process, the children of its processes, their engines). An event that bears an owned key is EXACT.
An event that bears no key of ours but a session's key is another session's, and nobody's here. What is left is judged by host,
user and time: WINDOW where one detonation alone fits and no other session is seen in that time, else AMBIGUOUS.

Facts may come in any order and a detonation's identity comes last, so ownership is a closure kept up to date with each of them. What was
concluded is kept until a fact comes that could change it: only events and detonations that overlap in time touch each other, and parents
their descendants.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from harness.core.keys import Key, Keys, bare_user, engine_key, keys_of, opened_socket, process_key, socket_key, starts_session
from harness.errors import RuleTooSlow
from harness.logic.sequence import find_all
from harness.model.facts import Alert, Detonation, Event, Observed
from harness.model.intent import Remoting, remoting
from harness.model.tree import Pattern
from harness.model.verdicts import Basis

# A host process outlives the client's goodbye by moments, and a log's own time lags the happening by as much.
SLACK = timedelta(seconds=2)
# Windows gives a pid away again at once: it is a session's only while the session lasts, but for the grain of an event's time.
_GRAIN = timedelta(milliseconds=5)
_MAX_ANCESTORS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribution:
    """A detonation's id, on what basis, and by which keys, in words."""

    detonation: str
    basis: Basis
    keys: tuple[str, ...] = ()


class _Timeline:
    """Names by the time of what they stand for, in order."""

    def __init__(self) -> None:
        self._entries: list[tuple[datetime, str]] = []

    def add(self, time: datetime, name: str) -> None:
        insort(self._entries, (time, name))

    def between(self, since: datetime, until: datetime) -> list[str]:
        """Those of that span, both ends among it."""
        first = bisect_left(self._entries, since, key=lambda entry: entry[0])
        last = bisect_right(self._entries, until, key=lambda entry: entry[0])
        return [name for _, name in self._entries[first:last]]


class HostAttribution:
    """Every session, event and alert of one host. Grows only; the answers may sharpen as more is learnt."""

    def __init__(self) -> None:
        self._detonations: dict[str, Detonation] = {}
        self._owned: dict[str, set[Key]] = {}
        self._owners: dict[Key, set[str]] = defaultdict(set)
        self._observed: dict[str, Observed] = {}
        self._keys: dict[str, Keys] = {}
        self._claimants: dict[Key, set[str]] = defaultdict(set)
        self._births: dict[Key, str] = {}
        self._exact: dict[str, set[str]] = defaultdict(set)
        self._timeline = _Timeline()
        self._starts = _Timeline()
        self._longest = timedelta(0)
        self._spans: dict[str, tuple[datetime, datetime]] = {}
        # Kept conclusions, by detonation; what is not there is to be found anew.
        self._telemetry: dict[str, tuple[Observed, ...]] = {}
        self._rivalled: dict[str, bool] = {}
        self.version = 0
        """Another one whenever a fact was added."""

    def detonated(self, detonation: Detonation) -> None:
        """A detonation is over and its identity known."""
        name = detonation.planned.id
        self._detonations[name] = detonation
        self._owned[name] = set()
        self._spans[name] = start, end = self._read_span(detonation, SLACK)
        self._starts.add(start, name)
        self._longest = max(self._longest, end - start)
        self.version += 1
        identity = detonation.identity
        keys = {socket_key(socket.ip, socket.port) for socket in identity.sockets}
        if identity.process_id is not None:
            keys.add(process_key(identity.process_id))
        keys |= {engine_key(guid) for guid in (identity.host_id, identity.runspace_id) if guid}
        if identity.logon_id:
            keys.add(("logon", str(int(identity.logon_id, 0))))
        self._grant(name, keys)
        self._forget([name])

    def observed(self, observed: Observed) -> None:
        """An event is searchable. One that was known already changes nothing."""
        event = observed.event
        if event.id in self._observed:
            return
        self._observed[event.id] = observed
        self._timeline.add(event.time, event.id)
        self.version += 1
        keys = self._read(event)
        for key in keys.claims:
            self._claimants[key].add(event.id)
        touched = [event.time]
        for key in keys.grants:
            if key[0] in ("pid", "guid") and key not in self._births:
                self._births[key] = event.id
                touched += self._times_below(key)
        for name in self._owners_of(keys):
            self._own(name, event)
        self._forget([name for time in touched for name in self._under_way(time, time)])

    def learnt(self, name: str, keys: Iterable[Key]) -> None:
        """The detonation owns these keys as well, as another host's telemetry told."""
        fresh = [key for key in keys if key not in self._owned[name]]
        if fresh:
            self.version += 1
            self._grant(name, fresh)
            self._forget([name])

    def opened_by(self, name: str) -> frozenset[Key]:
        """Our ends of the connections that the detonation's processes opened from this host."""
        mine = (self._observed[event_id].event for event_id, owners in self._exact.items() if owners == {name})
        return frozenset(key for event in mine if (key := opened_socket(event)) is not None)

    def of_event(self, event: Event) -> Attribution | None:
        """Whose event it is; None where it is nobody's here."""
        keys = self._read(event)
        candidates = self._owners_of(keys)
        owners = [name for name in candidates if self._bears_lasting(name, event, keys)]
        owners = owners or [name for name in candidates if self._bears_pid(name, event, keys)]
        if len(owners) == 1:
            return Attribution(detonation=owners[0], basis=Basis.EXACT, keys=self._words(owners[0], keys))
        if owners:
            return Attribution(detonation=owners[0], basis=Basis.AMBIGUOUS, keys=("several detonations own its keys",))
        return self._by_window([name for name in self._under_way(event.time, event.time) if self._fits(name, event, keys)])

    def of_alert(self, alert: Alert, pattern: Pattern | None = None) -> Attribution | None:
        """Whose alert it is. One that follows from several events is EXACT where one of them is and none is another's.

        `pattern` is that of the alert's rule, where it is known: on a busy host an event of another session may stand where ours would have
        done. Such an alert belongs to whoever brought about the event that completed it, provided that its own events alone make the
        pattern, with that very event as the last; where another session completed it, it is nobody's here.
        """
        if not alert.events:
            return self._by_window([name for name, d in self._detonations.items() if d.started_at - SLACK <= alert.raised_at])
        found = [self.of_event(event) for event in alert.events]
        known = [attribution for attribution in found if attribution is not None]
        exact = {attribution.detonation for attribution in known if attribution.basis is Basis.EXACT}
        if len(exact) > 1 and pattern is not None:
            return self._completed(alert, pattern)
        if len(exact) > 1:
            return Attribution(detonation=min(exact), basis=Basis.AMBIGUOUS, keys=("its events belong to several detonations",))
        if exact:
            foreign = any(self._foreign(event) for event, attribution in zip(alert.events, found, strict=True) if attribution is None)
            if foreign and pattern is not None:
                return self._completed(alert, pattern)
            words = tuple(dict.fromkeys(word for attribution in known for word in attribution.keys))
            return Attribution(detonation=exact.pop(), basis=Basis.AMBIGUOUS if foreign else Basis.EXACT, keys=words)
        if len(known) < len(found):
            return None
        if len({attribution.detonation for attribution in known}) == 1 and all(a.basis is Basis.WINDOW for a in known):
            return known[0]
        return Attribution(detonation=known[0].detonation, basis=Basis.AMBIGUOUS, keys=("host, user and time fit several",))

    def _completed(self, alert: Alert, pattern: Pattern) -> Attribution | None:
        """Whose alert it is, one of whose events is ours and one another session's."""
        last = max(alert.events, key=lambda event: (event.time, event.id))
        owner = self.of_event(last)
        if owner is None:
            return None
        if owner.basis is Basis.EXACT and self._makes_alone(owner.detonation, pattern, last):
            return Attribution(detonation=owner.detonation, basis=Basis.EXACT, keys=(*owner.keys, "its own events alone make the pattern"))
        return Attribution(detonation=owner.detonation, basis=Basis.AMBIGUOUS, keys=("its events belong to several sessions",))

    def _makes_alone(self, detonation: str, pattern: Pattern, last: Event) -> bool:
        own = [observed.event for observed in self._near(detonation) if detonation in self._exact[observed.event.id]]
        try:
            return any(last.id in (event.id for event in found) for found in find_all(pattern, own))
        except RuleTooSlow:
            return False

    def telemetry(self, detonation: str) -> Sequence[Observed]:
        """The events that are this detonation's, EXACT or WINDOW, its footprint's left out, in the order of their time.

        The same object as before where it has the same events.
        """
        if detonation not in self._telemetry:
            self._telemetry[detonation] = self._find_telemetry(detonation)
        return self._telemetry[detonation]

    def _find_telemetry(self, detonation: str) -> tuple[Observed, ...]:
        found = [
            observed
            for observed in self._near(detonation)
            if (a := self.of_event(observed.event)) is not None
            and a.detonation == detonation
            and a.basis is not Basis.AMBIGUOUS
            and not self.is_footprint(detonation, observed.event)
        ]
        return tuple(sorted(found, key=lambda observed: (observed.event.time, observed.event.id)))

    def is_footprint(self, detonation: str, event: Event) -> bool:
        """Whether the event tells of what the harness itself ran in the session to learn its identity."""
        footprint = self._detonations[detonation].footprint
        if footprint is None or not footprint.script:
            return False
        return str(event.flat.get("scriptblocktext", "")).strip() == footprint.script.strip()

    def seen_on_host(self, since: datetime, until: datetime) -> list[Observed]:
        """Every event of the host in that span, whosever it is."""
        return [self._observed[event_id] for event_id in self._timeline.between(since, until)]

    def logon_of(self, detonation: str) -> str | None:
        """The session's logon id, once telemetry told it, as Windows writes it."""
        logons = sorted(int(value) for what, value in self._owned[detonation] if what == "logon")
        return hex(logons[0]) if logons else None

    def _owners_of(self, keys: Keys) -> list[str]:
        """The detonations that own a key that the event claims, whenever it happened."""
        return sorted(set().union(*(self._owners.get(key, set()) for key in keys.claims)))

    # --- what may have changed ---------------------------------------------------------------------------------------

    def _under_way(self, since: datetime, until: datetime) -> list[str]:
        """The detonations that were under way at some time of that span, with slack."""
        return [name for name in self._starts.between(since - self._longest, until) if self._spans[name][1] >= since]

    def _forget(self, names: Iterable[str]) -> None:
        """What was concluded of these detonations, and of all that overlap one of them, is to be found anew."""
        near = {other for name in dict.fromkeys(names) for other in self._under_way(*self._spans[name])}
        for name in near:
            self._telemetry.pop(name, None)
            self._rivalled.pop(name, None)

    def _times_below(self, born: Key) -> Iterator[datetime]:
        """The times of the events that descend from a process, of which it was not known where it came from."""
        todo, seen = [born], {born}
        while todo:
            for event_id in self._claimants.get(todo.pop(), ()):
                event = self._observed[event_id].event
                yield event.time
                fresh = self._read(event).grants - seen
                seen |= fresh
                todo += fresh

    # --- ownership ---------------------------------------------------------------------------------------------------

    def _grant(self, name: str, keys: Iterable[Key]) -> None:
        fresh = [key for key in keys if key not in self._owned[name]]
        for key in fresh:
            self._owned[name].add(key)
            self._owners[key].add(name)
        for key in fresh:
            for event_id in tuple(self._claimants.get(key, ())):
                self._own(name, self._observed[event_id].event)

    def _own(self, name: str, event: Event) -> None:
        keys = self._read(event)
        if name in self._exact[event.id] or not (self._bears_lasting(name, event, keys) or self._bears_pid(name, event, keys)):
            return
        self._exact[event.id].add(name)
        grants = keys.grants
        if keys.host_grants and keys.session & self._owned[name]:
            grants |= keys.host_grants
        self._grant(name, grants)

    def _bears_lasting(self, name: str, event: Event, keys: Keys) -> bool:
        """Whether the event bears a key of the detonation's that is never given to another."""
        return self._in_time(name, event.time) and any(key[0] != "pid" and key in self._owned[name] for key in keys.claims)

    def _bears_pid(self, name: str, event: Event, keys: Keys) -> bool:
        """Whether the event bears a pid of the detonation's while it was the detonation's, and nothing lasting that is another's.

        A child's pid is free again while its session goes on, and the next process that gets it may be another session's.
        """
        owned = self._owned[name]
        if not any(key[0] == "pid" and key in owned for key in keys.claims) or not self._in_time(name, event.time, exactly=True):
            return False
        if keys.session and not keys.session & owned:
            return False
        detonation = self._detonations[name]
        footprint, host_pid = detonation.footprint, detonation.identity.process_id
        if (
            footprint is not None
            and host_pid is not None
            and process_key(host_pid) in keys.grants
            and event.time > footprint.target_time + footprint.grain
        ):
            return False  # our host process told us its pid before this one was born: both readings are the target's clock
        if keys.session:
            return True  # our host process's own start, or its child's: a child that was seen first may have told a guid, of itself alone
        for what in ("logon", "guid"):
            borne = {key for key in keys.claims if key[0] == what}
            if borne and not borne & owned and any(key[0] == what for key in owned):
                return False
        return True

    def _read(self, event: Event) -> Keys:
        if event.id not in self._keys:
            self._keys[event.id] = keys_of(event)
        return self._keys[event.id]

    def _in_time(self, name: str, time: datetime, *, exactly: bool = False) -> bool:
        start, end = self._span(name, exactly=exactly)
        return start <= time <= end

    def _span(self, name: str, *, exactly: bool = False) -> tuple[datetime, datetime]:
        """When the detonation was under way, by the target's clock: with slack, or as exactly as that clock was read."""
        detonation = self._detonations[name]
        footprint = detonation.footprint
        if footprint is None or not exactly:
            return self._spans[name]
        return self._read_span(detonation, _GRAIN + footprint.grain + (footprint.finished_at - footprint.started_at) / 2)

    def _read_span(self, detonation: Detonation, slack: timedelta) -> tuple[datetime, datetime]:
        offset = detonation.footprint.clock_offset if detonation.footprint else timedelta(0)
        return detonation.started_at + offset - slack, detonation.finished_at + offset + slack

    # --- the fallback: host, user and time ------------------------------------------------------------------------------

    def _fits(self, name: str, event: Event, keys: Keys) -> bool:
        user = bare_user(self._detonations[name].planned.target.user)
        return self._in_time(name, event.time) and (not keys.user or not user or user in keys.user) and not self._contradicts(name, event)

    def _contradicts(self, name: str, event: Event) -> bool:
        """Whether the event bears a session's key of a kind that this detonation knows, with another value."""
        identity = self._detonations[name].identity
        known = {"socket"}
        if identity.process_id is not None:
            known |= {"pid", "guid"}
        if identity.host_id is not None or self._has_no_engine(name):
            known.add("engine")
        return any(what in known for what, _ in self._session_keys(event))

    def _has_no_engine(self, name: str) -> bool:
        """A remote shell brings no PowerShell engine for remoting with it: whatever such an engine leaves is another session's."""
        return remoting(self._detonations[name].planned.action) is Remoting.WINRS

    def _session_keys(self, event: Event) -> frozenset[Key]:
        """The session's keys that the event bears itself or through the processes that it descends from."""
        for _ in range(_MAX_ANCESTORS):
            keys = self._read(event)
            if keys.session:
                return keys.session
            born = (self._births[key] for key in sorted(keys.claims - keys.grants) if key in self._births)
            parent = next((event_id for event_id in born if event_id != event.id), None)
            if parent is None:
                break
            event = self._observed[parent].event
        return frozenset()

    def _foreign(self, event: Event) -> bool:
        return bool(self._session_keys(event)) or not self._under_way(event.time, event.time)

    def _by_window(self, fitting: Sequence[str]) -> Attribution | None:
        if not fitting:
            return None
        words = ("host, user and time",)
        alone = len(fitting) == 1 and not self._has_rivals(fitting[0])
        return Attribution(detonation=fitting[0], basis=Basis.WINDOW if alone else Basis.AMBIGUOUS, keys=words)

    def _has_rivals(self, name: str) -> bool:
        if name not in self._rivalled:
            self._rivalled[name] = self._find_rivals(name)
        return self._rivalled[name]

    def _find_rivals(self, name: str) -> bool:
        """Whether sessions other than ours are seen in the detonation's time: then time proves nothing.

        A detonation that never learnt its pid has a host process of its own among the unclaimed ones.
        """
        sockets: set[Key] = set()
        hosts: set[Key] = set()
        engines: set[frozenset[Key]] = set()
        for observed in self._near(name):
            event = observed.event
            keys = self._read(event)
            if self._exact[event.id] or not keys.session:
                continue
            sockets |= {key for key in keys.session if key[0] == "socket"}
            if starts_session(event):
                hosts |= {key for key in keys.session if key[0] == "pid"}
            if any(key[0] == "engine" for key in keys.session):
                engines.add(keys.session)
        unknown = [other for other in self._under_way(*self._spans[name]) if self._detonations[other].identity.process_id is None]
        with_engine = sum(not self._has_no_engine(other) for other in unknown)
        return bool(sockets) or len(hosts) > len(unknown) or len(engines) > with_engine

    def _near(self, name: str) -> list[Observed]:
        start, end = self._span(name)
        return self.seen_on_host(start, end)

    def _words(self, name: str, keys: Keys) -> tuple[str, ...]:
        words = {"socket": "client socket", "pid": "process", "guid": "process guid", "logon": "logon", "engine": "engine id"}
        shared = sorted(keys.claims & self._owned[name])
        return tuple(f"{words[what]} {hex(int(value)) if what == 'logon' else value}" for what, value in shared)
