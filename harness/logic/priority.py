"""How soon should people look at an alert? What a detection strategy's priority makes of the alert's events.

A strategy says it for people; here it is held against the events, and where a level could never be given, that is found. This module must
never know how a condition was written.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.errors import RuleTooSlow
from harness.logic.lint import contradiction
from harness.logic.match import matcher
from harness.logic.needs import kinds
from harness.model.facts import Event
from harness.model.intent import Priority, PriorityLevel, Rule, Severity
from harness.model.tree import And, Node

_ORDER = tuple(Severity)
_OTHER_KIND = "none of the rule's events is of a kind that the condition reads"


def priority_of(priority: Priority, events: Sequence[Event]) -> Severity | None:
    """The gravest level whose condition one of these events meets, else the default.

    None where it is not known: of an alert without events, and where a condition did not end in its time on one. Raises `BadValue` as
    matching does.
    """
    if not events:
        return None
    try:
        given = [level.level for level in priority.levels if any(map(matcher(level.when), events))]
    except RuleTooSlow:
        return None
    return max(given, key=_ORDER.index, default=priority.default)


def never_given(priority: Priority, rule: Rule) -> Iterator[tuple[int, str]]:
    """The levels, by their place in the list, that no alert of the rule can have, each with the reason."""
    for number, level in enumerate(priority.levels):
        if (reason := _why_never(number, level, priority, rule)) is not None:
            yield number, reason


def _why_never(number: int, level: PriorityLevel, priority: Priority, rule: Rule) -> str | None:
    if _ORDER.index(level.level) <= _ORDER.index(priority.default):
        return f"an alert has priority {priority.default} without it, which is no milder"
    graver = [other for other in priority.levels if _ORDER.index(other.level) > _ORDER.index(level.level)]
    if any(other.when == level.when for other in graver):
        return "a graver level has the same condition"
    if any(other.level is level.level and other.when == level.when for other in priority.levels[:number]):
        return "it stands there twice"
    reasons = [_why_not_on(condition, level.when) for condition in _events_of(rule)]
    if None in reasons:
        return None
    # What contradicts an event of the right kind tells more than that the others are of another.
    return next((reason for reason in reasons if reason != _OTHER_KIND), _OTHER_KIND)


def _events_of(rule: Rule) -> Sequence[Node]:
    """What the events of the rule's alerts satisfy, each for itself."""
    return (rule.logic,) if rule.pattern is None else [stage.condition for stage in rule.pattern.stages if not stage.missing]


def _why_not_on(event: Node, when: Node) -> str | None:
    both = And(items=(event, when))
    if not kinds(both):
        return _OTHER_KIND
    reason = contradiction(both)
    return f"the rule and the condition contradict each other: {reason}" if reason is not None else None
