"""The list of runs, the difference of two, and the trend of many, for people and as plain values.

This module must never decide anything about a run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta

from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.core.trend import by_rule
from harness.model.changes import Cause, CauseKind, Change, ChangeKind, PastVerdict, Trend, Trends
from harness.model.report import PastRun, RunRecord
from harness.model.verdicts import Outcome
from harness.reports.remedies import REMEDY
from harness.reports.words import EXIT_MEANING, count_of, grouped, inert, named, seconds, short


def print_runs(runs: Sequence[PastRun], console: Console) -> None:
    """A line a run, the newest first."""
    if not runs:
        console.print("No run was kept yet.")
        return
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", expand=False)
    for name in ("Run", "Ended (UTC)", "Took", "Targets", "SIEM", "Expectations", "Exit", ""):
        table.add_column(name, overflow="fold", justify="right" if name in ("Took", "Expectations") else "left")
    for run in runs:
        meaning = EXIT_MEANING.get(run.exit_code, "")
        table.add_row(
            *(
                Text(inert(text))
                for text in (
                    run.run_id,
                    f"{run.finished_at:%Y-%m-%d %H:%M:%S}",
                    seconds(run.finished_at - run.started_at),
                    run.targets,
                    run.siem,
                    str(run.expectations),
                    f"{run.exit_code} {meaning}".strip(),
                    "green" if run.green else "",
                )
            )
        )
    console.print(table)


_KIND_STYLE = {ChangeKind.BROKEN: "bold red", ChangeKind.CHANGED: "yellow", ChangeKind.SLOWER: "yellow", ChangeKind.MENDED: "green"}


def print_changes(before: RunRecord, after: RunRecord, found: Sequence[Change], console: Console) -> None:
    """What changed, the gravest first; what changed alike for one reason is told once."""
    for line, style in change_lines(found, titles_of(before, after)):
        console.print(Text(inert(line), style=style), soft_wrap=True)
    counts = counted_changes(found)
    said = f"{inert(before.run_id)} ({before.started_at:%Y-%m-%d %H:%M}) to {inert(after.run_id)} ({after.started_at:%Y-%m-%d %H:%M})"
    console.print(Text(f"{count_of(len(after.verdicts), 'expectation')}, {said}: {counts or 'nothing changed'}."), soft_wrap=True)


def titles_of(*runs: RunRecord) -> dict[str, str]:
    """Titles of the rules that these runs were about, by id."""
    return {rule.id: rule.title for run in runs for rule in run.rules.values()}


def counted_changes(found: Sequence[Change]) -> str:
    """How many of each kind."""
    return ", ".join(f"{len(alike)} {kind.value}" for kind, alike in grouped(found, lambda change: change.kind))


def change_lines(found: Sequence[Change], titles: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Lines of foreign text, each with its style: a head for what changed alike, where, the causes with their evidence, and
    what to do about the likeliest."""
    for (kind, rule, outcomes, causes), alike in grouped(
        found, lambda change: (change.kind, change.line[1], _outcomes(change), _stable(change.causes))
    ):
        yield f"{kind.value} {named(rule, titles)}: {outcomes}", _KIND_STYLE.get(kind, "bold")
        yield "  " + ", ".join(change.line[0] for change in alike), ""
        for number, cause in enumerate(causes):
            yield f"  {'likeliest cause' if not number else 'also'}: {cause[1]}", "bold" if not number else ""
            # Of what changed alike the evidence of the first stands for all.
            for line in alike[0].causes[number].evidence:
                yield f"    - {line}", ""
            if not number and kind is not ChangeKind.MENDED:
                yield f"  what to do: {REMEDY[cause[0]]}", "bold"


def _stable(causes: Sequence[Cause]) -> tuple[tuple[CauseKind, str], ...]:
    """Causes without their evidence, which tells of the single run."""
    return tuple((cause.kind, cause.what) for cause in causes)


def _outcomes(change: Change) -> str:
    return " to ".join(_outcome(verdict, change.kind) for verdict in (change.before, change.after) if verdict is not None)


def _outcome(verdict: PastVerdict, kind: ChangeKind) -> str:
    return verdict.outcome.value if kind is not ChangeKind.SLOWER else "DETECTED"


def changes_document(before: RunRecord, after: RunRecord, found: Sequence[Change]) -> dict[str, object]:
    """The difference as plain values; times in seconds."""
    return {
        "before": _run_document(before),
        "after": _run_document(after),
        "changes": [
            {
                "kind": change.kind.value,
                "planned": change.line[0],
                "rule": change.line[1],
                "fires": change.line[2],
                "before": _verdict_document(change.before),
                "after": _verdict_document(change.after),
                "causes": [
                    {"kind": cause.kind.value, "what": cause.what, "evidence": list(cause.evidence), "direct": cause.direct}
                    for cause in change.causes
                ],
            }
            for change in found
        ],
    }


def _run_document(run: RunRecord) -> dict[str, object]:
    return {"run_id": run.run_id, "finished_at": run.finished_at.isoformat(), "exit_code": run.exit_code, "green": run.green}


def _verdict_document(verdict: PastVerdict | None) -> dict[str, object] | None:
    if verdict is None:
        return None
    return {
        "outcome": verdict.outcome.value,
        "inconclusive": verdict.inconclusive.value if verdict.inconclusive is not None else None,
        "cause": verdict.cause,
        "killed": verdict.killed,
        "time_to_detect": _seconds(verdict.took),
    }


# --- trends ------------------------------------------------------------------------------------------------------------------

_MARK: Mapping[Outcome | None, str] = {
    None: " ",
    Outcome.DETECTED: "+",
    Outcome.QUIET: "+",
    Outcome.GAP_CLOSED: "+",
    Outcome.LATE: "L",
    Outcome.MISGRADED: "G",
    Outcome.MISSED: "M",
    Outcome.BLIND: "B",
    Outcome.NOISY: "N",
    Outcome.KNOWN_GAP: "o",
    Outcome.NOT_EXERCISABLE: "-",
    Outcome.INCONCLUSIVE: "?",
}
"""An outcome in a strip; letters, so that it is read without colour too."""
LEGEND = "+ met  M missed  B blind  L late  G misgraded  N noisy  o known gap  ? inconclusive  - not exercisable"
_WIDEST = 60


def strip(outcomes: Sequence[Outcome | None]) -> str:
    """A letter a run, the newest last."""
    return "".join(_MARK[outcome] for outcome in outcomes[-_WIDEST:])


def print_trends(found: Trends, console: Console) -> None:
    """A line an expectation, flaky ones first, and what they come to by rule."""
    if not found.runs:
        console.print("No run was kept yet.")
        return
    heads = ("Expectation", "Rule", "Runs", "p50", "p95", "Turns")
    rows = [heads, *(_trend_cells(trend) for trend in found.lines)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    # A table of rich's takes longer for a few hundred lines than all else here together.
    for place, row in enumerate(rows):
        cells = (
            cell.rjust(width) if at in _NUMBERS else cell.ljust(width) for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        style = "bold" if not place else "yellow" if found.lines[place - 1].flaky else ""
        console.print(Text("  ".join(cells).rstrip(), style=style), soft_wrap=True)
    flaky = sum(trend.flaky for trend in found.lines)
    said = f"{found.ended[0]:%Y-%m-%d %H:%M} to {found.ended[-1]:%Y-%m-%d %H:%M} UTC"
    share = f"{count_of(len(found.lines), 'expectation')}, {flaky or 'none'} flaky"
    console.print(Text(f"{LEGEND}\n{count_of(len(found.runs), 'run')}, {said}: {share}."), soft_wrap=True)


_NUMBERS = (3, 4)


def _trend_cells(trend: Trend) -> tuple[str, ...]:
    times = (seconds(time) if time is not None else "" for time in (trend.p50, trend.p95))
    turns = f"{trend.turns}, flaky" if trend.flaky else str(trend.turns or "")
    quiet = "" if trend.fires else " (quiet)"
    return tuple(map(inert, (trend.planned + quiet, short(trend.rule), strip(trend.outcomes), *times, turns)))


def trends_document(found: Trends) -> dict[str, object]:
    """Trends as plain values, by expectation and by rule; times in seconds."""
    return {
        "runs": [{"run_id": run, "ended": ended.isoformat()} for run, ended in zip(found.runs, found.ended, strict=True)],
        "expectations": [
            {
                "planned": trend.planned,
                "rule": trend.rule,
                "fires": trend.fires,
                "outcomes": [outcome.value if outcome is not None else None for outcome in trend.outcomes],
                "time_to_detect": [_seconds(time) for time in trend.took],
                "p50": _seconds(trend.p50),
                "p95": _seconds(trend.p95),
                "turns": trend.turns,
                "flaky": trend.flaky,
            }
            for trend in found.lines
        ],
        "rules": [
            {
                "rule": each.rule,
                "expectations": each.expectations,
                "met": list(each.met),
                "judged": list(each.judged),
                "p50": _seconds(each.p50),
                "p95": _seconds(each.p95),
                "flaky_rate": each.flaky_rate,
            }
            for each in by_rule(found)
        ],
    }


def _seconds(time: timedelta | None) -> float | None:
    return time.total_seconds() if time is not None else None
