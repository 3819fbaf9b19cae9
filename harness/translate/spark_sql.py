"""A rule as Spark SQL over a table `events`, as Spark reads JSON lines.

For Sigma the columns are the events' own field names, as NXLog writes and hunts read them: `harness hunt` runs it as it stands. For
Elastic's rules they are ECS fields, each a part of a structure, as winlogbeat and Elastic Agent write them. Null is an absent field, so
every negation is one of a value that is made false first. This module must never know Sigma.

Functions: https://spark.apache.org/docs/latest/api/sql/ (contains, startswith and endswith are there since Spark 3.3).
"""

from __future__ import annotations

from collections.abc import Iterator

from harness.logic.match import fold, key_of, text_of
from harness.model.intent import Rule
from harness.model.tree import And, FieldName, Formula, Node, Not, Op, Or, Test, ViewName
from harness.translate.networks import network_pattern
from harness.translate.parts import ANY_RUN, alternatives, one_event, pieces, reads_ecs, tests
from harness.translate.refusal import NotExpressible

_NAMES = {"computer": "Hostname", "provider_name": "SourceName", "data": "Message"}
"""What NXLog's documents call fields of the flat view."""

_EVERYTHING = "everything"

_LISTS = frozenset(["event.category", "event.type", "process.args", "process.parent.args", "dns.resolved_ip", "registry.data.strings"])
"""ECS fields that hold lists."""

_ORDER = {Op.LESS: "<", Op.LESS_OR_EQUAL: "<=", Op.GREATER: ">", Op.GREATER_OR_EQUAL: ">="}


def spark_sql(rule: Rule) -> tuple[str, tuple[str, ...]]:
    """The query, and what it loses. Raises `NotExpressible`."""
    node = one_event(rule)
    keyword = any(isinstance(each, Test) and each.field is None for each in tests(node))
    # Texts for people: nothing here is run, and every literal is quoted.
    table = f"(SELECT *, concat_ws('\\n', *) AS {_EVERYTHING} FROM events)" if keyword else "events"  # noqa: S608
    query = f"SELECT *\nFROM {table}\nWHERE {_condition(node, 1)}"
    return query, tuple(_notes(node, keyword))


def _notes(node: Node, keyword: bool) -> Iterator[str]:
    read = ", ".join(sorted({_column(each.field, each.view) for each in tests(node) if isinstance(each, Test) and each.field is not None}))
    if reads_ecs(node):
        yield f"For documents with nested fields, as winlogbeat writes them. Spark refuses a field that no document has ({read})."
        return
    yield f"Spark refuses a column that the table has not ({read}); `harness hunt` takes it for one without values."
    if keyword:
        yield "A keyword is looked for in all columns, what the shipper added included."
    if any(isinstance(each, Test) and each.field is not None and key_of(each.field) == "data" for each in tests(node)):
        yield "A classic event's unnamed strings (`Data`) are asked for in Message, where they are rendered."


def _condition(node: Node, depth: int) -> str:
    match node:
        case And(items=items):
            return _joined([_condition(item, depth + 1) for item in items], "AND", depth, "true")
        case Or():
            found = [_any(each) if isinstance(each, tuple) else _condition(each, depth + 1) for each in alternatives(node)]
            return _joined(found, "OR", depth, "false")
        case Not(item=item):
            return f"NOT coalesce({_condition(item, depth)}, false)"
        case Test():
            return _any((node,))
        case Formula():
            raise NotExpressible("the rule computes values of ECS fields")


def _joined(found: list[str], word: str, depth: int, empty: str) -> str:
    if len(found) < 2:
        return found[0] if found else empty
    return "(" + f"\n{'  ' * depth}{word} ".join(found) + ")"


def _any(group: tuple[Test, ...]) -> str:
    """Tests of one field in one manner, of which any will do."""
    test = group[0]
    column = _EVERYTHING if test.field is None else _column(test.field, test.view)
    if test.field is not None and key_of(test.field) in _LISTS and test.op not in (Op.EXISTS, Op.IS_NULL):
        return f"exists({column}, value -> {_asked(group, 'value')})"
    return _asked(group, column)


def _asked(group: tuple[Test, ...], column: str) -> str:
    test = group[0]
    if test.op in (Op.EXISTS, Op.IS_NULL):
        return f"{column} IS {'NOT ' if test.op is Op.EXISTS and test.value is not False else ''}NULL"
    if isinstance(test.value, FieldName):
        return _compared(test, column, _column(test.value.name, test.view))
    if test.op is Op.EQUALS and test.field is not None:
        return _equal(test, column, [_wanted(each) for each in group])
    found = [_one(each, column) for each in group]
    return found[0] if len(found) == 1 else "(" + " OR ".join(found) + ")"


def _equal(test: Test, column: str, values: list[str]) -> str:
    texts = [_quoted(value if test.cased else fold(value)) for value in values]
    letters = not test.cased and any(fold(value) != value.upper() for value in values)
    left = f"lower({column})" if letters else column if test.cased else f"CAST({column} AS STRING)"
    return f"{left} = {texts[0]}" if len(texts) == 1 else f"{left} IN ({', '.join(texts)})"


def _one(test: Test, column: str) -> str:
    wanted = _wanted(test)
    if test.op is Op.REGEX:
        pattern = wanted.replace("(?P<", "(?<")
        return f"{column} RLIKE {_quoted(pattern if test.cased else f'(?i){pattern}')}"
    if test.op is Op.CIDR:
        return f"{column} RLIKE {_quoted(f'^ *{network_pattern(wanted)} *$')}"
    if test.op in _ORDER:
        return f"try_cast({column} AS DOUBLE) {_ORDER[test.op]} {wanted}"
    value = column if test.cased else f"lower({column})"
    text = wanted if test.cased else fold(wanted)
    match test.op:
        case Op.CONTAINS:
            return f"contains({value}, {_quoted(text)})"
        case Op.STARTS_WITH:
            return f"startswith({value}, {_quoted(text)})"
        case Op.ENDS_WITH:
            return f"endswith({value}, {_quoted(text)})"
        case _:
            return f"{value} LIKE {_quoted(_like(test))}"


def _like(test: Test) -> str:
    """SQL's pattern, in which a backslash escapes."""
    signs = {ANY_RUN: "%"}
    text = "".join(_escaped(piece) if is_text else signs.get(piece, "_") for piece, is_text in pieces(test))
    return text if test.cased else fold(text)


def _escaped(text: str) -> str:
    return "".join(f"\\{character}" if character in "\\%_" else character for character in text)


def _compared(test: Test, column: str, other: str) -> str:
    one, two = (column, other) if test.cased else (f"lower({column})", f"lower({other})")
    name = {Op.EQUALS: "", Op.CONTAINS: "contains", Op.STARTS_WITH: "startswith", Op.ENDS_WITH: "endswith"}.get(test.op)
    if name is None:
        raise NotExpressible(f"'{test.op}' between two fields")
    return f"{name}({one}, {two})" if name else f"{one} = {two}"


def _wanted(test: Test) -> str:
    if test.value is None or isinstance(test.value, FieldName):
        raise NotExpressible(f"'{test.op}' has no value to compare with")
    return text_of(test.value)


def _column(field: str, view: ViewName) -> str:
    parts = field.split(".") if view is ViewName.ECS else [_NAMES.get(key_of(field), field)]
    return ".".join("`" + part.replace("`", "``") + "`" for part in parts)


def _quoted(text: str) -> str:
    """A literal: Spark reads escapes in it, and takes ${...} for a variable wherever it stands."""
    escapes = {"\\": "\\\\", "'": "\\'", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\0": "\\0"}
    return "'" + "".join(escapes.get(character, character) for character in text).replace("${", "\\u0024{") + "'"
