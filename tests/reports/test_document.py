"""A report's file: written at the end, whole or not there, and refused beforehand where it never could be."""

from __future__ import annotations

import io
import os
import threading
from pathlib import Path
from typing import TextIO

import pytest

from harness.errors import UsageError
from harness.model.report import Report
from harness.reports.document import DocumentFile, DocumentReporter
from harness.reports.json import dump_report, load_report
from tests.reports import sample_reports as sample


def reporter_to(path: Path | None, stdout: TextIO) -> DocumentReporter:
    return DocumentReporter(dump_report, DocumentFile(path, stdout))


def _feed(reporter: DocumentReporter, report: Report) -> None:
    for progress in sample.progress_of(report):
        reporter.see(progress)


def test_it_is_written_to_its_file_at_the_end_and_not_before(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    reporter = reporter_to(path, io.StringIO())
    *meanwhile, finished = sample.progress_of(sample.gap())
    for progress in meanwhile:
        reporter.see(progress)
    assert list(tmp_path.iterdir()) == []
    reporter.see(finished)
    assert load_report(path.read_text(encoding="utf-8")) == sample.gap()
    assert list(tmp_path.iterdir()) == [path]


def test_a_report_that_fails_to_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text("old")
    reporter = reporter_to(path, io.StringIO())
    # Something else stands where the new text would be put together.
    (tmp_path / f".report.json.{os.getpid()}.tmp").mkdir()
    with pytest.raises(UsageError, match=r"report\.json: cannot be written"):
        _feed(reporter, sample.gap())
    assert path.read_text() == "old"


def test_it_goes_to_stdout_where_no_path_is_given() -> None:
    stdout = io.StringIO()
    _feed(reporter_to(None, stdout), sample.clean())
    assert load_report(stdout.getvalue()) == sample.clean()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes here")
def test_what_is_no_plain_file_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    # A pipe of the test's own: run by root, a fault here would replace a device of the machine.
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    received: list[str] = []
    reader = threading.Thread(target=lambda: received.append(pipe.read_text(encoding="utf-8")), daemon=True)
    reader.start()
    _feed(reporter_to(pipe, io.StringIO()), sample.clean())
    assert pipe.is_fifo()
    reader.join(timeout=10)
    assert [load_report(text) for text in received] == [sample.clean()]


def test_a_path_that_can_never_be_written_is_told_before_the_run(tmp_path: Path) -> None:
    for path, said in ((tmp_path, "is a directory"), (tmp_path / "no" / "r.json", "its directory does not exist")):
        with pytest.raises(UsageError, match=said):
            reporter_to(path, io.StringIO())
