"""The lab's process as others see it: starting it, finding one that is up, asking it, ending it.

What passes between the two processes is a JSON text each way: a `LabConfig` on the child's standard input, a `LabPlace` on its
standard output. Credentials travel by that pipe and, for a lab that stays up, in a file that only its owner can read: never
by the command line or the environment.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO

import platformdirs

import lab
from harness.errors import LabError
from harness.files import write_whole

RULE_PACK = Path(lab.__file__).parent / "rules"
HOSTS = ("ws1", "ws2")
DOMAIN = "LAB"
DNS_DOMAIN = "lab.example"
# The lab's own network, as its telemetry shows it: the driver's address, then the hosts'.
DRIVER_ADDRESS = "10.77.0.5"
HOST_ADDRESSES = ("10.77.0.11", "10.77.0.12")
_READY_WITHIN = 60.0
_ANSWER_WITHIN = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LabConfig:
    """What a lab is started with; spans in seconds. `schemes`: basic, negotiate, credssp. `keep`: it outlives who started it.

    `off`: what the hosts' logging lacks, as `off_at` reads it.
    """

    user: str = "purple"
    schemes: tuple[str, ...] = ("negotiate",)
    allow_unencrypted: bool = False
    ingest_delay: float = 0.3
    rule_interval: float = 1.0
    look_back: float = 300.0
    schedule_running: bool = True
    off: tuple[str, ...] = ()
    keep: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LabTarget:
    """One host of the lab: where its endpoint listens, and how its telemetry names it and the driver."""

    name: str
    host: str
    port: int
    computer: str
    address: str
    seen_from: str
    user: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LabPlace:
    """Where a running lab is. `siem` is the embedded SIEM's file; `control` the port of its control channel."""

    pid: int
    targets: tuple[LabTarget, ...]
    siem: str
    control: int
    password: str = field(repr=False)
    control_key: str = field(repr=False)

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
            host="127.0.0.1",
            port=(ports or {}).get(f"lab-{name}", 0),
            computer=f"{name.upper()}.{DNS_DOMAIN}",
            address=address,
            seen_from=DRIVER_ADDRESS,
            user=f"{DOMAIN}\\{config.user}",
        )
        for name, address in zip(HOSTS, HOST_ADDRESSES, strict=True)
    )


AGENT = "agent"
"""Stands in `LabConfig.off` for the program that ships a host's events to the SIEM."""


def off_at(config: LabConfig, target: str) -> frozenset[str]:
    """What the logging of one host lacks: names of `harness.events.audit.SETTINGS`, or `AGENT`. `target` is the host's name as a target.

    An entry is such a name, which holds for every host, or a target's name, a slash and such a name.
    """
    return frozenset(name for host, _, name in (one.rpartition("/") for one in config.off) if host in ("", target))


class StartingLab:
    """A lab's process that was started and may not be ready yet."""

    def __init__(self, config: LabConfig) -> None:
        root = str(Path(lab.__file__).parent.parent)
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "lab.service"],  # -P: a directory named lab where the user stands is not ours
            env=os.environ | {"PYTHONPATH": os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=None if not config.keep else subprocess.DEVNULL,
            text=True,
            start_new_session=True,  # a terminal's Ctrl-C is the harness's to handle: cleanups still need the lab
        )
        self._keep = config.keep
        self._ready = False
        stdin = self._pipe(self._process.stdin)
        with suppress(BrokenPipeError):
            stdin.write(json.dumps(asdict(config)) + "\n")
            stdin.flush()

    def ready(self) -> LabPlace:
        """Wait until it is up. Raises `LabError` where it ended instead."""
        line = self._pipe(self._process.stdout).readline()
        if not line:
            code = self._process.wait(_READY_WITHIN)
            raise LabError(f"the lab did not start: its process ended with code {code}")
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
    """Ask a running lab: "status", "stop", or "ship" with where `to` and which `index`, a JSON line each way.

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
    """Write down where a lab is, for its owner only."""
    state.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_whole(state, place.dump(), mode=0o600)


def find(state: Path) -> LabPlace | None:
    """The lab that was written down, if it is up; a stale note is removed."""
    try:
        place = LabPlace.load(state.read_text())
    except FileNotFoundError:
        return None
    try:
        ask(place, "status")
    except LabError:
        state.unlink(missing_ok=True)
        return None
    return place
