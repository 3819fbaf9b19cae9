"""Recordings from files: forms and archives told by content, streamed, and errors with path and line."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import tarfile
import tracemalloc
import zipfile
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path

import pytest

from harness.errors import Problem, UsageError
from harness.events import winlogbeat
from harness.events.json_documents import LONGEST
from harness.events.read import read_event, read_events
from tests.events.event_builders import engine_available, process_created
from tests.events.test_nxlog import NXLOG
from tests.needs import DATA, needs_recordings

LINES = [json.dumps(winlogbeat.render(process_created())), "", json.dumps(NXLOG), json.dumps(winlogbeat.render(engine_available()))]
TEXT = "\r\n".join(LINES).encode()


def plain(path: Path, text: bytes) -> str:
    path.write_bytes(text)
    return path.name


def zipped(path: Path, text: bytes) -> str:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.mkdir("inner")
        archive.writestr("inner/a.json", text)
    return f"{path.name}/inner/a.json"


def tarred(path: Path, text: bytes) -> str:
    with tarfile.open(path, "w:gz") as archive:
        entry = tarfile.TarInfo("a.json")
        entry.size = len(text)
        archive.addfile(entry, io.BytesIO(text))
    return f"{path.name}/a.json"


Pack = Callable[[Path, bytes], str]
PACKED = pytest.mark.parametrize("pack", [plain, zipped, tarred])


@PACKED
def test_both_forms_in_one_file_whatever_it_is_called(pack: Pack, tmp_path: Path) -> None:
    name = pack(tmp_path / "recording.bin", TEXT)
    events = list(read_events(tmp_path / "recording.bin"))
    assert [(event.id, event.event_id, event.host) for event in events] == [
        (f"{name}:1", 4688, "ws1"),
        (f"{name}:3", 4688, "workstation6"),
        (f"{name}:4", 400, "ws1"),
    ]


@PACKED
@pytest.mark.parametrize(
    ("broken", "what"),
    [
        (b"{", "not an event"),
        (b"[]", "one JSON object"),
        (b"{}", "neither winlogbeat's form"),
        (b'{"EventID": 1}', "Channel is missing"),
        (b'{"winlog": 1}', "winlog is missing"),
        (b"\xff\xfe", "not an event"),
        (b"[" * 100_000, "not an event"),
    ],
)
def test_a_broken_line_is_named_after_the_events_before_it(pack: Pack, broken: bytes, what: str, tmp_path: Path) -> None:
    name = pack(tmp_path / "r.json", TEXT + b"\n" + broken + b"\n" + TEXT)
    events = read_events(tmp_path / "r.json")
    assert len(list(islice(events, 3))) == 3
    with pytest.raises(UsageError) as raised:
        next(events)
    (problem,) = raised.value.problems
    assert (problem.path, problem.line) == (str(tmp_path / name), 5)
    assert what in problem.what


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        next(read_events(tmp_path / "absent.json"))


def test_a_directory_is_read_with_all_below_it(tmp_path: Path) -> None:
    folder = tmp_path / "night"
    (folder / "b" / ".hidden").mkdir(parents=True)
    (folder / "b" / ".hidden" / "x.json").write_bytes(TEXT)
    plain(folder / "b" / "two", TEXT)
    zipped(folder / "a.zip", TEXT)
    (folder / "README.md").write_text("# Recordings\n\nof a night\n")
    (folder / "empty").touch()
    broken: list[Problem] = []
    events = list(read_events(folder, broken.append))
    assert [event.id for event in events[::3]] == ["night/a.zip/inner/a.json:1", "night/b/two:1"]
    assert [str(problem) for problem in broken] == [f"{folder}/README.md: holds no events: it is neither EVTX, XML nor JSON"]


PRETTY = b"\n".join(json.dumps(json.loads(line), indent=2).encode() for line in LINES if line)
ARRAY = b"[" + b",".join(line.encode() for line in LINES if line) + b"]"
NUMBERED = b"\n".join(
    b"Record %d\n" % number + json.dumps(json.loads(line), indent=2).encode() for number, line in enumerate(LINES, 1) if line
)


@PACKED
@pytest.mark.parametrize("text", [PRETTY, ARRAY, NUMBERED, b"\xef\xbb\xbf" + PRETTY, ARRAY.replace(b"},{", b"},\r\n  {")])
def test_documents_that_span_lines_and_arrays(pack: Pack, text: bytes, tmp_path: Path) -> None:
    pack(tmp_path / "r", text)
    events = list(read_events(tmp_path / "r"))
    assert [(event.event_id, event.host) for event in events] == [(4688, "ws1"), (4688, "workstation6"), (400, "ws1")]


def test_what_is_broken_among_documents_of_several_lines(tmp_path: Path) -> None:
    lines = PRETTY.splitlines(keepends=True)
    second = next(number for number, line in enumerate(lines) if number and line.startswith(b"{"))
    plain(tmp_path / "r", b"".join([*lines[:second], b'{\n  "a": nothing\n}\n', *lines[second:], b'{\n  "cut": "o']))
    broken: list[Problem] = []
    events = list(read_events(tmp_path / "r", broken.append))
    assert [event.event_id for event in events] == [4688, 4688, 400]
    assert [problem.line for problem in broken] == [second + 1, len(lines) + 3]
    assert events[1].id == f"r:{second + 4}"


def test_documents_of_several_lines_are_streamed(tmp_path: Path) -> None:
    plain(tmp_path / "r", PRETTY * 10_000)
    tracemalloc.start()
    try:
        assert sum(1 for _ in read_events(tmp_path / "r")) == 30_000
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2 * 1024 * 1024


@pytest.mark.parametrize(
    "text",
    [
        b"{\n" * 200_000,
        b'{\n"' + b"a" * 40_000_000,
        b'{\n"a":' * 500_000,
        b"[" * 5_000_000,
        b"[1," * 200_000,
        b'{\n"a": {"b":' * 100_000,
    ],
)
def test_hostile_text_among_documents_ends(text: bytes, tmp_path: Path) -> None:
    plain(tmp_path / "r", text)
    broken: list[Problem] = []
    assert list(read_events(tmp_path / "r", lambda problem: broken.__setitem__(slice(None), [problem]))) == []
    assert broken or not text.strip(b"[")


@needs_recordings
def test_sigmahqs_own_recordings_are_read_as_they_stand() -> None:
    broken: list[Problem] = []
    read = Counter(event.id.rpartition(".")[2].partition(":")[0] for event in read_events(DATA / "sigma" / "regression.zip", broken.append))
    assert read["json"] >= 100
    assert read["evtx"] >= 100
    assert all(problem.path.endswith((".yml", ".raw", "LICENSE")) for problem in broken)


def test_a_damaged_archive(tmp_path: Path) -> None:
    path = tmp_path / "r.zip"
    zipped(path, TEXT)
    bytes_ = bytearray(path.read_bytes())
    bytes_[100:140] = bytes(40)
    path.write_bytes(bytes_)
    with pytest.raises(UsageError, match="cannot be read"):
        list(read_events(path))


def test_an_empty_file_holds_no_event(tmp_path: Path) -> None:
    plain(tmp_path / "r.json", b"")
    assert list(read_events(tmp_path / "r.json")) == []


def test_one_document() -> None:
    assert read_event(NXLOG, "a").host == "workstation6"


OTRF = DATA / "otrf"

COUNTS = [
    ("empire_psremoting_stager.zip", 2744),
    ("covenant_psremoting_command.zip", 4284),
    ("covenant_persistwmi.tar.gz", 1001),
    ("cmd_bitsadmin_download_psh_script.zip", 424),
]


@needs_recordings
@pytest.mark.parametrize(("name", "count"), COUNTS)
def test_every_event_of_a_recording(name: str, count: int) -> None:
    events = list(read_events(OTRF / name))
    assert len(events) == count
    assert len({event.id for event in events}) == count
    assert all("." not in event.host and event.host == event.host.lower() for event in events)


@needs_recordings
def test_a_recording_has_one_time_line() -> None:
    """Sysmon tells UTC and the rest local time: read right, they lie within the two minutes that the recording took."""
    events = list(read_events(OTRF / "empire_psremoting_stager.zip"))
    times = [event.time for event in events]
    assert (max(times) - min(times)).total_seconds() < 120
    assert {event.host for event in events} == {"workstation5", "workstation6", "mordordc"}


@needs_recordings
def test_sysmons_own_event_types_come_through() -> None:
    events = read_events(OTRF / "covenant_psremoting_command.zip")
    kinds = Counter(event.flat["eventtype"] for event in events if "eventtype" in event.flat)
    assert kinds["SetValue"] == 296
    assert not {"INFO", "AUDIT_SUCCESS"} & set(kinds)


@needs_recordings
def test_the_remote_engine_of_a_recording_bears_its_text_as_data() -> None:
    events = [event for event in read_events(OTRF / "empire_psremoting_stager.zip") if event.event_id == 400]
    remote = [event for event in events if "HostName=ServerRemoteHost" in str(event.flat["data"])]
    assert [(event.host, event.flat["message"] == event.flat["data"]) for event in remote] == [("workstation6", True)]


# --- what cannot be read is counted and left out ----------------------------------------------------------------------------


@PACKED
def test_broken_lines_are_told_and_left_out(pack: Pack, tmp_path: Path) -> None:
    name = pack(tmp_path / "r.json", b"{\n" + TEXT + b"\n[1]\n" + TEXT)
    broken: list[Problem] = []
    assert len(list(read_events(tmp_path / "r.json", broken.append))) == 6
    assert [(problem.path, problem.line) for problem in broken] == [(str(tmp_path / name), 1), (str(tmp_path / name), 6)]


def test_a_line_that_is_too_long_is_left_out(tmp_path: Path) -> None:
    plain(tmp_path / "r.json", TEXT + b"\n" + b"x" * (LONGEST * 2 + 5) + b"\n" + TEXT)
    broken: list[Problem] = []
    assert len(list(read_events(tmp_path / "r.json", broken.append))) == 6
    assert [problem.line for problem in broken] == [5]
    assert "longer than 16 MiB" in broken[0].what


def test_a_gzipped_file_and_what_follows_its_last_member(tmp_path: Path) -> None:
    plain(tmp_path / "r.json", gzip.compress(TEXT) + b"\n")
    assert len(list(read_events(tmp_path / "r.json"))) == 3


def test_every_member_of_a_zip_though_one_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "r.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.json", TEXT)
        archive.writestr("b.json", TEXT.replace(b"4688", b"4689"))
        archive.writestr("c.zip", b"PK\x03\x04")
    path.write_bytes(path.read_bytes().replace(b"4689", b"4690"))
    broken: list[Problem] = []
    ids = {event.id.partition(":")[0] for event in read_events(path, broken.append)}
    assert "r.zip/a.json" in ids
    assert [problem.path for problem in broken] == [str(path / "b.json"), str(path / "c.zip")]
    assert "CRC" in broken[0].what
    assert "archive inside an archive" in broken[1].what


@pytest.mark.parametrize("text", [b"PK\x03\x04 nothing", b"\x1f\x8b nothing", b"BZh nothing", bytes(257) + b"ustar" + bytes(300)])
def test_what_only_looks_like_an_archive(text: bytes, tmp_path: Path) -> None:
    plain(tmp_path / "r", text)
    broken: list[Problem] = []
    assert list(read_events(tmp_path / "r", broken.append)) == []
    assert [problem.path for problem in broken] == [str(tmp_path / "r")]
    assert "cannot be read" in broken[0].what


def test_links_and_devices_of_a_tar_are_named_and_what_follows_them_is_read(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        kinds = (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE)
        for name, kind in zip("shcfd", kinds, strict=True):
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = kind, "/etc/passwd"
            archive.addfile(entry)
        entry = tarfile.TarInfo("a.json")
        entry.size = len(TEXT)
        archive.addfile(entry, io.BytesIO(TEXT))
    broken: list[Problem] = []
    assert len(list(read_events(tmp_path / "a.tar", broken.append))) == 3
    assert [problem.path[-1] for problem in broken] == ["s", "h", "c", "f"]


@pytest.mark.parametrize("kind", ["zip", "gzip", "bzip2"])
def test_a_bomb_is_defused(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "bomb"
    block, count = b"{" * 1024 * 1024, 100
    if kind == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("a", "w") as member:
            for _ in range(count):
                member.write(block)
    else:
        with gzip.open(path, "wb") if kind == "gzip" else bz2.open(path, "wb") as stream:
            for _ in range(count):
                stream.write(block)
    broken: list[str] = []
    tracemalloc.start()
    try:
        # A line of the bomb is told as broken like any other: only what is told last counts here.
        for _ in read_events(path, lambda problem: broken.__setitem__(slice(None), [problem.what])):
            pass
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert "zip bomb" in broken[0]
    assert peak < 80 * 1024 * 1024


# --- Elastic Agent ------------------------------------------------------------------------------------------------------------


def test_elastic_agents_documents_read_as_the_event_itself() -> None:
    document = {
        "_index": ".ds-logs-windows.sysmon_operational-default-000001",
        "_source": {
            "@timestamp": "2026-01-02T03:04:05.678Z",
            "data_stream": {"dataset": "windows.sysmon_operational"},
            "process": {"executable": "C:\\x.exe", "command_line": "x /a", "pid": 7, "parent": {"executable": "C:\\p.exe"}},
            "network": {"direction": "egress"},
            "user": {"domain": "LAB", "name": "u"},
            "file": {"path": "C:\\t"},
            "winlog": {
                "channel": "Microsoft-Windows-Sysmon/Operational",
                "computer_name": "ws1.lab.example",
                "provider_name": "Microsoft-Windows-Sysmon",
                "event_id": "3",
                "event_data": {"Image": "C:\\own.exe"},
            },
        },
    }
    event = read_event(document, "a")
    wanted = {
        "commandline": "x /a",
        "processid": 7,
        "parentimage": "C:\\p.exe",
        "initiated": "true",
        "user": "LAB\\u",
        "targetfilename": "C:\\t",
    }
    assert {name: event.flat[name] for name in wanted} == wanted
    assert event.flat["image"] == "C:\\own.exe"  # what is still among the event's own values stands


@pytest.mark.parametrize(("event_id", "name"), [(7, "imageloaded"), (11, "targetfilename")])
def test_a_file_is_what_the_event_calls_it(event_id: int, name: str) -> None:
    winlog = {"channel": "c", "computer_name": "w", "provider_name": "Microsoft-Windows-Sysmon", "event_id": event_id}
    event = read_event({"@timestamp": "2026-01-02T03:04:05Z", "file": {"path": "C:\\f"}, "winlog": winlog}, "a")
    assert event.flat[name] == "C:\\f"
    assert {"imageloaded", "targetfilename"} - set(event.flat) == {"imageloaded", "targetfilename"} - {name}


_HEAD_6: dict[str, object] = {
    "@timestamp": "2023-08-14T00:36:23.656Z",
    "log_name": "Security",
    "event_id": 4624,
    "computer_name": "WS1.lab",
}


@pytest.mark.parametrize(
    "document",
    [
        _HEAD_6 | {"source_name": "P", "event_data": {"LogonType": "3"}, "process_id": 7, "thread_id": 8, "beat": {"version": "6.3.0"}},
        {
            "@timestamp": "2023-08-14T00:36:23.656Z",
            "winlog.channel": "Security",
            "winlog.event_id": 4624,
            "winlog.computer_name": "WS1.lab",
            "winlog.provider_name": "P",
            "winlog.event_data.LogonType": "3",
            "winlog.process.pid": 7,
        },
    ],
    ids=["winlogbeat 6", "dotted"],
)
def test_the_same_event_is_read_however_its_names_are_spelt(document: dict[str, object]) -> None:
    seen = read_event(document, "1")
    assert (seen.channel, seen.event_id, seen.host, seen.provider) == ("Security", 4624, "ws1", "P")
    assert seen.time == datetime(2023, 8, 14, 0, 36, 23, 656000, tzinfo=UTC)
    assert (seen.flat["logontype"], seen.flat["execution_process_id"]) == ("3", 7)


def exported(minute: int, utc: str | None) -> dict[str, object]:
    """An event of an export whose local time, four hours behind UTC, bears a Z."""
    own: dict[str, object] = {} if utc is None else {"SourceName": "Microsoft-Windows-Sysmon", "UtcTime": utc}
    head = {"EventID": 1, "Channel": "c", "SourceName": "P", "Hostname": "w", "TimeCreated": f"2020-10-23T02:{minute:02}:00.000Z"}
    return head | own


def test_an_exports_times_are_put_on_sysmons_clock(tmp_path: Path) -> None:
    sysmon = "2020-10-23 06:01:59.990"
    documents = [exported(1, None), NXLOG, exported(2, sysmon), exported(3, None), exported(4, None)]
    path = tmp_path / "a.json"
    path.write_text("\n".join(map(json.dumps, documents)))
    seen = [*read_events(path)]
    assert [event.id for event in seen] == [f"a.json:{line}" for line in range(1, 6)]
    assert [f"{event.time:%d %H:%M:%S}" for event in seen] == ["23 06:01:00", "20 21:09:11", "23 06:01:59", "23 06:03:00", "23 06:04:00"]


def test_an_exports_times_are_taken_at_their_word_where_nothing_tells_better(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text("\n".join(json.dumps(exported(minute % 60, None)) for minute in range(1_500)))
    seen = [*read_events(path)]
    assert len(seen) == 1_500
    assert {event.time.hour for event in seen} == {2}


@needs_recordings
@pytest.mark.parametrize("name", ["cmd_bitsadmin_download_psh_script.zip", "schtask_create.zip", "psh_powershell_httplistener.zip"])
def test_a_recorded_export_has_one_time_line(name: str) -> None:
    times = [event.time for event in read_events(DATA / "otrf" / name)]
    assert max(times) - min(times) < timedelta(hours=1)


def test_names_that_lie_below_a_value_are_refused() -> None:
    with pytest.raises(ValueError, match="below what is no object"):
        read_event({"winlog.channel": "Security", "winlog.channel.x": 1}, "1")


def test_what_a_pipeline_took_out_of_security_events_is_there_again() -> None:
    winlog = {"channel": "Security", "computer_name": "w", "provider_name": "Microsoft-Windows-Security-Auditing"}
    process = {"executable": "C:\\a.exe", "pid": 255, "parent": {"executable": "C:\\b.exe", "pid": 16}}
    head = {"@timestamp": "2023-08-14T00:36:23.656Z", "process": process}
    created = read_event(head | {"winlog": winlog | {"event_id": "4688"}}, "1").flat
    names = ("newprocessname", "newprocessid", "parentprocessname", "processid")
    assert [created[name] for name in names] == ["C:\\a.exe", "0xff", "C:\\b.exe", "0x10"]
    logon = read_event(head | {"source": {"ip": "10.0.0.1", "port": 5}, "winlog": winlog | {"event_id": 4624}}, "1").flat
    assert [logon[name] for name in ("processname", "processid", "ipaddress", "ipport")] == ["C:\\a.exe", "0xff", "10.0.0.1", 5]
    assert "newprocessname" not in logon


def test_attributes_beside_their_elements_are_read_as_those_inside() -> None:
    system = {"EventID": 4624, "Channel": "Security", "Computer": "w", "Provider_attributes": {"Name": "P"}}
    system |= {"TimeCreated_attributes": {"SystemTime": "2021-01-01T10:00:00Z"}, "Execution_attributes": {"ProcessID": 4}}
    seen = read_event({"Event": {"System": system, "EventData": {"A": "1"}, "EventData_attributes": {"Name": "x"}}}, "1")
    assert (seen.provider, seen.time.hour, seen.flat["execution_process_id"], seen.flat["a"]) == ("P", 10, 4, "1")
