"""What waits to be fetched by the Receive requests of a shell or of one command. Bytes only; no PSRP, no sockets."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from time import monotonic

_GLANCE = 1.0
"""Seconds between two looks at whether a waiting client is still there."""


class Aborted(Exception):
    """The shell or command was closed while somebody waited, or before."""


class ClientGone(Exception):
    """The client that waits has closed its connection."""


class Outbox:
    """A queue of chunks, each of whole PSRP fragments. Thread-safe."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._chunks: deque[bytes] = deque()
        self._done = False
        self._aborted = False

    def put(self, chunk: bytes) -> None:
        """Add a chunk."""
        with self._changed:
            self._chunks.append(chunk)
            self._changed.notify_all()

    def finish(self) -> None:
        """Nothing more will come; what is there can still be fetched."""
        with self._changed:
            self._done = True
            self._changed.notify_all()

    def abort(self) -> None:
        """Throw away what is there and send everybody home."""
        with self._changed:
            self._aborted = True
            self._chunks.clear()
            self._changed.notify_all()

    def take(self, budget: int, timeout: float, still_there: Callable[[], bool]) -> tuple[bytes, bool] | None:
        """Wait up to `timeout` seconds for chunks: at least one, at most `budget` bytes; and whether it is the end.

        None once the time is over. Raises `Aborted`, and `ClientGone` where `still_there` says no: nothing is taken then.
        """
        deadline = monotonic() + timeout
        with self._changed:
            while not (self._chunks or self._done or self._aborted):
                left = deadline - monotonic()
                if left <= 0:
                    return None
                if not self._changed.wait(min(left, _GLANCE)) and not still_there():
                    raise ClientGone
            if self._aborted:
                raise Aborted
            taken: list[bytes] = []
            size = 0
            while self._chunks and (not taken or size + len(self._chunks[0]) <= budget):
                size += len(self._chunks[0])
                taken.append(self._chunks.popleft())
            return b"".join(taken), self._done and not self._chunks
