"""The history's file: its tables, and how an older file becomes one of today's. It must never know what a report means.

SQLite's rollback journal, not its write-ahead log: one file, also on a share; and a writer that is killed leaves a journal from which the
next one who opens it takes the file back to how it was.
"""

from __future__ import annotations

import os
import sqlite3
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from harness.errors import UsageError
from harness.history import rows


class NewerHistory(Exception):
    """The file is of a version that this harness does not know."""


def _first(connection: sqlite3.Connection) -> None:
    connection.execute(
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
        ) STRICT
        """
    )
    connection.execute("CREATE INDEX run_by_end ON run (finished_at)")


def _verdicts(connection: sqlite3.Connection) -> None:
    """What is compared and counted stands in rows; what repeats from run to run (rules, steps, circumstances, causes) stands once, in
    `part`, known by its digest."""
    for statement in (
        "CREATE TABLE part (id INTEGER PRIMARY KEY, digest BLOB NOT NULL UNIQUE, packed BLOB NOT NULL) STRICT",
        "CREATE TABLE line (id INTEGER PRIMARY KEY, planned TEXT NOT NULL, rule TEXT NOT NULL, fires INTEGER NOT NULL,"
        " target TEXT NOT NULL, scenario TEXT NOT NULL, UNIQUE (planned, rule, fires)) STRICT",
        "CREATE TABLE verdict (run INTEGER NOT NULL REFERENCES run (number) ON DELETE CASCADE, line INTEGER NOT NULL,"
        " place INTEGER NOT NULL, outcome TEXT NOT NULL, took INTEGER, rest INTEGER NOT NULL,"
        " PRIMARY KEY (run, line)) STRICT, WITHOUT ROWID",
        "CREATE TABLE run_part (run INTEGER NOT NULL REFERENCES run (number) ON DELETE CASCADE, place INTEGER NOT NULL,"
        " name TEXT NOT NULL, part INTEGER NOT NULL, PRIMARY KEY (run, place)) STRICT, WITHOUT ROWID",
        "ALTER TABLE run ADD COLUMN green INTEGER NOT NULL DEFAULT 0",
        "CREATE INDEX run_by_green ON run (green, finished_at)",
    ):
        connection.execute(statement)
    for (number,) in connection.execute("SELECT number FROM run ORDER BY number").fetchall():
        (packed,) = connection.execute("SELECT report FROM run WHERE number = ?", (number,)).fetchone()
        try:
            rows.replace(connection, number, zlib.decompressobj().decompress(packed, rows.MOST_BYTES))
        except (zlib.error, UnicodeDecodeError, UsageError):
            continue  # damaged: it stays in the list, and says so when it is asked for


_MIGRATIONS: Sequence[Callable[[sqlite3.Connection], None]] = (_first, _verdicts)
"""Each makes the file of the version before it one of the next; a file's version is how many were done on it."""


def make_file(path: Path) -> None:
    """An empty file that only its owner may read: a report holds what targets printed. SQLite's journal has the file's own rights."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the file up to today's version. Raises `NewerHistory`."""
    connection.execute("PRAGMA foreign_keys = ON")
    if _version(connection) == len(_MIGRATIONS):
        return
    with writing(connection):
        # Asked again: another run may have done it while this one waited.
        version = _version(connection)
        if version > len(_MIGRATIONS):
            raise NewerHistory(f"is a history of version {version}, this harness reads {len(_MIGRATIONS)}")
        for step in _MIGRATIONS[version:]:
            step(connection)
        connection.execute(f"PRAGMA user_version = {len(_MIGRATIONS)}")


def _version(connection: sqlite3.Connection) -> int:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    assert isinstance(version, int)
    return version


@contextmanager
def writing(connection: sqlite3.Connection) -> Iterator[None]:
    """One transaction, with the right to write from its first moment: two that read first and then both would write cannot wait."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
