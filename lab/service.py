"""The lab's process: hosts, their WinRM endpoints, and the embedded SIEM with its rule schedule. Its composition root.

    python -m lab.service      a `LabConfig` as one JSON line on standard input, a `LabPlace` as one on standard output

It ends when it is asked to over the control channel, by a signal or, unless it is to be kept, when its input ends: a lab never
outlives the run that started it.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import shutil
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import asdict
from datetime import timedelta
from functools import partial
from pathlib import Path
from threading import Event, Thread
from typing import Any

from harness.clock import SystemClock
from harness.detect import Detector
from harness.errors import HarnessError
from harness.events.windows import WindowsEvent
from harness.files import write_whole
from harness.rules.catalog import load_rules
from harness.rules.languages import parse_rules, rule_sources
from harness.siem.elastic.shipping import Logged, Shipper
from harness.siem.embedded.client import EmbeddedClient
from harness.siem.embedded.service import EmbeddedSiem
from harness.siem.embedded.store import RuleException, snapshot
from lab.host.machine import emulated_host
from lab.host.telemetry import Sink
from lab.machine import Account, Machine, Neighbour
from lab.network import Client, Door, LabNetwork
from lab.process import (
    AGENT,
    DNS_DOMAIN,
    DOMAIN,
    LOOPBACK,
    REALM,
    RULE_PACK,
    LabConfig,
    LabPlace,
    forget,
    make_directory,
    off_at,
    targets_of,
)
from lab.tap import Tap
from lab.winrm.auth import Access, EndpointAccount, Scheme, fingerprint
from lab.winrm.config import Quotas
from lab.winrm.endpoint import Endpoint
from lab.winrm.tls import make_authority

_LOG = logging.getLogger("lab")

# A question is a line; whoever takes longer to ask it is not one of ours.
_CONTROL_PATIENCE = 2.0
_LONGEST_QUESTION = 64 * 1024


class _Certificates:
    """The lab's own authority, and the certificate of its account; what clients need of them, in files that only their owner can read."""

    def __init__(self, directory: Path, user: str) -> None:
        self.authority = make_authority(f"{DNS_DOMAIN} lab")
        self.client = self.authority.issue(f"{user}@{DNS_DOMAIN}")
        self.ca_file, self.certificate, self.key = (directory / name for name in ("ca.pem", "client.pem", "client.key"))
        texts = (self.authority.certificate, self.client.certificate, self.client.key)
        for path, text in zip((self.ca_file, self.certificate, self.key), texts, strict=True):
            write_whole(path, text, mode=0o600)


class Lab:
    """Everything that runs in the process. `start` and `stop` once each."""

    def __init__(self, config: LabConfig) -> None:
        self._config = config
        self._stack = ExitStack()
        self._endpoints: dict[str, Endpoint] = {}
        self._password = config.password or secrets.token_urlsafe(18)
        self._control_key = secrets.token_urlsafe(24)
        self._store = Path()
        self._shippers: dict[str, Shipper] = {}
        self._tap = Tap()
        self.stopped = Event()

    def start(self) -> LabPlace:
        """Bring everything up, SIEM first, and say where it is."""
        config, clock = self._config, SystemClock()
        directory = make_directory()
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
        client = EmbeddedClient(store)
        client.hold_back(config.disabled, [RuleException(rule=rule, name=name, when=when) for rule, name, when in config.exceptions])
        client.deploy(load_rules([RULE_PACK], rule_sources()))

        certificates = _Certificates(directory, config.user) if any(config.access_of(name).tls for name in config.hosts) else None
        account = Account(domain=DOMAIN, name=config.user, sid=_sid(config.user))
        network = LabNetwork(_client)
        for name, target in zip(config.hosts, targets_of(config), strict=True):
            off = off_at(config, target.name)
            machine = emulated_host(
                name=name.upper(),
                domain=DNS_DOMAIN,
                ip=target.address,
                seen_from=target.seen_from,
                accounts=[account],
                sink=self._tap.take if AGENT in off else partial(_both, self._tap.take, siem.ingest),
                now=clock.now,
                seed=secrets.randbits(64),
                off=off - {AGENT},
                agent=AGENT not in off,
                network=network,
            )
            endpoint = self._endpoint(machine, account, name, certificates)
            endpoint.start()
            here = Neighbour(name=name.upper(), fqdn=machine.host.fqdn, ip=target.address)
            network.join(here, Door(address=target.host, port=endpoint.port, secure_port=endpoint.secure_port))
            self._stack.callback(endpoint.stop)
            self._endpoints[target.name] = endpoint
        return LabPlace(
            pid=os.getpid(),
            targets=targets_of(config, ports={name: endpoint.secure_port or endpoint.port for name, endpoint in self._endpoints.items()}),
            siem=str(store),
            control=self._listen(),
            directory=str(directory),
            started=clock.now().isoformat(timespec="seconds"),
            password=self._password,
            control_key=self._control_key,
            ca_file="" if certificates is None else str(certificates.ca_file),
            certificate="" if certificates is None else str(certificates.certificate),
            certificate_key="" if certificates is None else str(certificates.key),
        )

    def _endpoint(self, machine: Machine, account: Account, host: str, certificates: _Certificates | None) -> Endpoint:
        asked = self._config.access_of(host)
        own = certificates if asked.tls else None
        addresses = _addresses(self._config.listen)
        schemes = frozenset(scheme for scheme in Scheme if scheme.lower() in asked.schemes)
        user = EndpointAccount(
            account=account,
            password=self._password,
            realm=REALM,
            certificates=frozenset() if own is None else frozenset([fingerprint(own.client.der)]),
        )
        return Endpoint(
            machine=machine,
            address=self._config.listen,
            accounts=[user],
            access=Access(schemes=schemes, allow_unencrypted=asked.allow_unencrypted),
            quotas=Quotas(max_shells=self._config.max_shells),
            identity=None if own is None else own.authority.issue(f"{host}.{DNS_DOMAIN}", host, "localhost", *addresses),
            client_authorities="" if own is None else own.authority.certificate,
            keytab=Path(self._config.keytab) if self._config.keytab else None,
        )

    def stop(self) -> None:
        """Bring everything down in reverse order."""
        self._stack.close()

    def status(self) -> dict[str, object]:
        """What each endpoint has counted so far, and how far the events are shipped to each other place."""
        counts: dict[str, object] = {name: asdict(endpoint.counts()) for name, endpoint in self._endpoints.items()}
        return counts | {"memory": _memory(), "shipping": {place: asdict(shipper.shipped) for place, shipper in self._shippers.items()}}

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
            case {"key": str(key), "ask": "events", "of": dict(question)} if self._is_key(key):
                return self._tap.ask(question)
            case {"key": str(key), "ask": str(plain)} if plain in answers and self._is_key(key):
                return answers[plain]()
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


def _client() -> Client:
    """What speaks WinRM between hosts. Loaded when it is first needed: most labs never do."""
    from lab.remote import PypsrpClient

    return PypsrpClient()


def _both(one: Sink, other: Sink, event: WindowsEvent) -> None:
    """A record for the tap and for the agent that ships it; where the agent stands still, the tap alone has it."""
    one(event)
    other(event)


def _memory() -> int:
    """Bytes of memory that the process holds just now; where that is not to be had, the most that it ever held, or 0."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, AttributeError):
        return 0


def _addresses(listen: str) -> tuple[str, ...]:
    """By which a certificate's owner can be reached who listens there."""
    return tuple(dict.fromkeys([LOOPBACK, "::1", *([listen] if listen not in ("0.0.0.0", "::") else [])]))  # noqa: S104 - compared


def _sid(user: str) -> str:
    """A domain account's SID, the same for the same name."""
    return f"S-1-5-21-1004336348-1177238915-682003330-{1105 + sum(user.encode()) % 800}"


def main() -> int:
    """Run the lab until it is to stop."""
    config = LabConfig.load(sys.stdin.readline())
    if config.keep:
        logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
        for quiet in ("pypsrp", "spnego", "urllib3"):
            logging.getLogger(quiet).setLevel(logging.WARNING)
    lab = Lab(config)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: lab.stopped.set())
    try:
        place = lab.start()
        for target in place.targets:
            _LOG.info("%s listens on %s port %d", target.name, config.listen, target.port)
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
        if config.note:
            forget(Path(config.note), os.getpid())
        _LOG.info("the lab is down")
    return 0


def _until_input_ends(stopped: Event) -> None:
    with suppress(OSError, ValueError):
        sys.stdin.read()
    stopped.set()


if __name__ == "__main__":
    sys.exit(main())
