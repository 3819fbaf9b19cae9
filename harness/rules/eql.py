"""EQL as Elasticsearch understands it, from text to the predicate tree: own grammar, own reading of the published reference.

What Elasticsearch refuses is refused here, and what is not read here is refused by name, with line and column; nothing is ignored. This
file must never know an event, a scenario or how the tree is asked.

A field compared with literals is two-valued, as the query that Elasticsearch makes of it: `not process.name : "x"` is true where there is
no name. A computed value is null where a field that it needs is absent, and neither it nor its negation is then true.

A field `x.caseless` is the field x compared without regard to case, as the sub-field of that name is. Elasticsearch takes it for a
keyword; a function that has no form without regard to case reads x as it is.

Sources: https://www.elastic.co/docs/reference/query-languages/eql/eql-syntax and eql-function-ref; regular expressions are Lucene's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from difflib import get_close_matches
from functools import cache
from ipaddress import ip_network
from math import isfinite
from typing import TYPE_CHECKING, Any

from harness.logic.match import BadValue, compile_node
from harness.model.tree import (
    And,
    Call,
    FieldName,
    Formula,
    Function,
    JoinKey,
    Node,
    Not,
    Op,
    Or,
    Pattern,
    PatternKind,
    Pipe,
    PipeKind,
    Stage,
    Term,
    Test,
    ViewName,
)
from harness.rules import grammar
from harness.rules.grammar import DEPTH, QueryError
from harness.rules.lucene_regex import python_regex
from harness.rules.wildcards import simplest

if TYPE_CHECKING:
    from lark import Lark, Token

KEYWORDS = frozenset(
    ["and", "any", "by", "false", "in", "like", "not", "null", "or", "regex", "sample", "sequence", "true", "until", "where", "with"]
)
"""Words that are no names unless they stand in backticks."""

CASELESS = ".caseless"
"""The end of a sub-field's name."""

_STAGES = 100
"""The most events of a sequence, each run of a stage counted."""

_GRAMMAR = r"""
start: body pipe*
?body: event_query | sequence | sample
event_query: event
event: category "where" disjunction
category: NAME | DOTTED | STRING | RAW | ANY

sequence: SEQUENCE sequence_by? sequence_with? stage+ until?
sequence_by: keys
sequence_with: "with" NAME "=" span
span: NUMBER NAME?
sample: SAMPLE sequence_by? stage+
stage: (OPEN | MISSING) event "]" stage_by? runs?
stage_by: keys
runs: "with" NAME "=" NUMBER
until: "until" stage
keys: "by" key ("," key)*
key: field

pipe: "|" NAME [disjunction ("," disjunction)*]

?disjunction: conjunction ("or" conjunction)*
?conjunction: negation ("and" negation)*
?negation: NOT negation -> negated
         | comparison
?comparison: sum
           | sum COMPARE sum -> compared
           | sum NOT? (IN | IN_FOLDED) "(" disjunction ("," disjunction)* ")" -> listed
           | sum (COLON | WORD_LIKE | WORD_LIKE_FOLDED | WORD_REGEX | WORD_REGEX_FOLDED) patterns -> patterned
patterns: sum | "(" disjunction "," disjunction ("," disjunction)* ")"
?sum: product ((PLUS | MINUS) product)*
?product: unary ((TIMES | DIVIDED | MODULO) unary)*
?unary: MINUS unary -> minus
      | PLUS unary -> plus
      | atom
?atom: "(" disjunction ")" -> bracketed
     | NUMBER -> number
     | (STRING | RAW) -> string
     | TRUE -> true
     | FALSE -> false
     | NULL -> null
     | call
     | field
call: CALLED [disjunction ("," disjunction)*] ")"
field: OPTIONAL? (NAME | DOTTED)

ANY: "any"
SEQUENCE: "sequence"
SAMPLE: "sample"
NOT: "not"
IN: "in"
IN_FOLDED.3: "in~"
WORD_LIKE: "like"
WORD_LIKE_FOLDED.3: "like~"
WORD_REGEX: "regex"
WORD_REGEX_FOLDED.3: "regex~"
TRUE: "true"
FALSE: "false"
NULL: "null"
OPEN: "["
MISSING.2: "!["
OPTIONAL: "?"
COLON: ":"
COMPARE.2: "==" | "!=" | "<=" | ">=" | "<" | ">"
PLUS: "+"
MINUS: "-"
TIMES: "*"
DIVIDED: "/"
MODULO: "%"
NUMBER: /([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?/
RAW.4: /\"\"\"(?:.|\n)*?\"\"\"\"{0,2}/
STRING.3: /"(?:[^"\\\n\r]|\\.)*"/
CALLED.3: /(?!(?:%KEYWORDS%)~?\s*\()[A-Za-z_][A-Za-z0-9_]*~?\s*\(/
DOTTED.2: /(?:[@A-Za-z_][A-Za-z0-9_]*|`(?:[^`\n]|``)+`)(?:\.(?:[@A-Za-z0-9_]+|`(?:[^`\n]|``)+`))+|`(?:[^`\n]|``)+`|@[A-Za-z0-9_]+/
NAME: /[A-Za-z_][A-Za-z0-9_]*/
COMMENT.5: /\/\*(?:.|\n)*?\*\/|\/\/[^\n]*/
%ignore COMMENT
%ignore /[ \t\r\n]+/
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What an EQL text asks for: the tree of its single event, or a pattern of several.

    `logic` is what any one event of it satisfies. `pattern` is None where that is all.
    """

    logic: Node
    pattern: Pattern | None = None


def parse_eql(text: str) -> Query:
    """The query of a text. Raises `QueryError` at the first thing that is wrong."""
    query: Query = grammar.read(text, _parser(), _reader(), _hint)
    return query


_LINEAGE = re.compile(r"(?:child|descendant|event)\s+$")


def _hint(text: str, at: int) -> str:
    rest = text[at : at + 2]
    if rest[:1] == "'":
        return 'strings stand in double quotes: "..."'
    if rest[:1] == "=":
        return "equality is == or, without regard to case, :"
    if rest[:1] == '"' and text[at - 1 : at] == "?":
        return 'raw strings stand in three double quotes: """..."""'
    if rest == "of" and _LINEAGE.search(text, max(0, at - 20), at):
        return "Elasticsearch does not ask for lineage: join the events by process.entity_id in a sequence"
    if rest[:1] in "<>!:" and text[:at].rstrip()[-1:] not in "<>=!:":
        return "comparisons are not chained: join them by and"
    if text[:at].strip() == "join":
        return "Elasticsearch has no join: write a sequence or a sample"
    return ""


@cache
def _parser() -> Lark:
    from lark import Lark

    text = _GRAMMAR.replace("%KEYWORDS%", "|".join(sorted(KEYWORDS)))
    return Lark(text, parser="lalr", lexer="basic", propagate_positions=True, maybe_placeholders=False)


# --- what an expression is: a condition, or a value ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Expression:
    """A part of a query: a condition where `node` is there, a value, or a function that is either; and its place. `optional`: a field that
    is marked by `?`."""

    line: int
    column: int
    term: Term = None
    node: Node | None = None
    optional: bool = False

    def holding(self, node: Node) -> _Expression:
        """A condition in this place."""
        return _Expression(line=self.line, column=self.column, node=node)

    def failure(self, what: str, fix: str = "") -> QueryError:
        """What is wrong in this place."""
        return QueryError(self.line, self.column, what, fix)

    def value(self) -> Term:
        """It as a value."""
        if self.node is not None and not isinstance(self.term, Call):
            raise self.failure("a condition is no value", "join conditions by and, or, not")
        return self.term

    def condition(self) -> Node:
        """It as a condition: a Boolean field, function or literal is one by itself."""
        if self.node is not None:
            return self.node
        match self.term:
            case bool():
                return And(items=()) if self.term else Or(items=())
            case FieldName(name=name):
                return _field_test(name, Op.EQUALS, True)
            case Call(function=function) if function in _BOOLEAN:
                return _formula(self.term)
        raise self.failure("this is a value, where a condition is wanted", "compare it with something")


_BOOLEAN = frozenset(
    [
        *(Function.CIDR_MATCH, Function.ENDS_WITH, Function.STARTS_WITH, Function.STRING_CONTAINS),
        *(Function.EQUAL, Function.NOT_EQUAL, Function.IN, Function.LIKE, Function.REGEX, Function.IS_NULL, Function.NOT),
        *(Function.LESS, Function.LESS_OR_EQUAL, Function.GREATER, Function.GREATER_OR_EQUAL),
    ]
)

# Function: fewest and most arguments, and whether `~` may stand behind its name.
_FUNCTIONS: dict[Function, tuple[int, int, bool]] = {
    Function.ADD: (2, 2, False),
    Function.BETWEEN: (3, 4, True),
    Function.CIDR_MATCH: (2, 1000, False),
    Function.CONCAT: (1, 1000, False),
    Function.DIVIDE: (2, 2, False),
    Function.ENDS_WITH: (2, 2, True),
    Function.INDEX_OF: (2, 3, True),
    Function.LENGTH: (1, 1, False),
    Function.MODULO: (2, 2, False),
    Function.MULTIPLY: (2, 2, False),
    Function.NUMBER: (1, 2, False),
    Function.STARTS_WITH: (2, 2, True),
    Function.STRING: (1, 1, False),
    Function.STRING_CONTAINS: (2, 2, True),
    Function.SUBSTRING: (2, 3, False),
    Function.SUBTRACT: (2, 2, False),
}
_BY_NAME = {function.lower(): function for function in _FUNCTIONS}

_ELSEWHERE = {
    "arraycontains": 'a test of an array field is true where any element is: field : "x"',
    "arraysearch": 'a test of an array field is true where any element is: field : "x"',
    "arraycount": "Elasticsearch has no such function",
    "match": 'field regex "..."',
    "matchlite": 'field regex "..."',
    "wildcard": 'field : "..."',
    "regex": 'field regex "..."',
}
"""Functions of other EQL engines that Elasticsearch does not have, and what to write instead."""

_SPANS = {"ms": timedelta(milliseconds=1), "s": timedelta(seconds=1), "m": timedelta(minutes=1), "h": timedelta(hours=1)}
_SPANS["d"] = timedelta(days=1)

_COMPARISONS = {
    "==": Function.EQUAL,
    "!=": Function.NOT_EQUAL,
    "<": Function.LESS,
    "<=": Function.LESS_OR_EQUAL,
    ">": Function.GREATER,
    ">=": Function.GREATER_OR_EQUAL,
}
_ORDER = {"<": Op.LESS, "<=": Op.LESS_OR_EQUAL, ">": Op.GREATER, ">=": Op.GREATER_OR_EQUAL}
_FLIPPED = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}
_SIGNS = {"+": Function.ADD, "-": Function.SUBTRACT, "*": Function.MULTIPLY, "/": Function.DIVIDE, "%": Function.MODULO}


def negated(node: Node) -> Node:
    """The negation, with formulas negated as formulas, so that null stays false (see `harness.model.tree`)."""
    match node:
        case Formula(term=Call(function=Function.NOT, arguments=(inner,))):
            return Formula(term=inner, view=node.view)
        case Formula():
            return Formula(term=Call(function=Function.NOT, arguments=(node.term,)), view=node.view)
        case Not(item=item):
            return item
        case And(items=items) if _has_formula(node):
            return Or(items=tuple(negated(item) for item in items))
        case Or(items=items) if _has_formula(node):
            return And(items=tuple(negated(item) for item in items))
    return Not(item=node)


def _has_formula(node: Node) -> bool:
    match node:
        case Formula():
            return True
        case Not(item=item):
            return _has_formula(item)
        case And(items=items) | Or(items=items):
            return any(_has_formula(item) for item in items)
    return False


def _fields_in(term: Term) -> bool:
    if isinstance(term, Call):
        return any(_fields_in(argument) for argument in term.arguments)
    return isinstance(term, FieldName)


def _strings(term: Term) -> bool:
    return isinstance(term, str)


_ON_TEXT = frozenset([Op.EQUALS, Op.CONTAINS, Op.STARTS_WITH, Op.ENDS_WITH, Op.LIKE, Op.REGEX])


def _field_test(name: str, op: Op, value: str | int | float | bool | None, *, cased: bool = True) -> Test:
    """A test of an ECS field. `.caseless` names a sub-field that is compared without regard to case; but for texts there is none."""
    plain = _plain(name)
    folded = op in _ON_TEXT and isinstance(value, str) and not (cased and plain == name)
    return Test(field=plain, op=op, value=value, cased=not folded, view=ViewName.ECS)


def _formula(call: Call) -> Formula:
    """A clause about a computed value, sub-fields named `.caseless` as `_field_test` has them."""
    return Formula(term=_computed(call), view=ViewName.ECS)


def _computed(call: Call) -> Call:
    arguments = tuple(_computed(each) if isinstance(each, Call) else each for each in call.arguments)
    names = [each.name for each in arguments if isinstance(each, FieldName)]
    if not any(name.endswith(CASELESS) for name in names):
        return replace(call, arguments=arguments)
    plain = tuple(FieldName(name=_plain(each.name)) if isinstance(each, FieldName) else each for each in arguments)
    return replace(call, arguments=plain, cased=call.cased and not _may_fold(call.function))


def _may_fold(function: Function) -> bool:
    """Whether a computed value may be had without regard to case."""
    return function in (Function.EQUAL, Function.NOT_EQUAL, Function.IN, Function.LIKE, Function.REGEX) or (
        function in _FUNCTIONS and _FUNCTIONS[function][2]
    )


def _wildcard_test(name: str, pattern: str, *, cased: bool) -> Test:
    """A pattern of `*` and `?`, in which a backslash is itself."""
    op, value = simplest(pattern.replace("\\", "\\\\"))
    return _field_test(name, op, value, cased=cased)


# --- strings and names ----------------------------------------------------------------------------------------

_ESCAPES = {"\\": "\\", '"': '"', "'": "'", "n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}


def _unescaped(token: Token) -> str:
    inner = token[1:-1]

    def one(found: re.Match[str]) -> str:
        if found[1] is not None:
            number = int(found[1], 16)
            if number > 0x10FFFF or 0xD800 <= number <= 0xDFFF:
                raise grammar.at(token, f"there is no character {found[0]}")
            return chr(number)
        if found[2] not in _ESCAPES:
            raise grammar.at(token, f"there is no escape \\{found[2]}", 'write \\\\ for a backslash, or """..."""')
        return _ESCAPES[found[2]]

    return re.sub(r"\\(?:u\{([0-9a-fA-F]{2,8})\}|(.))", one, inner)


def _network(place: _Expression, text: str) -> str:
    """A network; the bits of a host in it count for nothing, as Elasticsearch has it."""
    try:
        return str(ip_network(text, strict=False))
    except ValueError as error:
        raise place.failure(f"not a network: {error}", "10.0.0.0/8") from error


def _text_of(token: Token) -> str:
    return str(token[3:-3]) if token.type == "RAW" else _unescaped(token)


_PART = re.compile(r"`((?:[^`]|``)+)`|[^.`]+")


def _name_of(token: Token) -> str:
    """A field's name without the backticks that its parts may stand in; two of them are one that is meant."""
    return ".".join(found[1].replace("``", "`") if found[1] else found[0] for found in _PART.finditer(token))


def _plain(name: str) -> str:
    while name.endswith(CASELESS):
        name = name.removesuffix(CASELESS)
    return name


# --- from lark's tree ---------------------------------------------------------------------------------------------------------


@cache
def _reader() -> Any:
    """The transformer; made on first use, because lark is imported with it."""
    from lark import Token, Transformer, v_args

    def joined(kind: type[And | Or], parts: Sequence[_Expression]) -> _Expression:
        first = parts[0]
        return _Expression(line=first.line, column=first.column, node=kind(items=tuple(part.condition() for part in parts)))

    def arithmetic(parts: list[Any]) -> _Expression:
        result: _Expression = parts[0]
        for sign, right in zip(parts[1::2], parts[2::2], strict=True):
            call = Call(function=_SIGNS[str(sign)], arguments=(result.value(), right.value()))
            result = replace(result, term=call)
        if len(parts) > 2 * DEPTH:
            raise result.failure(f"more than {DEPTH} operations stand in one row")
        return result

    class Reader(Transformer[Token, Any]):
        # values

        @v_args(meta=True)
        def number(self, meta: Any, parts: list[Token]) -> _Expression:
            text = str(parts[0])
            if len(text) > 40:
                raise grammar.at(parts[0], "the number is too long")
            value = int(text) if text.isdecimal() else float(text)
            if not isfinite(value):
                raise grammar.at(parts[0], "the number is too large")
            return _Expression(line=meta.line, column=meta.column, term=value)

        @v_args(meta=True)
        def string(self, meta: Any, parts: list[Token]) -> _Expression:
            return _Expression(line=meta.line, column=meta.column, term=_text_of(parts[0]))

        @v_args(meta=True)
        def true(self, meta: Any, parts: list[Token]) -> _Expression:
            return _Expression(line=meta.line, column=meta.column, term=True)

        @v_args(meta=True)
        def false(self, meta: Any, parts: list[Token]) -> _Expression:
            return _Expression(line=meta.line, column=meta.column, term=False)

        @v_args(meta=True)
        def null(self, meta: Any, parts: list[Token]) -> _Expression:
            return _Expression(line=meta.line, column=meta.column, term=None)

        @v_args(meta=True)
        def field(self, meta: Any, parts: list[Token]) -> _Expression:
            # Without a mapping every field may be absent: `?` says of a field what holds of all of them here, but for join keys.
            optional = parts[0].type == "OPTIONAL"
            return _Expression(line=meta.line, column=meta.column, term=FieldName(name=_name_of(parts[-1])), optional=optional)

        def bracketed(self, parts: list[_Expression]) -> _Expression:
            return parts[0]

        @v_args(meta=True)
        def minus(self, meta: Any, parts: list[Any]) -> _Expression:
            value = parts[1].value()
            if isinstance(value, int | float) and not isinstance(value, bool):
                return _Expression(line=meta.line, column=meta.column, term=-value)
            call = Call(function=Function.SUBTRACT, arguments=(0, value))
            return _Expression(line=meta.line, column=meta.column, term=call)

        @v_args(meta=True)
        def plus(self, meta: Any, parts: list[Any]) -> _Expression:
            return _Expression(line=meta.line, column=meta.column, term=parts[1].value())

        def sum(self, parts: list[Any]) -> _Expression:
            return arithmetic(parts)

        def product(self, parts: list[Any]) -> _Expression:
            return arithmetic(parts)

        @v_args(meta=True)
        def call(self, meta: Any, parts: list[Any]) -> _Expression:
            place = _Expression(line=meta.line, column=meta.column)
            called = str(parts[0])[:-1].rstrip()
            name, folded = called.removesuffix("~"), called.endswith("~")
            function = _BY_NAME.get(name.lower())
            if function is None:
                near = get_close_matches(name.lower(), _BY_NAME, 1)
                other = _ELSEWHERE.get(name.lower(), f"did you mean {_BY_NAME[near[0]]}?" if near else "")
                raise place.failure(f"there is no function {name}", other)
            fewest, most, may_fold = _FUNCTIONS[function]
            if folded and not may_fold:
                raise place.failure(f"the function {function} has no form {function}~")
            arguments = tuple(part.value() for part in parts[1:])
            if not fewest <= len(arguments) <= most:
                wanted = f"{fewest}" if fewest == most else f"{fewest} to {most}"
                raise place.failure(f"{function} takes {wanted} arguments, not {len(arguments)}")
            return self._called(place, function, arguments, cased=not folded)

        def _called(self, place: _Expression, function: Function, arguments: tuple[Term, ...], *, cased: bool) -> _Expression:
            if function is Function.NUMBER and arguments[1:] == (None,):
                arguments = arguments[:1]  # the one argument that may be null: the base is then that of the text
            first, *others = arguments
            literal = all(_strings(other) for other in others)
            computed = replace(place, term=Call(function=function, arguments=arguments, cased=cased))
            if function is Function.CIDR_MATCH:
                if not literal:
                    raise place.failure("the networks of cidrMatch must be literals")
                others = [_network(place, str(other)) for other in others]
                computed = replace(place, term=Call(function=function, arguments=(first, *others), cased=cased))
                if isinstance(first, FieldName):
                    tests = tuple(_field_test(first.name, Op.CIDR, str(other)) for other in others)
                    return replace(computed, node=tests[0] if len(tests) == 1 else Or(items=tests))
            if function is Function.STARTS_WITH and literal and isinstance(first, FieldName):
                return replace(computed, node=_field_test(first.name, Op.STARTS_WITH, str(others[0]), cased=cased))
            return computed

        # conditions

        def disjunction(self, parts: list[_Expression]) -> _Expression:
            return joined(Or, parts)

        def conjunction(self, parts: list[_Expression]) -> _Expression:
            return joined(And, parts)

        def negated(self, parts: list[Any]) -> _Expression:
            inner: _Expression = parts[1]
            return inner.holding(negated(inner.condition()))

        def compared(self, parts: list[Any]) -> _Expression:
            first: _Expression = parts[0]
            left, sign, right = first, str(parts[1]), parts[2]
            if (same := self._as_condition(left, sign, right) or self._as_condition(right, sign, left)) is not None:
                return first.holding(same)
            one, other = left.value(), right.value()
            if one is None or (not _fields_in(one) and _fields_in(other)):
                left, right, one, other = right, left, other, one
                sign = _FLIPPED.get(sign, sign)
            if _fields_in(other):
                raise left.failure("a field is compared with a field, which Elasticsearch does not do", "compare a field with a literal")
            if other is None:
                return first.holding(self._null_check(left, sign, one))
            if isinstance(one, FieldName) and isinstance(other, str | int | float):
                if sign in ("==", "!="):
                    test: Node = _field_test(one.name, Op.EQUALS, other)
                    return first.holding(test if sign == "==" else Not(item=test))
                if not isinstance(other, str | bool):
                    return first.holding(_field_test(one.name, _ORDER[sign], other))
            return first.holding(_formula(Call(function=_COMPARISONS[sign], arguments=(one, other))))

        def _as_condition(self, condition: _Expression, sign: str, literal: _Expression) -> Node | None:
            """A condition that is compared with true or false: itself, or its negation; None where it is not that.

            Nor of a function, whose null is neither.
            """
            value = literal.term
            if (
                condition.node is None
                or isinstance(condition.term, Call)
                or literal.node is not None
                or not isinstance(value, bool)
                or sign not in ("==", "!=")
            ):
                return None
            return condition.node if value is (sign == "==") else negated(condition.node)

        def _null_check(self, left: _Expression, sign: str, term: Term) -> Node:
            if sign not in ("==", "!="):
                raise left.failure("null has no order", "null is compared by == and != alone")
            if isinstance(term, FieldName):
                return _field_test(term.name, Op.IS_NULL if sign == "==" else Op.EXISTS, None if sign == "==" else True)
            check = _formula(Call(function=Function.IS_NULL, arguments=(term,)))
            return check if sign == "==" else negated(check)

        def listed(self, parts: list[Any]) -> _Expression:
            left: _Expression = parts[0]
            denied = parts[1].type == "NOT"
            word = parts[2] if denied else parts[1]
            values = [part.value() for part in parts[3 if denied else 2 :]]
            if any(_fields_in(value) for value in values):
                raise left.failure("a list of values holds a field", "list literals alone")
            cased, term = word.type == "IN", left.value()
            if isinstance(term, FieldName):
                tests = tuple(
                    _field_test(term.name, Op.EQUALS, value, cased=cased) for value in values if isinstance(value, str | int | float)
                )
                node: Node = tests[0] if len(tests) == 1 else Or(items=tests)
            else:
                node = _formula(Call(function=Function.IN, arguments=(term, *values), cased=cased))
            return left.holding(negated(node) if denied else node)

        def patterns(self, parts: list[_Expression]) -> list[_Expression]:
            return parts

        def patterned(self, parts: list[Any]) -> _Expression:
            left: _Expression = parts[0]
            word, wanted = parts[1:]
            term = left.value()
            kind = word.type.removesuffix("_FOLDED")
            cased = word.type in ("WORD_LIKE", "WORD_REGEX")
            texts: list[str] = []
            for part in wanted:
                value = part.value()
                if not isinstance(value, str):
                    raise part.failure(f"'{word}' compares with strings", f"write == or in for what is no string, not {word}")
                texts.append(value)
            if kind == "WORD_REGEX":
                texts = [self._regex(part, text) for part, text in zip(wanted, texts, strict=True)]
            if isinstance(term, FieldName):
                if kind == "WORD_REGEX":
                    tests = tuple(_field_test(term.name, Op.REGEX, text, cased=cased) for text in texts)
                else:
                    tests = tuple(_wildcard_test(term.name, text, cased=cased) for text in texts)
                return left.holding(tests[0] if len(tests) == 1 else Or(items=tests))
            if kind != "WORD_REGEX":
                texts = [text.replace("\\", "\\\\") for text in texts]
            function = Function.REGEX if kind == "WORD_REGEX" else Function.LIKE
            return left.holding(_formula(Call(function=function, arguments=(term, *texts), cased=cased)))

        def _regex(self, part: _Expression, text: str) -> str:
            try:
                return python_regex(text)
            except BadValue as error:
                raise part.failure(str(error)) from error

        # queries

        def category(self, parts: list[Token]) -> Node | None:
            token = parts[0]
            if token.type == "ANY":
                return None
            name = _text_of(token) if token.type in ("STRING", "RAW") else _name_of(token)
            return Test(field="event.category", op=Op.EQUALS, value=name, cased=True, view=ViewName.ECS)

        @v_args(meta=True)
        def event(self, meta: Any, parts: list[Any]) -> Node:
            category, expression = parts
            condition: Node = expression.condition()
            node = condition
            if category is not None:
                inner = condition.items if isinstance(condition, And) and not condition.label else (condition,)
                node = And(items=(category, *inner))
            try:
                compile_node(node)
            except BadValue as error:
                raise QueryError(meta.line, meta.column, str(error)) from error
            return node

        def event_query(self, parts: list[Node]) -> Query:
            return Query(logic=parts[0])

        def span(self, parts: list[Token]) -> timedelta:
            unit = str(parts[1]) if len(parts) > 1 else ""
            if unit not in _SPANS or not parts[0].isdecimal():
                raise grammar.at(parts[0], f"'{parts[0]}{unit}' is no span of time", "a whole number and ms, s, m, h or d")
            try:
                length = int(parts[0]) * _SPANS[unit] if len(parts[0]) < 12 else None
            except OverflowError:
                length = None
            if not length:
                raise grammar.at(parts[0], "maxspan must be longer than nothing and shorter than a lifetime")
            return length

        def sequence_with(self, parts: list[Any]) -> timedelta:
            if str(parts[0]) != "maxspan":
                raise grammar.at(parts[0], f"a sequence has no '{parts[0]}'", "with maxspan=5m")
            span: timedelta = parts[1]
            return span

        def key(self, parts: list[_Expression]) -> JoinKey:
            term = parts[0].value()
            assert isinstance(term, FieldName)
            return JoinKey(name=_plain(term.name), optional=parts[0].optional)

        def keys(self, parts: list[JoinKey]) -> tuple[JoinKey, ...]:
            return tuple(parts)

        def sequence_by(self, parts: list[Any]) -> _By:
            return _By(keys=parts[0])

        stage_by = sequence_by

        def runs(self, parts: list[Token]) -> int:
            if str(parts[0]) != "runs":
                raise grammar.at(parts[0], f"an event of a sequence has no '{parts[0]}'", "with runs=3")
            if not parts[1].isdecimal() or not 0 < int(parts[1][:6]) <= _STAGES:
                raise grammar.at(parts[1], f"runs is a whole number from 1 to {_STAGES}")
            return int(parts[1])

        def stage(self, parts: list[Any]) -> _Stage:
            opening, node, *rest = parts
            by = next((part.keys for part in rest if isinstance(part, _By)), ())
            runs = next((part for part in rest if isinstance(part, int)), None)
            missing = opening.type == "MISSING"
            return _Stage(token=opening, stage=Stage(condition=node, keys=by, missing=missing), runs=runs or 1)

        def until(self, parts: list[Any]) -> _Until:
            return _Until(stage=parts[0])

        def sequence(self, parts: list[Any]) -> Query:
            return _pattern(PatternKind.SEQUENCE, parts[0], parts[1:])

        def sample(self, parts: list[Any]) -> Query:
            return _pattern(PatternKind.SAMPLE, parts[0], parts[1:])

        def pipe(self, parts: list[Any]) -> Pipe:
            name, *counts = parts
            if str(name) not in ("head", "tail"):
                raise grammar.at(name, f"the pipe '{name}' is not read here", "there are head and tail")
            values = [part.value() for part in counts]
            count = values[0] if len(values) == 1 else None
            if isinstance(count, bool) or not isinstance(count, int) or not 0 <= count <= 10_000:
                raise grammar.at(name, f"{name} takes one whole number, at most 10000", f"| {name} 10")
            return Pipe(kind=PipeKind(str(name)), count=count)

        def start(self, parts: list[Any]) -> Query:
            query, *pipes = parts
            if not pipes:
                return query  # type: ignore[no-any-return]
            pattern = query.pattern or Pattern(kind=PatternKind.SINGLE, stages=(Stage(condition=query.logic),))
            return Query(logic=query.logic, pattern=replace(pattern, pipes=tuple(pipes)))

    return Reader()


@dataclass(frozen=True, slots=True, kw_only=True)
class _By:
    keys: tuple[JoinKey, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stage:
    token: Token
    stage: Stage
    runs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Until:
    stage: _Stage


def _pattern(kind: PatternKind, word: Token, parts: list[Any]) -> Query:
    """A sequence or sample, its keys put together and its runs written out. Raises `QueryError`."""
    common = next((part.keys for part in parts if isinstance(part, _By)), ())
    span = next((part for part in parts if isinstance(part, timedelta)), None)
    found = [part for part in parts if isinstance(part, _Stage)]
    until = next((part.stage for part in parts if isinstance(part, _Until)), None)
    every = [*found, *([until] if until else [])]
    counts = {len(each.stage.keys) for each in every}
    if len(counts) > 1:
        odd = next(each for each in every if len(each.stage.keys) != len(found[0].stage.keys))
        raise grammar.at(odd.token, "every event must name as many join keys as the others")
    stages = tuple(_staged(found, common))
    if len(stages) > _STAGES:
        raise grammar.at(word, f"has more than {_STAGES} events")
    present = [stage for stage in stages if not stage.missing]
    if not present:
        raise grammar.at(word, "every event of it is a missing one")
    if len(stages) < 2:
        raise grammar.at(word, f"a {kind.value} has at least two events")
    if kind is PatternKind.SAMPLE:
        if not stages[0].keys:
            raise grammar.at(word, "a sample must name join keys", "sample by host.id [...] [...]")
        bad = next((each for each in found if each.stage.missing or each.runs > 1), None)
        if bad is not None:
            raise grammar.at(bad.token, "a sample has neither missing events nor runs")
    if span is None and len(present) < len(stages):
        raise grammar.at(word, "a sequence with missing events needs a maxspan", "with maxspan=1m")
    if until is not None and (until.stage.missing or until.runs > 1):
        raise grammar.at(until.token, "until takes one plain event")
    last = replace(until.stage, keys=common + until.stage.keys) if until else None
    pattern = Pattern(kind=kind, stages=stages, max_span=span, until=last)
    distinct = tuple(dict.fromkeys(stage.condition for stage in present))
    return Query(logic=distinct[0] if len(distinct) == 1 else Or(items=distinct), pattern=pattern)


def _staged(found: Iterable[_Stage], common: tuple[JoinKey, ...]) -> Iterator[Stage]:
    for each in found:
        for _ in range(each.runs):
            yield replace(each.stage, keys=common + each.stage.keys)
