"""Text that people type (YAML, TOML) as plain values with the place of each: so that every error can name path, line and column.

YAML is read as data in the sense of YAML 1.2's core schema: `no` is text, there are no tags and no dates. The size, depth and
expansion of a document are bounded before anything is built of it. This module must never know what a document is about.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from harness.errors import Problem, UsageError
from harness.files import read_bounded

MAX_BYTES = 10 * 1024 * 1024
MAX_DEPTH = 32
MAX_NODES = 50_000

Loc = tuple[str | int, ...]

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_NULL = re.compile(r"|~|null|Null|NULL")
_TRUE = re.compile(r"true|True|TRUE")
_FALSE = re.compile(r"false|False|FALSE")
_DECIMAL = re.compile(r"[-+]?[0-9]{1,4000}")
_HEXADECIMAL = re.compile(r"0x[0-9a-fA-F]{1,4000}")
_OCTAL = re.compile(r"0o[0-7]{1,4000}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_STR_TAG = "tag:yaml.org,2002:str"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a value was written. Line and column count from 1; 0 is unknown."""

    path: str
    line: int = 0
    column: int = 0

    def problem(self, what: str, fix: str = "") -> Problem:
        """A problem at this place."""
        return Problem(path=self.path, line=self.line, column=self.column, what=what, fix=fix)


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A document's plain value, and the place of each part by its location (keys and indices from the root)."""

    value: Any
    places: Mapping[Loc, Place]

    def place(self, loc: Sequence[str | int]) -> Place:
        """The place of the nearest enclosing part that was written."""
        key = tuple(loc)
        while key not in self.places and key:
            key = key[:-1]
        return self.places.get(key, Place(path=""))


def read_text(path: Path, shown: str = "") -> str:
    """A file's text. Raises `UsageError` where it cannot be read, is too big or is not UTF-8; it names the path as it is `shown`."""
    where = Place(path=shown or str(path))
    try:
        raw = read_bounded(path, MAX_BYTES)
    except OSError as error:
        raise UsageError(where.problem(f"cannot be read: {error.strerror or type(error).__name__}")) from error
    if len(raw) > MAX_BYTES:
        raise UsageError(where.problem(f"is bigger than {MAX_BYTES // 1024 // 1024} MB"))
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        column = error.start - (raw.rfind(b"\n", 0, error.start) + 1) + 1
        place = Place(path=where.path, line=line, column=column)
        raise UsageError(place.problem("is not UTF-8 text", "save the file as UTF-8")) from error


# --- YAML -----------------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Node:
    """A node of the YAML graph: a scalar's value, a list of nodes, or a list of (key, its node, value)."""

    value: Any
    place: Place


def parse_yaml(text: str, path: str) -> Document:
    """The one document of a YAML text. Raises `UsageError` with every problem of its form (duplicate keys among them)."""
    try:
        root = _graph(text, path)
    except yaml.MarkedYAMLError as error:
        place = _mark_place(path, error.problem_mark or error.context_mark)
        raise UsageError(_syntax_problem(text, place, error)) from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise UsageError(Place(path=path, line=line).problem("has a character that YAML does not allow", "remove it")) from error
    problems: list[Problem] = []
    places: dict[Loc, Place] = {}
    budget = [MAX_NODES]

    def build(node: _Node, loc: Loc, depth: int) -> Any:
        budget[0] -= 1
        if budget[0] < 0:
            raise UsageError(node.place.problem(f"holds more than {MAX_NODES} values", "aliases count as what they stand for"))
        # An alias may stand for what contains it: the depth bounds that too.
        if depth > MAX_DEPTH:
            raise UsageError(node.place.problem(f"is nested deeper than {MAX_DEPTH} levels"))
        places.setdefault(loc, node.place)
        match node.value:
            case list():
                return [build(item, (*loc, index), depth + 1) for index, item in enumerate(node.value)]
            case tuple():
                mapping: dict[str, Any] = {}
                for key_node, item in node.value:
                    key = key_node.value
                    if not isinstance(key, str):
                        problems.append(key_node.place.problem("a key must be text", "quote it"))
                        continue
                    if key in mapping:
                        first = places[(*loc, key)]
                        problems.append(key_node.place.problem(f"key {key!r} stands twice, first in line {first.line}", "remove one"))
                        continue
                    places[(*loc, key)] = key_node.place
                    mapping[key] = build(item, (*loc, key), depth + 1)
                return mapping
            case value:
                return value

    value = build(root, (), 0)
    if problems:
        raise UsageError(*problems)
    return Document(value=value, places=places)


def _mark_place(path: str, mark: Any) -> Place:
    return Place(path=path) if mark is None else Place(path=path, line=mark.line + 1, column=mark.column + 1)


def _syntax_problem(text: str, place: Place, error: yaml.MarkedYAMLError) -> Problem:
    lines = text.splitlines()
    line = lines[place.line - 1] if 0 < place.line <= len(lines) else ""
    if "\t" in line[: place.column] and "scalar" not in str(error.problem):
        return place.problem("a tab stands where YAML wants blanks", "indent with blanks")
    what = " ".join(part for part in (error.context, error.problem) if part)
    return place.problem(f"is not valid YAML: {what}")


def _graph(text: str, path: str) -> _Node:
    """The node graph of a text, built of events without recursion: libyaml's own composer recurses on nested input."""
    open_nodes: list[tuple[_Node, list[Any]]] = []
    anchors: dict[str, _Node] = {}
    root: _Node | None = None
    count = 0
    for event in yaml.parse(text, Loader=_LOADER):
        place = _mark_place(path, event.start_mark)
        if isinstance(event, yaml.DocumentStartEvent):
            if root is not None:
                raise UsageError(place.problem("a second document begins here", "one document a file: remove the ---"))
            continue
        if isinstance(event, yaml.SequenceEndEvent | yaml.MappingEndEvent):
            closed, items = open_nodes.pop()
            closed.value = items if isinstance(event, yaml.SequenceEndEvent) else tuple(zip(items[::2], items[1::2], strict=True))
            continue
        if not isinstance(event, yaml.NodeEvent):
            continue
        count += 1
        if count > MAX_NODES:
            raise UsageError(place.problem(f"holds more than {MAX_NODES} values"))
        node = _node(event, place, anchors)
        if open_nodes:
            open_nodes[-1][1].append(node)
        else:
            root = node
        if isinstance(event, yaml.CollectionStartEvent):
            if len(open_nodes) >= MAX_DEPTH:
                raise UsageError(place.problem(f"is nested deeper than {MAX_DEPTH} levels"))
            open_nodes.append((node, []))
    if root is None:
        raise UsageError(Place(path=path).problem("is empty"))
    return root


def _node(event: yaml.NodeEvent, place: Place, anchors: dict[str, _Node]) -> _Node:
    if isinstance(event, yaml.AliasEvent):
        if event.anchor not in anchors:
            raise UsageError(place.problem(f"alias *{event.anchor} has no anchor &{event.anchor} before it"))
        return anchors[event.anchor]
    tag = getattr(event, "tag", None)
    if tag is not None and tag not in ("!", _STR_TAG):
        raise UsageError(place.problem(f"tag {tag} is not allowed", "scenario and settings files hold plain data: remove it"))
    node = _Node(None, place)
    if isinstance(event, yaml.ScalarEvent):
        plain = event.implicit[0] and tag is None
        node.value = _scalar(event.value) if plain else event.value
    if event.anchor is not None:
        anchors[event.anchor] = node
    return node


def _scalar(text: str) -> str | int | float | bool | None:
    """A plain scalar by the core schema of YAML 1.2 (10.3.2), without its infinities: JSON has none."""
    if _NULL.fullmatch(text):
        return None
    if _TRUE.fullmatch(text):
        return True
    if _FALSE.fullmatch(text):
        return False
    if _DECIMAL.fullmatch(text):
        return int(text)
    if _HEXADECIMAL.fullmatch(text):
        return int(text[2:], 16)
    if _OCTAL.fullmatch(text):
        return int(text[2:], 8)
    if _FLOAT.fullmatch(text):
        number = float(text)
        return number if abs(number) != float("inf") else text
    return text


# --- TOML -----------------------------------------------------------------------------------------------------------------

_TOML_PLACE = re.compile(r"\s*\(at (?:line (\d+), column (\d+)|end of document)\)$")
_TOML_KEY = r"(?:[A-Za-z0-9_-]+|\"[^\"\n]*\"|'[^'\n]*')"
_TOML_DOTTED = rf"{_TOML_KEY}(?:[ \t]*\.[ \t]*{_TOML_KEY})*"
_TOML_LINE = re.compile(
    rf"[ \t]*(?:\[\[[ \t]*(?P<array>{_TOML_DOTTED})[ \t]*\]\]|\[[ \t]*(?P<table>{_TOML_DOTTED})[ \t]*\]|(?P<key>{_TOML_DOTTED})[ \t]*=)"
)
# What may open a stretch in which brackets and line ends mean nothing, longest first; then brackets and comments themselves.
_TOML_TOKEN = re.compile(
    r"\"\"\"(?:[^\"\\]|\\.|\"(?!\"\"))*\"{3,5}|'''(?:[^']|'(?!''))*'{3,5}|\"(?:[^\"\\\n]|\\.)*\"|'[^'\n]*'|#[^\n]*|[\[\]{}\n]", re.DOTALL
)


def parse_toml(text: str, path: str) -> Document:
    """A TOML text. Raises `UsageError` where it is none."""
    try:
        value = tomllib.loads(text)
    except ValueError as error:  # TOMLDecodeError is one; an integer of more digits than Python reads is a bare one
        found = _TOML_PLACE.search(str(error))
        line, column = (int(found[1]), int(found[2])) if found and found[1] else (0, 0)
        what = _TOML_PLACE.sub(" (at the end)" if found and not found[1] else "", str(error))
        raise UsageError(Place(path=path, line=line, column=column).problem(f"is not valid TOML: {what}")) from error
    except RecursionError as error:
        raise UsageError(Place(path=path).problem("is nested too deeply")) from error
    return Document(value=value, places=_toml_places(text, path))


def _toml_places(text: str, path: str) -> dict[Loc, Place]:
    """Where each key of a valid TOML text stands: tables, arrays of tables, and keys outside inline values."""
    places: dict[Loc, Place] = {(): Place(path=path)}
    counts: dict[Loc, int] = {}
    table: Loc = ()
    for number, line in _toml_lines(text):
        found = _TOML_LINE.match(line)
        if found is None:
            continue
        dotted = found["array"] or found["table"] or found["key"]
        parts = [part[1:-1] if part[0] in "\"'" else part for part in re.findall(_TOML_KEY, dotted)]
        column = len(line) - len(line.lstrip()) + 1
        place = Place(path=path, line=number, column=column)
        if found["key"]:
            base = table
            for part in parts:
                base = (*base, part)
                places.setdefault(base, place)
            continue
        table = ()
        for index, part in enumerate(parts):
            table = (*table, part)
            last = index == len(parts) - 1
            if last and found["array"]:
                counts[table] = counts.get(table, -1) + 1
            places.setdefault(table, place)
            if table in counts:
                table = (*table, counts[table])
                places.setdefault(table, place)
    return places


def _toml_lines(text: str) -> list[tuple[int, str]]:
    """The lines at which a statement may begin, with their numbers: those within arrays and multi-line strings are left out."""
    lines = [(1, text.split("\n", 1)[0])]
    depth = 0
    number = 1
    for token in _TOML_TOKEN.finditer(text):
        match token[0]:
            case "\n":
                number += 1
                if depth == 0:
                    end = text.find("\n", token.end())
                    lines.append((number, text[token.end() : end if end >= 0 else len(text)]))
            case "[" | "{":
                depth += 1
            case "]" | "}":
                depth -= 1
            case other:
                number += other.count("\n")
    return lines
