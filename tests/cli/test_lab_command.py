"""`harness lab` as people use it: up, looked at, watched, ended, killed. Each test that changes a lab has one of its own."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
from pypsrp.client import Client

from tests.cli.commands import Ended, UpLab, ended, environment, harness, own_state, start


@contextmanager
def up(directory: Path, *arguments: str) -> Iterator[UpLab]:
    """A lab of the test's own."""
    directory.mkdir(exist_ok=True)
    made = UpLab(directory=directory, state=directory / "state" / "lab.json")
    found = harness("lab", "up", *arguments, cwd=directory, env=made.env)
    assert found.code == 0, found.said
    try:
        yield made
    finally:
        harness("lab", "down", cwd=directory, env=made.env)


def said(lab: UpLab, *arguments: str) -> Ended:
    return harness("lab", *arguments, cwd=lab.directory, env=lab.env)


def detonate(lab: UpLab) -> None:
    """A session with a child process on the first host."""
    place = lab.place
    target = place["targets"][0]
    with Client(target["host"], port=target["port"], ssl=False, auth="ntlm", username=target["user"], password=place["password"]) as client:
        assert client.execute_ps("whoami.exe")[0].strip() == "lab\\purple"


def test_a_lab_of_named_hosts_is_there_until_it_is_ended(tmp_path: Path) -> None:
    with up(tmp_path / "a", "--hosts", "web1,db1,dc1") as lab:
        place = lab.place
        assert [target["name"] for target in place["targets"]] == ["lab-web1", "lab-db1", "lab-dc1"]
        assert stat.S_IMODE(lab.state.stat().st_mode) == 0o600
        assert stat.S_IMODE(lab.state.parent.stat().st_mode) == 0o700
        table = said(lab, "status").out
        for target in place["targets"]:
            row = rf"^{target['name']} +http://127\.0\.0\.1:{target['port']}/wsman +{re.escape(target['computer'])} +{target['address']}$"
            assert re.search(row, table, re.MULTILINE), table
        assert place["password"] not in table
        assert f"password: {place['password']}" in said(lab, "status", "--show-password").out
        assert "password" not in lab.status()
        status = lab.status()
        assert (status["up"], status["pid"], len(status["hosts"])) == (True, place["pid"], 3)
        assert status["memory"] > 2**20
        again = said(lab, "up")
        assert (again.code, again.out.splitlines()[0].partition(",")[0]) == (0, "the lab is up already")
        assert lab.place == place
        ran = harness("run", "--lab", "--target", "lab-db1", "--technique", "T1033", cwd=tmp_path, env=lab.env)
        assert {verdict.target for verdict in ran.full.verdicts} == {"lab-db1"}
        assert said(lab, "down").out == "the lab is down\n"
        assert not Path(place["directory"]).exists()
        assert not lab.state.exists()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", place["targets"][0]["port"]))
        assert said(lab, "down").out == "there is no lab: it is down\n"
        assert "the lab is down" in (found := said(lab, "logs")).out
        assert all(f"{target['name']} listens on 127.0.0.1 port {target['port']}" in found.out for target in place["targets"])
        assert place["password"] not in found.out
        down = said(lab, "status", "--json", "-")
        assert (down.code, json.loads(down.out)) == (3, {"up": False})


def test_a_lab_that_was_killed_is_explained_and_its_files_go(tmp_path: Path) -> None:
    with up(tmp_path / "a") as lab:
        for command in ("status", "up", "down"):
            if not lab.state.exists():
                assert said(lab, "up").code == 0
            place = lab.place
            os.kill(place["pid"], signal.SIGKILL)
            found = said(lab, command)
            while "does not answer" in found.said:  # its sockets go before the process does
                found = said(lab, command)
            assert f"(process {place['pid']}) is gone without having been ended" in found.said
            assert found.code == (3 if command == "status" else 0)
            assert not Path(place["directory"]).exists()
            assert lab.state.exists() is (command == "up")
            said(lab, "down")


def test_a_lab_that_is_terminated_leaves_nothing(tmp_path: Path) -> None:
    with up(tmp_path / "a") as lab:
        place = lab.place
        detonate(lab)
        watcher = start("lab", "events", "--follow", cwd=lab.directory, env=lab.env)
        assert watcher.stdout is not None
        assert watcher.stdout.readline()
        os.kill(place["pid"], signal.SIGTERM)
        found = ended(watcher, lab.directory / "none")
        assert (found.code, found.err) == (0, "the lab has ended\n")
        assert said(lab, "status").code == 3
        assert not lab.state.exists()
        assert not Path(place["directory"]).exists()


def test_two_labs_at_once_keep_apart(tmp_path: Path) -> None:
    with up(tmp_path / "a") as one, up(tmp_path / "b", "--hosts", "1") as other:
        assert one.place["pid"] != other.place["pid"]
        assert one.password != other.password
        detonate(one)
        assert said(other, "events").out == ""
        assert said(other, "down").code == 0
        assert said(one, "status").code == 0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--hosts", "0"], "a lab has 1 to 200"),
        (["--hosts", "201"], "a lab has 1 to 200"),
        (["--hosts", "a,a"], "names a host twice"),
        (["--hosts", "A_B"], "a computer's name in lower case"),
        (["--listen", "0.0.0.0"], "say --allow-network as well if they may"),
        (["--listen", "somewhere"], "'somewhere' is no address"),
    ],
    ids=["none", "many", "twice", "odd", "exposed", "no address"],
)
def test_what_cannot_be_is_said_before_anything_starts(tmp_path: Path, arguments: list[str], told: str) -> None:
    lab = UpLab(directory=tmp_path, state=tmp_path / "lab.json")
    found = said(lab, "up", *arguments)
    assert (found.code, found.out) == (2, "")
    assert told in found.err
    assert not lab.state.exists()


def test_a_lab_that_others_may_reach_says_so(tmp_path: Path) -> None:
    directory = tmp_path / "a"
    directory.mkdir()
    lab = UpLab(directory=directory, state=directory / "lab.json")
    found = said(lab, "up", "--listen", "0.0.0.0", "--allow-network", "--hosts", "1")
    try:
        assert found.code == 0, found.said
        assert "whoever reaches this machine there reaches them" in found.err
        assert lab.place["targets"][0]["host"] == "127.0.0.1"
        detonate(lab)
    finally:
        said(lab, "down")


def test_ipv6_loopback_needs_no_leave(tmp_path: Path) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    with up(tmp_path / "a", "--listen", "::1", "--hosts", "2") as lab:
        assert "http://[::1]:" in said(lab, "status").out
        ran = harness("run", "--lab", "--tag", "second-hop", cwd=tmp_path, env=lab.env)
        assert ran.code == 0, ran.said


def test_events_are_what_the_hosts_logged(tmp_path: Path) -> None:
    with up(tmp_path / "a", "--hosts", "2") as lab:
        assert said(lab, "events").out == ""
        detonate(lab)
        documents = [json.loads(line) for line in said(lab, "events", "--format", "jsonl").out.splitlines()]
        seen = [(one["winlog"]["channel"], int(one["winlog"]["event_id"])) for one in documents]
        assert {("Security", 5156), ("Security", 4624), ("Security", 4688), ("Windows PowerShell", 400)} <= set(seen)
        lines = said(lab, "events", "--id", "4688", "--channel", "security").out.splitlines()
        assert len(lines) == seen.count(("Security", 4688))
        assert any(re.fullmatch(r"[\d:.]{12}  ws1 {5}  Security 4688  .*: .*whoami\.exe\"?", line) for line in lines), lines
        assert len(said(lab, "events", "--id", "4688,4624", "--id", "400").out.splitlines()) == len(
            [one for one in seen if one[1] in (4688, 4624, 400)]
        )
        assert said(lab, "events", "--host", "ws2").out == ""
        for name in ("ws1", "lab-ws1", "WS1.lab.example"):
            assert len(said(lab, "events", "--host", name).out.splitlines()) == len(documents)
        assert said(lab, "events", "--last", "2", "--format", "jsonl").out.splitlines() == [
            json.dumps(one, ensure_ascii=False) for one in documents[-2:]
        ]
        xml = said(lab, "events", "--format", "xml").out.splitlines()
        assert len(xml) == len(documents)
        assert {ET.fromstring(line).tag for line in xml} == {"{http://schemas.microsoft.com/win/2004/08/events/event}Event"}
        nxlog = [json.loads(line) for line in said(lab, "events", "--format", "nxlog").out.splitlines()]
        assert [one["EventID"] for one in nxlog] == [number for _, number in seen]
        assert said(lab, "events", "--since", "1h").out.count("\n") == len(documents)
        assert said(lab, "events", "--since", "2099-01-01T00:00:00Z").out == ""
        for wrong, told in (("--host=ws9", "no host 'ws9'"), ("--id=x", "'x' is no event id"), ("--since=soon", "'soon' is no time")):
            found = said(lab, "events", wrong)
            assert found.code == 2
            assert told in found.err


def test_who_follows_sees_what_happens_until_they_have_seen_enough(tmp_path: Path) -> None:
    with up(tmp_path / "a", "--hosts", "1") as lab:
        watcher = start("lab", "events", "--follow", "--id", "4688", "--format", "jsonl", cwd=lab.directory, env=lab.env)
        assert watcher.stdout is not None
        detonate(lab)
        first = json.loads(watcher.stdout.readline())
        assert first["winlog"]["event_id"] in (4688, "4688")
        watcher.send_signal(signal.SIGINT)
        found = ended(watcher, lab.directory / "none")
        assert (found.code, found.err) == (0, "")


def test_a_reader_that_goes_away_is_no_trouble(tmp_path: Path) -> None:
    with up(tmp_path / "a", "--hosts", "1") as lab:
        detonate(lab)
        command = f"{sys.executable} -m harness.cli lab events --follow | head -n 1"
        env = environment(own_state(lab.directory, lab.env))
        ran = subprocess.run(["sh", "-c", command], cwd=lab.directory, env=env, capture_output=True, text=True, timeout=60, check=False)
        detonate(lab)
        assert (ran.returncode, ran.stderr, len(ran.stdout.splitlines())) == (0, "", 1)


def test_a_lab_that_is_down_has_no_events(tmp_path: Path) -> None:
    lab = UpLab(directory=tmp_path, state=tmp_path / "lab.json")
    for command in ("events", "status"):
        found = said(lab, command)
        assert (found.code, found.out) == (3, "")
        assert "harness lab up starts it" in found.err
    assert said(lab, "logs").code == 2


def test_hosts_whose_agent_stands_still_are_seen_all_the_same(tmp_path: Path) -> None:
    directory = tmp_path / "a"
    directory.mkdir()
    (directory / "harness.toml").write_text('[lab]\nhosts = 1\noff = ["agent"]\n')
    with up(directory) as lab:
        detonate(lab)
        assert said(lab, "events", "--id", "4688").out


def test_another_client_may_be_pointed_at_it(tmp_path: Path) -> None:
    with up(tmp_path / "a", "--hosts", "1") as lab:
        target = lab.place["targets"][0]
        answer = requests.post(f"http://{target['host']}:{target['port']}/wsman", timeout=20)
        assert answer.status_code == 401
        assert "Negotiate" in answer.headers["WWW-Authenticate"]
        detonate(lab)
        assert lab.counted("pipelines") >= 1
