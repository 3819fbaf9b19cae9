"""A run that is held against earlier ones: every format says what is new, known and under quarantine, and counts as the exit code does."""

from __future__ import annotations

import io
import json
from collections import Counter
from xml.etree import ElementTree

from rich.console import Console

from harness.core.standing import fails_in
from harness.model.report import RunFinished
from harness.model.verdicts import Outcome
from harness.reports.findings import Level, findings
from harness.reports.html import dump_html
from harness.reports.junit import dump_junit
from harness.reports.markdown import dump_markdown
from harness.reports.sarif import dump_sarif
from harness.reports.terminal import TerminalReporter
from tests.reports import sample_reports as sample

HELD = sample.held()
QUARANTINE = "quarantined until 2026-11-21: the agent is being replaced"
SAID = (
    "Against 7c1f02 of 2026-11-21 11:02 UTC: 2 new, 1 known, 1 quarantined",
    f"Quarantine: {QUARANTINE}: LATE 734f8d9b",
    "Objective not kept: 5cc2cda8 Suspicious Processes Spawned by WinRM: 9.00 s, the objective is 1.00 s (95 % within, over 9 runs)",
    "Flaky: 13acf386",
    "likeliest cause: the rule's text changed",
    "+ port: 1234",
)


def terminal() -> str:
    out = io.StringIO()
    with TerminalReporter(Console(file=out, width=300), Console(file=io.StringIO())) as reporter:
        reporter.see(RunFinished(report=HELD))
    return out.getvalue()


def test_the_terminal_says_it_all() -> None:
    shown = terminal()
    assert [said for said in (*SAID, "new since 7c1f02", "known: 7c1f02 had it", QUARANTINE) if said not in shown] == []


def test_markdown_keeps_what_does_not_count_apart() -> None:
    page = dump_markdown(HELD)
    assert [said for said in SAID if said not in page] == []
    failed, _, rest = page.partition("### Since the baseline")
    assert failed.count("**MISSED**") == 1
    assert "NOISY" not in failed.partition("### What failed")[2]
    assert rest.partition("### Gaps that do not count here")[2].count("**NOISY**") == 1


def test_junit_fails_what_the_exit_code_counts() -> None:
    root = ElementTree.fromstring(dump_junit(HELD))
    assert len(root.findall(".//failure")) == sum(fails_in(HELD, verdict) for verdict in HELD.verdicts) == 2
    skipped = Counter(found.attrib["type"] for found in root.findall(".//skipped"))
    assert (skipped["NOISY"], skipped["LATE"]) == (1, 1)
    assert "NOISY (known: 7c1f02 had it): " in ElementTree.tostring(root, encoding="unicode")


def test_sarif_tells_new_from_unchanged_and_suppresses_what_is_under_quarantine() -> None:
    (run,) = json.loads(dump_sarif(HELD))["runs"]
    states = Counter((result["baselineState"], bool(result.get("suppressions"))) for result in run["results"])
    # New: what was missed, and what is under quarantine; unchanged: what was noisy, and the known gap of the scenario.
    assert states == {("new", False): 1, ("new", True): 1, ("unchanged", False): 1, ("unchanged", True): 1}
    (quarantined,) = [result for result in run["results"] if result["baselineState"] == "new" and "suppressions" in result]
    assert quarantined["suppressions"] == [{"kind": "external", "status": "accepted", "justification": QUARANTINE}]


def test_annotations_are_loud_only_for_what_counts() -> None:
    levels = {(finding.outcome, finding.level) for finding in findings(HELD)}
    assert (Outcome.MISSED, Level.ERROR) in levels
    assert {(Outcome.NOISY, Level.NOTICE), (Outcome.LATE, Level.NOTICE)} <= levels


def test_the_page_has_the_baseline_and_the_trend() -> None:
    page = dump_html(HELD)
    assert [said for said in SAID if said.replace("'", "&#39;") not in page and said.removeprefix("+ ") not in page] == []
    assert 'id="trend"' in page
    assert 'aria-label="2 DETECTED, 1 MISSED"' in page
    assert 'id="trend"' not in dump_html(sample.clean())
    assert 'id="baseline"' not in dump_html(sample.clean())
