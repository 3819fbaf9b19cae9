"""Cmdlets about the emulated file system: items, content, locations, paths. They touch nothing but the host's model."""

from __future__ import annotations

import ntpath
from collections.abc import Iterator
from dataclasses import replace

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
from lab.host.powershell.cmdlets import drives
from lab.host.powershell.commands import Call, Kind, absent, at, cmdlet, named, switch
from lab.host.powershell.errors import refuse, shown
from lab.host.powershell.objects import path_info
from lab.host.powershell.values import as_list, decode, like, to_text
from lab.host.registry import ROOTS, KeyHasChildren, RegistryFault
from lab.host.registry import Kind as RegistryKind
from lab.machine import ErrorRecord, PSObject

MAX_STACK = 100
MAX_FILE = 16 * 1024 * 1024
_COMMANDS = "Microsoft.PowerShell.Commands"


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
    if drives.place_of(call, path) is not None:
        raise refuse(f"the drive of the path '{shown(path)}'", activity=call.spec.name)
    low = path.lower()
    for prefix in ("microsoft.powershell.core\\filesystem::", "filesystem::"):
        if low.startswith(prefix):
            path = path[len(prefix) :]
    if path == "~" or path.startswith(("~\\", "~/")):
        path = call.session.environment["USERPROFILE"] + path[1:]
    return absolute(path, call.session.location)


def matches(call: Call, path: str, *, literal: bool = False) -> list[str]:
    """The existing paths that a path with wildcards means, in any of its parts. Raises `FileFault`."""
    files = call.session.host.files
    if literal or not any(char in path for char in "*?["):
        full = _full(call, path)
        files.get(full)
        return [full]
    parts = path.replace("/", "\\").rstrip("\\").split("\\")
    first = next(place for place, part in enumerate(parts) if any(char in part for char in "*?["))
    head = "\\".join(parts[:first])
    found = [_full(call, head + "\\" if head.endswith(":") or (first and not head) else head or ".")]
    for part in parts[first:]:
        below: list[str] = []
        for one in found:
            call.session.tick()
            if isinstance(files.find(one), Directory):
                below += [ntpath.join(one, child.name) for child in files.children(one) if like(child.name, part)]
        found = below
    return found


def _paths(call: Call) -> list[tuple[str, bool]]:
    if call.given("LiteralPath"):
        return [(path, True) for path in call.texts("LiteralPath")]
    return [(path, False) for path in call.texts_or_input("Path", "PSPath", "FullName")]


def _existing(call: Call, path: str, *, literal: bool = False) -> Iterator[str]:
    """The full paths that one path means; what is not found is an error of its own."""
    call.session.tick()
    try:
        yield from matches(call, path, literal=literal)
    except FileFault as fault:
        call.error(record_of(PathNotFound(_shown_path(call, path)) if isinstance(fault, PathNotFound) else fault))


def matches_of(call: Call) -> Iterator[str]:
    """The full paths of files that are meant."""
    for path, literal in _paths(call):
        yield from _existing(call, path, literal=literal)


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
        "LastAccessTimeUtc": node.modified,
        "Attributes": ", ".join(node.attributes),
        "Mode": node.mode,
        "BaseName": name if directory else ntpath.splitext(name)[0],
        "PSPath": f"Microsoft.PowerShell.Core\\FileSystem::{path}",
        "PSParentPath": f"Microsoft.PowerShell.Core\\FileSystem::{parent}",
        "PSChildName": name,
        "PSDrive": "C",
        "PSProvider": "Microsoft.PowerShell.Core\\FileSystem",
    }
    if isinstance(node, File):
        properties["Length"] = len(node.content)
        properties["DirectoryName"] = parent
        properties["IsReadOnly"] = "ReadOnly" in node.attributes
        properties["VersionInfo"] = _version_info(path, node)
    else:
        properties["Parent"] = ntpath.basename(parent)
        properties["Root"] = "C:\\"
    kind = "System.IO.DirectoryInfo" if directory else "System.IO.FileInfo"
    held = PSObject(type_names=(kind, "System.IO.FileSystemInfo", "System.MarshalByRefObject", "System.Object"), properties={}, text=path)
    held.properties.update(properties)  # type: ignore[arg-type]
    return held


def _version_info(path: str, file: File) -> PSObject:
    image = file.image
    return PSObject(
        type_names=("System.Diagnostics.FileVersionInfo", "System.Object"),
        properties={
            "FileName": path,
            "OriginalFilename": image.original_name if image is not None else None,
            "FileDescription": image.description if image is not None else None,
            "ProductName": image.product if image is not None else None,
            "CompanyName": image.company if image is not None else None,
            "FileVersion": image.version if image is not None else None,
            "ProductVersion": image.version.partition(" ")[0] if image is not None else None,
        },
        text=f"File:             {path}",
    )


@cmdlet(
    "Get-ChildItem",
    at(0, "Path", Kind.TEXTS),
    at(1, "Filter"),
    named("LiteralPath", Kind.TEXTS, "PSPath"),
    named("Include", Kind.TEXTS),
    named("Exclude", Kind.TEXTS),
    named("Depth", Kind.INT),
    named("Attributes"),
    switch("Recurse", "s"),
    switch("Force"),
    switch("Name"),
    switch("File", "af"),
    switch("Directory", "ad"),
    switch("Hidden", "ah", "h"),
    switch("System", "as"),
    switch("ReadOnly", "ar"),
    *absent("FollowSymlink", "UseTransaction"),
    output="System.IO.FileInfo",
)
def get_child_item(call: Call) -> Iterator[object]:
    """What lies in directories and keys, or at paths with wildcards."""
    files = call.session.host.files
    given = _paths(call) if call.given("Path") or call.given("LiteralPath") or call.piped else [(".", False)]
    for path, literal in given:
        place = drives.place_of(call, path)
        if place is not None:
            yield from _listed_drive(call, place)
            continue
        try:
            wild = not literal and any(char in path for char in "*?[")
            if wild and call.switch("Recurse"):
                yield from _below(call, path)
                continue
            for full in matches(call, path, literal=literal):
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


def _below(call: Call, path: str) -> Iterator[object]:
    """`-Recurse` with a pattern as the last part: what has such a name anywhere below."""
    head, pattern = ntpath.split(path.replace("/", "\\"))
    for base in matches(call, head or "."):
        found = [(full, node) for full, node in call.session.host.files.walk(base) if like(node.name, pattern)]
        yield from _listed(call, base, found)


def _listed_drive(call: Call, place: drives.Place) -> Iterator[object]:
    if place.drive != "registry":
        found = drives.flat_items(call, place)
        if not found and place.path and not place.wild:
            call.error(drives.not_found(place))
        for one in found:
            yield to_text(one.properties["Name"]) if call.switch("Name") else one
        return
    registry = call.session.host.registry
    try:
        for base in drives.keys_at(call, place):
            if place.wild:
                below = [base]
            elif call.switch("Recurse"):
                below = [path for path, _ in registry.walk(base)]
            else:
                below = [f"{base}\\{child.name}" for child in registry.children(base)]
            for path in below:
                call.session.tick()
                name = path.rpartition("\\")[2]
                if call.given("Include") and not any(like(name, one) for one in call.texts("Include")):
                    continue
                if any(like(name, one) for one in call.texts("Exclude")):
                    continue
                if call.given("Depth") and path[len(base) :].strip("\\").count("\\") > call.number("Depth"):
                    continue
                yield path[len(base) :].strip("\\") or name if call.switch("Name") else drives.key_object(call, path, place.asked)
    except RegistryFault as fault:
        call.error(drives.record_of(fault, place.asked))


def _listed(call: Call, base: str, listed: list[tuple[str, Node]]) -> Iterator[object]:
    for path, node in listed:
        call.session.tick()
        if call.given("Depth") and path[len(base) :].strip("\\").count("\\") > call.number("Depth"):
            continue
        if (call.switch("File") and not isinstance(node, File)) or (call.switch("Directory") and isinstance(node, File)):
            continue
        if node.hidden and not (call.switch("Force") or call.switch("Hidden") or call.switch("System") or call.given("Attributes")):
            continue
        wanted = [one for one in ("Hidden", "System", "ReadOnly") if call.switch(one)]
        wanted += [one.strip() for one in call.text("Attributes").split("+") if one.strip()]
        if any((one.lstrip("!").lower() in map(str.lower, node.attributes)) == one.startswith("!") for one in wanted):
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
    files = call.session.host.files
    for path, literal in _paths(call):
        place = drives.place_of(call, path)
        if place is None:
            for full in _existing(call, path, literal=literal):
                yield item(files.actual(full), files.get(full))
        elif place.drive == "registry":
            try:
                for key in drives.keys_at(call, place):
                    yield drives.key_object(call, key, place.asked)
            except RegistryFault as fault:
                call.error(drives.record_of(fault, place.asked))
        else:
            found = drives.flat_items(call, place)
            if not found:
                call.error(drives.not_found(place))
            yield from found


@cmdlet(
    "Test-Path",
    at(0, "Path", Kind.TEXTS, mandatory=True),
    named("LiteralPath", Kind.TEXTS, "PSPath"),
    named("PathType", choices=("Any", "Container", "Leaf")),
    switch("IsValid"),
    *absent("Filter", "Include", "Exclude", "OlderThan", "NewerThan", "Credential"),
    output="System.Boolean",
)
def test_path(call: Call) -> Iterator[object]:
    """Whether something lies at each path."""
    for path, literal in _paths(call):
        place = drives.place_of(call, path) if not call.switch("IsValid") else None
        if place is not None:
            yield _is_there(call, place)
            continue
        if call.switch("IsValid"):
            yield not any(char in path for char in '<>"|')
            continue
        try:
            nodes = [call.session.host.files.get(one) for one in matches(call, path, literal=literal)]
        except FileFault:
            nodes = []
        wanted = call.text("PathType", "Any")
        yield any(wanted == "Any" or (wanted == "Container") == isinstance(node, Directory) for node in nodes)


def _is_there(call: Call, place: drives.Place) -> bool:
    if call.text("PathType") == "Leaf" and place.drive == "registry":
        return False
    if place.drive != "registry":
        return not place.path or bool(drives.flat_items(call, place))
    try:
        return bool(drives.keys_at(call, place))
    except RegistryFault:
        return False


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
    """The lines of files; of a variable, a function and the like what it holds."""
    for path, literal in _paths(call):
        place = drives.place_of(call, path)
        if place is not None and place.drive != "registry":
            yield from drives.flat_value(call, place)
        else:
            yield from _lines_of(call, path, literal=literal)


def _lines_of(call: Call, path: str, *, literal: bool) -> Iterator[object]:
    for full in _existing(call, path, literal=literal):
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


def encoded(call: Call, text: str, default: str = "default") -> bytes:
    """A text in the encoding that -Encoding names."""
    name = call.text("Encoding", default).lower()
    match name:
        case "utf8":
            return b"\xef\xbb\xbf" + text.encode("utf-8", "replace")
        case "unicode":
            return b"\xff\xfe" + text.encode("utf-16-le", "replace")
        case "bigendianunicode":
            return b"\xfe\xff" + text.encode("utf-16-be", "replace")
        case "utf7":
            return text.encode("utf-7", "replace")
        case "ascii":
            return text.encode("ascii", "replace")
        case "default" | "string" | "oem":
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
    *absent("Filter", "Include", "Exclude", "Stream", "Credential"),
)


@cmdlet("Set-Content", *_CONTENT, changes=True)
def set_content(call: Call) -> Iterator[object]:
    """Write files anew."""
    yield from _write(call, append=False)


@cmdlet("Add-Content", *_CONTENT, changes=True)
def add_content(call: Call) -> Iterator[object]:
    """Write at the end of files."""
    yield from _write(call, append=True)


def _write(call: Call, *, append: bool) -> Iterator[object]:
    text = _lines(call)
    files = call.session.host.files
    for path in call.texts("LiteralPath") or call.texts("Path"):
        place = drives.place_of(call, path)
        if place is not None and place.drive != "registry":
            if call.should_process(f"Path: {place.asked}", "Set Content"):
                drives.set_flat(call, place, call.value("Value"))
            continue
        try:
            full = _full(call, path)
            if not call.should_process(f"Path: {full}", "Add Content" if append else "Set Content"):
                continue
            old = files.find(full)
            before = old.content if append and isinstance(old, File) else b""
            added = text.encode("utf-16-le", "replace") if before.startswith(b"\xff\xfe") else encoded(call, text)
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
    "Clear-Content", at(0, "Path", Kind.TEXTS, mandatory=True), named("LiteralPath", Kind.TEXTS, "PSPath"), switch("Force"), changes=True
)
def clear_content(call: Call) -> Iterator[object]:
    """Make files empty."""
    for full in matches_of(call):
        try:
            call.session.host.files.read(full)
            if call.should_process(f"Item: {full}", "Clear Content"):
                call.session.host.files.write(full, b"")
        except FileFault as fault:
            call.error(record_of(fault))
    yield from ()


@cmdlet(
    "New-Item",
    at(0, "Path", Kind.TEXTS),
    named("Name"),
    named("ItemType", Kind.TEXT, "Type"),
    named("Value", Kind.VALUE, "Target"),
    switch("Force"),
    *absent("Credential"),
    changes=True,
)
def new_item(call: Call) -> Iterator[object]:
    """Make a file, a directory, a key, a variable."""
    for base in call.texts("Path") or ["."]:
        path = ntpath.join(base, call.text("Name")) if call.given("Name") else base
        place = drives.place_of(call, path)
        if place is None:
            yield from _made(call, path, call.text("ItemType", "File").lower())
        elif place.drive == "registry":
            yield from _made_key(call, place)
        elif call.should_process(f"Destination: {place.asked}", "New Item"):
            drives.set_flat(call, place, call.value("Value"))
            yield from drives.flat_items(call, place)


def _made(call: Call, path: str, kind: str) -> Iterator[object]:
    if kind not in ("file", "directory"):
        raise refuse(f"-ItemType {kind} of New-Item", activity=call.spec.name)
    files = call.session.host.files
    try:
        full = _full(call, path)
        old = files.find(full)
        if old is not None and not call.switch("Force"):
            raise PathExists(full)
        if not call.should_process(f"Destination: {full}", f"Create {kind.capitalize()}"):
            return
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


def _made_key(call: Call, place: drives.Place) -> Iterator[object]:
    registry, path = call.session.host.registry, drives.key_path(call, place)
    try:
        if registry.find(path) is not None and not call.switch("Force"):
            record = ErrorRecord(
                message="A key in this path already exists.",
                exception_type="System.IO.IOException",
                error_id="System.IO.IOException",
                category="ResourceExists",
                target=place.asked,
            )
            call.error(record)
            return
        if registry.find(path.rpartition("\\")[0]) is None and not call.switch("Force"):
            record = ErrorRecord(
                message="The registry key at the specified path does not exist.",
                exception_type="System.ArgumentException",
                error_id="System.ArgumentException",
                category="InvalidArgument",
                target=place.asked,
            )
            call.error(record)
            return
        if call.should_process(f"Key: {place.asked}", "New Key"):
            if call.switch("Force") and registry.find(path) is not None:
                registry.remove(path, recurse=True)
            registry.make(path)
            if call.given("Value"):
                registry.set(path, "", RegistryKind.TEXT, call.text("Value"))
            yield drives.key_object(call, registry.actual(path), place.asked)
    except RegistryFault as fault:
        call.error(drives.record_of(fault, place.asked))


@cmdlet(
    "mkdir",
    at(0, "Path", Kind.TEXTS),
    named("Name"),
    named("Value", Kind.VALUE),
    switch("Force"),
    module="",
    changes=True,
)
def mkdir(call: Call) -> Iterator[object]:
    """The function that stands before New-Item -ItemType Directory."""
    for base in call.texts("Path") or ["."]:
        yield from _made(call, ntpath.join(base, call.text("Name")) if call.given("Name") else base, "directory")


@cmdlet(
    "Remove-Item",
    at(0, "Path", Kind.TEXTS, mandatory=True),
    named("LiteralPath", Kind.TEXTS, "PSPath"),
    named("Include", Kind.TEXTS),
    named("Exclude", Kind.TEXTS),
    switch("Recurse"),
    switch("Force"),
    *absent("Filter", "Stream", "Credential"),
    changes=True,
)
def remove_item(call: Call) -> Iterator[object]:
    """Take items away."""
    for path, literal in _paths(call):
        place = drives.place_of(call, path)
        if place is None:
            for full in list(_existing(call, path, literal=literal)):
                _remove_file(call, full)
        elif place.drive == "registry":
            _remove_key(call, place)
        elif call.should_process(f"Item: {place.asked}", "Remove Item"):
            wanted = (
                [place]
                if not place.wild
                else [replace(place, path=to_text(one.properties["Name"])) for one in drives.flat_items(call, place)]
            )
            for one in wanted:
                if not drives.remove_flat(call, one):
                    call.error(drives.not_found(one))
    yield from ()


def _remove_file(call: Call, full: str) -> None:
    files = call.session.host.files
    name = ntpath.basename(full)
    if call.given("Include") and not any(like(name, one) for one in call.texts("Include")):
        return
    if any(like(name, one) for one in call.texts("Exclude")):
        return
    try:
        node = files.get(full)
        action = "Remove Directory" if isinstance(node, Directory) else "Remove File"
        if isinstance(node, File) and node.read_only and not call.switch("Force"):
            record = ErrorRecord(
                message=f"Cannot remove item {full}: You do not have sufficient access rights to perform this operation.",
                exception_type="System.IO.IOException",
                error_id="RemoveFileSystemItemUnAuthorizedAccess",
                category="PermissionDenied",
                target=full,
            )
            call.error(record)
        elif call.should_process(full, action):
            files.remove(full, recurse=call.switch("Recurse"))
    except FileFault as fault:
        call.error(record_of(fault))


def _remove_key(call: Call, place: drives.Place) -> None:
    try:
        for key in drives.keys_at(call, place):
            if call.should_process(f"Item: {place.asked}", "Remove Item"):
                call.session.host.registry.remove(key, recurse=call.switch("Recurse"))
    except KeyHasChildren as fault:
        # What would be asked for at a console cannot be in a remote session without a prompt.
        raise refuse(f"the question whether to remove {shown(fault.path)} with all below it", activity=call.spec.name) from None
    except RegistryFault as fault:
        call.error(drives.record_of(fault, place.asked))


@cmdlet(
    "Set-Item", at(0, "Path", Kind.TEXTS, mandatory=True), at(1, "Value", Kind.VALUE), switch("Force"), switch("PassThru"), changes=True
)
def set_item(call: Call) -> Iterator[object]:
    """Set an environment variable, a variable, an alias, a function, the default value of a key."""
    for path in call.texts("Path"):
        place = drives.place_of(call, path)
        if place is None:
            raise refuse(f"Set-Item of a file, {shown(path)}", activity=call.spec.name)
        if not call.should_process(f"Item: {place.asked}", "Set Item"):
            continue
        if place.drive == "registry":
            for key in drives.keys_at(call, place):
                call.session.host.registry.set(key, "", RegistryKind.TEXT, call.text("Value"))
        else:
            drives.set_flat(call, place, call.value("Value"))
            if call.switch("PassThru"):
                yield from drives.flat_items(call, place)


@cmdlet("Rename-Item", at(0, "Path", mandatory=True), at(1, "NewName", mandatory=True), switch("Force"), switch("PassThru"), changes=True)
def rename_item(call: Call) -> Iterator[object]:
    """Give a file or a directory another name where it lies."""
    files = call.session.host.files
    for full in _existing(call, call.text("Path"), literal=True):
        target = ntpath.join(ntpath.dirname(full), ntpath.basename(call.text("NewName")))
        try:
            if call.should_process(f"Item: {full} Destination: {target}", "Rename File"):
                node = files.move(full, target)
                if call.switch("PassThru"):
                    yield item(target, node)
        except FileFault as fault:
            call.error(record_of(fault))


_TRANSFER = (
    at(0, "Path", Kind.TEXTS, mandatory=True),
    at(1, "Destination"),
    named("LiteralPath", Kind.TEXTS, "PSPath"),
    switch("Force"),
    switch("PassThru"),
    switch("Container"),
    *absent("Filter", "Include", "Exclude", "Credential", "FromSession", "ToSession"),
)


@cmdlet("Copy-Item", *_TRANSFER, switch("Recurse"), changes=True)
def copy_item(call: Call) -> Iterator[object]:
    """Copy files, and directories with -Recurse; a program's copy stays that program."""
    files = call.session.host.files
    for full in matches_of(call):
        try:
            target = _destination(call, full)
            if target.lower() == full.lower():
                raise PathExists(full)
            if not call.should_process(f"Item: {full} Destination: {target}", "Copy File"):
                continue
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


@cmdlet("Move-Item", *_TRANSFER, changes=True)
def move_item(call: Call) -> Iterator[object]:
    """Move or rename items."""
    files = call.session.host.files
    for full in list(matches_of(call)):
        try:
            target = _destination(call, full)
            if call.switch("Force") and isinstance(files.find(target), File) and target.lower() != full.lower():
                files.remove(target, recurse=False)
            if not call.should_process(f"Item: {full} Destination: {target}", "Move File"):
                continue
            node = files.move(full, target)
            if call.switch("PassThru"):
                yield item(target, node)
        except FileFault as fault:
            call.error(record_of(fault))


def _here(call: Call) -> PSObject:
    return path_info(call.session.drive or call.session.location)


@cmdlet("Get-Location", switch("Stack"), *absent("StackName", "PSDrive", "PSProvider"), output="System.Management.Automation.PathInfo")
def get_location(call: Call) -> Iterator[object]:
    """Where the session is."""
    if call.switch("Stack"):
        yield from (path_info(drive or place) for drive, place in reversed(call.session.stack))
    else:
        yield _here(call)


def _go(call: Call, path: str) -> bool:
    """Be somewhere else: whether there is such a place."""
    session = call.session
    place = drives.place_of(call, path)
    if place is not None:
        if not _is_there(call, place):
            call.error(drives.not_found(place))
            return False
        if place.drive == "registry":
            root, _, rest = place.path.partition("\\")
            head = next((f"{short}:" for short, name in ROOTS.items() if name == root.upper() and short in ("HKLM", "HKCU")), "")
            session.drive = f"{head}\\{rest}" if head else f"{drives.REGISTRY}::{place.path}"
        else:
            session.drive = f"{place.drive.capitalize()}:\\{place.path}"
        return True
    try:
        full = _full(call, path)
        if isinstance(session.host.files.get(full), File):
            raise PathNotFound(full)
        session.location, session.drive = session.host.files.actual(full), ""
    except FileFault:
        call.error(record_of(PathNotFound(_shown_path(call, path))))
        return False
    return True


@cmdlet("Set-Location", at(0, "Path"), named("LiteralPath", Kind.TEXT, "PSPath"), switch("PassThru"), *absent("StackName"))
def set_location(call: Call) -> Iterator[object]:
    """Be somewhere else."""
    if _go(call, call.text("LiteralPath") or call.text("Path") or call.session.environment["USERPROFILE"]) and call.switch("PassThru"):
        yield _here(call)


@cmdlet("Push-Location", at(0, "Path"), named("LiteralPath", Kind.TEXT, "PSPath"), switch("PassThru"), *absent("StackName"))
def push_location(call: Call) -> Iterator[object]:
    """Be somewhere else, and know the way back."""
    if len(call.session.stack) >= MAX_STACK:
        raise refuse(f"a stack of more than {MAX_STACK} locations", activity=call.spec.name)
    before = (call.session.drive, call.session.location)
    path = call.text("LiteralPath") or call.text("Path")
    if not path or _go(call, path):
        call.session.stack.append(before)
        if call.switch("PassThru"):
            yield _here(call)


@cmdlet("Pop-Location", switch("PassThru"), *absent("StackName"))
def pop_location(call: Call) -> Iterator[object]:
    """Go back to where Push-Location was called."""
    if call.session.stack:
        call.session.drive, call.session.location = call.session.stack.pop()
    if call.switch("PassThru"):
        yield _here(call)


@cmdlet(
    "Resolve-Path",
    at(0, "Path", Kind.TEXTS, mandatory=True),
    named("LiteralPath", Kind.TEXTS, "PSPath"),
    switch("Relative"),
    *absent("Credential"),
)
def resolve_path(call: Call) -> Iterator[object]:
    """The existing paths that a path means."""
    for full in matches_of(call):
        actual = call.session.host.files.actual(full)
        yield ".\\" + ntpath.relpath(actual, call.session.location) if call.switch("Relative") else path_info(actual)


@cmdlet("Convert-Path", at(0, "Path", Kind.TEXTS, mandatory=True), named("LiteralPath", Kind.TEXTS, "PSPath"))
def convert_path(call: Call) -> Iterator[object]:
    """The same as bare text; of a key the provider's own path."""
    for path, literal in _paths(call):
        place = drives.place_of(call, path)
        if place is not None and place.drive == "registry":
            yield place.asked
        else:
            yield from (call.session.host.files.actual(full) for full in _existing(call, path, literal=literal))


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
    "Join-Path",
    at(0, "Path", Kind.TEXTS, "PSPath", mandatory=True),
    at(1, "ChildPath", mandatory=True),
    switch("Resolve"),
    *absent("Credential"),
)
def join_path(call: Call) -> Iterator[object]:
    """Paths joined with a child."""
    for path in call.texts_or_input("Path"):
        joined = path.rstrip("\\/") + "\\" + call.text("ChildPath").lstrip("\\/")
        if not call.switch("Resolve"):
            yield joined
        else:
            yield from (call.session.host.files.actual(full) for full in _existing(call, joined))
