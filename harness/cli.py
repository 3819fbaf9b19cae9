"""The command line: what people type becomes a request, and a run's outcome an exit code.

Exit codes, the first that applies: 130 interrupted, 2 usage, 4 out of scope, 5 nothing to do, 1 a gap, 3 inconclusive, 0 else.
Whatever is heavy is imported by the command that needs it: `harness --help` must answer at once.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any, TypeVar

import click

from harness import __version__
from harness.errors import HarnessError

if TYPE_CHECKING:
    from harness.assemble import Request
    from harness.ports import Reporter
    from harness.settings import Settings

F = TypeVar("F", bound=Callable[..., object])
PATH = click.Path(path_type=Path)


def main() -> None:
    """The entry point of the `harness` command."""
    sys.exit(_main(sys.argv[1:]))


def _main(arguments: list[str]) -> int:
    try:
        code = cli.main(arguments, prog_name="harness", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return 2
    except HarnessError as error:
        click.echo(f"harness: {error}", err=True)
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return 130
    except BrokenPipeError:  # the reader of a pipe has gone: nobody is there to be told
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return code if isinstance(code, int) else 0


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(__version__, prog_name="harness")
def cli() -> None:
    """Prove that detections detect.

    Scenarios are detonated over real PowerShell Remoting; for every rule that they name, the SIEM is asked until it is known whether it
    fired because of this run, and if not, why.
    """


def _selecting(command: F) -> F:
    """The flags that say what is run and where."""
    for option in reversed(
        (
            click.argument("scenarios", nargs=-1, type=PATH),
            click.option("--lab", is_flag=True, help="Detonate on the embedded lab (the one that is up, else one of this run's own)."),
            click.option("--target", "targets", multiple=True, metavar="NAME", help="A target of harness.toml, or a host of the lab."),
            click.option("--rules", multiple=True, type=PATH, metavar="PATH", help="A rule file, or a directory of them."),
            click.option("--rule", "rule_ids", multiple=True, metavar="ID", help="Judge only this rule."),
            click.option("--technique", "techniques", multiple=True, metavar="ID", help="Only scenarios of this ATT&CK technique."),
            click.option("--tag", "tags", multiple=True, metavar="TAG", help="Only scenarios with this tag."),
            click.option("--config", type=PATH, metavar="FILE", help="The settings file; else HARNESS_CONFIG, else ./harness.toml."),
        )
    ):
        command = option(command)
    return command


@cli.command()
@_selecting
@click.option("--json", "json_path", metavar="FILE", help="Write the report as JSON; - is standard output.")
def run(json_path: str | None, **asked: Any) -> int:
    """Detonate scenarios and judge every expectation.

    SCENARIOS are files or directories; without any, ./scenarios is taken, else the starter scenarios that came with the package.
    """
    from harness.assemble import assembled
    from harness.model.report import RunFinished
    from harness.reports.json import JsonReporter
    from harness.reports.terminal import TerminalReporter, make_console

    request = _request(asked)
    to_stdout = json_path == "-"
    out, err = (make_console(stream, os.environ) for stream in (sys.stdout, sys.stderr))
    reporters: list[Reporter] = [JsonReporter(None if to_stdout else Path(json_path), sys.stdout)] if json_path is not None else []
    code = 3
    with (
        _interruptible() as cancel,
        assembled(request) as ready,
        TerminalReporter(err if to_stdout else out, err) as terminal,
    ):
        reporters.append(terminal)
        for progress in ready.engine.run(cancel):
            for reporter in reporters:
                reporter.see(progress)
            if isinstance(progress, RunFinished):
                code = progress.report.exit_code
    return code


@cli.command()
@_selecting
def plan(**asked: Any) -> int:
    """Show what would run where, what cannot be exercised, and why. Nothing is sent and nothing is started."""
    from harness.assemble import planned
    from harness.reports.plan import print_plan
    from harness.reports.terminal import make_console

    if not asked["targets"]:
        asked["lab"] = True
    made, rules = planned(_request(asked))
    print_plan(made, rules, make_console(sys.stdout, os.environ))
    return 0


@cli.command()
@click.argument("document", type=click.Choice(["scenario", "settings", "report"]), default="scenario")
def schema(document: str) -> int:
    """Print the JSON schema of scenario files, of harness.toml or of the JSON report."""
    from harness.reports.json import report_schema
    from harness.scenarios import scenario_schema
    from harness.settings import settings_schema

    made: Mapping[str, Callable[[], dict[str, Any]]] = {"scenario": scenario_schema, "settings": settings_schema, "report": report_schema}
    click.echo(json.dumps(made[document](), indent=2))
    return 0


@cli.group()
def lab() -> None:
    """The embedded lab as a service of its own, for several runs."""


_config = click.option("--config", type=PATH, metavar="FILE", help="The settings file; else HARNESS_CONFIG, else ./harness.toml.")


@lab.command()
@_config
def up(config: Path | None) -> int:
    """Start the lab and leave it running; runs with --lab then use it. It listens on loopback alone."""
    from harness.assemble import lab_config
    from lab.process import StartingLab, find, remember, state_file

    settings = _settings(config)
    state = state_file(settings.lab.state_file)
    if find(state) is not None:
        click.echo("the lab is up already; harness lab status tells where")
        return 0
    starting = StartingLab(lab_config(settings, keep=True))
    try:
        place = starting.ready()
        remember(place, state)
    except BaseException:
        starting.stop()
        raise
    starting.leave()
    for host in place.targets:
        click.echo(f"{host.name}: http://{host.host}:{host.port}/wsman as {host.user}, logs as {host.computer} ({host.address})")
    click.echo(f"SIEM: {place.siem}")
    click.echo(f"password: in {state}, which only you can read")
    return 0


@lab.command()
@_config
@click.option("--json", "json_path", metavar="FILE", help="Write the counts as JSON; - is standard output.")
def status(config: Path | None, json_path: str | None) -> int:
    """Say whether the lab is up, where, and what each of its hosts has counted."""
    from lab.process import ask, find, state_file

    place = find(state_file(_settings(config).lab.state_file))
    if place is None:
        click.echo("the lab is down", err=True)
        return 3
    counts = ask(place, "status")
    if json_path is not None:
        hosts = [
            {
                "name": host.name,
                "host": host.host,
                "port": host.port,
                "user": host.user,
                "computer": host.computer,
                "counts": counts[host.name],
            }
            for host in place.targets
        ]
        _write(json_path, json.dumps({"pid": place.pid, "siem": place.siem, "hosts": hosts}, indent=2))
        return 0
    for host in place.targets:
        click.echo(f"{host.name}: http://{host.host}:{host.port}/wsman as {host.user}, logs as {host.computer} ({host.address})")
        counted = counts[host.name]
        assert isinstance(counted, dict)
        click.echo("  " + ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in counted.items() if isinstance(value, int)))
    click.echo(f"SIEM: {place.siem}")
    return 0


@lab.command()
@_config
def down(config: Path | None) -> int:
    """Stop the lab that is up."""
    from lab.process import ask, find, state_file

    state = state_file(_settings(config).lab.state_file)
    place = find(state)
    if place is None:
        click.echo("the lab is down")
        return 0
    ask(place, "stop")
    state.unlink(missing_ok=True)
    click.echo("the lab is stopping")
    return 0


# --- helpers ---------------------------------------------------------------------------------------------------------------


def _settings(config: Path | None, **flags: object) -> Settings:
    from harness.settings import load_settings

    return load_settings(config, os.environ, flags)


def _request(asked: Mapping[str, Any]) -> Request:
    from harness.assemble import Request
    from harness.core.plan import Selection

    return Request(
        settings=_settings(asked["config"], **{"rules.paths": asked["rules"]}),
        lab=asked["lab"],
        targets=asked["targets"],
        scenarios=asked["scenarios"],
        selection=Selection(rules=frozenset(asked["rule_ids"]), techniques=frozenset(asked["techniques"]), tags=frozenset(asked["tags"])),
    )


@contextmanager
def _interruptible() -> Iterator[Event]:
    """The first interrupt ends the run in order, cleanups included; the second one at once."""
    cancel = Event()

    def interrupt(number: int, frame: object) -> None:
        if cancel.is_set():
            raise KeyboardInterrupt
        cancel.set()

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield cancel
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _write(path: str, text: str) -> None:
    if path == "-":
        click.echo(text)
    else:
        Path(path).write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
