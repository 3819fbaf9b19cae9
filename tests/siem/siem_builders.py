"""A SIEM on the bench: a clock that moves when it is told to, a few rules in Sigma, and an embedded SIEM driven by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event as Flag
from threading import Lock

from harness.detect import Detector
from harness.model.intent import Rule
from harness.rules.languages import parse_rules
from harness.rules.sigma import SigmaRules
from harness.siem.embedded.client import EmbeddedClient
from harness.siem.embedded.service import JITTER, EmbeddedSiem
from tests.events.event_builders import process_created

START = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
INGEST_DELAY = timedelta(seconds=2)
INTERVAL = timedelta(seconds=5)
LOOK_BACK = timedelta(seconds=60)

WHOAMI = "11111111-1111-4111-8111-111111111111"
HOSTNAME = "22222222-2222-4222-8222-222222222222"
OTHER = "33333333-3333-4333-8333-333333333333"


class FakeClock:
    """A clock that only moves by `wait`."""

    def __init__(self, now: datetime = START) -> None:
        self._now = now
        self._lock = Lock()

    def now(self) -> datetime:
        with self._lock:
            return self._now

    def monotonic(self) -> float:
        return (self.now() - START).total_seconds()

    def wait(self, seconds: float, until: Flag | None = None) -> bool:
        with self._lock:
            self._now += timedelta(seconds=max(0.0, seconds))
        return until is not None and until.is_set()


def sigma_text(rule_id: str, image: str, level: str = "high") -> str:
    """A rule for a program's start, told by Security 4688."""
    return f"""title: {image} started
id: {rule_id}
logsource: {{product: windows, service: security}}
detection:
  selection: {{EventID: 4688, NewProcessName|endswith: '\\{image}'}}
  condition: selection
level: {level}
"""


def sigma(rule_id: str, image: str, level: str = "high") -> Rule:
    (rule,) = SigmaRules().parse(sigma_text(rule_id, image, level), "bench")
    return rule


def embedded(
    path: Path, clock: FakeClock, *, schedule_running: bool = True, detector_of: Callable[[Sequence[Rule]], Detector] = Detector
) -> EmbeddedSiem:
    return EmbeddedSiem(
        path,
        clock=clock,
        detector_of=detector_of,
        parse=parse_rules,
        ingest_delay=INGEST_DELAY,
        rule_interval=INTERVAL,
        look_back=LOOK_BACK,
        schedule_running=schedule_running,
    )


class EmbeddedBench:
    """An embedded SIEM without threads: time passes, events come in and rules run when a test says so."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.clock = FakeClock()
        self.service = embedded(path, self.clock)
        self.siem = EmbeddedClient(path, clock=self.clock)
        self.start = self.clock.now()

    def deploy(self, rules: Sequence[Rule]) -> None:
        self.siem.deploy(rules)

    def log(self, record: int, image: str, *, host: str = "ws1", age: float = 0.0) -> None:
        """A program's start is logged on a host, `age` seconds ago by the host's clock, and shipped now."""
        created = self.clock.now() - timedelta(seconds=age)
        self.service.ingest(process_created(record, created=created, computer=f"{host.upper()}.lab.example", image=image))

    def settle(self) -> None:
        """Let so much time pass that whatever was logged is searchable."""
        self.clock.wait((INGEST_DELAY * (1 + JITTER)).total_seconds())
        self.service.pump()
        self.clock.wait(0.001)

    def run_rules(self) -> None:
        """The moment of the rule engine's next cycle has come."""
        self.service.run_rules()
        self.clock.wait(0.001)

    def stop_schedule(self) -> None:
        self.siem.set_schedule(False)


@contextmanager
def bench(path: Path) -> Iterator[EmbeddedBench]:
    made = EmbeddedBench(path)
    try:
        yield made
    finally:
        made.service.stop()
