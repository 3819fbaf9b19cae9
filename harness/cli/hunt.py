"""`harness hunt`: ask recorded events the questions of a hunt book."""

from __future__ import annotations

import json
import os
import sys
from itertools import chain
from pathlib import Path

import click

from harness.cli.options import PATH, write_text


@click.command()
@click.argument("events", nargs=-1, required=True, type=PATH)
@click.option("--book", type=PATH, metavar="FILE", help="A hunt book (Markdown), or a directory of them; else the lab's own.")
@click.option(
    "--engine",
    type=click.Choice(["duckdb", "spark"]),
    default="duckdb",
    show_default=True,
    help="What runs it; Spark is an extra of its own.",
)
@click.option("--strict", is_flag=True, help="Stop at the first line that cannot be read.")
@click.option("--json", "json_path", metavar="FILE", help="Write what was found as JSON instead; - is standard output.")
def hunt(events: tuple[Path, ...], book: Path | None, engine: str, strict: bool, json_path: str | None) -> int:
    """Run the analytics of a hunt book over recorded EVENTS.

    A book is Markdown: each analytic a heading, a description, and Spark SQL in a block of its own or in a call of spark.sql. Nothing in
    it is run but its queries, on a database that can open no file; or with --engine spark as they stand on Spark, for archives beyond one
    machine.
    """
    from harness.events.read import read_events
    from harness.replay import Broken
    from harness.reports.console import make_console
    from harness.reports.hunt import hunt_json, print_finds, print_summary
    from harness.reports.replay import counting, print_broken
    from harness.rules.book import read_books
    from lab.process import RULE_PACK

    books = read_books(book if book is not None else RULE_PACK / "hunts")
    broken = Broken()
    recorded = chain.from_iterable(read_events(path, None if strict else broken) for path in events)
    with counting(make_console(sys.stderr, os.environ)) as counted:
        if engine == "spark":
            from harness.rules.hunt_spark import hunt_on_spark
            from harness.spark import spark_session

            with spark_session() as session:
                count, found = hunt_on_spark(books, counted(recorded), session)
        else:
            from harness.rules.hunt import hunt as hunt_on_duckdb

            count, found = hunt_on_duckdb(books, counted(recorded))
    if json_path is not None:
        write_text(json_path, json.dumps(hunt_json([each.path for each in books], count, found, broken.count, broken.first), indent=2))
        return 0
    console = make_console(sys.stdout, os.environ)
    for each in found:
        print_finds(each, console)
    print_broken(broken.first, broken.count, console)
    print_summary(count, found, console)
    return 0
