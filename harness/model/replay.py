"""What a replay of recorded events found: values only, as the terminal shows them and JSON has them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from harness.model.intent import Severity

REPLAY_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleName:
    """A rule as a report names it."""

    id: str
    title: str
    source: str
    severity: Severity
    techniques: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """An event as evidence: `id` is `<file>:<line>` (or record number), `time` the target's clock."""

    id: str
    time: datetime
    host: str
    channel: str
    event_id: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleHits:
    """The events that one rule matched. `samples` are the first of them; `first` and `last` are by the events' own time."""

    rule: RuleName
    count: int
    first: datetime
    last: datetime
    hosts: dict[str, int]
    samples: tuple[Sample, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """Something that was not read: a line of a recording, a rule that is not evaluable. `line` and `column` are 0 where unknown."""

    path: str
    line: int
    column: int
    what: str
    fix: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Nearest:
    """Why a rule matched nothing: the event that came closest, and each clause that kept the rule from matching it.

    `event` is None, and `clauses` empty, where the rule did match, or where no event was of a kind that it reads; `note` says which.
    """

    rule: RuleName
    event: Sample | None
    clauses: tuple[str, ...]
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """One replay. `version` is the version of this document's shape.

    `hits` are the rules with a match, most severe first; `quiet` those without. `not_evaluated` are rules that were not asked, or not to
    the end, each with the reason. `broken` names the first of the `broken_count` places that could not be read. `normalisations` say
    what was changed in the events before the rules saw them.
    """

    version: Literal[1] = 1
    recordings: tuple[str, ...]
    events: int
    normalisations: tuple[str, ...]
    hits: tuple[RuleHits, ...]
    quiet: tuple[RuleName, ...]
    not_evaluated: tuple[LeftOut, ...]
    broken_count: int
    broken: tuple[LeftOut, ...]
    why: tuple[Nearest, ...]
