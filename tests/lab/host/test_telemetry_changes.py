"""What is changed on an emulated host (registry, services, users and groups) leaves what Windows leaves, as whoever changed it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from harness.events.windows import WindowsEvent
from lab.host.happenings import LogonRefusal, RegistryChange
from lab.host.machine import EmulatedMachine
from lab.host.registry import Act, Kind, Value
from lab.host.telemetry import sysmon
from lab.machine import Claim, Package
from tests.lab.host.recordings import event_data, recorded
from tests.lab.host.telemetry_builders import NOW, ORIGIN, session, telemetry, wsmprovhost
from tests.lab.host.test_machine import SHELL, Recorder, log_on, machine, of, script

SYSTEM_LOG = "System"
SERVICES = "HKLM\\System\\CurrentControlSet\\Services"


def after(text: str, prepare: Callable[[EmulatedMachine], object] = lambda made: None) -> list[WindowsEvent]:
    """The records of a script, from its start on."""
    made, records = machine()
    prepare(made)
    runspace = log_on(made).open_runspace(SHELL)
    before = len(records)
    io = Recorder()
    assert runspace.run(script(text), io) is None
    assert io.errors == []
    return records[before:]


def registry_of(records: list[WindowsEvent]) -> list[tuple[int, str, str, str]]:
    return [
        (one.event_id, one.data["EventType"], one.data["TargetObject"], one.data.get("Details", ""))
        for one in records
        if one.event_id in (12, 13) and one.channel.endswith("Sysmon/Operational")
    ]


def test_the_registry_is_traced_as_whoever_changes_it() -> None:
    records = after("reg.exe add HKLM\\SOFTWARE\\Lab\\Below /v Run /t REG_SZ /d calc.exe /f; Remove-Item HKLM:\\SOFTWARE\\Lab -Recurse")
    assert registry_of(records) == [
        (12, "CreateKey", "HKLM\\SOFTWARE\\Lab", ""),
        (12, "CreateKey", "HKLM\\SOFTWARE\\Lab\\Below", ""),
        (13, "SetValue", "HKLM\\SOFTWARE\\Lab\\Below\\Run", "calc.exe"),
        (12, "DeleteKey", "HKLM\\SOFTWARE\\Lab\\Below", ""),
        (12, "DeleteKey", "HKLM\\SOFTWARE\\Lab", ""),
    ]
    (program,) = of(records, 1, Image="reg.exe")
    (value,) = of(records, 13, TargetObject="Run")
    assert value.data["ProcessGuid"] == program.data["ProcessGuid"]
    assert [one.data["Image"].rpartition("\\")[2] for one in of(records, 12, EventType="DeleteKey")] == ["wsmprovhost.exe"] * 2


@pytest.mark.parametrize(
    ("kind", "data", "details"),
    [
        (Kind.DWORD, 0x89, "DWORD (0x00000089)"),
        (Kind.DWORD, -1, "DWORD (0xffffffff)"),
        (Kind.QWORD, 0x01D66C0A1C9BBE90, "QWORD (0x01d66c0a-0x1c9bbe90)"),
        (Kind.TEXT, "HAM", "HAM"),
        (Kind.TEXT, "", "(Empty)"),
        (Kind.EXPAND, "%windir%", "%windir%"),
        (Kind.BINARY, b"12", "Binary Data"),
        (Kind.MULTI, ("a", "b"), "Binary Data"),
        (Kind.NONE, b"", "Binary Data"),
    ],
    ids=["number", "negative", "large", "text", "empty", "expand", "binary", "multi", "none"],
)
def test_what_a_value_is_set_to_is_told_as_recorded(kind: Kind, data: str | int | bytes | tuple[str, ...], details: str) -> None:
    change = RegistryChange(
        process=wsmprovhost(session()), act=Act.SET_VALUE, key="HKEY_USERS\\S-1-5-18\\Lab", value=Value(name="", kind=kind, data=data)
    )
    entry = sysmon.registry_changed(ORIGIN, change, NOW)
    assert (entry.data["TargetObject"], entry.data["Details"]) == ("HKU\\S-1-5-18\\Lab\\(Default)", details)


@pytest.mark.parametrize("event_id", [12, 13])
def test_a_record_of_the_registry_has_the_recorded_fields(event_id: int) -> None:
    theirs = next(one for one in recorded("covenant_psremoting_command.zip") if one["EventID"] == event_id)
    value = Value(name="Start", kind=Kind.DWORD, data=3) if event_id == 13 else None
    act = Act.SET_VALUE if event_id == 13 else Act.CREATE_KEY
    change = RegistryChange(process=wsmprovhost(session()), act=act, key="HKEY_LOCAL_MACHINE\\SYSTEM\\CurrentControlSet", value=value)
    ours = sysmon.registry_changed(ORIGIN, change, NOW)
    assert set(ours.data) == set(event_data(theirs)) - {"EventTypeOrignal"} | {"EventType"}
    assert [line.partition(":")[0] for line in ours.message.splitlines()] == [
        line.partition(":")[0] for line in str(theirs["Message"]).splitlines()
    ]
    assert (ours.version, ours.task, ours.process_id) == (theirs["Version"], theirs["Task"], ORIGIN.sysmon_pid)


def test_a_service_that_stops_starts_and_changes_is_told_by_its_manager() -> None:
    records = after(
        "Set-Service Spooler -StartupType Disabled; Stop-Service Spooler; Set-Service Spooler -StartupType Manual; sc.exe start Spooler"
    )
    log = [(one.event_id, *one.data.values()) for one in records if one.channel == SYSTEM_LOG]
    assert log == [
        (7040, "Print Spooler", "auto start", "disabled", "Spooler"),
        (7036, "Print Spooler", "stopped"),
        (7040, "Print Spooler", "disabled", "demand start", "Spooler"),
        (7036, "Print Spooler", "running"),
    ]
    assert registry_of(records) == [(13, "SetValue", f"{SERVICES}\\Spooler\\Start", f"DWORD (0x0000000{n})") for n in (4, 3)]
    assert {one.data["Image"] for one in of(records, 13)} == {"C:\\Windows\\System32\\services.exe"}


def test_a_new_service_is_told_in_both_logs_and_stands_in_the_registry() -> None:
    line = "sc.exe create lab binPath= C:\\Windows\\System32\\svchost.exe start= auto"
    records = after(f"{line}; (Get-ItemProperty HKLM:\\SYSTEM\\CurrentControlSet\\Services\\lab).Start; sc.exe delete lab")
    (installed,) = of(records, 7045)
    assert list(installed.data.values()) == ["lab", "C:\\Windows\\System32\\svchost.exe", "user mode service", "auto start", "LocalSystem"]
    (audited,) = of(records, 4697)
    assert (audited.data["ServiceType"], audited.data["ServiceStartType"], audited.data["SubjectUserName"]) == ("0x10", "2", "purple")
    assert installed.user_sid == audited.data["SubjectUserSid"]
    assert (13, "SetValue", f"{SERVICES}\\lab\\ImagePath", "C:\\Windows\\System32\\svchost.exe") in registry_of(records)
    assert registry_of(records)[-1] == (12, "DeleteKey", f"{SERVICES}\\lab", "")


def test_a_user_comes_about_disabled_and_is_then_what_was_asked_for() -> None:
    records = after(
        "net.exe user lab opensesame-4711 /add; Disable-LocalUser lab; Set-LocalUser lab -FullName Lab; net.exe user lab /delete"
    )
    told = [one.event_id for one in records if one.channel == "Security" and 4720 <= one.event_id <= 4738]
    assert told == [4728, 4720, 4722, 4724, 4738, 4725, 4738, 4738, 4729, 4726]
    assert [(one.data["OldUacValue"], one.data["NewUacValue"]) for one in of(records, 4738)] == [
        ("0x15", "0x10"),
        ("0x10", "0x11"),
        ("0x11", "0x11"),
    ]
    assert [one.data["UserAccountControl"].split() for one in of(records, 4738)] == [["%%2048", "%%2050"], ["%%2080"], ["-"]]
    assert of(records, 4738)[-1].data["DisplayName"] == "Lab"
    assert "Account Disabled\r\n\t\t'Password Not Required' - Enabled" in of(records, 4720)[0].message
    assert "opensesame-4711" not in repr([one for one in records if one.channel == "Security" and one.event_id not in (4688,)])


def test_members_of_groups_come_and_go() -> None:
    records = after("Add-LocalGroupMember Administrators Guest; net.exe localgroup Administrators Guest /delete")
    added, removed = (of(records, number)[0] for number in (4732, 4733))
    for one in (added, removed):
        assert (one.data["TargetUserName"], one.data["TargetDomainName"], one.data["TargetSid"]) == (
            "Administrators",
            "Builtin",
            "S-1-5-32-544",
        )
        assert one.data["MemberSid"].endswith("-501")
        assert one.data["SubjectUserName"] == "purple"


def test_what_nobody_did_is_not_told() -> None:
    made, records = machine()
    made.host.services.stop("Spooler")
    made.host.registry.make("HKEY_LOCAL_MACHINE\\SOFTWARE\\Lab")
    made.host.sam.add_user("lab")
    assert [one for one in records if one.event_id in (12, 13, 7036, 4720)] == []


@pytest.mark.parametrize(
    ("setting", "gone"),
    [
        ("sysmon-registryevent", {12, 13}),
        ("user-account-management", {4720, 4722, 4738, 4724, 4726}),
        ("security-group-management", {4728, 4729}),
    ],
)
def test_settings_that_are_off_leave_their_events_out(setting: str, gone: set[int]) -> None:
    def ids(off: frozenset[str]) -> set[int]:
        witness, records = telemetry(off=off)
        made, _ = machine()
        made.host.witness = witness
        with made.host.acting(wsmprovhost(session())):
            made.host.sam.add_user("lab")
            made.host.sam.remove_user("lab")
            made.host.registry.make("HKEY_LOCAL_MACHINE\\SOFTWARE\\Lab")
            made.host.registry.set("HKEY_LOCAL_MACHINE\\SOFTWARE\\Lab", "a", Kind.DWORD, 1)
        return {one.event_id for one in records}

    assert ids(frozenset()) - ids(frozenset({setting})) == gone


@pytest.mark.parametrize(("known", "why"), [(True, "0xc000006a"), (False, "0xc0000064")], ids=["password", "name"])
def test_a_refused_logon_says_what_was_wrong(known: bool, why: str) -> None:
    witness, records = telemetry()
    witness.logon_refused(LogonRefusal(claim=Claim(domain="LAB", name="purple", known=known), package=Package.NTLM))
    (refused,) = records
    assert (refused.data["Status"], refused.data["SubStatus"], refused.data["TargetUserName"]) == ("0xc000006d", why, "purple")
    assert refused.keywords == 0x8010000000000000
