"""The embedded SIEM's file: SQLite in WAL mode, one writing service, any number of readers in other processes.

It keeps rows and nothing else: what an event or a rule means, and when something is due, it must never know. Times are integer
microseconds since 1970 in UTC. A row's number tells the order in which rows became visible, because one process alone appends.

Rule runs are kept as the engine makes them, one row for a cycle over a set of rules: hundreds of rules every second would be
millions of rows in an hour, and every rule of a cycle has the same window and the same times.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from threading import RLock
from uuid import uuid4

APPLICATION_ID = 0x50485345
SCHEMA_VERSION = 3

# A writer's transaction is milliseconds long; a lock held for longer than this is a fault worth reporting.
_BUSY_SECONDS = 5.0

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

_SCHEMA = """
create table state (
    one integer primary key check (one = 1),
    store text not null,
    interval integer not null,
    look_back integer not null,
    ingest_delay integer not null,
    running integer not null,
    heartbeat integer not null
);
create table events (
    row integer primary key autoincrement,
    id text not null unique,
    host text not null,
    channel text not null,
    event_id integer not null,
    time integer not null,
    searchable_at integer not null,
    document text not null
);
create index events_by_host on events (host);
create index events_by_time on events (time);
create table alerts (
    row integer primary key autoincrement,
    id text not null unique,
    rule text not null,
    host text not null,
    severity text not null,
    time integer not null,
    raised_at integer not null,
    searchable_at integer not null,
    events text not null
);
create index alerts_by_host on alerts (host);
create index alerts_by_rule on alerts (rule);
create table rules (id text primary key, written_as text not null, definition text not null, digest text not null);
create table disabled (rule text primary key) without rowid;
create table exceptions (rule text not null, name text not null, conditions text not null, primary key (rule, name)) without rowid;
create table rule_sets (id integer primary key autoincrement);
create table members (rule_set integer not null, rule text not null, error text not null, primary key (rule_set, rule)) without rowid;
create index members_by_rule on members (rule);
create table runs (
    row integer primary key autoincrement,
    rule_set integer not null,
    window_start integer not null,
    window_end integer not null,
    started_at integer not null,
    finished_at integer not null
);
create index runs_by_rule_set on runs (rule_set);
"""


def micros(time: datetime) -> int:
    """A time as the store keeps it."""
    return (time - _EPOCH) // _MICROSECOND


def from_micros(value: int) -> datetime:
    """The time that the store keeps as this number."""
    return _EPOCH + value * _MICROSECOND


class NotAStore(Exception):
    """The file is no store of ours, or one of another schema version."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """The rule engine's schedule. `heartbeat` is when the engine last showed itself, the epoch where it was stopped in good order."""

    store: str
    interval: timedelta
    look_back: timedelta
    ingest_delay: timedelta
    running: bool
    heartbeat: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredEvent:
    """An event's document and what it is looked up by. `row` is 0 before it is stored."""

    row: int = 0
    id: str
    host: str
    channel: str
    event_id: int
    time: datetime
    searchable_at: datetime
    document: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredAlert:
    """An alert. `events` are the ids of its source events, in their order; `time` is the last one's, `host` where that one happened."""

    row: int = 0
    id: str
    rule: str
    host: str
    severity: str
    time: datetime
    raised_at: datetime
    searchable_at: datetime
    events: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeployedRule:
    """A rule as it was given to the engine: text, not yet parsed. `written_as` is the format of the text."""

    id: str
    written_as: str
    definition: str

    @property
    def digest(self) -> str:
        """Changes whenever the rule does."""
        return sha256(f"{self.written_as}\n{self.definition}".encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRun:
    """One cycle of the engine as far as one rule is concerned. `error` is empty where it succeeded."""

    row: int
    rule: str
    window_start: datetime
    window_end: datetime
    started_at: datetime
    finished_at: datetime
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Since:
    """What to read for one host or rule: rows after `row` whose time is not before `time`."""

    key: str
    time: datetime
    row: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleException:
    """What a rule raises no alert on: an event whose fields are like all of these values (`*` and `?` stand for others)."""

    rule: str
    name: str
    when: Mapping[str, str]

    def __str__(self) -> str:
        return f"{self.name}: {', '.join(f'{field} {value}' for field, value in sorted(self.when.items()))}"


class Writer:
    """The one that appends. Its methods may be called from any thread. Raises sqlite3.Error.

    Opens the file, making it where it is not there; raises NotAStore where it is something else.
    """

    def __init__(self, path: Path, *, interval: timedelta, look_back: timedelta, ingest_delay: timedelta, running: bool) -> None:
        self._lock = RLock()
        self._connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        try:
            if path.stat().st_size:
                _expect_store(self._connection)
            self._connection.execute("pragma journal_mode = wal")
            self._connection.execute("pragma synchronous = normal")
            with self._transaction() as connection:
                if _pragma(connection, "user_version") == 0:
                    for statement in _SCHEMA.split(";\n"):
                        connection.execute(statement)
                    connection.execute(f"pragma application_id = {APPLICATION_ID}")
                    connection.execute(f"pragma user_version = {SCHEMA_VERSION}")
                connection.execute(
                    "insert into state values (1, ?, ?, ?, ?, ?, 0) on conflict do update set interval = excluded.interval,"
                    " look_back = excluded.look_back, ingest_delay = excluded.ingest_delay, running = excluded.running",
                    (uuid4().hex, interval // _MICROSECOND, look_back // _MICROSECOND, ingest_delay // _MICROSECOND, running),
                )
        except BaseException:
            self._connection.close()
            raise

    def close(self) -> None:
        """Close the file, leaving it complete in one piece where no reader is at it."""
        with self._lock:
            self._connection.close()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock, _transaction(self._connection) as connection:
            yield connection

    def add_events(self, events: Iterable[StoredEvent]) -> None:
        """Make events searchable, in this order; one whose id is there already is the same event again and left out."""
        with self._transaction() as connection:
            connection.executemany(
                "insert or ignore into events (id, host, channel, event_id, time, searchable_at, document) values (?, ?, ?, ?, ?, ?, ?)",
                [(e.id, e.host, e.channel, e.event_id, micros(e.time), micros(e.searchable_at), e.document) for e in events],
            )

    def events_after(self, row: int) -> list[StoredEvent]:
        """Events that became searchable after this row, in order."""
        return self._events("row > ?", (row,))

    def events_between(self, start: datetime, end: datetime, last_row: int) -> list[StoredEvent]:
        """Events up to this row whose time lies from `start` to `end`, both included, in order."""
        return self._events("time between ? and ? and row <= ?", (micros(start), micros(end), last_row))

    def _events(self, condition: str, values: Sequence[int]) -> list[StoredEvent]:
        with self._lock:
            rows = self._connection.execute(f"select {_EVENT_COLUMNS} from events where {condition} order by row", values)  # noqa: S608
            return [_event(row) for row in rows]

    def rules(self) -> list[DeployedRule]:
        """The rules that are deployed and enabled now, by id."""
        with self._lock:
            rows = self._connection.execute(f"select id, written_as, definition from rules where {_ENABLED} order by id")  # noqa: S608
            return [DeployedRule(id=id, written_as=written_as, definition=definition) for id, written_as, definition in rows]

    def rule_digests(self) -> dict[str, str]:
        """The digest of every rule that is deployed and enabled now, by the rule's id."""
        with self._lock:
            return dict(self._connection.execute(f"select id, digest from rules where {_ENABLED} order by id").fetchall())  # noqa: S608

    def exceptions(self) -> list[RuleException]:
        """What raises no alert."""
        with self._lock:
            return _exceptions(self._connection)

    def add_rule_set(self, errors: Mapping[str, str]) -> int:
        """A set of rules that are run together, each with the error that keeps it from running, or ""; its number."""
        with self._transaction() as connection:
            number = connection.execute("insert into rule_sets default values").lastrowid
            assert number is not None
            connection.executemany("insert into members values (?, ?, ?)", [(number, rule, error) for rule, error in errors.items()])
            return number

    def add_run(
        self,
        rule_set: int,
        *,
        window: tuple[datetime, datetime],
        started_at: datetime,
        finished_at: datetime,
        alerts: Iterable[StoredAlert],
        keep_from: datetime,
    ) -> None:
        """One cycle and the alerts that it raised, visible together: whoever sees the run sees all that it found.

        An alert whose id is there already was raised before. Cycles that finished before `keep_from` are dropped.
        """
        with self._transaction() as connection:
            connection.executemany(
                "insert or ignore into alerts (id, rule, host, severity, time, raised_at, searchable_at, events)"
                " values (?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (a.id, a.rule, a.host, a.severity, micros(a.time), micros(a.raised_at), micros(a.searchable_at), json.dumps(a.events))
                    for a in alerts
                ],
            )
            connection.execute(
                "insert into runs (rule_set, window_start, window_end, started_at, finished_at) values (?, ?, ?, ?, ?)",
                (rule_set, micros(window[0]), micros(window[1]), micros(started_at), micros(finished_at)),
            )
            if connection.execute("delete from runs where finished_at < ?", (micros(keep_from),)).rowcount:
                connection.execute("delete from rule_sets where id not in (select rule_set from runs)")
                connection.execute("delete from members where rule_set not in (select id from rule_sets)")

    def beat(self, at: datetime) -> None:
        """Note that the engine is alive; the epoch says that it was stopped."""
        with self._transaction() as connection:
            connection.execute("update state set heartbeat = ?", (micros(at),))

    def schedule(self) -> Schedule:
        """The schedule as it stands."""
        with self._lock:
            return _schedule(self._connection)


class Snapshot:
    """The file as it was at one moment, for reading alone. Raises sqlite3.Error."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def schedule(self) -> Schedule:
        """The schedule as it stands."""
        return _schedule(self._connection)

    def rule_ids(self) -> frozenset[str]:
        """Ids of the rules that are deployed."""
        return frozenset(id for (id,) in self._connection.execute("select id from rules"))

    def disabled(self) -> frozenset[str]:
        """Ids of the rules that the engine does not run, deployed or not."""
        return frozenset(rule for (rule,) in self._connection.execute("select rule from disabled"))

    def exceptions(self) -> list[RuleException]:
        """What raises no alert."""
        return _exceptions(self._connection)

    def last_rows(self) -> tuple[int, int, int]:
        """The last row of events, alerts and runs, 0 where there is none."""
        rows = [
            self._connection.execute(f"select coalesce(max(row), 0) from {table}").fetchone()[0]  # noqa: S608
            for table in ("events", "alerts", "runs")
        ]
        return rows[0], rows[1], rows[2]

    def ingest_lags(self, newest: int) -> list[timedelta]:
        """From an event's time to its being searchable, of so many newest events."""
        rows = self._connection.execute("select searchable_at - time from events order by row desc limit ?", (newest,))
        return [lag * _MICROSECOND for (lag,) in rows]

    def events(self, hosts: Iterable[Since]) -> list[StoredEvent]:
        """Events of these hosts, in order."""
        rows = self._connection.execute(
            f"select {_columns('e', _EVENT_COLUMNS)} from json_each(?) w cross join events e on e.host = json_extract(w.value, '$[0]')"  # noqa: S608
            " and e.time >= json_extract(w.value, '$[1]') and e.row > json_extract(w.value, '$[2]') order by e.row",
            (_asked(hosts),),
        )
        return [_event(row) for row in rows]

    def events_after(self, row: int, most: int) -> list[StoredEvent]:
        """So many events that became searchable after this row, in order."""
        rows = self._connection.execute(f"select {_EVENT_COLUMNS} from events where row > ? order by row limit ?", (row, most))  # noqa: S608
        return [_event(found) for found in rows]

    def events_by_id(self, ids: Iterable[str]) -> dict[str, StoredEvent]:
        """The events of these ids."""
        rows = self._connection.execute(
            f"select {_EVENT_COLUMNS} from events where id in (select value from json_each(?))",  # noqa: S608
            (json.dumps(list(ids)),),
        )
        return {event.id: event for event in map(_event, rows)}

    def alerts(self, hosts: Iterable[Since], rules: Iterable[Since]) -> list[StoredAlert]:
        """Alerts of any rule on these hosts, and of these rules on any host, in order."""
        half = (
            "select {columns} from json_each(?) w cross join alerts a on a.{key} = json_extract(w.value, '$[0]')"
            " and a.time >= json_extract(w.value, '$[1]') and a.row > json_extract(w.value, '$[2]')"
        )
        columns = _columns("a", _ALERT_COLUMNS)
        rows = self._connection.execute(
            f"{half.format(columns=columns, key='host')} union {half.format(columns=columns, key='rule')} order by 1",
            (_asked(hosts), _asked(rules)),
        )
        return [
            StoredAlert(
                row=row,
                id=id,
                rule=rule,
                host=host,
                severity=severity,
                time=from_micros(time),
                raised_at=from_micros(raised_at),
                searchable_at=from_micros(searchable_at),
                events=tuple(json.loads(events)),
            )
            for row, id, rule, host, severity, time, raised_at, searchable_at, events in rows
        ]

    def runs(self, rules: Iterable[Since]) -> list[StoredRun]:
        """Runs of these rules whose window reaches the time asked for, in order."""
        rows = self._connection.execute(
            "select r.row, m.rule, r.window_start, r.window_end, r.started_at, r.finished_at, m.error"
            " from json_each(?) w cross join members m on m.rule = json_extract(w.value, '$[0]')"
            " cross join runs r on r.rule_set = m.rule_set and r.window_end >= json_extract(w.value, '$[1]')"
            " and r.row > json_extract(w.value, '$[2]') order by r.row, m.rule",
            (_asked(rules),),
        )
        return [
            StoredRun(
                row=row,
                rule=rule,
                window_start=from_micros(start),
                window_end=from_micros(end),
                started_at=from_micros(started_at),
                finished_at=from_micros(finished_at),
                error=error,
            )
            for row, rule, start, end, started_at, finished_at, error in rows
        ]


@contextmanager
def snapshot(path: Path) -> Iterator[Snapshot]:
    """Read a store, in whatever process it is written. Raises sqlite3.Error, and NotAStore where the file is no store."""
    with _opened(path, "ro") as connection:
        connection.execute("begin")
        yield Snapshot(connection)


def deploy(path: Path, rules: Iterable[DeployedRule]) -> None:
    """Give the engine these rules in place of any with the same id, all or none. Raises as `snapshot` does."""
    with _opened(path, "rw") as connection, _transaction(connection):
        connection.executemany(
            "insert or replace into rules values (?, ?, ?, ?)",
            [(rule.id, rule.written_as, rule.definition, rule.digest) for rule in rules],
        )


def hold_back(path: Path, disabled: Iterable[str], exceptions: Iterable[RuleException]) -> None:
    """Let the engine run all rules but these, and raise no alert that an exception is about. Raises as `snapshot` does."""
    with _opened(path, "rw") as connection, _transaction(connection):
        connection.execute("delete from disabled")
        connection.execute("delete from exceptions")
        connection.executemany("insert or ignore into disabled values (?)", [(rule,) for rule in disabled])
        written = [(each.rule, each.name, json.dumps(dict(each.when))) for each in exceptions]
        connection.executemany("insert or replace into exceptions values (?, ?, ?)", written)


def set_running(path: Path, running: bool) -> None:
    """Let the rule schedule run, or stand still. Raises as `snapshot` does."""
    with _opened(path, "rw") as connection, _transaction(connection):
        connection.execute("update state set running = ?", (running,))


_ENABLED = "id not in (select rule from disabled)"
_EVENT_COLUMNS = "row, id, host, channel, event_id, time, searchable_at, document"
_ALERT_COLUMNS = "row, id, rule, host, severity, time, raised_at, searchable_at, events"


@contextmanager
def _opened(path: Path, mode: str) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode={mode}", uri=True, timeout=_BUSY_SECONDS, isolation_level=None)
    try:
        _expect_store(connection)
        yield connection
    finally:
        connection.close()


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    # "immediate" takes the write lock at once: a transaction that begins by reading and then writes could find the file changed under it.
    connection.execute("begin immediate")
    try:
        yield connection
    except BaseException:
        connection.execute("rollback")
        raise
    connection.execute("commit")


def _expect_store(connection: sqlite3.Connection) -> None:
    if _pragma(connection, "application_id") != APPLICATION_ID:
        raise NotAStore("another program's database")
    if (version := _pragma(connection, "user_version")) != SCHEMA_VERSION:
        raise NotAStore(f"schema version {version}, this program reads {SCHEMA_VERSION}")


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    value: int = connection.execute(f"pragma {name}").fetchone()[0]
    return value


def _schedule(connection: sqlite3.Connection) -> Schedule:
    store, interval, look_back, ingest_delay, running, heartbeat = connection.execute(
        "select store, interval, look_back, ingest_delay, running, heartbeat from state"
    ).fetchone()
    return Schedule(
        store=store,
        interval=interval * _MICROSECOND,
        look_back=look_back * _MICROSECOND,
        ingest_delay=ingest_delay * _MICROSECOND,
        running=bool(running),
        heartbeat=from_micros(heartbeat),
    )


def _exceptions(connection: sqlite3.Connection) -> list[RuleException]:
    rows = connection.execute("select rule, name, conditions from exceptions order by rule, name")
    return [RuleException(rule=rule, name=name, when=json.loads(conditions)) for rule, name, conditions in rows]


def _event(row: tuple[int, str, str, str, int, int, int, str]) -> StoredEvent:
    number, id, host, channel, event_id, time, searchable_at, document = row
    return StoredEvent(
        row=number,
        id=id,
        host=host,
        channel=channel,
        event_id=event_id,
        time=from_micros(time),
        searchable_at=from_micros(searchable_at),
        document=document,
    )


def _asked(asked: Iterable[Since]) -> str:
    """What is asked for as one JSON value: one statement serves any number of hosts or rules, beyond SQLite's limit of parameters.

    It is joined by "cross join", which keeps SQLite from making it the inner loop and unpacking it anew for every row of a table.
    """
    return json.dumps([(since.key, micros(since.time), since.row) for since in asked])


def _columns(table: str, columns: str) -> str:
    return ", ".join(f"{table}.{column}" for column in columns.split(", "))
