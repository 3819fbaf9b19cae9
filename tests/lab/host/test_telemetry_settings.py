"""A host whose logging lacks a setting: what depends on it is absent, and nothing else is."""

from __future__ import annotations

import pytest

from harness.events.audit import SETTINGS
from harness.events.windows import WindowsEvent
from lab.host.happenings import CommandRun
from lab.process import AGENT, LabConfig, off_at
from tests.lab.host.telemetry_builders import connection, engine, session, telemetry, wsmprovhost


def story(*off: str) -> list[WindowsEvent]:
    """A small session on a host without these settings."""
    witness, records = telemetry(off=frozenset(off))
    witness.connected(connection())
    running = engine(wsmprovhost(session()))
    witness.logged_on(running.process.logon)
    witness.process_started(running.process)
    witness.engine_started(running)
    witness.commands_run(running, (CommandRun(name="Get-Date", kind="Cmdlet", bindings=(), pipeline_id=1),))
    witness.script_block(running, "Get-Date")
    witness.script_block(running, "Add-Type -AssemblyName System.Web")
    witness.engine_stopped(running)
    witness.process_ended(running.process, 0)
    witness.logged_off(running.process.logon)
    return records


def ids(records: list[WindowsEvent]) -> set[int]:
    return {record.event_id for record in records}


ALL = {1, 3, 5, 400, 403, 600, 800, 4103, 4104, 4624, 4634, 4672, 4688, 4689, 5156, 53504}


def test_a_host_with_everything_logs_everything() -> None:
    assert ids(story()) == ALL


@pytest.mark.parametrize(
    ("name", "gone"),
    [
        ("sysmon", {1, 3, 5}),
        ("sysmon-networkconnect", {3}),
        ("sysmon-processcreate", {1}),
        ("process-creation", {4688}),
        ("process-termination", {4689}),
        ("logon", {4624}),
        ("logoff", {4634}),
        ("special-logon", {4672}),
        ("filtering-platform-connection", {5156}),
        ("module-logging", {4103, 800}),
        ("powershell-log", {4103, 4104, 53504}),
        ("windows-powershell-log", {400, 403, 600, 800}),
        ("registry", set()),
    ],
)
def test_what_depends_on_a_setting_goes_with_it(name: str, gone: set[int]) -> None:
    assert name in SETTINGS
    assert ids(story(name)) == ALL - gone


def test_a_suspicious_script_is_logged_without_being_told_to() -> None:
    texts = [record.data["ScriptBlockText"] for record in story("script-block-logging") if record.event_id == 4104]
    assert texts == ["Add-Type -AssemblyName System.Web"]


def test_command_lines_are_a_setting_of_their_own() -> None:
    (audited,) = (record for record in story("process-creation-command-line") if record.event_id == 4688)
    assert audited.data["CommandLine"] == ""
    assert "-Embedding" not in audited.message
    (audited,) = (record for record in story() if record.event_id == 4688)
    assert audited.data["CommandLine"].endswith("-Embedding")


def test_a_setting_is_off_everywhere_or_at_the_host_that_is_named() -> None:
    config = LabConfig(off=("sysmon", "lab-ws2/agent", "lab-ws2/logon"))
    assert off_at(config, "lab-ws1") == {"sysmon"}
    assert off_at(config, "lab-ws2") == {"sysmon", AGENT, "logon"}
