"""The lab's process: hosts, their WinRM endpoints, and the embedded SIEM with its rule schedule. Its composition root.

    python -m lab.service      a `LabConfig` as one JSON line on standard input, a `LabPlace` as one on standard output

It ends when it is asked to over the control channel, by a signal or, unless it is to be kept, when its input ends: a lab never
outlives the run that started it.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from threading import Event, Thread
from typing import Any

from harness.clock import SystemClock
from harness.detect import Detector
from harness.errors import HarnessError
from harness.events.windows import WindowsEvent
from harness.rules.catalog import load_rules
from harness.rules.languages import parse_rules, rule_sources
from harness.siem.elastic.shipping import Logged, Shipper
from harness.siem.embedded.client import EmbeddedClient
from harness.siem.embedded.service import EmbeddedSiem
from harness.siem.embedded.store import snapshot
from lab.host.machine import emulated_host
from lab.machine import Account
from lab.process import AGENT, DNS_DOMAIN, DOMAIN, HOSTS, RULE_PACK, LabConfig, LabPlace, off_at, targets_of
from lab.winrm.auth import Access, EndpointAccount, Scheme
from lab.winrm.endpoint import Endpoint

# A question is a line; whoever takes longer to ask it is not one of ours.
_CONTROL_PATIENCE = 2.0
_LONGEST_QUESTION = 64 * 1024


class Lab:
    """Everything that runs in the process. `start` and `stop` once each."""

    def __init__(self, config: LabConfig) -> None:
        self._config = config
        self._stack = ExitStack()
        self._endpoints: dict[str, Endpoint] = {}
        self._password = secrets.token_urlsafe(18)
        self._control_key = secrets.token_urlsafe(24)
        self._store = Path()
        self._shippers: dict[str, Shipper] = {}
        self.stopped = Event()

    def start(self) -> LabPlace:
        """Bring everything up, SIEM first, and say where it is."""
        config, clock = self._config, SystemClock()
        directory = Path(tempfile.mkdtemp(prefix="harness-lab-"))
        self._stack.callback(shutil.rmtree, directory, ignore_errors=True)
        store = self._store = directory / "siem.sqlite"
        self._stack.callback(self._stop_shipping)  # once the store has everything, and before it goes
        siem = EmbeddedSiem(
            store,
            clock=clock,
            detector_of=Detector,
            parse=parse_rules,
            ingest_delay=timedelta(seconds=config.ingest_delay),
            rule_interval=timedelta(seconds=config.rule_interval),
            look_back=timedelta(seconds=config.look_back),
            schedule_running=config.schedule_running,
        )
        siem.start()
        self._stack.callback(siem.stop)
        EmbeddedClient(store).deploy(load_rules([RULE_PACK], rule_sources()))

        schemes = frozenset(scheme for scheme in Scheme if scheme.lower() in config.schemes)
        access = Access(schemes=schemes, allow_unencrypted=config.allow_unencrypted)
        account = Account(domain=DOMAIN, name=config.user, sid=_sid(config.user))
        for name, target in zip(HOSTS, targets_of(config), strict=True):
            off = off_at(config, target.name)
            machine = emulated_host(
                name=name.upper(),
                domain=DNS_DOMAIN,
                ip=target.address,
                seen_from=target.seen_from,
                accounts=[account],
                sink=_unshipped if AGENT in off else siem.ingest,
                now=clock.now,
                seed=secrets.randbits(64),
                off=off - {AGENT},
            )
            endpoint = Endpoint(machine=machine, accounts=[EndpointAccount(account=account, password=self._password)], access=access)
            endpoint.start()
            self._stack.callback(endpoint.stop)
            self._endpoints[target.name] = endpoint
        return LabPlace(
            pid=os.getpid(),
            targets=targets_of(config, ports={name: endpoint.port for name, endpoint in self._endpoints.items()}),
            siem=str(store),
            control=self._listen(),
            password=self._password,
            control_key=self._control_key,
        )

    def stop(self) -> None:
        """Bring everything down in reverse order."""
        self._stack.close()

    def status(self) -> dict[str, object]:
        """What each endpoint has counted so far, and how far the events are shipped to each other place."""
        counts: dict[str, object] = {name: asdict(endpoint.counts()) for name, endpoint in self._endpoints.items()}
        return counts | {"shipping": {place: asdict(shipper.shipped) for place, shipper in self._shippers.items()}}

    def _listen(self) -> int:
        listener = socket.create_server(("127.0.0.1", 0))
        self._stack.callback(listener.close)
        Thread(target=self._serve, args=(listener,), name="control", daemon=True).start()
        port: int = listener.getsockname()[1]
        return port

    def _serve(self, listener: socket.socket) -> None:
        while not self.stopped.is_set():
            try:
                channel, _ = listener.accept()
            except OSError:  # closed: the lab is ending
                return
            with suppress(OSError, ValueError), channel:  # a stranger on loopback, who knows no key or says nothing
                channel.settimeout(_CONTROL_PATIENCE)
                with channel.makefile("rb") as lines:
                    asked = json.loads(lines.readline(_LONGEST_QUESTION))
                channel.sendall(json.dumps(self._answer(asked)).encode() + b"\n")

    def _answer(self, asked: object) -> dict[str, object]:
        """Raises ValueError for whoever has no key, and for a question that is none."""
        answers: dict[str, Callable[[], dict[str, object]]] = {"status": self.status, "stop": self._ask_to_stop}
        match asked:
            case {"key": str(key), "ask": "ship", "to": dict(connection), "index": str(index)} if self._is_key(key):
                return self._ship(connection, index)
            case {"key": str(key), "ask": str(question)} if question in answers and self._is_key(key):
                return answers[question]()
        raise ValueError("no question of ours")

    def _ship(self, connection: dict[str, Any], index: str) -> dict[str, object]:
        """Ship what is logged from now on to an index of an Elasticsearch. One that is shipped to already stays as it is.

        Raises ValueError where it is not told where to.
        """
        # Imported here: Elasticsearch's client takes as long to load as all of the lab.
        from harness.siem.elastic.wire import Connection, Wire

        try:
            to = Connection(**connection | {"urls": tuple(connection["urls"])})
        except (KeyError, TypeError) as error:
            raise ValueError("no question of ours") from error
        name = f"{to.cloud_id or ','.join(to.urls)}/{index}"
        before = self._shippers.get(name)
        if before is None or before.gave_up:
            try:
                wire = Wire(to)
            except HarnessError as error:
                return {"error": str(error)}
            with snapshot(self._store) as seen:
                place, _, _ = seen.last_rows()
            self._shippers[name] = Shipper(self._logged, place, wire, index, SystemClock())
            self._shippers[name].start()
        return {"shipping": name}

    def _logged(self, place: int, most: int) -> list[Logged]:
        with snapshot(self._store) as seen:
            return [Logged(place=event.row, id=event.id, document=event.document) for event in seen.events_after(place, most)]

    def _stop_shipping(self) -> None:
        for shipper in self._shippers.values():
            shipper.stop()

    def _is_key(self, offered: str) -> bool:
        return secrets.compare_digest(offered.encode("utf-8", "surrogatepass"), self._control_key.encode())

    def _ask_to_stop(self) -> dict[str, object]:
        self.stopped.set()
        return {"stopping": True}


def _unshipped(event: WindowsEvent) -> None:
    """Where a host's records go while its agent stands still: they stay in its log."""


def _sid(user: str) -> str:
    """A domain account's SID, the same for the same name."""
    return f"S-1-5-21-1004336348-1177238915-682003330-{1105 + sum(user.encode()) % 800}"


def main() -> int:
    """Run the lab until it is to stop."""
    config = LabConfig(**json.loads(sys.stdin.readline()))
    lab = Lab(config)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: lab.stopped.set())
    try:
        place = lab.start()
        try:
            sys.stdout.write(place.dump() + "\n")
            sys.stdout.flush()
        except BrokenPipeError:  # whoever started it has gone
            lab.stopped.set()
        if not config.keep:
            Thread(target=_until_input_ends, args=(lab.stopped,), name="owner", daemon=True).start()
        while not lab.stopped.wait(1.0):
            pass  # a bounded wait, so that signals are seen on every platform
    finally:
        lab.stop()
    return 0


def _until_input_ends(stopped: Event) -> None:
    with suppress(OSError, ValueError):
        sys.stdin.read()
    stopped.set()


if __name__ == "__main__":
    sys.exit(main())
