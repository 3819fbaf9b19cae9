"""`harness report`: a run's report in other formats, later."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from harness.cli.options import PATH
from harness.cli.outputs import output_options, writers


@click.command()
@click.argument("report", type=PATH, required=False)
@output_options
def report(report: Path | None, **asked: Any) -> int:
    """Write a run's report in other formats.

    REPORT is a JSON report of `harness run --json`; without it, the last run's is taken.
    """
    from harness.errors import Problem, UsageError
    from harness.last_run import read_report, recall

    files, _ = writers(asked)
    if not files:
        raise UsageError(Problem(path="", what="in which format?", fix="--junit FILE, --markdown - and so on: see --help"))
    found = recall() if report is None else read_report(report)
    if found is None:
        raise UsageError(Problem(path="", what="no run's report was kept yet", fix="give the file that `harness run --json` wrote"))
    for file in files:
        file.write(found)
    return 0
