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

from harness.documents import read_text
from harness.errors import Problem, UsageError
from harness.fields import nearest
from harness.model.intent import Rule
from harness.ports import LinkingSource, RuleSource

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


def load_catalog(paths: Sequence[Path], sources: Sequence[RuleSource], *, may_be_empty: bool = False) -> Catalog:
    """Every rule under these paths, in order of path; a rule in an archive has the source `<archive>/<member>`.

    In directories and archives a file of no rule language is passed over (a README, a licence). A file reached twice is loaded once.
    Raises `UsageError` where a path that was named is not there, is of no rule language, or is an archive that cannot be read; and where
    nothing at all was found, unless that `may_be` so.
    """
    catalog, unreadable = _read(paths, sources)
    if unreadable:
        raise UsageError(*unreadable)
    if not catalog.rules and not catalog.refused and not may_be_empty:
        raise UsageError(Problem(path=catalog.name, what="holds no rule in any language that is read here"))
    return catalog


def load_rules(paths: Sequence[Path], sources: Sequence[RuleSource]) -> tuple[Rule, ...]:
    """The same, whole or not at all: raises `UsageError` with every problem of every file, ids that two rules share among them."""
    catalog, unreadable = _read(paths, sources)
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


def _read(paths: Sequence[Path], sources: Sequence[RuleSource]) -> tuple[Catalog, tuple[Problem, ...]]:
    """What is there, and what is wrong with paths that were named themselves, beyond what their rules say.

    A language whose rules refer to each other is given all its texts at once, when all are known.
    """
    found: list[_Found] = []
    unreadable: list[Problem] = []
    for path, named in _files_of(paths):
        try:
            if named and not path.is_file():  # a pipe can be read once, and what is in it is asked several times
                raise UsageError(Problem(path=str(path), what="is neither a file nor a directory" if path.exists() else "is not there"))
            if named and zipfile.is_zipfile(path):
                found.extend(_archived(path, sources))
            else:
                if named:
                    _must_be_readable(path, sources)
                found.append(_one(path, str(path), sources))
        except UsageError as error:
            unreadable.extend(error.problems)
    linked = [_linked(found, source) for source in sources]
    order = {each.path: place for place, each in enumerate(found)}
    rules = sorted((rule for each in (*found, *linked) for rule in each.rules), key=lambda rule: order[rule.source])
    refused = sorted((problem for each in (*found, *linked) for problem in each.problems), key=lambda problem: order[problem.path])
    return Catalog(name=", ".join(map(str, paths)), rules=tuple(rules), refused=tuple(refused)), tuple(unreadable)


def _linked(found: Sequence[_Found], source: RuleSource) -> _Found:
    texts = [(each.path, each.text) for each in found if each.source is source]
    if not isinstance(source, LinkingSource) or not texts:
        return _Found()
    linked = source.link(texts)
    return _Found(rules=linked.rules, problems=linked.problems)


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
    known = {key: rule for rule in catalog.rules for key in (rule.id, rule.id[: len(name)], rule.title)}
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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """What a file holds: rules and problems, or, where `source` is set, a text that this one links with others."""

    path: str = ""
    rules: tuple[Rule, ...] = ()
    problems: tuple[Problem, ...] = ()
    source: LinkingSource | None = None
    text: str = ""


def _must_be_readable(path: Path, sources: Sequence[RuleSource]) -> None:
    """Raises `UsageError` where a file that was named is no text, or is no rule."""
    if not any(source.takes(path) for source in sources):
        what = "is no rule in any language that is read here"
        raise UsageError(Problem(path=str(path), what=what, fix="Sigma is *.yml or *.yaml, Elastic's rules are *.toml, EQL is *.eql"))


def _one(path: Path, shown: str, sources: Sequence[RuleSource]) -> _Found:
    """What is in a file whose problems and rules are to say that it stands at `shown`."""
    try:
        source = next((source for source in sources if source.takes(path)), None)
        if source is None:
            return _Found(path=shown)
        if isinstance(source, LinkingSource):
            return _Found(path=shown, source=source, text=source.read(path))
        if shown == str(path):
            return _Found(path=shown, rules=tuple(source.load(path)))
        return _Found(path=shown, rules=tuple(source.parse(read_text(path), shown)))
    except UsageError as error:
        at = (problem if problem.path != str(path) else _moved(problem, shown) for problem in error.problems)
        return _Found(path=shown, problems=tuple(at))


def _moved(problem: Problem, path: str) -> Problem:
    return Problem(path=path, line=problem.line, column=problem.column, what=problem.what, fix=problem.fix)


def _archived(archive: Path, sources: Sequence[RuleSource]) -> Iterator[_Found]:
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
                    yield _Found(path=shown, problems=(Problem(path=shown, what=what),))
                    continue
                total += len(data)
                if total > _ARCHIVE_BYTES:
                    raise UsageError(Problem(path=str(archive), what=f"unfolds to more than the {_ARCHIVE_BYTES} bytes that are read"))
                unpacked = Path(directory) / f"member{_suffixes(info.filename)}"
                unpacked.write_bytes(data)
                yield _one(unpacked, shown, sources)
    except (OSError, EOFError, RuntimeError, NotImplementedError, zipfile.BadZipFile, zlib.error) as error:  # RuntimeError: encrypted
        raise UsageError(Problem(path=str(archive), what=f"cannot be read: {error}")) from error


def _suffixes(name: str) -> str:
    """The end of a member's name by which a source may tell its language, without anything that a file system takes amiss."""
    suffixes = "".join(PurePosixPath(name).suffixes[-2:])
    return suffixes if suffixes.replace(".", "").isalnum() and len(suffixes) < 40 else ""
