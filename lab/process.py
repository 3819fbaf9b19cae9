"""The lab's process as others see it: starting it, finding one that is up, asking it, ending it.

What passes between the two processes is a JSON text each way: a `LabConfig` on the child's standard input, a `LabPlace` on its
standard output. Credentials travel by that pipe and, for a lab that stays up, in a file that only its owner can read: never
by the command line or the environment.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import monotonic, sleep
from typing import IO, Any

import platformdirs

import lab
from harness.errors import LabError
from harness.files import write_whole

RULE_PACK = Path(lab.__file__).parent / "rules"
DOMAIN = "LAB"
DNS_DOMAIN = "lab.example"
REALM = DNS_DOMAIN.upper()
# The lab's own network, as its telemetry shows it: the driver's address, then the hosts', one after the other.
DRIVER_ADDRESS = "10.77.0.5"
_FIRST_HOST = 11
MAX_HOSTS = 200
LOOPBACK = "127.0.0.1"
_GONE_WITHIN = 20.0
_KILLED_WITHIN = 5.0
_PREFIX = "harness-lab-"
_READY_WITHIN = 60.0
_LOOK_EVERY = 0.05
_ANSWER_WITHIN = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class HostAccess:
    """How a host may be logged on to: `schemes` of basic, negotiate, kerberos, credssp, certificate, and HTTPS with `tls`.

    `auth` (ntlm, negotiate, kerberos, credssp, basic, certificate) is how those log on whom the lab tells of itself.
    """

    schemes: tuple[str, ...] = ("negotiate",)
    allow_unencrypted: bool = False
    tls: bool = False
    auth: str = "ntlm"


@dataclass(frozen=True, slots=True, kw_only=True)
class LabConfig:
    """What a lab is started with; spans in seconds. `keep`: it outlives who started it.

    `password` "" has the lab make one up. `access` is every host's, `own_access` that of some by name. `keytab` is a file with the keys
    of the hosts' service principals, "" where there is no Kerberos. `off`: what the hosts' logging lacks, as `off_at` reads it.
    `disabled`: ids of rules that its engine does not run; `exceptions`: a rule's id, a name, and what an event's fields must be like for
    no alert to be raised on it. `hosts` are computers' names in lower case; their endpoints listen on the address `listen`, and
    give one user `max_shells` at once. `note` is the
    file that the lab is written down in, "" for none: the lab removes it when it ends.
    """

    hosts: tuple[str, ...] = ("ws1", "ws2")
    listen: str = LOOPBACK
    note: str = ""
    user: str = "purple"
    password: str = field(default="", repr=False)
    access: HostAccess = field(default_factory=lambda: HostAccess())
    own_access: Mapping[str, HostAccess] = field(default_factory=dict)
    keytab: str = ""
    ingest_delay: float = 0.3
    rule_interval: float = 1.0
    look_back: float = 300.0
    schedule_running: bool = True
    disabled: tuple[str, ...] = ()
    exceptions: tuple[tuple[str, str, dict[str, str]], ...] = ()
    off: tuple[str, ...] = ()
    max_shells: int = 30
    keep: bool = False

    @classmethod
    def load(cls, text: str) -> LabConfig:
        """The reverse of `dump`: lists there are tuples here."""
        values = json.loads(text)
        own = {name: _access(access) for name, access in values.pop("own_access").items()}
        access = _access(values.pop("access"))
        rest: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
        return cls(access=access, own_access=own, **rest)

    def dump(self) -> str:
        """As JSON, secrets included: for the pipe only."""
        return json.dumps(asdict(self))

    def access_of(self, host: str) -> HostAccess:
        """How the host of this name may be logged on to."""
        return self.own_access.get(host, self.access)


def _access(values: dict[str, Any]) -> HostAccess:
    return HostAccess(**values | {"schemes": tuple(values["schemes"])})


@dataclass(frozen=True, slots=True, kw_only=True)
class LabTarget:
    """One host of the lab: where its endpoint listens, how to log on there, and how its telemetry names it and the driver."""

    name: str
    host: str
    port: int
    computer: str
    address: str
    seen_from: str
    user: str
    tls: bool = False
    auth: str = "ntlm"
    unencrypted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LabPlace:
    """Where a running lab is. `siem` is the embedded SIEM's file; `control` the port of its control channel.

    `directory` holds all files that it makes; `started` is when it was up, in UTC [ISO 8601]; `log` is its log's file, "" where its log
    goes to whoever started it. `ca_file` vouches for its hosts over HTTPS; `certificate` and `certificate_key` stand for its account. ""
    where no host has HTTPS.
    """

    pid: int
    targets: tuple[LabTarget, ...]
    siem: str
    control: int
    directory: str
    started: str
    log: str = ""
    password: str = field(repr=False)
    control_key: str = field(repr=False)
    ca_file: str = ""
    certificate: str = ""
    certificate_key: str = ""

    def dump(self) -> str:
        """As JSON, secrets included: for the pipe and the owner's file only."""
        return json.dumps(asdict(self))

    @classmethod
    def load(cls, text: str) -> LabPlace:
        """The reverse of `dump`. Raises `LabError` where the text is not one."""
        try:
            values = json.loads(text)
            targets = tuple(LabTarget(**target) for target in values.pop("targets"))
            return cls(targets=targets, **values)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise LabError("the lab's answer cannot be read") from error


def targets_of(config: LabConfig, *, ports: Mapping[str, int] | None = None) -> tuple[LabTarget, ...]:
    """The hosts that such a lab has; port 0 for one that is not up. `ports` by the target's name."""
    return tuple(
        LabTarget(
            name=f"lab-{name}",
            host=_reached_at(config.listen),
            port=(ports or {}).get(f"lab-{name}", 0),
            computer=f"{name.upper()}.{DNS_DOMAIN}",
            address=f"10.77.0.{_FIRST_HOST + number}",
            seen_from=DRIVER_ADDRESS,
            user=_user(config, name),
            tls=config.access_of(name).tls,
            auth=config.access_of(name).auth,
            unencrypted=config.access_of(name).auth == "basic" and not config.access_of(name).tls,
        )
        for number, name in enumerate(config.hosts)
    )


def _reached_at(listen: str) -> str:
    """Where this machine reaches an endpoint that listens there: any address takes what comes over loopback."""
    return {"0.0.0.0": LOOPBACK, "::": "::1"}.get(listen, listen)  # noqa: S104 - what was asked for, nothing is bound here


AGENT = "agent"
"""Stands in `LabConfig.off` for the program that ships a host's events to the SIEM."""


def off_at(config: LabConfig, target: str) -> frozenset[str]:
    """What the logging of one host lacks: names of `harness.events.audit.SETTINGS`, or `AGENT`. `target` is the host's name as a target.

    An entry is such a name, which holds for every host, or a target's name, a slash and such a name.
    """
    return frozenset(name for host, _, name in (one.rpartition("/") for one in config.off) if host in ("", target))


def _user(config: LabConfig, host: str) -> str:
    """The account, as who logs on there in that way has to spell it."""
    by_ticket = config.access_of(host).auth == "kerberos" or (config.access_of(host).auth == "credssp" and config.keytab)
    return f"{config.user}@{REALM}" if by_ticket else f"{DOMAIN}\\{config.user}"


class StartingLab:
    """A lab's process that was started and may not be ready yet."""

    def __init__(self, config: LabConfig, log: Path | None = None) -> None:
        root = str(Path(lab.__file__).parent.parent)
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "lab.service"],  # -P: a directory named lab where the user stands is not ours
            env=os.environ | {"PYTHONPATH": os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=_log_of(log) if log is not None else None,
            text=True,
            start_new_session=True,  # a terminal's Ctrl-C is the harness's to handle: cleanups still need the lab
        )
        self._keep = config.keep
        self._log = log
        self._ready = False
        stdin = self._pipe(self._process.stdin)
        with suppress(BrokenPipeError):
            stdin.write(config.dump() + "\n")
            stdin.flush()

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    def ready(self) -> LabPlace:
        """Wait until it is up. Raises `LabError` where it ended instead."""
        line = self._pipe(self._process.stdout).readline()
        if not line:
            code = self._process.wait(_READY_WITHIN)
            why = f"; {self._log} says why" if self._log is not None else ""
            raise LabError(f"the lab did not start: its process ended with code {code}{why}")
        place = LabPlace.load(line)
        self._ready = True
        return place

    def stop(self) -> None:
        """End it, whatever it is doing, and wait for its end."""
        if (self._keep or not self._ready) and self._process.poll() is None:
            self._process.terminate()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with suppress(BrokenPipeError):
                    stream.close()  # end of input is its sign to stop
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def leave(self) -> None:
        """Let go of a lab that is to stay up."""
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
        self._process.returncode = 0  # it is nobody's child from now on: no wait, no warning

    @staticmethod
    def _pipe(stream: IO[str] | None) -> IO[str]:
        assert stream is not None
        return stream


def ask(place: LabPlace, question: str, **details: object) -> dict[str, object]:
    """Ask a running lab: "status", "stop", "ship" with where `to` and which `index`, or "events" as `lab.tap` reads it.

    A JSON line goes each way.

    Raises `LabError` where nobody answers in time, or the lab cannot do it.
    """
    try:
        with socket.create_connection(("127.0.0.1", place.control), timeout=_ANSWER_WITHIN) as channel:
            channel.sendall(json.dumps({"key": place.control_key, "ask": question} | details).encode() + b"\n")
            with channel.makefile("rb") as lines:
                answer: dict[str, object] = json.loads(lines.readline())
    except (OSError, ValueError) as error:
        raise LabError("no lab answers") from error
    if isinstance(wrong := answer.get("error"), str):
        raise LabError(wrong)
    return answer


def state_file(asked: Path | None) -> Path:
    """Where a lab that stays up is written down: as asked for, else in the user's own state directory."""
    return asked or platformdirs.user_state_path("purple-harness") / "lab.json"


def remember(place: LabPlace, state: Path) -> None:
    """Write down where a lab is, for its owner only. Raises `LabError` where another lab was written down meanwhile."""
    state.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    whole = state.with_name(f"{state.name}.{place.pid}")
    write_whole(whole, place.dump(), mode=0o600)
    try:
        os.link(whole, state)  # unlike a rename it takes nobody's place
    except FileExistsError:
        raise LabError(f"another lab came up meanwhile: {state} tells where") from None
    finally:
        whole.unlink()


@dataclass(frozen=True, slots=True, kw_only=True)
class Gone:
    """A lab that is written down and not up any more: it was killed, or its machine went down under it."""

    place: LabPlace


def look(state: Path) -> LabPlace | Gone | None:
    """The lab that was written down, what is left of it, or None where none was.

    Raises `LabError` where the note cannot be read, or the lab's process is there and does not answer.
    """
    try:
        place = LabPlace.load(state.read_text())
    except FileNotFoundError:
        return None
    try:
        ask(place, "status")
    except LabError:
        if _runs(place.pid):
            raise LabError(f"the lab (process {place.pid}) does not answer; harness lab down ends it") from None
        return Gone(place=place)
    return place


def find(state: Path) -> LabPlace | None:
    """The lab that was written down, if it is up; what is left of one that is gone is removed. Raises as `look` does."""
    found = look(state)
    if isinstance(found, Gone):
        clear(found, state)
        return None
    return found


def clear(gone: Gone, state: Path) -> None:
    """Remove what a lab left that could not do so itself: its files and its note."""
    directory = Path(gone.place.directory)
    if directory.name.startswith(_PREFIX) and directory.is_dir():
        shutil.rmtree(directory, ignore_errors=True)
    state.unlink(missing_ok=True)


def end(state: Path) -> LabPlace | Gone | None:
    """End the lab that was written down and wait until it is gone; what it was, or what was left of it, or None where none was.

    One that does not answer is ended by signals. Raises `LabError` where the note cannot be read, or the process stays.
    """
    try:
        place = LabPlace.load(state.read_text())
    except FileNotFoundError:
        return None
    asked = True
    try:
        ask(place, "stop")
    except LabError:
        asked = False
    if not asked and not _runs(place.pid):
        gone = Gone(place=place)
        clear(gone, state)
        return gone
    steps = [(None, _GONE_WITHIN)] if asked else []
    for number, patience in (*steps, (signal.SIGTERM, _GONE_WITHIN), (signal.SIGKILL, _KILLED_WITHIN)):
        if number is not None:
            with suppress(ProcessLookupError):
                os.kill(place.pid, number)
        if _ended_within(place.pid, patience):
            clear(Gone(place=place), state)
            return place
    raise LabError(f"the lab's process {place.pid} does not end")


def _ended_within(pid: int, seconds: float) -> bool:
    give_up = monotonic() + seconds
    while _runs(pid):
        if monotonic() >= give_up:
            return False
        sleep(_LOOK_EVERY)
    return True


def _runs(pid: int) -> bool:
    """Whether this process is there and is a lab: ids are given out again."""
    if sys.platform == "linux":
        try:
            return b"lab.service" in Path(f"/proc/{pid}/cmdline").read_bytes()  # nothing for one that ended and was not waited for
        except OSError:
            return False
    if sys.platform == "win32":
        return False  # a signal would not ask there but end it
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return False  # somebody else's, so not our lab
    return True


def make_directory() -> Path:
    """A directory for one lab's files, its owner's alone; everything that this process makes for a time lies below it from now on."""
    directory = Path(tempfile.mkdtemp(prefix=_PREFIX))
    tempfile.tempdir = str(directory)
    return directory


def forget(note: Path, pid: int) -> None:
    """Remove the note of a lab that ends, where it still is this one's."""
    with suppress(OSError, LabError):
        if LabPlace.load(note.read_text()).pid == pid:
            note.unlink()


def _log_of(path: Path) -> int:
    """A new log for its owner alone."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.unlink(missing_ok=True)
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)


def log_file(state: Path) -> Path:
    """Where a lab that stays up writes its log: beside its note."""
    return state.with_suffix(".log")
