"""A plan as people read it."""

from __future__ import annotations

import io

from harness.core.plan import Selection, plan
from harness.model.intent import EnterPSSession, Expectation, Scenario, Step
from harness.reports.console import make_console
from harness.reports.plan import print_plan
from tests.builders import SECURITY, rule, target


def printed(*expect: Expectation, line: str = "Get-Service WinRM") -> str:
    rules = {"fires": rule("fires", SECURITY, 5156), "quiet": rule("quiet", SECURITY, 4624)}
    scenario = Scenario(id="s", title="t", source="", steps=(Step(name=line, action=EnterPSSession(lines=(line,)), expect=expect),))
    out = io.StringIO()
    print_plan(plan([scenario], [target()], rules, Selection(), driver_is_windows=False), rules, make_console(out, {}))
    return out.getvalue()


def test_every_expectation_says_what_is_expected() -> None:
    said = printed(
        Expectation(rule="fires"), Expectation(rule="quiet", fires=False), Expectation(rule="foreign", known_gap="no such sensor")
    )
    assert "rule fires: should fire" in said
    assert "rule quiet: must stay quiet" in said
    assert "known to the SIEM alone: known gap" in said
    assert "        no such sensor" in said
    assert said.splitlines()[-1] == "1 step, 3 expectations, 0 not exercisable. Nothing was sent."


def test_what_people_wrote_is_inert() -> None:
    assert "\x1b" not in printed(Expectation(rule="fires", known_gap="\x1b[31mred"), line="\x1b[2Jwhoami")
