"""The queue that Receive requests wait at."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.winrm.outbox import Aborted, ClientGone, Outbox


def yes() -> bool:
    return True


@given(st.lists(st.binary(min_size=1, max_size=9), min_size=1), st.integers(1, 30))
def test_chunks_come_whole_in_order_and_within_the_budget(chunks: list[bytes], budget: int) -> None:
    outbox = Outbox()
    for chunk in chunks:
        outbox.put(chunk)
    outbox.finish()
    left = list(chunks)
    done = False
    while not done:
        taken = outbox.take(budget, 0, yes)
        assert taken is not None
        data, done = taken
        whole = [left.pop(0)]
        while len(b"".join(whole)) < len(data):
            whole.append(left.pop(0))
        assert data == b"".join(whole)
        assert len(whole) == 1 or len(data) <= budget
    assert left == []


def test_nothing_there_is_nothing_taken() -> None:
    assert Outbox().take(100, 0, yes) is None


def test_who_waits_is_woken_by_a_chunk() -> None:
    outbox = Outbox()
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(outbox.take, 100, 30, yes)
        outbox.put(b"x")
        assert waiting.result(10) == (b"x", False)


def test_who_waits_is_woken_by_the_end_and_by_an_abort() -> None:
    finished, aborted = Outbox(), Outbox()
    with ThreadPoolExecutor() as pool:
        first = pool.submit(finished.take, 100, 30, yes)
        second = pool.submit(aborted.take, 100, 30, yes)
        finished.finish()
        aborted.abort()
        assert first.result(10) == (b"", True)
        with pytest.raises(Aborted):
            second.result(10)


def test_an_abort_takes_along_what_was_there() -> None:
    outbox = Outbox()
    outbox.put(b"x")
    outbox.abort()
    with pytest.raises(Aborted):
        outbox.take(100, 0, yes)


def test_a_client_that_left_takes_nothing_with_it() -> None:
    outbox = Outbox()
    with pytest.raises(ClientGone):
        outbox.take(100, 30, lambda: False)
    outbox.put(b"x")
    assert outbox.take(100, 0, yes) == (b"x", False)
