"""Standard input, output and error as a command needs them: there, and never the reason why a run breaks off.

A run has sent things to targets when the disk that its output goes to is full, the reader of its pipe leaves or its terminal is closed:
it is judged, cleaned up and kept all the same. Other commands end with their reader. It must never know what is written.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import TextIO

from typing_extensions import Buffer

_STANDARD = (0, 1, 2)


class Outlet(io.FileIO):
    """A descriptor that remembers in `lost` what kept it from being written to; nothing is written after that.

    Writing raises OSError then, unless it is `patient`: output then goes nowhere, and what is being done is done to its end.
    """

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor, "wb", closefd=False)
        self.lost: OSError | None = None
        self.patient = False

    def write(self, data: Buffer, /) -> int:
        """As that of a file."""
        if self.lost is None:
            try:
                return super().write(data)
            except OSError as error:
                self.lost = error
                if not self.patient:
                    raise
        return memoryview(data).nbytes


def prepare() -> Outlet | None:
    """Give the process the standard streams that it lacks, and make the output of those that it has safe; where standard output goes.

    None where it is a console of Windows, which has another way in than its descriptor.
    """
    for descriptor in _STANDARD:
        try:
            os.fstat(descriptor)
        except OSError:
            # The lowest one that is free is taken, which is this one: else the next file that is opened would be standard output.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    sys.stdin = sys.stdin or open(0, closefd=False)  # noqa: SIM115 - for as long as the process lives
    sys.stdout, outlet = _safe(sys.stdout, 1)
    sys.stderr, _ = _safe(sys.stderr, 2)
    return outlet


def be_patient() -> None:
    """From now on what is printed may be lost, and the command goes on: for one that sends something, or keeps something."""
    for stream in (sys.stdout, sys.stderr):
        raw = getattr(getattr(stream, "buffer", None), "raw", None)
        if isinstance(raw, Outlet):
            raw.patient = True


def why_lost(outlet: Outlet | None) -> str:
    """Why not all that was printed got there; empty where it did, and where the reader of a pipe left: who leaves has read enough."""
    error = outlet.lost if outlet is not None else None
    if error is None or error.errno == errno.EPIPE:
        return ""
    return f"standard output: cannot be written: {error.strerror or type(error).__name__}"


def _safe(stream: TextIO | None, descriptor: int) -> tuple[TextIO, Outlet | None]:
    if stream is not None and sys.platform == "win32" and stream.isatty():
        return stream, None
    outlet = Outlet(descriptor)
    like = stream if isinstance(stream, io.TextIOWrapper) else None
    safe = io.TextIOWrapper(
        io.BufferedWriter(outlet),
        encoding=like.encoding if like is not None else None,
        errors=like.errors if like is not None else "backslashreplace",
        line_buffering=like.line_buffering if like is not None else False,
    )
    return safe, outlet
