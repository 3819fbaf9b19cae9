"""EQL in files of its own: what the comments before a query say, ids that stay, and what is refused where."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.model.intent import Rule, Severity
from harness.rules.catalog import load_rules
from harness.rules.eql_file import EqlFiles

QUERY = 'process where process.name : "x.exe"'


def parse(text: str, source: str = "some/my_query.eql") -> Rule:
    [rule] = EqlFiles().parse(text, source)
    return rule


@pytest.mark.parametrize(
    "header",
    [
        "// title: A title: with a colon\n// id: my-id\n//level: high\n// techniques: T1021.006,T1059\n// another: comment\n",
        "/* title: A title: with a colon */\n\n/*\n * id: my-id\n * level: high\n * techniques: T1021.006, T1059 */ ",
    ],
)
def test_what_is_said_before_the_query(header: str) -> None:
    rule = parse(header + QUERY)
    assert (rule.id, rule.title, rule.severity) == ("my-id", "A title: with a colon", Severity.HIGH)
    assert rule.techniques == ("T1021.006", "T1059")
    assert (rule.language, rule.definition, rule.logic) == ("eql", header + QUERY, parse(QUERY).logic)


def test_without_a_word_the_file_names_it_and_the_query_identifies_it() -> None:
    rule = parse(QUERY + "\n// title: behind the query it is a comment")
    assert (rule.title, rule.severity, rule.techniques) == ("my_query", Severity.MEDIUM, ())
    assert rule.id == parse('// hello\nprocess   where\n(process.name : "x.exe")', "other.eql").id
    assert rule.id != parse(QUERY.replace("x.exe", "y.exe")).id


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        (
            "// level: grave\n// techniques: T1, x\nprocess where",
            ["2:1", "1:1", "3:14: the query cannot be read: the query ends too early"],
        ),
        ("// id:\nany where true", ["1:1: the id is empty"]),
        ("// level: grave\nany where true", ["1:1: there is no level 'grave' (one of informational, low, medium, high, critical)"]),
        (
            "\nprocess where a = 1",
            ["2:17: the query cannot be read: '= 1' cannot stand here (equality is == or, without regard to case, :)"],
        ),
        ("", ["1:1: the query cannot be read: the query ends too early"]),
        ("/* never closed", ["1:1: the query cannot be read: '/* never closed' cannot stand here"]),
        ("// title: x\n" + " " * 200_000, ["1:1: the query cannot be read: the query is longer than 100000 characters"]),
    ],
)
def test_what_is_refused_and_where(text: str, problems: list[str]) -> None:
    with pytest.raises(UsageError) as error:
        parse(text, "q.eql")
    found = [str(problem) for problem in error.value.problems]
    assert len(found) == len(problems)
    assert all(any(f"q.eql:{problem}" in each for each in found) for problem in problems)


def test_files_of_a_directory(tmp_path: Path) -> None:
    (tmp_path / "One.EQL").write_text(QUERY)
    (tmp_path / "two.eql").write_text("sequence [any where true] [any where true]")
    (tmp_path / "readme.md").write_text("no query")
    rules = load_rules([tmp_path], [EqlFiles()])
    assert [rule.pattern is None for rule in rules] == [True, False]
    (tmp_path / "three.eql").write_text("/* the same */ " + QUERY)
    with pytest.raises(UsageError, match="as well"):
        load_rules([tmp_path], [EqlFiles()])
