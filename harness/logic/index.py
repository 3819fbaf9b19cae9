"""What is left of a tree once an event's kind is known: the tests of channel and event id are answered once a kind, not once an event.

Half of what a rule asks of an event is which log it stands in. This module must never know how the rest is asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from harness.logic.match import fold, key_of, text_of
from harness.model.tree import And, FieldName, Formula, Node, Not, Op, Or, Test, ViewName

TRUE = And(items=())
FALSE = Or(items=())


def within_kind(node: Node, channel: str, event_id: int) -> Node:
    """The tree as it reads among events of one kind alone; `TRUE` or `FALSE` where the kind settles it."""
    match node:
        case Test():
            return _settled(node, channel, event_id)
        case Formula():
            return node
        case Not(item=item, label=label):
            inner = within_kind(item, channel, event_id)
            if inner in (TRUE, FALSE):
                return FALSE if inner == TRUE else TRUE
            return Not(item=inner, label=label)
        case And(items=items, label=label):
            return _group(And, items, label, TRUE, FALSE, channel, event_id)
        case Or(items=items, label=label):
            return _group(Or, items, label, FALSE, TRUE, channel, event_id)


def _group(kind: type[And | Or], items: tuple[Node, ...], label: str, neutral: Node, decisive: Node, channel: str, event_id: int) -> Node:
    left = [part for item in items if (part := within_kind(item, channel, event_id)) != neutral]
    if decisive in left:
        return decisive
    if not left:
        return neutral
    return left[0] if len(left) == 1 else kind(items=tuple(left), label=label)


def _settled(test: Test, channel: str, event_id: int) -> Node:
    if test.op is not Op.EQUALS or test.cased or test.field is None or test.value is None or isinstance(test.value, FieldName):
        return test
    if test.view is not ViewName.FLAT:
        return test  # a document may bear ECS fields of its own: the kind alone does not settle them
    known = kind_values(channel, event_id).get(field_key(test.field))
    return test if known is None else TRUE if fold(text_of(test.value)) == known else FALSE


def kind_values(channel: str, event_id: int) -> Mapping[str, str]:
    """What the flat view's fields are, folded, in every event of this kind."""
    return {"channel": fold(channel), "eventid": str(event_id)}


field_key = lru_cache(maxsize=4096)(key_of)
"""`key_of`, remembered: there are some hundred names of fields, and a rule set has them fifty thousand times."""
