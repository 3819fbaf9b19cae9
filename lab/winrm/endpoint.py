"""The endpoint itself: a listening socket, a thread a connection, a reaper of idle shells; started and stopped as one."""

from __future__ import annotations

import socket
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from selectors import EVENT_READ, DefaultSelector
from typing import Final

from lab.machine import Machine, Peer
from lab.winrm.auth import Access, Accounts, EndpointAccount, Scheme, no_kerberos
from lab.winrm.config import Listener, Quotas, Settings
from lab.winrm.http import Connection, Security
from lab.winrm.ntlm import Computer
from lab.winrm.service import EndpointCounts, Service, Tally
from lab.winrm.tls import Identity, server_context

_IDLE_TIMEOUT: Final = 7200.0  # IdleTimeoutms of Windows' PowerShell plug-in
_BACKLOG: Final = 128
_BREATH: Final = 0.1
_JOIN_PATIENCE: Final = 10.0


class Endpoint:
    """A WinRM endpoint in front of one machine, over HTTP and, with an `identity`, over HTTPS on a port of its own.

    `port` 0 takes a free one. `idle_timeout`: seconds after which a shell that nobody asks for is closed; clients may ask for less.
    `quotas` are how much there may be of what. `client_authorities` (PEM) signed the certificates that clients may show.
    `keytab` holds the keys of the service principals by which clients ask for Kerberos; with one, Negotiate takes Kerberos too.
    `computer` is what the machine is called where NTLM asks it.
    Raises ValueError for accounts that cannot be, certificates that nobody could show, and Kerberos that cannot be.
    `start` and `stop` once each; OSError from `start` where the address is taken.
    """

    def __init__(
        self,
        *,
        machine: Machine,
        accounts: Sequence[EndpointAccount],
        address: str = "127.0.0.1",
        port: int = 0,
        idle_timeout: float = _IDLE_TIMEOUT,
        quotas: Quotas | None = None,
        access: Access | None = None,
        identity: Identity | None = None,
        client_authorities: str = "",
        keytab: Path | None = None,
        computer: Computer | None = None,
    ) -> None:
        access = access if access is not None else Access()
        if Scheme.KERBEROS in access.schemes and keytab is None:
            raise ValueError("Kerberos needs a keytab")
        if keytab is not None and (why := no_kerberos()):
            raise ValueError(why)
        if Scheme.CERTIFICATE in access.schemes and not (identity is not None and client_authorities):
            raise ValueError("certificates need HTTPS and somebody who signed them")
        self._machine = machine
        self._accounts = Accounts(accounts, keytab, computer=computer)
        self._security = Security(
            access=access,
            accounts=self._accounts,
            identity=identity,
            tls=server_context(identity, client_authorities) if identity is not None else None,
        )
        self._address = address
        self._port = port
        self._secure_port = 0
        self._tally = Tally()
        settings = Settings(
            schemes=frozenset(access.schemes),
            allow_unencrypted=access.allow_unencrypted,
            channel_binding=access.channel_binding,
            idle_timeout=idle_timeout,
            quotas=quotas if quotas is not None else Quotas(),
        )
        self._service = Service(name=address, settings=settings, tally=self._tally)
        self._reap_every = min(idle_timeout / 4, 5.0)
        self._lock = threading.Lock()
        self._connections: dict[Connection, threading.Thread] = {}
        self._stopping = threading.Event()
        self._listeners: list[socket.socket] = []
        self._wake_read, self._wake_write = socket.socketpair()
        self._threads: list[threading.Thread] = []

    @property
    def port(self) -> int:
        """The port listened on; known once started."""
        return self._port

    @property
    def secure_port(self) -> int:
        """The port for HTTPS; known once started, 0 without an identity."""
        return self._secure_port

    def counts(self) -> EndpointCounts:
        """What the endpoint has seen so far."""
        return self._tally.counts()

    def start(self) -> None:
        """Listen. Raises OSError where the address cannot be had, ValueError where another endpoint contradicts an account."""
        self._listeners = [self._listen(self._port)]
        self._port = self._listeners[0].getsockname()[1]
        if self._security.tls is not None:
            self._listeners.append(self._listen(0))
            self._secure_port = self._listeners[1].getsockname()[1]
        places = zip(("HTTP", "HTTPS"), (self._port, self._secure_port), strict=True)
        self._service.listeners = tuple(
            Listener(transport=transport, port=port, address=self._address) for transport, port in places if port
        )
        try:
            self._accounts.open()
        except ValueError:
            self._close_listeners()
            raise
        self._threads = [
            threading.Thread(target=self._accept, name=f"winrm-{self._port}-accept", daemon=True),
            threading.Thread(target=self._reap, name=f"winrm-{self._port}-reap", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def _listen(self, port: int) -> socket.socket:
        family = socket.AF_INET6 if ":" in self._address else socket.AF_INET
        return socket.create_server((self._address, port), family=family, backlog=_BACKLOG)

    def _close_listeners(self) -> None:
        for listener in self._listeners:
            listener.close()

    def stop(self) -> None:
        """Close every socket and shell, end every thread. May be called again, and without `start`."""
        self._stopping.set()
        with suppress(OSError):
            self._wake_write.send(b"\0")
        for thread in self._threads:
            thread.join(_JOIN_PATIENCE)
        self._close_listeners()
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

    def _accept(self) -> None:
        # A listener may be closed under a blocked accept, but only Linux would then wake it up: so there is a second socket to wait for.
        with DefaultSelector() as selector:
            selector.register(self._wake_read, EVENT_READ)
            for number, listener in enumerate(self._listeners):
                listener.setblocking(False)
                selector.register(listener, EVENT_READ, data=(listener, number > 0))
            while not self._stopping.is_set():
                for key, _ in selector.select():
                    if key.data is not None:
                        self._accept_one(*key.data)

    def _accept_one(self, listener: socket.socket, secure: bool) -> None:
        try:
            sock, address = listener.accept()
        except (BlockingIOError, ConnectionError):
            return  # a client gone before it was greeted
        except OSError:
            self._stopping.wait(_BREATH)  # out of descriptors: until some connection ends
            return
        self._welcome(sock, Peer(ip=address[0], port=address[1], secure=secure))

    def _welcome(self, sock: socket.socket, peer: Peer) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._tally.connected()
        connection = Connection(sock, peer, machine=self._machine, security=self._security, service=self._service, tally=self._tally)
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
