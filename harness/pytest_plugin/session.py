"""What a pytest session holds open, by where it is: one owner of what tests share (or a worker's line to it), and one stage for Python.

All is made when first asked for, and given back at the session's end. This module must never know a test.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import pytest

from harness.assemble import Stage, staged
from harness.errors import HarnessError
from harness.pytest_plugin.relay import Relay, Worker
from harness.pytest_plugin.shared import Owner, Shared, on
from harness.pytest_plugin.where import Where, is_asked, where
from lab.process import LabPlace, find

INPUT = "harness"
"""Under which name a worker of pytest-xdist is handed its leader's place."""


class Held:
    """What one process of a session holds open."""

    def __init__(self, config: pytest.Config) -> None:
        self._stack = ExitStack()
        self._where = where(config) if is_asked(config) else None
        self._leader: dict[str, Any] | None = getattr(config, "workerinput", {}).get(INPUT)
        self._shared: dict[bool, Shared] = {}
        self._stages: dict[bool, Stage] = {}
        self._relay: Relay | None = None

    def shared(self, at: Where) -> Shared:
        """What tests share there. A worker has nothing of its own but a lab that the session as a whole did not ask for."""
        if at.lab not in self._shared:
            if self._leader is not None and at is self._where:
                worker = Worker(self._leader)
                self._stack.callback(worker.close)
                self._shared[at.lab] = worker
            else:
                self._shared[at.lab] = self._own(at)
        return self._shared[at.lab]

    def stage(self, at: Where) -> Stage:
        """Where steps of tests in Python are sent. Raises `UsageError`, `ScopeError`, `LabError`."""
        if at.lab not in self._stages:
            there = on(at, self.shared(at).lab()) if at.lab else at
            self._stages[at.lab] = self._stack.enter_context(staged(there.request()))
        return self._stages[at.lab]

    def lab(self, at: Where) -> LabPlace:
        """The lab, up. Raises `LabError`."""
        place = find(self.shared(at).lab())
        if place is None:
            raise HarnessError("the lab has gone")
        return place

    def lead(self, worker: dict[str, Any]) -> None:
        """Hand a worker what it needs to share what is held here."""
        if self._where is None:
            return
        if self._relay is None:
            owner = self.shared(self._where)
            assert isinstance(owner, Owner)
            self._relay = Relay(owner)
            self._stack.callback(self._relay.close)
        worker[INPUT] = self._relay.place

    @property
    def owners(self) -> Sequence[Owner]:
        """Those of this process: of what was asked for, and of a lab that a test in Python asked for besides."""
        return [shared for shared in self._shared.values() if isinstance(shared, Owner)]

    def finish(self) -> None:
        """Wait for the run's end, or end it where not all of it was asked for."""
        for owner in self.owners:
            owner.finish()

    def close(self) -> None:
        """Give everything back."""
        self._stack.close()

    def _own(self, at: Where) -> Owner:
        owner = Owner(at)
        self._stack.callback(owner.close)
        return owner


_HELD: pytest.StashKey[Held] = pytest.StashKey()


def held(config: pytest.Config) -> Held:
    """What this process holds."""
    if _HELD not in config.stash:
        config.stash[_HELD] = Held(config)
        config.add_cleanup(config.stash[_HELD].close)
    return config.stash[_HELD]


def held_already(config: pytest.Config) -> Held | None:
    """The same, where something is held at all."""
    return config.stash.get(_HELD, None)
