"""What sets the lab's events apart from a recording: for people, failures last, and as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict

from rich.console import Console
from rich.text import Text

from harness.model.conformance import Conformance, Difference, EventKind, KindSeen
from harness.reports.words import inert

_MOST_LISTED = 40


def print_conformance(found: Conformance, console: Console) -> None:
    """Print it, the summary last."""
    _kinds("Compared", found.compared, console)
    _kinds("Not in the recording", found.not_recorded, console)
    _kinds("Not emitted by the lab", found.not_emitted, console)
    for relation in found.relations:
        if relation.recorded is None:
            console.print(Text(f"not recorded  {relation.name}", style="dim"), soft_wrap=True)
        else:
            held = "in both" if relation.lab and relation.recorded else "differs"
            console.print(Text(f"{held:<14}{relation.name}"), soft_wrap=True)
    for difference in found.differences:
        _difference(difference, console)
    console.print(Text(_summary(found), style="bold red" if found.failures else "bold"), soft_wrap=True)


def _kinds(title: str, kinds: Sequence[KindSeen], console: Console) -> None:
    said = [inert(f"{_named(one.kind)} ({one.recorded or one.lab:,})") for one in kinds[:_MOST_LISTED]]
    if len(kinds) > _MOST_LISTED:
        said.append(f"and {len(kinds) - _MOST_LISTED} more")
    if said:
        console.print(Text.assemble((f"{title}: ", "bold"), ", ".join(said)), soft_wrap=True)


def _named(kind: EventKind) -> str:
    return f"{kind.channel.removeprefix('microsoft-windows-').removesuffix('/operational')} {kind.event_id}"


def _difference(one: Difference, console: Console) -> None:
    label = one.reason.value if one.reason is not None else "NO REASON"
    head = Text.assemble(
        (f"{label}: ", "bold red" if one.reason is None else "yellow"), inert(f"{_named(one.kind)} {one.field}, {one.aspect}")
    )
    console.print(head, soft_wrap=True)
    console.print(Text(inert(f"    lab: {one.lab}; recorded, {one.count:,} times: {one.recorded}")), soft_wrap=True)
    if one.fact:
        console.print(Text(f"    {one.fact}", style="dim"), soft_wrap=True)


def _summary(found: Conformance) -> str:
    broken = f" ({found.broken:,} places could not be read)" if found.broken else ""
    head = f"{found.events:,} events{broken}, {len(found.compared)} kinds compared: "
    if not found.differences:
        return f"{head}no difference"
    reasons = Counter(one.reason for one in found.differences if one.reason is not None)
    said = [f"{number} {reason.value}" for reason, number in reasons.items()]
    said.append(f"{len(found.failures)} without a reason")
    return f"{head}{len(found.differences)} differences, {', '.join(said)}"


def conformance_json(found: Conformance) -> dict[str, object]:
    """All of it as plain values."""
    return {"conforms": not found.failures, **asdict(found)}
