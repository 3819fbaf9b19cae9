"""What a probe's answer means for some events: which of them are matches of the rule, by the SIEM's word alone.

A rule about several events is put to the SIEM an event at a time; how those lie to each other is told by the same machine that tells it of
our own matches, with the SIEM's answers in the place of the conditions. It must never know whose events they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from harness.errors import RuleTooSlow
from harness.logic.sequence import find_all
from harness.model.facts import Event, Probe
from harness.model.intent import Rule
from harness.model.tree import Op, Pattern, Stage, Test

# No log has a field of this name, and none can be written in a rule.
_ANSWER = "\x00the probe's answer"


def matches(rule: Rule, probe: Probe, events: Sequence[Event]) -> list[tuple[Event, ...]]:
    """The matches among these events, each with the events that make it."""
    if probe.refused:
        return []
    if rule.pattern is None:
        return [(event,) for event in events if event.id in probe.found[0]]
    marked = [marked for event in events if (marked := _marked(event, probe)) is not None]
    by_id = {event.id: event for event in events}
    try:
        return [tuple(by_id[event.id] for event in found) for found in find_all(_answered(rule.pattern), marked)]
    except RuleTooSlow:
        return []


def _marked(event: Event, probe: Probe) -> Event | None:
    """The event with the numbers of the conditions that it satisfies; None where it satisfies none."""
    numbers = [str(number) for number, ids in enumerate(probe.found) if event.id in ids]
    return replace(event, flat={**event.flat, _ANSWER: numbers}) if numbers else None


def _answered(pattern: Pattern) -> Pattern:
    stages = [
        replace(stage, condition=Test(field=_ANSWER, op=Op.EQUALS, value=str(number), cased=True))
        for number, stage in enumerate(pattern.asked)
    ]
    until: Stage | None = stages.pop() if pattern.until is not None else None
    return replace(pattern, stages=tuple(stages), until=until)
