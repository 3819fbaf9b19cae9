"""EVTX: SigmaHQ's own recordings through their binary form, and what damage does to a file."""

from __future__ import annotations

import random
import re
import zipfile
from pathlib import Path, PurePosixPath

import pytest

from harness.errors import Problem, UsageError
from harness.events import evtx
from harness.events.read import read_event, read_events
from harness.logic.match import matcher
from harness.rules.sigma import SigmaRules
from tests.needs import DATA, needs_recordings
from tests.rules.sigma_data import upstream_rules

REGRESSION = DATA / "sigma" / "regression.zip"


def members() -> list[str]:
    with zipfile.ZipFile(REGRESSION) as archive:
        return [name for name in archive.namelist() if name.endswith(".evtx")]


def member(tmp_path: Path, name: str) -> Path:
    with zipfile.ZipFile(REGRESSION) as archive:
        path = tmp_path / "recording.log"
        path.write_bytes(archive.read(name))
        return path


SYSTEM = {
    "Provider": {"#attributes": {"Name": "PowerShell"}},
    "EventID": {"#attributes": {"Qualifiers": 0}, "#text": 400},
    "TimeCreated": {"#attributes": {"SystemTime": "2026-01-02T03:04:05.678901Z"}},
    "Execution": {"#attributes": {"ProcessID": 0, "ThreadID": 0}},
    "Channel": "Windows PowerShell",
    "Computer": "WS1.lab.example",
}


def test_a_classic_event() -> None:
    event = read_event({"Event": {"System": SYSTEM, "EventData": {"Data": {"#text": ["Available", "None"]}, "Binary": None}}}, "a:1")
    assert (event.id, event.event_id, event.host, event.channel) == ("a:1", 400, "ws1", "Windows PowerShell")
    assert event.time.isoformat() == "2026-01-02T03:04:05.678901+00:00"
    assert event.flat["data"] == "Available\nNone"
    assert "execution_process_id" not in event.flat


def test_user_data_and_guids() -> None:
    guid = "0197231e-9be6-6934-5301-000000000b00"
    inner = {"#attributes": {"xmlns": "x"}, "SubjectUserName": "u", "LogonGuid": guid, "Other": guid, "Nested": {"A": 1}}
    event = read_event({"Event": {"System": SYSTEM, "UserData": {"LogFileCleared": inner}}}, "a:1")
    assert event.flat["subjectusername"] == "u"
    assert event.flat["logonguid"] == f"{{{guid}}}"
    assert event.flat["other"] == guid


@pytest.mark.parametrize("lacks", ["Provider", "EventID", "TimeCreated", "Channel", "Computer"])
def test_what_a_record_lacks_is_named(lacks: str) -> None:
    system = {name: value for name, value in SYSTEM.items() if name != lacks}
    with pytest.raises(ValueError, match=f"{lacks} is missing"):
        evtx.read({"Event": {"System": system}}, "a")


@needs_recordings
def test_sigmahqs_own_recordings(tmp_path: Path) -> None:
    """Upstream's criterion: at least as many matches as its info.yml says. A few belong to rules outside the folder of Windows rules."""
    texts = {line.removeprefix("id: "): text for text in upstream_rules().values() for line in text.splitlines() if line.startswith("id: ")}
    checked = 0
    with zipfile.ZipFile(REGRESSION) as archive:
        for name in members():
            rule_id = PurePosixPath(name).stem
            if rule_id not in texts:
                continue
            count = re.search(r"match_count: (\d+)", archive.read(str(PurePosixPath(name).with_name("info.yml"))).decode())
            (rule,) = SigmaRules().parse(texts[rule_id], name)
            found = sum(map(matcher(rule.logic), read_events(member(tmp_path, name))))
            assert found >= (int(count[1]) if count else 1), rule_id
            checked += 1
    assert checked == 96


@needs_recordings
def test_in_an_archive_as_by_itself(tmp_path: Path) -> None:
    name = members()[0]
    alone = list(read_events(member(tmp_path, name)))
    with zipfile.ZipFile(tmp_path / "r.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(tmp_path / "recording.log", "a.evtx")
    (packed,) = read_events(tmp_path / "r.zip")
    assert [event.flat for event in alone] == [packed.flat]
    assert (alone[0].id, packed.id) == ("recording.log:1", "r.zip/a.evtx:1")


@needs_recordings
@pytest.mark.parametrize("length", [8, 4000, 4096, 5000, 50_000])
def test_a_file_that_is_cut_off(length: int, tmp_path: Path) -> None:
    path = member(tmp_path, members()[0])
    path.write_bytes(path.read_bytes()[:length])
    broken: list[Problem] = []
    assert list(read_events(path, broken.append)) == []
    assert [problem.path for problem in broken] == [str(path)]
    assert "cut off" in broken[0].what or "ends before" in broken[0].what
    with pytest.raises(UsageError, match=re.escape(str(path))):
        list(read_events(path))


@needs_recordings
def test_damage_ends_in_problems_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of this seed's files the 37th leads the native parser round in a circle."""
    monkeypatch.setattr(evtx, "STALLED", 2.0)
    path = member(tmp_path, members()[0])
    whole = path.read_bytes()
    chance = random.Random(1)
    told: list[str] = []
    for number in range(37):
        damaged = bytearray(whole)
        for _ in range(50):
            damaged[chance.randrange(9000)] = chance.randrange(256)
        if number >= 30:
            path.write_bytes(evtx.MAGIC + damaged[len(evtx.MAGIC) :])
            list(read_events(path, lambda problem: told.append(problem.what)))
    assert "did not come to an end" in told[-1]
