"""PSRP messages in fragments and whole again [MS-PSRP 2.2.1, 2.2.4]. Pure: bytes in, bytes out; a message's content is not looked at."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from lab.winrm.clixml import Malformed

MAX_MESSAGE: Final = 10 * 1024 * 1024
"""Bytes of one message: MaximumReceivedObjectSizeMB, the default of a session configuration."""

_FRAGMENT: Final = struct.Struct(">QQBI")
_MESSAGE: Final = struct.Struct("<II16s16s")
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_START: Final = 1
_END: Final = 2
_TO_CLIENT: Final = 1
_NOBODY: Final = bytes(16)


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message of a client. `pipeline` are the 16 bytes of the pipeline's id as .NET writes a Guid."""

    kind: int
    pipeline: bytes
    data: bytes


def parse(whole: bytes) -> Message:
    """A message from its bytes. Raises `Malformed`."""
    if len(whole) < _MESSAGE.size:
        raise Malformed("a message shorter than its header")
    _, kind, _, pipeline = _MESSAGE.unpack_from(whole)
    data = whole[_MESSAGE.size :]
    return Message(kind=kind, pipeline=pipeline, data=data.removeprefix(_BYTE_ORDER_MARK))


class Assembler:
    """Fragments of one stream to messages. They come whole, in order, and one message after the other."""

    __slots__ = ("_expected", "_object", "_parts", "_size")

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0
        self._object = 0
        self._expected = 0

    def feed(self, data: bytes) -> list[bytes]:
        """The messages that are complete now. Raises `Malformed`; nothing more can be made of the stream then."""
        found: list[bytes] = []
        at = 0
        while at < len(data):
            if len(data) - at < _FRAGMENT.size:
                raise Malformed("half a fragment")
            number, fragment, flags, length = _FRAGMENT.unpack_from(data, at)
            if self._size + length > MAX_MESSAGE:
                raise Malformed("a message larger than any may be")
            end = at + _FRAGMENT.size + length
            if end > len(data):
                raise Malformed("half a fragment")
            blob = data[at + _FRAGMENT.size : end]
            at = end
            if flags & _START:
                if self._parts or fragment:
                    raise Malformed("a message begins within another")
                self._object, self._expected = number, 0
            elif not self._parts or number != self._object or fragment != self._expected:
                raise Malformed("a fragment out of order")
            self._expected += 1
            self._parts.append(blob)
            self._size += length
            if flags & _END:
                found.append(self._parts[0] if len(self._parts) == 1 else b"".join(self._parts))
                self._parts, self._size = [], 0
        return found


def pipeline_of(data: bytes) -> bytes:
    """The id of the pipeline in a message's first fragment; fewer than 16 bytes where it is no such thing."""
    start = _FRAGMENT.size + 24
    return data[start : start + 16]


def cut(number: int, kind: int, pool: bytes, pipeline: bytes | None, text: str, size: int) -> list[bytes]:
    """The fragments, each of at most `size` bytes, of a message to the client. `number` is the message's own among all of its pool."""
    header = _MESSAGE.pack(_TO_CLIENT, kind, pool, pipeline or _NOBODY)
    whole = b"".join((header, _BYTE_ORDER_MARK, text.encode()))
    room = size - _FRAGMENT.size
    if len(whole) <= room:
        return [_FRAGMENT.pack(number, 0, _START | _END, len(whole)) + whole]
    starts = range(0, len(whole), room)
    last = len(starts) - 1
    return [
        _FRAGMENT.pack(number, index, (_START if index == 0 else 0) | (_END if index == last else 0), min(room, len(whole) - at))
        + whole[at : at + room]
        for index, at in enumerate(starts)
    ]
