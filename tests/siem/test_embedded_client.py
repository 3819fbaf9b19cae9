"""The client against a file that is gone, another one, damaged, locked or empty, and what it says of a SIEM's health."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from harness.errors import SiemError, SiemUnavailable
from harness.model.facts import Watch
from harness.siem.embedded import store
from harness.siem.embedded.client import EmbeddedClient
from harness.siem.embedded.service import JITTER
from tests.siem.siem_builders import HOSTNAME, INGEST_DELAY, INTERVAL, LOOK_BACK, START, WHOAMI, EmbeddedBench, bench, sigma

WATCH = Watch(host="ws1", since=START, rules=frozenset({WHOAMI}))


@pytest.fixture
def on(tmp_path: Path) -> Iterator[EmbeddedBench]:
    with bench(tmp_path / "siem.sqlite") as made:
        made.run_rules()
        yield made


CALLS: list[Callable[[EmbeddedClient], object]] = [
    lambda client: client.check(frozenset({WHOAMI})),
    lambda client: client.known_rules(),
    lambda client: client.sweep([WATCH], ""),
    lambda client: client.deploy([sigma(WHOAMI, "whoami.exe")]),
    lambda client: client.set_schedule(False),
]
EVERY_CALL = pytest.mark.parametrize("call", CALLS, ids=["check", "known_rules", "sweep", "deploy", "set_schedule"])


def gone(path: Path) -> None:
    shutil.rmtree(path.parent)


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def damaged(path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[:100] + b"\xff" * (len(whole) - 100))


def text(path: Path) -> None:
    path.write_text("what is this? " * 100)


def foreign(path: Path) -> None:
    path.unlink()
    with sqlite3.connect(path) as connection:
        connection.execute("create table songs (title text)")
    connection.close()


def directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


BEFALLEN = [
    (gone, SiemUnavailable, "is gone"),
    (emptied, SiemUnavailable, "is empty"),
    (damaged, SiemUnavailable, "is damaged"),
    (text, SiemError, "no embedded SIEM's"),
    (foreign, SiemError, "no embedded SIEM's"),
    (directory, SiemError, "is a directory"),
]


@EVERY_CALL
@pytest.mark.parametrize(("befall", "error", "said"), BEFALLEN)
def test_what_can_befall_the_file(
    befall: Callable[[Path], None], error: type[SiemError], said: str, call: Callable[[EmbeddedClient], object], tmp_path: Path
) -> None:
    path = tmp_path / "lab" / "siem.sqlite"
    path.parent.mkdir()
    with bench(path) as on:
        on.log(1, "whoami.exe")
        on.settle()
    befall(path)
    with pytest.raises(SiemError, match=said) as raised:
        call(on.siem)
    assert type(raised.value) is error
    assert str(path) in str(raised.value)


def test_it_answers_again_once_the_file_is_there_again(on: EmbeddedBench, tmp_path: Path) -> None:
    on.siem.deploy([sigma(WHOAMI, "whoami.exe")])
    cursor = on.siem.sweep([WATCH], "").cursor
    on.path.rename(tmp_path / "away")
    with pytest.raises(SiemUnavailable, match="is gone"):
        on.siem.sweep([WATCH], cursor)
    (tmp_path / "away").rename(on.path)
    on.log(1, "whoami.exe")
    on.settle()
    assert len(on.siem.sweep([WATCH], cursor).observed) == 1


@pytest.mark.parametrize("call", CALLS[:3], ids=["check", "known_rules", "sweep"])
def test_another_siem_in_its_place_is_noticed(call: Callable[[EmbeddedClient], object], tmp_path: Path) -> None:
    path = tmp_path / "lab" / "siem.sqlite"
    path.parent.mkdir()
    with bench(path) as first:
        first.siem.check(frozenset())
    shutil.rmtree(path.parent)
    path.parent.mkdir()
    with bench(path), pytest.raises(SiemUnavailable, match="replaced"):
        call(first.siem)


def test_a_lock_that_is_not_let_go(on: EmbeddedBench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "_BUSY_SECONDS", 0.05)
    holder = sqlite3.connect(on.path, isolation_level=None)
    holder.execute("begin immediate")
    assert on.siem.known_rules() == frozenset()  # reading goes on beside a writer
    with pytest.raises(SiemUnavailable, match="is locked"):
        on.siem.deploy([sigma(WHOAMI, "whoami.exe")])
    holder.execute("rollback")
    holder.close()
    on.siem.deploy([sigma(WHOAMI, "whoami.exe")])


def test_a_document_that_is_no_event(on: EmbeddedBench) -> None:
    on.log(1, "whoami.exe")
    on.settle()
    with sqlite3.connect(on.path) as connection:
        connection.execute("update events set document = '{'")
    connection.close()
    with pytest.raises(SiemUnavailable, match="is damaged"):
        on.siem.sweep([WATCH], "")


def test_check_tells_the_state_of_each_rule(on: EmbeddedBench) -> None:
    on.siem.deploy([sigma(WHOAMI, "whoami.exe")])
    status = on.siem.check(frozenset({WHOAMI, HOSTNAME}))
    assert {name: (state.deployed, state.enabled) for name, state in status.rules.items()} == {
        WHOAMI: (True, True),
        HOSTNAME: (False, False),
    }
    assert {(state.interval, state.look_back) for state in status.rules.values()} == {(INTERVAL, LOOK_BACK)}
    assert (status.name, status.now, status.schedule_running) == ("embedded", on.clock.now(), True)
    assert on.siem.known_rules() == {WHOAMI}


def test_an_engine_that_shows_no_sign_of_life_is_not_running(on: EmbeddedBench) -> None:
    on.clock.wait(3 * INTERVAL.total_seconds() + 29)
    assert on.siem.check(frozenset()).schedule_running
    on.clock.wait(2)
    assert not on.siem.check(frozenset()).schedule_running
    assert not on.siem.sweep([WATCH], "").schedule_running
    on.run_rules()
    assert on.siem.check(frozenset()).schedule_running


def test_the_ingest_lag_is_promised_until_it_is_measured(on: EmbeddedBench) -> None:
    promised = INGEST_DELAY * (1 + JITTER)
    assert on.siem.check(frozenset()).ingest_lag == promised
    on.log(0, "x.exe", age=30)
    on.settle()
    assert on.siem.check(frozenset()).ingest_lag > timedelta(seconds=30)  # few events tell of the worst alone
    for record in range(1, 200):
        on.log(record, "x.exe", age=5 if record < 5 else 0)
    on.settle()
    assert timedelta(seconds=5) < on.siem.check(frozenset()).ingest_lag < timedelta(seconds=9)  # one of 200 is beyond the 99th percentile


def test_an_event_of_the_millisecond_that_is_watched_from_is_seen(on: EmbeddedBench) -> None:
    on.clock.wait(0.0009)
    since = on.clock.now()
    on.log(1, "whoami.exe")
    on.settle()
    assert len(on.siem.sweep([Watch(host="ws1", since=since, rules=frozenset())], "").observed) == 1


def test_the_number_of_statements_does_not_grow_with_the_number_of_watches(on: EmbeddedBench, monkeypatch: pytest.MonkeyPatch) -> None:
    statements: list[str] = []
    real = sqlite3.connect

    def traced(*args: object, **kwargs: object) -> sqlite3.Connection:
        connection: sqlite3.Connection = real(*args, **kwargs)  # type: ignore[call-overload]
        connection.set_trace_callback(statements.append)
        return connection

    monkeypatch.setattr(sqlite3, "connect", traced)
    on.siem.sweep([WATCH], "")
    one = len(statements)
    watches = [Watch(host=f"ws{number}", since=START, rules=frozenset({WHOAMI, f"r{number}"})) for number in range(500)]
    on.siem.sweep(watches, "")
    assert one > 0
    assert len(statements) == 2 * one


@pytest.mark.parametrize("ages", [(0, 30), (30, 0)])
def test_two_watches_of_one_host_see_everything_since_the_earlier(ages: tuple[int, int], on: EmbeddedBench) -> None:
    on.siem.deploy([sigma(WHOAMI, "whoami.exe")])
    on.log(1, "whoami.exe", age=20)
    on.settle()
    on.run_rules()
    facts = on.siem.sweep([Watch(host="ws1", since=START - timedelta(seconds=age), rules=frozenset({WHOAMI})) for age in ages], "")
    assert (len(facts.observed), len(facts.alerts), len(facts.runs)) == (1, 1, 1)
