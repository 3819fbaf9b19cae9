"""The line between the workers of pytest-xdist and who leads them: who is let in, and whose turn it is."""

from __future__ import annotations

from collections.abc import Iterator
from multiprocessing.connection import Client
from pathlib import Path
from threading import Event, Thread

import pytest

from harness.errors import HarnessError
from harness.pytest_plugin.asked import Wanted
from harness.pytest_plugin.relay import Relay, Worker
from harness.pytest_plugin.shared import Owner
from harness.pytest_plugin.where import Where
from harness.settings import Settings


@pytest.fixture
def relay() -> Iterator[Relay]:
    """Of a session on a target that no settings name: its run ends by an error before anything is sent."""
    owner = Owner(Where(settings=Settings(), directory=Path.cwd(), jump_hosts={}, lab=False, targets=("ws6",)))
    made = Relay(owner)
    yield made
    made.close()
    owner.close()


def test_without_the_key_nobody_is_let_in_and_workers_still_are(relay: Relay) -> None:
    with pytest.raises(HarnessError, match="cannot reach"):
        Worker(relay.place | {"key": b"guessed"})
    Client(relay.place["address"]).close()  # a stranger that hangs up at once
    worker = Worker(relay.place)
    with worker.turn("ws6"):
        pass
    worker.close()


def test_one_at_a_time_on_a_target_and_who_hangs_up_gives_way(relay: Relay) -> None:
    first, second = Worker(relay.place), Worker(relay.place)
    had = Event()

    def take() -> None:
        with second.turn("ws6"):
            had.set()

    with first.turn("ws6"):
        waiting = Thread(target=take)
        waiting.start()
        assert not had.wait(0.2)
    waiting.join(30)
    assert had.is_set()
    with Client(relay.place["address"], authkey=relay.place["key"]) as crashing:
        crashing.send(("take", "ws6"))
        assert crashing.recv() == (True, None)
    with first.turn("ws6"):
        pass
    for worker in (first, second):
        worker.close()


def test_what_kept_the_run_from_beginning_is_told_to_every_test(relay: Relay) -> None:
    wanted = Wanted(file="x.scenario.yml", planned="x/1@ws6", rule="r")
    for _ in range(2):
        worker = Worker(relay.place)
        with pytest.raises(HarnessError, match="there is no"):
            worker.told(wanted, [wanted])
        worker.close()


def test_a_leader_that_has_gone_is_no_riddle(relay: Relay) -> None:
    worker = Worker(relay.place)
    worker.close()
    with pytest.raises(HarnessError, match="has gone"):
        worker.lab()
    place = relay.place
    relay.close()
    with pytest.raises(HarnessError, match="cannot reach"):
        Worker(place)
