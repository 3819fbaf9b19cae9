"""`harness report`: a run's report in other formats, later."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from harness.cli.options import PATH, history_option
from harness.cli.outputs import output_options, writers


@click.command()
@click.argument("report", type=PATH, default="last")
@output_options
@history_option
def report(report: Path, history_path: Path | None, **asked: Any) -> int:
    """Write a run's report in other formats.

    REPORT is a file of `harness run --json`, or a run of the history: its id, the beginning of one, or "last", which is taken without it.
    """
    from harness.errors import Problem, UsageError
    from harness.history import history_file, opened
    from harness.reports.json import read_report

    files, _ = writers(asked)
    if not files:
        raise UsageError(Problem(path="", what="in which format?", fix="--junit FILE, --markdown - and so on: see --help"))
    if report.exists() or report.suffix:
        found = read_report(report)
    else:
        with opened(history_path or history_file()) as kept:
            found = kept.report(str(report))
    for file in files:
        file.write(found)
    return 0
