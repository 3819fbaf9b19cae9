"""`harness replay` as a process of its own: how soon the first event is answered, and whether memory grows with the recording.

python -m tests.bench.bench_replay [EVENTS]

This process stays small: on Linux a child's peak of memory begins at what its parent had when it started it.
"""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path

from tests.needs import DATA, ROOT

FEW, MANY = 10_000, 1_000_000
LINES = 2_000
ROUNDS = 5
RULES = DATA / "sigma" / "rules-windows.zip"


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """Seconds from a process's start to its end, by the clock and by the processor, and its peak of memory in MiB."""

    seconds: float
    busy: float
    peak: float


def replay(events: Path, directory: Path) -> Replayed:
    """One run of the command."""
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "harness.cli", "replay", str(events), "--rules", str(RULES), "--json", str(directory / "report.json")],
        stdout=subprocess.DEVNULL,
        env={**os.environ, "XDG_CACHE_HOME": str(directory / "cache"), "PYTHONPATH": str(ROOT)},
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return Replayed(
        seconds=time.perf_counter() - started,
        busy=usage.ru_utime + usage.ru_stime,
        peak=usage.ru_maxrss / (1024**2 if sys.platform == "darwin" else 1024),
    )


def recording(path: Path, lines: list[bytes], count: int) -> Path:
    """A recording of so many events."""
    with gzip.open(path, "wb", compresslevel=1) as file:
        for start in range(0, count, len(lines)):
            file.writelines(lines[: count - start])
    return path


def main() -> int:
    if not DATA.is_dir() or sys.platform == "win32":
        sys.stdout.write(f"skipped: needs the shared recordings at {DATA}, and a system that counts a process's memory\n")
        return 0
    many = int(sys.argv[1]) if len(sys.argv) > 1 else MANY
    with tempfile.TemporaryDirectory() as name, zipfile.ZipFile(DATA / "otrf" / "covenant_psremoting_command.zip") as archive:
        directory = Path(name)
        with archive.open(archive.namelist()[0]) as stream:
            lines = [line for line, _ in zip(stream, range(LINES), strict=False)]
        one = recording(directory / "one.gz", lines, 1)
        first = replay(one, directory)
        again = [replay(one, directory) for _ in range(ROUNDS)]
        soonest = min(each.seconds for each in again)
        sys.stdout.write(
            f"start to the first event answered, all rules: {first.seconds:.1f} s, from the cache {soonest:.2f} s (<= 1.5),"
            f" {min(each.busy for each in again):.2f} s of them the processor's\n"
        )
        few = replay(recording(directory / "few.gz", lines, FEW), directory)
        whole = replay(recording(directory / "many.gz", lines, many), directory)
        rate = (many - FEW) / (whole.busy - few.busy)
        grown = f"{few.peak:.0f} MiB at {FEW:,} events, {whole.peak:.0f} MiB at {many:,}: {whole.peak - few.peak:+.0f} MiB (<= 50)"
        sys.stdout.write(f"peak of memory: {grown}; {rate:,.0f} events/s\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
