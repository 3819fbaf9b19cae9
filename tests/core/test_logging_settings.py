"""What a target is asked about its logging, and what its answer means for the rules that are to fire on it."""

from __future__ import annotations

import pytest

from harness.core.logging_settings import findings, mend, needed, question, told
from harness.events.audit import SETTINGS
from harness.events.ecs import POWERSHELL, SYSMON
from harness.model.health import Health
from harness.model.intent import Rule
from harness.model.tree import And, Op, Or, Test
from tests.builders import SECURITY, rule

CREATION = SETTINGS["process-creation"]
CREATED = rule("created", SECURITY, 4688)
BLOCKS = rule("blocks", POWERSHELL, 4104)


def either(*kinds: tuple[str, int]) -> Rule:
    tests = [
        And(items=(Test(field="Channel", op=Op.EQUALS, value=channel), Test(field="EventID", op=Op.EQUALS, value=number)))
        for channel, number in kinds
    ]
    base = rule("either", SECURITY, 4688)
    return type(base)(**{name: getattr(base, name) for name in base.__dataclass_fields__} | {"logic": Or(items=tuple(tests))})


def answer(*, creation: int = 1, blocks: str = "0x1", log: str = "true", sysmon: str = "Running", agent: str = "Running") -> list[str]:
    """What a host of any language says: auditpol's texts are its own, its last column is a number."""
    return [
        f"audit|WS5,System,Prozesserstellung,{CREATION.guid},Erfolg,,{creation}",
        "audit|WS5,System,Anmelden,{0cce9215-69ae-11d9-bed3-505054503030},Erfolg und Fehler,,3",
        "key|HKLM\\SOFTWARE\\Policies\\Microsoft\\Windows\\PowerShell\\ScriptBlockLogging",
        "value|",
        "value|HKEY_LOCAL_MACHINE\\SOFTWARE\\Policies\\Microsoft\\Windows\\PowerShell\\ScriptBlockLogging",
        f"value|    EnableScriptBlockLogging    REG_DWORD    {blocks}",
        "log|Microsoft-Windows-PowerShell/Operational",
        "is|name: Microsoft-Windows-PowerShell/Operational",
        f"is|enabled: {log}",
        f"service|Sysmon64|{sysmon}",
        f"service|winlogbeat|{agent}",
    ]


def health(lines: list[str], *rules: Rule) -> dict[str, Health]:
    return {finding.about: finding.health for finding in findings("target ws5", {each.id: each for each in rules}, lines)}


def test_where_all_is_made_two_lines_say_so() -> None:
    assert health(answer(), CREATED, BLOCKS) == {"target ws5's agent": Health.OK, "target ws5's logging": Health.OK}


@pytest.mark.parametrize(
    ("lines", "about"),
    [
        (answer(creation=0), "target ws5: Process Creation"),
        (answer(creation=2), ""),
        (answer(blocks="0x0"), "target ws5: PowerShell Script Block Logging"),
        (answer(log="false"), "target ws5: the log Microsoft-Windows-PowerShell/Operational"),
    ],
    ids=["audit", "failures-alone", "registry", "log"],
)
def test_what_is_off_is_named_with_the_line_that_mends_it(lines: list[str], about: str) -> None:
    found = {each.about: each for each in findings("target ws5", {"created": CREATED, "blocks": BLOCKS}, lines)}
    off = {name for name, each in found.items() if each.health is Health.BROKEN}
    assert off == ({about} if about else set())
    for name in off:
        assert "cannot fire" in found[name].what
        assert found[name].fix


def test_a_rule_that_has_another_kind_of_event_can_still_fire() -> None:
    both = either((SECURITY, 4688), (SYSMON, 1))
    (_, logging) = findings("target ws5", {"either": both}, answer(creation=0))
    assert (logging.health, logging.about) == (Health.OK, "target ws5's logging")
    assert "no rule depends on it alone: Process Creation" in logging.what
    neither = health(answer(creation=0, sysmon="Stopped"), both)
    assert neither["target ws5: Process Creation"] is neither["target ws5: Sysmon"] is Health.BROKEN


@pytest.mark.parametrize(
    ("lines", "health_of"),
    [
        (answer(agent="Running"), Health.OK),
        (answer(agent="Stopped"), Health.BROKEN),
        (answer()[:-1], Health.UNKNOWN),
    ],
    ids=["runs", "stopped", "none"],
)
def test_the_agent(lines: list[str], health_of: Health) -> None:
    assert health(lines, CREATED)["target ws5's agent"] is health_of


def test_who_may_not_read_the_audit_policy_is_told_so_and_nothing_is_held_to_be_off() -> None:
    lines = ["refused|auditpol ended with 5", *answer()[2:]]
    found = health(lines, CREATED)
    assert found["target ws5's audit policy"] is Health.UNKNOWN
    assert "target ws5: Process Creation" not in found


@pytest.mark.parametrize("line", ["", "audit|", "audit|{}", "value|x", "service|", "service|a|b|c", "is|enabled: maybe", "\x00|" * 50])
def test_an_answer_that_is_none_tells_nothing(line: str) -> None:
    assert told([line] * 3, [CREATION]) == {CREATION: None}


def test_it_is_asked_only_what_the_rules_need() -> None:
    assert question(needed([CREATED])).arguments["Keys"] == []
    assert question(needed([CREATED])).arguments["Audit"] is True
    asked = question(needed([BLOCKS])).arguments
    assert asked["Audit"] is False
    assert asked["Keys"] == ["HKLM\\SOFTWARE\\Policies\\Microsoft\\Windows\\PowerShell\\ScriptBlockLogging"]
    assert asked["Logs"] == ["Microsoft-Windows-PowerShell/Operational"]


def test_every_setting_has_a_line_that_makes_it() -> None:
    assert all(mend(setting) for setting in SETTINGS.values())
