"""What the texts of an event must hold for a tree to be true of it: the reading by which most rules are ruled out unasked.

A *clause* names literals of which at least one must be found; a tree may need several clauses at once. It never asks for more than the
tree does: what cannot be told by literals (a negation, a formula, a test of the ECS view) needs nothing, and what takes a value of
whatever text (a network, an order, a regular expression without a certain text) needs that its field is there. This module must never
know how literals are looked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from operator import attrgetter
from typing import NamedTuple

from harness.logic.index import field_key
from harness.logic.match import fold, longest_literal, text_of
from harness.logic.plain_text import plain_text
from harness.model.tree import And, FieldName, Node, Op, Or, Test, Value, ViewName

START, END = "\x02", "\x03"
"""What stands before and after a value's text where literals are looked for. A value that holds them is only taken for more than it is."""

FOREIGN = "\x04"
"""What is looked for where any text beyond ASCII may be the one that is wanted: it stands after every such value's end."""

CLAUSES = 2
"""How many clauses of a tree are told, the rarest first. With one, SigmaHQ's rules leave two candidates an event; with two, 0.3; a third
costs more literals than it saves candidates."""

_RARE = 12
"""Characters beyond which a literal is as rare as it gets."""


class Literals(NamedTuple):
    """Texts of one field (its key; None is every field) that are looked for in one manner: with these marks around them."""

    field: str | None
    before: str
    after: str
    values: tuple[str, ...]


class Clause(NamedTuple):
    """`likely` orders clauses: how likely an event is to have one of the literals, by their number and the shortest one's length."""

    likely: float
    literals: tuple[Literals, ...]


Clauses = tuple[Clause, ...] | None
"""What a tree needs: all of these clauses, the rarest first; None where it cannot be true at all."""

_NOTHING: tuple[Clause, ...] = ()
_MARKS = {
    Op.EQUALS: (START, END),
    Op.CONTAINS: ("", ""),
    Op.STARTS_WITH: (START, ""),
    Op.ENDS_WITH: ("", END),
    Op.LIKE: ("", ""),
}
_LIKELY = attrgetter("likely")


def needed(node: Node, kind: Mapping[str, str]) -> Clauses:
    """The clauses that an event of this kind (`kind_values`) must satisfy for the tree to be true; None where it cannot be true of one."""
    if isinstance(node, Test):
        return _of_tests(node, (node.value,), kind)
    if isinstance(node, And):
        found: list[Clause] = []
        for item in node.items:
            part = _of_tests(item, (item.value,), kind) if isinstance(item, Test) else needed(item, kind)
            if part is None:
                return None
            found.extend(part)
        return tuple(sorted(found, key=_LIKELY)[:CLAUSES]) if len(found) > 1 else tuple(found)
    if isinstance(node, Or):
        return _any(node, kind)
    return _NOTHING


def words(clause: Clause) -> Iterator[tuple[str | None, list[str]]]:
    """The clause's literals by their field's key: what to look for in `START` + its folded value + `END`."""
    for field, before, after, values in clause.literals:
        # An empty text is in every value there is: the start of one says as much.
        yield field, [before + fold(value) + after or START for value in values]


def _any(node: Or, kind: Mapping[str, str]) -> Clauses:
    alternatives: list[tuple[Clause, ...]] = []
    lists: dict[tuple[str | None, Op, ViewName, bool], tuple[Test, list[Value]]] = {}
    for item in node.items:
        if isinstance(item, Test):
            # Value lists are the bulk of most rules: tests of one manner are one step, not many.
            manner = item.field, item.op, item.view, item.cased
            listed = lists.get(manner)
            if listed is None:
                listed = lists[manner] = (item, [])
            listed[1].append(item.value)
            continue
        part = needed(item, kind)
        if part is not None:
            if not part:
                return _NOTHING
            alternatives.append(part)
    for first, values in lists.values():
        part = _of_tests(first, values, kind)
        if part is not None:
            if not part:
                return _NOTHING
            alternatives.append(part)
    if len(alternatives) < 2:
        return alternatives[0] if alternatives else None
    # Every alternative's rarest clause together, and every one's second, where it has one.
    clauses = []
    for place in range(max(map(len, alternatives))):
        chosen = [part[min(place, len(part) - 1)] for part in alternatives]
        clauses.append(Clause(sum(map(_LIKELY, chosen)), tuple(literals for clause in chosen for literals in clause.literals)))
    return tuple(clauses)


def _of_tests(first: Test, values: Sequence[Value], kind: Mapping[str, str]) -> Clauses:
    """What tests of one manner need, any of which will do: the first of them, and the values of all."""
    name, op = first.field, first.op
    if first.view is not ViewName.FLAT or op is Op.IS_NULL or (op is Op.EXISTS and False in values):
        return _NOTHING
    marks = _MARKS.get(op)
    texts = _texts(op, first.cased, values) if marks is not None else None
    if name is None:
        return (Clause(_likely(texts), (Literals(None, "", "", texts),)),) if texts and all(texts) else _NOTHING
    key = field_key(name)
    if op is Op.REGEX:
        plain = tuple(plain_text(value) if isinstance(value, str) else "" for value in values)
        if all(plain) and "".join(plain).isascii():
            # Without regard to case, engines take letters for ASCII's that fold to none of them (the long s).
            return (Clause(_likely(plain), (Literals(key, "", "", (*plain, FOREIGN)),)),)
    if marks is None or texts is None:
        return _present(key)
    if key in kind and op is Op.EQUALS and not first.cased:
        return _NOTHING if kind[key] in map(fold, texts) else None
    return (Clause(_likely(texts), (Literals(key, *marks, texts),)),)


@lru_cache(maxsize=4096)
def _present(key: str) -> tuple[Clause, ...]:
    return (Clause(1.0, (Literals(key, START, "", ("",)),)),)


def _likely(texts: tuple[str, ...]) -> float:
    return len(texts) * 16.0 ** -min(_RARE, *map(len, texts))


def _texts(op: Op, cased: bool, values: Sequence[Value]) -> tuple[str, ...] | None:
    """The texts that one of the values is found by; None where not each of them has one."""
    texts: list[str] = []
    for value in values:
        if isinstance(value, str):
            texts.append(value)
        elif value is None or isinstance(value, FieldName):
            return None
        else:
            texts.append(text_of(value))
    every = texts[0] if len(texts) == 1 else "".join(texts)
    if not every.isascii() and (cased or any("\ud800" <= letter <= "\udfff" for letter in every)):
        # A letter may fold in more than one way, by where it stands in a word: what is equal before need not be so after. And half of a
        # surrogate pair is no text that could be looked for.
        return None
    return tuple(map(longest_literal, texts)) if op is Op.LIKE else tuple(texts)
