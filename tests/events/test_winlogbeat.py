"""Winlogbeat's form: what is shipped for a record, and that reading it gives the record back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.events import winlogbeat
from harness.events.windows import WindowsEvent
from tests.events.event_builders import CREATED, connection, engine_available, module_logged, process_created

EVERY_KIND = [process_created(), engine_available(), module_logged(), connection()]


def part(document: Mapping[str, object], path: str) -> object:
    value: object = document
    for name in path.split("."):
        assert isinstance(value, dict)
        value = value.get(name)
    return value


# As winlogbeat's own module tests show them, but for the line ends: elastic/beats, x-pack/winlogbeat/module/*/test/testdata/collection.
SHIPPED = [
    (process_created(), "@timestamp", "2026-03-01T12:00:00.123Z"),
    (process_created(), "event.code", "4688"),
    (process_created(), "event.kind", "event"),
    (process_created(), "event.provider", "Microsoft-Windows-Security-Auditing"),
    (process_created(), "event.action", "Process Creation"),
    (process_created(), "event.outcome", "success"),
    (replace(process_created(), keywords=0x8010000000000000), "event.outcome", "failure"),
    (process_created(), "host.name", "WS1.lab.example"),
    (process_created(), "log.level", "information"),
    (process_created(), "message", "A new process has been created."),
    (process_created(), "winlog.event_id", "4688"),
    (process_created(), "winlog.record_id", 1),
    (process_created(), "winlog.keywords", ["Audit Success"]),
    (process_created(), "winlog.opcode", "Info"),
    (process_created(), "winlog.version", 2),
    (process_created(), "winlog.process", {"pid": 4, "thread": {"id": 212}}),
    (process_created(), "winlog.user", None),
    (process_created(), "winlog.event_data.CommandLine", None),
    (process_created(), "winlog.event_data.TargetUserName", "-"),
    (engine_available(), "winlog.event_data.param1", "Available"),
    (engine_available(), "winlog.event_data.param2", "None"),
    (engine_available(), "winlog.keywords", ["Classic"]),
    (engine_available(), "winlog.task", "Engine Lifecycle"),
    (engine_available(), "winlog.provider_guid", None),
    (engine_available(), "winlog.process", None),
    (engine_available(), "event.outcome", None),
    (module_logged(), "winlog.activity_id", "{1ACA0717-2ACB-0002-C208-CA1ACB2AD601}"),
    (module_logged(), "winlog.opcode", "To be used when operation is just executing a method"),
    (module_logged(), "winlog.task", "Executing Pipeline"),
    (module_logged(), "winlog.user.identifier", "S-1-5-21-1-2-3-1000"),
    (module_logged(), "winlog.keywords", None),
    (module_logged(), "winlog.event_data.ContextInfo", "        Host Name = ServerRemoteHost\r\n"),
    (module_logged(), "message", None),
    (connection(), "winlog.task", "Network connection detected (rule: NetworkConnect)"),
]


@pytest.mark.parametrize(("event", "path", "value"), SHIPPED)
def test_shipped(event: WindowsEvent, path: str, value: object) -> None:
    assert part(winlogbeat.render(event), path) == value


@pytest.mark.parametrize("event", EVERY_KIND, ids=lambda event: event.event_id)
def test_round_trip_through_json(event: WindowsEvent) -> None:
    document = json.loads(json.dumps(winlogbeat.render(event)))
    read = winlogbeat.read(document, "id-1")
    assert (read.id, read.channel, read.event_id, read.provider) == ("id-1", event.channel, event.event_id, event.provider)
    assert read.host == "ws1"
    assert read.raw == document
    for name, value in event.data.items():
        assert read.flat.get(name.lower()) == (value or None)
    assert read.flat["channel"] == event.channel
    assert read.flat["eventid"] == event.event_id
    assert read.flat["computer"] == read.flat["hostname"] == "WS1.lab.example"
    assert read.flat["provider_name"] == event.provider
    assert read.flat.get("execution_process_id") == event.process_id


def test_classic_events_have_their_strings_as_one_value() -> None:
    event = engine_available()
    flat = winlogbeat.read(winlogbeat.render(event), "x").flat
    assert flat["data"] == "\n".join(event.strings)
    assert flat["message"] == event.message


def test_unnamed_strings_are_joined_by_number_not_by_name() -> None:
    event = replace(engine_available(), strings=tuple(f"s{number}" for number in range(1, 13)))
    assert winlogbeat.read(winlogbeat.render(event), "x").flat["data"] == "\n".join(event.strings)


def test_an_event_with_named_values_has_no_data() -> None:
    assert "data" not in winlogbeat.read(winlogbeat.render(process_created()), "x").flat


def test_sysmon_time_is_when_it_happened() -> None:
    assert winlogbeat.read(winlogbeat.render(connection()), "x").time == datetime(2026, 3, 1, 11, 59, 57, 580000, tzinfo=UTC)


@pytest.mark.parametrize("utc_time", ["-", "yesterday"])
def test_time_is_when_it_was_logged_where_sysmon_tells_none(utc_time: str) -> None:
    document = winlogbeat.render(replace(connection(), data={"UtcTime": utc_time}))
    assert winlogbeat.read(document, "x").time == CREATED.replace(microsecond=123000)


def test_a_field_named_as_sysmons_does_not_tell_the_time_of_another_provider() -> None:
    document = winlogbeat.render(replace(process_created(), data={"UtcTime": "1999-01-01 00:00:00.000"}))
    assert winlogbeat.read(document, "x").time == CREATED.replace(microsecond=123000)


def test_reads_what_winlogbeat_ships_to_the_hundred_nanoseconds() -> None:
    document = winlogbeat.render(process_created()) | {"@timestamp": "2020-05-14T07:00:30.8914235Z"}
    assert winlogbeat.read(document, "x").time == datetime(2020, 5, 14, 7, 0, 30, 891423, tzinfo=UTC)


def test_field_values_of_any_form_are_kept() -> None:
    document = winlogbeat.render(process_created())
    winlog = document["winlog"]
    assert isinstance(winlog, dict)
    winlog["event_data"] = {"Number": 5985, "Many": ["a", 1], "None": None, "Deep": {"a": 1}}
    flat = winlogbeat.read(document, "x").flat
    assert (flat["number"], flat["many"], flat["none"], flat["deep"]) == (5985, ["a", "1"], None, "{'a': 1}")


@pytest.mark.parametrize(
    ("computer", "host"), [("WS1", "ws1"), ("WS1.lab.example", "ws1"), ("10.0.5.7", "10.0.5.7"), ("FE80::1", "fe80::1")]
)
def test_short_host_name(computer: str, host: str) -> None:
    assert winlogbeat.read(winlogbeat.render(process_created(computer=computer)), "x").host == host


@pytest.mark.parametrize("lacking", ["channel", "computer_name", "event_id", "provider_name"])
def test_says_what_a_document_lacks(lacking: str) -> None:
    document = winlogbeat.render(process_created())
    winlog = document["winlog"]
    assert isinstance(winlog, dict)
    del winlog[lacking]
    with pytest.raises(ValueError, match=lacking):
        winlogbeat.read(document, "x")


def test_a_time_without_a_zone_is_refused() -> None:
    document = winlogbeat.render(process_created()) | {"@timestamp": "2020-05-14T07:00:30"}
    with pytest.raises(ValueError, match="no zone"):
        winlogbeat.read(document, "x")


@given(
    data=st.dictionaries(st.from_regex(r"[A-Z][A-Za-z]{0,9}", fullmatch=True), st.text(), max_size=6),
    created=st.datetimes(min_value=datetime(1999, 1, 1), max_value=datetime(2100, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    zone=st.integers(-12, 14),
)
def test_named_values_and_times_survive(data: dict[str, str], created: datetime, zone: int) -> None:
    own = {name: value for name, value in data.items() if name.lower() not in ("message", "channel", "computer", "hostname", "eventid")}
    event = replace(process_created(), data=own, created=created.astimezone(timezone(timedelta(hours=zone))), message="")
    read = winlogbeat.read(json.loads(json.dumps(winlogbeat.render(event))), "x")
    assert timedelta(0) <= created - read.time < timedelta(milliseconds=1)
    for name in {name.lower() for name in own}:
        values = [value for other, value in own.items() if other.lower() == name and value]
        assert read.flat[name] in values if values else name not in read.flat
