"""What several commands share: the settings file's flag and reading it, where `--json` writes to, and keeping a run."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from harness.model.report import Report
    from harness.settings import Settings

PATH = click.Path(path_type=Path)

config_option = click.option("--config", type=PATH, metavar="FILE", help="The settings file; else HARNESS_CONFIG, else ./harness.toml.")

history_option = click.option(
    "--history", "history_path", type=PATH, envvar="HARNESS_HISTORY", metavar="FILE", help="The history's file; else the user's own."
)


def read_settings(config: Path | None, **flags: object) -> Settings:
    """The settings of the file, the environment and the flags given as `section.key`. Raises `UsageError`."""
    from harness.settings import load_settings

    return load_settings(config, os.environ, flags)


def write_text(path: str, text: str) -> None:
    """Write a text and a line's end to a file, or to standard output where the path is "-". Raises `UsageError`."""
    from harness.errors import Problem, UsageError
    from harness.files import write_whole

    if path == "-":
        click.echo(text)
        return
    try:
        write_whole(Path(path), text + "\n")
    except OSError as error:
        raise UsageError(Problem(path=path, what=f"cannot be written: {error.strerror}")) from error


def write_json(path: str, document: Mapping[str, object]) -> None:
    """The same of plain values, as JSON."""
    write_text(path, json.dumps(document, indent=2))


def keep(report: Report, history_path: Path | None) -> None:
    """In the history; a part of a run is kept when it is merged. A place that cannot be written to is no reason for a run to fail."""
    from harness.errors import UsageError
    from harness.history import history_file, opened

    if report.shard is not None:
        return
    try:
        with opened(history_path or history_file(), make=True) as kept:
            kept.append(report)
    except UsageError as error:
        click.echo(f"harness: the run was not kept: {error}", err=True)
