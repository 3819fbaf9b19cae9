"""NXLog's form: the event's own fields, told from the shipper's, and its time out of clocks without a zone."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from harness.events import nxlog

NXLOG: dict[str, object] = {
    "EventID": 4688,
    "Channel": "security",
    "SourceName": "Microsoft-Windows-Security-Auditing",
    "ProviderGuid": "{54849625-5478-4994-A5BA-3E3B0328C30D}",
    "Hostname": "WORKSTATION6.theshire.local",
    "EventTime": "2020-09-20 17:09:11",
    "EventReceivedTime": "2020-09-20 17:09:31",
    "@timestamp": "2020-09-20T21:09:31.869Z",
    "ExecutionProcessID": 4,
    "ThreadID": 212,
    "RecordNumber": 7848,
    "Keywords": -9214364837600034816,
    "EventType": "AUDIT_SUCCESS",
    "Severity": "INFO",
    "Task": 13312,
    "host": "wec.internal.cloudapp.net",
    "port": 64545,
    "tags": ["mordorDataset"],
    "@version": "1",
    "NewProcessId": "0x1d74",
    "ProcessId": "0x4f8",
    "Message": "A new process has been created.",
}
EXPORT: dict[str, object] = {
    "EventID": 5156,
    "Channel": "Security",
    "SourceName": "Microsoft-Windows-Security-Auditing",
    "ProviderGuid": "{54849625-5478-4994-a5ba-3e3b0328c30d}",
    "Hostname": "WORKSTATION5",
    "TimeCreated": "2020-10-23T02:36:43.764Z",
    "@timestamp": "2020-10-23T02:36:44.764Z",
    "Level": "0",
    "ProcessID": "4584",
    "DestPort": "1900",
}


def test_event() -> None:
    event = nxlog.read(NXLOG, "f:1")
    assert (event.id, event.channel, event.event_id, event.host) == ("f:1", "security", 4688, "workstation6")
    assert event.provider == "Microsoft-Windows-Security-Auditing"
    assert event.raw is NXLOG


def test_flat_holds_the_events_own_fields_alone() -> None:
    assert nxlog.read(NXLOG, "f:1").flat == {
        "channel": "security",
        "eventid": 4688,
        "provider_name": "Microsoft-Windows-Security-Auditing",
        "computer": "WORKSTATION6.theshire.local",
        "hostname": "WORKSTATION6.theshire.local",
        "message": "A new process has been created.",
        "execution_process_id": 4,
        "newprocessid": "0x1d74",
        "processid": "0x4f8",
    }


PROCESS_IDS = [
    ({"ExecutionProcessID": 4, "ProcessId": "0x4f8"}, "0x4f8", 4),
    ({"ProcessID": 3440, "ProcessId": "3336"}, "3336", 3440),  # NXLog's older name for its own, and EventData's, in one document
    ({"ProcessId": "3336", "ProcessID": 3440}, "3336", 3440),
    ({"ProcessID": 3440}, None, 3440),
    ({"ProcessID": "4584"}, "4584", None),  # 5156 names its own field so
    ({"ExecutionProcessID": 0}, None, None),  # a classic provider logs none
]


@pytest.mark.parametrize(("fields", "own", "shippers"), PROCESS_IDS)
def test_process_ids_are_not_confused(fields: dict[str, object], own: str | None, shippers: int | None) -> None:
    bare = {name: value for name, value in NXLOG.items() if "ProcessI" not in name}
    flat = nxlog.read(bare | fields, "x").flat
    assert (flat.get("processid"), flat.get("execution_process_id")) == (own, shippers)


EVENT_TYPES = [
    ({"EventType": "INFO"}, None),
    ({"EventType": "AUDIT_FAILURE"}, None),
    ({"EventType": "SetValue", "EventTypeOrignal": "INFO"}, "SetValue"),
    ({"EventType": "INFO", "EventTypeOrignal": "SetValue"}, "SetValue"),
    ({"EventType": "SetValue"}, "SetValue"),
    ({"EventTypeOrignal": "INFO"}, None),
]


@pytest.mark.parametrize(("fields", "event_type"), EVENT_TYPES)
def test_event_type_is_the_events_own(fields: dict[str, object], event_type: str | None) -> None:
    bare = {name: value for name, value in NXLOG.items() if name != "EventType"}
    assert nxlog.read(bare | fields, "x").flat.get("eventtype") == event_type


TIMES = [
    # 20 s from the event to its receipt: the zone is that of the receipt, and so four hours to the second.
    ({}, datetime(2020, 9, 20, 21, 9, 11, tzinfo=UTC)),
    ({"EventReceivedTime": None}, datetime(2020, 9, 20, 21, 9, 11, tzinfo=UTC)),
    # An event that lay about for half an hour: its receipt tells the zone all the same.
    ({"EventTime": "2020-09-20 16:39:11"}, datetime(2020, 9, 20, 20, 39, 11, tzinfo=UTC)),
    ({"@timestamp": "2020-09-20T11:24:31.869Z"}, datetime(2020, 9, 20, 11, 24, 11, tzinfo=UTC)),  # India: +5:45 to the east of UTC
    ({"EventTime": "2020-09-20 17:09:11+02:00"}, datetime(2020, 9, 20, 15, 9, 11, tzinfo=UTC)),
    # As NXLog itself writes: no time in UTC at all, with a zone and without.
    ({"@timestamp": None, "EventTime": "2020-09-20T17:09:11.5+02:00"}, datetime(2020, 9, 20, 15, 9, 11, 500000, tzinfo=UTC)),
    ({"@timestamp": None}, datetime(2020, 9, 20, 17, 9, 11, tzinfo=UTC)),
    ({"EventTime": None}, datetime(2020, 9, 20, 21, 9, 31, 869000, tzinfo=UTC)),
    ({"UtcTime": "2020-09-20 21:09:08.580"}, datetime(2020, 9, 20, 21, 9, 11, tzinfo=UTC)),
    (
        {"SourceName": "Microsoft-Windows-Sysmon", "UtcTime": "2020-09-20 21:09:08.580"},
        datetime(2020, 9, 20, 21, 9, 8, 580000, tzinfo=UTC),
    ),
]


@pytest.mark.parametrize(("fields", "time"), TIMES)
def test_time(fields: dict[str, object], time: datetime) -> None:
    document = {name: value for name, value in (NXLOG | fields).items() if value is not None}
    assert nxlog.read(document, "x").time == time


def test_an_export_tells_its_time_in_utc() -> None:
    assert nxlog.read(EXPORT, "x").time == datetime(2020, 10, 23, 2, 36, 43, 764000, tzinfo=UTC)


def test_a_classic_events_message_stands_for_its_strings() -> None:
    classic = {name: value for name, value in NXLOG.items() if name != "ProviderGuid"}
    flat = nxlog.read(classic, "x").flat
    assert flat["data"] == flat["message"]
    assert "data" not in nxlog.read(NXLOG, "x").flat


def test_a_document_without_a_message() -> None:
    flat = nxlog.read({name: value for name, value in NXLOG.items() if name != "Message"}, "x").flat
    assert "message" not in flat


@pytest.mark.parametrize("lacking", ["Channel", "Hostname", "SourceName", "@timestamp"])
def test_says_what_a_document_lacks(lacking: str) -> None:
    with pytest.raises(ValueError, match=lacking):
        nxlog.read({name: value for name, value in NXLOG.items() if name not in (lacking, "EventTime")}, "x")
