"""Cmdlets that write: to the output, to the other streams, to the client's host; and those that make lines of objects."""

from __future__ import annotations

from collections.abc import Iterator

from lab.host.powershell.commands import Call, Kind, absent, action_name, at, cmdlet, named, switch
from lab.host.powershell.errors import ErrorObject, Terminating, refuse
from lab.host.powershell.format import WIDTH, Column, format_list, format_table, generic_columns, view_of
from lab.host.powershell.values import ScriptBlock, as_list, collect, each, find_key, like, stored, to_text
from lab.machine import ErrorRecord, PSObject, StreamName

_UTILITY = "Microsoft.PowerShell.Utility"
_CORE = "Microsoft.PowerShell.Core"


@cmdlet("Write-Output", at(0, "InputObject", Kind.VALUE, rest=True), switch("NoEnumerate"), module=_UTILITY)
def write_output(call: Call) -> Iterator[object]:
    """Its arguments, one by one."""
    if call.given("InputObject"):
        for given in as_list(call.value("InputObject")):
            yield from each(given)
        return
    yield from call.items()


@cmdlet(
    "Write-Host",
    at(0, "Object", Kind.VALUE, rest=True),
    switch("NoNewline"),
    named("Separator"),
    named("ForegroundColor"),
    named("BackgroundColor"),
    module=_UTILITY,
)
def write_host(call: Call) -> Iterator[object]:
    """Text to the client's host, and an information record [about_Output_Streams]."""
    separator = call.text("Separator", " ")
    rows = [call.value("Object")] if call.given("Object") else list(call.items("Object"))
    for row in rows or [""]:
        text = separator.join(to_text(one) for one in as_list(row))
        call.session.write_stream(StreamName.INFORMATION, text)
        if not call.session.io.has_host:
            continue
        if call.switch("NoNewline"):
            call.session.io.host_write(text)
        else:
            call.session.io.host_write_line(text)
    yield from ()


@cmdlet(
    "Write-Error",
    at(0, "Message", Kind.VALUE, "Exception", "ErrorRecord"),
    named("Category"),
    named("ErrorId"),
    named("TargetObject", Kind.VALUE),
    *absent("RecommendedAction", "CategoryActivity", "CategoryReason", "CategoryTargetName", "CategoryTargetType"),
    module=_UTILITY,
)
def write_error(call: Call) -> Iterator[object]:
    """A non-terminating error."""
    for given in [call.value("Message")] if call.given("Message") else list(call.items("Message")):
        if isinstance(given, ErrorObject):
            call.session.write_error(given.record, call.action)
            continue
        record = ErrorRecord(
            message=to_text(given),
            exception_type="Microsoft.PowerShell.Commands.WriteErrorException",
            error_id=call.text("ErrorId", "Microsoft.PowerShell.Commands.WriteErrorException"),
            category=call.text("Category", "NotSpecified"),
            target=to_text(call.value("TargetObject")),
            activity="Write-Error",
        )
        call.session.write_error(record, call.action)
    yield from ()


def _stream(call: Call, stream: StreamName, preference: str, given: str) -> Iterator[object]:
    action = given or action_name(call.session.variable(preference))
    texts = [to_text(call.value("Message"))] if call.given("Message") else [to_text(one) for one in call.items("Message")]
    for text in texts:
        if action in ("SilentlyContinue", "Ignore"):
            continue
        call.session.write_stream(stream, text)
        if action == "Stop":
            raise Terminating(
                ErrorRecord(
                    message=(
                        "The running command stopped because the preference variable "
                        f'"{preference}" or common parameter is set to Stop: {text}'
                    ),
                    exception_type="System.Management.Automation.ActionPreferenceStopException",
                    error_id=f"ActionPreferenceStop,{call.spec.class_name}",
                    category="OperationStopped",
                    activity=call.spec.name,
                ),
                script=True,
            )
    yield from ()


@cmdlet("Write-Warning", at(0, "Message", Kind.VALUE), module=_UTILITY)
def write_warning(call: Call) -> Iterator[object]:
    """A warning."""
    given = action_name(call.value("WarningAction")) if call.given("WarningAction") else ""
    yield from _stream(call, StreamName.WARNING, "WarningPreference", given)


@cmdlet("Write-Verbose", at(0, "Message", Kind.VALUE), module=_UTILITY)
def write_verbose(call: Call) -> Iterator[object]:
    """A verbose record, where it is wanted."""
    given = ("Continue" if call.switch("Verbose") else "SilentlyContinue") if call.given("Verbose") else ""
    yield from _stream(call, StreamName.VERBOSE, "VerbosePreference", given)


@cmdlet("Write-Debug", at(0, "Message", Kind.VALUE), module=_UTILITY)
def write_debug(call: Call) -> Iterator[object]:
    """A debug record, where it is wanted."""
    given = ("Continue" if call.switch("Debug") else "SilentlyContinue") if call.given("Debug") else ""
    yield from _stream(call, StreamName.DEBUG, "DebugPreference", given)


@cmdlet("Write-Information", at(0, "MessageData", Kind.VALUE, "Msg"), at(1, "Tags", Kind.TEXTS), module=_UTILITY)
def write_information(call: Call) -> Iterator[object]:
    """An information record."""
    call.session.write_stream(StreamName.INFORMATION, to_text(call.value("MessageData")))
    yield from ()


@cmdlet("Out-Null", named("InputObject", Kind.VALUE), module=_CORE)
def out_null(call: Call) -> Iterator[object]:
    """Takes everything."""
    for _ in call.items():
        pass
    yield from ()


def _to_host(call: Call) -> Iterator[object]:
    values = list(call.items())
    if not call.session.io.has_host:
        yield from values
        return
    for line in call.session.format(values):
        call.session.io.host_write_line(line)


@cmdlet("Out-Default", named("InputObject", Kind.VALUE), switch("Transcript"), module=_CORE)
def out_default(call: Call) -> Iterator[object]:
    """Lines to the client's host; without one, the objects go on to the client."""
    yield from _to_host(call)


@cmdlet("Out-Host", named("InputObject", Kind.VALUE), switch("Paging"), module=_CORE)
def out_host(call: Call) -> Iterator[object]:
    """The same as Out-Default here."""
    yield from _to_host(call)


@cmdlet("Out-String", named("InputObject", Kind.VALUE), switch("Stream"), named("Width", Kind.INT), module=_UTILITY, output="System.String")
def out_string(call: Call) -> Iterator[object]:
    """The lines of objects as one string, or as many."""
    lines = call.session.format(call.items())
    if call.switch("Stream"):
        yield from lines
    else:
        yield "".join(f"{line}\r\n" for line in lines)


_SHAPING = (
    named("InputObject", Kind.VALUE),
    switch("Force"),
    *absent("View", "GroupBy", "Expand", "DisplayError", "ShowError"),
)


def _chosen(call: Call, value: PSObject) -> list[tuple[str, object]]:
    found: list[tuple[str, object]] = []
    for wanted in as_list(call.value("Property")):
        if isinstance(wanted, dict):
            label = find_key(wanted, "Name") or find_key(wanted, "Label") or find_key(wanted, "N") or find_key(wanted, "L")
            body = find_key(wanted, "Expression") or find_key(wanted, "E")
            given = wanted[body] if body is not None else None
            held = (
                collect(call.session.invoke(given, item=value, has_item=True))
                if isinstance(given, ScriptBlock)
                else call.session.member(value, to_text(given))
            )
            found.append((to_text(wanted[label]) if label is not None else to_text(given), held))
        elif isinstance(wanted, ScriptBlock):
            found.append((wanted.body.text.strip(), collect(call.session.invoke(wanted, item=value, has_item=True))))
        elif any(char in to_text(wanted) for char in "*?["):
            found += [(name, one) for name, one in value.properties.items() if like(name, to_text(wanted))]
        else:
            name = find_key(value.properties, to_text(wanted)) or to_text(wanted)
            found.append((name, call.session.member(value, name)))
    return found


def _shaped(call: Call) -> list[PSObject]:
    """The objects with the chosen properties, as strings to be laid out."""
    group: list[PSObject] = []
    for value in call.items():
        if not isinstance(value, PSObject):
            raise refuse(f"{call.spec.name} of something that is not an object with properties", activity=call.spec.name)
        if call.given("Property"):
            cells = {name: stored(held) for name, held in _chosen(call, value)}
            group.append(PSObject(type_names=("System.Management.Automation.PSCustomObject",), properties={**cells}))
        else:
            group.append(value)
    return group


@cmdlet(
    "Format-Table",
    at(0, "Property", Kind.VALUE),
    switch("AutoSize"),
    switch("HideTableHeaders"),
    switch("Wrap"),
    *_SHAPING,
    module=_UTILITY,
)
def format_table_cmdlet(call: Call) -> Iterator[object]:
    """A table's lines."""
    group = _shaped(call)
    if not group:
        return
    columns = view_of(group[0]) or generic_columns(group, list(group[0].properties)[:10])
    if call.switch("AutoSize"):
        columns = tuple(Column(one.label, None, one.read, one.right) for one in columns)
    yield from format_table(group, columns, headers=not call.switch("HideTableHeaders"))


@cmdlet("Format-List", at(0, "Property", Kind.VALUE), *_SHAPING, module=_UTILITY)
def format_list_cmdlet(call: Call) -> Iterator[object]:
    """A list's lines."""
    group = _shaped(call)
    if group:
        yield from format_list(group)


@cmdlet("Format-Wide", at(0, "Property", Kind.VALUE), named("Column", Kind.INT), switch("AutoSize"), *_SHAPING, module=_UTILITY)
def format_wide_cmdlet(call: Call) -> Iterator[object]:
    """One property of each object, several on a line."""
    cells: list[str] = []
    for value in call.items():
        wanted = call.value("Property") if call.given("Property") else "Name"
        held = call.session.member(value, to_text(wanted)) if isinstance(value, PSObject) else value
        cells.append(to_text(held if held is not None else value))
    if not cells:
        return
    count = max(1, call.number("Column", 2))
    if call.switch("AutoSize"):
        count = max(1, WIDTH // (max(len(cell) for cell in cells) + 1))
    width = WIDTH // count - 1
    yield ""
    for at_cell in range(0, len(cells), count):
        yield " ".join(cell[:width].ljust(width) for cell in cells[at_cell : at_cell + count]).rstrip()
    yield from ("", "")
