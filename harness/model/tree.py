"""The predicate tree: the one form into which every rule language is parsed.

Matching, "which clause killed it", "can this action produce it at all", explanation and SQL are readings of this tree
(`harness.logic`). The tree knows no rule language and no event format: a test names a field and what its value must be.

Rules of the tree:

- `Test.field` is a name of the event's flat view, compared without regard to case; `None` asks every value of the event
  (a Sigma keyword).
- A test on a field that the event lacks is false, except `IS_NULL`, and `EXISTS` with value False.
- String comparison folds case unless `cased`. Numbers and strings compare as Windows logs mix them: 5985 and "5985" are equal.
- A field that holds a list satisfies a test where any of its elements does. A field whose value is null is one that the event lacks.
- `REGEX` is searched, not anchored; `FieldName` as a value stands for that field's value in the same event.
- `label` on a group is the name its author gave it ("selection", "filter_main_localhost"), for people only.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Op(StrEnum):
    """What a test asks of a field's value."""

    EQUALS = "equals"
    CONTAINS = "contains"
    STARTS_WITH = "starts with"
    ENDS_WITH = "ends with"
    LIKE = "is like"  # value is a pattern: * any run, ? one character, backslash escapes those three
    REGEX = "matches"
    CIDR = "is in network"
    LESS = "<"
    LESS_OR_EQUAL = "<="
    GREATER = ">"
    GREATER_OR_EQUAL = ">="
    EXISTS = "exists"
    IS_NULL = "is null"


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldName:
    """Another field of the same event, in the place of a literal value."""

    name: str


Value = str | int | float | bool | FieldName | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Test:
    """One comparison of one field with one value: the smallest clause that can kill a match."""

    field: str | None
    op: Op
    value: Value
    cased: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Not:
    """True where its item is false."""

    item: Node
    label: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class And:
    """True where every item is; true when empty."""

    items: tuple[Node, ...]
    label: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Or:
    """True where any item is; false when empty."""

    items: tuple[Node, ...]
    label: str = ""


Node = Test | Not | And | Or
