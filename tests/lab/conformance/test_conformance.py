"""The lab against recordings, and the comparison itself: what it must find, and what it must not hold against anybody."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from harness.events import nxlog, windows_xml, winlogbeat
from harness.events.ingested import ingested
from harness.events.read import read_event, read_events
from harness.events.views import VIEWS
from harness.events.windows import WindowsEvent
from harness.model.conformance import Aspect, Conformance, EventKind, Reason
from lab.conformance.census import Census, census
from lab.conformance.compare import compare
from lab.conformance.forms import Form, form_of
from lab.conformance.reasons import load_reasons
from lab.conformance.story import lab_events, lab_records
from tests.needs import DATA, needs_recordings

Document = dict[str, object]
MOST_DIFFERENCES = 20


@cache
def lab() -> Census:
    return census(lab_events())


@cache
def own_documents() -> tuple[str, ...]:
    """The lab's own events as NXLog would have recorded them."""
    return tuple(json.dumps(nxlog.render(record)) for record in lab_records())


def against(documents: list[Document]) -> Conformance:
    return compare(lab(), census(read_event(one, f"r:{number}") for number, one in enumerate(documents)), load_reasons())


def recording(change: Callable[[Document], Document | None]) -> list[Document]:
    """The lab's own events with a change made to each; None leaves the event out."""
    changed = (change(json.loads(text)) for text in own_documents())
    return [one for one in changed if one is not None]


def recorded(name: str) -> Conformance:
    return compare(lab(), census(read_events(DATA / "otrf" / name, lambda _: None)), load_reasons())


# --- real recordings ------------------------------------------------------------------------------------------------------


@needs_recordings
@pytest.mark.parametrize("name", ["empire_psremoting_stager.zip", "covenant_psremoting_command.zip"])
def test_a_recorded_session_of_remoting_is_like_the_labs(name: str) -> None:
    found = recorded(name)
    assert found.failures == ()
    assert len(found.differences) <= MOST_DIFFERENCES
    assert {one.kind.event_id for one in found.compared} >= {1, 3, 5, 400, 600, 800, 4103, 4624, 4634, 4672, 4688, 4689, 5156, 53504}
    assert not [one for one in found.relations if one.recorded and not one.lab]


@needs_recordings
@pytest.mark.parametrize(
    "name",
    [
        "cmd_bitsadmin_download_psh_script.zip",
        "covenant_persistwmi.tar.gz",
        "covenant_sharpwmi_create_dcerpc_wmi.zip",
        "empire_launcher_vbs.zip",
        "msf_record_mic.zip",
        "psh_powershell_httplistener.zip",
        "schtask_create.zip",
    ],
)
def test_recordings_of_other_things_hold_nothing_against_the_lab(name: str) -> None:
    assert recorded(name).failures == ()


@needs_recordings
def test_recordings_of_newer_windows_and_sysmon_in_evtx() -> None:
    found = compare(lab(), census(read_events(DATA / "sigma" / "regression.zip", lambda _: None)), load_reasons())
    assert found.failures == ()
    assert "parentuser" in {one.field for one in found.differences}


# --- the lab against itself -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", list(VIEWS))
def test_the_labs_own_events_are_like_the_labs_in_every_form(form: str, tmp_path: Path) -> None:
    (tmp_path / "own").write_text("\n".join(map(VIEWS[form], lab_records())), newline="")
    found = compare(lab(), census(read_events(tmp_path / "own")), load_reasons())
    assert found.differences == ()
    assert (found.not_emitted, found.not_recorded) == ((), ())
    assert [one.name for one in found.relations if not (one.lab and one.recorded)] == []


def as_hit(record: WindowsEvent) -> Document:
    """As a search of Elasticsearch returns winlogbeat's document, with what its ingest pipelines make of it."""
    return {"_index": "winlogbeat", "_source": ingested(winlogbeat.render(record), datetime(2026, 3, 2, tzinfo=UTC))}


def as_export(record: WindowsEvent) -> Document:
    """As the later exports of published data sets: NXLog's shape with every number a string and one clock."""
    head: Document = {
        "EventID": record.event_id,
        "Channel": record.channel,
        "SourceName": record.provider,
        "Hostname": record.computer,
        "TimeCreated": record.created.isoformat(),
        "Level": str(int(record.level)),
        "Task": str(record.task),
        "Opcode": str(record.opcode),
        "Keywords": hex(record.keywords),
        "Version": str(record.version),
        "Message": record.message,
    }
    if record.provider_guid:
        head["ProviderGuid"] = record.provider_guid.lower()
    return head | {name: value for name, value in record.data.items() if value}


def as_dump(record: WindowsEvent) -> Document:
    """As `evtx_dump` tells a record in JSON: numbers and truths as such, GUIDs without braces, no rendered text."""
    document: Any = windows_xml.document(windows_xml.render(record))
    del document["Event"]["RenderingInfo"]
    data = document["Event"]["EventData"]
    for name, value in data.items():
        if value in ("true", "false"):
            data[name] = value == "true"
        elif isinstance(value, str) and value.isdecimal():
            data[name] = int(value)
        elif isinstance(value, str) and value.startswith("{"):
            data[name] = value.strip("{}").upper()
    return dict(document)


@pytest.mark.parametrize("written", [as_hit, as_export, as_dump])
def test_the_labs_own_events_are_like_the_labs_in_forms_of_others(written: Callable[[WindowsEvent], Document]) -> None:
    assert against([written(record) for record in lab_records()]).differences == ()


def test_the_lab_does_what_leaves_every_kind_that_it_emits() -> None:
    ids = {kind.event_id for kind in lab().kinds}
    assert ids == {
        *(1, 3, 5, 11, 12, 13),
        *(7036, 7040, 7045),
        *(91, 400, 403, 600, 800),
        *(4103, 4104, 40961, 40962, 53504),
        *(4624, 4625, 4634, 4648, 4672, 4688, 4689, 5156),
        *(4697, 4720, 4722, 4724, 4725, 4726, 4728, 4729, 4731, 4732, 4733, 4734, 4738),
    }


# --- what must be found ---------------------------------------------------------------------------------------------------


def on(event_id: int, **values: object) -> Callable[[Document], Document]:
    """Set fields of every event of a kind; None takes a field away, a function changes its value."""

    def change(document: Document) -> Document:
        if document["EventID"] != event_id:
            return document
        made: Document = dict(document)
        for name, value in values.items():
            if value is None:
                made.pop(name, None)
            else:
                made[name] = value(str(made[name])) if callable(value) else value
        return made

    return change


def decimal(text: str) -> str:
    return str(int(text, 16))


FAULTS: Mapping[str, tuple[Callable[[Document], Document], int, str, Aspect]] = {
    "a logon id in decimal": (on(4624, TargetLogonId=decimal), 4624, "targetlogonid", Aspect.FORM),
    "a pid of 4688 in decimal": (on(4688, NewProcessId=decimal), 4688, "newprocessid", Aspect.FORM),
    "a pid of Sysmon in hexadecimal": (on(1, ProcessId=lambda text: hex(int(text))), 1, "processid", Aspect.FORM),
    "a guid without braces": (on(1, ProcessGuid=lambda text: text.strip("{}")), 1, "processguid", Aspect.FORM),
    "a port that is none": (on(5156, SourcePort="http"), 5156, "sourceport", Aspect.FORM),
    "no code": (on(5156, Direction="Inbound"), 5156, "direction", Aspect.FORM),
    "a code that is none of its field's": (on(5156, Direction="%%1"), 5156, "direction", Aspect.VALUE),
    "another time": (on(3, UtcTime="yesterday"), 3, "utctime", Aspect.FORM),
    "an account instead of a SID": (on(4688, SubjectUserSid="LAB\\purple"), 4688, "subjectusersid", Aspect.FORM),
    "a field that the lab lacks": (on(4634, Surprise="yes"), 4634, "surprise", Aspect.MISSING),
    "a field that the lab adds": (on(4689, Status=None), 4689, "status", Aspect.ADDED),
    "a task of another event": (on(4688, Task=13313), 4688, "task", Aspect.HEAD),
    "another provider": (on(1, ProviderGuid="{00000000-0000-0000-0000-000000000001}"), 1, "guid", Aspect.HEAD),
    "other keywords": (on(4624, Keywords=0), 4624, "keywords", Aspect.HEAD),
    "another level": (on(4103, EventType="ERROR"), 4103, "level", Aspect.HEAD),
    "a line of the context that is gone": (
        on(4103, ContextInfo=lambda text: text.replace("        Shell ID = Microsoft.PowerShell\r\n", "")),
        4103,
        "contextinfo.shell id",
        Aspect.ADDED,
    ),
    "a line of a classic text that is new": (on(400, Message=lambda text: f"{text}\r\n\tColour=red"), 400, "data.colour", Aspect.MISSING),
    "a host id that is none": (
        on(600, Message=lambda text: text.replace("HostId=", "HostId=x")),
        600,
        "data.hostid",
        Aspect.FORM,
    ),
}


@pytest.mark.parametrize("name", list(FAULTS))
def test_a_fault_is_a_difference_without_a_reason(name: str) -> None:
    change, event_id, field, aspect = FAULTS[name]
    found = against(recording(change))
    assert (event_id, field, aspect) in {(one.kind.event_id, one.field, one.aspect) for one in found.failures}
    assert found.differences[-1].reason is None  # failures stand last


def test_one_wrong_event_of_many_is_found() -> None:
    documents = recording(lambda document: document)
    first = next(one for one in documents if one["EventID"] == 4688)
    first["NewProcessId"] = decimal(str(first["NewProcessId"]))
    (failure,) = against(documents).failures
    assert (failure.field, failure.count) == ("newprocessid", 1)


def test_a_relation_that_a_recording_breaks_is_told() -> None:
    found = against(recording(on(4634, TargetLogonId="0x77")))
    (broken,) = (one for one in found.differences if one.aspect is Aspect.RELATION)
    assert (broken.field, broken.reason) == ("a logon ends under its LogonId", Reason.ENVIRONMENT)


def test_a_relation_that_the_lab_lacks_is_a_failure() -> None:
    documents = recording(on(4634, TargetLogonId="0x77"))
    broken_lab = census(read_event(one, f"l:{number}") for number, one in enumerate(documents))
    whole = census(read_event(one, f"r:{number}") for number, one in enumerate(recording(lambda document: document)))
    failures = compare(broken_lab, whole, load_reasons()).failures
    assert [(one.field, one.aspect) for one in failures] == [("a logon ends under its LogonId", Aspect.RELATION)]


# --- what must not be held against anybody --------------------------------------------------------------------------------

EXCUSED: Mapping[str, tuple[Callable[[Document], Document], str, Reason]] = {
    "an older 4624": (
        on(4624, Version=1, ElevatedToken=None, VirtualAccount=None, TargetLinkedLogonId=None, RestrictedAdminMode=None),
        "elevatedtoken",
        Reason.ENVIRONMENT,
    ),
    "a newer 4624": (on(4624, Version=3, RemoteCredentialGuard="-x"), "remotecredentialguard", Reason.ENVIRONMENT),
    "an older 5156": (on(5156, Version=0, RemoteUserID=None, RemoteMachineID=None), "remoteuserid", Reason.ENVIRONMENT),
    "a 4104 of times to come": (on(4104, Version=7, Colour="red"), "colour", Reason.ENVIRONMENT),
    "a German PowerShell": (
        on(4103, ContextInfo="        Schweregrad = Informational\r\n        Hostname = ServerRemoteHost\r\n"),
        "contextinfo",
        Reason.ENVIRONMENT,
    ),
    "no messages": (on(400, Message=None), "data", Reason.RECORDERS_OWN_FIELD),
    "a newer Sysmon": (on(1, ParentUser="LAB\\purple"), "parentuser", Reason.ENVIRONMENT),
    "no command lines in 4688": (on(4688, CommandLine=None), "commandline", Reason.ENVIRONMENT),
    "named rules of Sysmon": (on(1, RuleName="technique_id=T1059"), "rulename", Reason.OTHER_SOFTWARE),
    "NXLog's own process id": (on(1, ProcessId=None), "processid", Reason.RECORDERS_OWN_FIELD),
    "logons of another kind": (on(4624, IpAddress="10.0.0.9", IpPort="50000"), "ipaddress", Reason.ENVIRONMENT),
    "a collector's field": (on(4688, **{"geo.ip": "10.0.0.9"}), "geo.ip", Reason.RECORDERS_OWN_FIELD),
}


@pytest.mark.parametrize("name", list(EXCUSED))
def test_what_has_a_reason_is_no_failure(name: str) -> None:
    change, field, reason = EXCUSED[name]
    found = against(recording(change))
    assert found.failures == ()
    assert (field, reason) in {(one.field, one.reason) for one in found.differences}
    assert all(one.fact for one in found.differences)


def test_a_missing_field_of_a_known_version_has_no_reason() -> None:
    found = against(recording(on(4624, ElevatedToken=None)))
    assert [(one.field, one.aspect) for one in found.failures] == [("elevatedtoken", Aspect.ADDED)]


def test_kinds_that_the_lab_does_not_emit_are_listed() -> None:
    def become_another(document: Document) -> Document:
        return {**document, "EventID": 4656} if document["EventID"] == 4634 else document

    found = against(recording(become_another))
    assert found.failures == ()
    assert [one.kind for one in found.not_emitted] == [EventKind(channel="security", event_id=4656)]
    assert [one.kind.event_id for one in found.not_recorded] == [4634]


def test_a_recording_of_one_event_is_compared() -> None:
    found = against([json.loads(own_documents()[0])])
    assert (found.events, found.failures) == (1, ())


def test_a_stream_of_ever_new_kinds_and_fields_takes_bounded_memory() -> None:
    counted = Census()
    base = json.loads(own_documents()[0])
    for number in range(6_000):
        counted.take(read_event({**base, "EventID": number}, "x"))
    for number in range(1_000):
        counted.take(read_event({**base, "EventID": 1, f"Field{number}": "x" * 500}, "x"))
    assert len(counted.kinds) == 5_000
    assert max(len(kind.fields) for kind in counted.kinds.values()) == 400


@pytest.mark.parametrize(
    ("value", "form"),
    [
        ("", Form.NONE),
        ("-", Form.NONE),
        ("{d273d0f0-7e30-5f67-2b06-000000000800}", Form.GUID),
        ("9b496bdc-cad3-4db2-a143-e711dccf6e62", Form.BARE_GUID),
        ("0x2da8840", Form.HEX),
        ("59770", Form.NUMBER),
        ("%%1833", Form.CODE),
        ("%%1537\r\n\t\t\t\t%%1538", Form.CODE),
        ("S-1-5-21-1363495622-3806888128-621328882-1104", Form.SID),
        ("2020-09-20 21:09:08.008", Form.TIME),
        ("172.18.39.5", Form.ADDRESS),
        ("fe80::1", Form.ADDRESS),
        ("True", Form.TRUTH),
        ("C:\\Windows\\System32\\whoami.exe", Form.PATH),
        ("\\device\\harddiskvolume2\\windows\\explorer.exe", Form.DEVICE),
        ("SHA1=9245F36AA783167E0AFE948B1C0E8E7F3B81E3D4,MD5=8AC325C757FA721B272ECEA19EBCF745", Form.HASHES),
        ("SeSecurityPrivilege\r\n\t\t\tSeBackupPrivilege", Form.PRIVILEGES),
        ("NT AUTHORITY\\SYSTEM", Form.ACCOUNT),
        ("powershell.exe -noP", Form.TEXT),
        ("0x" + "1" * 5_000, Form.TEXT),
    ],
)
def test_the_form_of_a_value(value: str, form: Form) -> None:
    assert form_of(value) is form
