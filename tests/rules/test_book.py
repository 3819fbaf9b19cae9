"""Hunt books: which analytics a page has, under which name, unescaped as Python would; nothing of it is run."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.rules.book import TABLES, Book, read_books
from tests.needs import DATA, needs_recordings


def book(tmp_path: Path, text: str) -> Book:
    path = tmp_path / "book.md"
    path.write_text(text)
    (found,) = read_books(path)
    return found


def test_a_block_of_sql_stands_as_it_is(tmp_path: Path) -> None:
    (only,) = book(tmp_path, "# Book\nintro\n## One\nWhat it\nasks.\n\n| a | b |\n|---|---|\n\n```sql\nSELECT 'a\\\\b'\n```\n").analytics
    assert (only.name, only.description, only.sql, only.line) == ("One", "What it asks.", "SELECT 'a\\\\b'", 11)


def test_sql_in_python_is_unescaped_once(tmp_path: Path) -> None:
    text = "## One\n```python\nimport x\ndf = spark.sql(\n'''\nSELECT \"a\\\\\\\\b\", '\\d'\n'''\n)\nspark.sql(r'SELECT \"a\\\\b\"')\n```\n"
    first, second = book(tmp_path, text).analytics
    assert (first.name, first.sql, first.line) == ("One", "SELECT \"a\\\\b\", '\\d'", 5)
    assert (second.name, second.sql, second.line) == ("One (2)", 'SELECT "a\\\\b"', 9)


def test_the_names_of_tables_are_those_that_the_book_makes(tmp_path: Path) -> None:
    python = '```{code-cell} ipython3\nregisterMordorSQLTable(spark, url, "mine")\ndf.createOrReplaceTempView("yours")\n```\n'
    text = python + "~~~~ {.sql}\n```\n~~~\n~~~~\n```text\nno\n```\n```sql\nx\n```\n"
    made = book(tmp_path, text)
    assert made.tables == (*TABLES, "mine", "yours")
    assert [analytic.sql for analytic in made.analytics] == ["```\n~~~", "x"]
    assert made.analytics[0].name == "without a heading"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("# A page\n\nwithout code\n", "no analytic"),
        ("```sql\nnever closed\n", "no analytic"),
        ("# A\n```python\nspark.sql(\n```\n", "book.md:3: the block below 'A' is not Python"),
        ("# A\n```python\n\nspark.sql(f'SELECT {x}')\n```\n", "book.md:4: the SQL below 'A' is put together"),
        ("# A\n```python\nspark.sql('x')" + "(" * 5000 + "\n```\n", "is not Python"),
        ("# A\n```python\nspark.sql('x')\n'" + "\0" + "'\n```\n", "is not Python"),
    ],
)
def test_what_is_no_book_is_told_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        book(tmp_path, text)


def test_code_is_not_run(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    book(tmp_path, f"```python\nopen({str(mark)!r}, 'w')\nspark.sql('SELECT 1')\n```\n")
    assert not mark.exists()


def test_a_directory_of_books_and_files_that_are_none(tmp_path: Path) -> None:
    for name in ("b.md", "a.md"):
        (tmp_path / name).write_text("```sql\nSELECT 1\n```\n")
    (tmp_path / "c.txt").write_text("")
    assert [Path(found.path).name for found in read_books(tmp_path)] == ["a.md", "b.md"]
    (tmp_path / "d.md").write_bytes(b"\xff")
    (tmp_path / "e.md").write_text("")
    with pytest.raises(UsageError) as caught:
        read_books(tmp_path)
    assert [Path(problem.path).name for problem in caught.value.problems] == ["d.md", "e.md"]
    with pytest.raises(UsageError, match="cannot be read"):
        read_books(tmp_path / "absent.md")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="holds no book"):
        read_books(tmp_path / "empty")


@needs_recordings
def test_seed_000_has_five() -> None:
    (seed,) = (DATA.parent / "seeds").glob("000*")
    (found,) = read_books(seed)
    assert [analytic.name for analytic in found.analytics] == [f"Analytic {number}" for number in ("I", "II", "III", "IV", "V")]
    assert "Layer ID:44" in found.analytics[1].description
    assert 'NOT User = "NT AUTHORITY\\\\NETWORK SERVICE"' in found.analytics[4].sql
    lines = seed.read_text().splitlines()
    assert all(lines[analytic.line - 1] == "'''" for analytic in found.analytics)
