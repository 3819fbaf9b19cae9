"""The client's side of PowerShell's host interface [MS-PSRP 2.2.3.17]: what an interactive session writes to, and cannot read from.

Nobody sits in front of it, so whatever asks is told so at once; a step never hangs on a question. It knows nothing of steps.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import itemgetter
from typing import Any

from pypsrp.complex_objects import Color, Coordinates, Size
from pypsrp.host import PSHost, PSHostRawUserInterface, PSHostUserInterface

from harness.model.facts import StreamKind, StreamRecord

# The size of a console window that Windows opens by default: what Out-Default formats for.
_COLUMNS, _ROWS, _BUFFER_ROWS = 120, 30, 3000

_ERROR_ID = re.compile(r"^\s*\+ FullyQualifiedErrorId\s*: (\S+)")


class Console(PSHostUserInterface):
    """Collects what the target writes to the host."""

    def __init__(self) -> None:
        super().__init__(
            PSHostRawUserInterface(
                window_title="Windows PowerShell",
                cursor_size=25,
                foreground_color=Color(value=Color.DARK_YELLOW),
                background_color=Color(value=Color.DARK_MAGENTA),
                cursor_position=Coordinates(x=0, y=0),
                window_position=Coordinates(x=0, y=0),
                buffer_size=Size(width=_COLUMNS, height=_BUFFER_ROWS),
                max_physical_window_size=Size(width=_COLUMNS, height=_ROWS),
                max_window_size=Size(width=_COLUMNS, height=_ROWS),
                window_size=Size(width=_COLUMNS, height=_ROWS),
            )
        )
        self._told: list[tuple[StreamKind, str]] = []

    def WriteErrorLine(self, runspace: Any, pipeline: Any, message: str) -> None:
        self._told.append((StreamKind.ERROR, message))

    def WriteDebugLine(self, runspace: Any, pipeline: Any, message: str) -> None:
        self._told.append((StreamKind.DEBUG, message))

    def WriteVerboseLine(self, runspace: Any, pipeline: Any, message: str) -> None:
        self._told.append((StreamKind.VERBOSE, message))

    def WriteWarningLine(self, runspace: Any, pipeline: Any, message: str) -> None:
        self._told.append((StreamKind.WARNING, message))

    def take(self) -> tuple[tuple[str, ...], tuple[StreamRecord, ...]]:
        """The lines written since the last call, and the records told."""
        lines = tuple("".join(self.stdout).splitlines())
        records = tuple(_records(self._told))
        self.stdout.clear()
        self._told.clear()
        return lines, records


def _records(told: Iterable[tuple[StreamKind, str]]) -> Iterator[StreamRecord]:
    """The records that were told line by line. An error's display (NormalView) ends with its FullyQualifiedErrorId."""
    for stream, group in groupby(told, itemgetter(0)):
        lines: list[str] = []
        for line in "\n".join(text for _, text in group).splitlines():
            lines.append(line)
            if stream is StreamKind.ERROR and (found := _ERROR_ID.search(line)):
                yield StreamRecord(stream=stream, text="\n".join(lines), error_id=found[1])
                lines = []
        if any(line.strip() for line in lines):
            yield StreamRecord(stream=stream, text="\n".join(lines))


def host(console: Console) -> PSHost:
    """The host that a console application of Windows PowerShell 5.1 announces."""
    return PSHost(None, None, False, "ConsoleHost", None, console, "5.1.19041.1")
