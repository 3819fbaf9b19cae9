"""The difference of two runs: what broke, what was mended, what got slower, and the causes that the two reports themselves show.

A cause is a fact in which the runs differ and on which the verdict depends, never a guess: the target that was not reached, the rule's
text, the step, the rule engine, the telemetry; then the versions. Where they differ in none, the verdict's own cause stands alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from difflib import unified_diff

from harness.core.cover import MET
from harness.model.changes import Change, ChangeKind
from harness.model.facts import Failure
from harness.model.report import Report
from harness.model.verdicts import Inconclusive, Outcome, Verdict

SLOWER_BY = timedelta(seconds=2)
SLOWER_TIMES = 1.5
"""A detection is slower where it takes this much longer and this many times as long: a SIEM's schedule alone moves it by less."""
_MOST_LINES = 6


def changes(before: Report, after: Report) -> tuple[Change, ...]:
    """Every expectation whose verdict is another one, the gravest first, then as they were judged."""
    old, new = ({_key(verdict): verdict for verdict in report.verdicts} for report in (before, after))
    found = [change for key in (old | new) if (change := _change(old.get(key), new.get(key), before, after)) is not None]
    order = list(ChangeKind)
    return tuple(sorted(found, key=lambda change: order.index(change.kind)))


def _key(verdict: Verdict) -> tuple[str, str, bool]:
    return verdict.planned, verdict.expectation.rule, verdict.expectation.fires


def _change(old: Verdict | None, new: Verdict | None, before: Report, after: Report) -> Change | None:
    if old is None or new is None:
        return Change(kind=ChangeKind.NEW if old is None else ChangeKind.GONE, before=old, after=new)
    kind = _kind(old, new)
    if kind is None:
        return None
    causes = [*_causes(old, new, before, after)]
    return Change(kind=kind, before=old, after=new, causes=tuple(dict.fromkeys(cause for cause in causes if cause)))


def _kind(old: Verdict, new: Verdict) -> ChangeKind | None:
    was, is_now = old.outcome in MET, new.outcome in MET
    if was != is_now:
        return ChangeKind.BROKEN if was else ChangeKind.MENDED
    if old.outcome is not new.outcome:
        return ChangeKind.CHANGED
    took, takes = old.time_to_detect, new.time_to_detect
    # Late before and later now is a change of nothing; what is in time and slower is the first sign.
    if new.outcome is Outcome.DETECTED and took is not None and takes is not None:
        return ChangeKind.SLOWER if takes - took >= SLOWER_BY and takes >= took * SLOWER_TIMES else None
    return None


def _causes(old: Verdict, new: Verdict, before: Report, after: Report) -> Iterator[str]:
    if new.inconclusive is Inconclusive.NOT_EXECUTED:
        failure = new.detonation.outcome if new.detonation is not None else None
        yield f"the target {new.target}: {failure.message}" if isinstance(failure, Failure) else new.cause
    if new.inconclusive in (Inconclusive.SIEM_LOST, Inconclusive.INTERRUPTED):
        yield new.cause
    yield from _rule_changed(new.expectation.rule, before, after)
    yield from _step_changed(old, new)
    if new.outcome is Outcome.BLIND or new.inconclusive in (Inconclusive.NOT_DEPLOYED, Inconclusive.NO_TELEMETRY):
        yield new.cause
    pairs = (
        (before.environment.siem, after.environment.siem, "the SIEM"),
        (before.environment.harness, after.environment.harness, "the harness"),
    )
    for was, is_now, what in pairs:
        if was != is_now and is_now:
            yield f"{what} was {was or 'not there'}, now {is_now}"
    if new.outcome not in MET:
        yield new.cause


def _rule_changed(rule: str, before: Report, after: Report) -> Iterator[str]:
    was, is_now = ({record.id: record for record in report.rules}.get(rule) for report in (before, after))
    if was is None or is_now is None or was.definition == is_now.definition:
        return
    lines = unified_diff(was.definition.splitlines(), is_now.definition.splitlines(), n=0, lineterm="")
    changed = [line for line in lines if not line.startswith(("---", "+++", "@@"))]
    more = f" and {len(changed) - _MOST_LINES} lines more" if len(changed) > _MOST_LINES else ""
    yield f"the rule's text changed ({is_now.source}): {' | '.join(line.strip() for line in changed[:_MOST_LINES])}{more}"


def _step_changed(old: Verdict, new: Verdict) -> Iterator[str]:
    if old.expectation != new.expectation:
        yield "the expectation changed: " + "; ".join(
            f"{name} was {was}, now {is_now}"
            for name in ("within", "severity", "priority", "known_gap")
            if (was := getattr(old.expectation, name)) != (is_now := getattr(new.expectation, name))
        )
    if old.detonation is not None and new.detonation is not None and old.detonation.planned.action != new.detonation.planned.action:
        yield "the scenario changed: the step sends something else"
