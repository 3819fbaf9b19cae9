"""EQL queries in files of their own (`*.eql`): one query a file, without Elastic's TOML around it.

What a rule is beside its query may be said in the comments before it, a line each, all of them optional:

    // title: A shell that a remote session started
    // id: 5b0d3a8e-58a7-4c2a-8d43-7f5b1f6c9f11
    // level: high
    // techniques: T1021.006, T1059.001

Without a title the file's name is one. Without an id it has one made of what the query means: blanks, comments and ways to write the same
do not change it. Without a level it is medium. Any other comment is a comment. This file must never know an event, a scenario or a SIEM.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePath
from uuid import NAMESPACE_URL, uuid5

from harness.documents import read_text
from harness.errors import Problem, UsageError
from harness.model.intent import Rule, Severity
from harness.rules.eql import parse_eql
from harness.rules.eql_print import print_eql
from harness.rules.grammar import QueryError

_SUFFIX = ".eql"


class EqlFiles:
    """The `RuleSource` of EQL queries in files of their own."""

    def takes(self, path: Path) -> bool:
        """Files whose names end in .eql."""
        return path.suffix.lower() == _SUFFIX

    def load(self, path: Path) -> Iterable[Rule]:
        """The file's rule. Raises `UsageError` with every problem that was found."""
        return self.parse(read_text(path), str(path))

    def parse(self, text: str, source: str) -> Iterable[Rule]:
        """The rule of a text. Raises `UsageError` with every problem that was found."""
        said = {key: (line, value) for line, key, value in _header(text)}
        problems = [*_problems(said, source)]
        try:
            query = parse_eql(text)
        except QueryError as error:
            what = f"the query cannot be read: {error.what}"
            raise UsageError(*problems, Problem(path=source, line=error.line, column=error.column, what=what, fix=error.fix)) from error
        if problems:
            raise UsageError(*problems)
        values = {key: value for key, (_, value) in said.items()}
        return (
            Rule(
                id=values.get("id") or str(uuid5(NAMESPACE_URL, f"eql:{print_eql(query)}")),
                title=values.get("title") or PurePath(source).name.removesuffix(_SUFFIX),
                source=source,
                language="eql",
                severity=Severity(values.get("level", Severity.MEDIUM)),
                techniques=tuple(_listed(values.get("techniques", ""))),
                logic=query.logic,
                definition=text,
                pattern=query.pattern,
            ),
        )


_COMMENTS = re.compile(r"(?:\s+|//[^\n]*|/\*[\s\S]*?\*/)*+")
_SAID = re.compile(r"[\s/*]*+(id|title|level|techniques)[ \t]*+:(.*)")


def _header(text: str) -> Iterator[tuple[int, str, str]]:
    """What the comments before the query say: line, key and value."""
    before = _COMMENTS.match(text)
    assert before is not None
    for number, line in enumerate(before[0].splitlines(), 1):
        if found := _SAID.fullmatch(line):
            yield number, found[1], found[2].strip().removesuffix("*/").rstrip()


def _problems(said: dict[str, tuple[int, str]], source: str) -> Iterator[Problem]:
    for key, (line, value) in said.items():
        what = ""
        if not value:
            what = f"the {key} is empty"
        elif key == "level" and value not in list(Severity):
            what = f"there is no level {value!r}"
        elif key == "techniques" and not all(re.fullmatch(r"T[0-9]{4}(\.[0-9]{3})?", each) for each in _listed(value)):
            what = f"{value!r} are no ids of techniques"
        if what:
            fix = f"one of {', '.join(Severity)}" if key == "level" else "T1021.006, T1059" if key == "techniques" else ""
            yield Problem(path=source, line=line, column=1, what=what, fix=fix)


def _listed(text: str) -> Iterator[str]:
    return (part.strip() for part in text.split(",") if part.strip())
