"""What waits to be fetched by the Receive requests of a shell or of one command. Streams of bytes; no PSRP, no text, no sockets."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Collection, Sequence
from itertools import groupby
from time import monotonic

_GLANCE = 1.0
"""Seconds between two looks at whether a waiting client is still there, or a waiting command still wanted."""


_PIECE = 120
"""Bytes of a stream in whose place one more piece's own markup could stand in a response."""


class Aborted(Exception):
    """The shell or command was closed while somebody waited, or before."""


class ClientGone(Exception):
    """The client that waits has closed its connection."""


Piece = tuple[str, bytes]
"""A stream's name, and bytes of it."""


class Outbox:
    """A queue of chunks, each of one stream and never cut (a PSRP fragment is of no use in halves). Thread-safe."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._chunks: deque[tuple[str, bytes, bool]] = deque()  # stream, bytes, and whether something begins with them
        self._size = 0
        self._done = False
        self._aborted = False
        self._generation = 0
        self._interrupted: Exception | None = None

    def put(self, chunk: bytes, stream: str = "stdout") -> None:
        """Add a chunk; nothing is added once the outbox was aborted, for nobody would come for it."""
        self.put_all([chunk], stream)

    def put_all(self, chunks: Sequence[bytes], stream: str = "stdout") -> None:
        """Add chunks that belong together: nothing of others comes between them."""
        with self._changed:
            if not self._aborted:
                for number, chunk in enumerate(chunks):
                    self._chunks.append((stream, chunk, number == 0))
                    self._size += len(chunk)
                self._changed.notify_all()

    def make_room(self, limit: int) -> None:
        """Throw the oldest away while more than `limit` bytes are there: all of what belongs together, none where some of it is gone."""
        with self._changed:
            while self._size > limit and self._chunks and self._chunks[0][2]:
                begun = False
                while self._chunks and not (begun and self._chunks[0][2]):
                    self._size -= len(self._chunks.popleft()[1])
                    begun = True

    def empty(self) -> None:
        """Throw away what is there; more may come."""
        with self._changed:
            self._chunks.clear()
            self._size = 0
            self._changed.notify_all()

    def interrupt(self, error: Exception) -> None:
        """Send home whoever waits, with an error; what is there stays for those who come later."""
        with self._changed:
            self._interrupted = error
            self._generation += 1
            self._changed.notify_all()

    def wait_for_room(self, limit: int, stopped: Callable[[], bool]) -> None:
        """Wait while more than `limit` bytes are there, as a process waits at a full pipe; no longer once `stopped` says so."""
        with self._changed:
            while self._size > limit and not self._aborted and not stopped():
                self._changed.wait(_GLANCE)

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
            self._size = 0
            self._changed.notify_all()

    def take(
        self, budget: int, timeout: float, still_there: Callable[[], bool], streams: Collection[str] = ("stdout",)
    ) -> tuple[tuple[Piece, ...], bool] | None:
        """Wait up to `timeout` seconds for chunks of these streams: at least one, at most `budget` bytes; and whether it is their end.

        What follows each other in one stream comes as one piece; what is of other streams stays.

        None once the time is over. Raises `Aborted`, `ClientGone` where `still_there` says no, and what `interrupt` was given: nothing is
        taken then.
        """
        deadline = monotonic() + timeout
        with self._changed:
            generation = self._generation
            while not (self._done or self._aborted or any(stream in streams for stream, _, _ in self._chunks)):
                left = deadline - monotonic()
                if left <= 0:
                    return None
                if not self._changed.wait(min(left, _GLANCE)) and not still_there():
                    raise ClientGone
                if generation != self._generation and self._interrupted is not None:
                    raise self._interrupted
            if self._aborted:
                raise Aborted
            taken, there_is_more = self._pick(budget, streams)
            self._changed.notify_all()
            pieces = tuple(
                (stream, b"".join(data for _, data in together)) for stream, together in groupby(taken, key=lambda piece: piece[0])
            )
            return pieces, self._done and not there_is_more

    def _pick(self, budget: int, streams: Collection[str]) -> tuple[list[Piece], bool]:
        """Chunks of some streams out of the queue, and whether there are more of these. The lock is held."""
        taken: list[Piece] = []
        left_alone: list[tuple[str, bytes, bool]] = []
        size = 0
        there_is_more = False
        while self._chunks:
            stream, chunk, _ = self._chunks[0]
            if stream not in streams:
                left_alone.append(self._chunks.popleft())
                continue
            size += len(chunk) + (_PIECE if taken and taken[-1][0] != stream else 0)
            if taken and size > budget:
                there_is_more = True
                break
            self._chunks.popleft()
            taken.append((stream, chunk))
            self._size -= len(chunk)
        self._chunks.extendleft(reversed(left_alone))
        return taken, there_is_more
