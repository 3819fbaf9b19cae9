"""The report for people at a terminal: progress meanwhile, then coverage by rule, and what failed last, where the eye is.

What targets, rules and SIEMs say is hostile here: every text passes `inert` and is never read as markup. This module must never
decide anything about a run, nor read a clock: all times come with the facts.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from harness.core.cover import GAPS
from harness.model.facts import Alert
from harness.model.report import Progress, Report, RunFinished
from harness.model.verdicts import CoverageStatus, Gate, GateState, Outcome, RuleCoverage, Sighting, Verdict
from harness.reports import standing
from harness.reports.console import OUTCOME_STYLE, make_console, styled, tally
from harness.reports.history import change_lines
from harness.reports.ladder import EVIDENCE_LINES, GATE_WORD, gate_evidence, gate_time, outcome_word
from harness.reports.waiting import ProgressView
from harness.reports.words import (
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
_STATUS_STYLE: Mapping[CoverageStatus, str] = {
    CoverageStatus.VALIDATED: "bold green",
    CoverageStatus.PARTIAL: "bold yellow",
    CoverageStatus.FAILING: "bold red",
    CoverageStatus.INCONCLUSIVE: "bold magenta",
    CoverageStatus.UNTESTED: "bright_black",
}
_GATE_STYLE: Mapping[GateState, str] = {GateState.PASSED: "green", GateState.FAILED: "bold red", GateState.UNREACHED: "bright_black"}
_EXIT_STYLE: Mapping[int, str] = {0: "bold green", 3: "bold magenta", 5: "bold yellow", 130: "bold yellow"}


class TerminalReporter:
    """Shows a run as it goes and reports it at its end.

    `out` gets the report, `progress` what happens meanwhile. To be closed (it is a context manager), or a terminal is left without a
    cursor.
    """

    def __init__(self, out: Console, progress: Console) -> None:
        self._out = out
        self._progress = ProgressView(progress)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the terminal back. May be called at any time, any number of times."""
        self._progress.close()

    def see(self, progress: Progress) -> None:
        """Show one piece of progress; the report at `RunFinished`."""
        self._progress.see(progress)
        if isinstance(progress, RunFinished):
            self._print_report(_report(progress.report, self._out.width))

    def _print_report(self, rendered: RenderableType) -> None:
        if self._out.is_terminal:
            self._out.print(rendered)
            return
        self._out.file.write(_plain(rendered, self._out) + "\n")
        self._out.file.flush()


def failure_text(verdict: Verdict, titles: Mapping[str, str]) -> str:
    """A verdict with its ladder, as the report has it where it is no terminal: for who shows single verdicts."""
    return _plain(_failure([verdict], titles, ""), make_console(io.StringIO(), {}))


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


# --- report ---------------------------------------------------------------------------------------------------------------


def _report(report: Report, width: int) -> RenderableType:
    titles = {coverage.rule: coverage.title for coverage in report.coverage}
    parts: list[RenderableType] = [Text(), _head(report)]
    if report.coverage:
        parts += [Text(), _coverage(report.coverage, width)]
    for section in (_compact(report, titles), _alerts(report, titles), _cleanups(report)):
        if section:
            parts += [Text(), *section]
    for section in (_past(report, titles), _changed(report, titles)):
        if section:
            parts += [Text(), *section]
    failures = [*_failures(report, (Outcome.INCONCLUSIVE,), titles), *_failures(report, GAPS, titles)]
    for failure in failures:
        parts += [Text(), failure]
    return Group(*parts, Text(), _summary(report))


def _head(report: Report) -> Text:
    environment = report.environment
    took = seconds(report.finished_at - report.started_at)
    return styled(
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
        rule = styled((short(entry.rule), "bold"), (f" {entry.title}", ""))
        # Where there are verdicts, these say it below, with their evidence.
        if entry.reason and not entry.outcomes:
            rule.append(f"\n{inert(entry.reason)}", style="bright_black")
        status = Text(entry.status.value, style=_STATUS_STYLE[entry.status])
        counts, times = tally(entry.outcomes), _span(entry)
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
        lines.append(styled(("Quiet as wanted: ", "green"), (", ".join(f"{rule} {count}x" for rule, count in sorted(rules.items())), "")))
    for outcome, label in (
        (Outcome.KNOWN_GAP, "Known gap"),
        (Outcome.GAP_CLOSED, "Gap closed, take known_gap out"),
        (Outcome.NOT_EXERCISABLE, "Not exercisable"),
    ):
        found = [verdict for verdict in report.verdicts if verdict.outcome is outcome]
        for (rule, why), verdicts in grouped(found, lambda verdict: (verdict.expectation.rule, _reason(verdict))):
            head = (f"{label}: ", OUTCOME_STYLE[outcome])
            lines.append(styled(head, (f"{named(rule, titles)} {len(verdicts)}x: ", ""), (why, "bright_black")))
            if outcome is Outcome.KNOWN_GAP:
                # What was found beside what its author holds: the reason may have become another one.
                cause = verdicts[0].cause
                found_out = (cause.partition(why)[2].lstrip("): ") if why else "") or cause
                lines.append(Padding(styled((found_out, "bright_black")), (0, 0, 0, 2)))
    return lines


def _past(report: Report, titles: Mapping[str, str]) -> list[RenderableType]:
    """What the runs before it, and people, said of this one's expectations. Never left out, however well it ended."""
    return [
        styled((head, style), (line, ""))
        for head, style, lines in (
            ("Quarantine: ", "bold yellow", standing.quarantined(report, titles)),
            ("Objective not kept: ", "bold yellow", standing.breached(report.breaches, titles)),
            ("Flaky: ", "bold yellow", standing.flaky(report, titles)),
        )
        for line in lines
    ]


def _changed(report: Report, titles: Mapping[str, str]) -> list[RenderableType]:
    """The run against its baseline, and why it differs."""
    head = standing.against(report)
    lines: list[RenderableType] = [styled((head, "bold"))] if head else []
    return lines + [Text(inert(line), style=style) for line, style in change_lines(standing.told(report), titles)]


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
        lines.append(styled(("Raised by the transport alone: ", "bright_black"), (f"{count_of(len(transport), 'alert')} of {rules}", "")))
    commands = [sighting for sighting in report.unexpected if not sighting.transport_caused]
    for rule, sightings in grouped(commands, _sighted_rule):
        where = listed(sorted({sighting.detonation for sighting in sightings}))
        lines.append(styled(("Unexpected: ", "yellow"), (f"{named(rule, titles)}, {count_of(len(sightings), 'alert')}: {where}", "")))
    for (rule, host), alerts in grouped(report.unattributed, _rule_and_host):
        when = f"{clock(min(alert.raised_at for alert in alerts))} to {clock(max(alert.raised_at for alert in alerts))}"
        times = when if len(alerts) > 1 else when.partition(" ")[0]
        head = ("Unattributed: ", "yellow")
        lines.append(styled(head, (f"{named(rule, titles)}, {count_of(len(alerts), 'alert')} on {host}, {times}", "")))
    return lines


def _sighted_rule(sighting: Sighting) -> str:
    return sighting.alert.rule


def _rule_and_host(alert: Alert) -> tuple[str, str]:
    return alert.rule, alert.host


def _cleanups(report: Report) -> list[RenderableType]:
    return [
        styled(("Cleanup failed: ", "bold yellow"), (f"{cleanup.planned.id}: {why}", ""))
        for cleanup in report.cleanups
        if (why := cleanup_trouble(cleanup))
    ]


def _failures(report: Report, outcomes: Collection[Outcome], titles: Mapping[str, str]) -> Iterable[RenderableType]:
    """One block for what failed in one way: sixty equal ladders of one dead host tell less than one."""
    found = [verdict for verdict in report.verdicts if verdict.outcome in outcomes]

    def key(verdict: Verdict) -> tuple[str, str, str, str]:
        # What could not be judged shares its reason across rules; what failed is the one rule's own.
        rule = "" if verdict.outcome is Outcome.INCONCLUSIVE else verdict.expectation.rule
        return verdict.outcome.value, rule, verdict.cause, standing.note(report, verdict)

    for _, verdicts in grouped(found, key):
        yield _failure(verdicts, titles, standing.note(report, verdicts[0]))


def _failure(verdicts: Sequence[Verdict], titles: Mapping[str, str], note: str) -> RenderableType:
    first = verdicts[0]
    rules = list(dict.fromkeys(verdict.expectation.rule for verdict in verdicts))
    of_rules = named(rules[0], titles) if len(rules) == 1 else listed([short(rule) for rule in rules], 8)
    head = styled((f"{outcome_word(first)} ", OUTCOME_STYLE[first.outcome]), (of_rules, "bold"))
    steps = list(dict.fromkeys(verdict.planned for verdict in verdicts))
    lines: list[RenderableType] = [styled((first.cause, ""))]
    if note:
        lines.insert(0, styled((note, "yellow")))
    where = f"{steps[0]}  {first.detonation.planned.step.name}" if first.detonation is not None else steps[0]
    lines.append(styled((where, "bright_black")))
    if first.gates:
        lines.append(_ladder(first))
    if first.proof is not None and first.proof not in first.cause:
        lines.append(styled((f"proven by rule run {first.proof}", "bright_black")))
    if len(steps) > 1:
        lines.append(styled((f"and the same at {count_of(len(steps) - 1, 'more step')}: {listed(steps[1:])}", "bright_black")))
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
    meaning, style = standing.meaning(report), _EXIT_STYLE.get(report.exit_code, "bold red")
    line = styled((f"{count_of(len(report.verdicts), 'expectation')}: ", ""))
    line.append_text(tally(Counter(verdict.outcome for verdict in report.verdicts)) if report.verdicts else Text("none judged"))
    line.append(". ")
    line.append(f"Exit {report.exit_code}" + (f": {meaning}" if meaning else ""), style=style)
    return line


# --- words ----------------------------------------------------------------------------------------------------------------


def _span(coverage: RuleCoverage) -> str:
    if coverage.fastest is None or coverage.slowest is None:
        return ""
    fastest, slowest = seconds(coverage.fastest), seconds(coverage.slowest)
    return fastest if fastest == slowest else f"{fastest} to {slowest}"
