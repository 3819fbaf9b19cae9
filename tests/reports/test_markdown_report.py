"""The report as Markdown: what failed first, nothing that a text could do to a page, and no longer than a comment may be."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.model.verdicts import CoverageStatus, Outcome, RuleCoverage
from harness.reports.markdown import code, dump_markdown, escaped, fenced
from tests.reports import sample_reports as sample


def test_what_failed_stands_before_coverage_and_the_rest() -> None:
    page = dump_markdown(sample.gap())
    order = ["## Detections: a gap in detection", "### What failed", "**MISSED** 13acf386", "### Coverage", "### Known gaps", "### Cleanup"]
    assert sorted(order, key=page.index) == order
    assert "| 🟡 PARTIAL | 13acf386 Remote PowerShell Sessions Network Connections \\(WinRM\\) | 2 DETECTED, 2 MISSED | 0.63 s |" in page
    assert "QUERY      FAILED  nearest event 5156" in page


def test_what_has_one_cause_is_told_once() -> None:
    page = dump_markdown(sample.outage())
    assert page.count("**INCONCLUSIVE (not executed)**") == 1
    assert "## Detections: inconclusive" in page


def test_a_run_without_verdicts_is_a_page() -> None:
    assert "**0 expectations**: none judged." in dump_markdown(sample.report([], (), 5, rules=()))


@given(st.text())
def test_escaped_text_holds_no_mark_that_is_not_escaped(text: str) -> None:
    shown = escaped(text)
    assert not re.search(r"(?<!\\)(?:\\\\)*[*_`<>\[\]|~!]", re.sub(r"\\[!-/:-@\[-`{-~]", "", shown).replace("&#8203;", ""))
    assert "\n" not in shown


@pytest.mark.parametrize("text", ["@org/team", "#12", "https://x.example", "www.x.example", "<script>", "[a](b)", "a|b", "![x](y)", "a_b_"])
def test_an_escaped_text_is_no_mention_and_no_link(text: str) -> None:
    shown = escaped(text)
    # Every mark is escaped, and a name is no neighbour of its sign once the page is rendered.
    assert not re.search(r"(?<!\\)[<>\[\]()!|_/.:]", shown)
    assert not re.search(r"[@#]\w", re.sub(r"\\(.)", r"\1", shown.replace("&#8203;", "\u200b")))


@given(st.text(min_size=1))
def test_a_code_span_and_a_fence_are_not_closed_by_what_is_in_them(text: str) -> None:
    span = code(text)
    ticks = re.match("`+", span)
    assert ticks is not None
    assert ticks[0] not in re.findall("`+", span[len(ticks[0]) : -len(ticks[0])])
    first, *_, last = fenced(text.replace("\r", " ")).split("\n")
    assert first == f"{last}text"
    assert last not in fenced(text)[len(first) : -len(last)]


def test_a_page_is_no_longer_than_a_comment_may_be() -> None:
    many = [
        RuleCoverage(rule=f"rule-{number}", title="x" * 300, status=CoverageStatus.VALIDATED, outcomes={}, fastest=None, slowest=None)
        for number in range(500)
    ]
    missed = next(item for item in sample.gap().verdicts if item.outcome is Outcome.MISSED)
    verdicts = [replace(missed, cause=f"cause {number}: " + "x" * 350) for number in range(500)]
    page = dump_markdown(sample.report(verdicts, tuple(many), 1))
    assert len(page) <= 65_536
    assert "did not fit here" in page
    assert "### Coverage" in page
