"""The lab's process and its control channel, for real: what strangers, dead labs and lost starters do to it."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import requests
from winrm import Session

from harness.errors import LabError
from lab.process import Gone, HostAccess, LabConfig, LabPlace, StartingLab, ask, find, look, remember


@pytest.fixture(scope="module")
def place() -> Iterator[LabPlace]:
    lab = StartingLab(LabConfig())
    try:
        yield lab.ready()
    finally:
        lab.stop()


def test_it_answers_who_has_its_key(place: LabPlace) -> None:
    status = ask(place, "status")
    assert set(status) == {"lab-ws1", "lab-ws2", "memory", "shipping"}
    assert isinstance(status["memory"], int)
    assert status["shipping"] == {}


def test_what_it_cannot_ship_to_is_told_and_does_no_harm(place: LabPlace) -> None:
    with pytest.raises(LabError, match=r"siem\.ca_file /nowhere cannot be used"):
        ask(place, "ship", to={"urls": ["https://127.0.0.1:9"], "ca_file": "/nowhere"}, index="i")
    for wrong in ({}, {"urls": ["http://127.0.0.1:9"], "odd": 1}, "text"):
        with pytest.raises(LabError, match="no lab answers"):
            ask(place, "ship", to=wrong, index="i")
    assert ask(place, "status")["shipping"] == {}


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"\n",
        b"\xff\xfe\n",
        b"[]\n",
        b'{"ask": "stop"}\n',
        b'{"ask": "stop", "key": "guess"}\n',
        b'{"ask": "stop", "key": 1}\n',
        b"x" * 100_000,
        json.dumps({"ask": "stop", "key": "é" * 32}).encode() + b"\n",
    ],
)
def test_strangers_get_no_answer_and_do_no_harm(place: LabPlace, sent: bytes) -> None:
    with socket.create_connection(("127.0.0.1", place.control), timeout=10) as channel:
        try:
            channel.sendall(sent)
            channel.shutdown(socket.SHUT_WR)
            assert channel.recv(100) == b""
        except OSError:
            pass  # hung up on in mid-sentence
    assert ask(place, "status")


def test_secrets_are_in_no_repr(place: LabPlace) -> None:
    assert place.password not in repr(place)
    assert place.control_key not in repr(place)


def test_a_note_of_a_lab_that_is_gone_is_removed(place: LabPlace, tmp_path: Path) -> None:
    state = tmp_path / "lab.json"
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    left = tmp_path / "harness-lab-left"
    left.mkdir()
    remember(replace(place, control=port, pid=1, directory=str(left)), state)
    assert state.stat().st_mode & 0o077 == 0
    assert isinstance(look(state), Gone)
    assert find(state) is None
    assert not state.exists()
    assert not left.exists()


def test_a_lab_that_does_not_answer_is_not_taken_for_gone(place: LabPlace, tmp_path: Path) -> None:
    state = tmp_path / "lab.json"
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    remember(replace(place, control=port), state)
    with pytest.raises(LabError, match=rf"process {place.pid}\) does not answer; harness lab down ends it"):
        find(state)
    assert state.exists()


def test_files_of_others_are_not_removed_with_a_labs(place: LabPlace, tmp_path: Path) -> None:
    state, others = tmp_path / "lab.json", tmp_path / "documents"
    others.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    remember(replace(place, control=port, pid=1, directory=str(others)), state)
    assert find(state) is None
    assert others.exists()


def test_of_two_labs_that_come_up_at_once_one_is_written_down(place: LabPlace, tmp_path: Path) -> None:
    state = tmp_path / "lab.json"
    remember(place, state)
    with pytest.raises(LabError, match="another lab came up meanwhile"):
        remember(replace(place, pid=place.pid + 1), state)
    assert find(state) == place
    assert list(tmp_path.iterdir()) == [state]


def test_a_note_that_is_none_is_said(tmp_path: Path) -> None:
    (tmp_path / "lab.json").write_text("{}")
    with pytest.raises(LabError, match="cannot be read"):
        find(tmp_path / "lab.json")


def test_a_lab_ends_with_whoever_started_it() -> None:
    lab = StartingLab(LabConfig())
    found = lab.ready()
    assert Path(found.siem).exists()
    lab.stop()
    with pytest.raises(LabError):
        ask(found, "status")
    assert not Path(found.siem).parent.exists()


def test_a_lab_that_is_killed_is_told() -> None:
    lab = StartingLab(LabConfig())
    found = lab.ready()
    os.kill(found.pid, signal.SIGKILL)
    lab.stop()
    with pytest.raises(LabError, match="no lab answers"):
        ask(found, "status")


def test_a_lab_lets_in_by_the_schemes_of_its_settings() -> None:
    lab = StartingLab(LabConfig(access=HostAccess(schemes=("basic",), allow_unencrypted=True, auth="basic")))
    try:
        place = lab.ready()
        target = place.targets[0]
        url = f"http://{target.host}:{target.port}/wsman"
        assert requests.post(url, timeout=20).headers["WWW-Authenticate"] == 'Basic realm="WSMAN"'
        session = Session(url, auth=(target.user, place.password), transport="basic", server_cert_validation="ignore")
        assert session.run_cmd("hostname").std_out.strip() == b"WS1"
    finally:
        lab.stop()
