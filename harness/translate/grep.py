"""A rule as `grep -P` over events as JSON, one event a line, for a place without any tool.

Every test is a look-ahead from the line's start to the field's name, as JSON writes it, and into its text, whose escapes are minded: a
backslash of a path is two in the line. The pattern holds no single quote, so that a shell keeps it whole.

This module must never know Sigma.

Pattern language: https://www.pcre.org/current/doc/html/pcre2pattern.html.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from harness.logic.match import key_of, text_of
from harness.logic.regex_tree import Regex
from harness.model.intent import Rule
from harness.model.tree import And, FieldName, Formula, Node, Not, Op, Or, Test
from harness.translate.ascii_regex import parse_regex
from harness.translate.networks import network_pattern
from harness.translate.parts import ANY_RUN, alternatives, flat_logic, pieces, tests
from harness.translate.refusal import NotExpressible
from harness.translate.regexes import UNIT, json_anywhere, json_character, json_value, number_range, size

_LONGEST = 40_000
"""Characters of a pattern. PCRE compiles it to at most 64 KiB, and a command's argument has 128 KiB."""

_REPEATED = 10_000
"""The size of all regular expressions together, repetitions written out: PCRE has 64 KiB for what it compiles."""

_LARGEST = 10**18
"""Numbers are compared up to here."""

_KEYS = {
    "eventid": "(?:EventID|event_id)",
    "channel": "Channel",
    "providername": "(?:Provider_?Name|SourceName)",
    "provider_name": "(?:Provider_?Name|SourceName)",
    "computer": "(?:Computer|computer_name|Hostname)",
    "data": "(?:Data|Message)",
}
"""Names under which shippers write what the flat view calls so."""


def grep(rule: Rule) -> tuple[str, tuple[str, ...]]:
    """The command, and what it loses. Raises `NotExpressible`."""
    node = flat_logic(rule)
    regexes = (each for each in tests(node) if isinstance(each, Test) and each.op is Op.REGEX)
    if sum(size(_regex(each)) for each in regexes) > _REPEATED:
        raise NotExpressible("its regular expressions count so many repetitions that grep would not compile them")
    pattern = "^(?i)" + _all(node)
    if len(pattern) > _LONGEST:
        raise NotExpressible(f"the pattern would have {len(pattern):,} characters, more than grep takes")
    return f"grep -P '{pattern}' events.jsonl", tuple(_notes(node))


def _notes(node: Node) -> Iterator[str]:
    yield "One event a line, in NXLog's form or winlogbeat's (winlog.event_data); a field that holds a list is not read."
    if any(isinstance(each, Test) and each.field is None for each in tests(node)):
        yield "A keyword is looked for in the whole line, names of fields and what the shipper added included."
    if any(isinstance(each, Test) and each.field is not None and key_of(each.field) == "data" for each in tests(node)):
        yield "`Data` is looked for in Message as well: a classic event's unnamed strings are in its rendered message."
    yield "Letters beyond ASCII are compared without regard to case only in a UTF-8 locale."


def _all(node: Node) -> str:
    """The tree as look-aheads one after the other."""
    match node:
        case And(items=items):
            return "".join(_all(item) for item in items)
        case Or():
            found = [_tests(each) if isinstance(each, tuple) else _all(each) for each in alternatives(node)]
            return found[0] if len(found) == 1 else "(?:" + "|".join(found or ["(?!)"]) + ")"
        case Not(item=item):
            return f"(?!{_all(item)})"
        case Test():
            return _tests((node,))
        case Formula():
            raise NotExpressible("grep computes nothing")


def _tests(group: tuple[Test, ...]) -> str:
    """Tests of one field in one manner, of which any will do."""
    test = group[0]
    if test.field is None:
        return f"(?={_cased('.*?' + _any(_keyword(each) for each in group), test.cased)})"
    key = f'.*?"{_key(test.field)}"\\s*:\\s*'
    if test.op in (Op.EXISTS, Op.IS_NULL):
        exists = test.op is Op.EXISTS and test.value is not False
        return f"(?{'=' if exists else '!'}{key}(?!null))"
    if isinstance(test.value, FieldName):
        return _compared(test, test.value)
    if test.op is Op.CIDR:
        return f'(?={key}"\\s*{_any(network_pattern(text_of(_plain(each))) for each in group)}\\s*")'
    if test.op in (Op.LESS, Op.LESS_OR_EQUAL, Op.GREATER, Op.GREATER_OR_EQUAL):
        return f'(?={key}"?\\s*{_any(_order(each) for each in group)}\\s*(?:"|(?=[,}}\\s])))'
    if test.op is Op.REGEX:
        return f'(?={key}"{_any(json_value(_regex(each)) for each in group)})'
    numbers = [re.escape(text) for each in group if test.op is Op.EQUALS and _NUMBER.fullmatch(text := text_of(_plain(each)))]
    bare = f"|{_any(numbers)}(?=[,}}\\s])" if numbers else ""
    front = f"{UNIT}*?" if test.op in (Op.CONTAINS, Op.ENDS_WITH) else ""
    return f'(?={key}(?:"{front}{_cased(_any(_text(each) for each in group), test.cased)}{bare}))'


_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?|true|false")


def _plain(test: Test) -> str | int | float | bool:
    if test.value is None or isinstance(test.value, FieldName):
        raise NotExpressible(f"'{test.op}' has no value to compare with")
    return test.value


def _regex(test: Test) -> Regex:
    return parse_regex(text_of(_plain(test)), cased=test.cased)


def _key(field: str) -> str:
    name = key_of(field)
    return _KEYS.get(name) or "".join(" ?" if character == " " else json_character(character) for character in field)


def _any(patterns: Iterator[str] | list[str]) -> str:
    found = list(patterns)
    return found[0] if len(found) == 1 else "(?:" + "|".join(found) + ")"


def _cased(pattern: str, cased: bool) -> str:
    return f"(?-i:{pattern})" if cased else pattern


def _literal(text: str) -> str:
    return "".join(json_character(character) for character in text)


def _text(test: Test) -> str:
    """The rest of a value, from where it is decided to where it is."""
    found = pieces(test)
    if test.op in (Op.CONTAINS, Op.ENDS_WITH):
        found = found[1:]
    ends = not found or found[-1] != (ANY_RUN, False)
    return _written(found if ends else found[:-1]) + ('"' if ends else "")


def _written(found: tuple[tuple[str, bool], ...]) -> str:
    return "".join(_literal(piece) if is_text else f"{UNIT}*?" if piece == ANY_RUN else UNIT for piece, is_text in found)


def _trimmed(found: tuple[tuple[str, bool], ...]) -> tuple[tuple[str, bool], ...]:
    """Without the runs at its ends: a keyword is looked for anywhere."""
    kept = list(found)
    for end in (0, -1):
        while kept and kept[end] == (ANY_RUN, False):
            kept.pop(end)
    return tuple(kept)


def _keyword(test: Test) -> str:
    match test.op:
        case Op.CONTAINS:
            return _literal(text_of(_plain(test)))
        case Op.LIKE:
            return _written(_trimmed(pieces(test)))
        case Op.REGEX:
            return json_anywhere(_regex(test))
    raise NotExpressible(f"a keyword that '{test.op}'")


def _order(test: Test) -> str:
    limit = text_of(_plain(test))
    if not re.fullmatch(r"[0-9]+", limit):
        raise NotExpressible(f"grep compares whole numbers alone, not {limit}")
    number = int(limit)
    low, high = {
        Op.LESS: (0, number - 1),
        Op.LESS_OR_EQUAL: (0, number),
        Op.GREATER: (number + 1, _LARGEST),
        Op.GREATER_OR_EQUAL: (number, _LARGEST),
    }[test.op]
    return f"\\+?0*{number_range(low, high, 10)}"


def _compared(test: Test, other: FieldName) -> str:
    """A field against another of the same event: the second is remembered and looked for in the first."""
    if test.field is None or test.op not in (Op.EQUALS, Op.CONTAINS, Op.STARTS_WITH, Op.ENDS_WITH):
        raise NotExpressible(f"'{test.op}' between two fields")
    front = f"{UNIT}*?" if test.op in (Op.CONTAINS, Op.ENDS_WITH) else ""
    back = '"' if test.op in (Op.EQUALS, Op.ENDS_WITH) else ""
    remembered = f'(?=.*?"{_key(other.name)}"\\s*:\\s*"((?:[^"\\\\]|\\\\.)*)")'
    same = _cased(f"{front}\\g{{-1}}{back}", test.cased)
    return remembered + f'(?=.*?"{_key(test.field)}"\\s*:\\s*"{same})'
