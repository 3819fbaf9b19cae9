"""The way from one session to its target: HTTP connections that know how to authenticate and encrypt, whatever is said over them.

Both transports stand on it, so that what `harness.toml` says of authentication means the same in both, and a foreign exception
becomes ours in one place. The exchanges and the message encryption are pypsrp's and pyspnego's; pywinrm's own would need other
libraries for each scheme, and knows Kerberos without a password alone. It must never know what a shell is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from threading import Event, Lock
from typing import Any

from pypsrp.wsman import WSMan
from requests import Response

from harness.errors import AuthenticationFailed, Refused, TransportError
from harness.model.facts import Socket
from harness.model.intent import Auth, Channel, Encryption, Target
from harness.ports import Clock
from harness.transports.credential import Credential, Timeouts
from harness.transports.errors import foreign_errors
from harness.transports.wire import Guard, Wire

USER_AGENT = "Microsoft WinRM Client"

# What PowerShell's client asks of one operation (PSSessionOption.OperationTimeout); how long we wait is the guard's business.
_OPERATION_TIMEOUT = 180

# Every WSMan object registers its XML prefixes anew in a table of the process, deleting those it finds: two at once in two threads
# delete the same one, and the second fails. One thread a target makes that happen.
_REGISTERING = Lock()

_SECOND = timedelta(seconds=1)
_WITHOUT_KEYS = (Auth.BASIC, Auth.CERTIFICATE)


class TargetClock:
    """What a target's clock reads, as its answers tell it: in whole seconds [RFC 9110 6.6.1], which several answers narrow down."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._least: timedelta | None = None
        self._most: timedelta | None = None

    def told(self, response: Response, *_: Any, **__: Any) -> None:
        """Take note of an answer's Date. A hook of requests."""
        received = self._clock.now()
        try:
            date = parsedate_to_datetime(response.headers.get("Date", "")).astimezone(UTC)
        except ValueError:
            return
        least, most = date - received, date + _SECOND - (received - response.elapsed)
        if self._least is None or self._most is None or max(least, self._least) > min(most, self._most):
            self._least, self._most = least, most  # the first, or its clock was set meanwhile
        else:
            self._least, self._most = max(least, self._least), min(most, self._most)

    def read(self, ours: datetime) -> tuple[datetime, timedelta] | None:
        """The target's time when our clock reads `ours`, and by how much that may be wrong either way; None: it never told.

        Of all times that its answers allow it is the nearest to ours: where the two clocks may agree they are held to.
        """
        if self._least is None or self._most is None:
            return None
        offset = max(self._least, min(self._most, timedelta(0)))
        return ours + offset, max(offset - self._least, self._most - offset)


class Line:
    """The connections of one session on one target. Not shared between threads."""

    def __init__(self, *, target: Target, credential: Credential, channel: Channel, address: str, clock: Clock, timeouts: Timeouts) -> None:
        self._target = target
        self._credential = credential
        self._channel = channel
        self._address = address
        self._guard = Guard(clock)
        self._wires: list[Wire] = []
        self.timeouts = timeouts
        self.broken = False
        self.clock = TargetClock(clock)

    @property
    def scrub(self) -> Callable[[str], str]:
        """A text without the session's secrets."""
        return self._credential.scrub

    @property
    def sockets(self) -> tuple[Socket, ...]:
        """Our ends of all connections to the target so far, in the order they came about."""
        return tuple(socket for wire in self._wires for socket in wire.sockets)

    @property
    def place(self) -> str:
        """The target, for error texts."""
        host = f"[{self._target.host}]" if ":" in self._target.host else self._target.host
        return f"{self._target.name} ({host}:{self._target.port})"

    @property
    def connected(self) -> bool:
        """A connection came about: something was sent."""
        return any(wire.connected for wire in self._wires)

    @property
    def authenticated(self) -> bool:
        """The session was opened, so the credentials were taken."""
        return bool(self._wires) and self._wires[0].sealed

    @property
    def operation_timeout(self) -> int:
        """Seconds that the target may take to answer one request."""
        asked = self._channel.operation_timeout
        return _OPERATION_TIMEOUT if asked is None else max(1, round(asked.total_seconds()))

    @property
    def locale(self) -> str:
        """The language that messages are asked for in."""
        return self._channel.locale

    def arm(self, seconds: float, cancel: Event | None = None) -> None:
        """What is asked next ends after `seconds` at the latest, or once the event `cancel` is set, with `StepTimeout`."""
        self._guard.arm(seconds, cancel)

    def check(self) -> None:
        """Raises `StepTimeout` where what is under way has to end."""
        self._guard.check()

    def seal(self) -> None:
        """The session is open: what it would send over another connection, it would send again."""
        self._wires[-1].seal()

    @contextmanager
    def foreign_errors(self) -> Iterator[None]:
        """What the libraries raise within comes out as `TransportError`."""
        try:
            with foreign_errors(self.place, self, self.scrub):
                yield
        except Refused:
            raise
        except TransportError:
            # The last request's fate is not known: nothing more can be asked over its connection.
            self.broken = True
            raise

    def reachable(self, reconnect: Callable[[float], None]) -> bool:
        """Whether the target can still be told something; over a second connection where the first one broke, over no third."""
        if self.broken and len(self._wires) == 1:
            reconnect(self.timeouts.close)
        return not self.broken

    def reconnect(self, seconds: float) -> WSMan:
        """The same on a new connection, within `seconds`: the answer to the last request may be outstanding on the old one."""
        self.arm(seconds)
        self._wires[-1].close()
        with self.foreign_errors():
            new = self.connect(seconds)
        self.broken = False
        return new

    def close(self) -> None:
        """Close every connection; never raises."""
        for wire in self._wires:
            wire.close()

    def _refuse_what_cannot_be_safe(self) -> None:
        target, channel = self._target, self._channel
        why = ""
        if target.auth is Auth.BASIC and not target.tls and channel.encryption is not Encryption.NEVER:
            why = "basic authentication without TLS would show the password to the network"
        elif target.auth is Auth.CERTIFICATE and not (target.tls and channel.certificate and channel.certificate_key):
            why = "a certificate is shown over TLS, and needs its key"
        elif target.auth in _WITHOUT_KEYS and channel.encryption is Encryption.ALWAYS:
            why = f"{target.auth.value} yields no key to encrypt messages with"
        if why:
            raise AuthenticationFailed(f"{self.place}: {why}")

    def connect(self, within: float | None = None) -> WSMan:
        """pypsrp's client of the target, with connections of its own, none of them made yet.

        Raises `AuthenticationFailed` for what would give the password away, or cannot work.
        """
        target, channel = self._target, self._channel
        self._refuse_what_cannot_be_safe()
        patience = self.timeouts.connect if channel.connect_timeout is None else channel.connect_timeout.total_seconds()
        with _REGISTERING:
            wsman = WSMan(
                target.host,
                port=target.port,
                username=_user(target, self._credential) or None,
                password=self._credential.password or None,
                ssl=target.tls,
                auth=target.auth.value,
                cert_validation=channel.verify,
                encryption=_encryption(target, channel),
                no_proxy=True,
                operation_timeout=self.operation_timeout,
                connection_timeout=min(patience, within or patience),  # type: ignore[arg-type]  # requests takes fractions too
                read_timeout=self.operation_timeout,
                reconnection_retries=0,
                locale=channel.locale,
                **_kerberos(channel),
                certificate_pem=channel.certificate or None,
                certificate_key_pem=channel.certificate_key or None,
            )
        wire = Wire(
            self._guard,
            self._address,
            proxy=channel.proxy,
            key_password=self._credential.key_password,
            system_trust=not channel.ca_file,
            verify=channel.verify,
        )
        self._wires.append(wire)
        session = wsman.transport._build_session()
        scheme = "https" if target.tls else "http"
        session.trust_env = False
        session.max_redirects = 0
        session.headers["User-Agent"] = USER_AGENT
        session.verify = (channel.ca_file or True) if channel.verify else False
        session.proxies = {scheme: channel.proxy} if channel.proxy else {}
        session.adapters.clear()
        session.mount(f"{scheme}://", wire.adapter())
        session.hooks["response"].append(self.clock.told)
        wsman.transport.session = session
        return wsman


def _user(target: Target, credential: Credential) -> str:
    """The user as the scheme spells it. Kerberos knows no DOMAIN\\user: a domain by its DNS name is the realm, of one by its short name the
    default realm is what Kerberos has in its place."""
    domain, backslash, name = credential.user.rpartition("\\")
    if target.auth is not Auth.KERBEROS or not backslash:
        return credential.user
    return f"{name}@{domain.upper()}" if "." in domain else name


def _encryption(target: Target, channel: Channel) -> str:
    if target.auth in _WITHOUT_KEYS:
        return Encryption.NEVER.value
    return channel.encryption.value


def _kerberos(channel: Channel) -> dict[str, Any]:
    service, _, host = channel.spn.partition("/")
    named = {"negotiate_service": service, "negotiate_hostname_override": host} if channel.spn else {}
    return {**named, "negotiate_delegate": channel.delegate}


def seen_sockets(sockets: Sequence[Socket], seen_from: str | None) -> tuple[Socket, ...]:
    """The sockets as the target logs them: it sees another address than we have where something translates between."""
    return tuple(Socket(ip=seen_from or socket.ip, port=socket.port) for socket in sockets)
