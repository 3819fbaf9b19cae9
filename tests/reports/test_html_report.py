"""The report as a page: whole in itself, well formed, small, with links that lead somewhere, and no text able to do anything."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.model.report import Report
from harness.model.verdicts import Verdict
from harness.reports.html import dump_html
from harness.reports.html.view import page_of
from tests.reports import sample_reports as sample

VOID = {"meta", "input", "line", "rect", "circle"}
HOSTILE = "\x1b[2J <script>alert(1)</script> \u202ereversed \ud800 \" onload='x' ]]> --> {{7*7}} {% x %} </style> =1+1 &lt; |"


class Parsed(HTMLParser):
    """A page's elements, with the faults of their nesting."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.faults: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if len(dict(attrs)) != len(attrs):
            self.faults.append(f"{tag} has an attribute twice")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID and (not self.open or self.open.pop() != tag):
            self.faults.append(f"</{tag}> closes nothing")

    def handle_data(self, data: str) -> None:
        if self.open:
            self.texts.setdefault(self.open[-1], []).append(data)

    def values(self, attribute: str) -> list[str]:
        return [value for _, attributes in self.elements if (value := attributes.get(attribute)) is not None]


def empty() -> Report:
    return sample.report([], (), 5, rules=())


def many(expectations: int) -> Report:
    """The sample with a gap, over and over in scenarios of other names."""
    base = sample.gap()
    verdicts: list[Verdict] = []
    while len(verdicts) < expectations:
        for item in base.verdicts:
            name = f"set-{len(verdicts) // len(base.verdicts)}-{item.planned}"
            scenario = name.partition("/")[0]
            of = item.detonation
            moved = replace(of, planned=replace(of.planned, id=name, scenario=scenario)) if of is not None else None
            verdicts.append(replace(item, planned=name, scenario=scenario, detonation=moved))
    return replace(base, verdicts=tuple(verdicts[:expectations]))


@pytest.mark.parametrize("make", [sample.clean, sample.gap, sample.outage, empty, lambda: sample.hostile(HOSTILE)])
def test_the_page_is_well_formed_and_its_links_lead_somewhere(make: Callable[[], Report]) -> None:
    page = Parsed(dump_html(make()))
    assert (page.faults, page.open) == ([], [])
    ids = page.values("id")
    assert len(set(ids)) == len(ids)
    inside = [link[1:] for link in page.values("href") if "=" not in link]
    assert set(inside) <= set(ids)
    assert set(page.values("aria-labelledby")) <= set(ids)


def test_nothing_is_fetched_and_nothing_else_runs() -> None:
    text = dump_html(sample.gap())
    page = Parsed(text)
    assert all(link.startswith("#") for link in page.values("href"))
    assert page.values("src") == page.values("style") == []
    assert "@import" not in text
    assert "url(" not in text
    (policy,) = [value for value in page.values("content") if "default-src" in value]
    assert policy.startswith("default-src 'none';")
    for tag, directive in (("style", "style-src"), ("script", "script-src")):
        (part,) = page.texts[tag]
        assert f"{directive} 'sha256-{b64encode(sha256(part.encode()).digest()).decode()}'" in policy


@given(st.text())
@settings(max_examples=25, deadline=None)
def test_no_text_adds_an_element_or_an_attribute(text: str) -> None:
    plain, page = (Parsed(dump_html(sample.hostile(foreign))) for foreign in ("x", text or "x"))
    shape = [(tag, sorted(attributes)) for tag, attributes in page.elements]
    # Two targets of one name are one to choose from, whatever the name; else every element is there as it is for a plain text.
    assert shape == [(tag, sorted(attributes)) for tag, attributes in plain.elements]


def test_hostile_text_is_shown_and_does_nothing() -> None:
    text = dump_html(sample.hostile(HOSTILE))
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]", text)
    page = Parsed(text)
    assert len(page.texts["script"]) == len(page.texts["style"]) == 1
    assert any(r"\x1b[2J <script>alert(1)</script> \u202ereversed" in part and "{{7*7}}" in part for part in page.texts["p"])


def test_five_hundred_expectations_fit_in_two_megabytes() -> None:
    assert len(dump_html(many(500)).encode()) < 2_000_000


def test_a_long_line_is_cut() -> None:
    assert len(dump_html(sample.hostile("x" * 1_000_000))) < 400_000


def test_what_failed_stands_first_and_open() -> None:
    page = page_of(sample.gap())
    tones = [step.verdicts[0].tone for step in page.steps]
    assert tones == ["bad", "bad", "bad", "warn", "info", "info"]
    assert [verdict.outcome for step in page.steps for verdict in step.verdicts if verdict.open] == ["MISSED", "MISSED", "NOISY", "LATE"]
    assert not any(verdict.open for step in page_of(many(500)).steps for verdict in step.verdicts)


def test_the_matrix_counts_what_was_met_and_leads_to_the_gravest() -> None:
    page = page_of(sample.gap())
    row = next(row for row in page.matrix if row.rule == "13acf386")
    cells = dict(zip(page.scenarios, row.cells, strict=True))
    met, missed = cells["interactive-native-child"], cells["call-cmdlet"]
    assert met is not None
    assert missed is not None
    assert (met.mark, met.count, met.said) == ("✓", "2/2", "2 DETECTED")
    assert (missed.mark, missed.count, missed.said) == ("✗", "0/2", "2 MISSED")
    assert cells["null-action"] is None
    assert missed.key == next(verdict.key for step in page.steps for verdict in step.verdicts if verdict.outcome == "MISSED")


def test_a_verdict_has_the_same_link_in_the_next_run() -> None:
    first, second = (page_of(replace(sample.gap(), run_id=run)) for run in ("a", "b"))
    assert [verdict.key for step in first.steps for verdict in step.verdicts] == [
        verdict.key for step in second.steps for verdict in step.verdicts
    ]


def test_the_timeline_says_what_happened_when() -> None:
    late = next(step for step in page_of(sample.gap()).steps if step.planned == "null-action/1@ws6")
    assert late.chart is not None
    lanes = {lane.name: [point.said for point in lane.points] for lane in late.chart.lanes}
    assert lanes == {
        "sent, executed": ["sent, executed after 0.12 s"],
        "events logged": ["3.00 s"],
        "searchable": ["0.30 s"],
        "rule matches": ["0.40 s"],
        "rule ran, no alert": [],
        "alert": ["3.50 s"],
    }
    assert late.chart.lanes[-1].points[0].at == 100.0
    assert "alert: 3.50 s" in late.chart.said


def test_times_to_detect_are_told_in_numbers_too() -> None:
    rows = {row[0][:8]: row[1:] for row in page_of(sample.gap()).time_rows}
    assert rows["734f8d9b"] == ("3", "0.73 s", "0.73 s", "3.50 s")
