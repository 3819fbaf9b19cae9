"""What rule files were parsed to, kept from one command to the next: parsing 2,400 Sigma rules takes seconds, reading them back a fraction.

An entry is known by its file's content and name, and by all that parsing hangs on: our own code, the libraries, Python. What is damaged, of
another version or of another owner is as good as absent: nothing that is read here can do more than be a rule, and nobody else may write
it, because a rule that was changed by somebody else is a blind one. Where nothing can be kept (a read-only home), rules are parsed as
ever. It must never know a rule language.
"""

from __future__ import annotations

import gc
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import cache
from hashlib import blake2b
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path, PurePath

import platformdirs

from harness import __version__
from harness.errors import Problem
from harness.files import write_whole
from harness.model.intent import Rule
from harness.rules import codec

_MADE_BY = ("pysigma", "pysigma-pipeline-sysmon", "pysigma-pipeline-windows", "pyyaml", "lark", "regex")
_FILE = "rules.jsonl"
_MOST_BYTES = 64 << 20
"""Of the file; the whole of SigmaHQ takes a twentieth of it. Entries that were not asked for lately make room."""

_SUM = 32
"""Hexadecimal characters of a key and of a checksum."""

Result = tuple[tuple[Rule, ...], tuple[Problem, ...]]


class Damaged(Exception):
    """An entry that is whole does not read as one: another program's, or a fault of ours."""


class Kept:
    """One file's entry, not yet made into rules."""

    __slots__ = ("_data", "_entry", "_shown")

    def __init__(self, entry: bytes, data: bytes, shown: str) -> None:
        self._entry, self._data, self._shown = entry, data, shown

    def made(self) -> Result:
        """Its rules and problems, as those of the file where it stands now. Raises `Damaged`."""
        try:
            rules, whole, problems = json.loads(self._entry)
            text = _text(self._data)
            return (
                tuple(
                    replace(rule, source=self._shown, definition=text if is_whole else rule.definition)
                    for rule, is_whole in zip(codec.load(rules), whole, strict=True)
                ),
                tuple(
                    Problem(path=path or self._shown, line=line, column=at, what=what, fix=fix) for path, line, at, what, fix in problems
                ),
            )
        except (ValueError, TypeError, LookupError, RecursionError) as error:
            raise Damaged(str(error)) from error


class RuleCache:
    """Entries by file content; `directory` is ours alone."""

    def __init__(self, directory: Path) -> None:
        self._file = directory / _FILE
        self._entries = dict(_entries(self._file)) if _is_ours(directory) else {}
        self._asked: dict[bytes, bytes] = {}
        self._fresh = False

    def find(self, languages: str, shown: str, data: bytes) -> Kept | None:
        """What a file with this content was parsed to by the loaders of these languages. `shown` is where it stands now."""
        key = _key(languages, shown, data)
        line = self._entries.get(key)
        if line is None or not _is_whole(line):
            return None
        self._asked[key] = line
        return Kept(line[2 * _SUM :], data, shown)

    def keep(self, languages: str, shown: str, data: bytes, result: Result) -> None:
        """Keep what a file was parsed to."""
        rules, problems = result
        try:
            text = _text(data)
            whole = [rule.definition == text for rule in rules]
            said = codec.dump(
                replace(rule, source="", definition="" if is_whole else rule.definition)
                for rule, is_whole in zip(rules, whole, strict=True)
            )
            told = [["" if each.path == shown else each.path, each.line, each.column, each.what, each.fix] for each in problems]
            entry = json.dumps([said, whole, told], separators=(",", ":")).encode("ascii")
        except (ValueError, TypeError, RecursionError):
            return  # what the model cannot say, or too deep for JSON: parsed anew each time
        key = _key(languages, shown, data)
        self._asked[key] = key + _sum(key + entry) + entry
        self._fresh = True

    def save(self) -> None:
        """Write down what is new, whole or not at all. What another command wrote meanwhile is overwritten: it costs time, no more."""
        if not self._fresh or not _is_ours(self._file.parent, make=True):
            return
        lines, size = [_salt()], 0
        others = (line for key, line in self._entries.items() if key not in self._asked and _is_whole(line))
        for line in (*self._asked.values(), *others):
            size += len(line) + 1
            if size > _MOST_BYTES:
                break
            lines.append(line)
        with suppress(OSError):
            write_whole(self._file, b"\n".join(lines).decode("ascii") + "\n")
        self._fresh = False


def user_cache() -> RuleCache:
    """The cache of whoever runs this, in the place that the system has for such (`XDG_CACHE_HOME` moves it)."""
    return RuleCache(platformdirs.user_cache_path("purple-harness"))


@contextmanager
def without_collections() -> Iterator[None]:
    """No garbage is collected meanwhile: of thousands of trees that are made and all stay, looking through takes longer than making."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _is_ours(directory: Path, *, make: bool = False) -> bool:
    """Whether only we may write there. Windows keeps each user's cache in a directory of his own."""
    try:
        if make:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = directory.stat()
    except OSError:
        return False
    return sys.platform == "win32" or (found.st_uid == os.geteuid() and not found.st_mode & 0o022)


def _entries(file: Path) -> Iterator[tuple[bytes, bytes]]:
    try:
        with file.open("rb") as stream:
            data = stream.read(_MOST_BYTES + 4096)
    except OSError:
        return
    salt, *lines = data.split(b"\n")
    if salt == _salt():
        for line in lines:
            yield line[:_SUM], line


def _is_whole(line: bytes) -> bool:
    return line[_SUM : 2 * _SUM] == _sum(line[:_SUM] + line[2 * _SUM :])


def _text(data: bytes) -> str:
    """A file's text as `Path.read_text` has it."""
    return data.decode("utf-8-sig", "replace").replace("\r\n", "\n").replace("\r", "\n")


def _key(languages: str, shown: str, data: bytes) -> bytes:
    # A loader may tell its files by their names' ends, and call a rule that says no title by its file's name.
    name = PurePath(shown).name
    return _sum(f"{languages}\0{name}\0".encode("utf-8", "surrogateescape") + data)


def _sum(data: bytes) -> bytes:
    return blake2b(data, digest_size=_SUM // 2).hexdigest().encode("ascii")


@cache
def _salt() -> bytes:
    """All that parsing hangs on besides the file. Our own code stands for itself: a checkout changes without its version."""
    parts = [__version__, sys.version, *(f"{name} {_version(name)}" for name in _MADE_BY)]
    package = Path(__file__).parents[1]
    code = (path for room in ("rules", "model", "logic") for path in sorted((package / room).rglob("*.py")))
    return b"purple-harness rules " + _sum("\n".join(parts).encode() + b"".join(_read(path) for path in code))


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
