r"""Kibana's query language (KQL, "kuery") to the predicate tree: own grammar, own reading of the published reference.

It is read as Kibana's rule engine reads it: case counts on keyword fields (`process.name : "CMD.exe"` is not cmd.exe), and what a field's
type makes of a value is `harness.rules.mapped`'s to say. A value in quotes is taken literally; unquoted words up to the next operator are
one value, in which `*` is the one wildcard (`?` is a character). `field : *` asks whether the field is there. `not` binds tightest, then
`and`, then `or`; the words are operators in any case, and values may be joined by them in brackets: `field : (a and not b)`. A value
without a field is looked for in all fields. Read more kindly than by Kibana: `not` before a bracket needs no blank, and may be repeated;
a pattern with blanks is one value on every keyword field, where Kibana takes it apart on those of the type wildcard
(`process.command_line`).

Refused by name: nested fields (`a : { b : c }`), patterns of field names, comparisons of dates, `null`. This file must never know an
event, a scenario or how the tree is asked.

Sources: https://www.elastic.co/docs/reference/query-languages/kql; how Kibana makes a query of it: packages/kbn-es-query in
https://github.com/elastic/kibana
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from harness.model.tree import And, Node, Not, Op, Or
from harness.rules import grammar, mapped
from harness.rules.mapped import Refused

if TYPE_CHECKING:
    from lark import Lark, Token

# A word ends where a blank, an operator or a bracket begins; a backslash takes what it may take with it, and stands for nothing by itself.
_GRAMMAR = r"""
start: disjunction?
?disjunction: conjunction (OR conjunction)*
?conjunction: negation (AND negation)*
?negation: NOT negation -> negated
         | LPAR disjunction RPAR -> bracketed
         | literal COLON values -> asked
         | literal COLON BRACE disjunction "}" -> nested
         | literal COMPARE literal -> compared
         | literal -> anywhere
?values: literal -> value
       | LPAR any_value RPAR -> bracketed
?any_value: all_values (OR all_values)* -> any_value
?all_values: each_value (AND each_value)* -> all_values
?each_value: NOT each_value -> no_value
           | values
literal: QUOTED | WORD+

OR.2: /or(?![^\s():<>"{}])/i
AND.2: /and(?![^\s():<>"{}])/i
NOT.2: /not(?![^\s():<>"{}])/i
COLON: ":"
BRACE: "{"
LPAR: "("
RPAR: ")"
COMPARE: /[<>]=?/
QUOTED: /"(?:[^"\\]|\\.|\\\n)*"/
WORD: /(?:[^\s\\():<>"{}]|\\[\\():<>"*{}trn]|\\u[0-9a-fA-F]{4}|\\(?:or|and|not))+/i
%ignore /\s+/
"""


def parse_kql(text: str) -> Node:
    """The tree of a text. Raises `QueryError` at the first thing that is wrong."""
    node: Node = grammar.read(text, _parser(), _reader(), _hint)
    return node


def _hint(text: str, at: int) -> str:
    if text[at : at + 1] == "\\":
        return 'a backslash is \\\\, or put the value in double quotes and double it: "C:\\\\Windows"'
    if text[at : at + 1] == "=":
        return "equality is :"
    return ""


@cache
def _parser() -> Lark:
    from lark import Lark

    return Lark(_GRAMMAR, parser="lalr", lexer="basic", propagate_positions=True, maybe_placeholders=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Literal:
    """A text, each of its pieces with whether it is a wildcard, and its place."""

    token: Token
    pieces: tuple[tuple[str, bool], ...]
    quoted: bool

    @property
    def text(self) -> str:
        return "".join(piece for piece, _ in self.pieces)

    @property
    def has_wildcard(self) -> bool:
        return any(wild for _, wild in self.pieces)

    def read(self, asked: Callable[[], Node]) -> Node:
        """What is asked with it; what is refused of it is told with its place."""
        try:
            return asked()
        except Refused as error:
            raise grammar.unsupported(self.token, error.what, error.fix) from error


_Asked = Callable[[str | None], Node]
"""What values ask of a field, by its name; of all of them where it has none."""

_ORDER = {"<": Op.LESS, "<=": Op.LESS_OR_EQUAL, ">": Op.GREATER, ">=": Op.GREATER_OR_EQUAL}
_BLANKS = {"t": "\t", "r": "\r", "n": "\n"}
_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})|\\([trn])|\\(or|and|not)|\\(.)|(\*)|([^\\*]+)", re.IGNORECASE | re.DOTALL)
_QUOTED_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})|\\([trn])|\\([\\\"])|([\s\S])")


def _word(text: str) -> tuple[tuple[str, bool], ...]:
    found: list[tuple[str, bool]] = []
    for number, blank, keyword, escaped, star, plain in _ESCAPE.findall(text):
        piece = chr(int(number, 16)) if number else _BLANKS[blank.lower()] if blank else keyword or escaped or star or plain
        found.append((piece, bool(star)))
    return tuple(found)


def _quoted(text: str) -> str:
    return "".join(
        chr(int(number, 16)) if number else _BLANKS[blank] if blank else escaped or plain
        for number, blank, escaped, plain in _QUOTED_ESCAPE.findall(text[1:-1])
    )


def _value(name: str | None, literal: _Literal) -> Node:
    def asked() -> Node:
        if not literal.has_wildcard:
            if not literal.quoted and literal.text == "null":
                raise Refused("null is no value", "ask for what is absent by: not field : *")
            return mapped.is_value(name, literal.text, quoted=literal.quoted)
        if all(wild for _, wild in literal.pieces):
            return mapped.exists(name) if name is not None else mapped.everything()
        return mapped.fits(name, mapped.pattern_of(literal.pieces))

    return literal.read(asked)


def _field(literal: _Literal) -> str:
    if literal.has_wildcard:
        raise grammar.unsupported(literal.token, "a pattern of field names is not read here", "name each field")
    return literal.text


@cache
def _reader() -> Any:
    """The transformer; made on first use, because lark is imported with it."""
    from lark import Token, Transformer

    def joined(kind: type[And | Or], parts: list[Any]) -> Node:
        items = tuple(part for part in parts if not isinstance(part, Token))
        return items[0] if len(items) == 1 else kind(items=items)

    def values_joined(kind: type[And | Or], parts: list[Any]) -> _Asked:
        asked: list[_Asked] = [part for part in parts if not isinstance(part, Token)]
        return asked[0] if len(asked) == 1 else lambda name: kind(items=tuple(each(name) for each in asked))

    class Reader(Transformer[Token, Any]):
        def literal(self, parts: list[Token]) -> _Literal:
            first = parts[0]
            if first.type == "QUOTED":
                return _Literal(token=first, pieces=((_quoted(first), False),), quoted=True)
            # Blanks between the words of one value are kept as they are written.
            pieces: list[tuple[str, bool]] = []
            for before, part in zip([None, *parts], parts, strict=False):
                if before is not None:
                    pieces.append((" " * max(1, (part.start_pos or 0) - (before.end_pos or 0)), False))
                pieces.extend(_word(part))
            return _Literal(token=first, pieces=tuple(pieces), quoted=False)

        # values of one field

        def value(self, parts: list[_Literal]) -> _Asked:
            return lambda name: _value(name, parts[0])

        def any_value(self, parts: list[Any]) -> _Asked:
            return values_joined(Or, parts)

        def all_values(self, parts: list[Any]) -> _Asked:
            return values_joined(And, parts)

        def no_value(self, parts: list[Any]) -> _Asked:
            return lambda name: Not(item=parts[1](name))

        # conditions

        def asked(self, parts: list[Any]) -> Node:
            field, _, values = parts
            node: Node = values(None if field.pieces == (("*", True),) else _field(field))
            return node

        def nested(self, parts: list[Any]) -> Node:
            raise grammar.unsupported(parts[0].token, "nested fields are not read here")

        def compared(self, parts: list[Any]) -> Node:
            field, sign, bound = parts
            literal: _Literal = bound
            return literal.read(lambda: mapped.in_range(_field(field), {_ORDER[str(sign)]: literal.text}))

        def anywhere(self, parts: list[_Literal]) -> Node:
            return _value(None, parts[0])

        def bracketed(self, parts: list[Any]) -> Any:
            return parts[1]

        def negated(self, parts: list[Any]) -> Node:
            return Not(item=parts[1])

        def conjunction(self, parts: list[Any]) -> Node:
            return joined(And, parts)

        def disjunction(self, parts: list[Any]) -> Node:
            return joined(Or, parts)

        def start(self, parts: list[Node]) -> Node:
            return parts[0] if parts else mapped.everything()

    return Reader()
