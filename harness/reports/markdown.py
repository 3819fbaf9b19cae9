"""The report as a page in Markdown, for pull requests and the summaries of CI jobs: what failed first, then coverage, then the rest.

Texts of targets, rules and SIEMs are shown as code, titles with every mark escaped: nothing in them is markup, a link or a mention. The
page stays below what a comment may hold. This module must never decide anything about a run.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from harness.core.cover import GAPS
from harness.core.standing import fails_in
from harness.model.report import Report
from harness.model.verdicts import CoverageStatus, Outcome, RuleCoverage, Verdict
from harness.reports import standing
from harness.reports.history import change_lines
from harness.reports.ladder import ladder, outcome_word
from harness.reports.words import STATUS_ORDER, cleanup_trouble, count_of, grouped, inert, listed, named, seconds, short

_MOST = 60_000
"""Characters of the page: a comment of GitHub's may have 65,536."""


def dump_markdown(report: Report) -> str:
    """The report as Markdown with a line end."""
    titles = {coverage.rule: coverage.title for coverage in report.coverage}
    page = "\n".join(_head(report)) + "\n"
    left_off = 0
    for section in _sections(report, titles):
        if len(page) + len(section) > _MOST:
            left_off += 1
        else:
            page += section
    return page + (f"\n_{count_of(left_off, 'further section')} did not fit here._\n" if left_off else "")


def _head(report: Report) -> Iterator[str]:
    meaning = standing.meaning(report)
    yield f"## Detections: {meaning or f'exit {report.exit_code}'}\n"
    outcomes = Counter(verdict.outcome for verdict in report.verdicts)
    counts = ", ".join(f"{outcomes[outcome]} {outcome.value}" for outcome in Outcome if outcomes[outcome]) or "none judged"
    yield f"**{count_of(len(report.verdicts), 'expectation')}**: {counts}.\n"
    environment = report.environment
    where = f"{code(listed(environment.targets, 10))}, SIEM {code(environment.siem)}"
    took = seconds(report.finished_at - report.started_at)
    yield f"Run {code(report.run_id)}: {where}, {report.started_at:%Y-%m-%d %H:%M:%S} UTC, {took}."


def _sections(report: Report, titles: Mapping[str, str]) -> Iterator[str]:
    """Each whole by itself, the most telling first."""
    gaps = [verdict for verdict in report.verdicts if verdict.outcome in GAPS and fails_in(report, verdict)]
    others = [verdict for verdict in report.verdicts if verdict.outcome in GAPS and not fails_in(report, verdict)]
    unknown = [verdict for verdict in report.verdicts if verdict.outcome is Outcome.INCONCLUSIVE]
    if gaps:
        yield "\n### What failed\n"
        yield from _failures(report, gaps, titles)
    if head := standing.against(report):
        changed = (line for line, _ in change_lines(standing.told(report), titles))
        yield f"\n### Since the baseline\n\n{code(head)}\n" + "".join(f"- {code(line.strip())}\n" for line in changed)
    past = [
        *(f"Quarantine: {line}" for line in standing.quarantined(report, titles)),
        *(f"Objective not kept: {line}" for line in standing.breached(report.breaches, titles)),
        *(f"Flaky: {line}" for line in standing.flaky(report, titles)),
    ]
    if past:
        yield "\n### Not to be forgotten\n\n" + "".join(f"- {code(line)}\n" for line in past)
    if others:
        yield "\n### Gaps that do not count here\n"
        yield from _failures(report, others, titles)
    if unknown:
        yield "\n### What could not be judged\n"
        yield from (_failure(found, titles) for _, found in grouped(unknown, lambda verdict: verdict.cause))
    if report.coverage:
        yield "\n".join(("", "### Coverage", "", *_coverage(report.coverage), ""))
    for title, lines in (
        ("Known gaps", _known(report.verdicts, titles)),
        ("Alerts beside", _alerts(report, titles)),
        ("Cleanup", _cleanups(report)),
    ):
        found = list(lines)
        if found:
            yield "\n".join(("", f"### {title}", "", *found, ""))


def _alike(verdict: Verdict) -> tuple[str, str, str]:
    return verdict.outcome.value, verdict.expectation.rule, verdict.cause


def _failures(report: Report, verdicts: Sequence[Verdict], titles: Mapping[str, str]) -> Iterator[str]:
    for (*_, note), found in grouped(verdicts, lambda verdict: (*_alike(verdict), standing.note(report, verdict))):
        yield _failure(found, titles, note)


def _failure(verdicts: Sequence[Verdict], titles: Mapping[str, str], note: str = "") -> str:
    first = verdicts[0]
    rules = list(dict.fromkeys(verdict.expectation.rule for verdict in verdicts))
    rule = escaped(named(rules[0], titles)) if len(rules) == 1 else code(listed([short(rule) for rule in rules], 8))
    steps = list(dict.fromkeys(verdict.planned for verdict in verdicts))
    _, *gates = ladder(first)
    return "\n".join(
        (
            "",
            f"**{outcome_word(first)}** {rule}, {code(listed(steps, 5))}{f' ({escaped(note)})' if note else ''}\n",
            code(first.cause) + "\n",
            *(("<details><summary>Ladder</summary>\n", fenced("\n".join(gates)), "", "</details>", "") if gates else ()),
        )
    )


def _coverage(coverage: Iterable[RuleCoverage]) -> Iterator[str]:
    yield "| Status | Rule | Verdicts | Time to detect |"
    yield "|:--|:--|:--|--:|"
    tested = sorted(coverage, key=lambda entry: (-STATUS_ORDER.index(entry.status), entry.title.casefold()))
    shown = [entry for entry in tested if entry.outcomes]
    for entry in shown:
        counts = ", ".join(f"{count} {outcome.value}" for outcome, count in entry.outcomes.items())
        times = [seconds(time) for time in dict.fromkeys((entry.fastest, entry.slowest)) if time is not None]
        rule = escaped(f"{short(entry.rule)} {entry.title}")
        yield f"| {_STATUS_MARK[entry.status]} {entry.status.value} | {rule} | {counts} | {' to '.join(times)} |"
    if len(tested) > len(shown):
        yield f"\n{count_of(len(tested) - len(shown), 'rule')} more without an expectation."


_STATUS_MARK = {
    CoverageStatus.VALIDATED: "🟢",
    CoverageStatus.PARTIAL: "🟡",
    CoverageStatus.FAILING: "🔴",
    CoverageStatus.INCONCLUSIVE: "🟣",
    CoverageStatus.UNTESTED: "⚪",
}


def _known(verdicts: Iterable[Verdict], titles: Mapping[str, str]) -> Iterator[str]:
    kinds = (Outcome.KNOWN_GAP, Outcome.GAP_CLOSED, Outcome.NOT_EXERCISABLE)
    found = [verdict for verdict in verdicts if verdict.outcome in kinds]
    for (outcome, rule, why), alike in grouped(
        found, lambda each: (each.outcome, each.expectation.rule, each.expectation.known_gap or each.cause)
    ):
        yield f"- **{outcome.value}** {escaped(named(rule, titles))}, {len(alike)}x: {code(why)}"


def _alerts(report: Report, titles: Mapping[str, str]) -> Iterator[str]:
    own = [sighting for sighting in report.unexpected if not sighting.transport_caused]
    for rule, sightings in grouped(own, lambda sighting: sighting.alert.rule):
        where = listed(sorted({sighting.detonation for sighting in sightings}))
        yield f"- Unexpected: {escaped(named(rule, titles))}, {count_of(len(sightings), 'alert')}: {code(where)}"
    for (rule, host), alerts in grouped(report.unattributed, lambda alert: (alert.rule, alert.host)):
        yield f"- Unattributed: {escaped(named(rule, titles))}, {count_of(len(alerts), 'alert')} on {code(host)}"


def _cleanups(report: Report) -> Iterator[str]:
    for cleanup in report.cleanups:
        if trouble := cleanup_trouble(cleanup):
            yield f"- {code(cleanup.planned.id)}: {code(trouble)}"


def escaped(text: str) -> str:
    """A text in which no mark is markup, no address a link, and no name a mention."""
    marked = re.sub(r"[!-/:-@\[-`{-~]", r"\\\g<0>", inert(text))
    # A mention is looked for in the rendered page, where the backslash is gone.
    return re.sub(r"\\([@#])", r"\\\1&#8203;", marked)


def code(text: str) -> str:
    """A text as a code span. Not for a table's cell."""
    shown = inert(text).strip() or " "
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", shown)), default=0))
    blank = " " if shown.startswith("`") or shown.endswith("`") else ""
    return f"{fence}{blank}{shown}{blank}{fence}"


def fenced(text: str) -> str:
    """Lines in a fence that they cannot close."""
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return f"{fence}text\n{text}\n{fence}"
