"""Doubles that implement the ports for tests of the engine: a clock, a SIEM and a transport whose every word is scripted.

They stand for what cannot be made to misbehave on cue; whole runs against the real lab are in tests/cli.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from threading import Event, Lock

from harness.errors import HarnessError
from harness.model.facts import Execution, Facts, Footprint, Identity, SiemStatus, Watch
from harness.model.intent import Action, Rule, Target
from tests.builders import T0, facts, status


class FakeClock:
    """Time that moves only when somebody waits, and then at once."""

    def __init__(self) -> None:
        self._elapsed = 0.0
        self._lock = Lock()

    def now(self) -> datetime:
        return T0 + timedelta(seconds=self._elapsed)

    def monotonic(self) -> float:
        return self._elapsed

    def wait(self, seconds: float, until: Event | None = None) -> bool:
        with self._lock:
            self._elapsed += max(seconds, 0.001)
        return until.is_set() if until is not None else False


class FakeSession:
    """A session that answers as it is told."""

    def __init__(self, transport: FakeTransport, target: Target, action: Action) -> None:
        self._transport = transport
        self._target = target
        self._action = action
        self.closed = 0

    def run(self, timeout: float, cancel: Event) -> Execution:
        self._transport.sent.append((self._target.name, self._action))
        answer = self._transport.answer(self._target, self._action, cancel)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def identify(self) -> Footprint:
        now = self._transport.clock.now()
        return Footprint(script="$PID", started_at=now, finished_at=now, target_time=now)

    @property
    def exit_code(self) -> int | None:
        return 0

    @property
    def identity(self) -> Identity:
        return Identity()

    def close(self) -> None:
        self.closed += 1


class FakeTransport:
    """Opens sessions, or refuses to: `opens` is asked first, then `answer` for what the action does."""

    def __init__(
        self,
        clock: FakeClock,
        opens: Callable[[Target], HarnessError | None] = lambda _: None,
        answer: Callable[[Target, Action, Event], Execution | Exception] = lambda *_: Execution(exit_code=0),
    ) -> None:
        self.clock = clock
        self.opens = opens
        self.answer = answer
        self.tried: list[str] = []
        self.sent: list[tuple[str, Action]] = []
        self.sessions: list[FakeSession] = []

    def open(self, target: Target, action: Action) -> FakeSession:
        self.tried.append(target.name)
        error = self.opens(target)
        if error is not None:
            raise error
        self.sessions.append(FakeSession(self, target, action))
        return self.sessions[-1]


class FakeSiem:
    """A SIEM that has every rule deployed, sees nothing by default, and counts what it is asked."""

    def __init__(self, clock: FakeClock, *rules: str) -> None:
        self.clock = clock
        self.rules = rules
        self.errors: list[HarnessError] = []
        self.sweeps: list[tuple[Sequence[Watch], str]] = []
        self.see: Callable[[], Facts] | None = None
        self.checks = 0

    def check(self, rules: frozenset[str]) -> SiemStatus:
        self.checks += 1
        self._fail()
        return status(*self.rules, now=self.clock.now())

    def known_rules(self) -> frozenset[str]:
        return frozenset(self.rules)

    def deploy(self, rules: Sequence[Rule]) -> None:
        raise NotImplementedError

    def sweep(self, watches: Sequence[Watch], cursor: str) -> Facts:
        self.sweeps.append((watches, cursor))
        self._fail()
        return self.see() if self.see is not None else facts(now=(self.clock.now() - T0).total_seconds())

    def _fail(self) -> None:
        if self.errors:
            raise self.errors.pop(0)
