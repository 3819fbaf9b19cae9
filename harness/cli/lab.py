"""`harness lab`: the embedded lab as a service of its own."""

from __future__ import annotations

import json
import os
import sys
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli.options import PATH, config_option, read_settings, write_json, write_text

if TYPE_CHECKING:
    from lab.process import LabTarget


@click.group()
def lab() -> None:
    """The embedded lab as a service of its own, for several runs."""


@lab.command()
@config_option
def up(config: Path | None) -> int:
    """Start the lab and leave it running; runs with --lab then use it. It listens on loopback alone."""
    from harness.assemble import lab_config
    from lab.process import StartingLab, find, remember, state_file

    settings = read_settings(config)
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
        click.echo(_where(host))
    click.echo(f"SIEM: {place.siem}")
    click.echo(f"password: in {state}, which only you can read")
    return 0


@lab.command()
@config_option
@click.option("--json", "json_path", metavar="FILE", help="Write the counts as JSON; - is standard output.")
def status(config: Path | None, json_path: str | None) -> int:
    """Say whether the lab is up, where, and what each of its hosts has counted."""
    from lab.process import ask, find, state_file

    place = find(state_file(read_settings(config).lab.state_file))
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
        found = {"pid": place.pid, "siem": place.siem, "hosts": hosts, "shipping": counts["shipping"]}
        write_text(json_path, json.dumps(found, indent=2))
        return 0
    for host in place.targets:
        click.echo(_where(host))
        counted = counts[host.name]
        assert isinstance(counted, dict)
        click.echo("  " + ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in counted.items() if isinstance(value, int)))
    click.echo(f"SIEM: {place.siem}")
    shipping = counts["shipping"]
    assert isinstance(shipping, dict)
    for where, shipped in shipping.items():
        trouble = f"; {shipped['trouble']}" if shipped["trouble"] else ""
        click.echo(f"shipped to {where}: {shipped['sent']} events, {shipped['refused']} refused{trouble}")
    return 0


@lab.command()
@config_option
def down(config: Path | None) -> int:
    """Stop the lab that is up."""
    from lab.process import ask, find, state_file

    state = state_file(read_settings(config).lab.state_file)
    place = find(state)
    if place is None:
        click.echo("the lab is down")
        return 0
    ask(place, "stop")
    state.unlink(missing_ok=True)
    click.echo("the lab is stopping")
    return 0


@lab.command()
@click.argument("events", nargs=-1, type=PATH)
@click.option("--strict", is_flag=True, help="Stop at the first line that cannot be read.")
@click.option("--write", "write_path", type=PATH, metavar="FILE", help="Write the lab's own events that are compared; alone, do only that.")
@click.option(
    "--form", type=click.Choice(["winlogbeat", "nxlog", "xml"]), default="winlogbeat", show_default=True, help="The form for --write."
)
@click.option("--json", "json_path", metavar="FILE", help="Write what was found as JSON; - is standard output.")
def conformance(events: tuple[Path, ...], strict: bool, write_path: Path | None, form: str, json_path: str | None) -> int:
    """Say in what the lab's events differ from recorded ones, field by field.

    EVENTS are recordings of a real host, in any form that `harness replay` reads. Hosts of the lab do once more, in this process, whatever
    leaves each kind of event that they emit. Fields, forms of values, what a kind's publisher fixes and relations between events are
    compared; kinds that the lab does not emit are listed and no difference. The exit code is 1 where a difference has no reason of the
    closed list: environment, other software, recorder's own field.
    """
    from harness.errors import Problem, UsageError
    from harness.events.read import read_events
    from harness.events.views import VIEWS
    from harness.replay import Broken
    from harness.reports.conformance import conformance_json, print_conformance
    from harness.reports.console import make_console
    from harness.reports.replay import counting, print_broken
    from lab.conformance.census import census
    from lab.conformance.compare import compare
    from lab.conformance.reasons import load_reasons
    from lab.conformance.story import lab_events, lab_records

    if not events and write_path is None:
        raise UsageError(Problem(path="", what="there is nothing to compare with", fix="name a recording, or give --write FILE"))
    if write_path is not None:
        write_text(str(write_path), "\n".join(map(VIEWS[form], lab_records())))
    if not events:
        return 0
    broken = Broken()
    with counting(make_console(sys.stderr, os.environ)) as counted:
        read = chain.from_iterable(read_events(path, None if strict else broken) for path in events)
        recorded = census(counted(read))
    console = make_console(sys.stderr if json_path == "-" else sys.stdout, os.environ)
    print_broken(broken.first, broken.count, console)
    if not recorded.events:
        raise UsageError(Problem(path=str(events[0]), what="holds no event to compare with"))
    found = compare(census(lab_events()), recorded, load_reasons(), recordings=[str(path) for path in events], broken=broken.count)
    print_conformance(found, console)
    if json_path is not None:
        write_json(json_path, conformance_json(found))
    return 1 if found.failures else 0


def _where(host: LabTarget) -> str:
    return f"{host.name}: http://{host.host}:{host.port}/wsman as {host.user}, logs as {host.computer} ({host.address})"
