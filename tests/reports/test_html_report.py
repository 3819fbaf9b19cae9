"""The report as a page: whole in itself, well formed, small, with links that lead somewhere, and no text able to do anything."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.model.changes import Trend, Trends
from harness.model.report import Report
from harness.model.verdicts import Outcome, Verdict
from harness.reports.html import dump_html
from harness.reports.html.chart import ticks
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


def test_the_head_says_how_much_holds_and_what_needs_a_look() -> None:
    glance = page_of(sample.gap()).glance
    figures = {name: (value, note) for name, value, note in glance.figures}
    assert figures["Gaps"] == ("4", "")
    assert figures["Expectations met"] == ("8 of 14", "2 known gaps")
    assert figures["Rules validated"] == ("0 of 3", "3 untested")
    assert [need.word for need in glance.needs] == ["MISSED", "NOISY", "LATE"]
    assert glance.needs[0].where == "call-cmdlet/1@ws5, call-cmdlet/1@ws6"
    assert sum(part.width for part in glance.bar) == pytest.approx(100, abs=0.1)
    assert (page_of(empty()).glance.figures, page_of(empty()).glance.bar, page_of(empty()).glance.needs) == ((("Gaps", "0", ""),), (), ())


def test_what_does_not_count_stands_behind_what_does() -> None:
    page = page_of(sample.held())
    assert [need.word for need in page.glance.needs] == ["MISSED", "NOISY", "LATE"]
    assert "quarantined until" in page.glance.needs[-1].note
    marks = {
        verdict.outcome: verdict.marks for step in page.steps for verdict in step.verdicts if verdict.outcome in ("MISSED", "NOISY", "LATE")
    }
    assert marks == {"MISSED": ("new",), "NOISY": ("known",), "LATE": ("quarantined",)}
    assert any(verdict.marks == ("flaky",) for step in page.steps for verdict in step.verdicts)


def nights(runs: int, expectations: int) -> Trends:
    outcomes = (Outcome.DETECTED, Outcome.DETECTED, Outcome.MISSED, None)
    lines = []
    for number in range(expectations):
        found = tuple(outcomes[(place * number) % len(outcomes)] for place in range(runs))
        took = tuple(timedelta(seconds=1 + place) if outcome is Outcome.DETECTED else None for place, outcome in enumerate(found))
        lines.append(Trend(planned=f"s-{number}/1@ws5", rule=sample.NETWORK, fires=True, outcomes=found, took=took))
    ended = tuple(sample.START + timedelta(days=place) for place in range(runs))
    return Trends(runs=tuple(f"run-{place}" for place in range(runs)), ended=ended, lines=tuple(lines))


def test_the_nights_are_columns_that_fill_and_never_leave_the_picture() -> None:
    shown = page_of(replace(sample.gap(), trends=nights(7, 9))).nights
    assert shown is not None
    for block in shown.blocks:
        assert -0.1 <= block.top <= block.top + block.height <= 100.1
        assert block.at + block.width <= 100
    assert sum(block.height for block in shown.blocks if block.at == 0) == pytest.approx(100, abs=0.1)
    assert [stop.said for stop in shown.stops][:2] == ["run-0: median 1.00 s", "run-1: median 2.00 s"]
    assert min(stop.top for stop in shown.stops) == 10


def test_only_what_moved_or_fails_is_listed_at_once() -> None:
    shown = page_of(replace(sample.gap(), trends=nights(8, 5))).nights
    assert shown is not None
    assert [row.name.rpartition(" at ")[2] for row in shown.steady] == ["s-0/1@ws5", "s-4/1@ws5"]
    assert [mark.said for mark in shown.steady[0].marks] == ["8 x DETECTED"]
    assert len(shown.moving) == 3
    assert page_of(sample.gap()).nights is None


def test_sixty_nights_of_five_hundred_expectations_fit_too() -> None:
    assert len(dump_html(replace(many(500), trends=nights(60, 500))).encode()) < 2_000_000


@given(st.timedeltas(min_value=timedelta(microseconds=1), max_value=timedelta(days=40)))
def test_an_axis_has_a_few_round_times_in_order(length: timedelta) -> None:
    made = ticks(length)
    assert 1 <= len(made) <= 7
    places = [tick.at for tick in made]
    assert places == sorted(set(places))
    assert places[0] == 0
    assert places[-1] <= 100
    assert len({tick.said for tick in made}) == len(made)


def test_the_way_by_a_jump_host_is_told() -> None:
    base = sample.gap()
    first = base.verdicts[0].detonation
    assert first is not None
    moved = replace(first, planned=replace(first.planned, target=replace(first.planned.target, via=sample.WS6)))
    verdicts = tuple(replace(item, detonation=moved) if item.detonation == first else item for item in base.verdicts)
    assert any("by way of ws6" in step.facts for step in page_of(replace(base, verdicts=verdicts)).steps)
