"""The three faults of old watches, wherever a watch stands; and that a sound one has none."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from harness.errors import UsageError
from harness.rules.watcher import holds_watches, lint_watches
from tests.needs import DATA, needs_recordings

SOUND: dict[str, Any] = {
    "trigger": {"schedule": {"interval": "30m"}},
    "input": {"search": {"request": {"body": {"size": 10, "query": {"bool": {"filter": {"range": {"@timestamp": {"gte": "now-30m"}}}}}}}}},
    "condition": {"compare": {"ctx.payload.hits.total.value": {"gt": 0}}},
    "actions": {"log": {"logging": {"text": "{{#ctx.payload.hits.hits}}{{_source}}{{/ctx.payload.hits.hits}}"}}},
}


def broken(*faults: str) -> dict[str, Any]:
    watch = copy.deepcopy(SOUND)
    body = watch["input"]["search"]["request"]["body"]
    if "time" in faults:
        body["query"]["bool"]["filter"]["range"] = {"timestamp": {"gte": "now-30m"}}
    if "total" in faults:
        watch["condition"] = {"compare": {"ctx.payload.hits.total": {"not_eq": 0}}}
    if "size" in faults:
        body["size"] = 0
    return watch


def found(tmp_path: Path, text: str) -> list[tuple[int, str]]:
    path = tmp_path / "watch"
    path.write_text(text)
    return [(problem.line, problem.what) for problem in lint_watches(path)]


@pytest.mark.parametrize(("fault", "word"), [("time", "timestamp"), ("total", "hits.total"), ("size", "size 0")])
def test_each_fault_by_itself(tmp_path: Path, fault: str, word: str) -> None:
    text = json.dumps(broken(fault), indent=2)
    ((line, what),) = found(tmp_path, text)
    assert word in what
    assert {"time": '"timestamp"', "total": "hits.total", "size": '"size": 0'}[fault] in text.splitlines()[line - 1]


def test_a_sound_watch_has_none(tmp_path: Path) -> None:
    assert found(tmp_path, json.dumps(SOUND)) == []
    counting = broken("size")
    counting["actions"] = {"log": {"logging": {"text": "{{ctx.payload.hits.total.value}}"}}}
    assert found(tmp_path, json.dumps(counting)) == []


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("curl -XPUT localhost:9200/_watcher/watch/x --data-binary @- <<EOF\n", "\nEOF\n"),
        ("curl -XPUT localhost:9200/_watcher/watch/x -d '", "'\n"),
        ("A page.\n\n```\nPUT _watcher/watch/x\n", '\n```\n\n{not json}\n{"a": 1}\n'),
        ('{"found": true, "_id": "x", "watch": ', "}"),
    ],
)
def test_a_watch_is_found_wherever_it_stands(tmp_path: Path, before: str, after: str) -> None:
    assert len(found(tmp_path, before + json.dumps(broken("time", "total", "size"), indent=1) + after)) == 3


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"input": 1}', "{" * 100_000, '{"a":' * 100_000, "title: a rule\n"])
def test_what_is_no_watch(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x"
    path.write_text(text)
    assert not holds_watches(path)
    assert lint_watches(path) == ()


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        lint_watches(tmp_path / "absent")


@needs_recordings
def test_the_watch_of_seed_001() -> None:
    (seed,) = (DATA.parent / "seeds").glob("001*")
    lines = seed.read_text().splitlines()
    faults = lint_watches(seed)
    assert ["size" in lines[each.line - 1] for each in faults] == [True, False, False]
    assert [lines[each.line - 1].strip() for each in faults] == ['"size": 0,', '"timestamp": {', '"ctx.payload.hits.total": {']
