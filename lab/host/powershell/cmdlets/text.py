"""Cmdlets that look for things and compare them: Select-String, Compare-Object, Get-Unique, Get-Random, Get-Member."""

from __future__ import annotations

import re
from collections.abc import Iterator

from lab.host.files import FileFault
from lab.host.powershell import objects, operators
from lab.host.powershell.cmdlets.files import matches, record_of
from lab.host.powershell.commands import Call, Kind, absent, at, cmdlet, named, switch
from lab.host.powershell.errors import refuse
from lab.host.powershell.members import METHODS
from lab.host.powershell.values import (
    as_list,
    compare,
    custom,
    decode,
    equal,
    find_key,
    like,
    regex,
    stored,
    subject,
    to_int,
    to_text,
    type_names,
)
from lab.machine import ErrorRecord, PSObject, PSValue

_UTILITY = "Microsoft.PowerShell.Utility"


@cmdlet(
    "Select-String",
    at(0, "Pattern", Kind.TEXTS, mandatory=True),
    at(1, "Path", Kind.TEXTS),
    named("LiteralPath", Kind.TEXTS, "PSPath"),
    named("InputObject", Kind.VALUE),
    named("Include", Kind.TEXTS),
    named("Exclude", Kind.TEXTS),
    named("Encoding"),
    named("Context", Kind.VALUE),
    switch("SimpleMatch"),
    switch("CaseSensitive"),
    switch("NotMatch"),
    switch("AllMatches"),
    switch("Quiet"),
    switch("List"),
    module=_UTILITY,
    output="Microsoft.PowerShell.Commands.MatchInfo",
)
def select_string(call: Call) -> Iterator[object]:
    """Lines in which a pattern is found."""
    case = call.switch("CaseSensitive")
    patterns = [regex(re.escape(one) if call.switch("SimpleMatch") else one, case) for one in call.texts("Pattern")]
    context = [to_int(one) for one in as_list(call.value("Context"))]
    before, after = (context[0], context[-1]) if context else (0, 0)
    any_found = False
    for path, lines in _sources(call):
        for place, line in enumerate(lines):
            call.session.tick()
            found = next(((one, hit) for one in patterns if (hit := one.search(subject(line, one))) is not None), None)
            if (found is None) != call.switch("NotMatch"):
                continue
            any_found = True
            if call.switch("Quiet"):
                yield True
                return
            yield _match(call, path, place, lines, found, (before, after))
            if call.switch("List"):
                break
    if call.switch("Quiet") and not any_found:
        yield False


def _sources(call: Call) -> Iterator[tuple[str, list[str]]]:
    """Where to look: the lines of each file, or of what flows in."""
    given = call.texts("LiteralPath") or call.texts("Path")
    if given:
        yield from _files(call, [(path, call.given("LiteralPath")) for path in given])
        return
    for value in call.items():
        path = call.session.member(value, "FullName") if isinstance(value, PSObject) else None
        if path is not None and call.session.member(value, "PSIsContainer") is False:
            yield from _files(call, [(to_text(path), True)])
        elif path is None:
            yield "InputStream", [to_text(value)]


def _files(call: Call, paths: list[tuple[str, bool]]) -> Iterator[tuple[str, list[str]]]:
    files = call.session.host.files
    for path, literal in paths:
        try:
            for full in matches(call, path, literal=literal):
                name = full.rpartition("\\")[2]
                if call.given("Include") and not any(like(name, one) for one in call.texts("Include")):
                    continue
                if not any(like(name, one) for one in call.texts("Exclude")):
                    yield files.actual(full), decode(files.read(full).content).splitlines()
        except FileFault as fault:
            call.error(record_of(fault))


def _match(
    call: Call,
    path: str,
    place: int,
    lines: list[str],
    found: tuple[re.Pattern[str], re.Match[str]] | None,
    context: tuple[int, int],
) -> PSObject:
    line = lines[place]
    hits: list[PSValue] = []
    if found is not None:
        pattern, first = found
        every = list(pattern.finditer(line)) if call.switch("AllMatches") else [first]
        hits = [objects.match_object(one) for one in every]
    name = path.rpartition("\\")[2]
    text = line if path == "InputStream" else f"{path}:{place + 1}:{line}"
    shown = [line]
    if any(context):
        first_line, last = max(0, place - context[0]), place + context[1] + 1
        marked = [f"{'> ' if at == place else '  '}{one}" for at, one in enumerate(lines[first_line:last], first_line)]
        text, shown = "\n".join(marked), marked
    return PSObject(
        type_names=("Microsoft.PowerShell.Commands.MatchInfo", "System.Object"),
        properties={
            "IgnoreCase": not call.switch("CaseSensitive"),
            "LineNumber": place + 1 if path != "InputStream" else 1,
            "Line": line,
            "Filename": name,
            "Path": path,
            "Pattern": found[0].pattern if found is not None else call.text("Pattern"),
            "Context": "\n".join(shown) if any(context) else None,
            "Matches": hits,
        },
        text=text,
    )


@cmdlet(
    "Compare-Object",
    at(0, "ReferenceObject", Kind.VALUE, mandatory=True),
    at(1, "DifferenceObject", Kind.VALUE, mandatory=True),
    named("Property", Kind.TEXTS),
    switch("IncludeEqual"),
    switch("ExcludeDifferent"),
    switch("PassThru"),
    switch("CaseSensitive"),
    *absent("Culture", "SyncWindow"),
    module=_UTILITY,
)
def compare_object(call: Call) -> Iterator[object]:
    """What one list has and the other has not."""
    names, case = call.texts("Property"), call.switch("CaseSensitive")
    left, right = list(as_list(call.value("ReferenceObject"))), list(as_list(call.value("DifferenceObject")))

    def same(one: object, other: object) -> bool:
        if names:
            return all(equal(call.session.member(one, name), call.session.member(other, name), case=case) for name in names)
        return one is other or equal(to_text(one), to_text(other), case=case)

    rest = list(left)
    both: list[object] = []
    added: list[object] = []
    for value in right:
        call.session.tick()
        place = next((at for at, one in enumerate(rest) if same(one, value)), None)
        if place is None:
            added.append(value)
        else:
            both.append(rest.pop(place))
    rows = [(one, "==") for one in both] if call.switch("IncludeEqual") else []
    if not call.switch("ExcludeDifferent"):
        rows += [(one, "=>") for one in added] + [(one, "<=") for one in rest]
    for value, side in rows:
        if call.switch("PassThru"):
            yield value
        elif names:
            cells: dict[str, PSValue] = {name: stored(call.session.member(value, name)) for name in names}
            yield custom({**cells, "SideIndicator": side})
        else:
            yield custom({"InputObject": stored(value), "SideIndicator": side})


@cmdlet("Get-Unique", named("InputObject", Kind.VALUE), switch("AsString"), switch("OnType"), module=_UTILITY)
def get_unique(call: Call) -> Iterator[object]:
    """Sorted values, each once."""
    last: object = None
    first = True
    for value in call.items():
        if first or operators.relation("ceq", to_text(value), to_text(last)) is not True:
            yield value
        last, first = value, False


@cmdlet(
    "Get-Random",
    at(0, "Maximum", Kind.VALUE),
    named("Minimum", Kind.VALUE),
    named("InputObject", Kind.VALUE),
    named("Count", Kind.INT),
    named("SetSeed", Kind.INT),
    module=_UTILITY,
)
def get_random(call: Call) -> Iterator[object]:
    """A number, or some of the objects that flow in, by the host's own chance."""
    chance = call.session.host.random
    if call.piped or call.given("InputObject"):
        values = list(call.items())
        count = min(call.number("Count", 1), len(values))
        yield from chance.sample(values, count) if count else ()
        return
    low = to_int(call.value("Minimum")) if call.given("Minimum") else 0
    high = to_int(call.value("Maximum")) if call.given("Maximum") else (1 << 31) - 1
    if compare(low, high) >= 0:
        call.error(
            ErrorRecord(
                message=f"The Minimum value ({low}) cannot be greater than or equal to the Maximum value ({high}).",
                exception_type="System.ArgumentException",
                error_id="MinGreaterThanOrEqualMax",
                category="InvalidArgument",
            )
        )
        return
    yield chance.randrange(low, high)


@cmdlet(
    "Get-Member",
    at(0, "Name", Kind.TEXTS),
    named("InputObject", Kind.VALUE),
    named("MemberType", Kind.TEXTS, "Type"),
    switch("Force"),
    switch("Static"),
    *absent("View"),
    module=_UTILITY,
    output="Microsoft.PowerShell.Commands.MemberDefinition",
)
def get_member(call: Call) -> Iterator[object]:
    """What values of each type have."""
    if call.switch("Static"):
        raise refuse("Get-Member -Static", activity=call.spec.name)
    seen: set[str] = set()
    empty = True
    for value in call.items():
        empty = False
        kind = type_names(value)[0]
        if kind in seen:
            continue
        seen.add(kind)
        wanted = [one.lower() for one in call.texts("MemberType")]
        rows = [(name, "Method", f"{kind} {name}()") for name in METHODS.get(kind, ("Equals", "GetHashCode", "GetType", "ToString"))]
        note = isinstance(value, PSObject) and "System.Management.Automation.PSCustomObject" in value.type_names
        properties = value.properties if isinstance(value, PSObject) else {"Length": 0} if isinstance(value, str) else {}
        for name, held in properties.items():
            member = "NoteProperty" if note else "Property"
            short = type_names(held)[0] if held is not None else "System.Object"
            text = (
                f"{short.rpartition('.')[2].lower()} {name}={to_text(held)}"
                if note
                else f"{short.rpartition('.')[2].lower()} {name} {{get;}}"
            )
            rows.append((name, member, text))
        for name, member, text in sorted(rows, key=lambda row: (row[1], row[0].lower())):
            fits = not wanted or member.lower() in wanted or "all" in wanted or ("properties" in wanted and "Property" in member)
            if fits and (not call.given("Name") or any(like(name, one) for one in call.texts("Name"))):
                yield PSObject(
                    type_names=("Microsoft.PowerShell.Commands.MemberDefinition", "System.Object"),
                    properties={"TypeName": kind, "Name": name, "MemberType": member, "Definition": text},
                    text=text,
                )
    if empty:
        call.error(
            ErrorRecord(
                message="You must specify an object for the Get-Member cmdlet.",
                exception_type="System.InvalidOperationException",
                error_id="NoObjectInGetMember",
                category="CloseError",
            )
        )


@cmdlet(
    "Add-Member",
    at(0, "MemberType", Kind.VALUE, "Type"),
    at(1, "Name"),
    at(2, "Value", Kind.VALUE),
    named("InputObject", Kind.VALUE),
    named("NotePropertyName"),
    named("NotePropertyValue", Kind.VALUE),
    named("NotePropertyMembers", Kind.VALUE),
    switch("PassThru"),
    switch("Force"),
    *absent("SecondValue", "TypeName"),
    module=_UTILITY,
)
def add_member(call: Call) -> Iterator[object]:
    """Give objects a property more."""
    given = call.value("NotePropertyMembers") if call.given("NotePropertyMembers") else call.value("MemberType")
    new: dict[str, PSValue]
    if isinstance(given, dict):
        new = {to_text(name): stored(value) for name, value in given.items()}
    elif call.given("NotePropertyName"):
        new = {call.text("NotePropertyName"): stored(call.value("NotePropertyValue"))}
    elif to_text(given).lower() == "noteproperty":
        new = {call.text("Name"): stored(call.value("Value"))}
    elif given is not None and call.given("Name") and not call.given("Value"):
        new = {to_text(given): call.text("Name")}
    else:
        raise refuse(f"a member of the kind {to_text(given)}", activity=call.spec.name)
    for value in call.items():
        if not isinstance(value, PSObject):
            raise refuse(f"a member of a {type_names(value)[0]}", activity=call.spec.name)
        for name, held in new.items():
            if find_key(value.properties, name) is not None and not call.switch("Force"):
                call.error(
                    ErrorRecord(
                        message=f'Cannot add a member with the name "{name}" because a member with that name already exists. To overwrite '
                        "the member anyway, add the Force parameter to your command.",
                        exception_type="System.InvalidOperationException",
                        error_id="MemberAlreadyExists",
                        category="InvalidOperation",
                        target=to_text(value),
                    )
                )
                continue
            value.properties[find_key(value.properties, name) or name] = held
        if call.switch("PassThru"):
            yield value
