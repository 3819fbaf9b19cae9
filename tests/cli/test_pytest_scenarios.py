"""Scenario files as tests of pytest: which there are, what is sent for them, and what their verdicts become."""

from __future__ import annotations

import re
import secrets
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from harness.model.report import Report
from harness.model.verdicts import Outcome
from tests.cli.commands import harness, heed_hangups
from tests.cli.sessions import CHILD, NETWORK, ON_LAB, ON_ONE, Suite, cases
from tests.cli.test_run_faults import wait_until
from tests.needs import ROOT

ENGINE = "60167e5c-84b2-4c95-a7ac-86281f27c445"
HOST = "734f8d9b-42b8-41b2-bcf5-abaf49d5a3c8"
RAW_LINE = "96b9f619-aa91-478f-bacb-c3e50f8df575"

EVERYTHING = f"""
    id: everything
    title: each outcome once
    technique: T1021.006
    tags: [nightly, skip, child-process]
    steps:
      - name: "quiet [a]::b"
        invoke_command: {{script: hostname.exe}}
        expect:
          - {{rule: {NETWORK}, severity: high}}
          - {{rule: {CHILD}, fires: false}}
          - {{rule: {HOST}, known_gap: not any more}}
          - {{rule: {RAW_LINE}, known_gap: a trailing blank}}
          - {{rule: {ENGINE}, fires: false}}
      - name: missed
        technique: T1082
        invoke_command: {{script: hostname.exe}}
        expect:
          - {{rule: {CHILD}}}
          - {{rule: {NETWORK}, severity: critical}}
      - name: same name
        enter_pssession: [Get-Service WinRM]
        expect:
          - {{rule: {CHILD}}}
      - name: same name
        enter_pssession: [nosuch.exe]
        expect:
          - {{rule: {NETWORK}}}
"""


def test_verdicts_in_pytests_own_words(suite: Suite) -> None:
    suite.scenario("x", EVERYTHING)
    found = suite.run(*ON_ONE, "--junitxml", "junit.xml", "-rA")
    assert found.ret == pytest.ExitCode.TESTS_FAILED
    found.assert_outcomes(passed=2, xfailed=1, xpassed=1, failed=3, skipped=1, errors=1)
    told = cases(suite.path / "junit.xml")
    assert {name: text.partition(" ")[0] for name, text in told.items()} == {
        f"x.scenario.yml.quiet (a):b::{NETWORK}@lab-ws1": "passed",
        f"x.scenario.yml.quiet (a):b::{CHILD}@lab-ws1": "passed",
        f"x.scenario.yml.quiet (a):b::{HOST}@lab-ws1": "passed",
        f"x.scenario.yml.quiet (a):b::{RAW_LINE}@lab-ws1": "skipped",
        f"x.scenario.yml.quiet (a):b::{ENGINE}@lab-ws1": "failure",
        f"x.scenario.yml.missed::{CHILD}@lab-ws1": "failure",
        f"x.scenario.yml.missed::{NETWORK}@lab-ws1": "failure",
        f"x.scenario.yml.same name #3::{CHILD}@lab-ws1": "skipped",
        f"x.scenario.yml.same name #4::{NETWORK}@lab-ws1": "error",
    }
    missed = told[f"x.scenario.yml.missed::{CHILD}@lab-ws1"]
    assert missed.startswith("failure Gap: MISSED 5cc2cda8 ")
    assert "wants it to end with" in missed  # the clause that killed it
    assert "TELEMETRY  passed" in missed
    assert "a cmdlet runs inside that host" in told[f"x.scenario.yml.same name #3::{CHILD}@lab-ws1"]
    assert "INCONCLUSIVE (not executed)" in told[f"x.scenario.yml.same name #4::{NETWORK}@lab-ws1"]
    found.stdout.fnmatch_lines(["*coverage of rules*", "PARTIAL*13acf386*", f"run {suite.report.run_id}: *", "XFAIL*a trailing blank"])


def test_an_unexpected_pass_fails_where_that_is_asked_for(suite: Suite) -> None:
    suite.scenario("x", EVERYTHING)
    found = suite.run(*ON_ONE, "-o", "xfail_strict=true", "-k", f"{HOST}")
    found.assert_outcomes(failed=1, deselected=8)
    found.stdout.fnmatch_lines(["*XPASS(strict)*not any more*"])


@pytest.mark.parametrize(("until", "became"), [("2099-12-31", "xfailed"), ("2020-01-31", "failed")])
def test_a_gap_under_quarantine_is_expected_until_its_day(suite: Suite, until: str, became: str) -> None:
    quarantine = f"{{until: {until}, reason: ticket 12}}"
    expect = f"[{{rule: {NETWORK}, fires: false, quarantine: {quarantine}}}]"
    suite.scenario("x", f"id: x\ntitle: x\nsteps:\n  - name: x\n    connect: {{}}\n    expect: {expect}")
    found = suite.run(*ON_ONE, "-rx")
    assert found.parseoutcomes() == {became: 1}
    if became == "xfailed":
        found.stdout.fnmatch_lines([f"XFAIL *quarantined until {until}: ticket 12"])


def test_a_scenario_by_way_of_a_jump_host_is_no_test_on_that_host(suite: Suite) -> None:
    step = f"{{name: x, invoke_command: {{script: Get-Date}}, expect: [{{rule: {NETWORK}}}]}}"
    suite.scenario("x", f"id: x\ntitle: x\nvia: lab-ws1\nsteps:\n  - {step}")
    assert suite.listed(*ON_LAB) == [f"x.scenario.yml::x::{NETWORK}@lab-ws2"]
    assert suite.listed(*ON_ONE) == [f"x.scenario.yml::x::{NETWORK}@lab-ws1"]
    suite.run(*ON_LAB).assert_outcomes(passed=1)
    suite.run(*ON_ONE).assert_outcomes(skipped=1)


def test_the_same_verdicts_as_the_command_line(suite: Suite) -> None:
    starters = [
        str(ROOT / "scenarios" / f"{name}.scenario.yml") for name in ("interactive_native_child", "benign_twin_hostname", "null_action")
    ]
    found = suite.run(*ON_LAB, *starters)
    assert found.ret == 0
    command = harness("run", "--lab", *starters, cwd=suite.path, env=suite.lab.env)

    def verdicts(report: Report) -> dict[tuple[str, str], Outcome]:
        return {(verdict.planned, verdict.expectation.rule): verdict.outcome for verdict in report.verdicts}

    assert verdicts(suite.report) == verdicts(command.full)
    assert suite.report.exit_code == command.code == 0


def test_which_tests_are_selected(suite: Suite) -> None:
    path = suite.scenario("x", EVERYTHING)
    suite.pytester.makeini("[pytest]\nharness_lab = true\naddopts = --strict-markers\n")
    every = suite.listed()
    assert len(every) == 18
    assert every[0] == f"x.scenario.yml::quiet (a):b::{NETWORK}@lab-ws1"

    def rules(*arguments: str) -> set[str]:
        return {name.rpartition("::")[2] for name in suite.listed("--harness-target", "lab-ws2", *arguments)}

    assert rules("-m", "nightly and T1021 and T1021.006 and high") == {f"{NETWORK}@lab-ws2", f"{RAW_LINE}@lab-ws2", f"{CHILD}@lab-ws2"}
    assert len(suite.listed("-m", "T1082")) == 4
    assert rules("-m", "harness(fires=False)") == {f"{CHILD}@lab-ws2", f"{ENGINE}@lab-ws2"}
    assert rules("-k", "missed and 13acf386") == {f"{NETWORK}@lab-ws2"}
    assert suite.listed(f"{path}::missed") == [name for name in every if "::missed::" in name]
    assert suite.listed(f"{path}::same name #4::{NETWORK}@lab-ws2") == [f"x.scenario.yml::same name #4::{NETWORK}@lab-ws2"]
    assert suite.listed("-o", "harness_targets=lab-ws1") == [name for name in every if name.endswith("ws1")]


def chain(marker: str) -> str:
    """Three steps; the first has a cleanup, the second expects nothing."""
    return f"""
        id: {marker}
        title: three steps
        steps:
          - name: first
            invoke_command: {{script: Write-Output {marker}-1}}
            cleanup: {{invoke_command: {{script: Write-Output {marker}-cleanup}}}}
            expect: [{{rule: {NETWORK}, fires: false}}]
          - name: second
            invoke_command: {{script: Write-Output {marker}-2}}
          - name: third
            invoke_command: {{script: Write-Output {marker}-3}}
            expect: [{{rule: {NETWORK}}}, {{rule: {HOST}}}]
          - name: fourth
            invoke_command: {{script: Write-Output {marker}-4}}
            expect: [{{rule: {NETWORK}}}]
    """


@pytest.fixture
def marker() -> str:
    return f"m-{secrets.token_hex(6)}"


def counts(suite: Suite, marker: str) -> list[int]:
    return [suite.sent(f"Write-Output {marker}-{each}") for each in (1, 2, 3, 4, "cleanup")]


def test_what_is_selected_is_sent_with_what_it_stands_on_and_nothing_else(suite: Suite, marker: str) -> None:
    path = suite.scenario("x", chain(marker))
    found = suite.run(*ON_LAB, f"{path}::third::{NETWORK}@lab-ws2")
    found.assert_outcomes(passed=1)
    assert counts(suite, marker) == [1, 1, 1, 0, 1]
    assert [verdict.planned for verdict in suite.report.verdicts] == [f"{marker}/3@lab-ws2"]
    assert {sighting.alert.rule for sighting in suite.report.unexpected} <= {NETWORK}  # of the rest nothing was expected, nor not


def test_nothing_is_sent_to_list_tests(suite: Suite, marker: str) -> None:
    suite.scenario("x", chain(marker))
    assert len(suite.listed(*ON_LAB)) == 8
    assert counts(suite, marker) == [0, 0, 0, 0, 0]


def test_what_failed_last_is_run_again_and_no_rerun_in_a_session_sends_anything(suite: Suite, marker: str) -> None:
    suite.scenario("x", chain(marker))
    suite.run(*ON_ONE).assert_outcomes(passed=3, failed=1)
    assert counts(suite, marker) == [1, 1, 1, 1, 1]
    suite.pytester.makeconftest(
        """
        from _pytest.runner import runtestprotocol

        def pytest_runtest_protocol(item, nextitem):
            for _ in range(3):
                reports = runtestprotocol(item, nextitem=nextitem, log=False)
            for report in reports:
                item.ihook.pytest_runtest_logreport(report=report)
            return True
        """
    )
    suite.run(*ON_ONE, "--lf").assert_outcomes(failed=1, deselected=3)
    assert counts(suite, marker) == [2, 1, 1, 1, 2]


def test_the_first_failure_ends_the_run_and_cleans_up(suite: Suite, marker: str) -> None:
    text = chain(marker).replace(f"Write-Output {marker}-2", "Start-Sleep -Seconds 50")
    suite.scenario("x", text)
    found = suite.run(*ON_ONE, "-x")
    found.assert_outcomes(failed=1)
    assert counts(suite, marker) == [1, 0, 0, 0, 1]
    assert suite.report.interrupted


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_an_interrupt_cleans_up(suite: Suite, marker: str, number: str) -> None:
    suite.scenario("x", chain(marker).replace(f"Write-Output {marker}-2", f"Write-Output {marker}-under-way; Start-Sleep -Seconds 50"))
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", *ON_ONE],
        cwd=suite.path,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=heed_hangups,
    )
    wait_until(lambda: any(f"{marker}-under-way" in text for text in suite.lab.scripts()))
    process.send_signal(signal.Signals[number])
    out, _ = process.communicate(timeout=60)
    assert process.returncode == pytest.ExitCode.INTERRUPTED, out
    assert counts(suite, marker) == [1, 0, 0, 0, 1]


def test_where_nothing_says_where_it_is_left_out_and_said(suite: Suite) -> None:
    suite.scenario("x", EVERYTHING)
    (suite.path / "other.scenario.yml").write_text("this: is somebody else's\n")
    suite.pytester.makepyfile(
        """
        import sys

        def test_of_somebody_who_does_not_use_it():
            assert not {"pydantic", "rich", "harness.errors", "harness.model", "lab"} & set(sys.modules)
        """
    )
    suite.lab.settings(suite.path / "harness.toml")
    found = suite.run()
    assert found.ret == 0
    found.assert_outcomes(passed=1, skipped=2)
    found.stdout.fnmatch_lines(["not run*: other.scenario.yml, x.scenario.yml", "*--harness-lab*--harness-config FILE*harness_lab = true*"])
    assert suite.runs == 0
    assert suite.run("-p", "no:harness").ret == 0


def test_what_is_wrong_is_told_with_its_place(suite: Suite) -> None:
    suite.scenario("broken", "id: broken\ntitle: x\nsteps:\n  - name: x\n    conect: {}")
    suite.scenario("twin", "id: fine\ntitle: x\nsteps: [{name: x, connect: {}}]")
    suite.scenario("fine", f"id: fine\ntitle: x\nsteps:\n  - name: x\n    connect: {{}}\n    expect: [{{rule: {NETWORK}}}]")
    suite.scenario("unknown", "id: unknown\ntitle: x\nsteps:\n  - name: x\n    connect: {}\n    expect:\n      - rule: 13acf386")
    found = suite.run(*ON_ONE, "--continue-on-collection-errors")
    found.assert_outcomes(passed=1, errors=3)
    found.stdout.fnmatch_lines(
        [
            "broken.scenario.yml:5:5: unknown key 'conect' (did you mean connect?)",
            "twin.scenario.yml:1:1: id 'fine' is taken by fine.scenario.yml:1 (give each scenario its own id)",
            "*unknown.scenario.yml:7:9: steps[[]1[]].expect[[]1[]].rule is known neither*(write the id in full: 13acf386-*)",
        ]
    )
    assert suite.run("--harness-lab", "--harness-target", "lab-ws9").ret == pytest.ExitCode.USAGE_ERROR
    (suite.path / "harness.toml").write_text("[run]\npol_interval = '1s'\n")
    wrong = suite.run("--harness-lab")
    assert wrong.ret == pytest.ExitCode.USAGE_ERROR
    wrong.stderr.fnmatch_lines(["*harness.toml:2:1: unknown key 'pol_interval' (did you mean poll_interval?)"])


def test_real_targets_and_one_that_is_down(suite: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = suite.lab.settings(suite.path / "mine.toml", ports={"lab-ws2": 1})
    monkeypatch.setenv("LAB_PASSWORD", suite.lab.password)
    monkeypatch.setenv("HARNESS_RUN_CONNECT_TIMEOUT", "1s")
    suite.scenario("x", f"id: x\ntitle: x\nsteps:\n  - name: x\n    connect: {{}}\n    expect: [{{rule: {NETWORK}}}]")
    suite.pytester.makeini("[pytest]\nharness_lab = true\n")
    found = suite.run("--harness-config", str(settings))
    found.assert_outcomes(passed=1, errors=1)
    found.stdout.fnmatch_lines(["*INCONCLUSIVE (not executed) 13acf386*"])
    found.stdout.no_fnmatch_line(f"*{suite.lab.password}*")


def test_rules_of_the_command_line_and_of_the_settings(suite: Suite) -> None:
    rule = "7b1f6f0e-8d4e-4d4c-9a55-0c0c2f6a1d33"
    (suite.path / "rules").mkdir()
    (suite.path / "rules" / "mine.yml").write_text(
        f"title: mine\nid: {rule}\nstatus: experimental\nlogsource: {{category: process_creation, product: windows}}\n"
        "detection: {selection: {Image|endswith: '\\whoami.exe'}, condition: selection}\nlevel: low\n"
    )
    suite.scenario("x", f"id: x\ntitle: x\nsteps:\n  - name: x\n    invoke_command: {{script: whoami.exe}}\n    expect: [{{rule: {rule}}}]")
    suite.run(*ON_ONE, "--harness-rules", "rules", "-m", "experimental and low").assert_outcomes(passed=1)
    suite.pytester.makeini("[pytest]\nharness_rules = rules\n")
    suite.run(*ON_ONE).assert_outcomes(passed=1)
    assert [Path(rule.source) for rule in suite.report.rules] == [Path("rules", "mine.yml")]


GUIDE = (ROOT / "docs" / "pytest.md").read_text()


@pytest.mark.parametrize("command", re.findall(r"^    pytest (.*)$", GUIDE, re.MULTILINE), ids=str)
def test_the_guides_own_commands(suite: Suite, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    scenario = re.search(r"```yaml\n(# whoami\.scenario\.yml\n.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert scenario is not None
    (suite.path / "scenarios").mkdir()
    (suite.path / "scenarios" / "whoami.scenario.yml").write_text(scenario[1])
    settings = suite.lab.settings(suite.path / "harness.toml")
    settings.write_text(settings.read_text().replace('"lab-ws1"', '"ws6"'))
    monkeypatch.setenv("LAB_PASSWORD", suite.lab.password)
    arguments = shlex.split(command, comments=True)
    found = suite.run(*arguments)
    assert found.ret == 0, found.stdout.str()
    assert suite.report.environment.targets == (("ws6",) if "ws6" in arguments else ("lab-ws1", "lab-ws2"))
