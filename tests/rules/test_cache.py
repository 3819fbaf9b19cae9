"""What rule files were parsed to is kept: the same rules come back, without parsing, and nothing that is damaged or another's."""

from __future__ import annotations

import gc
import os
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import UsageError
from harness.ports import Linked
from harness.rules import cache as module
from harness.rules.cache import RuleCache, user_cache, without_collections
from harness.rules.catalog import Catalog, load_catalog, load_rules
from harness.rules.eql_file import EqlFiles
from harness.rules.sigma import SigmaRules
from tests.needs import DATA, needs_recordings
from tests.rules.test_catalog import TWO, archive, text

posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows keeps each user's cache in a directory of his own")


class Counting(SigmaRules):
    """Sigma's loader, which counts the texts that it parses."""

    def __init__(self) -> None:
        self.parsed: list[str] = []

    def link(self, texts: Sequence[tuple[str, str]]) -> Linked:
        self.parsed.extend(name for name, _ in texts)
        return super().link(texts)


def load(directory: Path, *paths: Path) -> tuple[Catalog, list[str]]:
    """The catalog, and what was parsed for it."""
    source = Counting()
    return load_catalog(paths, [source], RuleCache(directory)), source.parsed


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    """A directory of rules, one of which cannot be evaluated, and of what is none."""
    made = tmp_path / "rules"
    made.mkdir()
    (made / "a.yml").write_text(text(), newline="\r\n")
    (made / "b.yml").write_text(text(TWO) + "---\n" + text("11112222-2222-4222-8222-222222222223"))
    (made / "c.yml").write_text(text(product="linux"))
    (made / "README.md").write_text("detection:\n")
    return made


def test_the_same_comes_back_unparsed(rules: Path, kept: Path) -> None:
    plain = load_catalog([rules], [SigmaRules()])
    assert load(kept, rules) == (plain, [str(rules / name) for name in ("a.yml", "b.yml", "c.yml")])
    assert load(kept, rules) == (plain, [])


def test_what_changed_is_parsed_and_nothing_else(rules: Path, kept: Path) -> None:
    load(kept, rules)
    (rules / "a.yml").write_text(text(title="Another"))
    (rules / "d.yml").write_text(text("11112222-2222-4222-8222-222222222224"))
    catalog, parsed = load(kept, rules)
    assert parsed == [str(rules / "a.yml"), str(rules / "d.yml")]
    assert catalog == load_catalog([rules], [SigmaRules()])
    assert load(kept, rules)[1] == []


def test_a_file_is_known_wherever_it_stands(rules: Path, kept: Path, tmp_path: Path) -> None:
    load(kept, rules)
    packed = archive(tmp_path / "r.zip", {f"x/{path.name}": path.read_bytes() for path in rules.iterdir()})
    moved = rules.rename(tmp_path / "moved")
    for place in (packed, moved):
        catalog, parsed = load(kept, place)
        assert parsed == []
        assert catalog == load_catalog([place], [SigmaRules()])
    assert {rule.source for rule in load(kept, packed)[0].rules} == {f"{packed}/x/a.yml", f"{packed}/x/b.yml"}


def test_a_title_that_is_the_files_name_goes_with_it(kept: Path, tmp_path: Path) -> None:
    file = tmp_path / "one.eql"
    file.write_text("any where true")
    titles: list[str] = []
    for name in ("one.eql", "two.eql", "two.eql"):
        file = file.rename(tmp_path / name)
        titles.extend(rule.title for rule in load_rules([file], [EqlFiles()], RuleCache(kept)))
    assert titles == ["one", "two", "two"]


def test_an_archive_fills_the_cache_as_well(kept: Path, tmp_path: Path) -> None:
    packed = archive(tmp_path / "r.zip", {"a.yml": text(), "notes.txt": "detection:\n", "bad.yml": b"logsource: \xff"})
    first, parsed = load(kept, packed)
    assert len(parsed) == 1
    assert load(kept, packed) == (first, [])


CORRELATION = """title: Many
id: 33333333-3333-4333-8333-333333333333
correlation: {type: event_count, rules: [counted], group-by: [Computer], timespan: 1m, condition: {gte: 3}}
"""


def test_rules_that_refer_to_each_other_are_known_together_alone(kept: Path, tmp_path: Path) -> None:
    place = tmp_path / "rules"
    place.mkdir()
    (place / "a.yml").write_text(text() + "name: counted\n")
    alone, _ = load(kept, place)
    assert not alone.rules[0].counted_by
    (place / "b.yml").write_text(CORRELATION)
    together, parsed = load(kept, place)
    assert len(parsed) == 2
    assert [rule.counted_by for rule in together.rules] == ["Many", ""]
    assert load(kept, place) == (together, [])
    (place / "a.yml").write_text(text(title="Another") + "name: counted\n")
    changed, parsed = load(kept, place)
    assert len(parsed) == 2
    assert [rule.title for rule in changed.rules] == ["Another", "Many"]
    (place / "b.yml").unlink()
    assert not load(kept, place)[0].rules[0].counted_by


def test_errors_are_raised_as_ever(rules: Path, kept: Path) -> None:
    for _ in range(2):
        with pytest.raises(UsageError) as raised:
            load_rules([rules / "c.yml"], [SigmaRules()], RuleCache(kept))
        assert [(problem.path, problem.line) for problem in raised.value.problems] == [(str(rules / "c.yml"), 3)]


def test_loaders_do_not_share_what_they_found(rules: Path, kept: Path) -> None:
    load(kept, rules)
    other = load_catalog([rules], [SigmaRules()], RuleCache(kept))
    assert other == load_catalog([rules], [SigmaRules()])


def test_a_large_file_is_read_as_ever(rules: Path, kept: Path) -> None:
    (rules / "a.yml").write_text(text() + "# " + "x" * (1 << 20) + "\n")
    assert [str(rules / "a.yml")] == load(kept, rules)[1][:1] == load(kept, rules)[1]


@pytest.mark.parametrize("place", [0, 0.2, 0.5, 0.9, 0.999])
def test_a_truncated_cache_is_as_good_as_none(rules: Path, kept: Path, place: float) -> None:
    plain, _ = load(kept, rules)
    file = kept / "rules.jsonl"
    whole = file.read_bytes()
    file.write_bytes(whole[: int(len(whole) * place)])
    assert load(kept, rules)[0] == plain
    assert file.read_bytes().count(b"\n") == whole.count(b"\n")  # written anew
    assert load(kept, rules) == (plain, [])


@settings(max_examples=40)
@given(data=st.data())
def test_a_damaged_cache_never_gives_another_rule(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    (folder / "a.yml").write_text(text())
    plain, _ = load(folder / "cache", folder / "a.yml")
    file = folder / "cache" / "rules.jsonl"
    whole = bytearray(file.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    file.write_bytes(whole)
    assert load(folder / "cache", folder / "a.yml")[0] == plain


def test_an_entry_that_is_no_rule_is_parsed_anew(rules: Path, kept: Path) -> None:
    plain, _ = load(kept, rules)
    file = kept / "rules.jsonl"
    salt, *lines = file.read_bytes().split(b"\n")
    entry = b'[[["FieldName","x"]],[true],[]]'
    forged = [line[:32] + module._sum(line[:32] + entry) + entry for line in lines if line]
    file.write_bytes(b"\n".join([salt, *forged, b""]))
    assert load(kept, rules)[0] == plain


def test_what_another_version_wrote_is_not_read(rules: Path, kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load(kept, rules)
    monkeypatch.setattr(module, "_salt", lambda: b"purple-harness rules of another version")
    assert len(load(kept, rules)[1]) == 3
    assert load(kept, rules)[1] == []
    monkeypatch.undo()
    assert len(load(kept, rules)[1]) == 3


@posix
def test_what_others_may_write_is_not_read(rules: Path, kept: Path) -> None:
    load(kept, rules)
    kept.chmod(0o777)
    assert len(load(kept, rules)[1]) == 3
    kept.chmod(0o700)
    assert load(kept, rules)[1] == []


@posix
def test_the_cache_is_for_its_owner_alone(rules: Path, kept: Path) -> None:
    load(kept, rules)
    assert kept.stat().st_mode & 0o777 == 0o700


def test_without_a_place_rules_are_parsed_as_ever(rules: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert load(tmp_path / "file" / "cache", rules)[0] == load_catalog([rules], [SigmaRules()])


def test_what_is_asked_for_lately_stays_where_room_is_short(
    rules: Path, kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(kept, rules)
    used = (kept / "rules.jsonl").stat().st_size
    monkeypatch.setattr(module, "_MOST_BYTES", used)
    (tmp_path / "new.yml").write_text(text(title="new"))
    load(kept, tmp_path / "new.yml")
    assert (kept / "rules.jsonl").stat().st_size <= used + 100
    assert load(kept, tmp_path / "new.yml")[1] == []
    assert load(kept, rules)[1] != []


def test_two_catalogs_share_a_cache(rules: Path, kept: Path, tmp_path: Path) -> None:
    (tmp_path / "new.yml").write_text(text(title="new"))
    load(kept, rules)
    load(kept, tmp_path / "new.yml")
    assert load(kept, rules, tmp_path / "new.yml")[1] == []


def test_collections_go_on_afterwards() -> None:
    with without_collections(), without_collections():
        assert not gc.isenabled()
    assert gc.isenabled()


def test_the_users_cache_is_where_the_system_has_it(rules: Path) -> None:
    source = Counting()
    for _ in range(2):
        load_catalog([rules], [source], user_cache())
    assert len(source.parsed) == 3
    if sys.platform == "linux":
        assert (Path(os.environ["XDG_CACHE_HOME"]) / "purple-harness" / "rules.jsonl").is_file()


@needs_recordings
def test_all_upstream_rules_come_back(kept: Path) -> None:
    path = DATA / "sigma" / "rules-windows.zip"
    first, parsed = load(kept, path)
    with zipfile.ZipFile(path) as opened:
        assert len(parsed) == sum(name.startswith("rules/") for name in opened.namelist())
    second, again = load(kept, path)
    assert again == []
    assert second == first
