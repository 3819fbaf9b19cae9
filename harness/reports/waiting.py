"""What happens while a run goes on, for people: on a terminal what is waited for, below what is over; elsewhere a line for each event.

The living part is a line for every step under way and for every open expectation that fits, the most urgent first, and one line that
sums up. Where there is no terminal a line says from time to time that the run is alive and what it waits for. What targets, rules and SIEMs
say is hostile here: every text passes `inert` and is never read as markup. This module must never decide anything about a run, nor read a
clock: all times come with the facts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from harness.model.facts import Detonation, Failure, SiemStatus
from harness.model.intent import PlannedStep
from harness.model.report import Judged, Progress, RunFinished, SiemChecked, SiemTrouble, StepFinished, StepStarted, Waiting
from harness.model.verdicts import GateKind, Outcome, Standing, Verdict
from harness.reports.console import OUTCOME_STYLE, styled, tally
from harness.reports.ladder import outcome_word
from harness.reports.words import count_of, inert, seconds, short, span

_HEARTBEAT = timedelta(seconds=30)
_NARROW = 60
"""Columns below which a line says only what is shortest."""
_GATES = tuple(GateKind)


class ProgressView:
    """Shows progress on a console. `close` gives a terminal its cursor back; it may be called at any time, any number of times."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Live | None = None
        self._running: dict[str, PlannedStep] = {}
        self._waiting: Waiting | None = None
        self._judged: set[tuple[str, str]] = set()
        self._first: datetime | None = None
        self._said: datetime | None = None
        self._steps = 0
        self._outcomes: Counter[Outcome] = Counter()
        self._open = 0

    def close(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def see(self, progress: Progress) -> None:
        """Show one piece of progress; at `RunFinished` nothing is left but what scrolled up."""
        match progress:
            case SiemChecked(status=status):
                self._print(_siem_line(status))
            case StepStarted(planned=planned):
                self._running[planned.target.name] = planned
            case StepFinished(detonation=detonation):
                self._steps += 1
                self._running.pop(detonation.planned.target.name, None)
                if not self._console.is_terminal or isinstance(detonation.outcome, Failure):
                    self._print(_step_line(detonation))
            case Judged(verdict=verdict, open=still_open):
                self._judged.add((verdict.planned, verdict.expectation.rule))
                self._open = still_open
                self._outcomes[verdict.outcome] += 1
                self._print(_verdict_line(verdict, still_open))
            case Waiting():
                self._wait(progress)
            case SiemTrouble(message=message):
                self._print(styled(("SIEM: ", "yellow"), (message, ""), (" (asking again)", "bright_black")))
            case RunFinished():
                self.close()
                return
        self._refresh()

    def _wait(self, waiting: Waiting) -> None:
        self._first = self._first or waiting.now
        self._said = self._said or waiting.now
        self._waiting = waiting
        self._judged.clear()
        if not self._console.is_terminal and waiting.now - self._said >= _HEARTBEAT:
            self._print(heartbeat(waiting, self._first, list(self._running.values())))

    def _print(self, line: Text) -> None:
        self._console.print(line)
        if self._waiting is not None:
            self._said = self._waiting.now

    def _refresh(self) -> None:
        if not self._console.is_terminal:
            return
        if self._live is None:
            # Refreshed by us: its own thread would print beside the main one.
            self._live = Live(console=self._console, auto_refresh=False, transient=True)
            self._live.start()
        self._live.update(self._screen(), refresh=True)

    def _screen(self) -> RenderableType:
        width, height = self._console.size
        running = [planned for _, planned in sorted(self._running.items())]
        running = running[: max(1, height // 2)]
        parts: list[RenderableType] = [_running_line(planned) for planned in running]
        if self._waiting is not None:
            still = (standing for standing in self._waiting.open if (standing.planned, standing.rule) not in self._judged)
            sent = [standing for standing in still if standing.started_at is not None]
            room = max(1, height - 2 - len(running))
            parts.append(open_lines(sent, self._waiting.now, width=width, most=room, ascii_only=_is_ascii(self._console)))
        parts.append(self._summary())
        return Group(*parts)

    def _summary(self) -> Text:
        line = styled((f"{count_of(self._steps, 'step')} detonated, {sum(self._outcomes.values())} judged, {self._open} open", "bold"))
        if self._waiting is not None and self._open:
            line.append(_until_known(self._waiting), style="bright_black")
        if self._outcomes:
            line.append("  ")
            line.append_text(tally(self._outcomes))
        return _one_line(line)


def heartbeat(waiting: Waiting, since: datetime, running: Sequence[PlannedStep]) -> Text:
    """A sign of life in one line: for how long, what is under way, and how many wait for which gate."""
    at = Counter(standing.gate for standing in waiting.open if standing.started_at is not None and standing.fires)
    quiet = sum(standing.started_at is not None and not standing.fires for standing in waiting.open)
    gates = ", ".join(
        filter(None, [*(f"{at[gate]} for {gate.value.upper()}" for gate in _GATES if at[gate]), f"{quiet} quiet so far" if quiet else ""])
    )
    unsent = sum(standing.started_at is None for standing in waiting.open)
    deadlines = [standing.deadline for standing in waiting.open if standing.deadline is not None]
    parts = [
        f"detonating {', '.join(inert(planned.id) for planned in running)}" if running else "",
        f"{len(waiting.open) - unsent} wait: {gates}" if gates else "",
        f"{unsent} not sent yet" if unsent else "",
        f"next deadline in {span(max(min(deadlines) - waiting.now, timedelta(0)))}" if deadlines else "",
    ]
    return styled((f"still at it after {span(waiting.now - since)}: ", "bright_black"), ("; ".join(filter(None, parts)), ""))


def open_lines(standings: Sequence[Standing], now: datetime, *, width: int, most: int, ascii_only: bool) -> Table:
    """A line for each, the one that must be known first on top; where there are more than `most`, the last line counts the rest."""
    ordered = sorted(standings, key=lambda standing: (standing.deadline or now, standing.planned, standing.rule))
    shown = ordered if len(ordered) <= most else ordered[: max(most - 1, 0)]
    table = Table(box=None, show_header=False, padding=(0, 1, 0, 0), pad_edge=False, expand=False, width=width)
    narrow = width < _NARROW
    for _ in range(2 if narrow else 3):
        table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    table.add_column(no_wrap=True, justify="right")
    for standing in shown:
        passed = _GATES.index(standing.gate)
        cells = [styled((_bar(passed, ascii_only=ascii_only) if standing.fires else "", "cyan"))]
        if not narrow:
            waits = f"waits for {standing.gate.value.upper():<9}" if standing.fires else "quiet so far"
            cells.append(styled((waits, "")))
        cells.append(styled((short(standing.rule), "bold")))
        cells.append(styled((standing.planned, "")))
        cells.append(_times(standing, now, narrow=narrow))
        table.add_row(*cells)
    if len(shown) < len(ordered):
        more = styled((f"+ {len(ordered) - len(shown)} more", "bright_black"))
        table.add_row(*[""] * (1 if narrow else 2), "", more, "")
    return table


def _until_known(waiting: Waiting) -> str:
    """How many are not sent yet; where all are, when all will be known at the latest."""
    if unsent := sum(standing.started_at is None for standing in waiting.open):
        return f" ({unsent} not sent yet)"
    last = max((standing.deadline for standing in waiting.open if standing.deadline is not None), default=None)
    return "" if last is None else f" (known in {span(max(last - waiting.now, timedelta(0)))} at the latest)"


def _times(standing: Standing, now: datetime, *, narrow: bool) -> Text:
    """How long ago its step started, and how long after that it is given up."""
    if standing.started_at is None:
        return Text()
    elapsed = span(max(now - standing.started_at, timedelta(0)))
    if standing.deadline is None or narrow:
        return styled((elapsed, ""))
    overdue = now >= standing.deadline
    return styled((elapsed, ""), (f" of {span(standing.deadline - standing.started_at)}", "yellow" if overdue else "bright_black"))


def _bar(passed: int, *, ascii_only: bool) -> str:
    full, empty = ("#", ".") if ascii_only else ("\N{BLACK CIRCLE}", "\N{WHITE CIRCLE}")
    return full * passed + empty * (len(_GATES) - passed)


def _is_ascii(console: Console) -> bool:
    """Whether the terminal's encoding has no circles, or it is an old one of Windows, whose fonts have none."""
    if console.legacy_windows:
        return True
    try:
        "\N{BLACK CIRCLE}\N{WHITE CIRCLE}".encode(console.encoding)
    except (UnicodeEncodeError, LookupError):
        return True
    return False


def _running_line(planned: PlannedStep) -> Text:
    return _one_line(styled((f"{planned.target.name}: ", "bold"), (f"{planned.id}  {planned.step.name}", "")))


def _one_line(line: Text) -> Text:
    """A line that wraps would leave its rest behind when the display moves up."""
    line.no_wrap = True
    line.overflow = "ellipsis"
    return line


def _siem_line(status: SiemStatus) -> Text:
    schedule = ("rule schedule running", "") if status.schedule_running else ("rule schedule STANDS STILL", "bold magenta")
    probed = sum(state.probed for state in status.rules.values())
    rules = count_of(len(status.rules), "rule") + (f" ({probed} not run, probed)" if probed else "")
    lag = f", ingest lag {seconds(status.ingest_lag)}"
    return styled((f"SIEM {status.name}: {rules}, ", ""), schedule, (lag, ""))


def _way(detonation: Detonation) -> str:
    via = detonation.planned.target.via
    return f" by way of {via.name}" if via is not None else ""


def _step_line(detonation: Detonation) -> Text:
    took = seconds(detonation.finished_at - detonation.started_at)
    outcome = detonation.outcome
    if isinstance(outcome, Failure):
        failed = (f"failed ({outcome.kind.value}) after {took}: ", "bold magenta")
        return styled((f"step {detonation.planned.id} ", ""), failed, (outcome.message, ""))
    ended = f", ended by {outcome.terminated}" if outcome.terminated else ""
    code = "" if outcome.exit_code is None else f", exit code {outcome.exit_code}"
    return styled((f"step {detonation.planned.id}{_way(detonation)} ran in {took}{code}{ended}", ""))


def _verdict_line(verdict: Verdict, still_open: int) -> Text:
    after = f" after {seconds(verdict.time_to_detect)}" if verdict.time_to_detect is not None else ""
    return styled(
        (outcome_word(verdict) if verdict.probed is not None else verdict.outcome.value, OUTCOME_STYLE[verdict.outcome]),
        (f" {short(verdict.expectation.rule)} {verdict.planned}{after}", ""),
        (f" ({still_open} open)", "bright_black"),
    )
