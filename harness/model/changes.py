"""What became of expectations from one run to another."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from harness.model.verdicts import Verdict


class ChangeKind(StrEnum):
    """In which way an expectation's verdict is another one; gravest first."""

    BROKEN = "broken"  # it was met and is not, or can no longer be judged
    CHANGED = "changed"  # another outcome, met before as little as after
    SLOWER = "slower"
    MENDED = "mended"
    NEW = "new"
    GONE = "gone"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """An expectation whose verdict is another one, with what the two reports know of why, likeliest first.

    `before` is None where it is new, `after` where it is gone.
    """

    kind: ChangeKind
    before: Verdict | None
    after: Verdict | None
    causes: tuple[str, ...] = ()
