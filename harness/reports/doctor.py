"""What an examination found, a line each: for people, and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from rich.console import Console
from rich.text import Text

from harness.model.health import Finding, Health
from harness.reports.words import inert

_STYLES = {Health.OK: "green", Health.WARNING: "yellow", Health.BROKEN: "bold red", Health.UNKNOWN: "yellow"}


def print_finding(finding: Finding, console: Console) -> None:
    """One line."""
    mend = f" ({inert(finding.fix)})" if finding.fix else ""
    line = Text.assemble((f"{finding.health:<8}", _STYLES[finding.health]), f"{inert(finding.about)}: {inert(finding.what)}{mend}")
    console.print(line, soft_wrap=True)


def findings_json(findings: Sequence[Finding]) -> dict[str, object]:
    """All of them as plain values."""
    return {"healthy": is_healthy(findings), "findings": [asdict(finding) for finding in findings]}


def is_healthy(findings: Sequence[Finding]) -> bool:
    """Whether a run can work."""
    return not any(finding.health is Health.BROKEN for finding in findings)
