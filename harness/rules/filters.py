"""Kibana's filters, which a rule may have beside its query, to the predicate tree: a filter is a clause of Elasticsearch's query
language in JSON, and may be negated. A disabled one counts for nothing.

Read are: `bool`, `exists`, `match`, `match_all`, `match_none`, `match_phrase`, `prefix`, `query_string`, `range`, `regexp`, `term`,
`terms`, `wildcard`. Every other clause, and every option that changes what one of them finds, is refused by name. This file must never
know where a rule stands.

Source: https://www.elastic.co/docs/reference/query-languages/querydsl
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence

from harness.logic.match import BadValue, text_of
from harness.model.tree import And, Node, Not, Op, Or
from harness.rules import mapped
from harness.rules.grammar import DEPTH, QueryError
from harness.rules.lucene import parse_lucene
from harness.rules.mapped import FieldType, Refused
from harness.rules.wildcards import literal


def filter_nodes(filters: Iterable[Mapping[str, object]]) -> tuple[Node, ...]:
    """What each filter that is not disabled asks of an event. Raises `Refused`."""
    return tuple(node for each in filters if (node := _filter(each)) is not None)


def _filter(each: Mapping[str, object]) -> Node | None:
    meta = each.get("meta", {})
    if not isinstance(meta, Mapping):
        raise Refused("a filter's meta is no table")
    if meta.get("disabled") is True:
        return None
    clause = each.get("query")
    if clause is None:  # an older form: the clause stands beside `meta` and Kibana's own state
        clause = {name: value for name, value in each.items() if name not in ("meta", "$state")}
    node = _clause(clause, DEPTH)
    return Not(item=node) if meta.get("negate") is True else node


def _clause(clause: object, depth: int) -> Node:
    if not isinstance(clause, Mapping) or len(clause) != 1:
        raise Refused("a filter's clause is a table with one name in it")
    if depth == 0:
        raise Refused(f"a filter is nested more than {DEPTH} deep")
    [(name, asked)] = clause.items()
    if not isinstance(asked, Mapping):
        raise Refused(f"a filter's clause {name} is no table")
    if name == "bool":
        return _bool(asked, depth)
    if name in _WITHOUT_FIELD:
        return _WITHOUT_FIELD[name](asked)
    if name not in _WITH_FIELD:
        raise Refused(f"a filter's clause {name} is not read here")
    options = {key: value for key, value in asked.items() if key not in _HARMLESS}
    if len(options) != 1:
        raise Refused(f"a filter's clause {name} is about one field")
    [(field, value)] = options.items()
    try:
        return _WITH_FIELD[name](field, value)
    except BadValue as error:
        raise Refused(f"a filter's clause {name}: {error}") from error


_HARMLESS = frozenset(["boost", "_name", "rewrite"])
"""Options that change the order of results and how they are come by, not which they are."""


def _bool(asked: Mapping[str, object], depth: int) -> Node:
    known = {"must", "filter", "should", "must_not", "minimum_should_match", *_HARMLESS}
    if odd := next((name for name in asked if name not in known), ""):
        raise Refused(f"a filter's clause bool has no {odd}")
    must, should, must_not = (
        [_clause(each, depth - 1) for name in names for each in _listed(asked.get(name, []))]
        for names in (("must", "filter"), ("should",), ("must_not",))
    )
    fewest = asked.get("minimum_should_match", 0 if must else 1)
    if should and fewest == len(should):
        must += should
    elif should and fewest == 1:
        must.append(mapped.any_of(should))
    elif should and fewest != 0:
        raise Refused(f"minimum_should_match = {fewest!r} is not read here", "0, 1 or as many as there are")
    return And(items=(*must, *(Not(item=each) for each in must_not)))


def _listed(value: object) -> Sequence[object]:
    return value if isinstance(value, list) else [value]


# --- clauses ------------------------------------------------------------------------------------------------------------------


def _exists(asked: Mapping[str, object]) -> Node:
    if not isinstance(field := asked.get("field"), str):
        raise Refused("a filter's clause exists names no field")
    return mapped.exists(field)


def _query_string(asked: Mapping[str, object]) -> Node:
    if odd := next((name for name in asked if name not in ("query", "analyze_wildcard", *_HARMLESS)), ""):
        raise Refused(f"{odd} of a filter's clause query_string is not read here")
    try:
        return parse_lucene(str(asked.get("query", "")))
    except QueryError as error:
        raise Refused(f"a filter's query_string: {error}") from error


_WITHOUT_FIELD: Mapping[str, Callable[[Mapping[str, object]], Node]] = {
    "exists": _exists,
    "match_all": lambda _: mapped.everything(),
    "match_none": lambda _: Or(items=()),
    "query_string": _query_string,
}


def _options(value: object, main: Sequence[str], *known: str) -> tuple[object, Mapping[str, object]]:
    """A clause's value and its options: `main` are the names that the value may have where it has options beside it."""
    if not isinstance(value, Mapping):
        return value, {}
    if odd := next((name for name in value if name not in (*main, *known, *_HARMLESS)), ""):
        raise Refused(f"the option {odd} of a filter is not read here")
    found = next((value[name] for name in main if name in value), None)
    return found, value


def _text(value: object) -> str:
    if isinstance(value, str | int | float):
        return text_of(value)
    raise Refused(f"a filter compares with {value!r}, which is no text, number or truth")


def _not_analysed(field: str) -> None:
    if mapped.type_of(field) in (FieldType.TEXT, FieldType.SCRIPT):
        raise Refused(f"the words of {field} are not compared here without being analysed", "match_phrase")


def _term(field: str, value: object) -> Node:
    wanted, options = _options(value, ["value"], "case_insensitive")
    _not_analysed(field)
    if options.get("case_insensitive") is True:
        return mapped.fits(field, literal(_text(wanted)), folded=True)
    return mapped.is_value(field, _text(wanted), quoted=True)


def _terms(field: str, value: object) -> Node:
    if not isinstance(value, list):
        raise Refused("terms that are looked up elsewhere are not read here")
    _not_analysed(field)
    return mapped.any_of(mapped.is_value(field, _text(each), quoted=True) for each in value)


def _match(field: str, value: object) -> Node:
    wanted, options = _options(value, ["query"], "type", "operator", "lenient")
    if str(options.get("operator", "or")).lower() != "or" or options.get("type", "phrase") != "phrase":
        raise Refused("a match with an operator or of a type of its own is not read here", "match_phrase")
    return mapped.is_value(field, _text(wanted), quoted="type" in options)


def _match_phrase(field: str, value: object) -> Node:
    return mapped.is_value(field, _text(_options(value, ["query"])[0]), quoted=True)


def _wildcard(field: str, value: object) -> Node:
    wanted, options = _options(value, ["value", "wildcard"], "case_insensitive")
    pieces = re.findall(r"\\(.)|([*?])|([^\\*?]+)", _text(wanted), re.DOTALL)
    pattern = mapped.pattern_of((escaped or wild or plain, bool(wild)) for escaped, wild, plain in pieces)
    return _whole(field, pattern, folded=options.get("case_insensitive") is True)


def _prefix(field: str, value: object) -> Node:
    wanted, options = _options(value, ["value"], "case_insensitive")
    return _whole(field, literal(_text(wanted)) + "*", folded=options.get("case_insensitive") is True)


def _whole(field: str, pattern: str, *, folded: bool) -> Node:
    """A pattern that is one word where the field is taken apart into words: with a blank in it, it fits none."""
    if mapped.type_of(field) in (FieldType.TEXT, FieldType.SCRIPT) and len(pattern.split()) != 1:
        return Or(items=())
    return mapped.fits(field, pattern, folded=folded)


def _regexp(field: str, value: object) -> Node:
    wanted, options = _options(value, ["value"], "case_insensitive", "max_determinized_states")
    return mapped.fits_regex(field, _text(wanted), folded=options.get("case_insensitive") is True)


_BOUNDS = {"gt": Op.GREATER, "gte": Op.GREATER_OR_EQUAL, "lt": Op.LESS, "lte": Op.LESS_OR_EQUAL}


def _range(field: str, value: object) -> Node:
    _, options = _options(value, [], *_BOUNDS)
    bounds = {_BOUNDS[name]: _text(bound) for name, bound in options.items() if name in _BOUNDS}
    if not bounds:
        return mapped.exists(field)
    return mapped.in_range(field, bounds)


_WITH_FIELD: Mapping[str, Callable[[str, object], Node]] = {
    "match": _match,
    "match_phrase": _match_phrase,
    "prefix": _prefix,
    "range": _range,
    "regexp": _regexp,
    "term": _term,
    "terms": _terms,
    "wildcard": _wildcard,
}
