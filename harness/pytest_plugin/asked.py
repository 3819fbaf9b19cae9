"""What a test asks of the session's run, and what it is told: values that travel between processes, and cost nothing to import."""

from __future__ import annotations

from dataclasses import dataclass

from harness.model.verdicts import Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """An expectation on a target, as a test asks for it. `file` is its scenario's."""

    file: str
    planned: str
    rule: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A verdict as a test needs it. `text` is the ladder, as the terminal's report has it; `time_to_detect` in seconds.

    `quarantine` says why and until when a gap does not count, where it is under quarantine; else it is empty."""

    outcome: Outcome
    cause: str
    text: str
    time_to_detect: float | None
    quarantine: str
