"""`harness lab`: the embedded lab as a service of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli.options import config_option, read_settings, write_text

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


def _where(host: LabTarget) -> str:
    return f"{host.name}: http://{host.host}:{host.port}/wsman as {host.user}, logs as {host.computer} ({host.address})"
