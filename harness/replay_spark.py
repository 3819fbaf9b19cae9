"""The replay of recordings whose events Spark's executors look through: for archives that one machine is too slow for.

What is found is what the plain replay finds, because the plain replay reports it. The executors, with the same matcher, each read a shard
and pass on the events that could matter: those that satisfy a rule, are of a kind that a pattern reads, or come nearer than the ones before
to a rule that is to be explained. Those events, few of many, go in the recordings' order through `harness.replay`; so evidence, patterns
(whose events must be in one place and in order) and places that cannot be read are the same, and in the same order.

A shard is a stretch of whole lines, where a line is a document; else a whole file: EVTX, or JSON over several lines. A plain file is
read where it stands. What is packed the driver unpacks, which costs little beside matching, to the directory for temporary files; the
executors leave there what they pass on. On a cluster all must see that directory (TMPDIR) and the recordings under the same paths, and
have the harness installed.

This module must never know a rule language or what becomes of a report.
"""

from __future__ import annotations

import io
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import IO, TYPE_CHECKING

from harness.detect import Detector
from harness.errors import Problem, RuleTooSlow, UsageError
from harness.events.json_documents import by_line, is_by_line
from harness.events.read import DAMAGED, Place, events_of, is_evtx, of_documents, read_event, read_streams
from harness.events.windows_xml import is_xml
from harness.logic.needs import Kind, kinds, reads, rule_kinds
from harness.logic.why import nearest
from harness.model.facts import Event
from harness.model.intent import Rule
from harness.model.replay import Replay
from harness.replay import FOLDED, Broken, fold_line_ends, replay
from harness.spark import first_line

if TYPE_CHECKING:
    from pyspark.core.broadcast import Broadcast
    from pyspark.sql import SparkSession

SHARD = 8 * 1024 * 1024
"""Bytes of lines that a task reads: some thousands of events, a second's work."""

_BLOCK = 1024 * 1024


def replay_on_spark(
    recordings: Sequence[Path],
    rules: Sequence[Rule],
    spark: SparkSession,
    *,
    broken: Broken,
    strict: bool = False,
    not_evaluated: Sequence[Problem] = (),
    fold: bool = False,
    why: Sequence[Rule] = (),
    shard: int = SHARD,
) -> Replay:
    """What `harness.replay.replay` says of these recordings. `strict`: raise `UsageError` at the first place that cannot be read.

    Raises `UsageError` where a recording is not there, and where Spark does not come to an end.
    """

    def tell(problem: Problem) -> None:
        if strict:
            raise UsageError(problem)
        broken(problem)

    with tempfile.TemporaryDirectory(prefix="harness-replay-") as name:
        directory = Path(name)
        parts = tuple(_parts(recordings, directory, shard))
        shards = [part for part in parts if isinstance(part, Shard)]
        counted = _looked_through(shards, _Asked(tuple(rules), tuple(why), fold), spark, directory)
        events = _passed_on(parts, counted, directory, tell)
        result = replay(
            fold_line_ends(events) if fold else events,
            rules,
            recordings=[str(path) for path in recordings],
            broken=broken,
            not_evaluated=not_evaluated,
            normalisations=[FOLDED] if fold else [],
            why=why,
        )
    broken.count += sum(count.more_broken for count in counted)
    return replace(result, events=sum(count.events for count in counted), broken_count=broken.count)


# --- shards ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """A part of a recording: bytes `start` to `end` of a file, where they are lines those after the first `before`; and what they are
    called in reports. `damaged`: the stream could not be read any further. `number` is its place among the shards."""

    number: int
    file: str
    start: int
    end: int
    before: int
    by_line: bool
    damaged: bool
    folder: str
    name: str
    named: bool


def _parts(recordings: Sequence[Path], directory: Path, size: int) -> Iterator[Shard | Problem]:
    """The shards of all recordings, and, between them, what cannot be read at all."""
    told: list[Problem] = []
    number = 0
    for path in recordings:
        for each in read_streams(path, told.append, lambda place, stream: _shards(place, stream, directory, size)):
            yield from told
            told.clear()
            yield replace(each, number=number)
            number += 1
        yield from told
        told.clear()


def _shards(place: Place, stream: io.BufferedReader, directory: Path, size: int) -> Iterator[Shard]:
    lines = not is_evtx(stream) and not is_xml(stream) and is_by_line(stream)
    if isinstance(stream.raw, io.FileIO):
        yield from _cut(place, os.path.abspath(place.folder / place.name), stream, None, lines, size)  # noqa: PTH100 - a name, as it was given
        return
    with tempfile.NamedTemporaryFile(dir=directory, delete=False) as unpacked:
        yield from _cut(place, unpacked.name, stream, unpacked, lines, size)


def _cut(place: Place, file: str, stream: io.BufferedReader, copy: IO[bytes] | None, lines: bool, size: int) -> Iterator[Shard]:
    """The shards of a stream that stands in `file`, or is written there as `copy`. Raises what reading it raises, after its shards."""
    start = at = before = counted = 0
    cut_at = cut_lines = 0  # the last line's end that was seen, and the lines up to there
    failed: Exception | None = None

    def part(end: int, *, damaged: bool) -> Shard:
        return Shard(
            number=0,
            file=file,
            start=start,
            end=end,
            before=before,
            by_line=lines,
            damaged=damaged,
            folder=str(place.folder),
            name=place.name,
            named=place.named,
        )

    while True:
        try:
            block = stream.read1(_BLOCK)
        except DAMAGED as error:
            failed, block = error, b""
        if not block:
            break
        if copy is not None:
            copy.write(block)
            copy.flush()
        if (line_end := block.rfind(b"\n")) >= 0:
            cut_at, cut_lines = at + line_end + 1, counted + block.count(b"\n")
            counted = cut_lines
        at += len(block)
        if lines and cut_at - start >= size:
            yield part(cut_at, damaged=False)
            start, before = cut_at, cut_lines
    if at > start:
        yield part(at, damaged=failed is not None)
    if failed is not None:
        raise failed


# --- on an executor -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class _Asked:
    """What executors need to know: the rules, those to be explained, and whether line ends are folded. Equal to itself alone, because it is
    the same object for all shards that a process looks through."""

    rules: tuple[Rule, ...]
    why: tuple[Rule, ...]
    fold: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """Of a shard: its events, and the places that could not be read beyond those that it names."""

    events: int
    more_broken: int


def _looked_through(shards: Sequence[Shard], asked: _Asked, spark: SparkSession, directory: Path) -> list[Count]:
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException

    if not shards:
        return []
    context = spark.sparkContext
    shared = context.broadcast(asked)
    try:
        return context.parallelize(shards, len(shards)).map(_task(shared, str(directory))).collect()
    except (PySparkException, Py4JError) as error:
        raise UsageError(Problem(path="", what=f"Spark did not come to an end: {first_line(error)}")) from error
    finally:
        shared.unpersist()


def _task(shared: Broadcast[_Asked], directory: str) -> Callable[[Shard], Count]:
    return lambda shard: look_through(shard, shared.value, Path(directory))


def look_through(shard: Shard, asked: _Asked, directory: Path) -> Count:
    """Write what a shard passes on to a file of its own in `directory`: events, and places that cannot be read, in its order."""
    with _result(directory, shard).open("w", encoding="utf-8") as file:
        named = Broken()

        def tell(problem: Problem) -> None:
            before = len(named.first)
            named(problem)
            if len(named.first) > before:  # a report names the first of all shards, which are among the first of each
                file.write(json.dumps({"broken": asdict(problem)}) + "\n")

        interesting = _Interest(asked)
        count = 0
        for event in _events(shard, tell):
            count += 1
            if interesting(event):
                file.write(json.dumps({"id": event.id, "time": event.time.isoformat(), "document": event.raw}) + "\n")
    return Count(events=count, more_broken=named.count - len(named.first))


def _result(directory: Path, shard: Shard) -> Path:
    return directory / f"passed-on-{shard.number}"


def _events(shard: Shard, tell: Callable[[Problem], None]) -> Iterator[Event]:
    place = Place(Path(shard.folder), shard.name, shard.named, tell)
    if not shard.by_line and not shard.damaged:
        with open(shard.file, "rb") as stream:  # noqa: PTH123 - by its name, whatever that is
            yield from events_of(place, stream)
        return
    with _part(shard) as part:
        try:
            yield from of_documents(place, by_line(part, shard.before)) if shard.by_line else events_of(place, part)
        except _CutOffError:
            return  # the driver tells of it


def _part(shard: Shard) -> io.BufferedReader:
    return io.BufferedReader(_Part(shard))


class _CutOffError(OSError):
    """Here the stream could not be read any further."""


class _Part(io.RawIOBase):
    """The bytes of a shard, with the error at their end that they had."""

    def __init__(self, shard: Shard) -> None:
        self._file = open(shard.file, "rb")  # noqa: PTH123, SIM115 - as above; closed with this
        self._file.seek(shard.start)
        self._left = shard.end - shard.start
        self._damaged = shard.damaged

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self._file.read(min(len(buffer), self._left))
        if not data and self._damaged:
            raise _CutOffError
        self._left -= len(data)
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._file.close()
        super().close()


class _Interest:
    """Whether an event could matter to the report: never no where it does."""

    def __init__(self, asked: _Asked) -> None:
        self._rules = asked.rules
        self._detector = _detector(asked)
        self._fold = asked.fold
        self._patterns = [rule_kinds(rule) for rule in asked.rules if rule.pattern is not None]
        self._of_patterns: dict[tuple[str, int], bool] = {}
        self._searches = [_Nearer(rule) for rule in asked.why if rule.pattern is None]

    def __call__(self, event: Event) -> bool:
        if self._fold:
            (event,) = fold_line_ends((event,))
        nearer = [search(event) for search in self._searches]
        return self._of_pattern(event) or any(nearer) or self._matches(event)

    def _matches(self, event: Event) -> bool:
        try:
            return any(True for _ in self._detector.matches(event))
        except RuleTooSlow as error:
            # As in the plain replay the rule is not asked again; the event is passed on, so that it is left out there, and named.
            self._rules = tuple(rule for rule in self._rules if rule.id != error.rule)
            self._detector = Detector(self._rules)
            return True

    def _of_pattern(self, event: Event) -> bool:
        kind = event.channel, event.event_id
        if kind not in self._of_patterns:
            self._of_patterns[kind] = any(reads(wanted, *kind) for wanted in self._patterns)
        return self._of_patterns[kind]


@lru_cache(maxsize=1)
def _detector(asked: _Asked) -> Detector:
    """Compiled once a process, not once a shard. It keeps nothing of the events that it is asked about."""
    return Detector(asked.rules)


class _Nearer:
    """Whether an event is nearer to a rule than all before it, of a shard."""

    def __init__(self, rule: Rule) -> None:
        self._rule = rule
        self._kinds: frozenset[Kind] = kinds(rule.logic)
        self._killed: int | None = None

    def __call__(self, event: Event) -> bool:
        if not reads(self._kinds, event.channel, event.event_id):
            return False
        try:
            found = nearest(self._rule.logic, (event,))
        except RuleTooSlow:
            return True
        killed = len(found.clauses) if found is not None else 0
        if self._killed is not None and killed >= self._killed:
            return False
        self._killed = killed
        return True


# --- back on the driver ---------------------------------------------------------------------------------------------------


def _passed_on(
    parts: Sequence[Shard | Problem], counted: Sequence[Count], directory: Path, tell: Callable[[Problem], None]
) -> Iterator[Event]:
    for part in parts:
        if isinstance(part, Problem):
            tell(part)
            continue
        with _result(directory, part).open(encoding="utf-8") as lines:
            for line in lines:
                passed = json.loads(line)
                if "broken" in passed:
                    tell(Problem(**passed["broken"]))
                else:
                    # Its time is what the recording as a whole tells of it, not the document alone.
                    yield replace(read_event(passed["document"], passed["id"]), time=datetime.fromisoformat(passed["time"]))
