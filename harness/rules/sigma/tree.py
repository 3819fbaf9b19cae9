"""What pySigma parsed becomes the predicate tree: conditions, selections, values. What the tree cannot say is refused. It must never know a
text or a log source."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.model.tree import And, Call, FieldName, Formula, Function, Node, Not, Op, Or, Test, Value, ViewName

if TYPE_CHECKING:
    from sigma.rule.detection import SigmaDetection, SigmaDetectionItem, SigmaDetections
    from sigma.types import SigmaString, SigmaType

_FILTERED = re.compile("^_filt_[a-z]+_")
"""What pySigma puts before the names of a filter's selections, so that they are not taken for the rule's own."""


class NotEvaluable(Exception):
    """A part of a rule that the tree cannot say. The text says which."""


@dataclass
class UnknownSelection(Exception):
    """A condition names a selection that is not there: `name`."""

    name: str


def condition_node(item: Any, detections: SigmaDetections) -> Node:
    """A condition that pySigma parsed, over its selections. Raises `UnknownSelection` and `NotEvaluable`."""
    from sigma.conditions import ConditionAND, ConditionIdentifier, ConditionNOT, ConditionOR, ConditionSelector

    match item:
        case ConditionIdentifier(identifier=name):
            if name not in detections.detections:
                raise UnknownSelection(name)
            return _selection_node(detections.detections[name], "" if name.startswith("_cond_") else _FILTERED.sub("", name))
        case ConditionSelector(pattern=pattern):
            chosen = item.resolve_referenced_detections(detections)
            if not chosen:
                raise UnknownSelection(pattern)
            items = tuple(condition_node(each, detections) for each in chosen)
            if item.cond_class is ConditionAND:
                return And(items=items, label=f"all of {_FILTERED.sub('', pattern)}")
            return Or(items=items, label=f"1 of {_FILTERED.sub('', pattern)}")
        case ConditionNOT(args=[inner]):
            return Not(item=condition_node(inner, detections))
        case ConditionAND(args=parts):
            return And(items=tuple(condition_node(part, detections) for part in parts))
        case ConditionOR(args=parts):
            return Or(items=tuple(condition_node(part, detections) for part in parts))
    raise NotEvaluable(f"a condition of the kind {type(item).__name__}")


def items_of(detections: Iterable[SigmaDetection | SigmaDetectionItem]) -> Iterator[SigmaDetectionItem]:
    """The items of these detections, those of nested ones among them."""
    from sigma.rule.detection import SigmaDetectionItem

    for each in detections:
        if isinstance(each, SigmaDetectionItem):
            yield each
        else:
            yield from items_of(each.detection_items)


def flattened(node: Node) -> tuple[Node, ...]:
    """The parts of a conjunction, nested ones without a name of their own among them."""
    if isinstance(node, And) and not node.label:
        return tuple(part for item in node.items for part in flattened(item))
    return (node,)


def _selection_node(detection: SigmaDetection, label: str) -> Node:
    from sigma.conditions import ConditionOR
    from sigma.rule.detection import SigmaDetectionItem

    items = tuple(
        item_node(item) if isinstance(item, SigmaDetectionItem) else _selection_node(item, "") for item in detection.detection_items
    )
    if detection.item_linking is ConditionOR:
        return Or(items=items, label=label) if label or len(items) != 1 else items[0]
    return And(items=items, label=label) if label or len(items) != 1 else items[0]


def item_node(item: SigmaDetectionItem) -> Node:
    """A field and its values, or values without a field. Raises `NotEvaluable`."""
    from sigma.conditions import ConditionAND
    from sigma.types import SigmaNull

    field = item.field.strip() if item.field is not None else None
    values = item.value or [SigmaNull()]
    tests = tuple(_value_node(field, value) for value in values)
    node: Node
    if len(tests) == 1:
        node = tests[0]
    elif item.value_linking is ConditionAND:
        node = And(items=tests)
    else:
        node = Or(items=tests)
    return Not(item=node) if item.negated else node


def _value_node(field: str | None, value: SigmaType) -> Node:
    from sigma.types import (
        SigmaBool,
        SigmaCasedString,
        SigmaCIDRExpression,
        SigmaCompareExpression,
        SigmaExists,
        SigmaExpansion,
        SigmaFieldReference,
        SigmaNull,
        SigmaNumber,
        SigmaRegularExpression,
        SigmaString,
        SigmaTimestampPart,
    )

    match value:
        case SigmaExpansion(values=values):
            return Or(items=tuple(_value_node(field, each) for each in values))
        case SigmaString():
            return _string_test(field, value, cased=isinstance(value, SigmaCasedString))
        case SigmaTimestampPart(timestamp_part=part, number=number):
            if field is None:
                raise NotEvaluable(f"the {part.name.lower()} of a time stamp is that of a field, and none is named")
            asked = Call(function=Function.TIME_PART, arguments=(FieldName(name=field), part.name.lower()))
            return Formula(term=Call(function=Function.EQUAL, arguments=(asked, int(number))), view=ViewName.FLAT)
        case SigmaNumber(number=number):
            return Test(field=field, op=Op.CONTAINS if field is None else Op.EQUALS, value=number)
        case SigmaBool(boolean=boolean):
            return Test(field=field, op=Op.CONTAINS if field is None else Op.EQUALS, value=boolean)
        case SigmaNull():
            return Test(field=field, op=Op.IS_NULL, value=None)
        case SigmaExists(exists=exists):
            return Test(field=field, op=Op.EXISTS, value=exists)
        case SigmaRegularExpression():
            return _regex_test(field, value)
        case SigmaCIDRExpression():
            return Test(field=field, op=Op.CIDR, value=str(value.network))
        case SigmaCompareExpression(number=limit, op=operator):
            order = {"LT": Op.LESS, "LTE": Op.LESS_OR_EQUAL, "GT": Op.GREATER, "GTE": Op.GREATER_OR_EQUAL}
            return Test(field=field, op=order[operator.name], value=limit.number)
        case SigmaFieldReference(field=other, starts_with=starts, ends_with=ends):
            op = {(False, False): Op.EQUALS, (True, False): Op.STARTS_WITH, (False, True): Op.ENDS_WITH, (True, True): Op.CONTAINS}
            return Test(field=field, op=op[starts, ends], value=FieldName(name=other))
    raise NotEvaluable(f"a value of the kind {type(value).__name__}")


def _regex_test(field: str | None, value: Any) -> Test:
    if value.contains_placeholder():
        raise NotEvaluable("a placeholder stands for a value that is not given")
    flags = {flag.name for flag in value.flags}
    inline = ("m" if "MULTILINE" in flags else "") + ("s" if "DOTALL" in flags else "")
    pattern = f"(?{inline}){value.regexp}" if inline else str(value.regexp)
    return Test(field=field, op=Op.REGEX, value=pattern, cased="IGNORECASE" not in flags)


def _string_test(field: str | None, value: SigmaString, *, cased: bool) -> Test:
    """The simplest operation that says what the wildcards say: a value is read by people, too, and folded into look-ups."""
    from sigma.types import Placeholder, SpecialChars

    if any(isinstance(part, Placeholder) for part in value.s):
        raise NotEvaluable("a placeholder stands for a value that is not given")
    parts: list[Any] = list(value.s)
    star = SpecialChars.WILDCARD_MULTI
    if field is None:  # a keyword is looked for anywhere in a value
        parts = [star, *parts, star]
    front, back = parts[:1] == [star], parts[-1:] == [star]
    inner = parts[front : len(parts) - back] if len(parts) > 1 else parts
    if all(isinstance(part, str) for part in inner):
        op = {(False, False): Op.EQUALS, (False, True): Op.STARTS_WITH, (True, False): Op.ENDS_WITH, (True, True): Op.CONTAINS}
        return Test(field=field, op=op[front and len(parts) > 1, back and len(parts) > 1], value="".join(inner), cased=cased)
    signs: dict[Value | SpecialChars, str] = {star: "*", SpecialChars.WILDCARD_SINGLE: "?"}
    pattern = "".join(_escaped(part) if isinstance(part, str) else signs[part] for part in parts)
    return Test(field=field, op=Op.LIKE, value=pattern, cased=cased)


def _escaped(text: str) -> str:
    return "".join(f"\\{character}" if character in "\\*?" else character for character in text)
