"""`harness history`: the runs that were made, what one of them said, how two differ, how many fared, and forgetting old ones."""

from __future__ import annotations

import json
import os
import re
import sys
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path

import click

from harness.cli.options import config_option, history_option, history_place, history_settings, write_text


@click.group()
def history() -> None:
    """What earlier runs said. Every run is kept; `harness report` makes other formats of one."""


@history.command("list")
@click.option("--limit", type=click.IntRange(min=1), default=30, show_default=True, help="How many of the newest.")
@click.option("--json", "json_path", metavar="FILE", help="Write them as JSON; - is standard output.")
@history_option
@config_option
def list_(limit: int, json_path: str | None, history_path: Path | None, config: Path | None) -> int:
    """The runs that were made, the newest first."""
    from harness.history import opened
    from harness.reports.console import make_console
    from harness.reports.history import print_runs

    with opened(history_place(history_path, config)) as kept:
        runs = kept.runs(limit)
    if json_path is not None:
        write_text(json_path, json.dumps([asdict(run) for run in runs], indent=2, default=lambda moment: moment.isoformat()))
    else:
        print_runs(runs, make_console(sys.stdout, os.environ))
    return 0


_json_option = click.option("--json", "json_path", metavar="FILE", help="Write it as JSON; - is standard output.")


@history.command()
@click.argument("run", default="latest")
@_json_option
@history_option
@config_option
def show(run: str, json_path: str | None, history_path: Path | None, config: Path | None) -> int:
    """Show a run as it was shown at its end.

    RUN is its id, the beginning of one, "latest" (or "last"), "last-green", or "~1" for the one before the latest, and so on.
    """
    from harness.history import opened
    from harness.model.report import RunFinished
    from harness.reports.console import make_console
    from harness.reports.terminal import TerminalReporter

    with opened(history_place(history_path, config)) as kept:
        report = kept.report(run)
    if json_path is not None:
        from harness.reports.json import dump_report

        write_text(json_path, dump_report(report).rstrip("\n"))
        return 0
    out, err = (make_console(stream, os.environ) for stream in (sys.stdout, sys.stderr))
    with TerminalReporter(out, err) as terminal:
        terminal.see(RunFinished(report=report))
    return 0


@history.command()
@click.argument("before", default="last-green")
@click.argument("after", default="latest")
@_json_option
@history_option
@config_option
def diff(before: str, after: str, json_path: str | None, history_path: Path | None, config: Path | None) -> int:
    """What changed from the run BEFORE to the run AFTER, and why.

    What broke, what was mended, what got slower: each with its likeliest cause first, and the evidence. Without BEFORE it is the last green
    run before AFTER. Ends with 1 where something broke.
    """
    from harness.core.changes import changes
    from harness.errors import Problem, UsageError
    from harness.history import LAST_GREEN, opened
    from harness.model.changes import ChangeKind
    from harness.reports.console import make_console
    from harness.reports.history import changes_document, print_changes

    place = history_place(history_path, config)
    with opened(place) as kept:
        new = kept.record(after)
        old = kept.green_before(new) if before == LAST_GREEN else kept.record(before)
        if old is None:
            fix = "name the run to start from: harness history list shows them"
            raise UsageError(Problem(path=str(place), what=f"no run before {new.run_id} was green", fix=fix))
        times = kept.times(old, new)
    found = changes(old, new, times)
    if json_path is not None:
        write_text(json_path, json.dumps(changes_document(old, new, found), indent=2))
    else:
        print_changes(old, new, found, make_console(sys.stdout, os.environ))
    return 1 if any(change.kind is ChangeKind.BROKEN for change in found) else 0


@history.command()
@click.option("--last", type=click.IntRange(min=1, max=100_000), default=30, show_default=True, metavar="N", help="Over how many runs.")
@click.option("--rule", "rules", multiple=True, metavar="ID", help="Only of this rule, by its id or the beginning of one.")
@click.option("--flaky", "only_flaky", is_flag=True, help="Only what goes both ways with no known cause.")
@_json_option
@history_option
@config_option
def trend(
    last: int, rules: tuple[str, ...], only_flaky: bool, json_path: str | None, history_path: Path | None, config: Path | None
) -> int:
    """How every expectation fared over the last runs: its outcomes, its times to detect, and whether it is flaky."""
    from dataclasses import replace

    from harness.history import opened
    from harness.reports.console import make_console
    from harness.reports.history import print_trends, trends_document

    with opened(history_place(history_path, config)) as kept:
        found = kept.trends(last, history_settings(config).flaky)
    wanted = [line for line in found.lines if (not rules or line.rule.startswith(rules)) and (line.flaky or not only_flaky)]
    found = replace(found, lines=tuple(wanted))
    if json_path is not None:
        # On one line: with indentation, a thousand nights take seconds to write.
        write_text(json_path, json.dumps(trends_document(found)))
    else:
        print_trends(found, make_console(sys.stdout, os.environ))
    return 0


@history.command()
@click.option("--keep", type=click.IntRange(min=0), metavar="N", help="Keep the newest N runs.")
@click.option("--older-than", metavar="DAYS", help="Forget runs that ended so many days ago or earlier: 90d.")
@_json_option
@history_option
@config_option
def prune(keep: int | None, older_than: str | None, json_path: str | None, history_path: Path | None, config: Path | None) -> int:
    """Forget old runs, and give their room back."""
    from harness.clock import SystemClock
    from harness.errors import Problem, UsageError
    from harness.history import opened

    if (keep is None) == (older_than is None):
        raise UsageError(Problem(path="", what="which runs?", fix="--keep N or --older-than DAYS, one of them"))
    before = None
    if older_than is not None:
        found = re.fullmatch(r"(\d{1,5})d?", older_than)
        if found is None:
            raise UsageError(Problem(path="", what=f"--older-than {older_than!r:.40} is no number of days", fix="write it as 90d"))
        before = SystemClock().now() - timedelta(days=int(found[1]))
    with opened(history_place(history_path, config)) as kept:
        gone = kept.prune(keep=keep, before=before)
    if json_path is not None:
        write_text(json_path, json.dumps({"forgotten": gone}))
    else:
        click.echo(f"{gone} {'run was' if gone == 1 else 'runs were'} forgotten")
    return 0
