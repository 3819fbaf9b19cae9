"""`harness run` and `harness plan`: detonate and judge, or say what would be."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from threading import Event
from typing import TYPE_CHECKING, Any, TypeVar

import click

from harness.cli import completion
from harness.cli.ending import Ending, ending_options
from harness.cli.options import PATH, config_option, read_settings
from harness.cli.outputs import annotating, annotations_option, output_options, tell, writers
from harness.cli.streams import be_patient

if TYPE_CHECKING:
    from harness.assemble import Request
    from harness.errors import Problem
    from harness.ports import Reporter

F = TypeVar("F", bound=Callable[..., object])


def _shard(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[int, int] | None:
    """`I/N`, with 1 <= I <= N."""
    if value is None:
        return None
    found = re.fullmatch(r"([0-9]{1,4})/([0-9]{1,4})", value)
    if found is None or not 1 <= int(found[1]) <= int(found[2]):
        raise click.BadParameter(f"{value!r:.40} is no part of a whole: 1/3, 2/3 and 3/3 are those of three", context, parameter)
    return int(found[1]), int(found[2])


def where_options(command: F) -> F:
    """The flags that say where: targets, SIEM, rules."""
    for option in reversed(
        (
            click.option("--lab", is_flag=True, help="On the embedded lab (the one that is up, else one of this run's own)."),
            click.option(
                "--target",
                "targets",
                multiple=True,
                metavar="NAME",
                shell_complete=completion.targets,
                help="A target of harness.toml, or a host of the lab.",
            ),
            click.option("--rules", multiple=True, type=PATH, metavar="PATH", help="A rule file, or a directory of them."),
            click.option("--siem", type=click.Choice(["embedded", "elasticsearch"]), help="Which SIEM is asked; with --lab: embedded."),
            click.option("--es-url", "urls", multiple=True, metavar="URL", help="A node of Elasticsearch; credentials by settings alone."),
            config_option,
        )
    ):
        command = option(command)
    return command


def _selecting(command: F) -> F:
    """The flags that say what is run."""
    for option in reversed(
        (
            click.argument("scenarios", nargs=-1, type=PATH, shell_complete=completion.scenario_files),
            where_options,
            click.option(
                "--rule", "rule_ids", multiple=True, metavar="ID", shell_complete=completion.rule_ids, help="Judge only this rule."
            ),
            click.option("--technique", "techniques", multiple=True, metavar="ID", help="Only scenarios of this ATT&CK technique."),
            click.option("--tag", "tags", multiple=True, metavar="TAG", help="Only scenarios with this tag."),
            click.option("--shard", callback=_shard, metavar="I/N", help="Only part I of N; `harness merge` makes one report of all."),
        )
    ):
        command = option(command)
    return command


@click.command()
@_selecting
@output_options
@annotations_option
@click.option("--pause-on-failure", "pausing", is_flag=True, help="Stop at every gap, say where to look, and wait for Enter.")
@ending_options
def run(pausing: bool, **asked: Any) -> int:
    """Detonate scenarios and judge every expectation.

    SCENARIOS are files or directories; without any, ./scenarios is taken, else the starter scenarios that came with the package.
    """
    from harness.assemble import assembled
    from harness.cli.pausing import PauseOnFailure
    from harness.clock import SystemClock
    from harness.errors import UsageError
    from harness.model.report import RunFinished
    from harness.reports.console import make_console
    from harness.reports.terminal import TerminalReporter

    be_patient()
    ending = Ending.of(asked)
    files, to_stdout = writers(asked, ending.baseline_of())
    out, err = (make_console(stream, os.environ) for stream in (sys.stdout, sys.stderr))
    code = 3
    wrong: list[Problem] = []
    with (
        annotating(asked, sys.stderr if to_stdout else sys.stdout) as annotations,
        interruptible() as cancel,
        assembled(replace(request_of(asked), hold=pausing)) as ready,
        TerminalReporter(err if to_stdout else out, err) as terminal,
    ):
        reporters: list[Reporter] = [*files, terminal, *annotations]
        if pausing:
            reporters.append(PauseOnFailure(err, ready.rules, terminal.close, cancel, SystemClock()))
        for made in ready.engine.run(cancel):
            progress = RunFinished(report=ending.appraised(made.report)) if isinstance(made, RunFinished) else made
            wrong += tell(reporters, progress)
            if isinstance(progress, RunFinished):
                code = progress.report.exit_code
                ending.keep(progress.report)
    if wrong:
        raise UsageError(*wrong)
    return code


@click.command()
@_selecting
def plan(**asked: Any) -> int:
    """Show what would run where, what cannot be exercised, and why. Nothing is sent and nothing is started."""
    from harness.assemble import planned
    from harness.reports.console import make_console
    from harness.reports.plan import print_plan

    if not asked["targets"]:
        asked["lab"] = True
    made, rules = planned(request_of(asked))
    print_plan(made, rules, make_console(sys.stdout, os.environ))
    return 0


_SELECTORS = {"rules": "rule_ids", "techniques": "techniques", "tags": "tags"}


def request_of(asked: Mapping[str, Any]) -> Request:
    """What these flags ask for. Raises `UsageError`."""
    from harness.assemble import Request
    from harness.core.plan import Selection
    from harness.errors import Problem, UsageError

    elastic = asked["siem"] == "elasticsearch"
    if asked["urls"] and not elastic:
        raise UsageError(Problem(path="--es-url", what="is of no use without --siem elasticsearch"))
    kind = None if asked["lab"] and not elastic else asked["siem"]
    settings = read_settings(asked["config"], **{"rules.paths": asked["rules"], "siem.kind": kind, "siem.url": asked["urls"]})
    return Request(
        settings=settings,
        lab=asked["lab"],
        to_elasticsearch=elastic,
        targets=asked["targets"],
        scenarios=asked.get("scenarios", ()),
        shard=asked.get("shard"),
        selection=Selection(**{kind: frozenset(asked.get(flag, ())) for kind, flag in _SELECTORS.items()}),
    )


@contextmanager
def interruptible() -> Iterator[Event]:
    """The first interrupt ends the run in order, cleanups included; the second one at once. So does a terminal that is closed, unless
    somebody (`nohup`) said that it should not matter."""
    cancel = Event()

    def interrupt(number: int, frame: object) -> None:
        if cancel.is_set():
            raise KeyboardInterrupt
        cancel.set()

    ending = [signal.SIGINT, signal.SIGTERM]
    if sys.platform != "win32" and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        ending.append(signal.SIGHUP)
    before = {number: signal.signal(number, interrupt) for number in ending}
    try:
        yield cancel
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
