"""One record in every form that is written here: the harness's readers make the same event of each."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from harness.errors import Problem
from harness.events import nxlog, windows_xml, winlogbeat
from harness.events.read import read_event, read_events
from harness.events.windows import Level, WindowsEvent
from harness.model.facts import Event
from tests.events.event_builders import connection, engine_available, module_logged, process_created

# What XML can say; and no lone carriage return, which no reader of text files would leave alone either.
TEXT = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc", "Cs"), exclude_characters="\ufffe\uffff", include_characters="\n\t\r")
)
NAMES = st.sampled_from(["Image", "CommandLine", "TargetUserName", "SubjectLogonId", "ContextInfo", "param1", "resourceUri", "LogonGuid"])
RECORDS = st.builds(
    WindowsEvent,
    channel=st.sampled_from(["Security", "Microsoft-Windows-WinRM/Operational", "Microsoft-Windows-PowerShell/Operational"]),
    provider=st.sampled_from(["Microsoft-Windows-Security-Auditing", "Microsoft-Windows-WinRM", "Microsoft-Windows-PowerShell"]),
    provider_guid=st.just("{54849625-5478-4994-A5BA-3E3B0328C30D}"),
    event_id=st.integers(1, 65_535),
    version=st.integers(0, 5),
    level=st.sampled_from(Level),
    task=st.integers(0, 20_000),
    opcode=st.integers(0, 240),
    keywords=st.integers(0, 2**64 - 1),
    record_id=st.integers(1, 2**40),
    created=st.datetimes(datetime(2010, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC)).map(  # noqa: DTZ001 - hypothesis adds the zone
        lambda moment: moment.replace(microsecond=moment.microsecond // 1000 * 1000)  # winlogbeat's times have milliseconds
    ),
    computer=st.sampled_from(["WS1.lab.example", "WS2"]),
    process_id=st.integers(1, 2**31),
    thread_id=st.integers(1, 2**31),
    user_sid=st.none() | st.just("S-1-5-18"),
    activity_id=st.none() | st.just("{1ACA0717-2ACB-0002-C208-CA1ACB2AD601}"),
    data=st.dictionaries(NAMES, TEXT, max_size=5),
    message=TEXT,
)


def stream_of(data: bytes) -> io.BufferedReader:
    return io.BufferedReader(cast(io.RawIOBase, io.BytesIO(data)))


def through_xml(record: WindowsEvent) -> Event:
    ((_, document),) = windows_xml.documents(stream_of(windows_xml.render(record).encode()))
    return read_event(document, "id")


def through_json(render: Callable[[WindowsEvent], dict[str, object]]) -> Callable[[WindowsEvent], Event]:
    return lambda record: read_event(json.loads(json.dumps(render(record))), "id")


FORMS = {"winlogbeat": through_json(winlogbeat.render), "NXLog": through_json(nxlog.render), "XML": through_xml}


def essence(event: Event) -> dict[str, object]:
    """All of an event but the document that it came in; a value that is empty is none, as shippers leave those out."""
    flat = {name: value for name, value in event.flat.items() if value not in ("", None)}
    # Numbered values are unnamed ones to winlogbeat, whatever the publisher called them.
    flat.pop("data", None)
    return {"head": (event.id, event.channel, event.event_id, event.host, event.time, event.provider), "flat": flat}


@given(RECORDS)
@example(process_created(created=datetime(2026, 3, 1, 12, 0, 0, 123000, tzinfo=UTC)))
@example(module_logged())
@settings(max_examples=150)
def test_every_form_reads_as_the_same_event(record: WindowsEvent) -> None:
    record = WindowsEvent(**{name: getattr(record, name) for name in record.__slots__} | {"created": _milliseconds(record.created)})
    read = {name: essence(through(record)) for name, through in FORMS.items()}
    assert read["NXLog"] == read["winlogbeat"]
    assert read["XML"] == read["winlogbeat"]


def _milliseconds(moment: datetime) -> datetime:
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


@pytest.mark.parametrize("name", list(FORMS))
def test_a_connection_keeps_its_fields_in_every_form(name: str) -> None:
    event = FORMS[name](connection())
    record = connection()
    assert {field.lower(): value for field, value in record.data.items() if value}.items() <= event.flat.items()


@pytest.mark.parametrize("name", ["winlogbeat", "XML"])
def test_a_classic_event_keeps_its_strings(name: str) -> None:
    assert FORMS[name](engine_available()).flat["data"] == "\n".join(engine_available().strings)


def test_nxlog_tells_a_classic_event_by_its_message_alone() -> None:
    document = nxlog.render(engine_available())
    assert "ProviderGuid" not in document
    assert nxlog.read(document, "id").flat["data"] == engine_available().message


def test_nxlogs_numbers_are_those_recorded() -> None:
    document = nxlog.render(process_created())
    assert document["Keywords"] == -9214364837600034816
    assert (document["EventType"], document["SeverityValue"], document["Severity"]) == ("AUDIT_SUCCESS", 2, "INFO")
    assert document["EventTime"] == "2026-03-01T12:00:00.123456+00:00"


# --- files of XML ---------------------------------------------------------------------------------------------------------

THREE = [process_created(1), connection(), module_logged(3)]


def bare(texts: list[str]) -> bytes:
    return "".join(texts).encode()


def viewer(texts: list[str]) -> bytes:
    body = "".join(texts)
    return f'<?xml version="1.0" encoding="utf-8" standalone="yes"?>\r\n<Events>{body}</Events>'.encode("utf-8-sig")


def redirected(texts: list[str]) -> bytes:
    return "\r\n".join(texts).encode("utf-16")


def numbered(texts: list[str]) -> bytes:
    pretty = (text.replace("><", ">\n  <") for text in texts)
    return "".join(f'Record {n}\n<?xml version="1.0" encoding="utf-8"?>\n{text}\n' for n, text in enumerate(pretty, 1)).encode()


@pytest.mark.parametrize("written", [bare, viewer, redirected, numbered])
def test_a_file_of_xml_is_read_however_it_was_written(written: Callable[[list[str]], bytes], tmp_path: Path) -> None:
    (tmp_path / "events.xml").write_bytes(written([windows_xml.render(record) for record in THREE]))
    events = list(read_events(tmp_path / "events.xml"))
    assert [event.id for event in events] == ["events.xml:1", "events.xml:2", "events.xml:3"]
    assert [event.event_id for event in events] == [record.event_id for record in THREE]
    assert events[2].flat["contextinfo"] == THREE[2].data["ContextInfo"]  # line ends and all


def test_what_is_broken_is_told_and_the_rest_is_read(tmp_path: Path) -> None:
    good = windows_xml.render(THREE[0])
    file = tmp_path / "events.xml"
    file.write_text(f"<Events>{good}<Event><System></Event>{good}<Event><System/></Event>{good}<Event>")
    broken: list[Problem] = []
    assert [event.id for event in read_events(file, broken.append)] == ["events.xml:1", "events.xml:3", "events.xml:5"]
    assert [problem.line for problem in broken] == [2, 4, 6]


def test_real_line_ends_inside_of_a_value_are_kept() -> None:
    text = windows_xml.render(module_logged()).replace("&#13;", "\r")
    ((_, document),) = windows_xml.documents(stream_of(text.encode()))
    assert read_event(document, "id").flat["contextinfo"] == module_logged().data["ContextInfo"]


def test_no_entity_unfolds(tmp_path: Path) -> None:
    bomb = '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]><Events><Event><System>&b;</System></Event></Events>'
    (tmp_path / "events.xml").write_text(bomb)
    broken: list[Problem] = []
    assert list(read_events(tmp_path / "events.xml", broken.append)) == []
    assert "undefined entity" in broken[0].what


@given(st.binary(max_size=400), st.integers(1, 700))
@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
def test_damaged_xml_is_no_traceback(noise: bytes, cut: int) -> None:
    text = windows_xml.render(process_created()).encode()
    stream = stream_of(text[:cut] + noise + text[cut:])
    found: Iterator[tuple[int, object | ValueError]] = windows_xml.documents(stream)
    for _, document in found:
        if not isinstance(document, ValueError):
            try:
                read_event(document, "id")
            except (ValueError, OverflowError):
                continue
