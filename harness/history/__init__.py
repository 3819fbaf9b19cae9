"""The history of runs: one SQLite file that keeps every run's report, for its owner alone.

A run is written in one transaction, so that a run killed meanwhile leaves the history as it was, and two runs at once wait for each other.
`schema.py` makes the file and brings an older one up to date; `rows.py` says what of a run stands where. It must never know what a
report means: that is `harness.core`'s.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import cache
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import platformdirs

from harness.core.trend import trends
from harness.errors import Problem, UsageError
from harness.history import rows
from harness.history.rows import said
from harness.history.schema import NewerHistory, make_file, migrate, writing
from harness.model.changes import Flaky, Line, Trends
from harness.model.report import PastRun, Report, RunRecord
from harness.model.verdicts import Outcome

if TYPE_CHECKING:
    from harness.core.changes import Times

_PATIENCE = 30.0
"""Seconds that a run waits for another that is writing."""

LAST = ("last", "latest")
LAST_GREEN = "last-green"
NEAREST = 10
"""Runs on either side of a difference whose times to detect are compared, and over which a percentile is an objective's."""

NIGHTS = 30
"""Runs of a trend, where nobody says otherwise."""

_GREENS = 50
_ALIKE = 0.9


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
            make_file(path)
        place = path if make or path.exists() else ":memory:"
        connection = sqlite3.connect(place, timeout=_PATIENCE, isolation_level=None)
        try:
            migrate(connection)
            yield History(connection, path)
        finally:
            connection.close()
    except NewerHistory as error:
        raise _wrong(path, str(error), "use the newer harness") from error
    except OSError as error:
        raise _wrong(path, f"cannot be opened: {error.strerror or type(error).__name__}") from error
    except sqlite3.Error as error:
        raise _wrong(path, f"cannot be used as a history: {error}") from error


class History:
    """An open history. A run is named by its id, the beginning of one, "latest" (or "last"), "last-green", or "~2" for the second before
    the latest."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self._path = path

    def append(self, report: Report, *, keep: int | None = None) -> None:
        """Keep this run. One with its id takes the place of the one before.

        `keep`: so many runs are left then, and the newest green one whatever its age, since later ones are held against it.
        """
        with writing(self._connection):
            rows.insert(self._connection, report)
            if keep is not None:
                last_green = "(SELECT number FROM run WHERE green ORDER BY finished_at DESC, number DESC LIMIT 1)"
                self._forget(f"{_BUT_NEWEST} AND number IS NOT {last_green}", keep)

    def runs(self, most: int) -> tuple[PastRun, ...]:
        """The last runs, the newest first."""
        found = self._connection.execute(
            "SELECT run_id, started_at, finished_at, exit_code, expectations, targets, siem, green FROM run"
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
                green=bool(green),
            )
            for run_id, started, finished, exit_code, expectations, targets, siem, green in found
        )

    def last(self) -> Report | None:
        """The newest run's report; None where there is none. Raises `UsageError` where it cannot be read."""
        found = self.runs(1)
        return self.report(found[0].run_id) if found else None

    def report(self, name: str) -> Report:
        """The report of a run. Raises `UsageError` where there is none of that name, or several, or it is damaged."""
        return rows.report(self._connection, self._number(name), self._path)

    def record(self, name: str) -> RunRecord:
        """What differences are computed from. Raises as `report` does."""
        return rows.record(self._connection, self._number(name), self._path)

    def green_before(self, run: RunRecord) -> RunRecord | None:
        """The run that this one is held against: the newest green one before it, among those that judged nearly as much of what it judged
        as any. None where there is none."""
        lines = self._lines(verdict.line for verdict in run.verdicts)
        own = [number for number in map(lines.get, (verdict.line for verdict in run.verdicts)) if number is not None]
        greens = self._connection.execute(
            "SELECT number FROM run WHERE green AND run_id <> ? AND finished_at < ? ORDER BY finished_at DESC, number DESC LIMIT ?",
            (run.run_id, said(run.finished_at), _GREENS),
        ).fetchall()
        shared: dict[int, int] = {}
        for (number,) in greens:
            shared[number] = self._shared(number, own)
            if shared[number] == len(own):  # none can have more
                break
        most = max(shared.values(), default=0)
        chosen = next((number for number, count in shared.items() if count and count >= _ALIKE * most), None)
        return rows.record(self._connection, chosen, self._path) if chosen is not None else None

    def times(self, before: RunRecord, after: RunRecord) -> Times:
        """Of each expectation that both detected its times to detect in the last runs up to the one, and from then on up to the other."""
        earlier = self._ended("finished_at <= ?", said(before.finished_at))
        later = self._ended("finished_at > ? AND finished_at <= ?", said(before.finished_at), said(after.finished_at))
        found: dict[Line, tuple[list[timedelta], list[timedelta]]] = defaultdict(lambda: ([], []))
        for at, ended in enumerate((earlier, later)):
            for line, (outcomes, times) in self._seen(ended).items():
                seen = zip(outcomes, times, strict=True)
                found[line][at].extend(took for outcome, took in seen if took is not None and outcome is Outcome.DETECTED)
        return found

    def trends(self, last: int, flaky: Flaky, *, until: datetime | None = None, also: RunRecord | None = None) -> Trends:
        """Every expectation over the last runs: of those that ended by `until`, where that is told, and then `also`, which is not kept yet.

        Raises as `record` does.
        """
        most = last - (also is not None)
        kept = self._ended("1", most=most) if until is None else self._ended("finished_at <= ?", said(until), most=most)
        ids, ends = [run.run_id for run in kept], [datetime.fromisoformat(run.finished_at) for run in kept]
        seen = self._seen(kept, more=also is not None)
        if also is not None:
            ids, ends = [*ids, also.run_id], [*ends, also.finished_at]
            for verdict in also.verdicts:
                outcomes, times = seen.setdefault(verdict.line, _unseen(len(ids)))
                outcomes[-1], times[-1] = verdict.outcome, verdict.took

        # Imported here: causes are dear to load too, and a list of runs needs none.
        from harness.core.changes import explaining

        @cache
        def record(place: int) -> RunRecord:
            return also if also is not None and place == len(kept) else rows.record(self._connection, kept[place].number, self._path)

        @cache
        def between(one: int, other: int) -> Callable[[Line], bool]:
            return explaining(record(one), record(other))

        return trends(ids, ends, seen, flaky, lambda one, other, line: between(one, other)(line))

    def prune(self, *, keep: int | None = None, before: datetime | None = None) -> int:
        """Forget all runs but the newest `keep`, or those that ended before a time; how many. The file becomes smaller."""
        with writing(self._connection):
            gone = self._forget("finished_at < ?", said(before)) if before is not None else self._forget(_BUT_NEWEST, keep or 0)
        self._connection.execute("VACUUM")
        return gone

    # --- finding -----------------------------------------------------------------------------------------------------------

    def _number(self, name: str) -> int:
        if name in LAST:
            name = "~0"
        if name == LAST_GREEN:
            found = self._connection.execute("SELECT number FROM run WHERE green ORDER BY finished_at DESC, number DESC LIMIT 1").fetchone()
            if found is None:
                raise _wrong(self._path, "no run was green yet", "harness history list shows the runs; name one of them")
            return int(found[0])
        if name.startswith("~") and name[1:].isascii() and name[1:].isdigit() and len(name) < 8:
            back = "SELECT number FROM run ORDER BY finished_at DESC, number DESC LIMIT 1 OFFSET ?"
            found = self._connection.execute(back, (int(name[1:]),)).fetchone()
            if found is None:
                raise _wrong(self._path, "there is no run yet" if name == "~0" else f"there are not so many runs as {name}")
            return int(found[0])
        matches = self._connection.execute(
            "SELECT number, run_id FROM run WHERE run_id = ?1 OR substr(run_id, 1, length(?1)) = ?1 ORDER BY run_id = ?1 DESC LIMIT 2",
            (name,),
        ).fetchall()
        if not matches or not name:
            raise _wrong(self._path, f"there is no run {name!r:.40}", "harness history list shows them")
        if len(matches) > 1 and matches[0][1] != name:
            raise _wrong(self._path, f"several runs begin with {name!r:.40}", "give more of its id")
        return int(matches[0][0])

    def _ended(self, where: str, *values: str, most: int = NEAREST) -> list[_Run]:
        """The newest runs of which that holds, the oldest first."""
        newest = (
            f"SELECT number, run_id, finished_at FROM run WHERE {where}"  # noqa: S608 - our own conditions
            " ORDER BY finished_at DESC, number DESC LIMIT ?"
        )
        return [_Run(*found) for found in self._connection.execute(newest, (*values, most))][::-1]

    def _lines(self, wanted: Iterator[Line]) -> Mapping[Line, int]:
        found = self._connection.execute("SELECT id, planned, rule, fires FROM line")
        known = {(planned, rule, bool(fires)): number for number, planned, rule, fires in found}
        return {line: known[line] for line in wanted if line in known}

    def _shared(self, run: int, lines: Sequence[int]) -> int:
        had = {line for (line,) in self._connection.execute("SELECT line FROM verdict WHERE run = ?", (run,))}
        return len(had.intersection(lines))

    def _seen(self, runs: Sequence[_Run], *, more: bool = False) -> dict[Line, tuple[list[Outcome | None], list[timedelta | None]]]:
        """What each expectation was in these runs, and in one `more` that is not told yet.

        Night after night has the same expectations, so that runs are read as columns, and what they share is turned over at once: a
        thousand runs of hundreds of expectations are half a million verdicts, too many to look at one by one.
        """
        count = len(runs) + more
        by_line: dict[int, tuple[list[Outcome | None], list[timedelta | None]]] = defaultdict(lambda: _unseen(count))
        columns = ((place, *self._columns(run)) for place, run in enumerate(runs))
        for lines, alike in groupby(columns, key=itemgetter(1)):
            places, _, outcomes, times = zip(*alike, strict=True)
            for line, seen, took in zip(lines, zip(*outcomes, strict=True), zip(*times, strict=True), strict=True):
                known = by_line[line]
                known[0][places[0] : places[-1] + 1], known[1][places[0] : places[-1] + 1] = seen, took
        names = self._connection.execute("SELECT id, planned, rule, fires FROM line")
        return {(planned, rule, bool(fires)): by_line[number] for number, planned, rule, fires in names if number in by_line}

    def _columns(self, run: _Run) -> tuple[Sequence[int], Sequence[Outcome], Sequence[timedelta | None]]:
        """The lines of a run's verdicts in their order, the outcomes, and the times."""
        found = self._connection.execute("SELECT line, outcome, took FROM verdict WHERE run = ? ORDER BY line", (run.number,)).fetchall()
        lines, outcomes, times = zip(*found, strict=True) if found else ((), (), ())
        return lines, [_OUTCOMES[outcome] for outcome in outcomes], [None if time is None else timedelta(0, 0, time) for time in times]

    def _forget(self, where: str, value: object) -> int:
        gone = self._connection.execute(f"DELETE FROM run WHERE {where}", (value,)).rowcount  # noqa: S608 - our own conditions
        if gone:
            rows.sweep(self._connection)
        return gone


_BUT_NEWEST = "number NOT IN (SELECT number FROM run ORDER BY finished_at DESC, number DESC LIMIT ?)"
_OUTCOMES = {outcome.value: outcome for outcome in Outcome}


class _Run(NamedTuple):
    number: int
    run_id: str
    finished_at: str


def _unseen(count: int) -> tuple[list[Outcome | None], list[timedelta | None]]:
    return [None] * count, [None] * count


def _wrong(path: Path, what: str, fix: str = "") -> UsageError:
    return UsageError(Problem(path=str(path), what=what, fix=fix))
