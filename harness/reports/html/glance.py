"""What the page says before anything else: how much holds, how soon, and what needs somebody. It must never know markup."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from statistics import median

from harness.core.cover import GAPS, MET
from harness.core.standing import fails_in
from harness.core.trend import percentile
from harness.model.report import Report
from harness.model.verdicts import CoverageStatus, Outcome
from harness.reports import standing
from harness.reports.html.tones import GRAVITY, TONE
from harness.reports.ladder import outcome_word
from harness.reports.words import grouped, listed, named, seconds

_MOST_NEEDS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A tone's part of the bar, in per cent of its length."""

    tone: str
    at: float
    width: float
    said: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What somebody should look at: verdicts of one rule that ended alike. `key` leads to the first."""

    tone: str
    word: str
    rule: str
    where: str
    cause: str
    note: str
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Glance:
    """The head of the page. `figures` are a name, a value and a note each; `more` counts the needs that are not listed."""

    bar: tuple[Part, ...]
    said: str
    figures: tuple[tuple[str, str, str], ...]
    needs: tuple[Need, ...]
    more: int


def glance_of(report: Report, titles: Mapping[str, str], keys: Sequence[str]) -> Glance:
    """The head of a report's page. `keys` are the links to its verdicts, in their order."""
    needs = list(_needs(report, titles, keys))
    parts = tuple(_bar(report))
    return Glance(
        bar=parts,
        said=f"Expectations: {'; '.join(part.said for part in parts)}.",
        figures=tuple(_figures(report)),
        needs=tuple(needs[:_MOST_NEEDS]),
        more=max(0, len(needs) - _MOST_NEEDS),
    )


def _bar(report: Report) -> Iterator[Part]:
    counts: Counter[Outcome] = Counter(verdict.outcome for verdict in report.verdicts if verdict.outcome is not Outcome.NOT_EXERCISABLE)
    at = 0.0
    for tone in reversed(GRAVITY):
        found = {outcome: counts[outcome] for outcome in Outcome if TONE[outcome] == tone and counts[outcome]}
        if found:
            width = 100 * sum(found.values()) / counts.total()
            said = ", ".join(f"{number} {outcome.value}" for outcome, number in found.items())
            yield Part(tone=tone, at=round(at, 2), width=round(width, 2), said=said)
            at += width


def _figures(report: Report) -> Iterator[tuple[str, str, str]]:
    tested = [entry for entry in report.coverage if entry.status is not CoverageStatus.UNTESTED]
    validated = sum(entry.status is CoverageStatus.VALIDATED for entry in tested)
    asked = [verdict for verdict in report.verdicts if verdict.outcome is not Outcome.NOT_EXERCISABLE]
    met = sum(verdict.outcome in MET for verdict in asked)
    known = sum(verdict.outcome is Outcome.KNOWN_GAP for verdict in asked)
    if tested:
        untested = len(report.coverage) - len(tested)
        yield "Rules validated", f"{validated} of {len(tested)}", f"{untested} untested" if untested else "every rule is tested"
    if asked:
        yield "Expectations met", f"{met} of {len(asked)}", f"{known} known gaps" if known else ""
    counting = [verdict for verdict in report.verdicts if verdict.outcome in GAPS]
    failing = sum(fails_in(report, verdict) for verdict in counting)
    yield "Gaps", str(failing), f"{len(counting) - failing} more that do not count" if len(counting) > failing else ""
    times = sorted(verdict.time_to_detect or timedelta() for verdict in report.verdicts if verdict.outcome is Outcome.DETECTED)
    if times:
        slow = percentile(times, 0.95)
        middle = timedelta(seconds=median(time.total_seconds() for time in times))
        yield "Time to detect", seconds(middle), f"median; 95 % within {seconds(slow or middle)}"


def _needs(report: Report, titles: Mapping[str, str], keys: Sequence[str]) -> Iterator[Need]:
    """What failed, the gravest first; then what could not be judged."""
    wanted = [
        (verdict, key) for verdict, key in zip(report.verdicts, keys, strict=True) if verdict.outcome in (*GAPS, Outcome.INCONCLUSIVE)
    ]
    # What the run fails on comes before what does not count; of what nobody could judge one line a reason is enough.
    wanted.sort(key=lambda each: (not fails_in(report, each[0]), GRAVITY.index(TONE[each[0].outcome])))
    for (rule, word, note), alike in grouped(
        wanted, lambda each: (each[0].expectation.rule, outcome_word(each[0]), standing.note(report, each[0]))
    ):
        first, key = alike[0]
        where = listed(list(dict.fromkeys(verdict.planned for verdict, _ in alike)))
        yield Need(tone=TONE[first.outcome], word=word, rule=named(rule, titles), where=where, cause=first.cause, note=note, key=key)
