"""The terminal report as people get it: what it says, in what order, how narrow it may be, and that nothing in it is obeyed."""

from __future__ import annotations

import io
import os
import pty
import re
import sys
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TextIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.model.report import Judged, Report, RunFinished, StepFinished
from harness.reports.console import make_console
from harness.reports.terminal import TerminalReporter
from harness.reports.words import inert
from tests.reports import sample_reports as sample

CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f]")


def rendered(report: Report, columns: int = 100, environ: Mapping[str, str] | None = None) -> tuple[str, str]:
    """The report and the progress of a run, piped."""
    out, progress = io.StringIO(), io.StringIO()
    given_environ = {"COLUMNS": str(columns), **(environ or {})}
    with TerminalReporter(make_console(out, given_environ), make_console(progress, given_environ)) as reporter:
        for item in sample.progress_of(report):
            reporter.see(item)
    return out.getvalue(), progress.getvalue()


class Terminal(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


def on_terminal(report: Report, environ: Mapping[str, str]) -> str:
    """Everything that a run writes to one terminal."""
    stream = Terminal()
    with TerminalReporter(make_console(stream, environ), make_console(stream, environ)) as reporter:
        for item in sample.progress_of(report):
            reporter.see(item)
    return stream.getvalue()


def words(text: str) -> str:
    """The text without its line breaks: for what may wrap."""
    return " ".join(text.split())


def test_coverage_tells_status_counts_and_times_of_each_rule() -> None:
    text, _ = rendered(sample.clean(), 140)
    rows = {line.split()[1]: line for line in text.splitlines() if line.startswith(("VALIDATED", "UNTESTED"))}
    assert re.search(
        r"VALIDATED +13acf386 Remote PowerShell Sessions Network Connections \(WinRM\) +3 detected +0\.63 s to 0\.64 s", rows["13acf386"]
    )
    assert re.search(r"VALIDATED +5cc2cda8 Suspicious Processes Spawned by WinRM +3 detected +1\.20 s", rows["5cc2cda8"])
    assert re.search(r"UNTESTED +96b9f619 .* 3 known gap$", rows["96b9f619"])


def test_a_rule_without_verdicts_says_why_in_its_row() -> None:
    report = sample.clean()
    untested = replace(report.coverage[0], outcomes={}, reason="no expectation names it")
    text, _ = rendered(replace(report, coverage=(untested,)), 140)
    assert "\n          no expectation names it\n" in text


def test_what_is_well_or_knowingly_open_is_compact() -> None:
    text = words(rendered(sample.clean())[0])
    assert "Quiet as wanted: 79df3f68 3x" in text
    assert f"Known gap: 96b9f619 Remote PowerShell Session (PS Module) 3x: {sample.GAP_REASON} the rule ran and did not match" in text
    assert "Not exercisable: c539afac Potential Remote PowerShell Session Initiated 3x: source side" in text
    assert "Raised by the transport alone: 2 alerts of 13acf386, 734f8d9b" in text
    assert "Cleanup failed" not in text


def test_failures_come_last_and_the_summary_after_them() -> None:
    text, _ = rendered(sample.gap())
    order = [
        "Run 7c1f02",
        "Status ",
        "Quiet as wanted",
        "Unexpected: 5cc2cda8",
        "Unattributed: 13acf386",
        "Cleanup failed: write-read-remove/1@ws6/cleanup: connection_lost",
        "MISSED 13acf386",
        "NOISY 5cc2cda8",
        "LATE 734f8d9b",
        "16 expectations: 6 detected, 1 late, 2 missed, 2 known gap, 2 not exercisable, 2 quiet, 1 noisy.",
    ]
    assert sorted(order, key=text.index) == order
    assert words(text).endswith("Exit 1: a gap in detection")


def test_a_failure_shows_its_ladder_with_times_cause_and_evidence() -> None:
    text, _ = rendered(sample.gap(), 140)
    block = text[text.index("\nMISSED 13acf386") : text.index("\nNOISY")]
    assert [line.strip() for line in block.strip().splitlines()] == [
        "MISSED 13acf386 Remote PowerShell Sessions Network Connections (WinRM)",
        "telemetry arrived and the rule ran without matching: DestPort is 5985, the rule wants 1234; proven by rule run run-91",
        "call-cmdlet/1@ws5  one remote call",
        "EXECUTED   passed  11:02:04.240 (+0.12 s)  4 of 4",
        "TELEMETRY  passed  11:02:04.570 (+0.45 s)  4 of 4",
        "QUERY      FAILED  nearest event 5156 (record 88121): DestPort is 5985, the rule wants 1234",
        "ALERT      -",
        "and the same at 1 more step: call-cmdlet/1@ws6",
    ]


def test_the_run_that_proves_a_miss_is_named_where_the_cause_does_not() -> None:
    report = sample.gap()
    report = replace(report, verdicts=tuple(replace(item, cause="it did not fire") for item in report.verdicts))
    assert "proven by rule run run-91" in rendered(report)[0]


def test_one_dead_host_is_one_block() -> None:
    text, _ = rendered(sample.outage())
    assert text.count("INCONCLUSIVE (not executed)") == 1
    assert "INCONCLUSIVE (not executed) 13acf386, 734f8d9b, 5cc2cda8\n" in text
    assert "and the same at 4 more steps: interactive-native-child/2@ws6" in words(text)
    assert words(text).endswith("15 inconclusive. Exit 3: inconclusive: something could not be judged")


def test_much_evidence_is_cut() -> None:
    report = sample.gap()
    many = tuple(f"event {number}" for number in range(9))
    verdicts = tuple(replace(item, gates=tuple(replace(gate, evidence=many) for gate in item.gates)) for item in report.verdicts)
    text, _ = rendered(replace(report, verdicts=verdicts))
    assert "event 3\n" in text
    assert "event 4" not in text
    assert "and 5 more" in text


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (0, "no gap"),
        (1, "a gap in detection"),
        (3, "inconclusive"),
        (5, "nothing to do"),
        (130, "interrupted; cleanup was run"),
        (77, "Exit 77"),
    ],
)
def test_the_last_line_says_what_the_exit_code_means(code: int, said: str) -> None:
    text, _ = rendered(replace(sample.clean(), exit_code=code), 200)
    assert said in text.splitlines()[-1]


def test_an_empty_report_is_still_one() -> None:
    text, _ = rendered(replace(sample.clean(), verdicts=(), coverage=(), unexpected=(), cleanups=(), exit_code=5))
    assert words(text).endswith("0 expectations: none judged. Exit 5: nothing to do")


@pytest.mark.parametrize("make", [sample.clean, sample.gap, sample.outage])
@pytest.mark.parametrize("columns", [40, 60, 79, 80, 200])
def test_no_line_is_wider_than_the_terminal_and_no_word_of_a_cause_is_lost(make: Callable[[], Report], columns: int) -> None:
    report = make()
    text, _ = rendered(report, columns)
    assert max(len(line) for line in text.splitlines()) <= columns
    assert not any(line != line.rstrip() for line in text.splitlines())
    for verdict in report.verdicts:
        if verdict.outcome.value in ("MISSED", "NOISY", "LATE", "INCONCLUSIVE"):
            assert verdict.cause.replace(" ", "") in "".join(text.split())


# --- progress -------------------------------------------------------------------------------------------------------------


def test_piped_progress_is_a_line_for_every_step_and_verdict() -> None:
    report = sample.gap()
    text, progress = rendered(report, 200)
    lines = progress.splitlines()
    assert lines[0] == "SIEM embedded: 1 rule, rule schedule running, ingest lag 0.30 s"
    assert sum(line.startswith("step ") for line in lines) == 6
    assert "step call-cmdlet/1@ws5 ran in 0.12 s, exit code 0" in lines
    assert "SIEM: the store is locked (asking again)" in lines
    assert "DETECTED 13acf386 interactive-native-child/1@ws5 after 0.63 s (15 open)" in lines
    assert sum(any(line.startswith(outcome.value) for outcome in {v.outcome for v in report.verdicts}) for line in lines) == len(
        report.verdicts
    )
    assert not CONTROL.search(progress + text)


def test_a_step_that_failed_says_why() -> None:
    _, progress = rendered(sample.outage(), 200)
    assert (
        "step interactive-native-child/1@ws6 failed (connect) after 0.12 s: 127.0.0.1:40112 refused the connection" in progress.splitlines()
    )


@pytest.mark.parametrize("environ", [{"NO_COLOR": "1"}, {"CI": "true"}, {"CI": "1"}, {"TERM": "dumb"}])
def test_a_terminal_stays_plain_where_it_is_asked_to(environ: dict[str, str]) -> None:
    text = on_terminal(sample.gap(), {"COLUMNS": "100", "TERM": "xterm", **environ})
    assert not CONTROL.search(text)
    assert "DETECTED 13acf386 interactive-native-child/1@ws5" in text


def test_a_terminal_has_colours_that_mean_something_and_its_cursor_back() -> None:
    text = on_terminal(sample.gap(), {"COLUMNS": "100", "TERM": "xterm"})
    assert "\x1b[1;31mMISSED " in text
    assert "\x1b[1;33mPARTIAL" in text
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h") > 0
    assert text.rindex("\x1b[?25h") < text.index("Run 7c1f02")


def test_closing_in_mid_run_gives_the_cursor_back_and_may_be_repeated() -> None:
    stream = Terminal()
    environ = {"COLUMNS": "100", "TERM": "xterm"}
    reporter = TerminalReporter(make_console(stream, environ), make_console(stream, environ))
    for item in sample.progress_of(sample.clean())[:4]:
        reporter.see(item)
    assert stream.getvalue().count("\x1b[?25h") == 0
    reporter.close()
    reporter.close()
    assert stream.getvalue().count("\x1b[?25h") == 1


def test_on_a_terminal_what_is_over_scrolls_up() -> None:
    text = on_terminal(sample.gap(), {"COLUMNS": "100", "TERM": "xterm"})
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
    assert "MISSED 13acf386 call-cmdlet/1@ws5 (3 open)" in plain
    assert "DETECTED 13acf386 interactive" in plain
    assert "6 steps detonated, 16 judged, 0 open" in plain


# --- what is hostile ------------------------------------------------------------------------------------------------------

HOSTILE = "\x1b[2J\x1b]0;owned\x07[bold red]x[/] \x9b31m \u202etxt.exe \r\n\u2028 [/not closed \ud800 :boom: \u200b"


def test_hostile_text_is_inert_everywhere() -> None:
    for text in (*rendered(sample.hostile(HOSTILE)), on_terminal(sample.hostile(HOSTILE), {"NO_COLOR": "1", "COLUMNS": "100"})):
        assert not CONTROL.search(text)
        assert not any(character in text for character in "\u202e\u2028\u200b\ud800")
    flat = "".join(rendered(sample.hostile(HOSTILE))[0].split())
    assert r"\x1b[2J\x1b]0;owned\x07[boldred]x[/]\x9b31m\u202etxt.exe\r\n\u2028[/notclosed\ud800:boom:\u200b" in flat


def test_hostile_text_reaches_no_terminal_as_a_command() -> None:
    text = on_terminal(sample.hostile(HOSTILE), {"COLUMNS": "100", "TERM": "xterm"})
    assert "\x1b[2J" not in text
    assert "\x1b]0" not in text
    assert "\x9b" not in text


@given(st.text())
def test_inert_text_is_one_short_line_of_printable_characters(text: str) -> None:
    shown = inert(text)
    assert len(shown) < 10 * 400 + 10
    assert not any(unicodedata.category(character) in ("Cc", "Cf", "Cs", "Cn", "Co", "Zl", "Zp") for character in shown)
    assert not CONTROL.search(shown)


@given(st.text(alphabet=st.characters(categories=("L", "N", "P", "S", "Zs")), max_size=400))
def test_harmless_text_is_left_as_it_is(text: str) -> None:
    assert inert(text) == text


def test_long_text_is_cut() -> None:
    assert inert("x" * 5000) == "x" * 400 + "..."


@settings(max_examples=25, deadline=None)
@given(st.text(max_size=60), st.integers(30, 120))
def test_any_text_at_any_width_is_rendered(text: str, columns: int) -> None:
    shown, progress = rendered(sample.hostile(text), columns)
    assert not CONTROL.search(shown + progress)


def test_a_stream_of_another_encoding_gets_escapes() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii", write_through=True)
    report = sample.hostile("Zürich 東京")
    TerminalReporter(make_console(stream, {"COLUMNS": "100"}), make_console(io.StringIO(), {})).see(RunFinished(report=report))
    assert rb"Z\xfcrich \u6771\u4eac" in raw.getvalue()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals of this kind")
def test_a_real_terminal_is_known_as_one() -> None:
    leader, follower = pty.openpty()
    try:
        stream: TextIO
        with os.fdopen(follower, "w", encoding="utf-8") as stream:
            assert make_console(stream, {"TERM": "xterm"}).is_terminal
            assert not make_console(stream, {"TERM": "xterm", "NO_COLOR": "1"}).is_terminal
    finally:
        os.close(leader)


def test_progress_that_is_all_that_there_is_needs_no_report() -> None:
    progress = io.StringIO()
    reporter = TerminalReporter(make_console(io.StringIO(), {}), make_console(progress, {}))
    for item in sample.progress_of(sample.clean()):
        if isinstance(item, Judged | StepFinished):
            reporter.see(item)
    reporter.close()
    assert len(progress.getvalue().splitlines()) == 3 + 18
