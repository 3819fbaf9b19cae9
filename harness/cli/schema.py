"""`harness schema`: the JSON schemas of what people write and of what the harness writes."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import click


@click.command()
@click.argument("document", type=click.Choice(["scenario", "settings", "report", "replay"]), default="scenario")
def schema(document: str) -> int:
    """Print the JSON schema of scenario files, of harness.toml or of a JSON report."""
    from harness.reports.json import replay_schema, report_schema
    from harness.scenarios import scenario_schema
    from harness.settings import settings_schema

    made: Mapping[str, Callable[[], dict[str, Any]]] = {
        "scenario": scenario_schema,
        "settings": settings_schema,
        "report": report_schema,
        "replay": replay_schema,
    }
    click.echo(json.dumps(made[document](), indent=2))
    return 0
