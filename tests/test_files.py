"""Files that never end, never begin, or are no files."""

from __future__ import annotations

import os
from pathlib import Path
from threading import Thread

import pytest

from harness import files
from harness.files import open_to_read, read_bounded

pytestmark = pytest.mark.skipif(os.name != "posix", reason="pipes and devices of POSIX")


def test_what_never_ends_is_read_up_to_one_byte_more_than_asked_for(tmp_path: Path) -> None:
    assert read_bounded(Path("/dev/zero"), 10) == b"\0" * 11
    (tmp_path / "a").write_bytes(b"abc")
    assert read_bounded(tmp_path / "a", 10) == b"abc"


def test_a_pipe_is_read_when_somebody_writes_to_it(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = Thread(target=pipe.write_bytes, args=(b"x" * 200_000,))
    writer.start()
    with open_to_read(pipe) as file:
        assert len(file.read()) == 200_000
    writer.join()


def test_a_pipe_that_nobody_writes_to_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.setattr(files, "_WRITER_SECONDS", 0)
    with pytest.raises(OSError, match="nobody wrote to it") as caught:
        open_to_read(tmp_path / "pipe")
    assert caught.value.strerror == "it is a pipe, and nobody wrote to it within 0 s"


def test_what_is_not_there_or_a_directory_is_an_error(tmp_path: Path) -> None:
    for path in (tmp_path / "absent", tmp_path):
        with pytest.raises(OSError):  # noqa: PT011 - any: the caller tells which
            read_bounded(path, 1)


def test_new_files_are_all_written_or_none(tmp_path: Path) -> None:
    files.write_new(tmp_path / "a", {"x": "1", "deep/down/y": "2"})
    assert (tmp_path / "a/deep/down/y").read_text() == "2"
    (tmp_path / "b/deep").mkdir(parents=True)
    (tmp_path / "b/deep/y").write_text("mine")
    with pytest.raises(FileExistsError):
        files.write_new(tmp_path / "b", {"x": "1", "other/z": "3", "deep/y": "2"})
    assert sorted(path.name for path in (tmp_path / "b").rglob("*")) == ["deep", "y"]
    (tmp_path / "c").write_text("mine")
    with pytest.raises(OSError, match="c"):
        files.write_new(tmp_path / "c" / "d", {"x": "1"})
