"""The list of runs, and the difference of two, for people. This module must never decide anything about a run."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.model.changes import Change, ChangeKind
from harness.model.report import PastRun, Report
from harness.model.verdicts import Verdict
from harness.reports.words import EXIT_MEANING, count_of, grouped, inert, named, seconds


def print_runs(runs: Sequence[PastRun], console: Console) -> None:
    """A line a run, the newest first."""
    if not runs:
        console.print("No run was kept yet.")
        return
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", expand=False)
    for name in ("Run", "Ended (UTC)", "Took", "Targets", "SIEM", "Expectations", "Exit"):
        table.add_column(name, overflow="fold", justify="right" if name in ("Took", "Expectations") else "left")
    for run in runs:
        meaning = EXIT_MEANING.get(run.exit_code, "")
        table.add_row(
            *(
                Text(inert(text))
                for text in (
                    run.run_id,
                    f"{run.finished_at:%Y-%m-%d %H:%M:%S}",
                    seconds(run.finished_at - run.started_at),
                    run.targets,
                    run.siem,
                    str(run.expectations),
                    f"{run.exit_code} {meaning}".strip(),
                )
            )
        )
    console.print(table)


_KIND_STYLE = {ChangeKind.BROKEN: "bold red", ChangeKind.CHANGED: "yellow", ChangeKind.SLOWER: "yellow", ChangeKind.MENDED: "green"}


def print_changes(before: Report, after: Report, found: Sequence[Change], console: Console) -> None:
    """What changed, the gravest first; what changed alike for one reason is told once."""
    titles = {coverage.rule: coverage.title for report in (before, after) for coverage in report.coverage}
    for (kind, rule, outcomes, causes), alike in grouped(
        found, lambda change: (change.kind, _rule(change), _outcomes(change), change.causes)
    ):
        head = Text(f"{kind.value} ", style=_KIND_STYLE.get(kind, "bold"))
        head.append(inert(f"{named(rule, titles)}: {outcomes}"))
        console.print(head, soft_wrap=True)
        where = [verdict.planned for change in alike if (verdict := change.after or change.before) is not None]
        console.print(Text("  " + inert(", ".join(where))), soft_wrap=True)
        for cause in causes:
            console.print(Text("  - " + inert(cause)), soft_wrap=True)
    counts = ", ".join(f"{len(alike)} {kind.value}" for kind, alike in grouped(found, lambda change: change.kind))
    said = f"{inert(before.run_id)} ({before.started_at:%Y-%m-%d %H:%M}) to {inert(after.run_id)} ({after.started_at:%Y-%m-%d %H:%M})"
    console.print(Text(f"{count_of(len(after.verdicts), 'expectation')}, {said}: {counts or 'nothing changed'}."), soft_wrap=True)


def _rule(change: Change) -> str:
    verdict = change.after or change.before
    return verdict.expectation.rule if verdict is not None else ""


def _outcomes(change: Change) -> str:
    return " to ".join(_outcome(verdict, change.kind) for verdict in (change.before, change.after) if verdict is not None)


def _outcome(verdict: Verdict, kind: ChangeKind) -> str:
    time = verdict.time_to_detect
    return seconds(time) if kind is ChangeKind.SLOWER and time is not None else verdict.outcome.value
