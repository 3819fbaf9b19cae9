"""Reads a recorded session of ../shared/data for tests: which of NXLog's fields are Windows', and the events of the target host."""

from __future__ import annotations

import json
import zipfile
from functools import cache

from tests.needs import DATA, need

# What NXLog adds, and what it takes from <System> rather than from <EventData>.
_OF_THE_ENVELOPE = (
    "tags @version @timestamp host port EventTime EventReceivedTime SourceModuleName SourceModuleType Severity SeverityValue Category "
    "Opcode EventType Hostname Channel EventID Keywords Version Task OpcodeValue RecordNumber ProviderGuid SourceName "
    "ExecutionProcessID ThreadID Message AccountType AccountName Domain UserID ActivityID ERROR_EVT_UNRESOLVED"
)
_NOT_EVENT_DATA = frozenset(_OF_THE_ENVELOPE.split())

Recorded = dict[str, object]


@cache
def recorded(name: str) -> tuple[Recorded, ...]:
    """The events of WORKSTATION6, the session's target, in one recording. Skips the test where the data is absent."""
    need("recordings")
    with zipfile.ZipFile(DATA / "otrf" / name) as archive:
        lines = archive.read(archive.namelist()[0]).decode("utf-8").splitlines()
    events = (json.loads(line) for line in lines)
    return tuple(event for event in events if str(event["Hostname"]).startswith("WORKSTATION6"))


def find(name: str, event_id: int, text: str = "") -> Recorded:
    """The first event of this id in which `text` stands."""
    for event in recorded(name):
        if event["EventID"] == event_id and text in json.dumps(event):
            return event
    raise AssertionError(f"{name} has no event {event_id} with {text!r}")


def event_data(event: Recorded) -> dict[str, str]:
    """The event's own data, as NXLog kept it."""
    return {name: str(value) for name, value in event.items() if name not in _NOT_EVENT_DATA}
