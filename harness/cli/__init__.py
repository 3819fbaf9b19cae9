"""The command line: what people type becomes a request, and a run's outcome an exit code.

Exit codes, the first that applies: 130 interrupted, 2 usage, 4 out of scope, 5 nothing to do, 1 a gap, 3 inconclusive, 0 else.
One module a group of commands. Whatever is heavy is imported by the command that needs it: `harness --help` must answer at once.
"""

from __future__ import annotations

import sys

import click

from harness import __version__
from harness.cli import completion, doctor, history, hunt, init, lab, merge, replay, report, rules, run, schema, streams
from harness.errors import HarnessError


def main() -> None:
    """The entry point of the `harness` command."""
    outlet = streams.prepare()
    try:
        code = _main(sys.argv[1:])
        sys.stdout.flush()
    except OSError:
        if outlet is None or outlet.lost is None:
            raise
        code = 1  # with its reader, whom nobody need tell why
    if why := streams.why_lost(outlet):
        click.echo(f"harness: {why}", err=True)
        code = 2
    sys.exit(code)


def _main(arguments: list[str]) -> int:
    try:
        code = cli.main(arguments, prog_name="harness", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return 2
    except HarnessError as error:
        click.echo("harness: " + _inert(str(error)), err=True)
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return 130
    return code if isinstance(code, int) else 0


def _inert(text: str) -> str:
    """What an error quotes was written by others: its lines, unable to do anything to a terminal."""
    from harness.reports.words import whole

    return "\n".join(map(whole, text.split("\n")))


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(__version__, prog_name="harness")
def cli() -> None:
    """Prove that detections detect.

    Scenarios are detonated over real PowerShell Remoting; for every rule that they name, the SIEM is asked until it is known whether it
    fired because of this run, and if not, why.
    """


for command in (
    run.run,
    run.plan,
    doctor.doctor,
    merge.merge,
    report.report,
    history.history,
    replay.replay,
    hunt.hunt,
    rules.rules,
    lab.lab,
    schema.schema,
    init.init,
    completion.completion,
):
    cli.add_command(command)
