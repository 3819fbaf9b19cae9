"""`harness lab`: the embedded lab as a service of its own."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from ipaddress import ip_address
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli.options import PATH, config_option, read_settings, write_json, write_text

if TYPE_CHECKING:
    from lab.process import LabPlace

_LOOK_EVERY = 0.2

_EXPOSED = (
    "The WinRM endpoints of the lab's hosts listen on {address}: whoever reaches this machine there reaches them. Who has\n"
    "the password gets a session on an emulated Windows host, whose answers are made up: nothing that is sent to it is run\n"
    "on this machine. To everybody else it looks like Windows machines with WinRM open. Control and events stay on loopback,\n"
    "for you alone."
)


@click.group()
def lab() -> None:
    """The embedded lab as a service of its own, for several runs and for other WinRM clients."""


@lab.command()
@config_option
@click.option("--hosts", metavar="N|NAMES", help="So many hosts, or their names with commas between; else lab.hosts, else ws1,ws2.")
@click.option("--listen", metavar="ADDRESS", help="Where the endpoints listen; else loopback, which nobody else reaches.")
@click.option("--allow-network", is_flag=True, help="Yes, other machines may reach the lab (with --listen).")
def up(config: Path | None, hosts: str | None, listen: str | None, allow_network: bool) -> int:
    """Start the lab and leave it running; runs with --lab then use it.

    It listens on loopback alone unless it is told otherwise. Its password is made anew each time, and written where only you can read it.
    """
    from harness.assemble import lab_config
    from lab.process import LOOPBACK, Gone, StartingLab, clear, log_file, look, remember, state_file

    settings = read_settings(config, **{"lab.hosts": tuple(hosts.split(",")) if hosts is not None else None})
    address = _vetted(listen, allow_network) if listen is not None else LOOPBACK
    state = state_file(settings.lab.state_file)
    found = look(state)
    if isinstance(found, Gone):
        click.echo(_left_behind(found.place), err=True)
        clear(found, state)
    elif found is not None:
        click.echo(f"the lab is up already, since {found.started}: {len(found.targets)} hosts, process {found.pid}")
        click.echo("harness lab status tells where; harness lab down ends it")
        return 0
    starting = StartingLab(lab_config(settings, note=state, listen=address), log_file(state))
    try:
        place = replace(starting.ready(), log=str(log_file(state)))
        remember(place, state)
    except BaseException:
        starting.stop()
        raise
    starting.leave()
    if not ip_address(address).is_loopback:
        click.echo(_EXPOSED.format(address=address), err=True)
    _show(place, state, with_password=False)
    return 0


def _vetted(listen: str, allow_network: bool) -> str:
    """An address to listen on. Raises `UsageError` for none, and for one that others reach where nobody said that they may."""
    from harness.errors import Problem, UsageError

    try:
        address = ip_address(listen.strip("[]"))
    except ValueError:
        raise UsageError(
            Problem(path="--listen", what=f"{listen!r} is no address", fix="0.0.0.0 is every one that this machine has")
        ) from None
    if not address.is_loopback and not allow_network:
        what = f"other machines could reach the lab at {address}, and log on to its hosts with the lab's password"
        raise UsageError(Problem(path="--listen", what=what, fix="say --allow-network as well if they may"))
    return str(address)


@lab.command()
@config_option
@click.option("--json", "json_path", metavar="FILE", help="Write it as JSON; - is standard output.")
@click.option("--show-password", is_flag=True, help="Show the password, too.")
def status(config: Path | None, json_path: str | None, show_password: bool) -> int:
    """Say whether the lab is up, where, and what each of its hosts has counted."""
    from lab.process import Gone, ask, clear, look, state_file

    state = state_file(read_settings(config).lab.state_file)
    place = look(state)
    if isinstance(place, Gone):
        click.echo(_left_behind(place.place), err=True)
        clear(place, state)
        place = None
    if place is None:
        if json_path is not None:
            write_text(json_path, json.dumps({"up": False}, indent=2))
        click.echo("the lab is down; harness lab up starts it", err=True)
        return 3
    counts = ask(place, "status")
    if json_path is not None:
        hosts = [
            {
                "name": host.name,
                "host": host.host,
                "port": host.port,
                "tls": host.tls,
                "auth": host.auth,
                "user": host.user,
                "computer": host.computer,
                "address": host.address,
                "counts": counts[host.name],
            }
            for host in place.targets
        ]
        found: dict[str, object] = {
            "up": True,
            "pid": place.pid,
            "started": place.started,
            "memory": counts["memory"],
            "siem": place.siem,
            "log": place.log,
            "state": str(state),
            "hosts": hosts,
            "shipping": counts["shipping"],
            "ca_file": place.ca_file,
            "certificate": place.certificate,
            "certificate_key": place.certificate_key,
        }
        write_text(json_path, json.dumps(found | ({"password": place.password} if show_password else {}), indent=2))
        return 0
    _show(place, state, with_password=show_password)
    memory = counts["memory"]
    assert isinstance(memory, int)
    click.echo(f"up since: {place.started}, process {place.pid}, {memory / 2**20:.0f} MiB of memory")
    for host in place.targets:
        counted = counts[host.name]
        assert isinstance(counted, dict)
        said = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in counted.items() if isinstance(value, int))
        click.echo(f"{host.name}: {said}")
    shipping = counts["shipping"]
    assert isinstance(shipping, dict)
    for where, shipped in shipping.items():
        trouble = f"; {shipped['trouble']}" if shipped["trouble"] else ""
        click.echo(f"shipped to {where}: {shipped['sent']} events, {shipped['refused']} refused{trouble}")
    return 0


@lab.command()
@config_option
def down(config: Path | None) -> int:
    """Stop the lab that is up, and wait until it is gone."""
    from lab.process import Gone, end, state_file

    found = end(state_file(read_settings(config).lab.state_file))
    if isinstance(found, Gone):
        click.echo(_left_behind(found.place))
    else:
        click.echo("the lab is down" if found is not None else "there is no lab: it is down")
    return 0


@lab.command()
@config_option
@click.option("--follow", "-f", is_flag=True, help="Go on with what is to come, until Ctrl-C or the lab's end.")
def logs(config: Path | None, follow: bool) -> int:
    """Show the log of the lab that is up, or of the last one that was."""
    from time import sleep

    from harness.errors import Problem, UsageError
    from lab.process import log_file, look, state_file

    state = state_file(read_settings(config).lab.state_file)
    path = log_file(state)
    try:
        log = path.open(encoding="utf-8", errors="replace")
    except OSError as error:
        raise UsageError(Problem(path=str(path), what=f"there is no log: {error.strerror}", fix="harness lab up starts one")) from error
    with log, _watching():
        while True:
            for line in log:
                click.echo(line, nl=False)
            if not follow or _reader_is_gone() or look(state) is None:
                return 0
            sleep(_LOOK_EVERY)
    return 0


@lab.command()
@config_option
@click.option("--follow", "-f", is_flag=True, help="Go on with what is to come, until Ctrl-C or the lab's end.")
@click.option("--host", "hosts", multiple=True, metavar="NAME", help="Of this host alone: lab-ws1, ws1 or WS1.lab.example.")
@click.option("--id", "ids", multiple=True, metavar="IDS", help="These event ids alone, with commas between: 4688,4624.")
@click.option("--channel", "channels", multiple=True, metavar="TEXT", help="Of channels whose name has this in it: sysmon, security.")
@click.option("--since", metavar="WHEN", help="Not older than this: 30s, 5m, 2h, or a time (2027-03-31T12:00:00Z).")
@click.option("--last", "-n", type=click.IntRange(min=0), metavar="N", help="Of what there is already, the last so many.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["short", "jsonl", "nxlog", "xml"]),
    default="short",
    show_default=True,
    help="A line for people; winlogbeat's or NXLog's document a line; Windows' own XML, an event a line.",
)
def events(
    config: Path | None,
    follow: bool,
    hosts: tuple[str, ...],
    ids: tuple[str, ...],
    channels: tuple[str, ...],
    since: str | None,
    last: int | None,
    form: str,
) -> int:
    """Show the telemetry of the lab that is up: an event a line, as it happens, in the order in which it happens.

    Every record is there that a host's logs got, also of hosts whose agent stands still. The newest 10,000 are kept.
    """
    from time import sleep

    from harness.errors import LabError
    from harness.reports.lab_events import short_line
    from lab.process import ask, find, state_file

    place = find(state_file(read_settings(config).lab.state_file))
    if place is None:
        click.echo("the lab is down; harness lab up starts it", err=True)
        return 3
    question: dict[str, object] = {
        "form": "jsonl" if form == "short" else form,
        "hosts": [_host(name, place) for name in hosts],
        "ids": _numbers(ids),
        "channels": list(channels),
        "since": _moment(since).isoformat() if since is not None else "",
    }
    after, held, caught_up = 0, list[str](), False
    with _watching():
        while True:
            try:
                answer = ask(place, "events", of=question | {"after": after})
            except LabError:
                if caught_up:
                    click.echo("the lab has ended", err=True)
                    return 0
                raise
            found, number = answer["events"], answer["after"]
            assert isinstance(found, list)
            assert isinstance(number, int)
            if answer["lost"]:
                click.echo(f"{answer['lost']} older events are not kept any more", err=True)
            after = number
            lines = [short_line(json.loads(one)) for one in found] if form == "short" else found
            if caught_up or last is None:
                _tell(lines)
            else:
                held = (held + lines)[-last:] if last else []
            if answer["more"]:
                continue
            if not caught_up:
                _tell(held)
                caught_up = True
            if not follow or _reader_is_gone():
                return 0
            sleep(_LOOK_EVERY)
    return 0


@lab.command()
@click.argument("events", nargs=-1, type=PATH)
@click.option("--strict", is_flag=True, help="Stop at the first line that cannot be read.")
@click.option("--write", "write_path", type=PATH, metavar="FILE", help="Write the lab's own events that are compared; alone, do only that.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["jsonl", "nxlog", "xml"]),
    default="jsonl",
    show_default=True,
    help="For --write: winlogbeat's or NXLog's document a line; Windows' own XML, an event a line.",
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


def _reader_is_gone() -> bool:
    """Whether nobody reads our output any more: while nothing happens, no write would tell."""
    import select

    if not hasattr(select, "poll"):
        return False  # Windows: the next write tells
    reader = select.poll()
    reader.register(sys.stdout.fileno(), 0)
    return bool(reader.poll(0))


def _tell(lines: list[str]) -> None:
    for line in lines:
        sys.stdout.write(line + "\n")
    sys.stdout.flush()


@contextmanager
def _watching() -> Iterator[None]:
    """Whoever watches may have seen enough: Ctrl-C, and a reader of our output that goes away, are an end like any other."""
    try:
        yield
    except KeyboardInterrupt:
        pass
    except BrokenPipeError:
        # What is still buffered would be written at the process's end, to nobody.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _host(name: str, place: LabPlace) -> str:
    """A computer's short name for what a user calls the host. Raises `UsageError`."""
    from harness.errors import Problem, UsageError
    from harness.fields import nearest

    for target in place.targets:
        short = target.computer.partition(".")[0]
        if name.lower() in (target.name.lower(), target.computer.lower(), short.lower()):
            return short.lower()
    known = [target.name for target in place.targets]
    raise UsageError(Problem(path="--host", what=f"the lab has no host {name!r}", fix=nearest(name, known) or f"known: {', '.join(known)}"))


def _numbers(given: tuple[str, ...]) -> list[int]:
    """Event ids. Raises `UsageError`."""
    from harness.errors import Problem, UsageError

    found = [part.strip() for text in given for part in text.split(",")]
    for part in found:
        if not (part.isascii() and part.isdecimal() and len(part) <= 5):
            raise UsageError(Problem(path="--id", what=f"{part!r} is no event id", fix="write it as 4688, or 4688,4624"))
    return [int(part) for part in found]


def _moment(text: str) -> datetime:
    """A time, or so long ago. Raises `UsageError`."""
    from harness.clock import SystemClock
    from harness.errors import Problem, UsageError
    from harness.fields import parse_duration

    try:
        return SystemClock().now() - parse_duration(text)
    except ValueError:
        pass
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(Problem(path="--since", what=f"{text!r} is no time", fix="5m, or 2027-03-31T12:00:00Z")) from None
    return found if found.tzinfo is not None else found.astimezone()


def _left_behind(place: LabPlace) -> str:
    return (
        f"the lab that was up since {place.started} (process {place.pid}) is gone without having been ended: it was killed, or the machine "
        "went down. What it left is removed."
    )


def _show(place: LabPlace, state: Path, *, with_password: bool) -> None:
    """Where everything is, as a table."""
    rows = [("host", "endpoint", "computer", "address in its logs")]
    for host in place.targets:
        name = f"[{host.host}]" if ":" in host.host else host.host
        scheme = "https" if host.tls else "http"
        rows.append((host.name, f"{scheme}://{name}:{host.port}/wsman", host.computer, host.address))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    for row in rows:
        click.echo("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())
    click.echo(f"user: {place.targets[0].user}")
    click.echo(f"password: {place.password if with_password else f'in {state}, which only you can read'}")
    if place.ca_file:
        click.echo(f"trust: {place.ca_file} (its authority); as {place.targets[0].user}: {place.certificate}, {place.certificate_key}")
    click.echo(f"SIEM: {place.siem}")
    click.echo(f"log: {place.log}")
