"""A file read without waiting for ever, up to a length; and files written whole or not at all. It must never know what is in them."""

from __future__ import annotations

import io
import os
import select
import stat
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

_WRITER_SECONDS = 10
"""How long a pipe is given for somebody to write to it: `mkfifo` and a writer that is just starting need some of it."""


def open_to_read(path: Path) -> io.BufferedReader:
    """The file, or pipe, opened for reading its bytes. Raises OSError, also where nobody writes to the pipe: opening one as usual waits
    for a writer, for ever."""
    file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") if os.name == "posix" else path.open("rb")
    try:
        if stat.S_ISFIFO(os.fstat(file.fileno()).st_mode):
            _await_writer(file.fileno())
    except BaseException:
        file.close()
        raise
    return file


def read_bounded(path: Path, most: int) -> bytes:
    """The file's bytes, or its first `most` and one more where it has more: what `path` names may never end. Raises OSError."""
    with open_to_read(path) as file:
        return file.read(most + 1)


def _await_writer(pipe: int) -> None:
    if os.name == "posix":
        poll = select.poll()
        poll.register(pipe, select.POLLIN)
        if not poll.poll(_WRITER_SECONDS * 1000):
            raise OSError(None, f"it is a pipe, and nobody wrote to it within {_WRITER_SECONDS} s")
        os.set_blocking(pipe, True)


def write_whole(path: Path, text: str, *, mode: int = 0o666) -> None:
    """Write the text beside the file first and rename it then: on one file system, so that the rename is one act.

    `mode`: who may do what with the file from its first moment on, less what the process's umask takes away. Raises OSError.
    """
    if path.exists() and not path.is_file():
        # A pipe or /dev/stdout: there is nothing to replace, and a rename would take its place.
        path.write_text(text, encoding="utf-8")
        return
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w", encoding="utf-8") as stream:
            stream.write(text)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_new(directory: Path, texts: Mapping[str, str]) -> None:
    """Write files that are not there yet, by their path below the directory, all of them or none; directories are made.

    Raises OSError, FileExistsError among it; then what was written or made is gone again.
    """
    with ExitStack() as undo:
        _make_directory(directory, undo)
        for name, text in texts.items():
            path = directory / name
            _make_directory(path.parent, undo)
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666), "w", encoding="utf-8") as stream:
                undo.callback(path.unlink)
                stream.write(text)
        undo.pop_all()


def _make_directory(directory: Path, undo: ExitStack) -> None:
    """Make it, and those above it."""
    if directory.is_dir():
        return
    _make_directory(directory.parent, undo)
    directory.mkdir()
    undo.callback(directory.rmdir)
