r"""Lucene's query language, as Elasticsearch's `query_string` has it, to the predicate tree: own grammar, own reading of the reference.

Its operators are no Boolean algebra, and are read as they are there: every clause of a group is one that must hold, may hold or must not.
`AND` makes the clauses on both sides of it ones that must, `+` the one behind it; `-`, `!` and `NOT` make one that must not; `OR` makes
none. Of those that may hold one has to where none must: `a OR b AND c` is b and c. Operators are in capitals; words in a row without any
are one value, or, where one of them is a pattern or has a field, clauses that may hold. What a field's type makes of a value is
`harness.rules.mapped`'s to say: case counts on keyword fields. A value without a field is looked for in all fields.

Refused by name, beside what the types refuse: fuzzy words (`a~`), distances (`"a b"~2`), boosts (`a^2`), patterns of field names. This
file must never know an event, a scenario or how the tree is asked.

Sources: https://www.elastic.co/docs/reference/query-languages/query-dsl/query-dsl-query-string-query; operators as in Lucene's own parser,
https://lucene.apache.org/core/9_12_0/queryparser/org/apache/lucene/queryparser/classic/package-summary.html
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, Any

from harness.logic.match import BadValue
from harness.model.tree import And, Node, Not, Op, Or
from harness.rules import grammar, mapped
from harness.rules.mapped import Refused

if TYPE_CHECKING:
    from lark import Lark, Token

_GRAMMAR = r"""
start: group?
group: clause (joined? clause)*
joined: AND | OR
clause: (PLUS | MINUS | NOT)? (named | unnamed)
named: TERM COLON unnamed
     | STAR COLON unnamed
?unnamed: (TERM | STAR | QUOTED | REGEX | RANGE) loosened? -> single
        | LPAR group RPAR loosened? -> grouped
loosened: FUZZY | BOOST

AND.2: /(?:AND|&&)(?![^\s\u3000!():^\[\]"{}~\/])/
OR.2: /(?:OR|\|\|)(?![^\s\u3000!():^\[\]"{}~\/])/
NOT.2: /!(?!\s)|NOT(?![^\s\u3000!():^\[\]"{}~\/])/
PLUS: /\+(?!\s)/
MINUS: /-(?!\s)/
COLON: ":"
LPAR: "("
RPAR: ")"
STAR.3: /\*(?![^\s+\-!():^\[\]"{}~\/])/
TERM: /(?:[^\s\u3000+\-!():^\[\]"{}~\\\/]|\\.)(?:[^\s\u3000!():^\[\]"{}~\\\/]|\\.)*/
QUOTED: /"(?:[^"\\]|\\.|\\\n)*"/
REGEX: /\/(?:[^\/\\]|\\.)*\//
RANGE: /[\[{]\s*(?:"(?:[^"\\]|\\.)*"|[^\s\]}"]+)\s+TO\s+(?:"(?:[^"\\]|\\.)*"|[^\s\]}"]+)\s*[\]}]/
FUZZY: /~[0-9.]*/
BOOST: /\^[0-9.]*/
%ignore /[\s\u3000]+/
"""


def parse_lucene(text: str) -> Node:
    """The tree of a text; an empty one is true of no event, as in Elasticsearch. Raises `QueryError` at the first thing that is wrong."""
    group: _Group | None = grammar.read(text, _parser(), _reader(), _hint)
    return group.node(None) if group is not None else Or(items=())


def _hint(text: str, at: int) -> str:
    sign = text[at : at + 1]
    if sign == ":":
        return "a value with a colon stands in double quotes, or has a backslash before it"
    if sign == "/":
        return "a slash in a value has a backslash before it; a regular expression ends in one"
    if sign in ("[", "{"):
        return "a range is [a TO b] or {a TO b}"
    return ""


@cache
def _parser() -> Lark:
    from lark import Lark

    return Lark(_GRAMMAR, parser="lalr", lexer="basic", propagate_positions=True, maybe_placeholders=False)


_Asked = Callable[[str | None], Node]
"""What is asked of a field, by its name; of all fields where it has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Clause:
    """One clause of a group. `words` are the bare words in a row that it is one value of; None where it is anything else."""

    asked: _Asked
    required: bool = False
    prohibited: bool = False
    words: list[Token] | None = None


@dataclass(slots=True)
class _Group:
    """Clauses as they come, each of which may change what the one before it is."""

    clauses: list[_Clause] = field(default_factory=list)

    def add(self, clause: _Clause, operator: str) -> None:
        """Take the next clause in, behind `AND`, `OR` or nothing."""
        last = self.clauses[-1] if self.clauses else None
        if not operator and last is not None and last.words is not None and clause.words is not None:
            last.words.extend(clause.words)
            return
        if operator == "AND" and last is not None and not last.prohibited:
            self.clauses[-1] = _Clause(asked=last.asked, required=True)
        required = clause.required or (operator == "AND" and not clause.prohibited)
        # A word behind an operator is a clause by itself: only those behind it may be one value.
        self.clauses.append(replace(clause, required=required, words=None if operator else clause.words))

    def node(self, name: str | None) -> Node:
        """What the group asks of a field."""
        must = [clause.asked(name) for clause in self.clauses if clause.required]
        may = [clause.asked(name) for clause in self.clauses if not clause.required and not clause.prohibited]
        must_not = [Not(item=clause.asked(name)) for clause in self.clauses if clause.prohibited]
        parts = [*(must or ([mapped.any_of(may)] if may else [])), *must_not]
        return parts[0] if len(parts) == 1 else And(items=tuple(parts))


_ORDER = {">=": Op.GREATER_OR_EQUAL, "<=": Op.LESS_OR_EQUAL, ">": Op.GREATER, "<": Op.LESS}
_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})|\\(.)|([*?])|([^\\*?]+)", re.DOTALL)
_RANGE = re.compile(r"([\[{])\s*(\"(?:[^\"\\]|\\.)*\"|[^\s\]}\"]+)\s+TO\s+(\"(?:[^\"\\]|\\.)*\"|[^\s\]}\"]+)\s*([\]}])", re.DOTALL)
_EXISTS = "_exists_"


def _pieces(text: str) -> list[tuple[str, bool]]:
    """A text without its escapes, each piece with whether it is a wildcard."""
    found = _ESCAPE.findall(text)
    return [(chr(int(number, 16)) if number else escaped or wild or plain, bool(wild)) for number, escaped, wild, plain in found]


def _has_wildcard(pieces: list[tuple[str, bool]]) -> bool:
    return any(wild for _, wild in pieces)


def _plain(text: str) -> str:
    return "".join(piece for piece, _ in _pieces(text))


def _bound(text: str) -> str:
    return _plain(text[1:-1] if text[:1] == '"' else text)


def _in_range(text: str) -> _Asked:
    found = _RANGE.fullmatch(text)
    assert found is not None
    opening, low, high, closing = found.groups()

    def asked(name: str | None) -> Node:
        if name is None:
            raise Refused("a range over all fields is not read here", "name its field")
        sides = ((Op.GREATER_OR_EQUAL if opening == "[" else Op.GREATER, low), (Op.LESS_OR_EQUAL if closing == "]" else Op.LESS, high))
        bounds = {op: _bound(text) for op, text in sides if text != "*"}
        return mapped.in_range(name, bounds) if bounds else mapped.exists(name)

    return asked


def _row(words: list[Token], name: str | None) -> Node:
    """The value that words in a row are. With a sign of order in front it is a side of a range: to the grammar these are ordinary signs."""
    text = " ".join(words)
    if name == _EXISTS:
        return mapped.exists(_plain(text))
    sign = next((sign for sign in _ORDER if text.startswith(sign) and len(text) > len(sign)), None)
    if sign is not None and name is not None:
        return mapped.in_range(name, {_ORDER[sign]: _bound(text[len(sign) :])})
    return mapped.is_value(name, _plain(text), quoted=False)


def _asked_by(token: Token) -> _Asked:
    text = str(token)
    match token.type:
        case "TERM":
            return lambda name: mapped.fits(name, mapped.pattern_of(_pieces(text)))
        case "QUOTED":
            return lambda name: mapped.exists(_bound(text)) if name == _EXISTS else mapped.is_value(name, _bound(text), quoted=True)
        case "STAR":
            return lambda name: mapped.everything() if name is None else mapped.exists(name)
        case "REGEX":
            return lambda name: mapped.fits_regex(name, text[1:-1].replace("\\/", "/"))
        case _:
            return _in_range(text)


def _placed(token: Token, asked: _Asked) -> _Asked:
    """What is refused of it is told with its place."""

    def placed(name: str | None) -> Node:
        if name == _EXISTS and (token.type not in ("TERM", "QUOTED") or _has_wildcard(_pieces(token))):
            raise grammar.unsupported(token, "a pattern of field names is not read here", "name each field")
        try:
            return asked(name)
        except Refused as error:
            raise grammar.unsupported(token, error.what, error.fix) from error
        except BadValue as error:
            raise grammar.unsupported(token, str(error)) from error

    return placed


@cache
def _reader() -> Any:
    """The transformer; made on first use, because lark is imported with it."""
    from lark import Token, Transformer

    class Reader(Transformer[Token, Any]):
        def loosened(self, parts: list[Token]) -> None:
            token = parts[0]
            if token.type == "BOOST":
                what = "a boost is not read here: it changes the order of results, not which they are"
                raise grammar.unsupported(token, what, "take it out")
            raise grammar.unsupported(token, "fuzzy words and distances are not read here")

        def single(self, parts: list[Token]) -> _Clause:
            token = parts[0]
            if token.type == "TERM" and not _has_wildcard(_pieces(token)):
                words = [token]
                return _Clause(asked=_placed(token, lambda name: _row(words, name)), words=words)
            return _Clause(asked=_placed(token, _asked_by(token)))

        def grouped(self, parts: list[Any]) -> _Clause:
            group: _Group = parts[1]
            return _Clause(asked=group.node)

        def named(self, parts: list[Any]) -> _Clause:
            field_name, _, clause = parts
            if field_name.type == "STAR":
                return _Clause(asked=lambda _: clause.asked(None))
            pieces = _plain(field_name)
            if "*" in pieces or "?" in pieces:
                raise grammar.unsupported(field_name, "a pattern of field names is not read here", "name each field")
            return _Clause(asked=lambda _: clause.asked(pieces))

        def clause(self, parts: list[Any]) -> _Clause:
            sign, found = (parts[0].type, parts[1]) if len(parts) == 2 else ("", parts[0])
            if not sign:
                return found  # type: ignore[no-any-return]
            return _Clause(asked=found.asked, required=sign == "PLUS", prohibited=sign != "PLUS")

        def joined(self, parts: list[Token]) -> str:
            return parts[0].type

        def group(self, parts: list[Any]) -> _Group:
            group = _Group()
            operator = ""
            for part in parts:
                if isinstance(part, _Clause):
                    group.add(part, operator)
                operator = part if isinstance(part, str) else ""
            return group

        def start(self, parts: list[_Group]) -> _Group | None:
            return parts[0] if parts else None

    return Reader()
