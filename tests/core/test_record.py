"""What is kept of a step: whatever is changed in it must be told from what it was."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import combinations

from harness.core.record import steps_of
from harness.model.intent import Connect, EnterPSSession, InvokeCommand, PlannedStep, Remoting, Step, WinRS
from tests.reports import sample_reports as sample

LINE = "whoami.exe /all"
PLAIN = Step(name="one", action=WinRS(command=LINE))
STEPS: tuple[Step, ...] = (
    PLAIN,
    *(
        replace(PLAIN, action=action)
        for action in (
            WinRS(command="whoami.exe"),
            WinRS(command=LINE, environment={"A": "1"}),
            WinRS(command=LINE, environment={"A": "2"}),
            WinRS(command=LINE, directory="C:\\"),
            WinRS(command=LINE, stdin="C:\\"),
            WinRS(command=LINE, code_page=437),
            EnterPSSession(lines=(LINE,)),
            InvokeCommand(script=LINE),
            InvokeCommand(script=LINE, arguments={"A": "1"}),
            Connect(),
            Connect(transport=Remoting.WINRS),
        )
    ),
    replace(PLAIN, cleanup=WinRS(command="del one")),
    replace(PLAIN, cleanup=WinRS(command="del two")),
    replace(PLAIN, via="jump"),
    replace(PLAIN, timeout=timedelta(seconds=5)),
    replace(PLAIN, exit_codes=(0, 1)),
    replace(PLAIN, output="x"),
)


def text(step: Step) -> str:
    planned: PlannedStep = replace(sample.planned("s", 1, sample.WS5, EnterPSSession(lines=())), step=step)
    (record,) = steps_of([planned])
    return record.text


def test_no_two_steps_that_do_something_else_are_told_alike() -> None:
    assert [(one, other) for one, other in combinations(STEPS, 2) if text(one) == text(other)] == []
