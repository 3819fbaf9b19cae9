"""Two hundred detonations on twenty hosts against bare pypsrp doing the same sessions, first connect to last close, in one run.

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
from harness.transports.credential import Credential
from harness.transports.psrp.console import Console
from harness.transports.psrp.console import host as host_of
from harness.transports.psrp.identity import EXPRESSION
from harness.transports.winrm import WinrmTransport
from lab.process import LabConfig, LabPlace, LabTarget, StartingLab

DETONATIONS = 200
HOSTS = 20
ROUNDS = 3
PAUSE = 4.0  # seconds: a run also reads what happened on its hosts just before it, and the other way's telemetry is not its to pay for
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
        transport=WinrmTransport(
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


def by_pypsrp(place: LabPlace, identity: str, *, announced: bool) -> float:
    """The same sessions with nothing of ours. `announced`: with the host that PowerShell's client announces, else with none."""

    def drive(host: LabTarget) -> None:
        for _ in range(DETONATIONS // len(place.targets)):
            wsman = WSMan(
                host.host, port=host.port, ssl=False, auth="negotiate", username=host.user, password=place.password, encryption="always"
            )
            with wsman, RunspacePool(wsman, host=host_of(Console()) if announced else None) as pool:
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
    lab = StartingLab(LabConfig(hosts=tuple(f"ws{number}" for number in range(HOSTS))))
    try:
        place = lab.ready()
        ways: dict[str, Callable[[], float]] = {
            "harness": lambda: by_harness(place),
            "same": lambda: by_pypsrp(place, EXPRESSION, announced=True),
            "less": lambda: by_pypsrp(place, EXPRESSION, announced=False),
        }
        times: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(ROUNDS):  # in turns, so that both meet the same machine
            for name, way in ways.items():
                time.sleep(PAUSE)
                times[name].append(way())
    finally:
        lab.stop()
    ours, same, less = (min(times[name]) for name in ("harness", "same", "less"))
    sys.stdout.write(
        f"{DETONATIONS} detonations on {HOSTS} hosts: harness {ours:.3f} s, bare pypsrp announcing the same host {same:.3f} s: "
        f"ratio {ours / same:.2f};"
        f" announcing none {less:.3f} s: ratio {ours / less:.2f}\n"
    )


if __name__ == "__main__":
    main()
