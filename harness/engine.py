"""The engine of a run: threads detonate, the main thread watches. It yields progress; what anything means is the ledger's.

One thread a target runs its steps in order; sessions are never shared. The main thread alone asks the SIEM, judges and yields, so
there are no locks: one queue brings what the threads did, one event tells them to stop. Reads of the SIEM are retried,
and so is a connection before anything was sent; a step never is.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import groupby
from queue import Empty, SimpleQueue
from threading import Event, Thread

from tenacity import RetryCallState, Retrying, retry_if_exception, wait_exponential, wait_random

from harness import __version__
from harness.core.cover import cover
from harness.core.judge import never_sent
from harness.core.ledger import Ledger
from harness.core.plan import worth_sending
from harness.core.record import circumstances_of, recorded, steps_of
from harness.core.standing import exit_code
from harness.errors import (
    AuthenticationFailed,
    ConnectFailed,
    ConnectionLost,
    HarnessError,
    ProtocolFailure,
    Refused,
    SiemError,
    SiemUnavailable,
    StepTimeout,
    TransportError,
    Untrusted,
)
from harness.model.facts import Detonation, Execution, Failure, FailureKind, Footprint, Identity, SiemStatus
from harness.model.intent import Plan, PlannedStep, Rule
from harness.model.report import (
    Circumstance,
    Environment,
    Judged,
    Progress,
    Report,
    RunFinished,
    SiemChecked,
    SiemTrouble,
    StepFinished,
    StepStarted,
    Waiting,
)
from harness.model.verdicts import Inconclusive, Verdict
from harness.ports import Clock, Session, Siem, Transport

_FAILURES: Mapping[type[TransportError], FailureKind] = {
    ConnectFailed: FailureKind.CONNECT,
    Untrusted: FailureKind.CONNECT,
    AuthenticationFailed: FailureKind.AUTHENTICATION,
    Refused: FailureKind.REFUSED,
    ConnectionLost: FailureKind.CONNECTION_LOST,
    StepTimeout: FailureKind.TIMEOUT,
    ProtocolFailure: FailureKind.PROTOCOL,
}
# After these the target is left alone: another try would change nothing, or lock the account.
_TARGET_DOWN = frozenset({FailureKind.CONNECT, FailureKind.AUTHENTICATION})
# After these nothing of the step reached the target, so there is nothing to clean up.
_NOTHING_SENT = _TARGET_DOWN | {FailureKind.NOT_SENT}
_BEAT = 1.0
"""Seconds after which those who look on are told again what is waited for, however seldom the SIEM is asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long the engine waits for others, in seconds.

    `poll` from the beginning of a sweep to the end of the next; `siem` for a SIEM that does not answer, before it is given up; `connect`
    for a target's port, in all tries together. `grace` after an expectation's `within`.
    """

    poll: float
    siem: float
    connect: float
    grace: timedelta


class Engine:
    """One run of a plan. Not to be used twice.

    `hold`: a target goes on, be it to its scenario's cleanup, only when every expectation of its last step is judged and whoever takes the
    progress has taken that: he may look around on the target and in the SIEM meanwhile, as long as he likes.
    """

    def __init__(
        self,
        *,
        run_id: str,
        plan: Plan,
        rules: Mapping[str, Rule],
        transport: Transport,
        siem: Siem,
        clock: Clock,
        patience: Patience,
        circumstances: Sequence[Circumstance] = (),
        hold: bool = False,
    ) -> None:
        """`circumstances` are those of the run that are known before it starts."""
        self._run_id = run_id
        self._plan = plan
        self._rules = rules
        self._transport = transport
        self._siem = siem
        self._clock = clock
        self._patience = patience
        self._inbox: SimpleQueue[StepStarted | Detonation] = SimpleQueue()
        self._halt = Event()
        self._wake = Event()
        self._verdicts: list[Verdict] = []
        self._cleanups: list[Detonation] = []
        self._under_way: dict[str, PlannedStep] = {}
        self._held = {planned.id: Event() for planned in plan.steps} if hold else {}
        self._cursor = ""
        self._offsets: dict[str, float] = {}
        self._siem_name = ""
        self._circumstances = tuple(circumstances)

    def run(self, cancel: Event, detonated: Sequence[Detonation] = ()) -> Iterator[Progress]:
        """Detonate and judge; the last progress is `RunFinished`. Where `cancel` is set, cleanups run and the rest is inconclusive.

        `detonated`: the plan's steps, where they were detonated before; then they are judged alone, and nothing is sent.
        """
        started_at = min([self._clock.now(), *(detonation.started_at for detonation in detonated)])
        try:
            status = yield from self._check(cancel)
        except SiemError as error:
            yield from self._without_siem(str(error))
            yield self._finish(started_at, None, interrupted=cancel.is_set())
            return
        offset = timedelta(seconds=self._offsets["siem"])
        ledger = Ledger(self._plan, self._rules, status, started_at=started_at, siem_offset=offset, grace=self._patience.grace)
        yield from self._judged(ledger, ledger.settle())

        for detonation in detonated:
            self._report(detonation)
        workers = self._start(cancel) if not detonated else []
        try:
            yield from self._watch(ledger, workers, cancel)
        finally:
            self._halt.set()
            for worker in workers:
                worker.join()
        yield self._finish(started_at, ledger, interrupted=cancel.is_set())

    # --- the main thread -------------------------------------------------------------------------------------------------

    def _check(self, cancel: Event) -> Generator[Progress, None, SiemStatus]:
        rules = frozenset(expectation.rule for planned in self._plan.steps for expectation in planned.step.expect)
        status: SiemStatus | None = None
        for attempt in self._siem_attempts(cancel):
            with attempt:
                before = self._clock.now()
                status = self._siem.check(rules)
                after = self._clock.now()
                self._offsets["siem"] = (status.now - (before + (after - before) / 2)).total_seconds()
            if status is None and (message := _trouble(attempt.retry_state)):
                yield SiemTrouble(message=message)
        assert status is not None
        self._siem_name = status.name
        self._circumstances += circumstances_of(status)
        yield SiemChecked(status=status)
        return status

    def _watch(self, ledger: Ledger, workers: Sequence[Thread], cancel: Event) -> Iterator[Progress]:
        """Sweep, judge and yield until all is sent and judged.

        What the threads did is told at once; the SIEM is asked once a poll interval, however much they do, so that what can be found there
        is judged within one. A SIEM that takes longer to answer is left alone for a quarter of it.
        """
        due = told = self._clock.monotonic()
        lately = True
        while True:
            alive = any(worker.is_alive() for worker in workers)
            yield from self._take(ledger)
            begun = self._clock.monotonic()
            asking = begun >= due or alive is not lately
            if asking:
                lately = alive
                if ledger.open or alive:
                    yield from self._sweep(ledger, cancel)
                yield from self._judged(ledger, ledger.settle())
                ended = self._clock.monotonic()
                # What becomes searchable just after it was asked for waits until the end of the next sweep: that is a poll interval later.
                due = ended + max(self._patience.poll - 2 * (ended - begun), self._patience.poll / 4)
                self._let_go(ledger)
            if ledger.open and (asking or self._clock.monotonic() >= told + _BEAT):
                told = self._clock.monotonic()
                yield Waiting(now=self._clock.now(), open=ledger.standing)
            if not alive and self._inbox.empty():
                if cancel.is_set():
                    yield from self._judged(ledger, ledger.settle(interrupted=True))
                if not ledger.open:
                    return
            self._wake.clear()
            until = min(due, told + _BEAT) if ledger.open else due
            self._clock.wait(max(0.0, until - self._clock.monotonic()), self._wake if alive else cancel)

    def _let_go(self, ledger: Ledger) -> None:
        """Those targets that wait for verdicts which were taken by now."""
        for planned, taken in self._held.items():
            if not taken.is_set() and ledger.decided(planned):
                taken.set()

    def _take(self, ledger: Ledger) -> Iterator[Progress]:
        while True:
            try:
                item = self._inbox.get_nowait()
            except Empty:
                return
            if isinstance(item, StepStarted):
                self._under_way[item.planned.id] = item.planned
                yield item
                continue
            self._under_way.pop(item.planned.id, None)
            ledger.detonated(item)
            if item.footprint is not None:
                self._offsets[item.planned.target.name] = item.footprint.clock_offset.total_seconds()
            if item.planned.cleanup:
                self._cleanups.append(item)
            yield StepFinished(detonation=item)

    def _sweep(self, ledger: Ledger, cancel: Event) -> Iterator[Progress]:
        watches = ledger.watches(self._under_way.values())
        if not watches or self._halt.is_set():  # halted: the SIEM was given up
            return
        away_since: datetime | None = None
        try:
            for attempt in self._siem_attempts(cancel):
                facts, asked_at = None, self._clock.now()
                with attempt:
                    facts = self._siem.sweep(watches, self._cursor)
                if facts is None:
                    away_since = away_since or asked_at
                    if message := _trouble(attempt.retry_state):
                        yield SiemTrouble(message=message)
                    yield from self._take(ledger)
                else:
                    if away_since is not None:
                        ledger.was_away(away_since, self._clock.now())
                    self._cursor = facts.cursor
                    ledger.saw(facts)
        except SiemError as error:
            ledger.lose_siem(str(error))
            self._halt.set()

    def _siem_attempts(self, cancel: Event) -> Retrying:
        return self._attempts(SiemUnavailable, self._patience.siem, cancel)

    def _attempts(self, error: type[HarnessError], seconds: float, cancel: Event) -> Retrying:
        """Again while it is this error, with growing pauses, for as long as patience lasts and nobody cancels."""
        give_up = self._clock.monotonic() + seconds

        def pause(length: float) -> None:
            self._clock.wait(length, cancel)

        usual = wait_exponential(multiplier=0.2, max=5.0) + wait_random(0.0, 0.2)
        return Retrying(
            retry=retry_if_exception(lambda raised: isinstance(raised, error) and not isinstance(raised, Untrusted)),
            wait=lambda state: max(usual(state), _asked_to_wait(state)),
            # Who asks for more patience than there is gets none: waiting first and giving up then would gain nothing.
            stop=lambda state: cancel.is_set() or self._clock.monotonic() + _asked_to_wait(state) >= give_up,
            sleep=pause,
            reraise=True,
        )

    def _judged(self, ledger: Ledger, verdicts: Sequence[Verdict]) -> Iterator[Progress]:
        for number, verdict in enumerate(verdicts, start=1):
            self._verdicts.append(verdict)
            yield Judged(verdict=verdict, open=ledger.open + len(verdicts) - number)

    def _without_siem(self, why: str) -> Iterator[Progress]:
        """A SIEM that does not answer at the start: nothing is sent, everything is inconclusive."""
        for planned in self._plan.steps:
            for expectation in planned.step.expect:
                verdict = never_sent(planned, expectation, f"nothing was sent, the SIEM cannot answer: {why}", Inconclusive.SIEM_LOST)
                self._verdicts.append(verdict)
                yield Judged(verdict=verdict, open=0)

    def _finish(self, started_at: datetime, ledger: Ledger | None, *, interrupted: bool) -> RunFinished:
        targets = dict.fromkeys(planned.target.shown for planned in self._plan.steps)
        report = Report(
            run_id=self._run_id,
            environment=Environment(
                harness=__version__,
                python=platform.python_version(),
                platform=sys.platform,
                targets=tuple(targets),
                siem=self._siem_name,
                clock_offsets=dict(self._offsets),
                circumstances=self._circumstances,
            ),
            started_at=started_at,
            finished_at=self._clock.now(),
            interrupted=interrupted,
            verdicts=tuple(self._verdicts),
            coverage=cover(self._verdicts, {name: rule.title for name, rule in self._rules.items() if self._plan.about(name)}),
            unexpected=tuple(ledger.unexpected()) if ledger else (),
            unattributed=tuple(ledger.unattributed()) if ledger else (),
            cleanups=tuple(ledger.detonation(detonation) for detonation in self._cleanups) if ledger else (),
            exit_code=exit_code(self._verdicts, interrupted=interrupted, day=started_at.date(), whole=self._plan.shard is None),
            rules=recorded(self._verdicts, self._rules),
            steps=steps_of(self._plan.steps),
            telemetry=ledger.telemetry() if ledger else (),
            shard=self._plan.shard,
        )
        return RunFinished(report=report)

    # --- the threads, one a target ------------------------------------------------------------------------------------------

    def _start(self, cancel: Event) -> list[Thread]:
        sent = worth_sending(self._plan)
        by_target: dict[str, list[PlannedStep]] = {}
        for planned in sent:
            by_target.setdefault(planned.target.name, []).append(planned)
        workers = [
            Thread(target=self._drive, args=(steps, cancel), name=f"target {target}", daemon=True) for target, steps in by_target.items()
        ]
        for worker in workers:
            worker.start()
        return workers

    def _drive(self, steps: Sequence[PlannedStep], cancel: Event) -> None:
        """All of one target's steps, a scenario after the other."""
        down: dict[str, str] = {}
        for _, group in groupby(steps, key=lambda planned: planned.scenario):
            self._play(list(group), cancel, down)
        self._wake.set()

    def _play(self, steps: Sequence[PlannedStep], cancel: Event, down: dict[str, str]) -> None:
        """One scenario, and its cleanups in reverse order. `down`: why the target cannot be reached any more, by the way there."""
        lost = next((down[way] for way in map(_way, steps) if way in down), "")
        to_clean: list[PlannedStep] = []
        for planned in steps:
            if cancel.is_set() or self._halt.is_set():
                break
            if lost:
                self._unsent(planned, lost)
                continue
            failure = self._send(planned, cancel)
            if planned.step.cleanup is not None and (failure is None or failure.kind not in _NOTHING_SENT):
                to_clean.append(replace(planned, id=f"{planned.id}/cleanup", cleanup=True))
            self._hold(planned, cancel)
            if failure is not None:
                lost = f"an earlier step failed ({failure.kind.value}): {failure.message}"
                if failure.kind in _TARGET_DOWN:
                    down[_way(planned)] = lost
        for planned in reversed(to_clean):
            self._send(planned, Event())

    def _hold(self, planned: PlannedStep, cancel: Event) -> None:
        if (taken := self._held.get(planned.id)) is not None:
            while not (taken.is_set() or cancel.is_set() or self._halt.is_set()):
                self._clock.wait(_BEAT, taken)

    def _send(self, planned: PlannedStep, cancel: Event) -> Failure | None:
        self._report(StepStarted(planned=planned))
        detonation = self._detonate(planned, cancel)
        self._report(detonation)
        return detonation.outcome if isinstance(detonation.outcome, Failure) else None

    def _unsent(self, planned: PlannedStep, why: str) -> None:
        now = self._clock.now()
        outcome = Failure(kind=FailureKind.NOT_SENT, message=why)
        self._report(
            Detonation(planned=planned, started_at=now, finished_at=now, outcome=outcome, identity=Identity(), footprint=None),
        )

    def _report(self, item: StepStarted | Detonation) -> None:
        self._inbox.put(item)
        self._wake.set()

    def _detonate(self, planned: PlannedStep, cancel: Event) -> Detonation:
        """Open, run, identify, close. The edge of the thread: whatever goes wrong in here becomes a Failure of this step alone."""
        started_at = self._clock.now()
        session: Session | None = None
        outcome: Execution | Failure
        footprint: Footprint | None = None
        identity = Identity()
        try:
            session = self._open(planned, cancel)
            outcome = session.run(planned.step.timeout.total_seconds(), cancel)
            footprint = session.identify()
            outcome = replace(outcome, exit_code=session.exit_code)
        except TransportError as error:
            kind = _FAILURES.get(type(error), FailureKind.INTERNAL)
            if cancel.is_set() and kind in (FailureKind.TIMEOUT, FailureKind.CONNECT):
                kind = FailureKind.INTERRUPTED
            outcome = Failure(kind=kind, message=str(error))
            identity = getattr(error, "identity", identity)
        except Exception as error:  # noqa: BLE001 - one target's broken step must not take the run with it
            outcome = Failure(kind=FailureKind.INTERNAL, message=f"{type(error).__name__} in the transport")
        finally:
            if session is not None:
                session.close()
                identity = session.identity
        finished_at = self._clock.now()
        return Detonation(
            planned=planned, started_at=started_at, finished_at=finished_at, outcome=outcome, identity=identity, footprint=footprint
        )

    def _open(self, planned: PlannedStep, cancel: Event) -> Session:
        """Connect, again while there is no connection: nothing was sent then."""
        attempts = self._attempts(ConnectFailed, self._patience.connect, cancel)
        return attempts(self._transport.open, planned.target, planned.action)


def _way(planned: PlannedStep) -> str:
    """By way of whom the step goes to its target: a jump host's name, "" for the driver itself."""
    via = planned.target.via
    return via.name if via is not None else ""


def _asked_to_wait(state: RetryCallState) -> float:
    """The seconds for which a SIEM that is too busy asked to be left alone."""
    error = state.outcome.exception() if state.outcome is not None else None
    return error.retry_after if isinstance(error, SiemUnavailable) else 0.0


def _trouble(state: RetryCallState) -> str:
    """Why it is asked again; nothing where it is not, because asking again would not mend it."""
    error = state.outcome.exception() if state.outcome is not None else None
    return f"the SIEM does not answer: {error}" if isinstance(error, SiemUnavailable) else ""
