"""A proxy that only tunnels (CONNECT), as those in front of TLS do: it counts what it was asked to reach."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread


class Tunnel(ThreadingHTTPServer):
    """`reached` has every address that a client asked for."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.reached: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Tunnel

    def do_CONNECT(self) -> None:
        self.server.reached.append(self.path)
        host, _, port = self.path.rpartition(":")
        with socket.create_connection((host, int(port))) as behind:
            self.send_response(200)
            self.end_headers()
            back = Thread(target=_pass, args=(behind, self.connection), daemon=True)
            back.start()
            _pass(self.connection, behind)
            back.join()
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Nothing: the test tells."""


def _pass(source: socket.socket, to: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            to.sendall(data)
        to.shutdown(socket.SHUT_WR)
    except OSError:  # either end is gone
        return


@contextmanager
def tunnel() -> Iterator[Tunnel]:
    made = Tunnel()
    thread = Thread(target=made.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield made
    finally:
        made.shutdown()
        made.server_close()
        thread.join()
