"""The same happening gives the same record: recorded events of a real session against ours, field by field.

Each test takes what happened from the recording (who, which process, which port) and asks for our record of it.
"""

from __future__ import annotations

import dataclasses
import re
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from lab.host.happenings import Binding, CommandRun, Engine, FileCreation, Image, LogonSession, Process
from lab.host.telemetry import powershell, security, sysmon
from lab.host.telemetry.audit_texts import audit_text
from lab.host.telemetry.journal import Entry
from lab.machine import Account, Package
from tests.lab.host.recordings import Recorded, event_data, find, recorded
from tests.lab.host.telemetry_builders import ORIGIN, SYSTEM, SYSTEM_SESSION, connection

CMD = "covenant_psremoting_command.zip"
EMP = "empire_psremoting_stager.zip"
USER = Account(domain="THESHIRE", name="pgustavo", sid="S-1-5-21-1363495622-3806888128-621328882-1104")
MACHINE = Account(domain="THESHIRE", name="WORKSTATION6$", sid="S-1-5-18")


def text(event: Recorded, name: str) -> str:
    return str(event[name])


def utc(event: Recorded) -> datetime:
    return datetime.fromisoformat(text(event, "UtcTime")).replace(tzinfo=UTC)


def braced(value: object) -> UUID:
    return UUID(str(value).strip("{}"))


def happened(name: str = CMD) -> tuple[Process, LogonSession]:
    """The recorded wsmprovhost.exe, made a Process from Sysmon's record of it, and its logon from Security's."""
    created = find(name, 1, "wsmprovhost.exe -Embedding")
    audited = find(name, 4688, "wsmprovhost.exe -Embedding")
    logged_on = find(name, 4624, text(created, "LogonId"))
    logon = LogonSession(
        logon_id=int(text(created, "LogonId"), 16),
        account=dataclasses.replace(USER, sid=text(logged_on, "TargetUserSid")),
        logon_type=3,
        package=Package.KERBEROS,
        created=utc(created),
        guid=braced(logged_on["LogonGuid"]),
    )
    svchost = Process(
        pid=int(text(created, "ParentProcessId")),
        path=text(created, "ParentImage"),
        command_line=text(created, "ParentCommandLine"),
        directory="C:\\Windows\\system32\\",
        image=Image(original_name="svchost.exe", description=""),
        logon=SYSTEM_SESSION,
        started=SYSTEM_SESSION.created,
        guid=braced(created["ParentProcessGuid"]),
        parent=None,
    )
    hashes = dict(part.split("=") for part in text(created, "Hashes").split(","))
    process = Process(
        pid=int(text(audited, "NewProcessId"), 16),
        path=text(created, "Image"),
        command_line=text(created, "CommandLine"),
        directory=text(created, "CurrentDirectory"),
        image=Image(
            original_name=text(created, "OriginalFileName"),
            description=text(created, "Description"),
            version=text(created, "FileVersion"),
            hashes=dict(reversed(hashes.items())),
        ),
        logon=logon,
        started=utc(created),
        guid=braced(created["ProcessGuid"]),
        parent=svchost,
    )
    return process, logon


ORIGINAL = dataclasses.replace(
    ORIGIN, computer="WORKSTATION6.theshire.local", realm="THESHIRE.LOCAL", machine_account=MACHINE, machine_id=0x49A15388
)


def same_system(entry: Entry, event: Recorded) -> None:
    """The parts of <System> that a provider's manifest fixes."""
    assert entry.event_id == event["EventID"]
    assert entry.provider.name == event["SourceName"]
    assert entry.provider.channel.lower() == text(event, "Channel").lower()
    assert entry.provider.guid == event.get("ProviderGuid")
    assert entry.version == event.get("Version", 0)
    assert entry.task == event["Task"]
    assert entry.opcode == event.get("OpcodeValue", 0)
    assert entry.keywords == int(text(event, "Keywords")) % 2**64
    assert entry.user_sid == event.get("UserID")


def test_a_process_creation_is_audited_as_recorded() -> None:
    process, _ = happened()
    event = find(CMD, 4688, "wsmprovhost.exe -Embedding")
    entry = security.process_started(ORIGINAL, process)
    same_system(entry, event)
    assert dict(entry.data) == event_data(event)
    assert entry.process_id == event["ExecutionProcessID"]


def test_a_process_creation_is_traced_as_recorded() -> None:
    process, _ = happened()
    event = find(CMD, 1, "wsmprovhost.exe -Embedding")
    entry = sysmon.process_started(ORIGINAL, process)
    same_system(entry, event)
    ours, theirs = dict(entry.data), event_data(event)
    assert ours.pop("LogonGuid")[:10] == theirs.pop("LogonGuid")[:10]
    assert ours == theirs


def test_a_logon_guid_of_sysmon_is_laid_out_as_recorded() -> None:
    event = find(EMP, 1, "wsmprovhost.exe -Embedding")
    _, logon = happened(EMP)
    entry = sysmon.process_started(dataclasses.replace(ORIGINAL, machine_id=0xD273D0F0), dataclasses.replace(happened(EMP)[0], logon=logon))
    assert entry.data["LogonGuid"] == event["LogonGuid"]


def test_a_child_is_credited_to_the_user_that_started_it() -> None:
    process, logon = happened(EMP)
    event = find(EMP, 4688, '"NewProcessName": "C:\\\\Windows\\\\System32\\\\WindowsPowerShell')
    child = dataclasses.replace(
        process,
        pid=int(text(event, "NewProcessId"), 16),
        path=text(event, "NewProcessName"),
        command_line=text(event, "CommandLine"),
        parent=process,
    )
    entry = security.process_started(ORIGINAL, child)
    assert dict(entry.data) == event_data(event)
    assert logon.account.sid == entry.data["SubjectUserSid"]


def test_a_kerberos_logon_is_recorded_after_its_privileges() -> None:
    _, logon = happened()
    privileges, entry = security.logged_on(ORIGINAL, logon, "{B74DCB93-5FB1-0001-BA04-CE8F906BD601}")
    event = find(CMD, 4624, hex(logon.logon_id))
    special = find(CMD, 4672, hex(logon.logon_id))
    same_system(entry, event)
    same_system(privileges, special)
    assert dict(entry.data) == event_data(event)
    assert dict(privileges.data) == event_data(special)
    assert entry.activity_id == event["ActivityID"]
    assert int(text(special, "RecordNumber")) < int(text(event, "RecordNumber"))


def test_a_connection_is_let_in_as_recorded() -> None:
    event = find(CMD, 5156, '"DestPort": "5985"')
    entry = security.connected(
        dataclasses.replace(ORIGINAL, filter_id=int(text(event, "FilterRTID"))),
        connection(text(event, "SourceAddress"), int(text(event, "SourcePort")), text(event, "DestAddress")),
    )
    same_system(entry, event)
    theirs = event_data(event)
    theirs["ProcessID"] = theirs.pop("ProcessId")  # NXLog spells it so; the event's manifest has ProcessID
    assert dict(entry.data) == theirs


def test_a_connection_is_traced_as_recorded() -> None:
    event = find(CMD, 3, '"DestinationPort": "5985"')
    system = dataclasses.replace(SYSTEM, guid=braced(event["ProcessGuid"]))
    taken = connection(text(event, "SourceIp"), int(text(event, "SourcePort")), text(event, "DestinationIp"))
    entry = sysmon.connected(ORIGINAL, dataclasses.replace(taken, owner=system), utc(event), timedelta(seconds=1))
    same_system(entry, event)
    assert dict(entry.data) == event_data(event)


def recorded_engine(event: Recorded, name: str = CMD) -> Engine:
    def value(key: str) -> str:
        found = re.search(rf"^\t?\s*{key} ?= ?(.*?)\r?$", text(event, "Message"), re.MULTILINE)
        assert found
        return found[1]

    process, _ = happened(name)
    return Engine(
        host_name=value("HostName"),
        host_version=value("HostVersion"),
        host_id=UUID(value("HostId")),
        runspace_id=UUID(value("RunspaceId")),
        version=value("EngineVersion"),
        process=dataclasses.replace(process, command_line=value("HostApplication")),
    )


@pytest.mark.parametrize("name", [CMD, EMP])
def test_the_lines_of_an_engine_start_are_those_recorded(name: str) -> None:
    event = find(name, 400, "ServerRemoteHost")
    entry = powershell.engine_started(recorded_engine(event, name), 13)
    same_system(entry, event)
    assert entry.message == event["Message"]
    assert entry.strings[:2] == ("Available", "None")
    assert entry.process_id == event["ExecutionProcessID"]


def test_the_lines_of_an_engine_stop_are_those_recorded() -> None:
    event = find(CMD, 403, "ServerRemoteHost")
    entry = powershell.engine_stopped(recorded_engine(event), 17)
    same_system(entry, event)
    assert entry.message == event["Message"]
    assert entry.strings[:2] == ("Stopped", "Available")


def test_the_lines_of_a_provider_start_are_those_recorded() -> None:
    engine = recorded_engine(find(CMD, 400, "ServerRemoteHost"))
    events = [event for event in recorded(CMD) if event["EventID"] == 600][:6]
    entries = [powershell.provider_started(engine, name, 2 * i + 1) for i, name in enumerate(powershell.PROVIDERS)]
    assert [entry.message for entry in entries] == [event["Message"] for event in events]
    same_system(entries[0], events[0])


def test_module_logging_is_as_recorded_to_the_last_line_end() -> None:
    engine = recorded_engine(find(CMD, 400, "ServerRemoteHost"))
    event = find(CMD, 4103, "ServerRemoteHost")
    classic = find(CMD, 800, "ServerRemoteHost")
    engine = dataclasses.replace(
        engine,
        process=dataclasses.replace(
            engine.process, logon=dataclasses.replace(engine.process.logon, account=dataclasses.replace(USER, sid=text(event, "UserID")))
        ),
    )
    commands = (CommandRun(name="Get-Process", kind="Cmdlet", bindings=(), pipeline_id=1),)
    (entry,) = powershell.commands_run(engine, commands, 16, "{}")
    same_system(entry, event)
    assert {name: value for name, value in entry.data.items() if value} == event_data(event)  # NXLog leaves empty values out
    assert entry.message == event["Message"]
    assert entry.process_id == event["ExecutionProcessID"]
    (twin,) = powershell.pipeline_details(engine, commands, 15)
    same_system(twin, classic)
    assert twin.message == classic["Message"]


def test_a_pipeline_is_one_record_with_its_input_bound_last() -> None:
    event = find(EMP, 4103, '\\"whoami\\"')
    commands = (
        CommandRun(name="Invoke-Expression", kind="Cmdlet", bindings=(Binding(name="Command", value="whoami"),), pipeline_id=1),
        CommandRun(name="Out-String", kind="Cmdlet", bindings=(Binding(name="InputObject", value="theshire\\pgustavo"),), pipeline_id=1),
    )
    engine = recorded_engine(find(EMP, 400, "ServerRemoteHost"), EMP)
    (entry,) = powershell.commands_run(engine, commands, 132, "{}")
    assert entry.data["Payload"] == event["Payload"]


def test_a_console_engine_has_no_connected_user() -> None:
    event = find(EMP, 4103, "ConsoleHost")
    engine = dataclasses.replace(recorded_engine(find(EMP, 400, "ServerRemoteHost"), EMP), host_name="ConsoleHost")
    (ours,) = powershell.commands_run(engine, (CommandRun(name="x", kind="Cmdlet", bindings=(), pipeline_id=1),), 1, "{}")
    line = "        Connected User = \r\n"
    assert line in text(event, "ContextInfo")
    assert line in ours.data["ContextInfo"]


def test_a_script_block_has_the_recorded_fields() -> None:
    event = find(EMP, 4104)
    engine = recorded_engine(find(EMP, 400, "ServerRemoteHost"), EMP)
    (entry,) = powershell.script_block(engine, text(event, "ScriptBlockText"), UUID(text(event, "ScriptBlockId")), 10_000, "{}")
    same_system(entry, event)
    assert {name: value for name, value in entry.data.items() if value} == event_data(event)


def test_the_end_of_a_logon_is_audited_as_recorded() -> None:
    event = find(CMD, 4634)
    _, logon = happened()
    account = dataclasses.replace(USER, sid=text(event, "TargetUserSid"))
    entry = security.logged_off(ORIGINAL, dataclasses.replace(logon, logon_id=int(text(event, "TargetLogonId"), 16), account=account))
    same_system(entry, event)
    assert dict(entry.data) == event_data(event)


def test_the_end_of_a_process_is_audited_and_traced_as_recorded() -> None:
    process, _ = happened()
    audited, traced = find(CMD, 4689, "wsmprovhost.exe"), find(CMD, 5, "wsmprovhost.exe")
    entry = security.process_ended(ORIGINAL, process, 0)
    same_system(entry, audited)
    assert dict(entry.data) == event_data(audited)
    entry = sysmon.process_ended(ORIGINAL, process, utc(traced))
    same_system(entry, traced)
    assert dict(entry.data) == event_data(traced)
    assert entry.message == traced["Message"]


def test_sysmons_text_of_a_process_is_the_recorded_one() -> None:
    process, _ = happened()
    event = find(CMD, 1, "wsmprovhost.exe -Embedding")
    ours = sysmon.process_started(ORIGINAL, process).message.splitlines()
    theirs = text(event, "Message").splitlines()
    assert [line for line in ours if not line.startswith("LogonGuid")] == [line for line in theirs if not line.startswith("LogonGuid")]


def test_the_pipe_of_an_engine_is_logged_as_recorded() -> None:
    event = find(CMD, 53504)
    process, _ = happened()
    engine = dataclasses.replace(recorded_engine(find(CMD, 400, "ServerRemoteHost")), process=process)
    entry = powershell.pipe_opened(engine, text(event, "ActivityID"))
    same_system(dataclasses.replace(entry, user_sid=text(event, "UserID")), event)
    assert dict(entry.data) == event_data(event)
    assert entry.message == event["Message"]


def test_the_start_of_a_console_is_logged_as_recorded() -> None:
    engine = recorded_engine(find(EMP, 400, "ServerRemoteHost"), EMP)
    for event, make in ((find(EMP, 40961), powershell.console_starting), (find(EMP, 40962), powershell.console_ready)):
        entry = make(engine, text(event, "ActivityID"))
        same_system(dataclasses.replace(entry, user_sid=text(event, "UserID")), event)
        assert entry.message == event["Message"]
        assert dict(entry.data) == event_data(event)


def test_the_recorded_script_was_a_warning_and_is_one() -> None:
    event = find(EMP, 4104)
    engine = recorded_engine(find(EMP, 400, "ServerRemoteHost"), EMP)
    (entry,) = powershell.script_block(engine, text(event, "ScriptBlockText"), UUID(text(event, "ScriptBlockId")), 10_000, "{}")
    assert (event["EventType"], entry.level.name) == ("WARNING", "WARNING")


def test_a_file_that_came_about_is_traced_as_recorded() -> None:
    process, _ = happened()
    event = find(CMD, 11)
    creation = FileCreation(
        process=dataclasses.replace(
            process, guid=braced(event["ProcessGuid"]), pid=int(text(event, "ProcessId")), path=text(event, "Image")
        ),
        path=text(event, "TargetFilename"),
        created=datetime.fromisoformat(text(event, "CreationUtcTime")).replace(tzinfo=UTC),
    )
    entry = sysmon.file_created(ORIGINAL, creation, utc(event))
    same_system(entry, event)
    assert dict(entry.data) == event_data(event)
    assert entry.message == event["Message"]


def test_texts_of_audits_are_laid_out_as_recorded() -> None:
    seen = set()
    for event in recorded(CMD):
        told = event.get("Message")
        if text(event, "Channel").lower() != "security" or not isinstance(told, str):
            continue
        data = event_data(event)
        if event["EventID"] == 5156:
            data["ProcessID"] = data.pop("ProcessId")
        if ours := audit_text(int(text(event, "EventID")), data):
            seen.add(event["EventID"])
            assert told.startswith(ours)
            assert told[len(ours) :] == "" or told[len(ours) :].startswith("\r\n\r\n"), "what Windows explains below"
    assert seen == {4624, 4634, 4672, 4688, 4689, 5156}


def test_a_code_that_is_not_known_and_braces_in_a_value_stay_as_they_are() -> None:
    data = event_data(find(CMD, 4634)) | {"TargetUserName": "{LogonType}", "LogonType": "%%9"}
    assert "Account Name:\t\t{LogonType}" in audit_text(4634, data)
    assert audit_text(4634, data).endswith("%%9")
    assert audit_text(4656, data) == ""
