"""Elasticsearch watches as files have them, and the three faults that a generator of old left in them.

A watch is found wherever it stands: JSON alone, the body of a curl call, a page with such a call in it. Nothing is sent and nothing is
evaluated. This module must never know a rule.

Form: https://www.elastic.co/docs/explore-analyze/alerts-cases/watcher/how-watcher-works.
The faults: winlogbeat's time is `@timestamp`; since Elasticsearch 7.0 `hits.total` is an object
(https://www.elastic.co/guide/en/elasticsearch/reference/7.0/breaking-changes-7.0.html); a search of size 0 brings no hits that an
action could show.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.errors import Problem, UsageError
from harness.files import read_bounded

_BYTES = 10 << 20
"""The largest file that is looked through; a page of watches is a hundredth of it."""

_PARTS = frozenset({"trigger", "input", "condition", "actions"})
"""Keys of a watch. A document with `input` and one more of them is taken for one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """A watch, and where its JSON stands in the text: the offset of its first character, and the JSON as written."""

    body: Mapping[str, object]
    text: str
    offset: int


def holds_watches(path: Path) -> bool:
    """Whether a file has a watch in it. Raises `UsageError` where it cannot be read."""
    return next(_watches(_read(path)), None) is not None


def lint_watches(path: Path) -> tuple[Problem, ...]:
    """The faults of every watch in the file, in its order. Raises `UsageError` where it cannot be read."""
    text = _read(path)
    found = []
    for watch in _watches(text):
        for what, fix, pattern in _faults(watch.body):
            place = re.search(pattern, watch.text)
            at = watch.offset + (place.start() if place else 0)
            line, column = text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at)
            found.append(Problem(path=str(path), line=line, column=column, what=what, fix=fix))
    return tuple(sorted(found, key=lambda problem: (problem.line, problem.column)))


def _read(path: Path) -> str:
    try:
        data = read_bounded(path, _BYTES)
    except OSError as error:
        raise UsageError(Problem(path=str(path), what=f"cannot be read: {error.strerror}")) from error
    if len(data) > _BYTES:
        raise UsageError(Problem(path=str(path), what=f"is larger than the {_BYTES} bytes that are read"))
    return data.decode("utf-8-sig", errors="replace")


def _watches(text: str) -> Iterator[Watch]:
    """Every JSON object that begins a line, or the text, or follows a quote of the shell, and is a watch."""
    decoder, end = json.JSONDecoder(), 0
    for brace in re.finditer(r"(?:^|['\"])[ \t]*(\{)", text, re.MULTILINE):
        start = brace.start(1)
        if start < end:
            continue
        try:
            body, end = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            continue
        if "watch" in body and isinstance(body["watch"], dict):  # as the get watch API answers
            body = body["watch"]
        if "input" in body and len(_PARTS & body.keys()) > 1:
            yield Watch(body=body, text=text[start:end], offset=start)


def _faults(watch: Mapping[str, object]) -> Iterator[tuple[str, str, str]]:
    """Each fault: what, how to mend it, and a pattern of where it stands."""
    if any(key == "range" and isinstance(value, Mapping) and "timestamp" in value for key, value in _pairs(watch.get("input"))):
        yield "its range is over the field timestamp, which no winlogbeat event has: the search finds nothing", "@timestamp", r'"timestamp"'
    condition = watch.get("condition")
    if any(key == "ctx.payload.hits.total" and _with_number(value) for key, value in _pairs(condition)):
        what = "it compares hits.total with a number, but since Elasticsearch 7.0 that is an object: the comparison says nothing"
        yield what, "ctx.payload.hits.total.value, or rest_total_hits_as_int in the request", r'"ctx\.payload\.hits\.total"'
    empty = any(key == "size" and value == 0 and not isinstance(value, bool) for key, value in _pairs(watch.get("input")))
    if empty and "ctx.payload.hits.hits" in json.dumps(watch.get("actions")):
        yield (
            "its search has size 0, but its actions show hits: they show none",
            "a size of as many hits as shall be shown",
            r'"size"\s*:\s*0',
        )


def _with_number(comparison: object) -> bool:
    values = comparison.values() if isinstance(comparison, Mapping) else ()
    return any(isinstance(value, int | float) for value in values)


def _pairs(node: object) -> Iterator[tuple[str, object]]:
    """Every key with its value, however deep. Its own stack: JSON may be nested deeper than Python calls may."""
    todo = [node]
    while todo:
        item = todo.pop()
        if isinstance(item, Mapping):
            yield from item.items()
            todo.extend(item.values())
        elif isinstance(item, list):
            todo.extend(item)
