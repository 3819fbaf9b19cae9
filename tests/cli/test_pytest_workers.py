"""Scenario files under pytest-xdist: however the tests are dealt out, each step is sent once, and all of them are told."""

from __future__ import annotations

import re
import secrets

import pytest

from tests.cli.sessions import NETWORK, ON_LAB, Suite

SCENARIOS = 3


@pytest.fixture
def marker(suite: Suite) -> str:
    """Of three scenarios of two steps, each with two expectations; one of each scenario fails."""
    made = f"w-{secrets.token_hex(6)}"
    for number in range(SCENARIOS):
        suite.scenario(
            f"s{number}",
            f"""
            id: {made}-{number}
            title: two steps
            steps:
              - name: one
                invoke_command: {{script: Write-Output {made}-{number}-1}}
                expect: [{{rule: {NETWORK}}}, {{rule: 60167e5c-84b2-4c95-a7ac-86281f27c445, fires: false}}]
              - name: two
                invoke_command: {{script: Write-Output {made}-{number}-2}}
                expect: [{{rule: {NETWORK}}}, {{rule: 734f8d9b-42b8-41b2-bcf5-abaf49d5a3c8}}]
            """,
        )
    return made


def sent(suite: Suite, marker: str) -> list[int]:
    return [suite.sent(f"Write-Output {marker}-{number}-{step}") for number in range(SCENARIOS) for step in (1, 2)]


@pytest.mark.parametrize("dist", ["load", "loadgroup", "worksteal", "each"])
def test_each_step_is_sent_once(suite: Suite, marker: str, dist: str) -> None:
    found = suite.run(*ON_LAB, "-n", "2", "--dist", dist, "-v")
    copies = 2 if dist == "each" else 1
    found.assert_outcomes(passed=18 * copies, failed=6 * copies)
    assert sent(suite, marker) == [2] * 6  # on each of the two hosts
    assert suite.runs == 1
    found.stdout.fnmatch_lines(["*coverage of rules*", f"run {suite.report.run_id}: *"])
    if dist == "loadgroup":
        dealt = re.findall(r"^\[(gw\d)\].*@(lab-ws\d)\s*$", found.stdout.str(), re.MULTILINE)
        assert len(dealt) == 24
        assert len(set(dealt)) == 2  # a worker has one target


def test_a_worker_that_dies_takes_nothing_with_it(suite: Suite, marker: str) -> None:
    suite.pytester.makepyfile(
        test_a="""
        import os

        def test_of_somebody_who_crashes():
            os._exit(3)
        """
    )
    found = suite.run(*ON_LAB, "-n", "2", "--max-worker-restart", "2")
    found.assert_outcomes(passed=18, failed=7)
    assert sent(suite, marker) == [2] * 6


def test_steps_in_python_and_scenarios_take_turns_on_a_host(suite: Suite, marker: str) -> None:
    suite.pytester.makepyfile(
        f"""
        import pytest

        @pytest.mark.parametrize("number", range(4))
        def test_it(detonate, number):
            assert detonate(invoke_command="Write-Output {marker}-python").detects("{NETWORK}")
        """
    )
    found = suite.run(*ON_LAB, "-n", "2")
    found.assert_outcomes(passed=22, failed=6)
    assert sent(suite, marker) == [2] * 6
    assert suite.sent(f"Write-Output {marker}-python") == 4
    found.stdout.fnmatch_lines(["VALIDATED*13acf386*16 detected*"])
