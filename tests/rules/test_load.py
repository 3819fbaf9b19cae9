"""From paths to rules: what is found, what is passed over, and that every problem of every file is told at once."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.rules.load import load_evaluable, load_rules
from harness.rules.sigma import SigmaRules

ONE = "11111111-1111-4111-8111-111111111111"
TWO = "22222222-2222-4222-8222-222222222222"


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


def test_a_zip_of_rules(tmp_path: Path) -> None:
    write(tmp_path / "a.yml", ONE)
    write(tmp_path / "b.yml", "none")
    pack = tmp_path / "rules.bin"
    with zipfile.ZipFile(pack, "w") as archive:
        archive.write(tmp_path / "a.yml", "deep/a.yml")
        archive.write(tmp_path / "b.yml", "../../b.yml")
        archive.writestr("README.md", "detection:\n")
        archive.writestr("long.yml", b"detection:\n" * 200_000)
    loaded = load_evaluable([pack], [SigmaRules()])
    assert [(rule.id, rule.source) for rule in loaded.rules] == [(ONE, f"{pack}/deep/a.yml")]
    assert not loaded.named
    assert [(problem.path, problem.line) for problem in loaded.found] == [(f"{pack}/../../b.yml", 2), (f"{pack}/long.yml", 0)]
    assert "2,200,000 bytes" in loaded.found[1].what


def test_a_damaged_zip_is_named(tmp_path: Path) -> None:
    pack = tmp_path / "rules.zip"
    with zipfile.ZipFile(pack, "w") as archive:
        archive.writestr("a.yml", "detection:\n" * 100)
    pack.write_bytes(pack.read_bytes().replace(b"detection:", b"xetection:"))
    (problem,) = load_evaluable([pack], [SigmaRules()]).named
    assert problem.path == str(pack)
    assert "cannot be read" in problem.what


def test_what_is_not_evaluable_stands_in_nobodys_way(tmp_path: Path) -> None:
    write(tmp_path / "in" / "a.yml", ONE)
    write(tmp_path / "in" / "b.yml", ONE)
    write(tmp_path / "c.yml", "none")
    loaded = load_evaluable([tmp_path / "in", tmp_path / "c.yml"], [SigmaRules()])
    assert [rule.id for rule in loaded.rules] == [ONE]
    assert [problem.path for problem in loaded.found] == [str(tmp_path / "in" / "b.yml")]
    assert [problem.path for problem in loaded.named] == [str(tmp_path / "c.yml")]
