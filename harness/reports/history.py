"""The list of runs for people. This module must never decide anything about a run."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.model.report import PastRun
from harness.reports.words import EXIT_MEANING, inert, seconds


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
