"""What is waited for, as people see it: as many lines as there is room for, the most urgent first, in the terminal's own characters."""

from __future__ import annotations

import io
from datetime import timedelta

import pytest
from rich.console import Console

from harness.model.report import Judged, StepStarted, Waiting
from harness.model.verdicts import GateKind, Standing
from harness.reports.console import make_console
from harness.reports.waiting import ProgressView, heartbeat, open_lines
from tests.reports import sample_reports as sample


def standing(number: int, gate: GateKind = GateKind.ALERT, *, sent: bool = True, fires: bool = True) -> Standing:
    return Standing(
        planned=f"scenario-{number:03d}/1@ws5",
        target="ws5",
        rule=sample.NETWORK,
        fires=fires,
        gate=gate,
        started_at=sample.START if sent else None,
        deadline=sample.after(30 + number) if sent else None,
    )


def lines(standings: list[Standing], *, width: int = 100, most: int = 20, ascii_only: bool = False, after: float = 12) -> list[str]:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    with console.capture() as captured:
        console.print(open_lines(standings, sample.after(after), width=width, most=most, ascii_only=ascii_only))
    return [line.rstrip() for line in captured.get().splitlines()]


@pytest.mark.parametrize(
    ("gate", "bar"),
    [(GateKind.EXECUTED, "...."), (GateKind.TELEMETRY, "#..."), (GateKind.QUERY, "##.."), (GateKind.ALERT, "###.")],
    ids=str,
)
def test_a_line_tells_the_gate_the_rule_the_step_and_the_time(gate: GateKind, bar: str) -> None:
    (line,) = lines([standing(1, gate)], ascii_only=True)
    assert line.split() == [bar, "waits", "for", gate.value.upper(), "13acf386", "scenario-001/1@ws5", "12", "s", "of", "31", "s"]


def test_what_should_stay_quiet_waits_for_no_gate() -> None:
    (line,) = lines([standing(1, fires=False)], ascii_only=True)
    assert line.split()[:3] == ["quiet", "so", "far"]
    assert "#" not in line


def test_the_most_urgent_come_first_and_the_rest_is_counted() -> None:
    shown = lines([standing(number) for number in reversed(range(500))], most=10)
    assert [line.split()[5] for line in shown[:-1]] == [f"scenario-{number:03d}/1@ws5" for number in range(9)]
    assert shown[-1].strip() == "+ 491 more"


@pytest.mark.parametrize("width", [20, 40, 59, 60, 80, 200])
def test_no_line_is_longer_than_the_terminal_or_wraps(width: int) -> None:
    shown = lines([standing(number) for number in range(30)], width=width, most=10)
    assert len(shown) == 10
    assert max(map(len, shown)) <= width
    assert "12 s" in shown[0]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Ascii(Terminal):
    encoding = "ascii"


@pytest.mark.parametrize(("stream", "circles"), [(Terminal(), True), (Ascii(), False)], ids=["utf-8", "ascii"])
def test_circles_are_drawn_where_the_encoding_has_them(stream: Terminal, circles: bool) -> None:
    view = ProgressView(make_console(stream, {"TERM": "xterm", "COLUMNS": "100", "LINES": "20"}))
    view.see(Waiting(now=sample.after(12), open=(standing(1),)))
    view.close()
    assert ("\N{BLACK CIRCLE}" in stream.getvalue()) is circles
    assert ("###." in stream.getvalue()) is not circles


def test_what_was_judged_is_not_waited_for_any_more() -> None:
    stream = Terminal()
    view = ProgressView(make_console(stream, {"TERM": "xterm", "COLUMNS": "100", "LINES": "20"}))
    verdict = sample.clean().verdicts[0]
    mine = Standing(
        planned=verdict.planned, target="ws5", rule=verdict.expectation.rule, fires=True, gate=GateKind.ALERT, started_at=sample.START
    )
    view.see(Waiting(now=sample.after(1), open=(mine, standing(2))))
    before = len(stream.getvalue())
    view.see(Judged(verdict=verdict, open=1))
    view.close()
    assert "scenario-002" in stream.getvalue()[before:]
    assert "waits for ALERT     13acf386 " + verdict.planned not in stream.getvalue()[before:]


def test_a_sign_of_life_tells_what_is_under_way_and_what_waits_for_what() -> None:
    waiting = Waiting(
        now=sample.after(95),
        open=(standing(1), standing(2), standing(70, GateKind.TELEMETRY), standing(4, fires=False), standing(5, sent=False)),
    )
    planned = sample.clean().verdicts[0].detonation
    assert planned is not None
    said = heartbeat(waiting, sample.START, [planned.planned]).plain
    assert said == (
        f"still at it after 95 s: detonating {planned.planned.id}; 4 wait: 1 for TELEMETRY, 2 for ALERT, 1 quiet so far; 1 not sent yet;"
        " next deadline in 0 s"
    )


def test_where_there_is_no_terminal_a_sign_of_life_comes_each_half_minute_of_silence() -> None:
    stream = io.StringIO()
    view = ProgressView(make_console(stream, {}))
    for second in range(0, 100, 5):
        if second == 40:
            step = sample.clean().verdicts[0].detonation
            assert step is not None
            view.see(StepStarted(planned=step.planned))
        view.see(Waiting(now=sample.after(second), open=(standing(1),)))
    view.close()
    said = stream.getvalue().splitlines()
    assert [line.partition(":")[0] for line in said] == [f"still at it after {seconds} s" for seconds in (30, 60, 90)]


def test_a_verdict_is_a_sign_of_life_too() -> None:
    stream = io.StringIO()
    view = ProgressView(make_console(stream, {}))
    view.see(Waiting(now=sample.START, open=(standing(1),)))
    view.see(Waiting(now=sample.START + timedelta(seconds=25), open=(standing(1),)))
    view.see(Judged(verdict=sample.clean().verdicts[0], open=1))
    view.see(Waiting(now=sample.START + timedelta(seconds=50), open=(standing(1),)))
    assert "still at it" not in stream.getvalue()
    view.see(Waiting(now=sample.START + timedelta(seconds=56), open=(standing(1),)))
    assert "still at it after 56 s" in stream.getvalue()
