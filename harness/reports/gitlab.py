"""The report as GitLab's Code Quality report, which merge requests show beside the lines of the rules that failed.

Format: docs.gitlab.com, "Code Quality", "Code Quality report format". This module must never decide anything about a run.
"""

from __future__ import annotations

from harness.model.report import Report
from harness.model.verdicts import Outcome
from harness.reports.findings import Finding, Level, findings, relative
from harness.reports.json import json_text

_SEVERITY = {Level.ERROR: "major", Level.WARNING: "minor", Level.NOTICE: "info"}


def dump_gitlab(report: Report) -> str:
    """The report as one JSON document with a line end."""
    return json_text([_entry(finding) for finding in findings(report)])


def _entry(finding: Finding) -> dict[str, object]:
    return {
        "description": " ".join([finding.title, *finding.details[:1]]),
        "check_name": f"harness/{finding.outcome.value.lower()}",
        "fingerprint": finding.fingerprint,
        "severity": "critical" if finding.outcome in (Outcome.MISSED, Outcome.BLIND) else _SEVERITY[finding.level],
        # A place is demanded even where no file is to blame; one that is elsewhere is named by its last part.
        "location": {"path": relative(finding.path) or finding.path.replace("\\", "/").rpartition("/")[2] or "harness.toml"}
        | {"lines": {"begin": finding.line}},
    }
