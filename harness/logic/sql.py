"""A tree as one SQL expression over a table of events (`columns.py`), for DuckDB and for Spark.

The expression is true for a row exactly where the matcher says yes to its event; elsewhere it is false or null, which a WHERE takes alike.
Null is what an absent field gives, so every negation is one of a value that is made false first, and needs nothing else.

What cannot be said alike on both engines, or not at all, is refused by name (`NotInSql`): it is better to have no SQL of a rule than one
that finds something else. The two dialects differ in little (quotation marks, names of two functions, lambdas), so they are written here
and not by a translator, which would have to be checked for the very same.

This module must never know a rule language, or which engine is asked when.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Network, ip_address, ip_network

from harness.logic.columns import STAND_IN, Column, Reading, address_key
from harness.logic.match import compile_node, fold, key_of, number_of, pieces_of, text_of
from harness.logic.portable import NotPortable, portable
from harness.model.intent import Rule
from harness.model.tree import And, FieldName, Formula, Node, Not, Op, Or, Test

EXACT = 2**53
"""Numbers up to here are told apart by a database's 64-bit numbers."""


class Dialect(StrEnum):
    """Whose SQL."""

    DUCKDB = "duckdb"
    SPARK = "spark"


class NotInSql(ValueError):
    """A tree that SQL does not say as the matcher reads it. The text is the reason, to be read after "because it holds"."""


def refused(rule: Rule) -> str:
    """Why the rule has no SQL; empty where it has."""
    if rule.not_evaluated:
        return rule.not_evaluated
    if rule.pattern is not None:
        return "a pattern of several events"
    try:
        columns_of(rule.logic)
    except NotInSql as error:
        return str(error)
    return ""


def columns_of(node: Node) -> frozenset[Column]:
    """The columns that the tree's SQL reads. Raises `NotInSql`, and `BadValue` as the matcher does."""
    writer = _Writer(Dialect.DUCKDB, frozenset())
    compile_node(node)
    writer.node(node)
    return frozenset(writer.columns)


def where(node: Node, dialect: Dialect, lists: frozenset[Column]) -> str:
    """The tree as a boolean expression. `lists`: the columns that hold several values in the table it is asked of.

    Raises `NotInSql`, and `BadValue` as the matcher does.
    """
    compile_node(node)
    return _Writer(dialect, lists).node(node)


def identifier(column: Column, dialect: Dialect) -> str:
    """A column's name, quoted."""
    if dialect is Dialect.SPARK:
        return "`" + column.name.replace("`", "``") + "`"
    return '"' + column.name.replace('"', '""') + '"'


def literal(text: str, dialect: Dialect) -> str:
    """A text, quoted. Raises `NotInSql` where it is none that a database takes."""
    if any(each in ("\x00", STAND_IN) or "\ud800" <= each <= "\udfff" for each in text):
        raise NotInSql("a text with NUL or with what is no character")
    if dialect is Dialect.SPARK:
        # Spark reads escapes within quotation marks, and takes ${...} for a variable wherever it stands.
        return "'" + text.replace("\\", "\\\\").replace("'", "\\'").replace("${", "\\u0024{") + "'"
    return "'" + text.replace("'", "''") + "'"


_READINGS = {
    Op.REGEX: Reading.CASED,
    Op.CIDR: Reading.ADDRESS,
    Op.LESS: Reading.NUMBER,
    Op.LESS_OR_EQUAL: Reading.NUMBER,
    Op.GREATER: Reading.NUMBER,
    Op.GREATER_OR_EQUAL: Reading.NUMBER,
}

_Asked = Callable[[str], str]
"""The condition on one value, given the SQL of that value."""


@dataclass(slots=True)
class _Writer:
    dialect: Dialect
    lists: frozenset[Column]
    columns: set[Column] = field(default_factory=set)
    names: int = 0

    def node(self, node: Node) -> str:
        match node:
            case Test():
                return self._test(node)
            case Formula():
                raise NotInSql("a computed value")
            case Not(item=item):
                return f"NOT coalesce({self.node(item)}, FALSE)"
            case And(items=items):
                return self._joined(" AND ", [self.node(item) for item in items]) if items else "TRUE"
            case Or(items=items):
                return self._joined(" OR ", list(self._alternatives(items))) if items else "FALSE"

    def _joined(self, word: str, parts: list[str]) -> str:
        return parts[0] if len(parts) == 1 else f"({word.join(parts)})"

    def _alternatives(self, items: tuple[Node, ...]) -> Iterator[str]:
        """Values that one field may equal stand in one list, where the first of them stands."""
        equal: dict[Column, list[str]] = {}
        for item in items:
            if isinstance(item, Test) and item.op is Op.EQUALS and item.value is not None and not isinstance(item.value, FieldName):
                equal.setdefault(self._column(item), []).append(self._text(item))
        for item in items:
            if not isinstance(item, Test) or item.op is not Op.EQUALS or item.value is None or isinstance(item.value, FieldName):
                yield self.node(item)
            elif (values := equal.pop(column := self._column(item), None)) is not None:
                yield self._holds(column, _is_any(values))

    def _column(self, test: Test, named: str | None = None) -> Column:
        reading = _READINGS.get(test.op, Reading.CASED if test.cased else Reading.FOLDED)
        name = named if named is not None else test.field
        column = Column(view=test.view, field="" if name is None else key_of(name), reading=reading)
        self.columns.add(column)
        return column

    def _text(self, test: Test) -> str:
        """The test's value, quoted."""
        if test.value is None or isinstance(test.value, FieldName):
            raise AssertionError("the matcher refuses such a test")
        wanted = text_of(test.value)
        return literal(wanted if test.cased else fold(wanted), self.dialect)

    def _test(self, test: Test) -> str:
        column = self._column(test)
        if test.op is Op.EXISTS or test.op is Op.IS_NULL:
            there = test.op is Op.EXISTS and test.value is not False
            return f"{identifier(column, self.dialect)} IS {'NOT ' if there else ''}NULL"
        if isinstance(test.value, FieldName):
            other = self._column(test, test.value.name)
            return self._holds(column, lambda value: self._holds(other, lambda wanted: self._compared(test.op, value, wanted)))
        return self._holds(column, self._asked(test))

    def _holds(self, column: Column, asked: _Asked) -> str:
        """The condition on a column: on its value, or on any of its values."""
        name = identifier(column, self.dialect)
        if column not in self.lists and column.field:
            return asked(name)
        self.names += 1
        item = f"v{self.names}"
        if self.dialect is Dialect.SPARK:
            return f"exists({name}, {item} -> {asked(item)})"
        return f"len(list_filter({name}, lambda {item}: {asked(item)})) > 0"

    def _asked(self, test: Test) -> _Asked:
        match test.op:
            case Op.EQUALS | Op.CONTAINS | Op.STARTS_WITH | Op.ENDS_WITH:
                wanted = self._text(test)
                return lambda value: self._compared(test.op, value, wanted)
            case Op.LIKE:
                pattern = self._like(str(test.value) if test.cased else fold(str(test.value)))
                return lambda value: f"{value} LIKE {pattern}"
            case Op.REGEX:
                expression = self._regex(test)
                function = "regexp_matches" if self.dialect is Dialect.DUCKDB else "regexp_like"
                return lambda value: f"{function}({value}, {expression})"
            case Op.CIDR:
                return self._network(str(test.value))
            case _:
                bound = _bound(test)
                return lambda value: f"{value} {test.op} {bound}"

    def _compared(self, op: Op, value: str, wanted: str) -> str:
        functions = {
            Dialect.DUCKDB: {Op.STARTS_WITH: "starts_with", Op.ENDS_WITH: "ends_with"},
            Dialect.SPARK: {Op.STARTS_WITH: "startswith", Op.ENDS_WITH: "endswith"},
        }
        return f"{value} = {wanted}" if op is Op.EQUALS else f"{functions[self.dialect].get(op, 'contains')}({value}, {wanted})"

    def _like(self, pattern: str) -> str:
        """A wildcard pattern in LIKE's own signs; what bears one of them as a text is escaped by a sign that no engine gives a meaning."""
        signs = {None: "_", "_": "!_", "%": "!%", "!": "!!"}
        pieces = ("".join(signs.get(each, each or "") for each in piece) for piece in pieces_of(pattern))
        return f"{literal('%'.join(pieces), self.dialect)} ESCAPE '!'"

    def _regex(self, test: Test) -> str:
        try:
            return literal(portable(str(test.value), cased=test.cased), self.dialect)
        except NotPortable as error:
            raise NotInSql(str(error)) from error

    def _network(self, cidr: str) -> _Asked:
        network = ip_network(cidr)
        ends = [(network[0], network[-1])]
        if isinstance(network, IPv4Network):
            # As the matcher: the IPv4 clients of a dual-stack socket are logged as ::ffff:a.b.c.d.
            ends += [(ip_address(f"::ffff:{network[0]}"), ip_address(f"::ffff:{network[-1]}"))]
        ranges = [f"BETWEEN '{address_key(low)}' AND '{address_key(high)}'" for low, high in ends]
        return lambda value: self._joined(" OR ", [f"{value} {each}" for each in ranges])


def _is_any(values: list[str]) -> _Asked:
    distinct = list(dict.fromkeys(values))
    return lambda value: f"{value} = {distinct[0]}" if len(distinct) == 1 else f"{value} IN ({', '.join(distinct)})"


def _bound(test: Test) -> str:
    number = number_of(text_of(test.value)) if isinstance(test.value, str | int | float) else None
    if number is None or abs(number) > EXACT:
        raise NotInSql(f"a comparison with a number beyond {EXACT}")
    return repr(number)
