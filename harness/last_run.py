"""The last run's report, kept in the user's own state directory, so that a rule's page can show what came of its scenarios.

One report, of whatever ran last: no history. It must never know what a report says.
"""

from __future__ import annotations

from pathlib import Path

import platformdirs

from harness.errors import Problem, UsageError
from harness.files import read_bounded, write_whole
from harness.model.report import Report
from harness.reports.json import dump_report, load_report

_MAX_BYTES = 64 * 1024 * 1024
"""Of a report that is read: a hundred times what the starter scenarios leave on two hosts."""


def last_run_file() -> Path:
    """Where it is kept."""
    return platformdirs.user_state_path("purple-harness") / "last-run.json"


def keep(report: Report) -> None:
    """Keep this report in place of the one before, for its owner only: it holds what targets printed. Raises OSError."""
    path = last_run_file()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_whole(path, dump_report(report), mode=0o600)


def recall() -> Report | None:
    """The report that was kept; None where there is none. Raises `UsageError` where it cannot be read."""
    path = last_run_file()
    return read_report(path) if path.exists() else None


def read_report(path: Path) -> Report:
    """A report as `--json` wrote it. Raises `UsageError` where it cannot be read or is none."""
    try:
        raw = read_bounded(path, _MAX_BYTES)
        if len(raw) > _MAX_BYTES:
            raise UsageError(Problem(path=str(path), what=f"is bigger than {_MAX_BYTES // 1024 // 1024} MB"))
        return load_report(raw.decode(), str(path))
    except OSError as error:
        raise UsageError(Problem(path=str(path), what=f"cannot be read: {error.strerror or type(error).__name__}")) from error
    except UnicodeDecodeError as error:
        raise UsageError(Problem(path=str(path), what="is not UTF-8 text")) from error
