"""The one place where time is read and waited for."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from threading import Event


class SystemClock:
    """The machine's clock, as the `Clock` port wants it."""

    def now(self) -> datetime:
        """The time of day, aware, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds that never go back, from an arbitrary start."""
        return time.monotonic()

    def wait(self, seconds: float, until: Event | None = None) -> bool:
        """Wait for `seconds`, or until the event is set; True where it is set."""
        if until is not None:
            return until.wait(seconds)
        time.sleep(max(0.0, seconds))
        return False
