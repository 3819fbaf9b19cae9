"""What the servers' scripts need of the machine: downloads that are checked, clear words for what is missing, no foreign process ended."""

from __future__ import annotations

import hashlib
import os
import stat
import sys
from pathlib import Path

import pytest

from servers import elasticsearch, machine
from servers.machine import Place, ServerError

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the servers' scripts are for Linux")

COORDINATES = "org.example:thing:1.0:zip"
CONTENT = b"what was downloaded"
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only programs there are, and a cache of this test's own."""
    path = tmp_path / "bin"
    path.mkdir()
    monkeypatch.setenv("PATH", str(path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("ES_JAVA_HOME", raising=False)
    monkeypatch.delenv("JAVA_HOME", raising=False)
    return path


def program(path: Path, text: str) -> None:
    path.write_text(f"#!{sys.executable}\n{text}")
    path.chmod(0o755)


def maven(tools: Path, content: bytes) -> None:
    copy = "next(a.partition('=')[2] for a in sys.argv if a.startswith('-DoutputDirectory='))"
    program(tools / "mvn", f"import pathlib, sys\n(pathlib.Path({copy}) / 'thing-1.0.zip').write_bytes({content!r})\n")


def test_a_download_is_kept_and_not_repeated(tools: Path) -> None:
    maven(tools, CONTENT)
    first = machine.maven_artifact(COORDINATES, DIGEST)
    assert first.read_bytes() == CONTENT
    (tools / "mvn").unlink()
    assert machine.maven_artifact(COORDINATES, DIGEST) == first


def test_a_download_with_another_checksum_is_not_used(tools: Path) -> None:
    maven(tools, b"something else")
    with pytest.raises(ServerError, match=f"expected {DIGEST}: it is not used"):
        machine.maven_artifact(COORDINATES, DIGEST)
    assert not list(machine.cache().iterdir())


def test_a_kept_file_that_was_damaged_is_downloaded_anew(tools: Path) -> None:
    maven(tools, CONTENT)
    machine.maven_artifact(COORDINATES, DIGEST).write_bytes(b"damaged")
    assert machine.maven_artifact(COORDINATES, DIGEST).read_bytes() == CONTENT


def test_a_maven_that_fails_says_why(tools: Path) -> None:
    program(tools / "mvn", "import sys\nsys.exit('[ERROR] no route to the registry')\n")
    with pytest.raises(ServerError, match=r"Maven cannot fetch org\.example:thing:1\.0:zip: \[ERROR\] no route"):
        machine.maven_artifact(COORDINATES, DIGEST)


def test_missing_tools_are_named_with_their_package(tools: Path) -> None:
    with pytest.raises(ServerError, match="mvn is not installed: apt-get install maven"):
        machine.maven_artifact(COORDINATES, DIGEST)
    with pytest.raises(ServerError, match="java is not installed: apt-get install openjdk"):
        elasticsearch.java_home()
    program(tools / "java", "import sys\nsys.stderr.write('    java.specification.version = 11\\n')\n")
    with pytest.raises(ServerError, match="is Java 11, Elasticsearch needs 17"):
        elasticsearch.java_home()


@pytest.fixture
def instances(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> machine.Instances:
    """Servers of a kind of this test's own."""
    monkeypatch.setattr(machine, "directory", lambda: tmp_path)
    return machine.Instances("kind")


def test_a_pid_that_became_anothers_is_left_alone(instances: machine.Instances) -> None:
    ours = Place(name="x", url="http://127.0.0.1:1", pid=os.getpid(), born=machine.born(os.getpid()), log="")
    stale = Place(name="x", url="http://127.0.0.1:1", pid=os.getpid(), born=ours.born - 1, log="")
    assert machine.alive(ours)
    assert not machine.alive(stale)
    machine.end(stale)  # we are still here
    for place, found in ((ours, ours), (stale, None)):
        instances.write(place)
        assert instances.find("x") == found
    assert instances.find("nobody") is None


def test_passwords_are_for_their_owners_eyes(instances: machine.Instances, tmp_path: Path) -> None:
    place = Place(name="x", url="", pid=os.getpid(), born=machine.born(os.getpid()), log="", secrets={"admin": "canary"})
    assert "canary" not in repr(place)
    instances.write(place)
    (written,) = tmp_path.iterdir()
    assert stat.S_IMODE(written.stat().st_mode) == 0o600
    assert instances.find("x") == place


def test_a_process_is_started_and_ended(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)"]
    process = machine.spawn(command, tmp_path / "log", cwd=tmp_path, env={})
    place = Place(name="x", url="", pid=process.pid, born=machine.born(process.pid), log="")
    assert machine.wait_until(lambda: (tmp_path / "log").read_text() == "up\n", seconds=30)
    machine.end(place)
    assert not machine.alive(place)
    assert process.returncode is not None
