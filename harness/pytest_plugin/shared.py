"""What all tests of a session share: one run of the selected scenarios, one lab, and whose turn it is on a target.

The run goes on in a thread of its own, from the first scenario's test on that pytest comes to, and each test waits for its own verdict.
So a session takes as long as `harness run` does, whatever the order of its tests, and no step is detonated twice: a test that is run again
is told the same. Where pytest ends early the run is cancelled: cleanups are run, and what was not sent stays so.
This module must never know pytest's tests, nor that some of them may be in other processes.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import date
from pathlib import Path
from threading import Condition, Event, Lock
from typing import Protocol

from harness.assemble import assembled, lab_config
from harness.clock import SystemClock
from harness.core.cover import cover
from harness.core.plan import Selection
from harness.core.standing import standing
from harness.errors import HarnessError, UsageError
from harness.history import history_file, opened
from harness.model.changes import GapStanding
from harness.model.report import Judged, Report, RunFinished
from harness.model.verdicts import RuleCoverage, Verdict
from harness.pytest_plugin.asked import Told, Wanted
from harness.pytest_plugin.where import Where
from harness.reports.terminal import failure_text
from lab.process import StartingLab, find, remember, state_file

_LOOK_UP = 0.5
"""Seconds after which a waiting test lets an interrupt in: on Windows a lock does not."""


class Shared(Protocol):
    """What tests ask for, whichever process it is in."""

    def told(self, wanted: Wanted, selected: Sequence[Wanted]) -> Told:
        """The verdict, waited for. The first to ask starts the run of all that is `selected`. Raises `HarnessError`."""

    def lab(self) -> Path:
        """The state file of the session's lab, which is started where it is not up. Raises `LabError`."""

    def note(self, verdict: Verdict, title: str) -> None:
        """A test in Python came to this verdict on a rule of this title."""

    @contextmanager
    def turn(self, target: str) -> Iterator[None]:
        """Nobody else of the session is on the target meanwhile."""


class Owner:
    """Who has all of it: the one process of a session, or the one that leads its workers."""

    def __init__(self, where: Where) -> None:
        self._where = where
        self._stack = ExitStack()
        self._changed = Condition()
        self._run: Future[None] | None = None
        self._cancel = Event()
        self._told: dict[tuple[str, str], Told] = {}
        self._refused: dict[str, str] = {}
        self._unasked: set[tuple[str, str]] = set()
        self._noted: list[Verdict] = []
        self._titles: dict[str, str] = {}
        self._lab: Path | None = None
        self._lab_lock = Lock()
        self._turns = {target: Lock() for target in where.targets}
        self.report: Report | None = None
        self.not_kept = ""

    # --- what tests ask for ------------------------------------------------------------------------------------------------

    def told(self, wanted: Wanted, selected: Sequence[Wanted]) -> Told:
        """As `Shared` says."""
        key = wanted.planned, wanted.rule
        with self._changed:
            if self._run is None:
                self._unasked = {(each.planned, each.rule) for each in selected}
                pool = self._stack.enter_context(ThreadPoolExecutor(1, "harness run"))
                self._run = pool.submit(self._play, tuple(selected))
                self._run.add_done_callback(self._wake)
            while key not in self._told and wanted.file not in self._refused and not self._run.done():
                self._changed.wait(_LOOK_UP)
            self._unasked.discard(key)
        if why := self._refused.get(wanted.file):
            raise HarnessError(why)
        if key not in self._told:
            self._run.result()  # it ended by an error: that is the answer
            raise HarnessError("the run had begun without this expectation")
        return self._told[key]

    def lab(self) -> Path:
        """As `Shared` says."""
        with self._lab_lock:
            if self._lab is None:
                self._lab = self._find_or_start()
            return self._lab

    def note(self, verdict: Verdict, title: str) -> None:
        """As `Shared` says."""
        self._noted.append(verdict)
        self._titles[verdict.expectation.rule] = title

    @contextmanager
    def turn(self, target: str) -> Iterator[None]:
        """As `Shared` says."""
        with self._turns[target]:
            yield

    def coverage(self) -> tuple[RuleCoverage, ...]:
        """What all verdicts of the session say of each rule that one is about."""
        verdicts = [*(self.report.verdicts if self.report is not None else ()), *self._noted]
        about = {verdict.expectation.rule for verdict in verdicts}
        return cover(verdicts, {rule: title for rule, title in self._titles.items() if rule in about})

    def finish(self) -> None:
        """Wait for the run's end; where not every test asked for its verdict, cancel it first."""
        if self._run is None:
            return
        if self._unasked:
            self._cancel.set()
        while not self._run.done():
            with self._changed:
                self._changed.wait(_LOOK_UP)

    def close(self) -> None:
        """Give everything back."""
        self.finish()
        self._stack.close()

    # --- the run's thread --------------------------------------------------------------------------------------------------

    def _wake(self, _: object) -> None:
        with self._changed:
            self._changed.notify_all()

    def _play(self, selected: Sequence[Wanted]) -> None:
        """Run it. Scenario files that are wrong are left out, and their tests told why."""
        files = dict.fromkeys(each.file for each in selected)
        with ExitStack() as turns:
            for target in sorted(self._turns):
                turns.enter_context(self._turns[target])
            while files:
                try:
                    self._play_files(tuple(map(Path, files)), [each for each in selected if each.file in files])
                except UsageError as error:
                    blamed = {problem.path for problem in error.problems} & files.keys()
                    if not blamed:
                        raise
                    for file in blamed:
                        self._refused[file] = "\n".join(str(problem) for problem in error.problems if problem.path == file)
                        del files[file]
                    self._wake(None)
                else:
                    return

    def _play_files(self, files: tuple[Path, ...], selected: Sequence[Wanted]) -> None:
        selection = Selection(expectations=frozenset((each.planned, each.rule) for each in selected))
        where = on(self._where, self.lab()) if self._where.lab else self._where
        with assembled(where.request(files, selection)) as ready:
            titles = {rule.id: rule.title for rule in ready.rules.values()}
            self._titles |= titles
            for progress in ready.engine.run(self._cancel):
                if isinstance(progress, Judged):
                    self._tell(progress.verdict, titles)
                elif isinstance(progress, RunFinished):
                    self.report = from_directory(progress.report, self._where.directory)
                    self._keep(self.report)

    def _tell(self, verdict: Verdict, titles: dict[str, str]) -> None:
        with self._changed:
            self._told[verdict.planned, verdict.expectation.rule] = told_of(verdict, titles, SystemClock().now().date())
            self._changed.notify_all()

    def _keep(self, report: Report) -> None:
        """In the history, as every run. A place that cannot be written to is no reason for tests to fail."""
        settings = self._where.settings.history
        named = os.environ.get("HARNESS_HISTORY")
        try:
            with opened(Path(named) if named else settings.path or history_file(), make=True) as kept:
                kept.append(report, keep=settings.keep)
        except UsageError as error:
            self.not_kept = str(error)

    # --- the lab -----------------------------------------------------------------------------------------------------------

    def _find_or_start(self) -> Path:
        settings = self._where.settings
        known = state_file(settings.lab.state_file)
        if find(known) is not None:
            return known
        starting = StartingLab(lab_config(settings))
        self._stack.callback(starting.stop)
        own = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="harness-"))) / "lab.json"
        remember(starting.ready(), own)
        return own


def on(where: Where, lab: Path) -> Where:
    """The same on the lab of this state file."""
    return replace(where, settings=replace(where.settings, lab=replace(where.settings.lab, state_file=lab)))


def from_directory(report: Report, directory: Path) -> Report:
    """The report with the paths of its rules as seen from there, as a run on the command line has them: a test may change the directory,
    so the run itself goes by whole paths."""
    return replace(report, rules=tuple(replace(rule, source=_seen_from(directory, rule.source)) for rule in report.rules))


def _seen_from(directory: Path, source: str) -> str:
    path = Path(source)
    return str(path.relative_to(directory)) if path.is_relative_to(directory) else source


def told_of(verdict: Verdict, titles: dict[str, str], day: date) -> Told:
    """The verdict as a test needs it. `day`: that of the run, in UTC; a quarantine holds until one."""
    took = verdict.time_to_detect
    quarantine = verdict.expectation.quarantine
    holds = quarantine is not None and standing(verdict, day, None) is GapStanding.QUARANTINED
    return Told(
        outcome=verdict.outcome,
        cause=verdict.cause,
        text=failure_text(verdict, titles),
        time_to_detect=took.total_seconds() if took is not None else None,
        quarantine=f"quarantined until {quarantine.until}: {quarantine.reason}" if holds and quarantine is not None else "",
    )
