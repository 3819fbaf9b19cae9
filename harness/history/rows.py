"""What of a run stands where in the history: its verdicts in rows, what repeats as parts that are kept once, and its report packed.

Rules and steps are taken out of the report and put back when it is read. Of a run's rows a difference is computed without
unpacking any report. It must never decide anything about a run.
"""

from __future__ import annotations

import json
import lzma
import sqlite3
import zlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from pathlib import Path
from typing import Any

from harness.errors import Problem, UsageError
from harness.model.changes import PastVerdict
from harness.model.facts import FailureKind
from harness.model.intent import Severity
from harness.model.report import Aspect, Circumstance, Clause, Environment, HostTelemetry, Report, RuleRecord, RunRecord
from harness.model.verdicts import Inconclusive, Outcome

MOST_BYTES = 64 * 1024 * 1024
"""Of a report that is unpacked: a hundred times what the starter scenarios leave on two hosts."""

_ENVIRONMENT, _TELEMETRY, _RULE, _STEPS = "environment", "telemetry", "rule", "steps"
_MICROSECOND = timedelta(microseconds=1)


def insert(connection: sqlite3.Connection, report: Report) -> None:
    """Write a run's rows, in place of those of a run with its id."""
    # Imported here: pydantic takes longer to load than a difference to be told.
    from harness.reports.json import report_document

    connection.execute("DELETE FROM run WHERE run_id = ?", (report.run_id,))
    number = connection.execute(
        "INSERT INTO run (run_id, started_at, finished_at, exit_code, expectations, targets, siem, report) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            report.run_id,
            said(report.started_at),
            said(report.finished_at),
            report.exit_code,
            len(report.verdicts),
            ", ".join(report.environment.targets),
            report.environment.siem,
            b"",
        ),
    ).lastrowid
    assert number is not None
    _fill(connection, number, report, report_document(report))


def replace(connection: sqlite3.Connection, number: int, raw: bytes) -> None:
    """Write the rows of a run of which only the report's text was kept. Raises `UsageError` and UnicodeDecodeError where it is none."""
    from harness.reports.json import load_report, report_document

    report = load_report(raw.decode())
    _fill(connection, number, report, report_document(report))


def _fill(connection: sqlite3.Connection, number: int, report: Report, document: dict[str, Any]) -> None:
    from harness.core.record import remembered

    kept = remembered(report)
    environment = document[_ENVIRONMENT] | {"clock_offsets": {}}
    parts = [(_ENVIRONMENT, environment), (_TELEMETRY, document["telemetry"]), (_STEPS, document["steps"])]
    parts += [(_RULE, rule) for rule in document["rules"]]
    connection.executemany(
        "INSERT INTO run_part VALUES (?, ?, ?, ?)",
        [(number, place, name, _part(connection, _text(value))) for place, (name, value) in enumerate(parts)],
    )
    # An expectation is one line, whatever a scenario does twice: the last verdict on it stands.
    verdicts = {verdict.line: (place, verdict) for place, verdict in enumerate(kept.verdicts)}
    known: dict[str, int] = {}
    written = []
    for place, verdict in verdicts.values():
        rest = _text([verdict.inconclusive, verdict.cause, verdict.gates, verdict.killed, verdict.failure, verdict.terms, verdict.host])
        if rest not in known:
            known[rest] = _part(connection, rest)
        took = verdict.took // _MICROSECOND if verdict.took is not None else None
        written.append((number, _line(connection, verdict), place, verdict.outcome.value, took, known[rest]))
    connection.executemany("INSERT INTO verdict VALUES (?, ?, ?, ?, ?, ?)", written)
    packed = lzma.compress(_text(document | {"rules": [], "steps": []}).encode("utf-8", "replace"), preset=1)
    connection.execute("UPDATE run SET report = ?, green = ? WHERE number = ?", (packed, kept.green, number))


def _line(connection: sqlite3.Connection, verdict: PastVerdict) -> int:
    place = (verdict.planned, verdict.rule, verdict.fires)
    find = "SELECT id FROM line WHERE planned = ? AND rule = ? AND fires = ?"
    found = connection.execute(find, place).fetchone()
    if found is None:
        insert = "INSERT INTO line (planned, rule, fires, target, scenario) VALUES (?, ?, ?, ?, ?)"
        made = connection.execute(insert, (*place, verdict.target, verdict.scenario)).lastrowid
        assert made is not None
        return made
    return int(found[0])


def _part(connection: sqlite3.Connection, text: str) -> int:
    raw = text.encode("utf-8", "replace")
    digest = blake2b(raw, digest_size=16).digest()
    found = connection.execute("SELECT id FROM part WHERE digest = ?", (digest,)).fetchone()
    if found is None:
        made = connection.execute("INSERT INTO part (digest, packed) VALUES (?, ?)", (digest, zlib.compress(raw))).lastrowid
        assert made is not None
        return made
    return int(found[0])


def sweep(connection: sqlite3.Connection) -> None:
    """Take out what no run refers to any more."""
    connection.execute("DELETE FROM part WHERE id NOT IN (SELECT rest FROM verdict UNION SELECT part FROM run_part)")
    connection.execute("DELETE FROM line WHERE id NOT IN (SELECT line FROM verdict)")


# --- reading ---------------------------------------------------------------------------------------------------------------


def report(connection: sqlite3.Connection, number: int, path: Path) -> Report:
    """A run's report. Raises `UsageError` where it is damaged."""
    from harness.reports.json import load_report

    run_id, packed = connection.execute("SELECT run_id, report FROM run WHERE number = ?", (number,)).fetchone()
    unpacking = lzma.LZMADecompressor(memlimit=2 * MOST_BYTES)
    try:
        raw = unpacking.decompress(packed, MOST_BYTES)
        if not unpacking.eof:
            raise _damaged(path, f"a report that is cut off, or bigger than {MOST_BYTES // 1024 // 1024} MB")
        document = json.loads(raw)
        parts = _parts(connection, number, path)
        document |= {"rules": parts.get(_RULE, []), "steps": [step for steps in parts.get(_STEPS, []) for step in steps]}
    except (lzma.LZMAError, EOFError, ValueError, TypeError, RecursionError) as error:
        raise _damaged(path, f"a damaged report: {error}") from error
    return load_report(_text(document), f"{path}: run {run_id}")


def record(connection: sqlite3.Connection, number: int, path: Path) -> RunRecord:
    """What differences are computed from. Raises `UsageError` where it is damaged."""
    run_id, started, finished, exit_code, green = connection.execute(
        "SELECT run_id, started_at, finished_at, exit_code, green FROM run WHERE number = ?", (number,)
    ).fetchone()
    parts = _parts(connection, number, path)
    try:
        return RunRecord(
            run_id=run_id,
            started_at=datetime.fromisoformat(started),
            finished_at=datetime.fromisoformat(finished),
            exit_code=exit_code,
            green=bool(green),
            environment=_environment(parts[_ENVIRONMENT][0]),
            rules={rule["id"]: _rule(rule) for rule in parts.get(_RULE, [])},
            steps={step["planned"]: step["text"] for step in parts[_STEPS][0]},
            telemetry={found["host"]: _telemetry(found) for found in parts[_TELEMETRY][0]},
            verdicts=tuple(_verdicts(connection, number, path)),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(path, f"a damaged run {run_id}: {type(error).__name__}") from error


def _verdicts(connection: sqlite3.Connection, number: int, path: Path) -> Iterator[PastVerdict]:
    unpacked: dict[int, Sequence[Any]] = {}
    found = connection.execute(
        "SELECT l.planned, l.target, l.scenario, l.rule, l.fires, v.outcome, v.took, p.id, p.packed FROM verdict v"
        " CROSS JOIN line l ON l.id = v.line CROSS JOIN part p ON p.id = v.rest WHERE v.run = ? ORDER BY v.place",
        (number,),
    )
    for planned, target, scenario, rule, fires, outcome, took, part, packed in found:
        if part not in unpacked:
            unpacked[part] = _unpacked(packed, path)
        inconclusive, cause, gates, killed, failure, terms, host = unpacked[part]
        yield PastVerdict(
            planned=planned,
            target=target,
            scenario=scenario,
            rule=rule,
            fires=bool(fires),
            outcome=Outcome(outcome),
            inconclusive=Inconclusive(inconclusive) if inconclusive is not None else None,
            cause=cause,
            gates=gates,
            killed=killed,
            failure=FailureKind(failure) if failure is not None else None,
            terms=terms,
            host=host,
            took=took * _MICROSECOND if took is not None else None,
        )


def _parts(connection: sqlite3.Connection, number: int, path: Path) -> Mapping[str, list[Any]]:
    parts: dict[str, list[Any]] = {}
    found = connection.execute(
        "SELECT r.name, p.packed FROM run_part r CROSS JOIN part p ON p.id = r.part WHERE r.run = ? ORDER BY r.place", (number,)
    )
    for name, packed in found:
        parts.setdefault(name, []).append(_unpacked(packed, path))
    return parts


def _unpacked(packed: bytes, path: Path) -> Any:
    unpacking = zlib.decompressobj()
    try:
        value = json.loads(unpacking.decompress(packed, MOST_BYTES))
    except (zlib.error, ValueError, RecursionError) as error:
        raise _damaged(path, f"a damaged part: {error}") from error
    return value


def _environment(value: Mapping[str, Any]) -> Environment:
    circumstances = tuple(Circumstance(**each | {"aspect": Aspect(each["aspect"])}) for each in value["circumstances"])
    return Environment(**dict(value) | {"targets": tuple(value["targets"]), "circumstances": circumstances})


def _rule(value: Mapping[str, Any]) -> RuleRecord:
    told = {
        "severity": Severity(value["severity"]),
        "techniques": tuple(value["techniques"]),
        "clauses": tuple(Clause(**clause) for clause in value["clauses"]),
        "kinds": tuple(value["kinds"]),
    }
    return RuleRecord(**dict(value) | told)


def _telemetry(value: Mapping[str, Any]) -> HostTelemetry:
    lags = {name: timedelta(seconds=value[name]) for name in ("lag_p50", "lag_p95")}
    return HostTelemetry(**dict(value) | {"agents": tuple(value["agents"])} | lags)


def _text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def said(moment: datetime) -> str:
    """In UTC, always with microseconds: texts in order of time."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def _damaged(path: Path, what: str) -> UsageError:
    return UsageError(Problem(path=str(path), what=f"holds {what}"))
