"""The report for people at a terminal: progress meanwhile, then coverage by rule, and what failed last, where the eye is.

What targets, rules and SIEMs say is hostile here: every text passes `inert` and is never read as markup. This module must never
decide anything about a run, nor read a clock: all times come with the facts.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Self, TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from harness.core.cover import GAPS
from harness.model.facts import Alert, Detonation, Failure, SiemStatus
from harness.model.report import Judged, Progress, Report, RunFinished, SiemChecked, SiemTrouble, StepFinished, StepStarted
from harness.model.verdicts import CoverageStatus, Gate, GateState, Outcome, RuleCoverage, Sighting, Verdict
from harness.reports.ladder import EVIDENCE_LINES, GATE_WORD, gate_evidence, gate_time, outcome_word
from harness.reports.words import (
    EXIT_MEANING,
    STATUS_ORDER,
    cleanup_trouble,
    clock,
    count_of,
    grouped,
    inert,
    listed,
    named,
    seconds,
    short,
)

_NARROW = 80
_PIPED_WIDTH = 120

OUTCOME_STYLE: Mapping[Outcome, str] = {
    Outcome.DETECTED: "green",
    Outcome.QUIET: "green",
    Outcome.GAP_CLOSED: "cyan",
    Outcome.KNOWN_GAP: "blue",
    Outcome.NOT_EXERCISABLE: "bright_black",
    Outcome.LATE: "yellow",
    Outcome.MISGRADED: "yellow",
    Outcome.MISSED: "bold red",
    Outcome.BLIND: "bold red",
    Outcome.NOISY: "bold red",
    Outcome.INCONCLUSIVE: "magenta",
}
_STATUS_STYLE: Mapping[CoverageStatus, str] = {
    CoverageStatus.VALIDATED: "bold green",
    CoverageStatus.PARTIAL: "bold yellow",
    CoverageStatus.FAILING: "bold red",
    CoverageStatus.INCONCLUSIVE: "bold magenta",
    CoverageStatus.UNTESTED: "bright_black",
}
_GATE_STYLE: Mapping[GateState, str] = {GateState.PASSED: "green", GateState.FAILED: "bold red", GateState.UNREACHED: "bright_black"}
_EXIT_STYLE: Mapping[int, str] = {0: "bold green", 3: "bold magenta", 5: "bold yellow", 130: "bold yellow"}


def make_console(stream: TextIO, environ: Mapping[str, str]) -> Console:
    """A console that is plain (no control codes at all) unless it is a terminal and neither NO_COLOR nor CI says otherwise."""
    if isinstance(stream, io.TextIOWrapper):
        # A terminal of another encoding gets escapes for what it lacks, not an exception at the end of a run.
        stream.reconfigure(errors="backslashreplace")
    plain = (
        not stream.isatty()
        or bool(environ.get("NO_COLOR"))
        or environ.get("CI", "").lower() in ("1", "true")
        or environ.get("TERM") == "dumb"
    )
    width = _PIPED_WIDTH if not stream.isatty() and not environ.get("COLUMNS", "").isdigit() else None
    return Console(
        file=stream,
        _environ=environ,
        width=width,
        force_terminal=False if plain else None,
        no_color=plain,
        color_system=None if plain else "auto",
        markup=False,
        emoji=False,
        highlight=False,
        soft_wrap=False,
    )


class TerminalReporter:
    """Shows a run as it goes and reports it at its end.

    `out` gets the report, `progress` what happens meanwhile: a few living lines where it is a terminal, else a line for every finished
    step and verdict. To be closed (it is a context manager), or a terminal is left without its cursor.
    """

    def __init__(self, out: Console, progress: Console) -> None:
        self._out = out
        self._progress = progress
        self._live: Live | None = None
        self._running: dict[str, str] = {}
        self._steps = 0
        self._outcomes: Counter[Outcome] = Counter()
        self._open = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the terminal back. May be called at any time, any number of times."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def see(self, progress: Progress) -> None:
        """Show one piece of progress; the report at `RunFinished`."""
        match progress:
            case SiemChecked(status=status):
                self._print(_siem_line(status))
            case StepStarted(planned=planned):
                self._running[planned.target.name] = f"{planned.id}  {planned.step.name}"
            case StepFinished(detonation=detonation):
                self._steps += 1
                self._running.pop(detonation.planned.target.name, None)
                if not self._progress.is_terminal or isinstance(detonation.outcome, Failure):
                    self._print(_step_line(detonation))
            case Judged(verdict=verdict, open=still_open):
                self._open = still_open
                self._outcomes[verdict.outcome] += 1
                if not self._progress.is_terminal or verdict.outcome in GAPS:
                    self._print(_verdict_line(verdict, still_open))
            case SiemTrouble(message=message):
                self._print(_text(("SIEM: ", "yellow"), (message, ""), (" (asking again)", "bright_black")))
            case RunFinished(report=report):
                self.close()
                self._print_report(_report(report, self._out.width))
                return
        self._refresh()

    def _print_report(self, rendered: RenderableType) -> None:
        if self._out.is_terminal:
            self._out.print(rendered)
            return
        self._out.file.write(_plain(rendered, self._out) + "\n")
        self._out.file.flush()

    def _print(self, line: Text) -> None:
        self._progress.print(line)

    def _refresh(self) -> None:
        if not self._progress.is_terminal:
            return
        if self._live is None:
            # Refreshed by us: its own thread would print beside the main one.
            self._live = Live(console=self._progress, auto_refresh=False, transient=True)
            self._live.start()
        self._live.update(self._status(), refresh=True)

    def _status(self) -> RenderableType:
        lines = [_text((f"{target}: ", "bold"), (step, "")) for target, step in sorted(self._running.items())]
        tally = _text(
            (f"{count_of(self._steps, 'step')} detonated, {sum(self._outcomes.values())} judged, {self._open} open", "bright_black")
        )
        if self._outcomes:
            tally.append("  ")
            tally.append_text(_counts(self._outcomes))
        for line in (*lines, tally):
            # A line that wraps would leave its rest behind when the display moves up.
            line.no_wrap = True
            line.overflow = "ellipsis"
        return Group(*lines, tally)


def failure_text(verdict: Verdict, titles: Mapping[str, str]) -> str:
    """A verdict with its ladder, as the report has it where it is no terminal: for who shows single verdicts."""
    return _plain(_failure([verdict], titles), make_console(io.StringIO(), {}))


def coverage_text(rows: Sequence[RuleCoverage], report: Report | None, width: int) -> str:
    """The coverage of rules and, of a run, the alerts that nobody expected and what was not cleaned up, as a report has them."""
    parts: list[RenderableType] = [_coverage(rows, width)]
    if report is not None:
        parts += [*_alerts(report, {coverage.rule: coverage.title for coverage in report.coverage}), *_cleanups(report)]
    return _plain(Group(*parts), make_console(io.StringIO(), {"COLUMNS": str(width)}))


def _plain(rendered: RenderableType, console: Console) -> str:
    """Its lines without the blanks that columns are filled up with: these have no place in a file."""
    with console.capture() as captured:
        console.print(rendered)
    return "\n".join(line.rstrip() for line in captured.get().splitlines())


# --- progress -------------------------------------------------------------------------------------------------------------


def _siem_line(status: SiemStatus) -> Text:
    schedule = ("rule schedule running", "") if status.schedule_running else ("rule schedule STANDS STILL", "bold magenta")
    lag = f", ingest lag {seconds(status.ingest_lag)}"
    return _text((f"SIEM {status.name}: {count_of(len(status.rules), 'rule')}, ", ""), schedule, (lag, ""))


def _step_line(detonation: Detonation) -> Text:
    took = seconds(detonation.finished_at - detonation.started_at)
    outcome = detonation.outcome
    if isinstance(outcome, Failure):
        failed = (f"failed ({outcome.kind.value}) after {took}: ", "bold magenta")
        return _text((f"step {detonation.planned.id} ", ""), failed, (outcome.message, ""))
    ended = f", ended by {outcome.terminated}" if outcome.terminated else ""
    code = "" if outcome.exit_code is None else f", exit code {outcome.exit_code}"
    return _text((f"step {detonation.planned.id} ran in {took}{code}{ended}", ""))


def _verdict_line(verdict: Verdict, still_open: int) -> Text:
    after = f" after {seconds(verdict.time_to_detect)}" if verdict.time_to_detect is not None else ""
    return _text(
        (verdict.outcome.value, OUTCOME_STYLE[verdict.outcome]),
        (f" {short(verdict.expectation.rule)} {verdict.planned}{after}", ""),
        (f" ({still_open} open)", "bright_black"),
    )


# --- report ---------------------------------------------------------------------------------------------------------------


def _report(report: Report, width: int) -> RenderableType:
    titles = {coverage.rule: coverage.title for coverage in report.coverage}
    parts: list[RenderableType] = [Text(), _head(report)]
    if report.coverage:
        parts += [Text(), _coverage(report.coverage, width)]
    for section in (_compact(report, titles), _alerts(report, titles), _cleanups(report)):
        if section:
            parts += [Text(), *section]
    failures = [*_failures(report, (Outcome.INCONCLUSIVE,), titles), *_failures(report, GAPS, titles)]
    for failure in failures:
        parts += [Text(), failure]
    return Group(*parts, Text(), _summary(report))


def _head(report: Report) -> Text:
    environment = report.environment
    took = seconds(report.finished_at - report.started_at)
    return _text(
        (f"Run {report.run_id}", "bold"),
        (f"  {', '.join(environment.targets)}  SIEM {environment.siem}  {report.started_at:%Y-%m-%d %H:%M:%S} UTC, {took}", ""),
    )


def _coverage(coverage: Sequence[RuleCoverage], width: int) -> Table:
    narrow = width < _NARROW
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", expand=False)
    table.add_column("Status", no_wrap=True)
    table.add_column("Rule", overflow="fold")
    if not narrow:
        table.add_column("Verdicts", overflow="fold")
        table.add_column("Time to detect", no_wrap=True, justify="right")
    for entry in sorted(coverage, key=lambda entry: (STATUS_ORDER.index(entry.status), entry.title.casefold())):
        rule = _text((short(entry.rule), "bold"), (f" {entry.title}", ""))
        # Where there are verdicts, these say it below, with their evidence.
        if entry.reason and not entry.outcomes:
            rule.append(f"\n{inert(entry.reason)}", style="bright_black")
        status = Text(entry.status.value, style=_STATUS_STYLE[entry.status])
        counts, times = _counts(entry.outcomes), _span(entry)
        if narrow:
            rule.append("\n").append_text(counts)
            if times:
                rule.append(f"  {times}")
            table.add_row(status, rule)
        else:
            table.add_row(status, rule, counts, times)
    return table


def _compact(report: Report, titles: Mapping[str, str]) -> list[RenderableType]:
    """What is as it should be or knowingly open: a line a rule."""
    lines: list[RenderableType] = []
    quiet = [verdict for verdict in report.verdicts if verdict.outcome is Outcome.QUIET]
    if quiet:
        rules = Counter(short(verdict.expectation.rule) for verdict in quiet)
        lines.append(_text(("Quiet as wanted: ", "green"), (", ".join(f"{rule} {count}x" for rule, count in sorted(rules.items())), "")))
    for outcome, label in (
        (Outcome.KNOWN_GAP, "Known gap"),
        (Outcome.GAP_CLOSED, "Gap closed, take known_gap out"),
        (Outcome.NOT_EXERCISABLE, "Not exercisable"),
    ):
        found = [verdict for verdict in report.verdicts if verdict.outcome is outcome]
        for (rule, why), verdicts in grouped(found, lambda verdict: (verdict.expectation.rule, _reason(verdict))):
            head = (f"{label}: ", OUTCOME_STYLE[outcome])
            lines.append(_text(head, (f"{named(rule, titles)} {len(verdicts)}x: ", ""), (why, "bright_black")))
            if outcome is Outcome.KNOWN_GAP:
                # What was found beside what its author holds: the reason may have become another one.
                cause = verdicts[0].cause
                found_out = (cause.partition(why)[2].lstrip("): ") if why else "") or cause
                lines.append(Padding(_text((found_out, "bright_black")), (0, 0, 0, 2)))
    return lines


def _reason(verdict: Verdict) -> str:
    if verdict.outcome is Outcome.KNOWN_GAP and verdict.expectation.known_gap:
        return verdict.expectation.known_gap
    if verdict.outcome is Outcome.GAP_CLOSED:
        return verdict.planned
    return verdict.cause


def _alerts(report: Report, titles: Mapping[str, str]) -> list[RenderableType]:
    """Alerts that nobody expected, and alerts that are nobody's."""
    lines: list[RenderableType] = []
    transport = [sighting for sighting in report.unexpected if sighting.transport_caused]
    if transport:
        rules = ", ".join(sorted({short(sighting.alert.rule) for sighting in transport}))
        lines.append(_text(("Raised by the transport alone: ", "bright_black"), (f"{count_of(len(transport), 'alert')} of {rules}", "")))
    commands = [sighting for sighting in report.unexpected if not sighting.transport_caused]
    for rule, sightings in grouped(commands, _sighted_rule):
        where = listed(sorted({sighting.detonation for sighting in sightings}))
        lines.append(_text(("Unexpected: ", "yellow"), (f"{named(rule, titles)}, {count_of(len(sightings), 'alert')}: {where}", "")))
    for (rule, host), alerts in grouped(report.unattributed, _rule_and_host):
        when = f"{clock(min(alert.raised_at for alert in alerts))} to {clock(max(alert.raised_at for alert in alerts))}"
        times = when if len(alerts) > 1 else when.partition(" ")[0]
        head = ("Unattributed: ", "yellow")
        lines.append(_text(head, (f"{named(rule, titles)}, {count_of(len(alerts), 'alert')} on {host}, {times}", "")))
    return lines


def _sighted_rule(sighting: Sighting) -> str:
    return sighting.alert.rule


def _rule_and_host(alert: Alert) -> tuple[str, str]:
    return alert.rule, alert.host


def _cleanups(report: Report) -> list[RenderableType]:
    return [
        _text(("Cleanup failed: ", "bold yellow"), (f"{cleanup.planned.id}: {why}", ""))
        for cleanup in report.cleanups
        if (why := cleanup_trouble(cleanup))
    ]


def _failures(report: Report, outcomes: Collection[Outcome], titles: Mapping[str, str]) -> Iterable[RenderableType]:
    """One block for what failed in one way: sixty equal ladders of one dead host tell less than one."""
    found = [verdict for verdict in report.verdicts if verdict.outcome in outcomes]

    def key(verdict: Verdict) -> tuple[str, str, str]:
        # What could not be judged shares its reason across rules; what failed is the one rule's own.
        rule = "" if verdict.outcome is Outcome.INCONCLUSIVE else verdict.expectation.rule
        return verdict.outcome.value, rule, verdict.cause

    for _, verdicts in grouped(found, key):
        yield _failure(verdicts, titles)


def _failure(verdicts: Sequence[Verdict], titles: Mapping[str, str]) -> RenderableType:
    first = verdicts[0]
    rules = list(dict.fromkeys(verdict.expectation.rule for verdict in verdicts))
    of_rules = named(rules[0], titles) if len(rules) == 1 else listed([short(rule) for rule in rules], 8)
    head = _text((f"{outcome_word(first)} ", OUTCOME_STYLE[first.outcome]), (of_rules, "bold"))
    steps = list(dict.fromkeys(verdict.planned for verdict in verdicts))
    lines: list[RenderableType] = [_text((first.cause, ""))]
    where = f"{steps[0]}  {first.detonation.planned.step.name}" if first.detonation is not None else steps[0]
    lines.append(_text((where, "bright_black")))
    if first.gates:
        lines.append(_ladder(first))
    if first.proof is not None and first.proof not in first.cause:
        lines.append(_text((f"proven by rule run {first.proof}", "bright_black")))
    if len(steps) > 1:
        lines.append(_text((f"and the same at {count_of(len(steps) - 1, 'more step')}: {listed(steps[1:])}", "bright_black")))
    return Group(head, Padding(Group(*lines), (0, 0, 0, 2)))


def _ladder(verdict: Verdict) -> Table:
    started = verdict.detonation.started_at if verdict.detonation is not None else None
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), expand=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for gate in verdict.gates:
        dim = "bright_black" if gate.state is GateState.UNREACHED else ""
        table.add_row(
            Text(gate.kind.value.upper(), style=dim),
            Text(GATE_WORD[gate.state], style=_GATE_STYLE[gate.state]),
            _gate_details(gate, started),
        )
    return table


def _gate_details(gate: Gate, started: datetime | None) -> Text:
    details = Text()
    details.append(gate_time(gate, started), style="bold")
    for number, line in enumerate(gate_evidence(gate)):
        style = "bright_black" if number == EVIDENCE_LINES else None
        details.append(("\n" if number else "  " if details else "") + line, style=style)
    return details


def _summary(report: Report) -> Text:
    meaning, style = EXIT_MEANING.get(report.exit_code, ""), _EXIT_STYLE.get(report.exit_code, "bold red")
    line = _text((f"{count_of(len(report.verdicts), 'expectation')}: ", ""))
    line.append_text(_counts(Counter(verdict.outcome for verdict in report.verdicts)) if report.verdicts else Text("none judged"))
    line.append(". ")
    line.append(f"Exit {report.exit_code}" + (f": {meaning}" if meaning else ""), style=style)
    return line


# --- words ----------------------------------------------------------------------------------------------------------------


def _text(*parts: tuple[str, str]) -> Text:
    """Styled text whose every part is inert: never markup."""
    text = Text()
    for part, style in parts:
        text.append(inert(part), style=style or None)
    return text


def _counts(outcomes: Mapping[Outcome, int]) -> Text:
    text = Text()
    for outcome in Outcome:
        if outcomes.get(outcome):
            text.append(", " if text else "")
            text.append(f"{outcomes[outcome]} {outcome.value.lower().replace('_', ' ')}", style=OUTCOME_STYLE[outcome])
    return text


def _span(coverage: RuleCoverage) -> str:
    if coverage.fastest is None or coverage.slowest is None:
        return ""
    fastest, slowest = seconds(coverage.fastest), seconds(coverage.slowest)
    return fastest if fastest == slowest else f"{fastest} to {slowest}"
