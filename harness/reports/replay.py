"""A replay for people: how far it is; what matched, with its evidence; what did not, in few lines; and all that was left out.

It decides nothing, and reads no clock.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TypeVar

from rich.console import Console
from rich.progress import Progress, ProgressColumn, Task, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from harness.model.intent import Severity
from harness.model.replay import LeftOut, Nearest, Replay, RuleHits, RuleName, Sample
from harness.reports.words import inert, whole

_STYLE = {Severity.CRITICAL: "bold red", Severity.HIGH: "red", Severity.MEDIUM: "yellow", Severity.LOW: "cyan"}
T = TypeVar("T")

_SEEN_AT_ONCE = 50
"""Events from one look at the living line to the next: each costs as much as a rule does."""

_FEW = 10
"""Quiet rules that are named, and places that could not be read; the JSON report has them all, or the first hundred."""


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{_number(int(task.completed), 'event')} read, {task.speed or 0:,.0f} a second")


@contextmanager
def counting(console: Console) -> Iterator[Callable[[Iterable[T]], Iterator[T]]]:
    """What counts the events that pass through it, on one living line of the console, where that is a terminal; it leaves nothing there."""
    with Progress(_Rate(), TimeElapsedColumn(), console=console, transient=True, disable=not console.is_terminal) as progress:

        def counted(events: Iterable[T]) -> Iterator[T]:
            task = progress.add_task("", total=None)
            for number, event in enumerate(events, 1):
                if number % _SEEN_AT_ONCE == 0:
                    progress.update(task, completed=number)
                yield event

        yield counted


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
    print_broken(replay.broken, replay.broken_count, console)
    if replay.late:
        late = f"Late: {_number(replay.late, 'event')} came too late for rules that join several events, which did not see them"
        console.print(Text(late, style="yellow"))
    for text in replay.normalisations:
        console.print(Text(f"Normalised: {inert(text)}", style="magenta"))
    console.print(_summary(replay))


def print_broken(first: Sequence[LeftOut], count: int, console: Console) -> None:
    """How many places of the recordings could not be read, and some of the first of them."""
    _left_out(f"Not read: {_number(count, 'place')}", first[:_FEW], count, console)


def _table(hits: Sequence[RuleHits]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("severity", "hits", "rule", "hosts", "first (UTC)", "last"):
        table.add_column(name, justify="right" if name == "hits" else "left", overflow="fold")
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
    for samples in hit.evidence:
        for number, sample in enumerate(samples):
            console.print(_sample(sample, "    " if number == 0 else "  + "), soft_wrap=True)
    if (more := hit.count - len(hit.evidence)) > 0:
        console.print(Text(f"    and {more} more"))


def _sample(sample: Sample, margin: str = "    ") -> Text:
    """An event; one that belongs to the one above it has a plus in its margin. To be printed unbroken, so that its place can be copied."""
    text = Text(f"{margin}{_time(sample.time)}  {inert(sample.host)}  {inert(sample.channel)} {sample.event_id}")
    if sample.text:
        text.append(f"\n        {inert(sample.text)}")
    return text.append(f"\n        {whole(sample.id)}", style="bright_black")


def _why(found: Nearest, console: Console) -> None:
    why = inert(found.note) or "the nearest event"
    console.print(Text.assemble("\n", "Why not ", (_named(found.rule), "bold"), f": {why}"))
    for number, sample in enumerate(found.reached, 1):
        console.print(Text(f"    event {number} is there:"))
        console.print(_sample(sample), soft_wrap=True)
    if found.event is not None:
        if found.reached:
            console.print(Text("    the nearest event:" if found.note.startswith("no event") else "    this one should not be there:"))
        console.print(_sample(found.event), soft_wrap=True)
        for clause in found.clauses:
            console.print(Text(f"    killed by: {inert(clause)}", style="yellow"), soft_wrap=True)


def _left_out(heading: str, items: Sequence[LeftOut], count: int, console: Console) -> None:
    if not count:
        return
    console.print(Text(f"\n{heading}", style="bold"))
    for item in items:
        place = item.path + (f":{item.line}" if item.line else "")
        console.print(Text(f"    {whole(place)}: {inert(item.what)}" + (f" ({inert(item.fix)})" if item.fix else "")), soft_wrap=True)
    if count > len(items):
        console.print(Text(f"    and {count - len(items)} more"))


def _summary(replay: Replay) -> Text:
    severities = Counter(hit.rule.severity for hit in replay.hits)
    graded = ", ".join(f"{severities[severity]} {severity.value}" for severity in reversed(Severity) if severities[severity])
    matched = _number(len(replay.hits), "rule") + " matched" + (f" ({graded})" if graded else "")
    if not replay.events:
        return Text("\nNo event was read, so that no rule was asked anything.", style="bold yellow")
    return Text(f"\n{_number(replay.events, 'event')}: {matched}, {len(replay.quiet):,} did not.", style="bold")


def _named(rule: RuleName) -> str:
    return inert(f"{rule.id[:8]} {rule.title}")


def _time(moment: datetime, than: datetime | None = None) -> str:
    return f"{moment:%H:%M:%S}" if than is not None and than.date() == moment.date() else f"{moment:%Y-%m-%d %H:%M:%S}"


def _number(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
