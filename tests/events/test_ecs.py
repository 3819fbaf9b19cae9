"""The ECS view: each kind of event under the names of the published field documentation."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.events import winlogbeat
from harness.events.ecs import arguments, ecs_fields
from harness.events.read import read_events
from harness.model.facts import Event, FlatValue
from tests.events.event_builders import connection, engine_available, process_created
from tests.logic.tree_builders import SYSMON, event
from tests.needs import DATA, needs_recordings

POWERSHELL = "Microsoft-Windows-PowerShell/Operational"


def some_of(seen: Event, *names: str) -> dict[str, FlatValue]:
    fields = ecs_fields(seen)
    return {name: fields.get(name) for name in names}


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (
            event(
                SYSMON,
                1,
                image="C:\\W\\whoami.exe",
                commandline='whoami.exe "/a b"',
                processid="42",
                processguid="{1}",
                parentimage="C:\\W\\wsmprovhost.exe",
                parentcommandline="w -Embedding",
                parentprocessid="7",
                parentprocessguid="{2}",
                user="LAB\\anna",
                originalfilename="whoami.exe",
                hashes="SHA1=AB,IMPHASH=CD",
                currentdirectory="C:\\W\\",
            ),
            {
                "event.category": ["process"],
                "event.type": ["start"],
                "event.code": "1",
                "event.action": "Process Create (rule: ProcessCreate)",
                "host.os.type": "windows",
                "host.id": "ws1",
                "host.name": "ws1",
                "process.name": "whoami.exe",
                "process.executable": "C:\\W\\whoami.exe",
                "process.args": ["whoami.exe", "/a b"],
                "process.args_count": 2,
                "process.pid": 42,
                "process.entity_id": "{1}",
                "process.parent.name": "wsmprovhost.exe",
                "process.parent.args": ["w", "-Embedding"],
                "process.parent.pid": 7,
                "process.parent.entity_id": "{2}",
                "process.pe.original_file_name": "whoami.exe",
                "process.hash.sha1": "ab",
                "process.pe.imphash": "cd",
                "process.working_directory": "C:\\W\\",
                "user.domain": "LAB",
                "user.name": "anna",
                "winlog.event_data.commandline": 'whoami.exe "/a b"',
            },
        ),
        (
            event(
                SYSMON,
                3,
                initiated="false",
                protocol="tcp",
                sourceip="10.0.0.1",
                sourceport="50000",
                sourcehostname="-",
                destinationip="10.0.0.2",
                destinationport="5985",
                image="System",
            ),
            {
                "event.category": ["network"],
                "event.type": ["start", "connection", "protocol"],
                "network.direction": "ingress",
                "network.transport": "tcp",
                "network.type": "ipv4",
                "network.protocol": None,
                "source.ip": "10.0.0.1",
                "source.port": 50000,
                "source.domain": None,
                "destination.port": 5985,
                "process.name": "System",
            },
        ),
        (event(SYSMON, 3, initiated="true"), {"network.direction": "egress", "source.ip": None, "network.type": None}),
        (
            event(SYSMON, 7, image="C:\\a.exe", imageloaded="C:\\b\\c.dll", signed="true", signaturestatus="Valid", signature="M"),
            {
                "event.category": ["process"],
                "event.action": "Image loaded (rule: ImageLoad)",
                "file.path": "C:\\b\\c.dll",
                "file.name": "c.dll",
                "file.extension": "dll",
                "file.directory": "C:\\b",
                "file.code_signature.valid": True,
                "file.code_signature.subject_name": "M",
                "process.name": "a.exe",
            },
        ),
        (event(SYSMON, 10, sourceimage="C:\\a.exe", sourceprocessid="5"), {"process.name": "a.exe", "process.pid": 5}),
        (event(SYSMON, 11, targetfilename="C:\\x\\no_extension"), {"file.name": "no_extension", "file.extension": None}),
        (
            event(SYSMON, 13, targetobject="HKLM\\Software\\Run\\x", details="DWORD (0x00000010)"),
            {
                "event.category": ["configuration", "registry"],
                "event.type": ["change"],
                "registry.path": "HKLM\\Software\\Run\\x",
                "registry.hive": "HKLM",
                "registry.key": "Software\\Run",
                "registry.value": "x",
                "registry.data.strings": ["16"],
            },
        ),
        (event(SYSMON, 13, targetobject="HKLM", details="a.exe"), {"registry.value": None, "registry.data.strings": ["a.exe"]}),
        (event(SYSMON, 13, details="QWORD (0x00000001-0x00000000)"), {"registry.data.strings": ["4294967296"]}),
        (event(SYSMON, 13, details="Binary Data"), {"registry.data.strings": None, "registry.data.type": "REG_BINARY"}),
        (event(SYSMON, 17, pipename="\\p", image="C:\\a.exe"), {"file.name": "\\p", "process.name": "a.exe"}),
        (event(SYSMON, 6, imageloaded="C:\\d.sys"), {"event.category": ["driver"], "file.name": "d.sys"}),
        (
            event(SYSMON, 22, queryname="a.example", queryresults="type: 5 x;::ffff:10.0.0.1;"),
            {"dns.question.name": "a.example", "dns.resolved_ip": ["10.0.0.1"], "network.protocol": "dns"},
        ),
        (
            event(
                "security",
                4688,
                newprocessid="0x1d74",
                newprocessname="C:\\W\\whoami.exe",
                processid="0x10",
                parentprocessname="C:\\W\\cmd.exe",
                targetusername="-",
                subjectusername="anna",
                subjectdomainname="LAB",
                subjectusersid="S-1-5-21-1",
                commandline="",
            ),
            {
                "event.category": ["process"],
                "event.type": ["start"],
                "process.pid": 0x1D74,
                "process.name": "whoami.exe",
                "process.command_line": None,
                "process.parent.pid": 16,
                "process.parent.name": "cmd.exe",
                "user.name": "anna",
                "user.domain": "LAB",
                "user.id": "S-1-5-21-1",
            },
        ),
        (event("Security", 4688, targetusername="bob", subjectusername="anna"), {"user.name": "bob"}),
        (
            event("Security", 4624, logontype="3", ipaddress="::ffff:10.0.0.1", ipport="50000", targetusername="anna", processid="0x0"),
            {
                "event.category": ["authentication"],
                "winlog.logon.type": "Network",
                "source.ip": "10.0.0.1",
                "source.port": 50000,
                "user.name": "anna",
                "process.pid": 0,
            },
        ),
        (event("Security", 4624, ipaddress="LOCAL"), {"source.ip": None}),
        (event("Security", 4768, targetusername="anna", targetsid="S-1"), {"event.category": ["authentication"], "user.id": "S-1"}),
        (event("Security", 4689, processname="C:\\a.exe", processid="0x4"), {"event.type": ["end"], "process.name": "a.exe"}),
        (
            event("Security", 5156, direction="%%14592", sourceaddress="10.0.0.1", destport="5985", protocol="6", processid="4"),
            {
                "event.category": None,
                "network.direction": "ingress",
                "network.transport": "tcp",
                "source.ip": "10.0.0.1",
                "destination.port": 5985,
                "process.pid": 4,
            },
        ),
        (event("Security", 5156, direction="%%14593"), {"network.direction": "egress"}),
        (
            event("Windows PowerShell", 400, data="Available\r\n\tHostId=9b\r\n\tHostApplication=C:\\w.exe -E\r\n\tCommandLine="),
            {
                "event.category": ["process"],
                "event.type": ["start"],
                "process.command_line": "C:\\w.exe -E",
                "process.entity_id": "9b",
                "process.args": ["C:\\w.exe", "-E"],
            },
        ),
        (
            event("Security", 4698, subjectusername="anna", subjectusersid="S-1", subjectlogonid="0x1", taskname="\\t"),
            {
                "event.category": ["iam", "configuration"],
                "event.type": ["creation", "admin"],
                "event.action": "scheduled-task-created",
                "user.name": "anna",
                "user.id": "S-1",
                "winlog.logon.id": "0x1",
            },
        ),
        (
            event("Security", 4738, subjectusername="anna", targetusername="bob", targetsid="S-2", targetdomainname="LAB"),
            {"event.action": "modified-user-account", "user.name": "anna", "user.target.name": "bob", "user.target.id": "S-2"},
        ),
        (
            event("Security", 4732, targetusername="Admins", targetsid="S-3", membername="CN=Bob B,OU=x,DC=lab", membersid="S-2"),
            {
                "event.action": "added-member-to-group",
                "group.name": "Admins",
                "group.id": "S-3",
                "user.target.name": "Bob B",
                "user.name": None,
            },
        ),
        (
            event("Security", 4738, newuacvalue="0x10010"),
            {"winlog.event_data.newuaclist": ["USER_NORMAL_ACCOUNT", "USER_DONT_REQUIRE_PREAUTH"]},
        ),
        (
            event("Security", 4719, auditpolicychanges="%%8448, %%8450", subcategoryid="%%12544"),
            {
                "winlog.event_data.auditpolicychangesdescription": ["Success removed", "Failure removed"],
                "winlog.event_data.subcategory": "Logon",
                "event.dataset": "system.security",
            },
        ),
        (event("Security", 4634, targetusername="anna", targetlogonid="0x9"), {"user.name": "anna", "winlog.logon.id": "0x9"}),
        (
            event("Security", 4648, subjectusername="anna", targetusername="bob"),
            {"event.action": "logged-in-explicit", "user.name": "anna", "user.effective.name": "bob"},
        ),
        (
            event(
                "Security", 5145, ipaddress="::ffff:10.0.0.9", relativetargetname="svc\\a.exe", sharename="\\\\*\\C$", sharelocalpath="C:\\"
            ),
            {
                "event.category": ["network", "file"],
                "event.action": "network-share-object-access-checked",
                "source.ip": "10.0.0.9",
                "file.name": "svc\\a.exe",
                "file.extension": "exe",
                "file.target_path": "\\\\*\\C$\\svc\\a.exe",
            },
        ),
        (
            event("Security", 4657, objectname="\\REGISTRY\\MACHINE\\A", objectvaluename="B", newvalue="1", processname="C:\\r.exe"),
            {
                "event.category": ["registry", "configuration"],
                "registry.path": "\\REGISTRY\\MACHINE\\A\\B",
                "registry.value": "B",
                "registry.data.strings": ["1"],
                "process.name": "r.exe",
            },
        ),
        (
            event(
                POWERSHELL,
                4103,
                contextinfo="   Host Name = ServerRemoteHost\r\n   Host ID = 9\n   Command Name = Get-Date\n   User = LAB\\anna\n",
            ),
            {"process.title": "ServerRemoteHost", "process.entity_id": "9", "powershell.command.name": "Get-Date", "user.name": "anna"},
        ),
        (event(POWERSHELL, 4104, scriptblocktext="Get-Date"), {"powershell.file.script_block_text": "Get-Date", "event.type": ["info"]}),
        (event("System", 10, x="1"), {"event.category": None, "event.code": "10", "winlog.event_data.x": "1"}),
    ],
)
def test_what_an_event_is_in_ecs(seen: Event, expected: dict[str, FlatValue]) -> None:
    assert some_of(seen, *expected) == expected


def test_what_a_document_bears_itself_is_kept_but_its_class_is_ours() -> None:
    document = winlogbeat.render(process_created())
    document |= {
        "host": {"name": "WS1.lab.example", "id": "g-u-i-d"},
        "process.name": "given.exe",
        "event": {"category": ["x"], "outcome": "success"},
    }
    seen = winlogbeat.read(document, "1")
    assert some_of(seen, "host.name", "host.id", "process.name", "event.category", "event.outcome", "process.pid") == {
        "host.name": "WS1.lab.example",
        "host.id": "g-u-i-d",
        "process.name": "given.exe",
        "event.category": ["process"],
        "event.outcome": "success",
        "process.pid": 0x1D74,
    }


def head(event_id: int, raw: dict[str, object], channel: str = "Security") -> Event:
    seen = event(channel, event_id)
    return Event(**{name: getattr(seen, name) for name in seen.__slots__} | {"raw": raw})


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ({"EventType": "AUDIT_FAILURE"}, "failure"),
        ({"Keywords": "0x8020000000000000"}, "success"),
        ({"Keywords": -9218868437227405312}, "failure"),
        ({"Event": {"System": {"Keywords": "0x8010000000000000"}}}, "failure"),
        ({"Keywords": "0x8000000000000000"}, None),
        ({"Keywords": "Audit Success"}, None),
        ({}, None),
    ],
)
def test_how_an_audited_action_ended_is_told_by_every_form(raw: dict[str, object], expected: str | None) -> None:
    assert some_of(head(4688, raw), "event.outcome") == {"event.outcome": expected}


def test_a_task_is_the_action_where_the_kind_has_none_and_no_pipeline_gave_one() -> None:
    forms: list[dict[str, object]] = [{"Category": "File System"}, {"Event": {"System": {"Task": 12800}}}, {"Task": "12800"}]
    assert [some_of(head(4663, raw), "event.action") for raw in forms] == [{"event.action": "File System"}] * 3
    assert some_of(head(9, {"Task": "12800"}, "System"), "event.action") == {"event.action": None}
    sent: dict[str, object] = {"winlog": {"task": "Process Creation"}, "event": {"action": "Process Creation"}}
    assert some_of(head(4688, sent), "event.action") == {"event.action": "created-process"}
    assert some_of(head(4688, sent | {"event": {"action": "x"}}), "event.action") == {"event.action": "x"}


def test_the_account_of_a_powershell_record_is_its_user_in_every_form() -> None:
    forms: list[dict[str, object]] = [
        {"UserID": "S-1"},
        {"winlog": {"user": {"identifier": "S-1"}}},
        {"Event": {"System": {"Security": {"#attributes": {"UserID": "S-1"}}}}},
    ]
    assert [some_of(head(4104, raw, POWERSHELL), "user.id") for raw in forms] == [{"user.id": "S-1"}] * 3
    assert some_of(head(4663, {"UserID": "S-1"}), "user.id") == {"user.id": None}


def test_the_labs_own_documents_are_read() -> None:
    seen = winlogbeat.read(winlogbeat.render(connection()), "1")
    assert some_of(seen, "@timestamp", "network.direction", "user.id", "winlog.event_data.rulename") == {
        "@timestamp": "2026-03-01T11:59:57.580Z",
        "network.direction": "ingress",
        "user.id": "S-1-5-18",
        "winlog.event_data.rulename": None,
    }
    assert some_of(winlogbeat.read(winlogbeat.render(engine_available()), "1"), "process.title") == {"process.title": "ServerRemoteHost"}


def test_a_document_as_deep_as_it_likes_is_read() -> None:
    deep: dict[str, object] = {}
    for _ in range(10_000):
        deep = {"a": deep}
    seen = event(x="1")
    assert ecs_fields(Event(**{name: getattr(seen, name) for name in seen.__slots__} | {"raw": {"winlog": {}, "deep": deep}}))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("a b  c", ["a", "b", "c"]),
        ('"a b" c', ["a b", "c"]),
        ('a"b c"d', ["ab cd"]),
        ('a\\"b', ['a"b']),
        ('"a\\\\" b', ["a\\", "b"]),
        ("C:\\a\\b", ["C:\\a\\b"]),
        ('a ""', ["a", ""]),
        ('a "b', ["a", "b"]),
        ("", []),
        ("  ", []),
    ],
)
def test_a_command_line_is_taken_apart_as_windows_does(line: str, expected: list[str]) -> None:
    assert arguments(line) == expected


@given(st.text(alphabet='ab \\"\t'))
def test_no_command_line_is_too_odd(line: str) -> None:
    assert sum(map(len, arguments(line))) <= len(line)


@needs_recordings
def test_recorded_events_have_no_empty_field_and_one_name_a_host() -> None:
    hosts: dict[str, str] = {}
    for seen in read_events(DATA / "otrf" / "empire_psremoting_stager.zip"):
        fields = ecs_fields(seen)
        assert not [name for name, value in fields.items() if value in (None, "", "-", [])]
        assert name_once(hosts, str(fields["winlog.computer_name"])) == fields["host.id"]
    assert set(hosts) == {"workstation5", "workstation6", "mordordc"}


def name_once(hosts: dict[str, str], computer: str) -> str:
    return hosts.setdefault(computer.partition(".")[0].lower(), computer.partition(".")[0].lower())
