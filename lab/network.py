"""The lab's own network: which hosts there are, who opened which connection, and the way from one to another through real endpoints.

Names stand for the lab's hosts alone: what is not in the table cannot be connected to, whoever asks. The client that goes the way is
asked for with the first remote session: its libraries take as long to load as the rest of the lab.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Protocol

from lab.machine import (
    Caller,
    CommandIO,
    Neighbour,
    Passage,
    Peer,
    PipelineIO,
    RemoteFault,
    RemoteRunspace,
    Trouble,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """Where a host's endpoint really listens. `secure_port` is 0 where it has none for HTTPS."""

    address: str
    port: int
    secure_port: int = 0


class Client(Protocol):
    """What speaks WinRM from one host to another."""

    def open_runspace(self, network: LabNetwork, passage: Passage, io: PipelineIO) -> RemoteRunspace:
        """See `lab.machine.Network`."""

    def run_line(self, network: LabNetwork, passage: Passage, line: str, io: CommandIO) -> int:
        """See `lab.machine.Network`."""

    def identify(self, network: LabNetwork, passage: Passage) -> str:
        """See `lab.machine.Network`."""


class LabNetwork:
    """A `lab.machine.Network` over the hosts that `join`. Safe to use from several threads. `load` gives the client that goes the way."""

    def __init__(self, load: Callable[[], Client]) -> None:
        self._load = load
        self._hosts: dict[str, Neighbour] = {}
        self._doors: dict[Neighbour, Door] = {}
        self._callers: dict[tuple[str, int], Caller] = {}
        self._lock = threading.Lock()

    def join(self, host: Neighbour, door: Door) -> None:
        """From now on the others find this host."""
        with self._lock:
            self._doors[host] = door
            for name in (host.name, host.fqdn, host.ip):
                self._hosts[name.lower()] = host

    def find(self, name: str) -> Neighbour | None:
        """See `lab.machine.Network`."""
        with self._lock:
            return self._hosts.get(name.lower().rstrip("."))

    def caller(self, peer: Peer) -> Caller | None:
        """See `lab.machine.Network`."""
        with self._lock:
            return self._callers.get((ip_address(peer.ip).compressed, peer.port))

    @contextmanager
    def calling(self, address: str, port: int, caller: Caller) -> Iterator[None]:
        """The connection that leaves from this real address and port is this caller's, until it ends."""
        key = (ip_address(address).compressed, port)
        with self._lock:
            self._callers[key] = caller
        try:
            yield
        finally:
            with self._lock:
                self._callers.pop(key, None)

    def door(self, passage: Passage) -> tuple[str, int]:
        """The real address and port behind a passage. Raises `RemoteFault` where nothing listens."""
        with self._lock:
            door = self._doors.get(passage.to)
        # Telemetry knows WinRM's own ports alone; whoever asks for another one finds nobody there, as on Windows.
        usual = 5986 if passage.secure else 5985
        port = 0 if door is None else door.secure_port if passage.secure else door.port
        if door is None or port == 0 or passage.port not in (0, usual):
            raise RemoteFault(Trouble.UNREACHABLE)
        return door.address, port

    def open_runspace(self, passage: Passage, io: PipelineIO) -> RemoteRunspace:
        """See `lab.machine.Network`."""
        return self._load().open_runspace(self, passage, io)

    def run_line(self, passage: Passage, line: str, io: CommandIO) -> int:
        """See `lab.machine.Network`."""
        return self._load().run_line(self, passage, line, io)

    def identify(self, passage: Passage) -> str:
        """See `lab.machine.Network`."""
        return self._load().identify(self, passage)
