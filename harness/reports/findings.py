"""What a report has to say of files: a finding for each rule that failed a scenario, and for each reason why nothing could be judged.

For formats that show findings beside the lines of a repository. It must never know a format.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from pathlib import PurePath, PurePosixPath

from harness.core.cover import GAPS
from harness.core.standing import fails_in
from harness.model.report import Report, RuleRecord
from harness.model.verdicts import Outcome, Verdict
from harness.reports import standing
from harness.reports.ladder import ladder, outcome_word
from harness.reports.words import count_of, grouped, inert, listed, named

MILD = frozenset({Outcome.LATE, Outcome.MISGRADED})
"""Of the gaps: the rule fired."""


class Level(StrEnum):
    """How loud a finding is."""

    ERROR = "error"
    WARNING = "warning"
    NOTICE = "notice"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One of them; its texts are inert. `path` is empty where no file is to blame, `line` is from 1.

    `fingerprint` stays the same from run to run. `details` are the lines below the title: what it is about, and the ladder.
    """

    level: Level
    outcome: Outcome
    title: str
    details: tuple[str, ...]
    path: str
    line: int
    fingerprint: str


def findings(report: Report) -> tuple[Finding, ...]:
    """The loudest first."""
    titles = {coverage.rule: coverage.title for coverage in report.coverage}
    records = {record.id: record for record in report.rules}
    found = [*_failed(report, titles, records), *_unjudged(report), *_closed(report, titles, records)]
    return tuple(sorted(found, key=lambda finding: list(Level).index(finding.level)))


def fingerprint(*parts: str) -> str:
    """Of what a finding is about, 32 hexadecimal digits."""
    return sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:32]


def relative(source: str) -> str:
    """A path as tools of a repository want it: from its root, with slashes; empty for one that is elsewhere."""
    path = PurePath(source)
    return "" if path.is_absolute() or ".." in path.parts else str(PurePosixPath(*path.parts))


def _failed(report: Report, titles: Mapping[str, str], records: Mapping[str, RuleRecord]) -> Iterator[Finding]:
    failed = [verdict for verdict in report.verdicts if verdict.outcome in GAPS]
    for (rule, scenario), alike in grouped(failed, lambda verdict: (verdict.expectation.rule, verdict.scenario)):
        worst = min(alike, key=lambda verdict: (not fails_in(report, verdict), verdict.outcome in MILD))
        record = records.get(rule)
        where = listed(list(dict.fromkeys(verdict.planned for verdict in alike)), 5)
        yield Finding(
            level=_level(report, alike, worst),
            outcome=worst.outcome,
            title=f"{outcome_word(worst)}: {inert(named(rule, titles))}",
            details=(f"at {inert(where)}", *([inert(stands)] if (stands := standing.note(report, worst)) else []), *ladder(worst)),
            path=inert(record.source) if record is not None else "",
            line=record.line if record is not None else 1,
            fingerprint=fingerprint(rule, scenario),
        )


def _level(report: Report, alike: Sequence[Verdict], worst: Verdict) -> Level:
    """What does not count is told, not shouted."""
    if not any(fails_in(report, verdict) for verdict in alike):
        return Level.NOTICE
    return Level.WARNING if worst.outcome in MILD else Level.ERROR


def _unjudged(report: Report) -> Iterator[Finding]:
    """An outage is no rule's fault."""
    found = [verdict for verdict in report.verdicts if verdict.outcome is Outcome.INCONCLUSIVE]
    for (word, cause), alike in grouped(found, lambda verdict: (outcome_word(verdict), verdict.cause)):
        yield Finding(
            level=Level.WARNING,
            outcome=Outcome.INCONCLUSIVE,
            title=f"{word}: {inert(cause)}",
            details=(f"{count_of(len(alike), 'expectation')} not judged: {inert(listed([verdict.planned for verdict in alike], 5))}",),
            path="",
            line=1,
            fingerprint=fingerprint(word, cause),
        )


def _closed(report: Report, titles: Mapping[str, str], records: Mapping[str, RuleRecord]) -> Iterator[Finding]:
    closed = [verdict for verdict in report.verdicts if verdict.outcome is Outcome.GAP_CLOSED]
    for rule, alike in grouped(closed, lambda verdict: verdict.expectation.rule):
        record = records.get(rule)
        yield Finding(
            level=Level.NOTICE,
            outcome=Outcome.GAP_CLOSED,
            title=f"GAP_CLOSED: {inert(named(rule, titles))}",
            details=(f"it was detected: take known_gap out, at {inert(listed([verdict.planned for verdict in alike], 5))}",),
            path=inert(record.source) if record is not None else "",
            line=record.line if record is not None else 1,
            fingerprint=fingerprint("closed", rule),
        )
