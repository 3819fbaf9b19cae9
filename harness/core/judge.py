"""Judgement: what became of one expectation, from everything known of it at one moment. judging.md, to the letter.

`judge` answers with a verdict, or with how it stands while facts may still come that would change it. It never guesses: a miss and a
silence need the rule engine's own run as proof, and what cannot be proven is INCONCLUSIVE and says of which kind.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from harness.core.probe import matches
from harness.errors import RuleTooSlow
from harness.events.endpoint import kind_text
from harness.logic.match import matcher
from harness.logic.needs import ANY_CHANNEL, ANY_EVENT_ID, Kind, reads, rule_kinds, wanted_by
from harness.logic.sequence import find_all
from harness.logic.why import near_kinds, nearest
from harness.logic.why_pattern import Stopped, stopped
from harness.model.facts import Detonation, Event, Execution, Failure, FailureKind, Observed, Probe, RuleRun, RuleState
from harness.model.intent import Expectation, PlannedStep, Rule, Severity, Unexercisable
from harness.model.verdicts import Basis, Gate, GateKind, GateState, Inconclusive, Outcome, Probed, Sighting, Standing, Verdict

# Errors that say a line did not run at all: to take the step for executed would make a later miss a lie.
_SHOWN = 5
_NOT_RUN = ("CommandNotFoundException", "NotEmulated", "ParseException", "ParserError")


_A_PROBE = "a probe, no alert:"
_DISAGREES = (
    "our own engine matches it: the index maps a field otherwise than the rule takes it, or has no such field (harness doctor tells)"
)

_DISTURBED = (
    "no alert: the rule matches this session's events by themselves, but not among those of the other sessions on its host, one of which"
    " took the place of ours; run it alone to know"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """All that is known of one expectation at one moment. Times are the SIEM's clock unless said otherwise.

    `rule` is None for a rule that only the SIEM knows: then its kinds and its query are not known. `telemetry` are the
    detonation's own events; `host_events` are the events of the host in its time, whosever they are. `settled_at`: from then on
    no more telemetry is expected; `deadline`: from then on nothing is waited for. `to_ours` is added to a time of the SIEM's clock to
    make it ours. `probe` is the last answer to the rule's own query, where nothing runs the rule.
    """

    planned: PlannedStep
    expectation: Expectation
    rule: Rule | None
    detonation: Detonation
    telemetry: Sequence[Observed]
    host_events: Sequence[Event]
    sightings: Sequence[Sighting]
    runs: Sequence[RuleRun]
    state: RuleState | None
    settled_at: datetime
    deadline: datetime
    now: datetime
    to_ours: timedelta
    schedule_running: bool
    siem_lost: str = ""
    probe: Probe | None = None


def unexercisable(planned: PlannedStep, expectation: Expectation, reason: Unexercisable) -> Verdict:
    """The verdict on what cannot fire here, made before anything is sent."""
    cause = f"needs {reason.need}: {reason.reason}" + (f" ({reason.remedy})" if reason.remedy else "")
    return _before_sending(planned, expectation, Outcome.NOT_EXERCISABLE, cause)


def undeployed(planned: PlannedStep, expectation: Expectation, state: RuleState | None) -> Verdict:
    """The verdict on a rule that the SIEM does not have, or does not run: known before anything is sent."""
    cause = _not_run(expectation.rule, state)
    if state is not None and state.not_probed:
        cause += f"; nor can its query be probed: {state.not_probed}"
    return _before_sending(planned, expectation, Outcome.INCONCLUSIVE, cause, Inconclusive.NOT_DEPLOYED)


def never_sent(planned: PlannedStep, expectation: Expectation, why: str, kind: Inconclusive) -> Verdict:
    """The verdict where the run ended before the step was sent."""
    return _before_sending(planned, expectation, Outcome.INCONCLUSIVE, why, kind)


def step_failure(detonation: Detonation) -> tuple[Inconclusive, str] | None:
    """Why the detonation does not count as executed; None where the step ran and its own success condition holds."""
    outcome = detonation.outcome
    step = detonation.planned.step
    if isinstance(outcome, Failure):
        kind = Inconclusive.INTERRUPTED if outcome.kind is FailureKind.INTERRUPTED else Inconclusive.NOT_EXECUTED
        return kind, f"the step did not run to its end ({outcome.kind.value}): {outcome.message}"
    if outcome.terminated:
        return Inconclusive.NOT_EXECUTED, f"the step ended early: {_first_line(outcome.terminated)}"
    for record in outcome.records:
        if any(marker in record.error_id for marker in _NOT_RUN):
            return Inconclusive.NOT_EXECUTED, f"a command did not run ({record.error_id}): {_first_line(record.text)}"
    if outcome.exit_code is not None and outcome.exit_code not in step.exit_codes:
        wanted = " or ".join(str(code) for code in step.exit_codes)
        return Inconclusive.NOT_EXECUTED, f"exit code {outcome.exit_code}, the step wants {wanted}"
    if step.output is not None and not re.search(step.output, "\n".join(outcome.output)):
        return Inconclusive.NOT_EXECUTED, f"the output does not match {step.output!r}"
    return None


def judge(case: Case, *, interrupted: bool = False) -> Verdict | Standing:
    """The verdict, or how it stands while it is open. `interrupted`: nothing more will be asked, so there is always a verdict."""
    judgement = _Judgement(case)
    return judgement.conclude(interrupted) or judgement.standing()


class _Judgement:
    """One expectation on its way through the gates."""

    def __init__(self, case: Case) -> None:
        self._case = case
        self._wanted = case.expectation
        self._counted = [sighting for sighting in case.sightings if sighting.basis is not Basis.AMBIGUOUS]
        self._events = self._of_kind()
        self._unseen = self._find_unseen()
        self._proof = self._find_proof()
        self._failure = step_failure(case.detonation)
        self._is_probed = case.state is not None and case.state.probed and not case.state.runs and not self._counted
        self._probed = self._find_probed() if self._is_probed else ()
        self._gates = (self._executed(), self._telemetry(), self._query(), self._alert())

    def standing(self) -> Standing:
        """How it stands while no verdict is certain."""
        case = self._case
        return Standing(
            planned=case.planned.id,
            target=case.planned.target.name,
            rule=self._wanted.rule,
            fires=self._wanted.fires,
            gate=next((gate.kind for gate in self._gates if gate.state is not GateState.PASSED), GateKind.ALERT),
            started_at=case.detonation.started_at,
            deadline=case.deadline + case.to_ours,
        )

    def conclude(self, interrupted: bool) -> Verdict | None:
        """First what the step itself says, then alerts, then proofs of silence, and time last."""
        case = self._case
        if self._failure is not None:
            return self._inconclusive(*self._failure)
        if self._counted:
            return self._fired()
        if case.siem_lost:
            return self._inconclusive(Inconclusive.SIEM_LOST, f"the SIEM was lost: {case.siem_lost}")
        if self._is_probed:
            return self._by_probe(interrupted)
        if case.state is not None and not case.state.runs:
            return self._inconclusive(Inconclusive.NOT_DEPLOYED, _not_run(self._wanted.rule, case.state))
        if self._proof is not None and case.sightings:
            return self._inconclusive(Inconclusive.AMBIGUOUS, "alerts fired, but each fits several sessions: none can be credited")
        if self._proof is not None and not self._wanted.fires and case.telemetry:
            return self._verdict(Outcome.QUIET, f"quiet, proven by {self._run_text(self._proof)}", proof=self._proof)
        if self._proof is not None and self._wanted.fires and self._unseen is None:
            if self._is_disturbed():
                return self._inconclusive(Inconclusive.AMBIGUOUS, _DISTURBED)
            return self._gap(Outcome.MISSED, self._missed_cause(self._proof), proof=self._proof)
        if interrupted:
            return self._inconclusive(Inconclusive.INTERRUPTED, "interrupted before it was known")
        stalled = not case.schedule_running and self._unseen is None and case.now >= case.settled_at
        return self._expired() if stalled or case.now >= case.deadline else None

    # --- the gates -----------------------------------------------------------------------------------------------------

    def _executed(self) -> Gate:
        outcome, footprint = self._case.detonation.outcome, self._case.detonation.footprint
        evidence = [self._failure[1]] if self._failure else []
        if isinstance(outcome, Execution):
            evidence += [f"exit code {outcome.exit_code}"] if outcome.exit_code is not None else []
            evidence += [f"{record.stream.value}: {_first_line(record.text)}" for record in outcome.records[:_SHOWN]]
            evidence += [f"output: {line}" for line in outcome.output[:_SHOWN]]
        if (via := self._case.planned.target.via) is not None:
            ends = ", ".join(f"{socket.ip}:{socket.port}" for socket in self._case.detonation.identity.sockets)
            evidence.append(f"by way of {via.name}" + (f", which connected from {ends}" if ends else ""))
        if footprint is not None:
            evidence.append(f"target's clock minus ours: {footprint.clock_offset.total_seconds():+.3f} s")
        state = GateState.FAILED if self._failure else GateState.PASSED
        return Gate(kind=GateKind.EXECUTED, state=state, at=self._case.detonation.finished_at, evidence=tuple(evidence))

    def _of_kind(self) -> list[Observed]:
        """The detonation's events of a kind that the rule reads; all of them where only the SIEM knows the rule."""
        if self._case.rule is None:
            return list(self._case.telemetry)
        wanted = rule_kinds(self._case.rule)
        return [observed for observed in self._case.telemetry if reads(wanted, observed.event.channel, observed.event.event_id)]

    def _find_unseen(self) -> frozenset[Kind] | None:
        """The kinds of which one event at least must arrive before the rule can match, and none did; of a pattern those of the first of its
        events that lacks them. None where nothing is lacking."""
        if self._case.rule is None:
            return None if self._events else frozenset([(ANY_CHANNEL, ANY_EVENT_ID)])
        for wanted in wanted_by(self._case.rule):
            needed = near_kinds(wanted)
            if not any(reads(needed, observed.event.channel, observed.event.event_id) for observed in self._events):
                return needed
        return None

    def _telemetry(self) -> Gate:
        if self._unseen is None:
            return self._seen(GateKind.TELEMETRY, self._events)
        waited = self._failure is None and self._case.now >= self._case.deadline
        return Gate(kind=GateKind.TELEMETRY, state=GateState.FAILED if waited else GateState.UNREACHED)

    def _query(self) -> Gate:
        return self._probe_gate(self._own_query()) if self._is_probed else self._own_query()

    def _probe_gate(self, own: Gate) -> Gate:
        """The gate by the SIEM's own answer; what our own engine says of the same events goes with it."""
        probe = self._case.probe
        if self._probed:
            ids = {event.id for event in self._probed}
            gate = self._seen(GateKind.QUERY, [observed for observed in self._case.telemetry if observed.event.id in ids])
            return replace(gate, evidence=(f"{_A_PROBE} the rule's own query, asked by us, finds:", *gate.evidence))
        if probe is None or self._unseen is not None:
            return replace(own, state=GateState.UNREACHED, at=None, evidence=())
        if probe.refused:
            return Gate(kind=GateKind.QUERY, state=GateState.UNREACHED, evidence=(f"{_A_PROBE} the SIEM refused it: {probe.refused}",))
        said: tuple[str, ...] = (f"{_A_PROBE} the rule's own query, asked by us, finds nothing of this session",)
        if own.state is GateState.PASSED:
            said = (*said, _DISAGREES, *own.evidence)
        elif own.state is GateState.FAILED:
            said = (*said, *own.evidence)
        state = GateState.FAILED if self._is_proven(probe) else GateState.UNREACHED
        return Gate(kind=GateKind.QUERY, state=state, evidence=said)

    def _own_query(self) -> Gate:
        rule = self._case.rule
        if rule is None or self._unseen is not None:
            return Gate(kind=GateKind.QUERY, state=GateState.UNREACHED)
        events = [observed.event for observed in self._events]
        try:
            if rule.pattern is None:
                matches = matcher(rule.logic)
                matching = [observed for observed in self._events if matches(observed.event)]
                killed = None if matching else nearest(rule.logic, events)
                evidence: tuple[str, ...] = (f"nearest event: {_event_text(killed.event)}", killed.text) if killed else ()
            else:
                parts = {event.id for found in find_all(rule.pattern, events) for event in found}
                matching = [observed for observed in self._events if observed.event.id in parts]
                why = None if matching else stopped(rule.pattern, events)
                evidence = _stopped_text(why) if why else ()
        except RuleTooSlow as error:
            return Gate(kind=GateKind.QUERY, state=GateState.UNREACHED, evidence=(str(error),))
        if matching:
            return self._seen(GateKind.QUERY, matching)
        return Gate(kind=GateKind.QUERY, state=GateState.FAILED, evidence=evidence)

    def _alert(self) -> Gate:
        if self._counted:
            first = min(self._counted, key=lambda sighting: sighting.time_to_detect)
            evidence = tuple(_sighting_text(sighting) for sighting in self._counted[:_SHOWN])
            at = first.alert.raised_at + self._case.to_ours
            return Gate(kind=GateKind.ALERT, state=GateState.PASSED, at=at, evidence=evidence)
        if self._is_probed:
            return Gate(kind=GateKind.ALERT, state=GateState.UNREACHED, evidence=("nothing can raise one: the rule is not run",))
        if self._proof is not None:
            evidence = (f"no alert; {self._run_text(self._proof)}",)
            return Gate(kind=GateKind.ALERT, state=GateState.FAILED, at=self._proof.finished_at + self._case.to_ours, evidence=evidence)
        return Gate(kind=GateKind.ALERT, state=GateState.UNREACHED)

    def _seen(self, kind: GateKind, events: Sequence[Observed]) -> Gate:
        first = min(observed.searchable_at for observed in events) + self._case.to_ours
        lines = [
            f"{_event_text(o.event)}, searchable after {(o.searchable_at - o.event.time).total_seconds():.1f} s" for o in events[:_SHOWN]
        ]
        more = [f"and {len(events) - _SHOWN} more"] if len(events) > _SHOWN else []
        return Gate(kind=kind, state=GateState.PASSED, at=first, evidence=(*lines, *more))

    def _find_proof(self) -> RuleRun | None:
        """The first run that saw everything: it succeeded, started when all had arrived, and its window covers the rule's events."""
        complete = self._complete_at()
        for run in sorted(self._case.runs, key=lambda run: run.started_at):
            covers = all(run.window_start <= observed.event.time <= run.window_end for observed in self._events)
            if run.ok and run.started_at > complete and covers:
                return run
        return None

    def _complete_at(self) -> datetime:
        """When all that the detonation left was searchable."""
        return max([self._case.settled_at, *(observed.searchable_at for observed in self._case.telemetry)])

    def _find_probed(self) -> tuple[Event, ...]:
        """The detonation's own events that the rule's query finds in the SIEM."""
        rule, probe = self._case.rule, self._case.probe
        if rule is None or probe is None:
            return ()
        found = matches(rule, probe, [observed.event for observed in self._case.telemetry])
        return tuple({event.id: event for match in found for event in match}.values())

    def _is_proven(self, probe: Probe) -> bool:
        """Whether the probe was asked of everything that the detonation left."""
        return not probe.refused and probe.asked_at > self._complete_at() and all(o.event.time >= probe.since for o in self._events)

    # --- the outcomes --------------------------------------------------------------------------------------------------

    def _by_probe(self, interrupted: bool) -> Verdict | None:
        """What the SIEM's answer to the query of a rule that nothing runs amounts to: never more than INCONCLUSIVE."""
        case, probe = self._case, self._case.probe
        if self._probed:
            wanted = "" if self._wanted.fires else ", though it should stay quiet"
            return self._of_probe(Probed.MATCHES, f"the rule's query matches {_event_text(self._probed[-1])}{wanted}")
        if probe is not None and self._is_proven(probe) and self._unseen is None and case.telemetry:
            query = self._gates[2]
            own = query.evidence[-1] if len(query.evidence) > 1 else ""
            why = f": {_DISAGREES if _DISAGREES in query.evidence else own}" if own else ""
            wanted = "" if self._wanted.fires else ", as it should"
            return self._of_probe(Probed.FINDS_NOTHING, f"the rule's query finds nothing of this session{wanted}{why}")
        if interrupted:
            return self._of_probe(Probed.UNKNOWN, "interrupted before it was known whether the rule's query matches")
        if case.now < case.deadline:
            return None
        if probe is not None and probe.refused:
            return self._of_probe(Probed.UNKNOWN, f"the SIEM refused the rule's query: {probe.refused}")
        if self._unseen is not None:
            return self._of_probe(Probed.UNKNOWN, f"there was nothing to match: {self._blind_cause()}")
        return self._of_probe(Probed.UNKNOWN, "the rule's query was not asked of everything that arrived")

    def _of_probe(self, probed: Probed, cause: str) -> Verdict:
        not_run = _not_run(self._wanted.rule, self._case.state)
        verdict = self._inconclusive(Inconclusive.NOT_DEPLOYED, f"{_A_PROBE} {cause}; {not_run}: nothing would raise an alert")
        return replace(verdict, probed=probed)

    def _fired(self) -> Verdict:
        wanted = self._wanted
        first = min(self._counted, key=lambda sighting: sighting.time_to_detect)
        after = f"after {first.time_to_detect.total_seconds():.1f} s"
        if not wanted.fires:
            return self._verdict(Outcome.NOISY, f"should stay quiet, raised alert {first.alert.id} {after}")
        in_time = [s for s in self._counted if wanted.within is None or s.time_to_detect <= wanted.within]
        if not in_time and wanted.within is not None:
            return self._verdict(Outcome.LATE, f"raised {after}, wanted within {wanted.within.total_seconds():g} s")
        if wanted.severity is not None and all(s.alert.severity is not wanted.severity for s in in_time):
            return self._verdict(Outcome.MISGRADED, f"raised as {in_time[0].alert.severity.value}, wanted {wanted.severity.value}")
        if wanted.priority is not None and all(s.priority is not wanted.priority for s in in_time):
            return self._of_another_priority(wanted.priority, in_time)
        if wanted.known_gap is not None:
            return self._verdict(Outcome.GAP_CLOSED, f"detected {after}: take the known_gap line out ({wanted.known_gap})")
        return self._verdict(Outcome.DETECTED, f"detected {after}")

    def _of_another_priority(self, wanted: Severity, raised: Sequence[Sighting]) -> Verdict:
        found = next((sighting.priority for sighting in raised if sighting.priority is not None), None)
        if found is None:
            cause = f"detected, but the alert does not tell its events: whether its priority is {wanted.value} is not known"
            return self._inconclusive(Inconclusive.NO_TELEMETRY, cause)
        return self._verdict(Outcome.MISGRADED, f"by its strategy the alert's events have priority {found.value}, wanted {wanted.value}")

    def _is_disturbed(self) -> bool:
        """Whether the rule's pattern is in the detonation's own events, but not among all those of its host: an event of another session
        took the place of one of them."""
        pattern = self._case.rule.pattern if self._case.rule is not None else None
        if pattern is None or self._gates[2].state is not GateState.PASSED:
            return False
        own = {observed.event.id for observed in self._events}
        try:
            return not any(found[-1].id in own for found in find_all(pattern, self._case.host_events))
        except RuleTooSlow:
            return False

    def _missed_cause(self, proof: RuleRun) -> str:
        query = self._gates[2]
        if query.state is GateState.PASSED:
            why = "our own engine matches it on an event that arrived, yet no alert: an exception, suppression, another revision?"
        elif query.state is GateState.FAILED:
            why = query.evidence[-1] if query.evidence else "no event matches"
        else:
            why = "the rule's logic is not known here"
        return f"{why}; {self._run_text(proof)}"

    def _expired(self) -> Verdict:
        case = self._case
        if case.sightings:
            return self._inconclusive(Inconclusive.AMBIGUOUS, "alerts fired, but each fits several sessions: none can be credited")
        if not case.telemetry and not self._wanted.fires:
            return self._inconclusive(Inconclusive.NO_TELEMETRY, "no event of this detonation arrived: its silence proves nothing")
        if self._unseen is not None and self._wanted.fires:
            return self._gap(Outcome.BLIND, self._blind_cause())
        last = max(case.runs, key=lambda run: run.started_at, default=None)
        if not case.schedule_running:
            why = "the rule schedule stands still"
        elif last is None:
            why = "the rule engine logged no run of the rule"
        elif not last.ok:
            why = f"the rule's last run {last.id} failed: {last.message}"
        else:
            why = f"the rule's last run {last.id} started too early or its window does not cover the events"
        return self._inconclusive(Inconclusive.NO_PROOF_OF_RUN, f"no alert and no proof of a run: {why}")

    def _blind_cause(self) -> str:
        case = self._case
        wanted = f"no event of {_kinds_text(self._unseen)} arrived" if case.rule is not None and self._unseen else "no event arrived"
        if case.telemetry:
            others = Counter(kind_text(observed.event.channel, observed.event.event_id) for observed in case.telemetry)
            seen = ", ".join(f"{kind} ({count})" for kind, count in sorted(others.items()))
            return f"{wanted}, though others of this detonation did ({seen}): a sensor or an audit setting is missing"
        if case.host_events:
            others_text = f"the host sent {len(case.host_events)} events meanwhile, none with this session's keys"
            return f"{wanted}; {others_text}: is the target's seen_from right?"
        return f"{wanted}, nor any other of the host: its agent or the pipeline stands still"

    def _gap(self, outcome: Outcome, cause: str, *, proof: RuleRun | None = None) -> Verdict:
        if self._wanted.known_gap is not None:
            return self._verdict(Outcome.KNOWN_GAP, f"known gap ({self._wanted.known_gap}): {cause}", proof=proof)
        return self._verdict(outcome, cause, proof=proof)

    def _inconclusive(self, kind: Inconclusive, cause: str) -> Verdict:
        return self._verdict(Outcome.INCONCLUSIVE, cause, inconclusive=kind)

    def _verdict(self, outcome: Outcome, cause: str, *, inconclusive: Inconclusive | None = None, proof: RuleRun | None = None) -> Verdict:
        case = self._case
        return Verdict(
            planned=case.planned.id,
            target=case.planned.target.name,
            scenario=case.planned.scenario,
            expectation=self._wanted,
            outcome=outcome,
            gates=self._gates,
            cause=cause,
            sightings=tuple(case.sightings),
            inconclusive=inconclusive,
            proof=proof.id if proof is not None else None,
            detonation=case.detonation,
        )

    def _run_text(self, run: RuleRun) -> str:
        start, end, started = (
            f"{(time + self._case.to_ours):%H:%M:%S.%f}"[:-3] for time in (run.window_start, run.window_end, run.started_at)
        )
        return f"rule run {run.id} started {started}, succeeded, and its window {start} to {end} covers the events"


def _before_sending(
    planned: PlannedStep, expectation: Expectation, outcome: Outcome, cause: str, inconclusive: Inconclusive | None = None
) -> Verdict:
    return Verdict(
        planned=planned.id,
        target=planned.target.name,
        scenario=planned.scenario,
        expectation=expectation,
        outcome=outcome,
        gates=tuple(Gate(kind=kind, state=GateState.UNREACHED) for kind in GateKind),
        cause=cause,
        inconclusive=inconclusive,
    )


def _not_run(rule: str, state: RuleState | None) -> str:
    what = "is disabled in" if state is not None and state.deployed else "is not deployed to"
    return f"rule {rule} {what} the SIEM"


def _kinds_text(wanted: frozenset[Kind]) -> str:
    """Kinds of event for people: "security 5156 or any channel 4104"."""
    named = (
        f"{channel} with any id" if event_id == ANY_EVENT_ID else kind_text(channel, event_id)
        for channel, event_id in (("any channel" if channel == ANY_CHANNEL else channel, event_id) for channel, event_id in wanted)
    )
    return " or ".join(sorted(named))


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0].rstrip()


def _stopped_text(why: Stopped) -> tuple[str, ...]:
    """How far a pattern came, an event a line, and in the last line what stopped it."""
    reached = (f"event {number}: {_event_text(event)}" for number, event in enumerate(why.reached, 1))
    nearest_event = (f"nearest event: {_event_text(why.event)}",) if why.event is not None else ()
    there = "the nearest events are too few, or not those that it counts" if why.lacking else "all its events are there"
    place = f"event {why.missing} is not there" if why.missing else there
    clauses = "; ".join(why.clauses) or "no event is of a kind that could be it"
    return (*reached, *nearest_event, f"{place}: {clauses}")


def _event_text(event: Event) -> str:
    return f"{kind_text(event.channel, event.event_id)} of {event.host} at {event.time:%H:%M:%S.%f}"[:-3] + f" ({event.id})"


def _sighting_text(sighting: Sighting) -> str:
    caused = ", caused by the transport alone" if sighting.transport_caused else ""
    grade = sighting.alert.severity.value + (f", priority {sighting.priority.value}" if sighting.priority is not None else "")
    return f"alert {sighting.alert.id} ({grade}), {sighting.basis.value} by {', '.join(sighting.keys)}{caused}"
