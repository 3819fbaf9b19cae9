"""Cmdlets about the emulated file system: items, content, locations, paths. They touch nothing but the host's model."""

from __future__ import annotations

import ntpath
from collections.abc import Iterator

from lab.host.files import (
    Directory,
    DirectoryNotEmpty,
    DiskFull,
    File,
    FileFault,
    IsADirectory,
    Node,
    NotADirectory,
    NotPermitted,
    PathExists,
    PathNotFound,
    absolute,
)
from lab.host.powershell.commands import Call, Kind, absent, at, cmdlet, named, switch
from lab.host.powershell.dotnet import path_info
from lab.host.powershell.errors import refuse, shown
from lab.host.powershell.values import as_list, like, to_text
from lab.machine import ErrorRecord, PSObject

MAX_FILE = 16 * 1024 * 1024
_COMMANDS = "Microsoft.PowerShell.Commands"
_DRIVES = ("hklm:", "hkcu:", "cert:", "wsman:", "registry::", "alias:", "function:", "variable:", "env:")


def record_of(fault: FileFault) -> ErrorRecord:
    """The error record that the file system provider writes for a fault."""
    path = shown(fault.path)
    text, kind, error_id, category = {
        PathNotFound: (f"Cannot find path '{path}' because it does not exist.", "ItemNotFoundException", "PathNotFound", "ObjectNotFound"),
        PathExists: (f"The file '{path}' already exists.", "IOException", "NewItemIOError", "WriteError"),
        DirectoryNotEmpty: (f"The directory '{path}' is not empty.", "IOException", "DirectoryNotEmpty", "WriteError"),
        NotADirectory: (f"Could not find a part of the path '{path}'.", "DirectoryNotFoundException", "PathNotFound", "ObjectNotFound"),
        IsADirectory: (
            f"Access to the path '{path}' is denied.",
            "UnauthorizedAccessException",
            "GetContentReaderUnauthorizedAccessError",
            "PermissionDenied",
        ),
        NotPermitted: (
            f"Access to the path '{path}' is denied.",
            "UnauthorizedAccessException",
            "UnauthorizedAccessError",
            "PermissionDenied",
        ),
        DiskFull: ("There is not enough space on the disk.", "IOException", "DiskFull", "WriteError"),
    }.get(
        type(fault),
        (
            f"The given path's format is not supported: '{path}'.",
            "NotSupportedException",
            "ItemExistsNotSupportedError",
            "InvalidOperation",
        ),
    )
    prefix = (
        "System.Management.Automation."
        if kind == "ItemNotFoundException"
        else "System.IO."
        if "IO" in kind or "Directory" in kind
        else "System."
    )
    return ErrorRecord(message=text, exception_type=prefix + kind, error_id=error_id, category=category, target=path)


def _full(call: Call, path: str) -> str:
    low = path.lower()
    if low.startswith(_DRIVES):
        raise refuse(f"the drive of the path '{shown(path)}'", activity=call.spec.name)
    return absolute(path, call.session.location)


def _matches(call: Call, path: str, *, literal: bool = False) -> list[str]:
    """The existing paths that a path with wildcards means. Raises `FileFault`."""
    if literal or not any(char in path for char in "*?["):
        full = _full(call, path)
        call.session.host.files.get(full)
        return [full]
    head, pattern = ntpath.split(path.rstrip("\\"))
    if any(char in head for char in "*?["):
        raise refuse(f"wildcards in the directories of '{shown(path)}'", activity=call.spec.name)
    parent = _full(call, head or ".")
    return [ntpath.join(parent, child.name) for child in call.session.host.files.children(parent) if like(child.name, pattern)]


def _paths(call: Call) -> list[tuple[str, bool]]:
    if call.given("LiteralPath"):
        return [(path, True) for path in call.texts("LiteralPath")]
    return [(path, False) for path in call.texts_or_input("Path", "FullName", "PSPath")]


def _each_path(call: Call) -> Iterator[str]:
    """The full paths that are meant; what is not found is an error of its own."""
    for path, literal in _paths(call):
        call.session.tick()
        try:
            yield from _matches(call, path, literal=literal)
        except FileFault as fault:
            call.error(record_of(PathNotFound(_shown_path(call, path)) if isinstance(fault, PathNotFound) else fault))


def _shown_path(call: Call, path: str) -> str:
    try:
        return absolute(path, call.session.location)
    except FileFault:
        return path


def item(path: str, node: Node) -> PSObject:
    """A FileInfo or a DirectoryInfo."""
    directory = isinstance(node, Directory)
    name = node.name
    parent = ntpath.dirname(path)
    properties: dict[str, object] = {
        "Name": name,
        "FullName": path,
        "Directory": parent,
        "Extension": ntpath.splitext(name)[1],
        "Exists": True,
        "PSIsContainer": directory,
        "CreationTime": node.created,
        "CreationTimeUtc": node.created,
        "LastWriteTime": node.modified,
        "LastWriteTimeUtc": node.modified,
        "LastAccessTime": node.modified,
        "Attributes": "Directory" if directory else "Archive",
        "Mode": "d-----" if directory else "-a----",
        "BaseName": name if directory else ntpath.splitext(name)[0],
        "PSPath": f"Microsoft.PowerShell.Core\\FileSystem::{path}",
    }
    if isinstance(node, File):
        properties["Length"] = len(node.content)
        properties["DirectoryName"] = parent
        properties["VersionInfo"] = node.image.version if node.image is not None else ""
    else:
        properties["Parent"] = ntpath.basename(parent)
    kind = "System.IO.DirectoryInfo" if directory else "System.IO.FileInfo"
    held = PSObject(type_names=(kind, "System.IO.FileSystemInfo", "System.MarshalByRefObject", "System.Object"), properties={}, text=path)
    held.properties.update(properties)  # type: ignore[arg-type]
    return held


@cmdlet(
    "Get-ChildItem",
    at(0, "Path", Kind.TEXTS),
    at(1, "Filter"),
    named("LiteralPath", Kind.TEXTS, "PSPath"),
    named("Include", Kind.TEXTS),
    named("Exclude", Kind.TEXTS),
    named("Depth", Kind.INT),
    switch("Recurse", "s"),
    switch("Force"),
    switch("Name"),
    switch("File", "af"),
    switch("Directory", "ad"),
    *absent("Attributes", "Hidden", "ReadOnly", "System", "FollowSymlink", "UseTransaction"),
    output="System.IO.FileInfo",
)
def get_child_item(call: Call) -> Iterator[object]:
    """What lies in directories, or at paths with wildcards."""
    files = call.session.host.files
    given = _paths(call) or [(".", False)]
    for path, literal in given:
        try:
            wild = not literal and any(char in path for char in "*?[")
            for full in _matches(call, path, literal=literal):
                node = files.get(full)
                if isinstance(node, File) or (wild and not call.switch("Recurse")):
                    listed = [(full, node)]
                elif call.switch("Recurse") or call.given("Depth"):
                    listed = list(files.walk(full))
                else:
                    listed = [(ntpath.join(full, child.name), child) for child in files.children(full)]
                yield from _listed(call, full, listed)
        except FileFault as fault:
            call.error(record_of(PathNotFound(_shown_path(call, path)) if isinstance(fault, PathNotFound) else fault))


def _listed(call: Call, base: str, listed: list[tuple[str, Node]]) -> Iterator[object]:
    for path, node in listed:
        call.session.tick()
        if call.given("Depth") and path[len(base) :].strip("\\").count("\\") > call.number("Depth"):
            continue
        if (call.switch("File") and not isinstance(node, File)) or (call.switch("Directory") and isinstance(node, File)):
            continue
        if call.given("Filter") and not like(node.name, call.text("Filter")):
            continue
        if call.given("Include") and not any(like(node.name, one) for one in call.texts("Include")):
            continue
        if any(like(node.name, one) for one in call.texts("Exclude")):
            continue
        yield path[len(base) :].strip("\\") or node.name if call.switch("Name") else item(path, node)


@cmdlet(
    "Get-Item",
    at(0, "Path", Kind.TEXTS, mandatory=True),
    named("LiteralPath", Kind.TEXTS, "PSPath"),
    switch("Force"),
    *absent("Filter", "Include", "Exclude", "Stream", "Credential"),
)
def get_item(call: Call) -> Iterator[object]:
    """The items at paths."""
    for full in _each_path(call):
        files = call.session.host.files
        yield item(files.actual(full), files.get(full))


@cmdlet(
    "Test-Path",
    at(0, "Path", Kind.TEXTS, mandatory=True),
    named("LiteralPath", Kind.TEXTS, "PSPath"),
    named("PathType", choices=("Any", "Container", "Leaf")),
    *absent("Filter", "Include", "Exclude", "IsValid", "OlderThan", "NewerThan", "Credential"),
    output="System.Boolean",
)
def test_path(call: Call) -> Iterator[object]:
    """Whether something lies at each path."""
    for path, literal in _paths(call):
        try:
            nodes = [call.session.host.files.get(one) for one in _matches(call, path, literal=literal)]
        except FileFault:
            nodes = []
        wanted = call.text("PathType", "Any")
        yield any(wanted == "Any" or (wanted == "Container") == isinstance(node, Directory) for node in nodes)


@cmdlet(
    "Get-Content",
    at(0, "Path", Kind.TEXTS, mandatory=True),
    named("LiteralPath", Kind.TEXTS, "PSPath"),
    named("TotalCount", Kind.INT, "First", "Head"),
    named("Tail", Kind.INT, "Last"),
    named("Encoding"),
    switch("Raw"),
    switch("Force"),
    *absent("ReadCount", "Filter", "Include", "Exclude", "Wait", "Delimiter", "Stream", "Credential"),
)
def get_content(call: Call) -> Iterator[object]:
    """The lines of files."""
    for full in _each_path(call):
        try:
            file = call.session.host.files.read(full)
        except FileFault as fault:
            call.error(record_of(fault))
            continue
        if file.image is not None:
            raise refuse(f"the content of the program {file.name}", activity=call.spec.name)
        if call.text("Encoding").lower() == "byte":
            yield from file.content
            continue
        text = decode(file.content)
        if call.switch("Raw"):
            yield text
            continue
        lines = text.replace("\r\n", "\n").split("\n")
        lines = lines[:-1] if lines and not lines[-1] else lines
        if call.given("TotalCount"):
            lines = lines[: max(0, call.number("TotalCount"))]
        if call.given("Tail"):
            lines = lines[-call.number("Tail") :] if call.number("Tail") > 0 else []
        yield from lines


def decode(content: bytes) -> str:
    """A file's text by its byte order mark, else as UTF-8 where it is and the ANSI code page where it is not."""
    if content.startswith(b"\xff\xfe"):
        return content[2:].decode("utf-16-le", "replace")
    if content.startswith(b"\xef\xbb\xbf"):
        return content[3:].decode("utf-8", "replace")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return content.decode("cp1252", "replace")


def _encode(call: Call, text: str) -> bytes:
    name = call.text("Encoding", "default").lower()
    match name:
        case "utf8":
            return b"\xef\xbb\xbf" + text.encode("utf-8", "replace")
        case "unicode":
            return b"\xff\xfe" + text.encode("utf-16-le", "replace")
        case "ascii":
            return text.encode("ascii", "replace")
        case "default" | "string":
            return text.encode("cp1252", "replace")
        case _:
            raise refuse(f"-Encoding {name} of {call.spec.name}", activity=call.spec.name)


def _lines(call: Call) -> str:
    values = as_list(call.value("Value")) if call.given("Value") else list(call.items("Value"))
    if call.switch("NoNewline"):
        return "".join(to_text(one) for one in values)
    return "".join(f"{to_text(one)}\r\n" for one in values)


_CONTENT = (
    at(0, "Path", Kind.TEXTS, mandatory=True),
    at(1, "Value", Kind.VALUE),
    named("LiteralPath", Kind.TEXTS, "PSPath"),
    named("Encoding"),
    switch("NoNewline"),
    switch("Force"),
    switch("PassThru"),
    *absent("Filter", "Include", "Exclude", "Stream", "Credential", "WhatIf", "Confirm"),
)


@cmdlet("Set-Content", *_CONTENT)
def set_content(call: Call) -> Iterator[object]:
    """Write files anew."""
    yield from _write(call, append=False)


@cmdlet("Add-Content", *_CONTENT)
def add_content(call: Call) -> Iterator[object]:
    """Write at the end of files."""
    yield from _write(call, append=True)


def _write(call: Call, *, append: bool) -> Iterator[object]:
    text = _lines(call)
    files = call.session.host.files
    for path in call.texts("LiteralPath") or call.texts("Path"):
        try:
            full = _full(call, path)
            old = files.find(full)
            before = old.content if append and isinstance(old, File) else b""
            added = text.encode("utf-16-le", "replace") if before.startswith(b"\xff\xfe") else _encode(call, text)
            if len(before) + len(added) > MAX_FILE:
                raise DiskFull(full)
            files.write(full, before + added)
        except PathNotFound as fault:
            call.error(record_of(NotADirectory(fault.path)))
        except FileFault as fault:
            call.error(record_of(fault))
        else:
            if call.switch("PassThru"):
                yield from as_list(call.value("Value"))


@cmdlet(
    "New-Item",
    at(0, "Path", Kind.TEXTS),
    named("Name"),
    named("ItemType", Kind.TEXT, "Type"),
    named("Value", Kind.VALUE, "Target"),
    switch("Force"),
    *absent("Credential", "WhatIf", "Confirm"),
)
def new_item(call: Call) -> Iterator[object]:
    """Make a file or a directory."""
    kind = call.text("ItemType", "File").lower()
    if kind not in ("file", "directory"):
        raise refuse(f"-ItemType {call.text('ItemType')} of New-Item", activity=call.spec.name)
    files = call.session.host.files
    for base in call.texts("Path") or ["."]:
        path = ntpath.join(base, call.text("Name")) if call.given("Name") else base
        try:
            full = _full(call, path)
            old = files.find(full)
            if old is not None and not call.switch("Force"):
                raise PathExists(full)
            if kind == "directory":
                files.make_directory(full)
            else:
                if call.switch("Force"):
                    files.make_directory(ntpath.dirname(full))
                files.write(full, to_text(call.value("Value")).encode("cp1252", "replace"))
            yield item(full, files.get(full))
        except PathNotFound as fault:
            call.error(record_of(NotADirectory(fault.path)))
        except FileFault as fault:
            call.error(record_of(fault))


@cmdlet(
    "Remove-Item",
    at(0, "Path", Kind.TEXTS, mandatory=True),
    named("LiteralPath", Kind.TEXTS, "PSPath"),
    switch("Recurse"),
    switch("Force"),
    *absent("Filter", "Include", "Exclude", "Stream", "Credential", "WhatIf"),
    switch("Confirm"),
)
def remove_item(call: Call) -> Iterator[object]:
    """Take items away."""
    files = call.session.host.files
    for full in list(_each_path(call)):
        try:
            files.remove(full, recurse=call.switch("Recurse"))
        except FileFault as fault:
            call.error(record_of(fault))
    yield from ()


_TRANSFER = (
    at(0, "Path", Kind.TEXTS, mandatory=True),
    at(1, "Destination"),
    named("LiteralPath", Kind.TEXTS, "PSPath"),
    switch("Force"),
    switch("PassThru"),
    *absent("Filter", "Include", "Exclude", "Credential", "WhatIf", "Confirm", "FromSession", "ToSession", "Container"),
)


@cmdlet("Copy-Item", *_TRANSFER, switch("Recurse"))
def copy_item(call: Call) -> Iterator[object]:
    """Copy files, and directories with -Recurse; a program's copy stays that program."""
    files = call.session.host.files
    for full in _each_path(call):
        try:
            target = _destination(call, full)
            if target.lower() == full.lower():
                raise PathExists(full)
            _copy(call, full, target)
            if call.switch("PassThru"):
                yield item(target, files.get(target))
        except PathNotFound as fault:
            call.error(record_of(NotADirectory(fault.path)))
        except FileFault as fault:
            call.error(record_of(fault))


def _copy(call: Call, source: str, target: str) -> None:
    files = call.session.host.files
    if isinstance(files.get(source), File):
        files.copy(source, target)
        return
    below = list(files.walk(source)) if call.switch("Recurse") else []
    if target.lower().startswith(source.lower() + "\\"):
        raise refuse("copying a directory into itself", activity=call.spec.name)
    files.make_directory(target)
    for path, node in below:
        call.session.tick()
        there = target + path[len(source) :]
        if isinstance(node, Directory):
            files.make_directory(there)
        else:
            files.copy(path, there)


def _destination(call: Call, source: str) -> str:
    target = _full(call, call.text("Destination", "."))
    if isinstance(call.session.host.files.find(target), Directory):
        return ntpath.join(target, ntpath.basename(source))
    return target


@cmdlet("Move-Item", *_TRANSFER)
def move_item(call: Call) -> Iterator[object]:
    """Move or rename items."""
    files = call.session.host.files
    for full in list(_each_path(call)):
        try:
            target = _destination(call, full)
            if call.switch("Force") and isinstance(files.find(target), File) and target.lower() != full.lower():
                files.remove(target, recurse=False)
            node = files.move(full, target)
            if call.switch("PassThru"):
                yield item(target, node)
        except FileFault as fault:
            call.error(record_of(fault))


@cmdlet("Get-Location", *absent("Stack", "StackName", "PSDrive", "PSProvider"), output="System.Management.Automation.PathInfo")
def get_location(call: Call) -> Iterator[object]:
    """The current directory."""
    yield path_info(call.session.location)


@cmdlet("Set-Location", at(0, "Path"), named("LiteralPath", Kind.TEXT, "PSPath"), switch("PassThru"), *absent("StackName"))
def set_location(call: Call) -> Iterator[object]:
    """Change the current directory."""
    path = call.text("LiteralPath") or call.text("Path") or call.session.environment["USERPROFILE"]
    try:
        full = _full(call, path)
        if isinstance(call.session.host.files.get(full), File):
            raise PathNotFound(full)
        call.session.location = call.session.host.files.actual(full)
    except FileFault:
        call.error(record_of(PathNotFound(_shown_path(call, path))))
        return
    if call.switch("PassThru"):
        yield path_info(call.session.location)


@cmdlet(
    "Split-Path",
    at(0, "Path", Kind.TEXTS, mandatory=True),
    named("LiteralPath", Kind.TEXTS),
    switch("Parent"),
    switch("Leaf"),
    switch("Qualifier"),
    switch("NoQualifier"),
    switch("IsAbsolute"),
    *absent("Resolve", "Credential"),
)
def split_path(call: Call) -> Iterator[object]:
    """A part of paths."""
    for path in call.texts("LiteralPath") or call.texts_or_input("Path"):
        if call.switch("Leaf"):
            yield ntpath.basename(path.rstrip("\\"))
        elif call.switch("Qualifier"):
            yield ntpath.splitdrive(path)[0]
        elif call.switch("NoQualifier"):
            yield ntpath.splitdrive(path)[1]
        elif call.switch("IsAbsolute"):
            yield bool(ntpath.splitdrive(path)[0])
        else:
            yield ntpath.dirname(path.rstrip("\\"))


@cmdlet(
    "Join-Path", at(0, "Path", Kind.TEXTS, "PSPath", mandatory=True), at(1, "ChildPath", mandatory=True), *absent("Resolve", "Credential")
)
def join_path(call: Call) -> Iterator[object]:
    """Paths joined with a child."""
    for path in call.texts_or_input("Path"):
        yield path.rstrip("\\") + "\\" + call.text("ChildPath").lstrip("\\")
