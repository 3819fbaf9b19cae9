"""The queue that Receive requests wait at."""

from __future__ import annotations

import threading
from collections import deque
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
        (piece,), done = taken
        stream, data = piece
        assert stream == "stdout"
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
        assert waiting.result(10) == ((("stdout", b"x"),), False)


def test_who_waits_is_woken_by_the_end_and_by_an_abort() -> None:
    finished, aborted = Outbox(), Outbox()
    with ThreadPoolExecutor() as pool:
        first = pool.submit(finished.take, 100, 30, yes)
        second = pool.submit(aborted.take, 100, 30, yes)
        finished.finish()
        aborted.abort()
        assert first.result(10) == ((), True)
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
    assert outbox.take(100, 0, yes) == ((("stdout", b"x"),), False)


def test_streams_keep_their_order_and_what_follows_each_other_comes_together() -> None:
    outbox = Outbox()
    for stream, data in (("stdout", b"a"), ("stdout", b"b"), ("stderr", b"c"), ("stdout", b"d")):
        outbox.put(data, stream)
    outbox.finish()
    both = ("stdout", "stderr")
    assert outbox.take(200, 0, yes, both) == ((("stdout", b"ab"), ("stderr", b"c")), False)
    assert outbox.take(200, 0, yes, both) == ((("stdout", b"d"),), True)


def test_a_stream_that_is_not_asked_for_stays() -> None:
    outbox = Outbox()
    for stream, data in (("stderr", b"a"), ("stdout", b"b"), ("stderr", b"c"), ("stdout", b"d")):
        outbox.put(data, stream)
    assert outbox.take(1, 0, yes) == ((("stdout", b"b"),), False)
    outbox.finish()
    assert outbox.take(200, 0, yes) == ((("stdout", b"d"),), True)
    assert outbox.take(200, 0, yes, ("stderr",)) == ((("stderr", b"ac"),), True)


def test_the_oldest_makes_room_and_what_belongs_together_goes_together() -> None:
    outbox = Outbox()
    for message in ([b"aa", b"bb"], [b"cc"], [b"dd", b"ee"]):
        outbox.put_all(message)
    outbox.make_room(7)
    assert outbox.take(2, 0, yes) == ((("stdout", b"cc"),), False)
    assert outbox.take(2, 0, yes) == ((("stdout", b"dd"),), False)
    outbox.make_room(0)  # the beginning is gone: its end must follow
    assert outbox.take(2, 0, yes) == ((("stdout", b"ee"),), False)


def test_who_waits_can_be_sent_home_and_nothing_is_lost() -> None:
    outbox = Outbox()
    waits = threading.Event()

    def yes_and_now() -> bool:
        waits.set()
        return True

    with ThreadPoolExecutor() as threads:
        waiting = threads.submit(outbox.take, 10, 10, yes_and_now)
        assert waits.wait(10)
        outbox.interrupt(LookupError("left"))
        with pytest.raises(LookupError):
            waiting.result(10)
    outbox.put(b"a")
    assert outbox.take(10, 0, yes) == ((("stdout", b"a"),), False)


def test_nothing_is_kept_for_nobody() -> None:
    outbox = Outbox()
    outbox.abort()
    outbox.put(b"x")
    assert outbox._chunks == deque()


def test_who_has_said_too_much_waits_until_it_is_fetched_or_no_longer_wanted() -> None:
    outbox = Outbox()
    outbox.put(b"123")
    outbox.wait_for_room(3, lambda: False)
    outbox.put(b"4")
    outbox.wait_for_room(3, yes)
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(outbox.wait_for_room, 3, lambda: False)
        assert not waiting.done()
        outbox.take(3, 0, yes)
        waiting.result(10)
