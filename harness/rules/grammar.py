"""What the grammars of queries (EQL, KQL, Lucene's) have in common: how a text is taken through one, and how it is refused.

Every grammar is LALR and every text is bounded in length and depth before it is parsed, so that no text makes a parser or a reader of its
tree run away. This module must never know a language.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lark import Lark, Token

DEPTH = 60
"""How many brackets and negations may stand inside each other: far above any rule, far below Python's own limit."""

_LONGEST = 100_000
"""Characters of a query: ten times those of Elastic's longest rule, and read in a second or two."""


class QueryError(ValueError):
    """A text is no query that is read here: where (from 1), what, and how to mend it."""

    def __init__(self, line: int, column: int, what: str, fix: str = "") -> None:
        self.line = line
        self.column = column
        self.what = what
        self.fix = fix
        super().__init__(f"{line}:{column}: {what}" + (f" ({fix})" if fix else ""))


class Unsupported(QueryError):
    """It is a query of its language, but asks for what is not read here."""


Hint = Callable[[str, int], str]
"""What may be meant by what stands at a place of a text where it cannot; empty where nobody knows."""


def read(text: str, parser: Lark, reader: Any, hint: Hint) -> Any:
    """What `reader`, a transformer of lark's, makes of a text. Raises `QueryError` at the first thing that is wrong.

    Terminals that open something are `LPAR` and `CALLED`; one that closes it is `RPAR`; `NOT` and `MINUS` stand before something.
    """
    from lark.exceptions import UnexpectedCharacters, UnexpectedToken, VisitError

    if len(text) > _LONGEST:
        raise QueryError(1, 1, f"the query is longer than {_LONGEST} characters")
    try:
        _check_depth(parser.lex(text))
        return reader.transform(parser.parse(text))
    except UnexpectedCharacters as error:
        raise _unexpected(text, error.line, error.column, error.pos_in_stream or 0, hint) from error
    except UnexpectedToken as error:
        if error.token.type == "$END":
            line, column = text.count("\n") + 1, len(text) - text.rfind("\n")
            raise QueryError(line, column, "the query ends too early") from error
        raise _unexpected(text, error.line, error.column, error.token.start_pos or 0, hint) from error
    except VisitError as error:
        if isinstance(error.orig_exc, QueryError):
            raise error.orig_exc from None
        raise


def at(token: Token, what: str, fix: str = "") -> QueryError:
    """What is wrong where a token stands."""
    return QueryError(token.line or 1, token.column or 1, what, fix)


def unsupported(token: Token, what: str, fix: str = "") -> Unsupported:
    """What is not read here where a token stands."""
    return Unsupported(token.line or 1, token.column or 1, what, fix)


def _unexpected(text: str, line: int, column: int, place: int, hint: Hint) -> QueryError:
    rest = text[place : place + 30].split("\n")[0]
    return QueryError(line, column, f"'{rest}' cannot stand here", hint(text, place))


def _check_depth(tokens: Iterable[Token]) -> None:
    brackets: list[int] = []
    pending = 0
    for token in tokens:
        if token.type in ("NOT", "MINUS"):
            pending += 1
        elif token.type in ("LPAR", "CALLED"):
            brackets.append(pending + 1)
            pending = 0
        else:
            pending = 0
            if token.type == "RPAR" and brackets:
                brackets.pop()
        if pending > DEPTH or len(brackets) > DEPTH or (brackets and pending == 0 and sum(brackets) > DEPTH):
            raise at(token, f"is nested more than {DEPTH} deep")
