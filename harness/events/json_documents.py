"""JSON documents of a stream: a line each, as shippers write them; or printed over several lines; or the elements of one array.

Told apart by how the stream begins; streamed, and bounded by the longest document. This file must not know what a document means.
"""

from __future__ import annotations

import codecs
import io
import json
import re
from collections.abc import Iterator

LONGEST = 16 * 1024 * 1024
"""Bytes of one document. Windows cuts a message at 31,839 characters: a document of this length is no event."""

_CHUNK = 8 * 1024
"""Bytes that are read at once: an error in JSON costs a walk over all that was read."""
_HEAD = 512
_TOKEN = 16
"""Characters: no token of JSON but a string is longer, so that one which was cut off begins within so many of the end."""

_SEVERAL_LINES = re.compile(rb"(\xef\xbb\xbf)?\s*(Record \d+\s+)?(\[|\{[ \t]*\r?\n)")
"""How a stream begins that is not one document a line: with an array, or with a brace that its line does not close.

`evtx_dump` writes a line with the record's number above each."""

_BETWEEN = re.compile(r"(?:[\s,\[\]]|Record \d+\n)*")
_NEXT = re.compile(r"(?<=\n)\{")


def begins(stream: io.BufferedReader) -> bool:
    """Whether it may hold documents at all, as far as its beginning tells. An empty one holds none, and nothing else."""
    head = stream.peek(_HEAD)[:_HEAD].removeprefix(b"\xef\xbb\xbf").lstrip()
    return not head or head.startswith((b"{", b"[")) or _SEVERAL_LINES.match(head) is not None


def documents(stream: io.BufferedReader) -> Iterator[tuple[int, object | ValueError]]:
    """The line on which each document begins, from 1, and the document, or the ValueError that says why there is none.

    Blank lines are passed over. After a document that is broken, reading goes on with the next line, or, where documents have several, with
    the next one that begins with a brace.
    """
    return by_line(stream) if is_by_line(stream) else _over_lines(stream)


def is_by_line(stream: io.BufferedReader) -> bool:
    """Whether each line is a document by itself, as far as the stream's beginning tells."""
    return _SEVERAL_LINES.match(stream.peek(_HEAD)[:_HEAD]) is None


def by_line(stream: io.BufferedReader, before: int = 0) -> Iterator[tuple[int, object | ValueError]]:
    """The documents of a stream that has one a line, or of a part of it, `before` which there are so many lines."""
    number = before
    while line := stream.readline(LONGEST):
        number += 1
        if len(line) == LONGEST and not line.endswith(b"\n"):
            while line and not line.endswith(b"\n"):
                line = stream.readline(LONGEST)
            yield number, ValueError(f"the line is longer than {LONGEST // 1024**2} MiB")
        elif line.strip():
            try:
                document = json.loads(line)
            except (ValueError, RecursionError) as error:
                yield number, ValueError(str(error))
            else:
                yield number, document


def _over_lines(stream: io.BufferedReader) -> Iterator[tuple[int, object | ValueError]]:
    text, decoder = _Text(stream), json.JSONDecoder()
    while text.skip(_BETWEEN):
        try:
            document, end = decoder.raw_decode(text.left, text.at)
        except json.JSONDecodeError as error:
            if not _may_be_cut_off(error, text) or not text.grow():
                yield text.line, ValueError(error.msg)
                text.to_next(_NEXT)
        except RecursionError as error:
            yield text.line, ValueError(str(error))
            text.to_next(_NEXT)
        else:
            yield text.line, document
            text.go(end)


def _may_be_cut_off(error: json.JSONDecodeError, text: _Text) -> bool:
    """Whether more of the stream might mend it: a fault that lies before what was read last is one whatever follows."""
    return len(text.left) - text.at < LONGEST and (error.msg.startswith("Unterminated string") or error.pos >= len(text.left) - _TOKEN)


class _Text:
    """What was read of a stream: `left`, used up to `at`, which is on line `line`."""

    def __init__(self, stream: io.BufferedReader) -> None:
        self._stream = stream
        self._decode = codecs.getincrementaldecoder("utf-8-sig")("replace").decode
        self._ended = False
        self.left = ""
        self.at = 0
        self.line = 1

    def grow(self) -> bool:
        """Read as much again as is not used, so that a long document is tried few times; False at the stream's end."""
        if self._ended:
            return False
        data = self._stream.read(max(_CHUNK, len(self.left) - self.at))
        self._ended = not data
        self.left = self.left[self.at :] + self._decode(data, final=self._ended)
        self.at = 0
        return True

    def go(self, to: int) -> None:
        """Use what stands before `to`."""
        self.line += self.left.count("\n", self.at, to)
        self.at = to

    def skip(self, what: re.Pattern[str]) -> bool:
        """Go behind all that fits; False where the stream ends there."""
        while True:
            match = what.match(self.left, self.at)
            assert match is not None
            self.go(match.end())
            if self.at < len(self.left):
                return True
            if not self.grow():
                return False

    def to_next(self, what: re.Pattern[str]) -> None:
        """Go to the next place behind this one that fits, or to the stream's end."""
        while (match := what.search(self.left, self.at + 1)) is None:
            self.go(max(self.at, len(self.left) - 1))  # the last character read may be the line end before the place
            if not self.grow():
                self.go(len(self.left))
                return
        self.go(match.start())
