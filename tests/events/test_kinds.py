"""What is known of kinds of events, against what recordings hold."""

from __future__ import annotations

from harness.events.kinds import channel_name, fields_of, provider_of, title_of
from harness.events.read import read_events
from tests.needs import DATA, needs_recordings


def test_channels_are_told_without_regard_to_case() -> None:
    assert channel_name("security") == "Security"
    assert (provider_of("SECURITY"), title_of("security", 4688)) == ("Security auditing", "A new process has been created")
    assert fields_of("Security", 4688) == fields_of("security", 4688)


def test_what_is_not_known_is_said_so() -> None:
    assert (channel_name("Some/Log"), provider_of("Some/Log"), title_of("Some/Log", 1), fields_of("Some/Log", 1)) == (
        "Some/Log",
        "Some/Log",
        "",
        None,
    )
    assert title_of("Security", 1) == ""
    assert fields_of("Security", 4624) is None


@needs_recordings
def test_no_recorded_event_has_a_field_that_its_kind_is_said_not_to_have() -> None:
    seen = set()
    for name in ("empire_psremoting_stager.zip", "covenant_psremoting_command.zip"):
        for event in read_events(DATA / "otrf" / name):
            known = fields_of(event.channel, event.event_id)
            if known is not None:
                seen.add((event.channel.lower(), event.event_id))
                assert {field for field in event.flat if field not in known} == set(), (event.channel, event.event_id)
    assert len(seen) >= 12, sorted(seen)
