"""How long a difference and a trend take over a history of 1,000 runs of 500 expectations, and what such a history weighs.

python -m tests.bench.bench_history [RUNS [EXPECTATIONS]]

The history is made as runs make it, each with its own report: most expectations are met, some turn now and then, times vary.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from harness.history import opened
from harness.model.intent import EnterPSSession, Expectation
from harness.model.report import HostTelemetry, Report, RuleRecord, StepRecord
from harness.model.verdicts import Outcome, Verdict
from tests.needs import ROOT
from tests.reports import sample_reports as sample

_RULES = 50
_NIGHT = timedelta(days=1)


def reports(runs: int, expectations: int) -> Iterator[Report]:
    """One report a night."""
    chance = random.Random(1)
    base = sample.clean()
    rules = tuple(_rule(base.rules[0], number) for number in range(_RULES))
    steps = [
        sample.planned("suite", number, sample.WS5, EnterPSSession(lines=(f"whoami.exe /{number}",))) for number in range(expectations)
    ]
    records = tuple(StepRecord(planned=step.id, text=f"whoami.exe /{number}") for number, step in enumerate(steps))
    detonations = [sample.detonation(step, number / 10) for number, step in enumerate(steps)]
    for night in range(runs):
        verdicts = []
        for number, detonation in enumerate(detonations):
            rule = rules[number % _RULES].id
            seconds = 1 + chance.random()
            verdict = sample.detected(detonation, rule, seconds)
            verdicts.append(_missed(verdict, night) if chance.random() < 0.01 else verdict)
        kinds = {"Security 4688": chance.randrange(100, 900), "Security 5156": chance.randrange(100, 900)}
        lag = timedelta(seconds=chance.random())
        yield replace(
            base,
            run_id=f"run-{night:05d}",
            started_at=sample.START + night * _NIGHT,
            finished_at=sample.START + night * _NIGHT + timedelta(minutes=5),
            verdicts=tuple(verdicts),
            exit_code=int(any(verdict.outcome is Outcome.MISSED for verdict in verdicts[: expectations // 50])),
            rules=rules,
            steps=records,
            telemetry=(HostTelemetry(host="ws5", agents=("winlogbeat 8.1",), kinds=kinds, lag_p50=lag, lag_p95=lag * 2),),
        )


def _rule(record: RuleRecord, number: int) -> RuleRecord:
    return replace(record, id=f"{number:08d}-0000-4000-8000-000000000000", definition=record.definition + f"# {number}\n" * 30)


def _missed(verdict: Verdict, night: int) -> Verdict:
    expectation = Expectation(rule=verdict.expectation.rule)
    cause = f"nearest event: DestPort is 5985; proven by run {night}"
    return replace(verdict, expectation=expectation, outcome=Outcome.MISSED, sightings=(), cause=cause)


def best(*arguments: str, rounds: int = 3) -> tuple[float, float]:
    """Seconds of the fastest of several runs of a command, the start of its process included; and of CPU time, which tells more where
    others use the machine."""
    times = []
    for _ in range(rounds):
        before = os.times()
        command = [sys.executable, "-m", "harness.cli", *arguments]
        ended = subprocess.run(command, stdout=subprocess.DEVNULL, env=os.environ | {"PYTHONPATH": str(ROOT)}, check=False)
        assert ended.returncode in (0, 1)
        after = os.times()
        spent = after.children_user + after.children_system - before.children_user - before.children_system
        times.append((after.elapsed - before.elapsed, spent))
    return min(took for took, _ in times), min(spent for _, spent in times)


def main() -> None:
    given = [int(text) for text in sys.argv[1:]]
    runs, expectations = (*given, *(1000, 500)[len(given) :])
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "history.sqlite"
        started = time.perf_counter()
        with opened(path, make=True) as history:
            for report in reports(runs, expectations):
                history.append(report)
        took = time.perf_counter() - started
        sys.stdout.write(
            f"{runs} runs of {expectations}: {path.stat().st_size / 1e6:.0f} MB, written in {took / runs * 1000:.0f} ms each\n"
        )
        _, version = best("--version")
        for arguments in (
            ("history", "diff"),
            ("history", "diff", f"~{runs // 2}"),
            ("history", "trend"),
            ("history", "trend", "--last", str(runs)),
            ("history", "trend", "--last", str(runs), "--json", "-"),
            ("history", "list"),
            ("history", "show"),
            ("report", "latest", "--json", "-"),
        ):
            took, spent = best(*arguments, "--history", str(path))
            told = f"{took:.2f} s, {spent:.2f} s of CPU time, {spent / version:.1f} times that of harness --version"
            sys.stdout.write(f"{' '.join(arguments)}: {told}\n")


if __name__ == "__main__":
    main()
