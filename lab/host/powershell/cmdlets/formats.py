"""Cmdlets that turn objects into text that others read, and back: CSV, JSON, CLIXML, XML; and into files."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from xml.sax.saxutils import escape

from lab.host.files import FileFault, absolute
from lab.host.powershell.cmdlets.files import encoded, matches_of, record_of
from lab.host.powershell.commands import Call, Kind, absent, at, cmdlet, named, switch
from lab.host.powershell.errors import Terminating, fail, refuse, shown
from lab.host.powershell.values import MAX_ITEMS, as_list, bounded, custom, decode, find_key, stored, to_text, type_names
from lab.machine import ErrorRecord, PSObject, PSValue

_UTILITY = "Microsoft.PowerShell.Utility"


def _columns(value: object) -> list[str]:
    if isinstance(value, PSObject):
        return list(value.properties)
    if isinstance(value, dict):
        return ["IsReadOnly", "IsFixedSize", "IsSynchronized", "Keys", "Values", "SyncRoot", "Count"]
    return ["Length"] if isinstance(value, str) else []


def _rows(call: Call) -> list[str]:
    """The lines of objects as CSV. The first object says which columns there are."""
    delimiter = call.text("Delimiter", ",")
    values = list(call.items())
    if not values:
        return []
    names = _columns(values[0])
    lines: list[str] = []
    if not call.switch("NoTypeInformation"):
        lines.append(f"#TYPE {type_names(values[0])[0]}")
    lines.append(delimiter.join(_quoted(name) for name in names))
    for value in values:
        cells = [call.session.member(value, name) for name in names]
        lines.append(delimiter.join("" if cell is None else _quoted(to_text(cell)) for cell in cells))
    return lines


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


_CSV = (
    named("InputObject", Kind.VALUE),
    switch("NoTypeInformation", "NTI"),
    *absent("UseCulture"),
)


@cmdlet("ConvertTo-Csv", *_CSV, at(0, "Delimiter"), module=_UTILITY, output="System.String")
def convert_to_csv(call: Call) -> Iterator[object]:
    """Objects as lines of CSV."""
    yield from _rows(call)


@cmdlet(
    "Export-Csv",
    at(0, "Path"),
    at(1, "Delimiter"),
    named("LiteralPath", Kind.TEXT, "PSPath"),
    named("Encoding"),
    switch("Append"),
    switch("Force"),
    switch("NoClobber"),
    *_CSV,
    module=_UTILITY,
    changes=True,
)
def export_csv(call: Call) -> Iterator[object]:
    """Objects as a file of CSV."""
    path = call.text("LiteralPath") or call.text("Path")
    if not path:
        raise call.missing("Path")
    lines = _rows(call)
    if call.switch("Append") and call.session.host.files.find(absolute(path, call.session.location)) is not None:
        lines = [line for line in lines if not line.startswith("#TYPE")][1:]
    _write(call, path, lines, append=call.switch("Append"), default="ascii")
    yield from ()


def _write(call: Call, path: str, lines: list[str], *, append: bool, default: str) -> None:
    text = "".join(f"{line}\r\n" for line in lines)
    files = call.session.host.files
    try:
        full = absolute(path, call.session.location)
        if call.switch("NoClobber") and not append and files.find(full) is not None:
            raise Terminating(
                call.tagged(
                    ErrorRecord(
                        message=f"The file '{shown(full)}' already exists.",
                        exception_type="System.IO.IOException",
                        error_id="NoClobber",
                        category="ResourceExists",
                        target=shown(full),
                    )
                )
            )
        if not call.should_process(full, call.spec.name):
            return
        old = files.read(full).content if append and files.find(full) is not None else b""
        new = text.encode("utf-16-le", "replace") if old.startswith(b"\xff\xfe") else encoded(call, text, default)
        files.write(full, old + (new.removeprefix(b"\xff\xfe").removeprefix(b"\xef\xbb\xbf") if old else new))
    except FileFault as fault:
        call.error(record_of(fault))


def _objects(call: Call, lines: list[str]) -> Iterator[object]:
    """Objects of the lines of CSV."""
    kept = [line for line in lines if not line.startswith("#TYPE")]
    delimiter = call.text("Delimiter", ",")
    reader = csv.reader(io.StringIO("\n".join(kept)), delimiter=delimiter[:1] or ",")
    names = call.texts("Header") or next(reader, [])
    for row in reader:
        call.session.tick()
        if row:
            cells: dict[str, PSValue] = {name: row[place] if place < len(row) else None for place, name in enumerate(names)}
            yield custom(cells)


_FROM_CSV = (named("Header", Kind.TEXTS), *absent("UseCulture"))


@cmdlet("ConvertFrom-Csv", at(0, "InputObject", Kind.VALUE), at(1, "Delimiter"), *_FROM_CSV, module=_UTILITY)
def convert_from_csv(call: Call) -> Iterator[object]:
    """Objects of lines of CSV."""
    lines = [line for one in call.items() for line in to_text(one).splitlines()]
    yield from _objects(call, lines)


@cmdlet(
    "Import-Csv",
    at(0, "Path", Kind.TEXTS),
    at(1, "Delimiter"),
    named("LiteralPath", Kind.TEXTS, "PSPath"),
    named("Encoding"),
    *_FROM_CSV,
    module=_UTILITY,
)
def import_csv(call: Call) -> Iterator[object]:
    """Objects of files of CSV."""
    for full in matches_of(call):
        try:
            file = call.session.host.files.read(full)
        except FileFault as fault:
            call.error(record_of(fault))
            continue
        yield from _objects(call, decode(file.content).splitlines())


# --- JSON -----------------------------------------------------------------------------------------------------------------


@cmdlet("ConvertFrom-Json", at(0, "InputObject", Kind.VALUE), module=_UTILITY)
def convert_from_json(call: Call) -> Iterator[object]:
    """Values of a text of JSON."""
    text = "\n".join(to_text(one) for one in call.items())
    try:
        found = json.loads(bounded(text), parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise Terminating(
            call.tagged(
                ErrorRecord(
                    message=f"Invalid JSON primitive: {shown(text.strip().partition(chr(10))[0])}.",
                    exception_type="System.ArgumentException",
                    error_id="System.ArgumentException",
                    category="NotSpecified",
                )
            )
        ) from None
    held = _from_json(found, 0)
    yield from (held if isinstance(held, list) else [held])


def _no_constant(name: str) -> object:
    raise ValueError(name)


def _from_json(value: object, depth: int) -> PSValue:
    if depth > 100:
        raise fail("The converted JSON string is in bad format: it is nested too deeply.", "JsonStringDepth", "InvalidArgument")
    if isinstance(value, dict):
        return custom({name: _from_json(one, depth + 1) for name, one in value.items()})
    if isinstance(value, list):
        return [_from_json(one, depth + 1) for one in value]
    return stored(value)


# --- XML ------------------------------------------------------------------------------------------------------------------


@cmdlet(
    "ConvertTo-Html",
    named("InputObject", Kind.VALUE),
    at(0, "Property", Kind.TEXTS),
    named("Title"),
    named("PreContent", Kind.TEXTS),
    named("PostContent", Kind.TEXTS),
    switch("Fragment"),
    *absent("As", "Head", "Body", "CssUri"),
    module=_UTILITY,
)
def convert_to_html(call: Call) -> Iterator[object]:
    """A page with a table of the objects."""
    values = list(call.items())
    names = call.texts("Property") or (_columns(values[0]) if values else [])
    if not call.switch("Fragment"):
        yield '<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Strict//EN"  "http://www.w3.org/TR/xhtml1/DTD/xhtml1-strict.dtd">'
        yield '<html xmlns="http://www.w3.org/1999/xhtml">'
        yield f"<head>\r\n<title>{escape(call.text('Title', 'HTML TABLE'))}</title>\r\n</head><body>"
    yield from call.texts("PreContent")
    yield "<table>"
    yield "<colgroup>" + "<col/>" * len(names) + "</colgroup>"
    yield "<tr>" + "".join(f"<th>{escape(name)}</th>" for name in names) + "</tr>"
    for value in values:
        yield "<tr>" + "".join(f"<td>{escape(to_text(call.session.member(value, name)))}</td>" for name in names) + "</tr>"
    yield "</table>"
    yield from call.texts("PostContent")
    if not call.switch("Fragment"):
        yield "</body></html>"


@cmdlet("ConvertFrom-StringData", at(0, "StringData", Kind.VALUE), module=_UTILITY)
def convert_from_string_data(call: Call) -> Iterator[object]:
    """A hashtable of lines `name = value`."""
    for text in [to_text(call.value("StringData"))] if call.given("StringData") else [to_text(one) for one in call.items("StringData")]:
        table: dict[str, object] = {}
        for line in text.splitlines():
            if not line.strip() or line.lstrip().startswith("#"):
                continue
            name, sign, value = line.partition("=")
            if not sign:
                raise fail(f"Data line '{shown(line)}' is not in 'name=value' format.", "InvalidOperation", "InvalidOperation")
            if find_key(table, name.strip()) is not None:
                raise fail(f"Data item '{shown(name.strip())}' in line '{shown(line)}' is already defined.", "InvalidOperation")
            table[name.strip()] = re.sub(r"\\(.)", lambda found: {"n": "\n", "t": "\t", "r": "\r"}.get(found[1], found[1]), value.strip())
        yield table


# --- files ----------------------------------------------------------------------------------------------------------------


@cmdlet(
    "Out-File",
    at(0, "FilePath"),
    at(1, "Encoding"),
    named("LiteralPath", Kind.TEXT, "PSPath"),
    named("InputObject", Kind.VALUE),
    named("Width", Kind.INT),
    switch("Append"),
    switch("Force"),
    switch("NoClobber"),
    switch("NoNewline"),
    module=_UTILITY,
    changes=True,
)
def out_file(call: Call) -> Iterator[object]:
    """The lines of objects in a file, as UTF-16 where nothing else is said."""
    path = call.text("LiteralPath") or call.text("FilePath")
    if not path:
        raise call.missing("FilePath")
    lines = call.session.format(call.items())
    _write(call, path, lines, append=call.switch("Append"), default="unicode")
    yield from ()


@cmdlet(
    "Tee-Object",
    at(0, "FilePath"),
    named("LiteralPath", Kind.TEXT, "PSPath"),
    named("Variable"),
    named("InputObject", Kind.VALUE),
    switch("Append"),
    module=_UTILITY,
)
def tee_object(call: Call) -> Iterator[object]:
    """What flows through goes into a file or a variable besides."""
    values: list[object] = []
    for value in call.items():
        values.append(value)
        if len(values) > MAX_ITEMS:
            raise refuse(f"more than {MAX_ITEMS} objects in Tee-Object", activity=call.spec.name)
        yield value
    if call.given("Variable"):
        old = as_list(call.session.variable(call.text("Variable"))) if call.switch("Append") else []
        held = [*old, *values]
        call.session.set_variable(call.text("Variable"), held if len(held) != 1 else held[0])
    elif call.given("FilePath") or call.given("LiteralPath"):
        path = call.text("LiteralPath") or call.text("FilePath")
        _write(call, path, call.session.format(values), append=call.switch("Append"), default="unicode")
    else:
        raise call.missing("FilePath")
