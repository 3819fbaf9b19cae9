"""Documents as Elasticsearch holds them: the shipper's own with ECS fields beside them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from harness.events import winlogbeat
from harness.events.ingested import ingested
from tests.events.event_builders import process_created

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


def stored(channel: str, event_id: int, provider: str, **data: str) -> dict[str, Any]:
    winlog = {"channel": channel, "computer_name": "WS1.lab.example", "event_id": str(event_id), "provider_name": provider}
    document = {"@timestamp": "2026-03-04T05:06:06.000Z", "winlog": winlog | {"event_data": data}, "event": {"action": "the shipper's"}}
    before = repr(document)
    found = ingested(document, NOW)
    assert repr(document) == before
    assert found["event"]["ingested"] == "2026-03-04T05:06:07.000Z"
    assert found["winlog"]["event_data"] == data
    return found


def test_a_program_has_its_ecs_fields_and_class() -> None:
    found = ingested(winlogbeat.render(process_created(1, created=NOW, image="whoami.exe")), NOW)
    assert found["process"]["name"] == "whoami.exe"
    assert found["event"]["category"] == ["process"]
    assert found["event"]["type"] == ["start"]
    assert found["winlog"]["channel"] == "Security"


def test_the_filtering_platforms_events_have_none() -> None:
    found = stored("Security", 5156, "Microsoft-Windows-Security-Auditing", DestPort="5985", SourceAddress="10.0.0.1")
    assert not {"source", "destination", "network"} & set(found)


def test_an_engines_start_keeps_its_unnamed_strings() -> None:
    found = stored("Windows PowerShell", 400, "PowerShell", param1="Available", param3="\tHostName=ServerRemoteHost\r\n\tRunspaceId=x")
    assert found["process"]["title"] == "ServerRemoteHost"


def test_a_value_in_an_objects_place_stays() -> None:
    document = winlogbeat.render(process_created(1, created=NOW)) | {"process": "odd"}
    assert ingested(document, NOW)["process"] == "odd"


def test_what_is_no_event_is_told() -> None:
    with pytest.raises(ValueError, match="winlog is missing"):
        ingested({"message": "x"}, NOW)
