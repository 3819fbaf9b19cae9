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
from hashlib import blake2b
from pathlib import Path, PurePosixPath

from harness.documents import read_text
from harness.errors import Problem, UsageError
from harness.fields import nearest
from harness.model.intent import Rule
from harness.ports import LinkingSource, RuleSource
from harness.rules.cache import Damaged, Kept, Result, RuleCache, without_collections

_MEMBERS = 50_000
"""The most files that an archive of rules may hold: all public rule sets together are a fifth of it."""

_MEMBER_BYTES = 1 << 20
"""The largest rule in an archive; the largest public one is a twentieth of it. What is larger is refused before it is unpacked."""

_ARCHIVE_BYTES = 256 << 20
"""The most that an archive may unfold to; all public rule sets together are a tenth of it."""

_SHORTEST_PREFIX = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalog:
    """`name` says what was read, for people. `refused` is what is no rule that can be evaluated: `path` is where it stands."""

    name: str
    rules: tuple[Rule, ...]
    refused: tuple[Problem, ...]


def load_catalog(
    paths: Sequence[Path], sources: Sequence[RuleSource], cache: RuleCache | None = None, *, may_be_empty: bool = False
) -> Catalog:
    """Every rule under these paths, in order of path; a rule in an archive has the source `<archive>/<member>`.

    In directories and archives a file of no rule language is passed over (a README, a licence). A file reached twice is loaded once.
    Raises `UsageError` where a path that was named is not there, is of no rule language, or is an archive that cannot be read; and where
    nothing at all was found, unless that `may_be` so. What `cache` has need not be parsed again.
    """
    catalog, unreadable = _read(paths, sources, cache)
    if unreadable:
        raise UsageError(*unreadable)
    if not catalog.rules and not catalog.refused and not may_be_empty:
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
    try:
        with without_collections():
            known_by = _languages(sources)
            found, unreadable = _found(paths, sources, cache, known_by)
            if cache is not None and any(each.refers for each in found):
                # What a text comes to hangs on all the others: none is known by itself.
                known_by += f" {_digest(found)}"
                found, unreadable = _found(paths, sources, cache, known_by)
                if not all(isinstance(each.result, Kept) for each in found):
                    found, unreadable = _found(paths, sources, None, "")
            _linked(found, cache, known_by)
            made = [each.result.made() if isinstance(each.result, Kept) else each.result for each in found]
    except Damaged:
        return _read(paths, sources, None)
    if cache is not None:
        cache.save()
    rules = tuple(rule for got, _ in made for rule in got)
    refused = tuple(problem for _, problems in made for problem in problems)
    return Catalog(name=", ".join(map(str, paths)), rules=rules, refused=refused), tuple(unreadable)


def _found(
    paths: Sequence[Path], sources: Sequence[RuleSource], cache: RuleCache | None, languages: str
) -> tuple[list[_Found], list[Problem]]:
    found: list[_Found] = []
    unreadable: list[Problem] = []
    for path, named in _files_of(paths):
        try:
            if named and path.exists() and not path.is_file():  # a pipe can be read once, and what is in it is asked several times
                raise UsageError(Problem(path=str(path), what="is neither a file nor a directory"))
            if named and zipfile.is_zipfile(path):
                found.extend(_archived(path, sources, cache, languages))
            else:
                if named:
                    _must_be_readable(path, sources)
                found.append(_file(path, sources, cache, languages))
        except UsageError as error:
            unreadable.extend(error.problems)
    return found, unreadable


def _linked(found: Sequence[_Found], cache: RuleCache | None, languages: str) -> None:
    """Give each text that is linked with others what it came to, and the cache all that is new."""
    for source in dict.fromkeys(each.source for each in found if each.source is not None):
        texts = [each for each in found if each.source is source]
        linked = source.link([(each.path, each.text) for each in texts])
        rules: dict[str, list[Rule]] = {}
        problems: dict[str, list[Problem]] = {}
        for rule in linked.rules:
            rules.setdefault(rule.source, []).append(rule)
        for problem in linked.problems:
            problems.setdefault(problem.path, []).append(problem)
        for each in texts:
            each.result = tuple(rules.get(each.path, ())), tuple(problems.get(each.path, ()))
    for each in found:
        if cache is not None and each.data is not None and not isinstance(each.result, Kept):
            cache.keep(languages, each.path, each.data, each.result)


def _languages(sources: Sequence[RuleSource]) -> str:
    return " ".join(f"{type(source).__module__}.{type(source).__name__}" for source in sources)


def _digest(found: Sequence[_Found]) -> str:
    whole = blake2b()
    for each in found:
        for part in (each.path.encode("utf-8", "surrogateescape"), each.data if each.data is not None else each.text.encode()):
            whole.update(len(part).to_bytes(8, "big") + part)
    return whole.hexdigest()


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
    begins = {rule.id[: len(name)]: rule for rule in catalog.rules} if len(name) >= _SHORTEST_PREFIX else {}
    known = begins | {key: rule for rule in catalog.rules for key in (rule.id, rule.title)}
    what = f"there is no rule {name!r}" + (f" among those that are evaluated ({len(catalog.refused)} are not)" if catalog.refused else "")
    raise UsageError(Problem(path=catalog.name, what=what, fix=nearest(name, known) or "harness rules list names them"))


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


@dataclass(slots=True, kw_only=True)
class _Found:
    """A file and what it holds. `source`: the language that links its `text` with others, which may `refer` to these. `data` is the
    content by which the result can be kept, None where it is not."""

    path: str
    data: bytes | None
    result: Result | Kept = ((), ())
    source: LinkingSource | None = None
    text: str = ""
    refers: bool = False


def _must_be_readable(path: Path, sources: Sequence[RuleSource]) -> None:
    """Raises `UsageError` where a file that was named is not there, is no text, or is no rule."""
    if not any(source.takes(path) for source in sources):
        if not path.exists():
            raise UsageError(Problem(path=str(path), what="is not there"))
        what = "is no rule in any language that is read here"
        raise UsageError(Problem(path=str(path), what=what, fix="Sigma is *.yml or *.yaml, Elastic's rules are *.toml, EQL is *.eql"))


def _file(path: Path, sources: Sequence[RuleSource], cache: RuleCache | None, languages: str) -> _Found:
    """What is in a file, from the cache where that has it."""
    shown, data = str(path), _small(path)
    kept = cache.find(languages, shown, data) if cache is not None and data is not None else None
    if kept is not None:
        return _Found(path=shown, data=data, result=kept)
    found = _one(path, shown, data, sources)
    if _small(path) != data:  # it was written meanwhile: what was parsed is not what would be kept
        found.data = None
    return found


def _small(path: Path) -> bytes | None:
    """The content of a file that is no larger than a rule may be in an archive; None of others, which are read as ever."""
    try:
        return path.read_bytes() if path.stat().st_size <= _MEMBER_BYTES else None
    except OSError:
        return None


def _one(path: Path, shown: str, data: bytes | None, sources: Sequence[RuleSource]) -> _Found:
    """What is in a file whose problems and rules are to say that it stands at `shown`."""
    try:
        source = next((source for source in sources if source.takes(path)), None)
        if source is None:
            return _Found(path=shown, data=data)
        if isinstance(source, LinkingSource):
            text = source.read(path)
            return _Found(path=shown, data=data, source=source, text=text, refers=source.refers(text))
        if shown == str(path):
            return _Found(path=shown, data=data, result=(tuple(source.load(path)), ()))
        return _Found(path=shown, data=data, result=(tuple(source.parse(read_text(path), shown)), ()))
    except UsageError as error:
        at = (problem if problem.path != str(path) else _moved(problem, shown) for problem in error.problems)
        return _Found(path=shown, data=data, result=((), tuple(at)))


def _moved(problem: Problem, path: str) -> Problem:
    return Problem(path=path, line=problem.line, column=problem.column, what=problem.what, fix=problem.fix)


def _archived(archive: Path, sources: Sequence[RuleSource], cache: RuleCache | None, languages: str) -> Iterator[_Found]:
    """The rules of a zip. Members are looked at one by one in a directory of our own, whatever path they claim."""
    try:
        with zipfile.ZipFile(archive) as opened, tempfile.TemporaryDirectory(prefix="harness-rules-") as directory:
            total = 0
            members = [info for info in opened.infolist() if not info.is_dir()]
            if len(members) > _MEMBERS:
                raise UsageError(Problem(path=str(archive), what=f"holds {len(members)} files, more than the {_MEMBERS} that are read"))
            for info in sorted(members, key=lambda each: each.filename):
                shown = f"{archive}/{info.filename}"
                with opened.open(info) as member:
                    data = member.read(_MEMBER_BYTES + 1)
                if len(data) > _MEMBER_BYTES:
                    what = f"is larger than the {_MEMBER_BYTES} bytes that a rule may have"
                    yield _Found(path=shown, data=None, result=((), (Problem(path=shown, what=what),)))
                    continue
                total += len(data)
                if total > _ARCHIVE_BYTES:
                    raise UsageError(Problem(path=str(archive), what=f"unfolds to more than the {_ARCHIVE_BYTES} bytes that are read"))
                kept = cache.find(languages, shown, data) if cache is not None else None
                if kept is not None:
                    yield _Found(path=shown, data=data, result=kept)
                    continue
                unpacked = Path(directory) / f"member{_suffixes(info.filename)}"
                unpacked.write_bytes(data)
                yield _one(unpacked, shown, data, sources)
    except (OSError, EOFError, RuntimeError, NotImplementedError, zipfile.BadZipFile, zlib.error) as error:  # RuntimeError: encrypted
        raise UsageError(Problem(path=str(archive), what=f"cannot be read: {error}")) from error


def _suffixes(name: str) -> str:
    """The end of a member's name by which a source may tell its language, without anything that a file system takes amiss."""
    suffixes = "".join(PurePosixPath(name).suffixes[-2:])
    return suffixes if suffixes.replace(".", "").isalnum() and len(suffixes) < 40 else ""
