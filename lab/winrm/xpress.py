"""Streams of a shell that its client opened with the header CompressionType: xpress [MS-WSMV 3.2.4.1.19]. Pure.

What is compressed comes in chunks: the size before and the size as sent, each less one in 16 bits, then the bytes, which are as they were
where both sizes are the same, and otherwise plain LZ77 [MS-XCA 2.4]. Windows sends short output as it was; here all of it goes that way,
which every reader has to take. Knows nothing of envelopes and shells.
"""

from __future__ import annotations

import struct
from typing import Final

MOST: Final = 4_194_304
"""Bytes that the streams of one request may expand to: many times what an envelope holds, and no more than a machine can bear."""

_CHUNK: Final = 65_536


class Corrupt(Exception):
    """Not chunks of this format, or more than is taken."""


def stored(data: bytes) -> bytes:
    """Data as chunks that are not made smaller."""
    chunks = [data[start : start + _CHUNK] for start in range(0, len(data), _CHUNK)]
    return b"".join(struct.pack("<HH", len(chunk) - 1, len(chunk) - 1) + chunk for chunk in chunks)


def expand(data: bytes) -> bytes:
    """What was put into chunks. Raises `Corrupt`, and nothing else whatever the bytes are."""
    out = bytearray()
    at = 0
    while at < len(data):
        if at + 4 > len(data):
            raise Corrupt("a chunk ends within its sizes")
        before, sent = (size + 1 for size in struct.unpack_from("<HH", data, at))
        chunk = data[at + 4 : at + 4 + sent]
        if len(chunk) < sent or len(out) + before > MOST:
            raise Corrupt("a chunk is shorter than it says, or all together more than is taken")
        out += chunk if before == sent else _plain_lz77(chunk, before)
        at += 4 + sent
    return bytes(out)


def _plain_lz77(data: bytes, size: int) -> bytes:
    """[MS-XCA 2.4.4]: of 32 flags each, from the highest, a clear one is a byte and a set one a match."""
    out = bytearray()
    at = half = 0  # `half`: where a byte lies whose upper half is the next long length
    flags = left = 0
    try:
        while len(out) < size:
            if left == 0:
                (flags,) = struct.unpack_from("<I", data, at)
                at, left = at + 4, 32
            left -= 1
            if not flags >> left & 1:
                out.append(data[at])
                at += 1
                continue
            (match,) = struct.unpack_from("<H", data, at)
            at += 2
            length, back = match & 7, (match >> 3) + 1
            if length == 7:
                if half:
                    length, half = data[half] >> 4, 0
                else:
                    length, half, at = data[at] & 15, at, at + 1
                if length == 15:
                    length, at = _long_length(data, at)
                length += 7
            length += 3
            if back > len(out) or len(out) + length > size:
                raise Corrupt("a match reaches beyond the chunk")
            pattern = bytes(out[-back:])[:length]  # a match may overlap itself, and then repeats
            out += (pattern * (length // len(pattern) + 1))[:length]
    except (IndexError, struct.error):
        raise Corrupt("a chunk ends too early") from None
    return bytes(out)


def _long_length(data: bytes, at: int) -> tuple[int, int]:
    """A length of 15 and more, without the 7 that every length of this kind has on top, and where to read on."""
    if data[at] < 255:
        return 15 + data[at], at + 1
    (length,) = struct.unpack_from("<H", data, at + 1)
    at += 3
    if length == 0:
        (length,) = struct.unpack_from("<I", data, at)
        at += 4
    if length < 22:
        raise Corrupt("a length that has a shorter form")
    return length - 7, at
