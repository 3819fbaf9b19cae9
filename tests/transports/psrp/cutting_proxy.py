"""A TCP proxy that breaks one request of a conversation, and knows how."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import StrEnum


class Cut(StrEnum):
    """What becomes of the chosen request."""

    BEFORE = "nothing of it arrives"
    HALFWAY = "half of it arrives"
    AFTER = "it arrives, its answer does not"
    SWALLOWED = "it arrives, no answer comes, the connection stays"


class CuttingProxy:
    """Passes HTTP between its port and another, and breaks the `number`-th request (from 0) of all its connections."""

    def __init__(self, upstream: int, number: int | None, cut: Cut) -> None:
        self._upstream = upstream
        self._number = number
        self._cut = cut
        self._lock = threading.Lock()
        self._seen = 0
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._muted: socket.socket | None = None
        self._start(self._accept)

    @property
    def requests(self) -> int:
        """How many requests came by."""
        return self._seen

    def stop(self) -> None:
        """Close everything and wait for the threads."""
        for opened in (self._listener, *self._sockets):
            with suppress(OSError):
                opened.shutdown(socket.SHUT_RDWR)
            opened.close()
        for thread in self._threads:
            thread.join(10)

    def _start(self, target: object, *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._upstream))
            except OSError:
                return
            self._sockets += [client, server]
            self._start(self._requests, client, server)
            self._start(self._answers, client, server)

    def _requests(self, client: socket.socket, server: socket.socket) -> None:
        buffer = b""
        with suppress(OSError):
            while received := client.recv(65536):
                buffer += received
                while (request := _one_request(buffer)) is not None:
                    buffer = buffer[len(request) :]
                    if not self._pass(request, client, server):
                        return
        _hang_up(server)

    def _pass(self, request: bytes, client: socket.socket, server: socket.socket) -> bool:
        with self._lock:
            chosen = self._seen == self._number
            self._seen += 1
            if chosen and self._cut in (Cut.AFTER, Cut.SWALLOWED):
                self._muted = client
        if not chosen or self._cut in (Cut.AFTER, Cut.SWALLOWED):
            server.sendall(request)
            return True
        if self._cut is Cut.HALFWAY:
            server.sendall(request[: len(request) // 2])
        _hang_up(client)
        _hang_up(server)
        return False

    def _answers(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while received := server.recv(65536):
                if self._muted is not client:
                    client.sendall(received)
                elif self._cut is Cut.AFTER:  # the answer says that the request was dealt with
                    _hang_up(server)
                    break
        _hang_up(client)


def _one_request(buffer: bytes) -> bytes | None:
    """The first whole HTTP request in the buffer."""
    head, blank, _ = buffer.partition(b"\r\n\r\n")
    if not blank:
        return None
    lengths = [int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
    end = len(head) + len(blank) + (lengths[0] if lengths else 0)
    return buffer[:end] if len(buffer) >= end else None


def _hang_up(opened: socket.socket) -> None:
    with suppress(OSError):
        opened.shutdown(socket.SHUT_RDWR)


@contextmanager
def cutting(upstream: int, number: int | None = None, cut: Cut = Cut.BEFORE) -> Iterator[CuttingProxy]:
    """A proxy in front of a port, stopped at the end."""
    proxy = CuttingProxy(upstream, number, cut)
    try:
        yield proxy
    finally:
        proxy.stop()
