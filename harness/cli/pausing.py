"""`--pause-on-failure`: after a gap somebody may look around before the target is used again."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from threading import Event, Thread
from typing import TYPE_CHECKING

from harness.core.cover import GAPS
from harness.core.record import recorded
from harness.errors import Problem, UsageError
from harness.model.report import Judged, Progress
from harness.reports.console import styled
from harness.reports.look import where_to_look

if TYPE_CHECKING:
    from rich.console import Console

    from harness.model.intent import Rule
    from harness.model.verdicts import Verdict
    from harness.ports import Clock


class PauseOnFailure:
    """Stops at every gap, says where to look, and goes on when Enter is pressed or the run is interrupted.

    Raises `UsageError` now where nobody is there to press it. `quiet` makes whatever moves on the console stand still.
    """

    def __init__(self, console: Console, rules: Mapping[str, Rule], quiet: Callable[[], None], cancel: Event, clock: Clock) -> None:
        if not sys.stdin.isatty():
            raise UsageError(Problem(path="--pause-on-failure", what="needs somebody at a terminal", fix="leave it away where none is"))
        self._console = console
        self._rules = rules
        self._quiet = quiet
        self._cancel = cancel
        self._clock = clock

    def see(self, progress: Progress) -> None:
        """Pause at a verdict that is a gap."""
        if not isinstance(progress, Judged) or progress.verdict.outcome not in GAPS or self._cancel.is_set():
            return
        self._quiet()
        self._say(progress.verdict)
        self._wait()

    def _say(self, verdict: Verdict) -> None:
        what = f"{verdict.outcome.value} {verdict.expectation.rule} at {verdict.planned}"
        self._console.print(styled(("Paused: ", "bold yellow"), (what, "")))
        self._console.print(styled((f"  {verdict.cause}", "")))
        record = next(iter(recorded([verdict], self._rules)), None)
        for name, line in where_to_look(verdict, record):
            self._console.print(styled((f"  {name}: ", "bright_black"), (line, "")), soft_wrap=True)
        self._console.print(styled(("  The session is closed and its target waits. Enter goes on, Ctrl-C ends the run.", "bold")))

    def _wait(self) -> None:
        """Reading cannot be broken off on every system, so that a thread does it; one that still reads dies with the process."""
        entered = Event()

        def read() -> None:
            sys.stdin.readline()
            entered.set()

        Thread(target=read, name="Enter", daemon=True).start()
        while not (entered.is_set() or self._cancel.is_set()):
            self._clock.wait(0.1, entered)
