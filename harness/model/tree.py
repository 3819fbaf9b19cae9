"""The predicate tree: the one form into which every rule language is parsed.

Matching, "which clause killed it", "can this action produce it at all", explanation and SQL are readings of this tree
(`harness.logic`). The tree knows no rule language and no event format: a test names a field and what its value must be.

Rules of the tree:

- `Test.field` is a name of the view that the test reads (flat or ECS), compared without regard to case; `None` asks every value of the
  event (a Sigma keyword).
- A test on a field that the event lacks is false, except `IS_NULL`, and `EXISTS` with value False.
- String comparison folds case unless `cased`. Numbers and strings compare as Windows logs mix them: 5985 and "5985" are equal.
- A field that holds a list satisfies a test where any of its elements does. A field whose value is null is one that the event lacks.
- `REGEX` is searched, not anchored; `FieldName` as a value stands for that field's value in the same event.
- A `Formula` is true where its term is; where the term is null (a value it needs is absent) it is false, and so is its negation: a loader
  writes the negation of a formula as a formula (`NOT`), never as a `Not` around it.
- A `Pattern` joins several events: its stages are trees, and what ties them together is said beside them.
- `label` on a group is the name its author gave it ("selection", "filter_main_localhost"), for people only.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
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


class ViewName(StrEnum):
    """Which view of an event a test or formula reads."""

    FLAT = "flat"  # the event's own field names: what Sigma reads
    ECS = "ecs"  # Elastic Common Schema: what EQL reads


Value = str | int | float | bool | FieldName | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Test:
    """One comparison of one field with one value: the smallest clause that can kill a match."""

    field: str | None
    op: Op
    value: Value
    cased: bool = False
    view: ViewName = ViewName.FLAT


class Function(StrEnum):
    """What a term may compute, under the names of the EQL function reference, and the operators between computed values."""

    ADD = "add"
    BETWEEN = "between"
    CIDR_MATCH = "cidrMatch"
    CONCAT = "concat"
    DIVIDE = "divide"
    ENDS_WITH = "endsWith"
    INDEX_OF = "indexOf"
    LENGTH = "length"
    MODULO = "modulo"
    MULTIPLY = "multiply"
    NUMBER = "number"
    STARTS_WITH = "startsWith"
    STRING = "string"
    STRING_CONTAINS = "stringContains"
    SUBSTRING = "substring"
    SUBTRACT = "subtract"
    EQUAL = "=="
    NOT_EQUAL = "!="
    LESS = "<"
    LESS_OR_EQUAL = "<="
    GREATER = ">"
    GREATER_OR_EQUAL = ">="
    IS_NULL = "is null"
    LIKE = "like"
    REGEX = "regex"
    IN = "in"
    NOT = "not"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A value computed from others of the same event. `cased` false: letters are compared without regard to case.

    Null where an argument is (but for `IS_NULL`).
    """

    function: Function
    arguments: tuple[Term, ...]
    cased: bool = True


Term = str | int | float | bool | FieldName | Call | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Formula:
    """A clause about computed values, where a test of one field with one literal does not do."""

    term: Term
    view: ViewName


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


Node = Test | Formula | Not | And | Or


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinKey:
    """A field whose values join the events of a pattern. An event that lacks it joins none; `optional`: it joins others that do."""

    name: str
    optional: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One event of a pattern: what it must satisfy, and the fields whose values join it to the others.

    `missing`: there must be no such event in that place.
    """

    condition: Node
    keys: tuple[JoinKey, ...] = ()
    missing: bool = False


class PatternKind(StrEnum):
    """How a pattern's events lie to each other."""

    SINGLE = "event"  # one stage, one event
    SEQUENCE = "sequence"  # in order of time
    SAMPLE = "sample"  # in any order


class PipeKind(StrEnum):
    """Which of a query's results are kept."""

    HEAD = "head"
    TAIL = "tail"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipe:
    """The first or the last `count` results."""

    kind: PipeKind
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Pattern:
    """Several events that together are one match. A stage that must occur several times stands there as often.

    `max_span` is the most that may lie between first and last; `until` ends what is under way for its keys. Every stage has as many
    keys, compared place by place.
    """

    kind: PatternKind
    stages: tuple[Stage, ...]
    max_span: timedelta | None = None
    until: Stage | None = None
    pipes: tuple[Pipe, ...] = ()
