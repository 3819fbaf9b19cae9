"""The way the best-known Python tool for Sigma over event logs works, as the measure of ours: a table in memory, a statement a rule.

One column a field, no index but the row's number, names and values compared without regard to case; a statement that names a column
which no event has is an error and finds nothing. Written from what Zircolite documents and does, with its own libraries (orjson, SQLite,
pySigma's SQLite backend); nothing of it is copied.
"""

from __future__ import annotations

import re
import sqlite3
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import orjson
import yaml
from sigma.exceptions import SigmaError
from sigma.pipelines.sysmon.sysmon import sysmon_pipeline
from sigma.pipelines.windows.windows import windows_audit_pipeline, windows_logsource_pipeline
from sigma.rule import SigmaRule

_backend: Any = import_module("sigma.backends.sqlite").sqliteBackend  # it says nothing of its types
Row = Mapping[str, object]

_NAMES = {"hostname": "computer", "sourcename": "provider_name"}
"""NXLog's names of what rules know by Windows' own."""

_BATCH = 5000


def statements(texts: Iterable[str]) -> dict[str, list[str]]:
    """The statements of each rule that the backend can say, by rule id. A process's creation is one for each log that has it, as here."""
    found: dict[str, list[str]] = {}
    for text in texts:
        document = yaml.load(text, yaml.CSafeLoader)
        pipelines = [sysmon_pipeline() + windows_logsource_pipeline()]
        if document["logsource"].get("category") == "process_creation":
            pipelines.append(windows_audit_pipeline() + windows_logsource_pipeline())
        for pipeline in pipelines:
            try:
                made = _backend(processing_pipeline=pipeline).convert_rule(SigmaRule.from_yaml(text))
            except (SigmaError, NotImplementedError):  # keywords: the backend has no full text search
                continue
            found.setdefault(document["id"], []).extend(made)
    return found


def read(paths: Iterable[Path]) -> Iterator[Row]:
    """The recordings' events, flattened."""
    for path in paths:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                with archive.open(member) as lines:
                    for line in lines:
                        if line.strip():
                            yield flat(orjson.loads(line))


def flat(document: Mapping[str, object]) -> Row:
    """One level of columns; what is nested comes up under its own name."""
    row: dict[str, object] = {}
    todo = [document]
    while todo:
        for name, value in todo.pop().items():
            if isinstance(value, dict):
                todo.append(value)
            else:
                key = name.lower()
                row[_NAMES.get(key, key)] = value if isinstance(value, str | int | float | None) else str(value)
    if "providerguid" not in row and "message" in row:
        row["data"] = row["message"]  # the strings of a classic event, as the harness reads them too
    return row


def table(rows: Iterable[Row]) -> sqlite3.Connection:
    """The rows as the table `logs`."""
    kept = list(rows)
    names = list(
        dict.fromkeys(name for row in kept for name in row)
    )  # as they turn up: what every event has comes first, and is found fast
    database = sqlite3.connect(":memory:", isolation_level=None)
    for pragma in ("journal_mode = OFF", "synchronous = OFF", "temp_store = MEMORY", "cache_size = -128000"):
        database.execute(f"PRAGMA {pragma}")
    database.create_function("regexp", 2, lambda pattern, text: text is not None and re.search(pattern, text) is not None)
    columns = ", ".join(f'"{name}" TEXT COLLATE NOCASE' for name in names)
    database.execute(f"CREATE TABLE logs (row_id INTEGER PRIMARY KEY AUTOINCREMENT, {columns})")
    listed = ", ".join(f'"{name}"' for name in names)
    insert = f"INSERT INTO logs ({listed}) VALUES ({', '.join('?' * len(names))})"
    database.execute("BEGIN")
    for start in range(0, len(kept), _BATCH):
        database.executemany(insert, [tuple(map(row.get, names)) for row in kept[start : start + _BATCH]])
    database.execute("COMMIT")
    return database


def matches(database: sqlite3.Connection, rules: Mapping[str, Iterable[str]]) -> dict[str, int]:
    """How many rows each rule matches; the rows are fetched, as evidence is."""
    found: dict[str, int] = {}
    for rule, asked in rules.items():
        for statement in asked:
            try:
                count = len(database.execute(statement).fetchall())
            except sqlite3.OperationalError:  # no such column
                continue
            if count:
                found[rule] = found.get(rule, 0) + count
    return found
