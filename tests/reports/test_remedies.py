"""What to do is said of every cause, and of what broke alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.core.record import past
from harness.model.changes import Cause, CauseKind, Change, ChangeKind
from harness.reports.history import change_lines
from harness.reports.remedies import REMEDY
from tests.reports import sample_reports as sample


@pytest.mark.parametrize("kind", list(CauseKind), ids=[kind.name for kind in CauseKind])
def test_the_likeliest_cause_has_what_to_do_beside_it(kind: CauseKind) -> None:
    verdict = past(sample.gap().verdicts[0])
    causes = (Cause(kind=kind, what="first", evidence=("proof",)), Cause(kind=CauseKind.HARNESS, what="second"))
    change = Change(kind=ChangeKind.BROKEN, before=verdict, after=verdict, causes=causes)
    lines = [line for line, _ in change_lines([change], {})]
    assert lines[2:] == ["  likeliest cause: first", "    - proof", f"  what to do: {REMEDY[kind]}", "  also: second"]
    assert "what to do" not in "".join(line for line, _ in change_lines([replace(change, kind=ChangeKind.MENDED)], {}))
