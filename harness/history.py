"""The history of runs: one SQLite file that keeps every run's report, for its owner alone.

A run is written in one transaction, so that a run killed meanwhile leaves the history as it was, and two runs at once wait for each other.
What a list needs stands in columns, the report itself beside it, packed. It must never know what a report means.
"""

from __future__ import annotations

import os
import sqlite3
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import platformdirs

from harness.errors import Problem, UsageError
from harness.model.report import PastRun, Report
from harness.reports.json import MAX_BYTES, dump_report, load_report

_MIGRATIONS: Sequence[str] = (
    """
    CREATE TABLE run (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        run_id TEXT NOT NULL UNIQUE,
        started_at TEXT NOT NULL,
        finished_at TEXT NOT NULL,
        exit_code INTEGER NOT NULL,
        expectations INTEGER NOT NULL,
        targets TEXT NOT NULL,
        siem TEXT NOT NULL,
        report BLOB NOT NULL
    ) STRICT;
    CREATE INDEX run_by_end ON run (finished_at);
    """,
)
"""Each makes the file of the version before it one of the next; a file's version is how many were done on it."""
_PATIENCE = 30.0
"""Seconds that a run waits for another that is writing."""
LAST = "last"


def history_file() -> Path:
    """Where it is kept unless somebody says otherwise."""
    return platformdirs.user_data_path("purple-harness") / "history.sqlite"


@contextmanager
def opened(path: Path, *, make: bool = False) -> Iterator[History]:
    """The history in this file. Raises `UsageError` where it cannot be read or is none.

    Where there is no such file it is an empty one, of which nothing stays, unless `make`.
    """
    try:
        if make:
            _make(path)
        place = path if make or path.exists() else ":memory:"
        connection = sqlite3.connect(place, timeout=_PATIENCE, isolation_level=None)
        try:
            _migrate(connection, path)
            yield History(connection, path)
        finally:
            connection.close()
    except OSError as error:
        raise _wrong(path, f"cannot be opened: {error.strerror or type(error).__name__}") from error
    except sqlite3.Error as error:
        raise _wrong(path, f"cannot be used as a history: {error}") from error


class History:
    """An open history."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self._path = path

    def append(self, report: Report) -> None:
        """Keep this run. One with its id takes the place of the one before."""
        packed = zlib.compress(dump_report(report).encode())
        with _writing(self._connection):
            self._connection.execute(
                "INSERT OR REPLACE INTO run (run_id, started_at, finished_at, exit_code, expectations, targets, siem, report)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    report.run_id,
                    _said(report.started_at),
                    _said(report.finished_at),
                    report.exit_code,
                    len(report.verdicts),
                    ", ".join(report.environment.targets),
                    report.environment.siem,
                    packed,
                ),
            )

    def runs(self, most: int) -> tuple[PastRun, ...]:
        """The last runs, the newest first."""
        rows = self._connection.execute(
            "SELECT run_id, started_at, finished_at, exit_code, expectations, targets, siem FROM run"
            " ORDER BY finished_at DESC, number DESC LIMIT ?",
            (most,),
        )
        return tuple(
            PastRun(
                run_id=run_id,
                started_at=datetime.fromisoformat(started),
                finished_at=datetime.fromisoformat(finished),
                exit_code=exit_code,
                expectations=expectations,
                targets=targets,
                siem=siem,
            )
            for run_id, started, finished, exit_code, expectations, targets, siem in rows
        )

    def last(self) -> Report | None:
        """The newest run's report; None where there is none. Raises `UsageError` where it cannot be read."""
        found = self.runs(1)
        return self.report(found[0].run_id) if found else None

    def report(self, name: str) -> Report:
        """The report of a run by its id, the beginning of one, or "last". Raises `UsageError` where there is none or several."""
        if name == LAST and (newest := self.runs(1)):
            name = newest[0].run_id
        found = self._connection.execute(
            "SELECT run_id, report FROM run WHERE run_id = ?1 OR substr(run_id, 1, length(?1)) = ?1 ORDER BY run_id = ?1 DESC LIMIT 2",
            (name,),
        ).fetchall()
        if not found or not name:
            raise _wrong(self._path, f"there is no run {name!r:.40}", "harness history list shows them")
        if len(found) > 1 and found[0][0] != name:
            raise _wrong(self._path, f"several runs begin with {name!r:.40}", "give more of its id")
        return load_report(self._unpacked(found[0][1]), f"{self._path}: run {found[0][0]}")

    def prune(self, *, keep: int | None = None, before: datetime | None = None) -> int:
        """Forget all runs but the newest `keep`, or those that ended before a time; how many. The file becomes smaller."""
        with _writing(self._connection):
            if before is not None:
                gone = self._connection.execute("DELETE FROM run WHERE finished_at < ?", (_said(before),)).rowcount
            else:
                gone = self._connection.execute(
                    "DELETE FROM run WHERE number NOT IN (SELECT number FROM run ORDER BY finished_at DESC, number DESC LIMIT ?)", (keep,)
                ).rowcount
        self._connection.execute("VACUUM")
        return gone

    def _unpacked(self, packed: bytes) -> str:
        unpacking = zlib.decompressobj()
        try:
            raw = unpacking.decompress(packed, MAX_BYTES)
            text = raw.decode()
        except (zlib.error, UnicodeDecodeError) as error:
            raise _wrong(self._path, f"holds a damaged report: {error}") from error
        if unpacking.unconsumed_tail:
            raise _wrong(self._path, f"holds a report bigger than {MAX_BYTES // 1024 // 1024} MB")
        return text


def _make(path: Path) -> None:
    """An empty file that only its owner may read: a report holds what targets printed. SQLite's journal has the file's own rights."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    if _version(connection) == len(_MIGRATIONS):
        return
    with _writing(connection):
        # Asked again: another run may have done it while this one waited.
        version = _version(connection)
        if version > len(_MIGRATIONS):
            raise _wrong(path, f"is a history of version {version}, this harness reads {len(_MIGRATIONS)}", "use the newer harness")
        for script in _MIGRATIONS[version:]:
            for statement in filter(str.strip, script.split(";")):
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {len(_MIGRATIONS)}")


def _version(connection: sqlite3.Connection) -> int:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    assert isinstance(version, int)
    return version


@contextmanager
def _writing(connection: sqlite3.Connection) -> Iterator[None]:
    """One transaction, with the right to write from its first moment: two that read first and then both would write cannot wait."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _said(moment: datetime) -> str:
    """In UTC, always with microseconds: texts in order of time."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def _wrong(path: Path, what: str, fix: str = "") -> UsageError:
    return UsageError(Problem(path=str(path), what=what, fix=fix))
