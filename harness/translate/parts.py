"""A rule's tree taken apart by kinds of event: for each log and its event ids, what else the rule asks. It must never know a language."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from harness.logic.index import FALSE, within_kind
from harness.logic.match import fold, key_of, text_of
from harness.logic.needs import ANY_CHANNEL, ANY_EVENT_ID, kinds
from harness.model.intent import Rule
from harness.model.tree import And, FieldName, Formula, Node, Not, Op, Or, Test, ViewName
from harness.translate.refusal import NotExpressible


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What a rule asks of the events of one log. `channel` empty: of any log. `event_ids` empty: of any event of it."""

    channel: str
    event_ids: tuple[int, ...]
    node: Node


def one_event(rule: Rule) -> Node:
    """The tree of a rule that asks about one event. Raises `NotExpressible` where it asks for something else."""
    if rule.not_evaluated:
        raise NotExpressible(f"the rule has no tree: {rule.not_evaluated}")
    if rule.pattern is not None:
        raise NotExpressible("the rule is about several events together")
    if any(isinstance(each, Formula) for each in tests(rule.logic)):
        raise NotExpressible("the rule computes values of fields")
    return rule.logic


def flat_logic(rule: Rule) -> Node:
    """The same of a rule that asks about an event's own fields alone. Raises `NotExpressible`."""
    node = one_event(rule)
    if reads_ecs(node):
        raise NotExpressible("the rule reads ECS fields, which events have only once an ingest pipeline has made them")
    return node


def reads_ecs(node: Node) -> bool:
    """Whether some test reads the ECS view."""
    return any(each.view is ViewName.ECS for each in tests(node))


def tests(node: Node) -> Iterator[Test | Formula]:
    """Every test and formula of a tree."""
    todo: list[Node] = [node]
    while todo:
        match todo.pop():
            case Test() | Formula() as found:
                yield found
            case Not(item=item):
                todo.append(item)
            case And(items=items) | Or(items=items):
                todo.extend(reversed(items))


def parts(node: Node) -> tuple[Part, ...]:
    """The tree by kinds of event, those that ask the same of one log together; nothing of a tree that no event satisfies."""
    asked = {key_of(each.field) for each in tests(node) if isinstance(each, Test) and each.field is not None}
    written = {
        fold(each.value): each.value
        for each in tests(node)
        if isinstance(each, Test) and each.field is not None and key_of(each.field) == "channel" and isinstance(each.value, str)
    }
    found: dict[tuple[str, Node], list[int]] = {}
    for channel, event_id in sorted(kinds(node)):
        # Where the kind leaves the log or the id open, and the tree asks for it in another way, it stays in the tree.
        settled = (channel != ANY_CHANNEL or "channel" not in asked) and (event_id != ANY_EVENT_ID or "eventid" not in asked)
        left = within_kind(node, channel, event_id) if settled else node
        if left != FALSE:
            name = "" if channel == ANY_CHANNEL else written.get(channel, channel)
            found.setdefault((name, left), []).append(event_id)
    return tuple(
        Part(channel=channel, event_ids=() if ANY_EVENT_ID in ids else tuple(ids), node=left) for (channel, left), ids in found.items()
    )


def alternatives(node: Or) -> Iterator[tuple[Test, ...] | Node]:
    """The items of a disjunction, tests of one field in one manner, by a plain value, together."""
    groups: dict[tuple[str | None, Op, bool, ViewName], list[Test]] = {}
    order: list[list[Test] | Node] = []
    for item in node.items:
        if isinstance(item, Test) and item.op not in (Op.EXISTS, Op.IS_NULL) and not isinstance(item.value, FieldName | None):
            key = (item.field and key_of(item.field), item.op, item.cased, item.view)
            if key not in groups:
                groups[key] = []
                order.append(groups[key])
            groups[key].append(item)
        else:
            order.append(item)
    for each in order:
        yield tuple(each) if isinstance(each, list) else each


ANY_RUN = "*"
ANY_ONE = "?"


def pieces(test: Test) -> tuple[tuple[str, bool], ...]:
    """What a test of a value's text asks of the whole of it: stretches of text (literal: True) and the two wildcards (False), in order.

    The test is one of text with a plain value.
    """
    wanted = text_of(test.value) if isinstance(test.value, str | int | float | bool) else ""
    star = ((ANY_RUN, False),)
    match test.op:
        case Op.CONTAINS:
            return (*star, (wanted, True), *star)
        case Op.STARTS_WITH:
            return ((wanted, True), *star)
        case Op.ENDS_WITH:
            return (*star, (wanted, True))
        case Op.LIKE:
            return tuple(_pattern_pieces(wanted))
        case _:
            return ((wanted, True),)


def _pattern_pieces(pattern: str) -> Iterator[tuple[str, bool]]:
    literal: list[str] = []
    characters = iter(pattern)
    for character in characters:
        if character in (ANY_RUN, ANY_ONE):
            if literal:
                yield "".join(literal), True
                literal = []
            yield character, False
        elif character == "\\":
            after = next(characters, "")
            literal.append(after if after in ("*", "?", "\\") else character + after)
        else:
            literal.append(character)
    if literal:
        yield "".join(literal), True


def fields_asked(node: Node) -> frozenset[str]:
    """The keys of the fields that a tree's tests are about."""
    return frozenset(key_of(each.field) for each in tests(node) if isinstance(each, Test) and each.field is not None)
