"""A plan in parts, for several runs at once, each of which detonates its own; `harness.core.merge` makes one report of theirs."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from hashlib import sha256

from harness.model.intent import Plan, Shard

_Unit = tuple[str, str]
"""A scenario on a target: its steps stand on each other, so they are never parted."""


def shard_of(plan: Plan, number: int, count: int) -> Plan:
    """Part `number`, from 1, of `count`: every step is in exactly one, the same at every time and on every machine.

    A run's targets are worked on at once, so each target's steps are spread over all parts first: that is what makes a part shorter than
    the whole. There may be parts without a step.
    """
    mine = {unit for unit, part in _parts(plan, count).items() if part == number}
    steps = tuple(step for step in plan.steps if (step.scenario, step.target.name) in mine)
    kept = {step.id for step in steps}
    return replace(
        plan,
        steps=steps,
        unexercisable={key: why for key, why in plan.unexercisable.items() if key[0] in kept},
        shard=Shard(number=number, count=count, plan=_fingerprint(plan)),
    )


def _parts(plan: Plan, count: int) -> dict[_Unit, int]:
    """The number of the part that each unit is in: the biggest unit first, each to where its target has the least to do."""
    sizes: Counter[_Unit] = Counter((step.scenario, step.target.name) for step in plan.steps)
    on_target: Counter[tuple[int, str]] = Counter()
    in_all: Counter[int] = Counter()
    found = {}
    for unit, size in sizes.most_common():  # units of one size stay in the plan's order
        target = unit[1]
        part = min(range(1, count + 1), key=lambda part: (on_target[part, target], in_all[part], part))
        on_target[part, target] += size
        in_all[part] += size
        found[unit] = part
    return found


def _fingerprint(plan: Plan) -> str:
    """Of what is sent and expected. Ports and addresses are left out: each part may have a lab of its own."""
    told = [(step.id, repr(step.step)) for step in plan.steps]
    return sha256(repr(told).encode(errors="surrogatepass")).hexdigest()
