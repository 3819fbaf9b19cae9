"""The session's one run for the workers of pytest-xdist: the process that leads them owns it, and answers what their tests ask.

However xdist deals out the tests, a step is detonated once, by the leader, in a thread a target; a worker that takes over from one that
crashed is told what was known. Workers find the leader by an address and a key that xdist hands to them through its own pipe; a
connection without the key is refused. Each worker asks one question at a time. A leader that has gone breaks the connection.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path
from threading import Thread
from typing import Any

from harness.errors import HarnessError
from harness.model.verdicts import Verdict
from harness.pytest_plugin.asked import Told, Wanted
from harness.pytest_plugin.shared import Owner

_GONE = (EOFError, OSError)


class Relay:
    """The leader's end."""

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._key = secrets.token_bytes(32)
        self._closed = False
        self._listener = Listener(authkey=self._key)
        Thread(target=self._accept, name="harness relay", daemon=True).start()

    @property
    def place(self) -> dict[str, Any]:
        """Where and how a worker finds it, in plain values."""
        return {"address": self._listener.address, "key": self._key}

    def close(self) -> None:
        """Take no further connections."""
        self._closed = True
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection = self._listener.accept()
            except (AuthenticationError, EOFError, ConnectionError):
                if self._closed:
                    return
                continue  # whoever that was, workers still come
            except OSError:
                return
            Thread(target=self._serve, args=(connection,), name="harness relay to a worker", daemon=True).start()

    def _serve(self, connection: Connection) -> None:
        """One worker, until it is gone; then it is nobody's turn by it any more."""
        with connection, suppress(*_GONE), ExitStack() as turns:
            selected: Sequence[Wanted] = ()
            while True:
                question, *details = connection.recv()
                answer: object = None
                try:
                    match question:
                        case "selected":
                            selected = details[0]
                        case "told":
                            answer = self._owner.told(details[0], selected)
                        case "note":
                            self._owner.note(*details)
                        case "lab":
                            answer = self._owner.lab()
                        case "take":
                            turns.enter_context(self._owner.turn(details[0]))
                        case "leave":
                            turns.close()
                except HarnessError as error:
                    connection.send((False, str(error)))
                else:
                    connection.send((True, answer))


class Worker:
    """A worker's end: what tests there share with all others. Raises `HarnessError` where it cannot reach the leader."""

    def __init__(self, place: dict[str, Any]) -> None:
        try:
            self._connection = Client(place["address"], authkey=place["key"])
        except (OSError, EOFError, AuthenticationError) as error:
            raise HarnessError("this worker cannot reach the process that leads it: is it on another machine?") from error
        self._selected: Sequence[Wanted] | None = None

    def told(self, wanted: Wanted, selected: Sequence[Wanted]) -> Told:
        """As `Shared` says."""
        if self._selected is None:
            self._selected = selected
            self._ask("selected", tuple(selected))
        told = self._ask("told", wanted)
        assert isinstance(told, Told)
        return told

    def note(self, verdict: Verdict, title: str) -> None:
        """As `Shared` says."""
        self._ask("note", verdict, title)

    def lab(self) -> Path:
        """As `Shared` says."""
        place = self._ask("lab")
        assert isinstance(place, Path)
        return place

    @contextmanager
    def turn(self, target: str) -> Iterator[None]:
        """As `Shared` says."""
        self._ask("take", target)
        try:
            yield
        finally:
            self._ask("leave")

    def close(self) -> None:
        """Hang up."""
        self._connection.close()

    def _ask(self, *question: object) -> object:
        try:
            self._connection.send(question)
            well, answer = self._connection.recv()
        except _GONE as error:
            raise HarnessError("the process that leads the workers has gone") from error
        if not well:
            raise HarnessError(answer)
        return answer
