"""Elastic's detection rules in their TOML form: the loader of `Rule`s whose query is EQL, KQL or Lucene's, and of the metadata of all
others.

A rule that is not evaluated here (ES|QL, threshold, new terms, machine learning; a query or a filter with what is not read) is a rule all
the same: it has its id, severity and techniques, an empty tree that matches nothing, and `Rule.not_evaluated` says why. So it is listed
and counted, and never silently quiet. Kibana's filters count for every event that the query reads.

A rule that was copied onto one line, as web pages do, is no TOML any more: its line ends are put back where TOML's own grammar wants
them, and `ElasticMetadata.repaired` says so. This file must never know an event, a scenario or a SIEM.

Format: https://github.com/elastic/detection-rules (its rule schema), https://www.elastic.co/docs/api (detection rules)
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from harness.errors import Problem, UsageError
from harness.files import read_bounded
from harness.logic.match import BadValue, compile_node
from harness.model.intent import ElasticMetadata, Rule, Severity
from harness.model.tree import And, Node, Or, Stage
from harness.rules.eql import Query, parse_eql
from harness.rules.filters import filter_nodes
from harness.rules.grammar import QueryError, Unsupported
from harness.rules.kql import parse_kql
from harness.rules.lucene import parse_lucene
from harness.rules.mapped import Refused

_LONGEST = 10_000_000
"""Bytes of a file; the longest of Elastic's own has a hundredth of it."""

_NOT_EVALUATED = {
    "esql": "ES|QL is not evaluated here",
    "threshold": "threshold rules are not evaluated here",
    "new_terms": "new terms rules are not evaluated here",
    "machine_learning": "machine learning rules are not evaluated here",
    "threat_match": "indicator match rules are not evaluated here",
    "saved_query": "saved queries are not evaluated here",
}
_TYPES = ("eql", "query", "esql", "threshold", "new_terms", "machine_learning", "threat_match", "saved_query")

_QUERIES: Mapping[str, Callable[[str], Query]] = {
    "eql": parse_eql,
    "kuery": lambda text: Query(logic=parse_kql(text)),
    "lucene": lambda text: Query(logic=parse_lucene(text)),
}
"""By the name of a language."""

_NOTHING = Query(logic=Or(items=()))

_UNITS = {
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}
_DEFAULT_FROM = "now-6m"
_DEFAULT_INTERVAL = "5m"
"""Elastic's defaults where a rule says neither."""


class ElasticRules:
    """The `RuleSource` of Elastic's TOML rules."""

    def takes(self, path: Path) -> bool:
        """TOML with a `[rule]` table; a .txt, as which rules are passed on, only where it begins with a table. Raises `UsageError`."""
        suffix = path.suffix.lower()
        if suffix not in (".toml", ".txt"):
            return False
        text = _read(path)
        return (suffix == ".toml" or text.lstrip().startswith(("[metadata]", "[rule]"))) and _RULE_TABLE.search(text) is not None

    def load(self, path: Path) -> Iterable[Rule]:
        """The file's rule. Raises `UsageError` with every problem that was found."""
        return self.parse(_read(path), str(path))

    def parse(self, text: str, source: str) -> Iterable[Rule]:
        """The rule of a text. Raises `UsageError` with every problem that was found."""
        return (_Document(text, source).rule(),)


_QUERY = re.compile(r"(?:^|\s)query *= *(\'\'\'\r?\n?|\"\"\"\r?\n?|\'|\")")
_RULE_TABLE = re.compile(r"(?:^|\s)\[rule\](?:\s|$)")


def _read(path: Path) -> str:
    try:
        data = read_bounded(path, _LONGEST)
        if len(data) > _LONGEST:
            raise UsageError(Problem(path=str(path), what=f"is longer than {_LONGEST} bytes", fix="one rule a file"))
        return data.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except OSError as error:
        raise UsageError(Problem(path=str(path), what=f"cannot be read: {error.strerror}")) from error
    except UnicodeDecodeError as error:
        raise UsageError(Problem(path=str(path), what="is not UTF-8 text", fix="save it as UTF-8")) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class _Table:
    values: Mapping[str, Any]
    repaired: str


class _Document:
    """One TOML rule: its values, and the place of each in the text."""

    def __init__(self, text: str, source: str) -> None:
        self._text = text
        self._source = source
        table = self._parse()
        self._repaired = table.repaired
        self._values = table.values

    def _parse(self) -> _Table:
        try:
            return _Table(values=self._rule_table(tomllib.loads(self._text)), repaired="")
        except RecursionError as error:
            raise UsageError(self._problem("is nested too deeply")) from error
        except tomllib.TOMLDecodeError as error:
            mended = mend(self._text)
            if mended is None:
                raise self._not_toml(error) from error
            try:
                values = self._rule_table(tomllib.loads(mended))
            except (tomllib.TOMLDecodeError, RecursionError):
                raise self._not_toml(error) from error
        count = mended.count("\n") - self._text.count("\n")
        return _Table(
            values=values, repaired=f"it stood on one line and was no TOML: {count} line ends were put back before tables and keys"
        )

    def _not_toml(self, error: tomllib.TOMLDecodeError) -> UsageError:
        place = re.search(r"^(.*) \(at line ([0-9]+), column ([0-9]+)\)$", str(error), re.DOTALL)
        if place is None:
            return UsageError(self._problem(f"is not TOML: {error}"))
        return UsageError(Problem(path=self._source, line=int(place[2]), column=int(place[3]), what=f"is not TOML: {place[1]}"))

    def _rule_table(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        rule = values.get("rule")
        if not isinstance(rule, dict):
            raise UsageError(self._problem("has no table [rule]"))
        return rule

    # --- places

    def _problem(self, what: str, key: str = "", fix: str = "") -> Problem:
        line, column = self._place(key) if key and key in self._values else (0, 0)
        return Problem(path=self._source, line=line, column=column, what=what, fix=fix)

    def _place(self, key: str) -> tuple[int, int]:
        """Where a key of the rule's own table stands: behind its head, for other tables have a `name` as well."""
        found = re.compile(rf"(?:^|\s)({re.escape(key)}) *=").search(self._text, self._rule_at())
        return _line_and_column(self._text, found.start(1)) if found else (0, 0)

    def _rule_at(self) -> int:
        head = _RULE_TABLE.search(self._text)
        return head.start() if head else 0

    def _query_place(self, line: int, column: int) -> tuple[int, int]:
        """A place in the query as one in the file: TOML drops the line end after the opening quotes of a text of several lines."""
        found = _QUERY.search(self._text, self._rule_at())
        if found is None:
            return 0, 0
        first_line, first_column = _line_and_column(self._text, found.end())
        return first_line + line - 1, column + (first_column - 1 if line == 1 else 0)

    # --- values

    def rule(self) -> Rule:
        """The rule. Raises `UsageError` with all that is wrong."""
        problems = [*self._check()]
        if problems:
            raise UsageError(*problems)
        values = self._values
        query, reason = self._query()
        suppression = _suppression(values.get("alert_suppression", {}))
        assert suppression is not None
        tactics, techniques = _threats(values.get("threat", []))
        return Rule(
            id=values["rule_id"],
            title=values["name"],
            source=self._source,
            language=self._language(),
            severity=Severity(values["severity"]),
            techniques=techniques,
            logic=query.logic,
            definition=self._text,
            line=self._place("rule_id")[0] or 1,
            pattern=query.pattern,
            not_evaluated=reason,
            elastic=ElasticMetadata(
                kind=values["type"],
                index=tuple(values.get("index", ())),
                look_back=_ago(values.get("from", _DEFAULT_FROM)) or timedelta(),
                interval=_span(values.get("interval", _DEFAULT_INTERVAL)) or timedelta(),
                risk_score=values.get("risk_score", 0),
                tactics=tactics,
                required_fields=tuple(_names(values.get("required_fields", []))),
                building_block="building_block_type" in values,
                repaired=self._repaired,
                suppressed_by=suppression.fields,
                suppressed_for=suppression.span,
                exceptions=tuple(str(each.get("list_id", each.get("id", ""))) for each in _tables(values.get("exceptions_list"))),
            ),
        )

    def _language(self) -> str:
        """As the rule names it; where it does not, as its type has it: that of a plain query is KQL's."""
        kind = self._values["type"]
        return str(self._values.get("language", "kuery" if kind == "query" else kind))

    def _query(self) -> tuple[Query, str]:
        """The rule's query with its filters, or one that matches nothing and why."""
        values = self._values
        kind, language = values["type"], self._language()
        if kind in _NOT_EVALUATED:
            return _NOTHING, _NOT_EVALUATED[kind]
        if language not in _QUERIES:
            return _NOTHING, f"the language {language} is not evaluated here"
        try:
            query = _QUERIES[language](values["query"])
            query = _filtered(query, filter_nodes(values.get("filters", [])))
            compile_node(query.logic)
        except Unsupported as error:
            line, column = self._query_place(error.line, error.column)
            return _NOTHING, f"its query is not evaluated here: {line}:{column}: {error.what}"
        except QueryError as error:
            line, column = self._query_place(error.line, error.column)
            what = f"the query cannot be read: {error.what}"
            raise UsageError(Problem(path=self._source, line=line, column=column, what=what, fix=error.fix)) from error
        except (Refused, BadValue) as error:
            return _NOTHING, f"it is not evaluated here: {error}"
        return query, ""

    def _check(self) -> Iterator[Problem]:
        values = self._values
        for key, name in (("rule_id", "id (rule_id)"), ("name", "name"), ("type", "type")):
            if not isinstance(values.get(key), str) or not values[key]:
                yield self._problem(f"has no {name}", key)
        kind = values.get("type")
        if isinstance(kind, str) and kind and kind not in _TYPES:
            yield self._problem(f"there is no rule type '{kind}'", "type", f"one of {', '.join(_TYPES)}")
        levels = [level.value for level in Severity if level is not Severity.INFORMATIONAL]
        if values.get("severity") not in levels:
            yield self._problem(f"the severity is {values.get('severity')!r}", "severity", f"one of {', '.join(levels)}")
        if kind in ("eql", "query") and not isinstance(values.get("query"), str):
            yield self._problem("has no query", "query")
        if kind == "eql" and values.get("language", "eql") != "eql":
            yield self._problem(f"an eql rule is in the language {values['language']!r}", "language", 'language = "eql"')
        if _ago(values.get("from", _DEFAULT_FROM)) is None:
            yield self._problem(f"from is {values['from']!r}", "from", 'from = "now-9m"')
        if _span(values.get("interval", _DEFAULT_INTERVAL)) is None:
            yield self._problem(f"the interval is {values['interval']!r}", "interval", 'interval = "5m"')
        score = values.get("risk_score", 0)
        if not isinstance(score, int) or isinstance(score, bool) or not 0 <= score <= 100:
            yield self._problem(f"the risk score is {score!r}", "risk_score", "a whole number from 0 to 100")
        if not _is_list_of(values.get("index", []), str):
            yield self._problem("index is no list of texts", "index", 'index = ["winlogbeat-*"]')
        if _suppression(values.get("alert_suppression", {})) is None:
            yield self._problem("alert_suppression names no fields, or no span of time", fix='group_by = ["host.id"]')
        for key in ("threat", "required_fields", "filters", "exceptions_list"):
            if not _is_list_of(values.get(key, []), dict):
                yield self._problem(f"{key} is no list of tables", key)


def _line_and_column(text: str, at: int) -> tuple[int, int]:
    return text.count("\n", 0, at) + 1, at - (text.rfind("\n", 0, at) + 1) + 1


def _is_list_of(value: object, kind: type) -> bool:
    return isinstance(value, list) and all(isinstance(item, kind) for item in value)


def _span(text: object) -> timedelta | None:
    found = re.fullmatch(r"([0-9]{1,6})([smhdw])", text) if isinstance(text, str) else None
    return int(found[1]) * _UNITS[found[2]] if found and int(found[1]) else None


def _ago(text: object) -> timedelta | None:
    """How long ago `now-9m` or `now-1h-30m` is."""
    if not isinstance(text, str) or not re.fullmatch(r"now(?:-[0-9]{1,6}[smhdw]){1,10}", text):
        return None
    return sum((_span(part) or timedelta() for part in text.split("-")[1:]), timedelta()) or None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Suppression:
    fields: tuple[str, ...] = ()
    span: timedelta | None = None


def _suppression(table: object) -> _Suppression | None:
    """`[rule.alert_suppression]`; None where it is none."""
    if table == {}:
        return _Suppression()
    if not isinstance(table, dict) or not _is_list_of(fields := table.get("group_by", []), str):
        return None
    span = None
    if (duration := table.get("duration")) is not None:
        span = _span(f"{duration.get('value')}{duration.get('unit')}") if isinstance(duration, dict) else None
        if span is None:
            return None
    return _Suppression(fields=tuple(fields), span=span)


def _filtered(query: Query, filters: tuple[Node, ...]) -> Query:
    """The query over the events alone that pass these filters."""
    if not filters:
        return query

    def passing(node: Node) -> Node:
        return And(items=(node, *filters))

    def stage_passing(stage: Stage) -> Stage:
        return replace(stage, condition=passing(stage.condition))

    pattern = query.pattern
    if pattern is not None:
        until = stage_passing(pattern.until) if pattern.until is not None else None
        pattern = replace(pattern, stages=tuple(stage_passing(stage) for stage in pattern.stages), until=until)
    return Query(logic=passing(query.logic), pattern=pattern)


def _names(items: object) -> Iterator[str]:
    for item in items if isinstance(items, list) else []:
        if isinstance(item, dict) and isinstance(item.get("name"), str):
            yield item["name"]


def _threats(threats: list[dict[str, Any]]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Ids of tactics and of techniques, sub-techniques behind their techniques; each once."""
    tactics: dict[str, None] = {}
    techniques: dict[str, None] = {}
    for threat in threats:
        if tactic := _id_of(threat.get("tactic")):
            tactics[tactic] = None
        for technique in _tables(threat.get("technique")):
            for each in (technique, *_tables(technique.get("subtechnique"))):
                if found := _id_of(each):
                    techniques[found] = None
    return tuple(tactics), tuple(techniques)


def _tables(value: object) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _id_of(value: object) -> str:
    return value["id"] if isinstance(value, dict) and isinstance(value.get("id"), str) else ""


# --- a rule on one line ---------------------------------------------------------------------------------------------------------

# What is passed over whole (texts of all four kinds), what nests, and what must begin a line. A table's name holds no comma or quote, which
# tells it from a list; it is looked for outside of lists alone.
_PARTS = re.compile(
    r"(?P<text>'''[\s\S]*?'''|\"\"\"(?:\\.|[^\\])*?\"\"\"|'[^'\n]*'|\"(?:\\.|[^\"\\\n])*\")"
    r"|(?P<table>\[\[[\w.-]+\]\]|\[[\w.-]+\])"
    r"|(?P<key>(?<![\w.-])[A-Za-z_][\w.-]*(?=[ \t]*=))"
    r"|(?P<open>[\[{])|(?P<close>[\]}])",
    re.DOTALL,
)


def mend(text: str) -> str | None:
    """A rule on one line with a line end before every table and key; None where the text has several lines and so another fault.

    Texts are left as they are: what a query or a description lost of its own line ends is blank space to both.
    """
    if "\n" in text.strip():
        return None
    pieces: list[str] = []
    depth = 0
    at = 0
    for found in _PARTS.finditer(text):
        between = text[at : found.start()]
        pieces.append(between)
        at = found.end()
        kind = found.lastgroup
        # `= [word]` is a list, whatever it looks like; what is no TOML there is left for the parser to say.
        is_value = between.rstrip().endswith("=")
        if kind in ("table", "key") and depth == 0 and not is_value:
            pieces.append("\n")
        elif kind == "open":
            depth += 1
        elif kind == "close":
            depth -= 1
        pieces.append(found.group())
    pieces.append(text[at:])
    return "".join(pieces)
