"""A reverse proxy that counts requests and misbehaves on cue: between a client and an Elasticsearch, or with none behind it."""

from __future__ import annotations

import http.client
import socket
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from urllib.parse import urlsplit

Fault = Callable[["Handler"], None]


class FaultyProxy(ThreadingHTTPServer):
    """`faults` are used up, one a request; without one a request is passed on. `seen` has every request's method and path."""

    daemon_threads = True

    def __init__(self, upstream: str) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.upstream = urlsplit(upstream)
        self.faults: deque[Fault] = deque()
        self.seen: list[str] = []
        self.bytes_of: list[bytes] = []
        self.released = Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    """One connection of the proxy."""

    protocol_version = "HTTP/1.1"
    server: FaultyProxy

    def handle_one(self) -> None:
        self.body = self.rfile.read(int(self.headers.get("content-length") or 0))
        self.server.seen.append(f"{self.command} {self.path}")
        self.server.bytes_of.append(self.body)
        if self.server.faults:
            self.server.faults.popleft()(self)
        else:
            passed_on(self)

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = handle_one

    def ask(self) -> tuple[int, dict[str, str], bytes]:
        """What the server behind answers."""
        assert self.server.upstream.hostname is not None
        connection = http.client.HTTPConnection(self.server.upstream.hostname, self.server.upstream.port, timeout=30)
        try:
            path = self.path if self.path.startswith("/") else "/" + self.path.split("/", 3)[3]
            connection.request(self.command, path, self.body, dict(self.headers))
            response = connection.getresponse()
            return response.status, dict(response.getheaders()), response.read()
        finally:
            connection.close()

    def answer(self, status: int, headers: dict[str, str], body: bytes, *, cut: int = 0) -> None:
        """Answer; the last `cut` bytes are promised and never sent."""
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) - cut])
        if cut:
            self.drop()

    def drop(self) -> None:
        """Cut the connection."""
        self.close_connection = True
        self.wfile.flush()
        self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: tests look at `seen`."""


def status(code: int, body: bytes = b"{}", **headers: str) -> Fault:
    """Answer this, and nothing of what the server behind would."""
    told = {"content-type": "application/json"} | {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda handler: handler.answer(code, told, body)


def product(body: bytes) -> Fault:
    """A success that bears Elasticsearch's header, with this body."""
    return status(200, body, x_elastic_product="Elasticsearch")


def passed_on(handler: Handler) -> None:
    """No fault: what the server behind answers."""
    handler.answer(*handler.ask())


def cut_off(handler: Handler) -> None:
    """Take the request and cut the connection."""
    handler.drop()


def cut_in_the_body(handler: Handler) -> None:
    """Cut the connection in the middle of the answer."""
    code, headers, body = handler.ask()
    handler.answer(code, headers, body, cut=len(body) // 2)


def truncated(handler: Handler) -> None:
    """A whole answer whose JSON ends too early."""
    code, headers, body = handler.ask()
    headers.pop("content-encoding", None)
    handler.answer(code, headers, body[: len(body) // 2])


def hang(handler: Handler) -> None:
    """Never answer."""
    handler.server.released.wait(60)
    handler.drop()


@contextmanager
def faulty_proxy(upstream: str) -> Iterator[FaultyProxy]:
    """A proxy that listens, and is gone afterwards."""
    proxy = FaultyProxy(upstream)
    thread = Thread(target=proxy.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.released.set()
        proxy.shutdown()
        proxy.server_close()
        thread.join()
