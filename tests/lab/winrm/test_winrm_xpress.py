"""Compressed streams: what Windows was seen to send, the examples' own forms of plain LZ77, and anything at all."""

from __future__ import annotations

import struct
from base64 import b64decode
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.winrm.xpress import MOST, Corrupt, expand, stored


def chunk(size: int, data: bytes) -> bytes:
    return struct.pack("<HH", size - 1, len(data) - 1) + data


def test_short_output_is_as_windows_sends_it() -> None:
    line = b"\r\nWindows IP Configuration\r\n\r\n"
    assert stored(line) == b64decode("HQAdAA0KV2luZG93cyBJUCBDb25maWd1cmF0aW9uDQoNCg==")
    assert expand(stored(line)) == line


@given(st.binary(max_size=200_000) | st.integers(60_000, 200_000).map(bytes))
def test_what_is_stored_is_there_again(data: bytes) -> None:
    assert expand(stored(data)) == data


LITERALS = b"abcdefghijklmnopqrstuvwxyz"


@pytest.mark.parametrize(
    ("size", "data", "whole"),
    [
        (26, struct.pack("<I", 0x3F) + LITERALS, LITERALS),
        (6, struct.pack("<IcH", 0x40000000, b"a", 2), b"a" * 6),
        (12, struct.pack("<IcHB", 0x40000000, b"a", 7, 1), b"a" * 12),
        (300, struct.pack("<I3sHBBH", 0x1FFFFFFF, b"abc", 2 << 3 | 7, 15, 255, 294), b"abc" * 100),
        (40, struct.pack("<IcHBB", 0x40000000, b"a", 7, 15, 14), b"a" * 40),
        (300, struct.pack("<I3sHBBHI", 0x1FFFFFFF, b"abc", 2 << 3 | 7, 15, 255, 0, 294), b"abc" * 100),
        (24, struct.pack("<IcHBH", 0x60000000, b"a", 7, 0x21, 7), b"a" * 24),
    ],
    ids=["literals", "overlap", "half-byte", "two-bytes", "one-byte", "four-bytes", "shared-half-byte"],
)
def test_every_form_of_a_length(size: int, data: bytes, whole: bytes) -> None:
    assert expand(chunk(size, data)) == whole


@given(st.binary(max_size=300) | st.builds(chunk, st.integers(1, 65_536), st.binary(min_size=1, max_size=300)))
def test_any_bytes_expand_or_are_corrupt(data: bytes) -> None:
    with suppress(Corrupt):
        assert len(expand(data)) <= MOST


def test_a_small_request_does_not_become_a_large_one() -> None:
    tiny = chunk(65_536, struct.pack("<IcHBBH", 0x40000000, b"a", 7, 15, 255, 65_532))
    assert expand(tiny) == b"a" * 65_536
    with pytest.raises(Corrupt):
        expand(tiny * (MOST // 65_536 + 1))
