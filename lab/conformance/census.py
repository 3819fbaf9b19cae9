"""A census of a stream of events: which kinds there are, which fields each has, how their values are written, which relations hold.

It keeps no event: memory grows with the kinds and fields of a stream and has a bound for each. Both sides of a comparison go through it.
It must never know which side it counts.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from harness.events.head import head_of, shipper_of
from harness.model.conformance import EventKind
from harness.model.facts import Event
from lab.conformance.forms import Form, form_of
from lab.conformance.relations import RELATIONS, Ends

_MOST_KINDS = 5_000
_MOST_FIELDS = 400
_MOST_VALUES = 40
_LONGEST_VALUE = 80

_NOT_OWN = frozenset(["channel", "eventid", "provider_name", "computer", "hostname", "message", "data", "execution_process_id"])
"""What `Event.flat` has beside the event's own fields."""

_NUMBERED = re.compile(r"param[0-9]+")
_LINE = re.compile(r"[ \t]*([A-Za-z]+(?: [A-Za-z]+)*) ?= ?(.*)")
"""A line of the texts that PowerShell makes of its context: a name, an equals sign, a value. What else stands in them is no field."""

LINED = ("data", "contextinfo")
"""The texts whose lines are fields: a classic event's strings, as `data`, and what 4103 says of its engine."""

_MOST_LINES = 100


@dataclass(slots=True)
class FieldSeen:
    """What was seen of one field: on how many events, with how many values that say something, in which forms and with which values."""

    present: int = 0
    forms: Counter[Form] = field(default_factory=Counter)
    values: Counter[str] = field(default_factory=Counter)

    def take(self, value: str) -> None:
        """Count a value. Only the first different ones are kept."""
        self.present += 1
        self.forms[form_of(value)] += 1
        short = value[:_LONGEST_VALUE]
        if short in self.values or len(self.values) < _MOST_VALUES:
            self.values[short] += 1

    @property
    def filled(self) -> int:
        """How many of them say something."""
        return self.present - self.forms[Form.NONE]

    @property
    def main(self) -> Form:
        """The form of most values."""
        return self.forms.most_common(1)[0][0]

    def sample(self, only: Collection[Form] = ()) -> str:
        """A value that says something, of one of these forms where there is one."""
        said = [value for value in self.values if form_of(value) is not Form.NONE]
        return next((value for value in said if form_of(value) in only), next(iter(said), ""))


@dataclass(slots=True)
class KindCensus:
    """What was seen of one kind. `fields` by their names in small letters; `head` by the parts that `harness.events.head` names."""

    count: int = 0
    fields: dict[str, FieldSeen] = field(default_factory=dict)
    head: dict[str, FieldSeen] = field(default_factory=dict)

    @property
    def versions(self) -> tuple[str, ...]:
        """The versions of the event that were seen."""
        seen = self.head.get("version")
        return tuple(sorted(seen.values)) if seen is not None else ()


class Census:
    """Takes events one by one. `kinds` has what was seen, `ends` what relations could be told by, `events` how many there were, `shippers`
    who wrote them."""

    def __init__(self) -> None:
        self.kinds: dict[EventKind, KindCensus] = {}
        self.ends = Ends(RELATIONS)
        self.events = 0
        self.shippers: set[str] = set()

    def take(self, event: Event) -> None:
        """Count an event."""
        self.events += 1
        kind = EventKind(channel=event.channel.lower(), event_id=event.event_id)
        seen = self.kinds.get(kind)
        if seen is None:
            if len(self.kinds) >= _MOST_KINDS:
                return
            seen = self.kinds[kind] = KindCensus()
        seen.count += 1
        self.shippers.add(shipper_of(event))
        head = head_of(event)
        values = dict(fields_of(event, is_classic="guid" not in head))
        _count(seen.fields, values)
        _count(seen.head, {"provider": event.provider} | head)
        self.ends.take(kind, event.host, values | {f"@{name}": value for name, value in head.items()})


def census(events: Iterable[Event]) -> Census:
    """What all of these events look like."""
    counted = Census()
    for event in events:
        counted.take(event)
    return counted


def fields_of(event: Event, *, is_classic: bool) -> Iterator[tuple[str, str]]:
    """The event's own fields and, of PowerShell's texts, their lines: `data.hostid` of a classic event, `contextinfo.host id` of 4103.

    A classic event is one whose provider has no GUID. Its strings have no names and come as one text in every form; the numbered names that
    some shippers give them are none either.
    """
    for name, value in event.flat.items():
        if name in _NOT_OWN or (is_classic and _NUMBERED.fullmatch(name)):
            continue
        text = _text(value)
        yield name, text
        if name in LINED:
            yield from _lines(name, text)
    if is_classic and "data" in event.flat:
        yield from _lines("data", _text(event.flat["data"]))


def _lines(name: str, text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines()[:_MOST_LINES]:
        if found := _LINE.fullmatch(line):
            yield f"{name}.{found[1].lower()}", found[2].strip()


def _text(value: object) -> str:
    if isinstance(value, list):
        return " ".join(map(str, value))
    return "" if value is None else str(value)


def _count(into: dict[str, FieldSeen], values: Mapping[str, str]) -> None:
    for name, value in values.items():
        if name in into or len(into) < _MOST_FIELDS:
            into.setdefault(name, FieldSeen()).take(value)
