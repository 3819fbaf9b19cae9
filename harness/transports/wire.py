"""The TCP side of a session: every socket known, no request repeated, no wait without an end.

It sits below requests as an adapter of one session object; nothing is patched. It knows HTTP connections only, not what travels on them.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from threading import Event
from typing import TYPE_CHECKING, Any, cast

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.util.ssl_ import create_urllib3_context

from harness.errors import StepTimeout
from harness.model.facts import Socket
from harness.ports import Clock

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

# How long a read or write blocks before the guard is asked again, in seconds: what a cancel or a deadline can be late by.
SLICE = 0.1


class Guard:
    """The end of every wait on a session's sockets: a deadline and an event, asked between slices of blocking."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._deadline = clock.monotonic()
        self._seconds = 0.0
        self._cancel: Event | None = None

    def arm(self, seconds: float, cancel: Event | None = None) -> None:
        """From now on waits end after `seconds`, or once `cancel` is set."""
        self._deadline = self._clock.monotonic() + seconds
        self._seconds = seconds
        self._cancel = cancel

    def check(self) -> None:
        """Raises `StepTimeout` where the wait has to end."""
        if self._cancel is not None and self._cancel.is_set():
            raise StepTimeout("interrupted")
        if self._clock.monotonic() >= self._deadline:
            raise StepTimeout(f"no end within {self._seconds:g} s")


class _Patient(socket.socket):
    """A socket that blocks in slices. Asked before each read too, so that a server which drips bytes cannot outlast the deadline."""

    guard: Guard | None = None

    def watch(self, guard: Guard) -> None:
        self.guard = guard
        self.settimeout(SLICE)

    def settimeout(self, value: float | None, /) -> None:
        # urllib3 sets its read time-out before each response: with a guard it is the slice that counts.
        super().settimeout(value if self.guard is None else SLICE)

    def recv_into(self, buffer: WriteableBuffer, nbytes: int | None = None, flags: int = 0) -> int:
        return self._patiently(partial(super().recv_into, buffer, nbytes or 0, flags))

    def send(self, data: ReadableBuffer, flags: int = 0, /) -> int:
        return self._patiently(partial(super().send, data, flags))

    def sendall(self, data: ReadableBuffer, flags: int = 0, /) -> None:
        # A time-out within the C sendall would lose count of what was sent.
        with memoryview(data).cast("B") as view:
            sent = 0
            while sent < len(view):
                sent += self.send(view[sent:], flags)

    def _patiently(self, operation: Callable[[], int]) -> int:
        while True:
            if self.guard is not None:
                self.guard.check()
            try:
                return operation()
            except TimeoutError:
                if self.guard is None:
                    raise


class _PatientTLS(_Patient, ssl.SSLSocket):
    """The same over TLS; reads and writes that timed out may be repeated there (SSL_ERROR_WANT_READ)."""


class Wire:
    """The connections of one WSMan object.

    `address` is where to connect to in place of resolving the host's name: what was vetted is what is used. With a `proxy` (URL) it is the
    proxy that connects there, and none of our sockets is one that the target sees. `key_password` opens a client certificate's key.
    `system_trust`: the machine's own authorities vouch for targets too, where a company's is. Not to `verify` is to trust whoever answers.
    """

    def __init__(
        self,
        guard: Guard,
        address: str,
        *,
        proxy: str = "",
        key_password: str = "",
        system_trust: bool = True,
        verify: bool = True,
    ) -> None:
        self.guard = guard
        self.address = address
        self.proxy = proxy
        self.key_password = key_password
        self.system_trust = system_trust
        self.verify = verify
        self.sockets: list[Socket] = []
        self.connected = False
        self.sealed = False
        self._open: list[socket.socket] = []

    def seal(self) -> None:
        """No further connection: what an authenticated session would send over a new one, it would send again."""
        self.sealed = True

    def adapter(self) -> HTTPAdapter:
        """The adapter to mount on the requests session."""
        return _Adapter(self)

    def close(self) -> None:
        """Close every socket, whatever is still being read from it."""
        for opened in self._open:
            with suppress(OSError):
                socket.socket.shutdown(opened, socket.SHUT_RDWR)
            # Taken from the object first: its own close would wait for a response that nobody finished reading.
            if (descriptor := opened.detach()) >= 0:
                socket.close(descriptor)
        self._open.clear()

    def refuse_where_sealed(self) -> None:
        """Raises `ConnectionAbortedError`."""
        if self.sealed:
            raise ConnectionAbortedError("the session's connection is gone")

    def opened(self, connection: socket.socket) -> None:
        """A TCP connection came about."""
        address, port = connection.getsockname()[:2]
        if not self.proxy:
            self.sockets.append(Socket(ip=address, port=port))
        self._open.append(connection)

    def ready(self, connection: socket.socket) -> None:
        """The connection can be written to, TLS included."""
        self._open.append(connection)
        self.connected = True


class _Connection(HTTPConnection):
    def __init__(self, *args: Any, wire: Wire, **kwargs: Any) -> None:
        self._wire = wire
        super().__init__(*args, **kwargs)

    def _new_conn(self) -> socket.socket:
        return _connect(self, self._wire, super()._new_conn)

    def connect(self) -> None:
        super().connect()
        patient = _Patient(fileno=self.sock.detach())
        patient.watch(self._wire.guard)
        self.sock = patient
        self._wire.ready(patient)


class _TLSConnection(HTTPSConnection):
    def __init__(self, *args: Any, wire: Wire, **kwargs: Any) -> None:
        self._wire = wire
        super().__init__(*args, **kwargs)

    def _new_conn(self) -> socket.socket:
        return _connect(self, self._wire, super()._new_conn)

    def connect(self) -> None:
        super().connect()
        if isinstance(self.sock, _Patient):
            self.sock.watch(self._wire.guard)
        self._wire.ready(self.sock)


def _connect(connection: HTTPConnection, wire: Wire, connect: Callable[[], socket.socket]) -> socket.socket:
    """A TCP connection to the vetted address, under the host's own name (Host header, TLS, service principal); or to the proxy."""
    wire.refuse_where_sealed()
    wire.guard.check()
    named = connection._dns_host
    if not wire.proxy:
        connection._dns_host = wire.address
    try:
        opened = connect()
    finally:
        connection._dns_host = named
    wire.opened(opened)
    return opened


class _Adapter(HTTPAdapter):
    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        super().__init__(max_retries=0)

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **pool_kwargs: Any) -> None:
        super().init_poolmanager(connections, maxsize, block, **pool_kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": self._http_pool, "https": self._https_pool}

    def proxy_manager_for(self, proxy: str, **proxy_kwargs: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **proxy_kwargs)
        manager.pool_classes_by_scheme = self.poolmanager.pool_classes_by_scheme
        return manager

    def _http_pool(self, *args: Any, **kwargs: Any) -> HTTPConnectionPool:
        pool = HTTPConnectionPool(*args, **kwargs)
        # A callable is what urllib3 needs; the pool makes its connections through it.
        pool.ConnectionCls = cast(type[_Connection], partial(_Connection, wire=self._wire))
        return pool

    def _https_pool(self, *args: Any, **kwargs: Any) -> HTTPSConnectionPool:
        context = create_urllib3_context()
        context.sslsocket_class = _PatientTLS
        if not self._wire.verify:
            context.check_hostname = False
        elif self._wire.system_trust:
            context.load_default_certs()
        if self._wire.key_password:
            kwargs["key_password"] = self._wire.key_password
        pool = HTTPSConnectionPool(*args, ssl_context=context, **kwargs)
        pool.ConnectionCls = cast(type[_TLSConnection], partial(_TLSConnection, wire=self._wire))
        return pool
