"""A plan in parts: every step in exactly one of them, the same ones each time, and none much longer than another."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from harness.core.plan import Selection, plan
from harness.core.shard import shard_of
from harness.model.intent import EnterPSSession, Expectation, Plan, Scenario, Step
from harness.model.tree import Op, Test
from tests.builders import SECURITY, rule, target

CHILD = rule("child", SECURITY, 4688, Test(field="ParentProcessName", op=Op.ENDS_WITH, value="\\wsmprovhost.exe"))


def planned(steps: list[int], targets: int) -> Plan:
    scenarios = [
        Scenario(
            id=f"s{number}",
            title="s",
            source="s.scenario.yml",
            steps=tuple(
                Step(name=f"{step}", action=EnterPSSession(lines=("Get-Service",)), expect=(Expectation(rule="child"),))
                for step in range(count)
            ),
        )
        for number, count in enumerate(steps)
    ]
    return plan(scenarios, [target(f"ws{n}") for n in range(targets)], {"child": CHILD}, Selection(), driver_is_windows=False)


plans = st.builds(planned, st.lists(st.integers(1, 5), min_size=1, max_size=12), st.integers(1, 4))


@given(whole=plans, count=st.integers(1, 9))
def test_every_step_is_in_exactly_one_part_in_order_with_what_is_known_of_it(whole: Plan, count: int) -> None:
    parts = [shard_of(whole, number, count) for number in range(1, count + 1)]
    assert sorted(step.id for part in parts for step in part.steps) == sorted(step.id for step in whole.steps)
    together: dict[tuple[str, str], object] = {}
    for part in parts:
        assert part.steps == tuple(step for step in whole.steps if step in part.steps)
        assert not together.keys() & part.unexercisable.keys()
        together |= part.unexercisable
    assert together == whole.unexercisable


@given(whole=plans, count=st.integers(1, 9))
def test_a_scenarios_steps_on_a_target_are_never_parted(whole: Plan, count: int) -> None:
    homes: dict[tuple[str, str], set[int]] = {}
    for number in range(1, count + 1):
        for step in shard_of(whole, number, count).steps:
            homes.setdefault((step.scenario, step.target.name), set()).add(number)
    assert all(len(parts) == 1 for parts in homes.values())


@given(whole=plans, count=st.integers(1, 9))
def test_no_target_has_more_in_one_part_than_in_another_by_more_than_a_scenario(whole: Plan, count: int) -> None:
    longest = max(Counter((step.scenario, step.target.name) for step in whole.steps).values())
    for name in {step.target.name for step in whole.steps}:
        loads = [sum(step.target.name == name for step in shard_of(whole, number, count).steps) for number in range(1, count + 1)]
        assert max(loads) - min(loads) <= longest


def test_parts_of_one_plan_know_each_other_wherever_their_labs_are_and_those_of_another_do_not() -> None:
    whole = planned([1, 2], 2)
    moved = replace(whole, steps=tuple(replace(step, target=replace(step.target, port=6000)) for step in whole.steps))
    first, second = shard_of(whole, 1, 2).shard, shard_of(moved, 2, 2).shard
    other = shard_of(planned([1, 3], 2), 1, 2).shard
    assert first is not None
    assert other is not None
    assert second is not None
    assert first.plan == second.plan != other.plan
