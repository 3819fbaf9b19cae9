"""What every server's script needs of the machine: downloads that are checked and kept, an account that is not root, a place, a process.

It must never know which server it is.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import socket
import ssl
import stat
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

_MAVEN_COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy"
_DOWNLOAD_SECONDS = 900
_END_SECONDS = 30


# Those that this very process started: it owes them a wait when they end.
_children: dict[int, subprocess.Popen[bytes]] = {}


class ServerError(Exception):
    """A server cannot be installed, started or ended; the text says why and what would mend it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A server that was started: where it answers, and which process it is.

    `born` is the process's start in the kernel's clock ticks: a pid alone may have become another's. `secrets` are kept in a file that
    only its owner can read.
    """

    name: str
    url: str
    pid: int
    born: int
    log: str
    files: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Whom a server runs as where we are root and it must not be."""

    uid: int
    gid: int


def say(text: str) -> None:
    """A line for people, on standard error: standard output is for what was asked."""
    sys.stderr.write(f"{text}\n")


def directory() -> Path:
    """Everything of this user's servers but the downloads. Other accounts may look in, since a server may run as one; not write.

    Raises ServerError where somebody else has put something there.
    """
    path = Path(f"/var/tmp/purple-servers-{os.getuid()}")  # noqa: S108 - its owner and mode are checked below
    path.mkdir(mode=0o755, exist_ok=True)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o022:
        raise ServerError(f"{path} is not a directory that belongs to you alone: remove it")
    return path


def cache() -> Path:
    """Where downloads are kept from one installation to the next."""
    path = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "purple-harness"
    path.mkdir(parents=True, exist_ok=True)
    return path


def tool(name: str, package: str, *, also: Sequence[str] = ()) -> str:
    """The path of a program, of PATH or of the directories in `also`. Raises ServerError naming the package that has it."""
    found = shutil.which(name) or shutil.which(name, path=os.pathsep.join(also))
    if found is None:
        raise ServerError(f"{name} is not installed: apt-get install {package}")
    return found


def maven_artifact(coordinates: str, sha256: str) -> Path:
    """The file of an artifact of Maven's registry, from the cache where it was downloaded before. Raises ServerError."""
    artifact, version, kind = coordinates.split(":")[-3:]
    kept = cache() / f"{artifact}-{version}.{kind}"
    if kept.exists() and _digest(kept) == sha256:
        return kept
    maven = tool("mvn", "maven")
    say(f"downloading {coordinates}")
    with tempfile.TemporaryDirectory(dir=cache()) as fresh:
        command = [maven, "-B", "-q", _MAVEN_COPY, f"-Dartifact={coordinates}", f"-DoutputDirectory={fresh}"]
        run(command, f"Maven cannot fetch {coordinates}", seconds=_DOWNLOAD_SECONDS)
        (loaded,) = Path(fresh).iterdir()
        if (found := _digest(loaded)) != sha256:
            raise ServerError(f"{coordinates} was downloaded with SHA-256 {found}, expected {sha256}: it is not used")
        loaded.replace(kept)
    return kept


def run(command: Sequence[str], wrong: str, *, seconds: float = 300, env: Mapping[str, str] | None = None, said: str = "") -> str:
    """A command's output; `said` is its input. Raises ServerError, beginning with `wrong`, where it fails or does not end."""
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=seconds, env=env, input=said, check=False)
    except subprocess.TimeoutExpired:
        raise ServerError(f"{wrong}: no end after {seconds:g} s") from None
    if ended.returncode:
        raise ServerError(f"{wrong}: {_tail(ended.stdout + ended.stderr)}")
    return ended.stdout


def account() -> Account | None:
    """For root an account without rights: whoever called sudo, else nobody. None where we are not root."""
    if os.getuid() != 0:
        return None
    import pwd  # here and below: modules that Windows lacks, where these tests are skipped

    found = pwd.getpwuid(int(os.environ["SUDO_UID"])) if os.environ.get("SUDO_UID", "0") != "0" else pwd.getpwnam("nobody")
    return Account(uid=found.pw_uid, gid=found.pw_gid)


def give(path: Path, to: Account | None) -> None:
    """Make a directory and all in it the account's own."""
    if to is not None:
        for found in (path, *path.rglob("*")):
            os.chown(found, to.uid, to.gid, follow_symlinks=False)


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port


def spawn(
    command: Sequence[str], log: Path, *, cwd: Path, env: Mapping[str, str], account: Account | None = None
) -> subprocess.Popen[bytes]:
    """Start a process in a session of its own, its output in a file: it outlives us, and no pipe of ours hangs on it."""
    with log.open("ab") as stream:
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            start_new_session=True,
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
        )
    _children[process.pid] = process
    return process


def born(pid: int) -> int:
    """When a process was started, in clock ticks since the machine's own start; 0 where there is none, or it is but a corpse."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return 0 if fields[0] == "Z" else int(fields[19])


def alive(place: Place) -> bool:
    """Whether the server's process is still there."""
    return born(place.pid) == place.born


def end(place: Place) -> None:
    """End the server's process: asked first, then killed. Raises ServerError where it stays."""
    for how in (signal.SIGTERM, signal.SIGKILL):
        if alive(place):
            os.kill(place.pid, how)
        if wait_until(lambda: not alive(place), seconds=_END_SECONDS):
            if (child := _children.pop(place.pid, None)) is not None:
                child.wait()
            return
    raise ServerError(f"process {place.pid} of {place.name} does not end")


def wait_until(done: Callable[[], bool], *, seconds: float) -> bool:
    """Whether something came true in that time."""
    give_up = time.monotonic() + seconds
    while not done():
        if time.monotonic() > give_up:
            return False
        time.sleep(0.1)
    return True


def answers(url: str, context: ssl.SSLContext | None) -> bool:
    """Whether a server at that URL answers HTTP at all."""
    try:
        urllib.request.urlopen(url, timeout=5, context=context).close()  # noqa: S310 - a URL of our own making
    except urllib.error.HTTPError:
        return True
    except (OSError, ValueError):
        return False
    return True


@contextmanager
def locked(name: str) -> Iterator[None]:
    """One process at a time starts, installs or ends what bears this name."""
    import fcntl

    with (directory() / f"{name}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


class Instances:
    """The servers of one kind, by name: where each lives, and where its place is written down."""

    def __init__(self, kind: str) -> None:
        self._kind = kind

    def locked(self, name: str) -> AbstractContextManager[None]:
        """One process at a time starts or ends the server of this name."""
        return locked(f"{self._kind}-{name}")

    def directory(self, name: str) -> Path:
        """The server's own."""
        return directory() / f"{self._kind}-at-{name}"

    def _written(self, name: str) -> Path:
        # Not in the server's own directory, which may belong to another account.
        return directory() / f"{self._kind}-at-{name}.json"

    def write(self, place: Place) -> None:
        """Write down where a server is, for its owner's eyes only."""
        file = self._written(place.name)
        file.touch(mode=0o600)
        file.write_text(json.dumps(asdict(place)))

    def find(self, name: str) -> Place | None:
        """The server of this name, where it was written down and still lives."""
        try:
            place = Place(**json.loads(self._written(name).read_text()))
        except (OSError, ValueError):
            return None
        return place if alive(place) else None

    def stop(self, name: str) -> bool:
        """End a server and remove its directory; False where there was none. Raises ServerError."""
        with self.locked(name):
            place = self.find(name)
            if place is not None:
                end(place)
            shutil.rmtree(self.directory(name), ignore_errors=True)
            self._written(name).unlink(missing_ok=True)
            return place is not None


def tail(log: Path) -> str:
    """The end of a log, for an error's text."""
    return _tail(log.read_text(errors="replace")) if log.exists() else "no log was written"


def _tail(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return "\n".join(lines[-15:]) or "it said nothing"


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
