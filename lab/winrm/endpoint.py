"""The endpoint itself: a listening socket, a thread a connection, a reaper of idle shells; started and stopped as one."""

from __future__ import annotations

import socket
import threading
from collections.abc import Sequence
from contextlib import suppress
from selectors import EVENT_READ, DefaultSelector
from typing import Final

from lab.machine import Machine, Peer
from lab.winrm.auth import Accounts, EndpointAccount
from lab.winrm.http import Connection
from lab.winrm.service import EndpointCounts, Service, Tally

_IDLE_TIMEOUT: Final = 7200.0  # IdleTimeoutms of Windows' PowerShell plug-in
_BACKLOG: Final = 128
_BREATH: Final = 0.1
_JOIN_PATIENCE: Final = 10.0


class Endpoint:
    """A WinRM endpoint over HTTP in front of one machine.

    `port` 0 takes a free one. `idle_timeout`: seconds after which a shell that nobody asks for is closed; clients may ask for less.
    Raises ValueError for accounts that cannot be. `start` and `stop` once each; OSError from `start` where the address is taken.
    """

    def __init__(
        self,
        *,
        machine: Machine,
        accounts: Sequence[EndpointAccount],
        address: str = "127.0.0.1",
        port: int = 0,
        idle_timeout: float = _IDLE_TIMEOUT,
    ) -> None:
        self._machine = machine
        self._accounts = Accounts(accounts)
        self._address = address
        self._port = port
        self._tally = Tally()
        self._service = Service(name=address, idle_timeout=idle_timeout, tally=self._tally)
        self._reap_every = min(idle_timeout / 4, 5.0)
        self._lock = threading.Lock()
        self._connections: dict[Connection, threading.Thread] = {}
        self._stopping = threading.Event()
        self._listener: socket.socket | None = None
        self._wake_read, self._wake_write = socket.socketpair()
        self._threads: list[threading.Thread] = []

    @property
    def port(self) -> int:
        """The port listened on; known once started."""
        return self._port

    def counts(self) -> EndpointCounts:
        """What the endpoint has seen so far."""
        return self._tally.counts()

    def start(self) -> None:
        """Listen. Raises OSError where the address cannot be had, ValueError where another endpoint contradicts an account."""
        family = socket.AF_INET6 if ":" in self._address else socket.AF_INET
        self._listener = socket.create_server((self._address, self._port), family=family, backlog=_BACKLOG)
        self._port = self._listener.getsockname()[1]
        try:
            self._accounts.open()
        except ValueError:
            self._listener.close()
            raise
        self._threads = [
            threading.Thread(target=self._accept, args=(self._listener,), name=f"winrm-{self._port}-accept", daemon=True),
            threading.Thread(target=self._reap, name=f"winrm-{self._port}-reap", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Close every socket and shell, end every thread. May be called again, and without `start`."""
        self._stopping.set()
        with suppress(OSError):
            self._wake_write.send(b"\0")
        for thread in self._threads:
            thread.join(_JOIN_PATIENCE)
        if self._listener is not None:
            self._listener.close()
        with self._lock:
            connections = dict(self._connections)
        for connection in connections:
            connection.hang_up()
        self._service.stop()
        for thread in connections.values():
            thread.join(_JOIN_PATIENCE)
        self._wake_read.close()
        self._wake_write.close()
        self._accounts.close()

    def _accept(self, listener: socket.socket) -> None:
        # A listener may be closed under a blocked accept, but only Linux would then wake it up: so there is a second socket to wait for.
        listener.setblocking(False)
        with DefaultSelector() as selector:
            selector.register(listener, EVENT_READ)
            selector.register(self._wake_read, EVENT_READ)
            while not self._stopping.is_set():
                selector.select()
                try:
                    sock, address = listener.accept()
                except (BlockingIOError, ConnectionError):
                    continue  # only the wake-up call, or a client gone before it was greeted
                except OSError:
                    self._stopping.wait(_BREATH)  # out of descriptors: until some connection ends
                    continue
                self._welcome(sock, Peer(ip=address[0], port=address[1]))

    def _welcome(self, sock: socket.socket, peer: Peer) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._tally.connected()
        connection = Connection(sock, peer, machine=self._machine, accounts=self._accounts, service=self._service, tally=self._tally)
        thread = threading.Thread(target=self._serve, args=(connection,), name=f"winrm-{self._port}-{peer.port}", daemon=True)
        with self._lock:
            self._connections[connection] = thread
        try:
            thread.start()
        except RuntimeError:  # no thread to be had: this client came at a bad time, the next may have better luck
            sock.close()
            with self._lock:
                del self._connections[connection]

    def _serve(self, connection: Connection) -> None:
        connection.serve()
        with self._lock:
            self._connections.pop(connection, None)

    def _reap(self) -> None:
        while not self._stopping.wait(self._reap_every):
            self._service.reap()
