"""Tests in Python that detonate steps of their own."""

from __future__ import annotations

import re
import secrets

import pytest

from tests.cli.sessions import ON_LAB, ON_ONE, Suite, cases
from tests.needs import ROOT

GOOD = """
    from datetime import timedelta

    def test_a_step_and_what_came_back(detonate):
        whoami = detonate(enter_pssession="whoami.exe /groups")
        assert any("S-1-5-" in line for line in whoami.output)
        assert whoami.exit_code == 0 and not whoami.errors
        assert whoami.identity.process_id and whoami.target == "lab-ws1"
        found = whoami.detects("5cc2cda8", within="2m", severity="high")
        assert found
        assert timedelta(0) < found.time_to_detect < timedelta(minutes=2)
        assert whoami.stays_quiet("79df3f68-dccb-48e9-9171-b75cbc37c51d")

    def test_an_expectation_around_steps(detonate, detects, stays_quiet):
        with detects("WinRM connection accepted by the host"), stays_quiet("79df3f68"):
            detonate(invoke_command="param($Word) Write-Output $Word", arguments={"Word": "MARKER-argument"})

    def test_an_expectation_after_a_step(detonate, detects):
        detonate(connect={})
        assert detects("13acf386", within=timedelta(minutes=2))

    def test_a_statement_alone_is_asserted(detonate, detects, stays_quiet):
        detects("13acf386")
        detonate(connect={})
        stays_quiet("79df3f68")

    def test_the_lab(lab, detonate):
        assert [host.name for host in lab.hosts] == ["lab-ws1", "lab-ws2"]
        assert all(lab.ports.values()) and lab.siem.exists()
        assert lab.password not in repr(lab)
        there = detonate(invoke_command="hostname.exe", target=lab.host("lab-ws2").name)
        assert there.output == ("WS2",)

    def test_cleanups_come_last(detonate):
        detonate(invoke_command="Write-Output MARKER-1", cleanup={"invoke_command": {"script": "Write-Output MARKER-undo-1"}})
        detonate(invoke_command="Write-Output MARKER-2", cleanup={"invoke_command": {"script": "Write-Output MARKER-undo-2"}})
"""


def test_what_holds(suite: Suite) -> None:
    marker = f"p-{secrets.token_hex(6)}"
    suite.pytester.makepyfile(GOOD.replace("MARKER", marker))
    found = suite.run(*ON_LAB)
    found.assert_outcomes(passed=6)
    found.stdout.fnmatch_lines(["*coverage of rules*", "VALIDATED*"])
    mine = [text.removeprefix("Write-Output ").strip() for text in suite.lab.scripts() if marker in text and "param" not in text]
    assert mine == [f"{marker}-{each}" for each in ("1", "2", "undo-2", "undo-1")]


# A test, and what of its failure is told.
BAD = {
    "missed": (
        'def test_it(detonate):\n    assert detonate(invoke_command="hostname.exe").detects("5cc2cda8")',
        "failure",
        ["*assert <MISSED 5cc2cda8 *", "*TELEMETRY  passed*", "*QUERY      FAILED*", "*wants it to end with*"],
    ),
    "noisy": (
        'def test_it(detonate, stays_quiet):\n    with stays_quiet("13acf386"):\n        detonate(connect={})',
        "failure",
        ["*<NOISY 13acf386 *", "*ALERT      passed*"],
    ),
    "late": (
        'def test_it(detonate):\n    assert detonate(connect={}).detects("13acf386", within="1ms")',
        "failure",
        ["*<LATE 13acf386 *"],
    ),
    "not exercisable": (
        'def test_it(detonate):\n    assert detonate(enter_pssession="Get-Service WinRM").detects("5cc2cda8")',
        "skipped",
        ["*needs child process*", "*test_not_exercisable.py:1: needs child process*"],
    ),
    "not executed": (
        'def test_it(detonate):\n    assert not detonate(enter_pssession="nosuch.exe").detects("13acf386")',
        "failure",
        ["*INCONCLUSIVE (not executed)*"],
    ),
    "stated alone": (
        'def test_it(detonate, stays_quiet):\n    detonate(connect={})\n    stays_quiet("13acf386")\n    detonate(connect={})',
        "failure",
        ["*<NOISY 13acf386 *", "*test-it-1/1@lab-ws1*"],
    ),
    "stated before": (
        'def test_it(detonate, detects):\n    detects("5cc2cda8")\n    detonate(invoke_command="hostname.exe")',
        "failure",
        ["*<MISSED 5cc2cda8 *"],
    ),
    "stated for nothing": (
        'def test_it(detects):\n    detects("5cc2cda8")',
        "failure",
        ["*nothing was detonated that <expects something of 5cc2cda8*"],
    ),
    "nothing detonated": (
        'def test_it(detects):\n    assert detects("13acf386")',
        "failure",
        ["*nothing was detonated yet*"],
    ),
    "a wrong key": (
        'def test_it(detonate):\n    detonate(enter_psession="whoami")',
        "failure",
        ["*unknown key 'enter_psession' (did you mean enter_pssession?)"],
    ),
    "an unknown rule": (
        'def test_it(detonate):\n    assert detonate(connect={}).detects("nosuch")',
        "failure",
        ["*there is no rule 'nosuch'*"],
    ),
    "a wrong length": (
        'def test_it(detonate):\n    assert detonate(connect={}).detects("13acf386", within="2 minutes")',
        "failure",
        ["*'2 minutes' is not a length of time (write it as 90s, 6m or 1h30m)"],
    ),
    "a failing cleanup": (
        'def test_it(detonate):\n    detonate(connect={}, cleanup={"enter_pssession": ["nosuch.exe"]})',
        "error",
        ["*cleanup failed:", "cleanup of connect: *nosuch.exe*"],
    ),
}


def test_what_does_not_hold(suite: Suite) -> None:
    suite.pytester.makepyfile(**{f"test_{name.replace(' ', '_')}": text for name, (text, _, _) in BAD.items()})
    found = suite.run(*ON_ONE, "--junitxml", "junit.xml")
    told = cases(suite.path / "junit.xml")
    for name, (_, became, lines) in BAD.items():
        text = told[f"test_{name.replace(' ', '_')}::test_it"]
        assert text.partition(" ")[0] == became, name
        pytest.LineMatcher(text.splitlines()).fnmatch_lines(lines)
    assert "harness/pytest_plugin" not in found.stdout.str()  # where our code stood tells the author of a test nothing


def test_without_a_place_it_is_skipped_unless_it_asks_for_the_lab(suite: Suite) -> None:
    suite.pytester.makepyfile(
        """
        def test_it(detonate):
            assert False

        def test_on_the_lab(lab, detonate):
            assert detonate(invoke_command="hostname.exe", target="lab-ws2").output == ("WS2",)
        """
    )
    found = suite.run("-rs")
    found.assert_outcomes(passed=1, skipped=1)
    found.stdout.fnmatch_lines(["not run*: *::test_it", "*--harness-lab*"])


def test_a_siem_that_is_away_is_no_miss(suite: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = suite.lab.settings(suite.path / "mine.toml")
    settings.write_text(settings.read_text().replace(str(suite.lab.place["siem"]), str(suite.path / "nowhere.sqlite")))
    monkeypatch.setenv("LAB_PASSWORD", suite.lab.password)
    monkeypatch.setenv("HARNESS_RUN_SIEM_TIMEOUT", "1s")
    suite.pytester.makepyfile('def test_it(detonate):\n    assert not detonate(connect={}).detects("13acf386")')
    found = suite.run("--harness-config", str(settings))
    found.assert_outcomes(failed=1)
    found.stdout.fnmatch_lines(["*nothing was sent: the SIEM cannot answer*"])


def test_the_guides_own_tests(suite: Suite) -> None:
    found = re.search(r"```python\n(# test_whoami\.py\n.*?)```", (ROOT / "docs" / "pytest.md").read_text(), re.DOTALL)
    assert found is not None
    suite.pytester.makepyfile(test_whoami=found[1])
    suite.run(*ON_LAB).assert_outcomes(passed=2)
