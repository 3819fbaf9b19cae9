"""File transfers of PowerShell Remoting clients that bring a script of their own, done without running it.

pypsrp's `Client.copy` and `Client.fetch` send scripts that reach into the engine by reflection, which no emulation has. They are known by
what they do: they take the path from `$MyInvocation.UnboundArguments[0]`, and hash with SHA-1. The host is left as they would leave it; any
other script is not touched.
"""

from __future__ import annotations

import binascii
import hashlib
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence

from lab.host.files import CAPACITY, File, FileFault, absolute
from lab.host.powershell.commands import Passed, Session
from lab.host.powershell.dotnet import expand_percent
from lab.host.powershell.errors import fail
from lab.host.powershell.values import to_bool, to_text

_COMMON = (
    "$MyInvocation.UnboundArguments[0]",
    "GetUnresolvedProviderPathFromPSPath",
    "System.Security.Cryptography.SHA1CryptoServiceProvider",
)
_COPY = (*_COMMON, "GetTempFileName()", "[System.Convert]::FromBase64String($input)", "[System.IO.File]::Move($path, $output_path)")
_FETCH = (*_COMMON, ".OpenRead()", "[System.Convert]::ToBase64String($bytes)", "Write-Output -InputObject")

Transfer = Callable[[Session, Sequence[Passed], Iterator[object]], Iterator[object]]


def recognised(script: str) -> Transfer | None:
    """What a script is that transfers a file, None for any other script."""
    if _COMMON[0] not in script:
        return None
    if all(mark in script for mark in _COPY):
        return _copy
    return _fetch if all(mark in script for mark in _FETCH) else None


def _path(session: Session, arguments: Sequence[Passed]) -> str:
    values = [one.value for one in arguments]
    path = to_text(values[0]) if values else ""
    if len(values) > 1 and to_bool(values[1]):
        path = expand_percent(path, session.environment)
    return absolute(path, session.location)


def _copy(session: Session, arguments: Sequence[Passed], given: Iterator[object]) -> Iterator[object]:
    """Chunks in base64, then their SHA-1: a file under the path, whose full name is all that comes out."""
    content = bytearray()
    last: bytes | None = None
    for one in given:
        session.tick()
        if last is not None:
            content += last
        if len(content) > CAPACITY:
            raise fail("There is not enough space on the disk.", "IOException", "WriteError")
        try:
            last = binascii.a2b_base64(to_text(one), strict_mode=False)
        except binascii.Error:
            raise fail("The input is not a valid Base-64 string.", "FormatException", "InvalidArgument") from None
    expected = (last or b"").decode("utf-8", "replace")
    actual = hashlib.sha1(content, usedforsecurity=False).hexdigest()
    if actual != expected:
        raise fail(f"Transport failure, hash mismatch\r\nActual: {actual}\r\nExpected: {expected}", "RuntimeException", "OperationStopped")
    try:
        path = _path(session, arguments)
        session.host.files.write(path, bytes(content))
    except FileFault as fault:
        raise fail(f"Could not find a part of the path '{fault.path}'.", "DirectoryNotFoundException", "NotSpecified") from None
    yield path


def _fetch(session: Session, arguments: Sequence[Passed], given: Iterator[object]) -> Iterator[object]:
    """The file in base64, then its SHA-1."""
    try:
        path = _path(session, arguments)
        node = session.host.files.find(path)
    except FileFault as fault:
        path, node = fault.path, None
    if node is None:
        raise fail(f"The path at '{path}' does not exist", f"The path at '{path}' does not exist", "OperationStopped")
    if not isinstance(node, File):
        text = f"The path at '{path}' is a directory, src must be a file"
        raise fail(text, text, "OperationStopped")
    yield b64encode(node.content).decode()
    yield hashlib.sha1(node.content, usedforsecurity=False).hexdigest()
