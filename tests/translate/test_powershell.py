"""PowerShell: every script is one to PowerShell's grammar, says what the rule says, and leaves to the log service only what that can."""

from __future__ import annotations

import pytest
import tree_sitter_pwsh
from hypothesis import given, settings
from hypothesis import strategies as st
from tree_sitter import Language, Node, Parser

from harness.model.intent import Rule
from harness.translate.powershell import _quoted, powershell
from harness.translate.refusal import NotExpressible
from tests.needs import needs_recordings
from tests.translate.rules import on, sample, sigma

PARSER = Parser(Language(tree_sitter_pwsh.language()))


def parsed(script: str) -> Node:
    root = PARSER.parse(script.encode()).root_node
    assert not root.has_error, script
    return root


def script_of(rule: Rule) -> str:
    script, _ = powershell(rule)
    parsed(script)
    return script


@settings(deadline=None)
@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20))
def test_a_quoted_text_is_one_literal(text: str) -> None:
    # A text in a place where anything else would be an error of its own.
    root = parsed(f"Write-Output {_quoted(text)} -End")
    assert root.child_count == 1


def test_process_creation_is_asked_of_both_logs() -> None:
    script = script_of(sigma({"Image|endswith": "\\whoami.exe", "CommandLine|contains": ["/all", "[x]*"]}))
    assert "LogName = 'Microsoft-Windows-Sysmon/Operational'; Id = 1 }" in script
    assert "LogName = 'Security'; Id = 4688 }" in script
    assert "$_.Fields['Image'] -like '*\\whoami.exe'" in script
    assert "$_.Fields['NewProcessName'] -like '*\\whoami.exe'" in script
    assert "-like '*`[x`]*'" in script


@pytest.mark.parametrize(
    ("selection", "filtered"),
    [
        ({"EventID": 5156, "DestPort": [5985, 5986], "LayerRTID": 44}, True),
        ({"EventID": 5156, "Application|endswith": "x.exe"}, False),
        ({"EventID": 4624, "LogonType": 3, "TargetUserName": "anna"}, False),
        ({"EventID": 4624, "LogonType": list(range(40))}, False),
        ({"DestPort": 5985}, False),
    ],
)
def test_xpath_is_for_numbers_alone(selection: dict[str, object], filtered: bool) -> None:
    script = script_of(sigma(selection, logsource={"product": "windows", "service": "security"}))
    assert ("-FilterXPath" in script) is filtered
    assert ("Where-Object" in script) is not filtered


def test_many_ids_are_not_left_to_the_log_service() -> None:
    script = script_of(on("System", {"EventID": list(range(1, 40))}))
    assert "-FilterHashtable @{ LogName = 'System' } |" in script
    assert "$_.Id -in 1, 2, 3" in script


@pytest.mark.parametrize(
    ("selection", "said"),
    [
        ({"A": ""}, "$_.Fields['A'] -eq ''"),
        ({"A": "*"}, "$null -ne $_.Fields['A'] -and $_.Fields['A'] -like '*'"),
        ({"A": None}, "$null -eq $_.Fields['A']"),
        ({"A|cased": "x"}, "$_.Fields['A'] -ceq 'x'"),
        ({"A|re": "(?P<n>it's)"}, "$_.Fields['A'] -cmatch '(?<n>it''s)'"),
        ({"A|re|i": "x"}, "$_.Fields['A'] -match 'x'"),
        ({"A|cidr": "10.0.0.0/8"}, "$_.Fields['A'] -match '^\\s*(?:::ffff:)?(?:10)\\."),
        ({"A|gt": 5}, "[double]$_.Fields['A'] -gt 5"),
        ({"A|fieldref": "B"}, "$_.Fields['A'] -eq $_.Fields['B']"),
        ({"A|fieldref|contains": "B"}, "[StringComparison]::OrdinalIgnoreCase) -ge 0"),
        ({"Message|contains": "x"}, "$fields['Message'] = $_.Message"),
        ({"A|exists": False}, "$null -eq $_.Fields['A']"),
    ],
)
def test_single_tests(selection: dict[str, object], said: str) -> None:
    assert said in script_of(on("System", selection))


def test_keywords_are_asked_of_all_values() -> None:
    script = script_of(on("System", {}, selections={"words": ["a'b", "c*d"]}, condition="selection and words"))
    assert "[bool](@($_.Fields.Values) -like '*a''b*')" in script


def test_what_is_not_said_is_named() -> None:
    with pytest.raises(NotExpressible, match="possessive"):
        powershell(on("System", {"A|re": "a++"}))
    with pytest.raises(NotExpressible, match="no event"):
        powershell(on("System", {"EventID": 1}, selections={"other": {"EventID": 2}}, condition="selection and other"))


@needs_recordings
def test_scripts_of_real_rules_are_powershell() -> None:
    for rule in sample(150, seed=21):
        script_of(rule)
