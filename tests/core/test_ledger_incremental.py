"""What a ledger keeps between settlings changes no verdict: held against one that is told the same facts anew each time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from harness.core.attribute import HostAttribution
from harness.core.ledger import Ledger
from harness.model.facts import Alert, Detonation, FlatValue, Observed, Probe, RuleRun, RuleState
from harness.model.intent import Expectation, Plan
from harness.model.verdicts import Verdict
from tests.builders import SECURITY, SYSMON, T0, RemoteSession, alert, at, event, facts, observed, planned, run, status
from tests.core.test_ledger import RULES

Fact = Observed | Alert | RuleRun | Probe | Detonation

# Two sessions of ours that overlap, one that comes after, and a stranger's with the first one's pid.
OURS = [
    RemoteSession(tag="one", port=50001, pid=4000, logon=0xA001),
    RemoteSession(tag="two", port=50002, pid=5000, logon=0xA002, start=0.5, end=1.5),
    RemoteSession(tag="three", port=50003, pid=4000, logon=0xA003, start=4.0, end=5.0),
]
STRANGER = RemoteSession(tag="stranger", port=50009, pid=9000, logon=0xA009, start=0.7, end=2.0)
NAMES = ("child", "port", "port-child", "probed")
STEPS = [planned(f"{each.tag}/1@ws1", *(Expectation(rule=name) for name in NAMES), Expectation(rule="child", fires=False)) for each in OURS]


def everything() -> list[Fact]:
    found: list[Fact] = [observed(one) for session in (*OURS, STRANGER) for one in session.telemetry()]
    loose = event("loose", SECURITY, 4688, 0.9, {"NewProcessId": "0x77", "ProcessId": "0x11", "NewProcessName": r"C:\whoami.exe"})
    found += [observed(loose), observed(replace(loose, id="late", time=at(4.4)), 2.0)]
    found += [session.detonation(step, known=session.tag != "two") for session, step in zip(OURS, STEPS, strict=True)]
    found += [alert(f"a-{each.tag}", "child", each.child_process(), raised=each.start + 1.2) for each in (OURS[0], STRANGER)]
    found += [alert("a-both", "port-child", OURS[1].connection(), OURS[0].child_process(), raised=2.0), alert("a-none", "port", raised=3.0)]
    found += [run(rule, started, ok=started != 7) for rule in ("child", "port") for started in (1.0, 7.0, 9.0)]
    found += [replace(run("child", 7), ok=True)]
    ids = frozenset({OURS[1].child_process().id})
    found += [
        Probe(rule="probed", since=at(-5), asked_at=at(asked), found=(found_ids,))
        for asked, found_ids in ((1.0, frozenset[str]()), (8.0, ids))
    ]
    return found


def ledger(told: Sequence[Fact], *, now: float) -> Ledger:
    made = new()
    tell(made, told, now)
    return made


def new() -> Ledger:
    siem = status("child", "port", "port-child")
    probed = RuleState(rule="probed", deployed=False, enabled=False, interval=timedelta(0), look_back=timedelta(0), probed=True)
    return Ledger(
        Plan(steps=tuple(STEPS), unexercisable={}),
        {**RULES, "probed": replace(RULES["child"], id="probed")},
        replace(siem, rules={**siem.rules, "probed": probed}),
        started_at=T0,
        siem_offset=timedelta(0),
        grace=timedelta(seconds=1),
    )


def tell(to: Ledger, told: Sequence[Fact], now: float) -> None:
    for fact in told:
        if isinstance(fact, Detonation):
            to.detonated(fact)
    to.saw(facts(*(fact for fact in told if not isinstance(fact, Detonation)), now=now, running=now < 11))


def by_item(verdicts: Sequence[Verdict]) -> dict[tuple[str, str, bool], Verdict]:
    return {(verdict.planned, verdict.expectation.rule, verdict.expectation.fires): verdict for verdict in verdicts}


@settings(deadline=None, max_examples=50)
@given(order=st.permutations(everything()), cuts=st.lists(st.integers(0, len(everything())), max_size=5), pace=st.floats(0.2, 3.0))
def test_every_verdict_comes_when_it_would_and_is_what_it_would_be(order: list[Fact], cuts: list[int], pace: float) -> None:
    kept = new()
    concluded: set[tuple[str, str, bool]] = set()
    ends = [*sorted(cuts), len(order), len(order), len(order), len(order)]
    begun = 0
    for number, end in enumerate(ends, 1):
        now = pace * number if number < len(ends) else 30.0
        tell(kept, order[begun:end], now)
        fresh = by_item(kept.settle())
        anew = by_item(ledger(order[:end], now=now).settle())
        assert fresh == {item: verdict for item, verdict in anew.items() if item not in concluded}
        concluded |= fresh.keys()
        begun = end
    everywhere = ledger(order, now=30.0)
    assert kept.unattributed() == everywhere.unattributed()
    assert kept.unexpected() == everywhere.unexpected()
    assert len(concluded) == len(STEPS) * (len(NAMES) + 1)


@settings(deadline=None, max_examples=50)
@given(order=st.permutations([observed(one) for session in (*OURS, STRANGER) for one in session.telemetry()]), asked=st.integers(1, 5))
def test_what_is_kept_of_telemetry_is_what_would_be_found(order: list[Observed], asked: int) -> None:
    kept, sessions = HostAttribution(), [session.detonation(step) for session, step in zip(OURS, STEPS, strict=True)]
    kept.detonated(sessions[0])
    for number, one in enumerate(order):
        kept.observed(one)
        if number == len(order) // 2:
            for detonation in sessions[1:]:
                kept.detonated(detonation)
        if number % asked:
            continue
        anew = HostAttribution()
        for other in order[: number + 1]:
            anew.observed(other)
        known = sessions if number >= len(order) // 2 else sessions[:1]
        for detonation in known:
            anew.detonated(detonation)
        for detonation in known:
            name = detonation.planned.id
            assert kept.telemetry(name) == anew.telemetry(name)
            assert kept.telemetry(name) is kept.telemetry(name)


def test_a_parent_that_is_seen_late_and_lies_elsewhere_in_time_takes_its_descendants_with_it() -> None:
    def started(name: str, after: float, pid: int, image: str, parent: int, parent_image: str) -> Observed:
        flat: dict[str, FlatValue] = {
            "ProcessGuid": f"{{g-{pid}}}",
            "ProcessId": pid,
            "ParentProcessGuid": f"{{g-{parent}}}",
            "ParentProcessId": parent,
        }
        return observed(event(name, SYSMON, 1, after, {**flat, "Image": image, "ParentImage": parent_image, "User": "LAB\\purple"}))

    far = started("parent", -60.0, 76, r"C:\whoami.exe", 75, r"C:\wsmprovhost.exe")
    middle = started("middle", -50.0, 77, r"C:\conhost.exe", 76, r"C:\whoami.exe")
    near = started("near", 0.3, 78, r"C:\x.exe", 77, r"C:\conhost.exe")
    kept = HostAttribution()
    kept.detonated(OURS[0].detonation(STEPS[0]))
    name = STEPS[0].id
    kept.observed(near)
    assert [one.event.id for one in kept.telemetry(name)] == ["near"], "by host, user and time"
    kept.observed(middle)
    assert [one.event.id for one in kept.telemetry(name)] == ["near"]
    kept.observed(far)
    assert not kept.telemetry(name), "another session's process is its ancestor"
