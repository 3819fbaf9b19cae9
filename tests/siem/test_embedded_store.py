"""The file itself: one writer, readers in other processes, and what is no store at all."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.siem.embedded import store
from harness.siem.embedded.store import DeployedRule, NotAStore, Since, StoredAlert, StoredEvent, Writer
from tests.siem.siem_builders import START

HOUR = timedelta(hours=1)


def writer(path: Path, *, running: bool = True) -> Writer:
    return Writer(path, interval=timedelta(seconds=1), look_back=timedelta(minutes=5), ingest_delay=timedelta(seconds=2), running=running)


def event(number: int, *, host: str = "ws1", time: datetime = START) -> StoredEvent:
    return StoredEvent(
        id=f"e{number}", host=host, channel="Security", event_id=4688, time=time, searchable_at=time + timedelta(seconds=1), document="{}"
    )


def alert(number: int, *, rule: str = "r1", host: str = "ws1") -> StoredAlert:
    return StoredAlert(
        id=f"a{number}", rule=rule, host=host, severity="low", time=START, raised_at=START, searchable_at=START, events=(f"e{number}",)
    )


def add_run(to: Writer, rule_set: int, *alerts: StoredAlert, at: datetime = START, keep_from: datetime = START - HOUR) -> None:
    to.add_run(rule_set, window=(at - HOUR, at), started_at=at, finished_at=at, alerts=alerts, keep_from=keep_from)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "siem.sqlite"


@pytest.fixture
def made(path: Path) -> Iterator[Writer]:
    made = writer(path)
    yield made
    made.close()


@given(st.datetimes(min_value=datetime(1900, 1, 1), max_value=datetime(2200, 1, 1)))  # noqa: DTZ001
def test_times_are_exact_to_the_microsecond(time: datetime) -> None:
    aware = time.replace(tzinfo=START.tzinfo)
    assert store.from_micros(store.micros(aware)) == aware


READ_ELSEWHERE = """
import sys
from pathlib import Path
from datetime import datetime, UTC
from harness.siem.embedded.store import Since, snapshot
path = Path(sys.argv[1])
print("ready", flush=True)
for line in sys.stdin:
    with snapshot(path) as seen:
        print(*[event.id for event in seen.events([Since(key="ws1", time=datetime(1999, 1, 1, tzinfo=UTC), row=0)])], flush=True)
"""


def test_another_process_reads_what_was_committed_and_nothing_else(made: Writer, path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", READ_ELSEWHERE, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).resolve().parents[2],
    ) as reader:
        assert reader.stdin is not None
        assert reader.stdout is not None

        def read() -> str:
            assert reader.stdin is not None
            assert reader.stdout is not None
            reader.stdin.write("read\n")
            reader.stdin.flush()
            return reader.stdout.readline().strip()

        assert reader.stdout.readline() == "ready\n"
        assert read() == ""
        made.add_events([event(1), event(2)])
        assert read() == "e1 e2"
        with made._transaction() as connection:
            connection.execute("update events set host = 'ws1', id = id || 'x'")
            assert read() == "e1 e2"
        assert read() == "e1x e2x"
        reader.stdin.close()
        assert reader.wait(timeout=60) == 0


def test_another_process_deploys_and_stops_the_schedule(made: Writer, path: Path) -> None:
    rule = DeployedRule(id="r1", written_as="sigma", definition="text")
    code = (
        "import sys; from pathlib import Path; from harness.siem.embedded import store\n"
        "store.deploy(Path(sys.argv[1]), [store.DeployedRule(id='r1', written_as='sigma', definition='text')])\n"
        "store.set_running(Path(sys.argv[1]), False)"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=True, cwd=Path(__file__).resolve().parents[2], timeout=60)
    assert made.rules() == [rule]
    assert made.rule_digests() == {"r1": rule.digest}
    assert made.schedule().running is False


def test_a_snapshot_stays_as_it_was(made: Writer, path: Path) -> None:
    with store.snapshot(path) as seen:
        assert seen.last_rows() == (0, 0, 0)
        made.add_events([event(1)])
        assert seen.last_rows() == (0, 0, 0)
    with store.snapshot(path) as seen:
        assert seen.last_rows() == (1, 0, 0)


def test_a_deployment_is_all_or_nothing(made: Writer, path: Path) -> None:
    class Unfit(DeployedRule):
        @property
        def digest(self) -> str:
            return None  # type: ignore[return-value]

    store.deploy(path, [DeployedRule(id="r1", written_as="sigma", definition="old")])
    with pytest.raises(sqlite3.IntegrityError):
        store.deploy(path, [DeployedRule(id="r1", written_as="sigma", definition="new"), Unfit(id="r2", written_as="", definition="")])
    assert [rule.definition for rule in made.rules()] == ["old"]


def test_a_rule_is_replaced_by_its_id(made: Writer, path: Path) -> None:
    for text in ("old", "new"):
        store.deploy(path, [DeployedRule(id="r1", written_as="sigma", definition=text)])
    assert [rule.definition for rule in made.rules()] == ["new"]


def test_an_event_is_stored_once(made: Writer) -> None:
    made.add_events([event(1), event(1), event(2)])
    made.add_events([event(2), event(3)])
    assert [stored.id for stored in made.events_after(0)] == ["e1", "e2", "e3"]


def test_events_are_found_by_row_and_by_time(made: Writer) -> None:
    made.add_events([event(number, time=START + timedelta(seconds=number)) for number in range(5)])
    last = made.events_after(0)[-2].row
    assert [stored.id for stored in made.events_after(last)] == ["e4"]
    found = made.events_between(START + timedelta(seconds=1), START + timedelta(seconds=4), last)
    assert [stored.id for stored in found] == ["e1", "e2", "e3"]


def test_an_alert_is_raised_once(made: Writer, path: Path) -> None:
    rule_set = made.add_rule_set({"r1": ""})
    add_run(made, rule_set, alert(1))
    add_run(made, rule_set, alert(1), alert(2))
    with store.snapshot(path) as seen:
        assert [found.id for found in seen.alerts([Since(key="ws1", time=START, row=0)], [])] == ["a1", "a2"]


def test_an_alert_of_a_watched_rule_on_a_watched_host_comes_once(made: Writer, path: Path) -> None:
    made.add_events([event(1)])
    add_run(made, made.add_rule_set({"r1": ""}), alert(1), alert(2, host="ws2"), alert(3, rule="r3"), alert(4, rule="r3", host="ws2"))
    asked = {"hosts": [Since(key="ws1", time=START, row=0)], "rules": [Since(key="r1", time=START, row=0)]}
    with store.snapshot(path) as seen:
        assert [found.id for found in seen.alerts(**asked)] == ["a1", "a2", "a3"]


def test_every_rule_of_a_cycle_has_its_run(made: Writer, path: Path) -> None:
    add_run(made, made.add_rule_set({"r1": "", "r2": "line 3: broken"}))
    with store.snapshot(path) as seen:
        runs = seen.runs([Since(key=rule, time=START, row=0) for rule in ("r1", "r2", "r3")])
    assert [(run.rule, run.error, run.window_start, run.started_at) for run in runs] == [
        ("r1", "", START - HOUR, START),
        ("r2", "line 3: broken", START - HOUR, START),
    ]


def test_a_run_whose_window_ends_before_it_is_asked_for_is_left_out(made: Writer, path: Path) -> None:
    add_run(made, made.add_rule_set({"r1": ""}))
    with store.snapshot(path) as seen:
        assert not seen.runs([Since(key="r1", time=START + timedelta(microseconds=1), row=0)])


def test_more_hosts_than_sqlite_has_parameters(made: Writer, path: Path) -> None:
    made.add_events([event(1)])
    with store.snapshot(path) as seen:
        found = seen.events([Since(key=f"ws{number}", time=START, row=0) for number in range(40_000)])
    assert [stored.id for stored in found] == ["e1"]


def test_runs_do_not_grow_without_bound(made: Writer, path: Path) -> None:
    """Two hours of a cycle every second over five hundred rules leave an hour of cycles, and no rule set that no cycle refers to."""
    first = made.add_rule_set({f"r{number}": "" for number in range(500)})
    second = made.add_rule_set({f"r{number}": "" for number in range(500)})
    for second_of_day in range(0, 7200, 60):
        at = START + timedelta(seconds=second_of_day)
        add_run(made, first if second_of_day < 3000 else second, at=at, keep_from=at - HOUR)
    with store.snapshot(path) as seen:
        assert len(seen.runs([Since(key="r7", time=START, row=0)])) == 61
    with sqlite3.connect(path) as connection:
        assert connection.execute("select count(*), min(rule_set), max(rule_set) from members").fetchone() == (500, second, second)
        assert connection.execute("select id from rule_sets").fetchall() == [(second,)]
    connection.close()


def test_a_store_is_taken_up_again(path: Path) -> None:
    first = writer(path)
    first.add_events([event(1)])
    name = first.schedule().store
    first.close()
    again = writer(path, running=False)
    assert [stored.id for stored in again.events_after(0)] == ["e1"]
    assert (again.schedule().store, again.schedule().running) == (name, False)
    again.close()


def foreign_database(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("create table songs (title text)")
    connection.close()


def other_version(path: Path) -> None:
    writer(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute(f"pragma user_version = {store.SCHEMA_VERSION + 1}")
    connection.close()


@pytest.mark.parametrize("make", [foreign_database, other_version])
def test_nothing_but_a_store_of_this_version_is_opened_or_changed(path: Path, make: object) -> None:
    assert callable(make)
    make(path)
    before = path.read_bytes()
    with pytest.raises(NotAStore):
        writer(path)
    with pytest.raises(NotAStore), store.snapshot(path):
        pass
    with pytest.raises(NotAStore):
        store.deploy(path, [])
    assert path.read_bytes() == before


def test_a_reader_never_makes_a_file(path: Path) -> None:
    with pytest.raises(sqlite3.OperationalError), store.snapshot(path):
        pass
    assert not path.exists()
