"""What every log promises whatever happens: numbering, relations between channels, parts of long texts, threads."""

from __future__ import annotations

import re
from collections import defaultdict
from threading import Thread
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.events.windows import Level, WindowsEvent
from lab.host.happenings import Binding, CommandRun, CredentialUse
from lab.host.telemetry import powershell, security
from lab.machine import Account, Package
from tests.lab.host.telemetry_builders import (
    NOW,
    ORIGIN,
    SVCHOST,
    SYSTEM,
    SYSTEM_SESSION,
    connection,
    engine,
    process,
    session,
    telemetry,
    wsmprovhost,
)


def one(records: list[WindowsEvent], event_id: int) -> WindowsEvent:
    (found,) = (record for record in records if record.event_id == event_id)
    return found


def command(name: str, *bindings: Binding) -> CommandRun:
    return CommandRun(name=name, kind="Cmdlet", bindings=bindings, pipeline_id=3)


def test_a_connection_shows_its_port_in_both_logs() -> None:
    witness, records = telemetry()
    witness.connected(connection())
    audited, traced = one(records, 5156), one(records, 3)
    assert audited.data["SourcePort"] == traced.data["SourcePort"] == "59770"
    assert audited.data["DestPort"] == traced.data["DestinationPort"] == "5985"
    assert audited.data["SourceAddress"] == traced.data["SourceIp"] == "172.18.39.5"
    assert (audited.data["LayerRTID"], traced.data["SourceIsIpv6"]) == ("44", "false")
    assert traced.data["Initiated"] == "false"


def test_an_ipv6_connection_is_let_in_at_its_own_layer() -> None:
    witness, records = telemetry()
    witness.connected(connection("fd00::5", 1, "fd00::6"))
    assert one(records, 5156).data["LayerRTID"] == "46"
    assert one(records, 3).data["SourceIsIpv6"] == one(records, 3).data["DestinationIsIpv6"] == "true"


def test_sysmon_logs_a_connection_later_than_it_happened() -> None:
    witness, records = telemetry()
    witness.connected(connection())
    traced = one(records, 3)
    assert traced.data["UtcTime"] == "2026-03-02 09:30:15.123"
    assert traced.created > NOW
    assert one(records, 5156).created == NOW


def test_a_process_has_the_same_pid_logon_and_parent_in_both_logs() -> None:
    witness, records = telemetry()
    host = wsmprovhost(session())
    child = process("C:\\Windows\\System32\\whoami.exe", pid=3148, parent=host, logon=host.logon)
    witness.process_started(host)
    witness.process_started(child)
    audited = [record.data for record in records if record.event_id == 4688]
    traced = [record.data for record in records if record.event_id == 1]
    for ours, theirs in zip(audited, traced, strict=True):
        assert int(ours["NewProcessId"], 16) == int(theirs["ProcessId"])
        assert int(ours["ProcessId"], 16) == int(theirs["ParentProcessId"])
        assert ours["NewProcessName"] == theirs["Image"]
        assert ours["CommandLine"] == theirs["CommandLine"]
    assert traced[1]["ParentProcessGuid"] == traced[0]["ProcessGuid"]
    assert traced[1]["LogonGuid"] == traced[0]["LogonGuid"]
    assert audited[0]["TargetLogonId"] == audited[1]["SubjectLogonId"] == traced[0]["LogonId"] == "0x2da8840"


def test_only_another_logon_than_the_creators_is_named_as_target() -> None:
    host = wsmprovhost(session())
    by_system = security.process_started(ORIGIN, host).data
    assert (by_system["SubjectUserName"], by_system["SubjectDomainName"], by_system["SubjectLogonId"]) == ("WS6$", "LAB", "0x3e7")
    assert (by_system["TargetUserName"], by_system["TargetLogonId"]) == ("purple", "0x2da8840")
    child = process("C:\\x.exe", pid=8, parent=host, logon=host.logon)
    by_user = security.process_started(ORIGIN, child).data
    assert (by_user["SubjectUserSid"], by_user["SubjectUserName"]) == (host.logon.account.sid, "purple")
    assert (by_user["TargetUserName"], by_user["TargetDomainName"], by_user["TargetLogonId"]) == ("-", "-", "0x0")


def test_a_service_account_is_audited_as_the_machine() -> None:
    account = Account(domain="NT AUTHORITY", name="NETWORK SERVICE", sid="S-1-5-20")
    started = process("C:\\Windows\\System32\\wbem\\WmiPrvSE.exe", pid=8, parent=SVCHOST, logon=session(account, logon_id=0x3E4))
    assert security.process_started(ORIGIN, started).data["TargetUserName"] == "WS6$"


@pytest.mark.parametrize(
    ("package", "expected"),
    [
        (Package.NTLM, ("NtLmSsp ", "NTLM", "NTLM V2", "128", "{00000000-0000-0000-0000-000000000000}", "LAB")),
        (Package.KERBEROS, ("Kerberos", "Kerberos", "-", "0", "{950bda58-772b-65dc-de10-c81ddaf88efb}", "LAB.EXAMPLE")),
        (Package.NEGOTIATE, ("Negotiat", "Negotiate", "-", "0", "{00000000-0000-0000-0000-000000000000}", "LAB")),
        (Package.BASIC, ("Advapi  ", "Negotiate", "-", "0", "{00000000-0000-0000-0000-000000000000}", "LAB")),
    ],
)
def test_a_logon_names_its_package(package: Package, expected: tuple[str, ...]) -> None:
    witness, records = telemetry()
    witness.logged_on(session(package=package))
    data = one(records, 4624).data
    names = ("LogonProcessName", "AuthenticationPackageName", "LmPackageName", "KeyLength", "LogonGuid", "TargetDomainName")
    assert tuple(data[name] for name in names) == expected
    assert (data["IpAddress"], data["IpPort"], data["WorkstationName"]) == ("-", "-", "-")


@pytest.mark.parametrize(
    ("logon", "label", "level"),
    [
        (session(), "S-1-16-12288", "High"),
        (session(elevated=False), "S-1-16-8192", "Medium"),
        (SYSTEM_SESSION, "S-1-16-16384", "System"),
    ],
)
def test_both_logs_agree_on_the_integrity_level(logon: object, label: str, level: str) -> None:
    witness, records = telemetry()
    assert isinstance(logon, type(SYSTEM_SESSION))
    witness.process_started(process("C:\\x.exe", pid=8, parent=SVCHOST, logon=logon))
    assert one(records, 4688).data["MandatoryLabel"] == label
    assert one(records, 1).data["IntegrityLevel"] == level


def test_a_plain_user_gets_no_special_privileges() -> None:
    witness, records = telemetry()
    witness.logged_on(session(elevated=False))
    assert [record.event_id for record in records] == [4624]
    assert records[0].data["ElevatedToken"] == "%%1843"


def test_hashes_stand_in_sysmons_order() -> None:
    witness, records = telemetry()
    witness.process_started(wsmprovhost(session()))
    assert one(records, 1).data["Hashes"] == "SHA1=EF,MD5=CD,SHA256=AB"


def test_an_engines_life_is_told_with_one_host_id_and_rising_numbers() -> None:
    witness, records = telemetry()
    running = engine(wsmprovhost(session()))
    witness.engine_started(running)
    witness.commands_run(running, (command("Get-Service", Binding(name="Name", value="WinRM")), command("Out-Default")))
    witness.engine_stopped(running)
    assert [record.event_id for record in records] == [600] * 6 + [400, 53504, 800, 4103, 403]
    module = one(records, 4103)
    for record in records:
        assert str(running.host_id) in record.message or record.event_id == 53504
    assert "SequenceNumber=13\r\n" in one(records, 400).message
    assert "SequenceNumber=15\r\n" in one(records, 800).message
    assert "Sequence Number = 16\r\n" in module.data["ContextInfo"]
    assert "SequenceNumber=17\r\n" in one(records, 403).message
    assert module.process_id == running.process.pid
    assert module.user_sid == running.process.logon.account.sid
    assert module.data["Payload"] == (
        'CommandInvocation(Get-Service): "Get-Service"\r\n'
        'ParameterBinding(Get-Service): name="Name"; value="WinRM"\r\n'
        'CommandInvocation(Out-Default): "Out-Default"\r\n'
    )


def test_the_host_name_ends_its_line() -> None:
    witness, records = telemetry()
    running = engine(wsmprovhost(session()))
    witness.engine_started(running)
    witness.commands_run(running, (command("Get-Service"),))
    context = one(records, 4103).data["ContextInfo"]
    assert "        Host Name = ServerRemoteHost\r\n" in context
    assert " = ServerRemoteHost " not in context
    assert " = ServerRemoteHost " not in one(records, 4103).message


def test_much_pipeline_input_splits_800_and_overflows_4103() -> None:
    running = engine(wsmprovhost(session()))
    lines = [Binding(name="InputObject", value=f"{number:05d}" + "x" * 200) for number in range(200)]
    parts = powershell.pipeline_details(running, (command("Out-Default", *lines),), 15)
    assert len(parts) == 4
    assert all(f"DetailSequence={n}\r\n\tDetailTotal=4\r\n" in part.message for n, part in enumerate(parts, start=1))
    assert all(part.strings[2].endswith('"\r\n') and len(part.strings[2]) <= 16_000 for part in parts)
    told = "".join(part.strings[2] for part in parts)
    assert [line.partition('value="')[2][:5] for line in told.splitlines()[1:]] == [f"{number:05d}" for number in range(200)]
    assert powershell.commands_run(running, (command("Out-Default", *lines),), 16, "{}") == ()
    (fits,) = powershell.commands_run(running, (command("Out-Default", *lines[:100]),), 16, "{}")
    assert fits.data["Payload"].count("ParameterBinding") == 100


def test_engines_of_one_host_keep_their_own_numbers() -> None:
    witness, records = telemetry()
    first, second = (engine(wsmprovhost(session(), pid=pid), runspace=pid) for pid in (100, 200))
    witness.engine_started(first)
    witness.commands_run(first, (command("a"),))
    witness.engine_started(second)
    witness.commands_run(second, (command("b"),))
    contexts = [record.data["ContextInfo"] for record in records if record.event_id == 4103]
    assert all("Sequence Number = 16\r\n" in context for context in contexts)
    activities = {record.activity_id for record in records if record.event_id == 4103}
    assert len(activities) == 2


def test_record_ids_count_each_channel_by_itself() -> None:
    witness, records = telemetry()
    running = engine(wsmprovhost(session()))
    witness.logged_on(running.process.logon)
    witness.process_started(running.process)
    witness.engine_started(running)
    witness.process_started(process("C:\\x.exe", pid=8, parent=SYSTEM, logon=SYSTEM_SESSION))
    ids: dict[str, list[int]] = defaultdict(list)
    for record in records:
        ids[record.channel].append(record.record_id)
    assert set(ids) == {"Security", "Microsoft-Windows-Sysmon/Operational", "Windows PowerShell", powershell.OPERATIONAL.channel}
    for numbers in ids.values():
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def test_record_ids_have_no_gap_and_no_double_under_threads() -> None:
    witness, records = telemetry()

    def life(number: int) -> None:
        running = engine(wsmprovhost(session(), pid=number), runspace=number)
        witness.engine_started(running)
        for _ in range(20):
            witness.commands_run(running, (command("Get-Date"),))
        witness.engine_stopped(running)

    threads = [Thread(target=life, args=(number,)) for number in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    classic = [record.record_id for record in records if record.channel == "Windows PowerShell"]
    assert classic == list(range(classic[0], classic[0] + 8 * (7 + 20 + 1)))


def test_the_same_seed_gives_the_same_records() -> None:
    def story(seed: int) -> list[WindowsEvent]:
        witness, records = telemetry(seed)
        running = engine(wsmprovhost(session()))
        witness.engine_started(running)
        witness.script_block(running, "x" * 45_000)
        return records

    assert story(7) == story(7)
    assert story(7) != story(8)


@pytest.mark.parametrize("text", ["", "Get-Date", "x" * (powershell.LONG_SCRIPT - 1)])
def test_a_script_block_of_ordinary_length_is_one_record(text: str) -> None:
    (entry,) = powershell.script_block(engine(wsmprovhost(session())), text, UUID(int=1), 10_000, "{}")
    assert entry.data["ScriptBlockText"] == text
    assert (entry.data["MessageNumber"], entry.data["MessageTotal"]) == ("1", "1")
    assert entry.level is Level.VERBOSE


@given(length=st.integers(min_value=20_000, max_value=70_000), segment=st.integers(min_value=10_000, max_value=19_999))
def test_a_long_script_block_comes_in_numbered_parts(length: int, segment: int) -> None:
    text = "".join(chr(97 + i % 26) for i in range(length))
    entries = powershell.script_block(engine(wsmprovhost(session())), text, UUID(int=1), segment, "{}")
    assert "".join(entry.data["ScriptBlockText"] for entry in entries) == text
    assert len(entries) == length // segment + 1
    assert [entry.data["MessageNumber"] for entry in entries] == [str(n + 1) for n in range(len(entries))]
    assert {entry.data["MessageTotal"] for entry in entries} == {str(len(entries))}
    assert all(len(entry.data["ScriptBlockText"]) <= segment for entry in entries)


@pytest.mark.parametrize(
    ("command_line", "expected"),
    [
        ("C:\\Windows\\system32\\wsmprovhost.exe -Embedding", "C:\\Windows\\system32\\wsmprovhost.exe -Embedding"),
        ('"C:\\Program Files\\p.exe"  -noP\t-c "a b"', "C:\\Program Files\\p.exe -noP -c a b"),
        ('p.exe "say \\"hi\\""', 'p.exe say "hi"'),
        ('p.exe "C:\\dir\\\\" next', "p.exe C:\\dir\\ next"),
        ("p.exe C:\\dir\\", "p.exe C:\\dir\\"),
        ('p.exe "" end', "p.exe  end"),
        ('"open', "open"),
    ],
)
def test_the_host_application_is_the_command_line_without_its_quotes(command_line: str, expected: str) -> None:
    assert powershell.host_application(command_line) == expected


@given(st.lists(st.text(alphabet='ab\\" \t', max_size=8), min_size=1, max_size=5))
def test_arguments_quoted_as_windows_wants_come_back(arguments: list[str]) -> None:
    def quoted(argument: str) -> str:
        # Backslashes double before a quote, the closing one included.
        inner = re.sub(r'(\\*)"', r'\1\1\\"', argument)
        return '"' + re.sub(r"(\\+)\Z", r"\1\1", inner) + '"'

    line = " ".join(quoted(argument) for argument in arguments)
    assert powershell.host_application(line) == " ".join(arguments)


def test_powershell_exe_comes_up_around_its_pipe() -> None:
    witness, records = telemetry()
    witness.engine_started(engine(wsmprovhost(session()), host_name="ConsoleHost"))
    own = [record for record in records if record.channel == powershell.OPERATIONAL.channel]
    assert [record.event_id for record in own] == [40961, 53504, 40962]
    assert len({(record.process_id, record.user_sid, record.activity_id) for record in own}) == 1


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("Get-Service WinRM", Level.VERBOSE),
        ("[Convert]::frombase64string('AA==')", Level.WARNING),
        ("add-type -AssemblyName x", Level.WARNING),
        ("'add type'", Level.VERBOSE),
    ],
    ids=["plain", "any case", "with a hyphen", "parted"],
)
def test_a_script_with_a_word_of_powershells_list_is_a_warning(text: str, level: Level) -> None:
    witness, records = telemetry()
    running = engine(wsmprovhost(session()))
    witness.engine_started(running)
    witness.script_block(running, text)
    assert one(records, 4104).level == level


def test_what_a_host_opens_itself_is_its_process_in_both_logs() -> None:
    witness, records = telemetry()
    opener = wsmprovhost(session())
    witness.connected(connection("172.18.39.6", 50100, "172.18.39.7", by=opener))
    audited, traced = one(records, 5156).data, one(records, 3).data
    assert (audited["Direction"], audited["LayerName"], audited["LayerRTID"]) == ("%%14593", "%%14611", "48")
    assert audited["Application"] == "\\device\\harddiskvolume2\\windows\\system32\\wsmprovhost.exe"
    assert (traced["Initiated"], traced["Image"], traced["User"]) == ("true", opener.path, "LAB\\purple")
    assert audited["ProcessID"] == traced["ProcessId"] == str(opener.pid)


@pytest.mark.parametrize("guid", [None, UUID("ca57ec33-2e4b-499b-d832-a80818e844fa")], ids=["NTLM", "Kerberos"])
def test_the_use_of_credentials_names_process_account_and_server(guid: UUID | None) -> None:
    witness, records = telemetry()
    user = wsmprovhost(session())
    witness.credentials_used(
        CredentialUse(process=user, target=Account(domain="LAB", name="other", sid="S-1-5-21-9"), server="WS2", guid=guid)
    )
    data = one(records, 4648).data
    assert (data["SubjectLogonId"], data["ProcessId"]) == (hex(user.logon.logon_id), hex(user.pid))
    assert (data["TargetUserName"], data["TargetServerName"], data["TargetInfo"]) == ("other", "WS2", "HTTP/WS2")
    assert data["TargetDomainName"] == ("LAB" if guid is None else "LAB.EXAMPLE")
    assert data["TargetLogonGuid"].strip("{}") == str(guid or UUID(int=0))
