"""`harness history`: the runs that were made, what one of them said, and forgetting old ones."""

from __future__ import annotations

import json
import os
import re
import sys
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path

import click

from harness.cli.options import history_option, write_text


@click.group()
def history() -> None:
    """What earlier runs said. Every run is kept; `harness report` makes other formats of one."""


@history.command("list")
@click.option("--limit", type=click.IntRange(min=1), default=30, show_default=True, help="How many of the newest.")
@click.option("--json", "json_path", metavar="FILE", help="Write them as JSON; - is standard output.")
@history_option
def list_(limit: int, json_path: str | None, history_path: Path | None) -> int:
    """The runs that were made, the newest first."""
    from harness.history import history_file, opened
    from harness.reports.console import make_console
    from harness.reports.history import print_runs

    with opened(history_path or history_file()) as kept:
        runs = kept.runs(limit)
    if json_path is not None:
        write_text(json_path, json.dumps([asdict(run) for run in runs], indent=2, default=lambda moment: moment.isoformat()))
    else:
        print_runs(runs, make_console(sys.stdout, os.environ))
    return 0


@history.command()
@click.argument("run", default="last")
@history_option
def show(run: str, history_path: Path | None) -> int:
    """Show a run as it was shown at its end. RUN is its id, the beginning of one, or "last"."""
    from harness.history import history_file, opened
    from harness.model.report import RunFinished
    from harness.reports.console import make_console
    from harness.reports.terminal import TerminalReporter

    with opened(history_path or history_file()) as kept:
        report = kept.report(run)
    out, err = (make_console(stream, os.environ) for stream in (sys.stdout, sys.stderr))
    with TerminalReporter(out, err) as terminal:
        terminal.see(RunFinished(report=report))
    return 0


@history.command()
@click.argument("before")
@click.argument("after", default="last")
@history_option
def diff(before: str, after: str, history_path: Path | None) -> int:
    """What changed from the run BEFORE to the run AFTER: what broke, what was mended, what got slower, and why. Ends with 1 where
    something broke."""
    from harness.core.changes import changes
    from harness.history import history_file, opened
    from harness.model.changes import ChangeKind
    from harness.reports.console import make_console
    from harness.reports.history import print_changes

    with opened(history_path or history_file()) as kept:
        old, new = kept.report(before), kept.report(after)
    found = changes(old, new)
    print_changes(old, new, found, make_console(sys.stdout, os.environ))
    return 1 if any(change.kind is ChangeKind.BROKEN for change in found) else 0


@history.command()
@click.option("--keep", type=click.IntRange(min=0), metavar="N", help="Keep the newest N runs.")
@click.option("--older-than", metavar="DAYS", help="Forget runs that ended so many days ago or earlier: 90d.")
@history_option
def prune(keep: int | None, older_than: str | None, history_path: Path | None) -> int:
    """Forget old runs, and give their room back."""
    from harness.clock import SystemClock
    from harness.errors import Problem, UsageError
    from harness.history import history_file, opened

    if (keep is None) == (older_than is None):
        raise UsageError(Problem(path="", what="which runs?", fix="--keep N or --older-than DAYS, one of them"))
    before = None
    if older_than is not None:
        found = re.fullmatch(r"(\d{1,5})d?", older_than)
        if found is None:
            raise UsageError(Problem(path="", what=f"--older-than {older_than!r:.40} is no number of days", fix="write it as 90d"))
        before = SystemClock().now() - timedelta(days=int(found[1]))
    with opened(history_path or history_file()) as kept:
        gone = kept.prune(keep=keep, before=before)
    click.echo(f"{gone} {'run was' if gone == 1 else 'runs were'} forgotten")
    return 0
