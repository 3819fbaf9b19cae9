"""Recorded Windows events from files: JSON lines, plain, in a zip or in a tar archive, in whichever shipper's form each line is.

Forms and archives are told by content, never by a file's name, and lines are streamed. This file must not know what the events are for.
"""

from __future__ import annotations

import json
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from harness.errors import Problem, UsageError
from harness.events import nxlog, winlogbeat
from harness.model.facts import Event


def read_events(path: Path) -> Iterator[Event]:
    """The events of a recording in the order of its lines; blank lines are skipped.

    An event's id is `<file name>:<line>`, a member of an archive being named `<archive>/<member>`. Raises UsageError with path and line
    at the first line that cannot be read, and where the file or archive itself cannot.
    """
    try:
        for name, lines in _files(path):
            yield from _events(path.parent, name, lines)
    except (OSError, EOFError, RuntimeError, zipfile.BadZipFile, tarfile.TarError, zlib.error) as error:  # RuntimeError: an encrypted zip
        raise UsageError(Problem(path=str(path), what=f"cannot be read: {error}")) from error


def _files(path: Path) -> Iterator[tuple[str, Iterable[bytes]]]:
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                if not member.is_dir():
                    with archive.open(member) as lines:
                        yield f"{path.name}/{member.filename}", lines
    elif tarfile.is_tarfile(path):
        with tarfile.open(path) as archive:
            for entry in archive:
                if (file := archive.extractfile(entry)) is not None:
                    with file:
                        yield f"{path.name}/{entry.name}", file
    else:
        with path.open("rb") as lines:
            yield path.name, lines


def _events(folder: Path, name: str, lines: Iterable[bytes]) -> Iterator[Event]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            yield read_event(json.loads(line), f"{name}:{number}")
        except (ValueError, RecursionError) as error:
            what = f"not an event: {error}"
            raise UsageError(Problem(path=str(folder / name), line=number, what=what)) from error


def read_event(document: object, id: str) -> Event:
    """The event of one document in either shipper's form. Raises ValueError where it is in neither or lacks what an event has."""
    if not isinstance(document, Mapping):
        raise ValueError("a line must hold one JSON object")
    if "winlog" in document:
        return winlogbeat.read(document, id)
    if "EventID" in document:
        return nxlog.read(document, id)
    raise ValueError("neither winlogbeat's form (winlog) nor NXLog's (EventID)")
