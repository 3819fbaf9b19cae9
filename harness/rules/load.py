"""From paths to rules, in whatever languages they are written. It must never know a language: it asks each source in turn."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from harness.errors import Problem, UsageError
from harness.model.intent import Rule
from harness.ports import RuleSource

_LONGEST_RULE = 1024 * 1024
"""Bytes of one member of a zip of rules. SigmaHQ's longest rule has 288 KiB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """The rules that can be evaluated, and what is wrong with each of the others.

    `named` are the problems of paths that were given themselves, `found` those of what lay in a directory or a zip.
    """

    rules: tuple[Rule, ...]
    named: tuple[Problem, ...]
    found: tuple[Problem, ...]


def load_rules(paths: Sequence[Path], sources: Sequence[RuleSource]) -> tuple[Rule, ...]:
    """The rules of all these files and, recursively, directories and zips, in order of path.

    A file that was named must be of a language that a source takes; in a directory others are passed over (a README, a licence).
    A file reached twice is loaded once. Raises `UsageError` with every problem of every file: whatever the sources found, a path
    that is not there, an id that two files share.
    """
    loaded = load_evaluable(paths, sources)
    if loaded.named or loaded.found:
        raise UsageError(*loaded.found, *loaded.named)
    return loaded.rules


def load_evaluable(paths: Sequence[Path], sources: Sequence[RuleSource]) -> Loaded:
    """The same without raising: rules that cannot be evaluated do not stand in the way of the others."""
    rules: list[Rule] = []
    problems: dict[bool, list[Problem]] = {True: [], False: []}
    first: dict[str, Rule] = {}
    for path, named in _files(paths):
        for member, is_named in _unpacked(path, named, problems):
            try:
                source = next((source for source in sources if source.takes(member.path)), None)
                if source is None:
                    if is_named:
                        problems[True].append(Problem(path=member.name, what="is no rule in any language that is read here"))
                    continue
                found = [replace(rule, source=member.name) for rule in source.load(member.path)]
            except UsageError as error:
                problems[is_named].extend(replace(problem, path=member.name) for problem in error.problems)
                continue
            for rule in found:
                known = first.setdefault(rule.id, rule)
                if known is rule:
                    rules.append(rule)
                    continue
                what = f"the rule id {rule.id} is that of {known.source} as well"
                problems[is_named].append(Problem(path=rule.source, what=what, fix="give one of them an id of its own"))
    return Loaded(rules=tuple(rules), named=tuple(problems[True]), found=tuple(problems[False]))


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    """A file to be read at `path` that people know as `name`."""

    path: Path
    name: str


def _unpacked(path: Path, named: bool, problems: Mapping[bool, list[Problem]]) -> Iterator[tuple[_File, bool]]:
    """The file, or the members of a zip, one at a time in a place of their own: sources read files."""
    try:
        is_zip = path.is_file() and zipfile.is_zipfile(path)
    except OSError:  # its loader will say what is wrong with it
        is_zip = False
    if not is_zip:
        yield _File(path=path, name=str(path)), named
        return
    try:
        with zipfile.ZipFile(path) as archive, TemporaryDirectory(prefix="harness-rules-") as folder:
            for member in sorted(archive.infolist(), key=lambda member: member.filename):
                name = PurePosixPath(member.filename).name
                if member.is_dir() or not name or "\0" in name:
                    continue
                if member.file_size > _LONGEST_RULE:
                    what = f"has {member.file_size:,} bytes, which no rule has"
                    problems[False].append(Problem(path=f"{path}/{member.filename}", what=what))
                    continue
                place = Path(folder, name)
                place.write_bytes(archive.read(member))
                yield _File(path=place, name=f"{path}/{member.filename}"), False
                place.unlink()
    except (OSError, EOFError, RuntimeError, NotImplementedError, zipfile.BadZipFile, zlib.error) as error:
        problems[named].append(Problem(path=str(path), what=f"cannot be read: {error}"))


def _files(paths: Sequence[Path]) -> Iterator[tuple[Path, bool]]:
    """Every file once, and whether it was named itself. A path that is not there is one: its loader will say so."""
    seen: set[Path] = set()
    named = {path.resolve() for path in paths if not path.is_dir()}
    for path in paths:
        found = sorted(path.rglob("*")) if path.is_dir() else [path]
        for file in found:
            if file is not path and (not file.is_file() or any(part.startswith(".") for part in file.relative_to(path).parts)):
                continue
            place = file.resolve()
            if place not in seen:
                seen.add(place)
                yield file, place in named
