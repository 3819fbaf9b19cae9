"""How a run ends: held against earlier ones, by what it fails on, and kept in the history. For the commands that end with a run's code."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from harness.cli.options import history_option, history_place, history_settings

if TYPE_CHECKING:
    from harness.history import History
    from harness.model.changes import Comparison
    from harness.model.report import Report, RunRecord
    from harness.settings import HistorySettings

F = TypeVar("F", bound=Callable[..., object])

baseline_option = click.option(
    "--baseline", metavar="RUN", help="What it is held against: last-green, a run of the history, or an earlier run's JSON report."
)


def _fail_on(context: click.Context, parameter: click.Parameter, value: tuple[str, ...]) -> tuple[str, ...]:
    """Words between commas, each one that is known; `gap` without any."""
    if not value:
        return ("gap",)
    from harness.core.standing import FAIL_ON

    words = tuple(dict.fromkeys(word.strip().lower() for text in value for word in text.split(",")))
    unknown = [word for word in words if word not in FAIL_ON]
    if unknown:
        raise click.BadParameter(f"{unknown[0]!r:.40} is not one of {', '.join(FAIL_ON)}", context, parameter)
    if "never" in words and len(words) > 1:
        raise click.BadParameter("'never' goes with no other word", context, parameter)
    return words


def ending_options(command: F) -> F:
    """The flags that say what a run is held against, what it fails on, and where it is kept."""
    for option in reversed(
        (
            baseline_option,
            click.option(
                "--fail-on",
                multiple=True,
                callback=_fail_on,
                metavar="WHAT",
                help="What ends it with 1, commas between: gap (as it is), new (gaps that the baseline had not), missed, blind, late,"
                " misgraded, noisy, inconclusive, objective, or never.",
            ),
            history_option,
        )
    ):
        command = option(command)
    return command


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """What a run is held against: a report that was read, or a run of the history by its name."""

    name: str
    place: Path
    read: Report | None = None

    @classmethod
    def named(cls, name: str | None, place: Path) -> Baseline | None:
        """What the flag names; None without it. Raises `UsageError` where it names nothing, other than a green run, which may yet come."""
        from harness.history import LAST_GREEN, opened
        from harness.reports.json import read_report

        if name is None:
            return None
        path = Path(name)
        if path.exists() or path.suffix:
            return cls(name=name, place=place, read=read_report(path))
        if name != LAST_GREEN:
            with opened(place) as kept:
                # Now, and not after a long run: and what is the latest now is not what it is then.
                return cls(name=name, place=place, read=kept.report(name))
        return cls(name=name, place=place)

    def record(self, own: RunRecord, kept: History) -> RunRecord | None:
        """The run that this one is held against; None where there is none. Raises `UsageError`."""
        from harness.core.record import remembered

        return remembered(self.read) if self.read is not None else kept.green_before(own)

    def report(self, own: Report) -> Report:
        """The same as a whole report. Raises `UsageError` where there is none."""
        from harness.core.record import remembered
        from harness.errors import Problem, UsageError
        from harness.history import opened

        if self.read is not None:
            return self.read
        with opened(self.place) as kept:
            found = kept.green_before(remembered(own))
            if found is None:
                raise UsageError(Problem(path=str(self.place), what=NO_GREEN, fix="name a run as the baseline"))
            return kept.report(found.run_id)


NO_GREEN = "no earlier run was green"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """What the flags and settings say of a run's end."""

    baseline: Baseline | None
    fail_on: tuple[str, ...]
    place: Path
    settings: HistorySettings

    @classmethod
    def of(cls, asked: dict[str, Any]) -> Ending:
        """Of the flags, those of its own taken out of `asked`. Raises `UsageError`."""
        place = history_place(asked.pop("history_path"), asked["config"])
        return cls(
            baseline=Baseline.named(asked.pop("baseline"), place),
            fail_on=asked.pop("fail_on"),
            place=place,
            settings=history_settings(asked["config"]),
        )

    def baseline_of(self) -> Callable[[Report], Report] | None:
        """What gives the report that a run is held against; None where none was asked for."""
        return self.baseline.report if self.baseline is not None else None

    def appraised(self, report: Report) -> Report:
        """The report with what the runs before it say, and the exit code that follows.

        A part of a run is judged by itself: what it is part of is held against earlier runs when it is merged. A history that cannot be
        read is no reason for a run to fail: it is said.
        """
        from harness.core.appraise import appraised
        from harness.core.record import remembered
        from harness.errors import UsageError
        from harness.history import NIGHTS, opened
        from harness.model.changes import Comparison

        if report.shard is not None:
            return appraised(report, fail_on=self.fail_on, comparison=None, trends=None)
        own = remembered(report)
        comparison, trends = None, None
        try:
            with opened(self.place) as kept:
                comparison = self._compared(report, own, kept)
                trends = kept.trends(NIGHTS, self.settings.flaky, also=own)
        except UsageError as error:
            click.echo(f"harness: the history was not asked: {error}", err=True)
            if self.baseline is not None and comparison is None:
                comparison = Comparison(baseline="", missing=f"the history was not asked: {error}")
        return appraised(report, fail_on=self.fail_on, comparison=comparison, trends=trends)

    def _compared(self, report: Report, own: RunRecord, kept: History) -> Comparison | None:
        from harness.core.appraise import compared

        if self.baseline is None:
            return None
        found = self.baseline.record(own, kept)
        times = kept.times(found, own) if found is not None else None
        return compared(report, found, f"{NO_GREEN}, so that every gap counts", times)

    def keep(self, report: Report) -> None:
        """In the history; a part of a run is kept when it is merged. A place that cannot be written to is no reason for a run to fail."""
        from harness.errors import UsageError
        from harness.history import opened

        if report.shard is not None:
            return
        try:
            with opened(self.place, make=True) as kept:
                # Trends are what the history itself says.
                kept.append(replace(report, trends=None), keep=self.settings.keep)
        except UsageError as error:
            click.echo(f"harness: the run was not kept: {error}", err=True)
