"""`harness replay`: recorded events instead of a lab."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli.options import PATH

if TYPE_CHECKING:
    from harness.model.facts import Event


@click.command()
@click.argument("events", nargs=-1, required=True, type=PATH)
@click.option("--rules", multiple=True, type=PATH, metavar="PATH", help="A rule file, a directory or a zip of them; else the lab's pack.")
@click.option(
    "--why",
    multiple=True,
    metavar="RULE",
    help="Explain this rule (its id, how it begins, or its title): the nearest event, and what killed it.",
)
@click.option("--strict", is_flag=True, help="Stop at the first line that cannot be read.")
@click.option("--fold-line-ends", is_flag=True, help="Read every line end in an event's values as one blank. The report says so.")
@click.option(
    "--engine", type=click.Choice(["plain", "spark"]), default="plain", show_default=True, help="What looks through it; Spark is an extra."
)
@click.option("--json", "json_path", metavar="FILE", help="Write the report as JSON; - is standard output.")
def replay(
    events: tuple[Path, ...],
    rules: tuple[Path, ...],
    why: tuple[str, ...],
    strict: bool,
    fold_line_ends: bool,
    engine: str,
    json_path: str | None,
) -> int:
    """Say which rules match recorded events, with the evidence.

    EVENTS are files or directories: JSON as winlogbeat, Elastic Agent, NXLog or evtx_dump write it, XML of
    Windows' own, or EVTX; plain, or in a gzip, a zip or a tar.
    With --engine spark the executors of Apache Spark look through them; what is found is the same.
    """
    from harness.assemble import replay_rules
    from harness.events.read import read_events
    from harness.replay import FOLDED, Broken
    from harness.replay import fold_line_ends as folded
    from harness.replay import replay as run_replay
    from harness.reports.console import make_console
    from harness.reports.document import DocumentFile
    from harness.reports.json import dump_replay
    from harness.reports.replay import counting, print_replay
    from harness.rules.catalog import find

    to_stdout = json_path == "-"
    file = DocumentFile(None if to_stdout else Path(json_path), sys.stdout) if json_path is not None else None
    catalog = replay_rules(rules)
    gc.freeze()  # the rules stay to the end: thousands of trees need not be looked through for garbage again and again
    explained = [find(catalog, name) for name in why]
    if engine == "spark":
        from harness.replay_spark import replay_on_spark
        from harness.spark import spark_session

        with spark_session() as session:
            result = replay_on_spark(
                events,
                catalog.rules,
                session,
                broken=Broken(),
                strict=strict,
                not_evaluated=catalog.refused,
                fold=fold_line_ends,
                why=explained,
            )
    else:
        broken = Broken()
        read: Iterator[Event] = chain.from_iterable(read_events(path, None if strict else broken) for path in events)
        with counting(make_console(sys.stderr, os.environ)) as counted:
            result = run_replay(
                counted(folded(read) if fold_line_ends else read),
                catalog.rules,
                recordings=[str(path) for path in events],
                broken=broken,
                not_evaluated=catalog.refused,
                normalisations=[FOLDED] if fold_line_ends else [],
                why=explained,
            )
    if file is not None:
        file.write(dump_replay(result))
    print_replay(result, make_console(sys.stderr if to_stdout else sys.stdout, os.environ))
    return 0
