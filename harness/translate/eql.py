"""A rule as EQL over ECS, written from its tree, as winlogbeat and Elastic Agent keep events.

Own, because what pySigma's backend writes is refused or never matches in places: wildcards over numbers, regular expressions that are not
Lucene's, values that ECS writes in another way. Every field but the record's own head is optional (`?`), so that an index without it is no
error. This module must never know Sigma.

Language: https://www.elastic.co/docs/reference/query-languages/eql/eql-syntax.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from ipaddress import ip_address

from harness.events.ecs import made
from harness.logic.match import key_of, text_of
from harness.logic.regex_tree import Chain, Chars, Edge, Regex, Repeat
from harness.model.facts import FlatValue
from harness.model.intent import Rule
from harness.model.tree import And, FieldName, Formula, Node, Not, Op, Or, Test
from harness.rules.eql import parse_eql
from harness.rules.grammar import QueryError
from harness.translate.ascii_regex import parse_regex
from harness.translate.ecs_names import ADDRESSES, BOOLEANS, NUMBERS, ecs_name, event_data, is_filtering, same_in_ecs
from harness.translate.networks import network_pattern
from harness.translate.parts import ANY_RUN, Part, alternatives, flat_logic, parts, pieces, tests
from harness.translate.refusal import NotExpressible
from harness.translate.regexes import cased_only, lucene

_LONGEST = 100_000
"""Characters of a query; Elastic's longest rule has a tenth of it."""

_REQUIRED = frozenset(["winlog.channel", "event.code"])
"""Fields that every event of Windows has, and so every index of them."""


def eql(rule: Rule) -> tuple[str, tuple[str, ...], frozenset[str]]:
    """The query, what it loses, and the ECS fields that it asks for. Raises `NotExpressible`."""
    found = parts(flat_logic(rule))
    if not found:
        raise NotExpressible("no event can satisfy the rule")
    writers: list[_Writer] = []
    written: list[str] = []
    for part in found:
        for alike in _alike(part):
            writer = _Writer(part=alike)
            writers.append(writer)
            written.append(writer.part_text())
    text = "any where " + (written[0] if len(written) == 1 else "\n  or ".join(f"({each})" for each in written))
    if len(text) > _LONGEST:
        raise NotExpressible(f"the query would have {len(text):,} characters")
    try:
        parse_eql(text)
    except QueryError as error:  # nested deeper than Elasticsearch would follow
        raise NotExpressible(f"the query {error.what}") from error
    notes = tuple(dict.fromkeys(note for writer in writers for note in writer.notes))
    return text, notes, frozenset(name for writer in writers for name in writer.names)


def _alike(part: Part) -> Iterator[Part]:
    """The part by event ids whose fields have the same names in ECS."""
    if len(part.event_ids) < 2:
        yield part
        return
    fields = sorted({each.field for each in tests(part.node) if isinstance(each, Test) and each.field is not None})
    groups: dict[tuple[str, ...], list[int]] = {}
    for event_id in part.event_ids:
        groups.setdefault(tuple(ecs_name(part.channel.lower(), event_id, name) for name in fields), []).append(event_id)
    for ids in groups.values():
        yield Part(channel=part.channel, event_ids=tuple(ids), node=part.node)


@dataclass(slots=True, kw_only=True)
class _Writer:
    """What one part says, and what that loses."""

    part: Part
    notes: list[str] = field(default_factory=list)
    names: set[str] = field(default_factory=set)

    def part_text(self) -> str:
        """The whole condition: the kind of event, and what is asked of it."""
        found = []
        if self.part.channel:
            found.append(f"winlog.channel : {quoted(self.part.channel)}")
        if ids := self.part.event_ids:
            codes = [quoted(str(number)) for number in ids]
            found.append(f"event.code == {codes[0]}" if len(ids) == 1 else f"event.code in ({', '.join(codes)})")
        if self.part.node != And(items=()):
            found.append(self._condition(self.part.node))
        return " and ".join(found) or "true"

    def _condition(self, node: Node) -> str:
        match node:
            case And(items=items):
                return _joined([self._condition(item) for item in items], "and", "true")
            case Or():
                found = [self._any(each) if isinstance(each, tuple) else self._condition(each) for each in alternatives(node)]
                return _joined(found, "or", "false")
            case Not(item=item):
                return f"not ({self._condition(item)})"
            case Test():
                return self._any((node,))
            case Formula():
                raise NotExpressible("the rule computes values of ECS fields")

    # --- tests

    def _any(self, group: tuple[Test, ...]) -> str:
        """Tests of one field in one manner, of which any will do."""
        test = group[0]
        if test.field is None:
            self.notes.append("A keyword is looked for in `message` alone.")
            self.names.add("message")
            return _joined([_text("message", each) for each in group], "or", "false")
        if isinstance(test.value, FieldName):
            raise NotExpressible(f"it compares the fields {test.field} and {test.value.name}, and Elasticsearch's EQL compares none")
        name = self._name(test.field)
        self.names.add(name)
        if test.op in (Op.EXISTS, Op.IS_NULL):
            return f"{_optional(name)} {'!=' if test.op is Op.EXISTS and test.value is not False else '=='} null"
        if key_of(test.field) == "data":
            self.notes.append("Unnamed strings (`Data`) are looked for in `message`, where they are rendered.")
        found: list[str] = []
        plain: list[Test] = []
        for each in group:
            same = self._same(each)
            if same is None:
                plain.append(each)
            else:
                found.append(same)
        if plain:
            found.extend(self._typed(name, tuple(plain)))
            own = event_data(test.field)
            if name != own and any(is_filtering(self.part.channel, number) for number in self.part.event_ids):
                found.append(_texts(own, tuple(plain)))  # mapped by some pipelines, and left where it was by winlogbeat's
        return _joined(found, "or", "false")

    def _name(self, name: str) -> str:
        if not self.part.event_ids:  # names differ from id to id: only the event's own are the same in all
            return ecs_name("", 0, name)
        return ecs_name(self.part.channel.lower(), self.part.event_ids[0], name)

    def _made(self, name: str, value: str) -> dict[str, FlatValue]:
        return made(self.part.channel, self.part.event_ids[0], {key_of(name): value}) if self.part.event_ids else {}

    def _same(self, test: Test) -> str | None:
        """What says the same of ECS fields, where ECS writes the value in another way."""
        assert test.field is not None
        wanted = _wanted(test)
        if wanted in ("", "-") and test.op is Op.EQUALS:
            self.notes.append("Empty values and Windows' `-` are not stored: where the rule asks for one, the query asks for no value.")
            return f"{_optional(self._name(test.field))} == null"
        if not self.part.event_ids or test.op not in (Op.EQUALS, Op.CONTAINS, Op.STARTS_WITH, Op.ENDS_WITH):
            return None
        if key_of(test.field) == "user" and self._made("user", "D\\N").get("user.domain") == "D":
            return _account(test, wanted)
        if test.op is Op.EQUALS or key_of(test.field) == "hashes":
            same = same_in_ecs(self.part.channel, self.part.event_ids[0], test.field, wanted)
            if same:
                return _joined(
                    [f"{_optional(name)} : {quoted(text_of(value))}" for name, value in same if isinstance(value, str)], "and", "true"
                )
        return None

    def _typed(self, name: str, group: tuple[Test, ...]) -> Iterator[str]:
        """Tests of a field that is no text in ECS, and of one that is."""
        if name in NUMBERS:
            yield from self._split(name, group, _number)
        elif name in ADDRESSES:
            yield from self._split(name, group, _network)
        elif name in BOOLEANS:
            yield from self._split(name, group, _truth)
        else:
            yield _texts(name, group)

    def _split(self, name: str, group: tuple[Test, ...], written: Callable[[str, tuple[Test, ...]], str | None]) -> Iterator[str]:
        """What can be asked of the field's type; the rest of the event's own text, which the pipeline may have moved away."""
        left = [each for each in group if written(name, (each,)) is None]
        fitting = tuple(each for each in group if each not in left)
        if fitting:
            yield written(name, fitting) or "false"
        if left:
            assert left[0].field is not None
            own = event_data(left[0].field)
            self.notes.append(
                f"`{name}` takes no such comparison: the event's own `{own}` is asked, which ingest pipelines may have moved away."
            )
            yield _texts(own, tuple(left))


def _wanted(test: Test) -> str:
    if test.value is None or isinstance(test.value, FieldName):
        raise NotExpressible(f"'{test.op}' has no value to compare with")
    return text_of(test.value)


def _account(test: Test, wanted: str) -> str | None:
    """What says the same of an account's domain and name: `User` is both with a backslash between."""
    domain, slash, name = wanted.rpartition("\\")
    if not slash:
        if test.op is Op.EQUALS:
            return None
        sides = {Op.CONTAINS: ("user.domain", "user.name"), Op.STARTS_WITH: ("user.domain",), Op.ENDS_WITH: ("user.name",)}[test.op]
        return _joined([_text(side, test) for side in sides], "or", "false")
    front = test.op in (Op.CONTAINS, Op.ENDS_WITH)
    back = test.op in (Op.CONTAINS, Op.STARTS_WITH)
    asked = []
    if domain or not front:
        op = Op.ENDS_WITH if front else Op.EQUALS
        asked.append(_text("user.domain", Test(field="user.domain", op=op, value=domain, cased=test.cased)))
    if name or not back:
        op = Op.STARTS_WITH if back else Op.EQUALS
        asked.append(_text("user.name", Test(field="user.name", op=op, value=name, cased=test.cased)))
    return _joined(asked, "and", "?user.domain != null")


# --- by type --------------------------------------------------------------------------------------------------------------

_ORDER = {Op.LESS: "<", Op.LESS_OR_EQUAL: "<=", Op.GREATER: ">", Op.GREATER_OR_EQUAL: ">="}


def _number(name: str, group: tuple[Test, ...]) -> str | None:
    values = [_wanted(each) for each in group]
    if not all(re.fullmatch(r"-?[0-9]{1,18}", value) for value in values):
        return None
    if group[0].op in _ORDER:
        return _joined([f"{_optional(name)} {_ORDER[group[0].op]} {value}" for value in values], "or", "false")
    if group[0].op is not Op.EQUALS:
        return None
    return f"{_optional(name)} == {values[0]}" if len(values) == 1 else f"{_optional(name)} in ({', '.join(values)})"


def _network(name: str, group: tuple[Test, ...]) -> str | None:
    values = [_wanted(each) for each in group]
    if group[0].op is Op.EQUALS:
        try:
            addresses = [quoted(str(ip_address(value))) for value in values]
        except ValueError:
            return None
        return f"{_optional(name)} == {addresses[0]}" if len(values) == 1 else f"{_optional(name)} in ({', '.join(addresses)})"
    if group[0].op is Op.STARTS_WITH:
        if not all(re.fullmatch(r"(?:(?:[0-9]|[1-9][0-9]|1[0-9]{2}|2[0-4][0-9]|25[0-5])\.){1,3}", value) for value in values):
            return None
        values = [f"{value}{'0.' * (3 - value.count('.'))}0/{8 * value.count('.')}" for value in values]
    elif group[0].op is not Op.CIDR:
        return None
    return f"cidrMatch({_optional(name)}, {', '.join(quoted(value) for value in values)})"


def _truth(name: str, group: tuple[Test, ...]) -> str | None:
    values = [_wanted(each).lower() for each in group]
    if group[0].op is not Op.EQUALS or not all(value in ("true", "false") for value in values):
        return None
    return _joined([f"{_optional(name)} == {value}" for value in values], "or", "false")


def _texts(name: str, group: tuple[Test, ...]) -> str:
    """Tests of a text. Those that a wildcard pattern says stand in one list."""
    test = group[0]
    patterns = [pattern for each in group if (pattern := _pattern(each)) is not None]
    rest = [_text(name, each) for each in group if _pattern(each) is None]
    found = []
    if len(patterns) == 1:
        found.append(f"{_optional(name)} {_operator(test)} {quoted(patterns[0])}")
    elif patterns:
        found.append(f"{_optional(name)} {_operator(test)} ({', '.join(map(quoted, patterns))})")
    return _joined([*found, *rest], "or", "false")


def _operator(test: Test) -> str:
    return "like" if test.cased else ":"


def _pattern(test: Test) -> str | None:
    """The test as a pattern of `*` and `?`, which EQL cannot escape: None where the value has such signs itself, or is no pattern."""
    if test.op not in (Op.EQUALS, Op.CONTAINS, Op.STARTS_WITH, Op.ENDS_WITH, Op.LIKE):
        return None
    found = pieces(test)
    return None if any(is_text and ("*" in piece or "?" in piece) for piece, is_text in found) else "".join(piece for piece, _ in found)


def _text(name: str, test: Test) -> str:
    pattern = _pattern(test)
    if pattern is not None:
        return f"{_optional(name)} {_operator(test)} {quoted(pattern)}"
    if test.op in _ORDER:  # text is made a number of; where there is none, the clause is false and not unknown, also under a negation
        return f"({_optional(name)} != null and number({_optional(name)}) {_ORDER[test.op]} {_wanted(test)})"
    if test.op is Op.CIDR:
        regex: Regex = parse_regex(f"^{network_pattern(_wanted(test))}$", cased=True)
    elif test.op is Op.REGEX:
        regex = parse_regex(_wanted(test), cased=test.cased)
    else:
        inner = (each for piece, is_text in pieces(test) for each in _piece(piece, is_text))
        return f"{_optional(name)} regex{'' if test.cased else '~'} {quoted(lucene(Chain(items=(Edge(kind='^'), *inner, Edge(kind='$')))))}"
    folds = not cased_only(regex)
    return (
        f"{_optional(name)} regex {quoted(lucene(regex))}" if not folds else f"{_optional(name)} regex~ {quoted(lucene(as_cased(regex)))}"
    )


def as_cased(regex: Regex) -> Regex:
    """The same with each letter written once, for an operator that folds case by itself."""
    match regex:
        case Chars(ranges=ranges):
            return Chars(ranges=ranges, cased=True)
        case Repeat(item=item):
            return Repeat(item=as_cased(item), least=regex.least, most=regex.most, lazy=regex.lazy)
        case Chain(items=items):
            return Chain(items=tuple(as_cased(item) for item in items))
        case _:
            return regex


_ANY = Chars(ranges=((0, 0x10FFFF),), cased=True)


def _piece(piece: str, is_text: bool) -> Iterator[Regex]:
    if is_text:
        yield from (Chars(ranges=((ord(each), ord(each)),), cased=True) for each in piece)
    else:
        yield Repeat(item=_ANY, least=0, most=None, lazy=False) if piece == ANY_RUN else _ANY


# --- text -----------------------------------------------------------------------------------------------------------------


def quoted(text: str) -> str:
    """A string literal: raw where it has backslashes and can be, else with escapes."""
    raw = "\\" in text and '"""' not in text and not text.endswith('"') and not re.search(r"[\x00-\x1f\x7f-\x9f]", text)
    if raw:
        return f'"""{text}"""'
    escapes = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}
    return '"' + "".join(escapes.get(each) or (f"\\u{{{ord(each):02x}}}" if not each.isprintable() else each) for each in text) + '"'


def _optional(name: str) -> str:
    parts = (part if re.fullmatch(r"[@A-Za-z0-9_]+", part) else f"`{part}`" for part in name.split("."))
    return ("" if name in _REQUIRED else "?") + ".".join(parts)


def _joined(found: list[str], word: str, empty: str) -> str:
    if len(found) < 2:
        return found[0] if found else empty
    return "(" + f" {word} ".join(found) + ")"
