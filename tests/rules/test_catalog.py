"""Catalogs: files, directories and archives; what cannot be evaluated stays in the list with its reason."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.rules.catalog import Catalog, find, load_catalog
from harness.rules.sigma import SigmaRules
from tests.needs import DATA, needs_recordings

ONE = "11111111-1111-4111-8111-111111111111"
TWO = "11112222-2222-4222-8222-222222222222"


def text(rule_id: str = ONE, title: str = "A rule", product: str = "windows") -> str:
    return (
        f"title: {title}\nid: {rule_id}\nlogsource: {{product: {product}, service: security}}\n"
        "detection: {selection: {A: 1}, condition: selection}\n"
    )


def load(*paths: Path) -> Catalog:
    return load_catalog(paths, [SigmaRules()])


def archive(path: Path, members: dict[str, str | bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in members.items():
            made.writestr(name, content)
    return path


def test_what_is_wrong_does_not_hide_what_is_right(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text(text(product="linux"))
    (tmp_path / "b.yml").write_text(text(TWO))
    (tmp_path / "README.md").write_text("detection:\n")
    catalog = load(tmp_path)
    assert [rule.id for rule in catalog.rules] == [TWO]
    assert [(problem.path, problem.line) for problem in catalog.refused] == [(str(tmp_path / "a.yml"), 3)]
    assert catalog.name == str(tmp_path)


def test_an_archive_is_read_as_a_directory_is(tmp_path: Path) -> None:
    made = archive(
        tmp_path / "r.zip",
        {
            "z/b.yml": text(TWO),
            "z/a.yml": text(),
            "z/c.yml": "detection: [\n",
            "z/notes.txt": "detection:\n",
            "../../out.yml": text("x"),
            "z/d.yml": b"logsource: \xff",
        },
    )
    before = sorted(path.name for path in tmp_path.iterdir())
    catalog = load(made)
    assert [rule.source for rule in catalog.rules] == [f"{made}/z/a.yml", f"{made}/z/b.yml"]
    assert [problem.path for problem in catalog.refused] == [f"{made}/../../out.yml", f"{made}/z/c.yml", f"{made}/z/d.yml"]
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_a_member_too_large_to_be_a_rule_is_refused(tmp_path: Path) -> None:
    catalog = load(archive(tmp_path / "bomb.zip", {"a.yml": text() + "#" * (2 << 20), "b.yml": text(TWO)}))
    assert [rule.id for rule in catalog.rules] == [TWO]
    assert "larger" in catalog.refused[0].what


@pytest.mark.parametrize("content", [b"PK\x05\x06" + b"\0" * 18, b"nothing of the kind"])
def test_a_file_that_is_no_rule_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "r.zip"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=r"r\.zip: "):
        load(path)


def test_a_broken_archive_is_named(tmp_path: Path) -> None:
    path = archive(tmp_path / "r.zip", {"a.yml": text() * 50})
    data = bytearray(path.read_bytes())
    data[60:90] = b"\0" * 30
    path.write_bytes(bytes(data))
    with pytest.raises(UsageError, match=r"r\.zip: cannot be read"):
        load(path)


@pytest.mark.parametrize("name", ["absent.yml", "empty"])
def test_nothing_to_read_is_said(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=name):
        load(tmp_path / name)


def test_a_rule_is_found_by_id_beginning_or_title(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text(text(ONE, "First"))
    (tmp_path / "b.yml").write_text(text(TWO, "Second"))
    catalog = load(tmp_path)
    for name in (ONE, ONE.upper(), "11111111", "First", "first"):
        assert find(catalog, name).id == ONE
    for name, hint in (
        ("1111", "several rules"),
        ("Secnd", "did you mean Second"),
        ("111", "harness rules list"),
        ("zzz", "harness rules list"),
    ):
        with pytest.raises(UsageError, match=hint):
            find(catalog, name)


def test_where_no_rule_is_evaluable_the_reason_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text(text(ONE, product="linux"))
    with pytest.raises(UsageError, match="only Windows events"):
        find(load(tmp_path), ONE)


@needs_recordings
def test_all_of_upstreams_windows_rules() -> None:
    catalog = load(DATA / "sigma" / "rules-windows.zip")
    assert (len(catalog.rules), len(catalog.refused)) == (2399, 8)
    assert all("file_access" in problem.what or "file_rename" in problem.what for problem in catalog.refused)
