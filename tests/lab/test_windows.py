"""What makes a real host a target: the scripts parse, the data is the table's, and it is enough for the lab's own rules."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest
import tree_sitter_pwsh
from tree_sitter import Language, Node, Parser

from harness.events.audit import SETTINGS, SYSMON_TAGS, Editor, events_behind, settings_behind
from harness.logic.needs import ANY_CHANNEL, ANY_EVENT_ID, rule_kinds
from harness.model.intent import Rule
from harness.rules.catalog import load_rules
from harness.rules.languages import rule_sources
from lab.process import RULE_PACK
from lab.windows.data import CHANNELS, FILES, provisioned, traced
from tests.needs import ROOT

HERE = ROOT / "lab" / "windows"
SCRIPTS = sorted(path for path in HERE.iterdir() if path.suffix in (".ps1", ".psm1", ".psd1"))
PARSER = Parser(Language(tree_sitter_pwsh.language()))
RULES = [rule for rule in load_rules([RULE_PACK], rule_sources(), None) if not rule.not_evaluated]


def nodes(path: Path) -> Iterator[Node]:
    waiting = [PARSER.parse(path.read_bytes()).root_node]
    while waiting:
        node = waiting.pop()
        yield node
        waiting.extend(node.children)


def text(node: Node) -> str:
    assert node.text is not None
    return node.text.decode()


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_it_is_powershell(path: Path) -> None:
    assert [(node.start_point, text(node)[:80]) for node in nodes(path) if node.is_error or node.is_missing] == []


@pytest.mark.parametrize("name", FILES)
def test_the_data_is_what_the_table_says(name: str) -> None:
    assert (HERE / name).read_bytes().decode() == FILES[name](), "python -m lab.windows makes it anew"


def test_a_command_of_ours_that_a_script_calls_is_in_the_module() -> None:
    made = set(re.findall(r"^function ([\w-]+)", (HERE / "LabTarget.psm1").read_text(), re.MULTILINE))
    called = {text(node) for path in SCRIPTS for node in nodes(path) if node.type == "command_name" and "-Lab" in text(node)}
    assert called <= made
    assert made - called == {"Get-LabMissingKey", "New-LabResult"} & (made - called), "nobody calls it"


@pytest.mark.parametrize("path", [path for path in SCRIPTS if path.suffix == ".ps1"], ids=lambda path: path.name)
def test_a_script_says_what_it_does_and_changes_nothing_without_being_asked(path: Path) -> None:
    script = path.read_text()
    assert ".SYNOPSIS" in script
    assert ".EXAMPLE" in script
    if path.name != "Test-LabTarget.ps1":
        assert "SupportsShouldProcess" in script
        assert "Assert-LabHost -Confirmed $ThisIsALabHost.IsPresent" in script
    parameters = re.findall(r"^    \[.*?\] \$(\w+)", script.partition("\nparam(")[2].partition("\n)")[0], re.MULTILINE)
    told = set(re.findall(r"^\.PARAMETER (\w+)", script, re.MULTILINE))
    if path.name == "Enable-LabTarget.ps1":
        assert told | {"CertificateThumbprint"} == set(parameters)


def kinds(rule: Rule) -> Iterator[tuple[str, int]]:
    for channel, number in rule_kinds(rule):
        if channel != ANY_CHANNEL and number != ANY_EVENT_ID and isinstance(number, int):
            yield channel, number


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_a_target_logs_and_ships_a_kind_of_event_that_a_rule_of_the_pack_can_match(rule: Rule) -> None:
    given = {setting.name for setting in (*provisioned(), *traced())}
    shipped = {channel.lower() for channel in CHANNELS}
    assert [
        (channel, number)
        for channel, number in kinds(rule)
        if channel.lower() in shipped and {setting.name for setting in settings_behind(channel, number)} <= given
    ]


def test_every_setting_names_the_events_that_depend_on_it() -> None:
    for setting in SETTINGS.values():
        for channel, number in events_behind(setting):
            assert setting in settings_behind(channel, number)
    known = {setting.name for setting in SETTINGS.values() if events_behind(setting)}
    assert {setting.name for setting in SETTINGS.values() if setting.editor in (Editor.AUDIT, Editor.SYSMON)} <= known


def test_sysmons_configuration_traces_what_is_said_and_nothing_else() -> None:
    root = ElementTree.parse(HERE / "sysmon.xml").getroot()
    rules = {rule.tag: rule.attrib for group in root.iter("RuleGroup") for rule in group}
    assert root.attrib == {"schemaversion": "4.50"}
    assert {tag for tag, given in rules.items() if given == {"onmatch": "exclude"}} == {setting.title for setting in traced()}
    assert all(given["onmatch"] in ("include", "exclude") for given in rules.values())
    assert rules.keys() <= set(SYSMON_TAGS.values())


def test_the_containers_are_as_the_compose_specification_demands_and_hold_no_secret() -> None:
    compose = ROOT / "lab" / "compose.yml"
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(compose)]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    body = compose.read_text()
    assert all(line.strip().startswith('- "127.0.0.1:') for line in re.findall(r"^\s+- \"\d.*:\d+:\d+\"$", body, re.MULTILINE))
    for secret in re.findall(r"^\s+\w*(?:PASSWORD|KEY): (.*)$", body, re.MULTILINE):
        assert secret.startswith("${"), secret
    images = re.findall(r"image: \S+:(\S+)", body)
    assert images
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in images)
    assert json.dumps(".env") in json.dumps((ROOT / ".gitignore").read_text().split())
