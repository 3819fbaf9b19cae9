"""`harness doctor`: is everything there that a run depends on?"""

from __future__ import annotations

import os
import sys
from typing import Any

import click

from harness.cli.options import write_json
from harness.cli.run import interruptible, request_of, where_options


@click.command()
@where_options
@click.option("--json", "json_path", metavar="FILE", help="Write the findings as JSON; - is standard output.")
def doctor(json_path: str | None, **asked: Any) -> int:
    """Look at the SIEM, its rules and the targets, and say in a line each how they are; ends with 1 where something is broken.

    Each target is logged in to for a session in which nothing is run. Without --target all targets of harness.toml are looked at.
    """
    from harness.assemble import examined
    from harness.reports.console import make_console
    from harness.reports.doctor import findings_json, is_healthy, print_finding

    request = request_of(asked)
    console = make_console(sys.stderr if json_path == "-" else sys.stdout, os.environ)
    found = []
    with interruptible() as cancel, examined(request) as patient:
        for finding in patient.examine(cancel):
            print_finding(finding, console)
            found.append(finding)
    if json_path is not None:
        write_json(json_path, findings_json(found))
    if cancel.is_set():
        return 130
    return 0 if is_healthy(found) else 1
