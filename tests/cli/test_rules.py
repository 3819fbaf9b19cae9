"""`harness rules` as its users have it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.commands import harness
from tests.needs import DATA, needs_recordings

ZIP = DATA / "sigma" / "rules-windows.zip"
SESSION_COMMAND = "96b9f619-aa91-478f-bacb-c3e50f8df575"


def write(path: Path, body: str = "A: 1") -> Path:
    path.write_text(
        'title: "mine \\e[31m"\nid: 11111111-1111-4111-8111-111111111111\nlogsource: {product: windows, service: security}\n'
        f"detection: {{selection: {{{body}}}, condition: selection}}\nlevel: low\n"
    )
    return path


def test_list(tmp_path: Path) -> None:
    ended = harness("rules", "list", cwd=tmp_path)
    assert ended.code == 0
    assert "7 rules, 0 not evaluable" in ended.out
    assert SESSION_COMMAND in ended.out
    write(tmp_path / "good.yml")
    (tmp_path / "bad.yml").write_text("title: x\ndetection: {}\n")
    ended = harness("rules", "list", "--rules", ".", "--json", "-", cwd=tmp_path)
    document = json.loads(ended.out)
    assert [rule["level"] for rule in document["rules"]] == ["low"]
    assert document["rules"][0]["kinds"] == [{"provider": "Security auditing", "channel": "Security", "event_id": None, "title": ""}]
    assert {problem["path"] for problem in document["refused"]} == {"bad.yml"}
    ended = harness("rules", "list", "--rules", ".", cwd=tmp_path)
    assert "bad.yml:1:1: has no id" in ended.out
    assert "\x1b" not in ended.out


def test_show_and_explain(tmp_path: Path) -> None:
    ended = harness("rules", "show", "96b9f619", cwd=tmp_path)
    assert ended.code == 0
    assert "    ContextInfo|contains|all: [' = ServerRemoteHost ', 'wsmprovhost.exe']" in ended.out
    ended = harness("rules", "explain", "96b9f619", "--json", "page.json", cwd=tmp_path)
    assert (ended.code, ended.out) == (0, "")
    page = json.loads((tmp_path / "page.json").read_text())
    assert page["header"]["log source"] == "product windows, category ps_module"
    assert page["catalog"]["rules"] == 7
    assert [each["value"] for each in page["indicators"]] == [" = ServerRemoteHost ", "wsmprovhost.exe"]
    ended = harness("rules", "explain", "96b9f61", cwd=tmp_path)
    assert ended.code == 0
    for heading in ("MITRE ATT&CK coverage", "Event coverage", "Rule body", "Stages and predicates", "Exclusions", "Indicators"):
        assert f"\n{heading}\n" in ended.out
    assert "' = ServerRemoteHost '" in ended.out


def test_lint(tmp_path: Path) -> None:
    ended = harness("rules", "lint", cwd=tmp_path)
    assert ended.code == 1
    assert "session_command_logged.yml:12: line end: " in ended.out
    write(tmp_path / "good.yml")
    assert harness("rules", "lint", "good.yml", cwd=tmp_path).code == 0
    write(tmp_path / "never.yml", "EventID: 1, Channel: Application")
    ended = harness("rules", "lint", "--rules", "never.yml", "--json", "-", cwd=tmp_path)
    assert (ended.code, [each["fault"] for each in json.loads(ended.out)["findings"]]) == (1, ["never matches"])
    (tmp_path / "watch.json").write_text('{"trigger": {}, "input": {}, "condition": {"compare": {"ctx.payload.hits.total": {"gt": 0}}}}')
    ended = harness("rules", "lint", "watch.json", "good.yml", cwd=tmp_path)
    assert ended.code == 1
    assert ended.out.startswith("watch.json:1:")
    (tmp_path / "no-id.yml").write_text("title: x\nlogsource: {product: windows}\ndetection: {a: {A: 1}, condition: a}\n")
    ended = harness("rules", "lint", "no-id.yml", cwd=tmp_path)
    assert ended.code == 1
    assert "has no id" in ended.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("list", "--rules", "absent"), "absent: is not there"),
        (("show", "nothing-like-it"), "there is no rule 'nothing-like-it'"),
        (("explain",), "Missing argument"),
        (("list", "--json", "no/such/directory.json"), "cannot be written"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    ended = harness("rules", *arguments, cwd=tmp_path)
    assert ended.code == 2
    assert said in ended.err


@needs_recordings
def test_seed_003(tmp_path: Path) -> None:
    ended = harness("rules", "explain", "c539afac", "--rules", str(ZIP), cwd=tmp_path)
    assert ended.code == 0
    for line in (
        "  Stage 0: condition",
        "      selection and not 1 of filter_main_* and not 1 of filter_optional_*",
        "  Stage 1: selection",
        "  Stage 2: not filter_main_*",
        "  Stage 3: not filter_optional_avast",
        "  T1059.001, T1021.006",
    ):
        assert f"\n{line}\n" in ended.out
    assert "Counted: 2406 rules of" in ended.out
