"""A session for one action in a Windows Remote Shell, and what its command said, as facts.

A shell's host process is told where the shell is opened, the target's clock in the head of every answer: nothing is run to learn either,
since whatever such a shell runs is a process that rules see. It knows no socket and no exception but our own; `client` drives the protocol.
"""

from __future__ import annotations

from threading import Event

from harness.errors import ProtocolFailure, StepTimeout
from harness.model.facts import Execution, Footprint, Identity, StreamKind, StreamRecord
from harness.model.intent import Action, WinRS
from harness.ports import Clock
from harness.transports.line import seen_sockets
from harness.transports.winrs.client import Client


class WinrsSession:
    """`harness.ports.Session` over a shell that is open."""

    def __init__(self, *, client: Client, action: Action, seen_from: str | None, clock: Clock) -> None:
        self._client = client
        self._action = action
        self._seen_from = seen_from
        self._clock = clock
        self._exit_code: int | None = None

    def run(self, timeout: float, cancel: Event) -> Execution:
        """See `harness.ports.Session.run`."""
        if not isinstance(self._action, WinRS):
            return Execution()
        self._client.line.arm(timeout, cancel)
        try:
            finished = self._client.run()
        except StepTimeout:
            self._client.stop()
            raise
        self._exit_code = finished.exit_code
        scrub = self._client.line.scrub
        return Execution(
            output=tuple(scrub(finished.output).splitlines()),
            records=tuple(StreamRecord(stream=StreamKind.ERROR, text=line) for line in scrub(finished.errors).splitlines()),
            exit_code=finished.exit_code,
            forms=("line",),
        )

    def identify(self) -> Footprint:
        """See `harness.ports.Session.identify`."""
        now = self._clock.now()
        read = self._client.line.clock.read(now)
        if read is None:
            raise ProtocolFailure(f"{self._client.line.place}: its answers tell no time (HTTP Date)")
        return Footprint(script="", started_at=now, finished_at=now, target_time=read[0], grain=read[1])

    @property
    def exit_code(self) -> int | None:
        """See `harness.ports.Session.exit_code`."""
        return self._exit_code

    @property
    def identity(self) -> Identity:
        """See `harness.ports.Session.identity`."""
        return Identity(sockets=seen_sockets(self._client.line.sockets, self._seen_from), process_id=self._client.process_id)

    def close(self) -> None:
        """See `harness.ports.Session.close`."""
        self._client.close()
