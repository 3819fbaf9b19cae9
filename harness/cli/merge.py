"""`harness merge`: the reports of a run's parts as one."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli.ending import Ending, ending_options
from harness.cli.options import PATH, config_option
from harness.cli.outputs import annotating, annotations_option, output_options, tell, writers
from harness.cli.streams import be_patient

if TYPE_CHECKING:
    from harness.ports import Reporter


@click.command()
@click.argument("reports", nargs=-1, required=True, type=PATH)
@output_options
@annotations_option
@ending_options
@config_option
def merge(reports: tuple[Path, ...], **asked: Any) -> int:
    """Make one report of those of `harness run --shard`, as if one run had made it, and keep it in the history.

    REPORTS are the files of --json of all the parts. Ends with the code that the whole run would have ended with.
    """
    from harness.core.merge import merge as merged
    from harness.errors import UsageError
    from harness.model.report import RunFinished
    from harness.reports.console import make_console
    from harness.reports.json import read_report
    from harness.reports.terminal import TerminalReporter

    be_patient()
    ending = Ending.of(asked)
    files, to_stdout = writers(asked, ending.baseline_of())
    report = ending.appraised(merged({str(path): read_report(path) for path in reports}))
    out, err = (make_console(stream, os.environ) for stream in (sys.stdout, sys.stderr))
    with (
        annotating(asked, sys.stderr if to_stdout else sys.stdout) as annotations,
        TerminalReporter(err if to_stdout else out, err) as terminal,
    ):
        reporters: list[Reporter] = [*files, terminal, *annotations]
        wrong = tell(reporters, RunFinished(report=report))
    ending.keep(report)
    if wrong:
        raise UsageError(*wrong)
    return report.exit_code
