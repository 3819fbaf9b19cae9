"""Emulated hosts behind endpoints in a process of their own, for a benchmark to talk to: the lab without its SIEM.

    python -m tests.bench.winrm_hosts     how many hosts and the password on standard input, a line each; the ports on standard output

It ends with its input. Telemetry is made and thrown away.
"""

from __future__ import annotations

import sys
from contextlib import ExitStack
from datetime import UTC, datetime

from lab.host.machine import emulated_host
from lab.machine import Account
from lab.winrm import Endpoint, EndpointAccount, Quotas

USER = "LAB\\purple"


def main() -> None:
    count, password = int(sys.stdin.readline()), sys.stdin.readline().strip()
    purple = Account(domain="LAB", name="purple", sid="S-1-5-21-1-2-3-1105")
    with ExitStack() as stack:
        ports: list[int] = []
        for number in range(count):
            machine = emulated_host(
                name=f"WS{number}",
                domain="lab.example",
                ip=f"10.77.1.{number + 1}",
                seen_from="10.77.0.5",
                accounts=[purple],
                sink=lambda document: None,
                now=lambda: datetime.now(UTC),
                seed=number,
            )
            endpoint = Endpoint(
                machine=machine, accounts=[EndpointAccount(account=purple, password=password)], quotas=Quotas(max_shells=1_000)
            )
            endpoint.start()
            stack.callback(endpoint.stop)
            ports.append(endpoint.port)
        sys.stdout.write(" ".join(map(str, ports)) + "\n")
        sys.stdout.flush()
        sys.stdin.read()


if __name__ == "__main__":
    main()
