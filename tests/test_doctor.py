"""The examination over scripted doubles: what each ailment is called, what mends it, and that one hides no other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from threading import Event

import pytest

from harness.doctor import Doctor
from harness.errors import AuthenticationFailed, ConnectFailed, HarnessError, SiemDenied, SiemUnavailable
from harness.model.facts import SiemStatus
from harness.model.health import Finding, Health
from harness.model.intent import Connect, Target
from tests.builders import SECURITY, event, facts, observed, rule, status, target
from tests.fakes import FakeClock, FakeSiem, FakeTransport


class Stage:
    """One examination with its doubles."""

    def __init__(self, *targets: Target) -> None:
        self.clock = FakeClock()
        self.siem = FakeSiem(self.clock, "r")
        self.transport = FakeTransport(self.clock)
        self.targets = targets
        self.rules = {"r": rule("r", SECURITY, 4688)}

    def findings(self, own: Callable[[], tuple[Finding, ...]] = tuple) -> dict[str, Finding]:
        doctor = Doctor(
            siem=self.siem, examine_siem=own, transport=self.transport, targets=self.targets, rules=self.rules, clock=self.clock
        )
        found = list(doctor.examine(Event()))
        assert all(finding.fix or finding.health is Health.OK for finding in found)
        return {finding.about: finding for finding in found}


def test_all_is_well_without_targets() -> None:
    assert {about: finding.health for about, finding in Stage().findings().items()} == dict.fromkeys(
        ("SIEM", "the SIEM's clock", "rule engine", "rules"), Health.OK
    )


@pytest.mark.parametrize(
    ("errors", "checks", "mend"),
    [
        ([SiemDenied("no")], 1, "credentials"),
        ([SiemUnavailable("gone")] * 3, 3, "running"),
        ([SiemUnavailable("busy")] * 2, 3, ""),
    ],
)
def test_a_siem_that_cannot_be_asked_keeps_no_target_from_being_looked_at(errors: list[HarnessError], checks: int, mend: str) -> None:
    stage = Stage(target())
    stage.siem.errors = list(errors)
    found = stage.findings()
    assert stage.siem.checks == checks
    assert mend in found["SIEM"].fix
    assert found["SIEM"].health is (Health.BROKEN if mend else Health.OK)
    name = target().name
    assert found[f"target {name}"].health is Health.OK
    assert (found[f"target {name}'s events"].health is Health.UNKNOWN) is bool(mend)


def test_what_is_special_to_a_siem_comes_first_and_once() -> None:
    stage = Stage()
    stage.siem.errors = [SiemUnavailable("busy")]
    special = Finding(about="index x", health=Health.OK, what="may be read")
    doctor = Doctor(siem=stage.siem, examine_siem=lambda: [special], transport=stage.transport, targets=(), rules={}, clock=stage.clock)
    found = list(doctor.examine(Event()))
    assert [finding.about for finding in found][:2] == ["index x", "SIEM"]


@pytest.mark.parametrize(
    ("changed", "about", "health"),
    [
        ({"schedule_running": False}, "rule engine", Health.BROKEN),
        ({"now": timedelta(seconds=60)}, "the SIEM's clock", Health.WARNING),
        ({"now": timedelta(minutes=-10)}, "the SIEM's clock", Health.BROKEN),
    ],
)
def test_what_the_siem_says_of_itself(changed: dict[str, object], about: str, health: Health, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage()
    if isinstance(shift := changed.get("now"), timedelta):
        changed = {"now": stage.clock.now() + shift}

    def check(rules: frozenset[str]) -> SiemStatus:
        return replace(status("r", now=stage.clock.now()), **changed)  # type: ignore[arg-type]

    monkeypatch.setattr(stage.siem, "check", check)
    assert stage.findings()[about].health is health


@pytest.mark.parametrize(
    ("deployed", "enabled", "health"),
    [(True, False, Health.BROKEN), (False, False, Health.WARNING), (True, True, Health.OK)],
)
def test_rules_that_are_absent_or_disabled(deployed: bool, enabled: bool, health: Health, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage()
    stage.rules = {id: rule(id, SECURITY, 4688) for id in ("r", "s")}
    made = status("r", "s", now=stage.clock.now())
    states = {**made.rules, "s": replace(made.rules["s"], deployed=deployed, enabled=enabled)}
    monkeypatch.setattr(stage.siem, "check", lambda rules: replace(made, rules=states))
    found = stage.findings()
    assert next((finding.health for about, finding in found.items() if about.startswith("rule s")), Health.OK) is health
    assert found["rules"].what == f"{2 if health is Health.OK else 1} of 2 are deployed and enabled"


def test_where_nothing_is_deployed_a_run_cannot_work(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage()
    stage.rules = {str(number): rule(str(number), SECURITY, 4688) for number in range(30)}
    made = status(*stage.rules, now=stage.clock.now())
    states = {id: replace(state, deployed=False, enabled=False) for id, state in made.rules.items()}
    monkeypatch.setattr(stage.siem, "check", lambda rules: replace(made, rules=states))
    found = stage.findings()
    assert found["10 more rules"].health is Health.BROKEN
    assert "rules" not in found


@pytest.mark.parametrize(("error", "mend"), [(ConnectFailed("no way"), "Enable-PSRemoting"), (AuthenticationFailed("no"), "password")])
def test_a_target_that_cannot_be_driven_keeps_no_other_from_being_looked_at(error: HarnessError, mend: str) -> None:
    bad, good = target("bad"), target("good")
    stage = Stage(bad, good)
    stage.transport.opens = lambda where: error if where.name == "bad" else None
    found = stage.findings()
    assert (found["target bad"].health, found["target bad"].what) == (Health.BROKEN, str(error))
    assert mend in found["target bad"].fix
    assert found["target good"].health is Health.OK
    assert [name for name, _ in stage.transport.sent] == ["good", "good"]
    assert stage.transport.sent[0][1] == Connect()


def test_events_that_do_not_come_are_waited_for_and_told() -> None:
    stage = Stage(target())
    found = stage.findings()[f"target {target().name}'s events"]
    assert (found.health, found.what) == (Health.BROKEN, "none of the session's events was found in 60 s")
    assert "shipper" in found.fix


def test_events_that_bear_no_key_of_the_session_are_told_apart() -> None:
    stage = Stage(target())
    others = facts(observed(event("e", SECURITY, 4624, 0.0)), now=0.0)
    stage.siem.see = lambda: others
    found = stage.findings()[f"target {target().name}'s events"]
    assert found.health is Health.BROKEN
    assert "seen_from" in found.fix
