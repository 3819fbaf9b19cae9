"""The ledger of a run: facts are entered as they come, verdicts are taken out as they become certain.

It is told of finished detonations and of what each sweep of the SIEM brought; it attributes, judges, and answers which
detonations are still open. What is open is judged again only where something came that its verdict could hang on: a run may wait for
hundreds of expectations while its hosts send tens of thousands of events. It reads no clock: the moment comes with the facts. Three
clocks meet here. Everything that is shown is ours; comparisons between two times of the SIEM stay on the SIEM's.
"""

from __future__ import annotations

from bisect import insort
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from harness.core.attribute import SLACK, Attribution, HostAttribution
from harness.core.judge import Case, judge, never_sent, undeployed, unexercisable
from harness.core.keys import Key
from harness.core.record import telemetry_of
from harness.core.transport import transport_caused
from harness.events.fields import short_name
from harness.logic.priority import priority_of
from harness.model.facts import Alert, Detonation, Facts, Identity, Observed, Probe, RuleRun, SiemStatus, Socket, Watch
from harness.model.intent import Expectation, Plan, PlannedStep, Rule, Severity, Target
from harness.model.report import HostTelemetry
from harness.model.verdicts import Basis, GateKind, Inconclusive, Sighting, Standing, Verdict

# For what nobody measured: drift between readings of a clock, and the time a document takes from written to found.
MARGIN = timedelta(seconds=1)
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class _Open:
    """An expectation without a verdict."""

    number: int
    planned: PlannedStep
    expectation: Expectation


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """What is known of a detonation's telemetry: its events, and how long its last one may still take."""

    telemetry: Sequence[Observed]
    lag: timedelta


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Judged:
    """What an open expectation was judged by, last time, and how it stood: while all of it is the same, so is the answer."""

    telemetry: Sequence[Observed]
    sightings: tuple[Sighting, ...]
    rest: tuple[object, ...]
    standing: Standing

    def is_by(self, telemetry: Sequence[Observed], sightings: tuple[Sighting, ...], rest: tuple[object, ...]) -> bool:
        """Whether it was judged by these."""
        return self.telemetry is telemetry and self.rest == rest and self.sightings == sightings


class Ledger:
    """One run's facts and what they mean.

    `rules` by id; one that is missing is known to the SIEM alone. `siem_offset` is the SIEM's clock minus ours. `grace` is how
    long an expectation is waited for after its `within`, so that late can be told from never.
    """

    def __init__(
        self, plan: Plan, rules: Mapping[str, Rule], status: SiemStatus, *, started_at: datetime, siem_offset: timedelta, grace: timedelta
    ) -> None:
        self._plan = plan
        self._rules = rules
        self._status = status
        self._started_at = started_at
        self._offset = siem_offset
        self._grace = grace
        self._hosts: dict[str, HostAttribution] = defaultdict(HostAttribution)
        self._detonations: dict[str, Detonation] = {}
        self._sides: dict[tuple[str, str], Detonation] = {}
        self._joined: dict[str, set[Key]] = defaultdict(set)
        self._alerts: dict[str, Alert] = {}
        self._alerts_of: dict[str, list[Alert]] = defaultdict(list)
        self._attributions: dict[str, tuple[int, Attribution | None]] = {}
        # Of everything that a host sent since the run began, the shortest first, as if its clock were ours.
        self._lags: dict[str, list[timedelta]] = defaultdict(list)
        self._telemetry: dict[str, tuple[tuple[Sequence[Observed], ...], Sequence[Observed]]] = {}
        self._judged: dict[int, _Judged] = {}
        self._priorities: dict[str, Severity | None] = {}
        self._runs: dict[str, dict[str, RuleRun]] = defaultdict(dict)
        self._run_changes: Counter[str] = Counter()
        self._probes: dict[str, Probe] = {}
        self._now = started_at + siem_offset
        self._schedule_running = status.schedule_running
        self._lost = ""
        self._outages: list[tuple[datetime, datetime]] = []
        self._verdicts: list[Verdict] = []
        self._open: list[_Open] = []
        self._standing: tuple[Standing, ...] = ()
        for planned in plan.steps:
            for expectation in planned.step.expect if not planned.cleanup else ():
                self._open_or_close(planned, expectation)

    def _open_or_close(self, planned: PlannedStep, expectation: Expectation) -> None:
        reason = self._plan.unexercisable.get((planned.id, expectation.rule))
        state = self._status.rules.get(expectation.rule)
        if reason is not None:
            self._verdicts.append(unexercisable(planned, expectation, reason))
        elif state is None or not (state.runs or state.probed):
            self._verdicts.append(undeployed(planned, expectation, state))
        else:
            self._open.append(_Open(len(self._open), planned, expectation))

    # --- facts in ------------------------------------------------------------------------------------------------------

    def detonated(self, detonation: Detonation) -> None:
        """A detonation is over."""
        self._detonations[detonation.planned.id] = detonation
        for seen in sides(detonation):
            self._sides[detonation.planned.id, host_name(seen.planned.target)] = seen
            self._hosts[host_name(seen.planned.target)].detonated(seen)
        self._join()

    def saw(self, facts: Facts) -> None:
        """A sweep came back."""
        self._now = max(self._now, facts.now)
        for observed in facts.observed:
            self._observed(observed)
        self._join()
        for alert in facts.alerts:
            if alert.id not in self._alerts:
                self._alerts[alert.id] = alert
                self._alerts_of[alert.rule].append(alert)
        for run in facts.runs:
            self._run_changes[run.rule] += self._runs[run.rule].get(run.id) != run
            self._runs[run.rule][run.id] = run
        for probe in facts.probes:
            self._probes[probe.rule] = probe
        self._schedule_running = facts.schedule_running

    def _observed(self, observed: Observed) -> None:
        event, host = observed.event, self._hosts[observed.event.host]
        before = host.version
        host.observed(observed)
        # A time that lies days away is a clock's fault, and no lag.
        if host.version != before and self._started_at - SLACK <= event.time <= self._now + _DAY:
            insort(self._lags[event.host], self._lag(observed, timedelta(0)))

    def _join(self) -> None:
        """What a jump host tells of the connections that a detonation opened from it is how the target knows that detonation."""
        for name, detonation in self._detonations.items():
            via = detonation.planned.target.via
            if via is None:
                continue
            fresh = self._hosts[host_name(via)].opened_by(name) - self._joined[name]
            self._joined[name] |= fresh
            self._hosts[host_name(detonation.planned.target)].learnt(name, fresh)

    def was_away(self, since: datetime, until: datetime) -> None:
        """The SIEM did not answer in this time, by our clock. Whoever ships events to it had to wait as well: what it promises of its
        ingest lag does not count that time."""
        self._outages.append((since, until))

    def lose_siem(self, why: str) -> None:
        """The SIEM will not answer any more: what is open is inconclusive."""
        self._lost = why

    # --- verdicts out --------------------------------------------------------------------------------------------------

    def settle(self, *, interrupted: bool = False) -> list[Verdict]:
        """Every verdict that has become certain since it was last asked. `interrupted`: all that is open ends here."""
        fresh = self._verdicts
        self._verdicts = []
        if not self._open:
            return fresh
        still: list[_Open] = []
        standing: list[Standing] = []
        rules = {item.expectation.rule for item in self._open}
        sightings = self._sightings_by_step([alert for rule in rules for alert in self._alerts_of.get(rule, ())])
        seen: dict[str, _Seen] = {}
        for item in self._open:
            verdict = self._judge(item, sightings, seen, interrupted)
            if isinstance(verdict, Standing):
                still.append(item)
                standing.append(verdict)
            else:
                fresh.append(verdict)
        self._open, self._standing = still, tuple(standing)
        return fresh

    def decided(self, planned: str) -> bool:
        """Whether this step is over and none of its expectations is open."""
        return planned in self._detonations and all(item.planned.id != planned for item in self._open)

    @property
    def standing(self) -> tuple[Standing, ...]:
        """How what is open stood when it was last settled."""
        return self._standing

    @property
    def open(self) -> int:
        """How many expectations have no verdict yet."""
        return len(self._open)

    def watches(self, under_way: Iterable[PlannedStep]) -> list[Watch]:
        """What a sweep must look at: the hosts of everything open, from the start of the run on.

        One watch a host, whatever the number of expectations. `under_way` are steps that are being detonated just now.
        """
        rules: dict[str, set[str]] = defaultdict(set)
        for item in self._open:
            for host in host_names(item.planned):
                rules[host].add(item.expectation.rule)
        for planned in under_way:
            for host in host_names(planned):
                rules[host] |= set()
        drift = max((d.footprint.clock_offset for d in self._detonations.values() if d.footprint), key=abs, default=timedelta(0))
        since = self._started_at - abs(drift) - SLACK - MARGIN
        return [Watch(host=host, since=since, rules=frozenset(wanted)) for host, wanted in sorted(rules.items())]

    def detonation(self, detonation: Detonation) -> Detonation:
        """The same with what telemetry added to its identity: logon ids and, behind a jump host, the sockets."""
        name = detonation.planned.id
        identity = detonation.identity
        outer: Identity | None = None
        for seen in sides(detonation):
            host = host_name(seen.planned.target)
            known = replace(seen.identity, via=None, logon_id=self._hosts[host].logon_of(name) or seen.identity.logon_id)
            if seen.planned.target.via is not None:
                ends = (key.rpartition(":") for _, key in sorted(self._joined[name]))
                known = replace(known, via=outer, sockets=tuple(Socket(ip=ip, port=int(port)) for ip, _, port in ends))
            outer = identity = known
        return replace(detonation, identity=identity)

    def unexpected(self) -> list[Sighting]:
        """Counted sightings of rules that no expectation of their step named."""
        named = {(planned.id, e.rule) for planned in self._plan.steps for e in planned.step.expect if not planned.cleanup}
        by_step = self._sightings_by_step(self._alerts.values())
        return [
            sighting
            for step in sorted(by_step)
            for sighting in by_step[step]
            if self._plan.about(sighting.alert.rule) and (step, sighting.alert.rule) not in named and sighting.basis is not Basis.AMBIGUOUS
        ]

    def unattributed(self) -> list[Alert]:
        """Alerts of the run's hosts and time that belong to none of its detonations."""
        hosts = {host for planned in self._plan.steps if planned.id in self._detonations for host in host_names(planned)}
        since = self._started_at + self._offset
        loose = (a for a in self._alerts.values() if self._plan.about(a.rule) and a.host in hosts and self._time_of(a) >= since)
        return sorted((a for a in loose if self._attribution(a) is None), key=lambda a: (a.raised_at, a.id))

    def telemetry(self) -> tuple[HostTelemetry, ...]:
        """What arrived of the run's hosts from its start on."""
        offsets = {
            host_name(each.planned.target): each.footprint.clock_offset for each in self._detonations.values() if each.footprint is not None
        }
        seen = {host: self._hosts[host].seen_on_host(self._started_at - SLACK, self._now + _DAY) for host in sorted(self._hosts)}
        return telemetry_of(
            {host: [(each, self._lag(each, offsets.get(host, timedelta(0)))) for each in events] for host, events in seen.items()}
        )

    # --- how -----------------------------------------------------------------------------------------------------------

    def _judge(
        self,
        item: _Open,
        sightings: Mapping[str, list[Sighting]],
        seen: dict[str, _Seen],
        interrupted: bool,
    ) -> Verdict | Standing:
        """`seen`: by planned step, found once for all its expectations."""
        planned, expectation = item.planned, item.expectation
        detonation = self._detonations.get(planned.id)
        if detonation is None:
            if self._lost:
                return never_sent(planned, expectation, f"not sent, the SIEM was lost: {self._lost}", Inconclusive.SIEM_LOST)
            if not interrupted:
                where = planned.target.name
                return Standing(planned=planned.id, target=where, rule=expectation.rule, fires=expectation.fires, gate=GateKind.EXECUTED)
            return never_sent(planned, expectation, "interrupted before it was sent", Inconclusive.INTERRUPTED)
        hosts = [self._hosts[name] for name in host_names(planned)]
        if planned.id not in seen:
            mine = self._telemetry_of(planned)
            lag = max(self._ingest_lag(name, detonation, mine) for name in host_names(planned))
            seen[planned.id] = _Seen(telemetry=mine, lag=lag)
        mine, lag = seen[planned.id].telemetry, seen[planned.id].lag
        state = self._status.rules.get(expectation.rule)
        settled_at = detonation.finished_at + self._offset + lag
        interval = state.interval if state is not None else timedelta(0)
        deadline = settled_at + 2 * interval + MARGIN
        if expectation.within is not None:
            deadline = max(deadline, detonation.started_at + self._offset + expectation.within + self._grace)
        own = tuple(sighting for sighting in sightings.get(planned.id, ()) if sighting.alert.rule == expectation.rule)
        runs, probe = self._runs[expectation.rule], self._probes.get(expectation.rule)
        # Of the moment only on which side of the two it lies: judge.py asks for no more.
        times = (settled_at, deadline, self._now >= settled_at, self._now >= deadline)
        rest = (self._run_changes[expectation.rule], probe, *times, self._schedule_running, self._lost, interrupted)
        if (before := self._judged.get(item.number)) is not None and before.is_by(mine, own, rest):
            return before.standing
        case = Case(
            planned=planned,
            expectation=expectation,
            rule=self._rules.get(expectation.rule),
            detonation=self.detonation(detonation),
            telemetry=mine,
            host_events=[
                seen.event for host in hosts for seen in host.seen_on_host(detonation.started_at - SLACK, detonation.finished_at + SLACK)
            ],
            sightings=own,
            runs=tuple(runs.values()),
            state=state,
            settled_at=settled_at,
            deadline=deadline,
            now=self._now,
            to_ours=-self._offset,
            schedule_running=self._schedule_running,
            siem_lost=self._lost,
            probe=probe,
        )
        verdict = judge(case, interrupted=interrupted)
        if isinstance(verdict, Standing):
            self._judged[item.number] = _Judged(telemetry=mine, sightings=own, rest=rest, standing=verdict)
        return verdict

    def _telemetry_of(self, planned: PlannedStep) -> Sequence[Observed]:
        """The step's telemetry on all its hosts, in the order of its time; the same object as before where it is the same."""
        parts = tuple(self._hosts[name].telemetry(planned.id) for name in host_names(planned))
        if len(parts) == 1:
            return parts[0]
        kept = self._telemetry.get(planned.id)
        if kept is None or any(new is not old for new, old in zip(parts, kept[0], strict=True)):
            merged = sorted((observed for part in parts for observed in part), key=lambda one: (one.event.time, one.event.id))
            kept = self._telemetry[planned.id] = (parts, merged)
        return kept[1]

    def _attribution(self, alert: Alert) -> Attribution | None:
        host, rule = self._hosts.get(alert.host), self._rules.get(alert.rule)
        if host is None:
            return None
        if (kept := self._attributions.get(alert.id)) is None or kept[0] != host.version:
            kept = self._attributions[alert.id] = (host.version, host.of_alert(alert, None if rule is None else rule.pattern))
        return kept[1]

    def _sightings_by_step(self, alerts: Iterable[Alert]) -> dict[str, list[Sighting]]:
        found: dict[str, list[Sighting]] = defaultdict(list)
        for alert in sorted(alerts, key=lambda alert: (alert.raised_at, alert.id)):
            host = self._hosts.get(alert.host)
            attribution = self._attribution(alert)
            if host is None or attribution is None:
                continue
            detonation = self._sides[attribution.detonation, alert.host]
            if alert.events and all(host.is_footprint(attribution.detonation, event) for event in alert.events):
                continue
            by_transport = bool(alert.events) and all(transport_caused(e, detonation.identity) for e in alert.events)
            if by_transport and detonation is not self._detonations[attribution.detonation]:
                continue  # the driver's own session on the jump host is the way to the step, and nothing of it
            found[attribution.detonation].append(
                Sighting(
                    detonation=attribution.detonation,
                    alert=alert,
                    basis=attribution.basis,
                    transport_caused=by_transport,
                    time_to_detect=alert.raised_at - self._offset - detonation.started_at,
                    keys=attribution.keys,
                    priority=self._priority_of(alert),
                )
            )
        return found

    def _priority_of(self, alert: Alert) -> Severity | None:
        if alert.id not in self._priorities:
            wanted = self._plan.priorities.get(alert.rule)
            self._priorities[alert.id] = priority_of(wanted, alert.events) if wanted is not None else None
        return self._priorities[alert.id]

    def _ingest_lag(self, host: str, detonation: Detonation, mine: Sequence[Observed]) -> timedelta:
        """How long an event of this host may take: promised, with the outages since, or measured in this run, the larger.

        Of everything the host sent the 99th percentile, so that a pipeline under load is waited for; of its own events the slowest.
        """
        drift = detonation.footprint.clock_offset if detonation.footprint else timedelta(0)
        lags = self._lags[host]
        usual = lags[len(lags) * 99 // 100] + drift if lags else timedelta(0)
        away = sum(
            (until - max(since, detonation.started_at) for since, until in self._outages if until > detonation.started_at), timedelta(0)
        )
        return max([self._status.ingest_lag + away, usual, *(self._lag(observed, drift) for observed in mine)])

    def _lag(self, observed: Observed, drift: timedelta) -> timedelta:
        """From happened, by the target's clock (`drift`: minus ours), to searchable, by the SIEM's; both brought to ours."""
        return (observed.searchable_at - self._offset) - (observed.event.time - drift)

    def _time_of(self, alert: Alert) -> datetime:
        return min((event.time for event in alert.events), default=alert.raised_at)


def sides(detonation: Detonation) -> tuple[Detonation, ...]:
    """The detonation as each host knows it, in the order of the way there: the jump host's session, then the target's."""
    target = detonation.planned.target
    if target.via is None:
        return (detonation,)
    footprint = detonation.footprint.via if detonation.footprint is not None else None
    jump = replace(
        detonation,
        planned=replace(detonation.planned, target=target.via),
        identity=detonation.identity.via or Identity(),
        footprint=footprint,
    )
    return (jump, detonation)


def host_names(planned: PlannedStep) -> tuple[str, ...]:
    """The hosts that the step leaves telemetry on, its target first."""
    target = planned.target
    return (host_name(target),) if target.via is None else (host_name(target), host_name(target.via))


def host_name(target: Target) -> str:
    """The target's short name in lower case, as its events bear it."""
    return short_name(target.computer or target.host)
