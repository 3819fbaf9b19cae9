"""A replay for people: what matched, with its evidence; what did not, in few lines; and all that was left out. It decides nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.model.intent import Severity
from harness.model.replay import LeftOut, Nearest, Replay, RuleHits, RuleName, Sample
from harness.reports.terminal import inert

_STYLE = {Severity.CRITICAL: "bold red", Severity.HIGH: "red", Severity.MEDIUM: "yellow", Severity.LOW: "cyan"}
_FEW = 10
"""Quiet rules that are named, and places that could not be read; the JSON report has them all, or the first hundred."""


def print_replay(replay: Replay, console: Console) -> None:
    """Print it, the summary last."""
    if replay.hits:
        console.print(_table(replay.hits))
        for hit in replay.hits:
            _evidence(hit, console)
    for found in replay.why:
        _why(found, console)
    if replay.quiet:
        line = Text(f"No match: {_number(len(replay.quiet), 'rule')}", style="bold")
        if len(replay.quiet) <= _FEW:
            line.append(": " + "; ".join(_named(rule) for rule in replay.quiet), style="not bold")
        console.print(line)
    _left_out(f"Not evaluated: {_number(len(replay.not_evaluated), 'rule')}", replay.not_evaluated, len(replay.not_evaluated), console)
    _left_out(f"Not read: {_number(replay.broken_count, 'place')}", replay.broken[:_FEW], replay.broken_count, console)
    for text in replay.normalisations:
        console.print(Text(f"Normalised: {inert(text)}", style="magenta"))
    console.print(_summary(replay))


def _table(hits: Sequence[RuleHits]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("severity", "events", "rule", "hosts", "first (UTC)", "last"):
        table.add_column(name, justify="right" if name == "events" else "left", overflow="fold")
    for hit in hits:
        severity = hit.rule.severity
        hosts = ", ".join(f"{host} {count}" for host, count in hit.hosts.items())
        table.add_row(
            Text(severity.value, style=_STYLE.get(severity, "")),
            str(hit.count),
            Text(_named(hit.rule)),
            Text(inert(hosts)),
            _time(hit.first),
            _time(hit.last, than=hit.first),
        )
    return table


def _evidence(hit: RuleHits, console: Console) -> None:
    techniques = f"  {', '.join(hit.rule.techniques)}" if hit.rule.techniques else ""
    console.print(Text.assemble("\n", (_named(hit.rule), "bold"), (inert(techniques), "cyan")))
    for sample in hit.samples:
        console.print(_sample(sample))
    if (more := hit.count - len(hit.samples)) > 0:
        console.print(Text(f"    and {more} more"))


def _sample(sample: Sample) -> Text:
    head = f"    {_time(sample.time)}  {inert(sample.host)}  {inert(sample.channel)} {sample.event_id}  {inert(sample.id)}"
    text = Text(head)
    if sample.text:
        text.append(f"\n        {inert(sample.text)}", style="bright_black")
    return text


def _why(found: Nearest, console: Console) -> None:
    console.print(Text.assemble("\n", "Why not ", (_named(found.rule), "bold"), f": {found.note}" if found.note else ": the nearest event"))
    if found.event is not None:
        console.print(_sample(found.event))
        for clause in found.clauses:
            console.print(Text(f"    killed by: {inert(clause)}", style="yellow"))


def _left_out(heading: str, items: Sequence[LeftOut], count: int, console: Console) -> None:
    if not count:
        return
    console.print(Text(f"\n{heading}", style="bold"))
    for item in items:
        place = item.path + (f":{item.line}" if item.line else "")
        console.print(Text(f"    {inert(place)}: {inert(item.what)}"))
    if count > len(items):
        console.print(Text(f"    and {count - len(items)} more"))


def _summary(replay: Replay) -> Text:
    severities = Counter(hit.rule.severity for hit in replay.hits)
    graded = ", ".join(f"{severities[severity]} {severity.value}" for severity in reversed(Severity) if severities[severity])
    matched = _number(len(replay.hits), "rule") + " matched" + (f" ({graded})" if graded else "")
    return Text(f"\n{_number(replay.events, 'event')}: {matched}, {len(replay.quiet)} did not.", style="bold")


def _named(rule: RuleName) -> str:
    return inert(f"{rule.id[:8]} {rule.title}")


def _time(moment: datetime, than: datetime | None = None) -> str:
    return f"{moment:%H:%M:%S}" if than is not None and than.date() == moment.date() else f"{moment:%Y-%m-%d %H:%M:%S}"


def _number(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
