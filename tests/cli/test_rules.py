"""`harness rules` as its users have it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from tests.cli.commands import harness
from tests.needs import DATA, ROOT, needs_recordings

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
    assert "10 rules, 0 not evaluable" in ended.out
    assert SESSION_COMMAND in ended.out
    write(tmp_path / "good.yml")
    (tmp_path / "bad.yml").write_text("title: x\ndetection: {}\n")
    ended = harness("rules", "list", "--rules", ".", "--json", "-", cwd=tmp_path)
    document = json.loads(ended.out)
    assert [rule["level"] for rule in document["rules"]] == ["low"]
    assert document["rules"][0]["kinds"] == [{"provider": "Security auditing", "channel": "Security", "event_id": None, "title": ""}]
    assert {problem["path"] for problem in document["refused"]} == {"bad.yml"}
    ended = harness("rules", "list", "--rules", ".", cwd=tmp_path)
    assert "bad.yml:1:1: has no log source" in ended.out
    assert "\x1b" not in ended.out


def test_show_and_explain(tmp_path: Path) -> None:
    ended = harness("rules", "show", "96b9f619", cwd=tmp_path)
    assert ended.code == 0
    assert "    ContextInfo|contains|all: [' = ServerRemoteHost ', 'wsmprovhost.exe']" in ended.out
    ended = harness("rules", "explain", "96b9f619", "--json", "page.json", cwd=tmp_path)
    assert (ended.code, ended.out) == (0, "")
    page = json.loads((tmp_path / "page.json").read_text())
    assert page["header"]["log source"] == "product windows, category ps_module"
    assert page["catalog"]["rules"] == 10
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
    assert "no id: it has no id" in ended.out


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


SEQUENCE = "2772264c-6fb9-4d9d-9014-b416eed21254"


def test_a_sequence_of_elastics_has_a_page(tmp_path: Path) -> None:
    ended = harness("rules", "explain", SEQUENCE[:8], cwd=tmp_path)
    assert ended.code == 0
    for line in (
        "  risk score       47",
        "  schedule         every 5m, over the last 9m",
        "  tactics          TA0008, TA0002",
        "What it needs",
        "      2 events of the same host.id, one after the other, within 30s",
        "  Stage 1: event 1",
        "  Stage 2: event 2",
    ):
        assert any(said.startswith(line) for said in ended.out.splitlines()), line
    ended = harness("rules", "explain", SEQUENCE, "--json", "-", cwd=tmp_path)
    page = json.loads(ended.out)
    assert {need["need"] for need in page["needs"]} == {"event", "network leg", "child process", "several events"}
    assert [need["how"] for need in page["needs"] if need["need"] == "child process"] == ["whoami.exe"]
    assert {"provider": "Sysmon", "channel": "Microsoft-Windows-Sysmon/Operational", "event_id": 3, "title": "Network connection"} in page[
        "kinds"
    ]


def test_a_rule_that_is_not_evaluated_is_listed_shown_and_explained_with_its_reason(tmp_path: Path) -> None:
    lines = ('rule_id = "7"', 'name = "a name"', 'type = "esql"', 'severity = "low"', 'building_block_type = "default"', 'query = "from x"')
    (tmp_path / "esql.toml").write_text("\n".join(("[rule]", *lines, "")))
    reason = "ES|QL is not evaluated here"
    for command in (("list",), ("show", "7"), ("explain", "7")):
        ended = harness("rules", *command, "--rules", "esql.toml", cwd=tmp_path)
        assert ended.code == 0
        assert reason in ended.out
    assert "1 rules, 1 of them not evaluated, 0 not evaluable" in harness("rules", "list", "--rules", "esql.toml", cwd=tmp_path).out
    assert "building block" in ended.out
    listed = json.loads(harness("rules", "list", "--rules", "esql.toml", "--json", "-", cwd=tmp_path).out)
    assert [rule["not_evaluated"] for rule in listed["rules"]] == [reason]
    (tmp_path / "x.scenario.yml").write_text("id: x\ntitle: x\nsteps:\n  - name: x\n    connect: {}\n    expect:\n      - rule: '7'\n")
    for asked in ("plan", "run"):
        ended = harness(asked, "x.scenario.yml", "--lab", "--rules", "esql.toml", cwd=tmp_path)
        assert ended.code == 2
        assert f"x.scenario.yml:7:9: steps[1].expect[1].rule cannot be expected to do anything: {reason}" in ended.err


def test_the_validation_of_seed_002_is_known_to_exercise_nothing(tmp_path: Path) -> None:
    text = "id: seed-{0}\ntitle: as the strategy says\nsteps:\n  - name: typed\n    enter_pssession: [{1}]\n    expect: [{{rule: {2}}}]\n"
    (tmp_path / "service.scenario.yml").write_text(text.format("one", "Get-Service", SEQUENCE))
    ended = harness("plan", "service.scenario.yml", "--target", "lab-ws1", "--lab", cwd=tmp_path)
    assert ended.code == 0
    assert "NOT_EXERCISABLE" in ended.out
    assert "a cmdlet runs inside that host and starts" in " ".join(ended.out.split())
    assert "would do: whoami.exe" in ended.out
    (tmp_path / "whoami.scenario.yml").write_text(text.format("two", "whoami.exe", SEQUENCE))
    ended = harness("plan", "whoami.scenario.yml", "--target", "lab-ws1", "--lab", cwd=tmp_path)
    assert "should fire" in ended.out
    assert "0 not exercisable" in ended.out


def test_lint_of_elastics_forms(tmp_path: Path) -> None:
    pack = ROOT / "lab" / "rules" / "elastic"
    ended = harness("rules", "lint", str(pack / "session_child_after_http_connection.toml"), cwd=tmp_path)
    assert ended.code == 1
    assert "told by no event: in event 1, it wants network.protocol" in ended.out
    for name in ("session_child_after_connection.toml", "remote_shell_child_after_connection.toml"):
        assert harness("rules", "lint", str(pack / name), cwd=tmp_path).code == 0


def test_translate(tmp_path: Path) -> None:
    ended = harness("rules", "translate", "96b9f619", "--page", "page.md", cwd=tmp_path)
    assert ended.code == 0
    for name in (
        "source",
        "powershell",
        "es-qs",
        "xpack-watcher",
        "graylog",
        "splunk",
        "logpoint",
        "grep",
        "eql",
        "spark-sql",
        "elastic-rule",
    ):
        assert f"\n{name}: " in ended.out
        assert f"\n### {name}\n" in (tmp_path / "page.md").read_text()
    assert "\ngrep -P '^(?i)" in ended.out
    ended = harness("rules", "translate", "96b9f619", "--to", "grep", "--to", "eql", "--json", "-", cwd=tmp_path)
    document = json.loads(ended.out)
    assert (ended.code, [each["target"] for each in document["translations"]]) == (0, ["grep", "eql"])


def test_translate_says_when_nothing_can_be_said(tmp_path: Path) -> None:
    write(tmp_path / "two.yml", "A|fieldref: B")
    ended = harness("rules", "translate", "mine", "--rules", "two.yml", "--to", "eql", cwd=tmp_path)
    assert (ended.code, "not expressible: it compares the fields A and B" in ended.out) == (2, False)  # the title has an escape in it
    ended = harness("rules", "translate", "11111111", "--rules", "two.yml", "--to", "eql", cwd=tmp_path)
    assert (ended.code, "not expressible: it compares the fields A and B" in ended.out) == (1, True)
    ended = harness("rules", "translate", "11111111", "--rules", "two.yml", "--to", "sigmaql", cwd=tmp_path)
    assert ended.code == 2
    assert "--to: there is no language 'sigmaql'" in ended.err


def test_files_for_elastalert2(tmp_path: Path) -> None:
    out = tmp_path / "made" / "rules"
    found = harness("rules", "translate", "--to", "elastalert", "--out", str(out), "--index", "a-*", "--index", "b", cwd=tmp_path)
    assert found.code == 0, found.said
    assert found.out.splitlines()[-1] == "7 files, 3 rules without one"
    assert "which ElastAlert2 cannot look for" in found.out
    assert "trap, mended - unnamed strings" in found.out
    files = {path.name: yaml.safe_load(path.read_text()) for path in out.iterdir()}
    assert len(files) == 7
    assert {content["index"] for content in files.values()} == {"a-*,b"}
    assert all(name.removesuffix(".yaml") in content["name"] for name, content in files.items())


def test_a_file_for_elastalert2_of_one_rule_asks_the_indices_of_the_settings(tmp_path: Path) -> None:
    (tmp_path / "harness.toml").write_text('[siem]\nkind = "elasticsearch"\nurl = "http://127.0.0.1:9"\nevents = ["mine-*"]\n')
    found = harness("rules", "translate", "13acf386", "--to", "elastalert", "--out", "out", "--json", "-", cwd=tmp_path)
    assert found.code == 0, found.said
    (said,) = json.loads(found.out)["rules"]
    assert yaml.safe_load((tmp_path / said["file"]).read_text())["index"] == "mine-*"
    assert {trap["name"]: trap["mended"] for trap in said["traps"]} == {"case": True, "unmapped 5156": True}
    sequence = harness("rules", "translate", "8f0c6d0e", "--to", "elastalert", "--out", "out", cwd=tmp_path)
    assert sequence.code == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--to", "eql", "--out", "out"), "--out: is for rule files of ElastAlert2"),
        (("13acf386", "--to", "elastalert", "--to", "eql", "--out", "out"), "--out: is for rule files of ElastAlert2"),
        (("--to", "elastalert"), "which rule?"),
        (("13acf386", "--to", "elastalert", "--index", "x"), "--index: is of no use without --out"),
        (("13acf386", "--to", "elastalert", "--out", "taken"), "cannot be written"),
    ],
)
def test_what_no_files_can_be_written_of(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    (tmp_path / "taken").write_text("a file")
    found = harness("rules", "translate", *arguments, cwd=tmp_path)
    assert found.code == 2
    assert said in found.err
