"""How long `harness --help` takes against `python -c pass`: what a person waits before anything of ours happens.

python -m tests.bench.bench_start
"""

from __future__ import annotations

import subprocess
import sys
import time


def best(*command: str, rounds: int = 10) -> float:
    """Seconds of the fastest of several runs: what the machine's other work did not disturb."""
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - started)
    return min(times)


def main() -> None:
    ours, bare = best(sys.executable, "-m", "harness.cli", "--help"), best(sys.executable, "-c", "pass")
    sys.stdout.write(f"harness --help {ours:.3f} s, python -c pass {bare:.3f} s: ratio {ours / bare:.1f}, {ours - bare:.3f} s more\n")


if __name__ == "__main__":
    main()
