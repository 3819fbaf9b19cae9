"""The history: what was kept comes back, whole, whoever else writes and whatever ends a writer."""

from __future__ import annotations

import lzma
import os
import random
import signal
import sqlite3
import stat
import subprocess
import sys
import zlib
from dataclasses import replace
from datetime import UTC, timedelta
from pathlib import Path
from threading import Event

import pytest

from harness.core.record import remembered
from harness.errors import UsageError
from harness.history import opened
from harness.model.changes import Flaky
from harness.model.report import Aspect, Circumstance, HostTelemetry, Report, StepRecord
from harness.reports.json import dump_report
from tests.needs import ROOT
from tests.reports import sample_reports as sample


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "history.sqlite"


def run(run_id: str, at: float = 0.0) -> Report:
    return replace(sample.gap(), run_id=run_id, started_at=sample.after(at), finished_at=sample.after(at + 5))


def keep(path: Path, *reports: Report) -> None:
    with opened(path, make=True) as history:
        for report in reports:
            history.append(report)


def ids(path: Path, most: int = 100) -> list[str]:
    with opened(path) as history:
        return [each.run_id for each in history.runs(most)]


def test_there_is_none_before_the_first_run_and_reading_makes_none(path: Path) -> None:
    with opened(path) as history:
        assert history.last() is None
        assert history.runs(5) == ()
        with pytest.raises(UsageError, match="there is no run yet"):
            history.report("last")
    assert not path.parent.exists()


def test_a_run_comes_back_equal(path: Path) -> None:
    for report in (sample.gap(), replace(sample.hostile("\x1b[2J \u202e"), run_id="hostile")):
        keep(path, report)
        with opened(path) as history:
            assert history.report(report.run_id) == report


def test_runs_are_listed_the_newest_first(path: Path) -> None:
    keep(path, run("b", 100), run("a", 50), run("c", 200))
    assert ids(path) == ["c", "b", "a"]
    assert ids(path, 2) == ["c", "b"]
    with opened(path) as history:
        newest = history.runs(1)[0]
        last = history.last()
    assert last == run("c", 200)
    assert (newest.expectations, newest.exit_code, newest.targets, newest.siem) == (16, 1, "ws5, ws6", "embedded")
    assert (newest.started_at, newest.finished_at) == (sample.after(200), sample.after(205))


def test_a_run_is_named_by_the_beginning_of_its_id(path: Path) -> None:
    keep(path, run("abc123", 1), run("abd", 2), run("ab", 3), run("100%", 4))
    with opened(path) as history:
        assert history.report("abc").run_id == "abc123"
        assert history.report("ab").run_id == "ab"
        assert history.report("last").run_id == "100%"
        for name, said in (
            ("a", "several runs begin with 'a'"),
            ("x", "there is no run 'x'"),
            ("%", "there is no run '%'"),
            ("", "there is no run ''"),
        ):
            with pytest.raises(UsageError, match=said):
                history.report(name)


def test_a_run_is_kept_once(path: Path) -> None:
    keep(path, run("a"), run("b"), run("a", 70))
    assert ids(path) == ["a", "b"]


def test_old_runs_are_forgotten_and_their_room_given_back(path: Path) -> None:
    keep(path, *(run(f"run-{number:02d}", number * 10) for number in range(20)))
    before = path.stat().st_size
    with opened(path) as history:
        assert history.prune(before=sample.after(55)) == 5
        assert history.prune(keep=3) == 12
        assert history.prune(keep=3) == 0
    assert ids(path) == ["run-19", "run-18", "run-17"]
    assert path.stat().st_size < before


@pytest.mark.skipif(sys.platform == "win32", reason="file modes")
def test_only_its_owner_may_read_it(path: Path) -> None:
    before = os.umask(0)
    try:
        keep(path, run("a"))
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


_WRITER = """
import sys
from dataclasses import replace
from pathlib import Path
from harness.history import opened
from tests.reports import sample_reports as sample
for number in range(8):
    with opened(Path(sys.argv[1]), make=True) as history:
        history.append(replace(sample.gap(), run_id=f"{sys.argv[2]}-{number}"))
"""
_KILLED = """
import os, signal, sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA cache_size = 1")
connection.execute("BEGIN IMMEDIATE")
connection.execute("UPDATE run SET report = zeroblob(5000000)")
connection.execute("UPDATE verdict SET outcome = 'LOST'")
os.kill(os.getpid(), signal.SIGKILL)
"""


def start(program: str, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", program, *arguments], cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)})


def test_several_at_once_lose_nothing(path: Path) -> None:
    writers = [start(_WRITER, str(path), name) for name in "abc"]
    assert [writer.wait(timeout=120) for writer in writers] == [0, 0, 0]
    assert sorted(ids(path)) == [f"{name}-{number}" for name in "abc" for number in range(8)]


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_killed_in_mid_write_it_is_as_it_was(path: Path) -> None:
    keep(path, run("a"), run("b", 10))
    assert start(_KILLED, str(path)).wait(timeout=60) == -signal.SIGKILL
    # What was written before the end was on the disk: without the journal the file would not be what it was.
    assert path.with_name("history.sqlite-journal").stat().st_size > 0
    assert ids(path) == ["b", "a"]
    with opened(path) as history:
        assert history.report("a") == run("a")


_ENDLESS = """
import sys
from dataclasses import replace
from itertools import count
from pathlib import Path
from harness.history import opened
from tests.reports import sample_reports as sample
report = sample.gap()
for number in count():
    with opened(Path(sys.argv[1]), make=True) as history:
        history.append(replace(report, run_id=f"{sys.argv[2]}-{number}"), keep=40)
        history.prune(keep=40 - number % 3)
    sys.stdout.write(f"{number}\\n")
    sys.stdout.flush()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_killed_again_and_again_it_opens_and_has_lost_at_most_the_run_in_progress(path: Path) -> None:
    chance = random.Random(7)
    for name in "abcdefgh":
        command = [sys.executable, "-c", _ENDLESS, str(path), name]
        env = os.environ | {"PYTHONPATH": str(ROOT)}
        with subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            told = -1
            for _ in range(chance.randrange(1, 5)):
                told = int(writer.stdout.readline())
            # Somewhere in the next one: nothing waits for a place in it.
            Event().wait(chance.random() / 50)
            writer.kill()
            told = max([told, *(int(line) for line in writer.stdout if line.endswith("\n"))])
        with opened(path) as history:
            kept = {run.run_id for run in history.runs(100) if run.run_id.startswith(name)}
            assert {f"{name}-{number}" for number in range(told + 1)} - kept == set()
            assert kept <= {f"{name}-{number}" for number in range(told + 2)}
            assert [history.report(run_id).run_id for run_id in sorted(kept)] == sorted(kept)
            assert {len(history.record(run_id).verdicts) for run_id in kept} == {16}
        connection = sqlite3.connect(path)
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        connection.close()


def test_what_differences_are_computed_from_comes_back_equal(path: Path) -> None:
    held = (Circumstance(aspect=Aspect.RULE, about="r", name="state", value="enabled"),)
    telemetry = HostTelemetry(host="ws5", agents=("a 1",), kinds={"Security 1": 2}, lag_p50=timedelta(seconds=0.25), lag_p95=timedelta(1))
    for name, made in (("gap", sample.gap()), ("outage", sample.outage()), ("hostile", sample.hostile("\x1b[2J \u202e"))):
        environment = replace(made.environment, circumstances=held, clock_offsets={})
        steps = (StepRecord(planned="p", text="whoami"),)
        report = replace(made, run_id=name, environment=environment, telemetry=(telemetry,), steps=steps)
        keep(path, report)
        with opened(path) as history:
            assert history.record(name) == remembered(report)
            assert history.report(name) == report


def test_what_repeats_is_kept_once(path: Path) -> None:
    keep(path, run("a"))
    with sqlite3.connect(path) as connection:
        parts = "SELECT count(*) FROM part"
        once = connection.execute(parts).fetchone()
        keep(path, run("b", 10), run("c", 20))
        assert connection.execute(parts).fetchone() == once
    connection.close()
    with opened(path) as history:
        history.prune(keep=0)
    with sqlite3.connect(path) as connection:
        tables = ("run", "part", "line", "verdict", "run_part")
        assert [connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables] == [0] * 5
    connection.close()


def test_runs_are_named_by_their_place_too(path: Path) -> None:
    keep(path, green("g", 0), run("a", 10), run("b", 20))
    with opened(path) as history:
        assert [history.record(name).run_id for name in ("latest", "~0", "~1", "~2", "last-green")] == ["b", "b", "a", "g", "g"]
        with pytest.raises(UsageError, match="there are not so many runs as ~3"):
            history.record("~3")


def green(run_id: str, at: float, verdicts: slice = slice(None)) -> Report:
    made = sample.clean()
    return replace(made, run_id=run_id, finished_at=sample.after(at), verdicts=made.verdicts[verdicts])


def test_a_run_is_held_against_the_newest_green_one_that_judged_as_much(path: Path) -> None:
    keep(path, green("whole", 0), green("part", 10, slice(3)), run("red", 20), green("nearly", 5, slice(17)))
    with opened(path) as history:
        found = [history.green_before(remembered(each)) for each in (green("x", 50), green("x", 50, slice(2)), green("whole", 0))]
        assert [each.run_id if each is not None else None for each in found] == ["nearly", "part", None]


def test_retention_never_takes_the_last_green_run(path: Path) -> None:
    keep(path, green("old", 0), green("green", 10), run("a", 20))
    with opened(path) as history:
        history.append(run("b", 30), keep=2)
    assert ids(path) == ["b", "a", "green"]


def test_trends_and_times_over_runs(path: Path) -> None:
    keep(path, green("a", 0), green("b", 10), green("c", 20))
    with opened(path) as history:
        found = history.trends(2, Flaky(), also=remembered(green("d", 30)))
        assert found.runs == ("c", "d")
        assert len(found.lines) == 18
        until = history.trends(30, Flaky(), until=sample.after(10))
        assert until.runs == ("a", "b")
        earlier, later = history.times(history.record("a"), history.record("c"))[until.lines[0].line]
        assert (len(earlier), len(later)) in ((1, 2), (0, 0))


@pytest.mark.parametrize("seed", range(4))
def test_trends_of_runs_that_judged_different_things(path: Path, seed: int) -> None:
    """Alike and unlike ones in turn, and one of nothing at all among them."""
    chance = random.Random(seed)
    whole = green("whole", 0)
    few = [chance.sample(whole.verdicts, chance.randrange(len(whole.verdicts))) for _ in range(2)]
    chosen = [chance.choice([whole.verdicts, tuple(few[0]), tuple(few[1]), ()]) for _ in range(12)]
    reports = [replace(whole, run_id=f"run-{at}", finished_at=sample.after(at), verdicts=found) for at, found in enumerate(chosen)]
    keep(path, *reports)
    records = [remembered(report) for report in reports]
    with opened(path) as history:
        found = history.trends(12, Flaky(), also=replace(records[0], run_id="now", finished_at=sample.after(99)))
    assert found.runs == (*(report.run_id for report in reports[1:]), "now")
    by_run = [{verdict.line: verdict for verdict in record.verdicts} for record in [*records[1:], records[0]]]
    assert {trend.line for trend in found.lines} == {line for run in by_run for line in run}
    for trend in found.lines:
        seen = [run.get(trend.line) for run in by_run]
        assert trend.outcomes == tuple(verdict.outcome if verdict is not None else None for verdict in seen)
        assert trend.took == tuple(verdict.took if verdict is not None else None for verdict in seen)


def test_no_question_reads_through_all_verdicts(path: Path) -> None:
    keep(path, run("a"), green("g", 10))
    asked: list[str] = []
    with opened(path) as history:
        history._connection.set_trace_callback(asked.append)
        record = history.record("a")
        history.green_before(record)
        history.times(record, history.record("g"))
        history.trends(30, Flaky())
        history._connection.set_trace_callback(None)
        for statement in asked:
            for *_, plan in history._connection.execute(f"EXPLAIN QUERY PLAN {statement}"):
                assert not plan.startswith(("SCAN v", "SCAN p", "SCAN verdict", "SCAN part", "SCAN run_part")), (statement, plan)


def of_the_first_version(path: Path, *kept: tuple[Report, bytes]) -> None:
    """A file as the harness wrote it before it remembered more than reports."""
    path.parent.mkdir()
    connection = sqlite3.connect(path)
    connection.execute(
        "CREATE TABLE run (number INTEGER PRIMARY KEY AUTOINCREMENT, run_id TEXT NOT NULL UNIQUE, started_at TEXT NOT NULL,"
        " finished_at TEXT NOT NULL, exit_code INTEGER NOT NULL, expectations INTEGER NOT NULL, targets TEXT NOT NULL, siem TEXT NOT NULL,"
        " report BLOB NOT NULL) STRICT"
    )
    connection.execute("CREATE INDEX run_by_end ON run (finished_at)")
    for report, packed in kept:
        moments = [at.astimezone(UTC).isoformat(timespec="microseconds") for at in (report.started_at, report.finished_at)]
        row = (report.run_id, *moments, report.exit_code, len(report.verdicts), "ws5", "embedded", packed)
        connection.execute("INSERT INTO run VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?)", row)
    connection.execute("PRAGMA user_version = 1")
    connection.commit()
    connection.close()


def packed_first(report: Report) -> tuple[Report, bytes]:
    return report, zlib.compress(dump_report(report).encode())


_KILLED_MIGRATING = """
import os, signal, sys
from pathlib import Path
from harness.history import opened, rows
done = []
def replace(connection, number, raw, whole=rows.replace):
    connection.execute("PRAGMA cache_spill = 1")
    connection.execute("PRAGMA cache_size = 1")
    whole(connection, number, raw)
    done.append(number)
    if len(done) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
rows.replace = replace
with opened(Path(sys.argv[1])):
    pass
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_killed_while_it_is_brought_up_to_date_it_is_as_it_was(path: Path) -> None:
    reports = [run(name, at) for at, name in enumerate("abcde")]
    of_the_first_version(path, *map(packed_first, reports))
    assert start(_KILLED_MIGRATING, str(path)).wait(timeout=60) == -signal.SIGKILL
    assert path.with_name("history.sqlite-journal").stat().st_size > 0
    with opened(path) as history:
        assert [history.report(report.run_id) for report in reports] == reports
        assert {len(history.record(report.run_id).verdicts) for report in reports} == {16}


_KILLED_FORGETTING = """
import os, signal, sys
from pathlib import Path
from harness.history import opened
def met(statement):
    if statement.startswith(sys.argv[2]):
        history._connection.set_progress_handler(lambda: os.kill(os.getpid(), signal.SIGKILL), int(sys.argv[3]))
with opened(Path(sys.argv[1])) as history:
    history._connection.execute("PRAGMA cache_size = 1")
    history._connection.set_trace_callback(met)
    history.prune(keep=2)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize(
    ("statement", "steps", "left"),
    [("DELETE FROM run", 10, 9), ("DELETE FROM part", 40, 9), ("VACUUM", 10, 2), ("VACUUM", 60, 2)],
)
def test_killed_while_it_forgets_it_has_forgotten_all_or_nothing(path: Path, statement: str, steps: int, left: int) -> None:
    reports = [run(f"run-{number}", number) for number in range(9)]
    keep(path, *reports)
    assert start(_KILLED_FORGETTING, str(path), statement, str(steps)).wait(timeout=60) == -signal.SIGKILL
    with opened(path) as history:
        assert [history.report(report.run_id) for report in reports[-left:]] == reports[-left:]
    assert len(ids(path)) == left
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()


def test_a_history_of_the_first_version_is_brought_up_to_date(path: Path) -> None:
    of_the_first_version(path, packed_first(green("old", 0)), (run("damaged", 10), b"junk"))
    with opened(path) as history:
        assert history.report("old") == green("old", 0)
        assert history.record("last-green") == replace(
            remembered(green("old", 0)), environment=replace(green("old", 0).environment, clock_offsets={})
        )
        for ask in (history.report, history.record):
            with pytest.raises(UsageError, match="damaged"):
                ask("damaged")
    assert ids(path) == ["damaged", "old"]


def test_one_of_a_newer_harness_is_left_alone(path: Path) -> None:
    keep(path, run("a"))
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(UsageError, match="is a history of version 99"), opened(path):
        pass


def test_what_is_no_history_is_said(tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(b"not a database at all, and longer than a header of one is" * 20)
    (tmp_path / "directory").mkdir()
    for name, said in (
        ("text", "cannot be used as a history: file is not a database"),
        ("directory", "cannot be"),
        ("text/below", "cannot be opened"),
    ):
        with pytest.raises(UsageError, match=said), opened(tmp_path / name, make=True):
            pass


@pytest.mark.parametrize(("blob", "said"), [(b"junk", "holds a damaged report"), (b"", "cut off"), (None, "bigger than 64 MB")])
def test_a_damaged_report_is_said_and_takes_no_other_with_it(path: Path, blob: bytes | None, said: str) -> None:
    keep(path, run("a"), run("b", 10))
    with sqlite3.connect(path) as connection:
        bomb = lzma.compress(b" " * (65 * 1024 * 1024), preset=0) if blob is None else blob
        connection.execute("UPDATE run SET report = ? WHERE run_id = 'a'", (bomb,))
    connection.close()
    with opened(path) as history:
        with pytest.raises(UsageError, match=said):
            history.report("a")
        assert history.report("b") == run("b", 10)
