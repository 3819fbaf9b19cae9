"""Cmdlets that shape what flows through a pipeline: Select, Where, ForEach, Sort, Measure, Group, ConvertTo-Json."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal

from lab.host.powershell import operators
from lab.host.powershell.commands import Call, Kind, Param, absent, at, cmdlet, named, switch
from lab.host.powershell.errors import refuse
from lab.host.powershell.values import (
    MAX_ITEMS,
    MAX_PARTS,
    ScriptBlock,
    SortKey,
    as_list,
    collect,
    custom,
    find_key,
    like,
    stored,
    ticks,
    to_bool,
    to_int,
    to_number,
    to_text,
)
from lab.machine import ErrorRecord, PSObject, PSValue

_UTILITY = "Microsoft.PowerShell.Utility"
_CORE = "Microsoft.PowerShell.Core"
_COMPARISONS = ("EQ", "NE", "GT", "GE", "LT", "LE", "Like", "NotLike", "Match", "NotMatch", "Contains", "NotContains", "In", "NotIn")
_MAX_JSON_DEPTH = 50


def _all(call: Call) -> list[object]:
    found: list[object] = []
    for one in call.items():
        found.append(one)
        if len(found) > MAX_ITEMS:
            raise refuse(f"more than {MAX_ITEMS} objects in {call.spec.name}", activity=call.spec.name)
    return found


def _names(value: object) -> list[str]:
    return list(value.properties) if isinstance(value, PSObject) else []


def _read(call: Call, value: object, wanted: object) -> tuple[str, object]:
    """What one item of -Property means for a value: a name, a script block, or a hashtable with Name and Expression."""
    if isinstance(wanted, dict):
        name_key = find_key(wanted, "Name") or find_key(wanted, "N") or find_key(wanted, "Label") or find_key(wanted, "L")
        body_key = find_key(wanted, "Expression") or find_key(wanted, "E")
        body = wanted[body_key] if body_key is not None else None
        name = to_text(wanted[name_key]) if name_key is not None else to_text(body)
        return name, _read(call, value, body)[1]
    if isinstance(wanted, ScriptBlock):
        return wanted.body.text.strip(), collect(call.session.invoke(wanted, item=value, has_item=True))
    name = to_text(wanted)
    held = find_key(value.properties, name) if isinstance(value, PSObject) else None
    return held or name, call.session.member(value, name)


@cmdlet(
    "Select-Object",
    at(0, "Property", Kind.VALUE),
    named("InputObject", Kind.VALUE),
    named("ExcludeProperty", Kind.TEXTS),
    named("ExpandProperty"),
    named("First", Kind.INT),
    named("Last", Kind.INT),
    named("Skip", Kind.INT),
    switch("Unique"),
    *absent("SkipLast", "Index", "Wait"),
    module=_UTILITY,
)
def select_object(call: Call) -> Iterator[object]:
    """Some of the objects, some of their properties."""
    if call.given("Last"):
        listed = _all(call)
        listed = listed[: len(listed) - call.number("Skip")] if call.given("Skip") else listed
        flow: Iterator[object] = iter(listed[-call.number("Last") :] if call.number("Last") > 0 else [])
    else:
        flow = _window(call)
    seen: list[object] = []
    for value in flow:
        for one in _selected(call, value):
            if call.switch("Unique"):
                if any(_same(one, old) for old in seen):
                    continue
                seen.append(one)
            yield one


def _window(call: Call) -> Iterator[object]:
    left = call.number("First") if call.given("First") else None
    skip = call.number("Skip")
    if left == 0:
        return
    for value in call.items():
        if skip > 0:
            skip -= 1
            continue
        yield value
        if left is not None:
            left -= 1
            if left <= 0:
                return


def _same(one: object, other: object) -> bool:
    if isinstance(one, PSObject) and isinstance(other, PSObject):
        return one.properties == other.properties and one.text == other.text
    return operators.relation("ceq", one, other) is True


def _selected(call: Call, value: object) -> Iterator[object]:
    if call.given("ExpandProperty"):
        name = call.text("ExpandProperty")
        if isinstance(value, PSObject) and find_key(value.properties, name) is None and call.session.member(value, name) is None:
            call.error(
                ErrorRecord(
                    message=f'Property "{name}" cannot be found.',
                    exception_type="System.Management.Automation.PSArgumentException",
                    error_id="ExpandPropertyNotFound",
                    category="InvalidArgument",
                    target=to_text(value),
                )
            )
            return
        yield from as_list(call.session.member(value, name))
        return
    if not call.given("Property"):
        yield value
        return
    properties: dict[str, PSValue] = {}
    for wanted in as_list(call.value("Property")):
        if isinstance(wanted, str) and any(char in wanted for char in "*?["):
            for name in _names(value):
                if like(name, wanted) and isinstance(value, PSObject):
                    properties[name] = value.properties[name]
            continue
        name, held = _read(call, value, wanted)
        properties[name] = stored(held)
    excluded = call.texts("ExcludeProperty")
    kept = {name: held for name, held in properties.items() if not any(like(name, one) for one in excluded)}
    original = value.type_names[0] if isinstance(value, PSObject) else to_text(type(value).__name__)
    shaped = custom(kept)
    shaped.type_names = (f"Selected.{original}", *shaped.type_names)
    yield shaped


@cmdlet(
    "Where-Object",
    Param(name="Property", kind=Kind.VALUE, position=0, aliases=("FilterScript",), block_name="FilterScript"),
    at(1, "Value", Kind.VALUE),
    named("InputObject", Kind.VALUE),
    *(switch(name, *aliases) for name, aliases in ((one, (f"i{one.lower()}",)) for one in _COMPARISONS)),
    switch("Is"),
    switch("IsNot"),
    *absent(
        "CEQ", "CNE", "CGT", "CGE", "CLT", "CLE", "CLike", "CNotLike", "CMatch", "CNotMatch", "CContains", "CNotContains", "CIn", "CNotIn"
    ),
    module=_CORE,
)
def where_object(call: Call) -> Iterator[object]:
    """The objects for which something holds."""
    test = call.value("Property")
    if test is None:
        raise call.missing("FilterScript")
    if call.switch("Is") or call.switch("IsNot"):
        raise refuse("Where-Object -Is", activity=call.spec.name)
    comparison = next((one for one in _COMPARISONS if call.switch(one)), None)
    for value in call.items():
        if isinstance(test, ScriptBlock):
            holds = to_bool(collect(call.session.invoke(test, item=value, has_item=True)))
        else:
            held = call.session.member(value, to_text(test))
            if comparison is None:
                holds = to_bool(held)
            elif comparison in ("Match", "NotMatch"):
                holds = to_bool(operators.match(f"-{comparison.lower()}", held, call.value("Value"))[0])
            else:
                holds = to_bool(operators.relation(comparison.lower(), held, call.value("Value")))
        if holds:
            yield value


@cmdlet(
    "ForEach-Object",
    at(0, "Process", Kind.VALUE),
    at(1, "RemainingScripts", Kind.VALUE, rest=True),
    named("InputObject", Kind.VALUE),
    named("Begin", Kind.BLOCK),
    named("End", Kind.BLOCK),
    named("MemberName"),
    *absent("ArgumentList", "Parallel"),
    module=_CORE,
)
def for_each_object(call: Call) -> Iterator[object]:
    """A script block, or a property, for each object."""
    what = call.value("Process") if call.given("Process") else call.value("MemberName")
    if what is None:
        raise call.missing("Process")
    begin, end = call.block("Begin"), call.block("End")
    rest = as_list(call.value("RemainingScripts"))
    if rest:
        raise refuse("ForEach-Object with several script blocks", activity=call.spec.name)
    if begin is not None:
        yield from call.session.invoke(begin)
    for value in call.items():
        if isinstance(what, ScriptBlock):
            yield from call.session.invoke(what, item=value, has_item=True)
        else:
            yield from as_list(_member(call, value, to_text(what)))
    if end is not None:
        yield from call.session.invoke(end)


def _member(call: Call, value: object, name: str) -> object:
    """The property of that name, else the method: what is neither is refused by its name."""
    held = call.session.member(value, name)
    if held is not None or isinstance(value, dict) or (isinstance(value, PSObject) and find_key(value.properties, name) is not None):
        return held
    return call.session.call(value, name)


@cmdlet(
    "Sort-Object",
    at(0, "Property", Kind.VALUE),
    named("InputObject", Kind.VALUE),
    switch("Descending"),
    switch("Unique"),
    switch("CaseSensitive"),
    *absent("Culture", "Top", "Bottom", "Stable"),
    module=_UTILITY,
)
def sort_object(call: Call) -> Iterator[object]:
    """The objects in order."""
    wanted = as_list(call.value("Property"))
    case = call.switch("CaseSensitive")
    values = _all(call)

    def keys(value: object) -> list[SortKey]:
        if not wanted:
            return [SortKey(value.text if isinstance(value, PSObject) else value, case=case)]
        return [SortKey(_read(call, value, one)[1], case=case) for one in wanted]

    ordered = sorted(values, key=keys, reverse=call.switch("Descending"))
    last: list[SortKey] | None = None
    for value in ordered:
        now = keys(value)
        if call.switch("Unique") and now == last:
            continue
        last = now
        yield value


@cmdlet(
    "Measure-Object",
    at(0, "Property", Kind.TEXTS),
    named("InputObject", Kind.VALUE),
    switch("Sum"),
    switch("Average"),
    switch("Maximum"),
    switch("Minimum"),
    switch("Line"),
    switch("Word"),
    switch("Character"),
    *absent("IgnoreWhiteSpace", "StandardDeviation"),
    module=_UTILITY,
    output="Microsoft.PowerShell.Commands.GenericMeasureInfo",
)
def measure_object(call: Call) -> Iterator[object]:
    """How many, and of numbers how much."""
    values = _all(call)
    if call.switch("Line") or call.switch("Word") or call.switch("Character"):
        texts = [to_text(one) for one in values]
        yield PSObject(
            type_names=("Microsoft.PowerShell.Commands.TextMeasureInfo", "Microsoft.PowerShell.Commands.MeasureInfo", "System.Object"),
            properties={
                "Lines": sum(text.count("\n") + 1 for text in texts if text) if call.switch("Line") else None,
                "Words": sum(len(text.split()) for text in texts) if call.switch("Word") else None,
                "Characters": sum(len(text) for text in texts) if call.switch("Character") else None,
                "Property": None,
            },
        )
        return
    for name in call.texts("Property") or [""]:
        held = [call.session.member(one, name) for one in values] if name else list(values)
        held = [one for one in held if one is not None]
        numeric = any(call.switch(one) for one in ("Sum", "Average", "Maximum", "Minimum"))
        numbers = [float(to_number(one)) for one in held] if numeric else []

        def shown(wanted: bool, number: float | None) -> PSValue:
            return number if wanted else None

        yield PSObject(
            type_names=("Microsoft.PowerShell.Commands.GenericMeasureInfo", "Microsoft.PowerShell.Commands.MeasureInfo", "System.Object"),
            properties={
                "Count": len(held),
                "Average": shown(call.switch("Average"), sum(numbers) / len(numbers) if numbers else None),
                "Sum": shown(call.switch("Sum"), sum(numbers)),
                "Maximum": shown(call.switch("Maximum"), max(numbers, default=None)),
                "Minimum": shown(call.switch("Minimum"), min(numbers, default=None)),
                "Property": name or None,
            },
        )


@cmdlet(
    "Group-Object",
    at(0, "Property", Kind.VALUE),
    named("InputObject", Kind.VALUE),
    switch("NoElement"),
    *absent("AsHashTable", "AsString", "CaseSensitive", "Culture"),
    module=_UTILITY,
    output="Microsoft.PowerShell.Commands.GroupInfo",
)
def group_object(call: Call) -> Iterator[object]:
    """Objects by a property, with their number."""
    wanted = as_list(call.value("Property"))
    groups: dict[str, list[object]] = {}
    names: dict[str, str] = {}
    for value in call.items():
        text = ", ".join(to_text(_read(call, value, one)[1]) for one in wanted) if wanted else to_text(value)
        groups.setdefault(text.casefold(), []).append(value)
        names.setdefault(text.casefold(), text)
    for low in sorted(groups):
        members = groups[low]
        properties: dict[str, PSValue] = {"Count": len(members), "Name": names[low]}
        if not call.switch("NoElement"):
            properties["Group"] = [stored(one) for one in members]
        yield PSObject(type_names=("Microsoft.PowerShell.Commands.GroupInfo", "System.Object"), properties=properties)


@cmdlet(
    "ConvertTo-Json",
    at(0, "InputObject", Kind.VALUE),
    named("Depth", Kind.INT),
    switch("Compress"),
    *absent("AsArray", "EnumsAsStrings", "EscapeHandling"),
    module=_UTILITY,
    output="System.String",
)
def convert_to_json(call: Call) -> Iterator[object]:
    """JSON text; Windows PowerShell's own indentation is not imitated, its values are."""
    values = as_list(call.value("InputObject")) if call.given("InputObject") else _all(call)
    depth = to_int(call.number("Depth", 2), (0, _MAX_JSON_DEPTH))
    whole: object = values if isinstance(call.value("InputObject"), list) or len(values) != 1 else values[0]
    plain = _Json().plain(whole, depth)
    yield (
        json.dumps(plain, ensure_ascii=False, separators=(",", ":"))
        if call.switch("Compress")
        else json.dumps(plain, ensure_ascii=False, indent=4)
    )


class _Json:
    """Values as the json module takes them, with a bound on their number: objects may hold themselves."""

    def __init__(self) -> None:
        self._parts = 0

    def plain(self, value: object, depth: int) -> object:
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise refuse(f"JSON with more than {MAX_PARTS} parts")
        match value:
            case None | bool() | int() | str():
                return value
            case float():
                return value if math.isfinite(value) else to_text(value)
            case Decimal():
                return float(value)
            case datetime():
                return f"/Date({(ticks(value) - 621_355_968_000_000_000) // 10_000})/"
            case list():
                return [self.plain(one, depth - 1) for one in value] if depth > 0 else to_text(value)
            case bytes():
                return list(value)
            case PSObject() if not value.properties:
                return value.text
            case dict() | PSObject():
                held = value if isinstance(value, dict) else value.properties
                return {to_text(name): self.plain(one, depth - 1) for name, one in held.items()} if depth >= 0 else to_text(value)
            case _:
                return to_text(value)
