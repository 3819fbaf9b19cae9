"""From paths to rules, in whatever languages they are written. It must never know a language: it asks each source in turn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from harness.errors import Problem, UsageError
from harness.model.intent import Rule
from harness.ports import RuleSource


def load_rules(paths: Sequence[Path], sources: Sequence[RuleSource]) -> tuple[Rule, ...]:
    """The rules of all these files and, recursively, directories, in order of path.

    A file that was named must be of a language that a source takes; in a directory others are passed over (a README, a licence).
    A file reached twice is loaded once. Raises `UsageError` with every problem of every file: whatever the sources found, a path
    that is not there, an id that two files share.
    """
    rules: list[Rule] = []
    problems: list[Problem] = []
    first: dict[str, Rule] = {}
    for path, named in files_of(paths):
        try:
            source = next((source for source in sources if source.takes(path)), None)
            if source is None:
                if named:
                    problems.append(Problem(path=str(path), what="is no rule in any language that is read here"))
                continue
            found = tuple(source.load(path))
        except UsageError as error:
            problems.extend(error.problems)
            continue
        for rule in found:
            known = first.setdefault(rule.id, rule)
            if known is not rule:
                what = f"the rule id {rule.id} is that of {known.source} as well"
                problems.append(Problem(path=rule.source, what=what, fix="give one of them an id of its own"))
        rules.extend(found)
    if problems:
        raise UsageError(*problems)
    return tuple(rules)


def files_of(paths: Sequence[Path]) -> Iterator[tuple[Path, bool]]:
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
