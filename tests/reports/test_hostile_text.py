"""Text of others in every format and on every page that is printed: wherever a text can stand one of these does, and none does anything."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass, replace
from datetime import timedelta
from enum import Enum
from functools import partial
from html.parser import HTMLParser
from typing import Any, TypeVar
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from rich.console import Console

from harness.core.plan import Selection, plan
from harness.core.record import remembered
from harness.errors import Problem
from harness.logic.explain import explain
from harness.model.changes import Trend
from harness.model.health import Finding, Health
from harness.model.hunt import Analytic, Finds
from harness.model.intent import EnterPSSession, Expectation, Rule, Scenario, Severity, Step
from harness.model.replay import LeftOut, Nearest, Replay, RuleHits, RuleName, Sample
from harness.model.report import HostTelemetry, Report
from harness.model.translation import Sheet, Translation, Trap
from harness.reports.annotations import CiSystem, annotated
from harness.reports.attire import dump_attire
from harness.reports.console import make_console
from harness.reports.doctor import findings_json, print_finding
from harness.reports.gitlab import dump_gitlab
from harness.reports.history import changes_document, print_changes, print_runs, print_trends, trends_document
from harness.reports.html import dump_html
from harness.reports.hunt import hunt_json, print_finds
from harness.reports.json import dump_report
from harness.reports.junit import dump_junit
from harness.reports.look import where_to_look
from harness.reports.markdown import dump_markdown
from harness.reports.navigator import dump_navigator, dump_navigator_diff
from harness.reports.plan import print_plan
from harness.reports.replay import print_replay
from harness.reports.rules import explain_json, list_json, print_list, print_page, print_rule, show_json
from harness.reports.sarif import dump_sarif
from harness.reports.strategy import print_strategy, strategy_json
from harness.reports.terminal import TerminalReporter
from harness.reports.translation import print_sheet, sheet_json, sheet_page
from tests.builders import SECURITY, T0, rule, target
from tests.reports import sample_reports as sample
from tests.reports.formats import ATTIRE, GITLAB, NAVIGATOR, SARIF, Schema, junit_faults
from tests.reports.test_annotations import LINES
from tests.reports.test_machine_formats import faults
from tests.reports.test_strategy_report import PAGE

T = TypeVar("T")

HOSTILE: Mapping[str, str] = {
    "terminal": "\x1b[2J\x1b]0;owned\x07\x9b31m\x08\x7f",
    "line ends": "a\r\nINJECTED\n\x0b\x0c\x85\u2028\u2029b",
    "direction": "\u202egpj.exe\u2066\u200f\u061c\ufeff\u200b",
    "invalid": "\x00\ud800\udfff\ufffe\uffff\U000e0041",
    "markup": "<script>alert(1)</script></style></title>]]>--><!--<img src=x onerror=alert(1)>&lt;\" onload='x'",
    "templates": "{{7*7}} {% x %} ${x} [bold red]x[/] [/not closed :boom: %s {0}",
    "markdown": "``` ~~~ | a | b |\n# head\n[x](http://evil.example) ![x](http://evil.example/p.png) @all #1 <b>x</b> http://evil.example",
    "github": "\n::error file=a::owned\n::set-output name=x::y\n  ::add-mask::z\n::stop-commands::t\n::EndGroup::",
    "azure": "\n##vso[task.setvariable variable=x]y\n##[error]x\n##teamcity[buildStop]",
    "formula": "=cmd|'/c calc'!A1\t+1+1\t-1\t@SUM(1)",
    "long": "x" * 300_000,
    "long line ends": "y\n" * 20_000,
    "empty": "",
}
BARE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff\ufffe\uffff\ud800-\udfff]|\U000e0041")
COMMAND = re.compile(r"##(?:vso|teamcity)?\[|^\s*::(?:error|set-output|add-mask|stop-commands|endgroup)\b", re.MULTILINE | re.IGNORECASE)
# These are one of few words wherever they are read.
_CHECKED_BEFORE = {"technique", "techniques", "run_id"}

every_text = pytest.mark.parametrize("text", HOSTILE.values(), ids=list(HOSTILE))


def poisoned(value: T, text: str) -> T:
    """The same with this text wherever any stands."""
    return _poisoned(value, text)  # type: ignore[no-any-return]


def _poisoned(value: Any, text: str) -> Any:
    if isinstance(value, Enum):
        return value
    if isinstance(value, str):
        return text
    if isinstance(value, tuple | list):
        return type(value)(_poisoned(item, text) for item in value)
    if isinstance(value, dict):
        return {key if isinstance(key, Enum) else text: _poisoned(item, text) for key, item in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        given = {field.name: getattr(value, field.name) for field in fields(value) if field.init and field.name not in _CHECKED_BEFORE}
        return replace(value, **{name: _poisoned(item, text) for name, item in given.items()})
    return value


# --- reports of a run -----------------------------------------------------------------------------------------------------


def terminal(report: Report) -> str:
    out = io.StringIO()
    with TerminalReporter(make_console(out, {"COLUMNS": "100"}), make_console(out, {"COLUMNS": "100"})) as reporter:
        for item in sample.progress_of(report):
            reporter.see(item)
    return out.getvalue()


def looked(report: Report) -> str:
    return "\n".join(f"{name}: {line}" for verdict in report.verdicts for name, line in where_to_look(verdict, report.rules[0]))


FORMATS: Mapping[str, Callable[[Report], str]] = {
    "terminal": terminal,
    "look": looked,
    "json": dump_report,
    "junit": dump_junit,
    "markdown": dump_markdown,
    "navigator": dump_navigator,
    "navigator-diff": partial(dump_navigator_diff, baseline=sample.clean()),
    "sarif": dump_sarif,
    "gitlab": dump_gitlab,
    "attire": dump_attire,
    "html": dump_html,
}
SCHEMAS: Mapping[str, Schema] = {"navigator": NAVIGATOR, "navigator-diff": NAVIGATOR, "sarif": SARIF, "gitlab": GITLAB, "attire": ATTIRE}
# Exact or whole by what they are for, and bounded by what a run keeps.
WHOLE = {"json", "attire"}


def hostile_report(text: str) -> Report:
    """Every text of a report that an engine did not make itself."""
    base = sample.hostile(text)
    spoilt = poisoned(replace(base, verdicts=(), comparison=None, trends=None), text)
    return replace(
        base,
        environment=replace(spoilt.environment, harness=base.environment.harness, clock_offsets=base.environment.clock_offsets),
        telemetry=(HostTelemetry(host=text, agents=(text,), kinds={text: 1}, lag_p50=timedelta(), lag_p95=timedelta()),),
        unexpected=spoilt.unexpected,
        unattributed=spoilt.unattributed,
        cleanups=spoilt.cleanups,
        steps=spoilt.steps,
        verdicts=tuple(replace(item, sightings=poisoned(item.sightings, text), scenario=text, target=text) for item in base.verdicts),
    )


@every_text
@pytest.mark.parametrize("name", FORMATS)
def test_a_report_of_a_run_is_inert(name: str, text: str) -> None:
    made = FORMATS[name](hostile_report(text))
    assert not BARE.search(made)
    if name in ("terminal", "markdown", "look"):
        assert not COMMAND.search(made)
    if name not in WHOLE:
        assert len(made) < 600_000
    if name in SCHEMAS:
        assert faults(made, SCHEMAS[name]) == []


@given(text=st.text(max_size=40))
@settings(max_examples=8, deadline=None)
def test_any_text_leaves_every_format_whole(text: str) -> None:
    report = hostile_report(text)
    assert junit_faults(ElementTree.fromstring(dump_junit(report))) == []
    for name, schema in SCHEMAS.items():
        assert faults(FORMATS[name](report), schema) == []
    json.loads(dump_report(report))
    for name in ("terminal", "look", "markdown", "html"):
        assert not BARE.search(FORMATS[name](report))


@every_text
def test_the_page_has_no_element_more(text: str) -> None:
    assert elements(dump_html(hostile_report(text))) <= {*elements(dump_html(sample.held())), "ol", "h3"}
    assert dump_html(hostile_report(text)).count("<script") == 1


def elements(text: str) -> set[str]:
    found: set[str] = set()

    class Tags(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            found.add(tag)
            assert not any(name.startswith("on") or name in ("src", "style") for name, _ in attrs)

    Tags().feed(text)
    return found


@every_text
def test_markdown_has_no_link_picture_or_html_of_others(text: str) -> None:
    tokens = MarkdownIt("commonmark", {"html": True, "linkify": False}).enable("table").parse(dump_markdown(hostile_report(text)))
    kinds = {child.type for token in tokens for child in (token, *(token.children or ()))}
    assert not kinds & {"link_open", "image", "html_inline"}
    blocks = {token.content.strip() for token in tokens if token.type == "html_block"}
    assert blocks <= {"<details><summary>Ladder</summary>", "</details>"}


@every_text
@pytest.mark.parametrize("system", CiSystem, ids=str)
def test_annotations_are_as_many_lines_whatever_they_quote(system: CiSystem, text: str) -> None:
    made = annotated(sample.hostile(text), system)
    assert not BARE.search(made)
    assert all(LINES[system].fullmatch(line) for line in made.splitlines())


# --- what is printed ------------------------------------------------------------------------------------------------------


def own_rule() -> Rule:
    return replace(rule("r-1", SECURITY, 4688), title="t", definition="title: t", source="r.yml")


def printed(show: Callable[[Console], None], columns: int = 100) -> str:
    out = io.StringIO()
    show(make_console(out, {"COLUMNS": str(columns)}))
    return out.getvalue()


def a_sample(text: str) -> Sample:
    return Sample(id=text, time=T0, host=text, channel=text, event_id=1, text=text)


def a_replay(text: str) -> Replay:
    name = RuleName(id=text, title=text, source=text, severity=Severity.HIGH, techniques=("T1021",))
    left = LeftOut(path=text, line=1, column=1, what=text, fix=text)
    hits = RuleHits(rule=name, count=1, first=T0, last=T0, hosts={text: 1}, evidence=((a_sample(text),),))
    why = (
        Nearest(rule=name, event=a_sample(text), clauses=(text,), note=text, reached=(a_sample(text),)),
        Nearest(rule=name, event=None, clauses=(), note=text),
    )
    return Replay(
        recordings=(text,),
        events=1,
        normalisations=(text,),
        hits=(hits,),
        quiet=(name,),
        not_evaluated=(left,),
        broken_count=3,
        broken=(left,),
        why=why,
    )


def a_sheet(text: str) -> Sheet:
    trap = Trap(name=text, what=text, remedy=text, mended=False)
    said = Translation(target="es-qs", title="Query", fence="", text=text or "x", notes=(text,), traps=(trap,))
    return Sheet(rule=poisoned(own_rule(), text), translations=(said, replace(said, text="", refused=text or "x")))


def finds(text: str) -> Finds:
    return Finds(
        analytic=Analytic(name=text, description=text, sql=text, book=text, line=1), columns=(text, text), rows=((text, 1),), absent=(text,)
    )


def show_plan(text: str, console: Console) -> None:
    expect = (Expectation(rule="r-1", known_gap=text or None),)
    scenario = Scenario(id="s", title=text, source=text, steps=(Step(name=text, action=EnterPSSession(lines=(text,)), expect=expect),))
    rules = {"r-1": replace(own_rule(), title=text)}
    print_plan(plan([scenario], [target()], rules, Selection(), driver_is_windows=False), rules, console)


def show_changes(text: str, console: Console) -> None:
    before, after = remembered(sample.clean()), remembered(sample.hostile(text))
    comparison = sample.hostile(text).comparison
    assert comparison is not None
    print_changes(poisoned(before, text), poisoned(after, text), poisoned(comparison.changes, text), console)


def show_trends(text: str, console: Console) -> None:
    trends = sample.held().trends
    assert trends is not None
    print_trends(replace(trends, lines=tuple(poisoned(line, text) for line in trends.lines)), console)


PRINTED: Mapping[str, Callable[[str, Console], None]] = {
    "history diff": show_changes,
    "history trend": show_trends,
    "history list": lambda text, console: print_runs([], console) if not text else print_runs([past(text)], console),
    "rules list": lambda text, console: print_list(text, [poisoned(own_rule(), text)], [problem(text)], console),
    "rules list, narrow": lambda text, console: print_list(text, [poisoned(own_rule(), text)], [problem(text)], narrow(console)),
    "rules show": lambda text, console: print_rule(poisoned(own_rule(), text), console),
    "rules explain": lambda text, console: print_page(explain(poisoned(own_rule(), text), [], text), (), {"status": text}, console),
    "rules translate": lambda text, console: print_sheet(a_sheet(text), console),
    "hunt": lambda text, console: print_finds(finds(text), console),
    "replay": lambda text, console: print_replay(a_replay(text), console),
    "doctor": lambda text, console: print_finding(Finding(about=text, health=Health.BROKEN, what=text, fix=text), console),
    "plan": show_plan,
    "strategy": lambda text, console: print_strategy(poisoned_page(text), console),
}


def problem(text: str) -> Problem:
    return Problem(path=text, line=1, what=text, fix=text)


def narrow(console: Console) -> Console:
    console.width = 40
    return console


def past(text: str) -> Any:
    from harness.model.report import PastRun

    return PastRun(
        run_id=text, started_at=T0, finished_at=T0 + timedelta(seconds=1), exit_code=0, expectations=1, targets=text, siem=text, green=True
    )


def poisoned_page(text: str) -> Any:
    strategy = PAGE.strategy
    spoilt = replace(
        strategy,
        title=text,
        goal=text,
        abstract=text,
        technical_context=text,
        assumptions=(text,),
        false_positives=(text,),
        response=(text,),
        references=(text,),
        source=text,
    )
    return replace(PAGE, strategy=spoilt, rule=replace(own_rule(), title=text, definition=text), problems=(problem(text),))


@every_text
@pytest.mark.parametrize("name", PRINTED)
def test_what_is_printed_is_inert(name: str, text: str) -> None:
    made = printed(partial(PRINTED[name], text))
    assert not BARE.search(made)
    assert not COMMAND.search(made)


@given(text=st.text(max_size=40), columns=st.integers(20, 160))
@settings(max_examples=25, deadline=None)
def test_any_text_is_printed_at_any_width(text: str, columns: int) -> None:
    for show in PRINTED.values():
        assert not BARE.search(printed(partial(show, text), columns))


def documents(text: str) -> Mapping[str, object]:
    trends, comparison = sample.held().trends, sample.hostile(text).comparison
    assert trends is not None
    assert comparison is not None
    run, own = remembered(sample.hostile(text)), poisoned(own_rule(), text)
    return {
        "history diff": changes_document(run, run, poisoned(comparison.changes, text)),
        "history trend": trends_document(replace(trends, lines=tuple(poisoned(line, text) for line in trends.lines))),
        "rules list": list_json(text, [own], [problem(text)]),
        "rules show": show_json(own, {"status": text}),
        "rules explain": explain_json(explain(own, [], text), (), {"status": text}),
        "rules translate": sheet_json(a_sheet(text)),
        "hunt": hunt_json([text], 1, [finds(text)], 0, []),
        "doctor": findings_json([Finding(about=text, health=Health.BROKEN, what=text, fix=text)]),
        "strategy": strategy_json(poisoned_page(text)),
    }


@every_text
def test_documents_of_other_commands_are_json_in_plain_characters(text: str) -> None:
    for name, document in documents(text).items():
        made = json.dumps(document, indent=2)
        assert not BARE.search(made), name
        json.loads(made)


@every_text
def test_the_page_of_translations_has_no_link_picture_or_html_of_others(text: str) -> None:
    made = sheet_page(a_sheet(text), {"status": text}, ())
    assert not BARE.search(made)
    tokens = MarkdownIt("commonmark", {"html": True}).enable("table").parse(made)
    kinds = {child.type for token in tokens for child in (token, *(token.children or ()))}
    assert not kinds & {"image", "html_block", "html_inline"}
    links = [child.attrs["href"] for token in tokens for child in (token.children or ()) if child.type == "link_open"]
    assert all("evil" not in str(link) for link in links)


def test_poison_reaches_every_text() -> None:
    trend = Trend(planned="p", rule="r", fires=True, outcomes=(), took=())
    assert poisoned(trend, "x") == replace(trend, planned="x", rule="x")
