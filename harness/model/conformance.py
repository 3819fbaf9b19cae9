"""What a comparison of the lab's events with a recording finds. Values only; who finds them and how they are told is not known here."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class EventKind:
    """A kind of event; `channel` in small letters."""

    channel: str
    event_id: int


class Aspect(StrEnum):
    """In what two sides differ."""

    MISSING = "missing"  # recorded, and the lab never has the field
    ADDED = "added"  # always there in the lab, and never recorded
    EMPTY = "empty"  # always filled where it was recorded, never in the lab
    FORM = "form"  # values of another form
    VALUE = "value"  # values outside of what such a field can have
    HEAD = "head"  # a part of System that a kind's publisher fixes
    RELATION = "relation"  # what ties events to each other


class Reason(StrEnum):
    """Why a difference may remain: the closed list."""

    ENVIRONMENT = "environment"  # another Windows or Sysmon, another domain, another way to log on, what a recording covers
    OTHER_SOFTWARE = "other software"  # of the recorded host, or its configuration
    RECORDERS_OWN_FIELD = "recorder's own field"  # the shipper's, not the event's


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One: `lab` and `recorded` say what was seen on each side, `count` on how many recorded events. Without a reason it is a failure."""

    kind: EventKind
    field: str
    aspect: Aspect
    lab: str
    recorded: str
    count: int
    reason: Reason | None
    fact: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KindSeen:
    """How many events of a kind there were on each side, and under which versions."""

    kind: EventKind
    title: str
    lab: int
    recorded: int
    lab_versions: tuple[str, ...]
    recorded_versions: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RelationSeen:
    """A relation between events, and on which sides it was found; `recorded` None where the recording lacks one of its ends."""

    name: str
    lab: bool
    recorded: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Conformance:
    """A whole comparison.

    `compared` are the kinds that both sides have, `not_recorded` those that the lab alone has, `not_emitted` those that the lab does not
    claim to emit, which are no differences. `events` is the number that was read, `broken` that of places that could not be.
    """

    recordings: tuple[str, ...]
    events: int
    broken: int
    compared: tuple[KindSeen, ...]
    not_recorded: tuple[KindSeen, ...]
    not_emitted: tuple[KindSeen, ...]
    relations: tuple[RelationSeen, ...]
    differences: tuple[Difference, ...]

    @property
    def failures(self) -> tuple[Difference, ...]:
        """The differences without a reason."""
        return tuple(one for one in self.differences if one.reason is None)
