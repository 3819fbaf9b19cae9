"""What Windows logs when clients go: connections that break, shells that nobody asks for any more, by a real client over real sockets."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime

import requests
from pypsrp.powershell import RunspacePool
from pypsrp.wsman import WSMan

from harness.events.windows import WindowsEvent
from lab.host.machine import emulated_host
from lab.winrm import Endpoint, EndpointAccount
from tests.lab.host.test_machine import of
from tests.lab.winrm.small_machine import PASSWORD, PURPLE


def until(condition: Callable[[], bool], within: float = 30.0) -> None:
    """Ask again until it holds; bounded, so that a fault ends the test."""
    give_up = time.monotonic() + within
    while not condition():
        assert time.monotonic() < give_up, "it never came"
        time.sleep(0.05)


def place(idle_timeout: float) -> tuple[Endpoint, list[WindowsEvent]]:
    records: list[WindowsEvent] = []
    machine = emulated_host(
        name="WS6",
        domain="lab.example",
        ip="10.77.0.16",
        seen_from="10.77.0.5",
        accounts=[PURPLE],
        sink=records.append,
        now=lambda: datetime.now(UTC),
        seed=3,
    )
    account = EndpointAccount(account=PURPLE, password=PASSWORD)
    return Endpoint(machine=machine, accounts=[account], idle_timeout=idle_timeout), records


def client(endpoint: Endpoint) -> WSMan:
    return WSMan("127.0.0.1", port=endpoint.port, ssl=False, auth="negotiate", username="LAB\\purple", password=PASSWORD)


def open_and_close(endpoint: Endpoint) -> None:
    """A session and its end; now and then the client's library leaves its connection to the collector."""
    with client(endpoint) as wsman, RunspacePool(wsman):
        pass


def logons(records: list[WindowsEvent], event_id: int) -> list[str]:
    return [record.data["TargetLogonId"] for record in of(records, event_id)]


def test_a_session_that_is_closed_ends_in_every_log() -> None:
    endpoint, records = place(60)
    endpoint.start()
    try:
        open_and_close(endpoint)
        gc.collect()
        until(lambda: sorted(logons(records, 4634)) == sorted(logons(records, 4624)))
        assert len(of(records, 403)) == len(of(records, 400)) == 1
        assert len(of(records, 4689)) == len(of(records, 4688)) == len(of(records, 5)) == 1
        assert [one.data["shellId"] for one in of(records, 91)] != [""]
    finally:
        endpoint.stop()


def test_a_client_that_vanishes_leaves_its_shell_until_it_is_reaped() -> None:
    endpoint, records = place(1.0)
    endpoint.start()
    try:
        wsman = client(endpoint)
        pool = RunspacePool(wsman)
        pool.open()
        (host_logon,) = (one.data["TargetLogonId"] for one in of(records, 4688, NewProcessName="wsmprovhost.exe"))
        assert logons(records, 4634) == [] or host_logon not in logons(records, 4634)
        assert wsman.transport.session is not None
        wsman.transport.session.close()
        del wsman, pool
        gc.collect()
        until(lambda: len(of(records, 403)) == 1)
        until(lambda: host_logon in logons(records, 4634))
        until(lambda: sorted(logons(records, 4634)) == sorted(logons(records, 4624)))
        ended = [one.event_id for one in records if one.event_id in (403, 4689, 5)]
        assert ended == [403, 4689, 5]
        assert records.index(of(records, 4634, TargetLogonId=host_logon)[0]) > records.index(of(records, 4689)[0])
    finally:
        with suppress(requests.RequestException):
            endpoint.stop()
