"""Elasticsearch as the `Siem` port: one request a sweep for everything open, whatever its number.

What Elasticsearch does not say is when a document became searchable. It is taken to be when we first saw it, which is never too early:
a rule's run counts as proof only where it started after that. Windows overlap, since documents come late and out of order; what was
handed out up to a cursor is not handed out again for it. It must never know which detection engines there are.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import sha256

from harness.clock import SystemClock
from harness.errors import SiemDenied, SiemError
from harness.events.fields import iso_time
from harness.model.facts import Alert, Event, Facts, Observed, RuleState, SiemStatus, Watch
from harness.model.health import Finding
from harness.model.intent import Rule, Severity
from harness.model.tree import Node
from harness.ports import Clock
from harness.siem.elastic.examination import examined
from harness.siem.elastic.probe import QueryProbe
from harness.siem.elastic.shipping import make_ready
from harness.siem.elastic.source import AlertSource, Engine, Found, Raised, runs_still
from harness.siem.elastic.telemetry import OVERLAP, Telemetry, Wanted, event_of, ingest_lag, of_hosts, time_told
from harness.siem.elastic.wire import Answer, Reference, Search, Wire

NAME = "elasticsearch"

_SYSTEM_CLOCK = SystemClock()
_NOTHING = timedelta(0)

# The first answer of a connection takes longest; the quickest of these tells the SIEM's clock best.
_READINGS = 3


class ElasticSiem:
    """The port `harness.ports.Siem` over an Elasticsearch.

    `events` are patterns of the indices that events are in. `probe` asks the queries of rules that no source
    runs. `severities` are those of the rules that are known here, for engines that write none. `ingest_lag` and `rule_interval` are
    promised, and stand while too little is there to measure them by. `own_index` is made where it is not there: somebody is about to ship
    to it.
    """

    def __init__(
        self,
        wire: Wire,
        *,
        events: Sequence[str],
        sources: Sequence[AlertSource],
        severities: Mapping[str, Severity],
        ingest_lag: timedelta,
        rule_interval: timedelta,
        own_index: str = "",
        probe: QueryProbe | None = None,
        clock: Clock = _SYSTEM_CLOCK,
    ) -> None:
        self._wire = wire
        self._own_index = own_index
        self._events = tuple(events)
        self._telemetry = Telemetry(events)
        self._sources = tuple(sources)
        self._probe = probe
        self._probed: frozenset[str] = frozenset()
        self.severities = severities
        self._ingest_lag = ingest_lag
        self._rule_interval = rule_interval
        # By source: how often something of its engine runs; and of the rules that it alone can prove missed.
        self._heartbeats: Mapping[str, timedelta] = {}
        self._provers: Mapping[str, str] = {}
        self._clock = clock
        self._offset: _Offset | None = None
        self._sweeps = 0
        # By what a fact is: in which sweep, and when, it was first seen.
        self._seen: dict[tuple[str, ...], tuple[int, datetime]] = {}
        self._alerts: dict[tuple[str, str], Alert] = {}

    def examine(self, asked: Mapping[str, Node]) -> Iterator[Finding]:
        """What is wrong with rights, indices and mappings; `asked` is what rules ask of ECS fields, by their ids. Raises `SiemError`."""
        if self._own_index:
            make_ready(self._wire, self._own_index)
        engines = [index for source in self._sources for index in source.indices]
        yield from examined(self._wire, self._events, engines, asked)

    def check(self, rules: frozenset[str]) -> SiemStatus:
        """See `Siem.check`. `ingest_lag` is measured on events that say when they were ingested, else promised."""
        if self._own_index:
            make_ready(self._wire, self._own_index)
        started = self._clock.now()
        self._offset = self._read_clock()
        now = self._now()
        recent, *answers = self._wire.search([self._telemetry.recent(now), *self._searches_of_rules(now)])
        engines = self._engines(answers, now)
        found = _all_rules(engines)
        self._heartbeats = {
            name: min((state.interval for state in engine.rules.values() if state.enabled), default=self._rule_interval)
            for name, engine in engines.items()
        }
        self._provers = {rule: name for rule, (name, _) in found.items()}
        states = {rule: found[rule][1] if rule in found else self._absent(rule) for rule in rules}
        if self._probe is not None:
            states = {rule: state if state.runs else self._with_probe(state, self._probe) for rule, state in states.items()}
            self._probed = frozenset(rule for rule, state in states.items() if state.probed)
        return SiemStatus(
            name=NAME,
            # Who asks takes the answer for one of the moment midway.
            now=started + (self._clock.now() - started) / 2 + self._offset.length,
            ingest_lag=max(self._ingest_lag, ingest_lag(recent) or _NOTHING),
            schedule_running=any(engine.running for engine in engines.values()),
            rules=states,
            version=self._wire.version(),
            mappings={pattern: digest for pattern in self._events if (digest := self._mapping(pattern))},
        )

    def _mapping(self, pattern: str) -> str:
        """The fields of these indices and their types, as a digest; empty where they may not be asked for, or there are none."""
        try:
            types = self._wire.field_types(pattern)
        except SiemDenied:
            return ""
        told = "\n".join(f"{name} {' '.join(sorted(types[name]))}" for name in sorted(types))
        return f"{len(types)} fields ({sha256(told.encode()).hexdigest()[:12]})" if types else ""

    def _absent(self, rule: str) -> RuleState:
        return RuleState(rule=rule, deployed=False, enabled=False, interval=_NOTHING, look_back=_NOTHING)

    def _with_probe(self, state: RuleState, probe: QueryProbe) -> RuleState:
        refusal = probe.refusal(state.rule)
        return replace(state, probed=not refusal, not_probed=refusal)

    def known_rules(self) -> frozenset[str]:
        """See `Siem.known_rules`: the rules that an alert source has seen running."""
        now = self._clock.now()
        return frozenset(_all_rules(self._engines(self._wire.search(self._searches_of_rules(now)), now)))

    def deploy(self, rules: Sequence[Rule]) -> None:
        """See `Siem.deploy`. Not possible: a detection engine's rules are not in Elasticsearch."""
        raise SiemError(f"{len(rules)} rules cannot be deployed through Elasticsearch: give them to the detection engine itself")

    def sweep(self, watches: Sequence[Watch], cursor: str) -> Facts:
        """See `Siem.sweep`: one request; one more where there are new alerts whose events are not among the answers, and for full pages."""
        if self._offset is None:
            self._offset = self._read_clock()
        before = _Cursor.parse(cursor)
        self._sweeps += 1
        hosts = _earliest((watch.host, watch.since) for watch in watches)
        rules = _earliest((rule, watch.since) for watch in watches for rule in watch.rules)
        had = {*before.had(hosts, before.hosts), *before.had(rules, before.rules)}
        wanted = [Wanted(host=host, since=since, **before.progress(host, since)) for host, since in hosts.items()]

        now = self._now()
        since = min([*hosts.values(), *rules.values()], default=now)
        if before.swept is not None and len(had) == len(hosts) + len(rules):
            since = max(since, before.swept - OVERLAP)
        events = self._telemetry.searches(wanted)
        searches = [source.searches(frozenset(rules), since) for source in self._sources]
        # All of the time that is watched, at every sweep: so that each answer stands for itself, one that finds nothing above all.
        probed, whole = sorted(self._probed & rules.keys()), of_hosts([Wanted(host=host, since=time) for host, time in hosts.items()])
        probes = self._probe.searches(probed, whole) if self._probe is not None else ()
        asked = [*events, *(search for part in searches for search in part), *probes]
        answers = self._wire.search(asked)
        seen_at = self._now() + self._offset.uncertainty

        logged = self._telemetry.read(answers[: len(events)], wanted)
        found = self._found(answers[len(events) : len(asked) - len(probes)], [len(part) for part in searches])
        self._build_alerts(found, {entry.reference: entry.event for entry in logged}, seen_at)

        observed: list[Observed] = []
        last: dict[str, datetime] = {}
        for entry in logged:
            event = entry.event
            last[event.host] = max(last.get(event.host, entry.timestamp), entry.timestamp)
            if (at := self._fresh(("event", event.id), before, seen_at, event.host in had)) is not None:
                observed.append(Observed(event=event, searchable_at=at))
        alerts = []
        for name, part in found:
            for raised in part.alerts:
                alert = self._alerts[(name, raised.id)]
                time = min((event.time for event in alert.events), default=alert.raised_at)
                wanting = [key for key, of in ((alert.host, hosts), (alert.rule, rules)) if key in of and time >= of[key]]
                if wanting and self._fresh(("alert", name, raised.id), before, seen_at, any(key in had for key in wanting)) is not None:
                    alerts.append(alert)
        runs = [
            run
            for name, part in found
            for run in part.runs
            if self._provers.get(run.rule, name) == name
            # A run whose alerts were not all there becomes a proof once they are, and is then told anew.
            if run.rule in rules and self._fresh(("run", name, run.id, str(run.ok)), before, seen_at, run.rule in had) is not None
        ]
        heard = [(self._heartbeats.get(name, self._rule_interval), part.last_run) for name, part in found if part.last_run is not None]
        return Facts(
            observed=tuple(observed),
            alerts=tuple(alerts),
            runs=tuple(runs),
            now=now,
            schedule_running=any(runs_still(last_run, heartbeat, now) for heartbeat, last_run in heard),
            cursor=before.after(self._sweeps, now, hosts, rules, last).text(),
            probes=(
                tuple(self._probe.read(answers[len(asked) - len(probes) :], probed, whole, max(hosts.values()), now))
                if self._probe is not None and hosts
                else ()
            ),
        )

    # --- asking ------------------------------------------------------------------------------------------------------------

    def _read_clock(self) -> _Offset:
        """The SIEM's clock minus ours, from the quickest of a few readings: within a reading nothing says when it was taken."""
        readings = []
        for _ in range(_READINGS):
            before = self._clock.now()
            (answer,) = self._wire.search([self._telemetry.clock()])
            after = self._clock.now()
            told = time_told(answer)
            if told is None:
                raise SiemError(f"Elasticsearch has no index {self._telemetry.index}: name in siem.events where events are")
            readings.append(_Offset(length=told - (before + (after - before) / 2), uncertainty=(after - before) / 2))
        return min(readings, key=lambda reading: reading.uncertainty)

    def _now(self) -> datetime:
        """The SIEM's clock."""
        assert self._offset is not None
        return self._clock.now() + self._offset.length

    def _searches_of_rules(self, now: datetime) -> list[Search]:
        return [search for source in self._sources for search in source.searches_of_rules(now)]

    def _engines(self, answers: Sequence[Answer], now: datetime) -> dict[str, Engine]:
        found = {}
        start = 0
        for source in self._sources:
            end = start + len(source.searches_of_rules(now))
            found[source.name] = source.engine(answers[start:end], now)
            start = end
        return found

    def _found(self, answers: Sequence[Answer], lengths: Sequence[int]) -> list[tuple[str, Found]]:
        found = []
        start = 0
        for source, length in zip(self._sources, lengths, strict=True):
            found.append((source.name, source.read(answers[start : start + length])))
            start += length
        return found

    # --- facts ---------------------------------------------------------------------------------------------------------------

    def _fresh(self, key: tuple[str, ...], before: _Cursor, at: datetime, watched_before: bool) -> datetime | None:
        """When a fact was first seen, where it is not among those that were handed out up to the cursor."""
        sweep, first = self._seen.setdefault(key, (self._sweeps, at))
        return None if watched_before and sweep <= before.sweep else first

    def _build_alerts(self, found: Sequence[tuple[str, Found]], events: Mapping[Reference, Event], seen_at: datetime) -> None:
        """Alerts that were not seen before, with their events: from this sweep, else asked for, else as the alert itself holds them."""
        new = [(name, raised) for name, part in found for raised in part.alerts if (name, raised.id) not in self._alerts]
        missing = {reference: None for _, raised in new for reference in raised.events if reference not in events}
        documents = self._wire.documents(list(missing))
        for name, raised in new:
            sources = []
            for reference in raised.events:
                hit = documents.get(reference) or raised.copies.get(reference)
                event = events.get(reference) or (event_of({"_id": reference[1]} | dict(hit)) if hit else None)
                sources += [event] if event is not None else []
            self._alerts[(name, raised.id)] = self._alert(name, raised, tuple(sources), seen_at)

    def _alert(self, source: str, raised: Raised, events: tuple[Event, ...], seen_at: datetime) -> Alert:
        return Alert(
            id=raised.id,
            rule=raised.rule,
            host=events[0].host if events else raised.host,
            severity=raised.severity or self.severities.get(raised.rule, Severity.MEDIUM),
            raised_at=raised.raised_at,
            searchable_at=max(seen_at, raised.raised_at),
            events=events,
            source=source,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Offset:
    """The SIEM's clock minus ours, and by how much that may be wrong."""

    length: timedelta
    uncertainty: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cursor:
    """How far sweeps have come: the last one and its time (the SIEM's clock), and since when hosts and rules were watched.

    `seen` has of each host the time of its newest event. A host or rule that is watched anew, or from an earlier time than before, is
    read again from its own beginning.
    """

    sweep: int = 0
    swept: datetime | None = None
    hosts: Mapping[str, datetime]
    rules: Mapping[str, datetime]
    seen: Mapping[str, datetime]

    @classmethod
    def parse(cls, text: str) -> _Cursor:
        if not text:
            return cls(hosts={}, rules={}, seen={})
        value = json.loads(text)
        hosts, rules, seen = ({key: iso_time(time) for key, time in value[part].items()} for part in ("hosts", "rules", "seen"))
        return cls(sweep=value["sweep"], swept=iso_time(value["swept"]), hosts=hosts, rules=rules, seen=seen)

    def text(self) -> str:
        parts = {"hosts": self.hosts, "rules": self.rules, "seen": self.seen}
        times = {part: {key: time.isoformat() for key, time in of.items()} for part, of in parts.items()}
        return json.dumps({"sweep": self.sweep, "swept": self.swept.isoformat() if self.swept else None} | times)

    def had(self, wanted: Mapping[str, datetime], watched: Mapping[str, datetime]) -> list[str]:
        """Those of them that were watched before, and from no later time."""
        return [key for key, since in wanted.items() if key in watched and watched[key] <= since]

    def progress(self, host: str, since: datetime) -> dict[str, datetime]:
        """For `Wanted`: how far a host was read, where it may go on from there."""
        if self.swept is None or host not in self.seen or host not in self.hosts or self.hosts[host] > since:
            return {}
        return {"seen": self.seen[host], "swept": self.swept}

    def after(
        self, sweep: int, swept: datetime, hosts: Mapping[str, datetime], rules: Mapping[str, datetime], last: Mapping[str, datetime]
    ) -> _Cursor:
        """The cursor after one more sweep. `last` has of each host the time of its newest event in it."""
        # One event from the future must not put off all that follow.
        seen = {host: min(time, swept) for host, time in last.items()}
        before = {host: time for host, time in self.seen.items() if host in hosts}
        newest = before | {host: max(time, before.get(host, time)) for host, time in seen.items()}
        return _Cursor(sweep=sweep, swept=swept, hosts=hosts, rules=rules, seen=newest)


def _all_rules(engines: Mapping[str, Engine]) -> dict[str, tuple[str, RuleState]]:
    """The rules of every engine, each with the engine's name. One that several run is taken from the slowest of them: before that had
    its turn, nothing is missed. What an engine that stands still has counts only where no other has it."""
    found: dict[str, tuple[str, RuleState]] = {}
    rank: dict[str, tuple[bool, bool, timedelta]] = {}
    for name, engine in engines.items():
        for rule, state in engine.rules.items():
            standing = (engine.running, state.enabled, state.interval)
            if rule not in found or standing > rank[rule]:
                found[rule], rank[rule] = (name, state), standing
    return found


def _earliest(wanted: Iterable[tuple[str, datetime]]) -> dict[str, datetime]:
    earliest: dict[str, datetime] = {}
    for key, since in wanted:
        # A document's time is cut to the millisecond: an event of the very millisecond that is asked from must not fall before it.
        cut = since.replace(microsecond=since.microsecond // 1000 * 1000)
        earliest[key] = min(cut, earliest.get(key, cut))
    return earliest
