"""Recorded Windows events from files: JSON in whichever shipper's form each document is, XML, EVTX; plain, compressed, in zip or tar.

Forms and archives are told by content, never by a file's name, and everything is streamed: memory does not grow with a recording. This
file must not know what the events are for.
"""

from __future__ import annotations

import bz2
import gzip
import io
import os
import shutil
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeVar, cast

from harness.errors import Problem, UsageError
from harness.events import endpoint, evtx, nxlog, windows_xml, winlogbeat
from harness.events.json_documents import begins, documents
from harness.files import open_to_read
from harness.model.facts import Event

_HARMLESS = 32 * 1024 * 1024
"""Bytes to which anything may unfold."""

_MOST_UNFOLDED = 250
"""Bytes of a recording for one compressed byte, beyond `_HARMLESS`. Event logs compress 10 to 40 times; deflate ends at 1,032."""

_ZIP, _GZIP, _BZIP2, _TAR, _TAR_AT = (b"PK\x03\x04", b"PK\x05\x06"), b"\x1f\x8b", b"BZh", b"ustar", 257
DAMAGED = (OSError, EOFError, RuntimeError, NotImplementedError, ValueError, zipfile.BadZipFile, tarfile.TarError, zlib.error)
"""What reading a stream may raise where it is not what it begins as."""

Broken = Callable[[Problem], None]
"""Is told of each line, record, member or file that cannot be read, and that was left out for it."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a stream of events stands, whether people named it themselves, and who is told of what cannot be read in it."""

    folder: Path
    name: str
    named: bool
    tell: Broken

    def inner(self, member: str) -> Place:
        """The place of an archive's member."""
        return Place(self.folder, f"{self.name}/{member}", False, self.tell)

    def wrong(self, what: str, line: int = 0, fix: str = "") -> None:
        """Tell of something here that cannot be read; `line` is 0 where there is none."""
        self.tell(Problem(path=str(self.folder / self.name), line=line, what=what, fix=fix))


T = TypeVar("T")
Take = Callable[[Place, io.BufferedReader], Iterator[T]]
"""Makes something of a stream of events."""


def read_events(path: Path, broken: Broken | None = None) -> Iterator[Event]:
    """The events of a recording in the order of its lines; blank lines are skipped.

    An event's id is `<file name>:<line>` (for EVTX and XML the number of the record), a member of an archive or a directory being named
    `<archive>/<member>`; directories are read with all below them, hidden files left out. What cannot be read is told to `broken`, with
    path and line, and left out. Without `broken` the first such place raises `UsageError`, as a file that is not there always does.
    """

    def tell(problem: Problem) -> None:
        if broken is None:
            raise UsageError(problem)
        broken(problem)

    return read_streams(path, tell, events_of)


def read_streams(path: Path, tell: Broken, take: Take[T]) -> Iterator[T]:
    """What `take` makes of each stream of events in a recording: a file, or a member of an archive, unpacked. It is asked for streams of
    events alone; all else is told to `tell`, and so is a stream that is damaged, after what `take` made of it so far."""
    if path.is_dir():
        below = (file for file in sorted(path.rglob("*")) if not any(part.startswith(".") for part in file.relative_to(path).parts))
        for file in below:
            if file.is_file():
                yield from _file(path.parent, f"{path.name}/{file.relative_to(path)}", tell, take, named=False)
    else:
        yield from _file(path.parent, path.name, tell, take, named=True)


def events_of(place: Place, stream: io.BufferedReader) -> Iterator[Event]:
    """The events of one stream; what is none is told."""
    if is_evtx(stream):
        return _records(place, stream)
    return of_documents(place, windows_xml.documents(stream) if windows_xml.is_xml(stream) else documents(stream))


def is_evtx(stream: io.BufferedReader) -> bool:
    """Whether the stream is Windows' own form."""
    return stream.peek(len(evtx.MAGIC)).startswith(evtx.MAGIC)


def read_event(document: object, id: str) -> Event:
    """The event of one document in any shipper's form. Raises ValueError where it is in none or lacks what an event has."""
    if isinstance(document, Mapping) and isinstance(document.get("_source"), Mapping):  # as a search of Elasticsearch returns it
        document = document["_source"]
    if not isinstance(document, Mapping):
        raise ValueError("a line must hold one JSON object")
    if endpoint.holds(document):
        return endpoint.read(document, id)
    if "winlog" in document:
        return winlogbeat.read(document, id)
    if "EventID" in document:
        return nxlog.read(document, id)
    if "Event" in document:
        return evtx.read(document, id)
    if (spelt := winlogbeat.spelt_otherwise(document)) is not None:
        return winlogbeat.read(spelt, id)
    raise ValueError("neither winlogbeat's form (winlog), which is Elastic Agent's too, nor NXLog's (EventID), nor that of EVTX (Event)")


# --- what a file is -------------------------------------------------------------------------------------------------------


def _file(folder: Path, name: str, tell: Broken, take: Take[T], *, named: bool) -> Iterator[T]:
    """The streams of a file on disk. Raises `UsageError` where it was named and cannot be opened."""
    try:
        raw = open_to_read(folder / name)
        if stat.S_ISCHR(os.fstat(raw.fileno()).st_mode):  # /dev/zero never ends
            raw.close()
            raise OSError(None, "it is a device")
    except OSError as error:
        problem = Problem(path=str(folder / name), what=f"cannot be read: {error.strerror}")
        if named:
            raise UsageError(problem) from error
        tell(problem)
        return
    with raw:
        try:
            yield from _packed(Place(folder, name, named, tell), raw, take)
        except DAMAGED as error:  # RuntimeError: an encrypted zip; ValueError: what zipfile and tarfile make of absurd numbers
            tell(Problem(path=str(folder / name), what=f"cannot be read: {error or type(error).__name__}"))


def _packed(place: Place, raw: io.BufferedReader, take: Take[T]) -> Iterator[T]:
    head = raw.peek(8)
    if head.startswith(_ZIP):
        with zipfile.ZipFile(raw) as archive:
            yield from _members(place, archive, take)
    elif head.startswith((_GZIP, _BZIP2)):
        with gzip.open(raw) if head.startswith(_GZIP) else bz2.open(raw) as unpacked:
            yield from _tar_or_stream(place, _guarded(unpacked, raw.tell), take)
    else:
        yield from _tar_or_stream(place, raw, take)


def _members(place: Place, archive: zipfile.ZipFile, take: Take[T]) -> Iterator[T]:
    for member in archive.infolist():
        if member.is_dir():
            continue
        inner = place.inner(member.filename)
        try:
            with archive.open(member) as stream:
                yield from _stream(inner, _guarded(cast(io.BufferedIOBase, stream), _always(member.compress_size)), take)
        except DAMAGED as error:
            inner.wrong(f"cannot be read: {error or type(error).__name__}")


def _tar_or_stream(place: Place, stream: io.BufferedReader, take: Take[T]) -> Iterator[T]:
    if stream.peek(512)[_TAR_AT : _TAR_AT + len(_TAR)] != _TAR:
        yield from _stream(place, stream, take)
        return
    with tarfile.open(fileobj=stream, mode="r|") as archive:
        for entry in archive:
            inner = place.inner(entry.name)
            if entry.issparse():
                inner.wrong("is a sparse file, which unfolds to more than there is", fix="pack it plainly")
            elif entry.isreg() and (file := archive.extractfile(entry)) is not None:
                with file:
                    yield from _stream(inner, cast(io.BufferedReader, file), take)
            elif not entry.isdir():
                inner.wrong("is a link, a device or a pipe, of which nothing is read")


def _stream(place: Place, stream: io.BufferedReader, take: Take[T]) -> Iterator[T]:
    if stream.peek(8).startswith((*_ZIP, _GZIP, _BZIP2)):
        place.wrong("is an archive inside an archive", fix="unpack the outer one")
    elif is_evtx(stream) or windows_xml.is_xml(stream) or place.named or begins(stream):
        yield from take(place, stream)
    else:  # a README beside the recordings: said once, not once a line
        place.wrong("holds no events: it is neither EVTX, XML nor JSON")


# --- what it holds --------------------------------------------------------------------------------------------------------


def of_documents(place: Place, found: Iterable[tuple[int, object | ValueError]]) -> Iterator[Event]:
    """The events of a stream's documents, each with its line; what is none is told."""
    yield from nxlog.on_one_clock(_each(place, found))


def _each(place: Place, found: Iterable[tuple[int, object | ValueError]]) -> Iterator[Event]:
    for line, document in found:
        try:
            if isinstance(document, ValueError):
                raise document
            event = read_event(document, f"{place.name}:{line}")
        except (ValueError, OverflowError) as error:
            place.wrong(f"not an event: {error}", line)
            continue
        yield event


def _records(place: Place, stream: io.BufferedReader) -> Iterator[Event]:
    with ExitStack() as opened:
        file: BinaryIO = stream
        if not isinstance(stream.raw, io.FileIO):
            # The parser goes back and forth in the file, which no archive can do: it goes to disk, not to memory.
            file = opened.enter_context(tempfile.TemporaryFile())
            shutil.copyfileobj(stream, file)
        records = evtx.records(file)
        while True:
            try:
                number, document = next(records)
                if isinstance(document, ValueError):
                    raise document
                event = evtx.read(cast(Mapping[str, object], document), f"{place.name}:{number}")
            except StopIteration:
                return
            except ValueError as error:
                place.wrong(f"not an event: {error}")
                continue
            yield event


# --- against what unfolds without end -------------------------------------------------------------------------------------


class _Guard(io.RawIOBase):
    """A stream that ends in an OSError where it has unfolded to far more than event logs do."""

    def __init__(self, inner: io.BufferedIOBase, spent: Callable[[], int]) -> None:
        self._inner = inner
        self._spent = spent
        self._read = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        try:
            data = self._inner.read1(len(buffer))  # what is there, not more: an error must not take good bytes with it
        except gzip.BadGzipFile as error:
            if not self._read or not str(error).startswith("Not a gzipped file"):
                raise
            return 0  # something follows the last gzip member: gzip itself ignores it, and published recordings have it
        self._read += len(data)
        if self._read > _HARMLESS and self._read > _MOST_UNFOLDED * self._spent():
            raise OSError(f"it unfolds to more than {_MOST_UNFOLDED} times its size, as no event log does (a zip bomb?)")
        buffer[: len(data)] = data
        return len(data)


def _always(size: int) -> Callable[[], int]:
    return lambda: size


def _guarded(inner: io.BufferedIOBase, spent: Callable[[], int]) -> io.BufferedReader:
    """`spent` tells the compressed bytes behind what was read so far."""
    return io.BufferedReader(_Guard(inner, spent))
