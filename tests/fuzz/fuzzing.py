"""What the fuzz tests have in common: damaged copies of good input, a watchman for what is done on the machine, a look at what stays."""

from __future__ import annotations

import gc
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random
from time import perf_counter

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

EXAMPLES = 10_000
LONGEST = 5.0  # seconds for one request
LEAK = 20 * 1024 * 1024  # bytes
SOAK = 3_000  # requests between two looks at the memory

FUZZ = settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck), print_blob=True)

Edit = tuple[int, int, bytes]


def damaged(good: Sequence[bytes], words: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """Good input with a few cuts, repetitions and insertions of words or of any bytes; now and then nothing of it."""
    pieces = st.one_of(st.sampled_from(list(words)), st.binary(max_size=8))
    edits = st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(-40, 40), pieces), max_size=5)
    return st.one_of(st.builds(_edited, st.sampled_from(list(good)), edits), st.binary(max_size=400))


def _edited(text: bytes, edits: list[Edit]) -> bytes:
    """`at` is a place in proportion to the length; a positive span is cut out there, a negative one repeated."""
    for at, span, piece in edits:
        place = at * (len(text) + 1) >> 16
        text = text[:place] + piece + (text[place + span :] if span >= 0 else text[max(place + span, 0) :])
    return text


def samples(good: Sequence[bytes], words: Sequence[bytes], count: int, seed: int = 1) -> Iterator[bytes]:
    """The same kind of input without hypothesis, which remembers what it tried: for a look at the memory."""
    random = Random(seed)
    for _ in range(count):
        edits = [
            (random.randrange(1 << 16), random.randrange(-40, 41), random.choice([*words, random.randbytes(random.randrange(8))]))
            for _ in range(random.randrange(5))
        ]
        yield _edited(random.choice(good), edits)


@contextmanager
def in_time() -> Iterator[None]:
    """Fails where what is inside takes longer than a request may. Not a measurement: a limit that only something stuck comes near."""
    begun = perf_counter()
    yield
    assert perf_counter() - begun < LONGEST


def memory() -> int:
    """Bytes of this process that are in memory."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def descriptors() -> int:
    """Open files and sockets of this process."""
    return len(list(Path("/proc/self/fd").iterdir()))


def assert_nothing_stays(soak: Callable[[int], object]) -> None:
    """`soak(round)` asks for `SOAK` things; after a first round no memory, no thread and no descriptor may stay of the next."""
    soak(0)
    threads, open_before, before = threading.active_count(), descriptors(), memory()
    soak(1)
    soak(2)
    assert threading.active_count() <= threads
    assert descriptors() <= open_before
    assert memory() - before < LEAK


_WORDS = """
    subprocess.Popen os.system os.exec os.posix_spawn os.spawn os.fork os.forkpty os.startfile os.kill os.remove os.rename os.mkdir os.rmdir
    os.link os.symlink os.chmod os.chown os.truncate os.putenv os.unsetenv shutil.rmtree shutil.move shutil.copyfile socket.connect
    socket.bind socket.sendto ctypes.dlopen pickle.find_class
"""
_DEEDS = frozenset(_WORDS.split())


def _is_made(event: str, arguments: tuple[object, ...]) -> bool:
    """Whether Python code came out of a text: modules that are loaded late have a file."""
    if event == "compile":
        return arguments[0] is not None
    name = getattr(arguments[0], "co_filename", "") if event == "exec" else "-"
    return name.startswith("<") and not name.startswith("<frozen")


class _Watchman:
    """Hears of everything that Python tells its audit hooks [PEP 578]; they cannot be taken away again, so it is told when to listen."""

    def __init__(self) -> None:
        self.seen: list[str] | None = None
        sys.addaudithook(self._hook)

    def _hook(self, event: str, arguments: tuple[object, ...]) -> None:
        seen = self.seen
        if seen is None:
            return
        if event not in _DEEDS and event not in ("open", "compile", "exec"):
            return
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) != 0
        if ".pyc" in str(arguments):  # the interpreter keeps what it loaded
            return
        if event in _DEEDS or writes or _is_made(event, arguments):
            seen.append(f"{event} {arguments!r:.200}")


_watchman: list[_Watchman] = []


@contextmanager
def nothing_is_done() -> Iterator[None]:
    """Fails where a program is started, a file written or changed, a connection opened, or Python code made, by whatever is inside."""
    if not _watchman:
        _watchman.append(_Watchman())
    watchman = _watchman[0]
    seen: list[str] = []
    watchman.seen = seen
    try:
        yield
    finally:
        watchman.seen = None
    assert seen == []
