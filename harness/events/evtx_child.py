"""The process that parses one EVTX file: standard input in, a line a record out. Started by `evtx.py`, by path.

The parser is native code, and a record with offsets that lead round in a circle keeps it busy for ever, with the interpreter's lock in its
hand: only from outside can it be stopped. This file imports nothing of the harness, so that it starts at once.

A line is `R` and the record as JSON, or `E` and what was wrong with it, or `F` and why the file cannot be read; `.` is the end.
"""

from __future__ import annotations

import io
import sys

_MEMORY = 768 * 1024 * 1024


def main() -> None:
    """Parse standard input, a seekable file."""
    from evtx import PyEvtxParser

    if sys.platform != "win32":
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    out = sys.stdout.buffer
    try:
        found = PyEvtxParser(io.FileIO(0), 1).records_json()
    except (RuntimeError, OSError) as error:
        out.write(b"F" + _line(str(error)))
        return
    while True:
        try:
            record = next(found, None)
        except (RuntimeError, OSError) as error:
            out.write(b"E" + _line(str(error).partition("\n")[0]))
            continue
        if record is None:
            out.write(b".\n")
            return
        out.write(b"R" + _line(record["data"]))


def _line(text: str) -> bytes:
    return text.replace("\n", " ").encode("utf-8", "replace") + b"\n"


if __name__ == "__main__":
    main()
