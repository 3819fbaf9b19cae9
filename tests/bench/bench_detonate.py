"""Forty detonations on two hosts against bare pypsrp doing the same sessions, first connect to last close, in one run.

    python -m tests.bench.bench_detonate

The same in both: a thread a host; a session a detonation; the script, then the expression that reads the session's identity.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from threading import Event, Thread

from pypsrp.powershell import PowerShell, RunspacePool
from pypsrp.wsman import WSMan

from harness.clock import SystemClock
from harness.engine import Engine, Patience
from harness.model.intent import Auth, InvokeCommand, Plan, PlannedStep, Step, Target
from harness.model.report import StepFinished
from harness.siem.embedded.client import EmbeddedClient
from harness.transports.psrp import Credential, PsrpTransport
from lab.process import LabConfig, LabPlace, LabTarget, StartingLab

DETONATIONS = 40
ROUNDS = 5
SCRIPT = "Get-Service WinRM"


def by_harness(place: LabPlace) -> float:
    """Seconds from the first connect to the last close, by the harness's own clock readings."""
    clock = SystemClock()
    step = Step(name="bench", action=InvokeCommand(script=SCRIPT))
    targets = [
        Target(name=t.name, host=t.host, port=t.port, auth=Auth.NEGOTIATE, user=t.user, computer=t.computer, seen_from=t.seen_from)
        for t in place.targets
    ]
    steps = tuple(
        PlannedStep(id=f"bench/{number}@{target.name}", scenario="bench", step=step, target=target)
        for target in targets
        for number in range(DETONATIONS // len(targets))
    )
    engine = Engine(
        run_id="bench",
        plan=Plan(steps=steps, unexercisable={}),
        rules={},
        transport=PsrpTransport(
            credentials={t.name: Credential(user=t.user, password=place.password) for t in place.targets},
            clock=clock,
            addresses={t.name: t.host for t in targets},
        ),
        siem=EmbeddedClient(Path(place.siem)),
        clock=clock,
        patience=Patience(poll=0.25, siem=5, connect=5, grace=timedelta(0)),
    )
    done = [progress.detonation for progress in engine.run(Event()) if isinstance(progress, StepFinished)]
    assert len(done) == DETONATIONS
    return (max(d.finished_at for d in done) - min(d.started_at for d in done)).total_seconds()


def by_pypsrp(place: LabPlace, identity: str) -> float:
    """The same sessions with nothing of ours."""

    def drive(host: LabTarget) -> None:
        for _ in range(DETONATIONS // len(place.targets)):
            wsman = WSMan(
                host.host, port=host.port, ssl=False, auth="negotiate", username=host.user, password=place.password, encryption="always"
            )
            with wsman, RunspacePool(wsman) as pool:
                for script in (SCRIPT, identity):
                    shell = PowerShell(pool)
                    shell.add_script(script)
                    shell.invoke()

    started = time.perf_counter()
    threads = [Thread(target=drive, args=(host,)) for host in place.targets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - started


def main() -> None:
    from harness.transports.psrp.identity import EXPRESSION

    lab = StartingLab(LabConfig())
    try:
        place = lab.ready()
        ways: dict[str, Callable[[], float]] = {"harness": lambda: by_harness(place), "pypsrp": lambda: by_pypsrp(place, EXPRESSION)}
        times: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(ROUNDS):  # in turns, so that both meet the same machine
            for name, way in ways.items():
                times[name].append(way())
    finally:
        lab.stop()
    ours, bare = (min(times[name]) for name in ("harness", "pypsrp"))
    sys.stdout.write(f"{DETONATIONS} detonations on 2 hosts: harness {ours:.3f} s, bare pypsrp {bare:.3f} s: ratio {ours / bare:.2f}\n")


if __name__ == "__main__":
    main()
