"""The embedded SIEM as the `Siem` port: reads its file from whatever process the harness is, and deploys rules into it.

Every call opens the file anew, so that a file that is gone, or another one in its place, is noticed at once. It must never know the
service that writes the file: what cannot be read from the file is not known.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from harness.clock import SystemClock
from harness.errors import SiemError, SiemUnavailable
from harness.events import winlogbeat
from harness.model.facts import Alert, Event, Facts, Observed, RuleRun, RuleState, SiemStatus, Watch
from harness.model.intent import Rule, Severity
from harness.ports import Clock
from harness.siem.embedded import store
from harness.siem.embedded.store import DeployedRule, RuleException, Schedule, Since, Snapshot, StoredAlert, StoredEvent, StoredRun

NAME = "embedded"

# An engine may be at a long cycle or parsing thousands of rules: it is held to stand still only after this and three intervals.
_HEARTBEAT_GRACE = timedelta(seconds=30)

# The 99th percentile means little below a hundred events; above a thousand it tells of days gone by.
_LAGS_WANTED = 1000
_LAGS_NEEDED = 100

_SYSTEM_CLOCK = SystemClock()


class EmbeddedClient:
    """The port `harness.ports.Siem` over the store at `path`. `clock` is the machine's, which the SIEM shares."""

    def __init__(self, path: Path, *, clock: Clock = _SYSTEM_CLOCK) -> None:
        self._path = path
        self._clock = clock
        self._store = ""

    def check(self, rules: frozenset[str]) -> SiemStatus:
        """See `Siem.check`. The SIEM is held to be running while its engine's heartbeat is fresh and its schedule not stopped."""
        with self._snapshot() as (now, schedule, snapshot):
            deployed, disabled, exceptions = snapshot.rule_ids(), snapshot.disabled(), snapshot.exceptions()
            return SiemStatus(
                name=NAME,
                now=now,
                ingest_lag=_ingest_lag(snapshot.ingest_lags(_LAGS_WANTED), schedule.ingest_delay),
                schedule_running=_runs(schedule, now),
                rules={
                    rule: RuleState(
                        rule=rule,
                        deployed=rule in deployed,
                        enabled=rule in deployed - disabled,
                        interval=schedule.interval,
                        look_back=schedule.look_back,
                        exceptions=tuple(str(each) for each in exceptions if each.rule == rule),
                    )
                    for rule in rules
                },
            )

    def known_rules(self) -> frozenset[str]:
        """See `Siem.known_rules`."""
        with self._snapshot() as (_, _, snapshot):
            return snapshot.rule_ids()

    def deploy(self, rules: Sequence[Rule]) -> None:
        """See `Siem.deploy`. The engine takes them up at its next cycle."""
        texts = [DeployedRule(id=rule.id, written_as=rule.written_as, definition=rule.definition) for rule in rules]
        with self._mapped():
            store.deploy(self._path, texts)

    def hold_back(self, disabled: Iterable[str], exceptions: Iterable[RuleException]) -> None:
        """From its next cycle on the engine runs all rules but these, and raises no alert that an exception is about. Raises SiemError."""
        with self._mapped():
            store.hold_back(self._path, disabled, exceptions)

    def set_schedule(self, running: bool) -> None:
        """Let the SIEM's rule schedule run, or stop it. Raises SiemError."""
        with self._mapped():
            store.set_running(self._path, running)

    def sweep(self, watches: Sequence[Watch], cursor: str) -> Facts:
        """See `Siem.sweep`: one read transaction, and the same few statements for any number of watches."""
        before = _Cursor.parse(cursor)
        hosts = _earliest((watch.host, watch.since) for watch in watches)
        rules = _earliest((rule, watch.since) for watch in watches for rule in watch.rules)
        with self._snapshot() as (now, schedule, snapshot):
            events, alerts, runs = snapshot.last_rows()
            observed = snapshot.events(_since(hosts, before.hosts, before.events))
            raised = snapshot.alerts(_since(hosts, before.hosts, before.alerts), _since(rules, before.rules, before.alerts))
            sources = snapshot.events_by_id(event for alert in raised for event in alert.events)
            return Facts(
                observed=tuple(Observed(event=_event(event), searchable_at=event.searchable_at) for event in observed),
                alerts=tuple(_alert(alert, sources) for alert in raised),
                runs=tuple(_run(run) for run in snapshot.runs(_since(rules, before.rules, before.runs))),
                now=now,
                schedule_running=_runs(schedule, now),
                cursor=_Cursor(events=events, alerts=alerts, runs=runs, hosts=hosts, rules=rules).text(),
            )

    @contextmanager
    def _snapshot(self) -> Iterator[tuple[datetime, Schedule, Snapshot]]:
        with self._mapped(), store.snapshot(self._path) as snapshot:
            # The clock first: what the snapshot holds can only be younger, so nothing is held to be older than it is.
            now = self._clock.now()
            schedule = snapshot.schedule()
            if self._store not in ("", schedule.store):
                raise SiemUnavailable(f"the embedded SIEM's file {self._path} was replaced by another SIEM's")
            self._store = schedule.store
            yield now, schedule, snapshot

    @contextmanager
    def _mapped(self) -> Iterator[None]:
        """Everything that can befall the file, in the words of `harness.errors`."""
        place = f"the embedded SIEM's file {self._path}"
        try:
            if not self._path.exists():
                raise SiemUnavailable(f"{place} is gone: is its lab still running?")
            if self._path.is_dir():
                raise SiemError(f"{place} is a directory")
            if not self._path.stat().st_size:
                raise SiemUnavailable(f"{place} is empty")
            yield
        except store.NotAStore as error:
            raise SiemError(f"{place} is no embedded SIEM's: {error}") from error
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
            if code == sqlite3.SQLITE_NOTADB:
                raise SiemError(f"{place} is no embedded SIEM's: {error}") from error
            reason = {
                sqlite3.SQLITE_BUSY: "is locked by another process",
                sqlite3.SQLITE_CANTOPEN: "cannot be opened",
                sqlite3.SQLITE_CORRUPT: "is damaged",
            }.get(code, "cannot be read")
            raise SiemUnavailable(f"{place} {reason}: {error}") from error
        except OSError as error:
            raise SiemUnavailable(f"{place} cannot be read: {error}") from error
        except ValueError as error:
            raise SiemUnavailable(f"{place} is damaged: {error}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cursor:
    """How far sweeps have come: the last rows, and for which hosts and rules everything since which time was handed out up to them.

    A host or rule that is watched anew, or from an earlier time than before, is read again from its own beginning.
    """

    events: int = 0
    alerts: int = 0
    runs: int = 0
    hosts: Mapping[str, datetime]
    rules: Mapping[str, datetime]

    @classmethod
    def parse(cls, text: str) -> _Cursor:
        if not text:
            return cls(hosts={}, rules={})
        value = json.loads(text)
        times = {part: {key: store.from_micros(time) for key, time in value[part].items()} for part in ("hosts", "rules")}
        return cls(events=value["events"], alerts=value["alerts"], runs=value["runs"], hosts=times["hosts"], rules=times["rules"])

    def text(self) -> str:
        times = {part: {key: store.micros(time) for key, time in of.items()} for part, of in (("hosts", self.hosts), ("rules", self.rules))}
        return json.dumps({"events": self.events, "alerts": self.alerts, "runs": self.runs} | times)


def _earliest(wanted: Iterable[tuple[str, datetime]]) -> dict[str, datetime]:
    earliest: dict[str, datetime] = {}
    for key, since in wanted:
        # A document's time is cut to the millisecond: an event of the very millisecond that is asked from must not fall before it.
        cut = since.replace(microsecond=since.microsecond // 1000 * 1000)
        earliest[key] = min(cut, earliest.get(key, cut))
    return earliest


def _since(wanted: Mapping[str, datetime], had: Mapping[str, datetime], row: int) -> list[Since]:
    return [Since(key=key, time=time, row=row if key in had and had[key] <= time else 0) for key, time in wanted.items()]


def _runs(schedule: Schedule, now: datetime) -> bool:
    return schedule.running and now - schedule.heartbeat <= 3 * schedule.interval + _HEARTBEAT_GRACE


def _ingest_lag(lags: Sequence[timedelta], promised: timedelta) -> timedelta:
    if len(lags) < _LAGS_NEEDED:
        return max([promised, *lags])
    return sorted(lags)[len(lags) * 99 // 100]


def _event(stored: StoredEvent) -> Event:
    return winlogbeat.read(json.loads(stored.document), stored.id)


def _alert(stored: StoredAlert, sources: Mapping[str, StoredEvent]) -> Alert:
    return Alert(
        id=stored.id,
        rule=stored.rule,
        host=stored.host,
        severity=Severity(stored.severity),
        raised_at=stored.raised_at,
        searchable_at=stored.searchable_at,
        events=tuple(_event(sources[id]) for id in stored.events if id in sources),
        source=NAME,
    )


def _run(stored: StoredRun) -> RuleRun:
    return RuleRun(
        id=f"{stored.row}/{stored.rule}",
        rule=stored.rule,
        window_start=stored.window_start,
        window_end=stored.window_end,
        started_at=stored.started_at,
        finished_at=stored.finished_at,
        ok=not stored.error,
        message=stored.error,
    )
