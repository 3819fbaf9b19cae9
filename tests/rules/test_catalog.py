"""Catalogs: files, directories and archives; what cannot be evaluated stays in the list with its reason."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.rules.catalog import Catalog, distinct, find, load_catalog, load_rules
from harness.rules.elastic import ElasticRules
from harness.rules.eql_file import EqlFiles
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


def test_a_query_that_is_no_text_is_told_in_an_archive_as_well(tmp_path: Path) -> None:
    made = archive(tmp_path / "r.zip", {"a.eql": b"process where \xff"})
    catalog = load_catalog([made], [EqlFiles()])
    assert [str(problem) for problem in catalog.refused] == [f"{made}/a.eql:1:15: is not UTF-8 text (save the file as UTF-8)"]


def test_a_rule_that_is_passed_on_as_a_text_file(tmp_path: Path) -> None:
    rule = (
        "[rule]\nname = 'x'\nrule_id = '%s'\ntype = 'eql'\nlanguage = 'eql'\nrisk_score = 1\nseverity = 'low'\nquery = 'any where true'\n"
    )
    (tmp_path / "a.txt").write_text(rule % TWO)
    (tmp_path / "b.txt").write_text("A note about\n[rule]\n")
    catalog = load_catalog([tmp_path], [ElasticRules()])
    assert ([rule.id for rule in catalog.rules], catalog.refused) == ([TWO], ())


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


def write(path: Path, rule_id: str, value: str = "1") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        f"title: A rule\nid: {rule_id}\nlogsource: {{product: windows, service: security}}\n"
        f"detection: {{selection: {{A: {value}}}, condition: selection}}\n"
    )
    return path


def test_files_and_directories(tmp_path: Path) -> None:
    one = write(tmp_path / "here" / "deep" / "one.yml", ONE)
    two = write(tmp_path / "two.yaml", TWO)
    (tmp_path / "here" / "README.md").write_text("detection:\n")
    (tmp_path / "here" / "other.yml").write_text("steps: []\n")
    write(tmp_path / "here" / ".hidden" / "three.yml", TWO)
    rules = load_rules([two, tmp_path / "here"], [SigmaRules()])
    assert [(rule.id, rule.source) for rule in rules] == [(TWO, str(two)), (ONE, str(one))]


def test_a_file_reached_twice_is_one(tmp_path: Path) -> None:
    one = write(tmp_path / "one.yml", ONE)
    assert len(load_rules([one, tmp_path, one], [SigmaRules()])) == 1


def test_nothing_asked_for_is_nothing(tmp_path: Path) -> None:
    assert load_rules([], [SigmaRules()]) == ()
    assert load_rules([tmp_path], [SigmaRules()]) == ()


def test_every_problem_of_every_file(tmp_path: Path) -> None:
    first = write(tmp_path / "a.yml", ONE)
    write(tmp_path / "b.yml", ONE)
    write(tmp_path / "c.yml", "none")
    (tmp_path / "d.yml").write_text("detection: [\n")
    (tmp_path / "e.yml").write_bytes(b"\xff")
    (tmp_path / "notes.txt").write_text("detection:\n")
    with pytest.raises(UsageError) as caught:
        load_rules([tmp_path, tmp_path / "absent.yml", tmp_path / "notes.txt"], [SigmaRules()])
    told = [str(problem).removeprefix(str(tmp_path)) for problem in caught.value.problems]
    assert [text.partition(":")[0] for text in told] == ["/b.yml", "/c.yml", "/d.yml", "/e.yml", "/notes.txt", "/absent.yml"]
    assert str(first) in told[0]
    assert "no UUID" in told[1]
    assert "UTF-8" in told[3]
    assert "cannot be read" in told[5]
    assert "no rule in any language" in told[4]


def test_of_rules_that_share_an_id_the_first_is_kept(tmp_path: Path) -> None:
    write(tmp_path / "a.yml", ONE)
    write(tmp_path / "b.yml", ONE)
    write(tmp_path / "c.yml", TWO)
    rules, repeated = distinct(load(tmp_path).rules)
    assert [rule.source for rule in rules] == [str(tmp_path / "a.yml"), str(tmp_path / "c.yml")]
    assert [problem.path for problem in repeated] == [str(tmp_path / "b.yml")]


@needs_recordings
def test_all_of_upstreams_windows_rules() -> None:
    catalog = load(DATA / "sigma" / "rules-windows.zip")
    assert (len(catalog.rules), len(catalog.refused)) == (2406, 1)
    assert "file_rename" in catalog.refused[0].what
