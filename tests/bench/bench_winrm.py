"""What the lab's endpoint costs beside the client that talks to it: NTLM sessions of unmodified pypsrp, and pools that do nothing.

    python -m tests.bench.bench_winrm

CPU is that of the server's process over that of the client's, in one run: wsmprovhost, interpreter and telemetry included, the SIEM not.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Thread

from pypsrp.powershell import PowerShell, RunspacePool
from pypsrp.wsman import WSMan

from tests.bench.winrm_hosts import USER

CLIENTS = 20
SESSIONS = 10  # of each client
POOLS = 100
ROUNDS = 3
SCRIPT = "Get-Service WinRM"


@contextmanager
def hosts(count: int, password: str) -> Iterator[tuple[int, list[int]]]:
    """The process with the hosts: its pid and its ports."""
    command = [sys.executable, "-m", "tests.bench.winrm_hosts"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{count}\n{password}\n")
        process.stdin.flush()
        yield process.pid, [int(port) for port in process.stdout.readline().split()]
        process.stdin.close()


def cpu(pid: int) -> float:
    """Seconds of a processor that a process has had."""
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident(pid: int) -> float:
    """MiB of a process that are in memory."""
    return int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def connection(port: int, password: str) -> WSMan:
    return WSMan("127.0.0.1", port=port, ssl=False, auth="ntlm", username=USER, password=password, encryption="always")


def sessions(port: int, password: str, count: int) -> None:
    for _ in range(count):
        with connection(port, password) as wsman, RunspacePool(wsman) as pool:
            shell = PowerShell(pool)
            shell.add_script(SCRIPT)
            assert len(shell.invoke()) == 1


def at_once(ports: list[int], password: str, count: int) -> None:
    threads = [Thread(target=sessions, args=(ports[number % len(ports)], password, count)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def processors(password: str) -> None:
    with hosts(2, password) as (pid, ports):
        at_once(ports, password, 1)
        best: list[tuple[float, float, float]] = []
        for _ in range(ROUNDS):
            ours, theirs, begun = cpu(pid), time.process_time(), time.perf_counter()
            at_once(ports, password, SESSIONS)
            ours, theirs, begun = cpu(pid) - ours, time.process_time() - theirs, time.perf_counter() - begun
            best.append((ours / theirs, ours, begun))
    ratio, ours, wall = min(best)
    number = CLIENTS * SESSIONS
    sys.stdout.write(
        f"{CLIENTS} clients at once, {number} NTLM sessions in {wall:.2f} s: server {ours / number * 1000:.2f} ms of CPU a session, "
        f"{ratio:.2f} of the client's\n"
    )


def memory(password: str) -> None:
    with hosts(1, password) as (pid, ports), ExitStack() as stack:
        at_once(ports, password, 1)
        before = resident(pid)
        for _ in range(POOLS):
            stack.enter_context(RunspacePool(stack.enter_context(connection(ports[0], password))))
        sys.stdout.write(f"{POOLS} idle pools: {resident(pid) - before:.1f} MiB\n")


def main() -> None:
    password = secrets.token_urlsafe(12)
    processors(password)
    memory(password)


if __name__ == "__main__":
    main()
