"""What several commands share: the settings file's flag and reading it, and where `--json` writes to."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from harness.settings import HistorySettings, Settings

PATH = click.Path(path_type=Path)

config_option = click.option("--config", type=PATH, metavar="FILE", help="The settings file; else HARNESS_CONFIG, else ./harness.toml.")

history_option = click.option(
    "--history",
    "history_path",
    type=PATH,
    envvar="HARNESS_HISTORY",
    metavar="FILE",
    help="The history's file; else that of the settings, else the user's own.",
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


def history_settings(config: Path | None) -> HistorySettings:
    """What the settings say of the history. Raises `UsageError`."""
    from harness.settings import load_history_settings

    return load_history_settings(config, os.environ)


def history_place(history_path: Path | None, config: Path | None) -> Path:
    """The history's file: that of the flag, of the settings, or the user's own. Raises `UsageError`."""
    from harness.history import history_file

    return history_path or history_settings(config).path or history_file()
