"""The report as JUnit XML, as CI systems read it: a suite for each scenario on each target, a case for each expectation.

A gap that counts is a failure; one that does not (under quarantine, or that the baseline had where only new ones count) is skipped, and so
are what cannot be exercised and, as pytest writes an expected failure, a known gap. What could not be judged is an error. This module must
never decide anything about a run.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from harness.core.cover import GAPS
from harness.core.standing import fails_in
from harness.model.facts import Detonation
from harness.model.report import Report
from harness.model.verdicts import Outcome, Verdict
from harness.reports import standing
from harness.reports.ladder import ladder, outcome_word
from harness.reports.words import cleanup_trouble, grouped, inert, named


def dump_junit(report: Report) -> str:
    """The report as one XML document with a line end."""
    root = Element("testsuites", name="harness", time=_time(report.finished_at - report.started_at))
    titles = {coverage.rule: coverage.title for coverage in report.coverage}
    suites = grouped(report.verdicts, lambda verdict: f"{verdict.scenario}@{verdict.target}")
    for name, verdicts in suites:
        root.append(_suite(name, verdicts, titles, report))
    for kind in ("tests", "failures", "errors", "skipped"):
        root.set(kind, str(sum(int(suite.get(kind, "0")) for suite in root)))
    ElementTree.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ElementTree.tostring(root, encoding="unicode")}\n'


def _suite(name: str, verdicts: Sequence[Verdict], titles: dict[str, str], report: Report) -> Element:
    sent = {verdict.detonation.planned.id: verdict.detonation for verdict in verdicts if verdict.detonation is not None}
    started = min((detonation.started_at for detonation in sent.values()), default=report.started_at)
    took = sum((detonation.finished_at - detonation.started_at for detonation in sent.values()), timedelta())
    suite = Element("testsuite", name=inert(name))
    properties = SubElement(suite, "properties")
    for key, value in _properties(report):
        SubElement(properties, "property", name=key, value=inert(value))
    for verdict in verdicts:
        suite.append(_case(verdict, titles, report))
    counts = {kind: len(suite.findall(f"testcase/{tag}")) for kind, tag in _COUNTED.items()}
    for key, value in (("tests", str(len(verdicts))), *((kind, str(count)) for kind, count in counts.items())):
        suite.set(key, value)
    suite.set("timestamp", f"{started:%Y-%m-%dT%H:%M:%S}")
    suite.set("time", _time(took))
    suite.set("hostname", inert(verdicts[0].target))
    trouble = [_cleanup_trouble(cleanup) for cleanup in report.cleanups if _is_of(cleanup, verdicts[0])]
    if any(trouble):
        SubElement(suite, "system-err").text = "\n".join(line for line in trouble if line)
    return suite


_COUNTED = {"failures": "failure", "errors": "error", "skipped": "skipped"}


def _properties(report: Report) -> tuple[tuple[str, str], ...]:
    environment = report.environment
    baseline = report.comparison.baseline if report.comparison is not None else ""
    told = (("run", report.run_id), ("harness", environment.harness), ("siem", environment.siem), ("baseline", baseline))
    return tuple((name, value) for name, value in told if name != "baseline" or value)


def _case(verdict: Verdict, titles: dict[str, str], report: Report) -> Element:
    rule = named(verdict.expectation.rule, titles)
    name = rule if verdict.expectation.fires else f"stays quiet: {rule}"
    case = Element("testcase", classname=inert(verdict.planned), name=inert(name), time=_time(verdict.time_to_detect or timedelta()))
    stands = standing.note(report, verdict)
    word = f"{outcome_word(verdict)} ({stands})" if stands else outcome_word(verdict)
    told = {"type": verdict.outcome.value, "message": inert(f"{word}: {verdict.cause}")}
    text = "\n".join(ladder(verdict))
    if verdict.outcome in GAPS and fails_in(report, verdict):
        SubElement(case, "failure", told).text = text
    elif verdict.outcome in GAPS:
        SubElement(case, "skipped", told)  # as the run's own exit code has it
    elif verdict.outcome is Outcome.INCONCLUSIVE:
        SubElement(case, "error", told).text = text
    elif verdict.outcome in (Outcome.NOT_EXERCISABLE, Outcome.KNOWN_GAP):
        SubElement(case, "skipped", told)
    elif verdict.outcome is Outcome.GAP_CLOSED:
        SubElement(case, "system-out").text = told["message"]
    return case


def _is_of(cleanup: Detonation, verdict: Verdict) -> bool:
    return (cleanup.planned.scenario, cleanup.planned.target.name) == (verdict.scenario, verdict.target)


def _cleanup_trouble(cleanup: Detonation) -> str:
    why = cleanup_trouble(cleanup)
    return f"cleanup failed: {inert(cleanup.planned.id)}: {inert(why)}" if why else ""


def _time(length: timedelta) -> str:
    """In seconds, as all readers take them."""
    return f"{length.total_seconds():.3f}"
