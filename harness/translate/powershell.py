"""A rule as PowerShell over Windows' own logs: Get-WinEvent, filtered by the log service where that says the same, else in the pipeline.

The service's filters (FilterHashtable, FilterXPath) compare text with regard to case, and Sigma does not: only ids and numbers are left to
them. Everything else is asked of the event's own fields, read from its XML. This module must never know Sigma.

Filters: https://learn.microsoft.com/windows/win32/wes/consuming-events (XPath 1.0 limitations); operators:
https://learn.microsoft.com/powershell/module/microsoft.powershell.core/about/about_comparison_operators.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from harness.logic.match import key_of, text_of
from harness.model.intent import Rule
from harness.model.tree import And, FieldName, Formula, Node, Not, Op, Or, Test
from harness.translate.networks import network_pattern
from harness.translate.parts import ANY_RUN, Part, alternatives, flat_logic, parts, pieces, tests
from harness.translate.refusal import NotExpressible

_SELECTED = "Select-Object -Property TimeCreated, Id, RecordId, MachineName, Message"

_EXPRESSIONS = 20
"""Ids, or tests, that a filter of the log service is given at most: it takes some 32 expressions in all."""

# How an event's fields come into one table: hashtables do not mind the case of keys, as Sigma does not. Unnamed strings are one text.
_READ = """\
filter Add-EventFields {
    $fields = @{
        Channel = $_.LogName; EventID = [string]$_.Id; Provider_Name = $_.ProviderName; Computer = $_.MachineName
    }
    $xml = ([xml]$_.ToXml()).Event
    foreach ($part in @($xml.EventData, $xml.UserData.FirstChild)) {
        foreach ($item in @($part.ChildNodes)) {
            if ($item -is [System.Xml.XmlElement]) {
                $name = $item.GetAttribute('Name')
                if ($name) { $fields[$name] = $item.InnerText }
                else { $fields[$item.LocalName] = (@($fields[$item.LocalName], $item.InnerText) -ne $null) -join "`n" }
            }
        }
    }
    $_ | Add-Member -NotePropertyName Fields -NotePropertyValue $fields -PassThru
}
"""
_MESSAGE = "    $fields['Message'] = $_.Message\n"


def powershell(rule: Rule) -> tuple[str, tuple[str, ...]]:
    """The script, and what it loses. Raises `NotExpressible`."""
    node = flat_logic(rule)
    found = parts(node)
    if not found:
        raise NotExpressible("no event can satisfy the rule")
    filtered = [_filtered(part) for part in found]
    commands = [command for command, _ in filtered]
    read = ""
    if any(reads for _, reads in filtered):
        read = _READ
        if any(isinstance(each, Test) and each.field is not None and key_of(each.field) == "message" for each in tests(node)):
            read = read.replace("    $xml =", _MESSAGE + "    $xml =")
    if len(commands) == 1:
        script = f"{commands[0]} |\n    {_SELECTED}"
    else:
        script = "& {\n" + "\n".join(_indented(command) for command in commands) + f"\n}} | {_SELECTED}"
    return read + script, tuple(_notes(node, found))


def _notes(node: Node, found: tuple[Part, ...]) -> Iterator[str]:
    yield "Run as an administrator where a log asks for it. A log that is not there, or has no such event, is an error that stops nothing."
    if any(not part.channel for part in found):
        yield "The rule names no log, so every log is read."
    if any(isinstance(each, Test) and each.field is None for each in tests(node)):
        yield "A keyword is looked for in the event's own values, not in its rendered message."
    if any(isinstance(each, Test) and each.op is Op.REGEX for each in tests(node)):
        yield ".NET's regular expressions take the rule's as they stand; \\d and \\w fit more than ASCII there."


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.split("\n"))


def _filtered(part: Part) -> tuple[str, bool]:
    """The pipeline that reads one log, and whether it asks for fields."""
    log = _quoted(part.channel or "*")
    few = len(part.event_ids) <= _EXPRESSIONS
    if part.channel and part.event_ids and few and (asked := _xpath(part.node)) is not None and part.node != And(items=()):
        ids = " or ".join(f"EventID={number}" for number in part.event_ids)
        return f"Get-WinEvent -LogName {log} -FilterXPath {_quoted(f'*[System[({ids})] and EventData[{asked}]]')}", False
    ids = ", ".join(map(str, part.event_ids))
    command = f"Get-WinEvent -FilterHashtable @{{ LogName = {log}{f'; Id = {ids}' if ids and few else ''} }}"
    if not few:
        command += f" |\n    Where-Object {{ $_.Id -in {ids} }}"
    if part.node == And(items=()):
        return command, False
    return f"{command} |\n    Add-EventFields |\n    Where-Object {{\n        {_condition(part.node, 2)}\n    }}", True


# --- XPath ----------------------------------------------------------------------------------------------------------------


def _xpath(node: Node) -> str | None:
    """The tree in the log service's XPath; None where that cannot say the same: it has equality alone, and minds the case of letters."""
    if sum(1 for _ in tests(node)) > _EXPRESSIONS:
        return None
    match node:
        case Test(field=str(field), op=Op.EQUALS, value=int() | str() as value) if not isinstance(value, bool):
            text = text_of(value)
            plain = re.fullmatch(r"[0-9]+", text) and re.fullmatch(r"\w+", field) and key_of(field) not in _HEAD
            return f"Data[@Name='{field}']='{text}'" if plain else None
        case And(items=items) | Or(items=items) if items:
            inner = [_xpath(item) for item in items]
            word = " and " if isinstance(node, And) else " or "
            return None if None in inner else "(" + word.join(text for text in inner if text) + ")"
    return None


_HEAD = frozenset(["channel", "eventid", "provider_name", "computer", "hostname", "message", "data"])
"""Fields of the flat view that are not an event's named data."""


# --- conditions -----------------------------------------------------------------------------------------------------------


def _condition(node: Node, depth: int) -> str:
    match node:
        case And(items=items):
            return _joined([_condition(item, depth + 1) for item in items], "-and", depth, "$true")
        case Or():
            found = [_any(each) if isinstance(each, tuple) else _condition(each, depth + 1) for each in alternatives(node)]
            return _joined(found, "-or", depth, "$false")
        case Not(item=item):
            return f"-not ({_condition(item, depth)})"
        case Test():
            return _any((node,))
        case Formula():
            raise NotExpressible("a computed value is not asked for in PowerShell here")


def _joined(found: list[str], word: str, depth: int, empty: str) -> str:
    """Brackets around every group: -and and -or bind equally tight."""
    if len(found) < 2:
        return found[0] if found else empty
    return "(" + f" {word}\n{'    ' * depth}".join(found) + ")"


def _any(group: tuple[Test, ...]) -> str:
    """Tests of one field in one manner, of which any will do."""
    test = group[0]
    if test.op is Op.EQUALS and test.field is not None and not isinstance(test.value, FieldName) and len(group) > 1:
        return f"({_field(test.field)} -{'c' if test.cased else ''}in {', '.join(_quoted(text_of(_plain(each))) for each in group)})"
    found = [_one(each) for each in group]
    return found[0] if len(found) == 1 else "(" + " -or ".join(found) + ")"


def _one(test: Test) -> str:
    mind = "c" if test.cased else ""
    if test.field is None:
        return _keyword(test, mind)
    field = _field(test.field)
    match test.op:
        case Op.EXISTS | Op.IS_NULL:
            exists = test.op is Op.EXISTS and test.value is not False
            return f"({'$null -ne' if exists else '$null -eq'} {field})"
        case _ if isinstance(test.value, FieldName):
            return _compared(test, test.value, field, mind)
        case Op.EQUALS:
            return f"({field} -{mind}eq {_quoted(text_of(_plain(test)))})"
        case Op.REGEX:
            return f"({_present(field)}{field} -{mind}match {_quoted(_net_regex(text_of(_plain(test))))})"
        case Op.CIDR:
            return f"({field} -match {_quoted(_whole(network_pattern(text_of(_plain(test)))))})"
        case Op.LESS | Op.LESS_OR_EQUAL | Op.GREATER | Op.GREATER_OR_EQUAL:
            operator = {Op.LESS: "-lt", Op.LESS_OR_EQUAL: "-le", Op.GREATER: "-gt", Op.GREATER_OR_EQUAL: "-ge"}[test.op]
            return f"({field} -match '^\\s*[+-]?[0-9]+(\\.[0-9]+)?\\s*$' -and [double]{field} {operator} {text_of(_plain(test))})"
        case _:
            return f"({_present(field) if _fits_nothing(test) else ''}{field} -{mind}like {_quoted(_wildcard(test))})"


def _whole(pattern: str) -> str:
    return rf"^\s*{pattern}\s*$"


def _plain(test: Test) -> str | int | float | bool:
    if test.value is None or isinstance(test.value, FieldName):
        raise NotExpressible(f"'{test.op}' has no value to compare with")
    return test.value


def _field(name: str) -> str:
    return f"$_.Fields[{_quoted(name)}]"


def _present(field: str) -> str:
    """A missing field is no text at all to Sigma, and an empty one to PowerShell."""
    return f"$null -ne {field} -and "


def _fits_nothing(test: Test) -> bool:
    """Whether the wildcard pattern fits the empty text."""
    return all((piece == ANY_RUN and not is_text) or not piece for piece, is_text in pieces(test))


def _wildcard(test: Test) -> str:
    return "".join(re.sub(r"([*?\[\]`])", r"`\1", piece) if is_text else piece for piece, is_text in pieces(test))


def _keyword(test: Test, mind: str) -> str:
    match test.op:
        case Op.CONTAINS | Op.LIKE:
            return f"[bool](@($_.Fields.Values) -{mind}like {_quoted(_wildcard(test))})"
        case Op.REGEX:
            return f"[bool](@($_.Fields.Values) -{mind}match {_quoted(_net_regex(text_of(_plain(test))))})"
    raise NotExpressible(f"a keyword that '{test.op}'")


def _compared(test: Test, other: FieldName, field: str, mind: str) -> str:
    second = _field(other.name)
    both = f"$null -ne {field} -and $null -ne {second}"
    kind = "Ordinal" if test.cased else "OrdinalIgnoreCase"
    match test.op:
        case Op.EQUALS:
            return f"({both} -and {field} -{mind}eq {second})"
        case Op.STARTS_WITH | Op.ENDS_WITH:
            method = "StartsWith" if test.op is Op.STARTS_WITH else "EndsWith"
            return f"({both} -and {field}.{method}({second}, [StringComparison]::{kind}))"
        case Op.CONTAINS:
            return f"({both} -and {field}.IndexOf({second}, [StringComparison]::{kind}) -ge 0)"
    raise NotExpressible(f"'{test.op}' between two fields")


def _net_regex(pattern: str) -> str:
    """Named groups are written otherwise; a possessive quantifier there is none."""
    if re.search(r"(?<!\\)(?:[*+?]|\})\+", pattern):
        raise NotExpressible(f"the regular expression {pattern!r} has a possessive quantifier, which .NET does not know")
    return pattern.replace("(?P<", "(?<")


def _quoted(text: str) -> str:
    """A literal text. PowerShell takes typographic quotes for its own: they are doubled too. Control characters stand as they are."""
    return "'" + re.sub("(['\u2018\u2019\u201a\u201b])", r"\1\1", text) + "'"
