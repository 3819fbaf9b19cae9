"""What must be there for a rule to fire at all: kinds of event and the settings behind them, fields that not every sensor tells, and
what has to happen on the target, from where, and how close together.

Read off the rule's tree, for people and for machines; it decides nothing. This module must never know a rule language.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from harness.events.audit import setting_behind
from harness.events.ecs import fields_made
from harness.logic.explain import event_kinds, kind_text, pattern_text, test_text
from harness.logic.match import key_of
from harness.logic.needs import Kind, able_kinds, kinds, session_needs, wanted_by
from harness.model.intent import Rule
from harness.model.tree import And, Node, Op, Or, PatternKind, Test, ViewName


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """One thing that the rule needs. `need` is a short word for it ("event", "fields", "child process", "network leg", "source side",
    "several events"); `how` is the setting, or the smallest line or change, that gives it: empty where there is none to name."""

    need: str
    what: str
    how: str


def requirements(rule: Rule) -> tuple[Requirement, ...]:
    """Everything that the rule needs, telemetry first. Nothing is known of a rule that is not evaluated."""
    if rule.not_evaluated:
        return ()
    wanted = wanted_by(rule)
    events = dict.fromkeys(requirement for node in wanted for requirement in _events(node))
    fields = dict.fromkeys(requirement for node in wanted for requirement in _fields(node))
    doings = (Requirement(need=need.name, what=need.what, how=need.remedy) for need in session_needs(rule))
    return (*events, *fields, *doings, *_several(rule))


def _events(node: Node) -> Iterator[Requirement]:
    """One of the kinds that can satisfy the node is enough, so that each is named with the setting of its own."""
    for kind in event_kinds(node):
        setting = "" if kind.event_id is None else setting_behind(kind.channel, kind.event_id)
        yield Requirement(need="event", what=kind_text(kind), how=setting)


def _fields(node: Node) -> Iterator[Requirement]:
    """Fields that are asked for and that no event of the node's kinds has here: other sensors may tell them."""
    if able_kinds(node):
        return
    for test in untold(node):
        how = _SENSORS.get(key_of(test.field or ""), "a sensor that tells it")
        yield Requirement(need="fields", what=f"{test_text(test)}, which none of these kinds of event has", how=how)


_SENSORS = {"network.protocol": "Elastic Defend, or a network sensor that reads the traffic: Sysmon never tells the protocol"}


def untold(node: Node) -> tuple[Test, ...]:
    """The tests of the ECS view that must hold for the node to hold and that every event of the kind which comes nearest fails."""
    needed = [test for test in _needed(node) if test.field is not None and test.view is ViewName.ECS]
    fields = {key_of(test.field or "") for test in needed}
    nearest: tuple[Test, ...] = ()
    rank = (len(needed) + 1, 0)
    for kind in sorted(kinds(node)):
        failing = tuple(test for test in needed if not able_kinds(And(items=(*_of_kind(kind), test))))
        told = len(fields & fields_made(*kind))
        if failing and (len(failing), -told) < rank:
            nearest, rank = failing, (len(failing), -told)
    return nearest


def _of_kind(kind: Kind) -> tuple[Test, Test]:
    channel, event_id = kind
    return Test(field="Channel", op=Op.EQUALS, value=channel), Test(field="EventID", op=Op.EQUALS, value=event_id)


def _needed(node: Node) -> Iterator[Test]:
    """The tests of which each must hold for the node to hold."""
    match node:
        case Test():
            yield node
        case And(items=items) | Or(items=(_,) as items):
            for item in items:
                yield from _needed(item)
        case _:
            return


def _several(rule: Rule) -> Iterator[Requirement]:
    if rule.pattern is None or rule.pattern.kind is PatternKind.SINGLE:
        return
    yield Requirement(need="several events", what=pattern_text(rule.pattern), how="")
