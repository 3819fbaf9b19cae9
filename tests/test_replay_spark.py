"""Replay on Spark: whatever the recording and the rules, it says what the plain replay says."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.assemble import replay_rules
from harness.errors import UsageError
from harness.events.read import read_events
from harness.model.intent import Rule
from harness.model.replay import Replay
from harness.model.tree import And, JoinKey, Op, Pattern, PatternKind, Stage, Test
from harness.replay import FOLDED, Broken, fold_line_ends, replay
from harness.replay_spark import replay_on_spark
from tests.needs import DATA, needs_recordings, needs_spark
from tests.test_replay import is_, rule

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = needs_spark


def line(number: int, **fields: str) -> bytes:
    """An event as NXLog has it, a second after the one before."""
    own = {"EventID": 1, "Channel": "Security", "Hostname": "ws1", "SourceName": "x", "a": str(number % 7)}
    return json.dumps(own | {"@timestamp": f"2026-01-01T00:{number // 60:02}:{number % 60:02}Z"} | fields).encode() + b"\n"


RULES = [
    rule("five", is_("a", "5")),
    rule("never", is_("a", "9"), is_("eventid", "1")),
    rule("blank", is_("b", "x y")),
    rule("slow", Test(field="c", op=Op.REGEX, value="^(x|xx)+$")),
]


def plainly(paths: list[Path], rules: list[Rule], *, fold: bool, why: list[Rule]) -> Replay:
    broken = Broken()
    events = (event for path in paths for event in read_events(path, broken))
    read = fold_line_ends(events) if fold else events
    return replay(read, rules, recordings=[str(path) for path in paths], broken=broken, normalisations=[FOLDED] * fold, why=why)


def same(spark: SparkSession, paths: list[Path], rules: list[Rule], *, fold: bool = False, why: tuple[Rule, ...] = ()) -> Replay:
    """Both replays, the one on Spark in shards of some ten lines, must say the same; which is returned."""
    expected = plainly(paths, rules, fold=fold, why=list(why))
    assert replay_on_spark(paths, rules, spark, broken=Broken(), fold=fold, why=why, shard=1500) == expected
    return expected


LINES = b"".join(line(number, b="x\r\ny" if number == 50 else "z") for number in range(100))
BROKEN = LINES[:5000] + b"\nbroken\n\n" + LINES[5000:] + b'{"EventID": 1}\n' + b"[1]\n" * 150


def _zipped(*members: tuple[str, bytes]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return made.getvalue()


def _tarred(*members: tuple[str, bytes]) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        for name, data in members:
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return made.getvalue()


DOCUMENTS = b"[" + b",\n".join(LINES.strip().split(b"\n")) + b", 7]"
RECORDINGS: dict[str, Callable[[], bytes]] = {
    "lines": lambda: LINES,
    "no last line end": lambda: LINES.strip(),
    "nothing": lambda: b"",
    "broken lines": lambda: BROKEN,
    "an array": lambda: DOCUMENTS,
    "gzip": lambda: gzip.compress(BROKEN),
    "gzip that is cut off": lambda: gzip.compress(BROKEN)[:-200],
    "zip": lambda: _zipped(("a.json", BROKEN), ("README.md", b"Read me"), ("b.json", LINES), ("c.json", DOCUMENTS)),
    "zip that is damaged": lambda: _zipped(("a.json", LINES), ("b.json", LINES)).replace(b"PK\x01\x02", b"PK\x01\x03", 1),
    "tar": lambda: _tarred(("a.json", LINES), ("b.evtx", b"ElfFile\x00" + b"\x00" * 100), ("c.json", BROKEN), ("d.zip", _zipped())),
    "evtx that is none": lambda: b"ElfFile\x00",
    "not an event": lambda: b"Read me\n" * 3,
}


def test_every_kind_of_recording(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "all" / "deeper").mkdir(parents=True)
    for name, made in RECORDINGS.items():
        (tmp_path / name).write_bytes(made())
        (tmp_path / "all" / "deeper" / name).write_bytes(made())
    found = same(spark, [*(tmp_path / name for name in RECORDINGS), tmp_path / "all"], RULES, why=(RULES[0], RULES[1], RULES[3]))
    assert found.events > 1000
    assert found.broken_count > 150


def test_line_ends_are_folded_there_too(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(LINES)
    found = same(spark, [tmp_path / "a.json"], RULES, fold=True)
    assert [hit.rule.id for hit in found.hits] == ["five", "blank"]


def test_a_rule_that_is_too_slow_is_left_out_from_the_same_event_on(spark: SparkSession, tmp_path: Path) -> None:
    slow = LINES + line(8, c="x") + line(9, c="x" * 200 + "!") + line(10, c="x") + LINES + line(11, c="x")
    (tmp_path / "a.json").write_bytes(slow)
    found = same(spark, [tmp_path / "a.json"], RULES)
    assert [left.path for left in found.not_evaluated] == ["slow.yml"]
    assert "a.json:102" in found.not_evaluated[0].what


def test_patterns_find_their_events_across_shards(spark: SparkSession, tmp_path: Path) -> None:
    stages = tuple(Stage(condition=And(items=(is_("eventid", "1"), is_("b", value))), keys=(JoinKey(name="a"),)) for value in "pq")
    sequence = rule("sequence", is_("eventid", "1"))
    sequence = Rule(
        **{name: getattr(sequence, name) for name in ("id", "title", "source", "language", "severity", "techniques", "definition")},
        logic=is_("eventid", "1"),
        pattern=Pattern(kind=PatternKind.SEQUENCE, stages=stages),
    )
    (tmp_path / "a.json").write_bytes(line(3, b="p") + LINES + line(101, b="q", a="3"))
    same(spark, [tmp_path / "a.json"], [sequence, *RULES], why=(sequence,))


def test_strict_stops_at_the_first_place(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(BROKEN)
    with pytest.raises(UsageError) as expected:
        list(read_events(tmp_path / "a.json"))
    with pytest.raises(UsageError) as caught:
        replay_on_spark([tmp_path / "a.json"], RULES, spark, broken=Broken(), strict=True, shard=1500)
    assert str(caught.value) == str(expected.value)


def test_a_recording_that_is_not_there(spark: SparkSession, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        replay_on_spark([tmp_path / "absent.json"], RULES, spark, broken=Broken())


@needs_recordings
def test_published_recordings(spark: SparkSession) -> None:
    """As data/README.md has them, the rule whose line end must be folded among them."""
    paths = [
        DATA / "otrf" / f"{name}" for name in ("empire_psremoting_stager.zip", "covenant_psremoting_command.zip", "schtask_create.zip")
    ]
    rules = list(replay_rules([]).rules)
    never = next(each for each in rules if each.id.startswith("96b9f619"))
    broken = Broken()
    expected = plainly(paths, rules, fold=False, why=[never])
    found = replay_on_spark(paths, rules, spark, broken=broken, why=[never], shard=1 << 20)
    assert found == expected
    assert {hit.rule.id[:8]: hit.count for hit in found.hits}["13acf386"] == 6
