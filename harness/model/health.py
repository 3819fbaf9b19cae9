"""What an examination finds of the things that a run depends on. Values only."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Health(StrEnum):
    """How something is."""

    OK = "ok"
    WARNING = "warning"  # a run works, and may say less than it could
    BROKEN = "broken"  # a run cannot work, or would be inconclusive
    UNKNOWN = "unknown"  # it could not be looked at


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at: what it is, how it is, and how to mend it. `seconds` is what was measured, where it is a span."""

    about: str
    health: Health
    what: str
    fix: str = ""
    seconds: float | None = None
