"""A report that is one document, written when all is known: to a file, whole or not at all, or to standard output.

It must never know a format: it is given the function that makes the text.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from harness.errors import Problem, UsageError
from harness.files import write_whole
from harness.model.report import Progress, Report, RunFinished


class DocumentFile:
    """Where a document goes when all is known. Nothing half-written is ever seen under its path."""

    def __init__(self, path: Path | None, stdout: TextIO) -> None:
        """`path` None writes to `stdout`. Raises `UsageError` now where the file could not be written at the end of a long run."""
        if path is not None and (path.is_dir() or not path.absolute().parent.is_dir()):
            what = "is a directory" if path.is_dir() else "cannot be written: its directory does not exist"
            raise UsageError(Problem(path=str(path), what=what))
        self._path = path
        self._stdout = stdout

    def write(self, text: str) -> None:
        """Raises `UsageError` where the file cannot be written."""
        if self._path is None:
            self._stdout.write(text)
            self._stdout.flush()
            return
        try:
            write_whole(self._path, text)
        except OSError as error:
            raise UsageError(Problem(path=str(self._path), what=f"cannot be written: {error.strerror or type(error).__name__}")) from error


class DocumentReporter:
    """Writes what a format makes of the report when the run is over."""

    def __init__(self, made: Callable[[Report], str], file: DocumentFile) -> None:
        self._made = made
        self._file = file

    def see(self, progress: Progress) -> None:
        """Write at `RunFinished`. Raises `UsageError` where the file cannot be written."""
        if isinstance(progress, RunFinished):
            self.write(progress.report)

    def write(self, report: Report) -> None:
        """Write this report. Raises `UsageError` where the file cannot be written."""
        self._file.write(self._made(report))
