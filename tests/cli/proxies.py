"""A TCP proxy that cuts what passes through it, at a moment of the test's choosing: what a failing network does to a run."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

Cut = Callable[[int, bytes], bool]
"""Told of every chunk the client sends, with the number of chunks before it; True cuts the connection instead of passing it on."""


class Proxy:
    """Listens on loopback and passes on to a port; from the first cut on it accepts nothing more where `for_good`."""

    def __init__(self, port: int, cut: Cut, *, for_good: bool = True, after: bool = False) -> None:
        self._upstream = port
        self._cut = cut
        self._for_good = for_good
        self._after = after
        self._server = socket.create_server(("127.0.0.1", 0))
        self._chunks = 0
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self.was_cut = threading.Event()

    @property
    def port(self) -> int:
        """Where it listens."""
        port: int = self._server.getsockname()[1]
        return port

    def __enter__(self) -> Self:
        self._spawn(self._accept)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._close(self._server)
        for one in self._sockets:
            self._close(one)
        for thread in self._threads:
            thread.join(5)

    def cut_now(self) -> None:
        """Cut every connection and accept no more: the endpoint is gone."""
        self.was_cut.set()
        self._close(self._server)
        for one in list(self._sockets):
            self._close(one)

    def _spawn(self, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            if self.was_cut.is_set() and self._for_good:
                client.close()
                continue
            upstream = socket.create_connection(("127.0.0.1", self._upstream))
            self._sockets += [client, upstream]
            self._spawn(self._pass_on, client, upstream, True)
            self._spawn(self._pass_on, upstream, client, False)

    def _pass_on(self, source: socket.socket, sink: socket.socket, from_client: bool) -> None:
        with suppress(OSError):
            while chunk := source.recv(65536):
                if from_client:
                    with self._lock:
                        number, self._chunks = self._chunks, self._chunks + 1
                    if self._cut(number, chunk):
                        if self._after:
                            sink.sendall(chunk)
                        self.was_cut.set()
                        break
                sink.sendall(chunk)
        self._close(source)
        self._close(sink)

    @staticmethod
    def _close(one: socket.socket) -> None:
        with suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
        one.close()
