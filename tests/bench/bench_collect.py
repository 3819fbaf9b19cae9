"""How long pytest takes to collect 1,000 scenario files, against as many plain functions as that makes tests; wanted: at most 2 s.

python -m tests.bench.bench_collect
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.cli.sessions import installed
from tests.needs import ROOT

FILES = 1000
_SCENARIO = """\
id: s-{number}
title: whoami in a session
technique: T1021.006
tags: [interactive]
steps:
  - name: a session
    enter_pssession: [Get-Service WinRM]
  - name: whoami
    technique: T1033
    enter_pssession: [whoami.exe /groups]
    expect:
      - rule: 5cc2cda8-f261-4d88-a2de-e9e193c86716
        severity: high
"""


def best(directory: Path, *arguments: str, rounds: int = 3) -> tuple[float, int]:
    """The seconds that pytest says it took, of the fastest of several sessions, and the number of tests that it found."""
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(directory / ".installed")])}
    said = []
    for _ in range(rounds):
        command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *arguments]
        done = subprocess.run(command, cwd=directory, env=env, check=True, capture_output=True, text=True)
        found = re.search(r"(\d+) tests collected in ([\d.]+)s", done.stdout)
        assert found is not None, done.stdout[-500:]
        said.append((float(found[2]), int(found[1])))
    return min(said)


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        installed(directory / ".installed")
        for number in range(FILES):
            (directory / f"s{number:04}.scenario.yml").write_text(_SCENARIO.format(number=number))
        ours, tests = best(directory, "--harness-lab")
        functions = "".join(f"def test_{number}(): pass\n" for number in range(tests))
        (directory / "plain").mkdir()
        (directory / "plain" / "test_plain.py").write_text(functions)
        plain, _ = best(directory, "plain")
    sys.stdout.write(
        f"{FILES} scenario files, {tests} tests: {ours:.2f} s; {tests} plain functions {plain:.2f} s: ratio {ours / plain:.1f}\n"
    )


if __name__ == "__main__":
    main()
