"""Documents that lie about their form: whatever a field holds, the event is read or a ValueError says why it is not."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.events.ecs import ecs_fields
from harness.events.read import read_event

_TIME = "2026-01-01T00:00:00.000Z"
_DATA = {"UtcTime": "2026-01-01 00:00:00.000", "Image": "C:\\a.exe", "ProcessId": "4", "Hashes": "MD5=1", "Initiated": "true"}
_SYSMON = "Microsoft-Windows-Sysmon"
_CHANNEL = f"{_SYSMON}/Operational"

DOCUMENTS: tuple[dict[str, object], ...] = (
    {"EventID": 1, "Channel": _CHANNEL, "Hostname": "h", "SourceName": _SYSMON, "@timestamp": _TIME, "Message": "m", **_DATA},
    {
        "@timestamp": _TIME,
        "message": "m",
        "process": {"executable": "C:\\a.exe", "pid": 4, "parent": {"pid": 1}},
        "file": {"path": "C:\\b"},
        "user": {"name": "n", "domain": "d"},
        "network": {"direction": "egress"},
        "winlog": {
            "channel": _CHANNEL,
            "computer_name": "h.lab",
            "provider_name": _SYSMON,
            "event_id": "1",
            "process": {"pid": 4},
            "event_data": {**_DATA, "param1": "x"},
        },
    },
    {
        "Event": {
            "System": {
                "Provider": {"#attributes": {"Name": _SYSMON}},
                "EventID": {"#attributes": {"Qualifiers": 0}, "#text": 1},
                "TimeCreated": {"#attributes": {"SystemTime": _TIME}},
                "Execution": {"#attributes": {"ProcessID": 4, "ThreadID": 5}},
                "Channel": _CHANNEL,
                "Computer": "h",
                "Security": {"#attributes": {"UserID": "S-1-5-18"}},
            },
            "EventData": {**_DATA, "Data": {"#text": ["a", "b"]}},
        }
    },
)


def _places(value: object, above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield (*above, name)
            yield from _places(inner, (*above, name))


def _put(document: dict[str, object], place: tuple[str, ...], value: object) -> dict[str, object]:
    changed = copy.deepcopy(document)
    part = changed
    for name in place[:-1]:
        inner = part[name]
        assert isinstance(inner, dict)
        part = inner
    part[place[-1]] = value
    return changed


_ODD = st.one_of(
    st.sampled_from(
        [
            None,
            True,
            -1,
            10**400,
            1.5,
            float("nan"),
            float("inf"),
            "",
            "x",
            "\ud800",
            "9" * 5000,
            "٣",
            "0000-01-01T00:00:00Z",
            "9999-12-31T23:59:59-23:59",
            "0001-01-01T00:00:00+23:59",
            "0001-01-01 00:00:00",
        ]
    ),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=4,
    ),
)


@pytest.mark.parametrize("document", DOCUMENTS, ids=["nxlog", "winlogbeat", "evtx"])
def test_the_document_itself_is_read(document: dict[str, object]) -> None:
    assert read_event(document, "x").event_id == 1


@pytest.mark.parametrize("document", DOCUMENTS, ids=["nxlog", "winlogbeat", "evtx"])
@given(data=st.data())
def test_any_value_anywhere_is_read_or_refused(document: dict[str, object], data: st.DataObject) -> None:
    place = data.draw(st.sampled_from(list(_places(document))))
    changed = _put(document, place, data.draw(_ODD))
    try:
        event = read_event(changed, "x")
    except (ValueError, OverflowError):
        return
    assert event.time.tzinfo is not None
    ecs_fields(event)  # what rules of Elastic's read of it can be made
