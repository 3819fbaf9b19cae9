"""The report as SARIF 2.1.0, as code scanning reads it: a result for each rule that failed a scenario, at the rule's own line.

A known gap is a result that is suppressed; what could not be judged is no result but a notification of the run. Specification: OASIS SARIF
2.1.0, by section below. This module must never decide anything about a run.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath, PureWindowsPath
from urllib.parse import quote

from harness.core.cover import GAPS
from harness.core.standing import line_of, standing_in
from harness.model.changes import GapStanding
from harness.model.intent import Severity
from harness.model.report import Report, RuleRecord
from harness.model.verdicts import Outcome, Verdict
from harness.reports.findings import MILD, fingerprint
from harness.reports.json import json_text
from harness.reports.ladder import ladder, outcome_word
from harness.reports.standing import note
from harness.reports.words import count_of, grouped, inert, listed, named

_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_LEVELS = ("error", "warning", "note")
_SECURITY = {Severity.INFORMATIONAL: "1.0", Severity.LOW: "3.0", Severity.MEDIUM: "5.5", Severity.HIGH: "8.0", Severity.CRITICAL: "9.5"}
"""What GitHub makes its own severities of: the middle of each of its ranges."""


def dump_sarif(report: Report) -> str:
    """The report as one JSON document with a line end."""
    titles = {coverage.rule: coverage.title for coverage in report.coverage}
    records = {record.id: record for record in report.rules}
    failed = [verdict for verdict in report.verdicts if verdict.outcome in GAPS or verdict.outcome is Outcome.KNOWN_GAP]
    rules = list(dict.fromkeys(verdict.expectation.rule for verdict in failed))
    results = [
        _result(verdicts, rules.index(rule), records.get(rule), titles, report)
        for (rule, _), verdicts in grouped(failed, lambda verdict: (verdict.expectation.rule, verdict.scenario))
    ]
    run = {
        "tool": {
            "driver": {
                "name": "purple-harness",
                "semanticVersion": report.environment.harness,
                "rules": [_descriptor(rule, records.get(rule), titles) for rule in rules],
            }
        },
        "automationDetails": {"id": f"harness/{inert(report.run_id)}"},
        "invocations": [
            {
                "executionSuccessful": not report.interrupted,
                "startTimeUtc": f"{report.started_at:%Y-%m-%dT%H:%M:%S.%f}Z",
                "endTimeUtc": f"{report.finished_at:%Y-%m-%dT%H:%M:%S.%f}Z",
                "exitCode": report.exit_code,
                "toolExecutionNotifications": _notifications(report.verdicts),
            }
        ],
        "columnKind": "unicodeCodePoints",
        "results": results,
    }
    return json_text({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]})


def _descriptor(rule: str, record: RuleRecord | None, titles: Mapping[str, str]) -> dict[str, object]:
    made: dict[str, object] = {"id": inert(rule), "shortDescription": {"text": inert(titles.get(rule) or rule)}}
    if record is not None:
        tags = ["security", record.language, *(f"attack.{technique.lower()}" for technique in record.techniques)]
        made["properties"] = {"tags": list(dict.fromkeys(map(inert, tags))), "security-severity": _SECURITY[record.severity]}
    return made


def _result(
    verdicts: Sequence[Verdict], index: int, record: RuleRecord | None, titles: Mapping[str, str], report: Report
) -> dict[str, object]:
    worst = min(verdicts, key=lambda verdict: _LEVELS.index(_level(verdict.outcome)))
    rule = worst.expectation.rule
    lines = [
        f"{outcome}: {inert(named(rule, titles))} at {inert(listed(list(dict.fromkeys(verdict.planned for verdict in found)), 5))}"
        for outcome, found in grouped(verdicts, outcome_word)
    ]
    made: dict[str, object] = {
        "ruleId": inert(rule),
        "ruleIndex": index,
        "level": _level(worst.outcome),
        "message": {"text": _plain("\n".join([*lines, *ladder(worst)]))},
        "partialFingerprints": {"ruleAndScenario/v1": fingerprint(rule, worst.scenario)},
        "occurrenceCount": len(verdicts),
    }
    if record is not None and record.source:
        region = {"startLine": record.line}
        made["locations"] = [{"physicalLocation": {"artifactLocation": {"uri": _uri(record.source)}, "region": region}}]
    # 3.27.24: of the results of a run with a baseline each says whether that one had it.
    if report.comparison is not None and report.comparison.baseline:
        known = all(verdict.outcome is Outcome.KNOWN_GAP or line_of(verdict) in report.comparison.known for verdict in verdicts)
        made["baselineState"] = "unchanged" if known else "new"
    stands = [standing_in(report, verdict) for verdict in verdicts]
    if worst.outcome is Outcome.KNOWN_GAP:
        made["suppressions"] = [{"kind": "external", "justification": inert(worst.expectation.known_gap or worst.cause)}]
    elif set(stands) == {GapStanding.QUARANTINED}:
        made["suppressions"] = [{"kind": "external", "status": "accepted", "justification": inert(note(report, worst))}]
    return made


def _level(outcome: Outcome) -> str:
    return "note" if outcome is Outcome.KNOWN_GAP else "warning" if outcome in MILD else "error"


def _notifications(verdicts: Sequence[Verdict]) -> list[dict[str, object]]:
    """A notification for each reason for which something could not be judged."""
    found = [verdict for verdict in verdicts if verdict.outcome is Outcome.INCONCLUSIVE]
    return [
        {"level": "error", "message": {"text": _plain(f"{word}: {inert(cause)} ({count_of(len(alike), 'expectation')})")}}
        for (word, cause), alike in grouped(found, lambda verdict: (outcome_word(verdict), verdict.cause))
    ]


def _plain(text: str) -> str:
    """What a reader could take for a link (3.11.6) or a placeholder (3.11.5), said as the text that it is."""
    return re.sub(r"\{(\d+)\}", r"{{\1}}", text.replace("](", "\\]("))


def _uri(source: str) -> str:
    """A relative path as a relative reference, an absolute one as a file's URI (3.4.3)."""
    windows = PureWindowsPath(source)
    path = windows.as_posix() if windows.drive or "\\" in source else source
    quoted = quote(path.encode("utf-8", "surrogatepass"), safe="/:" if windows.drive else "/")
    if windows.drive:
        return f"file:///{quoted}"
    return f"file://{quoted}" if PurePosixPath(path).is_absolute() else quoted
