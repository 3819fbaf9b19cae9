"""The history: what was kept comes back, whole, whoever else writes and whatever ends a writer."""

from __future__ import annotations

import os
import signal
import sqlite3
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.history import opened
from harness.model.report import Report
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
        with pytest.raises(UsageError, match="there is no run 'last'"):
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
connection.execute("INSERT INTO run SELECT NULL, 'half', '', '', 0, 0, '', '', zeroblob(5000000)")
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


@pytest.mark.parametrize(("blob", "said"), [(b"junk", "holds a damaged report"), (b"", "is not JSON"), (None, "bigger than 64 MB")])
def test_a_damaged_report_is_said_and_takes_no_other_with_it(path: Path, blob: bytes | None, said: str) -> None:
    import zlib

    keep(path, run("a"), run("b", 10))
    with sqlite3.connect(path) as connection:
        bomb = zlib.compress(b" " * (65 * 1024 * 1024)) if blob is None else blob
        connection.execute("UPDATE run SET report = ? WHERE run_id = 'a'", (bomb,))
    connection.close()
    with opened(path) as history:
        with pytest.raises(UsageError, match=said):
            history.report("a")
        assert history.report("b") == run("b", 10)
