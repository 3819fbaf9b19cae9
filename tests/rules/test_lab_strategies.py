"""The lab's own strategy: it holds, by the lab's own rules and the starter scenarios, and its words are ours."""

from __future__ import annotations

import re

import jsonschema
import pytest

from harness.documents import parse_yaml, read_text
from harness.logic.priority import priority_of
from harness.model.facts import Event
from harness.model.intent import Severity
from harness.rules.catalog import load_rules
from harness.rules.languages import rule_sources
from harness.rules.strategy import load_strategies, strategy_schema
from harness.rules.strategy_lint import lint
from harness.scenarios import load_scenarios
from tests.builders import SECURITY, SYSMON, event
from tests.needs import ROOT
from tests.rules.sigma_data import LAB_RULES

FILE_NAME = "incoming_execution_powershell_remoting.strategy.yml"
RULES = {rule.id: rule for rule in load_rules([LAB_RULES], rule_sources())}
SCENARIOS = {scenario.id: scenario for scenario in load_scenarios([ROOT / "scenarios"], None)}
(FILE,), _ = load_strategies([LAB_RULES])
STRATEGY = FILE.strategy
SEED = next((ROOT.parent / "shared" / "seeds").glob("002_*.txt"), None)


def test_it_holds() -> None:
    assert load_strategies([LAB_RULES])[1] == ()
    assert list(lint(STRATEGY, RULES, SCENARIOS, driver_is_windows=False)) == []
    jsonschema.Draft202012Validator(strategy_schema()).validate(parse_yaml(read_text(LAB_RULES / "strategies" / FILE_NAME), "x").value)


def test_it_is_about_the_rule_of_the_document() -> None:
    assert STRATEGY.rule == "2772264c-6fb9-4d9d-9014-b416eed21254"
    assert STRATEGY.priority.default is Severity.MEDIUM
    assert len(STRATEGY.blind_spots) == 3
    assert [spot.not_detonable is None for spot in STRATEGY.blind_spots] == [True, True, False]


def test_the_validation_that_most_write_ups_give_is_one_of_its_blind_spots() -> None:
    step = STRATEGY.blind_spots[0].step
    assert step is not None
    (blind,) = SCENARIOS[step.scenario].steps
    assert "Get-Service" in str(blind.action)


def child(image: str, original: str = "") -> Event:
    flat = {"Image": rf"C:\Windows\System32\{image}", "ParentImage": r"C:\Windows\System32\wsmprovhost.exe", "OriginalFileName": original}
    return event(image, SYSMON, 1, 1.0, flat)


@pytest.mark.parametrize(
    ("last", "expected"),
    [
        (child("cmd.exe"), Severity.HIGH),
        (child("PowerShell.exe"), Severity.HIGH),
        (child("mimikatz.exe"), Severity.HIGH),
        (child("mimikatz64.exe"), Severity.HIGH),
        (child("notes.exe", "Cmd.Exe"), Severity.HIGH),
        (child("notes.exe", "PowerShell.EXE"), Severity.HIGH),
        (child("whoami.exe", "whoami.exe"), Severity.MEDIUM),
        (child("hostname.exe", "hostname.exe"), Severity.MEDIUM),
        (child("notcmd.exe"), Severity.MEDIUM),
        (event("s", SECURITY, 4688, 1.0, {"NewProcessName": r"C:\Windows\System32\cmd.exe"}), Severity.HIGH),
        (event("s", SECURITY, 4688, 1.0, {"NewProcessName": r"C:\Windows\System32\whoami.exe"}), Severity.MEDIUM),
    ],
)
def test_its_priority(last: Event, expected: Severity) -> None:
    connection = event("c", SYSMON, 3, 0.0, {"DestinationPort": "5985", "Initiated": "false", "Image": "System"})
    assert priority_of(STRATEGY.priority, [connection, last]) is expected


@pytest.mark.skipif(SEED is None, reason="the document is not there")
def test_its_words_are_its_own() -> None:
    """No six words in a row of the document, but for names and queries that both must write alike."""
    assert SEED is not None

    def runs(text: str) -> set[tuple[str, ...]]:
        words = re.findall(r"\w+", text.lower())
        return set(zip(*(words[start:] for start in range(6)), strict=False))

    ours = read_text(LAB_RULES / "strategies" / FILE_NAME).partition("references:")[0]
    assert runs(ours) & runs(SEED.read_text(encoding="utf-8")) == set()
