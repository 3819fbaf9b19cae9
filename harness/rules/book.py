"""Hunt books: Markdown, or a notebook in Markdown, whose code asks Spark for events. Its analytics are found; nothing of it is run.

An analytic is the text given to a call of `.sql(...)` in a Python block, unescaped as Python would, or a block of SQL as it stands. Its
name is the heading above it, its description the text between the two. This module must never know an engine.
"""

from __future__ import annotations

import ast
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.errors import Problem, UsageError
from harness.files import read_bounded
from harness.model.hunt import Analytic

_BYTES = 10 << 20
"""The largest book that is read; a long notebook is a hundredth of it."""

_TABLE_MAKERS = frozenset({"registerMordorSQLTable", "createOrReplaceTempView", "createTempView", "createGlobalTempView"})
"""Calls by which a notebook names the table of its events, in the last of their texts."""

TABLES = ("sdTable", "events")
"""Names of the table of events that every book may use: that of the Threat Hunter Playbook, and our own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Book:
    """The analytics of a file in its order, and the names under which they ask for the table of events."""

    path: str
    analytics: tuple[Analytic, ...]
    tables: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Block:
    language: str
    text: str
    line: int  # of its first line of code
    heading: str
    prose: str


def read_books(path: Path) -> tuple[Book, ...]:
    """The book of a file, or of every `*.md` of a directory. Raises `UsageError` with every problem."""
    files = sorted(path.glob("*.md")) if path.is_dir() else [path]
    books: list[Book] = []
    problems: list[Problem] = []
    for file in files:
        try:
            books.append(_book(file))
        except UsageError as error:
            problems.extend(error.problems)
    if problems:
        raise UsageError(*problems)
    if not books:
        raise UsageError(Problem(path=str(path), what="holds no book", fix="a directory of *.md files, or one of them"))
    return tuple(books)


def _book(path: Path) -> Book:
    try:
        data = read_bounded(path, _BYTES)
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise UsageError(Problem(path=str(path), what=f"cannot be read: {error.strerror}")) from error
    except UnicodeDecodeError as error:
        raise UsageError(Problem(path=str(path), what="is not UTF-8 text", fix="save it as UTF-8")) from error
    if len(data) > _BYTES:
        raise UsageError(Problem(path=str(path), what=f"is larger than the {_BYTES} bytes that a book may have"))
    found: list[Analytic] = []
    tables = list(TABLES)
    for block in _blocks(text.splitlines()):
        if block.language in ("python", "py", "pyspark", "code-cell"):  # the last: a notebook in MyST
            queries, names = _from_python(block, str(path))
            tables.extend(names)
        else:
            queries = [(block.text, block.line)] if block.language in ("sql", "sparksql") else []
        found.extend(
            Analytic(name=block.heading, description=block.prose, sql=sql.strip(), book=str(path), line=line) for sql, line in queries
        )
    if not found:
        fix = "a heading, and below it a block of SQL or a Python block that calls spark.sql"
        raise UsageError(Problem(path=str(path), what="holds no analytic", fix=fix))
    return Book(path=str(path), analytics=tuple(_named_apart(found)), tables=tuple(dict.fromkeys(tables)))


def _named_apart(analytics: Sequence[Analytic]) -> Iterator[Analytic]:
    """The second under one heading is its number 2."""
    seen: Counter[str] = Counter()
    for each in analytics:
        seen[each.name] += 1
        yield each if seen[each.name] == 1 else replace(each, name=f"{each.name} ({seen[each.name]})")


def _blocks(lines: Sequence[str]) -> Iterator[_Block]:
    """The fenced blocks (CommonMark 4.5), each with the last heading before it and the text below that."""
    heading, prose, code = "without a heading", [""], [""]
    fence = language = ""
    start = 0
    for number, line in enumerate(lines, 1):
        stripped = line.strip()
        if fence:
            if stripped.startswith(fence) and not stripped.strip(fence[0]):
                yield _Block(language=language, text="\n".join(code), line=start, heading=heading, prose=_paragraph(prose))
                fence = ""
            else:
                code.append(line)
        elif stripped.startswith(("```", "~~~")):
            fence = stripped[: len(stripped) - len(stripped.lstrip(stripped[0]))]
            words = stripped[len(fence) :].split()
            language, code, start = (words[0].strip("{}.").lower() if words else ""), [], number + 1
        elif stripped.startswith("#") and stripped.lstrip("#").startswith(" "):
            heading, prose = stripped.lstrip("#").strip(), []
        else:
            prose.append(stripped)


def _paragraph(lines: Sequence[str]) -> str:
    """The text without its tables, on one line."""
    return " ".join(line for line in lines if line and not line.startswith("|"))


def _from_python(block: _Block, path: str) -> tuple[list[tuple[str, int]], list[str]]:
    """The texts given to `.sql(...)` with their lines, and the names of tables that the block makes. The code is parsed, never run."""
    if ".sql" not in block.text and not any(name in block.text for name in _TABLE_MAKERS):
        return [], []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of escapes that Python does not know, which it leaves as they are
            tree = ast.parse(block.text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:  # the last two: its ways to say "nested too deeply"
        raise UsageError(Problem(path=path, line=block.line, what=f"the block below '{block.heading}' is not Python: {error}")) from error
    queries, names = [], []
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    for call in sorted(calls, key=lambda each: (each.lineno, each.col_offset)):
        name = call.func.attr if isinstance(call.func, ast.Attribute) else call.func.id if isinstance(call.func, ast.Name) else ""
        texts = [argument for argument in call.args if isinstance(argument, ast.Constant) and isinstance(argument.value, str)]
        if name in _TABLE_MAKERS and texts:
            names.append(str(texts[-1].value))
        elif name == "sql" and call.args:
            line = block.line + call.lineno - 1
            if not texts:
                what = f"the SQL below '{block.heading}' is put together by the code"
                raise UsageError(Problem(path=path, line=line, what=what, fix="give it to spark.sql as one text: the code is not run"))
            queries.append((str(texts[0].value), block.line + texts[0].lineno - 1))
    return queries, names
