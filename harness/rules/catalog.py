"""From paths to rules, in whatever languages they are written: files, directories and zip archives.

A catalog has beside its rules what could not be read as one, with the reason, and goes on: it is for looking at rules, and for replays.
A run must not start on half of its rules: `load_rules` refuses the whole. It must never know a language: it asks each source in turn.
"""

from __future__ import annotations

import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from harness.errors import Problem, UsageError
from harness.fields import nearest
from harness.model.intent import Rule
from harness.ports import RuleSource
from harness.rules.cache import Damaged, Kept, Result, RuleCache, without_collections

_MEMBERS = 50_000
"""The most files that an archive of rules may hold: all public rule sets together are a fifth of it."""

_MEMBER_BYTES = 1 << 20
"""The largest rule in an archive; the largest public one is a twentieth of it. What is larger is refused before it is unpacked."""

_SHORTEST_PREFIX = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalog:
    """`name` says what was read, for people. `refused` is what is no rule that can be evaluated: `path` is where it stands."""

    name: str
    rules: tuple[Rule, ...]
    refused: tuple[Problem, ...]


def load_catalog(paths: Sequence[Path], sources: Sequence[RuleSource], cache: RuleCache | None = None) -> Catalog:
    """Every rule under these paths, in order of path; a rule in an archive has the source `<archive>/<member>`.

    In directories and archives a file of no rule language is passed over (a README, a licence). A file reached twice is loaded once.
    Raises `UsageError` where a path that was named is not there, is of no rule language, or is an archive that cannot be read; and where
    nothing at all was found. What `cache` has need not be parsed again.
    """
    catalog, unreadable = _read(paths, sources, cache)
    if unreadable:
        raise UsageError(*unreadable)
    if not catalog.rules and not catalog.refused:
        raise UsageError(Problem(path=catalog.name, what="holds no rule in any language that is read here"))
    return catalog


def load_rules(paths: Sequence[Path], sources: Sequence[RuleSource], cache: RuleCache | None = None) -> tuple[Rule, ...]:
    """The same, whole or not at all: raises `UsageError` with every problem of every file, ids that two rules share among them."""
    catalog, unreadable = _read(paths, sources, cache)
    rules, repeated = distinct(catalog.rules)
    if repeated or catalog.refused or unreadable:
        raise UsageError(*repeated, *catalog.refused, *unreadable)
    return rules


def distinct(rules: Sequence[Rule]) -> tuple[tuple[Rule, ...], tuple[Problem, ...]]:
    """The first rule of each id, and a problem for each other one."""
    first: dict[str, Rule] = {}
    problems = []
    for rule in rules:
        known = first.setdefault(rule.id, rule)
        if known is not rule:
            what = f"the rule id {rule.id} is that of {known.source} as well"
            problems.append(Problem(path=rule.source, what=what, fix="give one of them an id of its own"))
    return tuple(first.values()), tuple(problems)


def _read(paths: Sequence[Path], sources: Sequence[RuleSource], cache: RuleCache | None) -> tuple[Catalog, tuple[Problem, ...]]:
    """What is there, and what is wrong with paths that were named themselves, beyond what their rules say."""
    found: list[Result | Kept] = []
    unreadable: list[Problem] = []
    for path, named in _files_of(paths):
        try:
            if named and zipfile.is_zipfile(path):
                found.extend(_archived(path, sources, cache))
            else:
                one = _file(path, sources, cache)
                if named:
                    _must_be_readable(path, sources)
                found.append(one)
        except UsageError as error:
            unreadable.extend(error.problems)
    try:
        with without_collections():
            made = [each.made() if isinstance(each, Kept) else each for each in found]
    except Damaged:
        return _read(paths, sources, None)
    if cache is not None:
        cache.save()
    rules = tuple(rule for got, _ in made for rule in got)
    refused = tuple(problem for _, problems in made for problem in problems)
    return Catalog(name=", ".join(map(str, paths)), rules=rules, refused=refused), tuple(unreadable)


def find(catalog: Catalog, name: str) -> Rule:
    """The rule with this id, or an id that begins so and no other does, or this title. Raises `UsageError` with what comes
    near, or with why none of the catalog's rules is evaluable."""
    exact = [rule for rule in catalog.rules if name.lower() in (rule.id.lower(), rule.title.lower())]
    begun = [rule for rule in catalog.rules if len(name) >= _SHORTEST_PREFIX and rule.id.lower().startswith(name.lower())]
    found = exact or begun
    if len({rule.id for rule in found}) == 1:
        return found[0]
    if found:
        what = f"{name!r} is the name of several rules"
        raise UsageError(Problem(path=catalog.name, what=what, fix="name one by its id: " + ", ".join(rule.id for rule in found[:5])))
    if not catalog.rules:
        raise UsageError(*catalog.refused)
    known = {key: rule for rule in catalog.rules for key in (rule.id, rule.title)}
    raise UsageError(
        Problem(path=catalog.name, what=f"there is no rule {name!r}", fix=nearest(name, known) or "harness rules list names them")
    )


def _files_of(paths: Sequence[Path]) -> Iterator[tuple[Path, bool]]:
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


def _must_be_readable(path: Path, sources: Sequence[RuleSource]) -> None:
    """Raises `UsageError` where a file that was named is not there, is no text, or is no rule."""
    if not any(source.takes(path) for source in sources):
        what = "is no rule in any language that is read here" if path.exists() else "is not there"
        raise UsageError(Problem(path=str(path), what=what))


def _file(path: Path, sources: Sequence[RuleSource], cache: RuleCache | None) -> Result | Kept:
    """What is in a file, from the cache where that has it."""
    shown = str(path)
    data = _small(path) if cache is not None else None
    if cache is None or data is None:
        return _one(path, shown, sources)
    kept = cache.find(_languages(sources), shown, data)
    if kept is not None:
        return kept
    found = _one(path, shown, sources)
    if _small(path) == data:  # else it was written meanwhile, and what was parsed is not what would be kept
        cache.keep(_languages(sources), shown, data, found)
    return found


def _small(path: Path) -> bytes | None:
    """The content of a file that is no larger than a rule may be in an archive; None of others, which are read as ever."""
    try:
        return path.read_bytes() if path.stat().st_size <= _MEMBER_BYTES else None
    except OSError:
        return None


def _languages(sources: Sequence[RuleSource]) -> str:
    return " ".join(f"{type(source).__module__}.{type(source).__name__}" for source in sources)


def _one(path: Path, shown: str, sources: Sequence[RuleSource]) -> Result:
    """The rules of a file whose problems and rules are to say that it stands at `shown`."""
    try:
        source = next((source for source in sources if source.takes(path)), None)
        if source is None:
            return (), ()
        if shown == str(path):
            return tuple(source.load(path)), ()
        return tuple(source.parse(path.read_text(encoding="utf-8-sig"), shown)), ()
    except UsageError as error:
        at = (problem if problem.path != str(path) else _moved(problem, shown) for problem in error.problems)
        return (), tuple(at)


def _moved(problem: Problem, path: str) -> Problem:
    return Problem(path=path, line=problem.line, column=problem.column, what=problem.what, fix=problem.fix)


def _archived(archive: Path, sources: Sequence[RuleSource], cache: RuleCache | None) -> Iterator[Result | Kept]:
    """The rules of a zip. Members are looked at one by one in a directory of our own, whatever path they claim."""
    try:
        with zipfile.ZipFile(archive) as opened, tempfile.TemporaryDirectory(prefix="harness-rules-") as directory:
            members = [info for info in opened.infolist() if not info.is_dir()]
            if len(members) > _MEMBERS:
                raise UsageError(Problem(path=str(archive), what=f"holds {len(members)} files, more than the {_MEMBERS} that are read"))
            for info in sorted(members, key=lambda each: each.filename):
                shown = f"{archive}/{info.filename}"
                with opened.open(info) as member:
                    data = member.read(_MEMBER_BYTES + 1)
                if len(data) > _MEMBER_BYTES:
                    yield (), (Problem(path=shown, what=f"is larger than the {_MEMBER_BYTES} bytes that a rule may have"),)
                    continue
                kept = cache.find(_languages(sources), shown, data) if cache is not None else None
                if kept is not None:
                    yield kept
                    continue
                unpacked = Path(directory) / f"member{_suffixes(info.filename)}"
                unpacked.write_bytes(data)
                found = _one(unpacked, shown, sources)
                if cache is not None:
                    cache.keep(_languages(sources), shown, data, found)
                yield found
    except (OSError, EOFError, RuntimeError, NotImplementedError, zipfile.BadZipFile, zlib.error) as error:  # RuntimeError: encrypted
        raise UsageError(Problem(path=str(archive), what=f"cannot be read: {error}")) from error


def _suffixes(name: str) -> str:
    """The end of a member's name by which a source may tell its language, without anything that a file system takes amiss."""
    suffixes = "".join(PurePosixPath(name).suffixes[-2:])
    return suffixes if suffixes.replace(".", "").isalnum() and len(suffixes) < 40 else ""
