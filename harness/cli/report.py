"""`harness report`: a run's report in other formats, later."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from harness.cli.ending import Baseline, baseline_option
from harness.cli.options import PATH, config_option, history_option, history_place, history_settings
from harness.cli.outputs import output_options, writers


@click.command()
@click.argument("report", type=PATH, default="last")
@output_options
@baseline_option
@history_option
@config_option
def report(report: Path, history_path: Path | None, config: Path | None, baseline: str | None, **asked: Any) -> int:
    """Write a run's report in other formats.

    REPORT is a file of `harness run --json`, or a run of the history: its id, the beginning of one, "last-green", "~1" for the one before
    the latest, or "latest" (or "last"), which is taken without it.
    """
    from harness.core.appraise import compared
    from harness.core.record import remembered
    from harness.errors import Problem, UsageError
    from harness.history import NIGHTS, opened
    from harness.reports.json import read_report

    place = history_place(history_path, config)
    against = Baseline.named(baseline, place)
    files, _ = writers(asked, against.report if against is not None else None)
    if not files:
        raise UsageError(Problem(path="", what="in which format?", fix="--junit FILE, --markdown - and so on: see --help"))
    if report.exists() or report.suffix:
        found = read_report(report)
    else:
        with opened(place) as kept:
            found = kept.report(str(report))
            found = replace(found, trends=kept.trends(NIGHTS, history_settings(config).flaky, until=found.finished_at))
    if against is not None:
        found = replace(found, comparison=compared(found, remembered(against.report(found)), "", None))
    for file in files:
        file.write(found)
    return 0
