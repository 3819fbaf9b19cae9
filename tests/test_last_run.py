"""The report that is kept of the last run."""

from __future__ import annotations

import os
import stat
import sys
from dataclasses import replace
from pathlib import Path

import platformdirs
import pytest

from harness.errors import UsageError
from harness.last_run import keep, last_run_file, read_report, recall
from tests.reports import sample_reports as sample


@pytest.fixture(autouse=True)
def _own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platformdirs, "user_state_path", lambda name: tmp_path / "state" / name)


def test_there_is_none_before_the_first_run() -> None:
    assert recall() is None


def test_the_last_takes_the_place_of_the_one_before() -> None:
    for report in (sample.gap(), replace(sample.clean(), run_id="later")):
        keep(report)
        assert recall() == report
    assert [path.name for path in last_run_file().parent.iterdir()] == ["last-run.json"]


@pytest.mark.skipif(sys.platform == "win32", reason="file modes")
def test_only_its_owner_may_read_it() -> None:
    before = os.umask(0)
    try:
        keep(sample.clean())
    finally:
        os.umask(before)
    assert stat.S_IMODE(last_run_file().stat().st_mode) == 0o600
    assert stat.S_IMODE(last_run_file().parent.stat().st_mode) == 0o700


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{", "is not JSON"),
        (b"\xff", "is not UTF-8"),
        (b"{}", "is not a report"),
        (b"[" * 100_000, "is not JSON"),
        (None, "cannot be read"),
    ],
)
def test_what_is_no_report_is_told_with_its_path(tmp_path: Path, content: bytes | None, said: str) -> None:
    path = tmp_path / "report.json"
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=rf"report\.json.*{said}"):
        read_report(path)


def test_a_report_that_is_too_big_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    with path.open("wb") as stream:
        stream.truncate(65 * 1024 * 1024)
    with pytest.raises(UsageError, match="is bigger than 64 MB"):
        read_report(path)
